"""Writing imported labels as a folder in VOC layout, whole or not at all."""

import json
import os
import re
import shutil
import tempfile
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from segdata.classes import VOID
from segdata.download.archives import extract
from segdata.errors import DataError
from segdata.files import new_folder, recover
from segdata.importing import report
from segdata.importing.labelled import Labelled, Request, Written, reading
from segdata.importing.numbering import Numbering, folds, split_names
from segdata.importing.photographs import fitted, geometry, write_photograph
from segdata.importing.recognise import FORMS, MASK_KINDS, recognise
from segdata.importing.threads import for_each
from segdata.importing.tree import Tree
from segdata.lists import counted, latin1, printable, some
from segdata.palette import label_image

RECORD = "import.json"      # in report/: what was imported; it marks a folder as imported


def import_labels(request: Request) -> str:
    """Import labels as `request` says; returns the report. Raises DataError, and writes nothing,
    where that is not possible; the source is never changed."""
    recover(request.target)
    check_target(request)
    with tempfile.TemporaryDirectory() as scratch:
        source = unpacked(request.source, Path(scratch) / "archive")
        try:
            return import_tree(request, source, Path(scratch))
        except DataError as error:
            raise DataError(shown(str(error), source, request)) from None


def shown(text: str, source: Path, request: Request) -> str:
    """A text in which what lies in an archive is named as if it were a folder."""
    return text.replace(str(source), str(request.source))


def unpacked(source: Path, folder: Path) -> Path:
    """The source; of an archive, as many tools export it, the folder to which it is unpacked."""
    if not source.is_file() or not zipfile.is_zipfile(source):
        return source
    extract(source, "", folder)
    return folder


def import_tree(request: Request, source: Path, scratch: Path) -> str:
    """Import what lies in the folder `source`; returns the report."""
    tree = Tree(source, also=request.options.images)
    form = FORMS["masks"] if request.options.masks else recognise(tree, request.form)
    kind = request.form if request.form in MASK_KINDS else ""
    with reading(tree.root):
        labelled = form.read(tree, replace(request.options, kind=kind, scratch=scratch))
        labelled.values = {value: printable(name) for value, name in labelled.values.items()}
    if not labelled.samples:
        raise DataError("\n  ".join([f"{tree.root}: {form.TITLE}, but no image has a label",
                                     *labelled.problems]))
    numbering = Numbering(labelled.values)
    with new_folder(request.target, replace=request.fresh) as folder:
        written = write_samples(labelled, numbering, folder, tree)
        text = finish(request, folder, labelled, numbering, written, form.TITLE)
        text = printable(shown(text, source, request))
        (folder / "report" / "report.txt").write_text(text + "\n", encoding="utf-8")
        return text


def check_target(request: Request) -> None:
    """Raise DataError unless the target can be written without losing or changing anything."""
    target = request.target.resolve()
    for source in filter(None, (request.source, request.options.images, request.options.masks)):
        if target.is_relative_to(source.resolve()) or source.resolve().is_relative_to(target):
            how = ("are the same folder" if target == source.resolve() else
                   "lie one in the other")
            raise DataError(f"{request.target} and {source} {how}; the source is never changed: "
                            "choose a folder outside it")
    if not target.exists() or target.is_dir() and not any(target.iterdir()):
        return
    imported = (target / "report" / RECORD).exists()
    if not request.fresh or not imported:
        raise DataError(f"{request.target} exists already; " + (
            "--fresh replaces it" if imported else "it holds no import: choose another folder"))


# samples

def write_samples(labelled: Labelled, numbering: Numbering, folder: Path,
                  tree: Tree) -> list[Written]:
    """Write images and labels below `folder`, those that can be used."""
    for name in ("JPEGImages", "SegmentationClass"):
        (folder / name).mkdir(parents=True)
    distinct = dict.fromkeys(sample.image for sample in labelled.samples)
    names = distinct_names(distinct, tree)
    chosen = {sample.image: Written(sample, names[sample.image]) for sample in labelled.samples}
    if twice := len(labelled.samples) - len({(one.image, one.split) for one in labelled.samples}):
        labelled.problems.append(f"{counted(twice, 'image')} labelled twice or more: the last "
                                 "labels count")
    renamed = [f"{tree.relative(path)} as {name}" for path, name in names.items()
               if name != path.stem]
    if renamed:
        labelled.problems.append(f"{counted(len(renamed), 'sample')} with another name than the "
                                 "image's, which is taken or has signs that not all systems allow: "
                                 f"{some(renamed)}")

    def write(one: Written) -> None:
        try:
            write_sample(one, numbering, folder)
        except DataError as error:
            one.problem = str(error)

    written = list(chosen.values())
    for_each(write, written, "importing")
    return written


def write_sample(one: Written, numbering: Numbering, folder: Path) -> None:
    image, source = one.sample.image, one.sample.source
    shape = geometry(image)
    with reading(source):
        stored, one.done = fitted(one.sample.label(), shape, image, source)
    try:
        label = numbering(stored)
    except DataError as error:
        raise DataError(f"{source}: {error}") from None
    if (label == VOID).all():
        raise DataError(f"{source}: its label is void throughout")
    with reading(image):
        one.doubt = write_photograph(image, folder / "JPEGImages", one.name)
    label_image(label, numbering.names).save(folder / "SegmentationClass" / f"{one.name}.png")
    one.size, one.pixels = shape.size, np.bincount(label.ravel(), minlength=VOID + 1)


def distinct_names(images: Iterable[Path], tree: Tree) -> dict[Path, str]:
    """{image: name of its sample}: the stem, with its folders where another has it, then a number;
    without what file systems do not allow, and distinct whatever their case."""
    stems = Counter(clean(path.stem).lower() for path in images)
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for path in images:
        wished = clean(path.stem)
        if stems[wished.lower()] > 1:
            wished = clean("_".join(tree.relative(path).with_suffix("").parts))
        name, number = wished, 2
        while name.lower() in taken:
            name, number = f"{wished}_{number}", number + 1
        taken.add(name.lower())
        names[path] = name
    return names


def clean(name: str) -> str:
    return re.sub(r'[\x00-\x1f/\\:*?"<>|]', "_", latin1(name)).strip(" .") or "image"


# lists, names and the report

def finish(request: Request, folder: Path, labelled: Labelled, numbering: Numbering,
           written: list[Written], title: str) -> str:
    """Write lists, class names and the report; returns the report. DataError if no sample is
    left."""
    good = {one.name: one for one in written if not one.problem}
    bad = [one.problem for one in written if one.problem]
    if bad:
        labelled.problems.append(f"{len(bad)} of {counted(len(written), 'sample')} cannot be used, "
                                 "left out:\n  " + some(bad, "\n  "))
    if not good:
        raise DataError(f"{request.source}: {labelled.problems[-1]}")
    present = {name: one.classes for name, one in good.items()}
    if len(set().union(*present.values())) < 2:
        shown = numbering.names[min(set().union(*present.values()))]
        raise DataError(f"{request.source}: all labels show '{shown}' alone; training needs two "
                        "classes. If one value of the masks is the object, give --foreground VALUE")
    labelled.problems += doubtful(good.values())
    labelled.notes += changes(good.values())
    if request.folds:
        splits = folds(list(good), request.folds, request.seed)
        origin = (f"{request.folds} folds, drawn with the seed {request.seed}; each sample "
                  "validates in one")
    else:
        name_of = {one.sample.image: one.name for one in good.values()}
        given = [(name_of[sample.image], sample.split) for sample in labelled.samples
                 if sample.image in name_of]
        one_split, origin = split_names(list(dict.fromkeys(given)), present, request.share,
                                        request.seed)
        splits = [one_split]
    for number, split in enumerate(splits, 1):
        write_lists(folder / f"fold{number}" if request.folds else folder, split, numbering.names)
    text = report.write(folder, request, labelled, numbering, list(good.values()), splits, origin,
                        title)
    if request.folds:
        share_files(folder, len(splits))
    (folder / "report" / RECORD).write_text(json.dumps(record(request), indent=1) + "\n",
                                            encoding="utf-8")
    return text


def record(request: Request) -> dict:
    """What marks a folder as imported, from what, and in which state that was."""
    options = request.options
    folders = [path.resolve() for path in (request.source, options.images, options.masks) if path]
    states = [path.stat() for folder in dict.fromkeys(folders)
              for path in ([folder] if folder.is_file() else Tree(folder).files)]
    return {"folders": list(map(str, folders)), "files": len(states),
            "bytes": sum(state.st_size for state in states),
            "newest": max(state.st_mtime_ns for state in states),
            "options": [str(options.colours), list(options.foreground), request.share,
                        request.seed]}


def doubtful(good: Iterable[Written]) -> list[str]:
    """What is odd of the images, one for each remedy."""
    found: dict[str, list[str]] = defaultdict(list)
    for one in good:
        if one.doubt:
            found[one.doubt.remedy].append(f"{one.sample.image}: {one.doubt.problem}")
    return [f"{some(problems, '; ')}. Remedy: {remedy}, then import anew"
            for remedy, problems in found.items()]


def changes(good: Iterable[Written]) -> list[str]:
    done = Counter(one.done for one in good if one.done)
    return [f"{counted(count, 'label')} {what}" for what, count in done.items()]


def write_lists(folder: Path, split: dict[str, list[str]], class_names: list[str]) -> None:
    lists = folder / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for name, samples in split.items():
        if samples:
            (lists / f"{name}.txt").write_text("".join(f"{one}\n" for one in samples),
                                               encoding="utf-8", newline="\n")
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in class_names),
                                        encoding="utf-8", newline="\n")


def share_files(folder: Path, count: int) -> None:
    """Move images and labels into the folders of all folds: one file on disk, where it can be."""
    for name in ("JPEGImages", "SegmentationClass"):
        for number in range(1, count + 1):
            shutil.copytree(folder / name, folder / f"fold{number}" / name,
                            copy_function=link_or_copy)
        shutil.rmtree(folder / name)


def link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
