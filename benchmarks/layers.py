"""Where the time of a training step goes: python benchmarks/layers.py [--width W]

Prints, as a Markdown table, the milliseconds of FCN-8s' layers in one step on a 500x500 image,
forward and backward, the medians of five; then small layers together, and what is in none.
"""

import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from segdata.arguments import ArgumentParser
from subjects import pycaffe

STEPS = 5       # and two first ones that do not count
SMALL = 0.005   # of a step
ALONE = "Convolution", "Pooling"        # of other types all layers count together


def main():
    parser = ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--width", type=float, default=1.0, help="fraction of VGG-16's channels")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        net, step = pycaffe.step("step-500", Path(folder), args.width)
        steps = measured(net, step)
    print(table({key: statistics.median(each.get(key, 0.0) for each in steps)
                 for key in steps[-1]}))


def measured(net, step):
    """For each step {(row, "forward" or "backward"): seconds}, and {("", "step"): seconds}."""
    from caffe.engine.layers.base import TensorLayer
    steps, own = [], {name: getattr(TensorLayer, name) for name in ("forward", "backward")}
    rows = {name: name if layer.type in ALONE else layer.type
            for name, layer in net.layer_dict.items()}

    def timed(name):
        def run(layer, *args):
            start = time.perf_counter()
            own[name](layer, *args)
            steps[-1][rows[layer.layer_param.name], name] += time.perf_counter() - start
        return run
    try:
        for name in own:
            setattr(TensorLayer, name, timed(name))
        for _ in range(STEPS + 2):
            steps.append(defaultdict(float))
            start = time.perf_counter()
            step()
            steps[-1]["", "step"] = time.perf_counter() - start
    finally:
        for name, method in own.items():
            setattr(TensorLayer, name, method)
    return steps[2:]


def table(seconds):
    """Markdown from {(row, column): seconds}."""
    whole = seconds.pop(("", "step"))
    rows = {row: [seconds.get((row, name), 0.0) for name in ("forward", "backward")]
            for row, _ in seconds}
    small = [row for row, parts in rows.items() if sum(parts) < SMALL * whole]
    rows["all other layers"] = [sum(parts) for parts in zip((0, 0), *map(rows.pop, small))]
    lines = ["| layer | forward, ms | backward, ms | share |", "| --- | --- | --- | --- |"]
    for row, parts in rows.items():
        lines.append(f"| {row} | {1000 * parts[0]:.0f} | {1000 * parts[1]:.0f} | "
                     f"{sum(parts) / whole:.1%} |")
    rest = whole - sum(seconds.values())
    lines.append(f"| update, copies of padding elision | {1000 * rest:.0f} | | "
                 f"{rest / whole:.1%} |")
    return "\n".join([*lines, f"| step | {1000 * whole:.0f} | | |"])


if __name__ == "__main__":
    main()
