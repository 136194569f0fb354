"""The page of `fcn page` in Chromium: a photograph goes in, what the net says comes out."""

import base64
import os
import threading
import time

import numpy as np
import pytest
from PIL import Image

from browser import Browser, needs_chromium
from fcn import Segmenter
from fcn.page import page
from fcn.page.server import address, server
from fcn.solvers.inference.network import choose
from infer_runs import scene
from page_runs import skip_run
from segdata.inputs import Inputs

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("log_as_it_is"),
              needs_chromium]

PATIENCE = 120      # seconds
ROUNDING = 1e-4     # of the largest score: what tells two runtimes apart
READY = "document.querySelector('#status').textContent === 'Ready.'"
DONE = "globalThis.shown?.file.name === '{}' && !document.querySelector('.busy')"
LABELS = "btoa(String.fromCharCode(...shown.labels['{}']))"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return skip_run(tmp_path_factory.mktemp("browser") / "leaves")


@pytest.fixture(scope="module")
def url(run):
    """Where the page of the run is served."""
    folder = run.parent / "page"
    page.write(choose(run=run), folder, 96)
    with server(folder) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield address(found)
        found.shutdown()


@pytest.fixture(scope="module")
def browser():
    with Browser() as found:
        yield found


def wait_for(browser, expression):
    """Until an expression in the page is true."""
    end = time.monotonic() + PATIENCE
    while not browser.evaluate(expression):
        status = browser.evaluate("document.querySelector('#status').textContent")
        assert time.monotonic() < end, (expression, status, browser.messages)
        time.sleep(0.1)


def choose_file(browser, path):
    """Give the page's file input a file, as a person does."""
    found = browser("Runtime.evaluate", expression="document.querySelector('#file')")
    browser("DOM.setFileInputFiles", files=[str(path)], objectId=found["result"]["objectId"])


def photograph(path, height, width):
    image = scene(height, width)
    Image.fromarray(image).save(path)
    return image


@pytest.mark.parametrize("width", [1280, 390])
def test_a_photograph_is_segmented_as_by_infer(width, browser, url, run, tmp_path):
    browser.messages.clear()
    browser.open(url, width)
    wait_for(browser, READY)
    image = photograph(tmp_path / f"leaf{width}.png", 61, 84)
    choose_file(browser, tmp_path / f"leaf{width}.png")
    wait_for(browser, DONE.format(f"leaf{width}.png"))
    labels = np.frombuffer(base64.b64decode(browser.evaluate(LABELS.format("score"))), np.uint8)
    segmenter = Segmenter(run)
    expected = segmenter(image)
    assert len(np.unique(expected.labels)) > 2
    different = labels.reshape(61, 84) != expected.labels
    scores = scores_of(segmenter, image)
    first, second = np.sort(scores, 0)[:-3:-1]
    near = first - second <= ROUNDING * np.abs(scores).max()
    print(f"{different.sum()} of {different.size} labels differ, {near.sum()} may")
    assert not (different & ~near).any() and different.sum() <= 5
    shown = browser.evaluate("document.querySelector('#result').innerText")
    for name, share in expected.shares:
        assert name in shown and f"{share:.1%}" in shown
    assert "84 × 61 pixels, its own size" in shown
    assert browser.evaluate("document.querySelectorAll('#stages canvas').length") == 3
    coarse = base64.b64decode(browser.evaluate(LABELS.format("score/stride32")))
    assert len(coarse) == 61 * 84 and coarse != labels.tobytes()
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.messages == []
    if "FCN_SCREENSHOTS" in os.environ:
        browser.screenshot(os.path.join(os.environ["FCN_SCREENSHOTS"], f"page-{width}.png"))


def scores_of(segmenter, image):
    """(classes, height, width), as the engine computes them."""
    takes = segmenter.chosen.inputs
    made = Inputs(takes.kinds, takes.mean, {"depth": None, "hha": None})
    return segmenter.network.scores([segmenter.photograph(image, made).arrays[0][None]])[0].copy()


def test_a_large_photograph_is_scaled_down_and_what_is_none_is_said(browser, url, tmp_path):
    browser.messages.clear()
    browser.open(url, 1280)
    wait_for(browser, READY)
    photograph(tmp_path / "large.png", 100, 240)
    choose_file(browser, tmp_path / "large.png")
    wait_for(browser, DONE.format("large.png"))
    assert "96 × 40 pixels, scaled down from 240 × 100" in browser.evaluate(
        "document.querySelector('#caption').textContent")
    (tmp_path / "letter.png").write_text("dear")
    choose_file(browser, tmp_path / "letter.png")
    wait_for(browser, "document.querySelector('#status').className === 'bad'")
    assert "letter.png is no image" in browser.evaluate(
        "document.querySelector('#status').textContent")
    assert browser.messages == []


def test_a_page_opened_as_a_file_says_what_to_do(browser, url, run):
    browser.open((run.parent / "page" / "index.html").as_uri(), 390)
    status = "document.querySelector('#status').innerText"
    wait_for(browser, f"{status} !== ''")
    assert "Open this page through a server: fcn page NAME --serve" in browser.evaluate(status)
    shown = browser.evaluate("document.body.innerText")     # nothing that only scripts fill
    assert "Longer side" not in shown and "About this net" not in shown
    assert browser.evaluate("document.documentElement.scrollWidth") <= 390
