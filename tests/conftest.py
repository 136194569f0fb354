"""What tests of several folders share."""

import gc
import io
import os
import signal
import sys

import pytest
from PIL import Image

import tiny as miniatures
from caffe.log import logger
from fcn.solvers.runs import log

LEVEL = logger.level
DRAW = log.draw
# the files that take 10 seconds and more: a process that began one last would be waited for
SLOW_FILES = (
    "test_torch_export", "test_sequences", "test_random_nets", "test_reliability_signals",
    "test_training",
    "test_original_surface", "test_demo",
    "test_command", "test_main", "test_infer_many", "test_cuda_graphs", "test_own_data",
    "test_starting", "test_workers", "test_failures", "test_reliability_faults",
    "test_infer_killed", "test_labels", "test_infer_segmenter", "test_equality", "test_examples",
    "test_pictures", "test_trial", "test_launch", "test_start", "test_reliability_kills",
    "test_resume", "test_options", "test_page", "test_report", "test_execution", "test_editors",
    "test_importing", "test_caffe_model")
PLACES = {f"{name}.py": place for place, name in enumerate(SLOW_FILES)}

# the tests start make, which below `make test` would take its flags and name its depth
for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL"):
    os.environ.pop(name, None)


def pytest_collection_finish():
    """What modules and tests are stays: the collector of garbage need not look at it again."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items):
    """The slowest files come first. Tests that are marked gpu are skipped where there is none,
    those that are marked original("NAME") where that variable does not name an original."""
    items.sort(key=lambda item: PLACES.get(item.path.name, len(PLACES)))
    for item in items:
        marker = item.get_closest_marker("original")
        if marker and not os.environ.get(marker.args[0]):
            item.add_marker(pytest.mark.skip(reason=f"{marker.args[0]} names no python folder of "
                                                    "BVLC Caffe or of forks"))
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


@pytest.fixture(autouse=True)
def drawn_alike():
    """Fillers and dropout draw the same in every run, whichever tests ran before."""
    if "torch" in sys.modules:      # where it is imported later, it begins with a seed of its own
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(autouse=True)
def blank_curves(monkeypatch):
    """Matplotlib draws for as long as a small net trains, and each training has two curves drawn.
    Here they are blank, but for tests that ask for `real_curves`."""
    blank = io.BytesIO()
    Image.new("RGB", (8, 8)).save(blank, "PNG")
    monkeypatch.setattr(log, "draw", lambda log, path, title: path.write_bytes(blank.getvalue()))


@pytest.fixture
def real_curves(blank_curves, monkeypatch):
    """For tests of what is drawn."""
    monkeypatch.setattr(log, "draw", DRAW)


@pytest.fixture
def log_as_it_is(monkeypatch):
    """For tests that run a command in their own process: it silences a log that others read."""
    monkeypatch.setenv("GLOG_minloglevel", "0")


@pytest.fixture
def tiny(monkeypatch):
    """Miniatures of a step on two small scenes."""
    miniatures.shrink(monkeypatch.setattr)
