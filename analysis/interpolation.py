"""Interpolation between the stages of FCN-8s, fixed or learned from bilinear (PAMI, section 4.3).

The miniature of voc-fcn8s; both start from the same FCN-16s. The paper found no notable
difference.
"""

from fcn.analysis.variants import Variant, close, compare, trained

POINTS = 2      # of mean IU, within which results are taken as equal


def run(options):
    variants = {"fixed": Variant(trained("voc-fcn8s")),
                "learned": Variant(trained("voc-fcn8s", "learned", learning))}
    compare(variants, [close(*variants, POINTS)], options)


def learning(experiment):
    return dict(net=dict(experiment.net, learned=True))
