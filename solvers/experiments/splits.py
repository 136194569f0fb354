"""The samples of a split as a training reads them: every file once, and what is kept of it."""

from __future__ import annotations

import hashlib
import importlib
import itertools
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from fcn.solvers.console import progress
from segdata.errors import DataError
from segdata.files import make_folder, replacing
from segdata.lists import Entry, as_on_disk, list_entries
from segdata.order import sample_order
from segdata.param_str import OPTIONS
from segdata.paths import build_root
from segdata.sample_files import check_sizes

if TYPE_CHECKING:
    from fcn.nets.source import Source
    from segdata.layer import SegDataLayer


@dataclass
class Sample:
    """What is kept of a sample of a list.

    source : "LIST:LINE"
    stamp : sizes and times of its files, by which one that has changed is known
    problem : why a data layer cannot use it, '' if it can
    digest : of its images' pixels, every fourth row
    labels : digest of its labels' pixels
    pixels : {label: {value: number of pixels}}
    colours : {value: colour in the mask's palette} of the values in the first label
    size : [height, width] in pixels, where the files agree on it
    doubts : [[what is odd of a file that can be used, the remedy]]
    """
    name: str
    source: str
    stamp: list
    problem: str = ""
    digest: str = ""
    labels: str = ""
    pixels: dict = field(default_factory=dict)
    colours: dict = field(default_factory=dict)
    size: list = field(default_factory=list)
    doubts: list = field(default_factory=list)

    def shown(self, label: str) -> dict[int, int]:
        return {int(value): count for value, count in self.pixels.get(label, {}).items()}


@dataclass
class Split:
    """A split of a data set: its samples, and what is wrong with its list."""
    name: str
    reader: SegDataLayer
    samples: list[Sample]
    list_problems: list[str]

    @property
    def good(self) -> list[Sample]:
        return [sample for sample in self.samples if not sample.problem]

    def totals(self, label: str) -> Counter:
        """{value: pixels} of a label in all its masks."""
        total: Counter = Counter()
        for sample in self.good:
            total.update(sample.shown(label))
        return total


def read_source(source: Source) -> list[Split]:
    """The train and val splits of a data set; every file in their lists is read.

    What was read before, and has not changed since, is taken from build/preflight.
    Raises DataError where a folder, a list or the param_str of the layer is no use.
    """
    return [read_split(*getattr(source, split)) for split in ("train", "val")]


_lately: dict[Path, Split] = {}     # {its file in build/preflight: what was read last}


def source_read_lately(source: Source) -> list[Split]:
    """The train and val splits of a data set, as `read_source` found them in this process.

    Each result is handed out once. Whoever asks again, or before anything was read, has them read
    now, which takes two seconds for 10,000 samples that have not changed.
    """
    found = []
    for split in (source.train, source.val):
        cache = _cache_of(open_reader(*split), *split)
        found.append(_lately.get(cache) or read_split(*split))
        del _lately[cache]
    return found


def _cache_of(reader: SegDataLayer, module: str, layer: str, params: dict) -> Path:
    """The file for what is read of a split."""
    roots = [str(path.resolve()) for path in reader.roots.values()]
    unread = (*OPTIONS, "mirror", "jitter")
    read = {key: value for key, value in params.items() if key not in unread}
    kept = [each.name for each in fields(Sample)]
    key = hashlib.sha1(repr((module, layer, read, roots, kept)).encode()).hexdigest()[:16]
    return build_root() / "preflight" / f"{key}.json"


def read_split(module: str, layer: str, params: dict) -> Split:
    """The Split that a data layer of that module, class and param_str would read."""
    reader = open_reader(module, layer, params)
    entries, problems = list_entries(reader.split_file(params["split"]))
    entries = [as_on_disk(entry, lambda name: not reader.missing_files(name)) for entry in entries]
    cache = _cache_of(reader, module, layer, params)
    known = _known(cache)
    with ThreadPoolExecutor() as pool:
        samples = list(progress.through(
            pool.map(partial(_read, reader, known), entries), f"checking {params['split']}",
            len(entries), "sample", leave=False))
    if any(known.get(sample.name) is not sample for sample in samples):
        make_folder(cache.parent)
        with replacing(cache) as temporary:
            temporary.write_text(json.dumps([asdict(sample) for sample in samples]), "utf-8")
    _lately[cache] = Split(params["split"], reader, samples, problems)
    return _lately[cache]


def open_reader(module: str, layer: str, params: dict) -> SegDataLayer:
    """A data layer of that module, class and param_str outside a net, to read its files; it does
    not look whether they are there."""
    base: Any = getattr(importlib.import_module(module), layer)

    class Reader(base):
        def read_split(self, split: str) -> list[Entry]:
            return [Entry("", "")]

        def find_files(self, entries: list[Entry]) -> list[Entry]:
            return entries

    Reader.__name__ = layer
    reader = Reader.__new__(Reader)
    reader.name, reader.param_str = "data", str(params)
    reader.open()
    return reader


def _known(cache: Path) -> dict[str, Sample]:
    """{name: Sample} of what was read before."""
    try:
        known = {one["name"]: Sample(**one) for one in json.loads(cache.read_text("utf-8"))}
        for sample in known.values():
            counts = [sum(sample.shown(label).values()) for label, _ in sample.pixels.items()]
            if (not all(counts) or not all(len(colour) == 3 for colour in sample.colours.values())
                    or len(sample.size) != 2 * (not sample.problem)):
                return {}
        return known
    except Exception:       # a damaged file may hold anything; what it says is read anew
        return {}


def _read(reader: SegDataLayer, known: dict[str, Sample], entry: Entry) -> Sample:
    """The Sample of an entry, from what is known if its files are those of then."""
    paths = {top: path for top, path in reader.paths(entry.name).items() if top in reader.tops}
    sample = Sample(entry.name, entry.source, [_stamp(path) for path in paths.values()])
    before = known.get(entry.name)
    if before and (before.stamp, before.source) == (sample.stamp, sample.source):
        return before
    try:
        look_at(reader, sample, paths)
    except DataError as error:
        sample.problem = str(error)
    return sample


def _stamp(path: Path) -> list[int]:
    try:
        status = path.stat()
        return [status.st_size, status.st_mtime_ns]
    except OSError:
        return []


def look_at(reader: SegDataLayer, sample: Sample, paths: dict[str, Path]) -> None:
    digest, labels = (hashlib.blake2b(digest_size=12) for _ in range(2))
    shapes = []
    for top, path in paths.items():
        array = reader.read_top(top, path, sample.source)
        shapes.append((path, array.shape))
        sample.doubts += [[f"{path}: {problem}", remedy]
                          for problem, remedy in reader.doubts(top, path)]
        if top in reader.classes:
            labels.update(np.ascontiguousarray(array).data)
            counts = np.bincount(array.ravel(), minlength=1)
            sample.pixels[top] = {str(v): int(counts[v]) for v in np.flatnonzero(counts)}
            if not sample.colours and path.suffix.lower() == ".png":
                sample.colours = _colours(path, sample.shown(top))
        else:
            digest.update(np.ascontiguousarray(array[:, ::4]).data)
            if not np.isfinite(array).all():
                raise DataError(f"image {path} has values that are not finite, {sample.source}")
    sample.digest, sample.labels = digest.hexdigest(), labels.hexdigest()
    check_sizes(shapes, sample.source)
    sample.size = [*shapes[0][1][-2:]]


def _colours(path: Path, values: dict[int, int]) -> dict[str, list[int]]:
    """{value: colour} of the values in a palette image whose colour no other value has."""
    with Image.open(path) as image:
        flat = (image.getpalette() or []) if image.mode == "P" else []
    colours = [tuple(flat[at:at + 3]) for at in range(0, len(flat), 3)]
    often = Counter(colours)
    return {str(value): list(colours[value]) for value in values
            if value < len(colours) and often[colours[value]] == 1}


def listed(module: str, layer: str, params: dict) -> tuple[Path, list[Entry]]:
    """The path and the entries of the split list that a data layer of that module, class and
    param_str reads. Raises DataError where the list is missing or empty."""
    path = open_reader(module, layer, params).split_file(params["split"])
    return path, list_entries(path)[0]


def training_names(source: Source, first: int, count: int) -> list[str]:
    """The names of `count` samples of a training, from the one at position `first` on."""
    reader = open_reader(*source.train)
    entries = list_entries(reader.split_file(source.train.params["split"]))[0]
    seed = reader.seed if reader.training and reader.params["randomize"] else None
    order = sample_order(len(entries), seed)
    return [entries[index].name for index in itertools.islice(order, first, first + count)]
