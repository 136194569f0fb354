"""Scoring a net on a validation set.

    python solvers/score.py EXPERIMENT [--weights W] [--gpu N | --cpu]
"""

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from solvers.metrics import Scores, confusion


def score_net(net, samples, description="scoring"):
    """The Scores of `net` over its next `samples` samples: blob 'score' against blob 'label'."""
    matrix = 0
    for _ in tqdm(range(samples), desc=description, unit="image", leave=False):
        net.forward()
        score, label = net.blobs["score"].data, net.blobs["label"].data
        matrix = matrix + confusion(label[:, 0], score.argmax(1), score.shape[1])
    return Scores.of(matrix)


def table(scores, class_names):
    """The scores as text: the four metrics, then accuracy and IU of each class, in percent."""
    lines = [f"{name:<16}{value:6.1f}" for name, value in scores.summary().items()]
    width = max(map(len, class_names), default=5) + 2
    lines += ["", f"{'class':<{width}}{'accuracy':>9}{'IU':>7}"]
    for name, accuracy, iu in zip(class_names, scores.accuracy, scores.iu):
        values = f"{100 * accuracy:9.1f}{100 * iu:7.1f}" if np.isfinite(iu) else "        –      –"
        lines.append(f"{name:<{width}}{values}")
    return "\n".join(lines)


def save(scores, class_names, path, **facts):
    """Write scores and `facts` as JSON, in percent; null where a class does not occur."""
    def percent(values):
        return {name: round(100 * float(v), 2) if np.isfinite(v) else None
                for name, v in zip(class_names, values)}
    content = {**facts, **{k: round(float(v), 2) for k, v in scores.summary().items()},
               "class accuracy": percent(scores.accuracy), "class IU": percent(scores.iu)}
    temporary = Path(f"{path}.part")
    temporary.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(temporary, path)


def main():
    from solvers import training
    from solvers.command import add_device, experiment_named, report_errors, set_device
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment")
    parser.add_argument("--weights", help="default: the experiment's newest snapshot")
    add_device(parser)
    args = parser.parse_args()
    with report_errors():
        import caffe
        experiment = experiment_named(args.experiment)
        weights = args.weights or training.newest_weights(experiment)
        set_device(args)
        net = caffe.Net(str(experiment.directory / "val.prototxt"), str(weights), caffe.TEST)
        scores = score_net(net, training.val_samples(experiment))
        print(f"{weights}\n\n{table(scores, experiment.class_names)}")


if __name__ == "__main__":
    sys.exit(main())
