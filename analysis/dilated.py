"""CRF-RNN and dilated convolutions in miniature: what each adds to the net that it starts from.

CRF-RNN (arXiv 1502.03240) puts the mean field of a dense CRF behind a trained FCN-8s and learns its
weights; "as it starts" is that net before it learns. The context module of Yu and Koltun (arXiv
1511.07122) starts behind a trained front end as the identity and learns on its scores.
"""

from fcn.analysis.variants import Variant, compare, ordered, trained
from fcn.solvers import training
from fcn.solvers.miniatures import miniature
from fcn.solvers.scoring import counting
from fcn.solvers.scoring.prediction import load_net

REFINED = "voc-crfrnn"


def run(options):
    """Returns {seed: {variant: mean IU}}."""
    refined = compare({"FCN-8s": Variant(trained("voc-fcn8s")),
                       "CRF-RNN as it starts": Variant(unlearnt),
                       "CRF-RNN": Variant(trained(REFINED))},
                      [ordered("CRF-RNN", "FCN-8s")], options)
    context = compare({"front end": Variant(trained("voc-dilated-frontend")),
                       "context": Variant(trained("voc-dilated-context"))},
                      [ordered("context", "front end")], options)
    return {seed: {**refined[seed], **context[seed]} for seed in options.seeds}


def unlearnt(directory, seed):
    """The mean IU in percent of CRF-RNN with the weights of FCN-8s, and its own as they start."""
    experiment = miniature.miniature(REFINED, directory, seed)
    base, _ = miniature.train("voc-fcn8s", directory, seed)
    training.write_files(experiment, 0)
    net = load_net(experiment.run.prototxt("val"), training.final_weights(base))
    return 100 * counting.score_net(net, experiment.run.samples())["label"].mean_iu
