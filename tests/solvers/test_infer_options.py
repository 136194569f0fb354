"""Each option of infer.py, by the files that it writes and what it prints."""

import json
import os
import shutil
import sys
import time

import numpy as np
import pytest
from PIL import Image

from fcn.solvers.inference.crf import Settings, refine
from fcn.solvers.inference.segmenter import Segmenter
from infer_runs import CLASSES, run, scene, small_run
from segdata.embedded import voc as embedded_voc
from segdata.importing.labelled import Request
from segdata.importing.polygons import polygons
from segdata.importing.write import import_labels

pytestmark = pytest.mark.usefixtures("log_as_it_is")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder `run` with a net, and photos/a.png, b.jpg and c.png, of two sizes."""
    folder = tmp_path_factory.mktemp("infer")
    small_run(folder / "run")
    (folder / "photos").mkdir()
    for name, size in (("a.png", (24, 32)), ("b.jpg", (24, 32)), ("c.png", (40, 20))):
        Image.fromarray(scene(*size, seed=ord(name[0]))).save(folder / "photos" / name)
    return folder


@pytest.fixture
def there(made, monkeypatch):
    """The current folder is the one with `run` and `photos`."""
    monkeypatch.chdir(made)
    return made


def infer(*args, output):
    result = run(*args, "--experiment", "run", "-o", output)
    assert result.returncode == 0, result.stderr
    return result


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def segment(made):
    return Segmenter(made / "run")


@pytest.mark.parametrize("options, written", [
    ((), ["a.png", "a_overlay.png"]),
    (("--mask",), ["a.png"]),
    (("--overlay",), ["a_overlay.png"]),
    (("--probabilities", "--json"), ["a.json", "a_probabilities.npy"]),
    (("--polygons",), ["a_polygons.json"])])
def test_what_is_written_is_what_is_asked_for_and_all_of_it_is_named(there, tmp_path, options,
                                                                     written):
    result = infer("photos/a.png", *options, output=tmp_path / "out")
    assert names(tmp_path / "out") == written
    line, = [line for line in result.stdout.splitlines() if "->" in line]
    assert all(str(tmp_path / "out" / name) in line for name in written)


def test_the_mask_has_the_colours_of_the_overlay(there, tmp_path):
    """Also of class 0, whose name here is not that of a background."""
    shutil.copytree(there / "run", tmp_path / "run")
    (tmp_path / "run" / "classes.txt").write_text("sky\nleaf\nroot\nstone")
    result = run("photos/a.png", "--mask", "--overlay", "--opacity", "1", "--experiment",
                 tmp_path / "run", "-o", tmp_path)
    assert result.returncode == 0, result.stderr
    colours = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    assert len(np.unique(colours.reshape(-1, 3), axis=0)) == 4
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a_overlay.png"))[:24, :32],
                                  colours)


def test_probabilities_json_and_polygons_say_what_the_mask_says(there, tmp_path):
    infer("photos/a.png", "--mask", "--probabilities", "--json", "--polygons", output=tmp_path)
    labels = np.asarray(Image.open(tmp_path / "a.png"))
    probabilities = np.load(tmp_path / "a_probabilities.npy")
    assert probabilities.dtype == np.float32 and probabilities.shape == (4, 24, 32)
    np.testing.assert_allclose(probabilities.sum(0), 1, atol=1e-5)
    np.testing.assert_array_equal(probabilities.argmax(0), labels)
    said = json.loads((tmp_path / "a.json").read_text())
    assert (said["image"], said["width"], said["height"]) == ("photos/a.png", 32, 24)
    assert {each["name"]: each["pixels"] for each in said["classes"]} == {
        CLASSES[number]: count for number, count in zip(*np.unique(labels, return_counts=True))}
    assert said["net"].endswith("deploy.prototxt")
    drawn = json.loads((tmp_path / "a_polygons.json").read_text())
    assert (tmp_path / drawn["imagePath"]).resolve() == there / "photos" / "a.png"
    again = np.zeros_like(labels)
    for shape in drawn["shapes"]:       # in order, later over earlier
        again[polygons([np.ravel(shape["points"]).tolist()], labels.shape)] = CLASSES.index(
            shape["label"])
    np.testing.assert_array_equal(again, labels)


@pytest.mark.parametrize("argument, expected", [
    ("photos", "abc"), ("photos/*.png", "ac"), ("**/b.*", "b"), ("@list.txt", "ab")])
def test_folders_patterns_and_lists(there, tmp_path, argument, expected):
    (there / "list.txt").write_text("photos/a.png\n\n  photos/b.jpg\r\n")
    infer(argument, "--mask", output=tmp_path / "out")
    assert names(tmp_path / "out") == [f"{name}.png" for name in expected]


def test_a_list_names_files_beside_itself_and_an_image_named_twice_is_one(there, tmp_path):
    (there / "photos" / "own.txt").write_text("a.png\nc.png\n")
    infer("@photos/own.txt", "photos/a.png", there / "photos" / "a.png",
          f"file://{there}/photos/a.png", "--mask", output=tmp_path / "out")
    assert names(tmp_path / "out") == ["a.png", "c.png"]


def test_what_is_not_there_is_said_and_does_not_stop_the_others(there, tmp_path):
    (there / "bad.txt").write_text("photos/a.png\nphotos/none.png\n")
    (there / "empty").mkdir(exist_ok=True)
    absolute = tmp_path / "none.png"
    result = run("none.png", absolute, "x*.jpg", "empty", "@bad.txt", "@none.txt", "--experiment",
                 "run", "-o", tmp_path / "out")
    assert result.returncode == 1 and names(tmp_path / "out") == ["a.png", "a_overlay.png"]
    said = result.stderr.splitlines()
    assert f"error: none.png: no such file in {there}" in said
    assert f"error: {absolute}: no such file" in said
    assert f"error: x*.jpg: no file has such a name in {there}" in said
    assert "error: empty: a folder without images" in said
    assert any("bad.txt: 1 of its 2 lines name no image, the first is 'photos/none.png'" in line
               for line in said)
    assert any("none.txt: no such file in" in line for line in said)
    assert "6 of 7 inputs failed" in said


def test_batches_write_what_single_images_do(there, tmp_path):
    infer("photos", "--mask", "--probabilities", output=tmp_path / "one")
    infer("photos", "--mask", "--probabilities", "--batch", "2", output=tmp_path / "two")
    assert names(tmp_path / "one") == names(tmp_path / "two")
    for name in "abc":
        assert (tmp_path / "one" / f"{name}.png").read_bytes() == (
            tmp_path / "two" / f"{name}.png").read_bytes()
        one, two = (np.load(tmp_path / each / f"{name}_probabilities.npy")
                    for each in ("one", "two"))
        np.testing.assert_allclose(one, two, atol=1e-5)


def test_in_a_batch_a_broken_image_does_not_stop_the_others(there, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"none")
    result = run("photos", tmp_path / "broken.jpg", "--batch", "8", "--mask", "--experiment",
                 "run", "-o", tmp_path / "out")
    assert result.returncode == 1 and names(tmp_path / "out") == ["a.png", "b.png", "c.png"]


def test_two_runs_of_a_command_write_the_same_bytes(there, tmp_path):
    kinds = ("--mask", "--overlay", "--probabilities", "--json", "--polygons", "--contours",
             "--flip", "--scales", "0.5,1", "--batch", "2")
    for folder in ("one", "two"):
        infer("photos", *kinds, output=tmp_path / folder)
    assert len(names(tmp_path / "one")) == 15
    for path in (tmp_path / "one").iterdir():
        if not path.name.endswith("_polygons.json"):        # in which the image's path is relative
            assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_flip_averages_with_the_mirrored_image(there, tmp_path, segment):
    infer("photos/a.png", "--probabilities", "--mask", "--flip", output=tmp_path)
    image = scene(seed=ord("a"))
    expected = (segment(image).probabilities
                + segment(image[:, ::-1]).probabilities[..., ::-1]) / 2
    found = np.load(tmp_path / "a_probabilities.npy")
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), found.argmax(0))


def test_scales_average_over_sizes_of_the_image(there, tmp_path, segment):
    infer("photos/c.png", "--probabilities", "--scales", "1,1", output=tmp_path / "same")
    plain = segment(there / "photos" / "c.png").probabilities
    np.testing.assert_allclose(np.load(tmp_path / "same" / "c_probabilities.npy"), plain,
                               atol=1e-6)
    infer("photos/c.png", "--probabilities", "--scales", "0.5,1,1.5", output=tmp_path / "more")
    found = np.load(tmp_path / "more" / "c_probabilities.npy")
    assert found.shape == plain.shape and not np.allclose(found, plain, atol=1e-3)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)


@pytest.mark.parametrize("option, value", [
    ("--scales", "0"), ("--scales", "1,,2"), ("--scales", "a"), ("--tile", "-3"),
    ("--batch", "0"), ("--opacity", "1.5"), ("--opacity", "nan")])
def test_values_that_cannot_be_are_refused(there, tmp_path, option, value):
    result = run("photos", option, value, "--experiment", "run", "-o", tmp_path / "out")
    assert result.returncode == 2 and option in result.stderr and not (tmp_path / "out").exists()


def test_opacity_and_contours_change_the_overlay(there, tmp_path):
    pictures = []
    for number, options in enumerate((("--opacity", "0"), ("--opacity", "1"),
                                      ("--opacity", "0", "--contours"))):
        infer("photos/a.png", "--mask", "--overlay", *options, output=tmp_path / str(number))
        with Image.open(tmp_path / str(number) / "a_overlay.png") as picture:
            pictures.append(np.asarray(picture)[:24, :32])
    np.testing.assert_array_equal(pictures[0], scene(seed=ord("a")))
    labels = np.asarray(Image.open(tmp_path / "1" / "a.png"))
    assert (pictures[1][labels == 1] == (128, 0, 0)).all()
    assert (pictures[2] == 255).all(2).any() and not (pictures[0] == 255).all(2).any()


def test_the_truth_beside_the_prediction(there, tmp_path):
    infer("photos/a.png", "--mask", output=tmp_path / "truth")
    right = np.asarray(Image.open(tmp_path / "truth" / "a.png")).copy()
    truth = right.copy()
    truth[:12] = (truth[:12] + 1) % 4
    truth[0] = 255
    Image.fromarray(truth).save(tmp_path / "truth" / "a.png")
    result = infer("photos/a.png", "--truth", tmp_path / "truth", "--overlay", "--json",
                   output=tmp_path / "out")
    assert f"pixel accuracy {100 * 12 / 23:.1f}%, mean IU" in result.stdout
    said = json.loads((tmp_path / "out" / "a.json").read_text())
    assert said["scores"]["pixel accuracy"] == pytest.approx(100 * 12 / 23)
    assert Image.open(tmp_path / "out" / "a_overlay.png").width > 3 * 32
    # in place: the truth is not overwritten
    infer("photos/a.png", "--truth", tmp_path / "truth", output=tmp_path / "truth")
    assert names(tmp_path / "truth") == ["a.png", "a_2.png", "a_2_overlay.png"]
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "truth" / "a.png")), truth)


@pytest.mark.parametrize("make, words", [
    (lambda path: None, "a.png: no such file; --truth is a folder of PNG files"),
    (lambda path: Image.new("L", (9, 9)).save(path), "is 9x9, its image is 32x24"),
    (lambda path: Image.new("L", (32, 24), 7).save(path), "the class 7, but the net's are 0 to 3"),
    (lambda path: Image.new("RGB", (32, 24)).save(path), "a.png: no label image: its mode is RGB")])
def test_a_truth_that_does_not_fit_fails_its_image(there, tmp_path, make, words):
    (tmp_path / "truth").mkdir()
    make(tmp_path / "truth" / "a.png")
    result = run("photos/a.png", "--truth", tmp_path / "truth", "--experiment", "run", "-o",
                 tmp_path / "out")
    assert result.returncode == 1 and words in result.stderr and not names(tmp_path / "out")


def test_nothing_that_is_read_is_overwritten(made, tmp_path):
    """Nor the depth, the net or its weights, whatever their names."""
    from fcn.solvers.inference.outputs import name_outputs
    kept = [tmp_path / "A.PNG", tmp_path / "b.json"]
    named = name_outputs([tmp_path / "x" / "a.jpg", tmp_path / "x" / "b.jpg"], tmp_path,
                         [".png", ".json"], kept)
    assert [stem.name for _, stem in named] == ["a_2", "b_2"]


def test_crf_sharpens_the_probabilities_before_classes_are_taken(there, tmp_path, segment):
    result = infer("photos/a.png", "--mask", "--probabilities", "--crf", "3,20,10",
                   output=tmp_path)
    assert "CRF: w 3, xy 20, rgb 10 (as given)" in result.stdout
    plain = segment(there / "photos" / "a.png")
    expected = refine(plain.probabilities, np.asarray(plain.image), Settings(3, 20, 10))
    found = np.load(tmp_path / "a_probabilities.npy")
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert not np.allclose(found, plain.probabilities, atol=0.05)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), found.argmax(0))


# the run that is taken

def test_age_and_data_are_said_and_a_demo_s_net_on_a_photograph(there, tmp_path):
    settings, weights = there / "run" / "settings.json", there / "run" / "snapshot"
    assert "trained on" not in infer("photos/a.png", output=tmp_path).stdout
    settings.write_text('{"data": "/data/street"}')
    hours = time.time() - 3 * 3600 - 60
    os.utime(weights / "train_iter_2.caffemodel", (hours, hours))
    result = infer("photos/a.png", output=tmp_path)
    assert "train_iter_2.caffemodel (3 hours old)" in result.stdout
    assert "trained on /data/street" in result.stdout and "demo" not in result.stderr
    settings.write_text('{"data": "seed 0"}')
    result = infer("photos/a.png", output=tmp_path)
    assert "trained on generated scenes (seed 0)" in result.stdout
    assert "run is a net of the demo: it has seen drawn scenes alone, never a photograph" in (
        result.stderr) and "a.png means little" in result.stderr
    embedded_voc.generate(tmp_path / "drawn", train=1, val=4)       # as the tutorial does
    scenes = tmp_path / "drawn" / "pascal" / "VOC2011" / "JPEGImages"
    assert "never a photograph" not in infer(scenes, output=tmp_path / "out").stderr
    import_labels(Request(scenes.parent, tmp_path / "imported"))
    copied = tmp_path / "imported" / "JPEGImages"
    assert "never a photograph" not in infer(copied, output=tmp_path / "out").stderr
    shutil.copy("photos/a.png", scenes)
    assert "a.png means little" in infer(scenes, output=tmp_path / "out").stderr
    settings.unlink()


def test_best_takes_the_snapshot_with_the_highest_mean_iu(there, tmp_path):
    assert "train_iter_2" in infer("photos/a.png", output=tmp_path).stdout
    result = run("photos/a.png", "--best", "--experiment", "run", "-o", tmp_path)
    assert result.returncode == 1 and "log.csv has scores of none of the" in result.stderr
    (there / "run" / "log.csv").write_text("iteration,loss,smoothed_loss,mean_iu\n"
                                           "1,2.0,2.0,84.7\n2,1.0,1.9,62.5\n3,1.0,1.9,99.0\n")
    result = infer("photos/a.png", "--best", output=tmp_path)
    assert "iteration 1, the best on the validation set: mean IU 84.7%" in result.stdout
    assert "weights run/snapshot/train_iter_1.caffemodel" in result.stdout
    (there / "run" / "log.csv").unlink()


# video

@pytest.fixture
def video(tmp_path):
    cv2 = pytest.importorskip("cv2")
    writer = cv2.VideoWriter(str(tmp_path / "film.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 5,
                             (32, 24))
    for seed in range(3):
        writer.write(np.ascontiguousarray(scene(seed=seed)[..., ::-1]))
    writer.release()
    return tmp_path / "film.avi"


def test_of_a_video_a_video_of_overlays_is_written(there, tmp_path, video):
    import cv2
    for folder in ("one", "two"):
        result = infer(video, output=tmp_path / folder)
        assert names(tmp_path / folder) == ["film_overlay.mp4"] and "(3 frames)" in result.stdout
    one, two = (tmp_path / folder / "film_overlay.mp4" for folder in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    capture = cv2.VideoCapture(str(one))
    frames = [frame for there, frame in iter(capture.read, (False, None))]
    assert len(frames) == 3 and frames[0].shape[0] > 24 and frames[0].shape[1] >= 32


def test_of_a_video_the_frames_are_written_where_asked_for(there, tmp_path, video):
    for _ in range(2):      # the second replaces what the first wrote
        infer(video, "--mask", "--json", output=tmp_path / "out")
    assert names(tmp_path / "out") == ["film_frames"]
    assert names(tmp_path / "out" / "film_frames") == [
        f"frame_00000{number}{suffix}" for number in (1, 2, 3) for suffix in (".json", ".png")]
    (tmp_path / "out" / "film_frames" / "mine.txt").touch()
    result = run(video, "--mask", "--experiment", "run", "-o", tmp_path / "out")
    assert result.returncode == 1 and "other files than frames, such as mine.txt" in result.stderr


def test_videos_that_cannot_be_read(there, tmp_path, monkeypatch, video):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"none")
    result = run(broken, "photos/a.png", "--experiment", "run", "-o", tmp_path / "out")
    assert result.returncode == 1 and "broken.mp4: not a video that OpenCV reads" in result.stderr
    assert names(tmp_path / "out") == ["a.png", "a_overlay.png"]
    monkeypatch.setitem(sys.modules, "cv2", None)
    result = run(video, "--experiment", "run", "-o", tmp_path / "out")
    assert result.returncode == 1 and "pip install opencv-python-headless" in result.stderr


def test_a_folder_of_folders_says_how_to_name_their_images(there, tmp_path):
    (there / "albums" / "one").mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (32, 24)).save(there / "albums" / "one" / "a.png")
    result = run("albums", "--experiment", "run", "-o", tmp_path / "out")
    assert "albums: a folder without images; 'albums/**/*' names those of" in result.stderr
    infer("albums/**/*", "--mask", output=tmp_path / "out")
    assert names(tmp_path / "out") == ["a.png"]
