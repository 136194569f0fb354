"""The pages in Chromium: they render at both widths, without errors and without overflow."""

import re

import numpy as np
import pytest

from browser import Browser, needs_chromium
from fcn.solvers import report
from fcn.solvers.report import overview

pytestmark = [pytest.mark.browser, needs_chromium]


@pytest.fixture(scope="module")
def browser():
    with Browser() as found:
        yield found


@pytest.fixture
def pages(scored, monkeypatch):
    """{name: file} of the page of a run and of that over all runs."""
    monkeypatch.setenv("FCN_BUILD", str(scored.build))
    scored.run.weights(4).touch()
    path = scored.directory / "log.csv"     # with a second score: one has no curve
    path.write_text(re.sub(r"(?m)^(2,[^,]*,[^,]*,),", r"\g<1>30.0,", path.read_text()))
    return {"run": report.write(scored.run), "all": overview.write([scored.run])}


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", ["run", "all"])
def test_a_page_renders(name, width, browser, pages):
    browser.messages.clear()
    browser.open(pages[name].as_uri(), width)
    assert browser.messages == []
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate("document.querySelectorAll('section').length") == \
        {"run": 8, "all": 1}[name]
    assert browser.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    heights = browser.evaluate(
        "[...document.querySelectorAll('svg')].map(each => each.getBoundingClientRect().height)")
    assert heights and min(heights) > 20
    outside = browser.evaluate(     # what sticks out of the page, unless it can be scrolled to
        "[...document.querySelectorAll('main *')].filter(each => !each.closest('.scroll') && "
        "each.getBoundingClientRect().right > document.documentElement.clientWidth + 1).length")
    assert outside == 0


@pytest.mark.parametrize("width", [1280, 400])
def test_no_number_of_a_chart_is_cut(width, browser, scored):
    """The last of the iterations is long, and the text of a telephone large."""
    path = scored.directory / "log.csv"
    path.write_text(path.read_text().replace("\n4,", "\n100000,"))
    browser.open(report.write(scored.run).as_uri(), width)
    sides = browser.evaluate("""[...document.querySelectorAll('svg.chart text')].map(each => {
        const text = each.getBoundingClientRect(), chart = each.closest('section');
        const whole = chart.getBoundingClientRect();
        const seen = getComputedStyle(each.closest('svg')).overflow === 'visible' ? whole
            : each.closest('svg').getBoundingClientRect();
        return [text.left - seen.left, seen.right - text.right];
    })""")
    assert len(sides) > 10 and np.min(sides) >= 0


def test_a_link_leads_to_the_report(browser, pages):
    browser.open(pages["all"].as_uri(), 1280)
    assert browser.evaluate("document.querySelector('table a').href") == pages["run"].as_uri()
