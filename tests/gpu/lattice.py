"""The dense CRF and its lattice on the GPU beside the CPU: values, gradients, time."""

import time
from collections.abc import Callable

import numpy as np
import torch
from part import Part
from scipy.special import softmax

import caffe
from caffe.engine.layers.kernels import mean_field
from golden_runs import GOLDEN

CLOSE = 1e-4        # of probabilities, but for a thousandth of the pixels
SIZE = 375, 500


def main() -> None:
    part = Part(__doc__)
    worst = {}
    for path in sorted((GOLDEN / "crf").glob("*.npz"))[:1 if part.dry else None]:
        case = dict(np.load(path))
        if {"settings", "unary", "image", "q"} <= set(case):
            worst[path.stem] = recorded(part, path.stem, case)
    gradients(part)
    seconds = timed(part)
    part.found(f"{len(worst)} recordings, largest difference of the GPU from the CPU "
               f"{max(worst.values(), default=0):.1e}; 375x500, 21 classes, 10 iterations: "
               f"{1e3 * seconds['cpu']:.0f} ms on the CPU, {1e3 * seconds['gpu']:.0f} ms",
               differences=worst, seconds=seconds)
    part.end()


def both(part: Part, run: Callable[[], np.ndarray]) -> list[np.ndarray]:
    """What run() gives on the CPU, and twice on the GPU."""
    caffe.set_mode_cpu()
    found = [run()]
    part.use("fp32")
    return [*found, run(), run()]


def recorded(part: Part, name: str, case: dict[str, np.ndarray]) -> float:
    """A case of pydensecrf: the largest difference."""
    spatial_w, spatial_xy, w, xy, rgb, iterations = case["settings"]
    probabilities = softmax(-case["unary"], 0)
    cpu, gpu, again = both(part, lambda: caffe.dense_crf(
        probabilities, case["image"], iterations, w, xy, rgb, spatial_w, spatial_xy))
    part.expect(np.array_equal(gpu, again), f"{name}: not the same every time")
    for what, other in (("CPU", cpu), ("recording", case["q"])):
        error = float(np.quantile(np.abs(gpu - other), 0.999))
        part.expect(error < CLOSE, f"{name}: differs from the {what} by {error:.2g}")
    same = np.mean(gpu.argmax(0) == cpu.argmax(0))
    part.expect(same > 0.999, f"{name}: {100 * same:.2f}% of the labels are those of the CPU")
    return float(np.abs(gpu - cpu).max())


def gradients(part: Part) -> None:
    """Of the lattice's filters by the values."""
    height, width = (12, 16) if part.dry else (60, 80)
    rng = np.random.default_rng(0)
    sizes = (3, height, width), (height * width, 5), (height * width, 5)
    image, values, weights = (torch.from_numpy(rng.normal(size=size).astype(np.float32))
                              for size in sizes)
    for method in ("filter", "mean"):
        found = []
        for device in ("cpu", "cpu" if part.dry else "cuda"):
            lattice = mean_field.over_colours(image.to(device), 5, 1)
            leaf = values.to(device).requires_grad_()
            (getattr(lattice, method)(leaf) * weights.to(device)).sum().backward()
            found.append(leaf.grad.cpu())
        error = float((found[0] - found[1]).abs().max() / found[0].abs().max())
        part.expect(error < CLOSE, f"gradient of the lattice's {method}: differs by {error:.2g}")


def timed(part: Part) -> dict[str, float]:
    """Seconds of the second run."""
    height, width = (30, 40) if part.dry else SIZE
    rng, seconds = np.random.default_rng(0), {}
    image = rng.integers(0, 256, (height // 5, width // 5, 3), np.uint8).repeat(5, 0).repeat(5, 1)
    probabilities = softmax(rng.normal(size=(21, height, width)).astype(np.float32), 0)
    for name in ("cpu", "gpu"):
        caffe.set_mode_cpu()
        if name == "gpu":
            part.use("fp32")
        for _ in range(2):
            start = time.perf_counter()
            caffe.dense_crf(probabilities, image)
            seconds[name] = time.perf_counter() - start
    return seconds


if __name__ == "__main__":
    main()
