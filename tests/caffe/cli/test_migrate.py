"""caffe migrate, on small projects, and caffe info."""

import os
import subprocess
import sys

import pytest

import caffe
from caffe.cli import main

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
        inner_product_param { num_output: 2 } }
"""
LAYER = """
import caffe


class Mine(caffe.Layer):
    def reshape(self, bottom, top):
        top[0].reshape(1)
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """project(name=content, ...) writes files; project.table(capsys) is what caffe migrate says of
    them: (exit status, {file: [(verdict, why), ...]})."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "project"

    def write(files):
        for name, content in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(content)

    def table(capsys):
        capsys.readouterr()
        status = main(["migrate", "project"])
        rows = {}
        said = capsys.readouterr()
        assert not said.err
        *lines, table.summary = said.out.splitlines()
        for line in lines:
            file, _, rest = line.partition("  ")
            verdict, _, why = rest.strip().partition("  ")
            rows.setdefault(file, []).append((verdict, why.strip()))
        return status, rows
    write.table, write.root = table, root
    return write


def test_a_project_that_runs(project, capsys):
    project({"models/net.prototxt": NET + """
                layer { name: "mine" type: "Python" bottom: "fc" top: "mine"
                        python_param { module: "lib.mine" layer: "Mine" } }""",
             "models/installed.prototxt": NET + """
                layer { name: "cells" type: "Python" bottom: "fc" top: "cells"
                        python_param { module: "segdata.cells" layer: "CellSegDataLayer" } }""",
             "models/old.prototxt": 'input: "x" input_dim: 1 input_dim: 2 input_dim: 1 '
                                    'input_dim: 1 layers { name: "r" type: RELU bottom: "x" '
                                    'top: "y" }',
             "solver.prototxt": 'net: "models/net.prototxt" base_lr: 1 lr_policy: "fixed" '
                                'type: "Adam" snapshot_prefix: "models/s"',
             "train.prototxt": NET.replace('"Input"', '"Input" include { phase: TRAIN }'),
             "labelmap.prototxt": 'item { name: "cat" label: 1 }', "lib/mine.py": LAYER,
             "README": "no file of Caffe", ".git/hook.py": "print 'not looked at'"})
    caffe.Net(str(project.root / "models/old.prototxt"), caffe.TEST)
    net = caffe.Net(str(project.root / "models/old.prototxt"), caffe.TEST)
    net.save(str(project.root / "models/w.caffemodel"))
    status, rows = project.table(capsys)
    assert rows == {
        "labelmap.prototxt": [("skipped", "neither a net nor a solver: left alone")],
        "lib/mine.py": [("runs", "Python 3")],
        "models/installed.prototxt": [("reads", "a net of 3 layers")],
        "models/net.prototxt": [("reads", "a net of 3 layers")],
        "models/old.prototxt": [("reads", "a net of 2 layers, reads as it is; caffe "
                                "upgrade_net_proto_text would write it in the present form")],
        "models/w.caffemodel": [("runs", "weights of 0 layers")],
        "solver.prototxt": [("reads", "a solver, Adam")],
        "train.prototxt": [("reads", "a net of 2 layers")]}
    assert status == 0 and project.table.summary == "7 of 7 files need no change: everything"


def test_what_nets_and_solvers_need(project, capsys):
    project({"ssd.prototxt": NET + """
                layer { name: "p" type: "MultiBoxLoss" bottom: "fc" bottom: "data" top: "p" }
                layer { name: "i" type: "ImageData" top: "i" top: "l"
                        image_data_param { source: "/not/there.txt" } }""",
             "binary.prototxt": "\0\1 layer {",
             "deploy.prototxt": NET + """
                layer { name: "a" type: "DetectionOutput" detection_output_param { visualize: false
                        save_output_param { label_map_file: "no need" } } }
                layer { name: "b" type: "DetectionOutput" detection_output_param {
                        save_output_param { output_directory: "d" name_size_file: "none" } } }""",
             "typo.prototxt": NET.replace("num_output", "num_outputs"),
             "dangling.prototxt": NET.replace('bottom: "data"', 'bottom: "dat"'),
             "unread.prototxt": NET + """
                layer { name: "d" type: "Data" top: "d" data_param { source: "db" } }
                layer { name: "m" type: "Python" bottom: "fc" top: "m"
                        python_param { module: "mine" layer: "Other" } }
                layer { name: "n" type: "Python" bottom: "m" top: "n"
                        python_param { module: "nowhere" layer: "Mine" } }""",
             "solver.prototxt": 'train_net: "absent.prototxt" base_lr: 1 type: "Adm" '
                                'lr_policy: "fixd" snapshot_prefix: "out/s"',
             "mine.py": LAYER, "layers/multibox.cpp": "REGISTER_LAYER_CLASS(MultiBoxLoss);",
             "layers/conv.cpp": "REGISTER_LAYER_CLASS(Convolution);"})
    status, rows = project.table(capsys)
    assert status == 1
    said = {file: "\n".join(f"{verdict}: {why}" for verdict, why in found)
            for file, found in rows.items()}
    assert "needs a layer: layer type MultiBoxLoss of SSD" in said["ssd.prototxt"]
    assert "change: source: /not/there.txt is not there" in said["ssd.prototxt"]
    assert "change: name_size_file: none is not there" in said["deploy.prototxt"]
    assert "no need" not in said["deploy.prototxt"]
    assert "runs" not in said["ssd.prototxt"]
    assert said["binary.prototxt"] == "change: is not text; a binary is named .caffemodel"
    assert "has no field 'num_outputs' (did you mean 'num_output'?)" in said["typo.prototxt"]
    assert "Unknown bottom blob 'dat'" in said["dangling.prototxt"]
    assert "set backend: LMDB" in said["unread.prototxt"]
    assert "no class Other in mine.py" in said["unread.prototxt"]
    assert "the module nowhere" in said["unread.prototxt"]
    assert "unknown solver type 'Adm' (did you mean 'Adam'?)" in said["solver.prototxt"]
    assert "'fixd' (did you mean 'fixed'?)" in said["solver.prototxt"]
    assert "train_net: absent.prototxt is not there" in said["solver.prototxt"]
    assert (f"there is no folder {project.root.parent / 'out'}; make it, or correct"
            in said["solver.prototxt"])
    assert "needs a layer" in said["layers/multibox.cpp"] and "layers/conv.cpp" not in said


@pytest.mark.parametrize("solver", ['net: "{0}"', 'train_net: "{0}"', 'test_net: "a.prototxt" '
                                    'test_net: "{0}" train_net: "a.prototxt"'])
def test_a_solver_is_as_its_net(project, capsys, solver):
    only, solver = solver.format("a.prototxt"), solver + ' lr_policy: "fixed" base_lr: 1'
    multibox = NET + 'layer { name: "p" type: "MultiBoxLoss" bottom: "fc" bottom: "data" top: "p" }'
    project({"net.prototxt": multibox, "a.prototxt": NET, "b.prototxt": NET + "}",
             "solver.prototxt": solver.format("net.prototxt"),
             "right.prototxt": solver.format("a.prototxt"),
             "broken.prototxt": solver.format("b.prototxt"),
             "only.prototxt": only,
             "inline.prototxt": f'lr_policy: "fixed" net_param {{ {multibox} }}',
             "unconnected.prototxt": 'lr_policy: "fixed" train_net_param { ' + NET +
                                     'layer { name: "s" type: "Softmax" bottom: "no" } }'})
    status, rows = project.table(capsys)
    assert rows["right.prototxt"] == [("reads", "a solver, SGD")]
    assert rows["solver.prototxt"][0][0] == rows["inline.prototxt"][0][0] == "needs a layer"
    assert rows["solver.prototxt"][0][1].startswith("its net net.prototxt: layer type MultiBoxLoss")
    assert rows["inline.prototxt"][0][1].startswith("net_param: layer type MultiBoxLoss")
    assert rows["broken.prototxt"][0][1].startswith("its net b.prototxt: ")
    assert rows["unconnected.prototxt"][0][1].startswith("train_net_param: Unknown bottom blob")
    assert rows["only.prototxt"] == [("change", "lr_policy is missing: expected one of fixed, "
                                      "step, multistep, exp, inv, poly, sigmoid")]
    assert status == 1 and project.table.summary == "2 of 9 files need no change"


def test_weights_that_cannot_be_read(project, capsys):
    project({"lfs.caffemodel": "version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
             "page.caffemodel": "<html>404</html>", "net.prototxt": NET})
    status, rows = project.table(capsys)
    assert status == 1 and rows["net.prototxt"][0][0] == "reads"
    assert rows["lfs.caffemodel"] == [("change", "a Git LFS pointer in place of the file: "
                                       "git lfs pull")]
    assert "not a caffemodel" in rows["page.caffemodel"][0][1]


@pytest.mark.parametrize("code, why", [
    ("print 'x'", "line 1: not Python 3"), ("import cPickle", "line 1: import cPickle → pickle"),
    ("try:\n    pass\nexcept ValueError, e:\n    pass", "line 3: not Python 3"),
    ("for i in xrange(3):\n    pass", "line 1: xrange → range"),
    ("for k, v in {}.iteritems():\n    pass", ".iteritems → items"),
    ("x = {}.has_key(1)", ".has_key → in"), ("import sys\nprint >>sys.stderr, 1", "line 2: print"),
    ("x = map(str, [1])[0]", "map(...)[i] → list(map(...))[i]"),
    ("x = {1: 2}.keys()[0]", "d.keys()[i]"), ("x = iter([1]).next()", ".next() → next(...)"),
    ("for i in range(7 / 2):\n    pass", "a / b gives a fraction → a // b"),
    ("a = [1]\nn = 2\nb = a[:n / 2]", "line 3: a / b gives a fraction"),
    ("import numpy as np\nx = np.zeros(3, np.float)", "np.float → float"),
    ("from itertools import izip", "itertools.izip → zip"),
    ("import yaml\nx = yaml.load('')", "yaml.load(text) → yaml.safe_load(text)"),
    ("import caffe\ncaffe.set_phase_test()", ".set_phase_test → caffe.Net(file, caffe.TEST)"),
    ("import no_such_module", "the module no_such_module is not installed here")])
def test_old_python_is_found_and_not_run(project, capsys, code, why):
    project({"layer.py": code + "\n"})
    status, rows = project.table(capsys)
    assert status == 1 and all(verdict == "change" for verdict, _ in rows["layer.py"])
    assert why in "\n".join(found for _, found in rows["layer.py"])


@pytest.mark.parametrize("code", [
    "try:\n    import no_such_module\nexcept ImportError:\n    pass",
    "xrange = range\nfor i in xrange(3):\n    pass", "import helpers.one", "raise SystemExit(3)",
    "x = 3 / 2\ny = [1, 2][int(x)]",
    "def f(self):\n    return self.param_str_", "x = {'a': 1}['a']"])
def test_what_is_right_is_left_alone(project, capsys, code):
    project({"script.py": code + "\n", "helpers/one.py": ""})
    status, rows = project.table(capsys)
    assert status == 0 and rows["script.py"] == [("runs", "Python 3")]


def test_the_folder_of_snapshots_is_sought_where_the_solver_finds_its_net(project, capsys):
    project({"fcn8s/net.prototxt": NET, "fcn8s/solver.prototxt":
             'net: "net.prototxt" base_lr: 1 lr_policy: "fixed" snapshot_prefix: "snapshot/train"'})
    _, rows = project.table(capsys)
    assert rows["fcn8s/solver.prototxt"] == [("change", (
        f"snapshot_prefix: there is no folder {project.root / 'fcn8s' / 'snapshot'}; make it, or "
        "correct snapshot_prefix"))]


def test_what_imports_a_file_that_is_to_change_runs_once_that_is_changed(project, capsys):
    project({"surgery.py": "print 'x'", "helper.py": "import surgery", "score.py": "xrange(3)",
             "fcn8s/solve.py": "import sys\nimport caffe\nimport helper, score",
             "fcn8s/net.py": "from . import solve", "fcn8s/other.py": "import caffe",
             "layers.py": LAYER + "\nimport surgery\n", "sound.py": "import json.decoder",
             "tools/json/decoder.py": "print 'not the one that is imported'",
             "net.prototxt": NET + """
                layer { name: "mine" type: "Python" bottom: "fc" top: "mine"
                        python_param { module: "layers" layer: "Mine" } }"""})
    status, rows = project.table(capsys)
    both = "score.py and surgery.py are changed"
    assert status == 1
    assert rows["helper.py"] == rows["layers.py"] == [("runs after", "surgery.py is changed")]
    assert rows["fcn8s/solve.py"] == rows["fcn8s/net.py"] == [("runs after", both)]
    assert rows["fcn8s/other.py"] == rows["sound.py"] == [("runs", "Python 3")]
    assert rows["net.prototxt"] == [
        ("runs after", "surgery.py is changed, for the layer 'mine'")]
    assert project.table.summary == "7 of 10 files need no change"


@pytest.mark.parametrize("code", ["-" * 20000 + "1", "-" * 3000 + "1", "1" + "+1" * 100000,
                                  "x[1" + "+1" * 1500 + "]"])
def test_a_program_that_is_nested_too_deep(project, capsys, code):
    project({"deep.py": code, "last.py": "import __main__"})
    status, rows = project.table(capsys)
    assert rows == {"deep.py": [("change", "nested too deep, or too large, to be read")],
                    "last.py": [("runs", "Python 3")]}
    assert status == 1


def test_folders_without_caffe(tmp_path, capsys):
    assert main(["migrate", str(tmp_path)]) == 1
    assert f"{tmp_path}: expected a Caffe project" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["migrate", str(tmp_path / "absent")])
    assert "absent: no such folder" in capsys.readouterr().err


def test_info_names_the_caffe_that_is_imported_and_others(tmp_path):
    (tmp_path / "caffe").mkdir()
    other = tmp_path / "caffe" / "__init__.py"
    other.write_text("raise SystemExit('the wrong one')")
    package = os.path.dirname(caffe.__file__)
    path = os.pathsep.join([os.path.dirname(package), str(tmp_path)])
    run = subprocess.run([sys.executable, "-m", "caffe", "info"], capture_output=True, text=True,
                         env={**os.environ, "PYTHONPATH": path, "GLOG_minloglevel": "2"})
    assert run.returncode == 0, run.stderr
    shown = dict(line.split(":", 1) for line in run.stdout.splitlines())
    assert shown["caffe"].split() == ["1.0.0,", package]
    assert shown["another caffe"].split()[0] == str(other)
    assert {"Python", "torch", "protobuf", "numpy", "CUDA of torch", "system"} <= set(shown)
    assert any(name.startswith("GPU") for name in shown)
    assert shown["GLOG_minloglevel"].strip() == "2"
