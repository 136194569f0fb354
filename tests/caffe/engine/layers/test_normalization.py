"""Values divided by a measure of their neighbours."""

import numpy as np
import pytest

import caffe
from caffe.errors import LayerError
from caffe.proto import caffe_pb2
from layer_checks import IMAGE, X, backward, check_gradient, check_refused, normal, output, softmax

SMOOTH = {
    "lrn": ('type: "LRN" bottom: "x" top: "y" lrn_param { local_size: 3 alpha: 0.5 k: 2 }',
            {"x": (2, 5, 3, 3)}),
    "lrn within": ('type: "LRN" bottom: "x" top: "y" lrn_param { local_size: 3 alpha: 0.5 '
                   'norm_region: WITHIN_CHANNEL }', {"x": (2, 2, 4, 5)}),
    "softmax": ('type: "Softmax" bottom: "x" top: "y" softmax_param { axis: -2 }',
                {"x": (2, 4, 3)}),
    "batch norm": (f'type: "BatchNorm" {X} batch_norm_param {{ use_global_stats: false eps: 0.1 '
                   '}', {"x": (3, 2, 2)}),
    "batch norm 1-D": (f'type: "BatchNorm" {X} batch_norm_param {{ use_global_stats: false }}',
                       {"x": (5,)}),
    "mvn": (f'type: "MVN" {X}', {"x": (2, 3, 2, 3)}),
    "mvn across": (f'type: "MVN" {X} mvn_param {{ across_channels: true }}', {"x": (2, 3, 4)}),
    "mvn mean alone": (f'type: "MVN" {X} mvn_param {{ normalize_variance: false }}',
                       {"x": (2, 3, 4)}),
}


@pytest.mark.parametrize("layer, shapes", SMOOTH.values(), ids=SMOOTH)
def test_gradient_is_the_slope(build, layer, shapes):
    check_gradient(build, layer, shapes)


@pytest.mark.parametrize("beta", [0.5, 0.75, -1])
@pytest.mark.parametrize("size", [1, 3, 5, 9, 101])
@pytest.mark.parametrize("channels", [1, 5])
def test_lrn_divides_by_the_mean_of_squares(build, channels, size, beta):
    x = normal(2, channels, 4, 3)
    net = build(f'type: "LRN" {X} lrn_param {{ local_size: {size} alpha: 2 beta: {beta} k: 4 }}',
                x=x)
    reach = size // 2
    mean = np.stack([(x[:, max(0, c - reach):c + reach + 1] ** 2).sum(1) / size
                     for c in range(channels)], 1)
    np.testing.assert_allclose(output(net), x / (4 + 2 * mean) ** beta, rtol=1e-5)


def test_lrn_of_a_divisor_that_is_no_positive_number(build):
    """As the power of it is."""
    x = np.array([0.0, 1.0, 2.0]).reshape(1, 1, 1, 3)
    net = build(f'type: "LRN" {X} lrn_param {{ local_size: 1 alpha: 1 beta: 0.75 k: -1 }}', x=x)
    y = output(net).ravel()
    assert np.isnan(y[0]) and np.isposinf(y[1]) and y[2] == pytest.approx(2 / 3 ** 0.75)


def test_lrn_within_a_channel_takes_a_square_and_no_k(build):
    x = normal(1, 2, 4, 5)
    net = build('type: "LRN" bottom: "x" top: "y" lrn_param { local_size: 3 alpha: 2 beta: 0.5 '
                'k: 4 norm_region: WITHIN_CHANNEL }', x=x)
    squares = np.pad(x ** 2, ((0, 0), (0, 0), (1, 1), (1, 1)))
    mean = sum(squares[:, :, i:i + 4, j:j + 5] for i in range(3) for j in range(3)) / 9
    np.testing.assert_allclose(output(net), x / np.sqrt(1 + 2 * mean), rtol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax_sums_to_one_along_its_axis(build, axis):
    y = output(build(f'type: "Softmax" {X} softmax_param {{ axis: {axis} }}', x=normal(2, 3, 4)))
    np.testing.assert_allclose(y, softmax(normal(2, 3, 4), axis), rtol=1e-5)


def normalized(x, eps=1e-5):
    mean, variance = (getattr(x.astype(float), f)((0, 2), keepdims=True) for f in ("mean", "var"))
    return (x - mean) / np.sqrt(variance + eps)


@pytest.mark.parametrize("top", "xy")
def test_batch_norm_in_training_takes_the_batch_and_remembers_it(build, top):
    net = build(f'type: "BatchNorm" bottom: "x" top: "{top}" batch_norm_param {{ '
                'moving_average_fraction: 0.75 }', caffe.TRAIN, x=normal(4, 3, 5))
    assert [blob.shape for blob in net.params["layer"]] == [(3,), (3,), (1,)]
    mean = variance = weight = 0
    for seed in (0, 1):
        x = 2 * normal(4, 3, 5, seed=seed) + 1
        net.blobs["x"].data[...] = x
        np.testing.assert_allclose(output(net, top), normalized(x), rtol=1e-4, atol=1e-5)
        mean, variance = 0.75 * mean + x.mean((0, 2)), 0.75 * variance + x.var((0, 2), ddof=1)
        weight = 0.75 * weight + 1
        for blob, expected in zip(net.params["layer"], (mean, variance, [weight])):
            np.testing.assert_allclose(blob.data, expected, rtol=1e-5)
    backward(net, **{top: 1})
    assert not any(blob.diff.any() for blob in net.params["layer"])


@pytest.mark.parametrize("weight, divisor", [(4, 4), (0, np.inf)])
@pytest.mark.parametrize("phase, param", [(caffe.TEST, ""),
                                          (caffe.TRAIN, "use_global_stats: true")])
def test_batch_norm_in_testing_takes_what_is_stored(build, weight, divisor, phase, param):
    x, stored = normal(2, 3, 5), ([4, 0, -8], [16, 4, 0], [weight])
    net = build(f'type: "BatchNorm" {X} batch_norm_param {{ {param} eps: 0.01 }}', phase, x=x)
    for blob, values in zip(net.params["layer"], stored):
        blob.data[...] = values
    mean, deviation = (np.array(stored[0]) / divisor,
                       np.sqrt(np.array(stored[1]) / divisor + 0.01))
    expected = (x - mean[:, None]) / deviation[:, None]
    np.testing.assert_allclose(output(net), expected, rtol=1e-5, atol=1e-6)
    diff = backward(net, y=normal(2, 3, 5, seed=1))["x"]
    np.testing.assert_allclose(diff, normal(2, 3, 5, seed=1) / deviation[:, None], rtol=1e-5)
    for blob, values in zip(net.params["layer"], stored):
        np.testing.assert_array_equal(blob.data, values)
        assert not blob.diff.any()


def test_one_value_for_each_channel_has_no_variance(build):
    net = build(f'type: "BatchNorm" {X}', caffe.TRAIN, x=[[3, -4]])
    np.testing.assert_array_equal(output(net), [[0, 0]])
    mean, variance, _ = net.params["layer"]
    np.testing.assert_array_equal(mean.data, [3, -4])
    np.testing.assert_array_equal(variance.data, [0, 0])


def test_an_empty_batch_leaves_no_trace(build):
    net = build(f'type: "BatchNorm" {X}', caffe.TRAIN, x=np.zeros((0, 2, 3)))
    assert output(net).shape == (0, 2, 3)
    assert not any(blob.data.any() for blob in net.params["layer"])


def test_batch_norm_tells_solvers_and_files_that_it_does_not_learn(build, tmp_path):
    net = build(f'type: "BatchNorm" {X} param {{ lr_mult: 0 }}', x=normal(2, 3))
    net.save(str(tmp_path / "net.caffemodel"))
    saved = caffe_pb2.NetParameter.FromString((tmp_path / "net.caffemodel").read_bytes())
    assert [spec.lr_mult for spec in saved.layer[-1].param] == [0, 0, 0]


def test_solvers_leave_the_statistics_alone(tmp_path):
    (tmp_path / "net.prototxt").write_text("""
        layer { name: "x" type: "DummyData" top: "x" dummy_data_param { shape { dim: 4 dim: 1 }
                data_filler { value: 2 } } }
        layer { name: "bn" type: "BatchNorm" bottom: "x" top: "bn"
                batch_norm_param { moving_average_fraction: 0 } }
        layer { name: "scale" type: "Scale" bottom: "bn" top: "y"
                scale_param { bias_term: true } loss_weight: 1 }
    """)
    path = tmp_path / "solver.prototxt"
    path.write_text(f'net: "{tmp_path}/net.prototxt" base_lr: 0.5 lr_policy: "fixed" momentum: 0.9 '
                    'weight_decay: 0.1 solver_mode: CPU')
    solver = caffe.SGDSolver(str(path))
    solver.step(2)
    assert [blob.data.item() for blob in solver.net.params["bn"]] == [2, 0, 1]
    assert solver.net.params["scale"][1].data.item() < 0


@pytest.mark.parametrize("param, axes", [("", (2, 3)), ("across_channels: true", (1, 2, 3))])
def test_mvn(build, param, axes):
    x = normal(2, 3, 4, 5) + 2
    y = output(build(f'type: "MVN" {X} mvn_param {{ {param} eps: 0.5 }}', x=x))
    mean = x.mean(axes, keepdims=True)
    np.testing.assert_allclose(y, (x - mean) / (x.std(axes, keepdims=True) + 0.5), rtol=1e-4,
                               atol=1e-6)
    y = output(build(f'type: "MVN" {X} mvn_param {{ {param} normalize_variance: false }}', x=x))
    np.testing.assert_allclose(y, x - mean, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shape, top", [((4,), (4, 1, 1, 1)), ((2, 3), (2, 3, 1, 1)),
                                        ((2, 3, 4), (2, 3, 4, 1))])
def test_the_top_of_mvn_has_four_axes(build, shape, top):
    """As in the original, so that layers behind it have the same weights there and here."""
    net = build(f'type: "MVN" {X} mvn_param {{ across_channels: true }}', x=normal(*shape))
    assert output(net).shape == top
    assert backward(net, y=1)["x"].shape == shape
    with pytest.raises(LayerError, match=r"'layer'.*4 axes.*\(1, 2, 3, 4, 5\)"):
        build(f'type: "MVN" {X}', x=normal(1, 2, 3, 4, 5))


def test_the_gradient_of_mvn_takes_the_deviation_for_deviation_plus_eps(build):
    x, diff = normal(1, 1, 6, 1), normal(1, 1, 6, 1, seed=1)
    net = build(f'type: "MVN" {X} mvn_param {{ eps: 0.5 }}', x=x)
    y = output(net)
    expected = (diff - diff.mean() - y * (y * diff).mean()) / (x.std() + 0.5)
    np.testing.assert_allclose(backward(net, y=diff)["x"], expected, rtol=1e-4, atol=1e-6)


def test_the_gradient_of_mvn_is_finite_for_constants(build):
    net = build(f'type: "MVN" {X} mvn_param {{ eps: 0.5 }}', x=np.full((1, 1, 1, 4), 2))
    np.testing.assert_array_equal(output(net), np.zeros((1, 1, 1, 4)))
    np.testing.assert_allclose(backward(net, y=[[[[4, 0, 0, 0]]]])["x"], [[[[6, -2, -2, -2]]]])


REFUSED = {
    "axis": (f'type: "Softmax" {X} softmax_param {{ axis: 4 }}', IMAGE,
             ["axis 4", "(1, 3, 5, 6)"]),
    "even lrn": (f'type: "LRN" {X} lrn_param {{ local_size: 4 }}', IMAGE, ["local_size", "4"]),
    "statistics": (f'type: "BatchNorm" {X} param {{ lr_mult: 0 }} param {{ }}', IMAGE,
                   ["lr_mult", "[0.0, 1.0]"]),
}


@pytest.mark.parametrize("layer, shapes, facts", REFUSED.values(), ids=REFUSED)
def test_refused(build, layer, shapes, facts):
    check_refused(build, layer, shapes, facts)
