"""Every experiment in miniature: its row of the table on embedded data, at an eighth of the width.

A narrow classifier, trained on crops around single shapes, stands in for ILSVRC's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from fcn import nets
from fcn.nets import deeplab
from fcn.nets.source import Source, voc
from fcn.solvers import training
from fcn.solvers.experiments.class_weights import with_class_weights
from fcn.solvers.experiments.experiment import ONLINE, Experiment
from fcn.solvers.experiments.families import family_of
from fcn.solvers.experiments.table import EXPERIMENTS
from fcn.solvers.miniatures import classifiers
from fcn.solvers.runs.run import Run
from fcn.solvers.runs.settings import OF_SEED
from fcn.solvers.scoring.metrics import Scores
from segdata.embedded import cells as embedded_cells
from segdata.embedded import context as embedded_context
from segdata.embedded import nyud as embedded_nyud
from segdata.embedded import siftflow as embedded_siftflow
from segdata.embedded import voc as embedded_voc

# {dataset: (what generates it, class names)}
DATASETS: dict[str, tuple[ModuleType | SimpleNamespace, dict[str, Sequence[str]]]] = {
    "voc": (embedded_voc, {"label": embedded_voc.CLASSES}),
    "camvid": (embedded_voc, {"label": embedded_voc.CLASSES}),
    "nyud": (embedded_nyud, {"label": embedded_nyud.CLASSES}),
    "siftflow": (embedded_siftflow, {"sem": embedded_siftflow.SEMANTIC,
                                     "geo": embedded_siftflow.GEOMETRIC}),
    "pascalcontext": (embedded_context, {"label": ("background", *embedded_context.CLASSES)}),
    **{look: (SimpleNamespace(generate=embedded_cells.generator(look)),
              {"label": embedded_cells.CLASSES}) for look in embedded_cells.LOOKS},
}

# Images in a gradient that is accumulated: the data are a twentieth of SBD's.
ACCUMULATED = 5


@dataclass(frozen=True)
class Small:
    """What a miniature has in place of its row of the table of experiments.

    lr, iterations : of SGD
    recipe : further fields of Experiment
    training : keys of the training data layer, such as batch and crop: each batch makes a gradient;
        {}: whole images, one a pass, of which up to ACCUMULATED make a gradient where the paper
        accumulates
    net : options of nets.fcn; the features are of unit variance, ILSVRC's are far larger
    source : of the scenes, a function of nets.source; None: that of nets.TABLE
    """
    lr: float
    iterations: int
    recipe: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    net: dict[str, Any] = field(default_factory=dict)
    source: Callable[..., Source] | None = None


# The paper's momentum of 0.99 averages over 100 images, and its rate is fixed: in a hundredth of
# the iterations 0.9 gets further, and a lower rate for the last quarter lets them settle.
SETTLING: dict[str, Any] = dict(recipe=dict(ONLINE, drop=0.75))
# A quarter of ILSVRC's 4096 filters is enough for DeepLab, of the narrow classifier's 512 it is
# not, and scores that learn ten times faster than the trunk do not settle from one crop a step.
# Crops are as large as a scene; DeepLab's size is 8k + 1, and dilated convolutions have a margin
# around theirs. One a step gets further in as many images than five.
DEEPLAB = {f"voc-{head}": Small(
    0.0015, 1_000, training=dict(batch=1, crop=129), source=voc,
    net=dict(all_filters=True, score_rate=1, **({"filler": "msra"} if variant.multiscale else {})))
    for head, variant in deeplab.VARIANTS.items()}
CONTEXT = Small(0.001, 200, training=dict(batch=2, crop=128), source=voc)
# with BN, random weights are as good a start as the narrow classifier
SEGNET: dict[str, Any] = dict(recipe=dict(bases={}, drop=0.75), training=dict(batch=4, crop=96),
                              source=voc)
# a score sees 44 pixels with 2 poolings, more than a cell; contrast is low
UNET = Small(0.01, 800, **SETTLING, training=dict(crop=84, elastic=3),
             net=dict(depth=2, scale=1 / 20))

SMALL = {
    "voc-fcn32s": Small(8e-8, 800, **SETTLING),
    "voc-fcn16s": Small(1e-7, 600, **SETTLING),
    "voc-fcn8s": Small(1e-7, 600, **SETTLING),
    "voc-fcn8s-atonce": Small(1e-7, 2_000, **SETTLING, net=dict(skip_scales=(1.0, 0.2))),
    "voc-fcn32s-fixed": Small(8e-8, 800, **SETTLING),
    "voc-fcn-alexnet": Small(0.01, 400),
    "voc-fcn-googlenet": Small(0.01, 480),
    **DEEPLAB,
    # scenes have noise, and a third of the size
    "voc-crfrnn": Small(1e-12, 200, net=dict(thetas=(50, 10, 3))),
    "voc-dilated-frontend": Small(0.0015, 500, training=dict(batch=1, crop=128), source=voc),
    "voc-dilated-context": CONTEXT,
    "voc-dilated-context-large": CONTEXT,
    "camvid-segnet": Small(0.05, 700, **SEGNET),
    "camvid-segnet-bayesian": Small(0.05, 600, **SEGNET),
    "camvid-segnet-basic": Small(0.05, 400, **SEGNET),
    "camvid-segnet-basic-bayesian": Small(0.05, 400, **SEGNET),
    "nyud-fcn32s-color": Small(3e-8, 1_500),
    "nyud-fcn32s-hha": Small(3e-8, 1_500),
    "nyud-fcn32s-color-d": Small(3e-8, 1_500),
    "nyud-fcn32s-color-hha": Small(3e-9, 500),
    "nyud-fcn16s-color-hha": Small(3e-9, 1_000),
    "siftflow-fcn32s": Small(1e-8, 800),
    "siftflow-fcn16s": Small(1e-8, 800),
    "siftflow-fcn8s": Small(1e-8, 800),
    "pascalcontext-fcn32s": Small(1.5e-8, 1_000),
    "pascalcontext-fcn16s": Small(1.5e-8, 1_000),
    "pascalcontext-fcn8s": Small(7e-9, 2_000),
    "isbi-unet": UNET, "phc-unet": UNET, "dic-unet": UNET,
}


Trained = tuple[Experiment, dict[str, Scores]]


def miniature(name: str, directory: Path, seed: int = 0) -> Experiment:
    """The Experiment NAME-demo under `directory`; nothing is generated or trained yet."""
    paper, small = EXPERIMENTS[name], SMALL[name]
    dataset = name.partition("-")[0]
    class_names = DATASETS[dataset][1]
    classes = dict(zip(("classes", "geometric"), map(len, class_names.values())))
    kernel = classifiers.CLASSIFIERS[_trunk(paper)][1] if family_of(paper.head).has_fc6 else None
    source: Source = (small.source or nets.TABLE[name].source)(
        data_dir=directory / f"data-{dataset}", **classes)
    policy = dict(paper.policy)
    if small.training:
        source = source.with_training(**small.training, mirror=True)
    if "stepsize" in policy:
        policy["stepsize"] = max(1, 2 * small.iterations // 3)
    paper = replace(paper, **small.recipe)
    return replace(
        paper, name=f"{name}-demo", lr=small.lr, iterations=small.iterations,
        interval=small.iterations, needs=(),
        iter_size=1 if small.training else min(paper.iter_size, ACCUMULATED),
        class_names=class_names, published="", build=directory, data=f"{OF_SEED}{seed}",
        source=source, policy=policy,
        net={**paper.net, "width": classifiers.WIDTH, "scale": classifiers.SCALE,
             **({"fc6_kernel": kernel} if kernel else {}), **small.net})


def train(name: str, directory: Path, seed: int = 0, known: dict[str, Trained] | None = None
          ) -> Trained:
    """Train NAME in miniature under `directory`, after what it starts from.

    What is trained already is taken as it is. `known` has what earlier calls returned, by name, and
    gets what this one trains. Returns (experiment, {label: Scores}). Raises RunError if `directory`
    began with another seed.
    """
    known = {} if known is None else known
    if name not in known:
        experiment = miniature(name, directory, seed)
        known[name] = experiment, run(experiment, seed, known)
    return known[name]


def run(experiment: Experiment, seed: int, known: dict[str, Trained] | None = None
        ) -> dict[str, Scores]:
    """Train a miniature, or a variant of one under a name that begins like its; see `train`.

    Returns {label: Scores}.
    """
    directory, bases = experiment.build, {}
    Run(directory).record_settings(seed=seed)
    generate(experiment.name, directory, seed)
    for suffix, base in experiment.bases.items():
        if base in nets.TRUNKS:
            bases[suffix] = classifiers.train_classifier(base, directory / base, seed)
        else:
            bases[suffix] = training.trained_net(train(base, directory, seed, known)[0])
    experiment = with_class_weights(experiment)
    return training.train(experiment, bases, force=True)    # variants depart from the recipes


def is_trained(name: str, directory: Path) -> bool:
    """Whether a miniature, or a classifier, is trained under `directory`."""
    if name in classifiers.CLASSIFIERS:
        return classifiers.final_weights(name, directory / name).exists()
    return training.finished(miniature(name, directory))


def generate(name: str, directory: Path, seed: int) -> None:
    """Write the data of an experiment, unless they are there."""
    dataset = name.partition("-")[0]
    DATASETS[dataset][0].generate(directory / f"data-{dataset}", seed)


def bases(name: str) -> dict[str, str]:
    """{suffix of its layers: what NAME in miniature starts from}."""
    return SMALL[name].recipe.get("bases", EXPERIMENTS[name].bases)


def passes(name: str) -> int:
    """How many images pass through NAME in miniature to train it; of a classifier, batches, which
    take as long."""
    if name in classifiers.CLASSIFIERS:
        return classifiers.CLASSIFIERS[name][3]
    small = SMALL[name]
    return small.iterations * (small.training.get("batch", 1) if small.training
                               else min(EXPERIMENTS[name].iter_size, ACCUMULATED))


def shown(name: str) -> str:
    """What a miniature is called: vgg16 is ILSVRC's, vgg16-demo the narrow one of single shapes."""
    return f"{name}-demo"


def _trunk(experiment: Experiment) -> str:
    return experiment.net.get("trunk", "vgg16")
