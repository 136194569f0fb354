"""The binary files: protobuf and the engine read what the other writes, and damage is told."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import caffe
from caffe.errors import WeightsError
from caffe.formats import caffemodel as weights
from caffe.proto import caffe_pb2

VALUES = np.arange(6, dtype=np.float32)


def model(**blob):
    return caffe_pb2.NetParameter(layer=[caffe_pb2.LayerParameter(
        name="fc", type="InnerProduct", blobs=[caffe_pb2.BlobProto(**blob)])])


@pytest.fixture
def read(tmp_path):
    """read(bytes): what read_caffemodel makes of a file of those bytes."""
    def read(content):
        path = tmp_path / "some.caffemodel"
        path.write_bytes(content)
        return weights.read_caffemodel(str(path))
    return read


@pytest.mark.parametrize("blob, shape", [
    (dict(shape=dict(dim=[2, 3]), data=VALUES), (2, 3)),
    (dict(shape=dict(dim=[2, 3]), double_data=VALUES), (2, 3)),
    (dict(num=1, channels=1, height=2, width=3, data=VALUES), (1, 1, 2, 3)),
    (dict(data=VALUES), (6,)),
    (dict(shape={}, data=[4]), ()),
    (dict(data=[4]), ()),       # as the original writes a blob without axes
    (dict(shape=dict(dim=[6]), num=1, channels=2, height=1, width=3, data=VALUES), (1, 2, 1, 3))])
def test_forms_of_a_blob(read, blob, shape):
    (name, (array,)), = read(model(**blob).SerializeToString())
    assert (name, array.shape) == ("fc", shape)
    np.testing.assert_array_equal(array.ravel(), blob.get("data", VALUES))


def test_unpacked_values(read):
    """Each value a field of its own, as the schema's [packed] did not exist at first."""
    data = b"".join(b"\x2d" + value.tobytes() for value in VALUES)      # field 5, fixed32
    blob = caffe_pb2.BlobProto(shape=dict(dim=[6])).SerializeToString() + data
    assert list(caffe_pb2.BlobProto.FromString(blob).data) == VALUES.tolist()
    body = b"\x0a\x02fc\x3a" + bytes([len(blob)]) + blob                # name, blobs
    (_, (array,)), = read(b"\xa2\x06" + bytes([len(body)]) + body)      # layer
    np.testing.assert_array_equal(array, VALUES)


def test_v1_layers(read):
    old = caffe_pb2.NetParameter(layers=[caffe_pb2.V1LayerParameter(
        name="conv", blobs=[caffe_pb2.BlobProto(num=1, channels=2, height=3, width=1,
                                                data=VALUES)])])
    (name, (array,)), = read(old.SerializeToString())
    assert (name, array.shape) == ("conv", (1, 2, 3, 1))


def test_v0_layers(read):
    old = caffe_pb2.NetParameter(layers=[caffe_pb2.V1LayerParameter(
        layer=dict(name="conv", type="conv", blobs=[dict(num=1, channels=2, height=3, width=1,
                                                         data=VALUES)]))])
    (name, (array,)), = read(old.SerializeToString())
    assert (name, array.shape) == ("conv", (1, 2, 3, 1))


def test_binaryproto(tmp_path):
    path = tmp_path / "mean.binaryproto"
    path.write_bytes(caffe_pb2.BlobProto(num=1, channels=3, height=1, width=2, data=VALUES)
                     .SerializeToString())
    np.testing.assert_array_equal(weights.read_blobproto(str(path)), VALUES.reshape(1, 3, 1, 2))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WeightsError, match="mean.binaryproto: not a binaryproto"):
        weights.read_blobproto(str(path))


def test_solverstate_round_trip(tmp_path):
    path = tmp_path / "some.solverstate"
    history = [VALUES.reshape(2, 3), np.float32([7])]
    weights.write_solverstate(str(path), caffe_pb2.SolverState(iter=5, current_step=2), history)
    state, found = weights.read_solverstate(str(path))
    assert (state.iter, state.current_step) == (5, 2)
    for mine, theirs in zip(history, found):
        np.testing.assert_array_equal(mine, theirs)
    parsed = caffe_pb2.SolverState.FromString(path.read_bytes())
    assert parsed.iter == 5 and list(parsed.history[0].shape.dim) == [2, 3]


WITHOUT_AXES = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "slope" type: "PReLU" bottom: "x" top: "a" prelu_param { channel_shared: true
        filler { type: "gaussian" } } }
layer { name: "scale" type: "Scale" bottom: "a" top: "b" scale_param { num_axes: 0 bias_term: true
        filler { type: "gaussian" } bias_filler { type: "gaussian" } } }
layer { name: "bias" type: "Bias" bottom: "b" top: "y" bias_param { num_axes: 0
        filler { type: "gaussian" } } }
"""


def without_shapes(param):
    """The NetParameter as the original writes it: it gives a shape its axes, and none no shape."""
    for layer in param.layer:
        for blob in layer.blobs:
            if not blob.shape.dim:
                blob.ClearField("shape")
    return param


def test_blobs_without_axes_are_written_as_the_original_does(net, tmp_path):
    made, path = net(WITHOUT_AXES), tmp_path / "some.caffemodel"
    made.save(str(path))
    written = caffe_pb2.NetParameter.FromString(path.read_bytes())
    assert [len(blob.data) for layer in written.layer for blob in layer.blobs] == [1] * 4
    assert not any(blob.HasField("shape") for layer in written.layer for blob in layer.blobs)
    path = tmp_path / "some.solverstate"
    weights.write_solverstate(str(path), caffe_pb2.SolverState(iter=5), [np.float32(3)[()]])
    assert not caffe_pb2.SolverState.FromString(path.read_bytes()).history[0].HasField("shape")


def test_blobs_without_axes_come_back(net, tmp_path):
    made, path = net(WITHOUT_AXES), str(tmp_path / "w")
    made.save(path)
    content = without_shapes(caffe_pb2.NetParameter.FromString(Path(path).read_bytes()))
    with open(path + ".original", "wb") as file:
        file.write(content.SerializeToString())
    made.save_hdf5(path + ".h5")
    for ending in ("", ".original", ".h5"):
        other = net(WITHOUT_AXES)
        other.copy_from(path + ending)
        for name, blobs in made.params.items():
            for mine, theirs in zip(blobs, other.params[name]):
                assert theirs.shape == () and mine.data == theirs.data


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
def test_a_training_with_blobs_without_axes_goes_on(net, tmp_path, form):
    """Also from a state as the original writes it, whose histories then have no shape."""
    net(WITHOUT_AXES
        + 'layer { name: "loss" type: "Reduction" bottom: "y" top: "l" loss_weight: 1 }')
    solver_file = tmp_path / "solver.prototxt"
    solver_file.write_text(f'net: "{tmp_path}/net.prototxt" base_lr: 0.1 lr_policy: "fixed" '
                           f'momentum: 0.9 snapshot_format: {form} snapshot_prefix: "{tmp_path}/s"')
    first, second = (caffe.get_solver(str(solver_file)) for _ in range(2))
    for solver in (first, second):
        solver.net.blobs["x"].data[...] = [[1, -2, 3], [-4, 5, 6]]
    first.step(2)
    first.snapshot()
    if form == "BINARYPROTO":
        path = tmp_path / "s_iter_2.caffemodel"
        path.write_bytes(without_shapes(caffe_pb2.NetParameter.FromString(path.read_bytes()))
                         .SerializeToString())
        (tmp_path / "s_iter_2.solverstate.resume").unlink()
    second.restore(f"{tmp_path}/s_iter_2.solverstate" + (".h5" if form == "HDF5" else ""))
    for solver in (first, second):
        solver.step(2)
    for name, blobs in first.net.params.items():
        for mine, theirs in zip(blobs, second.net.params[name]):
            np.testing.assert_array_equal(mine.data, theirs.data)


def test_opencv_reads_blobs_without_axes(net, tmp_path):
    """It reads no Bias and no num_axes; an empty shape it does not survive."""
    text = WITHOUT_AXES.partition('layer { name: "scale"')[0].replace("dim: 3", "dim: 3 dim: 1 "
                                                                      "dim: 1")
    made, path = net(text), str(tmp_path / "w.caffemodel")
    made.save(path)
    run = subprocess.run([sys.executable, "-c", f"import cv2; cv2.dnn.readNetFromCaffe("
                          f"{str(tmp_path / 'net.prototxt')!r}, {path!r})"], capture_output=True)
    assert run.returncode == 0, run.stderr.decode()


@pytest.mark.parametrize("blob, complaint", [
    (dict(shape={}, data=VALUES), r"shape \(\) holds 6 values"),
    (dict(num=-1, channels=-6, height=1, width=1, data=VALUES), r"shape \(-1, -6, 1, 1\)"),
    (dict(num=1, data=VALUES), r"shape \(1, 0, 0, 0\) holds 6 values")])
def test_shapes_that_do_not_fit_their_values(read, blob, complaint):
    with pytest.raises(WeightsError, match=complaint):
        read(model(**blob).SerializeToString())


def test_values_of_another_wire_type(read):
    """A 64-bit field in the place of a 32-bit one is not two values."""
    body = b"\x0a\x02fc\x3a\x0d" + b"\x3a\x02\x08\x02" + b"\x29" + VALUES[:2].tobytes()
    with pytest.raises(WeightsError, match="parameter 0 of layer 'fc': .*wire type"):
        read(b"\xa2\x06" + bytes([len(body)]) + body)


FC = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 2 } }
"""


def test_parameters_for_a_layer_that_has_none(net, tmp_path):
    path, relu = str(tmp_path / "w"), FC.partition('layer { name: "fc"')[0] \
        + 'layer { name: "fc" type: "ReLU" bottom: "x" top: "y" }'
    net(FC).save(path)
    net(FC).save_hdf5(path + ".h5")
    for file in (path, path + ".h5"):
        with pytest.raises(WeightsError, match="'fc': it has 2 parameters, in .* it has 0; rename"):
            net(relu).copy_from(file)


def test_weights_in_a_prototxt_are_not_written_twice(net, tmp_path):
    path = str(tmp_path / "w")
    made = net(FC)
    param = caffe_pb2.NetParameter(layer=made.program.param.layer)
    param.layer[1].blobs.add(data=[1])
    weights.write_caffemodel(path, param, made.layers)
    assert [len(arrays) for _, arrays in weights.read_caffemodel(path)] == [0, 2]
    assert len(param.layer[1].blobs) == 1


def test_a_mean_without_values(tmp_path):
    path = tmp_path / "mean.binaryproto"
    path.write_bytes(caffe_pb2.NetParameter(state=dict(level=5)).SerializeToString())
    with pytest.raises(WeightsError, match="mean.binaryproto: not a binaryproto.*no values"):
        weights.read_blobproto(str(path))


def test_sharing_with_a_net_of_fewer_parameters(net):
    one, two = net(FC), net(FC.replace("num_output: 2", "num_output: 2 bias_term: false"))
    with pytest.raises(WeightsError, match="'fc', so .* has 1 of them, .* 2; rename"):
        two.share_with(one)
    one.params["fc"][0].data[...] = 7
    assert not (two.params["fc"][0].data == 7).any()


@pytest.mark.parametrize("stored, wanted, same", [
    ((2, 3), (2, 3), True), ((1, 1, 2, 3), (2, 3), True), ((1, 1, 1, 6), (6,), True),
    ((1, 1, 3, 2), (2, 3), False), ((1, 2, 3), (2, 3), False), ((6,), (2, 3), False)])
def test_same_shape(stored, wanted, same):
    assert weights.same_shape(stored, wanted) == same


# damage


def whole():
    """A model of two layers with several blobs each, as bytes."""
    blobs = [caffe_pb2.BlobProto(shape=dict(dim=[2, 3]), data=VALUES),
             caffe_pb2.BlobProto(num=1, channels=1, height=1, width=6, double_data=VALUES)]
    return caffe_pb2.NetParameter(name="net", layer=[
        caffe_pb2.LayerParameter(name=name, type="InnerProduct", blobs=blobs)
        for name in ("one", "two")]).SerializeToString()


def test_truncated_anywhere(read):
    """Only an end between two layers cannot be told from a smaller model."""
    content = whole()
    complete = []
    for size in range(len(content)):
        try:
            complete.append(len(read(content[:size])))
        except WeightsError as error:
            assert "some.caffemodel" in str(error)
    assert complete == [1]


def test_random_bytes_changed(read):
    rng, content = np.random.default_rng(6), whole()
    refused = 0
    for _ in range(1000):
        damaged = np.frombuffer(content, np.uint8).copy()
        places = rng.integers(0, len(damaged), rng.integers(1, 4))
        damaged[places] = rng.integers(0, 256, len(places))
        try:
            read(damaged.tobytes())
        except WeightsError:
            refused += 1
    assert 30 < refused < 1000


@pytest.mark.parametrize("content, complaint", [
    (b"", "it is empty"),
    (b"hello, world\n" * 20, "not a caffemodel"),
    (b'name: "VGG"\nlayer { name: "conv" type: "Convolution" }\n', "not a caffemodel"),
    (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "not a caffemodel"),
    (b"<!DOCTYPE html><html><body>404</body></html>", "not a caffemodel"),
    (b"\x89HDF\r\n\x1a\n" + bytes(100), "not a caffemodel"),
    (bytes(1000), "not a caffemodel"),
    (b"\x0a\x03net", "it holds no layers"),
    (model(shape=dict(dim=[2, 4]), data=VALUES).SerializeToString(),
     r"layer 'fc'.*shape \(2, 4\) holds 6 values"),
    (model(shape=dict(dim=[-2, -3]), data=VALUES).SerializeToString(), r"shape \(-2, -3\)")],
    ids=["empty", "text", "prototxt", "png", "html", "hdf5", "zeros", "no layers", "too large",
         "negative"])
def test_what_is_not_a_caffemodel(read, content, complaint):
    with pytest.raises(WeightsError, match=f"some.caffemodel.*{complaint}"):
        read(content)


def test_what_is_not_a_solverstate(tmp_path):
    path = tmp_path / "some.solverstate"
    for content in (b"", b"text", whole(), b"\x08"):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match="some.solverstate"):
            weights.read_solverstate(str(path))


def test_random_bytes_of_a_solverstate_changed(tmp_path):
    path, rng = tmp_path / "some.solverstate", np.random.default_rng(7)
    weights.write_solverstate(str(path), caffe_pb2.SolverState(iter=5, learned_net="a"), [VALUES])
    content = path.read_bytes()
    for _ in range(1000):
        damaged = np.frombuffer(content, np.uint8).copy()
        damaged[rng.integers(0, len(damaged), 2)] = rng.integers(0, 256, 2)
        path.write_bytes(damaged.tobytes())
        with suppress(WeightsError):
            weights.read_solverstate(str(path))


def test_files_that_are_not_there(tmp_path):
    for reader in (weights.read_caffemodel, weights.read_solverstate):
        with pytest.raises(WeightsError, match="absent: no such file"):
            reader(str(tmp_path / "absent"))
        with pytest.raises(WeightsError, match="is a folder"):
            reader(str(tmp_path))
