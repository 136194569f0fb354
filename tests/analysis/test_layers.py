"""The Python layers of the analyses, in a net."""

import numpy as np
import pytest

import caffe
from caffe import layers as L
from fcn import nets

LABEL = np.array([[0, 0, 1, 2], [0, 255, 1, 2], [0, 0, 2, 2]], np.float32)[None, None]


@pytest.fixture
def passes(tmp_path):
    """A function (layer, label, samples, **params): [(image, label)] that come out of a layer."""
    def run(layer, label=LABEL, samples=1, **params):
        n = caffe.NetSpec()
        shape = list(label.shape[2:])
        n.data = L.Input(shape=dict(dim=[1, 3, *shape]))
        n.label = L.Input(shape=dict(dim=[1, 1, *shape]))
        n.image, n.filtered = L.Python(n.data, n.label, module="fcn.analysis.layers", layer=layer,
                                       ntop=2, param_str=str({"start": 0, **params}))
        net = caffe.Net(str(nets.write_prototxt(tmp_path / "net.prototxt", n.to_proto())),
                        caffe.TEST)
        net.blobs["data"].data[...] = 7
        net.blobs["label"].data[...] = label
        found = []
        for _ in range(samples):
            net.forward()
            found.append((net.blobs["image"].data.copy(), net.blobs["filtered"].data.copy()))
        return found
    return run


@pytest.mark.parametrize("cue, value, where", [
    ("foreground", 7, (LABEL > 0) & (LABEL < 255)), ("background", 7, LABEL == 0),
    ("shape", 128, (LABEL > 0) & (LABEL < 255))])
def test_a_cue_leaves_the_mean_elsewhere_and_the_label_alone(passes, cue, value, where):
    (image, label), = passes("Cue", cue=cue)
    np.testing.assert_array_equal(image, np.repeat(value * where, 3, 1))
    np.testing.assert_array_equal(label, LABEL)


def test_sampling_keeps_whole_cells_with_the_probability(passes):
    label = np.ones((1, 1, 60, 90), np.float32)
    found = passes("Sampled", label, samples=50, keep=0.25, cell=8, seed=3)
    shares = []
    for _, sampled in found:
        assert set(np.unique(sampled)) <= {1, 255}
        cells = np.pad(sampled[0, 0], [(0, 4), (0, 6)], mode="edge").reshape(8, 8, 12, 8)
        assert (cells == cells[:, :1, :, :1]).all()
        shares.append((cells[:, 0, :, 0] == 1).mean())
    assert np.mean(shares) == pytest.approx(0.25, abs=0.04) and len(set(shares)) > 5


def test_a_run_that_continues_draws_as_if_it_had_not_stopped(passes):
    label = np.ones((1, 1, 20, 20), np.float32)
    options = dict(keep=0.5, cell=2, seed=3)
    whole = passes("Sampled", label, samples=4, **options)
    rest = passes("Sampled", label, samples=2, start=2, **options)
    for (_, expected), (_, found) in zip(whole[2:], rest):
        np.testing.assert_array_equal(found, expected)
    assert (whole[0][1] != whole[1][1]).any()


def test_balancing_keeps_pixels_by_class_and_void_stays(passes):
    label = np.tile(np.array([0, 1, 255], np.float32), (1, 1, 100, 30))
    (_, balanced), = passes("Balanced", label, keep=[0.2, 1.0], seed=0)
    assert (balanced[label == 0] == 0).mean() == pytest.approx(0.2, abs=0.03)
    assert (balanced[label == 0][balanced[label == 0] != 0] == 255).all()
    assert (balanced[label == 1] == 1).all() and (balanced[label == 255] == 255).all()
