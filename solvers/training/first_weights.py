"""The weights that a training begins with: from its bases, or from what --from names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fcn import nets, surgery
from fcn.nets import dilated
from fcn.nets.deeplab import CLASSIFIER_SIDE
from fcn.nets.deeplab import VARIANTS as DEEPLAB
from fcn.solvers import starting
from fcn.solvers.experiments.experiment import Experiment
from fcn.solvers.experiments.families import family_of
from fcn.solvers.experiments.table import EXPERIMENTS
from fcn.solvers.preflight import Finding, weights
from fcn.solvers.scoring.prediction import load_net
from fcn.solvers.training.trained import trained_net
from segdata.download import catalog

if TYPE_CHECKING:
    import caffe


def start_weights(experiment: Experiment, net: caffe.Net, base_nets: dict | None = None
                  ) -> list[Finding]:
    """Fill a new net: from its bases by transplant, and bilinear interpolation throughout.

    Returns what of the bases did not arrive.
    """
    reports, base_nets = [], base_nets or _base_nets(experiment)
    ends = {"conv1_1_bgrd", *family_of(experiment.head).unused}
    for suffix, base in base_nets.items():
        if experiment.head in DEEPLAB and experiment.bases[suffix] in nets.TRUNKS:
            report = surgery.decimate_classifier(net, base, DEEPLAB[experiment.head].branches,
                                                 experiment.net.get("fc6_kernel", CLASSIFIER_SIDE))
        else:
            report = surgery.transplant(net, base, suffix)
            report = _with_context(experiment, net, report)
        ends.add(list(base.params)[-1])
        if "conv1_1_bgrd" in net.params:
            surgery.expand_image(net, "conv1_1_bgrd", base, "conv1_1")
            ends.add("conv1_1")
        reports.append([step for step in report if step.name not in ends])
    surgery.interp(net, [name for name in net.params if name.startswith("upscore")])
    return list(weights.unplaced(experiment.head, reports, experiment.run.net_param("train")))


CONTEXT_NOISE = 0.001   # deviation of the weights of a large context module, which widens


def _with_context(experiment: Experiment, net: caffe.Net, report: list[surgery.Outcome]
                  ) -> list[surgery.Outcome]:
    """Have the context module of a net that has one begin as the identity; returns the report."""
    if experiment.head not in dilated.HEADS[1:]:
        return report
    steps = surgery.identity(net, dilated.context_layers(experiment.head),
                             experiment.source.classes,
                             CONTEXT_NOISE if experiment.head == dilated.HEADS[2] else 0)
    filled = {step.name for step in steps}
    return [step for step in report if step.name not in filled] + steps


def _base_nets(experiment: Experiment) -> dict[str, caffe.Net]:
    """{suffix: net} of the experiment's bases."""
    return {suffix: _classifier(experiment.build, base) if base in nets.TRUNKS else
            trained_net(EXPERIMENTS[base]) for suffix, base in experiment.bases.items()}


def _classifier(build: Path, trunk: str) -> caffe.Net:
    deploy = nets.write_prototxt(build / trunk / "deploy.prototxt", nets.classifier(trunk))
    return load_net(deploy, catalog.path(trunk), complete=True)


def fill(experiment: Experiment, net: caffe.Net, base_nets: dict | None) -> list[Finding]:
    """Fill a new net, from its bases or what --from names; returns the findings about that."""
    if experiment.start:
        return [*starting.fill(experiment, net),
                *weights.findings(net, experiment.run.net_param("train"))]
    files = () if base_nets else set(experiment.bases.values()) & set(nets.TRUNKS)
    return [*(finding for name in files
              for finding in weights.not_what_its_name_says(name, catalog.path(name))),
            *start_weights(experiment, net, base_nets),
            *weights.findings(net, experiment.run.net_param("train"))]
