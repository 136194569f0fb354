"""The script makes the pictures that pages show; the pages' figures are those of the nets."""

import importlib.util
import re
from functools import cache

import numpy as np
import pytest
from PIL import Image

import caffe
from fcn import nets
from fcn.nets.source import ROOT

FOLDER = ROOT / "docs" / "pictures"
PAGE = (ROOT / "docs" / "explanation.md").read_text()


def script(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def make():
    module = script(FOLDER / "make.py")
    module.learned_kernel = cache(module.learned_kernel)    # which trains
    return module


def test_the_script_makes_the_pictures_of_the_page(make, tmp_path):
    make.main(["-o", str(tmp_path)])
    shown = set(re.findall(r"\(pictures/(\w+)\.png\)", PAGE))
    assert shown == {path.stem for path in tmp_path.iterdir()}
    for path in tmp_path.iterdir():
        with Image.open(path) as new, Image.open(FOLDER / path.name) as kept:
            assert new.size == kept.size, path.name
            difference = np.asarray(new.convert("RGB"), float) - np.asarray(kept.convert("RGB"))
        assert np.abs(difference).mean() < 3, f"{path.name}: make it anew"
    assert sum(path.stat().st_size for path in FOLDER.glob("*.png")) < 300_000


def test_stages_have_a_column_a_net(make, tmp_path):
    folder = tmp_path / "run"
    (folder / "snapshot").mkdir(parents=True)
    (folder / "settings.json").write_text('{"head": "fcn8s"}')
    deploy = nets.write_prototxt(folder / "deploy.prototxt", nets.fcn(
        "fcn8s", "deploy", nets.source.folder(tmp_path, 7), width=1 / 64, filler="msra"))
    weights = folder / "snapshot" / "train_iter_1.caffemodel"
    caffe.Net(str(deploy), caffe.TEST).save(str(weights))
    make.main(["stages", "--weights", str(weights), "-o", str(tmp_path)])
    with Image.open(tmp_path / "stages.png") as picture:
        assert len(np.unique(np.asarray(picture))) > 20


def test_the_kernel_that_has_learned_is_steeper(make):
    kernel = make.learned_kernel()
    assert kernel[1:3, 1:3].min() > 0.65 > 0.5625
    assert np.abs(kernel[0, 0]) < 0.05 < 0.0625


@pytest.mark.parametrize("head", ["fcn32s", "fcn16s", "fcn8s"])
def test_the_table_of_crops_is_that_of_the_nets(make, head):
    rows = re.findall(rf"^\| FCN-{head[3:]} \|.*\| (\d+) \|$", PAGE, re.M)
    assert [int(row) for row in rows] == list(make.offsets(head).values())


def test_the_first_score_lies_where_the_page_says(make):
    place, count = make.first_score("fcn32s")
    assert f"the first score: {place} pixels" in PAGE and f"{count}×{count} places" in PAGE
    assert f"{place + 99} pixels inside" in " ".join(PAGE.split())


def test_the_reference_has_what_is_imported_on_demand(tmp_path):
    pytest.importorskip("pdoc", reason="make reference installs it")
    reference = script(ROOT / "docs" / "reference.py")
    assert {"caffe.engine.net", "fcn.nets.heads", "fcn.solvers.training.loop"} <= set(
        reference.modules())
    reference.write(["fcn"], tmp_path)
    assert "Segmenter" in (tmp_path / "fcn.html").read_text()
