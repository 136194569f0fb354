"""Laws of net surgery on small nets."""

import numpy as np
import pytest
from scipy import ndimage

import caffe
from fcn import surgery

CLASSIFIER = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "msra" } } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" }
                        bias_filler { type: "uniform" min: -1 max: 1 } } }
"""
CONVOLUTIONAL = CLASSIFIER.replace("InnerProduct", "Convolution").replace(
    "inner_product_param { num_output: 5", "convolution_param { kernel_size: 3 num_output: 5")


def build(tmp_path, text, name="net"):
    path = tmp_path / f"{name}.prototxt"
    path.write_text(text)
    return caffe.Net(str(path), caffe.TEST)


def kinds(report, kind):
    """The names in a report of what is of a kind."""
    return [step.name for step in report if step.kind == kind]


@pytest.fixture
def classifier(tmp_path):
    caffe.set_random_seed(1)
    return build(tmp_path, CLASSIFIER)


def test_the_fcn_computes_the_classifier_at_every_place(classifier, tmp_path):
    fcn = build(tmp_path, CONVOLUTIONAL)
    report = surgery.transplant(fcn, classifier)
    assert list(map(str, report)) == [
        "copied conv[0] -> conv[0] (4, 3, 3, 3)", "copied conv[1] -> conv[1] (4,)",
        "reshaped fc[0] (5, 36) -> fc[0] (5, 4, 3, 3)", "copied fc[1] -> fc[1] (5,)"]
    image = np.random.default_rng(2).normal(size=(1, 3, 12, 14)).astype(np.float32)
    fcn.blobs["data"].reshape(*image.shape)
    scores = fcn.forward(data=image)["fc"]
    assert scores.shape == (1, 5, 3, 4)
    for y, x in np.ndindex(3, 4):       # without padding, each place sees a window of its own
        window = image[:, :, 2 * y:2 * y + 8, 2 * x:2 * x + 8]
        np.testing.assert_allclose(scores[:, :, y, x], classifier.forward(data=window)["fc"],
                                   rtol=1e-4, atol=1e-5)


def test_what_has_no_counterpart_is_reported(classifier, tmp_path):
    new = build(tmp_path, CLASSIFIER.replace('"fc"', '"other"'))
    report = surgery.transplant(new, classifier)
    assert kinds(report, "dropped") == ["fc"] and kinds(report, "kept") == ["other"]


def test_a_line_is_printed_or_if_asked_every_step(classifier, tmp_path, capsys):
    new = build(tmp_path, CONVOLUTIONAL + """
layer { name: "score" type: "Convolution" bottom: "fc" top: "score"
  convolution_param { num_output: 2 kernel_size: 1 } }
""")
    other = build(tmp_path, CLASSIFIER + """
layer { name: "fc2" type: "InnerProduct" bottom: "fc" top: "fc2"
  inner_product_param { num_output: 2 } }
""")
    capsys.readouterr()
    report = surgery.transplant(new, other)
    assert capsys.readouterr().out == (
        "transplant: 3 copied, 1 reshaped (fc[0]), 1 left over (fc2), 1 kept\n")
    surgery.transplant(new, other, verbose=True)
    assert capsys.readouterr().out.splitlines() == list(map(str, report))


def test_nets_without_a_common_name_are_refused(classifier, tmp_path):
    new = build(tmp_path, CLASSIFIER.replace('"fc"', '"other"').replace('"conv"', '"first"'))
    with pytest.raises(surgery.SurgeryError, match="conv, fc.*first, other"):
        surgery.transplant(new, classifier)
    with pytest.raises(surgery.SurgeryError, match="suffix 'color'"):
        surgery.transplant(classifier, classifier, suffix="color")


def test_a_bias_that_the_source_lacks_is_refused_and_one_too_many_is_dropped(classifier, tmp_path):
    bare = build(tmp_path, CLASSIFIER.replace("num_output: 5", "num_output: 5 bias_term: false"))
    with pytest.raises(surgery.SurgeryError, match="fc has 1 parameters, fc needs 2"):
        surgery.transplant(classifier, bare)
    assert kinds(surgery.transplant(bare, classifier), "dropped") == ["fc[1]"]


def test_suffix_names_the_branch(classifier, tmp_path):
    branch = build(tmp_path, CLASSIFIER.replace('"fc"', '"fccolor"').replace(
        '"conv"', '"convcolor"'))
    surgery.transplant(branch, classifier, suffix="color")
    np.testing.assert_array_equal(branch.params["fccolor"][0].data, classifier.params["fc"][0].data)


def test_a_misfit_names_both_shapes_and_copies_nothing(classifier, tmp_path):
    new = build(tmp_path, CLASSIFIER.replace("num_output: 5", "num_output: 6"))
    before = new.params["conv"][0].data.copy()
    with pytest.raises(surgery.SurgeryError, match=r"fc\[0\].*\(5, 36\).*\(6, 36\)"):
        surgery.transplant(new, classifier)
    np.testing.assert_array_equal(new.params["conv"][0].data, before)


@pytest.mark.parametrize("skip", ["fc", ["fc"], ["f*", "score*"]])
def test_skipped_layers_stay_as_they_are(classifier, tmp_path, skip, capsys):
    new = build(tmp_path, CLASSIFIER.replace("num_output: 5", "num_output: 6"))
    before = new.params["fc"][0].data.copy()
    capsys.readouterr()
    report = surgery.transplant(new, classifier, skip=skip)
    assert kinds(report, "skipped") == ["fc"] and kinds(report, "kept") == []
    assert capsys.readouterr().out == \
        "transplant: 2 copied, 0 reshaped, 0 left over, 1 skipped (fc), 0 kept\n"
    np.testing.assert_array_equal(new.params["fc"][0].data, before)
    np.testing.assert_array_equal(new.params["conv"][0].data, classifier.params["conv"][0].data)


def test_a_layer_to_skip_that_neither_net_has_is_refused(classifier):
    with pytest.raises(surgery.SurgeryError, match="neither net has a layer score to skip; .*fc"):
        surgery.transplant(classifier, classifier, skip=["score"])
    with pytest.raises(surgery.SurgeryError, match="nothing to transplant.*skipped are conv, fc"):
        surgery.transplant(classifier, classifier, skip="*")


@pytest.mark.parametrize("save, name", [("save", "w.caffemodel"), ("save_hdf5", "w.caffemodel.h5")])
def test_a_file_is_as_good_as_a_net(classifier, tmp_path, save, name):
    getattr(classifier, save)(str(tmp_path / name))
    weights = surgery.Weights(tmp_path / name)
    new = build(tmp_path, CONVOLUTIONAL)
    assert [*weights.params] == ["conv", "fc"]
    assert kinds(surgery.transplant(new, weights, verbose=None), "coerced") == ["fc[0]"]
    np.testing.assert_array_equal(new.params["fc"][0].data.ravel(),
                                  classifier.params["fc"][0].data.ravel())


def test_a_file_without_weights_is_refused(tmp_path):
    path = tmp_path / "none.caffemodel"
    path.write_bytes(caffe.proto.caffe_pb2.NetParameter(layer=[dict(name="relu")])
                     .SerializeToString())
    with pytest.raises(surgery.SurgeryError, match="none.caffemodel has no parameters.*relu"):
        surgery.Weights(path)
    path.write_bytes(b"\x07nonsense")
    with pytest.raises(caffe.CaffeError, match="none.caffemodel"):
        surgery.Weights(path)


def up(tmp_path, kernel, stride, channels=3, more=""):
    return build(tmp_path, f"""
layer {{ name: "data" type: "Input" top: "data"
  input_param {{ shape {{ dim: 1 dim: 3 dim: 6 dim: 7 }} }} }}
layer {{ name: "up" type: "Deconvolution" bottom: "data" top: "up"
  convolution_param {{ num_output: {channels} stride: {stride} bias_term: false
    {kernel} {more} }} }}
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


@pytest.mark.parametrize("size, line", [
    (3, [0.5, 1, 0.5]), (4, [0.25, 0.75, 0.75, 0.25]),
    (5, [1 / 3, 2 / 3, 1, 2 / 3, 1 / 3])])
def test_kernels_are_outer_products_of_triangles(size, line):
    np.testing.assert_allclose(surgery.bilinear(size), np.outer(line, line))


@pytest.mark.parametrize("factor", [2, 8])
def test_interpolation_agrees_with_scipy(tmp_path, factor):
    net = up(tmp_path, f"kernel_size: {2 * factor}", factor)
    surgery.interp(net, ["up"])
    image = np.random.default_rng(3).normal(size=(1, 3, 6, 7)).astype(np.float32)
    out = net.forward(data=image)["up"][0, 1]
    # output pixel o lies at (o + 1/2) / f - 1 of the input
    places = [(np.arange(n) + 0.5) / factor - 1 for n in out.shape]
    expected = ndimage.map_coordinates(image[0, 1], np.meshgrid(*places, indexing="ij"), order=1,
                                       mode="grid-constant")
    np.testing.assert_allclose(out, expected, atol=1e-5)


@pytest.mark.parametrize("kernel, channels, words", [
    ("kernel_h: 4 kernel_w: 2", 3, "square"), ("kernel_size: 4", 5, "equal channels")])
def test_interpolation_refuses_other_kernels(tmp_path, kernel, channels, words):
    with pytest.raises(surgery.SurgeryError, match=f"up.*{words}"):
        surgery.interp(up(tmp_path, kernel, 2, channels), ["up"])


@pytest.mark.parametrize("wrong, words", [
    ("upscore", "no layer upscore.*up"), ("fc", "fc.*square kernels")])
def test_interpolation_of_a_wrong_layer_fills_none(tmp_path, wrong, words):
    net = build(tmp_path, CLASSIFIER + """
layer { name: "up" type: "Deconvolution" bottom: "pool" top: "up"
  convolution_param { num_output: 4 kernel_size: 4 stride: 2 bias_term: false } }
""")
    with pytest.raises(surgery.SurgeryError, match=words):
        surgery.interp(net, ["up", wrong])
    assert not net.params["up"][0].data.any()


def test_expansion_keeps_the_old_classes_first(classifier, tmp_path):
    wider = build(tmp_path, CLASSIFIER.replace("num_output: 5", "num_output: 7"))
    rest = wider.params["fc"][0].data[5:].copy()
    surgery.expand_score(wider, "fc", classifier, "fc")
    for new, old in zip(wider.params["fc"], classifier.params["fc"]):
        np.testing.assert_array_equal(new.data[:5], old.data)
    np.testing.assert_array_equal(wider.params["fc"][0].data[5:], rest)
    with pytest.raises(surgery.SurgeryError, match="does not expand"):
        surgery.expand_score(classifier, "fc", wider, "fc")


def test_classes_go_where_their_names_are(classifier, tmp_path):
    other = build(tmp_path, CONVOLUTIONAL.replace("num_output: 5", "num_output: 4"))
    rest = other.params["fc"][0].data[3].copy()
    surgery.expand_score(other, "fc", classifier, "fc", ("cat", "sky", "dog", "new"),
                         ("sky", "dog", "sea", "cat", "cow"))
    for i in range(2):
        for to, of in ((0, 3), (1, 0), (2, 1)):
            np.testing.assert_array_equal(other.params["fc"][i].data[to].ravel(),
                                          classifier.params["fc"][i].data[of].ravel())
    np.testing.assert_array_equal(other.params["fc"][0].data[3], rest)


@pytest.mark.parametrize("new_names, names, words", [
    ("abcd", "abcde", "fc has 5 classes, but 4 names are given"),
    ("abcde", "aacde", "fc has 5 classes, but 5 names are given, 4 of them different"),
    ("abcde", "vwxyz", "no class of fc is one of fc: v, w")])
def test_names_that_are_no_use_are_refused(classifier, new_names, names, words):
    with pytest.raises(surgery.SurgeryError, match=words):
        surgery.expand_score(classifier, "fc", classifier, "fc", new_names, names)


@pytest.mark.parametrize("new_layer, layer, words", [
    ("fc", "score", "no layer score.*conv, fc"), ("score", "fc", "no layer score.*conv, fc"),
    ("conv", "fc", "does not expand")])
def test_expansion_of_wrong_layers_is_refused(classifier, new_layer, layer, words):
    with pytest.raises(surgery.SurgeryError, match=words):
        surgery.expand_score(classifier, new_layer, classifier, layer)


RGBD = CLASSIFIER.replace("dim: 3", "dim: 5").replace('name: "conv"', 'name: "conv_bgrd"')


def test_new_channels_see_the_mean_of_the_old(classifier, tmp_path):
    deeper = build(tmp_path, RGBD)
    surgery.expand_image(deeper, "conv_bgrd", classifier, "conv")
    new, old = deeper.params["conv_bgrd"], classifier.params["conv"]
    np.testing.assert_array_equal(new[0].data[:, :3], old[0].data)
    for plane in (3, 4):
        np.testing.assert_allclose(new[0].data[:, plane], old[0].data.mean(1), rtol=1e-6)
    np.testing.assert_array_equal(new[1].data, old[1].data)


@pytest.mark.parametrize("new_layer, old_layer, words", [
    ("conv", "conv_bgrd", "does not expand"), ("conv", "fc", "does not expand"),
    ("fc", "conv_bgrd", "does not expand"), ("con", "conv_bgrd", "no layer con ")])
def test_channels_that_do_not_fit_change_nothing(classifier, tmp_path, new_layer, old_layer, words):
    deeper = build(tmp_path, RGBD)
    before = classifier.params["conv"][0].data.copy()
    with pytest.raises(surgery.SurgeryError, match=words):
        surgery.expand_image(classifier, new_layer, deeper, old_layer)
    np.testing.assert_array_equal(classifier.params["conv"][0].data, before)
