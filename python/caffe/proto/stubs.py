"""Writes what is known without torch of schema and engine: `python -m caffe.proto.stubs`.

For editors and type checkers, caffe_pb2.pyi has the messages, and layer_stubs.pyi what NetSpec's
`layers` and `params` take; layer_types.py has the names of the layer types. A test holds them
against what there is.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from ..engine.layers import layer_type_list
from ..net_spec import own_parameter
from . import caffe_pb2

_HEAD = "# Written by `python -m caffe.proto.stubs`; a new schema or layer needs it\n"
_SCALARS = {FieldDescriptor.CPPTYPE_STRING: "str", FieldDescriptor.CPPTYPE_BOOL: "bool",
            FieldDescriptor.CPPTYPE_FLOAT: "float", FieldDescriptor.CPPTYPE_DOUBLE: "float"}
# fields of LayerParameter that layers of all types, and of these, take beside their own
_GENERAL, _ALSO = ("transform_param", "loss_param"), {"SoftmaxWithLoss": "softmax_param"}
_PARAMETER = "Parameter"
_SCHEMA = caffe_pb2.NetParameter.DESCRIPTOR.file     # Caffe's and the forks'


def messages() -> str:
    """The text of caffe_pb2.pyi."""
    lines = [_HEAD + """from typing import Any, ClassVar, TypeVar

from google.protobuf.descriptor import Descriptor, FileDescriptor
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import Message

_T = TypeVar("_T")

class _Messages(list[_T]):
    def add(self, **fields: Any) -> _T: ...

DESCRIPTOR: FileDescriptor"""]
    for enum in _SCHEMA.enum_types_by_name.values():
        lines += _enum(enum, "{}")
    for message in _SCHEMA.message_types_by_name.values():
        lines += ["", *_message(message)]
    return "\n".join(lines) + "\n"


def layers() -> str:
    """The text of layer_stubs.pyi."""
    lines = [_HEAD + """from collections.abc import Sequence
from typing import Any

from .net_spec import Top
from .proto import caffe_pb2

class _Layers:"""]
    lines += map(_layer, layer_type_list())
    lines += ["", "class _Parameters:"]
    lines += [f"    {name.removesuffix(_PARAMETER)}: type[caffe_pb2.{name}]"
              for name in _SCHEMA.message_types_by_name if name.endswith(_PARAMETER)]
    return "\n".join([*lines, "", "layers: _Layers", "params: _Parameters"]) + "\n"


def _enum(enum: EnumDescriptor, form: str) -> list[str]:
    return [f"{enum.name}: {form.format('EnumTypeWrapper')}",
            *(f"{value}: {form.format('int')}" for value in enum.values_by_name)]


def _message(message: Descriptor) -> list[str]:
    body = ["DESCRIPTOR: ClassVar[Descriptor]"]
    for nested in message.nested_types:
        body += _message(nested)
    for enum in message.enum_types:
        body += _enum(enum, "ClassVar[{}]")
    body += [f"{field.name}: {_held(field)}" for field in message.fields]
    given = ["self", "*", *(f"{field.name}: Any = ..." for field in message.fields)]
    body.append(f"def __init__({', '.join(given if message.fields else given[:1])}) -> None: ...")
    return [f"class {message.name}(Message):", *("    " + line for line in body)]


def _held(field: FieldDescriptor) -> str:
    """The type of a field as a message holds it."""
    kind = _scalar(field)
    if not field.is_repeated:
        return kind
    return f"_Messages[{kind}]" if field.message_type else f"list[{kind}]"


def _scalar(field: FieldDescriptor) -> str:
    if field.message_type:
        return field.message_type.full_name.removeprefix("caffe.")
    return "bytes" if field.type == FieldDescriptor.TYPE_BYTES else \
        _SCALARS.get(field.cpp_type, "int")


def _layer(layer_type: str) -> str:
    """The method of NetSpec's `layers` that makes a layer of a type."""
    own = own_parameter(layer_type)
    general = {field.name: field for field in caffe_pb2.LayerParameter.DESCRIPTOR.fields
               if field.name not in ("type", "bottom", "top")
               and (not field.name.endswith("_param")
                    or field.name in (*_GENERAL, _ALSO.get(layer_type), own))}
    fields = {field.name: field for field in general[own].message_type.fields} if own else {}
    fields.update(general)      # a name that both have is the layer's
    given = [f"{name}: {_given(field)} = {_default(field)}" for name, field in fields.items()]
    return (f"    def {layer_type}(self, *bottom: Top, ntop: int = 1, in_place: bool = False, "
            + ", ".join(given) + ") -> Any: ...")


def _given(field: FieldDescriptor) -> str:
    """The type of a field as NetSpec takes it."""
    kind = f"dict[str, Any] | caffe_pb2.{_scalar(field)}" if field.message_type else \
        "int | str" if field.enum_type else _scalar(field)
    return f"{kind} | Sequence[{kind}]" if field.is_repeated else kind


def _default(field: FieldDescriptor) -> str:
    if not field.has_default_value:
        return "..."
    value = field.default_value
    if field.enum_type:
        value = field.enum_type.values_by_number[value].name
    return json.dumps(value) if isinstance(value, str) else repr(value)


def types() -> str:
    """The text of layer_types.py."""
    return _HEAD + "LAYER_TYPES = [\n" + "".join(f'    "{name}",\n'
                                                 for name in layer_type_list()) + "]\n"


STUBS = {"layer_types.py": types, "proto/caffe_pb2.pyi": messages, "layer_stubs.pyi": layers}

if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m caffe.proto.stubs", description=__doc__,
                            formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for name, text in STUBS.items():
        (Path(__file__).parents[1] / name).write_text(text())
