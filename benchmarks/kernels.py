"""The engine's own kernels beside PyTorch's, on one CPU thread: python benchmarks/kernels.py

Prints, as a Markdown table, the least milliseconds of five runs at the sizes of FCN-8s on a
500x500 image.
"""

import torch
import torch.nn.functional as F

from caffe.engine.layers.kernels.max_pooling import largest
from caffe.engine.layers.kernels.product import linear
from caffe.engine.layers.pooling import Windows
from subjects import least

PLACES, INPUTS, OUTPUTS = 256, 7 * 7 * 512, 4096      # of fc6
MAP = 1, 64, 514, 514                                   # what pool1 reads


def main():
    torch.set_num_threads(1)
    x = torch.randn(PLACES, INPUTS, requires_grad=True)
    weight = torch.randn(OUTPUTS, INPUTS, requires_grad=True)
    image, windows = torch.randn(MAP), Windows((2, 2), (2, 2), (0, 0))
    learned = image.clone().requires_grad_()
    rows = {
        "fc6": [lambda f=f: f(x, weight) for f in (linear, F.linear)],
        "fc6, gradients": [gradients(f, x, weight) for f in (linear, F.linear)],
        "pool1": [lambda: largest(image, windows), lambda: windows.maximum(image)],
        "pool1 in training": [lambda: largest(learned, windows), lambda: windows.maximum(learned)],
    }
    print("| | the engine, ms | PyTorch, ms |\n| --- | --- | --- |")
    for name, runs in rows.items():
        print(f"| {name} | {' | '.join(f'{1000 * least(run):.0f}' for run in runs)} |")


def gradients(product, x, weight):
    """A function that computes the gradients of a product by its factors."""
    y = product(x, weight)
    slope = torch.ones_like(y)
    return lambda: torch.autograd.grad(y, (x, weight), slope, retain_graph=True)


if __name__ == "__main__":
    main()
