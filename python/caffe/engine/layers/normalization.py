"""LRN and Softmax: each value divided by a measure of its neighbours."""

import torch.nn.functional as F

from ...proto.caffe_pb2 import LRNParameter
from .axes import canonical_axis
from .base import TensorLayer, register


@register("LRN")
class LRN(TensorLayer):
    """Local response normalisation, x / (k + alpha * mean of the neighbours' squares) ** beta.

    The neighbours are local_size channels at the same place, or with WITHIN_CHANNEL a square of
    that side (zeros beyond the image count); there Caffe takes k as 1.
    """

    def setup(self, bottom, top):
        size = self.layer_param.lrn_param.local_size
        if size % 2 == 0:
            raise self.error(f"expected an odd local_size, got {size}")

    def shapes(self, bottom):
        if len(bottom[0]) != 4:
            raise self.error(f"expected a bottom of 4 axes, got {bottom[0]}")
        return bottom

    def compute(self, x):
        p = self.layer_param.lrn_param
        if p.norm_region == LRNParameter.ACROSS_CHANNELS:
            return F.local_response_norm(x, p.local_size, p.alpha, p.beta, p.k)
        mean = F.avg_pool2d(x.square(), p.local_size, stride=1, padding=p.local_size // 2)
        return x * (1 + p.alpha * mean).pow(-p.beta)


@register("Softmax")
class Softmax(TensorLayer):
    """exp(x) divided by its sum over `axis`."""

    def shapes(self, bottom):
        canonical_axis(self, self.layer_param.softmax_param.axis, bottom[0])
        return bottom

    def compute(self, x):
        return x.softmax(self.layer_param.softmax_param.axis)
