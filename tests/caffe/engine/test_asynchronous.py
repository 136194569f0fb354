"""On a GPU, a step waits for nothing: only what is displayed is read back."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import caffe
from caffe.errors import LayerError
from fcn import nets
from fcn.nets.source import voc

SIZES = [(20, 28), (28, 20), (20, 28), (24, 24)]
PLAIN = 'base_lr: 1e-9 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.0005 '


def sample(number):
    """Image and label of that number, of various sizes."""
    rng, (height, width) = np.random.default_rng(number), SIZES[number % len(SIZES)]
    return [array.astype(np.float32) for array in
            (rng.normal(size=(1, 3, height, width)), rng.integers(21, size=(1, 1, height, width)))]


class Samples(caffe.Layer):
    """The samples in order. One label of number `wrong` is no class."""

    wrong = None

    def setup(self, bottom, top):
        self.number = 0

    def reshape(self, bottom, top):
        for blob, array in zip(top, sample(self.number)):
            blob.reshape(*array.shape)

    def forward(self, bottom, top):
        for blob, array in zip(top, sample(self.number)):
            blob.data[...] = array
        if self.number == self.wrong:
            top[1].data[0, 0, 3, 4] = 21
        self.number += 1

    def backward(self, top, propagate_down, bottom):
        pass


@pytest.fixture
def solver(monkeypatch, tmp_path):
    """solver(lines): that of a narrow FCN-8s, which gets the samples."""
    monkeypatch.setitem(sys.modules, "voc_layers", SimpleNamespace(SBDDSegDataLayer=Samples))

    def build(lines=PLAIN):
        net = nets.write_prototxt(tmp_path / "train.prototxt", nets.fcn(
            "fcn8s", "train", source=voc(tmp_path, 21), width=1 / 64, filler="msra"))
        path = tmp_path / "solver.prototxt"
        path.write_text(f'train_net: "{net}" random_seed: 3 {lines}')
        return caffe.get_solver(str(path))
    return build


@pytest.fixture
def gpu():
    caffe.set_precision("fp32")
    caffe.set_mode_gpu()
    yield
    torch.cuda.set_sync_debug_mode("default")
    caffe.set_mode_cpu()
    caffe.set_precision("tf32")


@pytest.mark.parametrize("lines", [
    PLAIN, PLAIN + "iter_size: 2", PLAIN + "clip_gradients: 1", PLAIN + 'type: "Nesterov"',
    'base_lr: 1e-9 lr_policy: "fixed" type: "AdaGrad"',
    'base_lr: 1e-9 lr_policy: "fixed" type: "RMSProp"',
    PLAIN + 'type: "AdaDelta"', PLAIN + 'momentum2: 0.99 type: "Adam"'])
def test_a_step_reads_nothing_from_the_device(far, solver, lines):
    made = solver(lines)
    made.step(len(SIZES))
    assert made.iter == len(SIZES)


def test_samples_arrive_whole_and_in_order_from_pinned_memory(far, solver):
    solver().step(len(SIZES))
    assert len(far) == 2 * len(SIZES)       # the image, which two layers read, once as well
    for number in range(len(SIZES)):
        for sent, pinned in zip(sample(number), far[2 * number:2 * number + 2]):
            np.testing.assert_array_equal(pinned.numpy().ravel(), sent.ravel())


def test_what_is_displayed_is_read(far, solver):
    with pytest.raises(RuntimeError, match="meta"):
        solver(PLAIN + "display: 1").step(1)


def test_a_wrong_label_is_found_before_it_is_sent(far, solver, monkeypatch):
    monkeypatch.setattr(Samples, "wrong", 1)
    made = solver()
    made.step(1)
    with pytest.raises(LayerError, match=r"layer 'loss'.*label 21 is outside \[0, 20\] and not"):
        made.step(1)


@pytest.mark.slow
def test_no_layer_waits_or_takes_tensors_of_the_host():
    here = Path(__file__).parent
    support = here.parents[1] / "support"
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "compute_without_values",
         str(here / "layers")],
        env={**os.environ, "PYTHONPATH": str(support)}, capture_output=True, text=True)
    assert not run.returncode, run.stdout


@pytest.mark.gpu
def test_cuda_sees_no_wait_in_a_step(solver, gpu):
    made = solver(PLAIN + "clip_gradients: 1")
    made.step(2 * len(SIZES))       # the second pass of a size is held against its recording
    torch.cuda.set_sync_debug_mode("error")
    made.step(len(SIZES))


@pytest.mark.gpu
def test_a_gpu_that_is_behind_gets_every_value(gpu):
    blob, sent = caffe.Blob((1000, 1000)), []
    for value in range(8):
        blob.data[...] = value
        torch.cuda._sleep(10 ** 7)      # cycles; the copy is queued behind them
        sent.append(blob.data_to_read.clone())
    assert [(each.min().item(), each.max().item()) for each in sent] == [(v, v) for v in range(8)]
