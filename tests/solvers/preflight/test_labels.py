"""Data sets from which nothing good is learnt: solve.py refuses each, and says what mends it."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fcn.nets.source import ROOT, folder
from fcn.solvers import solve
from fcn.solvers.experiments import splits
from fcn.solvers.miniatures import miniature
from fcn.solvers.preflight import PreflightError, report_findings
from fcn.solvers.preflight.labels import of_folder, of_source
from segdata.embedded import nyud as embedded_nyud
from segdata.errors import DataError
from segdata.palette import label_image

TRAIN, VAL = "abcdefghij", "klmno"
SIDE = 48


@pytest.fixture(autouse=True)
def build(tmp_path, monkeypatch):
    monkeypatch.setenv("FCN_BUILD", str(tmp_path / "build"))


@pytest.fixture
def data(tmp_path):
    """A folder with three classes, of which every mask shows all and some void."""
    root = tmp_path / "own data"
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in TRAIN + VAL:
        Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(
            root / f"JPEGImages/{name}.png")
        save(root, name, mask(0, 1, 2, 255))
    for split, names in (("train", TRAIN), ("val", VAL)):
        write_list(root, split, names)
    return root


def mask(*values):
    """Stripes of these values."""
    return np.repeat(np.uint8(values), SIDE // len(values))[:, None].repeat(SIDE, 1)


def save(root, name, values, palette=None):
    image = label_image(values)
    if palette is not None:
        image.putpalette(palette)
    image.save(root / f"SegmentationClass/{name}.png")


def write_list(root, split, names):
    (root / f"ImageSets/Segmentation/{split}.txt").write_text("\n".join(names) + "\n")


def all_masks(*values, names=TRAIN + VAL):
    def damage(root):
        for name in names:
            save(root, name, mask(*values))
    return damage


def of_255(root):
    (root / "classes.txt").write_text("ground\nroad\n")
    all_masks(0, 255)(root)


def of_255_with_a_stray_pixel(root):
    of_255(root)
    values = mask(0, 255)
    values[3, 3] = 1
    save(root, "a", values)


def some_of_255(root):
    all_masks(0, 1)(root)
    all_masks(0, 255, names="abk")(root)


def nearly_all_of_255(root):
    """In a few masks somebody drew some pixels of the right value."""
    all_masks(0, 255)(root)
    for name in "abk":
        values = mask(0, 255)
        values[:5, :5] = 1
        save(root, name, values)


def stray_pixel(root):
    values = mask(0, 1, 2, 255)
    values[5, 5] = 200
    save(root, "c", values)


def rgb(root):
    for name in TRAIN:
        path = root / f"SegmentationClass/{name}.png"
        Image.open(path).convert("RGB").save(path)


def absent_class(root):
    (root / "classes.txt").write_text("sky\nroad\ncar\nunicorn\n")


def fewer_names(root):
    (root / "classes.txt").write_text("sky\nroad\n")


def shared_names(root):
    write_list(root, "val", VAL + "b")


def repeated_names(root):
    write_list(root, "train", TRAIN + "cc")


def same_image(root):
    Image.open(root / "JPEGImages/a.png").save(root / "JPEGImages/k.png", compress_level=1)


def not_finite(root):
    picture = np.ones((SIDE, SIDE), np.float32)
    picture[3, 4] = np.nan
    Image.fromarray(picture).save(root / "JPEGImages/a.png", "TIFF")


def other_palette(root):
    colours = np.asarray(label_image(mask(0)).getpalette()).reshape(-1, 3)
    colours[[1, 2]] = colours[[2, 1]]
    save(root, "d", mask(0, 1, 2, 255), colours.astype(np.uint8).tobytes())


def other_size(root):
    Image.new("RGB", (SIDE, 40)).save(root / "JPEGImages/e.png")


def missing(root):
    (root / "JPEGImages/e.png").unlink()


def truncated(root):
    path = root / "JPEGImages/e.png"
    path.write_bytes(path.read_bytes()[:-60])


def only_in_val(root):
    all_masks(0, 1, 255, names=TRAIN)(root)


BAD = [
    (of_255, "split train show class 0 alone, and 255, which stands for void; whatever a net "
             "answers is right, mean IU 100%.*store 1 in place of 255.*fcn import"),
    (of_255_with_a_stray_pixel, "class 0 alone, but for 1 stray pixel, and 255"),
    (all_masks(1, 255), "class 1 alone, and 255"),
    (all_masks(0, 255, names=VAL), "split val show class 0 alone, and 255"),
    (some_of_255, "2 masks of .* split train have only one class and 255.*seem to have 255 for the "
                  "second class"),
    (nearly_all_of_255, "8 masks of .* split train have only one class and 255"),
    (all_masks(255), "void .255. throughout, so that there is nothing to learn"),
    (all_masks(255, names="cd"), "2 of 10 masks of .* are void .255. throughout: c, d"),
    (all_masks(2), "show class 2 alone; whatever a net answers is right.*label a second class"),
    (stray_pixel, "class 200 has 1 pixel in all, in c, and makes the number of classes 201.*"
                  "no label has 3, 4, 5, 6, 7, and 192 more"),
    (rgb, "10 of 15 samples cannot be used.*its mode is RGB.*and 5 more.*fcn import .*own data"),
    (absent_class, "of the 4 classes of 'label', no label has 3 .unicorn."),
    (only_in_val, "only labels of val have, none of train, 2"),
    (fewer_names, "has values 2, allowed are 0 to 1 and 255.*classes.txt needs a line for each"),
    (shared_names, "1 sample in both lists, train and val.*: b"),
    (repeated_names, "'c' stands already in line 3.*'c' stands already in line 3"),
    (same_image, r"1 image under several names: a \(train\) = k \(val\)"),
    (not_finite, "a.png cannot be read: ValueError: its values are not finite.*the image anew"),
    (other_palette, r"another order than the others': d: the colour \(\d+, \d+, \d+\) is"),
    (other_size, "e.png is 48x40, but .*e.png is 48x48.*export image and mask in one size"),
    (missing, "image .*e.jpg does not exist, .*train.txt:5.*put the file there"),
    (truncated, "e.png cannot be read: OSError.*copy the file anew"),
]


@pytest.mark.parametrize("damage, said", BAD)
def test_the_finding_is_named_with_its_remedy(data, damage, said):
    damage(data)
    with pytest.raises(PreflightError, match="(?s)finding.* before training; --force.*" + said):
        check(data)


def check(data):
    line, found = of_folder(data)
    report_findings(str(data), found)
    return line


def test_what_is_right_has_no_finding(data):
    assert check(data) == f"{data}: 10 for train and 5 for val, 3 classes"
    (data / "classes.txt").write_text("sky\nroad\ncar\n")
    check(data)


def test_several_findings_are_told_at_once(data):
    for damage in shared_names, repeated_names, same_image, other_palette, other_size:
        damage(data)
    with pytest.raises(PreflightError, match="(?s)5 findings.*1\\. .*2\\. .*3\\. .*4\\. .*5\\. "):
        check(data)


@pytest.mark.parametrize("damage, said", BAD)
def test_solve_as_a_command_refuses(data, tmp_path, monkeypatch, damage, said):
    damage(data)
    monkeypatch.setattr(sys, "argv", ["solve", "--data", str(data)])
    with pytest.raises(SystemExit, match="(?s)error: .*finding.* before training.*" + said):
        solve.main()
    assert not list((tmp_path / "build").rglob("*.prototxt"))


def test_solve_in_a_process_of_its_own_ends_with_status_1(data):
    of_255(data)
    result = subprocess.run([sys.executable, "solvers/solve.py", "--data", data], cwd=ROOT,
                            capture_output=True, text=True)
    assert result.returncode == 1 and re.search("(?s)" + BAD[0][1], result.stderr)
    assert "Traceback" not in result.stderr


def test_force_goes_on(data, monkeypatch, capsys):
    shared_names(data)
    arguments = ["solve", "--data", str(data), "--width", "0.02", "--iterations", "1"]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit, match="both lists"):
        solve.main()
    monkeypatch.setattr(sys, "argv", [*arguments, "--force"])
    solve.main()
    printed = capsys.readouterr()
    assert "both lists" in printed.err and "after 1 iterations" in printed.out
    assert "guessing among 3 classes costs ln(3) = 1.099: as expected of scores" in printed.out


def test_images_of_12_bits_in_files_of_16_are_told(data):
    rng = np.random.default_rng(0)
    for name in "ab":
        Image.fromarray(rng.integers(0, 4096, (SIDE, SIDE)).astype(np.uint16)).save(
            data / f"JPEGImages/{name}.png")
    for _ in "read", "known":
        finding, = of_folder(data)[1]
        assert not finding.stops and "multiply the values of all images by 16" in finding.remedy
        assert re.search(r"a\.png: 16 bits with no value above 4,0\d\d of 65,535.*\n.*b\.png: 16",
                         finding.problem)


def of_254(data):
    all_masks(0, 254)(data)


@pytest.mark.parametrize("damage, values", [(of_255, (0, 1)), (of_254, (0, 1)),
                                            (rgb, (0, 1, 2, 255))])
def test_the_command_of_the_remedy_imports_the_masks_and_leaves_them_as_they_are(data, damage,
                                                                                 values):
    damage(data)
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    with pytest.raises(PreflightError) as error:
        check(data)
    assert "python -c" not in str(error.value)
    command = shlex.split(re.search(".*fcn import (?=.*own data).*", str(error.value))[0])
    subprocess.run([sys.executable, "-m", "segdata.importing", *command[2:]], check=True)
    assert before == {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    imported = Path(re.search("Then give --data (.*)", str(error.value))[1].strip("'"))
    check(imported)
    np.testing.assert_array_equal(
        np.asarray(Image.open(imported / "SegmentationClass/a.png")), mask(*values))


def test_files_are_read_again_only_if_they_changed(data, monkeypatch):
    check(data)
    read = []
    look = splits.look_at
    monkeypatch.setattr(splits, "look_at", lambda reader, sample, paths: read.append(sample.name)
                        or look(reader, sample, paths))
    check(data)
    assert not read
    truncated(data)
    with pytest.raises(PreflightError, match="e.png cannot be read"):
        check(data)
    assert read == ["e"]


@pytest.mark.parametrize("change", [
    {"name": 3}, {"pixels": []}, {"pixels": {"label": {"x": "y"}}}, {"colours": {"0": 5}}])
def test_a_damaged_cache_is_read_over(data, tmp_path, change):
    before = check(data)
    for path in (tmp_path / "build/preflight").iterdir():
        samples = json.loads(path.read_text())
        path.write_text(json.dumps([{**sample, **change} for sample in samples]))
    assert check(data) == before


@pytest.mark.parametrize("path", ["JPEGImages", "ImageSets/Segmentation/val.txt"])
def test_a_folder_without_layout_is_told(data, path):
    Path(data / path).rename(data / "gone")
    with pytest.raises(DataError, match="not a complete VOC layout: .* does not exist") as error:
        check(data)
    if path.endswith("val.txt"):
        assert ("val.txt does not exist\nIts labels are recognised: a VOC layout "
                "(SegmentationClass). This makes a complete folder of its images and labels:\n    "
                in str(error.value))


def test_pictures_of_one_bit_and_turned_photographs_are_right(data):
    for name in TRAIN + VAL:
        Image.fromarray(mask(0, 1) > 0).save(data / f"SegmentationClass/{name}.png")
    turned = Image.new("RGB", (SIDE, SIDE // 2))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(data / "JPEGImages/a.png", exif=exif)
    Image.fromarray(mask(0, 1)[:, :SIDE // 2]).save(data / "SegmentationClass/a.png")
    assert check(data).endswith("2 classes")


def test_palettes_of_grey_and_short_palettes_are_no_finding(data):
    Image.fromarray(mask(0, 1, 2, 255)).save(data / "SegmentationClass/a.png")
    save(data, "b", mask(0, 1, 2, 2), np.uint8([[0, 0, 0], [9, 9, 9], [7, 7, 7]]).tobytes())
    check(data)


@pytest.mark.parametrize("name", ["voc-fcn8s", "nyud-fcn32s-color-hha", "siftflow-fcn8s"])
def test_generated_data_of_the_demo_have_no_finding(name, tmp_path):
    experiment = miniature.miniature(name, tmp_path)
    miniature.DATASETS[name.partition("-")[0]][0].generate(
        tmp_path / f"data-{name.partition('-')[0]}", 0, 40, 10)
    assert of_source(experiment.source, experiment.class_names) == []


def test_depth_and_labels_of_matlab_files_are_looked_at(tmp_path):
    experiment = miniature.miniature("nyud-fcn32s-color-d", tmp_path)
    embedded_nyud.generate(tmp_path / "data-nyud", 0, 30, 10)
    depth = sorted((tmp_path / "data-nyud/nyud/data/depth").iterdir())[0]
    Image.new("RGB", (9, 9)).save(depth)
    with pytest.raises(PreflightError, match=f"{depth.name} cannot be read.*16-bit grey"):
        report_findings("nyud", of_source(experiment.source, experiment.class_names))


def test_names_for_fewer_classes_than_the_net_has(data):
    found = of_source(folder(data, 3), {"label": ["sky", "road"]})
    assert "2 names for the 3 classes" in str(found[0])


def test_a_run_does_not_go_on_at_another_rate_unnoticed(data, tmp_path, monkeypatch, capsys):
    def solve_with(*words):
        monkeypatch.setattr(sys, "argv", ["solve", "--data", str(data), "--width", "0.02",
                                          "--interval", "1", *words])
        solve.main()
        return capsys.readouterr()

    solve_with("--iterations", "1", "--lr", "1e-9", "--batch", "2")
    log = tmp_path / "build" / "own data-fcn8s" / "log.csv"
    before = log.read_bytes()
    for words, repeated in [
            ((), "--lr 1e-09 --iterations 1 (--lr and --iterations may have another value)"),
            (("--iterations", "2"), "--lr 1e-09 (--lr may have another value)")]:
        with pytest.raises(SystemExit, match=re.escape(f"repeat {repeated}. Or start anew")):
            solve_with("--batch", "2", *words)
        assert log.read_bytes() == before
    said = solve_with("--iterations", "2", "--lr", "2e-9", "--batch", "2").err
    assert "note: from iteration 1 on base_lr is 2e-09; it was 1e-09" in said
    assert log.read_text().splitlines()[-1].startswith("2,")
