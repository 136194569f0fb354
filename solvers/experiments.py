"""The table of experiments: what differs between them, and nothing else.

All train by heavy-momentum SGD with a fixed rate and the loss summed over pixels, one image a
step. A momentum of 0.99 with batch 1 does the work of 0.9 with batch 20: 0.9^(1/20) ≈ 0.99.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

from nets.source import folder, voc
from solvers.runs import BUILD, Run, RunError


@dataclass(frozen=True)
class Experiment:
    """A row of the table.

    name : also the folder of everything it writes, under `build`
    head : of nets.heads
    base : 'vgg16', the name of another experiment, or None (random initialisation)
    lr, momentum, iter_size, weight_decay : of SGD; lr is for the summed loss
    iterations : in all
    drop : share of the iterations after which the rate falls to a tenth; 1 (the paper): never
    interval : iterations between snapshots, each of which is scored
    source : nets.source.Source
    net : further options of nets.fcn
    needs : names in data/catalog.py without which it cannot start
    class_names : in the order of the labels
    data : what the data are, where the name does not say it: a folder, a seed
    """
    name: str
    head: str
    base: str | None
    lr: float
    iterations: int = 100_000
    drop: float = 1.0
    momentum: float = 0.99
    iter_size: int = 1
    weight_decay: float = 0.0005
    interval: int = 4_000
    source: object = field(default_factory=voc)
    net: dict = field(default_factory=dict)
    needs: tuple = ("sbd", "voc2011")
    class_names: tuple = ()
    data: str = ""
    build: Path = BUILD

    @property
    def directory(self):
        return self.build / self.name

    @property
    def run(self):
        return Run(self.directory)

    def settings(self):
        """What cannot change from one start of a run to the next."""
        return dict(self.net, head=self.head, classes=self.class_names, data=self.data)


def _voc_table():
    from palette import VOC_CLASSES
    row = dict(class_names=VOC_CLASSES)
    return (
        Experiment("voc-fcn32s", "fcn32s", "vgg16", 1e-10, needs=("vgg16", "sbd", "voc2011"),
                   **row),
        Experiment("voc-fcn16s", "fcn16s", "voc-fcn32s", 1e-12, **row),
        Experiment("voc-fcn8s", "fcn8s", "voc-fcn16s", 1e-14, **row),
        Experiment("voc-fcn8s-atonce", "fcn8s-atonce", "vgg16", 1e-10, iterations=300_000,
                   needs=("vgg16", "sbd", "voc2011"), **row),
    )


EXPERIMENTS = {row.name: row for row in _voc_table()}


def on_folder(path, name=None, head="fcn8s", width=0.125, iterations=2_400, lr=6e-9,
              interval=800):
    """An experiment on any folder in VOC layout, from random initialisation at reduced width.

    `name` is that of the folder under build/, default FOLDER-HEAD.
    Without ILSVRC weights the trunk starts from the msra filler, which expects inputs of unit
    variance: images are scaled by 1/58 after the mean is subtracted. There are no later stages
    with their lower rates, so the rate drops for the last quarter.
    """
    import folder_layers
    path = Path(path).resolve()
    names = tuple(folder_layers.describe(path).classes)
    name = name or f"{path.name}-{head}"
    if Path(name).name != name:
        raise RunError(f"'{name}' is no name for a folder under {BUILD}")
    if name in EXPERIMENTS:
        raise RunError(f"{path}: '{name}' is an experiment of the paper; choose another --name")
    return Experiment(
        name, head, None, lr, iterations, drop=0.75, interval=interval,
        source=folder(path, len(names), mirror=True), needs=(), class_names=names, data=str(path),
        net=dict(width=width, filler="msra", scale=1 / 58))


def with_options(experiment, **options):
    """The experiment with the given values changed; None keeps its own."""
    return replace(experiment, **{k: v for k, v in options.items() if v is not None})
