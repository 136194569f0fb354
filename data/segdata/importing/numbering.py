"""From what a form stores to class numbers: the background is 0, void is 255, names are unique."""

from collections.abc import Iterable

import numpy as np

from segdata.classes import VOID
from segdata.errors import DataError
from segdata.importing.labelled import SPLITS

BACKGROUNDS = {"background", "bg", "back ground"}
VOIDS = {"void", "ignore", "ignored", "ignore region", "unlabeled", "unlabelled", "unlabel",
         "unknown", "dont care", "don't care", "dontcare", "out of roi", "undefined"}


def plain(name: str) -> str:
    """A name as it is compared: lower case, without underlines at its ends."""
    return " ".join(name.lower().replace("_", " ").split())


class Numbering:
    """Class numbers of stored values.

    names : of the classes; 'background', where there is one, is class 0
    numbers : {stored value: class number, or 255}
    """

    def __init__(self, values: dict[int, str]) -> None:
        named = {value: " ".join(name.split()) for value, name in values.items()}
        named = {value: "background" if plain(name) in BACKGROUNDS else name
                 for value, name in named.items() if plain(name) not in VOIDS}
        if blank := [value for value, name in named.items() if not name]:
            raise DataError(f"the class of the value {blank[0]} has no name; give it one")
        order = dict.fromkeys(named.values())
        self.names = sorted(order, key=lambda name: name != "background")
        if not 0 < len(self.names) <= VOID:
            raise DataError(f"{len(self.names)} classes beside void; there can be 1 to {VOID}")
        place = {name: number for number, name in enumerate(self.names)}
        self.numbers = {value: place[named[value]] if value in named else VOID for value in values}

    def __call__(self, stored: np.ndarray) -> np.ndarray:
        """uint8 class numbers of stored values. DataError for values that have no name."""
        place, strange = places(stored, self.numbers)
        if strange.any():
            unknown = np.unique(stored[strange])[:8].tolist()
            raise DataError(f"it has the values {', '.join(map(str, unknown))}, which no class "
                            "has; add them to the list of classes")
        return np.array([self.numbers[value] for value in sorted(self.numbers)], np.uint8)[place]


def places(stored: np.ndarray, known: Iterable[int]) -> tuple[np.ndarray, np.ndarray]:
    """(the place of each value among the known ones in order, whether it is none of them)."""
    order = np.array(sorted(known))
    place = np.minimum(np.searchsorted(order, stored), len(order) - 1)
    return place, order[place] != stored


# splits

TRIES = 50      # of a random split, of which the one that shows the most classes is taken


def split_names(given: list[tuple[str, str]], present: dict[str, set[int]], share: float | None,
                seed: int) -> tuple[dict[str, list[str]], str]:
    """({split: names}, a sentence on where they come from).

    given : [(name, its split, or '')], in order
    present : {name: classes in its label}
    share : of the samples that validate, drawn by `seed`; None: 0.2, and only where splits do not
        say it

    Splits that are there are kept. Where there is no val, test validates, or, with a share, part
    of train does.
    """
    kept = {split: [name for name, own in given if own == split] for split in SPLITS}
    if kept["train"] and kept["val"]:
        return kept, "as they are in the source" + (
            "; --val has no effect" if share is not None else "")
    if kept["train"] and kept["test"] and share is None:
        return dict(kept, val=kept["test"]), ("as they are in the source; there is no list of "
                                              "validation: that of the test validates")
    pool = [name for name in present if name not in kept["test"]]
    if not pool:
        pool, kept["test"] = list(present), []
    share = 0.2 if share is None else share
    if len(pool) < 2:
        raise DataError(f"{len(pool)} sample{'s' * (len(pool) != 1)} to train and to validate; "
                        "there must be two or more")
    count = min(max(round(share * len(pool)), 1), len(pool) - 1)
    drawn = draw(pool, present, count, seed)
    kept["train"] = [name for name in pool if name not in drawn]
    kept["val"] = [name for name in pool if name in drawn]
    return kept, f"{share:g} of the samples validate, drawn with the seed {seed}"


def draw(pool: list[str], present: dict[str, set[int]], count: int, seed: int) -> set[str]:
    """Names that validate, so drawn that both sides show as many classes as possible."""
    rng = np.random.default_rng(seed)

    def classes(names: set[str]) -> int:
        return len(set().union(*(present[name] for name in names)))

    tries = [{pool[i] for i in rng.permutation(len(pool))[:count]} for _ in range(TRIES)]
    return max(tries, key=lambda names: (min(classes(names), classes(set(pool) - names)),
                                         classes(names) + classes(set(pool) - names)))


def folds(pool: list[str], count: int, seed: int) -> list[dict[str, list[str]]]:
    """`count` splits, of which each sample validates in one."""
    if not 2 <= count <= len(pool):
        raise DataError(f"--folds {count}: {len(pool)} samples make 2 to {len(pool)} folds")
    order = [pool[i] for i in np.random.default_rng(seed).permutation(len(pool))]
    parts = [set(order[start::count]) for start in range(count)]
    return [{"train": [name for name in pool if name not in part],
             "val": [name for name in pool if name in part]} for part in parts]
