"""The report of a run: what somebody who opens it sees, and that it is the run's."""

import base64
import io
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
from fcn.solvers import report, training
from fcn.solvers.experiments.experiment import with_options
from fcn.solvers.report import charts, gallery, network, overview
from fcn.solvers.runs.run import Run
from fcn.solvers.scoring import samples
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
        data = data.replace("\N{NO-BREAK SPACE}", " ")
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
        title = "frequency-weighted IU" if name == "f.w. IU" else name
        shown = re.search(rf"([\d.]+) % {title}", page.text)
        assert float(shown[1]) == pytest.approx(content[name], abs=0.06)
    for name, value in content["class IU"].items():
        if value is not None:
            assert any(tooltip.startswith(f"{name}: IU {value:.2f}%") for tooltip in page.tooltips)
    assert "square 70.0 triangle –" in page.sections["IU of each class"]
    assert list(page.sections) == [
        "Loss", "Mean IU", "Time", "IU of each class", "What is taken for what",
        "Validation images", "The net", "Configuration"]
    mistakes = re.sub(r"\s+", " ", page.sections["What is taken for what"])
    assert "The classes most often mistaken: 90% of bar are taken for background ;" in mistakes
    # 40 of 10 + 40 + 5 + 25 + 30 + 9 wrong ones, though bar and ring are mistaken more often
    assert "The mistake with the most pixels: 34% of all wrong pixels are disc taken for " \
        "background ." in mistakes
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
    pictures = page.sections["Validation images"]
    shown = [float(iou) for iou in re.findall(r"mean IU ([\d.]+)%", pictures)]
    expected = sorted(map(float, scores["sample IU"].split()), reverse=True)
    assert shown == pytest.approx(expected, abs=0.06)
    assert "All that have labels, by the mean IU of the image, the best first" in pictures
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
    assert "Not shown" in page.sections["Validation images"] and not page.sources


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
    ([10.0, 30.0], [("", 1), ("", 0)]),
    ([None, 5.0, None], [("", 1)]), ([], []), ([None], []),
    ([float(i) for i in range(9)], [("", i) for i in range(9)][::-1]),
    ([float(i) for i in range(11)], [*(("best", i) for i in (10, 9, 8)),
                                     *(("median", i) for i in (6, 5, 4)),
                                     *(("worst", i) for i in (2, 1, 0))])])
def test_which_samples_are_shown(ious, expected):
    assert samples.chosen(ious) == expected


def test_of_many_images_the_best_the_middle_and_the_worst_are_shown_in_order(scored, monkeypatch):
    uri = gallery.data_uri(np.zeros((4, 4, 3), np.uint8))
    ious = [30.0, 90.0, 10.0, 70.0, 50.0, 20.0, 80.0, 40.0, 60.0, 5.0, 15.0, 25.0]
    monkeypatch.setattr(gallery, "pictures", lambda run, names: [
        gallery.Picture(kind, f"image{number}", ious[number], {"input": uri}, set())
        for kind, number in samples.chosen(ious)])
    said = re.sub(r"\s+", " ", read(report.write(scored.run)).sections["Validation images"])
    assert "The 3 that the net segments best, 3 in the middle and the 3 worst, by the mean" in said
    assert re.findall(r"Best|Median|Worst|[\d.]+%", said) == [
        "Best", "90.0%", "80.0%", "70.0%", "Median", "40.0%", "30.0%", "25.0%",
        "Worst", "15.0%", "10.0%", "5.0%"]


def test_void_has_the_colour_that_it_has_in_overlays(scored):
    page = read(report.write(scored.run))
    truth = page.sources[1]
    with Image.open(io.BytesIO(base64.b64decode(truth.partition(",")[2]))) as image:
        colours = {colour for _, colour in image.convert("RGB").getcolors()}
    assert (224, 224, 192) in colours and (255, 255, 255) not in colours
    assert "cream is void" in page.sections["Validation images"]


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


def test_a_training_that_was_stopped_before_its_first_line_says_what_its_snapshot_says(
        experiment, monkeypatch):
    """The log has a line every 20 iterations; Ctrl-C at the 6th leaves a snapshot and no line."""
    stopped = replace(experiment, iterations=60)
    training.write_files(stopped, 0)
    stopped.run.record_settings(**stopped.settings())
    stopped.run.weights(6).touch()
    assert "trained for 6 of 60 iterations so far" in read(report.write(stopped.run)).text
    monkeypatch.setenv("FCN_BUILD", str(stopped.build))
    assert "not scored yet 6 – –" in read(overview.write([stopped.run])).text


def test_the_bold_loss_is_the_mean_of_the_last_ten(scored):
    """And not a mean in which the first image counts for long."""
    lines = [f"{20 * i},{loss},{loss},,1e-9,{60 * i},,{loss},"
             for i, loss in enumerate([1.0, *[100.0] * 10], 1)]
    path = scored.directory / "log.csv"
    path.write_text("\n".join([path.read_text().splitlines()[0], *lines]) + "\n")
    text = report.write(scored.run).read_text()
    heights = [float(point.split(",")[1]) for point in
               re.search(r'<polyline class="mean" points="([^"]+)"', text)[1].split()]
    raw = [float(point.split(",")[1]) for point in
           re.search(r'<polyline class="loss" points="([^"]+)"', text)[1].split()]
    assert heights[0] == raw[0] and heights[-1] == raw[-1] != heights[-2]
    said = Page(text).sections["Loss"]
    assert "the bold one the mean of the last 10 of these" in said and "mean of the last 10" in said


@pytest.mark.parametrize("policy, at", [
    ('lr_policy: "multistep" gamma: 0.1 stepvalue: 3', 3),
    ('lr_policy: "step" gamma: 0.1 stepsize: 3', 3),
    ('lr_policy: "fixed"', 2)])         # of a run that went on with another: it is not known where
def test_a_rate_that_is_lowered_is_drawn_as_a_step_where_that_was(scored, policy, at):
    solver = scored.directory / "solver.prototxt"
    solver.write_text(solver.read_text().replace('lr_policy: "fixed"', policy))
    path = scored.directory / "log.csv"
    head, *rows = path.read_text().splitlines()
    path.write_text("\n".join([head, *(row.replace("1e-09", "1e-10") if row[0] == "4" else row
                                       for row in rows if row[0] in "124")]) + "\n")
    drawn = re.search(r'<polyline class="rate" points="([^"]+)"', report.write(scored.run)
                      .read_text())[1]
    points = [tuple(map(float, point.split(","))) for point in drawn.split()]
    assert all(a[0] == b[0] or a[1] == b[1] for a, b in zip(points, points[1:]))
    drop, = (a[0] for a, b in zip(points, points[1:]) if a[1] != b[1])
    right = charts.WIDTH - charts.RIGHT
    assert drop == pytest.approx(charts.LEFT + at / 4 * (right - charts.LEFT), abs=0.1)


def test_a_rate_that_falls_all_the_time_is_no_staircase(scored):
    solver = scored.directory / "solver.prototxt"
    solver.write_text(solver.read_text().replace('lr_policy: "fixed"', 'lr_policy: "poly" power: 1'
                                                 ))
    path = scored.directory / "log.csv"
    text = path.read_text()
    for iteration in "234":
        text = re.sub(rf"(?m)^({iteration},.*)1e-09", rf"\g<1>{10 - int(iteration)}e-10", text)
    path.write_text(text)
    drawn = re.search(r'<polyline class="rate" points="([^"]+)"', report.write(scored.run)
                      .read_text())[1]
    assert len(drawn.split()) == 4


@pytest.mark.parametrize("head, there, missing", [
    ("unet", "concatenation", "sum"), ("fcn16s", "sum", "concatenation")])
def test_the_legend_of_the_drawn_net_has_what_the_net_has(head, there, missing, tmp_path):
    drawing, _ = drawn_net(head, tmp_path)
    legend = read_text(drawing)
    assert f" {there} " in legend and missing not in legend
    assert f'<rect class="{there}"' in drawing


def test_a_layer_that_only_gives_a_size_is_said_to(tmp_path):
    _, rows = drawn_net("unet", tmp_path)
    assert rows["inside"].what == "only its size is used, by Crop"
    assert rows["conv_d0a-b"].what == "3×3"


def drawn_net(head, folder):
    """The drawing of a net, and {name: row}."""
    import caffe
    param = nets.fcn(head, "deploy", width=1 / 64)
    net = caffe.Net(str(nets.write_prototxt(folder / "deploy.prototxt", param)), caffe.TEST)
    rows = network.rows(param, net)
    return charts.network(rows), {row.name: row for row in rows}


def read_text(fragment):
    """What can be read in a piece of a page that is no tooltip."""
    return Page(re.sub(r"<title>.*?</title>|<text.*?</text>", "", f"<p>{fragment}</p>")).text


def test_the_configuration_has_each_setting_once_and_explains_it(scored):
    asked = with_options(scored, options={"lr": 1e-9, "iterations": 4},
                         net={**scored.net, "scale": 1 / 58})
    (scored.directory / "settings.json").unlink()
    scored.run.record_settings(**asked.settings())
    said = read(report.write(scored.run)).sections["Configuration"]
    assert "--" not in said and said.count("iterations 4") == 1
    assert "filler msra (how the first weights are drawn: at random" in said
    assert "scale 0.0172414 (what images are multiplied by, after the mean is subtracted)" in said
    assert "width 0.015625 (times the channels of the published net)" in said


@pytest.mark.parametrize("points, shown", [
    ([], 0), ([(60, 40.0)], 0), ([(60, 0.0), (60, 100.0)], 2), ([(30, 0.0), (60, 100.0)], 2)])
def test_the_small_curve_goes_from_the_first_score_to_the_last(points, shown):
    """One score is no curve; two fill the cell."""
    places = re.findall(r"[\d.]+,[\d.]+", charts.sparkline(points))
    assert len(places) == shown
    if points[:1] == [(30, 0.0)]:
        assert places == ["4.0,30.0", "96.0,4.0"]


def test_times_are_not_broken_within(scored, monkeypatch):
    monkeypatch.setenv("FCN_BUILD", str(scored.build))
    path = scored.directory / "log.csv"
    path.write_text(path.read_text().replace("240.0", "187.0"))
    scored.run.weights(4).touch()
    pages = [report.write(scored.run), overview.write([scored.run])]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert "3\N{NO-BREAK SPACE}min\N{NO-BREAK SPACE}7\N{NO-BREAK SPACE}s" in text
        assert "3 min" not in text


def test_the_weighted_iu_is_explained_on_each_page(scored, monkeypatch):
    monkeypatch.setenv("FCN_BUILD", str(scored.build))
    for page in (report.write(scored.run), overview.write([scored.run])):
        text = read(page).text
        assert "f.w." not in text
        assert ("Frequency-weighted IU is the mean of the classes' IU, each weighted by its share "
                "of the pixels in the labels.") in text
