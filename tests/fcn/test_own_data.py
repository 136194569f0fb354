"""Every command of docs/own-data.md does what the page says."""

import re
import shlex
import shutil

import numpy as np
import pytest
from PIL import Image

import caffe
import label_forms
from fcn import nets
from fcn.command import main
from fcn.nets.source import ROOT
from label_forms import put
from segdata.download import catalog
from segdata.embedded import voc as embedded_voc

COMMANDS = re.findall(r"^    (fcn (?:import|solve|infer) .*)$",
                      (ROOT / "docs" / "own-data.md").read_text(), re.M)


def binary(root):
    for _, name in label_forms.samples():
        put(label_forms.photograph(name), root / "images" / f"{name}.jpg")
        put(Image.fromarray(np.where(label_forms.truth(name) == 2, 255, 0).astype(np.uint8)),
            root / "masks" / f"{name}.png")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folders that the page names."""
    root = tmp_path_factory.mktemp("own")
    forms = {"photos": "index", "camvid": "colours", "coloured": "colours", "coco": "coco",
             "labelme": "labelme", "cvat": "cvat", "cvat-masks": "cvat_masks", "voc": "voc",
             "roboflow-coco": "roboflow_coco", "roboflow-masks": "roboflow_masks",
             "cityscapes": "cityscapes", "several": "coco"}
    for name, form in forms.items():
        label_forms.FORMS[form](root / name)
    label_forms.labelme(root / "several")
    binary(root / "binary")
    with pytest.MonkeyPatch.context() as small:
        small.setattr(embedded_voc, "SCENE_SIDE", (40, 48))
        for name, classes in (("scenes", embedded_voc.CLASSES), ("others", "abcdefg")):
            embedded_voc.generate(root / name, train=1, val=12)
            (root / name / "pascal" / "VOC2011" / "classes.txt").write_text("\n".join(classes))
    (root / "coloured" / "label_colors.txt").unlink()
    shutil.copy(root / "camvid" / "label_colors.txt", root / "my_colours.txt")
    shutil.copytree(root / "coco", root / "coco-images")
    shutil.rmtree(root / "coco-images" / "annotations")
    return root


def test_the_page_runs(folder, monkeypatch, capsys, log_as_it_is):
    """In order, for later commands use what earlier ones have written."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("FCN_BUILD", str(folder / "build"))
    monkeypatch.setattr("sys.argv", ["restored afterwards"])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr(catalog, "missing", lambda name: None)
    monkeypatch.setattr(catalog, "path", lambda name: folder / f"{name}.caffemodel")
    caffe.Net(str(nets.write_prototxt(folder / "c.prototxt", nets.classifier(
        "vgg16", width=0.02, filler="msra"))), caffe.TEST).save(str(catalog.path("vgg16")))
    before = label_forms.snapshot(folder)
    assert "fcn import photos mydata" in COMMANDS, "what this prints is on the page, too"
    for command in COMMANDS:
        _, name, *arguments = shlex.split(command)
        small = ["--width", "0.02", "--iterations", "1"] if name == "solve" else []
        small += ["--force"] * bool({"many", "few"} & {*arguments} and small)   # too few scenes
        assert main([name, *arguments, *small]) == 0, command
        printed = capsys.readouterr().out
        if name == "import":
            assert (folder / arguments[1] / "report" / "report.txt").exists()
        if command == "fcn import photos mydata":
            page = (ROOT / "docs" / "own-data.md").read_text()
            shown = re.search(r"^    photos: masks.*?--data mydata$", page, re.M | re.S)[0]
            assert re.sub(r"\S*fcn solve", "fcn solve", printed).rstrip() == \
                re.sub(r"^    ", "", shown, flags=re.M)
    assert len(COMMANDS) > 20
    assert {path: content for path, content in label_forms.snapshot(folder).items()
            if path in before} == before
