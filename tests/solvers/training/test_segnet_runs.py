"""A small SegNet as any other experiment: trained, continued, scored, segmenting, exported."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

import caffe
from fcn import nets, surgery
from fcn.nets.source import folder
from fcn.nets.weighted import read_class_weights
from fcn.page import page
from fcn.solvers import demo, solve, training
from fcn.solvers.console.errors import RunError
from fcn.solvers.experiments.experiment import with_options
from fcn.solvers.experiments.own_folder import on_folder
from fcn.solvers.experiments.table import EXPERIMENTS
from fcn.solvers.inference.errors import InferError
from fcn.solvers.inference.network import choose
from fcn.solvers.inference.segmenter import Segmenter
from fcn.solvers.miniatures import miniature
from fcn.solvers.scoring import counting, score_file
from fcn.solvers.scoring.prediction import load_net
from fcn.solvers.training import batch_statistics
from infer_runs import run as infer
from infer_runs import scene
from own_folder import NAMES, write_data
from page_runs import stub_runtime

pytestmark = pytest.mark.usefixtures("log_as_it_is")


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    directory = tmp_path_factory.mktemp("segnet")
    made = on_folder(write_data(directory / "data"), "small", "segnet-basic-bayesian", 1 / 8,
                     iterations=8, interval=4)
    return with_options(made, build=directory / "build")


@pytest.fixture(scope="module")
def trained(experiment):
    training.train(experiment)
    return experiment.run


def test_a_snapshot_is_made_ready_for_testing(trained):
    ready = [path.name for path in sorted(trained.folder.glob("test_iter_*"))]
    assert ready == ["test_iter_4.caffemodel", "test_iter_8.caffemodel"]
    own = score_file.load(trained, 8)["label"]
    again = counting.score_net(load_net(trained.prototxt("val"), trained.weights(8)), 1)["label"]
    np.testing.assert_array_equal(again.matrix, own.matrix)
    assert own.matrix.sum() == 24 * 40          # what is padded is void
    learnt, folded = (surgery.Weights(path).params["conv1_bn"][0].data
                      for path in (trained.weights(8), trained.folder / "test_iter_8.caffemodel"))
    assert not np.allclose(learnt, folded)
    assert (trained.directory / "report.html").stat().st_size > 10_000


def test_statistics_are_measured_over_all_training_images(experiment, trained, tmp_path):
    """Five images are two batches of four."""
    own = with_options(experiment, build=tmp_path)
    shutil.copytree(trained.directory, own.directory)
    caffe.set_random_seed(0)
    found = batch_statistics.write_weights(own, 8)
    net = caffe.Net(str(own.run.prototxt("statistics")), str(own.run.weights(8)), caffe.TEST)
    caffe.set_random_seed(0)
    expected = surgery.statistics(net, passes=2)
    assert found and found.keys() == expected.keys()
    for layer, values in expected.items():
        np.testing.assert_allclose(found[layer], values, rtol=1e-5, err_msg=layer)


def test_a_continued_run_ends_as_one_without_interruption(experiment, trained, tmp_path):
    again = with_options(experiment, build=tmp_path)
    shutil.copytree(trained.directory, again.directory)
    for path in [*again.run.folder.glob("*_iter_8.*"), again.directory / "score.json"]:
        path.unlink()
    training.train(again)
    for name in ("train_iter_8.caffemodel", "test_iter_8.caffemodel"):
        found, expected = (surgery.Weights(each.folder / name).params
                           for each in (again.run, trained))
        for layer, blobs in expected.items():
            for blob, own in zip(blobs, found[layer]):
                np.testing.assert_array_equal(own.data, blob.data, layer)


def test_scores_change_nothing_of_what_is_trained(experiment, trained, tmp_path):
    """The net that is scored has folded parameters, the one that learns has its own."""
    once = with_options(experiment, build=tmp_path, interval=8)
    training.train(once)
    found, expected = (surgery.Weights(each.weights(8)).params for each in (once.run, trained))
    for layer, blobs in expected.items():
        for blob, own in zip(blobs, found[layer]):
            np.testing.assert_array_equal(own.data, blob.data, layer)


def test_the_encoder_starts_from_vgg16(experiment, tmp_path):
    trunk = caffe.Net(str(nets.write_prototxt(tmp_path / "vgg16.prototxt", nets.classifier(
        "vgg16", width=1 / 32, size=32, filler="msra"))), caffe.TEST)
    row = with_options(EXPERIMENTS["camvid-segnet"], source=experiment.source, build=tmp_path,
                       class_names=experiment.class_names, net=dict(width=1 / 32))
    solver = caffe.get_solver(str(training.write_files(row, 0)))
    assert training.start_weights(row, solver.net, {"": trunk}) == []
    for name in ("conv1_1", "conv5_3"):
        np.testing.assert_array_equal(solver.net.params[name][0].data, trunk.params[name][0].data)
    assert solver.net.params["conv5_3_D"][0].data.std() > 0
    assert miniature.bases("camvid-segnet") == {} and demo.chain(["camvid-segnet"]) == [
        "camvid-segnet"]


def test_the_miniature_weighs_the_classes_as_the_recipe_does(tmp_path, tiny):
    row, _ = miniature.train("camvid-segnet-basic", tmp_path)
    loss, = (layer for layer in row.run.net_param("train").layer if layer.name == "loss")
    weights = read_class_weights(loss.infogain_loss_param.source)
    assert len(weights) == len(row.class_names["label"]) and len(set(weights)) > 3
    assert row.run.settings()["--class-weights"]["as"] == "median"


def test_without_statistics_a_snapshot_is_not_tested(trained, tmp_path):
    shutil.copytree(trained.directory, tmp_path / "run")
    copy = type(trained)(tmp_path / "run")
    (copy.folder / "test_iter_8.caffemodel").unlink()
    assert copy.newest_weights() == copy.weights(4)
    with pytest.raises(RunError, match=r"train_iter_8.caffemodel cannot be tested.*no statistics.*"
                                       r"test_iter_8.caffemodel is missing.*--best"):
        load_net(copy.prototxt("deploy"), copy.weights(8))


def test_what_a_training_writes_anew_is_no_longer_ready(trained, tmp_path):
    """So that the statistics of an earlier training never go with new weights."""
    shutil.copytree(trained.directory, tmp_path / "run")
    copy = type(trained)(tmp_path / "run")
    copy.remove_ready_after(4)
    assert copy.newest_weights() == copy.weights(4)
    (copy.folder / "test_iter_4.caffemodel").unlink()
    with pytest.raises(RunError, match="no snapshot that is ready.*train_iter_8.*once more"):
        copy.newest_weights()


def test_old_snapshots_go_with_what_was_made_of_them(trained, tmp_path):
    shutil.copytree(trained.directory, tmp_path / "run")
    copy = type(trained)(tmp_path / "run")
    copy.prune(1, ())
    assert not list(copy.folder.glob("*_iter_4*")) and len(list(copy.folder.glob("*_iter_8*"))) > 3


def test_several_passes_have_a_mean_and_a_variance(trained, tmp_path):
    image = tmp_path / "image.png"
    Image.fromarray(scene(21, 37)).save(image)
    out = tmp_path / "out"
    found = infer(image, "--experiment", trained.directory, "-o", out, "--samples", 6,
                  "--json", "--variance", "--probabilities", "--mask")
    assert found.returncode == 0, found.stderr
    assert "--samples 20" not in found.stderr
    variance = np.asarray(Image.open(out / "image_variance.png"))
    assert variance.shape == (21, 37) and variance.min() == 0 and variance.max() > 50
    content = json.loads((out / "image.json").read_text())
    assert 0 < content["variance"]["mean"] < content["variance"]["largest"] <= 0.25
    first = np.load(out / "image_probabilities.npy")
    np.testing.assert_allclose(first.sum(0), 1, atol=1e-5)
    Image.fromarray(scene(21, 37)[::-1]).save(tmp_path / "before.png")
    (out / "image_probabilities.npy").unlink()
    infer(tmp_path / "before.png", image, "--experiment", trained.directory, "-o", out,
          "--samples", 6, "--probabilities", "--batch", 2)
    np.testing.assert_array_equal(np.load(out / "image_probabilities.npy"), first)


def test_the_mean_and_the_variance_are_those_of_the_passes(trained, monkeypatch):
    segment = Segmenter(trained.directory, samples=3)
    drawn = np.random.default_rng(0).dirichlet(np.ones(3), (3, 1, 4, 5)).transpose(0, 1, 4, 2, 3)
    coming = iter(drawn.astype(np.float32))
    monkeypatch.setattr(segment, "_averaged", lambda arrays, source: next(coming).copy())
    found = segment(scene(4, 5))
    np.testing.assert_allclose(found.probabilities, drawn.mean(0)[0], atol=1e-6)
    np.testing.assert_allclose(found.variance, drawn.var(0)[0].mean(0), atol=1e-6)


def test_overlay_and_variance_are_written_by_default(trained, tmp_path):
    image = tmp_path / "image.png"
    Image.fromarray(scene(16, 16)).save(image)
    options = "--experiment", trained.directory, "-o", tmp_path / "out"
    infer(image, *options, "--samples", 2)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "image.png", "image_overlay.png", "image_variance.png"}
    one = infer(image, *options)
    assert "each pass says something else: --samples 20" in one.stderr
    refused = infer(image, *options, "--variance")
    assert refused.returncode == 1 and "--samples N" in refused.stderr


def test_samples_of_a_net_without_such_dropout(trained, tmp_path):
    text = trained.prototxt("deploy").read_text().replace("sample_weights_test: true", "")
    (tmp_path / "deploy.prototxt").write_text(text)
    with pytest.raises(InferError, match="no Dropout has sample_weights_test: true.*5 passes"):
        Segmenter(tmp_path / "deploy.prototxt", trained.folder / "test_iter_8.caffemodel",
                  samples=5)


@pytest.fixture(scope="module")
def segnet(tmp_path_factory):
    """A narrow SegNet-Basic with random weights, in a run's folder: its prototxt and weights."""
    directory = tmp_path_factory.mktemp("random")
    for split in ("val", "deploy"):
        nets.write_prototxt(directory / f"{split}.prototxt", nets.fcn(
            "segnet-basic", split, source=folder(directory, 3), width=1 / 16, scale=1 / 58))
    (directory / "classes.txt").write_text("\n".join(NAMES))
    net = caffe.Net(str(directory / "deploy.prototxt"), caffe.TEST)
    net.save(str(directory / "w.caffemodel"))
    return directory / "deploy.prototxt", directory / "w.caffemodel"


def test_scores_are_those_of_the_image_with_its_reflection_below_and_right(segnet):
    image = scene(21, 40)
    found = Segmenter(*segnet)(image)
    padded = np.pad(image, [(0, 11), (0, 8), (0, 0)], mode="symmetric")
    whole = Segmenter(*segnet)(padded)
    np.testing.assert_allclose(found.probabilities, whole.probabilities[:, :21, :40], atol=1e-5)
    assert len(np.unique(found.labels)) > 1
    Segmenter(*segnet, flip=True, scales=(0.5, 1.3))(image)


def test_tiles_are_as_the_whole(segnet):
    segment, image = Segmenter(*segnet), scene(24, 420)
    whole = segment(image)
    segment.tile = 250
    assert len(segment.plan((24, 420))) > 1
    np.testing.assert_allclose(segment(image).probabilities, whole.probabilities, atol=1e-4)


def test_bn_that_learns_has_no_tiles(segnet, tmp_path):
    path = tmp_path / "deploy.prototxt"
    path.write_text(segnet[0].read_text().replace("bn_mode: INFERENCE", "bn_mode: LEARN"))
    with pytest.raises(Exception, match=r"'conv1_bn' \(bn\) takes its statistics from the whole"):
        Segmenter(path, segnet[1], tile=64)(scene(16, 160))


def test_a_page_pads_to_the_multiple(segnet, tmp_path, monkeypatch):
    stub_runtime(tmp_path / "store", monkeypatch)
    said = page.write(choose(*segnet), tmp_path / "page", 96)
    assert (said["margin"], said["multiple"]) == (0, 16)


def test_as_onnx_it_says_the_same(segnet, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    from caffe.export import to_onnx
    net = caffe.Net(*map(str, segnet), caffe.TEST)
    to_onnx(net, str(tmp_path / "net.onnx"))
    net.blobs["data"].reshape(1, 3, 32, 48)
    net.blobs["data"].data[...] = np.random.default_rng(1).normal(size=(1, 3, 32, 48))
    net.forward()
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"))
    said, = session.run(["score"], {"data": net.blobs["data"].data})
    np.testing.assert_allclose(said, net.blobs["score"].data, atol=1e-4)


def test_as_a_module_of_torch_it_says_the_same(segnet):
    torch = pytest.importorskip("torch")
    net = caffe.Net(*map(str, segnet), caffe.TEST)
    net.blobs["data"].reshape(1, 3, 32, 48)
    net.blobs["data"].data[...] = np.random.default_rng(1).normal(size=(1, 3, 32, 48))
    net.forward()
    module = caffe.to_torch(net)
    with torch.no_grad():
        said = module(torch.from_numpy(net.blobs["data"].data.copy()))
    said = next(iter(said.values())) if isinstance(said, dict) else said
    np.testing.assert_allclose(said.numpy(), net.blobs["score"].data, atol=1e-4)


def test_missing_photographs_are_told_with_the_remedy(tmp_path, monkeypatch):
    """Before class weights are measured on them."""
    monkeypatch.setenv("FCN_DATA", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["solve.py", "camvid-segnet-basic", "--cpu"])
    with pytest.raises(training.MissingError, match="CamVid in VOC layout.*put the folder"):
        solve.prepared(solve.parse(), 1)
