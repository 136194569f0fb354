"""The page of the demo: what was done, what came of it, what each stride sees, what to do next."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

from fcn.solvers.report.style import document
from segdata.files import replacing


def write(path: Path, title: str, sections: Iterable[str]) -> Path:
    """Write a page that needs nothing beside itself, of sections in HTML."""
    header = f"<header><p class='kind'>Demo</p><h1>{escape(title)}</h1></header>"
    with replacing(path) as temporary:
        temporary.write_text(document(title, header + "".join(sections), "make demo"),
                             encoding="utf-8")
    return path


def paragraph(text: str) -> str:
    return f"<p class='lead'>{escape(text)}</p>"


def listed(items: Iterable[str]) -> str:
    return f"<ol>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ol>"


def table(rows: Iterable[Sequence[str]]) -> str:
    """The first row is the heading."""
    head, *body = rows
    lines = ["".join(f"<th>{escape(cell)}</th>" for cell in head)]
    lines += ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in body]
    content = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<div class='scroll'><table class='numbers'>{content}</table></div>"


def picture(path: Path, title: str) -> str:
    """A PNG, in the page itself."""
    data = base64.b64encode(path.read_bytes()).decode()
    return (f'<figure><div class="scroll"><img alt="{escape(title)}" '
            f'src="data:image/png;base64,{data}"></div></figure>')


def commands(steps: Mapping[str, str]) -> str:
    """{what for: command}."""
    return "".join(f"<p>{escape(purpose)}</p><pre>{escape(command)}</pre>"
                   for purpose, command in steps.items())
