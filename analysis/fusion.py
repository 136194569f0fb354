"""Colour and depth (CVPR, section 5, NYUDv2): colour alone, HHA alone, colour and depth in one
net (early fusion), and the scores of a colour and an HHA net averaged (late fusion), then at
stride 16.

The miniatures of these experiments. The paper's figures are its table 4.
"""

from fcn.analysis.variants import Variant, compare, ordered, trained
from fcn.solvers.experiments.table import EXPERIMENTS

INPUTS = {"late, 16s": "nyud-fcn16s-color-hha", "late": "nyud-fcn32s-color-hha",
          "early": "nyud-fcn32s-color-d", "colour": "nyud-fcn32s-color", "HHA": "nyud-fcn32s-hha"}


def run(options):
    variants = {name: Variant(trained(experiment), EXPERIMENTS[experiment].published.split()[-1])
                for name, experiment in INPUTS.items()}
    compare(variants, [ordered("late, 16s", "late", "colour"), ordered("late", "HHA")], options)
