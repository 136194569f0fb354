"""Settings of solver and net prototxts with which no training can succeed, or hardly any."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from ...errors import CaffeError, LayerError, did_you_mean
from . import rates

if TYPE_CHECKING:
    from ...proto import caffe_pb2
    from ..program import Program

FLOATS = FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE
NETS = "net_param", "train_net_param", "test_net_param"     # looked at when they are built


def check(param: caffe_pb2.SolverParameter) -> None:
    """Raise CaffeError for a SolverParameter that its first update, or its display, would fail
    for."""
    check_finite(param)
    if param.HasField("lr_policy"):
        rates.check(param)
    if param.average_loss < 1:
        raise CaffeError(f"expected average_loss of at least 1, got {param.average_loss}")


def check_regularization(param: caffe_pb2.SolverParameter, program: Program) -> None:
    """Raise CaffeError for a regularization_type that is unknown, and that the weights of the
    program that learns use."""
    kinds, given = ("L1", "L2"), param.regularization_type
    used = any(param.weight_decay * spec.decay_mult for _, spec in program.learnable)
    if used and given not in kinds:
        raise CaffeError(f"unknown regularization_type '{given}'" + did_you_mean(given, kinds))


def check_finite(param: caffe_pb2.SolverParameter) -> None:
    """Raise CaffeError for a number in a SolverParameter that is infinite or not a number."""
    for field, values in param.ListFields():
        if field.name not in NETS:
            _check_field(field, values)


def doubts(param: caffe_pb2.SolverParameter) -> Iterator[str]:
    """What a SolverParameter says that trains as in Caffe, and is hardly meant: a sentence each."""
    given = {field.name for field, _ in param.ListFields()}
    if param.base_lr < 0:
        yield f"base_lr is {param.base_lr:g}: weights follow the gradient, so that the loss grows"
    elif not param.base_lr:
        yield f"base_lr is {'0' if 'base_lr' in given else 'missing'}: no weight learns"
    if param.weight_decay < 0:
        yield f"weight_decay is {param.weight_decay:g}: weights grow in place of decaying"
    if param.clip_gradients == 0:
        yield "clip_gradients is 0: all gradients become 0; leave it out for no clipping"
    if param.iter_size < 1:
        yield (f"iter_size is {param.iter_size}: no pass is run, and the weights "
               + ("learn nothing" if param.iter_size else "become nan"))
    if param.delta < 0 and param.type not in ("SGD", "Nesterov"):      # which have none
        yield f"delta is {param.delta:g}: where it outweighs the history, updates change their sign"
    if param.test_interval and not param.test_iter:
        yield "test_interval without test_iter: nothing is tested"
    if 0 in param.test_iter:
        yield "test_iter is 0: that test net runs only where a script runs it"
    yield from _doubts_of_policy(param)


def _doubts_of_policy(param: caffe_pb2.SolverParameter) -> Iterator[str]:
    policy, steps = param.lr_policy, list(param.stepvalue)
    falls = policy in ("step", "exp") or (policy == "multistep" and steps)
    if falls and not param.gamma:
        first = "from the second iteration on" if policy == "exp" else "at the first step"
        yield f"gamma is missing, or 0: lr_policy '{policy}' then sets the rate to 0 {first}"
    if policy == "multistep" and not steps:
        yield "lr_policy 'multistep' without a stepvalue: the rate stays base_lr"
    if policy == "multistep" and steps != sorted(steps):
        yield (f"the stepvalue fields {steps} are not in order: each is looked at only once those "
               "before it have been passed")
    if policy in ("inv", "poly") and not param.power:
        yield f"power is missing, or 0: lr_policy '{policy}' then leaves the rate at base_lr"
    if policy == "inv" and not param.gamma:
        yield "gamma is missing, or 0: lr_policy 'inv' then leaves the rate at base_lr"


def check_multipliers(param: caffe_pb2.NetParameter) -> None:
    """Raise LayerError for an lr_mult, decay_mult or loss_weight in a NetParameter that is
    infinite or not a number."""
    for layer in param.layer:
        try:
            for field, values in layer.ListFields():
                if field.name in ("param", "loss_weight"):
                    _check_field(field, values)
        except CaffeError as error:
            raise LayerError(f"layer '{layer.name}' ({layer.type}): {error}") from None


def _check_field(field: FieldDescriptor, values: Any) -> None:
    entries: list[Any] = [values] if isinstance(values, (int, float, str, bytes, Message)) \
        else list(values)
    for value in entries:
        if isinstance(value, Message):
            for inner, content in value.ListFields():
                _check_field(inner, content)
        elif field.cpp_type in FLOATS and not math.isfinite(value):
            raise CaffeError(f"expected a finite number for {field.name}, got {value}")
