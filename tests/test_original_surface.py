"""Every tool runs on what the original pycaffe offers, and on nothing else.

tests/support/original has a caffe package with the names that were recorded from the original, and
with its vectors, which can be indexed and measured, but not iterated.
"""

import os
import subprocess
import sys
from argparse import Namespace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from fcn.nets.source import ROOT
from fcn.solvers import infer
from fcn.solvers.console.device import set_device
from fcn.solvers.console.errors import RunError
from segdata.embedded import voc as embedded_voc

FOLDERS = [ROOT / "tests" / "support" / "original", ROOT, ROOT / "data", ROOT / "tests" / "support"]


def python(*arguments, build):
    """Run Python on the original's surface; returns what it prints."""
    environment = {**os.environ, "FCN_BUILD": str(build),
                   "PYTHONPATH": os.pathsep.join(map(str, FOLDERS))}
    result = subprocess.run([sys.executable, *map(str, arguments)], cwd=ROOT, env=environment,
                            capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    return tmp_path_factory.mktemp("build")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Generated scenes as somebody's own folder."""
    directory = tmp_path_factory.mktemp("data")
    embedded_voc.generate(directory / "data", seed=5, train=1, val=2)
    folder = directory / "data" / "pascal" / "VOC2011"
    lists = folder / "ImageSets" / "Segmentation"
    for split in ("train", "val"):
        (lists / f"{split}.txt").write_bytes((lists / "seg11valid.txt").read_bytes())
    return folder


@pytest.fixture(scope="module")
def trained(build, folder):
    solve = ("solve.py", "--data", str(folder), "--head", "fcn16s", "--width", "0.02",
             "--name", "own", "--interval", "2", "--force", "--batch", "2", "--crop", "96x64",
             "--scale", "0.5,1", "--jitter", "3", "--class-weights", "median")
    return python("-c", f"""
import sys
from fcn.solvers import solve
for count in "2", "3":
    sys.argv = [*{solve!r}, "--iterations", count]
    solve.main()
""", build=build)


def test_the_surface_has_no_more_than_the_original(build):
    (build / "net.prototxt").write_text("""
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 3 dim: 9 dim: 9 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "score"
  convolution_param { num_output: 2 kernel_size: 1 } }
""")
    python("-c", f"""
import caffe, numpy, pathlib
path = {str(build / 'net.prototxt')!r}
net = caffe.Net(path, caffe.TEST)
assert not {{"set_precision", "CaffeError"}} & set(dir(caffe))
for call, expected in ((lambda: net.elide_padding, AttributeError),
                       (lambda: list(net.params["conv"]), TypeError),
                       (lambda: net.blobs["data"].reshape(numpy.int64(1), 3, 4, 4), TypeError),
                       (lambda: caffe.Net(pathlib.Path(path), caffe.TEST), TypeError)):
    try:
        call()
    except expected:
        continue
    raise SystemExit(f"no {{expected}} came")
""", build=build)


@pytest.mark.parametrize("name", ["voc-fcn8s", "voc-fcn-googlenet"])
def test_nets(build, tmp_path, name):
    written = python("-m", "nets", name, "-o", tmp_path, "--width", "0.02", build=build)
    assert len(written.splitlines()) == 3


def test_solve_trains_and_continues(trained, build):
    assert "train_iter_2.solverstate" in trained and "train_iter_3.caffemodel" in trained
    assert (build / "own" / "curve.png").stat().st_size > 1000


def test_score(trained, build):
    assert "mean IU" in python("solvers/score.py", "own", build=build)


def test_infer(trained, build, folder, tmp_path, monkeypatch):
    """The surface computes with this project's engine, so outputs are the same as without it."""
    options = ["--flip", "--batch", "2", "--mask", "--overlay"]
    python("infer.py", folder, "--experiment", "own", "-o", tmp_path / "one", *options,
           build=build)
    monkeypatch.setattr(sys, "argv", ["infer", str(folder), "--experiment", str(build / "own"),
                                      "-o", str(tmp_path / "two"), *options])
    monkeypatch.setenv("GLOG_minloglevel", "0")
    assert infer.main() == 0
    found = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(found) == 4
    for name in found:
        with Image.open(tmp_path / "one" / name) as one, Image.open(tmp_path / "two" / name) as two:
            np.testing.assert_array_equal(np.asarray(one), np.asarray(two))


def test_surgery(build, tmp_path):
    python("-c", f"""
import caffe, nets, surgery
try:
    surgery.Weights("w.caffemodel")
    raise SystemExit("no SurgeryError")
except surgery.SurgeryError as error:
    assert "has no caffe.io.read_weights" in str(error)
made = [caffe.Net(str(nets.write(name, {str(tmp_path)!r} + '/' + name, width=0.02)['deploy']),
                  caffe.TEST) for name in ('nyud-fcn32s-color-d', 'nyud-fcn32s-color')]
surgery.transplant(*made, verbose=True)
surgery.expand_image(made[0], 'conv1_1_bgrd', made[1], 'conv1_1')
surgery.expand_score(made[0], 'score_fr', made[1], 'score_fr')
surgery.interp(made[0], ['upscore'])
""", build=build)


def test_the_demo(build):
    printed = python("-c", """
import sys, tiny
from fcn.solvers import demo
tiny.shrink()
sys.argv = ["demo.py"]
demo.STAGES = "voc-fcn32s", "voc-fcn16s"
demo.main()
""", build=build)
    assert "voc-fcn16s-demo" in printed and (build / "demo" / "scenes.png").is_file()


@pytest.mark.slow
def test_analyses(build):
    printed = python("-c", """
import sys, tiny
from fcn.analysis import __main__, stitch
tiny.shrink()
stitch.CELLS, trunk = 1, stitch.trunk
stitch.trunk = lambda name: trunk(name, 1 / 32)
__main__.main(["stitch", "sampling", "--seeds", "0"])
""", build=build)
    assert "p = 1/4" in printed and "rarefied" in printed


def test_precision_is_refused_with_the_reason(monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "0")
    monkeypatch.setitem(sys.modules, "caffe", SimpleNamespace(__file__="the original"))
    with pytest.raises(RunError, match="--precision bf16: .*computes in fp32"):
        set_device(Namespace(gpu=None, precision="bf16"))
