"""The calendar as one HTML page that needs nothing else: no script, no font, no picture from anywhere."""

from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from zoneinfo import ZoneInfo

from campaigns.calendar import words
from campaigns.calendar.entries import Calendar, Certainty, Day, Entry, Window

#: Of the highest bar; the rest of the strip is for its label.
_HIGHEST_PX = 56
#: Beyond so many days the strip has no room for a label under each.
_MOST_LABELS = 31


@cache
def _frame() -> Template:
    return Template(files("campaigns.calendar").joinpath("page.html").read_text(encoding="utf-8"))


def written(calendar: Calendar, organisation: str) -> str:
    """The whole page. Days on which nothing happens are left out below, and keep their place in the strip."""
    window = calendar.window
    first, last = calendar.days[0].date, calendar.days[-1].date
    as_of = window.now.astimezone(ZoneInfo(window.zone))
    filled = [_day(day, window) for day in calendar.days if day.entries]
    return _frame().substitute(
        title=escape(f"{organisation}: what goes out"),
        organisation=escape(organisation),
        heading=escape(f"What goes out, {first:%-d %B} to {last:%-d %B %Y}"),
        about=escape(f"As of {as_of:%-d %B %Y, %H:%M} · times by the clock of {window.zone}"),
        remarks="".join(f'<p class="note">{escape(remark)}</p>' for remark in calendar.remarks),
        strip=_strip(calendar),
        days="\n".join(filled) or '<p class="empty">Nothing is planned.</p>',
    )


def _strip(calendar: Calendar) -> str:
    """A bar for each day: how many mails."""
    most = max((day.all_mails for day in calendar.days), default=0)
    if not most:
        return ""
    bars = "".join(_bar(day, most, is_labelled=len(calendar.days) <= _MOST_LABELS) for day in calendar.days)
    key = (
        '<p class="key"><span><i style="background:var(--sure)"></i>counted</span>'
        '<span><i style="background:var(--guess)"></i>estimated</span></p>'
    )
    return f'<nav class="strip" aria-label="Mails by day"><ul class="bars">{bars}</ul>{key}</nav>'


def _bar(day: Day, most: int, *, is_labelled: bool) -> str:
    parts = "".join(
        f'<span class="{name}" style="height:{max(2, round(number / most * _HIGHEST_PX))}px"></span>'
        for name, certainty in (("guess", Certainty.ESTIMATED), ("sure", Certainty.MEASURED))
        if (number := day.mails(certainty))
    )
    label = f"<b>{day.date:%a}<br>{day.date:%-d}</b>" if is_labelled else ""
    said = escape(f"{day.date:%A, %-d %B}: {words.mails(day) or 'no mails'}")
    target = f' href="#d{day.date}"' if day.entries else ""
    return f'<li><a{target} title="{said}" aria-label="{said}">{parts}{label}</a></li>'


def _day(day: Day, window: Window) -> str:
    lines = "\n".join(_line(entry, window) for entry in day.entries)
    total = f"<small>{escape(words.mails(day))}</small>" if words.mails(day) else ""
    heading = f"<h2>{day.date:%A, %-d %B}{total}</h2>"
    return f'<section id="d{day.date}">{heading}<ul class="lines">{lines}</ul></section>'


def _line(entry: Entry, window: Window) -> str:
    remark = f'<br><span class="remark">{escape(entry.remark)}</span>' if entry.remark else ""
    paused = ' <span class="paused">paused</span>' if entry.is_paused else ""
    mark = "" if entry.certainty is Certainty.MEASURED else f"<small>{entry.certainty.value}</small>"
    number = "?" if entry.count is None else f"{entry.count:,}"
    return (
        f'<li><p class="when">{escape(words.hours(entry, window))}</p><p class="kind">{entry.kind.value}</p>'
        f'<p class="told"><strong>{escape(entry.name)}</strong> {escape(entry.what)}{paused}{remark}</p>'
        f'<p class="count">{number}{mark}</p></li>'
    )
