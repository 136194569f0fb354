"""SegNet beside FCN-8s, on a folder of a few images."""

from argparse import Namespace

import numpy as np
from PIL import Image

from fcn.analysis import segnet


def test_both_nets_train_for_their_time_and_a_table_is_printed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(segnet, "STEPS", 1)
    monkeypatch.setattr(segnet, "HEADS", {"SegNet": "segnet-basic", "FCN-8s": "fcn8s"})
    for part in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (tmp_path / "data" / part).mkdir(parents=True)
    for number in range(3):
        label = np.zeros((128, 160), np.uint8)
        label[:, 50 + number:] = 1
        Image.fromarray(label * 100).save(tmp_path / f"data/JPEGImages/{number}.jpg")
        Image.fromarray(label).save(tmp_path / f"data/SegmentationClass/{number}.png")
    for split in ("train", "val"):
        (tmp_path / f"data/ImageSets/Segmentation/{split}.txt").write_text("0\n1\n2\n")
    (tmp_path / "data/classes.txt").write_text("left\nright\n")
    segnet.run(Namespace(data=tmp_path / "data", directory=tmp_path, minutes=1e-9))
    said = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[1:] for line in said.splitlines()[-2:]}
    assert rows["SegNet"][:2] == ["1", "4"] and rows["FCN-8s"][:2] == ["1", "1"]
    weighted = {head: "InfogainLoss" in (tmp_path / f"segnet/{head}/train.prototxt").read_text()
                for head in ("segnet-basic", "fcn8s")}
    assert weighted == {"segnet-basic": True, "fcn8s": False}
