"""`from fcn import Segmenter`: images and arrays in, labels and probabilities out."""

import re
import tarfile

import numpy as np
import pytest
from PIL import Image

import fcn
from fcn import Segmenter
from fcn.nets.source import ROOT
from fcn.solvers.inference.errors import InferError
from fcn.solvers.scoring.prediction import ScoreError
from infer_runs import CLASSES, run, scene, small_run
from segdata.errors import UserError

pytestmark = pytest.mark.usefixtures("log_as_it_is")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("segmenter")
    small_run(folder / "run")
    return folder


@pytest.fixture(scope="module")
def segment(folder):
    return Segmenter(folder / "run")


def test_path_picture_and_array_give_the_same(folder, segment):
    image = scene()
    Image.fromarray(image).save(folder / "scene.png")
    results = [segment(each) for each in (
        folder / "scene.png", str(folder / "scene.png"), Image.fromarray(image), image,
        np.dstack([image, np.full((24, 32), 255, np.uint8)]))]
    for result in results:
        assert result.labels.dtype == np.uint8 and result.labels.shape == (24, 32)
        np.testing.assert_array_equal(result.labels, results[0].labels)
        np.testing.assert_array_equal(result.image, image)
    probabilities = results[0].probabilities
    assert probabilities.dtype == np.float32 and probabilities.shape == (4, 24, 32)
    np.testing.assert_array_equal(probabilities.argmax(0), results[0].labels)
    assert results[0].probabilities is probabilities
    assert results[0].names == list(CLASSES)
    assert sum(share for _, share in results[0].shares) == pytest.approx(1)
    assert results[0].overlay(legend=False).size == (32, 24)
    grey = segment(image[..., 0])
    np.testing.assert_array_equal(np.asarray(grey.image), image[..., :1].repeat(3, 2))


def test_results_stay_what_they_are_when_another_image_follows(segment):
    first, second = segment(scene(seed=1)), segment(scene(seed=2))
    expected = segment(scene(seed=1)).probabilities
    np.testing.assert_array_equal(first.probabilities, expected)
    assert not np.array_equal(second.probabilities, expected)


def test_probabilities_of_large_results_are_computed_again(segment, monkeypatch):
    kept = segment(scene())
    monkeypatch.setattr("fcn.solvers.inference.segmenter.KEPT", 0)
    again = segment(scene())
    np.testing.assert_array_equal(again.probabilities, kept.probabilities)


@pytest.mark.parametrize("image, words", [
    (np.zeros((4, 4, 3), np.float32), "float32 .4, 4, 3., expected uint8 .*255 . array"),
    (np.zeros((3, 4, 7), np.uint8), "uint8 .3, 4, 7., expected"),
    (np.zeros((0, 4, 3), np.uint8), "uint8 .0, 4, 3., expected"),
    (np.zeros(4, bool), "bool .4,., expected"),
    ("none.jpg", "none.jpg: no such file in ")])
def test_what_is_no_image(segment, image, words):
    with pytest.raises(InferError, match=words):
        segment(image)


@pytest.mark.parametrize("arguments, words", [
    (dict(run_or_net="deploy.prototxt"), "is a net, which takes weights"),
    (dict(run_or_net="nowhere"), "no run 'nowhere'"),
    (dict(run_or_net="run", weights="none.caffemodel"), "none.caffemodel: no such file"),
    (dict(run_or_net="run", device="tpu"), "device is 'tpu', expected 'cpu', 'gpu' or 'gpu:N'"),
    (dict(run_or_net="run", scales=()), "scales are"),
    (dict(run_or_net="run", scales=(1, -1)), "scales are")])
def test_what_a_segmenter_cannot_be_made_of(folder, monkeypatch, arguments, words):
    monkeypatch.chdir(folder)
    with pytest.raises(UserError, match=words):
        Segmenter(**arguments)


def test_a_run_with_other_weights_is_that_net(folder, segment):
    weights = folder / "run" / "snapshot" / "train_iter_1.caffemodel"
    one = Segmenter(folder / "run", weights=weights)(scene())
    two = Segmenter(folder / "run" / "deploy.prototxt", weights)(scene())
    np.testing.assert_array_equal(one.probabilities, two.probabilities)
    assert not np.array_equal(one.probabilities, segment(scene()).probabilities)


def test_steps_change_the_probabilities_before_classes_are_taken(folder):
    seen = []

    def favour(probabilities, image):
        seen.append((probabilities.shape, image.shape, image.dtype))
        changed = probabilities * 0.01
        changed[3] = 0.99
        return changed

    result = Segmenter(folder / "run", refinements=[favour, favour])(scene())
    assert seen == [((4, 24, 32), (24, 32, 3), np.uint8)] * 2
    assert (result.labels == 3).all() and (result.probabilities[3] == np.float32(0.99)).all()


@pytest.mark.parametrize("options", [{}, {"flip": True}])
def test_scores_that_are_not_finite_name_the_image(folder, options):
    segment = Segmenter(folder / "run", **options)
    segment.network.net.params["conv"][1].data[0] = np.nan
    with pytest.raises(ScoreError, match="the image: blob 'score' of .*deploy.prototxt.*finite"):
        segment(scene())


def test_the_example_in_the_docstring_runs(folder, monkeypatch, capsys):
    example, = re.findall(r"( {8}from fcn.*?)\n\n    run_or_net", Segmenter.__doc__, re.S)
    monkeypatch.chdir(folder)
    Image.fromarray(scene()).save("photograph.jpg")
    exec(re.sub("^ {8}", "", example, flags=re.M).replace("voc-fcn8s", "run").replace(
        '"cat"', '"leaf"'), {})
    assert "leaf" in capsys.readouterr().out and (folder / "overlay.png").is_file()


def test_only_what_there_is_can_be_imported_from_fcn():
    with pytest.raises(AttributeError, match="module 'fcn' has no attribute 'Segmentor'"):
        fcn.Segmentor       # noqa: B018


def test_the_page_runs(tmp_path, monkeypatch):
    """docs/inference.md: its commands and its Python, in order."""
    page = (ROOT / "docs" / "inference.md").read_text()
    blocks = re.findall(r"\n\n((?:    .*\n|\n)+)", page)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FCN_BUILD", str(tmp_path / "build"))
    small_run(tmp_path / "build" / "my-run")
    (tmp_path / "build" / "my-run" / "log.csv").write_text("1,2.0,2.0,84.7\n")
    for name in ("photos/a.jpg", "photos/b.jpg", "photograph.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(scene()).save(name)
    (tmp_path / "shards").mkdir()
    with tarfile.open("shards/0.tar", "w") as shard:
        shard.add("photograph.jpg")
    (tmp_path / "list.txt").write_text("photos/a.jpg\nphotos/b.jpg\n")
    (tmp_path / "labels").mkdir()
    for name in "ab":
        Image.fromarray(np.zeros((24, 32), np.uint8)).save(f"labels/{name}.png")
    ran = 0
    for block in blocks:
        lines = [line[4:] for line in block.splitlines()]
        if any(" ray" in line for line in lines):       # an extra, with tests of its own
            continue
        if any(line.startswith(("from ", "import ")) for line in lines):
            exec("\n".join(lines), {})
            ran += 1
        for line in lines:
            if line.startswith("fcn infer ") and not re.search("film|s3:|--gpu", line):
                arguments = line.removeprefix("fcn infer ").partition("   #")[0].split()
                result = run(*(argument.strip("'") for argument in arguments))
                assert result.returncode == 0, f"{line}\n{result.stderr}"
                ran += 1
    assert ran >= 12
