"""A run that trains in a second."""

import signal

import pytest

from fcn.nets.source import voc
from fcn.solvers.experiments.experiment import Experiment
from segdata.embedded import voc as embedded_voc


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    directory = tmp_path_factory.mktemp("embedded") / "data"
    embedded_voc.generate(directory, seed=5, train=4, val=2)
    return directory


@pytest.fixture
def experiment(data, tmp_path):
    return Experiment("tiny", {}, 1e-9, "fcn16s", voc(data, len(embedded_voc.CLASSES)),
                      {"label": embedded_voc.CLASSES}, iterations=4, interval=2, build=tmp_path,
                      net=dict(width=1 / 64, filler="msra"))


@pytest.fixture
def handled():
    """SIGINT raises KeyboardInterrupt, also where the tests run with it ignored; no signal is."""
    handlers = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL,
                signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
