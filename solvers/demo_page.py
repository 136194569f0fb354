"""The page of the demo: what was done, what came of it, what each stride sees, what to do next."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

from segdata.files import replacing

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 75rem; margin: 0 auto;
       padding: 1rem }
h1, h2 { line-height: 1.2 } h2 { margin-top: 2.5rem }
.wide { overflow-x: auto } .wide img { display: block; max-width: 100%; min-width: 40rem }
table { border-collapse: collapse } td, th { padding: .25rem .7rem; text-align: right;
       border-bottom: 1px solid #ddd; white-space: nowrap } td:first-child, th:first-child
       { text-align: left; padding-left: 0 } pre { background: #f3f3f3; padding: .7rem;
       overflow-x: auto } figure { margin: 1rem 0 } figcaption, .told { max-width: 45rem }
"""


def write(path: Path, title: str, parts: Iterable[tuple[str, str]]) -> Path:
    """Write a page that needs nothing beside itself: a heading and HTML for each part."""
    sections = "\n".join(f"<h2>{escape(heading)}</h2>\n{body}" for heading, body in parts)
    with replacing(path) as temporary:
        temporary.write_text(
            '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<link rel="icon" href="data:,">\n<title>{escape(title)}</title>\n'
            f"<style>{STYLE}</style>\n<h1>{escape(title)}</h1>\n{sections}\n</html>\n",
            encoding="utf-8")
    return path


def told(text: str) -> str:
    return f'<p class="told">{escape(text)}</p>'


def listed(items: Iterable[str]) -> str:
    return f'<ol class="told">{"".join(f"<li>{escape(item)}</li>" for item in items)}</ol>'


def table(rows: Iterable[Sequence[str]]) -> str:
    """The first row is the heading."""
    head, *body = rows
    cells = [f"<tr>{''.join(f'<th>{escape(cell)}</th>' for cell in head)}</tr>"]
    cells += [f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in body]
    return f'<div class="wide"><table>{"".join(cells)}</table></div>'


def picture(path: Path, caption: str) -> str:
    """A PNG, in the page itself."""
    data = base64.b64encode(path.read_bytes()).decode()
    return (f'<figure><div class="wide"><img alt="{escape(caption)}" '
            f'src="data:image/png;base64,{data}"></div>'
            f"<figcaption>{escape(caption)}</figcaption></figure>")


def commands(steps: Mapping[str, str]) -> str:
    """{what for: command}."""
    return "".join(f"{told(purpose)}<pre>{escape(command)}</pre>"
                   for purpose, command in steps.items())
