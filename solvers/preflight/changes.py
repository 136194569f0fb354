"""Whether the data of a run are those that it was trained on up to here.

The folder of the run has what was read of each sample when the training last began: a digest of the
labels and one of the images. A file is read again where its size or time has changed: a change that
alters neither goes unnoticed. So does a change of an image outside its rows 0, 4, 8 and so on, of
which alone the digest is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fcn.solvers.experiments.splits import Split, source_read_lately
from fcn.solvers.runs.reading import reading
from segdata.files import replacing
from segdata.lists import counted, some

if TYPE_CHECKING:
    from fcn.solvers.experiments.experiment import Experiment
    from fcn.solvers.runs.run import Run

FILE = "data.json"      # in a run's folder
MOST_BYTES = 1 << 32    # of it: it has some 70 for each sample
Digests = dict[str, dict[str, list[str]]]       # {split: {sample: [of its images, of its labels]}}


def digests_of(splits: list[Split]) -> Digests:
    """What is kept of the samples that can be used."""
    return {split.name: {sample.name: [sample.digest, sample.labels] for sample in split.good}
            for split in splits}


def look(experiment: Experiment) -> tuple[str, Digests]:
    """(a warning if the data have changed since the training last began, '' if not or if that is
    not recorded; what `record` takes)."""
    now, before = digests_of(source_read_lately(experiment.source)), _recorded(experiment.run)
    if not before or not (told := "; ".join(_differences(before, now))):
        return "", now
    return (f"warning: {experiment.name}: the data are not those that it was trained on up to "
            f"here: {told}. Its log and its scores up to here are of the data as they were. To "
            "train on those of now alone, start anew (--fresh)"), now


def record(run: Run, now: Digests) -> None:
    """Record on which data the run goes on."""
    with replacing(run.directory / FILE) as temporary:
        temporary.write_text(json.dumps(now) + "\n", encoding="utf-8")


def _recorded(run: Run) -> Digests:
    path = run.directory / FILE
    if not path.exists():
        return {}
    with reading(path, "JSON file of the data of a run", "Remove it: the run then goes on, and "
                 "nothing says which data have changed since the training last began", MOST_BYTES):
        return {split: {name: [image, label] for name, (image, label) in samples.items()}
                for split, samples in json.loads(path.read_text(encoding="utf-8")).items()}


def _differences(before: Digests, now: Digests) -> Iterator[str]:
    """In words, of each split."""
    for split, samples in now.items():
        earlier = before.get(split, {})
        both = [name for name in samples if name in earlier]
        kinds = {f"other {what} under the same name": [
            name for name in both if samples[name][place] != earlier[name][place]]
            for place, what in ((1, "labels"), (0, "images"))}
        kinds["new"] = [name for name in samples if name not in earlier]
        kinds["gone"] = [name for name in earlier if name not in samples]
        for kind, names in kinds.items():
            if names:
                yield f"{kind}: {counted(len(names), 'sample')} of {split}, {some(names)}"
