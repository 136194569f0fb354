"""Processes that are started together: their environment, and what ends them."""

import os
import signal
import subprocess
import sys
import time

import pytest

from caffe import launching
from fcn.nets.source import ROOT
from fcn.solvers import solve
from fcn.solvers.console.errors import RunError
from fcn.solvers.experiments import options
from fcn.solvers.experiments.table import EXPERIMENTS
from fcn.solvers.processes import devices, launch, torchrun, workers
from fcn.solvers.runs.run import Run
from fcn.solvers.training import train_experiment

# {rank} of the environment is what each does; files say that it is there
SCRIPT = """
import os, signal, sys, time
from pathlib import Path
rank, attempt = int(os.environ["RANK"]), int(os.environ["TORCHELASTIC_RESTART_COUNT"])
assert os.environ["WORLD_SIZE"] == "2" and os.environ["MASTER_PORT"].isdecimal()
folder = Path(sys.argv[1])
def stop(number, frame):
    (folder / f"stopped {rank}").touch()
    sys.exit(128 + number)
signal.signal(signal.SIGTERM, stop)
(folder / f"there {rank} {attempt}").write_text(str(os.getpid()))
exec(sys.argv[2])
"""


@pytest.fixture
def launched(tmp_path, monkeypatch):
    """launched(code, restarts=0, *options): the exit status of two processes that run SCRIPT."""
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)

    def run(code, restarts=0, *options):
        monkeypatch.setattr(sys, "argv", [str(path), str(tmp_path), code, *options])
        return launch.launch(2, restarts)
    return run


def launcher(folder, code, settings="pass\n"):
    """A process that launches two which run SCRIPT, each with `code`."""
    path = folder / "script.py"
    path.write_text("import os\nif 'RANK' not in os.environ:\n    import sys\n    "
                    "from caffe import launching\n    "
                    "from fcn.solvers.processes.launch import launch\n    "
                    f"{settings}    sys.exit(launch(2, 3))\n" + SCRIPT)
    return subprocess.Popen([sys.executable, path, folder, code], cwd=ROOT, text=True,
                            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                            stderr=subprocess.PIPE)


def wait_for(happened):
    end = time.monotonic() + 120
    while not happened() and time.monotonic() < end:
        time.sleep(0.1)


def test_all_well(launched, tmp_path):
    assert launched("") == 0
    assert len(list(tmp_path.glob("there * 0"))) == 2


@pytest.mark.parametrize("threads, told", [("1", "OMP_NUM_THREADS=1 "), (None, "")])
def test_the_command_that_continues_has_the_threads_of_the_command_that_started_them(
        launched, tmp_path, monkeypatch, threads, told):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if threads:
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
    assert launched("from fcn.solvers.console.commands import same_command\n"
                    "if not rank:\n    (folder / 'same').write_text(same_command())") == 0
    said = (tmp_path / "same").read_text()
    assert said.startswith(told) and said.count("OMP_NUM_THREADS") == bool(threads)


def test_a_process_that_is_killed_ends_the_others(launched, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(launching, "SETTLE", 0.1)
    begin = time.monotonic()
    assert launched("while not (folder / 'there 0 0').exists():\n    time.sleep(0.01)\n"
                    "os.kill(os.getpid(), signal.SIGKILL) if rank else time.sleep(100)") == 137
    assert time.monotonic() - begin < 30
    assert (tmp_path / "stopped 0").exists()
    error = capfd.readouterr().err
    pid = (tmp_path / "there 1 0").read_text()
    assert f"error: rank 1 of 2 (process {pid}) was ended by SIGKILL" in error
    assert "Continue with\n" in error and error.count("error:") == 1


def test_whether_a_process_that_was_killed_had_begun_anew_is_for_the_user_to_see(launched, capfd):
    assert launched("os.kill(os.getpid(), signal.SIGKILL)", 0, "--fresh") == 137
    goes_on, anew = capfd.readouterr().err.split("Continue with\n")[1].split(
        "\nor, where the new run has no snapshot yet, with\n")
    assert anew.strip() == goes_on.strip() + " --fresh"


def test_one_that_does_not_listen_is_killed(launched, monkeypatch, capfd):
    monkeypatch.setattr(launching, "SETTLE", 0.1)
    monkeypatch.setattr(launching, "GRACE", 0.1)
    assert launched("signal.signal(signal.SIGTERM, signal.SIG_IGN) if rank else sys.exit(3)\n"
                    "time.sleep(100)") == 3
    assert "error: rank 1 of 2 (process" in (err := capfd.readouterr().err)
    assert "had not ended 0.2 s after another has failed: it is killed (SIGKILL)" in err


@pytest.mark.parametrize("hang, status, when", [
    ("rank == 1", 143, "LEAVING"), ("True", 137, "STOPPING")])
def test_one_that_hangs_after_a_signal_is_killed(tmp_path, hang, status, when):
    """Soon where another has ended, else after the time in which all should have."""
    process = launcher(tmp_path, f"if {hang}: signal.pthread_sigmask(signal.SIG_BLOCK, "
                       "[signal.SIGTERM])\n(folder / f'ready {rank}').touch()\ntime.sleep(100)",
                       f"launching.{when} = 0.3\n")
    wait_for(lambda: len(list(tmp_path.glob("ready *"))) == 2)
    process.send_signal(signal.SIGTERM)
    begin, err = time.monotonic(), process.communicate(timeout=60)[1]
    assert process.returncode == status and time.monotonic() - begin < 30
    pid = (tmp_path / "there 1 0").read_text()
    assert (f"error: rank 1 of 2 (process {pid}) had not ended 0.3 s after a signal to stop: it is "
            "killed (SIGKILL)") in err
    assert err.count("it is killed") == (1 if when == "LEAVING" else 2)


@pytest.mark.parametrize("restarts, status", [(1, 9), (2, 0), (5, 0)])
def test_processes_begin_anew_as_often_as_is_asked(launched, tmp_path, monkeypatch, restarts,
                                                   status):
    monkeypatch.setattr(launching, "SETTLE", 0.1)
    assert launched("sys.exit(9 if attempt < 2 and rank == 0 else 0)", restarts) == status
    assert len(list(tmp_path.glob("there 0 *"))) == min(restarts, 2) + 1


def test_a_signal_reaches_each_process_once_and_starts_none_anew(tmp_path):
    """They are in sessions of their own, so that a terminal's Ctrl-C comes from the launcher."""
    process = launcher(tmp_path, "time.sleep(100)")
    wait_for(lambda: len(list(tmp_path.glob("there *"))) == 2)
    process.send_signal(signal.SIGTERM)
    assert "error" not in process.communicate(timeout=60)[1]
    assert process.returncode == 143
    assert len(list(tmp_path.glob("stopped *"))) == 2 == len(list(tmp_path.glob("there *")))


@pytest.mark.parametrize("raised, expected, waits", [
    (RunError("x"), torchrun.EndedByAnother, True), (SystemExit(2), SystemExit, True),
    (SystemExit(0), SystemExit, False)])
def test_what_is_wrong_for_all_ends_rank_0_first(monkeypatch, raised, expected, waits):
    """Torchrun ends all with the first that fails, so that rank 0 would not say what it is."""
    monkeypatch.setenv("RANK", "1"), monkeypatch.setenv("WORLD_SIZE", "2")
    slept = []
    monkeypatch.setattr(torchrun.time, "sleep", slept.append)
    with pytest.raises(expected), torchrun.only_first_speaks():
        raise raised
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")       # which ends this one behind rank 0
    with pytest.raises(expected), torchrun.only_first_speaks():
        raise raised
    assert slept == [torchrun.LEAVING, torchrun.LAUNCHED] * waits


@pytest.mark.parametrize("arguments, words", [
    ("--gpu 0,0", "expected the number of a GPU, several different ones as 0,1, or all, got '0,0'"),
    ("--gpu 0,x", "or all, got '0,x'"),
    ("--gpu -1", "or all, got '-1'"),
    ("--workers 0", "expected a whole number above 0, got '0'"),
    ("--gpu 0,1 --workers 2", "on GPUs there is a process for each: --gpu 0,1"),
    ("--gpu 0,1 --cpu", "not allowed with argument"),
    ("--same-images", "--same-images goes with several processes: --gpu 0,1 or --workers N"),
    ("--gpu 0 --max-restarts 2", "--max-restarts goes with several processes"),
])
def test_devices_that_are_none(monkeypatch, capsys, arguments, words):
    monkeypatch.setattr(sys, "argv", ["solve.py", "voc-fcn8s", *arguments.split()])
    with pytest.raises(SystemExit):
        solve.parse()
    assert words in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("arguments, words", [
    ("--workers 4", "--workers 4 is 4 processes on this machine, torchrun has started 2: give "
                    "--nproc-per-node 4"),
    ("--gpu 0", "--gpu 0 is 1 process on this machine, torchrun has started 2"),
])
def test_another_number_of_processes_than_of_devices(monkeypatch, arguments, words):
    for name, value in dict(RANK=1, WORLD_SIZE=2, LOCAL_WORLD_SIZE=2, LOCAL_RANK=1).items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(sys, "argv", ["solve.py", "voc-fcn8s", *arguments.split()])
    with pytest.raises(RunError, match=words):
        devices.take(solve.parse())


def test_each_process_takes_its_gpu(monkeypatch):
    taken = []
    monkeypatch.setattr(devices, "set_device", lambda args: taken.append(args.gpu))
    for rank in range(2):
        for name, value in dict(RANK=rank, WORLD_SIZE=2, LOCAL_WORLD_SIZE=2,
                                LOCAL_RANK=rank).items():
            monkeypatch.setenv(name, str(value))
        monkeypatch.setattr(sys, "argv", ["solve.py", "voc-fcn8s", "--gpu", "2,5"])
        devices.take(solve.parse())
    assert taken == [2, 5]


# what workers make of the batch

def test_what_the_batch_becomes_is_said(experiment):
    same, told = options.shared_out(experiment, 4, False, False)
    assert same is experiment
    assert told == ("4 workers: an update averages the gradients of 4 x 1 image; the rate 1e-09, "
                    "momentum 0.99 and 4 iterations stay, which see 4 times as many images as "
                    "those of one process (--same-images keeps their number)")


def test_as_many_images_as_one_process(experiment):
    """The rate, momentum and iterations of the paper's equivalence; a step policy falls after as
    many images, too."""
    from dataclasses import replace
    wide = replace(experiment, iterations=1000, interval=100, iter_size=5,
                   policy=dict(lr_policy="step", gamma=0.1, stepsize=400))
    changed, told = options.shared_out(wide, 4, True, False)
    assert changed.iterations * changed.images * 4 == wide.iterations * wide.images
    assert changed.lr == pytest.approx(4e-9) and changed.momentum == pytest.approx(0.99 ** 4)
    assert (changed.interval, changed.policy["stepsize"]) == (25, 100)
    for words in ("4 x 5 images", "250 iterations in place of 1,000", "the rate 4e-09 = 4 x 1e-09",
                  "momentum 0.9606 = 0.99^4", "the paper's own equivalence of 20 images a step at "
                  "momentum 0.9 and one at 0.9^(1/20), about 0.99"):
        assert words in told


def test_the_images_that_are_left_with_another_number(experiment, monkeypatch):
    from dataclasses import replace
    wide = replace(experiment, iterations=1000)
    wide.directory.mkdir()
    wide.run.record_workers(0, wide.images, 4, "")
    monkeypatch.setattr(Run, "snapshots", lambda self: [(100, None)])       # 400 images
    assert options.same_images(wide, 2, False).iterations == 100 + 300
    assert options.same_images(wide, 2, True).iterations == 500


@pytest.mark.parametrize("same", [(), ("--same-images",)])
def test_the_plan_is_said_only_where_something_is_trained(data, tmp_path, monkeypatch, capsys,
                                                         same):
    monkeypatch.setenv("FCN_BUILD", str(tmp_path / "build"))
    voc, lists = data / "pascal" / "VOC2011", tmp_path / "mine" / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for part in ("JPEGImages", "SegmentationClass"):
        (tmp_path / "mine" / part).symlink_to(voc / part)
    names = (voc / "ImageSets" / "Segmentation" / "seg11valid.txt").read_text().split()
    for split, name in zip(("train", "val"), names):
        (lists / f"{split}.txt").write_text(name)
    words = ["solve.py", "--data", str(tmp_path / "mine"), "--force", "--workers", "2", *same]

    def said(*more):
        monkeypatch.setattr(sys, "argv", [*words, *more])
        return [solve.prepared(solve.parse(), 2), capsys.readouterr().out][1]
    assert "2 workers: an update averages" in said()
    run = Run(tmp_path / "build" / "mine-fcn8s")
    run.folder.mkdir(parents=True)
    for path in run.weights(2400), run.weights(2400).with_suffix(".solverstate"):
        path.touch()
    assert "workers" not in said()
    assert "2 workers: an update averages" in said("--fresh")
    run.weights(9).touch()
    run.record_end(9, patience=3)
    assert "workers" not in said("--patience", "3")
    assert "2 workers: an update averages" in said("--patience", "4")


def test_a_damaged_record_of_the_images_is_named(experiment):
    experiment.directory.mkdir()
    for text in ("{", "[1]", '{"a": [0, 1]}', '{"0": 3}'):
        (experiment.directory / "progress.json").write_text(text)
        with pytest.raises(RunError, match="progress.json: damaged: no JSON file of the images"):
            experiment.run.seen(5, 1)


def test_a_run_of_which_workers_have_seen_all_images_is_at_its_end(experiment, monkeypatch):
    """So that others can start from it; with more iterations it goes on."""
    from dataclasses import replace

    from fcn.solvers import training
    monkeypatch.setitem(EXPERIMENTS, experiment.name, replace(experiment, iterations=8))
    experiment.directory.mkdir()
    experiment.run.record_workers(0, experiment.images, 1, "")
    train_experiment._record_all_seen(experiment)
    assert not experiment.run.ended()
    experiment.run.record_workers(0, experiment.images, 2, "")
    train_experiment._record_all_seen(experiment)
    assert experiment.run.ended()["iteration"] == 4
    assert training.last_iteration(EXPERIMENTS[experiment.name]) == 4


@pytest.mark.parametrize("rank, count", [("2", "2"), ("0", "0")])
def test_a_rank_beyond_the_number_of_processes(monkeypatch, rank, count):
    monkeypatch.setenv("RANK", rank), monkeypatch.setenv("WORLD_SIZE", count)
    with pytest.raises(RunError, match=f"RANK={rank} and WORLD_SIZE={count}; ranks are 0 to"), \
            workers.joined():
        pass
