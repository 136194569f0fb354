"""The wheel, and the image of a container."""

import shutil
import subprocess
import sys
import zipfile

import pytest

from fcn.nets.source import ROOT

# what an installation adds to the names that can be imported; prototxts name the data layers
NAMES = {"caffe", "fcn", "segdata", "folder_layers.py", "nyud_layers.py", "pascalcontext_layers.py",
         "siftflow_layers.py", "spatial_dropout.py", "voc_layers.py"}


@pytest.mark.slow
def test_the_wheel_brings_no_general_names(tmp_path):
    source = tmp_path / "source"        # a build leaves files in the folder that it builds
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True,
                           text=True).stdout.splitlines()
    for name in files:
        if not name.startswith("tests/"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index",
                    "--no-build-isolation", "-w", tmp_path, source], check=True)
    wheel, = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == NAMES


def has_docker_engine():
    return shutil.which("docker") and subprocess.run(
        ["docker", "info"], capture_output=True).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not has_docker_engine(), reason="needs a Docker engine")
def test_the_image_runs_the_commands():
    subprocess.run(["docker", "build", "-t", "fcn:test", "."], cwd=ROOT, check=True)
    for entry, words in (("fcn", "usage: fcn COMMAND"), ("caffe", "usage: caffe")):
        result = subprocess.run(["docker", "run", "--rm", "--entrypoint", entry, "fcn:test",
                                 "--help"], check=True, capture_output=True, text=True)
        assert words in result.stdout
    user = subprocess.run(["docker", "run", "--rm", "--entrypoint", "id", "fcn:test", "-u"],
                          check=True, capture_output=True, text=True)
    assert user.stdout == "1000\n"
