"""Reading prototxts: text to messages, upgraded to the current form, with errors that say where."""

import re
from collections.abc import Iterable
from typing import Any

from google.protobuf import text_format
from google.protobuf.message import Message

from ..errors import PrototxtError, did_you_mean
from ..proto import caffe_pb2
from . import braces, forks
from . import text as texts
from .reading import reading
from .upgrade import upgrade_net, upgrade_solver

_UNKNOWN_VALUE = re.compile(r'Enum type "caffe\.([\w.]+)" has no value named (\w+)')
_UNKNOWN_FIELD = re.compile(r'Message type "(?:caffe\.)?(\w+)" has no field named "(\w+)"')

# {message: (the one that may have been given in its place, what to say then)}
_MISTAKEN = {
    "SolverParameter": ("NetParameter", ": it is the prototxt of a net, expected that of a solver"),
    "NetParameter": ("SolverParameter", ": it is the prototxt of a solver, expected that of a net")}


def read_net(path: str) -> caffe_pb2.NetParameter:
    """The NetParameter in a prototxt, older formats upgraded.

    Bytes that are not UTF-8 are kept, see formats.text. Raises PrototxtError naming file, line and
    column, or the nearest known field or value.
    """
    with reading(path, "prototxt", PrototxtError):
        param = parse(texts.read_text(path), caffe_pb2.NetParameter(), path)
        if not param.ListFields():
            raise PrototxtError(f"{path}: the file is empty, expected a net")
        try:
            upgrade_net(param)
        except PrototxtError as error:
            raise PrototxtError(f"{path}: {error}") from None
        return param


def read_solver(path: str) -> caffe_pb2.SolverParameter:
    """The SolverParameter in a prototxt, older formats upgraded. Raises PrototxtError."""
    with reading(path, "prototxt", PrototxtError):
        param = parse(texts.read_text(path), caffe_pb2.SolverParameter(), path)
        upgrade_solver(param, str(path))
        return param


def parse(text: str, message: Message, source: str = "<string>") -> Message:
    """Fill `message` from prototxt `text` and return it; `source` names the text in errors."""
    try:
        return text_format.Parse(text, message)
    except text_format.ParseError as error:
        if "\0" in text:
            raise PrototxtError(f"{source}: it is a binary file, such as a caffemodel; expected a "
                                "prototxt, which is text") from None
        raise PrototxtError(_explain(error, source, text, message)) from None
    except Exception as error:
        raise PrototxtError(f"{source}: not a prototxt: {error or type(error).__name__}") from error


def _explain(error: text_format.ParseError, source: str, text: str, root: Message) -> str:
    line, column = error.GetLine(), error.GetColumn()
    where = f"{source}:{line}:{column}" if line else f"{source}"
    # the runtime starts its message with the place, which stands in `where` already
    what = re.sub(r"^\d+:\d+ : ", "", str(error)).strip()
    if "${" in "".join(text.split("\n")[line - 1:line] if line else ()):
        what += " (${...} is a placeholder, in whose place a script of the authors writes a value)"
    layer = forks.layer_at(text, line) if line else None
    unknown = _UNKNOWN_FIELD.search(what)
    if unknown:
        message, field = unknown.groups()
        what = f"{message} has no field '{field}'"
        other, needed = _MISTAKEN.get(message, ("", ""))
        owner = forks.whose(layer[1]) if layer and message.endswith("LayerParameter") else ""
        what += _misplaced_brace(text, _place(text, line, column), field, root) or (
            needed if field in _fields(other) else owner or _instead(field, _fields(message)))
    elif what.endswith("got }.") or what == 'Expected "}".':
        what += _brace_too_many_or_few(text, _place(text, line, column))
    unknown = _UNKNOWN_VALUE.search(what)
    if unknown:
        kind, value = unknown.groups()
        what = f"{kind} has no value '{value}'" + _instead(value, _values(kind))
    place = f" layer '{layer[0]}' ({layer[1]}):" if layer and any(layer) else ""
    return f"{where}:{place} {what}"


def _place(text: str, line: int, column: int) -> int:
    """Where a line and a column, both from 1 on, are in a text."""
    return sum(len(each) + 1 for each in text.split("\n")[:line - 1]) + column - 1


def _misplaced_brace(text: str, place: int, field: str, root: Message) -> str:
    """Which brace may have made a field one of the wrong message: one that closed too early the
    message before it, or one that is missing, so that the message around it is still open."""
    opened, closed = braces.around(text, place)
    kinds = [root.DESCRIPTOR]
    for block in opened:
        kinds += filter(None, [_kind(kinds[-1], block.field)])
    if len(kinds) <= len(opened):
        return ""
    before = _kind(kinds[-1], closed.field) if closed else None
    if closed and before and field in before.fields_by_name:
        return (f"; {before.name} has it: was '{closed.field}' closed too early, by the }} of line "
                f"{closed.line}?")
    for kind, block in reversed([*zip(kinds, opened)]):
        if field in kind.fields_by_name:
            return (f"; {kind.name} has it: is the }} missing of '{block.field}', which begins on "
                    f"line {block.line}?")
    return ""


def _kind(kind: Any, field: str) -> Any:
    """Of which kind a field of a kind of message is, if it is one of messages."""
    return kind.fields_by_name[field].message_type if field in kind.fields_by_name else None


def _brace_too_many_or_few(text: str, place: int) -> str:
    """Which brace may be meant where a } was found or expected in the wrong place."""
    opened, closed = braces.around(text, place)
    if opened:
        return f" Is the }} missing of '{opened[0].field}', which begins on line {opened[0].line}?"
    return (f" '{closed.field}' was closed on line {closed.line} already: is a }} before it one "
            "too many?" if closed else "")


def _instead(name: str, known: Iterable[str]) -> str:
    """Which fork has what is unknown here, or the nearest name that is known."""
    return forks.whose(name) or did_you_mean(name, known)


def _values(kind: str) -> Iterable[str]:
    """The names of an enum's values; `kind` is NAME or MESSAGE.NAME."""
    message, _, name = kind.rpartition(".")
    scope = getattr(caffe_pb2, message or "NetParameter").DESCRIPTOR
    scope = scope if message else scope.file
    return scope.enum_types_by_name[name].values_by_name


def _fields(message: str) -> Iterable[str]:
    known = getattr(caffe_pb2, message, None)
    return known.DESCRIPTOR.fields_by_name if known else ()
