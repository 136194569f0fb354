"""Recipes of SGD at equal numbers of images (PAMI, section 4.3): gradient accumulation (batches of
20, momentum 0.9), online learning (single images, 0.9), heavy momentum (single images, 0.99).

The miniature of voc-fcn32s, from one classifier, with the same images in the same order. The rate
is the same for the gradient of each image: Caffe averages an accumulated gradient over its batch,
so the rate of accumulation is 20 times as high.
"""

from analysis.variants import Variant, compare, ordered, trained
from solvers.experiments import ACCUMULATED, ONLINE


def run(options):
    variants = {"heavy": Variant(trained("voc-fcn32s"), "63.6 (PAMI, recalled)"),
                "online": Variant(recipe("online", ONLINE), "60.7 (PAMI, recalled)"),
                "accumulation": Variant(recipe("accumulation", ACCUMULATED),
                                        "51.9 (PAMI, recalled)")}
    compare(variants, [ordered(*variants)], options)


def recipe(name, values):
    """Training by a recipe, on as many images as the miniature's own."""
    def change(experiment):
        batch = values["iter_size"]
        iterations = max(1, experiment.iterations // batch)
        return dict(values, lr=experiment.lr * batch, iterations=iterations, interval=iterations)
    return trained("voc-fcn32s", name, change)
