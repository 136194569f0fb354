"""Experiment: all that makes a training, a row of the table."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fcn.nets.source import Source
from fcn.solvers.runs.run import Run
from segdata.paths import build_root

# The recipes of SGD (PAMI, section 4.3). An image's gradient fades to 0.9 in 20 images under
# accumulation; heavy momentum fades it by as much image by image: 0.9^(1/20) ≈ 0.99.
HEAVY: dict[str, Any] = dict(momentum=0.99, iter_size=1)
ONLINE = dict(momentum=0.9, iter_size=1)
ACCUMULATED = dict(momentum=0.9, iter_size=20)

# those that miniatures (miniatures/miniature.py) and --same-images (options.py) know to fit to
# another number of iterations
POLICIES = "fixed", "step", "poly"


@dataclass(frozen=True)
class Experiment:
    """A row of the table.

    name : also the folder of everything it writes, under `build`
    bases : {suffix of its layers: where they start from}: a classifier or another experiment;
        empty for random weights
    lr, momentum, iter_size, weight_decay : of SGD
    iterations : in all
    policy : how the rate falls: fields of SolverParameter, lr_policy one of POLICIES
    drop : share of the iterations after which the rate falls to a tenth, in place of a policy; 1
        (the paper): never
    interval : iterations between snapshots, each of which is scored
    head, source, net : of nets.fcn: the head, the nets.source.Source, further options
    class_names : {label: names of its classes, in order}
    unscored : classes of the (first) label that are trained but do not count in the scores
    in_truth : whether mean IU is over the classes in the truth alone, see solvers.scoring.metrics
    needs : names in segdata.download.catalog without which it cannot start
    published : what was published and where, '' where the project knows nothing; four figures are
        pixel accuracy / mean accuracy / mean IU / frequency-weighted IU in percent
    data : what the data are, where the name does not say it: a folder, a seed
    class_weights : what --class-weights says by default
    options : {option of the command line: value} of the training data, of weights, of rate and
        iterations; the source has those of the data already, see solvers.experiments.options
    start : what `--from` says in place of `bases`, as solvers.starting records it
    """
    name: str
    bases: dict
    lr: float
    head: str
    source: Source
    class_names: dict
    iterations: int = 100_000
    policy: dict = field(default_factory=lambda: dict(lr_policy="fixed"))
    drop: float = 1.0
    momentum: float = HEAVY["momentum"]
    iter_size: int = HEAVY["iter_size"]
    weight_decay: float = 0.0005
    interval: int = 4_000
    net: dict = field(default_factory=dict)
    unscored: tuple = ()
    in_truth: bool = False
    needs: tuple = ()
    published: str = ""
    data: str = ""
    class_weights: str = "none"
    options: dict = field(default_factory=dict)
    start: str = ""
    build: Path = field(default_factory=build_root)

    def __post_init__(self) -> None:
        """Raise ValueError for a policy that would be trained otherwise than it says."""
        kind = self.policy["lr_policy"]
        if kind not in POLICIES:
            raise ValueError(f"{self.name}: lr_policy '{kind}', expected one of "
                             f"{', '.join(POLICIES)}; POLICIES says what another one needs")
        if self.drop < 1 and kind != "fixed":
            raise ValueError(f"{self.name}: drop={self.drop:g} stands in place of a policy, and "
                             f"there is one, '{kind}'; leave one of them out")

    @property
    def images(self) -> int:
        """The images of an iteration: batch times iter_size."""
        return self.source.batch * self.iter_size

    @property
    def directory(self) -> Path:
        return self.build / self.name

    @property
    def run(self) -> Run:
        return Run(self.directory)

    def settings(self) -> dict:
        """What cannot change from one start of a run to the next."""
        return dict(self.net, head=self.head, classes=self.class_names, data=self.data,
                    unscored=self.unscored, **({"in_truth": True} if self.in_truth else {}),
                    **({"from": self.start} if self.start else {}),
                    **{f"--{key.replace('_', '-')}": value for key, value in self.options.items()})


def with_options(experiment: Experiment, **options: Any) -> Experiment:
    """The experiment with the given values changed; None keeps its own."""
    return replace(experiment, **{k: v for k, v in options.items() if v is not None})
