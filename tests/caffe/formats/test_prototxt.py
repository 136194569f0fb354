"""Prototxts as files: what is read, and where errors say they are."""

import pytest

from caffe.errors import PrototxtError
from caffe.formats import prototxt

LAYER = 'layer {\n  name: "a"\n  type: "ReLU"\n'


def test_read_net_upgrades(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text('# a comment\nname: "n" input: "x" input_shape { dim: 2 }')
    param = prototxt.read_net(str(path))
    assert param.name == "n" and param.layer[0].type == "Input"


def test_read_solver_upgrades(tmp_path):
    path = tmp_path / "solver.prototxt"
    path.write_text("solver_type: ADAM base_lr: 0.5")
    param = prototxt.read_solver(str(path))
    assert (param.type, param.base_lr) == ("Adam", 0.5)


@pytest.mark.parametrize("text, line, column, complaint", [
    (LAYER + '  botom: "x"\n}', 4, 3, "LayerParameter has no field 'botom'.*'bottom'"),
    (LAYER + '  relu_param { negativ_slope: 1 }\n}', 4, 16, "ReLUParameter.*'negative_slope'"),
    (LAYER + '  bottom "x"\n}', 4, 10, "x"),
    (LAYER + '  pooling_param { pool: MAXIMUM }\n}', 4, 25, "has no value 'MAXIMUM' .did you mean"),
    (LAYER + '  top: "x\n}', 4, 8, ""),
    (LAYER, 3, None, "Is the } missing of 'layer', which begins on line 1"),
    (LAYER + "}\n  relu_param { }\n}", 5, 3, "LayerParameter has it: was 'layer' closed too early, "
                                           "by the } of line 4"),
    (LAYER + LAYER, 4, 1, "NetParameter has it: is the } missing of 'layer', which begins on"),
    (LAYER + "}\n}", 5, 1, "'layer' was closed on line 4 already: is a } before it one too many"),
])
def test_a_prototxt_that_does_not_parse(tmp_path, text, line, column, complaint):
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    place = f"net.prototxt:{line}:{column or ''}"
    with pytest.raises(PrototxtError, match=f"{place}.*{complaint}"):
        prototxt.read_net(str(path))


def test_an_empty_file_is_no_net(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text("# nothing\n")
    with pytest.raises(PrototxtError, match="net.prototxt: the file is empty"):
        prototxt.read_net(str(path))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(PrototxtError, match="absent.prototxt: no such file"):
        prototxt.read_net(str(tmp_path / "absent.prototxt"))


def test_a_file_that_is_not_text(tmp_path):
    path = tmp_path / "image.prototxt"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\xff")
    with pytest.raises(PrototxtError, match=r"image.prototxt:1:1: .*\\x89PNG"):
        prototxt.read_net(str(path))
    with pytest.raises(PrototxtError, match="is a folder, not a prototxt"):
        prototxt.read_net(str(tmp_path))
