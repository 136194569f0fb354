"""What an import found: as text, and as pictures to look at."""

import shlex
from collections import Counter
from collections.abc import Sequence
from glob import escape
from pathlib import Path

import numpy as np
from PIL import Image

from segdata.classes import VOID
from segdata.importing.colours import colour
from segdata.importing.labelled import Labelled, Request, Written
from segdata.importing.numbering import Numbering, plain
from segdata.importing.recognise import program
from segdata.lists import counted, some
from segdata.overlay import overlay, percent

OVERLAYS = 6
WIDTH = 800         # of an overlay, at most
SIZES = 4           # listed


def write(folder: Path, request: Request, labelled: Labelled, numbering: Numbering,
          written: Sequence[Written], splits: Sequence[dict[str, list[str]]], origin: str,
          title: str) -> str:
    """Write FOLDER/report: six overlays, and the colours where they had no names; returns the text.
    """
    place = folder / "report"
    place.mkdir()
    for one in chosen(written):
        draw(folder, one, numbering.names).save(place / f"{one.name}.png")
    found = {value: name for value, name in labelled.values.items()
             if name.startswith("colour_")}
    if found:
        (place / "colours.txt").write_text("".join(
            f"{' '.join(map(str, colour(value)))} {name}\n"
            for value, name in labelled.values.items()), encoding="utf-8")
    return describe(request, labelled, numbering, written, splits, origin, title)


def describe(request: Request, labelled: Labelled, numbering: Numbering,
             written: Sequence[Written], splits: Sequence[dict[str, list[str]]], origin: str,
             title: str) -> str:
    """The report as text."""
    target = request.target
    data = target / "fold1" if request.folds else target
    lists = "; ".join(" and ".join(f"{len(names)} for {split}" for split, names in each.items()
                                   if names) for each in splits)
    problems = list(labelled.problems)
    if labelled.unlabelled:
        problems.append(f"{counted(len(labelled.unlabelled), 'image')} without labels, left out: "
                        f"{some(list(map(str, labelled.unlabelled)))}")
    problems += rare(numbering, written, splits) + alike(numbering.names)
    lines = [f"{request.source}: {title}", *(f"    {note}" for note in labelled.notes),
             f"{target}: {counted(len(written), 'sample')}, {lists}",
             f"    splits: {origin}", "", *class_table(numbering, written), "", sizes(written),
             "", *([f"- {problem}" for problem in problems] or ["no problems were found"]), "",
             f"Look at the overlays in {target / 'report'}, then train:",
             f"    {shlex.join([*program(), 'solve', '--data', str(data)])}"]
    return "\n".join(lines)


def class_table(numbering: Numbering, written: Sequence[Written]) -> list[str]:
    """Lines: number and name of each class, its share of the pixels, the samples that show it."""
    pixels = np.sum([one.pixels for one in written], 0)
    rows = [(str(number), name, pixels[number], sum(number in one.classes for one in written))
            for number, name in enumerate(numbering.names)]
    if pixels[VOID]:
        rows.append((str(VOID), "void", pixels[VOID],
                     sum(bool(one.pixels[VOID]) for one in written)))
    width = max(len(name) for _, name, *_ in rows)
    lines = [f"{'class':>5}  {'':<{width}}  {'pixels':>8}  {'samples':>8}"]
    for number, name, count, shown in rows:
        share = percent(count / pixels.sum()) if count else "none"
        lines.append(f"{number:>5}  {name:<{width}}  {share:>8}  {shown:>8}")
    return lines


def sizes(written: Sequence[Written]) -> str:
    counts = Counter(one.size for one in written).most_common()
    shown = ", ".join(f"{width}x{height} ({count})" for (height, width), count in counts[:SIZES])
    return f"sizes: {shown}" + f" and {len(counts) - SIZES} others" * (len(counts) > SIZES)


def rare(numbering: Numbering, written: Sequence[Written],
         splits: Sequence[dict[str, list[str]]]) -> list[str]:
    """Sentences on classes that a list does not show, and on samples in both lists."""
    classes = {one.name: one.classes for one in written}
    found = []
    for number, split in enumerate(splits, 1):
        fold = f" of fold{number}" if len(splits) > 1 else ""
        for name in ("train", "val"):
            present = set().union(*(classes[one] for one in split[name]))
            absent = [numbering.names[each] for each in range(len(numbering.names))
                      if each not in present]
            if absent:
                found.append(f"{name}{fold} does not show {len(absent)} of "
                             f"{len(numbering.names)} classes: {some(absent)}")
            if len(present) < 2:
                found.append(f"{name}{fold} shows one class alone, which training refuses: choose "
                             "another --val or --seed")
        if both := {*split["train"]} & {*split["val"]}:
            found.append(f"{counted(len(both), 'sample')} both in train and in val, so that the "
                         "scores flatter")
    return found


def alike(names: Sequence[str]) -> list[str]:
    """A sentence on classes whose names differ in case or underlines alone."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(plain(name), []).append(name)
    same = [" and ".join(group) for group in groups.values() if len(group) > 1]
    return [f"classes with nearly the same name: {some(same)}; are they one?"] if same else []


def chosen(written: Sequence[Written]) -> list[Written]:
    """Samples for the overlays: those that show classes not shown before, then others between."""
    seen, picked = set[int](), list[Written]()
    while len(picked) < OVERLAYS:
        best = max(written, key=lambda one: len(one.classes - seen))
        if best.classes <= seen:
            break
        picked.append(best)
        seen |= best.classes
    left = [one for one in written if one not in picked]
    count = min(OVERLAYS - len(picked), len(left))
    return picked + [left[len(left) * i // count] for i in range(count)]


def draw(folder: Path, one: Written, names: Sequence[str]) -> Image.Image:
    """The image under the colours of its label, at a width to look at."""
    image_path = next((folder / "JPEGImages").glob(f"{escape(one.name)}.*"))
    with Image.open(image_path) as file, Image.open(
            folder / "SegmentationClass" / f"{one.name}.png") as labels:
        scale = min(1, WIDTH / file.width)
        size = max(round(file.width * scale), 1), max(round(file.height * scale), 1)
        image = file.convert("RGB").resize(size)
        label = np.asarray(labels.resize(size, Image.Resampling.NEAREST))
    listed = [*names, *("" for _ in range(VOID - len(names))), "void"]
    return overlay(image, label, listed)
