"""Full disks, read-only and vanished folders, clocks set back, power cuts: told, without loss."""

import errno
import hashlib
import os
import resource
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

import caffe
from caffe.log import logger
from fcn.solvers import training
from fcn.solvers.experiments.table import EXPERIMENTS
from fcn.solvers.runs import log
from fcn.solvers.runs.run import Run
from segdata import files
from segdata.download import catalog, fetch
from segdata.files import WriteError


@contextmanager
def mounted(folder, *arguments):
    """Something mounted at a folder; the test is skipped where that is not allowed."""
    folder.mkdir(exist_ok=True)
    try:
        subprocess.run(["mount", *map(str, arguments), str(folder)], check=True,
                       capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"mounting is not allowed here: {getattr(error, 'stderr', error)}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_said_and_the_run_goes_on_when_there_is_room(experiment, tmp_path):
    """A disk on which the first snapshot finds room, the second does not."""
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=16m", "none") as disk:
        small = replace(experiment, head="fcn32s", build=disk, iterations=4, interval=1)
        training.train(replace(small, iterations=1))
        with (disk / "filling").open("wb", buffering=0) as filling, pytest.raises(OSError):
            while True:
                filling.write(bytes(4096))
        with pytest.raises((WriteError, caffe.CaffeError),
                           match="cannot be written: No space left on device; free space"):
            training.train(small)
        assert not list(disk.rglob("*.part"))
        (disk / "filling").unlink()
        training.train(small)
        assert training.finished(small)


def test_a_limit_of_file_sizes_is_said(experiment, monkeypatch):
    monkeypatch.setattr(logger, "disabled", True)       # pytest has its lines in a file
    run = replace(experiment, head="fcn32s")
    training.train(replace(run, iterations=2))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises((WriteError, caffe.CaffeError),
                           match="train_iter_4.caffemodel: cannot be written: .*ulimit -f"):
            training.train(run)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [iteration for iteration, _ in run.run.snapshots()] == [2]
    training.train(run)
    assert training.finished(run)


def test_a_read_only_disk_is_said(experiment, tmp_path):
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=1m,ro", "none") as disk:
        with pytest.raises(WriteError, match="tiny: cannot be made: Read-only file system.*; make "
                                             "its folder writable"):
            training.train(replace(experiment, build=disk))


@pytest.mark.parametrize("code, words", [(errno.EACCES, "Permission denied; make its folder"),
                                         (errno.EISDIR, "Is a directory; a folder has that"),
                                         (errno.ENOTDIR, "Not a directory; a part of that pa"),
                                         (errno.EEXIST, "File exists; a file has that name"),
                                         (errno.EROFS, "Read-only file system; make its folder"),
                                         (errno.ENOSPC, "No space left on device; free space")])
def test_what_the_tools_cannot_write_is_named_with_its_remedy(tmp_path, monkeypatch, code, words):
    def fail(*_):
        raise OSError(code, os.strerror(code))
    path = tmp_path / "file"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", fail)
    for write in (lambda: files.append(path, ""), lambda: replace_text(path, "new")):
        with pytest.raises(WriteError, match=f"{path}: cannot be written: {words}"):
            write()
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_what_is_named_from_the_current_folder_is_named_so(tmp_path, monkeypatch):
    """The system's error names the whole path."""
    def fail(folder, *_):
        raise PermissionError(errno.EACCES, "Permission denied", f"{tmp_path}/run/report.html.x1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "mkstemp", fail)
    with pytest.raises(WriteError, match="^run/report.html: cannot be written: Permission denied; "
                                         "make its folder writable, or write to another$"):
        replace_text("run/report.html", "new")


def replace_text(path, text):
    with files.replacing(path) as temporary:
        temporary.write_text(text)


@pytest.mark.parametrize("which", ["snapshot", "."])
def test_a_folder_that_vanishes_is_named_and_the_run_starts_again(experiment, monkeypatch, which):
    def step_and_remove(self, count, step=caffe.SGDSolver.step):
        shutil.rmtree(experiment.directory / which, ignore_errors=True)
        step(self, count)
    with monkeypatch.context() as patch:
        patch.setattr(caffe.SGDSolver, "step", step_and_remove)
        with pytest.raises((WriteError, caffe.CaffeError), match=str(experiment.directory)
                           + ".*: cannot be written: No such file or directory; make its folder"):
            training.train(experiment)
    training.train(experiment)
    assert training.finished(experiment)


def test_a_snapshot_folder_that_is_gone_is_made_and_training_starts_anew(experiment):
    training.train(replace(experiment, iterations=2))
    shutil.rmtree(experiment.directory / "snapshot")
    training.train(experiment)
    assert experiment.run.snapshots()[-1][0] == 4


def test_the_clock_does_not_matter(experiment, capsys):
    training.train(experiment)
    for age, (_, state) in enumerate(experiment.run.snapshots()):
        for path in state, state.with_suffix(".caffemodel"):
            os.utime(path, (1e9 - 1e6 * age,) * 2)      # the newer the older
    (experiment.directory / "score.json").unlink()
    training.train(replace(experiment, iterations=6))
    assert "continuing tiny from" in (told := capsys.readouterr().out)
    assert "train_iter_4.solverstate" in told


def test_old_snapshots_go_but_for_the_best_and_what_others_start_from(experiment, monkeypatch):
    scores = iter([10.0, 50.0, 20.0, 30.0, 30.0])
    write = log.Log.write

    def write_score(self, iteration, loss=None, mean_iu=None, **others):
        return write(self, iteration, loss, None if mean_iu is None else next(scores), **others)
    monkeypatch.setattr(log.Log, "write", write_score)
    monkeypatch.setitem(EXPERIMENTS, "tiny", replace(experiment, iterations=3))
    run = replace(experiment, head="fcn32s", iterations=5, interval=1)
    training.train(run, keep=1)
    assert [iteration for iteration, _ in run.run.snapshots()] == [2, 3, 5]


NET = """
layer { name: "x" type: "DummyData" top: "x" top: "y"
        dummy_data_param { shape { dim: 1 dim: 1000 } shape { dim: 1 dim: 750 } } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "fc"
        inner_product_param { num_output: 750 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "fc" bottom: "y" top: "loss" }
"""


def write_all(solver, disk, monkeypatch):
    """A snapshot's weights, state and sidecar, 3 MB each; settings, log and a download."""
    solver.net.params["fc"][0].data[...] += 1
    solver.history[0] += 1
    solver.snapshot()
    Run(disk / "run").record_settings(head="fcn8s")
    lines = log.Log(disk / "run", 0)
    lines.write(1, 0.5)
    lines.write(2, 0.25)
    content = np.random.default_rng(len(list(disk.iterdir()))).bytes(3_000_000)

    def transfer(url, part, item, accept):
        part.write_bytes(content)
        return hashlib.sha1(content).hexdigest()
    monkeypatch.setattr(fetch, "transfer_patiently", transfer)
    item = replace(catalog.ITEMS["vgg16"], checksum=None, size=None)
    fetch.fetch(item, disk / "download", accept=True)


@pytest.mark.parametrize("times", [1, 2], ids=["new", "overwritten"])
def test_a_power_cut_leaves_whole_files(tmp_path, monkeypatch, times):
    """The image of a mounted disk, copied as it is, is what a power cut leaves."""
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("there is no mkfs.ext4")
    image, copy = tmp_path / "image", tmp_path / "copy"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    with mounted(tmp_path / "disk", "-o", "loop", image) as disk:
        (tmp_path / "net.prototxt").write_text(NET)
        (tmp_path / "solver.prototxt").write_text(
            f'net: "{tmp_path}/net.prototxt" base_lr: 0.1 lr_policy: "fixed" '
            f'snapshot_prefix: "{disk}/train"')
        solver = caffe.get_solver(str(tmp_path / "solver.prototxt"))
        for _ in range(times):
            os.sync()
            write_all(solver, disk, monkeypatch)
        expected = contents(disk)
        time.sleep(7)
        subprocess.run(["cp", str(image), str(copy)], check=True)
    assert set(expected) == {"train_iter_0.caffemodel", "train_iter_0.solverstate", "download",
                             "train_iter_0.solverstate.resume", "run/log.csv", "run/settings.json"}
    with mounted(tmp_path / "after", "-o", "loop", copy) as after:
        assert contents(after) == expected


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*")
            if path.is_file()}
