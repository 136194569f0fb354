"""The folder of a run, as if trained, whose net looks at the colours of single pixels."""

from pathlib import Path

import numpy as np

import caffe
from fcn.nets.source import voc
from fcn.solvers.runs import Run
from segdata.embedded import voc as embedded_voc

SCORE = ('layer {{ name: "score" type: "Convolution" bottom: "data" top: "score" '
         'convolution_param {{ num_output: {} kernel_size: 1 }} }}\n')


def small_run(directory: Path, data: Path) -> Run:
    """It is scored on the two validation samples of the embedded scenes in `data`."""
    run, classes = Run(directory), len(embedded_voc.CLASSES)
    run.folder.mkdir(parents=True)
    source, score = voc(data, classes), SCORE.format(classes)
    net = caffe.NetSpec()
    net.data, net.label = source.tops("val").values()
    run.prototxt("val").write_text(f"{net.to_proto()}\n{score}")
    run.prototxt("deploy").write_text('input: "data" input_shape { dim: 1 dim: 3 dim: 9 dim: 9 }\n'
                                      + score)
    run.prototxt("solver").write_text("test_iter: 2\n")
    (directory / "classes.txt").write_text("\n".join(embedded_voc.CLASSES) + "\n")
    trained = caffe.Net(str(run.prototxt("deploy")), caffe.TEST)
    weights = np.random.default_rng(1).normal(scale=0.02, size=(classes, 3, 1, 1))
    trained.params["score"][0].data[...] = weights
    trained.save(str(run.weights(4)))
    return run
