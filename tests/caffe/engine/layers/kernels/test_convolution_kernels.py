"""Convolutions done in another way than torch's own give what that gives."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

import caffe
from caffe.engine.layers.kernels import convolution, few_values
from caffe.engine.layers.kernels.convolution import conv2d

GEOMETRY = {"dilated": ((3, 2), (1, 2), (4, 1), (4, 2), 1),
            "dilated in groups": ((2, 3), (1, 1), (0, 3), (1, 3), 2)}


@pytest.fixture
def tasks(monkeypatch):
    """Of any size, in another way than the plain one; what was asked."""
    asked = []

    def chosen(task, ways):
        asked.append(task)
        return list(ways)[-1]
    monkeypatch.setattr(convolution, "MEASURED", 0)
    monkeypatch.setattr(convolution, "fastest", chosen)
    return asked


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 4, 9, 8), (3, 2, 7, 11), (2, 2, 8, 3)])
@pytest.mark.parametrize("kernel, stride, pad, dilation, groups", GEOMETRY.values(), ids=GEOMETRY)
def test_the_same_in_the_same_order(tasks, shape, kernel, stride, pad, dilation, groups, with_bias):
    torch.manual_seed(1)
    x, weight = torch.randn(shape), torch.randn(6, shape[1] // groups, *kernel)
    bias = torch.randn(6) if with_bias else None
    y = conv2d(x, weight, bias, stride, pad, dilation, groups)
    assert tasks and y.is_contiguous()
    torch.testing.assert_close(y, F.conv2d(x, weight, bias, stride, pad, dilation, groups),
                               rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 4, 9, 8), (1, 1, 1, 5), (1, 3, 1, 1)])
@pytest.mark.parametrize("with_bias", [True, False])
def test_kernels_of_one_pixel_are_matrices(tasks, shape, with_bias):
    torch.manual_seed(1)
    x, weight = torch.randn(shape), torch.randn(6, shape[1], 1, 1)
    bias = torch.randn(6) if with_bias else None
    y = conv2d(x, weight, bias, (1, 1), (0, 0), (1, 1), 1)
    assert tasks and y.is_contiguous()
    torch.testing.assert_close(y, F.conv2d(x, weight, bias), rtol=1e-5, atol=1e-5)


def test_other_kernels_are_torchs_own(tasks):
    x, weight, dilated = torch.randn(1, 2, 6, 6), torch.randn(3, 2, 1, 1), torch.randn(3, 2, 3, 2)
    last = x.contiguous(memory_format=torch.channels_last)
    learned, learning = x.clone().requires_grad_(), dilated.clone().requires_grad_()
    for image, kernel, stride, padding, dilation in (
            (x, learning, 1, 0, 2), (learned, dilated, 1, 0, 2), (x, dilated, 1, 0, 1),
            (x.double(), weight.double(), 1, 0, 1), (last, weight, 1, 0, 1),
            (x, torch.randn(3, 2, 3, 3), 2, 0, 1), (torch.cat([x, x]), weight, 1, 0, 1),
            (x, weight, 2, 0, 1), (x, weight, 1, 1, 1)):
        conv2d(image, kernel, None, (1, stride), (padding, 0), (dilation, 1), 1)
    conv2d(x, torch.randn(4, 1, 1, 1), None, (1, 1), (0, 0), (1, 1), 2)
    with torch.autocast("cpu", torch.bfloat16):
        conv2d(x, weight, None, (1, 1), (0, 0), (1, 1), 1)
    assert not tasks


@pytest.mark.parametrize("shape, size, groups", [
    ((2, 4, 9, 10), 3, 1), ((2, 4, 9, 10), 3, 2), ((1, 4, 9, 10), 1, 1), ((1, 5, 1, 1), 1, 1)])
@pytest.mark.parametrize("frozen", ["nothing", "the image", "the kernel"])
def test_gradients(tasks, frozen, shape, size, groups):
    torch.manual_seed(0)
    x, weight = torch.randn(shape), torch.randn(6, shape[1] // groups, size, size)
    bias, padding = torch.randn(6), (size // 2, size // 2)
    learned = [each.requires_grad_() for each, name in (
        (x, "the image"), (weight, "the kernel"), (bias, "the bias")) if name != frozen]
    own, expected = (each(x, weight, bias, (1, 1), padding, (1, 1), groups)
                     for each in (conv2d, F.conv2d))
    slope = torch.randn_like(own)
    for pair in zip(*(torch.autograd.grad(y, learned, slope) for y in (own, expected))):
        torch.testing.assert_close(*pair, rtol=1e-5, atol=1e-4)
    kinds = {task.partition(" 6 ")[0] for task in tasks}
    assert kinds == {"convolution", "gradient by image", "gradient by kernel"} - {
        {"the image": "gradient by image", "the kernel": "gradient by kernel"}.get(frozen)}


class Masks(TorchDispatchMode):
    """Records which gradients torch's own convolution is asked for."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten.convolution_backward.default:
            self.found.append(tuple(args[-1]))
        return function(*args, **kwargs or {})


@pytest.mark.parametrize("best, mask", [("Winograd", (False, False, False)),
                                        ("plain", (True, True, True))])
def test_no_gradient_is_computed_twice(tasks, monkeypatch, best, mask):
    """torch's by the bias computes that by the kernel, too."""
    monkeypatch.setattr(convolution, "fastest", lambda task, ways: best)
    given = [torch.randn(shape, requires_grad=True) for shape in ((1, 4, 6, 6), (3, 4, 3, 3), (3,))]
    y = conv2d(*given, (1, 1), (1, 1), (1, 1), 1)
    with Masks() as masks:
        found = torch.autograd.grad(y, given, torch.ones_like(y))
    assert masks.found == [mask]
    torch.testing.assert_close(found[2], torch.full((3,), 36.0))


def test_the_precision_changes_between_the_passes(tasks):
    """The gradients are plain sums then, of the whole kernel."""
    x, weight, bias = (torch.randn(shape, requires_grad=True)
                       for shape in ((1, 8, 6, 6), (3, 8, 3, 3), (3,)))
    own, expected = (each(x, weight, bias, (1, 1), (1, 1), (1, 1), 1)
                     for each in (conv2d, F.conv2d))
    slope = torch.randn_like(own)
    caffe.set_precision("fp32")
    try:
        found = torch.autograd.grad(own, (x, weight, bias), slope)
    finally:
        caffe.set_precision("tf32")
    for pair in zip(found, torch.autograd.grad(expected, (x, weight, bias), slope)):
        assert torch.equal(*pair)


@pytest.mark.parametrize("shape, outputs, kernel, stride, pad, dilation", [
    ((2, 3, 20, 31), 8, (3, 3), (1, 1), (5, 2), (1, 1)),
    ((5, 1, 28, 28), 7, (5, 3), (2, 3), (0, 1), (1, 1)),
    ((1, 3, 50, 40), 4, (3, 3), (1, 2), (4, 4), (2, 3)), ((1, 2, 3, 3), 1, (3, 3), 1, 0, 1)])
@pytest.mark.parametrize("values", [1, 5000, 1 << 30])
def test_the_gradient_by_a_kernel_of_few_values(monkeypatch, values, shape, outputs, kernel, stride,
                                                pad, dilation):
    """In strips of one row, of some rows and of all rows."""
    torch.manual_seed(1)
    geometry = [each if isinstance(each, tuple) else (each, each)
                for each in (stride, pad, dilation)]
    x, weight, bias = (torch.randn(size, dtype=torch.float64, requires_grad=learned)
                       for size, learned in ((shape, False), ((outputs, shape[1], *kernel), True),
                                             ((outputs,), True)))
    y = F.conv2d(x, weight, bias, *geometry)
    slope = torch.randn_like(y)
    expected = torch.autograd.grad(y, (weight, bias), slope)
    monkeypatch.setattr(few_values, "STRIP", values)
    torch.testing.assert_close(few_values.gradient_by_weights(x, slope, weight, *geometry),
                               expected[0])
    monkeypatch.setattr(convolution, "FEW_MEASURED", 0)
    monkeypatch.setattr(convolution, "fastest", lambda task, ways: list(ways)[-1])
    learned = [each.detach().float().requires_grad_() for each in (weight, bias)]
    with Masks() as masks:
        found = torch.autograd.grad(conv2d(x.float(), *learned, *geometry, 1), learned,
                                    slope.float())
    assert masks.found == [(False, False, False)]
    for pair in zip(found, expected):
        torch.testing.assert_close(pair[0], pair[1].float(), rtol=1e-4, atol=1e-4)


def test_which_kernels_have_few_values(tasks, monkeypatch):
    """Those of up to 64 for each output, without groups, that learn, of some size."""
    monkeypatch.setattr(convolution, "FEW_MEASURED", 3 * 2 * 25 * 36)
    for channels, groups, learns, size, count in (
            (2, 1, True, 6, 1), (3, 1, True, 6, 0), (4, 2, True, 6, 0), (2, 1, False, 6, 0),
            (2, 1, True, 5, 0)):
        tasks.clear()
        monkeypatch.setattr(convolution, "MEASURED", 1 << 40)
        weight = torch.randn(2 * groups + (groups == 1), channels // groups, 5, 5,
                             requires_grad=learns)
        y = conv2d(torch.randn(1, channels, size, size), weight, None, (1, 1), (2, 2), (1, 1),
                   groups)
        if learns:
            torch.autograd.grad(y.sum(), weight)
        assert len([task for task in tasks if task.startswith("gradient by kernel")]) == count


def test_in_fp32_sums_are_plain(tasks):
    x, weight = torch.randn(1, 2, 6, 6), torch.randn(3, 2, 3, 3, requires_grad=True)
    caffe.set_precision("fp32")
    try:
        y = conv2d(x, weight, None, (1, 1), (1, 1), (1, 1), 1)
    finally:
        caffe.set_precision("tf32")
    assert not tasks and torch.equal(y, F.conv2d(x, weight, padding=1))


def test_small_ones_are_not_measured(tasks, monkeypatch):
    x, weight = torch.randn(1, 2, 6, 5), torch.randn(3, 2, 1, 1)
    for most, count in ((2 * 6 * 5 * 3, 1), (2 * 6 * 5 * 3 + 1, 0)):
        monkeypatch.setattr(convolution, "MEASURED", most)
        tasks.clear()
        conv2d(x, weight, None, (1, 1), (0, 0), (1, 1), 1)
        assert len(tasks) == count


def test_sizes_of_about_the_same_are_one_task(tasks):
    weight = torch.randn(3, 2, 1, 1)
    for size in ((6, 5), (5, 5), (4, 8), (4, 9)):
        conv2d(torch.randn(1, 2, *size), weight, None, (1, 1), (0, 0), (1, 1), 1)
    assert tasks[0] == tasks[1] == tasks[2] != tasks[3]


DEPLOY = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 dim: 5 dim: 6 } } }
layer { name: "y" type: "Convolution" bottom: "x" top: "y"
        convolution_param { num_output: 3 kernel_size: 3 pad: 2 dilation: 2
                            weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "y" top: "y" }"""


def test_blobs_are_as_ever(tasks, net):
    """Arrays in NumPy's order, which can be written to, and weights that are read anew."""
    made = net(DEPLOY)
    x = np.random.default_rng(0).normal(size=(1, 2, 5, 6)).astype(np.float32)
    for scale in (1, -2):
        made.params["y"][0].data[...] *= scale
        expected = F.conv2d(torch.from_numpy(x), torch.from_numpy(made.params["y"][0].data),
                            padding=2, dilation=2).numpy()
        y = made.forward(end="y", x=x)["y"]
        assert y.flags["C_CONTIGUOUS"] and y.flags["WRITEABLE"]
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
        y[0, 1] = 7
        y = made.forward(start="relu")["y"]
        assert (y[0, 1] == 7).all()
        np.testing.assert_allclose(y[0, ::2], expected.clip(0)[0, ::2], rtol=1e-5, atol=1e-5)
    assert len(tasks) == 2
    made.blobs["x"].reshape(2, 2, 4, 7)
    made.forward()
    assert made.blobs["y"].data.shape == (2, 3, 4, 7) and len(tasks) == 3


def test_a_net_that_learns(tasks, net):
    """Its gradients are those of one with plain sums."""
    gradients = {}
    for precision in ("fp32", "tf32"):
        caffe.set_random_seed(3)
        caffe.set_precision(precision)
        made = net("force_backward: true" + DEPLOY, phase=caffe.TRAIN)
        made.blobs["x"].data[...] = np.random.default_rng(0).normal(size=(1, 2, 5, 6))
        made.forward()
        made.blobs["y"].diff[...] = 1
        made.backward()
        gradients[precision] = [made.blobs["x"].diff, *(
            blob.diff for blob in made.params["y"])]
    assert len(tasks) == 3
    for plain, own in zip(*gradients.values()):
        assert np.abs(plain).max() > 0
        np.testing.assert_allclose(own, plain, rtol=1e-4, atol=1e-4)
