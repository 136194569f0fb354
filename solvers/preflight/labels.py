"""What is wrong with the images and labels of a data set, of which every file has been read."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from fcn.nets.source import folder as folder_source
from fcn.solvers.experiments.splits import Sample, Split, read_source, read_split
from segdata.classes import VOID
from segdata.importing.recognise import conversion
from segdata.importing.write import RECORD
from segdata.layer import WEIGHT
from segdata.lists import counted, some

from .findings import Finding

if TYPE_CHECKING:
    from fcn.nets.source import Source

CLOCK = 2               # seconds by which times of files on some disks are off
STRAY = 10              # pixels of a class in a whole split, below which it is no class
TRACE = 0.0005          # share of a mask, below which a class does not count as shown in it
VOID_MASKS = 0.1        # share of masks that are void throughout, above which a run stops

MIXED = "seem to have 255 for the second class"
IMPORT = "import them with `fcn import`, which leaves the masks as they are"


def of_folder(path: str | Path, num_classes: int | None = None) -> tuple[str, list[Finding]]:
    """(what a folder in VOC layout holds, in a line; the findings).

    `num_classes` : how many classes there are, where no classes.txt says it

    Raises DataError where the folder is not in that layout.
    """
    import folder_layers
    names = folder_layers.existing_layout(Path(path))
    classes = len(names) or num_classes
    splits = read_source(folder_source(path, len(names) or VOID))
    found = _findings(splits, {"label": classes},
                      {"label": names or [f"class{i}" for i in range(num_classes or 0)]})
    imported = conversion(Path(path))
    found = [finding._replace(remedy=finding.remedy + imported)
             if IMPORT in finding.remedy else finding for finding in found]
    return _summary(path, splits, classes or 0), found


def of_source(source: Source, class_names: dict) -> list[Finding]:
    """The findings about a data set of the table; `class_names` is {label: names}."""
    return _findings(read_source(source), source.labels, class_names)


def _findings(splits: list[Split], labels: dict[str, int | None], class_names: dict
              ) -> list[Finding]:
    """The findings about splits, given {label: number of classes, None if the masks say it} and
    {label: names of its classes}."""
    found = [*_lists(splits), *_unusable(splits), *_identical(splits), *_doubtful(splits)]
    for label, classes in labels.items():
        names = class_names[label]
        if classes and len(names) != classes:
            found.append(Finding(f"there are {len(names)} names for the {classes} classes of "
                                 f"'{label}'", "give as many names as classes"))
        degenerate = [finding for split in splits for finding in _degenerate(split, label)]
        found += degenerate or _absent(splits, label, classes, names)
    return found + list(_palettes(splits))


def _summary(path: str | Path, splits: list[Split], classes: int) -> str:
    most = max(max({0, *split.totals("label")} - {VOID}, default=0) for split in splits)
    counts = " and ".join(f"{len(split.samples)} for {split.name}" for split in splits)
    return f"{path}: {counts}, {classes or most + 1} classes"


def _lists(splits: list[Split]) -> Iterator[Finding]:
    for split in splits:
        if split.list_problems:
            yield Finding(some(split.list_problems, "; "),
                          "keep one line for each sample, the name of its files without folder and "
                          "suffix")
    first, second = ({sample.name for sample in split.samples} for split in splits)
    if both := sorted(first & second):
        yield Finding(f"{counted(len(both), 'sample')} in both lists, {splits[0].name} and "
                      f"{splits[1].name}, so that the scores flatter: {some(both)}",
                      "remove them from one of the lists")


PROBLEMS = (    # (what the problem says, remedy)
    ("its mode is", "store class numbers in palette or 8-bit grey PNG files. Masks in colours: "
                    + IMPORT),
    ("expected PNG", "save the masks as PNG from their source: JPEG changes class numbers at every "
                     "edge"),
    ("width x height", "export image and mask in one size; resize masks to the nearest pixel only, "
                       "for interpolated class numbers are those of other classes"),
    ("has values", "classes.txt needs a line for each class, the largest value in the masks plus "
                   "one; if that is a stray value, correct the mask"),
    ("not finite", "make the image anew, or take it out of the list: one such number spoils all "
                   "weights"),
    ("does not exist", "put the file there, or take its line out of the list"),
    ("", "copy the file anew, or take its line out of the list"),
)


def _unusable(splits: list[Split]) -> Iterator[Finding]:
    grouped: dict[str, list[Sample]] = defaultdict(list)
    samples = {sample.name: sample for split in splits for sample in reversed(split.samples)}
    for sample in samples.values():
        if sample.problem:
            grouped[next(kind for kind, _ in PROBLEMS if kind in sample.problem)].append(sample)
    for kind, remedy in PROBLEMS:
        if bad := grouped[kind][::-1]:
            yield Finding(f"{len(bad)} of {counted(len(samples), 'sample')} cannot be used:\n      "
                          + some([sample.problem for sample in bad], "\n      "),
                          remedy)


def _identical(splits: list[Split]) -> Iterator[Finding]:
    names: dict[str, dict[str, str]] = defaultdict(dict)
    for split in splits:
        for sample in split.good:
            names[sample.digest].setdefault(sample.name, split.name)
    pairs = [list(same.items()) for same in names.values() if len(same) > 1]
    if pairs:
        shown = [" = ".join(f"{name} ({split})" for name, split in same) for same in pairs]
        yield Finding(f"{counted(len(pairs), 'image')} under several names: {some(shown)}",
                      "keep one of each; an image of train that is in val as well makes the scores "
                      "flatter")


def _doubtful(splits: list[Split]) -> Iterator[Finding]:
    """What is odd of files that can be used, one for each remedy."""
    problems: dict[str, dict[str, None]] = defaultdict(dict)
    for split in splits:
        for sample in split.good:
            for problem, remedy in sample.doubts:
                problems[remedy][problem] = None
    for remedy, found in problems.items():
        yield Finding(some(list(found), ";\n      "), remedy, stops=False)


def outdated_weights(source: Source) -> list[Finding]:
    """Files of pixel weights that are older than the labels which they belong to."""
    if not source.has_weights:
        return []
    split, older = read_split(*source.train), []
    reader, drawn = split.reader, cache(_drawn)
    for sample in split.good:
        paths = reader.files(sample.name)
        for top in reader.classes:
            label = drawn(paths[top].parents[1]).get(sample.name, paths[top])
            with suppress(OSError):
                if label.stat().st_mtime - paths[WEIGHT].stat().st_mtime > CLOCK:
                    older.append(f"{paths[WEIGHT]} is older than {label}")
    return [Finding(f"{counted(len(older), 'file')} of pixel weights may be of labels as they were "
                    "before:\n      " + some(older, ";\n      "),
                    "where the labels have changed, make the weights anew (of instances: `python "
                    "-m segdata.weight_map INSTANCES -o WEIGHTS`); if not, `touch` the weights",
                    stops=False)] if older else []


def _drawn(folder: Path) -> dict[str, Path]:
    """{name of a sample: the newest file of that name where it was imported from} of a folder that
    was imported, whose labels are newer than what was drawn; {} of another."""
    found: dict[str, Path] = {}
    with suppress(OSError, ValueError, KeyError, IndexError, TypeError):
        record = json.loads((folder / "report" / RECORD).read_text(encoding="utf-8"))
        files = [path for path in Path(record["folders"][-1]).rglob("*") if path.is_file()]
        for path in sorted(files, key=lambda path: path.stat().st_mtime):
            found[path.stem] = path
    return found


def _degenerate(split: Split, label: str) -> Iterator[Finding]:
    """Masks from which nothing can be learnt: void, of one class, or with 255 for a class."""
    where = f"the labels '{label}' of the split {split.name}"
    totals, masks = split.totals(label), [sample.shown(label) for sample in split.good]
    classes = {value: count for value, count in totals.items() if value != VOID}
    if not masks:
        return
    main = max(classes, key=lambda value: classes[value], default=None)
    if main is None:
        yield Finding(f"{where} are void (255) throughout, so that there is nothing to learn",
                      "store class numbers from 0 on in the masks, and 255 only where no class is "
                      "known")
        return
    rest = totals.total() - totals[VOID] - totals[main]
    if rest <= STRAY:
        strays = f", but for {counted(rest, 'stray pixel')}" if rest else ""
        if totals[VOID] > rest:
            yield _two_values(f"{where} show class {main} alone{strays}, and 255, which "
                              "stands for void; whatever a net answers is right, mean IU 100%")
        else:
            yield Finding(f"{where} show class {main} alone{strays}; whatever a net answers is "
                          "right, mean IU 100%", "label a second class, or take other samples")
        return
    beside = [sum(mask.get(value, 0) > TRACE * sum(mask.values()) for value in classes)
              for mask in masks]
    voids = [mask.get(VOID, 0) > TRACE * sum(mask.values()) for mask in masks]
    # void lies between two classes: masks that have it beside one class alone are rare
    alone = sum(void and count == 1 for void, count in zip(voids, beside))
    if len(classes) == 2 and alone > 2 * sum(void and count > 1
                                             for void, count in zip(voids, beside)):
        yield _two_values(f"{counted(alone, 'mask')} of {where} have only one class and 255, "
                          f"which stands for void: some of them {MIXED}")
    empty = [sample.name for sample, count, void in zip(split.good, beside, voids)
             if void and not count]
    if empty:
        yield Finding(f"{len(empty)} of {counted(len(masks), 'mask')} of {where} are void (255) "
                      f"throughout: {some(empty)}", "label them, or take them out of the list",
                      stops=len(empty) > VOID_MASKS * len(masks))


def _two_values(problem: str) -> Finding:
    other = "" if MIXED in problem else ", or " + IMPORT    # which would take 255 for void
    return Finding(problem, "store 1 in place of 255 in masks of two classes" + other)


def _absent(splits: list[Split], label: str, classes: int | None, names: Sequence[str]
            ) -> Iterator[Finding]:
    """Classes that no label has, labels of no class, and classes of a few stray pixels."""
    train, val = ({value for value in split.totals(label) if value != VOID} for split in splits)
    if not train or not val:
        return
    if not classes:
        classes = max(train | val) + 1
        yield from _strays(splits, label, train | val)
    if beyond := sorted(value for value in train | val if value >= classes):
        yield Finding(f"the labels '{label}' have {some(beyond)}, but there are {classes} classes, "
                      f"0 to {classes - 1}", "correct the masks, or the number of classes")
    for absent, where in (({*range(classes)} - train - val, "no label has"),
                          ({*range(classes)} & val - train, "only labels of val have, none of "
                                                            "train,")):
        if absent:
            shown = some([f"{value} ({names[value]})" if names else value
                          for value in sorted(absent)])
            other = f". Masks of two values: {IMPORT}" if len(train | val) == 2 else ""
            yield Finding(f"of the {classes} classes of '{label}', {where} {shown}",
                          "store class numbers 0, 1, 2, ... in the masks without a gap, or add "
                          "samples; a class without labels is never learnt" + other)


def _strays(splits: list[Split], label: str, present: set[int]) -> Iterator[Finding]:
    """Without classes.txt a single pixel makes classes."""
    samples = [sample for split in splits for sample in split.good]
    strays = []
    for value in sorted(present, reverse=True):
        holders = [sample.name for sample in samples if value in sample.shown(label)]
        pixels = sum(sample.shown(label).get(value, 0) for sample in samples)
        if pixels > STRAY:
            break
        strays.append(f"{value} has {counted(pixels, 'pixel')} in all, in {some(holders)}")
    if strays:
        yield Finding(f"class {some(strays, '; class ')}, and makes the number of classes "
                      f"{max(present) + 1}", "correct these masks, which may have been resized by "
                      "interpolation, or say in classes.txt which classes there are")


def _palettes(splits: list[Split]) -> Iterator[Finding]:
    """Masks in which a colour has another number than in most masks."""
    votes: dict[tuple, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for split in splits:
        for sample in split.good:
            for value, colour in sample.colours.items():
                votes[tuple(colour)][value].append(sample.name)
    wrong = []
    for colour, numbers in votes.items():
        usual, *others = sorted(numbers, key=lambda value: -len(numbers[value]))
        wrong += [f"{some(numbers[value])}: the colour {colour} is {value}, elsewhere {usual}"
                  for value in others]
    if wrong:
        yield Finding("masks whose palette has the classes in another order than the others': "
                      + some(wrong, "; "),
                      "save these masks with the palette of the others, so that each colour has "
                      "one number; editors that optimise palettes renumber the classes")

