"""Which form the labels of a folder have."""

import itertools
import shlex
import shutil
import sys
from pathlib import Path
from typing import cast

from segdata.errors import DataError
from segdata.importing import cityscapes, coco, cvat, labelme, masks, roboflow, voc
from segdata.importing.labelled import Form
from segdata.importing.tree import Tree
from segdata.lists import some

# Each is sure of itself, but the last: masks beside images may be left over by any of the others.
FORMS = {form.NAME: form for form in cast(
    list[Form], [voc, coco, labelme, cvat, roboflow, cityscapes, masks])}
MASK_KINDS = ("index", "colours", "binary")      # of masks: how they are read, see masks.reading
FORMATS = (*FORMS, *MASK_KINDS)


def forms_of(tree: Tree) -> dict[str, str]:
    """{name of a form: the file or folder that shows it} of all that fit; masks beside images only
    where nothing else does."""
    found = {name: sign for name, form in FORMS.items() if form is not masks
             and (sign := form.recognises(tree))}
    return found or {name: sign for name in ["masks"] if (sign := masks.recognises(tree))}


def recognise(tree: Tree, wanted: str = "") -> Form:
    """The form of a folder, or the one wanted. Raises DataError where none, or several, fit."""
    if wanted:
        form = masks if wanted in MASK_KINDS else FORMS[wanted]
        if wanted in MASK_KINDS and voc.recognises(tree):
            form = voc      # how masks are read, not where they lie
        if not form.recognises(tree):
            raise DataError(f"{tree.root} is not {form.TITLE}; fitting are: "
                            f"{listed(forms_of(tree)) or 'none'}")
        return cast(Form, form)
    found = forms_of(tree)
    if len(found) > 1:
        raise DataError(f"{tree.root} holds labels of several forms: {listed(found)}; say which "
                        f"by --format {' or --format '.join(found)}")
    if not found:
        raise DataError(nothing(tree))
    return FORMS[next(iter(found))]


def listed(found: dict[str, str]) -> str:
    return ", ".join(f"{FORMS[name].TITLE} ({sign})" for name, sign in found.items())


def nothing(tree: Tree) -> str:
    """What a folder without labels holds, and what there could be."""
    suffixes: dict[str, int] = {}
    for path in tree.files:
        suffixes[path.suffix.lower() or path.name] = suffixes.get(
            path.suffix.lower() or path.name, 0) + 1
    holds = [f"{count} {suffix}" for suffix, count in
             sorted(suffixes.items(), key=lambda item: -item[1])]
    forms = ", ".join(form.TITLE for form in FORMS.values())
    return (f"{tree.root}: no labels are recognised; it holds {some(holds)}. Known are {forms}. "
            "For images and masks in two folders whose names do not tell, type\n    "
            f"{shlex.join([*program(), 'import'])} SRC DST --images FOLDER --masks FOLDER")


def conversion(folder: Path) -> str:
    """Lines with the command that imports the labels of a folder, '' where none are recognised."""
    try:
        found = forms_of(Tree(folder))
    except (DataError, OSError):
        return ""
    if not found:
        return ""
    base = folder if folder.name not in ("", "..") else folder.resolve()
    target = next(path for number in itertools.count(1) if not (
        path := Path(f"{base}-voc{number if number > 1 else ''}")).exists())
    command = [*program(), "import", str(folder), str(target)]
    if len(found) > 1:
        command += ["--format", next(iter(found))]
    return (f"\nIts labels are recognised: {listed(found)}. This makes a complete folder of its "
            f"images and labels:\n    {shlex.join(command)}\n"
            f"Then give --data {shlex.quote(str(target))}")


def program() -> list[str]:
    """The command `fcn` as it can be typed here."""
    beside = Path(sys.executable).with_name("fcn")
    if shutil.which("fcn"):
        return ["fcn"]
    if beside.exists():
        return [str(beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd())
                    else beside)]
    return [sys.executable, "-m", "fcn"]
