"""Settings of solver and net prototxts with which no training can succeed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from ...errors import CaffeError, LayerError

if TYPE_CHECKING:
    from ...proto import caffe_pb2

FLOATS = FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE
NETS = "net_param", "train_net_param", "test_net_param"     # looked at when they are built


def check_finite(param: caffe_pb2.SolverParameter) -> None:
    """Raise CaffeError for a number in a SolverParameter that is infinite or not a number."""
    for field, values in param.ListFields():
        if field.name not in NETS:
            _check_field(field, values)


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
