"""Patch sampling (CVPR, section 4.3): the loss of each cell of the final layer, which is that of a
patch of the image, is kept with a probability p; batches are 1/p times as large.

The miniature of voc-fcn32s at equal numbers of iterations: batches of 1, 2 and 4 images. The
paper found that sampling converges no faster per iteration and takes more time.
"""

from fcn.analysis.filtered import filtered
from fcn.analysis.variants import Variant, close, compare, trained

CELL = 32       # px, the stride of the final layer
SEED = 1
POINTS = 2      # of mean IU, within which results are taken as equal


def run(options):
    variants = {"whole images": Variant(trained("voc-fcn32s")),
                "p = 1/2": Variant(sampled(2)), "p = 1/4": Variant(sampled(4))}
    compare(variants, [close("whole images", name, POINTS) for name in list(variants)[1:]],
            options)


def sampled(batch):
    """Training on batches of which as many cells count as one image has; Caffe averages the
    gradient over the batch, the rate makes it a sum again."""
    def change(experiment):
        source = filtered(experiment.source, "Sampled", ("train",), keep=1 / batch, cell=CELL,
                          seed=SEED)
        return dict(source=source, iter_size=batch, lr=experiment.lr * batch)
    return trained("voc-fcn32s", f"sampled-{batch}", change)
