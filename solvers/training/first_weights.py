"""The weights that a training begins with: from its bases, or from what --from names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fcn import nets, surgery
from fcn.nets.deeplab import CLASSIFIER_SIDE
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
    family = family_of(experiment.head)
    branches = family.decimated.get(experiment.head)
    ends = {"conv1_1_bgrd", *family.unused}
    for suffix, base in base_nets.items():
        if branches is not None and experiment.bases[suffix] in nets.TRUNKS:
            report = surgery.decimate_classifier(net, base, branches,
                                                 experiment.net.get("fc6_kernel", CLASSIFIER_SIDE))
        else:
            report = surgery.transplant(net, base, suffix)
            report = _with_identity(experiment, net, report)
        ends.add(list(base.params)[-1])
        if "conv1_1_bgrd" in net.params:
            surgery.expand_image(net, "conv1_1_bgrd", base, "conv1_1")
            ends.add("conv1_1")
        reports.append([outcome for outcome in report if outcome.name not in ends])
    surgery.interp(net, [name for name in net.params if name.startswith("upscore")])
    return list(weights.unplaced(experiment.head, reports, experiment.run.net_param("train")))


def _with_identity(experiment: Experiment, net: caffe.Net, report: list[surgery.Outcome]
                   ) -> list[surgery.Outcome]:
    """Have the layers begin as the identity that the head's family says; returns the report."""
    layers, noise = family_of(experiment.head).identity.get(experiment.head, ((), 0))
    if not layers:
        return report
    outcomes = surgery.identity(net, layers, experiment.source.classes, noise)
    filled = {outcome.name for outcome in outcomes}
    return [outcome for outcome in report if outcome.name not in filled] + outcomes


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
