"""The best kernel of the dense CRF for a run (DeepLab, section 5.1): its weight and deviations by
grid search over 100 validation images, coarse to fine.

The best is written into the run's folder, where the option --crf of score and infer finds it.
"""

from collections.abc import Callable, Collection
from itertools import product

from fcn.solvers.console.errors import RunError
from fcn.solvers.console.text import columns
from fcn.solvers.inference import trust
from fcn.solvers.inference.crf import Settings, Sharpener, check_caffe, write
from fcn.solvers.runs import all_runs
from fcn.solvers.scoring.counting import score_net
from fcn.solvers.scoring.metrics import Scores
from fcn.solvers.scoring.prediction import load_net
from fcn.solvers.scoring.tables import HEADLINES

IMAGES = 100
# the values of w, xy and rgb that the authors tried; the first round takes every second or third
AXES = (5, 10), tuple(range(40, 101, 10)), tuple(range(3, 11))
COARSE = AXES[0], (50, 70, 90), (3, 5, 8, 10)


def run(options):
    if options.run is None:
        raise RunError("crf needs --run RUN, the trained run for whose scores it searches")
    found = all_runs.find(options.run)
    if not options.trust:
        trust.check(found.present("val.prototxt"), own_data=True)
    check_caffe()
    weights, images = found.newest_weights(), min(IMAGES, found.samples())

    def measure(round: Collection[Settings]) -> dict[str, Scores]:
        """The scores without CRF, "", and with each of these settings, by their text."""
        sharpeners = {f" {settings}": Sharpener(found, settings) for settings in round}
        scores = score_net(load_net(found.prototxt("val"), weights), images, found.unscored(),
                           found.settings().get("in_truth", False), sharpeners)
        label = next(iter(scores))
        return {name: scores[label + name] for name in ("", *sharpeners)}

    without, tried = search(measure)
    best = best_of(tried)
    rows = [(*(f"{value:g}" for value in settings), f"{100 * tried[settings].headline:.2f}"
             + " best" * (settings == best)) for settings in sorted(tried)]
    print(f"{weights}, {images} validation images\n")
    print(columns([("w", "xy", "rgb", HEADLINES[without.in_truth]),
                   ("without CRF", "", "", f"{100 * without.headline:.2f}"), *rows]))
    if tried[best].headline <= without.headline:
        print("\nno CRF is better than none: nothing is written")
    else:
        print(f"\n{write(best, found.directory)}: {best}, which --crf takes from now on")


def search(measure: Callable[[Collection[Settings]], dict[str, Scores]]
           ) -> tuple[Scores, dict[Settings, Scores]]:
    """The scores without CRF, and of all settings that were tried: first COARSE, then the
    neighbours of the best until none of them is better."""
    tried: dict[Settings, Scores] = {}
    wanted = [Settings(*values) for values in product(*COARSE)]
    while wanted:
        scores = measure(wanted)
        tried.update((settings, scores[f" {settings}"]) for settings in wanted)
        wanted = [near for near in neighbours(best_of(tried)) if near not in tried]
    return scores[""], tried


def best_of(tried: dict[Settings, Scores]) -> Settings:
    """Of equal ones the first."""
    return max(tried, key=lambda settings: tried[settings].headline)


def neighbours(settings: Settings) -> list[Settings]:
    """Those within a step on each axis."""
    near = []
    for value, axis in zip(settings, AXES):
        place = axis.index(value)
        near.append(axis[max(place - 1, 0):place + 2])
    return [Settings(*values) for values in product(*near)]
