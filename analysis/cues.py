"""Cues (PAMI, section 6): what a net makes of the foreground alone, of the background alone, and
of the shape of the foreground alone. The rest of the image has the mean colour.

The miniature of voc-fcn8s, from the classifier in one stage, trained and tested on the cue; and
the one trained on whole images, tested on it ('whole, tested on'). The order is the paper's, as
recalled; its figures are not known here. On the embedded dataset the silhouette tells the class
for certain, and the background tells only that silhouette, as the hole that it leaves.
"""

import caffe
from fcn import nets
from fcn.analysis.filtered import filtered
from fcn.analysis.variants import Variant, compare, one_stage, ordered, trained, variant_of
from fcn.solvers import training
from fcn.solvers.miniatures import miniature
from fcn.solvers.scoring import counting

WHOLE = "voc-fcn8s", "one-stage", one_stage


def run(options):
    variants = {"whole": Variant(trained(*WHOLE)),
                **{cue: Variant(trained("voc-fcn8s", cue, on(cue)))
                   for cue in ("foreground", "background", "shape")},
                **{f"whole, tested on {cue}": Variant(tested(cue))
                   for cue in ("foreground", "background")}}
    compare(variants, [ordered("whole", "foreground", "background", "shape"),
                       ordered("whole", "whole, tested on foreground",
                               "whole, tested on background")], options)


def on(cue):
    """The change to an experiment that is trained and tested on a cue."""
    return lambda experiment: dict(one_stage(experiment),
                                   source=filtered(experiment.source, "Cue", cue=cue))


def tested(cue):
    """A function of (directory, seed) that tests the net trained on whole images on a cue."""
    def test(directory, seed):
        experiment = variant_of("voc-fcn8s", directory, seed, *WHOLE[1:])
        miniature.run(experiment, seed)
        source = filtered(experiment.source, "Cue", cue=cue)
        path = nets.write_prototxt(experiment.directory / f"val-{cue}.prototxt", nets.fcn(
            experiment.head, "val", **{**experiment.net, "source": source}))
        net = caffe.Net(str(path), str(training.final_weights(experiment)), caffe.TEST)
        return 100 * counting.score_net(net, experiment.run.samples())["label"].mean_iu
    return test
