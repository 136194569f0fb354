"""A second opinion: OpenCV's own reader of Caffe models runs the project's nets and weights."""

import cv2
import numpy as np
import pytest

import caffe
import nets

# OpenCV's reader knows Input, Convolution, Deconvolution, Pooling, ReLU, Dropout, Eltwise, Crop,
# Scale, InnerProduct, Softmax and LRN, which is all that deploy nets use.
NETS = {
    **{head: lambda head=head: nets.fcn(head, "deploy", width=1 / 16)
       for head in ("fcn32s", "fcn16s", "fcn8s", "fcn8s-atonce")},
    "classifier": lambda: nets.classifier(width=1 / 16, classes=7),
}


@pytest.mark.parametrize("name", NETS)
def test_opencv_agrees(tmp_path, name):
    deploy = nets.write_prototxt(tmp_path / "deploy.prototxt", NETS[name]())
    net = caffe.Net(str(deploy), caffe.TEST)
    rng = np.random.default_rng(3)
    for layer, blobs in net.params.items():
        for blob in blobs:
            fan = max(1, blob.count // blob.shape[0]) if blob.data.ndim > 1 else 100
            blob.data[...] = rng.normal(scale=(2 / fan) ** 0.5, size=blob.shape)
    net.save(str(tmp_path / "some.caffemodel"))
    shape = net.blobs["data"].shape if name == "classifier" else (1, 3, 75, 101)
    net.blobs["data"].reshape(*shape)
    image = rng.normal(scale=50, size=shape).astype(np.float32)
    ours = net.forward(data=image)[net.outputs[0]]
    reader = cv2.dnn.readNetFromCaffe(str(deploy), str(tmp_path / "some.caffemodel"))
    reader.setInput(image)
    theirs = reader.forward(net.outputs[0])
    assert np.abs(ours).max() > 1e-3
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(ours).max(), rtol=0)
