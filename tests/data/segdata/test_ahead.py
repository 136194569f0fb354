"""Samples that are decoded ahead, and shared out among workers."""

import random
import threading
import time

import pytest

import caffe
from data_samples import MEAN
from segdata.errors import DataError
from voc_layers import VOCSegDataLayer

MODULE = "voc_layers", "VOCSegDataLayer"
OPTIONS = dict(split="train", seed=5, mirror=True, jitter=2, scale=(0.5, 2))


def given(net):
    net.forward()
    return net.blobs["data"].data.tobytes(), net.blobs["label"].data.tobytes()


def train_net(tmp_path, **params):
    """A net of that layer in phase TRAIN."""
    path = tmp_path / "train.prototxt"
    path.write_text('layer { name: "input" type: "Python" top: "data" top: "label" python_param '
                    '{ module: "voc_layers" layer: "VOCSegDataLayer" param_str: "'
                    f'{dict(mean=MEAN, **params)}" }} }}')
    return caffe.Net(str(path), caffe.TRAIN)


@pytest.fixture
def workers():
    """workers(rank, count): have this process be one of several that train together."""
    def be(rank, count):
        caffe.set_solver_count(count)
        caffe.set_solver_rank(rank)
    yield be
    be(0, 1)


@pytest.mark.parametrize("batch", [1, 3])
def test_samples_are_the_same_however_many_are_decoded_ahead(net, voc, monkeypatch, batch):
    """Whichever is decoded first."""
    def load_late(self, entry, position, seed, load=VOCSegDataLayer.load):
        time.sleep(random.Random(position).uniform(0, 0.01))
        return load(self, entry, position, seed)
    options = dict(OPTIONS, voc_dir=str(voc), batch=batch)
    one = net(*MODULE, prefetch=1, **options)
    expected = [given(one) for _ in range(8)]
    monkeypatch.setattr(VOCSegDataLayer, "load", load_late)
    for ahead in (2, 4, 9):
        layer = net(*MODULE, prefetch=ahead, **options)
        assert [given(layer) for _ in range(8)] == expected
    assert len(set(expected)) == 8


@pytest.mark.parametrize("ahead", [2, 4])
def test_as_many_are_decoded_at_a_time(net, voc, monkeypatch, ahead):
    """Of files that are far away the time is the way there and back."""
    meeting = threading.Barrier(ahead)

    def load_together(self, entry, position, seed, load=VOCSegDataLayer.load):
        if position < ahead:
            meeting.wait(30)
        return load(self, entry, position, seed)
    monkeypatch.setattr(VOCSegDataLayer, "load", load_together)
    given(net(*MODULE, prefetch=ahead, voc_dir=str(voc), **OPTIONS))
    assert not meeting.broken


def test_an_error_is_raised_when_its_sample_s_turn_comes(net, voc):
    (voc / "JPEGImages" / "d.jpg").write_bytes(b"no image")
    layer = net(*MODULE, voc_dir=str(voc), split="val", prefetch=4)
    for number in range(3):
        layer.forward()
        assert (layer.blobs["label"].data == number).all()
    for _ in range(2):
        with pytest.raises(DataError, match=r"layer 'input' .*d.jpg cannot be read"):
            layer.forward()


@pytest.mark.parametrize("options", [{}, {"batch": 2}, {"prefetch": 1}, {"prefetch": 9}])
def test_a_snapshot_has_the_place_of_what_was_handed_over(net, voc, options):
    """Not of what is decoded; another number ahead may go on from there."""
    options = {**OPTIONS, **options, "voc_dir": str(voc)}
    whole = net(*MODULE, **options)
    for _ in range(3):
        given(whole)
    state = whole.layers[0].resume_state()
    assert state["position"] == 3 * options.get("batch", 1)
    resumed = net(*MODULE, **{**options, "prefetch": 3})
    given(resumed)
    resumed.layers[0].resume_from(state)
    resumed.reshape()
    assert [given(resumed) for _ in range(4)] == [given(whole) for _ in range(4)]


@pytest.mark.parametrize("ahead", [0, -1, 1.5, True, "4", None])
def test_a_number_ahead_that_is_none(net, voc, ahead):
    with pytest.raises(DataError, match=f"param_str key 'prefetch' is {ahead!r}, expected 1 or "
                                        "more samples"):
        net(*MODULE, voc_dir=str(voc), split="train", prefetch=ahead)


# workers

@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("options", [{}, {"batch": 2}, {"start": 4}, {"randomize": False}])
def test_workers_take_turns_at_the_one_order(voc, tmp_path, workers, count, options):
    """Augmented as by the positions: together they see what one process sees, no less, no more."""
    options = {**OPTIONS, **options, "voc_dir": str(voc)}
    one = train_net(tmp_path, **options)
    expected = [given(one) for _ in range(4 * count)]
    for rank in range(count):
        workers(rank, count)
        own = train_net(tmp_path, **options)
        assert [given(own) for _ in range(4)] == expected[rank::count]


def test_another_number_of_workers_goes_on_in_the_order(voc, tmp_path, workers):
    options = dict(OPTIONS, voc_dir=str(voc), batch=2)
    one = train_net(tmp_path, **options)
    expected = [given(one) for _ in range(12)]
    states = []
    for rank in range(3):
        workers(rank, 3)
        own = train_net(tmp_path, **options)
        given(own), given(own)
        states.append(own.layers[0].resume_state())
    assert states == states[:1] * 3 and states[0]["position"] == 12
    for rank in range(2):
        workers(rank, 2)
        own = train_net(tmp_path, **options)
        own.layers[0].resume_from(states[0])
        own.reshape()
        assert [given(own) for _ in range(3)] == expected[6 + rank::2]


def test_what_is_evaluated_is_whole_unless_it_is_shared(net, voc, workers):
    workers(1, 2)
    whole = net(*MODULE, voc_dir=str(voc), split="val")
    seen = [given(whole) for _ in range(5)]
    whole.layers[0].share(1, 2)
    assert [given(whole) for _ in range(2)] == seen[1::2]


def test_more_workers_than_samples(voc, tmp_path, workers):
    workers(5, 6)
    with pytest.raises(DataError, match="6 workers train together on 5 samples, the split 'train': "
                                        "take at most 5 workers"):
        train_net(tmp_path, voc_dir=str(voc), split="train", seed=5)


@pytest.mark.parametrize("evaluated", [False, True])
def test_workers_without_a_seed_would_each_have_an_order_of_its_own(net, voc, tmp_path, workers,
                                                                    evaluated):
    """So that they would take samples twice, or never."""
    options = dict(voc_dir=str(voc), split="train")
    with pytest.raises(DataError, match="each go through the samples in an order of its own, for "
                                        "param_str has no seed: give 'seed', a whole number"):
        if evaluated:
            net(*MODULE, **options).layers[0].share(1, 2)
        workers(1, 2)
        train_net(tmp_path, **options)
    workers(1, 2)
    train_net(tmp_path, seed=5, **options)
    train_net(tmp_path, randomize=False, **options)
    workers(0, 1)
    train_net(tmp_path, **options)
