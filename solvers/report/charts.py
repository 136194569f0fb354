"""Charts as SVG and HTML, without scripts; what a mark stands for is in its tooltip."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from fcn.solvers.report.network import LayerRow, side

WIDTH, HEIGHT = 720, 262
LEFT, RIGHT, TOP, BOTTOM = 66, 16, 12, 52
MOST_POINTS = 600           # of a line; of more, each stands for several
NUMBERED = 14               # classes up to which a confusion matrix has its numbers

Points = Sequence[tuple[float, float]]


class Line(NamedTuple):
    """name : in the legend; style : the CSS class; dots : whether each point has a mark"""
    name: str
    points: Points
    style: str
    dots: bool = False


def lines(series: Sequence[Line], unit: str, logarithmic: bool = False, lowest: float | None = None,
          highest: float | None = None, level: tuple[float, str] | None = None) -> str:
    """A chart of lines over the iterations, '' where there is no point. level : a value that is
    drawn across, and its name"""
    series = [line._replace(points=_thinned(line.points)) for line in series if line.points]
    if not series:
        return ""
    values = [y for line in series for _, y in line.points if not logarithmic or y > 0]
    values += [level[0]] if level else []
    if not values:
        return ""
    ends = (min(values) if lowest is None else lowest, max(values) if highest is None else highest)
    vertical = _Axis(*ends, HEIGHT - BOTTOM, TOP, logarithmic)
    last = max(x for line in series for x, _ in line.points)
    across = _Axis(0, last or 1, LEFT, WIDTH - RIGHT, False, padded=False)
    parts = [_grid(across, vertical, unit)]
    if level:
        y = vertical(level[0])
        parts.append(f'<path class="level" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
                     f'<text class="note clear" x="{WIDTH - RIGHT}" y="{y - 5:.1f}" '
                     'text-anchor="end">'
                     f'{escape(level[1])}</text>')
    for line in series:
        points = [(across(x), vertical(y), x, y) for x, y in line.points
                  if not logarithmic or y > 0]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _, _ in points)
        parts.append(f'<polyline class="{line.style}" points="{path}"/>')
        if line.dots or len(points) == 1:
            parts += [f'<circle class="{line.style}" cx="{x:.1f}" cy="{y:.1f}" r="4"><title>'
                      f'{escape(line.name)}: {value:.4g} at iteration {iteration:,.0f}</title>'
                      '</circle>' for x, y, iteration, value in points]
    legend = "".join(f'<span><i class="{line.style}"></i>{escape(line.name)}</span>'
                     for line in series)
    return (f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
            f'{"".join(parts)}</svg><p class="legend">{legend}</p>')


def sparkline(points: Points) -> str:
    """A small line of percentages, from the first to the last, over a line at 0; '' where there
    are not two."""
    if len(points) < 2:
        return ""
    first, last = points[0][0], points[-1][0]
    places = [(4 + 92 * (x - first) / (last - first or 1), 30 - 26 * y / 100)
              for x, y in _thinned(points)]
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    x, y = places[-1]
    return (f'<svg class="spark" viewBox="0 0 100 34" role="img"><path class="grid" d="M4 30H96"/>'
            f'<polyline class="score" points="{drawn}"/>'
            f'<circle class="score" cx="{x:.1f}" cy="{y:.1f}" r="3"/></svg>')


class _Axis:
    """From values to places. Its ticks are round numbers."""

    def __init__(self, low: float, high: float, begin: float, end: float, logarithmic: bool,
                 padded: bool = True) -> None:
        self.logarithmic, self.begin, self.end = logarithmic, begin, end
        if logarithmic:
            low, high = math.log10(low), math.log10(high)
        if high - low < (1e-6 if logarithmic else 1e-12):
            low, high = low - (abs(low) / 2 or 1), high + (abs(high) / 2 or 1)
        space = 0.06 * (high - low) * (logarithmic and padded)
        self.low, self.high = low - space, high + space

    def __call__(self, value: float) -> float:
        value = math.log10(value) if self.logarithmic else value
        return self.begin + (value - self.low) / (self.high - self.low) * (self.end - self.begin)

    def ticks(self) -> list[float]:
        if self.logarithmic and self.high - self.low > 0.6:
            return [m * 10.0 ** e for e in range(math.floor(self.low), math.ceil(self.high) + 1)
                    for m in ((1, 2, 5) if self.high - self.low < 2.5 else (1,))
                    if self.low <= math.log10(m * 10.0 ** e) <= self.high]
        low, high = (10 ** self.low, 10 ** self.high) if self.logarithmic else (self.low, self.high)
        step = 10.0 ** math.floor(math.log10((high - low) / 4))
        step *= next(m for m in (1, 2, 5, 10) if (high - low) / (m * step) <= 5)
        return [number * step for number in range(math.ceil(low / step - 1e-9),
                                                  math.floor(high / step + 1e-9) + 1)]


def _grid(across: _Axis, vertical: _Axis, unit: str) -> str:
    parts = []
    for value in vertical.ticks():
        y = vertical(value)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/><text x="{LEFT - 6}"'
                     f' y="{y + 4:.1f}" text-anchor="end">{value:.10g}</text>')
    for value in across.ticks():
        if value != round(value):       # there is no half iteration
            continue
        x = across(value)
        parts.append(f'<path class="grid" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}"/><text x="{x:.1f}" '
                     f'y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{value:,.0f}</text>')
    parts.append(f'<text class="note" x="{WIDTH - RIGHT}" y="{HEIGHT - 6}" text-anchor="end">'
                 f'iteration</text><text class="note" x="{LEFT}" y="{HEIGHT - 6}">{escape(unit)}'
                 '</text>')
    return "".join(parts)


def _thinned(points: Points) -> Points:
    """At most MOST_POINTS of them, evenly, the last among them."""
    step = math.ceil(len(points) / MOST_POINTS)
    return points if step < 2 else [*points[::step], points[-1]]


def bars(values: Sequence[tuple[str, str, float | None, str]]) -> str:
    """Bars of percentages, of [(name, colour, value, tooltip)]; None: none to show."""
    return '<div class="bars">' + "".join(
        f'<div title="{escape(tooltip)}"><span class="name"><i style="background:{colour}"></i>'
        f'{escape(name)}</span><span class="track"><b style="width:{value or 0:.2f}%"></b></span>'
        f'<span class="value">{"–" if value is None else f"{value:.1f}"}</span></div>'
        for name, colour, value, tooltip in values) + "</div>"


def confusion(matrix: np.ndarray, names: Sequence[str]) -> str:
    """A confusion matrix: of the pixels of each class (a row) the share that is taken for each."""
    count = len(names)
    cell = 40 if count <= NUMBERED else 22 if count <= 30 else 13
    left = 16 + 7 * max(map(len, names))
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    size = count * cell
    parts = [f'<rect class="frame" x="{left}" y="{left}" width="{size}" height="{size}"/>']
    for i, name in enumerate(names):
        place = left + cell * (i + 0.5)
        parts.append(f'<text x="{left - 6}" y="{place + 4:.1f}" text-anchor="end">{escape(name)}'
                     f'</text><text transform="translate({place + 4:.1f} {left - 6}) rotate(-90)">'
                     f'{escape(name)}</text>')
    for i, j in np.argwhere(matrix):
        share, right = float(shares[i, j]), i == j
        x, y = left + cell * j, left + cell * i
        colour = "var(--good)" if right else "var(--bad)"
        parts.append(f'<rect x="{x + 1}" y="{y + 1}" width="{cell - 2}" height="{cell - 2}" '
                     f'fill="{colour}" fill-opacity="{max(0.04, share):.3f}"><title>'
                     f'{escape(names[i])} taken for {escape(names[j])}: {100 * share:.2f}% '
                     f'({int(matrix[i, j]):,} pixels)</title></rect>')
        if count <= NUMBERED and share >= 0.005:
            shade = ' class="light"' if share > 0.55 else ""
            parts.append(f'<text{shade} x="{x + cell / 2}" y="{y + cell / 2 + 4}" '
                         f'text-anchor="middle">{100 * share:.0f}</text>')
    whole = left + size + 4
    return (f'<div class="scroll"><svg class="fixed" width="{whole}" height="{whole}" '
            f'viewBox="0 0 {whole} {whole}" role="img">{"".join(parts)}</svg></div>')


KIND_OF_BOX = {"Input": "input", "Convolution": "convolution", "Pooling": "pooling",
               "Deconvolution": "deconvolution", "Upsample": "deconvolution", "Eltwise": "sum",
               "Concat": "concatenation", "Crop": "crop"}
NAME_OF_BOX = {"input": "input", "convolution": "convolution", "pooling": "pooling",
               "deconvolution": "upsampling", "sum": "sum", "concatenation": "concatenation",
               "crop": "crop", "other": "other"}
STEP, TALL, BELOW = 34, 170, 96         # of the drawing of a net, in pixels


def network(rows: Sequence[LayerRow]) -> str:
    """The net as boxes from left to right: the higher the larger the map, the wider the more
    channels; arcs are what skips layers."""
    shown = [row for row in rows if row.shape]
    if not shown:
        return ""
    number = {id(row): place for place, row in enumerate(shown)}
    largest = max(max(row.shape[2:], default=1) for row in shown)
    boxes, arcs, kinds, middle = [], [], set(), 20 + TALL / 2
    for place, row in enumerate(shown):
        x = 24 + STEP * place
        high = max(6.0, TALL * math.sqrt(max(row.shape[2:], default=1) / largest))
        wide = min(STEP - 8, 4 + 2 * math.log2(max(row.shape[1] if len(row.shape) > 1 else 1, 1)))
        kind = KIND_OF_BOX.get(row.type, "other")
        kinds.add(kind)
        boxes.append(f'<rect class="{kind}" x="{x - wide / 2:.1f}" y="{middle - high / 2:.1f}" '
                     f'width="{wide:.1f}" height="{high:.1f}" rx="2"><title>{escape(row.name)}: '
                     f'{escape(row.type)} {escape(row.what)}, {shape(row)}, '
                     f'{row.parameters:,} parameters</title></rect>'
                     f'<text transform="translate({x - 3} {TALL + 34}) rotate(60)">'
                     f'{escape(row.name)}</text>')
        for bottom in row.bottoms:
            first = number.get(id(rows[bottom]), place)
            if place - first > 1:
                begin, high = 24 + STEP * first, 14 + 62 * math.sqrt((place - first) / len(shown))
                arcs.append(f'<path class="arc {kind}" d="M{begin} 18C{begin + 8} {-high:.0f} '
                            f'{x - 8} {-high:.0f} {x} 18"/>')
    width, height = 60 + STEP * len(shown), TALL + BELOW + 40
    legend = "".join(f'<span><i class="{kind}"></i>{word}</span>'
                     for kind, word in NAME_OF_BOX.items() if kind in kinds)
    return (f'<div class="scroll"><svg class="net" '
            f'style="min-width:{0.7 * width:.0f}px" viewBox="0 -64 {width} {height + 64}" '
            f'role="img"><path class="wire" '
            f'd="M24 {middle}H{24 + STEP * (len(shown) - 1)}"/>{"".join(arcs + boxes)}</svg></div>'
            f'<p class="legend">{legend}</p>')


def shape(row: LayerRow) -> str:
    """64 × 250×250: channels and map."""
    channels, size = [f"{count:,}" for count in row.shape[1:2]], row.shape[2:4]
    return " × ".join([*channels, side((size[0], size[1]))] if len(size) == 2 else channels)
