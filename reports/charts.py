"""Charts as inline SVG, without a script: bars along a scale, and small multiples over time.

Widths and places are percentages and text keeps its size, so a chart reads the same on paper and on a phone.
Colours come from the page's variables (`STYLE`), light and dark. Each chart has a title and a description for
people who listen to it, and every figure is also there as text.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from typing import Final, Literal

from reports.figures import Moment, Timeline

Tone = Literal["plain", "open", "click", "buy", "leave"]

STYLE: Final = """
svg.chart { display: block; width: 100%; overflow: visible; font: inherit; }
svg.chart text { fill: var(--ink); font-size: 14px; }
svg.chart .quiet { fill: var(--quiet); font-size: 12.5px; }
svg.chart .figure { font-weight: 600; font-variant-numeric: tabular-nums; }
svg.chart .track { fill: var(--track); }
svg.chart .machine { fill: var(--machine); }
svg.chart .axis { stroke: var(--line); }
svg.chart .plain { fill: var(--plain); } svg.chart .open { fill: var(--open); }
svg.chart .click { fill: var(--click); } svg.chart .buy { fill: var(--buy); }
svg.chart .leave { fill: var(--leave); }
"""
_ROW_PX, _LABEL_PX, _BAR_PX = 46, 17, 14
_STRIP_PX, _STRIP_BARS_PX = 74, 42


@dataclass(frozen=True, slots=True)
class Bar:
    """One labelled bar; `machine` is a thin grey one below it on the same scale. `code` is left out on a phone."""

    label: str
    value: float
    shown: str
    note: str = ""
    code: str = ""
    machine: float = 0
    tone: Tone = "plain"


def bars(title: str, rows: Sequence[Bar], *, scale: float | None = None) -> str:
    """Bars under each other, each with its label above it and its figure at the right end.

    `scale` is the value that fills the width; the largest value when absent.
    """
    full = scale or max((max(row.value, row.machine) for row in rows), default=0) or 1
    drawn = "".join(_bar(row, place * _ROW_PX, full) for place, row in enumerate(rows))
    described = "; ".join(f"{row.label}: {row.shown}" + (f" ({row.note})" if row.note else "") for row in rows)
    return _chart(title, described, len(rows) * _ROW_PX, drawn)


def _bar(row: Bar, top: int, full: float) -> str:
    base = top + _LABEL_PX - 3
    note = f'<tspan class="quiet" dx="8">{escape(row.note)}</tspan>' if row.note else ""
    code = f'<tspan class="quiet code" dx="8">{escape(row.code)}</tspan>' if row.code else ""
    return (
        f'<text x="0" y="{base}">{escape(row.label)}{note}{code}</text>'
        f'<text class="figure" x="100%" y="{base}" text-anchor="end">{escape(row.shown)}</text>'
        + _pair(row.value, row.machine, full, row.tone, top + _LABEL_PX + 6, _BAR_PX)
    )


def _pair(value: float, machine: float, full: float, tone: Tone, y: int, height: int) -> str:
    """The people's bar over its track, and the machines' thin one below it when there were any."""
    thin = height // 3 if machine > 0 else 0
    return (
        f'<rect class="track" x="0" y="{y}" width="100%" height="{height}" rx="2"/>'
        + _rect(tone, 0, _percent(value, full), y, height - thin - bool(thin))
        + _rect("machine", 0, _percent(machine, full), y + height - thin, thin)
    )


def _percent(value: float, full: float) -> float:
    """The width of `value`; what is not nothing stays visible."""
    return max(0.4, min(100.0, 100 * value / full)) if value > 0 else 0.0


def _rect(style: str, x: float, width: float, y: float, height: float, title: str = "") -> str:
    if width <= 0 or height <= 0:
        return ""
    words = f"<title>{escape(title)}</title>" if title else ""
    place = f'x="{x:.2f}%" y="{y:g}" width="{width:.2f}%" height="{height:.4g}" rx="2"'
    return f'<rect class="{style}" {place}>{words}</rect>' if words else f'<rect class="{style}" {place}/>'


def small_bar(value: float, full: float, machine: float = 0, tone: Tone = "click") -> str:
    """A bar for a table's cell; the cell beside it has the figure, so it is hidden from screen readers."""
    height = 11
    drawn = _pair(value, machine, full or 1, tone, 0, height)
    return f'<svg class="chart" height="{height}" aria-hidden="true">{drawn}</svg>'


_STRIPS: Final[tuple[tuple[str, Tone, Callable[[Moment], int]], ...]] = (
    ("Accepted", "plain", lambda moment: moment.accepted),
    ("Opened first", "open", lambda moment: moment.opened_human),
    ("Clicked first", "click", lambda moment: moment.clicked_human),
    ("Converted", "buy", lambda moment: moment.converted),
    ("Unsubscribed", "leave", lambda moment: moment.unsubscribed),
)


def timeline(title: str, course: Timeline, local: Callable[[datetime], datetime]) -> str:
    """One strip of bars per kind of happening, each on a scale of its own, all over the same stretch of time.

    `local` gives an instant in the zone its readers live in.
    """
    strips = [
        (label, tone, [number_of(moment) for moment in course.moments])
        for label, tone, number_of in _STRIPS
        if any(number_of(moment) for moment in course.moments)
    ]
    begins = [_moment_name(local(moment.begin), course.step) for moment in course.moments]
    return strips_of(title, strips, begins)


def strips_of(title: str, strips: Sequence[tuple[str, Tone, Sequence[int]]], begins: Sequence[str]) -> str:
    """Strips of bars under each other: label, tone and numbers of each, one number for each of `begins`."""
    drawn = "".join(
        _strip(label, tone, numbers, begins, place * _STRIP_PX) for place, (label, tone, numbers) in enumerate(strips)
    )
    height = len(strips) * _STRIP_PX
    drawn += f'<text class="quiet" x="0" y="{height + 10}">{escape(begins[0])}</text>'
    if len(begins) > 1:
        drawn += f'<text class="quiet" x="100%" y="{height + 10}" text-anchor="end">{escape(begins[-1])}</text>'
    described = "; ".join(
        f"{label}: {sum(numbers):,}, at most {max(numbers):,} at a time" for label, _, numbers in strips
    )
    return _chart(title, described, height + 16, drawn)


def _strip(label: str, tone: Tone, numbers: Sequence[int], begins: Sequence[str], top: int) -> str:
    highest, width, floor = max(numbers), 100 / len(numbers), top + 20 + _STRIP_BARS_PX
    drawn = "".join(
        _rect(tone, place * width + width * 0.08, width * 0.84, floor - height, height, f"{begin}: {number:,}")
        for place, (begin, number) in enumerate(zip(begins, numbers, strict=True))
        if (height := max(1.5, _STRIP_BARS_PX * number / highest) if number else 0)
    )
    return (
        f'<text x="0" y="{top + 13}">{escape(label)}</text>'
        f'<text class="figure" x="100%" y="{top + 13}" text-anchor="end">{sum(numbers):,}</text>'
        f"{drawn}"
        f'<line class="axis" x1="0" x2="100%" y1="{floor + 0.5}" y2="{floor + 0.5}"/>'
    )


def _moment_name(at: datetime, step: timedelta) -> str:
    if step >= timedelta(days=1):
        return at.strftime("%-d %b %Y")
    return at.strftime("%-d %b, %H:%M:%S" if step < timedelta(minutes=1) else "%-d %b, %H:%M")


def step_name(step: timedelta) -> str:
    """The length of a stretch in words, for example `15 minutes`."""
    for unit, seconds in (("week", 604800), ("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        number, left = divmod(int(step.total_seconds()), seconds)
        if number and not left:
            return f"{number} {unit}" if number == 1 else f"{number} {unit}s"
    return str(step)


def _chart(title: str, described: str, height: int, drawn: str) -> str:
    name = "chart-" + "".join(char if char.isalnum() else "-" for char in title.lower())  # unique in its page
    return (
        f'<svg class="chart" role="img" height="{height}" aria-labelledby="{name}-title {name}-desc">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(described)}</desc>'
        f"{drawn}</svg>"
    )
