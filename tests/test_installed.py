"""What is installed without a checkout works from any folder: pip install ., not editable."""

import json
import os
import subprocess
import sys
import sysconfig

import numpy as np
import pytest
from PIL import Image

from fcn.nets.source import ROOT

pytestmark = pytest.mark.slow

NET = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 3 dim: 9 dim: 9 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "score"
  convolution_param { num_output: 3 kernel_size: 1 weight_filler { type: "msra" } } }
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder of an environment's commands: the project, and what it needs from outside."""
    folder = tmp_path_factory.mktemp("installed")
    source, environment = folder / "source", folder / "environment"
    files = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"],
                           cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    for name in files:
        if not name.startswith(("tests/", "docs/")) and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    packages = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], check=True,
        capture_output=True, text=True).stdout.strip()
    # the other packages, but not what this project's own editable installation adds to the path
    (folder / "others").mkdir()
    for path in os.scandir(sysconfig.get_path("purelib")):
        if not path.name.startswith(("__editable__", "fcn_caffe", "pip")) \
                and not path.name.endswith(".pth"):
            (folder / "others" / path.name).symlink_to(path.path)
    with open(os.path.join(packages, "others.pth"), "w") as file:
        file.write(f"{folder / 'others'}\n")
    subprocess.run([sys.executable, "-m", "pip", "--python", python, "install", "--quiet",
                    "--no-deps", "--no-index", "--no-build-isolation", source], check=True,
                   env=_environment())
    return environment / "bin"


def _environment(**more):
    clean = {name: value for name, value in os.environ.items()
             if name not in ("PYTHONPATH", "FCN_BUILD", "FCN_DATA")}
    return {**clean, **more}


def run(installed, folder, command, *arguments, **variables):
    result = subprocess.run([installed / command, *map(str, arguments)], cwd=folder, text=True,
                            capture_output=True, env=_environment(**variables))
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_the_engine_and_its_command(installed, tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    where = run(installed, tmp_path, "python", "-c",
                "import caffe; net = caffe.Net('net.prototxt', caffe.TEST); net.forward(); "
                "net.save('w.caffemodel'); print(caffe.__file__)")
    assert str(ROOT) not in where
    run(installed, tmp_path, "caffe", "time", "--model", "net.prototxt", "--iterations", "1")


@pytest.mark.parametrize("variables, folder", [({}, "build"), ({"FCN_BUILD": "elsewhere"},
                                                               "elsewhere")])
def test_nets_and_results_go_to_the_current_folder_or_where_told(installed, tmp_path, variables,
                                                                 folder):
    run(installed, tmp_path, "fcn", "nets", "voc-fcn32s", **variables)
    assert (tmp_path / folder / "voc-fcn32s" / "deploy.prototxt").is_file()
    val = (tmp_path / folder / "voc-fcn32s" / "val.prototxt").read_text()
    assert f"{tmp_path}/data/store/pascal/VOC2011" in val
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "deploy.prototxt").write_text(NET)
    run(installed, tmp_path, "python", "-c",
        "import caffe; caffe.Net('net/deploy.prototxt', caffe.TEST).save('w.caffemodel')")
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "image.png")
    run(installed, tmp_path, "fcn", "infer", "image.png", "--net", "net/deploy.prototxt",
        "--weights", "w.caffemodel", **variables)
    assert (tmp_path / folder / "infer" / "image.png").is_file()


def test_downloads_go_where_told(installed, tmp_path):
    found = json.loads(run(installed, tmp_path, "python", "-c",
                           "import json; from segdata.download import catalog; "
                           "print(json.dumps(str(catalog.path('vgg16'))))",
                           FCN_DATA=str(tmp_path / "mine")))
    assert found.startswith(str(tmp_path / "mine"))


def test_what_is_not_python_is_installed_too(installed, tmp_path):
    run(installed, tmp_path, "python", "-c", """
from importlib import resources
assert resources.files("caffe.proto").joinpath("caffe.proto").is_file()
assert resources.files("segdata.download").joinpath("lists", "nyud_test.txt").is_file()
""")


def test_one_s_own_data_are_trained_and_scored(installed, tmp_path):
    """The data layers that prototxts name are found, too."""
    run(installed, tmp_path, "python", "-m", "segdata.embedded.voc", "made", "--train", "1",
        "--val", "2")
    folder = tmp_path / "made" / "pascal" / "VOC2011"
    lists = folder / "ImageSets" / "Segmentation"
    for split in ("train", "val"):
        (lists / f"{split}.txt").write_bytes((lists / "seg11valid.txt").read_bytes())
    run(installed, tmp_path, "fcn", "solve", "--data", folder, "--head", "fcn32s",
        "--width", "0.02", "--name", "own", "--iterations", "1", "--force")
    assert "mean IU" in run(installed, tmp_path, "fcn", "score", "own")
    run(installed, tmp_path, "fcn", "infer", folder)
    run(installed, tmp_path, "fcn", "import", "made", "imported", "--images",
        folder / "JPEGImages", "--masks", folder / "SegmentationClass")
    assert (tmp_path / "build" / "infer").is_dir()
