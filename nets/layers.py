"""The few layer idioms that all nets share."""

from caffe import layers as L, params as P

# weights and biases: rate and decay of the paper (biases learn twice as fast and do not decay)
LEARN = [dict(lr_mult=1, decay_mult=1), dict(lr_mult=2, decay_mult=0)]


def conv_relu(bottom, channels, kernel=3, pad=1, **params):
    """(convolution, in-place ReLU)."""
    layer = L.Convolution(bottom, kernel_size=kernel, stride=1, num_output=channels, pad=pad,
                          param=LEARN, **params)
    return layer, L.ReLU(layer, in_place=True)


def max_pool(bottom, kernel=2, stride=2):
    return L.Pooling(bottom, pool=P.Pooling.MAX, kernel_size=kernel, stride=stride)


def score(bottom, classes):
    """1×1 convolution to class scores; it starts at zero (no filler)."""
    return L.Convolution(bottom, kernel_size=1, num_output=classes, pad=0, param=LEARN)


def upsample(bottom, classes, factor):
    """Deconvolution by `factor`, kernel twice that, fixed; surgery.interp fills it bilinearly."""
    return L.Deconvolution(bottom, param=[dict(lr_mult=0)], convolution_param=dict(
        num_output=classes, kernel_size=2 * factor, stride=factor, bias_term=False))
