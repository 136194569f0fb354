"""What scoring tells of single validation samples: their losses, their IU, some predictions."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fcn.solvers.preflight import first_loss
from fcn.solvers.scoring.metrics import Scores
from segdata.files import replacing

if TYPE_CHECKING:
    import caffe
    from caffe.proto import caffe_pb2
    from fcn.solvers.processes.workers import Workers
    from fcn.solvers.runs.run import Run

FILE = "predictions.npz"    # in a run's folder: the predictions of the samples `chosen`
SHOWN = 3                   # best, median and worst ones, each; of fewer samples all


class SampleTally:
    """Counts the samples of a pass over the validation set.

    ious : of each sample, the mean IU of its first label in percent; None where all is void
    """

    def __init__(self, param: caffe_pb2.NetParameter, unscored: tuple = (),
                 in_truth: bool = False) -> None:
        """param : of the net that is passed; unscored, in_truth : as of `score.score_net`"""
        self.param, self.unscored, self.in_truth = param, unscored, in_truth
        self.ious: list[float | None] = []
        self.predictions: list[tuple[bytes, tuple[int, ...]]] = []      # compressed, and shapes
        self.values: list[tuple[float, list[tuple[float, int]]]] = []

    def add(self, net: caffe.Net, matrix: np.ndarray, predicted: np.ndarray) -> None:
        """Count the sample of the last pass: its confusion matrix, and the classes (height, width)
        that were predicted."""
        self.values.append((net_loss(net), [(loss.summed, loss.pixels) for loss
                                            in first_loss.losses(net, self.param)]))
        self.keep(predicted)
        try:
            iou = 100 * Scores.of(matrix, self.unscored, self.in_truth).headline
        except ValueError:
            self.ious.append(None)
        else:
            self.ious.append(round(float(iou), 2))

    def keep(self, predicted: np.ndarray) -> None:
        """Keep the classes of the next sample: some kilobytes for a photograph."""
        packed = zlib.compress(predicted.astype(np.uint8).tobytes(), 1)
        self.predictions.append((packed, predicted.shape))

    def losses(self) -> dict[str, float | None]:
        """The fields of log.LogRow; None where the net has no such loss."""
        summed, pixels = 0.0, 0
        for _, losses in self.values:
            for loss, count in losses:
                summed, pixels = summed + loss, pixels + count
        return {"validation_loss": float(np.mean([value for value, _ in self.values]))
                if self.values else None,
                "validation_loss_per_pixel": summed / pixels if pixels else None}

    def unite(self, workers: Workers) -> None:
        """Have the samples of all workers, in their order; predictions only of those `chosen`."""
        if workers.count == 1:
            return
        self.values, self.ious = workers.interleaved(self.values), workers.interleaved(self.ious)
        needed = {number for _, number in chosen(self.ious)}
        own = enumerate(self.predictions)
        self.predictions = workers.interleaved(
            [prediction if i * workers.count + workers.rank in needed else (b"", ())
             for i, prediction in own])

    def save(self, run: Run, iteration: int) -> None:
        """Write the predictions of the samples `chosen`."""
        arrays: dict[str, Any] = {"iteration": iteration}
        for _, number in chosen(self.ious):
            data, shape = self.predictions[number]
            arrays[str(number)] = np.frombuffer(zlib.decompress(data), np.uint8).reshape(shape)
        with replacing(run.directory / FILE) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)


def net_loss(net: caffe.Net) -> float:
    """The sum of the losses of a net's last pass."""
    return sum(float(net.blobs[name].data) for name in net.outputs if name.startswith("loss"))


def chosen(ious: Sequence[float | None]) -> list[tuple[str, int]]:
    """[(kind, number of the sample)], the best first: the best, the median and the worst ones.
    Where there are no more than these, all of them, whose kind is ''."""
    order = [number for _, number in sorted(((iou, number) for number, iou in enumerate(ious)
                                             if iou is not None), reverse=True)]
    if len(order) <= 3 * SHOWN:
        return [("", number) for number in order]
    middle = (len(order) - SHOWN + 1) // 2
    kinds = {"best": order[:SHOWN], "median": order[middle:middle + SHOWN],
             "worst": order[-SHOWN:]}
    return [(kind, number) for kind, numbers in kinds.items() for number in numbers]
