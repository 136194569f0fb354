"""The benchmarks: the peer computes what the engine computes, and what is absent is said."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torch

import bench
import caffe
import issuing
import kernels
import layers
import measure
from caffe.engine.runners import recorded
from fcn import nets
from subjects import floors, inputs, photographs, pycaffe, pytorch
from subjects.machine import Absent
from subjects.table import SUBJECTS
from torch_fcn8s import FCN8s


def test_the_peer_is_the_same_net(tmp_path):
    net = caffe.Net(str(nets.write_prototxt(tmp_path / "deploy.prototxt",
                                            nets.fcn("fcn8s", "deploy", width=1 / 16))), caffe.TEST)
    peer = FCN8s(width=1 / 16).eval()
    convolutions = [m for m in peer.modules() if isinstance(m, (torch.nn.Conv2d,
                                                                torch.nn.ConvTranspose2d))]
    place = {"score_pool4": peer.score_pool4, "score_pool3": peer.score_pool3,
             "upscore2": peer.up2, "upscore_pool4": peer.up4, "upscore8": peer.up8}
    rest = iter([m for m in convolutions if m not in place.values()])
    rng = np.random.default_rng(2)
    for name, blobs in net.params.items():
        module = place.get(name) or next(rest)
        for blob, tensor in zip(blobs, (module.weight, module.bias)):
            blob.data[...] = rng.normal(scale=0.1, size=blob.shape)
            tensor.data.copy_(torch.from_numpy(blob.data))
    image = rng.normal(size=(1, 3, 45, 60)).astype(np.float32)
    net.blobs["data"].reshape(*image.shape)
    ours = net.forward(data=image)["score"]
    theirs = peer(torch.from_numpy(image)).detach().numpy()
    assert np.abs(ours).max() > 0
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * np.abs(ours).max())


def test_the_work_is_that_of_all_windows(tmp_path):
    """A multiplication for each weight at each place, and three times as many where it learns,
    but for the gradient by an image; the values are those of bottoms, tops and weights."""
    text = """input: "data" input_shape { dim: 2 dim: 3 dim: 9 dim: 9 }
        layer { name: "looks" type: "Silence" bottom: "data" }
        layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
                convolution_param { num_output: 4 kernel_size: 3 stride: 2 } }
        layer { name: "up" type: "Deconvolution" bottom: "conv" top: "up"
                convolution_param { num_output: 4 kernel_size: 4 stride: 2 group: 2 } }
        layer { name: "ip" type: "InnerProduct" bottom: "up" top: "ip"
                inner_product_param { num_output: 5 } }"""
    (tmp_path / "net.prototxt").write_text(text)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    conv, up, ip = 4 * 3 * 9 * (2 * 16), 4 * 2 * 16 * (2 * 16), 5 * 4 * 100 * 2
    image, small, large = 2 * 3 * 81, 2 * 4 * 16, 2 * 4 * 100
    moved = (image + 108 + small, small + 128 + large, large + 2000 + 10)
    assert floors.work(net) == (conv + up + ip, sum(moved))
    assert floors.work(net, learns=True) == (2 * conv + 3 * (up + ip),
                                             sum(moved) * 3 - moved[0])


def test_a_subject_prints_its_seconds():
    run = subprocess.run([sys.executable, measure.__file__, "start", "python"],
                         capture_output=True, text=True, check=True)
    found = json.loads(run.stdout)
    assert len(found["seconds"]) == 2 and found["peak_mib"] > 1


def test_what_is_absent_is_said(monkeypatch):
    monkeypatch.delenv("BVLC_PYCAFFE", raising=False)
    assert "BVLC_PYCAFFE" in bench.measure("forward-500", "BVLC Caffe")["absent"]


def test_a_subject_that_is_killed_is_absent(monkeypatch):
    monkeypatch.setattr(bench.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess(
        [], -9, stdout="", stderr=""))
    assert bench.measure("step-500", "engine") == {"absent": "ended with status -9"}


def test_an_unknown_subject_is_told_which_there_are():
    run = subprocess.run([sys.executable, measure.__file__, "start", "go"], capture_output=True,
                         text=True)
    assert run.returncode == 2 and "start: 'python', 'import caffe'" in run.stderr


@pytest.mark.slow
def test_the_compiled_net_computes_the_same(tmp_path):
    net, run = pycaffe.forward("forward-500", tmp_path, width=1 / 32)
    run()
    module, image = caffe.to_torch(net), torch.from_numpy(net.blobs["data"].data.copy())
    scores = net.blobs["score"].data
    np.testing.assert_allclose(pytorch.compiled(module, image)().numpy(), scores,
                               rtol=1e-4, atol=1e-4 * np.abs(scores).max())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_its_rows_say_so():
    for task in ("gpu_forward", "gpu_step", "gpu_schedule"):
        for subject in SUBJECTS[task].values():
            with pytest.raises(Absent, match="no GPU"):
                subject(f"{task}-500", None)


def test_the_schedule_s_steps_go_over_photographs_of_many_sizes(tmp_path, monkeypatch):
    monkeypatch.setattr(pycaffe, "STEPS", 3)
    monkeypatch.setattr(photographs, "PHOTOGRAPHS", [(40, 50), (50, 40)])
    net, run = pycaffe.schedule("gpu_schedule-voc", tmp_path, width=1 / 64)
    seen = []
    net.after_forward(lambda number: number or seen.append(net.blobs["data"].shape))
    run()
    assert len(seen) == 3
    assert len(list(tmp_path.glob("JPEGImages/*.jpg"))) == 2 + 12


def test_every_task_has_subjects_and_is_told_in_words():
    assert {task.partition("-")[0] for task in bench.TASKS} == set(SUBJECTS)
    assert set(bench.QUICK) <= set(bench.TASKS)


def test_medians_ratios_and_absences():
    runs = [{"seconds": [2, 4], "peak_mib": 10}, {"seconds": [3], "peak_mib": 30}]
    assert bench.summary(runs) == {"seconds": 3, "peak_mib": 30}
    text = bench.table({"engine": bench.summary(runs), "other": {"seconds": 6, "peak_mib": 1},
                        "none": {"absent": "no such thing"}})
    assert [line.split() for line in text.splitlines()[1:]] == [
        ["engine", "1.00", "3.000", "30"], ["other", "2.00", "6.000", "1"],
        ["none", "–", "no", "such", "thing"]]


def test_small_layers_count_together_and_what_is_in_none_is_the_rest():
    text = layers.table({("conv", "forward"): 0.1, ("conv", "backward"): 0.25,
                         ("crop", "forward"): 0.002, ("sum", "backward"): 0.001, ("", "step"): 0.5})
    assert text.splitlines()[2:] == [
        "| conv | 100 | 250 | 70.0% |", "| all other layers | 2 | 1 | 0.6% |",
        "| update, copies of padding elision | 147 | | 29.4% |", "| step | 500 | | |"]


def test_issuing_and_replaying_are_timed(monkeypatch, capsys):
    monkeypatch.setattr(recorded, "GRAPHS", {})
    monkeypatch.setattr(recorded, "TOLERANCE", recorded.TOLERANCE)
    monkeypatch.setitem(inputs.SIZES, "issuing", [])
    monkeypatch.setattr(issuing, "TURNS", 1)
    monkeypatch.setattr(issuing, "STEPS", 2)
    threads = torch.get_num_threads()
    try:
        issuing.main()
    finally:
        torch.set_num_threads(threads)
    issued, replayed = map(float, re.fullmatch(
        r"a step: ([\d.]+) ms, replayed: ([\d.]+) ms\n", capsys.readouterr().out).groups())
    assert issued > replayed > 0


def test_kernels_are_measured_with_both_gradients():
    x, weight = torch.ones(2, 3, requires_grad=True), torch.ones(4, 3, requires_grad=True)
    by_x, by_weight = kernels.gradients(torch.nn.functional.linear, x, weight)()
    assert torch.equal(by_x, torch.full((2, 3), 4.0))
    assert torch.equal(by_weight, torch.full((4, 3), 2.0))
