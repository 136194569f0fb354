"""Where the braces of a prototxt open and close messages."""

import re
from collections.abc import Iterator
from typing import NamedTuple

# comments and texts, in which braces mean nothing, and braces
PIECES = re.compile(r"#[^\n]*|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|[{}]")
_FIELD = re.compile(r"(\w+)\s*:?\s*$")


class Block(NamedTuple):
    """A message in a prototxt: the field that it is of, and the line, from 1 on, of its first
    brace, or, once it is closed, of its last."""
    field: str
    line: int


class Around(NamedTuple):
    """The messages around a place, the outermost first, and the one that was closed last in the
    innermost of them."""
    opened: list[Block]
    closed: Block | None


def around(text: str, place: int) -> Around:
    """What braces before a place in a prototxt make of it."""
    opened: list[Block] = []
    closed: list[Block | None] = [None]
    for piece in PIECES.finditer(text, 0, place):
        line = text.count("\n", 0, piece.start()) + 1
        if piece[0] == "{":
            field = _FIELD.search(text, max(0, piece.start() - 200), piece.start())
            opened.append(Block(field[1] if field else "", line))
            closed.append(None)
        elif piece[0] == "}" and opened:
            closed.pop()
            closed[-1] = Block(opened.pop().field, line)
    return Around(opened, closed[-1])


def blocks(text: str) -> Iterator[tuple[int, int]]:
    """Where the messages of the outermost level begin and end, without their braces."""
    depth = start = 0
    for piece in PIECES.finditer(text):
        if piece[0] == "{":
            start, depth = (piece.end() if depth == 0 else start), depth + 1
        elif piece[0] == "}":
            depth -= 1
            if depth == 0:
                yield start, piece.start()
