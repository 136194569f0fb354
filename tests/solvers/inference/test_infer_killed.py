"""infer.py by several processes, ended by SIGKILL at any time: each image is there once."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from fcn.nets.source import ROOT
from infer_runs import scene, small_run

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL is a signal of POSIX")
NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
LIMIT = 400     # seconds for a run, on a busy machine


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    small_run(folder / "run")
    return folder


def photographs(folder, number, size=(24, 32)):
    """Of a few contents, each in one of three folders."""
    contents = [io.BytesIO() for _ in range(7)]
    for seed, content in enumerate(contents):
        Image.fromarray(scene(*size, seed=seed)).save(content, "PNG")
    for count in range(number):
        path = folder / f"part{count % 3}" / f"{count // 3:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents[count % 7].getvalue())


def start(folder, made, *options, images="photos/*/*.png"):
    return subprocess.Popen(
        [sys.executable, "-m", "fcn.solvers.infer", images, "-o", "out", "--experiment",
         made / "run", "--quiet", *map(str, options)], cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "GLOG_minloglevel": "2",
             "PYTHONPATH": os.pathsep.join([*sys.path, str(ROOT)])})


def end(process):
    """What a run prints; one that does not end is ended."""
    try:
        return process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise


def entries(folder):
    return [json.loads(line) for path in folder.glob("out/manifest.*.jsonl")
            for line in path.read_bytes().splitlines() if line.endswith(b"}")]


def lines(folder):
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("out/manifest.*.jsonl"))


def kill_after(folder, process, number, whom):
    """Have SIGKILL end a run, or one of its processes, when it has done so many images more."""
    before, latest = lines(folder), time.monotonic() + LIMIT
    while lines(folder) < before + number:
        assert process.poll() is None and time.monotonic() < latest, process.communicate()
        time.sleep(0.002)
    if whom == "all":
        os.killpg(process.pid, signal.SIGKILL)
    elif whom == "parent":
        process.kill()
    else:
        os.kill(children(process.pid)[-1], signal.SIGKILL)
    return end(process)


def children(parent):
    """The workers of a run, by the time of their start."""
    found = subprocess.run(["ps", "-ww", "-o", "pid=,args=", "--ppid", str(parent)], text=True,
                           capture_output=True, check=True).stdout.splitlines()
    return [int(line.split()[0]) for line in found if "multiprocessing.spawn" in line]


def check(folder, number, kinds=("",)):
    done = Counter(entry["path"] for entry in entries(folder) if "outputs" in entry)
    assert len(done) == number and set(done.values()) == {1}
    written = [path for path in (folder / "out").rglob("*") if path.is_file()
               and not path.name.startswith("manifest.")]
    assert len(written) == number * len(kinds) and {path.suffix for path in written} == {".png"}
    for path in written:
        with Image.open(path) as image:
            assert np.asarray(image).size


@pytest.mark.parametrize("number, workers", [
    (signal.SIGINT, 1), (signal.SIGTERM, 2),
    *(pytest.param(*each, marks=pytest.mark.slow)
      for each in ((signal.SIGTERM, 1), (signal.SIGINT, 2)))])
def test_a_signal_ends_it_soon_and_the_message_counts_what_is_done(made, tmp_path, number, workers):
    photographs(tmp_path / "photos", 400, (160, 200))
    out, err = signal_after(tmp_path, start(tmp_path, made, "--workers", workers), 3, number,
                            [128 + number])
    done = len(entries(tmp_path))
    assert out == "" and err == (f"stopped by {NAMES[number]}: {done} of 400 images were segmented "
                                 "and stay in out; the same command goes on\n")
    assert {path.suffix for path in tmp_path.glob("out/**/*") if path.is_file()} == {
        ".png", ".jsonl"}
    assert len(list(tmp_path.glob("out/**/*_overlay.png"))) == done


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_second_ctrl_c_ends_it_at_once(made, tmp_path, workers):
    photographs(tmp_path / "photos", 400, (160, 200))
    out, err = signal_after(tmp_path, start(tmp_path, made, "--workers", workers), 3, signal.SIGINT,
                            (130, -signal.SIGINT), twice=True)
    assert "stopped by Ctrl-C" in err and "Traceback" not in err
    out, err = end(start(tmp_path, made, "--workers", 2, "--no-overlay"))
    assert out.startswith("400 images: 400 segmented") and "made anew" in err
    assert not [path for path in tmp_path.glob("out/**/*") if path.suffix in (".part", ".lock")]


def signal_after(folder, process, number, which, status, twice=False):
    """Send a signal to the process group, as a terminal does, when some images are done."""
    latest = time.monotonic() + LIMIT
    while lines(folder) < number:
        assert process.poll() is None and time.monotonic() < latest, process.communicate()
        time.sleep(0.002)
    for _ in range(1 + twice):
        os.killpg(process.pid, which)
        time.sleep(0.05)
    try:
        out, err = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode in status, err
    return out, err


def test_a_kill_while_a_panorama_is_written_leaves_no_half_picture(made, tmp_path):
    """Also of one file, of which there is no manifest; the next command removes what was begun."""
    (tmp_path / "photos" / "a").mkdir(parents=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (1500, 3000, 3), np.uint8)).save(
        tmp_path / "photos/a/wide.png", compress_level=0)
    process = start(tmp_path, made, "--tile", 700, images="photos/a/wide.png")
    out, latest = tmp_path / "out", time.monotonic() + LIMIT
    while not list(out.glob("*.part")):
        assert process.poll() is None and time.monotonic() < latest, process.communicate()
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    end(process)
    for path in out.glob("*.png"):
        with Image.open(path) as image:
            assert np.asarray(image).shape[:2] == (1500, 3000)
    assert list(out.glob("*.part"))
    (out / "other.png.abcdefgh.part").touch()
    assert not end(start(tmp_path, made, "--tile", 700, images="photos/a/wide.png"))[1]
    assert {path.name for path in out.iterdir()} == {"wide.png", "wide_overlay.png",
                                                     "other.png.abcdefgh.part"}


@pytest.mark.slow
def test_forty_images_one_kill_and_another_number_of_workers(made, tmp_path):
    photographs(tmp_path / "photos", 40, (160, 200))
    kill_after(tmp_path, start(tmp_path, made, "--workers", 2), 3, "parent")
    begun = len(entries(tmp_path))
    out, err = end(start(tmp_path, made, "--workers", 1))
    assert 3 <= begun < 40 and out.startswith(f"40 images: {40 - begun} segmented, {begun} were "
                                              "done before; in"), out + err
    assert not err
    check(tmp_path, 40, ("", "_overlay"))


@pytest.mark.slow
def test_a_thousand_images_three_kills_and_other_numbers_of_workers(made, tmp_path):
    photographs(tmp_path / "photos", 1000)
    for workers, whom in ((2, "all"), (4, "parent"), (1, "all"), (3, "one")):
        out, err = kill_after(tmp_path, start(tmp_path, made, "--workers", workers, "--no-overlay"),
                              100 if whom != "one" else 10, whom)
    assert "worker 2 was ended by SIGKILL" in err and "are left: the same command goes on" in out
    process = start(tmp_path, made, "--workers", 3, "--no-overlay")
    out, err = end(process)
    assert process.returncode == 0 and out.startswith("1000 images: ") and not err
    check(tmp_path, 1000)


@pytest.mark.slow
def test_under_torchrun_a_failure_does_not_end_the_others(made, tmp_path):
    photographs(tmp_path / "photos", 30)
    (tmp_path / "photos" / "part0" / "0000.png").write_bytes(b"no image")
    process = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         ROOT / "infer.py", "photos/*/*.png", "-o", "out", "--experiment", made / "run", "--quiet"],
        cwd=tmp_path, text=True, capture_output=True, timeout=LIMIT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "GLOG_minloglevel": "2"})
    assert process.returncode == 1
    assert process.stdout.count("images: ") == 1
    assert "30 images: 29 segmented, 1 failed; out/manifest.*.jsonl says why" in process.stdout
    assert {path.name for path in tmp_path.glob("out/manifest.*")} == {
        "manifest.0.jsonl", "manifest.1.jsonl"}


@pytest.mark.slow
def test_on_ray(made, tmp_path):
    pytest.importorskip("ray.data", reason="Ray is not installed: pip install 'ray[data]'")
    photographs(tmp_path / "photos", 50)
    (tmp_path / "photos" / "part0" / "0000.png").write_bytes(b"no image")
    process = start(tmp_path, made, "--workers", 2, "--ray", "--no-overlay")
    out, err = end(process)
    assert process.returncode == 1 and "50 images: 49 segmented, 1 failed; " in out, out + err
    Image.fromarray(scene(24, 32)).save(tmp_path / "photos" / "part0" / "0000.png")
    out, err = end(start(tmp_path, made, "--workers", 2, "--no-overlay"))
    assert out.startswith("50 images: 1 segmented, 49 were done before; in"), out + err
    check(tmp_path, 50)


@pytest.mark.slow
def test_the_segmenter_in_a_pipeline_of_ray(made, tmp_path):
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'ray[data]'")
    from fcn.solvers.inference.ray_data import RaySegmenter
    from fcn.solvers.inference.segmenter import Segmenter
    photographs(tmp_path, 6)
    ray.init(logging_level="ERROR", log_to_driver=False, ignore_reinit_error=True)
    try:
        images = ray.data.read_images(str(tmp_path), include_paths=True)
        rows = images.map(RaySegmenter, fn_constructor_args=(made / "run",),
                          compute=ray.data.ActorPoolStrategy(size=1)).take_all()
    finally:
        ray.shutdown()
    segment = Segmenter(made / "run")
    assert len(rows) == 6
    for row in rows:
        np.testing.assert_array_equal(row["labels"], segment(row["path"]).labels)
