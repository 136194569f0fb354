"""Teach a trained FCN-32s the classes of one's own folder, starting from its trunk.

    python examples/finetune.py FOLDER CLASSES trained.caffemodel OUTPUT [WIDTH]

FOLDER is in VOC layout, with classes 0 to CLASSES - 1. OUTPUT gets the prototxts and snapshots;
WIDTH is the fraction of VGG-16's channels that the trained net has, 1 unless said otherwise.
`fcn solve --data FOLDER --from trained.caffemodel` does this and more; here is how it works.
"""

import sys
from pathlib import Path

import caffe
from caffe.proto import caffe_pb2
from fcn import nets, surgery
from fcn.nets.source import folder

ITERATIONS = 20


def main(data: str, classes: str, weights: str, output: str, width: str = "1") -> None:
    source, output = folder(data, int(classes), mirror=True), Path(output)
    train, deploy = (nets.fcn("fcn32s", split, source, width=float(width))
                     for split in ("train", "deploy"))
    nets.write_prototxt(output / "deploy.prototxt", deploy)
    solver = caffe.SGDSolver(str(nets.write_prototxt(
        output / "solver.prototxt", caffe_pb2.SolverParameter(
            train_net=str(nets.write_prototxt(output / "train.prototxt", train)), base_lr=1e-10,
            lr_policy="fixed", momentum=0.99, weight_decay=0.0005, max_iter=ITERATIONS,
            snapshot_prefix=str(output / "train")))))

    # All but the scores and their interpolation, which depend on the classes.
    surgery.transplant(solver.net, surgery.Weights(weights), skip=["score*", "upscore*"])
    surgery.interp(solver.net, ["upscore"])
    solver.step(ITERATIONS)
    solver.snapshot()


if __name__ == "__main__":
    if len(sys.argv) not in (5, 6):
        sys.exit(__doc__)
    main(*sys.argv[1:])
