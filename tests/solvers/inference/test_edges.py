"""HED from weights in the package's form, at a 64th of the width, and what is said where they
lack or are damaged."""

import hashlib
import io
import re
import shutil
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from unittest.mock import patch

import h5py
import numpy as np
import pytest
from PIL import Image
from scipy.special import expit

import caffe
from fcn import nets
from fcn.solvers.infer import main
from fcn.solvers.inference import edges
from fcn.solvers.scoring.prediction import ScoreError
from fcn.surgery import SurgeryError
from fcn.surgery.from_keras import fill_hed
from segdata.download import catalog
from segdata.errors import MaterialError

pytestmark = pytest.mark.usefixtures("log_as_it_is")
WIDTH = 1 / 64
BLOCKS = {1: (3, 1, 1), 2: (1, 2, 2), 3: (2, 4, 4, 4), 4: (4, 8, 8, 8), 5: (8, 8, 8, 8)}


def package_file(path, rng):
    """The .weights.h5 of a narrow HED, as Keras writes it: {dataset: array}."""
    arrays = {}
    for block, channels in BLOCKS.items():
        for i, (bottom, top) in enumerate(zip(channels, channels[1:])):
            arrays[f"block{block}/layers/conv2d{f'_{i}' * (i > 0)}"] = (3, 3, bottom, top)
        arrays[f"dsn{block}"] = (1, 1, channels[-1], 1)
    arrays["fuse"] = (1, 1, 5, 1)
    with h5py.File(path, "w") as file:
        for name, shape in arrays.items():
            file[f"{name}/vars/0"] = rng.normal(0, 0.3, shape).astype(np.float32)
            file[f"{name}/vars/1"] = rng.normal(0, 0.3, shape[-1:]).astype(np.float32)
    return path


@pytest.fixture
def narrow(tmp_path, monkeypatch):
    """The store holds such a file, as the catalog says it, and build/ is empty; its path."""
    monkeypatch.setenv("FCN_DATA", str(tmp_path / "store"))
    monkeypatch.setenv("FCN_BUILD", str(tmp_path / "build"))
    monkeypatch.setattr(edges, "nets", SimpleNamespace(write=partial(nets.write, width=WIDTH)))
    path = catalog.path("hed")
    path.parent.mkdir(parents=True)
    package_file(path, np.random.default_rng(3))
    monkeypatch.setitem(catalog.ITEMS, "hed", replace(
        catalog.ITEMS["hed"], size=path.stat().st_size,
        checksum="sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()))
    return path


def test_the_caffemodel_holds_the_package_s_numbers_and_the_net_computes_hed(narrow):
    deploy, weights = edges.files()
    net = caffe.Net(str(deploy), str(weights), caffe.TEST)
    with h5py.File(narrow) as file:
        kernel = file["block3/layers/conv2d_2/vars/0"][...]
        np.testing.assert_array_equal(net.params["conv3_3"][0].data, kernel.transpose(3, 2, 0, 1))
        side, bias = (file[f"dsn2/vars/{i}"][...] for i in range(2))
        fuse, last = (file[f"fuse/vars/{i}"][...].ravel() for i in range(2))
    net.blobs["data"].reshape(1, 3, 37, 50)
    net.blobs["data"].data[...] = np.random.default_rng(0).normal(0, 40, (3, 37, 50))
    net.forward()
    # side output 2: a sum over channels at stride 2, upsampled by 2 bilinearly, on the image's grid
    score = np.tensordot(side[0, 0, :, 0], net.blobs["conv2_2"].data[0], 1) + bias
    rows, columns = ((34 + np.arange(size)) / 2 - 0.25 for size in (37, 50))  # 34: padding less 1
    np.testing.assert_allclose(net.blobs["upscore-dsn2"].data[0, 0],
                               bilinear_at(score, rows, columns), rtol=1e-4, atol=1e-4)
    sides = np.stack([net.blobs[f"upscore-dsn{i}"].data[0, 0] for i in range(1, 6)])
    np.testing.assert_allclose(net.blobs["sigmoid-fuse"].data[0, 0],
                               expit(np.tensordot(fuse, sides, 1) + last), atol=1e-5)


def bilinear_at(array, rows, columns):
    """Values of an array between its places."""
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    down, right = (rows - top)[:, None], (columns - left)[None]
    return ((1 - down) * (1 - right) * array[np.ix_(top, left)]
            + (1 - down) * right * array[np.ix_(top, left + 1)]
            + down * (1 - right) * array[np.ix_(top + 1, left)]
            + down * right * array[np.ix_(top + 1, left + 1)])


@pytest.mark.parametrize("size", [(1, 1), (50, 37), (3, 90), (900, 70)])
def test_a_drawing_has_the_size_of_its_photograph(narrow, size):
    draw = edges.EdgeDrawer(*edges.files())
    pixels = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8)
    drawing = draw(Image.fromarray(pixels))
    assert (drawing.size, drawing.mode) == (size, "L")
    assert max(draw.probabilities(Image.fromarray(pixels)).shape) <= edges.SIDE


def test_black_is_where_an_edge_is_certain(narrow):
    deploy, weights = edges.files()
    draw = edges.EdgeDrawer(deploy, weights)
    for blob in draw.net.params["new-score-weighting"]:
        blob.data[...] = 0
    image = Image.new("RGB", (8, 6))
    for bias, grey in ((-20, 255), (0, 128), (20, 0)):
        draw.net.params["new-score-weighting"][1].data[...] = bias
        assert np.all(np.asarray(draw(image)) == grey)
    draw.net.params["new-score-weighting"][1].data[...] = np.nan
    with pytest.raises(ScoreError, match=f"'sigmoid-fuse'.*not finite.*{weights.name} are damaged"):
        draw(image)


def test_the_border_of_a_photograph_is_no_edge(narrow):
    """What lies beside the image is the image mirrored: of stripes that run on there, too, the
    scores of the first block are those of the middle."""
    draw = edges.EdgeDrawer(*edges.files())
    stripes = np.zeros((24, 24, 3), np.uint8)
    stripes[:, 4:8] = 200
    draw(Image.fromarray(stripes))
    side = draw.net.blobs["upscore-dsn1"].data[0, 0, 32:-32, 32:-32]
    np.testing.assert_allclose(side, np.tile(side[12], (24, 1)), atol=1e-4)


# what is said

def test_without_the_weights_the_command_that_gets_them_is_named(narrow):
    narrow.unlink()
    with pytest.raises(MaterialError, match=r"hed_bsds500.weights.h5 is missing: HED's trained "
                       r"weights.*55 MB.*Get it with `make hed`"):
        edges.files()


def test_damaged_weights_are_refused(narrow):
    content = bytearray(narrow.read_bytes())
    content[len(content) // 2] ^= 1
    narrow.write_bytes(content)
    with pytest.raises(MaterialError, match=r"h5 is damaged, or another file.*sha256.*Remove it, "
                       "then get it anew with `make hed`"):
        edges.files()
    narrow.write_bytes(content[:-9])
    with pytest.raises(MaterialError, match=r"has [\d,]+ bytes, expected [\d,]+.*`make hed`"):
        edges.files()


def test_a_damaged_caffemodel_is_converted_anew_and_a_whole_one_needs_no_package(narrow, capsys):
    _, weights = edges.files()
    content = weights.read_bytes()
    assert f"{narrow} converted -> {weights}" in capsys.readouterr().out
    weights.write_bytes(content[:-20])
    edges.files()
    assert weights.read_bytes() == content
    shutil.rmtree(narrow.parent)
    capsys.readouterr()
    assert edges.files()[1] == weights
    assert capsys.readouterr().out == ""


def change(path, name, array):
    with h5py.File(path, "r+") as file:
        del file[name]
        if array is not None:
            file[name] = array


@pytest.mark.parametrize("name, array, message", [
    ("block2/layers/conv2d_1/vars/0", None, "has no array 'block2/layers/conv2d_1/vars/0'; expect"),
    ("fuse/vars/1", np.zeros(2, "f4"), r"'fuse/vars/1' is of the shape \(2,\).*layer "
     r"'new-score-weighting' takes \(1,\)"),
    ("dsn4/vars/0", np.zeros((1, 1, 7, 1), "f4"), r"\(1, 7, 1, 1\).*layer 'score-dsn4' takes "
     r"\(1, 8, 1, 1\)"),
    ("dsn1/vars/1", np.full(1, np.nan, "f4"), "'dsn1/vars/1' holds numbers that are not finite")])
def test_a_file_that_does_not_fit_fills_nothing(tmp_path, name, array, message):
    path = package_file(tmp_path / "w.h5", np.random.default_rng(0))
    net = caffe.Net(str(nets.write("hed", tmp_path, width=WIDTH)["deploy"]), caffe.TEST)
    change(path, name, array)
    with pytest.raises(SurgeryError, match=message) as caught:
        fill_hed(net, path)
    assert str(caught.value).startswith(str(path))
    assert not any(blob.data.any() for layer in net.params for blob in net.params[layer])


def test_a_file_that_is_no_hdf5_file(tmp_path):
    (tmp_path / "w.h5").write_bytes(b"no")
    net = caffe.Net(str(nets.write("hed", tmp_path, width=WIDTH)["deploy"]), caffe.TEST)
    with pytest.raises(SurgeryError, match="w.h5: no whole HDF5 file"):
        fill_hed(net, tmp_path / "w.h5")


# the command

def infer(*arguments):
    """infer.py in this process: its exit status, what it prints, and what it says of errors."""
    out, err, status = Text(), Text(), 0
    with redirect_stdout(out), redirect_stderr(err), patch.object(
            sys, "argv", ["infer.py", *map(str, arguments)]):
        try:
            status = main()
        except SystemExit as end:
            status = 1 if isinstance(end.code, str) else end.code
            err.write(str(end.code))
    return status, out.getvalue(), err.getvalue()


class Text(io.StringIO):
    """What stands in for a stream of the process; any encoding will do."""

    def reconfigure(self, **_):
        pass


@pytest.fixture
def photographs(tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    pixels = np.random.default_rng(2).integers(0, 256, (20, 30, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    Image.fromarray(pixels).resize((700, 50)).save(folder / "b.jpg")
    (folder / "c.jpg").write_bytes(b"no image")
    return folder


def test_infer_draws_every_image_of_a_folder_and_names_the_one_that_fails(narrow, photographs,
                                                                         tmp_path):
    status, out, err = infer(photographs, "--experiment", "hed", "-o", tmp_path / "out")
    assert status == 1
    assert f"{photographs / 'c.jpg'}: not a readable image" in err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a_edges.png",
                                                                         "b_edges.png"]
    assert f"b.jpg (700x50, computed at 640x46) -> {tmp_path / 'out' / 'b_edges.png'}" in out
    with Image.open(tmp_path / "out" / "a_edges.png") as drawing:
        assert (drawing.size, drawing.mode) == ((30, 20), "L")
        expected = edges.EdgeDrawer(*edges.files())(Image.open(photographs / "a.png"))
        np.testing.assert_array_equal(np.asarray(drawing), np.asarray(expected))
    # with the drawings among the photographs, a second run takes none of them
    assert infer(photographs / "a.png", "--experiment", "hed", "-o", photographs)[0] == 0
    status, out, _ = infer(photographs, "--experiment", "hed", "-o", tmp_path / "out")
    assert out.count("->") == 2


def test_converting_the_weights_writes_no_log_of_the_net(narrow, photographs, monkeypatch):
    monkeypatch.delenv("GLOG_minloglevel")
    caffe.init_log(0)
    status, out, err = infer(photographs / "a.png", "--experiment", "hed")
    assert (status, err) == (0, "")
    assert "converted ->" in out


def test_a_net_of_edges_is_known_by_its_blob(narrow, photographs, tmp_path):
    net, weights = edges.files()
    infer(photographs / "a.png", "--experiment", "hed", "-o", tmp_path / "one")
    status, _, _ = infer(photographs / "a.png", "--net", net, "--weights", weights, "-o",
                         tmp_path / "two")
    assert status == 0
    assert ((tmp_path / "one" / "a_edges.png").read_bytes()
            == (tmp_path / "two" / "a_edges.png").read_bytes())


@pytest.mark.parametrize("options, message", [
    (("--mask",), "--mask is for nets of classes.*NAME_edges.png alone.*leave --mask out"),
    (("--flip",), "--flip is for nets of classes"),
    (("--no-overlay",), "--no-overlay is for nets of classes"),
    (("--samples", "3"), "--samples is for nets of classes"),
    (("--opacity", "0.2"), "--opacity is for nets of classes"),
    (("--scales", "1,2"), "--scales is for nets of classes"),
    (("--workers", "2"), "--workers is for nets of classes.*in one process"),
    (("--gpu", "0,1"), "edges are drawn on one GPU"),
    (("--weights", "w"), "--net and --weights go together"),
    (("--net", "NET", "--weights", "w"), "give --experiment, or --net and --weights")])
def test_options_that_have_no_meaning_are_refused(narrow, photographs, options, message):
    options = [str(edges.files()[0]) if option == "NET" else option for option in options]
    status, _, err = infer(photographs / "a.png", "--experiment", "hed", *options)
    assert status == 1
    assert re.search(message, err)


def test_infer_without_the_weights_says_how_to_get_them(narrow, photographs):
    narrow.unlink()
    status, _, err = infer(photographs, "--experiment", "hed")
    assert status == 1
    assert "`make hed`" in err and "Traceback" not in err
