"""Every analysis, run once in small as a command."""

import re

import numpy as np
import pytest

from fcn.analysis import __main__ as command
from fcn.analysis import balancing, stitch, timing
from fcn.analysis.__main__ import QUICK, TRAINING, main

pytestmark = pytest.mark.usefixtures("log_as_it_is")


@pytest.mark.parametrize("names", [("stages", "fusion", "cues"),
                                   pytest.param(TRAINING, marks=pytest.mark.slow)])
def test_what_trains_prints_seeds_mean_paper_and_claims(names, tmp_path, tiny, capsys):
    arguments = [*names, "--seeds", "4", "-o", str(tmp_path)]
    main(arguments)
    tables = capsys.readouterr().out.split("\nmean IU, %")[1:]
    assert len(tables) >= len(names)
    for table in tables:
        lines = [line for line in table.split("\n\n\n")[0].splitlines()[1:] if line]
        assert [line.split("  ")[0] for line in lines[:2]] == ["seed 4", "mean"]
        assert any(re.search(r": seed 4 (yes|no), mean (yes|no)$", line) for line in lines[2:])
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.caffemodel")}
    main([names[0], *arguments[len(names):]])     # takes what is trained as it is
    again = capsys.readouterr().out.split("\nmean IU, %")[1]
    assert again.splitlines()[:5] == tables[0].splitlines()[:5]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.caffemodel")} == written


def test_the_upper_bounds_of_a_folder_of_one_s_own(tmp_path, tiny, capsys):
    main(["upper-bound", "-o", str(tmp_path)])
    first = capsys.readouterr().out
    folder = tmp_path / "seed-0" / "data-voc" / "pascal" / "VOC2011"
    main(["upper-bound", "-o", str(tmp_path / "other"), "--data", str(folder)])
    assert capsys.readouterr().out == first
    assert re.findall(r"^ +(\d+) +\d+\.\d +\d+\.\d$", first, re.M) == [
        "128", "64", "32", "16", "8", "4"]


def test_stitched_and_rarefied_trunks_agree(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(stitch, "CELLS", 1)
    monkeypatch.setattr(stitch, "trunk", lambda name: trunk(name, 1 / 32))
    main(["stitch", "-o", str(tmp_path)])
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if " to " in line]
    rows = [row for row in rows if row[-1].startswith(tuple("0123456789")) and "e" in row[-1]]
    assert len(rows) == 3
    for row in rows:
        assert float(row[-1]) < 1e-4 * float(row[-2]) and float(row[-2]) > 0.1


trunk = stitch.trunk


def test_timing_prints_the_papers_table_beside_what_is_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(timing, "TIMES", 1)
    main(["timing", "--width", "0.03", "-o", str(tmp_path)])
    rows = {line.split()[0]: line.split()[2:] for line in capsys.readouterr().out.splitlines()
            if line.startswith("FCN-")}
    assert rows == {
        "FCN-AlexNet": ["50", "57.0M", "57M", "355", "355", "32", "32", "39.8"],
        "FCN-VGG16": ["210", "134.3M", "134M", "404", "404", "32", "32", "56.0"],
        "FCN-GoogLeNet": ["59", "6.0M", "6M", "715", "907", "32", "32", "42.5"]}


def test_balanced_classes_count_alike_and_the_loss_is_no_smaller():
    shares = np.array([0.8, 0.15, 0.05, 0])
    keep, rate = balancing.weights(shares)
    np.testing.assert_allclose(keep * shares, [0.05, 0.05, 0.05, 0])
    assert keep[3] == 1 and rate == pytest.approx(1 / 0.15)


def test_class_shares_are_those_of_the_labels(tmp_path):
    from segdata.embedded import voc as embedded_voc
    label = np.array([[0, 0, 0, 1], [2, 2, 255, 255]], np.uint8)
    (tmp_path / "img").mkdir()
    (tmp_path / "cls").mkdir()
    for name in "ab":
        embedded_voc.save_sbd(tmp_path, name, np.zeros((2, 4, 3), np.uint8), label)
    np.testing.assert_allclose(balancing.class_shares(tmp_path / "cls", 3), [3 / 6, 1 / 6, 2 / 6])


def test_unknown_names_are_refused(capsys):
    with pytest.raises(SystemExit):
        main(["segments"])
    assert "upper-bound" in capsys.readouterr().err
    assert set(QUICK) & set(TRAINING) == set()
    assert command.__doc__.startswith("The paper's analyses")
