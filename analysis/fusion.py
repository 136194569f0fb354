"""Colour and depth (CVPR, section 5, NYUDv2): colour alone, HHA alone, colour and depth in one
net (early fusion), and the scores of a colour and an HHA net averaged (late fusion).

The miniatures of these experiments.
"""

from analysis.variants import Variant, compare, ordered, trained

INPUTS = {"late": "nyud-fcn32s-color-hha", "early": "nyud-fcn32s-color-d",
          "colour": "nyud-fcn32s-color", "HHA": "nyud-fcn32s-hha"}


def run(options):
    variants = {name: Variant(trained(experiment)) for name, experiment in INPUTS.items()}
    compare(variants, [ordered("late", "colour"), ordered("late", "HHA")], options)
