"""A plugin for pytest: every pass over a net on a CPU is recorded and replayed, on a Tape.

PYTHONPATH=tests/support python -m pytest -p taped tests/caffe
"""

import pytest

from tape import Tape


@pytest.fixture(autouse=True)
def taped(monkeypatch):
    from caffe.engine.layers.convolution import Deconvolution
    from caffe.engine.runners import recorded
    monkeypatch.setattr(recorded, "KINDS", {"cpu": Tape})
    monkeypatch.setattr(Deconvolution, "_is_diagonal", lambda *_: False)    # it would look
