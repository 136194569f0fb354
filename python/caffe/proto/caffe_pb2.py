"""The message classes of caffe.proto and forks.proto, for any protobuf runtime from 5 on.

Code that protoc generates is tied to the runtime of its day, so the classes are made from the
schema's text: a reader for the part of proto2 that it uses, and protobuf's own class factory.
Exports what a generated module would: messages, enums, enum values and DESCRIPTOR.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.internal import enum_type_wrapper

if TYPE_CHECKING:
    # mypy does not see what `globals()` gets below
    def __getattr__(name: str) -> Any: ...

_Field = descriptor_pb2.FieldDescriptorProto
_TOKEN = re.compile(r'//[^\n]*|\s+|("(?:[^"\\]|\\.)*"|[\w.+-]+|[{}\[\]=;,])')


class _Reader:
    """Recursive descent over the tokens of a proto2 file."""

    def __init__(self, text: str) -> None:
        self.tokens = [t for t in _TOKEN.findall(text) if t][::-1]

    def next(self, expected: str | None = None) -> str:
        token = self.tokens.pop()
        if expected not in (None, token):
            raise SyntaxError(f"schema: expected '{expected}', found '{token}'")
        return token

    def accept(self, token: str) -> str | None:
        if self.tokens and self.tokens[-1] == token:
            return self.tokens.pop()
        return None

    def file(self, file: descriptor_pb2.FileDescriptorProto) -> None:
        while self.tokens:
            word = self.next()
            if word == "syntax":
                self.next("=")
                file.syntax = self.next().strip('"')
                self.next(";")
            elif word == "package":
                file.package = self.next()
                self.next(";")
            else:
                {"message": self.message, "enum": self.enum}[word](
                    file.message_type if word == "message" else file.enum_type)

    def message(self, siblings: Any) -> None:
        message = siblings.add(name=self.next())
        self.next("{")
        while not self.accept("}"):
            word = self.next()
            if word == "message":
                self.message(message.nested_type)
            elif word == "enum":
                self.enum(message.enum_type)
            else:
                self.field(message.field.add(label=_Field.Label.Value(f"LABEL_{word.upper()}")))

    def enum(self, siblings: Any) -> None:
        enum = siblings.add(name=self.next())
        self.next("{")
        while not self.accept("}"):
            name = self.next()
            self.next("=")
            enum.value.add(name=name, number=int(self.next()))
            self.next(";")

    def field(self, field: descriptor_pb2.FieldDescriptorProto) -> None:
        kind, field.name = self.next(), self.next()
        if f"TYPE_{kind.upper()}" in _Field.DESCRIPTOR.enum_types_by_name["Type"].values_by_name:
            field.type = _Field.Type.Value(f"TYPE_{kind.upper()}")
        else:
            field.type_name = kind
        self.next("=")
        field.number = int(self.next())
        if self.accept("["):
            while not self.accept("]"):
                self.option(field)
                self.accept(",")
        self.next(";")

    def option(self, field: descriptor_pb2.FieldDescriptorProto) -> None:
        name = self.next()
        self.next("=")
        value = self.next()
        if name == "default":
            field.default_value = value[1:-1] if value[0] == '"' else value
        else:
            setattr(field.options, name, value == "true")


def _parsed(name: str) -> Any:
    file = descriptor_pb2.FileDescriptorProto()
    _Reader(Path(__file__).with_name(name).read_text()).file(file)
    return file


def _built(file: Any, name: str) -> Any:
    file.name = name
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindFileByName(name)


def _merge(into: Any, added: Any) -> None:
    """Add the messages and enums of `added`, two messages or files; of equal names, their
    fields and values."""
    for kind in ("message_type", "nested_type", "enum_type"):
        known = {each.name: each for each in getattr(into, kind, ())}
        for each in getattr(added, kind, ()):
            if each.name in known:
                _merge(known[each.name], each)
            else:
                getattr(into, kind).append(each)
    for kind in ("field", "value"):
        getattr(into, kind, []).extend(getattr(added, kind, ()))


_caffe = _parsed("caffe.proto")
DESCRIPTOR = _built(_caffe, "caffe.proto")
"""The schema of Caffe 1.0 alone. The classes below also know what forks add (forks.proto)."""
_merge(_caffe, _parsed("forks.proto"))
_with_forks = _built(_caffe, "caffe_with_forks.proto")

for _name, _message in _with_forks.message_types_by_name.items():
    globals()[_name] = message_factory.GetMessageClass(_message)
for _name, _enum in _with_forks.enum_types_by_name.items():
    globals()[_name] = enum_type_wrapper.EnumTypeWrapper(_enum)
    globals().update((value.name, value.number) for value in _enum.values)
