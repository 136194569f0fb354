"""Runs notebooks with plain Python: `python tests/support/notebooks.py NOTEBOOK` writes what their
cells print into them."""

import argparse
import ast
import contextlib
import io
import json
from pathlib import Path


def outputs(path):
    """What each code cell of a notebook prints and evaluates to, run one after the other."""
    names = {"__name__": "__main__"}
    return [_run("".join(cell["source"]), names) for cell in _code(json.loads(path.read_text()))]


def stored(path):
    """What the notebook holds as the text of each code cell's outputs."""
    return ["".join("".join(output.get("text") or output["data"]["text/plain"])
                    for output in cell["outputs"]) for cell in _code(json.loads(path.read_text()))]


def _code(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def _run(source, names):
    *body, last = ast.parse(source).body
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        if isinstance(last, ast.Expr):
            exec(compile(ast.Module(body, []), "cell", "exec"), names)
            value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
            printed.write("" if value is None else repr(value))
        else:
            exec(compile(ast.Module([*body, last], []), "cell", "exec"), names)
    return printed.getvalue()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebook", type=Path)
    notebook_path = parser.parse_args().notebook.resolve()
    notebook = json.loads(notebook_path.read_text())
    texts = outputs(notebook_path)
    for number, (cell, text) in enumerate(zip(_code(notebook), texts), 1):
        cell["execution_count"] = number
        cell["outputs"] = [{"output_type": "stream", "name": "stdout",
                            "text": text.splitlines(True)}] if text else []
    notebook_path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
