"""Recipes of SGD at equal numbers of images (PAMI, section 4.3): gradient accumulation (batches of
20, momentum 0.9), online learning (single images, 0.9), heavy momentum (single images, 0.99).

The miniature of voc-fcn8s, from the classifier in one stage, with the same images in the same
order; the paper's figures are for FCN-32s. The base rate is the same, fit for heavy momentum. Caffe
averages an accumulated gradient over its batch, so that each image counts 20 times less in
accumulation; 'summed' makes up for that by 20 times the rate. The rates of the paper's comparison
are not known here.
"""

from fcn.analysis.variants import Variant, compare, one_stage, ordered, trained
from fcn.solvers.experiments.experiment import ACCUMULATED, HEAVY, ONLINE


def run(options):
    variants = {"heavy": Variant(recipe("one-stage", HEAVY), "63.6 (PAMI, recalled)"),
                "online": Variant(recipe("online", ONLINE), "60.7 (PAMI, recalled)"),
                "accumulation": Variant(recipe("accumulation", ACCUMULATED),
                                        "51.9 (PAMI, recalled)"),
                "summed": Variant(recipe("accumulation-summed", ACCUMULATED, summed=True))}
    compare(variants, [ordered("heavy", "online", "accumulation")], options)


def recipe(name, values, summed=False):
    """Training by a recipe, on as many images as one stage has iterations; with the sum of a
    batch's gradients, or, as Caffe has it, their mean."""
    def change(experiment):
        stage, batch = one_stage(experiment), values["iter_size"]
        iterations = max(1, stage["iterations"] // batch)
        rate = experiment.lr * (1 - HEAVY["momentum"]) / (1 - experiment.momentum)
        return {**stage, **values, "lr": rate * (batch if summed else 1),
                "iterations": iterations, "interval": iterations}
    return trained("voc-fcn8s", name, change)
