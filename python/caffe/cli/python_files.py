"""What in a Python file of a Caffe project was written for Python 2, old NumPy or old pycaffe."""

from __future__ import annotations

import ast
import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

# names of Python 2, of old NumPy and of old pycaffe, with what is written instead
_MODULES = {
    "cPickle": "pickle", "StringIO": "io", "cStringIO": "io", "Queue": "queue",
    "ConfigParser": "configparser", "urllib2": "urllib.request", "urlparse": "urllib.parse",
    "Tkinter": "tkinter", "commands": "subprocess", "httplib": "http.client",
    "HTMLParser": "html.parser", "copy_reg": "copyreg", "__builtin__": "builtins",
    "thread": "_thread", "sklearn.cross_validation": "sklearn.model_selection",
    "scipy.misc": "PIL.Image or skimage (SciPy dropped its image functions)"}
_NAMES = {"xrange": "range", "unicode": "str", "raw_input": "input", "basestring": "str",
          "long": "int", "unichr": "chr", "reduce": "functools.reduce", "execfile": "exec",
          "reload": "importlib.reload", "cmp": "a key function", "file": "open"}
_ATTRIBUTES = {
    "iteritems": "items", "itervalues": "values", "iterkeys": "keys", "has_key": "in",
    "maxint": "sys.maxsize", "izip": "zip", "imap": "map", "ifilter": "filter",
    "getcwdu": "os.getcwd", "im_func": "__func__", "im_self": "__self__",
    "func_name": "__name__", "set_phase_test": "caffe.Net(file, caffe.TEST)",
    "set_phase_train": "caffe.Net(file, caffe.TRAIN)"}
_NUMPY = {"float": "float", "int": "int", "bool": "bool", "object": "object", "str": "str",
          "long": "int", "float_": "np.float64", "unicode": "str", "product": "np.prod",
          "cumproduct": "np.cumprod", "in1d": "np.isin", "alltrue": "np.all", "NaN": "np.nan",
          "Inf": "np.inf", "asscalar": "array.item()"}
_LAZY = {"map", "filter", "zip"}


def to_change(content: bytes, of_project: set[str]) -> list[str]:
    """What of a program is to change, each with its line, in their order; [] for nothing.

    of_project : names of the project's modules and folders, which need not be installed
    """
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        return [(f"line {line}: " if line else "") + f"not Python 3: {error.args[0]}"]
    own = _defined(tree)
    found = {(node.lineno, why) for node in ast.walk(tree)
             if isinstance(node, (ast.expr, ast.stmt))
             for why in (*_old_name(node, own), *_old_form(node, own))}
    found.update(_missing_modules(tree, of_project))
    return [f"line {line}: {why}" for line, why in sorted(found)]


def imported(content: bytes, path: Path, files: Collection[Path]) -> set[Path]:
    """Which of a project's `files` the program `content`, the file `path`, imports; those of a
    name that Python finds elsewhere are not meant, unless they lie beside it."""
    with suppress(SyntaxError, ValueError):
        tree = ast.parse(content)
        return {found for name, folder in _modules(tree, path)
                if (found := _file_of(name, folder, path, files))}
    return set()


def _modules(tree: ast.AST, path: Path) -> Iterator[tuple[str, Path | None]]:
    """(dotted name, folder that it is seen from) of what a program imports; None for the folder
    of what is sought wherever Python looks."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                yield from ((alias.name, None) for alias in aliases)
            case ast.ImportFrom(module=module, names=aliases, level=level):
                folder = path.parents[min(level, len(path.parents)) - 1] if level else None
                yield from ([(module, folder)] if module else [])
                yield from ((".".join(filter(None, [module, alias.name])), folder)
                            for alias in aliases)


def _file_of(name: str, folder: Path | None, path: Path, files: Collection[Path]) -> Path | None:
    """The file of a project that an import in `path` reads, if any: the nearest of the name."""
    parts = name.split(".")
    endings = tuple(f"/{'/'.join(each)}.py" for each in (parts, [*parts, "__init__"]))
    found = [file for file in files if f"/{file.as_posix()}".endswith(endings)]
    places = [str(place) + ending for place in [folder or path.parent] for ending in endings]
    beside = [file for file in found if f"{file}" in places]
    if beside or folder or not found or _is_elsewhere(parts[0], files):
        return next(iter(beside), None)
    return max(found, key=lambda file: len(os.path.commonpath([file, path])))


def _is_elsewhere(module: str, files: Collection[Path]) -> bool:
    """Whether Python finds a module, and it is none of a project's `files`."""
    try:
        spec = find_spec(module)
    except ValueError:      # it is loaded, as __main__ is, and no file is known of it
        return True
    return spec is not None and (spec.origin is None or Path(spec.origin).resolve() not in {
        file.resolve() for file in files})


def _defined(tree: ast.AST) -> set[str]:
    """The names that a program defines or imports itself."""
    own = set()
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.arg(arg=name) \
                    | ast.Name(id=name, ctx=ast.Store()):
                own.add(name)
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                own.update(alias.asname or alias.name for alias in names)
    return own


def _missing_modules(tree: ast.AST, of_project: set[str]) -> Iterator[tuple[int, str]]:
    """(line, why) of modules that are imported, are not installed, and are not the project's;
    imports that a program tries are left out."""
    tried = {id(node) for block in ast.walk(tree) if isinstance(block, ast.Try)
             for node in ast.walk(block)}
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                names = [alias.name for alias in aliases]
            case ast.ImportFrom(module=str(module), level=0):
                names = [module]
            case _:
                continue
        for name in names:
            top = name.partition(".")[0]
            known = top in _MODULES or top in of_project
            if not known and id(node) not in tried and not installed(top):
                yield node.lineno, f"the module {top} is not installed here"


def installed(module: str) -> bool:
    """Whether Python finds a module, which is not imported."""
    try:
        return find_spec(module) is not None
    except ValueError:      # it is loaded, as __main__ is, and no file is known of it
        return True


def _old_name(node: ast.AST, own: set[str]) -> Iterator[str]:
    """What about a node of a program is a name of Python 2, old NumPy or old pycaffe, unless it is
    one of its `own`."""
    match node:
        case ast.Import(names=names):
            yield from (f"import {alias.name} → {_MODULES[alias.name]}"
                        for alias in names if alias.name in _MODULES)
        case ast.ImportFrom(module=str(module), names=names, level=0):
            if module in _MODULES:
                yield f"from {module} import → {_MODULES[module]}"
            yield from (f"{module}.{alias.name} → {_ATTRIBUTES[alias.name]}"
                        for alias in names if module == "itertools" and alias.name in _ATTRIBUTES)
        case ast.Name(id=name, ctx=ast.Load()) if name in _NAMES and name not in own:
            yield f"{name} → {_NAMES[name]}"
        case ast.Attribute(value=ast.Name(id="np" | "numpy"), attr=name) if name in _NUMPY:
            yield f"np.{name} → {_NUMPY[name]} (NumPy dropped it)"
        case ast.Attribute(attr=name) if name in _ATTRIBUTES and name not in own:
            yield f".{name} → {_ATTRIBUTES[name]}"


def _old_form(node: ast.AST, own: set[str]) -> Iterator[str]:
    """What about a node of a program is written as in Python 2."""
    match node:
        case ast.BinOp(left=ast.Name(id="print"), op=ast.RShift()):
            yield "print >> file → print(..., file=file)"
        case ast.Call(func=ast.Attribute(attr="next"), args=[], keywords=[]) if "next" not in own:
            yield ".next() → next(...)"
        case ast.Call(func=ast.Attribute(value=ast.Name(id="yaml"), attr="load"), args=[_],
                      keywords=[]):
            yield "yaml.load(text) → yaml.safe_load(text)"
        case ast.Subscript(value=ast.Call(func=ast.Name(id=name))) if name in _LAZY - own:
            yield f"{name}(...)[i] → list({name}(...))[i]"
        case ast.Subscript(value=ast.Call(func=ast.Attribute(attr="keys" | "values" | "items"),
                                          args=[])):
            yield "d.keys()[i] → list(d.keys())[i]"
        case ast.Call(func=ast.Name(id="range"), args=arguments) if any(map(_divides, arguments)):
            yield "a / b gives a fraction → a // b"
        case ast.Subscript(slice=index) if _divides(index):
            yield "a / b gives a fraction → a // b"


def _divides(node: ast.AST) -> bool:
    """Whether a number is that of a division, outside of calls."""
    match node:
        case ast.BinOp(op=ast.Div()):
            return True
        case ast.BinOp(left=left, right=right):
            return _divides(left) or _divides(right)
        case ast.Slice(lower=lower, upper=upper, step=step):
            return any(part is not None and _divides(part) for part in (lower, upper, step))
        case ast.Tuple(elts=parts):
            return any(map(_divides, parts))
    return False
