"""Scoring a net on a validation set.

    python solvers/score.py RUN [--weights W] [--gpu N | --cpu]

RUN is an experiment (voc-fcn8s), a stage of the demo (demo-fcn8s) or the folder of a run.
"""

import argparse
import json
import sys

import numpy as np
from tqdm import tqdm

from solvers.metrics import Scores, confusion
from solvers.runs import replacing


def score_net(net, samples, description="scoring"):
    """The Scores of `net` over its next `samples` samples: blob 'score' against blob 'label'."""
    matrix = 0
    for _ in tqdm(range(samples), desc=description, unit="image", leave=False, disable=None):
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


def save(scores, run, class_names, iteration):
    """Write the scores of an iteration as score.json of `run`, with the confusion matrix.

    Percent; null where a class does not occur.
    """
    def percent(values):
        return {name: round(100 * float(v), 2) if np.isfinite(v) else None
                for name, v in zip(class_names, values)}
    content = {"experiment": run.directory.name, "iteration": iteration,
               **{k: round(float(v), 2) for k, v in scores.summary().items()},
               "class accuracy": percent(scores.accuracy), "class IU": percent(scores.iu)}
    matrix = ",\n    ".join(json.dumps(row) for row in scores.matrix.tolist())
    with replacing(run.directory / "score.json") as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False)[:-2]
                             + f',\n  "confusion": [\n    {matrix}\n  ]\n}}\n', encoding="utf-8")


def load(run, iteration):
    """The Scores in score.json of `run`, None unless they are those of `iteration`."""
    path = run.directory / "score.json"
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return Scores.of(content["confusion"]) if content.get("iteration") == iteration else None


def main():
    from solvers import runs
    from solvers.command import add_device, load_net, report_errors, set_device
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="an experiment, or the folder of a run")
    parser.add_argument("--weights", help="default: the run's newest snapshot")
    add_device(parser)
    args = parser.parse_args()
    with report_errors():
        run = runs.find(args.run)
        weights = args.weights or run.newest_weights()
        set_device(args)
        scores = score_net(load_net(run.prototxt("val"), weights),
                           run.samples())
        print(f"{weights}\n\n{table(scores, run.class_names())}")


if __name__ == "__main__":
    sys.exit(main())
