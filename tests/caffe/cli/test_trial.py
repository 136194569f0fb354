"""caffe migrate --run, on small nets."""

import multiprocessing
import os
import threading
from types import SimpleNamespace

import pytest

import caffe
from caffe.cli import main, trial
from caffe.cli.trial import Trials

TRAIN_VAL = """
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
        transform_param { crop_size: 200 } data_param { source: "gone" backend: LMDB } }
layer { name: "data" type: "ImageSegData" top: "data" top: "label" top: "data_dim"
        include { phase: TEST } transform_param { crop_size: 40 } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 2 kernel_size: 3 pad: 1 } }
"""
ENDS = {
    "pixels": 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "conv" bottom: "label" '
              'top: "loss" }',
    "images": """
        layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" inner_product_param {
                num_output: 2 } }
        layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
        layer { name: "h5" type: "HDF5Output" bottom: "fc" bottom: "label"
                hdf5_output_param { file_name: "written.h5" } }"""}
INPUT = """
layer { name: "data" type: "Input" top: "data"
        input_param { shape { dim: 10 dim: 3 dim: 60 dim: 50 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 2 kernel_size: 21 } }
"""

OWN = """
layer { name: "mine" type: "Python" bottom: "conv" top: "y"
        python_param { module: "mine" layer: "Mine" } }
"""
SSD = """
layer { name: "loc" type: "Convolution" bottom: "data" top: "loc"
        convolution_param { num_output: 4 kernel_size: 4 } }
layer { name: "flat" type: "Flatten" bottom: "loc" top: "flat" }
layer { name: "scores" type: "Convolution" bottom: "data" top: "scores"
        convolution_param { num_output: 2 kernel_size: 4 } }
layer { name: "flat2" type: "Flatten" bottom: "scores" top: "flat2" }
layer { name: "boxes" type: "PriorBox" bottom: "loc" bottom: "data" top: "boxes"
        prior_box_param { min_size: 5 } }
layer { name: "found" type: "DetectionOutput" bottom: "flat" bottom: "flat2" bottom: "boxes"
        top: "found" include { phase: TEST } detection_output_param { num_classes: 2
        save_output_param { output_directory: "written" label_map_file: "map" } } }
"""
MINE = """
import caffe


class Mine(caffe.Layer):
    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = top[0].diff
"""


@pytest.fixture
def in_a_thread(monkeypatch):
    """Trials in a thread of this process: another one loads torch first, which takes seconds."""
    monkeypatch.setattr(trial, "get_context", lambda method: SimpleNamespace(
        Pipe=multiprocessing.Pipe, Process=Thread))


class Thread(threading.Thread):
    """It takes its own end of the pipe, since that which began it closes the other."""

    def __init__(self, target, args, daemon):
        end, = args
        super().__init__(target=target, args=(type(end)(os.dup(end.fileno())),), daemon=daemon)


@pytest.fixture
def table(tmp_path, monkeypatch, capsys):
    """table(size, flag, ..., name=text, ...): (exit status, {file: [(verdict, why), ...]}) of nets
    of these texts."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets").mkdir()

    def run(size, *flags, **nets):
        for name, text in nets.items():
            (tmp_path / "nets" / f"{name}.prototxt").write_text(text)
        status = main(["migrate", "nets", "--run", "--size", size, *flags])
        rows = {}
        *lines, run.summary = capsys.readouterr().out.splitlines()
        for line in lines:
            file, _, rest = line.partition(".prototxt")
            verdict, _, why = rest.strip().partition("  ")
            rows.setdefault(file, []).append((verdict, why.strip()))
        return status, rows
    return run


def test_nets_run_in_both_phases(table, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    status, rows = table("33x20", "--trust", deploy=INPUT, own=INPUT + OWN,
                         pixels=TRAIN_VAL + ENDS["pixels"], images=TRAIN_VAL + ENDS["images"])
    done = "at 33×20, gradients in {0} of {0} layers"
    # 20 rows are too few for the kernel
    assert rows["deploy"] == rows["own"] == [
        ("ran", f"{phase}: at 60×40, gradients in 1 of 1 layers") for phase in ("TRAIN", "TEST")]
    for name, count in (("pixels", 1), ("images", 2)):
        gone, *ran = rows[name]
        assert gone == ("change", "source: gone is not there")
        assert ran == [("ran", f"{phase}: {done.format(count)}") for phase in ("TRAIN", "TEST")]
    assert status == 1      # the data is not there
    assert not list(tmp_path.glob("**/written.h5"))


def test_a_net_that_writes_what_it_finds_writes_nothing(in_a_thread, table, tmp_path):
    (tmp_path / "map").touch()
    rows = table("33", ssd=INPUT + SSD)[1]
    assert [verdict for verdict, _ in rows["ssd"]] == ["ran", "ran"]
    assert not (tmp_path / "written").exists()


def test_nets_that_do_not_run(in_a_thread, table):
    status, rows = table(
        "33",
        wide=INPUT + 'layer { name: "sum" type: "Eltwise" bottom: "conv" bottom: "data" top: "s" }',
        own=INPUT + OWN,
        crf=INPUT + 'layer { name: "crf" type: "DenseCRF" bottom: "conv" top: "y" '
                    'dense_crf_param { max_iter: 2 } include { phase: TEST } }')
    assert [verdict for verdict, _ in rows["wide"]] == ["failed", "failed"]
    assert rows["wide"][0][1].startswith("TRAIN: layer 'sum' (Eltwise), bottoms")
    assert rows["own"][1:] == [("not run", "the layer 'mine' is Python code of the project, see "
                                "--trust")]
    assert rows["crf"][0] == ("ran", "TRAIN: at 33×33, gradients in 1 of 1 layers")
    assert rows["crf"][1][0] == "failed" and "'crf' (DenseCRF)" in rows["crf"][1][1]
    assert status == 1


def test_a_net_that_takes_too_long(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(INPUT)
    trials = Trials((33, 33), 0)
    assert trials(str(path), caffe.TEST) == ("not run", "not done after 0 s, see --seconds")
    trials.seconds = 60     # in the process that was begun anew
    assert trials(str(path), caffe.TRAIN) == ("ran", "at 33×33, gradients in 1 of 1 layers")


def test_statistics_of_batches_are_those_of_nothing(in_a_thread, table):
    """Else ReLUs behind them could leave nothing, of which no gradient shows anything."""
    block = """
layer {{ name: "c{0}" type: "Convolution" bottom: "{1}" top: "c{0}"
        convolution_param {{ num_output: 4 kernel_size: 3 pad: 1 }} }}
layer {{ name: "b{0}" type: "BatchNorm" bottom: "c{0}" top: "c{0}"
        batch_norm_param {{ use_global_stats: true }} }}
layer {{ name: "s{0}" type: "Scale" bottom: "c{0}" top: "c{0}" }}
layer {{ name: "r{0}" type: "ReLU" bottom: "c{0}" top: "c{0}" }}"""
    net = ('layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 '
           'dim: 20 dim: 20 } } }' + "".join(
               block.format(i, f"c{i - 1}" if i else "data") for i in range(12)))
    _, found = table("20", deep=net)
    assert all("gradients in 24 of 24 layers" in why for _, why in found["deep"])


def test_a_net_that_was_not_run_does_not_run(in_a_thread, table, tmp_path):
    (tmp_path / "nets" / "mine.py").write_text(MINE)
    status, rows = table("33", own=INPUT + OWN)
    assert {verdict for verdict, _ in rows["own"]} == {"not run"} and status == 1
    assert "1 not run" in table.summary and "everything" not in table.summary


def test_values_that_are_not_finite_fail(in_a_thread, table):
    status, rows = table("33", log=INPUT + """
layer { name: "log" type: "Log" bottom: "data" top: "log" log_param { shift: -1 } }""")
    assert [verdict for verdict, _ in rows["log"]] == ["failed", "failed"] and status == 1
    assert "log is not finite" in rows["log"][0][1]


def test_a_layer_that_raises(in_a_thread, table, tmp_path, monkeypatch):
    (tmp_path / "raises.py").write_text(MINE.replace("top[0].data[...] = bottom[0].data",
                                                     "raise ValueError('no data\\nhere')"))
    monkeypatch.syspath_prepend(tmp_path)
    status, rows = table("33", "--trust", own=INPUT + OWN.replace('"mine" layer', '"raises" layer'))
    assert rows["own"] == [("failed", f"{phase}: ValueError: no data here (layer 'mine')")
                           for phase in ("TRAIN", "TEST")]
    assert status == 1


def test_a_phase_without_a_loss(in_a_thread, table):
    status, rows = table("33", net=INPUT + """
layer { name: "most" type: "ArgMax" bottom: "conv" top: "most" }""")
    assert rows["net"] == [("ran", f"{phase}: at 33×33, no gradients: nothing in this phase has a "
                            "loss") for phase in ("TRAIN", "TEST")]
    assert table.summary == "nets that ran on made-up data: 1; files to change: 0" and status == 0
