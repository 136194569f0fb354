"""What no implementation can be faster than: a net's multiplications at the machine's rate of large
matrix products, and its values at the machine's rate of copying.
"""

from typing import NamedTuple

from subjects import pycaffe
from subjects.clock import least
from subjects.inputs import images


def computing(task, folder):
    """The net's multiplications at the machine's rate of a large matrix product."""
    import torch

    from caffe.engine.layers.kernels.product import linear
    matrix = torch.randn(2048, 2048)
    rate = 2048 ** 3 / least(lambda: linear(matrix, matrix))
    seconds = work_of(task, folder).multiplications / rate
    return lambda: seconds


def copying(task, folder):
    """The net's maps and kernels, each read or written once, at the machine's rate of copying."""
    import torch
    source = torch.ones(2 ** 26)
    copy = torch.empty_like(source)
    rate = 2 * source.numel() / least(lambda: copy.copy_(source))
    seconds = work_of(task, folder).values / rate
    return lambda: seconds


class Work(NamedTuple):
    """How many multiplications, and how many values that are read or written."""
    multiplications: int
    values: int


def work_of(task, folder):
    """The Work of a task: of a forward pass over each of its images, or of a training step."""
    if task.startswith(("step", "small_step")):
        make = pycaffe.step if task.startswith("step") else pycaffe.small_step
        return work(make(task, folder)[0], learns=True)
    net, each = pycaffe.forward(task, folder)[0], []
    for image in images(task):
        net.blobs["data"].reshape(*image.shape)
        net.reshape()
        each.append(work(net))
    return Work(*map(sum, zip(*each)))


def work(net, learns=False):
    """The Work of a forward pass of the net's convolutions, deconvolutions and products, and, if
    it learns, of their gradients; the gradients by what nothing below learns are left out."""
    products, values, learned = 0, 0, set()     # learned: blobs that parameters lie below
    for name, layer in net.layer_dict.items():
        bottoms, tops = net.bottom_names[name], net.top_names[name]
        if name in net.params or not learned.isdisjoint(bottoms):
            passes = 1
            if learns:
                passes = 2 if learned.isdisjoint(bottoms) else 3
            learned.update(tops)
        if layer.type not in ("Convolution", "Deconvolution", "InnerProduct"):
            continue
        weight = net.params[name][0]
        bottom, top = net.blobs[bottoms[0]], net.blobs[tops[0]]
        windows = bottom if layer.type == "Deconvolution" else top
        outputs = weight.shape[0] if layer.type == "InnerProduct" else windows.shape[1]
        products += passes * weight.count * (windows.count // outputs)
        values += passes * (weight.count + bottom.count + top.count)
    return Work(products, values)
