"""InnerProduct: the fully connected layer."""

import math

import torch.nn.functional as F

from .axes import canonical_axis
from .base import TensorLayer, register


@register("InnerProduct")
class InnerProduct(TensorLayer):
    """Everything from `axis` on, times one row of weights for each of num_output outputs.

    The weights are (num_output, inputs), or with `transpose` (inputs, num_output).
    """

    def setup(self, bottom, top):
        p = self.layer_param.inner_product_param
        self.axis = canonical_axis(self, p.axis, bottom[0].shape)
        self.inputs, self.outputs = math.prod(bottom[0].shape[self.axis:]), p.num_output
        if not self.outputs:
            raise self.error("expected num_output of at least 1")
        shape = self.outputs, self.inputs
        self.add_param(shape[::-1] if p.transpose else shape, p.weight_filler)
        if p.bias_term:
            self.add_param((self.outputs,), p.bias_filler)

    def shapes(self, bottom):
        inputs = math.prod(bottom[0][self.axis:])
        if inputs != self.inputs:
            raise self.error(f"expected {self.inputs} values from axis {self.axis} on, "
                             f"as in the weights of shape {self.blobs[0].shape}, got {inputs}")
        return [bottom[0][:self.axis] + (self.outputs,)]

    def compute(self, x):
        weight, bias = (*self.weights, None)[:2]
        if self.layer_param.inner_product_param.transpose:
            weight = weight.t()
        return F.linear(x.reshape(x.shape[:self.axis] + (self.inputs,)), weight, bias)
