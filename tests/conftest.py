"""What tests of several folders share."""

import signal

import pytest

import tiny as miniatures
from caffe.log import logger

LEVEL = logger.level


def pytest_collection_modifyitems(items):
    """Tests that are marked gpu are skipped where there is none."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked:
        import torch
        if not torch.cuda.is_available():
            for item in marked:
                item.add_marker(pytest.mark.skip(reason="PyTorch sees no GPU"))


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    """What the engine measures of the processor is not kept in the user's home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True, scope="session")
def ctrl_c():
    """A shell has jobs in the background ignore SIGINT, and what these start ignores it, too. Here
    commands are to hear it, also where the tests run in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def log_level():
    """Tools that a test or a fixture of a module runs in its own process silence the log; the next
    test reads it."""
    logger.setLevel(LEVEL)
    yield
    logger.setLevel(LEVEL)


@pytest.fixture
def log_as_it_is(monkeypatch):
    """For tests that run a command in their own process: it silences a log that others read."""
    monkeypatch.setenv("GLOG_minloglevel", "0")


@pytest.fixture
def tiny(monkeypatch):
    """Miniatures of a step on two small scenes."""
    miniatures.shrink(monkeypatch.setattr)
