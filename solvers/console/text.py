"""Tables as text."""

from collections.abc import Iterable, Sequence

GAP = 2     # blanks between columns, at least


def columns(rows: Iterable[Sequence[object]]) -> str:
    """Rows of cells as lines of text, without a line break at the end.

    Names in the first column are set to the left, all else to the right; each column is as wide as
    its widest cell. Raises ValueError unless all rows have as many cells.
    """
    rows = list(rows)
    widths = [max(len(str(cell)) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        name = f"{first:<{widths[0]}}" if isinstance(first, str) else f"{first:>{widths[0]}}"
        lines.append(name + "".join(f"{cell!s:>{GAP + width}}"
                                    for cell, width in zip(others, widths[1:])))
    return "\n".join(line.rstrip() for line in lines)
