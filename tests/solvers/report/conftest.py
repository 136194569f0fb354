"""A folder of a run as a training leaves it, without a training."""

import numpy as np
import pytest

from fcn.solvers import training
from fcn.solvers.report import gallery
from fcn.solvers.runs import log
from fcn.solvers.scoring import score_file
from fcn.solvers.scoring.metrics import Scores
from fcn.solvers.scoring.samples import SampleTally
from segdata.embedded import voc as embedded_voc

MATRIX = np.array([[900, 10, 0, 0, 0, 0, 0], [40, 60, 0, 0, 0, 0, 0], [5, 0, 70, 0, 0, 25, 0],
                   [0] * 7, [30, 0, 0, 0, 10, 0, 0], [0, 0, 0, 0, 0, 50, 0], [9, 0, 0, 0, 0, 0, 1]])


@pytest.fixture
def scored(experiment):
    """The experiment, its files written, with a log and scores of iteration 4."""
    training.write_files(experiment, 0)
    run = experiment.run
    run.record_settings(**experiment.settings())
    scores = {"label": Scores.of(MATRIX)}
    lines = log.Log(run.directory, 0)
    for iteration in range(1, 5):
        lines.write(iteration, 800.0 / iteration, time=60.0 * iteration, rate=1e-9,
                    loss_per_pixel=8.0 / iteration)
    lines.write(4, None, 100 * scores["label"].headline, validation_loss=300.0,
                validation_loss_per_pixel=3.0)
    tally = SampleTally(run.net_param("val"))
    reader = gallery.data_layer(run)
    for number, iou in enumerate((30.0, 60.0)):
        truth = reader.load(reader.entries[number], number, seed=0)["label"]
        tally.values.append((300.0, []))
        tally.keep(np.minimum(truth[0], 6))
        tally.ious.append(iou)
    score_file.save(scores, run, {"label": embedded_voc.CLASSES}, 4, tally)
    return experiment
