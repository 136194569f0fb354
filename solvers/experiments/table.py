"""The table of experiments: what differs between them, and nothing else.

The FCNs are trained with a fixed rate, most on the loss summed over pixels, one image a step;
DeepLab and dilated convolutions on batches, on the mean over pixels; U-Net on one tile a step, on
the weighted mean.
"""

import shlex
import textwrap
from pathlib import Path
from typing import Any

from fcn import nets
from fcn.solvers.console.errors import RunError
from fcn.solvers.experiments.experiment import ACCUMULATED, Experiment
from fcn.solvers.experiments.families import family_of
from fcn.solvers.runs.all_runs import trained
from fcn.solvers.runs.run import Run
from fcn.solvers.runs.settings import as_command_line
from segdata.datasets import DATASETS
from segdata.errors import did_you_mean
from segdata.paths import build_root


def _row(name: str, base: str | dict[str, str], lr: float, **options: Any) -> Experiment:
    """The Experiment of a net in nets.TABLE; `base` is one name, or {suffix: name}."""
    net = nets.TABLE[name]
    dataset = DATASETS[family_of(net.head).dataset or name.partition("-")[0]]
    bases = base if isinstance(base, dict) else {"": base}
    classifiers = tuple(name for name in bases.values() if name in nets.TRUNKS)
    return Experiment(name, bases, lr, net.head, net.source(), dataset.class_names,
                      net=net.options, unscored=dataset.unscored,
                      in_truth=dataset.in_truth,
                      needs=classifiers + dataset.needs, **options)


RELEASED = "the released model, seg11valid: mean IU {}"
# trained by accumulation
CVPR = "CVPR, a subset of VOC 2011 val: {}"
CVPR_NYUD = "CVPR, table 4: {}"
# DeepLab (arXiv 1412.7062, section 5 and tables 1 and 2): batches of 20, a tenth of the rate after
# every 2,000 iterations, of which the public reproduction of the authors' training has 6,000
VAL = "DeepLab, VOC 2012 val: mean IU {}"
STEPS: dict[str, Any] = dict(momentum=0.9, iterations=6_000, interval=1_000,
                             policy=dict(lr_policy="step", gamma=0.1, stepsize=2_000))
# its successor (arXiv 1606.00915)
POLY: dict[str, Any] = dict(momentum=0.9, iterations=20_000, interval=2_000,
                            policy=dict(lr_policy="poly", power=0.9))
# SegNet and its Bayesian variants: their solver prototxts
SEGNET: dict[str, Any] = dict(momentum=0.9, interval=1_000, class_weights="median")
# Dilated convolutions: momentum and rates of the authors' train.py, a tenth after 100,000
# iterations; batches of 14, of stored scores of 60. How many iterations it does not say.
DILATED: dict[str, Any] = dict(momentum=0.9, policy=dict(lr_policy="step", gamma=0.1,
                                                         stepsize=100_000))
CONTEXT: dict[str, Any] = dict(DILATED, iter_size=20, iterations=6_000, interval=500)
# U-Net (arXiv 1505.04597, section 3): one tile a step, momentum 0.99. Rate and iterations it does
# not say; the rate is for the mean over pixels.
TILES: dict[str, Any] = dict(momentum=0.99, iterations=60_000, interval=5_000)
ISBI = "U-Net, the challenge's test set: {}"
ARXIV_CONTEXT = "CVPR on arXiv (version 2), table 6: {}"

EXPERIMENTS = {row.name: row for row in (
    _row("voc-fcn32s", "vgg16", 1e-10, published=RELEASED.format(63.6)),
    _row("voc-fcn16s", "voc-fcn32s", 1e-12, published=RELEASED.format(65.0)),
    _row("voc-fcn8s", "voc-fcn16s", 1e-14, published=RELEASED.format(65.5)),
    _row("voc-fcn8s-atonce", "vgg16", 1e-10, iterations=300_000, published=RELEASED.format(65.4)),
    _row("voc-fcn32s-fixed", "vgg16", 1e-10, published=CVPR.format("83.0/59.7/45.4/72.0")),
    _row("voc-fcn-alexnet", "caffenet", 1e-4, **ACCUMULATED, published=RELEASED.format(48.0)),
    _row("voc-fcn-googlenet", "googlenet", 5e-5, **ACCUMULATED,
         published="CVPR, VOC 2011 val: mean IU 42.5"),
    _row("voc-deeplab", "vgg16", 1e-3, **STEPS, published=VAL.format("59.8, with CRF 63.7")),
    _row("voc-deeplab-msc", "voc-deeplab", 1e-3, **STEPS,
         published=VAL.format("61.3, with CRF 65.2")),
    _row("voc-deeplab-7x7", "vgg16", 1e-3, **STEPS, published=VAL.format("64.4, with CRF 67.6")),
    _row("voc-deeplab-4x4", "vgg16", 1e-3, **STEPS, published=VAL.format("with CRF 67.1")),
    _row("voc-deeplab-largefov", "vgg16", 1e-3, **STEPS,
         published=VAL.format("62.3, with CRF 67.6")),
    _row("voc-deeplab-msc-largefov", "voc-deeplab-largefov", 1e-3, **STEPS,
         published=VAL.format("64.2, with CRF 68.7")),
    _row("voc-deeplab-aspp", "vgg16", 1e-3, **POLY),
    _row("voc-crfrnn", "voc-fcn8s", 1e-13),
    _row("voc-dilated-frontend", "vgg16", 1e-4, **DILATED, iterations=60_000),
    _row("voc-dilated-context", "voc-dilated-frontend", 1e-3, **CONTEXT),
    _row("voc-dilated-context-large", "voc-dilated-frontend", 1e-3, **CONTEXT),
    _row("camvid-segnet", "vgg16", 1e-3, **SEGNET, iterations=40_000),
    _row("camvid-segnet-basic", {}, 0.1, **SEGNET, iterations=10_000),
    _row("camvid-segnet-bayesian", "vgg16", 1e-3, **SEGNET, iterations=60_000),
    _row("camvid-segnet-basic-bayesian", {}, 0.1, **SEGNET, iterations=10_000),
    _row("nyud-fcn32s-color", "vgg16", 1e-10, interval=2_000,
         published=CVPR_NYUD.format("60.0/42.2/29.2/43.9")),
    _row("nyud-fcn32s-hha", "vgg16", 1e-10, interval=2_000,
         published=CVPR_NYUD.format("57.1/35.2/24.2/40.4")),
    _row("nyud-fcn32s-color-d", "vgg16", 1e-10, interval=2_000,
         published=CVPR_NYUD.format("61.5/42.4/30.5/45.5")),
    _row("nyud-fcn32s-color-hha", {"color": "nyud-fcn32s-color", "hha": "nyud-fcn32s-hha"}, 1e-12,
         interval=2_000, published=CVPR_NYUD.format("64.3/44.9/32.8/48.0")),
    # never released; the rate is that of the net that it starts from
    _row("nyud-fcn16s-color-hha", "nyud-fcn32s-color-hha", 1e-12, interval=2_000,
         published=CVPR_NYUD.format("65.4/46.1/34.0/49.5")),
    _row("siftflow-fcn32s", "vgg16", 1e-10, interval=2_000),
    _row("siftflow-fcn16s", "siftflow-fcn32s", 1e-12, interval=2_000,
         published="CVPR: 85.2/51.7/39.5/76.1, geometric pixel accuracy 94.3"),
    _row("siftflow-fcn8s", "siftflow-fcn16s", 1e-12, interval=2_000),
    _row("pascalcontext-fcn32s", "vgg16", 1e-10, iterations=300_000, interval=8_000,
         published=ARXIV_CONTEXT.format("63.8/42.7/31.8/48.3")),
    _row("pascalcontext-fcn16s", "pascalcontext-fcn32s", 1e-12, iterations=300_000,
         interval=8_000, published=ARXIV_CONTEXT.format("65.7/46.2/34.8/50.7")),
    _row("pascalcontext-fcn8s", "pascalcontext-fcn16s", 1e-14, iterations=300_000, interval=8_000,
         published=ARXIV_CONTEXT.format("65.9/46.5/35.1/51.0")),
    _row("isbi-unet", {}, 1e-3, **TILES, published=ISBI.format(
        "warping error 0.000353, Rand error 0.0382, pixel error 0.0611")),
    _row("phc-unet", {}, 1e-3, **TILES, published=ISBI.format("IU of cells 92.03")),
    _row("dic-unet", {}, 1e-3, **TILES, published=ISBI.format("IU of cells 77.56")),
)}


def experiment_named(name: str) -> Experiment:
    """A row of the table. Raises RunError, with the known names, for another name."""
    if name not in EXPERIMENTS:
        rest = _advice_for_own_run(name) or _suggestions(name)
        raise RunError(f"unknown experiment '{name}'{rest}")
    return EXPERIMENTS[name]


def _advice_for_own_run(name: str) -> str:
    """The rest of the message where the name is that of a run on a folder of data; else ''."""
    run = Run(build_root() / Path(name).name)
    if not Path(name).name or run.directory.resolve() not in (
            Path(name).resolve(), (build_root() / name).resolve()):
        return ""
    data = run.settings().get("data")
    if not isinstance(data, str) or not Path(data).is_absolute():       # miniatures have "seed N"
        return ""
    from fcn.solvers.runs.circumstances import last_command
    told = ": it is a run on your own data; continue it with\n    "
    if command := last_command(run):
        return told + command
    words = "fcn", "solve", "--data", data, "--name", run.directory.name
    return (f"{told}{shlex.join(words)} {as_command_line(run.settings())}\n"
            "and, where it began with them, its --iterations, --lr and other options of training")


def _suggestions(name: str) -> str:
    """The rest of the message: what the name probably means, and which are known."""
    own = [run.directory.name for run in trained() if _advice_for_own_run(run.directory.name)]
    meant = did_you_mean(name, [*EXPERIMENTS, *own]) or (
        f", which is a folder: train on it by `fcn solve --data {shlex.quote(name)}`"
        if name and Path(name).is_dir() else "")
    known = textwrap.fill(f"Known are {', '.join(EXPERIMENTS)}", 100, break_on_hyphens=False)
    return f"{meant}\n{known}"
