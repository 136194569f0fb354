"""Cues (PAMI, section 6): what a net makes of the foreground alone, of the background alone, and
of the shape of the foreground alone. The rest of the image has the mean colour.

The miniature of voc-fcn8s-atonce, trained and tested on the cue; and the one trained on whole
images, tested on it ('whole, tested on'). The order is the paper's, as recalled; no figures of
its are known here. On the embedded dataset the silhouette tells the class for certain.
"""

import caffe

import nets
from analysis.variants import Variant, compare, filtered, ordered, trained
from solvers import miniature, score, training

NAME = "voc-fcn8s-atonce"


def run(options):
    variants = {"whole": Variant(trained(NAME)),
                **{cue: Variant(trained(NAME, cue, on(cue)))
                   for cue in ("foreground", "background", "shape")},
                **{f"whole, tested on {cue}": Variant(tested(cue))
                   for cue in ("foreground", "background")}}
    compare(variants, [ordered("whole", "foreground", "background", "shape"),
                       ordered("whole", "whole, tested on foreground",
                               "whole, tested on background")], options)


def on(cue):
    """The change to an experiment that is trained and tested on a cue."""
    return lambda experiment: dict(source=filtered(experiment.source, "Cue", cue=cue))


def tested(cue):
    """A function of (directory, seed) that tests the net trained on whole images on a cue."""
    def test(directory, seed):
        experiment, _ = miniature.train(NAME, directory, seed)
        source = filtered(experiment.source, "Cue", cue=cue)
        path = nets.write_prototxt(experiment.directory / f"val-{cue}.prototxt", nets.fcn(
            experiment.head, "val", **{**experiment.net, "source": source}))
        net = caffe.Net(str(path), str(training.final_weights(experiment)), caffe.TEST)
        return 100 * score.score_net(net, experiment.run.samples())["label"].mean_iu
    return test
