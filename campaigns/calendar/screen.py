"""The calendar as lines of text: for the screen, and for the weekly mail."""

from collections.abc import Iterator, Mapping
from typing import Final

from campaigns.calendar import words
from campaigns.calendar.entries import Calendar, Certainty, Day, Entry, Window

_MARKS: Final[Mapping[Certainty, str]] = {Certainty.MEASURED: "", Certainty.ESTIMATED: "~", Certainty.UNKNOWN: "?"}


def lines(calendar: Calendar) -> Iterator[str]:
    """Each day on which something happens, its sum, and a line for each thing; `~` marks estimates."""
    window = calendar.window
    first, last = calendar.days[0].date, calendar.days[-1].date
    yield f"From {first:%a %Y-%m-%d} to {last:%a %Y-%m-%d}, by the clock of {window.zone}"
    for day in calendar.days:
        if day.entries:
            yield ""
            yield from _day(day, window)
    if not any(day.entries for day in calendar.days):
        yield ""
        yield "Nothing is planned."
    for remark in calendar.remarks:
        yield ""
        yield remark
    if any(entry.certainty is not Certainty.MEASURED for day in calendar.days for entry in day.entries):
        yield ""
        yield "~ estimated from what is known now; ? nobody can tell yet. Other numbers were counted."


def _day(day: Day, window: Window) -> Iterator[str]:
    total = words.mails(day)
    yield f"{day.date:%a %Y-%m-%d}" + (f"  {total}" if total else "")
    rows = [_cells(entry, window) for entry in day.entries]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for hours, number, kind, name, told in rows:
        yield f"  {hours:<{widths[0]}}  {number:>{widths[1]}}  {kind:<{widths[2]}}  {name:<{widths[3]}}  {told}"


def _cells(entry: Entry, window: Window) -> tuple[str, str, str, str, str]:
    remark = words.remark(entry)
    number = _number(entry.count, _MARKS[entry.certainty])
    told = f"{entry.what} ({remark})" if remark else entry.what
    return words.hours(entry, window), number, entry.kind.value, entry.name, told


def _number(count: int | None, mark: str) -> str:
    return mark if count is None else f"{mark}{count:,}"
