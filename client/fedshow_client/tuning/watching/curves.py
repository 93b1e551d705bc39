"""Line charts as inline SVG: axes, legend, a text for those who do not see them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 720, 300
LEFT, RIGHT, TOP, BOTTOM = 62, 16, 24, 46
MOST_POINTS = 300
Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """One line of a chart; `style` is its class in the page's style sheet."""

    name: str
    points: Sequence[Point]
    style: str


@dataclass(frozen=True)
class Chart:
    """Lines over steps. `mark` is a step to point at."""

    title: str
    y_label: str
    lines: Sequence[Line]
    mark: int | None = None

    def svg(self) -> str:
        """The chart as one element."""
        frame = _Frame.around([point for line in self.lines for point in line.points])
        parts = [*_axes(frame, self.y_label), *_mark(frame, self.mark)]
        parts += [_drawn(frame, line) for line in self.lines]
        return (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
            f"<title>{escape(self._said())}</title>{''.join(parts)}</svg>{self._legend()}"
        )

    def _said(self) -> str:
        said = [
            f"{line.name} from {_number(line.points[0][1])} to {_number(line.points[-1][1])}"
            for line in self.lines
        ]
        return f"{self.title}: {'; '.join(said)}"

    def _legend(self) -> str:
        entries = [
            f'<li><svg class="key" viewBox="0 0 28 10" aria-hidden="true">'
            f'<path class="{line.style}" d="M0 5H28"/></svg> {escape(line.name)}</li>'
            for line in self.lines
        ]
        return f'<ul class="legend">{"".join(entries)}</ul>'


@dataclass(frozen=True)
class _Frame:
    """Where values lie on the drawing."""

    x_ticks: list[float]
    y_ticks: list[float]

    @classmethod
    def around(cls, points: Sequence[Point]) -> "_Frame":
        xs, ys = zip(*points, strict=True)
        return cls(ticks(min(0, *xs), max(xs)), ticks(min(ys), max(ys)))

    def at(self, x: float, y: float) -> Point:
        """Pixels from the left and from above."""
        return (
            LEFT + (WIDTH - LEFT - RIGHT) * _share(x, self.x_ticks),
            HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * _share(y, self.y_ticks),
        )


def _share(value: float, found: list[float]) -> float:
    return (value - found[0]) / (found[-1] - found[0])


def ticks(low: float, high: float) -> list[float]:
    """Round numbers, evenly spaced, from one at or below `low` to one at or above `high`."""
    span = (high - low) or abs(high) or 1.0
    size = 10 ** math.floor(math.log10(span / 4))
    step = next(size * factor for factor in (1, 2, 5, 10) if span / (size * factor) <= 5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * index, 12) for index in range(first, max(last, first + 1) + 1)]


def smoothed(values: Sequence[float]) -> list[Point]:
    """Values over their step (from 1), each the mean of the last twentieth, at most 300 points."""
    window = max(1, len(values) // 20)
    sums = [0.0]
    for value in values:
        sums.append(sums[-1] + value)
    found = []
    for step in _spread(len(values)):
        start = max(0, step - window)
        found.append((float(step), (sums[step] - sums[start]) / (step - start)))
    return found


def thinned(values: Sequence[float]) -> list[Point]:
    """Values over their step (from 1), at most 300 of them."""
    return [(float(step), values[step - 1]) for step in _spread(len(values))]


def _spread(count: int) -> list[int]:
    every = max(1, math.ceil((count - 1) / (MOST_POINTS - 1)))
    return sorted({*range(1, count + 1, every), count})


def _axes(frame: _Frame, y_label: str) -> Iterator[str]:
    (left, bottom), (right, top) = (
        frame.at(frame.x_ticks[0], frame.y_ticks[0]),
        frame.at(frame.x_ticks[-1], frame.y_ticks[-1]),
    )
    for value in frame.y_ticks:
        y = frame.at(0, value)[1]
        yield f'<path class="grid" d="M{left:.1f} {y:.1f}H{right:.1f}"/>'
        yield f'<text x="{left - 8:.1f}" y="{y + 4:.1f}" class="end">{_number(value)}</text>'
    for value in frame.x_ticks:
        x = frame.at(value, frame.y_ticks[0])[0]
        yield f'<text x="{x:.1f}" y="{bottom + 20:.1f}" class="middle">{_number(value)}</text>'
    yield f'<path class="axis" d="M{left:.1f} {top:.1f}V{bottom:.1f}H{right:.1f}"/>'
    yield f'<text x="{(left + right) / 2:.1f}" y="{HEIGHT - 8}" class="middle">step</text>'
    middle = (top + bottom) / 2
    yield (
        f'<text transform="translate(14 {middle:.1f}) rotate(-90)" class="middle">'
        f"{escape(y_label)}</text>"
    )


def _mark(frame: _Frame, step: int | None) -> Iterator[str]:
    if step is not None:
        x, bottom = frame.at(step, frame.y_ticks[0])
        yield f'<path class="mark" d="M{x:.1f} {TOP}V{bottom:.1f}"/>'
        yield f'<text x="{x:.1f}" y="{TOP - 8}" class="middle">kept</text>'


def _drawn(frame: _Frame, line: Line) -> str:
    pixels = [frame.at(x, y) for x, y in line.points]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in pixels)
    dots = [f'<circle class="{line.style}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in pixels]
    return f'<path class="{line.style}" d="M{path}"/>{"".join(dots) if len(dots) <= 20 else ""}'


def _number(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
