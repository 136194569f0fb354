"""Skips (CVPR, section 4.2): FCN-32s, 16s and 8s, one stage after the other; FCN-8s at once; and
FCN-32s of which only the scores learn.

The miniatures of these experiments. The paper's figures: FCN-32s-fixed of CVPR, trained by
accumulation on a subset of VOC 2011 val; the others of the released models, heavy momentum.
"""

from fcn.analysis.variants import Variant, compare, ordered, trained
from fcn.solvers.experiments.table import EXPERIMENTS

STAGES = {"8s": "voc-fcn8s", "8s at once": "voc-fcn8s-atonce", "16s": "voc-fcn16s",
          "32s": "voc-fcn32s", "32s fixed": "voc-fcn32s-fixed"}


def run(options):
    variants = {name: Variant(trained(experiment), EXPERIMENTS[experiment].published.split()[-1])
                for name, experiment in STAGES.items()}
    compare(variants, [ordered("8s", "16s", "32s", "32s fixed"), ordered("8s", "8s at once")],
            options)
