"""`fcn page`: what is in the folder that it writes, and what it refuses."""

import hashlib
import json
import re
import shutil
import signal
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import caffe
from fcn.command import main
from fcn.nets.source import ROOT
from fcn.page import runtime
from fcn.page.errors import PageError
from fcn.page.server import address, server
from fcn.solvers.runs.run import Run
from page_runs import CLASSES, skip_run, stub_runtime
from segdata.download import fetch

pytestmark = pytest.mark.usefixtures("log_as_it_is")
MEAN = [104.00699, 116.66877, 122.67892]
SAID = {"classes": json.dumps(CLASSES), "mean": json.dumps(MEAN), "channels": "BGR",
        "inputs": '{"data": "color"}', "name": "leaves",
        "margin": "0", "multiple": "1"}
NET = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 3 dim: 9 dim: 9 } } }
"""
CONV = """layer { name: "score" type: "Convolution" bottom: "data" top: "score"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 } }"""
DENSE = """layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
  inner_product_param { num_output: 324 } }
layer { name: "score" type: "Reshape" bottom: "fc" top: "score"
  reshape_param { shape { dim: 0 dim: 4 dim: 9 dim: 9 } } }"""
EMBED = """layer { name: "im2col" type: "Im2col" bottom: "data" top: "columns"
  convolution_param { kernel_size: 1 } }
layer { name: "score" type: "Convolution" bottom: "columns" top: "score"
  convolution_param { num_output: 4 kernel_size: 1 } }"""
DEPTH = """layer { name: "color" type: "Input" top: "color"
  input_param { shape { dim: 1 dim: 3 dim: 9 dim: 9 } } }
layer { name: "depth" type: "Input" top: "depth"
  input_param { shape { dim: 1 dim: 1 dim: 9 dim: 9 } } }
layer { name: "both" type: "Concat" bottom: "color" bottom: "depth" top: "data" }"""
DEPTH_DATA = """layer { name: "data" type: "Python" top: "color" top: "depth" top: "label"
  python_param { module: "nyud_layers" layer: "NYUDSegDataLayer"
    param_str: "{'tops': ['color', 'depth', 'label']}" } }"""


@pytest.fixture(scope="module")
def skips(tmp_path_factory):
    return skip_run(tmp_path_factory.mktemp("page") / "leaves")


@pytest.fixture
def page(tmp_path, monkeypatch, capsys):
    """page(*arguments, status=0, command="page"): run the command; returns what it prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FCN_BUILD", str(tmp_path / "build"))
    monkeypatch.setattr(sys, "argv", ["restored afterwards"])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    stub_runtime(tmp_path / "store", monkeypatch)

    def run(*arguments, status=0, command="page"):
        try:
            found = main([command, *map(str, arguments)])
        except SystemExit as ended:
            found = ended.code
        printed = capsys.readouterr()
        assert (1 if isinstance(found, str) else found) == status, (found, printed)
        return found if status else printed.out

    return run


def small_net(folder, layers, data=""):
    """A folder with a deploy prototxt of layers, and a caffemodel of them; returns both paths."""
    folder.mkdir()
    (folder / "deploy.prototxt").write_text(layers)
    (folder / "classes.txt").write_text("\n".join(CLASSES))
    if data:
        (folder / "val.prototxt").write_text(data)
    net = caffe.Net(str(folder / "deploy.prototxt"), caffe.TEST)
    net.save(str(folder / "w.caffemodel"))
    return "--net", folder / "deploy.prototxt", "--weights", folder / "w.caffemodel"


def test_the_folder_is_complete_and_says_what_the_net_is(page, skips, tmp_path):
    printed = page(skips, "-o", tmp_path / "page", "--side", 320)
    assert "weights" in printed and f"wrote the page to {tmp_path / 'page'}" in printed
    assert f"fcn page {skips} -o {tmp_path / 'page'} --side 320 --serve`" in printed
    files = {path.relative_to(tmp_path / "page").as_posix(): path
             for path in (tmp_path / "page").rglob("*") if path.is_file()}
    assert set(files) == {"index.html", "page.css", "page.js", "worker.js", "page.json", "net.onnx",
                          *(f"runtime/{name}" for name in runtime.FILES)}
    found = json.loads(files.pop("page.json").read_text())
    assert found.pop("files") == {name: hashlib.sha256(path.read_bytes()).hexdigest()
                                  for name, path in files.items()}
    assert found["colours"][:2] == [[0, 0, 0], [128, 0, 0]] and len(found.pop("colours")) == 4
    assert found == {
        "name": "leaves", "data": "VOC2011", "drawn": False, "iterations": 7, "mean_iu": 41.5,
        "classes": [*CLASSES], "background": True, "input": "data", "output": "score",
        "mean": MEAN, "channels": "BGR", "margin": 0, "multiple": 1, "side": 320,
        "megabytes": found["megabytes"],
        "memory": pytest.approx(
            4 * (skips / "snapshot" / "train_iter_7.caffemodel").stat().st_size, rel=0.1),
        "stages": [{"stride": 32, "blob": "score/stride32"},
                   {"stride": 16, "blob": "score/stride16"}, {"stride": 8, "blob": "score"}],
        "runtime": f"onnxruntime-web {runtime.VERSION}"}
    assert str(skips.parent) not in files["index.html"].read_text() + json.dumps(found)
    assert not re.search(r"https?://", "".join(files[name].read_text() for name in (
        "index.html", "page.css", "page.js", "worker.js")))


def test_the_net_carries_what_it_needs(page, skips, tmp_path):
    page(skips, "-o", tmp_path / "page")
    path = str(tmp_path / "page" / "net.onnx")
    assert {each.key: each.value for each in onnx.load(path).metadata_props} == SAID
    assert {each.name for each in onnx.load(path).graph.output} == {
        "score", "score/stride16", "score/stride32"}


def test_a_run_is_exported_with_what_it_records(page, skips, tmp_path):
    assert "wrote" in page(skips, "-o", tmp_path / "new" / "net.onnx", command="export")
    session = onnxruntime.InferenceSession(str(tmp_path / "new" / "net.onnx"),
                                           providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map == SAID
    assert [each.name for each in session.get_outputs()] == ["score"]
    depth = small_net(tmp_path / "depth", DEPTH + CONV, DEPTH_DATA)
    page(*depth, "-o", "depth.onnx", command="export")
    said = {each.key: each.value for each in onnx.load("depth.onnx").metadata_props}
    assert json.loads(said["inputs"]) == {"color": "color", "depth": "depth"}
    assert "ends in .onnx" in page(skips, "-o", "net.pb", command="export", status=1)


@pytest.mark.parametrize("head, kept", [
    ("fcn8s", {32: (), 16: ("score_pool4",), 8: ("score_pool4", "score_pool3")}),
    ("fcn8s-atonce", {32: (), 16: ("score_pool4",), 8: ("score_pool4", "score_pool3")}),
    ("fcn16s", {32: (), 16: ("score_pool4",)})])
def test_what_each_stride_says(head, kept, page, tmp_path):
    """The scores of a stride are those of the net whose finer skips give nothing."""
    folder = skip_run(tmp_path / "run", head)
    page(folder, "-o", tmp_path / "page")
    stages = json.loads((tmp_path / "page" / "page.json").read_text())["stages"]
    assert [stage["stride"] for stage in stages] == [*kept]
    session = onnxruntime.InferenceSession(str(tmp_path / "page" / "net.onnx"),
                                           providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).normal(0, 50, (1, 3, 61, 84)).astype(np.float32)
    found = session.run([stage["blob"] for stage in stages], {"data": image})
    for scores, skips in zip(found, kept.values()):
        net = caffe.Net(str(folder / "deploy.prototxt"), caffe.TEST)
        net.copy_from(str(Run(folder).newest_weights()))
        for name in {"score_pool4", "score_pool3"} & {*net.params} - {*skips}:
            for blob in net.params[name]:
                blob.data[...] = 0
        net.blobs["data"].reshape(*image.shape)
        net.blobs["data"].data[...] = image
        expected = net.forward()["score"]
        np.testing.assert_allclose(scores, expected, atol=1e-4 * np.abs(expected).max())
    assert len({scores.tobytes() for scores in found}) == len(kept)


def test_a_net_without_skips_has_no_stages(page, tmp_path):
    page(*small_net(tmp_path / "own", NET + CONV), "-o", tmp_path / "page")
    found = json.loads((tmp_path / "page" / "page.json").read_text())
    assert (found["stages"], found["output"], found["name"]) == ([], "score", "own")
    assert [found[key] for key in ("data", "iterations", "mean_iu")] == [None, None, None]


def test_scores_that_are_no_output_are_one_of_the_page(page, tmp_path):
    prob = 'layer { name: "prob" type: "Softmax" bottom: "score" top: "prob" }'
    page(*small_net(tmp_path / "own", NET + CONV + prob), "-o", tmp_path / "page")
    found = json.loads((tmp_path / "page" / "page.json").read_text())
    model = onnx.load(str(tmp_path / "page" / "net.onnx"))
    assert found["output"] in {each.name for each in model.graph.output}


@pytest.mark.parametrize("layers, data, words", [
    (DEPTH + CONV, DEPTH_DATA, r"takes color and depth, a page shows it one colour photograph"),
    (NET + EMBED, "", r"no ONNX form for the layers 'im2col' \(Im2col\)\. A page needs"),
    (NET + DENSE, "", r"layer .*fc.*A page needs")])
def test_nets_that_cannot_be_on_a_page(layers, data, words, page, tmp_path):
    arguments = small_net(tmp_path / "own", layers, data)
    assert re.search(words, page(*arguments, "-o", tmp_path / "page", status=1))
    assert not (tmp_path / "page").exists()


def test_a_net_too_large_for_browsers_is_refused(page, skips, tmp_path, monkeypatch):
    monkeypatch.setattr("fcn.page.net.BROWSER", 2000)
    printed = page(skips, "-o", tmp_path / "page", status=1)
    assert re.search(r"its weights take \S+ GB, and a browser holds them 4 times .*, but has "
                     r"2e-06 GB for a net\. A narrower net", printed)
    assert not (tmp_path / "page").exists()


def test_a_page_too_large_for_phones_says_so(page, skips, tmp_path, monkeypatch):
    assert "note:" not in page(skips, "-o", tmp_path / "page")
    monkeypatch.setattr("fcn.page.__main__.PHONE", 2000)
    assert re.search(r"note: who opens it downloads that, and the browser takes 0\.0 GB of memory",
                     page(skips, "-o", tmp_path / "page"))


def test_only_a_page_is_replaced(page, skips, tmp_path):
    page(skips, "-o", tmp_path / "page")
    (tmp_path / "page" / "index.html").write_text("old")
    page(skips, "-o", tmp_path / "page")
    assert (tmp_path / "page" / "index.html").read_text() != "old"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    assert "is there and no page" in page(skips, "-o", tmp_path / "mine", status=1)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]


def test_the_commands_of_the_documentation(page, skips, tmp_path, monkeypatch):
    """docs/page.md: its commands, in order; and that of docs/export.md."""
    served = []
    monkeypatch.setattr("fcn.page.__main__.serve", lambda *given: served.append(given))
    (tmp_path / "build").mkdir()
    shutil.copytree(skips, tmp_path / "build" / "my-run")
    text = (ROOT / "docs" / "page.md").read_text()
    commands = re.findall("^    fcn page (.*)$", text, re.M)
    assert len(commands) == 5
    for command in commands:
        page(*command.split())
    export, = re.findall("^    fcn export (.*)$", (ROOT / "docs" / "export.md").read_text(), re.M)
    page(*export.split(), command="export")
    assert served == [(tmp_path / "build" / "page", 0), (Path("page"), 8123)]


def test_without_a_network_the_message_says_what_to_do(page, skips, tmp_path, monkeypatch):
    path = tmp_path / "store" / runtime.PACKAGE.path
    path.unlink()

    def no_network(*_, **__):
        raise urllib.error.URLError(OSError("Network is unreachable"))

    monkeypatch.setattr(fetch, "PAUSE", 0)
    monkeypatch.setattr(fetch.urllib.request, "urlopen", no_network)
    message = page(skips, "-o", tmp_path / "page", status=1)
    assert "Network is unreachable" in message and f"put it at {path}" in message
    assert runtime.PACKAGE.urls[0] in message and not (tmp_path / "page").exists()


def test_another_package_is_refused(page, skips, tmp_path):
    (tmp_path / "store" / runtime.PACKAGE.path).write_bytes(b"something else")
    message = page(skips, "-o", tmp_path / "page", status=1)
    assert "is not onnxruntime-web" in message and "Remove it and run again" in message


def test_the_server_gives_the_types_that_browsers_ask_for(tmp_path):
    for name in ("index.html", "a.wasm", "b.mjs", "c.js", "d.onnx"):
        (tmp_path / name).write_text("x")
    with server(tmp_path) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        assert found.server_address[0] == "127.0.0.1"
        types = {name: urllib.request.urlopen(address(found) + name).headers["Content-Type"]
                 for name in ("a.wasm", "b.mjs", "c.js", "d.onnx")}
        headers = urllib.request.urlopen(address(found)).headers
        with pytest.raises(PageError, match=r"--port \d+: .*in use.*; give another"):
            server(tmp_path, found.server_address[1])
        found.shutdown()
    assert types == {"a.wasm": "application/wasm", "b.mjs": "text/javascript",
                     "c.js": "text/javascript", "d.onnx": "application/octet-stream"}
    assert headers["Content-Type"] == "text/html"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
