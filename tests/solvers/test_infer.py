"""infer.py on every kind of image, as a command and in its parts."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import caffe
from fcn import nets
from fcn.nets.source import ROOT, nyud, siftflow
from fcn.solvers import infer
from fcn.solvers.console.errors import RunError
from fcn.solvers.inference import network, outputs, photographs, sources
from fcn.solvers.inference.errors import InferError
from fcn.solvers.inference.segmenter import Segmenter
from fcn.solvers.runs import all_runs
from fcn.solvers.runs.images import Images
from fcn.solvers.runs.run import Run
from infer_runs import run
from segdata.files import WriteError

pytestmark = pytest.mark.usefixtures("log_as_it_is")
COLOUR = Images()


def small_net(folder, **options):
    """The path of a narrow FCN-32s in a folder, with its val.prototxt and random w.caffemodel."""
    for split in ("val", "deploy"):
        nets.write_prototxt(folder / f"{split}.prototxt", nets.fcn(
            "fcn32s", split, width=1 / 64, filler="msra", **options))
    net = folder / "deploy.prototxt"
    caffe.Net(str(net), caffe.TEST).save(str(folder / "w.caffemodel"))
    return net


def segmenter(net, **options):
    return Segmenter(net, net.with_name("w.caffemodel"), **options)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    net = small_net(folder)
    return ["--net", str(net), "--weights", str(folder / "w.caffemodel")]


def photograph(height=23, width=31):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def test_several_images_and_folders_are_segmented(model, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.fromarray(photograph()).save(tmp_path / folder / "same.png")
    Image.fromarray(photograph(40, 17)).save(tmp_path / "b" / "other.jpg")
    result = run(tmp_path / "a", tmp_path / "b" / "same.png", tmp_path / "b" / "other.jpg",
                 *model, "-o", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "same.png", "same_overlay.png", "same_2.png", "same_2_overlay.png",
        "other.png", "other_overlay.png"}
    label = Image.open(tmp_path / "out" / "other.png")
    assert label.mode == "P" and label.size == (17, 40)
    assert "background" in result.stdout and "100.0%" in result.stdout


def test_a_broken_image_does_not_stop_the_others(model, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    Image.fromarray(photograph()).save(tmp_path / "good.png")
    result = run(tmp_path / "broken.jpg", tmp_path / "missing.png", tmp_path / "good.png", *model,
                 "-o", tmp_path / "out")
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "broken.jpg" in result.stderr and "missing.png: no such file" in result.stderr
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"good.png", "good_overlay.png"}


def test_help_needs_no_torch():
    code = ("import sys; sys.argv = ['infer.py', '--help']; from fcn.solvers import infer\n"
            "try: infer.main()\nexcept SystemExit as end: assert end.code == 0\n"
            "assert 'torch' not in sys.modules")
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, stdout=subprocess.DEVNULL,
                   env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})


def test_no_input_is_overwritten(tmp_path):
    for name in ("a.png", "b.jpg", "c_overlay.png"):
        (tmp_path / name).touch()
    paths = [*sources.find([str(tmp_path)])[0], tmp_path / "x" / "A.png",
             tmp_path / "x" / "c.jpg"]
    named = outputs.name_outputs(paths, tmp_path, [".png", "_overlay.png"], [])
    assert [stem.name for _, stem in named] == ["a_2", "b", "c_overlay_2", "A_3", "c_2"]


def test_an_empty_folder_is_an_error_of_its_own(tmp_path):
    assert sources.find([str(tmp_path)]) == ([], [f"{tmp_path}: a folder without images"])


def test_a_failed_write_leaves_nothing(varied, tmp_path, monkeypatch):
    """Neither half a file, nor one of two."""
    def fail(image, path):
        path.write_bytes(b"half")
        if "overlay" in path.name:
            raise OSError("disk full")
    monkeypatch.setattr(outputs.marks, "save", fail)
    (tmp_path / "out").mkdir()
    writes = outputs.Outputs(["mask", "overlay"], outputs.Look(0.5, False), {})
    result = segmenter(varied / "deploy.prototxt")(photograph())
    with pytest.raises(WriteError, match="a_overlay.png: cannot be written: disk full"):
        writes.write(tmp_path / "out" / "a", tmp_path / "a.jpg", result)
    assert not list((tmp_path / "out").iterdir())


def test_a_caffemodel_is_no_net(model):
    result = run("x.png", "--net", model[-1], "--weights", model[-1])
    assert "not a prototxt of a net: it is a binary file, such as a caffemodel" in result.stderr


@pytest.mark.parametrize("args, words", [
    (["--net", "a.prototxt"], "go together"),
    (["--net", "a.prototxt", "--weights", "b"], "a.prototxt: no such file")])
def test_nets_that_cannot_be_used(tmp_path, args, words):
    result = run("x.png", *args)
    assert result.returncode == 1 and words in result.stderr and "Traceback" not in result.stderr


def test_nothing_trained_names_the_demo(tmp_path, monkeypatch):
    monkeypatch.setenv("FCN_BUILD", str(tmp_path))
    with pytest.raises(InferError, match="fcn demo.*fcn solve --data FOLDER"):
        network.choose()


def test_the_net_trained_last_is_taken_or_the_run_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FCN_BUILD", str(tmp_path))
    for age, name in enumerate(("old", "demo/new", "without-deploy")):
        snapshot = tmp_path / name / "snapshot" / "train_iter_1.caffemodel"
        snapshot.parent.mkdir(parents=True)
        for path in (snapshot, snapshot.with_suffix(".solverstate")):
            path.touch()
            os.utime(path, (9 - age,) * 2)      # as if the clock had been set back
        if age < 2:
            (tmp_path / name / "deploy.prototxt").touch()
    new = tmp_path / "demo" / "new"
    chosen = new / "deploy.prototxt", new / "snapshot" / "train_iter_1.caffemodel", COLOUR
    def choose(**options):
        return network.choose(**options)[:3]
    assert choose()[0] == tmp_path / "old" / "deploy.prototxt"
    assert "2 runs, which do not say when they were trained, the last by name" in (
        capsys.readouterr().out)
    all_runs.take_turn(Run(tmp_path / "old"))
    all_runs.take_turn(Run(new))
    assert choose() == chosen
    assert f"{new}: of 2 runs the one that was begun or continued last" in capsys.readouterr().out
    all_runs.take_turn(Run(tmp_path / "old"))
    assert choose()[0] == tmp_path / "old" / "deploy.prototxt"
    (tmp_path / "old" / "turn.txt").write_bytes(b"\xff\0" + b"9" * 5_000)
    assert choose() == chosen
    for name in ("old", str(tmp_path / "old")):
        assert choose(run=name)[0] == tmp_path / "old" / "deploy.prototxt"
    with pytest.raises(RunError, match="no run 'other'.* Trained are: old, new"):
        choose(run="other")


def test_a_finished_run_goes_before_one_that_is_not(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FCN_BUILD", str(tmp_path))

    def begin(name, iteration, most):
        run = Run(tmp_path / name)
        run.folder.mkdir(parents=True)
        run.weights(iteration).touch()
        run.prototxt("deploy").touch()
        run.prototxt("solver").write_text(f"max_iter: {most}")
        all_runs.take_turn(run)
        return run

    def taken():
        return network.choose().run.directory.relative_to(tmp_path), capsys.readouterr().out
    begin("early", 3, 9)
    assert taken() == (Path("early"), f"{tmp_path / 'early'}: the only run, not finished yet "
                       "(--experiment chooses another)\n")
    begin("mine", 9, 9)
    demo = begin("demo/voc-fcn32s-demo", 5, 9)
    name, said = taken()
    assert name == Path("mine") and said == (
        f"{tmp_path / 'mine'}: the only finished run; {demo.directory}, which began later, is not "
        "finished (--experiment chooses another)\n")
    demo.record_end(5, patience=2)
    name, said = taken()
    assert name == Path("demo/voc-fcn32s-demo")
    assert "of 2 finished runs the one that was begun or continued last (" in said


def test_an_image_of_12_bits_in_a_file_of_16_is_told_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(photographs, "_told", [])
    grey = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    for name, scale in (("a.tif", 16), ("b.tif", 1), ("c.png", 1)):
        Image.fromarray(grey * scale).save(tmp_path / name)
        photographs.read_image(tmp_path / name)
    said = capsys.readouterr().err
    assert said.count("warning") == 1
    assert f"{tmp_path / 'b.tif'}: 16 bits with no value above 4,095 of 65,535, as of a " in said
    assert "multiply the values of all images by 16" in said
    with pytest.raises(InferError, match=r"uint16 .*of 16 bits: \(array / 257\)"):
        photographs.to_image(grey)


def test_of_a_folder_in_voc_layout_the_photographs_are_taken(tmp_path):
    for name in ("JPEGImages/a.jpg", "SegmentationClass/a.png", "b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert sources.find([str(tmp_path)]) == ([tmp_path / "JPEGImages" / "a.jpg"], [])


def test_what_the_tool_wrote_itself_is_not_taken(model, tmp_path):
    """Whatever it wrote, and however the files are named: a second run gives the same files."""
    Image.fromarray(photograph()).save(tmp_path / "a.jpg")
    Image.fromarray(photograph()).save(tmp_path / "b_overlay.png")
    for kinds in ((), ("--mask",), ("--overlay", "--json")):
        assert run(tmp_path, *model, *kinds, "-o", tmp_path).returncode == 0
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(written) == {"a.jpg", "b_overlay.png", "a.png", "a_overlay.png", "a.json",
                            "b_overlay_overlay.png", "b_overlay.json", "b_overlay_2.png"} | {
                                "b_overlay_2_overlay.png"}
    assert run(tmp_path / "*", *model, "-o", tmp_path).returncode == 0
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == written
    result = run(tmp_path / "a.png", *model, "-o", tmp_path / "out")
    assert result.returncode == 1 and "what this tool wrote itself is left out" in result.stderr


def test_weights_of_another_net_are_refused(model, tmp_path):
    other = tmp_path / "other.prototxt"
    other.write_text("""
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 3 dim: 9 dim: 9 } } }
layer { name: "another" type: "Convolution" bottom: "data" top: "score"
  convolution_param { num_output: 2 kernel_size: 1 } }
""")
    with pytest.raises(RunError, match="has no weights for the layers of .*another"):
        Segmenter(other, model[3])


def test_a_net_without_scores_per_pixel_is_refused(tmp_path):
    deploy = tmp_path / "deploy.prototxt"
    for name, words in (("score", "has the shape .1, 2, 21, 29. for an image of .23, 31."),
                        ("prob", "no blob 'score'")):
        deploy.write_text(f"""
layer {{ name: "data" type: "Input" top: "data"
  input_param {{ shape {{ dim: 1 dim: 3 dim: 9 dim: 9 }} }} }}
layer {{ name: "{name}" type: "Convolution" bottom: "data" top: "{name}"
  convolution_param {{ num_output: 2 kernel_size: 3 weight_filler {{ type: "msra" }} }} }}
""")
        caffe.Net(str(deploy), caffe.TEST).save(str(tmp_path / "w.caffemodel"))
        with pytest.raises(InferError, match=words):
            segmenter(deploy)(photograph())


@pytest.mark.parametrize("value, expected", [(0, 0), (200, 1), (32896, 128), (65535, 255)])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_scaled_to_eight(tmp_path, suffix, value, expected):
    path = tmp_path / f"grey.{suffix}"
    Image.fromarray(np.full((4, 6), value, np.uint16)).save(path)
    assert np.all(np.asarray(photographs.read_image(path)) == expected)


@pytest.mark.parametrize("kind, values", [
    (np.float32, (0.0, 0.5, 1.0)), (np.float32, (-3.0, -1.0, 1.0)),
    (np.int32, (0, 1_000_000_000, 2_000_000_000))])
def test_other_numbers_are_stretched_over_their_range(tmp_path, kind, values):
    path = tmp_path / "grey.tif"
    Image.fromarray(np.array([values], kind)).save(path)
    assert np.asarray(photographs.read_image(path))[0, :, 0].tolist() == [0, 128, 255]


def test_values_that_are_not_finite_are_refused(tmp_path):
    Image.fromarray(np.array([[0, np.nan]], np.float32)).save(tmp_path / "grey.tif")
    with pytest.raises(InferError, match="grey.tif: .*not finite"):
        photographs.read_image(tmp_path / "grey.tif")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_every_mode_becomes_the_same_white(tmp_path, mode):
    grey = Image.new("L", (6, 4), 255)
    image = (Image.fromarray(np.full((4, 6), 65535, np.uint16)) if mode == "I;16"
             else grey.convert("RGB").convert(mode) if mode in ("CMYK", "YCbCr", "RGBA")
             else grey.convert(mode))
    path = tmp_path / "image.tif"
    image.save(path)
    read = photographs.read_image(path)
    assert read.mode == "RGB" and read.size == (6, 4)
    assert np.asarray(read).min() >= 254


def test_transparency_is_white_and_cameras_are_turned(tmp_path):
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert np.asarray(photographs.read_image(tmp_path / "clear.png")).min() == 255
    exif = Image.Exif()
    exif[0x0112] = 6        # turned by a quarter
    Image.fromarray(photograph(10, 20)).save(tmp_path / "turned.jpg", exif=exif)
    assert photographs.read_image(tmp_path / "turned.jpg").size == (10, 20)


def test_a_net_sees_what_it_saw_in_training(tmp_path):
    """SIFT Flow's has a mean of its own, and two labels, of which the first is given."""
    net = small_net(tmp_path, source=siftflow(classes=4, geometric=2))
    segment = segmenter(net)
    label = segment(photograph()).labels
    assert label.shape == (23, 31) and label.dtype == np.uint8
    assert segment.network.blob == "score_sem" and len(segment.names) == 4
    bgr_mean = np.float32([114.578, 115.294, 108.353]).reshape(3, 1, 1)
    np.testing.assert_allclose(segment.network.net.blobs["data"].data[0],
                               photograph()[..., ::-1].transpose(2, 0, 1) - bgr_mean, atol=1e-5)


def test_depth_and_hha_are_taken_beside_the_images(tmp_path):
    (tmp_path / "net").mkdir()
    net = small_net(tmp_path / "net", source=nyud(("color", "hha"), classes=3), fusion="late")
    model = ("--net", net, "--weights", net.with_name("w.caffemodel"), "-o", tmp_path / "out")
    for folder in ("images", "hha"):
        (tmp_path / folder).mkdir()
        for name in "ab":
            Image.fromarray(photograph()).save(tmp_path / folder / f"{name}.png")
    (tmp_path / "hha" / "b.png").unlink()
    result = run(tmp_path / "images", "--hha", tmp_path / "hha", *model)
    assert result.returncode == 1 and "hha/b.png: no such file" in result.stderr
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"a.png", "a_overlay.png"}
    for files, words in (((), "takes color and hha: give --hha or --depth"),
                         (("--hha", tmp_path / "hha" / "a.png"), "2 images take a folder")):
        result = run(tmp_path / "images", *files, *model)
        assert result.returncode == 1 and words in result.stderr and "Trace" not in result.stderr


def test_a_net_of_other_inputs_is_refused(tmp_path):
    net = small_net(tmp_path)
    chosen = network.Chosen(net, net.with_name("w.caffemodel"), Images(("color", "depth")))
    with pytest.raises(InferError, match="channels {'data': 3}, .*take color .3., depth .1."):
        network.Network(chosen)


def test_class_names(tmp_path):
    deploy = tmp_path / "deploy.prototxt"
    for count, number, name in ((21, 15, "person"), (40, 39, "other prop"), (33, 27, "sky"),
                                (60, 59, "wood")):
        assert network.class_names(deploy, count)[number] == name
    assert network.class_names(deploy, 3) == ["class0", "class1", "class2"]
    (tmp_path / "classes.txt").write_text("a\nb\nc\n")
    assert network.class_names(deploy, 3) == ["a", "b", "c"]
    with pytest.raises(InferError, match="classes.txt: 3 names for 4 classes"):
        network.class_names(deploy, 4)
    (tmp_path / "classes.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(InferError, match="classes.txt"):
        network.class_names(deploy, 3)


def scores_of(net, weights, image):
    """The scores (classes, height, width) of a photograph, uint8 RGB, computed by hand."""
    made = caffe.Net(str(net), str(weights), caffe.TEST)
    bgr = image[..., ::-1].transpose(2, 0, 1) - np.reshape([104.00699, 116.66877, 122.67892],
                                                           (3, 1, 1))
    made.blobs["data"].reshape(1, *bgr.shape)
    made.blobs["data"].data[...] = bgr
    made.forward()
    return made.blobs["score"].data[0].copy()


@pytest.fixture
def varied(tmp_path):
    """A folder with a net that says three classes, by the colours of a pixel, and its weights."""
    folder = tmp_path / "varied"
    folder.mkdir()
    (folder / "deploy.prototxt").write_text("""
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 3 dim: 9 dim: 9 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "score"
  convolution_param { num_output: 4 kernel_size: 1 } }
""")
    net = caffe.Net(str(folder / "deploy.prototxt"), caffe.TEST)
    net.params["conv"][0].data[...] = np.random.default_rng(1).normal(size=(4, 3, 1, 1))
    net.params["conv"][1].data[...] = [0, 1, 2, -1e4]       # the last class never wins
    net.save(str(folder / "w.caffemodel"))
    (folder / "classes.txt").write_text("background\nleaf\nroot\nnever\n")
    return folder


def test_the_png_has_the_class_of_the_highest_score_and_the_shares_are_its_own(varied, tmp_path):
    image = photograph()
    Image.fromarray(image).save(tmp_path / "image.png")
    result = run(tmp_path / "image.png", "--net", varied / "deploy.prototxt", "--weights",
                 varied / "w.caffemodel", "-o", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    expected = scores_of(varied / "deploy.prototxt", varied / "w.caffemodel", image).argmax(0)
    assert set(np.unique(expected)) == {0, 1, 2}
    with Image.open(tmp_path / "out" / "image.png") as label:
        np.testing.assert_array_equal(np.asarray(label), expected)
        palette = np.reshape(label.getpalette(), (-1, 3))
    np.testing.assert_array_equal(palette[:4], [(0, 0, 0), (128, 0, 0), (0, 128, 0),
                                                (128, 128, 0)])     # VOC's
    printed = dict(line.split() for line in result.stdout.splitlines() if line.startswith("    "))
    assert printed == {name: f"{(expected == number).mean():.1%}"
                       for number, name in enumerate(("background", "leaf", "root"))}
    blended = np.where((expected == 0)[..., None], image,      # the background stays clear
                       0.45 * image + 0.55 * palette[expected])
    with Image.open(tmp_path / "out" / "image_overlay.png") as overlaid:
        np.testing.assert_allclose(np.asarray(overlaid)[:image.shape[0], :image.shape[1]], blended,
                                   atol=1)


def test_a_photograph_of_another_size_follows_at_its_own_size(varied, tmp_path):
    for name, size in (("a", (23, 31)), ("b", (12, 40)), ("c", (23, 31))):
        Image.fromarray(np.random.default_rng(ord(name)).integers(
            0, 256, (*size, 3), np.uint8)).save(tmp_path / f"{name}.png")
    assert run(*(tmp_path / f"{name}.png" for name in "abc"), "--net", varied / "deploy.prototxt",
               "--weights", varied / "w.caffemodel", "-o", tmp_path / "out").returncode == 0
    for name in "abc":
        with Image.open(tmp_path / f"{name}.png") as image:
            expected = scores_of(varied / "deploy.prototxt", varied / "w.caffemodel",
                                 np.asarray(image)).argmax(0)
        with Image.open(tmp_path / "out" / f"{name}.png") as label:
            np.testing.assert_array_equal(np.asarray(label), expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_an_error_and_nothing_is_written(varied, tmp_path, value):
    net = caffe.Net(str(varied / "deploy.prototxt"), str(varied / "w.caffemodel"), caffe.TEST)
    net.params["conv"][1].data[1] = value
    net.save(str(varied / "spoilt.caffemodel"))
    Image.fromarray(photograph()).save(tmp_path / "image.png")
    result = run(tmp_path / "image.png", "--net", varied / "deploy.prototxt", "--weights",
                 varied / "spoilt.caffemodel", "-o", tmp_path / "out")
    assert result.returncode == 1 and "Traceback" not in result.stderr
    for words in ("image.png", "deploy.prototxt", "spoilt.caffemodel", "not finite"):
        assert words in result.stderr
    assert not list((tmp_path / "out").iterdir()) and "->" not in result.stdout


def test_layers_that_the_weights_leave_to_their_fillers_are_named(varied, tmp_path):
    deploy = varied / "deploy.prototxt"
    deploy.write_text(deploy.read_text().replace('top: "score"', 'top: "conv"') + """
layer { name: "more" type: "Convolution" bottom: "conv" top: "score"
  convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: "msra" } } }
""")
    Image.fromarray(photograph()).save(tmp_path / "image.png")
    result = run(tmp_path / "image.png", "--net", deploy, "--weights", varied / "w.caffemodel",
                 "-o", tmp_path / "out")
    assert result.returncode == 0 and "warning: " in result.stderr
    assert "fillers made them: more" in result.stderr
    net = network.load_net(deploy, varied / "w.caffemodel")
    assert np.abs(net.params["more"][0].data).max() < 10    # the mark is gone


def test_a_bug_keeps_its_traceback(varied, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("a bug")
    monkeypatch.setattr(Segmenter, "batch", fail)
    monkeypatch.setattr(sys, "argv", ["infer", str(varied / "x.png"), "--net",
                                      str(varied / "deploy.prototxt"), "--weights",
                                      str(varied / "w.caffemodel"), "-o", str(tmp_path)])
    Image.fromarray(photograph()).save(varied / "x.png")
    with pytest.raises(RuntimeError, match="a bug"):
        infer.main()


def test_no_table_of_experiments_is_loaded_to_segment_an_image(varied, tmp_path):
    Image.fromarray(photograph()).save(tmp_path / "image.png")
    code = ("import sys; from fcn.solvers import infer; sys.argv = ['infer', *sys.argv[1:]]\n"
            "infer.main()\n"
            "loaded = {'fcn.solvers.experiments.table', 'matplotlib'} & set(sys.modules)\n"
            "assert not loaded, loaded")
    subprocess.run([sys.executable, "-c", code, tmp_path / "image.png", "--net",
                    varied / "deploy.prototxt", "--weights", varied / "w.caffemodel", "-o",
                    tmp_path / "out"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL,
                   env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})


def test_that_class_names_are_a_guess_is_said(varied, tmp_path):
    Image.fromarray(photograph()).save(tmp_path / "image.png")
    arguments = (tmp_path / "image.png", "--net", varied / "deploy.prototxt", "--weights",
                 varied / "w.caffemodel", "-o", tmp_path / "out")
    assert "class names" not in run(*arguments).stderr
    (varied / "classes.txt").unlink()
    assert "by their number, 4: 'class0' to 'class3'" in run(*arguments).stderr
