"""make fidelity: write the tables of docs/fidelity.md, how far the engine is from recordings."""

import argparse
import re
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np

import caffe
from caffe.formats import forks, prototxt
from caffe.proto import caffe_pb2
from golden_runs import NETS, SOLVERS, load_solver, run_net, run_solver

PAGE = Path(__file__).parents[2] / "docs" / "fidelity.md"
PLUMBING = {"Input", "Split"}     # in every net


def main():
    caffe.set_mode_cpu()
    caffe.init_log(2)
    page = PAGE.read_text()
    for name, table in (("layers", layers()), ("solvers", solvers())):
        page = re.sub(rf"(<!-- {name} -->\n).*?(<!-- end -->)", rf"\1{table}\2", page, flags=re.S)
    PAGE.write_text(page)


def layers():
    """A row for each layer type with recordings, and the largest errors among them."""
    found = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for path in NETS:
            errors = {"data": 0.0, "diff": 0.0}
            for key, actual, expected in run_net(path, Path(folder)):
                kind = key.rpartition("/")[2]
                errors[kind] = max(errors[kind], distance(actual, expected))
            net = prototxt.parse(str(np.load(path)["prototxt"]), caffe_pb2.NetParameter())
            for kind in {layer.type for layer in net.layer} - PLUMBING:
                found[kind].append((path.stem, errors))
    rows = ["| layer type | recordings | forward | backward |", "| --- | --- | --- | --- |"]
    for kind in sorted(found):
        names = [name for name, _ in found[kind] if not name.startswith("mini_fcn")]
        in_fcn = len(names) < len(found[kind])
        cells = ", ".join(names + ["mini_fcn"] * in_fcn)
        # a recording of a layer on its own says more of it than one of a whole net
        errors = [e for name, e in found[kind] if name in names or not names]
        worst = [f"{max(e[field] for e in errors):.1e}" for field in ("data", "diff")]
        rows.append(f"| {kind} | {cells} | {worst[0]} | {worst[1]} |")
    without = [kind for kind in caffe.layer_type_list()
               if kind not in PLUMBING | forks.TYPES | set(found)]
    return "\n".join([*rows, "", f"Without a recording: {', '.join(without)}."]) + "\n"


def solvers():
    """A row for each recorded run: the largest errors of losses and weights in its steps."""
    rows = ["| run | losses | weights |", "| --- | --- | --- |"]
    with tempfile.TemporaryDirectory() as folder:
        for path in SOLVERS:
            run, errors = np.load(path), {"loss": 0.0, "param": 0.0}
            for key, actual, expected in run_solver(load_solver(run, Path(folder)), run, range(8)):
                kind = key.partition("/")[0]
                errors[kind] = max(errors[kind], distance(actual, expected))
            rows.append(f"| {path.stem} | {errors['loss']:.1e} | {errors['param']:.1e} |")
    return "\n".join(rows) + "\n"


def distance(actual, expected):
    """The largest error as a share of the largest value."""
    largest = np.abs(expected).max(initial=0)
    return float(np.abs(actual - expected).max(initial=0) / largest) if largest else 0.0


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    main()
