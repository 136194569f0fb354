"""What nets are given: random images of a task's sizes, and random values for all inputs."""

import numpy as np

RNG = np.random.default_rng(0)
SIZES = {"forward-500": [(500, 500)], "forward-375": [(375, 500)], "step-500": [(500, 500)],
         "step-375": [(375, 500)],
         "gpu_forward-500": [(500, 500)], "gpu_step-500": [(500, 500)],
         "fcn32s-500": [(500, 500)], "alexnet-500": [(500, 500)], "googlenet-500": [(500, 500)],
         "deeplab-513": [(513, 513)], "unet-572": [(572, 572)],
         "bf16_forward-500": [(500, 500)], "bf16_step-500": [(500, 500)],
         "stream": [(375, 500), (500, 334), (500, 375), (333, 500), (366, 500), (500, 500)]}


def images(task):
    """Mean-subtracted images of the task's sizes, (1, channels, height, width)."""
    channels = 1 if task.startswith("unet") else 3
    return [RNG.normal(scale=60, size=(1, channels, *size)).astype(np.float32)
            for size in SIZES[task]]


def fill_inputs(net, classes):
    """Fill the inputs of a net: its labels with class numbers, the others with noise."""
    for name in net.inputs:
        data = net.blobs[name].data
        data[...] = (RNG.integers(0, classes, data.shape) if name == "label"
                     else RNG.normal(size=data.shape))
