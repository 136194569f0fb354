"""Snapshots made ready for testing, of nets whose BN learns with the statistics of the batch.

A run of such a net has a statistics.prototxt, its train net with the statistics as outputs. Before
a snapshot train_iter_N.caffemodel is scored they are measured over the training images and folded,
and what the nets of val and deploy take is written beside it, as test_iter_N.caffemodel.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fcn import nets, surgery
from fcn.solvers.console import progress
from fcn.solvers.experiments.experiment import Experiment
from fcn.solvers.experiments.splits import listed
from segdata.files import replacing

if TYPE_CHECKING:
    import caffe
    from caffe.proto import caffe_pb2

MOST_BATCHES = 500      # over which statistics are measured; DeconvNet's release takes as many


def write_net(experiment: Experiment, train: caffe_pb2.NetParameter) -> None:
    """Write statistics.prototxt where a BN of the train net learns: the training images in order,
    each once, or where they are more than MOST_BATCHES batches, so many drawn at random."""
    if not any(map(surgery.learns_statistics, train.layer)):
        return
    source = experiment.source.with_training(
        randomize=_images(experiment) > MOST_BATCHES * experiment.source.batch)
    net = nets.fcn(experiment.head, "train", source=source, **experiment.net)
    nets.write_prototxt(experiment.run.prototxt("statistics"), surgery.with_statistics(net))


def _images(experiment: Experiment) -> int:
    """The number of training images."""
    _, entries = listed(*experiment.source.train)
    return len(entries)


def write_weights(experiment: Experiment, iteration: int) -> surgery.Statistics | None:
    """Write test_iter_N.caffemodel of a snapshot, and return what was measured for it; None where
    the run needs none.

    Raises SurgeryError where the statistics are not finite.
    """
    import caffe
    run = experiment.run
    if not run.needs_statistics():
        return None
    path = run.for_testing(run.weights(iteration))
    passes = min(MOST_BATCHES, -(-_images(experiment) // experiment.source.batch))
    net = caffe.Net(str(run.prototxt("statistics")), str(run.weights(iteration)), caffe.TEST)
    found = surgery.statistics(net, passes, lambda numbers: progress.through(
        numbers, "statistics", passes, "batch", leave=False))
    surgery.fold_statistics(net, found)
    with replacing(path) as temporary:
        net.save(str(temporary))
    return found


@contextmanager
def folded(net: caffe.Net, found: surgery.Statistics | None) -> Iterator[None]:
    """Have a net test with the statistics that were found, if any. Its weights may be those of the
    net that learns, and so are afterwards what they were."""
    kept = [(blob, blob.data.copy()) for name in found or ()
            for blob in surgery.layer_parameters(net, name)]
    if found:
        surgery.fold_statistics(net, found)
    try:
        yield
    finally:
        for blob, values in kept:
            blob.data[...] = values
