"""What there is: the GPU, and the versions of packages beside those that are tested."""

import platform
import re
import sys
from importlib import metadata

import torch
from checkout import ROOT
from part import Part

PACKAGES = ("torch", "triton", "numpy", "scipy", "h5py", "pillow", "protobuf", "tqdm", "filelock",
            "matplotlib", "lmdb", "onnx", "onnxruntime", "opencv-python-headless", "pytest",
            "pytest-xdist", "hypothesis")


def main() -> None:
    part = Part(__doc__)
    found = {name: version(name) for name in PACKAGES}
    pins = re.findall(r"^([\w-]+)==([\w.]+)", (ROOT / "constraints.txt").read_text(), re.M)
    tested = dict(reversed(pins))       # the first of a name is for newer versions of Python
    others = [f"{name} {found[name]} (tested {tested[name]})" for name in PACKAGES
              if name in tested and found[name].partition("+")[0] != tested[name]]
    device = "the CPU, a dry run" if part.dry else card(part)
    part.found(f"{device}; Python {platform.python_version()}, torch {torch.__version__}; others "
               f"than are tested: {', '.join(others) or 'none'}", device=device,
               python=sys.version.split()[0], packages=found, cuda=torch.version.cuda,
               cudnn=torch.backends.cudnn.version())
    part.end()


def version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"


def card(part: Part) -> str:
    """The GPU's name and memory."""
    if not torch.cuda.is_available():
        part.fail("PyTorch sees no GPU; tests/gpu/check.sh --dry-run tries the check on the CPU")
        return "no GPU"
    gpu = torch.cuda.get_device_properties(0)
    return f"{gpu.name}, {gpu.total_memory / 2 ** 30:.0f} GiB"


if __name__ == "__main__":
    main()
