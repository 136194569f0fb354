"""Laws of net surgery on small nets."""

import h5py
import numpy as np
import pytest

import caffe
import surgery

CLASSIFIER = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "msra" } } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" }
                        bias_filler { type: "uniform" min: -1 max: 1 } } }
"""
CONVOLUTIONAL = CLASSIFIER.replace("InnerProduct", "Convolution").replace(
    "inner_product_param { num_output: 5", "convolution_param { kernel_size: 4 num_output: 5")


def build(tmp_path, text, name="net"):
    path = tmp_path / f"{name}.prototxt"
    path.write_text(text)
    return caffe.Net(str(path), caffe.TEST)


@pytest.fixture
def classifier(tmp_path):
    caffe.set_random_seed(1)
    return build(tmp_path, CLASSIFIER)


def test_the_convolutional_net_computes_the_classifier_at_every_place(classifier, tmp_path, capsys):
    fcn = build(tmp_path, CONVOLUTIONAL)
    report = surgery.transplant(fcn, classifier)
    assert "coerced fc[0] (5, 64) -> fc[0] (5, 4, 4, 4)" in report
    assert "copied fc[1] -> fc[1] (5,)" in report
    assert capsys.readouterr().out.strip().splitlines() == report
    image = np.random.default_rng(2).normal(size=(1, 3, 8, 8)).astype(np.float32)
    expected = classifier.forward(data=image)["fc"]
    np.testing.assert_allclose(fcn.forward(data=image)["fc"][:, :, 0, 0], expected, rtol=1e-5)


def test_what_has_no_counterpart_is_reported(classifier, tmp_path):
    new = build(tmp_path, CLASSIFIER.replace('"fc"', '"other"'))
    report = surgery.transplant(new, classifier)
    assert any(line.startswith("dropped fc") for line in report)
    assert any(line.startswith("kept other") for line in report)


def test_suffix_names_the_branch(classifier, tmp_path):
    branch = build(tmp_path, CLASSIFIER.replace('"fc"', '"fccolor"').replace('"conv"', '"convcolor"'))
    surgery.transplant(branch, classifier, suffix="color")
    np.testing.assert_array_equal(branch.params["fccolor"][0].data, classifier.params["fc"][0].data)


def test_a_misfit_names_both_shapes_and_copies_nothing(classifier, tmp_path):
    new = build(tmp_path, CLASSIFIER.replace("num_output: 5", "num_output: 6"))
    before = new.params["conv"][0].data.copy()
    with pytest.raises(surgery.SurgeryError, match=r"fc\[0\].*\(5, 64\).*\(6, 64\)"):
        surgery.transplant(new, classifier)
    np.testing.assert_array_equal(new.params["conv"][0].data, before)


def up(tmp_path, kernel, stride, channels=3, more=""):
    return build(tmp_path, f"""
layer {{ name: "data" type: "Input" top: "data"
  input_param {{ shape {{ dim: 1 dim: 3 dim: 6 dim: 7 }} }} }}
layer {{ name: "up" type: "Deconvolution" bottom: "data" top: "up"
  convolution_param {{ num_output: {channels} stride: {stride} bias_term: false {kernel} {more} }} }}
""")


@pytest.mark.parametrize("size", [3, 4, 16])
@pytest.mark.parametrize("group", [1, 3])
def test_interpolation_keeps_constants_inside_and_channels_apart(tmp_path, size, group):
    stride = (size + 1) // 2
    net = up(tmp_path, f"kernel_size: {size}", stride, more=f"group: {group}")
    surgery.interp(net, ["up"])
    net.blobs["data"].data[0] = np.array([1, 0, -2])[:, None, None]
    out = net.forward()["up"][0]
    inside = out[:, size:-size, size:-size]
    np.testing.assert_allclose(inside, np.broadcast_to(
        np.array([1, 0, -2])[:, None, None], inside.shape), atol=1e-6)


def test_the_kernel_of_four():
    line = np.array([0.25, 0.75, 0.75, 0.25])
    np.testing.assert_allclose(surgery.bilinear(4), np.outer(line, line))


@pytest.mark.parametrize("kernel, channels, words", [
    ("kernel_h: 4 kernel_w: 2", 3, "square"), ("kernel_size: 4", 5, "equal channels")])
def test_interpolation_refuses_other_kernels(tmp_path, kernel, channels, words):
    with pytest.raises(surgery.SurgeryError, match=f"up.*{words}"):
        surgery.interp(up(tmp_path, kernel, 2, channels), ["up"])


def test_interpolation_of_an_unknown_layer(classifier):
    with pytest.raises(surgery.SurgeryError, match="upscore"):
        surgery.interp(classifier, ["upscore"])


def test_expansion_keeps_the_old_classes_first(classifier, tmp_path):
    wider = build(tmp_path, CLASSIFIER.replace("num_output: 5", "num_output: 7"))
    rest = wider.params["fc"][0].data[5:].copy()
    surgery.expand_score(wider, "fc", classifier, "fc")
    for new, old in zip(wider.params["fc"], classifier.params["fc"]):
        np.testing.assert_array_equal(new.data[:5], old.data)
    np.testing.assert_array_equal(wider.params["fc"][0].data[5:], rest)
    with pytest.raises(surgery.SurgeryError, match="does not expand"):
        surgery.expand_score(classifier, "fc", wider, "fc")


def test_hdf5_round_trip(classifier, tmp_path):
    surgery.save_hdf5(classifier, tmp_path / "w.h5")
    other = build(tmp_path, CLASSIFIER)
    surgery.load_hdf5(other, tmp_path / "w.h5")
    for name, blobs in classifier.params.items():
        for mine, theirs in zip(other.params[name], blobs):
            np.testing.assert_array_equal(mine.data, theirs.data)


@pytest.mark.parametrize("damage, words", [
    (lambda file: file.__delitem__("fc"), "no parameter 0 of layer 'fc'"),
    (lambda file: file.__delitem__("fc/1") or file.create_dataset("fc/1", data=np.zeros(9)),
     r"parameter 1 of layer 'fc'.*\(9,\).*\(5,\)")])
def test_hdf5_that_does_not_fit_changes_nothing(classifier, tmp_path, damage, words):
    surgery.save_hdf5(classifier, tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5", "a") as file:
        damage(file)
    other = build(tmp_path, CLASSIFIER)
    before = other.params["conv"][0].data.copy()
    with pytest.raises(surgery.files.WeightsFileError, match=words):
        surgery.load_hdf5(other, tmp_path / "w.h5")
    np.testing.assert_array_equal(other.params["conv"][0].data, before)
    assert not list(tmp_path.glob("*.part"))
