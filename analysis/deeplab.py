"""DeepLab in miniature (arXiv 1412.7062): what holes and a dense CRF add to the same net.

LargeFOV as the miniature of voc-deeplab-largefov has it; 'stride 32' is that net with the poolings
of the classifier and without holes, from the same weights, on the same crops in the same order.
'with CRF' is the trained net with the dense CRF of the authors' settings behind it. The paper's
figures are for VOC 2012 val. Then the times of both strides: of a training iteration, and of a
scene with and without the CRF.
"""

import statistics
import time
from functools import partial

import caffe
from fcn.analysis.variants import Claim, Variant, compare, ordered, trained, variant_of
from fcn.solvers import training
from fcn.solvers.console.text import columns
from fcn.solvers.inference.crf import Settings, Sharpener
from fcn.solvers.scoring import counting, tables
from fcn.solvers.scoring.prediction import load_net

NAME = "voc-deeplab-largefov"
POINTS = 3      # of mean IU, which the CRF adds at least; 5.4 in the paper
TIMES = 5


def without_holes(experiment):
    return dict(net=dict(experiment.net, stride=32))


STRIDES = {"LargeFOV": (), "stride 32": ("stride-32", without_holes)}


def run(options):
    """Returns {seed: {variant: mean IU}}."""
    variants = {}
    for (title, variant), paper in zip(STRIDES.items(), (("62.3", "67.6"), ("", ""))):
        variants[title] = Variant(trained(NAME, *variant), paper[0])
        variants[f"{title} with CRF"] = Variant(partial(sharpened, variant), paper[1])
    adds = Claim(f"the CRF adds {POINTS} points to LargeFOV", lambda found: (
        found["LargeFOV with CRF"] >= found["LargeFOV"] + POINTS))
    found = compare(variants, [adds, ordered(*STRIDES)], options)
    seed = options.seeds[0]
    rows = [("seconds", "training iteration", "scene", "with CRF")]
    rows += [(title, *times(variant_of(NAME, options.directory / f"seed-{seed}", seed,
                                       *(variant or ("", None)))))
             for title, variant in STRIDES.items()]
    print("\n" + columns(rows))
    return found


def sharpened(variant, directory, seed):
    """The mean IU in percent of a trained variant with the CRF behind it."""
    experiment = variant_of(NAME, directory, seed, *(variant or ("", None)))
    net = load_net(experiment.run.prototxt("val"), training.final_weights(experiment))
    sharpener = Sharpener(experiment.run, Settings())
    scores = counting.score_net(net, experiment.run.samples(),
                                sharpeners={tables.WITH_CRF: sharpener})
    return 100 * scores["label" + tables.WITH_CRF].mean_iu


def times(experiment):
    """Medians, in seconds, as text: a training iteration; a scene; a scene with the CRF."""
    solver = caffe.get_solver(str(experiment.run.prototxt("solver")))
    net = load_net(experiment.run.prototxt("val"), training.final_weights(experiment))
    sharpener = Sharpener(experiment.run, Settings())

    def with_crf():
        net.forward()
        sharpener(net, net.blobs["score"].data, "score")
    return [f"{seconds(work):.3f}" for work in (lambda: solver.step(1), net.forward, with_crf)]


def seconds(work):
    """The median time of work()."""
    work()      # allocates
    found = []
    for _ in range(TIMES):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return statistics.median(found)
