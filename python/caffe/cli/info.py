"""caffe info: which caffe is imported, and with what it runs."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path

_PACKAGES = ("torch", "protobuf", "numpy", "scipy", "h5py", "lmdb", "pillow", "onnx",
             "safetensors", "opencv-python-headless", "opencv-python")
_VARIABLES = ("PYTHONPATH", "GLOG_minloglevel", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS",
              "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION")


def info(args: argparse.Namespace) -> None:
    """Show which caffe is imported, other ones on the way, and the versions that it runs with."""
    for name, value in _lines():
        print(f"{name + ':':24}{value}")


def other_caffes() -> list[str]:
    """The files of other packages named caffe that scripts may import: those in the current folder
    and on sys.path."""
    mine = Path(__file__).parents[1] / "__init__.py"
    found = (PathFinder.find_spec("caffe", [entry]) for entry in dict.fromkeys(["", *sys.path]))
    origins = dict.fromkeys(spec.origin for spec in found if spec and spec.origin)
    return [origin for origin in origins if not os.path.samefile(origin, mine)]


def _lines() -> Iterator[tuple[str, str]]:
    import torch
    from google.protobuf.internal import api_implementation

    import caffe
    yield "caffe", f"{caffe.__version__}, {Path(caffe.__file__).parent}"
    for origin in other_caffes():
        yield "another caffe", (f"{origin} (whichever comes first on sys.path is imported; "
                                "the folder of the script comes before all)")
    yield "Python", f"{platform.python_version()}, {sys.executable}"
    yield "system", f"{platform.platform()}, {os.cpu_count()} processors"
    for name in _PACKAGES:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        yield name, version + (f" ({api_implementation.Type()})" if name == "protobuf" else "")
    yield "threads of torch", str(torch.get_num_threads())
    yield "CUDA of torch", torch.version.cuda or "none: this PyTorch runs on the CPU alone"
    if torch.version.cuda:
        yield "cuDNN", str(torch.backends.cudnn.version())
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for number in range(count):
        device = torch.cuda.get_device_properties(number)
        yield f"GPU {number}", (f"{device.name}, {device.total_memory / 2**30:.1f} GiB, compute "
                                f"capability {device.major}.{device.minor}")
    if not count:
        yield "GPU", "none that PyTorch sees"
    for name in _VARIABLES:
        if name in os.environ:
            yield name, os.environ[name]


COMMANDS = {info: lambda parser: None}
