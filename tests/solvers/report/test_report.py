"""The report of a run: what somebody who opens it sees, and that it is the run's."""

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from fcn import nets
from fcn.nets import weighted
from fcn.solvers import report, samples, training
from fcn.solvers.report import charts, gallery, overview
from fcn.solvers.runs import Run
from segdata.errors import UserError


class Page(HTMLParser):
    """text : of the page; sections : {title: text}; sources : of pictures; tags : all of them"""

    VOID = {"meta", "link", "img", "br"}

    def __init__(self, text):
        super().__init__()
        self.tags, self.sources, self.links, self.stack, self.tooltips = [], [], [], [], []
        self.sections, self.title, self.text = {}, "", ""
        self.feed(text)
        assert not self.stack, self.stack

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        found = dict(attributes)
        self.tooltips += [found["title"]] if "title" in found else []
        self.sources += [found["src"]] if "src" in found else []
        self.links += [found["href"]] if "href" in found else []
        if tag not in self.VOID:
            self.stack.append(tag)
        if tag == "h2":
            self.title = ""

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        if "style" in self.stack or not self.stack:
            return
        self.text += f"{data} "
        if self.stack[-1] == "h2":
            self.title += data
        elif self.title:
            self.sections[self.title] = f"{self.sections.get(self.title, '')}{data} "


def read(path):
    return Page(path.read_text(encoding="utf-8"))


def test_the_page_says_what_the_run_has(scored):
    page = read(report.write(scored.run))
    content = json.loads((scored.directory / "score.json").read_text())["labels"]["label"]
    for name in ("mean IU", "pixel accuracy", "mean accuracy", "f.w. IU"):
        assert f"{content[name]:.2f}%" in page.tooltips, name
        shown = re.search(rf"([\d.]+) % {re.escape(name)}", page.text)
        assert float(shown[1]) == pytest.approx(content[name], abs=0.06)
    for name, value in content["class IU"].items():
        if value is not None:
            assert any(tooltip.startswith(f"{name}: IU {value:.2f}%") for tooltip in page.tooltips)
    assert "square 70.0 triangle –" in page.sections["IU of each class"]
    assert list(page.sections) == [
        "Loss", "Mean IU", "Time", "IU of each class", "What is taken for what",
        "Best, median and worst images", "The net", "Configuration"]
    assert "90% of  bar  are taken for  background" in page.text
    assert "validation: 3 at iteration 4" in page.sections["Loss"]
    assert "guessing among 7 classes" in page.sections["Loss"]
    assert "FCN-16s trained for 4 iterations in 4 min" in page.text
    assert "The learning rate was 1e-09 throughout" in page.text and "4 min" in page.text
    for word in ("momentum 0.99", "rate 1e-09, fixed", "head fcn16s", "validation images 2"):
        assert word in page.sections["Configuration"], word


def test_a_rate_that_falls_between_the_rows_of_the_log_is_not_called_steady(scored):
    solver = scored.directory / "solver.prototxt"
    solver.write_text(solver.read_text().replace(
        'lr_policy: "fixed"', 'lr_policy: "multistep" gamma: 0.1 stepvalue: 3'))
    page = read(report.write(scored.run))
    assert "throughout" not in page.text and "Rate" in page.sections
    assert "already" not in page.sections["Configuration"]


def test_a_rate_that_fell_before_the_iteration_of_the_solver_is_told(scored):
    """As in a run that was continued with more iterations than it began with."""
    solver = scored.directory / "solver.prototxt"
    solver.write_text(solver.read_text().replace(
        'lr_policy: "fixed"', 'lr_policy: "multistep" gamma: 0.1 stepvalue: 9'))
    path = scored.directory / "log.csv"
    path.write_text(path.read_text().replace("1e-09", "1e-10"))
    said = read(report.write(scored.run)).sections["Configuration"]
    assert "times 0.1 from iteration 9; but 1e-10 at iteration" in said


@pytest.mark.parametrize("weigh", [
    lambda net, path: weighted.weigh_pixels(net, "weight"),
    lambda net, path: weighted.weigh_classes(
        net, {"label": weighted.write_class_weights(path / "w.binaryproto", [1] * 7)})])
def test_a_loss_that_weighs_pixels_is_not_measured_by_that_of_validation(scored, weigh, tmp_path):
    net = scored.run.net_param("train")
    weigh(net, tmp_path)
    nets.write_prototxt(scored.run.prototxt("train"), net)
    said = read(report.write(scored.run)).sections["Loss"]
    assert "guessing" not in said and "weighs pixels or classes, validation (red) does not" in said


def test_it_needs_nothing_from_elsewhere(scored):
    text = report.write(scored.run).read_text()
    page = Page(text)
    assert "script" not in page.tags and "@import" not in text and "url(" not in text
    assert page.sources and all(source.startswith("data:image/") for source in page.sources)
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", text)


def test_a_training_leaves_its_report(experiment):
    training.train(experiment)
    page = read(experiment.directory / "report.html")
    known = json.loads((experiment.directory / "circumstances.json").read_text())
    assert known["device"] and known["versions"]["torch"]
    for value in (known["device"], known["begun"], known["versions"]["numpy"]):
        assert value in page.sections["Configuration"]
    scores = json.loads((experiment.directory / "score.json").read_text())
    pictures = page.sections["Best, median and worst images"]
    for iou in scores["sample IU"].split():
        assert f"mean IU {float(iou):.1f}%" in pictures
    assert len(page.sources) == 8       # of two samples: input, truth, prediction, errors
    log = (experiment.directory / "log.csv").read_text().splitlines()
    *_, validation, _, per_pixel = log[-1].split(",")
    assert float(validation) == pytest.approx(scores["validation_loss"])
    assert float(per_pixel) == pytest.approx(scores["validation_loss_per_pixel"])


def test_the_net_is_drawn_with_what_the_paper_says_of_it(scored):
    page = read(report.write(scored.run))
    text = re.sub(r"\s+", " ", page.sections["The net"])
    assert "fc6 Convolution + ReLU 7×7" in text
    row = re.search(r"fc7 Convolution \+ ReLU 1×1 (\S+) × 16×16 ([\d,]+) (\d+) ", text)
    assert row[3] == "404"          # PAMI, table 1: rf of FCN-VGG16
    assert int(row[2].replace(",", "")) == int(row[1]) ** 2 + int(row[1])
    assert "pool4 Pooling 2×2, stride 2" in text


def test_without_scores_and_data_it_says_so(scored, tmp_path):
    (scored.directory / "score.json").unlink()
    assert "no scores yet" in read(report.write(scored.run)).text


def test_pictures_of_data_that_are_gone_are_left_out(scored):
    val = scored.run.prototxt("val")
    val.write_text(val.read_text().replace("VOC2011", "gone"))
    page = read(report.write(scored.run))
    assert "Not shown" in page.sections["Best, median and worst images"] and not page.sources


def test_predictions_of_other_scores_are_not_shown(scored):
    path = scored.directory / "score.json"
    path.write_text(path.read_text().replace('"iteration": 4', '"iteration": 3'))
    assert "Not shown" in read(report.write(scored.run)).text


def test_what_cannot_be_drawn_ends_no_training(experiment, monkeypatch, capfd):
    def fail(run):
        raise ValueError("no ink")
    monkeypatch.setattr(report, "write", fail)
    assert training.train(experiment)["label"].mean_iu >= 0
    printed = capfd.readouterr().err
    assert printed.count("tiny: no report: no ink; `fcn report") == 1 and "Traceback" not in printed


@pytest.mark.parametrize("ious, expected", [
    ([10.0, 30.0], [("best", 1), ("median", 0)]),
    ([None, 5.0, None], [("best", 1)]), ([], []), ([None], []),
    ([float(i) for i in range(11)], [*(("best", i) for i in (10, 9, 8)),
                                     *(("median", i) for i in (5, 4, 6)),
                                     *(("worst", i) for i in (0, 1, 2))])])
def test_which_samples_are_shown(ious, expected):
    assert samples.chosen(ious) == expected


def test_a_layer_that_looks_at_the_whole_image_is_said_to(scored):
    path = scored.run.prototxt("deploy")
    path.write_text(path.read_text() + """
        layer { name: "mean" type: "Pooling" bottom: "score" top: "mean"
                pooling_param { pool: AVE global_pooling: true } }
        layer { name: "scaled" type: "Power" bottom: "mean" top: "scaled" }""")
    table = read(report.write(scored.run)).sections["The net"]
    assert table.count("0 whole image") == 2 and "404" in table


def test_all_runs_on_one_page(scored, monkeypatch):
    build = scored.build / "build"
    monkeypatch.setenv("FCN_BUILD", str(build))
    for name in ("tiny", "voc-fcn8s-demo"):
        folder = build / name
        folder.parent.mkdir(exist_ok=True)
        folder.mkdir()
        for path in scored.directory.glob("*.*"):
            (folder / path.name).write_bytes(path.read_bytes())
        (folder / "snapshot").mkdir()
        (folder / "snapshot" / "train_iter_4.caffemodel").touch()
    settings = build / "voc-fcn8s-demo" / "settings.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "data": "seed 0"}))
    path = overview.write([Run(build / "tiny"), Run(build / "voc-fcn8s-demo")])
    page = read(path)
    assert path == build / "report.html"
    assert {"tiny/report.html", "voc-fcn8s-demo/report.html"} <= set(page.links)
    assert all((build / link).exists() for link in page.links if link.endswith("html"))
    assert "seg11valid: mean IU 65.5" in page.text
    content = json.loads((scored.directory / "score.json").read_text())["labels"]["label"]
    assert page.text.count(f"{content['mean IU']:.1f}") >= 2
    own = read(build / "voc-fcn8s-demo" / "report.html")
    assert "seg11valid: mean IU 65.5" in own.text and "its miniature" in own.text


@pytest.mark.parametrize("name, content", [("deploy.prototxt", "layer {"),
                                           ("settings.json", "[1]"), ("classes.txt", "one"),
                                           ("solver.prototxt", None)])
def test_a_damaged_run_keeps_no_other_from_the_page(scored, monkeypatch, capsys, name, content):
    build = scored.build / f"damaged {name}"
    monkeypatch.setenv("FCN_BUILD", str(build))
    shutil.copytree(scored.directory, build / "whole")
    (build / "bad").mkdir(parents=True)
    for path in scored.directory.glob("*.*"):
        shutil.copy(path, build / "bad")
    (build / "bad" / "report.html").unlink(missing_ok=True)
    (build / "bad" / name).unlink()
    if content:
        (build / "bad" / name).write_text(content)
    page = read(overview.write([Run(build / "bad"), Run(build / "whole")]))
    assert "bad: no report: " in (said := capsys.readouterr().err) and name in said
    assert "whole/report.html" in page.links and "bad/report.html" not in page.links
    assert "bad" in page.text


@pytest.mark.parametrize("settings", [{"head": 3}, {"classes": 3}, {"classes": {"label": 3}}])
def test_settings_of_another_version_are_shown(scored, settings):
    path = scored.directory / "settings.json"
    with_settings = {**json.loads(path.read_text()), **settings}
    path.write_text(json.dumps(with_settings))
    assert "Configuration" in read(report.write(scored.run)).sections


def test_without_runs_it_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("FCN_BUILD", str(tmp_path))
    with pytest.raises(UserError, match="Nothing is trained yet under .*fcn demo"):
        overview.write([])


def test_pictures_are_no_larger_than_they_are_shown():
    uri = gallery.data_uri(np.zeros((40, 4000, 3), np.uint8))
    import base64
    import io
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
        assert image.size == (gallery.SIDE, 4)


@pytest.mark.parametrize("iterations, values, logarithmic", [
    (24, (1.9369, 1.9460), True), (24, (1.94496, 1.94556), True), (24, (21000, 38000), True),
    (1, (6e-10, 6e-9), True), (2, (0, 0.57), False), (9, (2, 2 + 1e-9), True)])
def test_the_numbers_on_an_axis_say_where_they_lie(iterations, values, logarithmic):
    points = list(zip((0, iterations), values))
    drawn = charts.lines([charts.Line("loss", points, "loss", True)], "unit", logarithmic)
    places = re.findall(r'y="([\d.]+)" text-anchor="end">([\d.e+-]+)<', drawn)
    heights, labels = np.array([[*map(float, each)] for each in places]).T
    assert len(labels) > 1
    line = np.polyfit(np.log(labels) if logarithmic else labels, heights, 1)
    fitted = np.polyval(line, np.log(labels) if logarithmic else labels)
    np.testing.assert_allclose(heights, fitted, atol=0.3)
    across = re.findall(r'text-anchor="middle">([^<]+)', drawn)
    assert len(set(across)) == len(across) > 1 and all(each.isdecimal() for each in across)


def test_a_run_that_is_not_at_its_end_says_so(scored):
    solver = scored.run.prototxt("solver")
    solver.write_text(solver.read_text().replace("max_iter: 4", "max_iter: 9"))
    assert "FCN-16s trained for 4 of 9 iterations so far in 4 min" in read(
        report.write(scored.run)).text
    scored.run.record_end(4, 2)
    assert "FCN-16s trained for 4 of 9 iterations, where --patience 2 ended it, in 4 min" in read(
        report.write(scored.run)).text


def test_an_update_has_the_images_of_all_its_batches(scored):
    batches = replace(scored, source=scored.source.with_training(batch=3), iter_size=2)
    training.write_files(batches, 0)
    assert "images an update 6" in read(report.write(scored.run)).sections["Configuration"]
