"""ReLU and Dropout: what happens to each value alone."""

import torch.nn.functional as F

from ...context import TRAIN
from .base import TensorLayer, register


@register("ReLU")
class ReLU(TensorLayer):
    """max(x, 0) + negative_slope * min(x, 0); the gradient at 0 is that of the negative side."""

    def compute(self, x):
        slope = self.layer_param.relu_param.negative_slope
        return F.leaky_relu(x, slope) if slope else F.relu(x)


@register("Dropout")
class Dropout(TensorLayer):
    """In training, zero each value with probability dropout_ratio and divide the others by
    1 - dropout_ratio, so that testing passes values on as they are."""

    def setup(self, bottom, top):
        self.ratio = self.layer_param.dropout_param.dropout_ratio
        if not 0 <= self.ratio < 1:
            raise self.error(f"expected dropout_ratio in [0, 1), got {self.ratio}")

    def compute(self, x):
        return F.dropout(x, self.ratio, training=self.phase == TRAIN)
