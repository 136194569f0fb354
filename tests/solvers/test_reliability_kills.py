"""A process that ends at any step of writing leaves a folder in which the training goes on."""

import os
import subprocess
import sys

import pytest

from fcn.nets.source import ROOT

NET = """
layer { name: "x" type: "DummyData" top: "x" top: "y"
        dummy_data_param { shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 } } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "fc"
        inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "fc" bottom: "y" top: "loss" }
"""


def steps(*arguments):
    run = subprocess.run([sys.executable, ROOT / "tests" / "support" / "end_at_each_step.py",
                          *map(str, arguments)], cwd=ROOT, text=True, capture_output=True,
                         env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path),
                              "GLOG_minloglevel": "2"})     # lines of the log would be steps
    assert run.returncode == 0, run.stderr[-3000:]
    return int(run.stdout.splitlines()[-1])


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
def test_a_snapshot_that_ends_at_any_step_leaves_whole_ones(tmp_path, form):
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 snapshot_prefix: "s" '
        f"snapshot_format: {form}")
    assert steps("snapshot", tmp_path) > 10


@pytest.mark.slow
@pytest.mark.parametrize("every", [67, 7])
def test_a_run_that_ends_at_any_step_goes_on_to_the_same_end(data, tmp_path, every):
    """Logs, scores and weights are byte for byte those of the run that was not interrupted."""
    assert steps("run", data, tmp_path, every) > 50
