"""Batches, windows, augmentation and weights of a training, as the command line gives them."""

import argparse
import os
import re
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import caffe
from caffe.formats import prototxt
from fcn import surgery
from fcn.nets.source import folder, voc
from fcn.nets.weighted import read_class_weights
from fcn.solvers import training
from fcn.solvers.console.errors import RunError
from fcn.solvers.experiments import class_weights, options, splits
from fcn.solvers.experiments.table import EXPERIMENTS
from fcn.solvers.preflight import labels
from fcn.solvers.preflight.first_loss import described, losses
from fcn.solvers.runs import log
from fcn.solvers.scoring.metrics import Scores
from fcn.solvers.training import loop
from segdata import layer as data_layer
from segdata.errors import DataError
from segdata.importing.labelled import Options, Request
from segdata.importing.write import import_labels
from segdata.lists import literal


@pytest.fixture
def tiny(experiment):
    return replace(experiment, head="fcn32s")


def parsed(*words):
    parser = argparse.ArgumentParser()
    parser.add_argument("--fresh", action="store_true")
    options.add_arguments(parser)
    return parser.parse_args(words)


def changed(experiment, *words):
    return options.with_training_options(experiment, parsed(*words))


def test_options_reach_the_training_layer_and_the_settings_alone(tiny):
    run = changed(tiny, "--batch", "3", "--crop", "40x60", "--mirror", "--jitter", "4", "--scale",
                  "0.5,1.5")
    expected = {"batch": 3, "crop": (40, 60), "mirror": True, "jitter": 4, "scale": (0.5, 1.5)}
    training.write_files(run, 0)
    train, val = (prototxt.read_net(run.run.prototxt(split)).layer[0].python_param.param_str
                  for split in ("train", "val"))
    assert {key: literal(train)[key] for key in expected} == expected
    assert not set(expected) & set(literal(val))
    assert {key: value for key, value in run.settings().items() if key.startswith("--")} \
        == {f"--{key}": value for key, value in expected.items()}


def test_what_is_as_it_was_is_no_option(tiny):
    assert changed(tiny, "--batch", "1", "--no-mirror", "--jitter", "0") is tiny
    mirrored = replace(tiny, source=tiny.source.with_training(mirror=True))
    assert changed(mirrored, "--mirror") is mirrored
    assert changed(mirrored, "--no-mirror").options == {"mirror": False}


@pytest.mark.parametrize("words, said", [
    (("--crop", "0"), "expected a side or HEIGHTxWIDTH of 1 or more pixels"),
    (("--crop", "3x4x5"), "got '3x4x5'"), (("--crop", "-3"), "got '-3'"),
    (("--scale", "2,1"), "expected LOW,HIGH with 0 < LOW <= HIGH <= 16"),
    (("--scale", "0,1"), "got '0,1'"), (("--scale", "1"), "got '1'"),
    (("--scale", "nan,1"), "got 'nan,1'"),
    (("--batch", "0"), "expected a whole number above 0, got '0'"),
    (("--jitter", "1.5"), "expected a whole number from 0 on, got '1.5'")])
def test_options_that_make_no_sense_are_refused(capsys, words, said):
    with pytest.raises(SystemExit):
        parsed(*words)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("words", [(), ("--scale", "0.5,2")])
def test_a_jitter_that_leaves_nothing_of_an_image_is_refused(tiny, words):
    split = splits.read_split(*tiny.source.train).good
    smallest = min(split, key=lambda sample: min(sample.size))
    side = int(min(smallest.size) * (0.5 if words else 1))
    with pytest.raises(RunError, match=f"--jitter {side}: the training image {smallest.name} has "
                       rf"{smallest.size[1]}x{smallest.size[0]} pixels .* take less than {side}"):
        changed(tiny, "--jitter", str(side), *words)
    assert changed(tiny, "--jitter", str(side - 1), *words).options["jitter"] == side - 1


def test_a_batch_beyond_the_memory_is_refused_before_it_is_read(tiny, monkeypatch):
    monkeypatch.setattr(data_layer, "available_memory", lambda: 2 ** 20)
    training.write_files(changed(tiny, "--batch", "1000"), 0)
    with pytest.raises(DataError, match="a batch of 1,000 samples takes about .* GiB, free for "
                       "this process are 0.0 GiB: take a smaller batch, or a crop"):
        caffe.Net(str(tiny.run.prototxt("train")), caffe.TRAIN)


def test_a_batch_has_the_mean_of_the_gradients_of_its_images(tiny):
    """Of the loss that sums over pixels; without dropout."""
    single, batch = gradients(tiny, 2), gradients(changed(tiny, "--batch", "2"), 1)
    for name, gradient in batch[0].items():
        np.testing.assert_allclose(gradient, (single[0][name] + single[1][name]) / 2, rtol=1e-3,
                                   atol=1e-5 * abs(gradient).max())


def gradients(experiment, passes):
    training.write_files(experiment, 0)
    caffe.set_random_seed(1)
    net, found = caffe.Net(str(experiment.run.prototxt("train")), caffe.TEST), []
    surgery.interp(net, ["upscore"])
    for _ in range(passes):
        net.clear_param_diffs()
        net.forward()
        net.backward()
        found.append({name: net.params[name][0].diff.copy() for name in ("conv1_1", "score_fr")})
    return found


def test_what_a_batch_means_for_the_rate_is_said(tiny, capsys):
    run = replace(changed(tiny, "--batch", "2"), iterations=1, interval=1)
    training.train(run)
    said = capsys.readouterr().out
    assert ("batch 2: the loss sums over pixels and is divided by the 2 images, so the "
            "gradient is as large as that of one image, and the rate can stay; with momentum 0.99 "
            "an update averages over about 200 images, with one image in a pass over 100") in said
    assert ("1.946 per pixel; guessing among 7 classes costs ln(7) = 1.946: as expected of scores "
            "that start at zero") in said
    assert "mean over the pixels of the batch" in options.batch_note(run, True)
    assert "averages over about 400 images, with one image in a pass over 200" in (
        options.batch_note(run, False, workers=2))
    assert options.batch_note(tiny, False) == ""


def test_a_run_does_not_go_on_with_another_batch(tiny):
    training.train(replace(changed(tiny, "--batch", "2"), iterations=1, interval=1))
    with pytest.raises(RunError, match="run with --batch 2, now asked for is 3. To go on with it, "
                       "repeat --batch 2. Or start anew"):
        training.train(changed(tiny, "--batch", "3"))


# weights of classes

def sample(**pixels):
    return SimpleNamespace(shown=lambda label: {int(value[1:]): count
                                                for value, count in pixels.items()})


def test_weights_are_those_of_the_formulas():
    """Class 0 in two images, class 1 in one; void counts nowhere; class 2 is never seen."""
    samples = [sample(_0=60, _255=1000), sample(_0=20, _1=20)]
    pixels, areas = class_weights.counted(samples, "label", 3)
    assert pixels.tolist() == [80, 20, 0] and areas.tolist() == [100, 40, 0]
    assert class_weights.measured("frequency", pixels, areas) == [0.625, 2.5, 1.0]
    assert class_weights.measured("median", pixels, areas) == pytest.approx(
        [0.65 / 0.8, 0.65 / 0.5, 1])
    told = class_weights.table(["a", "b", "c"], pixels, [0.625, 2.5, 1.0]).splitlines()
    assert told[1].split() == ["a", "80.00%", "0.625"]
    assert told[3].split(maxsplit=3) == ["c", "0.00%", "1", "never seen in training: the weight 1 "
                                         "has no effect"]


def counts(experiment):
    """The pixels of each class in the training labels, by reading them anew."""
    split = splits.read_split(*experiment.source.train)
    total = np.zeros(7)
    for entry in split.good:
        path = split.reader.paths(entry.name)["label"]
        values = split.reader.decode_label(path)
        total += np.bincount(values[values != 255].ravel(), minlength=7)
    return total


def test_measured_weights_are_printed_and_written(tiny, capsys):
    run = changed(tiny, "--class-weights", "frequency")
    said, pixels = capsys.readouterr().out, counts(tiny)
    expected = pixels.sum() / ((pixels > 0).sum() * pixels)
    assert "weights of the classes of 'label', frequency" in said and "disc " in said
    training.write_files(run, 0)
    path = run.directory / "class_weights_label.binaryproto"
    np.testing.assert_allclose(read_class_weights(path), expected, rtol=1e-4)
    types = {split: prototxt.read_net(run.run.prototxt(split)).layer[-1].type
             for split in ("train", "val")}
    assert types == {"train": "InfogainLoss", "val": "SoftmaxWithLoss"}
    assert (np.average(expected, weights=pixels)) == pytest.approx(1)


def test_weights_are_measured_once(tiny, capsys):
    run = replace(changed(tiny, "--class-weights", "median"), iterations=1, interval=1)
    training.train(run)
    assert "guessing among 7 classes costs ln(7) = 1.946: as expected of" \
        in capsys.readouterr().out
    again = changed(replace(tiny, source=voc("absent", 7)), "--class-weights", "median")
    assert again.options == run.options and not capsys.readouterr().out
    with pytest.raises(RunError, match="now asked for is none. To go on with it, repeat "
                       "--class-weights median"):
        training.train(tiny)


def test_weights_of_several_labels_and_from_a_file(tiny, tmp_path):
    path = tmp_path / "weights.txt"
    path.write_text("1\n2\n3\n4, 5 6\n0\n")
    expected = {"as": "numbers", "of": {"label": [1, 2, 3, 4, 5, 6, 0]}}
    assert changed(tiny, "--class-weights", str(path)).options["class_weights"] == expected
    assert changed(tiny, "--class-weights", "1,2,3,4,5,6,0").options["class_weights"] == expected
    with pytest.raises(RunError, match="the labels sem, geo; numbers are for one label"):
        changed(EXPERIMENTS["siftflow-fcn32s"], "--class-weights", "1,2,3")


@pytest.mark.parametrize("given, words", [
    ("1,2,3", "there are 3 weights for the 7 classes background, .*; give one for each, in that"),
    ("1,1,1,1,1,1,-1", "expected are finite numbers from 0 on"),
    ("0,0,0,0,0,0,0", "and not only 0"), ("1,1,1,1,1,1,inf", "finite numbers"),
    ("medain", r"--class-weights medain: expected none, frequency, median, numbers as 1,2.5,4, or "
               r"a file of numbers; there is no file of that name \(did you mean 'median'\?\)$"),
    ("/", "a file of numbers; Is a directory$")])
def test_weights_that_do_not_fit_are_refused(tiny, given, words):
    with pytest.raises(RunError, match=words):
        changed(tiny, "--class-weights", given)


# weights of pixels

@pytest.fixture
def maps(tiny, tmp_path):
    """Weights of the training images: the column of each pixel, but 0.5 in a PNG."""
    place, split = tmp_path / "maps", splits.read_split(*tiny.source.train)
    place.mkdir()
    for number, entry in enumerate(split.good):
        with Image.open(split.reader.paths(entry.name)["data"]) as image:
            width, height = image.size
        if number % 2:
            Image.new("L", (width, height), 51).save(place / f"{entry.name}.png")
        else:
            np.save(place / f"{entry.name}.npy", np.arange(width) * np.ones((height, 1)))
    return place


def test_maps_are_cropped_with_the_images_and_weigh_the_loss(tiny, maps):
    run = changed(tiny, "--pixel-weights", str(maps), "--crop", "30", "--batch", "4",
                  "--class-weights", "1,2,1,1,1,1,1")
    training.write_files(run, 0)
    net = caffe.Net(str(run.run.prototxt("train")), caffe.TRAIN)
    loss = float(net.forward()["loss"])
    label, weight = (net.blobs[name].data for name in ("label", "weight"))
    assert weight.shape == label.shape == (4, 1, 30, 30)
    kinds = {bool(np.ptp(one)) for one in weight}
    assert kinds == {True, False}
    for one in weight:
        assert (np.diff(one[0], axis=1) == 1).all() if np.ptp(one) else one == pytest.approx(0.2)
    total = (weight * np.where(label == 255, 0, np.where(label == 1, 2, 1))).sum()
    assert loss == pytest.approx(np.log(7) * total / 4, rel=1e-4)
    found, = losses(net, run.run.net_param("train"))
    assert found.per_pixel == pytest.approx(np.log(7), rel=1e-4)
    assert re.search(rf"valid pixels of the mean weight {total / (label != 255).sum():.3g}\d*, "
                     r"1\.946 per pixel of weight 1; guessing", described(found, True))


def test_maps_that_are_missing_or_none(tiny, maps, tmp_path):
    with pytest.raises(RunError, match="no such folder; it has a PNG or .npy file for each"):
        changed(tiny, "--pixel-weights", str(tmp_path / "absent"))
    run, files = changed(tiny, "--pixel-weights", str(maps)), sorted(maps.iterdir())
    training.write_files(run, 0)
    wrong = {"expected numbers .height, width., got float64 .3,.": np.ones(3),
             "negative or not finite": -np.ones((4, 4)), "is 2x3 .width x height.": np.ones((3, 2))}
    for words, array in wrong.items():
        for file in files:
            file.unlink(missing_ok=True)
            np.save(file.with_suffix(".npy"), array)
        with pytest.raises(DataError, match=words):
            caffe.Net(str(run.run.prototxt("train")), caffe.TRAIN)
    files[0].with_suffix(".npy").unlink()
    with pytest.raises(DataError, match=r"weights .*\.npy does not exist, nor with \.png, .*train"):
        caffe.Net(str(run.run.prototxt("train")), caffe.TRAIN)


def test_maps_older_than_their_labels_are_named(tiny, maps):
    run = changed(tiny, "--pixel-weights", str(maps))
    assert labels.outdated_weights(run.source) == labels.outdated_weights(tiny.source) == []
    old, *_ = sorted(maps.iterdir())
    os.utime(old, (9, 9))
    finding, = labels.outdated_weights(run.source)
    label = splits.read_split(*run.source.train).reader.paths(old.stem)["label"]
    assert "1 file of pixel weights may be" in finding.problem and not finding.stops
    assert f"{old} is older than {label}" in finding.problem


def test_maps_are_compared_with_the_masks_that_were_imported(tmp_path, monkeypatch):
    """The labels that an import writes are newer than all weights."""
    for name in ("photos", "masks", "maps"):
        (tmp_path / name).mkdir()
    for name in "abc":
        Image.new("RGB", (8, 8)).save(tmp_path / f"photos/{name}.png")
        Image.fromarray(np.eye(8, dtype=np.uint8)).save(tmp_path / f"masks/{name}.png")
        np.save(tmp_path / f"maps/{name}.npy", np.ones((8, 8)))
    target = tmp_path / "imported"
    import_labels(Request(tmp_path / "photos", target, Options(
        foreground=[1], images=tmp_path / "photos", masks=tmp_path / "masks"), share=0.4))
    for path in target.rglob("*.png"):
        os.utime(path, (time.time() + 99,) * 2)
    source = folder(target, 2).with_training(weights=str(tmp_path / "maps"))
    assert labels.outdated_weights(source) == []
    for name in "abc":
        os.utime(tmp_path / f"masks/{name}.png", (time.time() + 99,) * 2)
    assert f"older than {tmp_path / 'masks'}" in labels.outdated_weights(source)[0].problem


# early stopping

@pytest.fixture
def scripted(monkeypatch):
    """Have the scores of trainings say these mean IUs in turn, in percent."""
    def script(*values):
        left, own = list(values), loop.Loop.computed_scores

        def scores(self, pending):
            found, value = own(self, pending), left.pop(0)
            monkeypatch.setattr(Scores, "headline", property(lambda _: value / 100))
            return found

        monkeypatch.setattr(loop.Loop, "computed_scores", scores)
        monkeypatch.setattr(log, "draw", lambda *_: None)
    return script


def test_a_training_without_a_better_score_ends_early_and_goes_on(tiny, scripted, monkeypatch,
                                                                 capsys):
    run = replace(tiny, iterations=5, interval=1)
    scripted(10, 30, 20, 30, 40)
    training.train(run, patience=2)
    said = capsys.readouterr().out
    assert ("tiny: ends early at iteration 4 of 5: mean IU was not above the 30.0% of iteration 2 "
            "in the last 2 scores (--patience 2); it goes on with a larger --patience, or without"
            ) in said
    assert training.finished(run) and training.last_iteration(run) == 4
    assert training.final_weights(run) == run.run.weights(4) == run.run.newest_weights()
    training.train(run, patience=2)
    said = capsys.readouterr().out
    assert "tiny: --patience 2 ended it at iteration 4; it goes on with a larger" in said
    assert "tiny is trained:" in said and run.run.newest_weights() == run.run.weights(4)
    with monkeypatch.context() as interrupted:
        interrupted.setattr(loop.Loop, "run", lambda self: {})
        training.train(run)
    assert training.finished(run) and training.last_iteration(run) == 4     # as before
    assert "tiny: --patience 2 ended it at iteration 4; now it goes on" in capsys.readouterr().out
    training.train(run, patience=3)
    assert "ends early" not in capsys.readouterr().out
    assert training.finished(run) and training.final_weights(run) == run.run.weights(5)


def test_a_whole_run_is_no_early_end(tiny, scripted):
    run = replace(tiny, iterations=2, interval=1)
    scripted(10, 9)
    training.train(run, patience=1)
    assert training.finished(run) and not run.run.ended()


def test_an_early_end_whose_snapshot_is_gone_counts_no_more(tiny, scripted, capsys):
    """The run goes on from the snapshot before, and its last iteration is not that of the end."""
    run = replace(tiny, iterations=5, interval=1)
    scripted(10, 30, 20, 30, 10, 90, 95)        # the last three: of iterations 3, 4 and 5
    training.train(run, patience=2, keep=None)
    for path in run.run.folder.glob("train_iter_4.*"):
        path.unlink()
    training.train(run, patience=2)
    assert "ended it at iteration 4, and the snapshot of that is gone; now it goes on" in (
        capsys.readouterr().out)
    assert not run.run.ended() and training.final_weights(run) == run.run.weights(5)
    assert training.finished(run)


def test_images_decoded_ahead_are_no_setting_of_a_run(tiny):
    """They change no result; a run goes on with another number of them."""
    more = changed(tiny, "--prefetch", "16")
    assert more.source.train.params["prefetch"] == 16
    assert more.settings() == tiny.settings()
