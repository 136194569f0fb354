"""A run with a skip net of random weights, and a package in the place of onnxruntime-web."""

import hashlib
import io
import tarfile
from dataclasses import replace

import numpy as np

import caffe
from fcn import surgery
from fcn.nets import fcn
from fcn.nets.source import voc
from fcn.page import runtime
from fcn.solvers.runs import log

CLASSES = "background", "leaf", "root", "stone"


def skip_run(folder, head="fcn8s", seed=3):
    """The folder of a run whose scores differ from pixel to pixel, also those of each stride."""
    (folder / "snapshot").mkdir(parents=True)
    source = voc(folder / "data", len(CLASSES))
    for split in ("deploy", "val"):
        made = str(fcn(head, split, source, width=1 / 32, filler="msra", fc6_kernel=1))
        (folder / f"{split}.prototxt").write_text(made.replace("dim: 500", "dim: 96"))
    (folder / "classes.txt").write_text("\n".join(CLASSES))
    caffe.set_random_seed(seed)
    net = caffe.Net(str(folder / "deploy.prototxt"), caffe.TEST)
    surgery.interp(net, [name for name in net.params if name.startswith("upscore")])
    rng = np.random.default_rng(seed)
    scores = [name for name in net.params if name.startswith("score")]
    for name in scores:
        net.params[name][0].data[...] = rng.normal(size=net.params[name][0].data.shape)
    net.blobs["data"].data[...] = rng.normal(0, 60, (1, 3, 96, 96))
    net.forward()
    for name in scores:         # none is ahead everywhere, and each skip counts
        weights, bias = net.params[name]
        found = net.blobs[name].data[0].reshape(len(CLASSES), -1)
        deviation = np.maximum(found.std(1), 1e-3)
        weights.data[...] /= deviation[:, None, None, None]
        bias.data[...] = -found.mean(1) / deviation
    net.save(str(folder / "snapshot" / "train_iter_7.caffemodel"))
    log.Log(folder, 0).write(7, 1.0, 41.5)
    return folder


def stub_runtime(folder, monkeypatch):
    """Have data/store, `folder`, hold a package that is small; returns its path."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for name in runtime.FILES:
            info = tarfile.TarInfo(f"package/dist/{name}")
            info.size = len(name)
            tar.addfile(info, io.BytesIO(name.encode()))
    package = replace(runtime.PACKAGE, size=len(content.getvalue()), checksum="sha512:"
                      + hashlib.sha512(content.getvalue()).hexdigest())
    monkeypatch.setattr(runtime, "PACKAGE", package)
    monkeypatch.setenv("FCN_DATA", str(folder))
    path = folder / package.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.getvalue())
    return path
