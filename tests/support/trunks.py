"""Nets with wide paddings, for the tests of padding elision, and what runs them."""

from fcn import nets


def layer(name, kind, bottom, top=None, **fields):
    """The text of a layer; a field is the text of a message."""
    bottoms = "".join(f' bottom: "{b}"' for b in bottom.split())
    rest = " ".join(f"{key} {{ {value} }}" for key, value in fields.items())
    return f'layer {{ name: "{name}" type: "{kind}"{bottoms} top: "{top or name}" {rest} }}\n'


def conv(name, bottom, outputs, **fields):
    """A convolution with random weights and an in-place ReLU."""
    p = " ".join(f"{key}: {value}" for key, value in fields.items())
    fill = 'type: "gaussian" std: 0.3'
    return (layer(name, "Convolution", bottom, convolution_param=f"num_output: {outputs} {p} "
                  f"weight_filler {{ {fill} }} bias_filler {{ {fill} }}")
            + layer("relu_" + name, "ReLU", name, name))


def pool(name, bottom, **fields):
    p = " ".join(f"{key}: {value}" for key, value in fields.items())
    return layer(name, "Pooling", bottom, pooling_param=p)


def reader(name):
    """A layer that reads a blob, which an in-place layer has written, so that it is no output."""
    return layer("reader_" + name, "Power", name)


def image(height, width, name="data"):
    """An Input of one image with two channels."""
    return (f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ '
            f'shape {{ dim: 1 dim: 2 dim: {height} dim: {width} }} }} }}\n')


ALEXNET = (conv("conv1", "data", 4, kernel_size=11, stride=4, pad=100)
           + pool("pool1", "conv1", kernel_size=3, stride=2)
           + layer("norm1", "LRN", "pool1", lrn_param="local_size: 3 alpha: 0.5")
           + conv("conv2", "norm1", 4, kernel_size=5, pad=2, group=2)
           + pool("pool2", "conv2", kernel_size=3, stride=2)
           + conv("conv3", "pool2", 3, kernel_size=3, pad=1))
INCEPTION = (conv("conv1", "data", 4, kernel_size=7, stride=2, pad=100)
             + pool("pool1", "conv1", kernel_size=3, stride=2)
             + conv("one", "pool1", 2, kernel_size=1)
             + conv("three", "pool1", 3, kernel_size=3, pad=1)
             + conv("reduce", "pool1", 2, kernel_size=1)
             + conv("five", "reduce", 2, kernel_size=5, pad=2)
             + pool("pooled", "pool1", kernel_size=3, stride=1, pad=1)
             + layer("cat", "Concat", "one three five pooled")
             + pool("pool2", "cat", kernel_size=3, stride=2)
             + conv("last", "pool2", 3, kernel_size=3, pad=1)
             + conv("skip", "cat", 2, kernel_size=1))
RESIDUAL = (conv("conv1", "data", 3, kernel_size=3, pad=40)
            + layer("scale", "Scale", "conv1", scale_param="bias_term: true")
            + conv("a", "scale", 3, kernel_size=3, pad=2, dilation=2)
            + layer("sum", "Eltwise", "scale a")
            + layer("slope", "PReLU", "sum")
            + pool("mean", "slope", kernel_size=3, stride=2, pad=1, pool="AVE")
            + conv("b", "mean", 2, kernel_h=1, kernel_w=3, pad_h=0, pad_w=1, stride_h=1,
                   stride_w=2))

# as in PSPNet, whose statistics are frozen in fine-tuning
FROZEN = (conv("conv1", "data", 3, kernel_size=3, pad=40)
          + layer("bn", "BN", "conv1", bn_param='frozen: true slope_filler { type: "gaussian" '
                  'std: 1 }')
          + layer("relu", "ReLU", "bn", "bn")
          + conv("a", "bn", 3, kernel_size=3, pad=1)
          + layer("bn_a", "BN", "a", "a", bn_param="frozen: true slope_filler { value: 1 }")
          + pool("p", "a", kernel_size=3, stride=2, pad=1))


def fcn8s(height, width):
    """FCN-8s, narrow, with all weights drawn."""
    param = nets.fcn("fcn8s", "deploy", width=1 / 64)
    param.layer[0].input_param.shape[0].dim[2:] = height, width
    param.force_backward = True
    for spec in param.layer:
        if spec.type in ("Convolution", "Deconvolution"):
            spec.convolution_param.weight_filler.type = "xavier"
            spec.convolution_param.bias_filler.type = "gaussian"
            spec.convolution_param.bias_filler.std = 0.3
    return str(param)


def random_trunk(rng):
    """A chain of convolutions and poolings under a wide padding, on an image of random size."""
    text = image(*rng.integers(1, 40, 2))
    kernel, stride = rng.integers(1, 8), rng.integers(1, 4)
    text += conv("conv0", "data", 2, kernel_size=kernel, stride=stride, pad=rng.integers(20, 70))
    bottom = "conv0"
    for i in range(rng.integers(1, 6)):
        name, kernel, stride = f"layer{i}", rng.integers(2, 5), rng.integers(1, 4)
        if rng.integers(2):
            text += pool(name, bottom, kernel_size=kernel, stride=stride,
                         pad=rng.integers(0, kernel), pool=rng.choice(["MAX", "AVE"]),
                         round_mode=rng.choice(["CEIL", "FLOOR"]))
        else:
            text += conv(name, bottom, 2, kernel_size=kernel, stride=rng.integers(1, 3),
                         pad=rng.integers(0, 5), dilation=rng.integers(1, 3))
        bottom = name
    return text
