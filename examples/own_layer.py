"""A layer of one's own, written in Python: a loss that counts rare classes more.

    python examples/own_layer.py

prints the losses of a small net that learns by it. A prototxt names the layer's module and class.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import caffe
from caffe import layers as L


class WeightedLoss(caffe.Layer):
    """The squared distance of scores (number, classes) to one-hot labels (number,), by class.

    param_str: the weights of the classes, separated by blanks.
    """

    def setup(self, bottom, top):
        self.weights = np.array(self.param_str.split(), np.float32)

    def reshape(self, bottom, top):
        top[0].reshape()

    def forward(self, bottom, top):
        labels = bottom[1].data.astype(int)
        self.counts = self.weights[labels][:, None] / len(labels)
        self.difference = bottom[0].data - np.eye(len(self.weights))[labels]
        top[0].data[...] = (self.counts * self.difference ** 2).sum()

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            bottom[0].diff[...] = top[0].diff * 2 * self.counts * self.difference


def main(iterations: int = 50) -> None:
    net = caffe.NetSpec()
    net.data, net.label = L.Input(shape=[dict(dim=[32, 2]), dict(dim=[32])], ntop=2)
    net.score = L.InnerProduct(net.data, num_output=3, weight_filler=dict(type="xavier"))
    net.loss = L.Python(net.score, net.label, module="own_layer", layer="WeightedLoss",
                        param_str="1 1 4", loss_weight=1)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "solver.prototxt"
        path.write_text(f'net_param {{ {net.to_proto()} }} base_lr: 0.1 lr_policy: "fixed"')
        solver = caffe.SGDSolver(str(path))
    rng, blobs = np.random.default_rng(0), solver.net.blobs
    for _ in range(iterations):
        blobs["label"].data[...] = labels = rng.integers(0, 3, 32)
        blobs["data"].data[...] = np.eye(3)[labels][:, :2] + 0.1 * rng.normal(size=(32, 2))
        solver.step(1)
        print(f"{float(blobs['loss'].data):.4f}")


if __name__ == "__main__":
    sys.exit(__doc__ if sys.argv[1:] else main())
