"""Recipes of SGD at equal numbers of images (PAMI, section 4.3): gradient accumulation (batches of
20, momentum 0.9), online learning (single images, 0.9), heavy momentum (single images, 0.99).

The miniature of voc-fcn8s, from the classifier in one stage, with the same images in the same
order; the paper's figures are for FCN-32s. The rate is the same for the gradient of each image:
Caffe averages an accumulated gradient over its batch, so that of accumulation is 20 times as high.
"""

from analysis.variants import Variant, compare, one_stage, ordered, trained
from solvers.experiments import ACCUMULATED, HEAVY, ONLINE


def run(options):
    variants = {"heavy": Variant(recipe("one-stage", HEAVY), "63.6 (PAMI, recalled)"),
                "online": Variant(recipe("online", ONLINE), "60.7 (PAMI, recalled)"),
                "accumulation": Variant(recipe("accumulation", ACCUMULATED),
                                        "51.9 (PAMI, recalled)")}
    compare(variants, [ordered(*variants)], options)


def recipe(name, values):
    """Training by a recipe, on as many images as one stage has iterations."""
    def change(experiment):
        stage, batch = one_stage(experiment), values["iter_size"]
        iterations = max(1, stage["iterations"] // batch)
        return {**stage, **values, "lr": experiment.lr * batch, "iterations": iterations,
                "interval": iterations}
    return trained("voc-fcn8s", name, change)
