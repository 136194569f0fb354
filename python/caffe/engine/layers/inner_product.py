"""InnerProduct and Embed: products with a matrix of weights."""

import math

import torch.nn.functional as F
from torch import Tensor

from .axes import canonical_axis, check_indices
from .base import TensorLayer
from .kernels.product import linear
from .registry import register
from .types import Blobs, Shapes


@register("InnerProduct")
class InnerProduct(TensorLayer):
    """Everything from `axis` on, times one row of weights for each of num_output outputs.

    The weights are (num_output, inputs), or with `transpose` (inputs, num_output).
    """

    autocast_products = True

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        p = self.layer_param.inner_product_param
        self.axis = canonical_axis(self, p.axis, bottom[0].shape)
        self.inputs, self.outputs = math.prod(bottom[0].shape[self.axis:]), p.num_output
        if not self.outputs:
            raise self.error("expected num_output of at least 1")
        shape = self.outputs, self.inputs
        self.add_param(shape[::-1] if p.transpose else shape, p.weight_filler)
        if p.bias_term:
            self.add_param((self.outputs,), p.bias_filler)

    def shapes(self, bottom: Shapes) -> Shapes:
        inputs = math.prod(bottom[0][self.axis:])
        if inputs != self.inputs:
            raise self.error("Input size incompatible with inner product parameters: expected "
                             f"{self.inputs} values from axis {self.axis} on, "
                             f"as in the weights of shape {self.blobs[0].shape}, got {inputs}; "
                             "images of another size need convolutions in place of InnerProduct")
        return [bottom[0][:self.axis] + (self.outputs,)]

    def compute(self, x: Tensor) -> Tensor:
        weight, bias = self.weights[0], (*self.weights, None)[1]
        x = x.reshape(x.shape[:self.axis] + (self.inputs,))
        if self.layer_param.inner_product_param.transpose:
            weight = weight.t()
        if self.use_plain_torch_ops:
            return F.linear(x, weight, bias)
        return linear(x, weight, bias, self.gradient_place)


@register("Embed")
class Embed(TensorLayer):
    """For each index in the bottom its row of the weights (input_dim, num_output), plus a bias:
    InnerProduct of a one-hot vector. The top has a last axis of num_output more."""

    no_gradient = (0,)
    validated_bottom = 0

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        p = self.layer_param.embed_param
        if not (p.input_dim and p.num_output):
            raise self.error(f"expected input_dim and num_output of at least 1, "
                             f"got {p.input_dim} and {p.num_output}")
        self.add_param((p.input_dim, p.num_output), p.weight_filler)
        if p.bias_term:
            self.add_param((p.num_output,), p.bias_filler)

    def shapes(self, bottom: Shapes) -> Shapes:
        return [bottom[0] + (self.layer_param.embed_param.num_output,)]

    def validate(self, bottom: Blobs) -> None:
        check_indices(self, bottom[0], self.blobs[0].shape[0], "rows of the weights")

    def compute(self, x: Tensor) -> Tensor:
        weight, *bias = self.weights
        y = F.embedding(x.long(), weight)
        return y + bias[0] if bias else y
