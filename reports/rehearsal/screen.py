"""A rehearsal as lines for a terminal."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from campaigns.simulation.assumptions import told
from campaigns.simulation.figures import Figures, StepFigures
from core.commands import counted
from reports.screen import text_bar

_COLUMNS: Final = 40
_DAYS_SHOWN: Final = 62


def lines(figures: Figures) -> Iterator[str]:
    """The rehearsal, line by line."""
    yield from _head(figures)
    for part in (_refused, _days, _steps, _ways, _pressure, _dead_ends, _due, _flaws, _moments):
        rows = list(part(figures))
        if rows:
            yield ""
            yield from rows


def local(at: datetime, zone: str) -> str:
    """The instant as a clock in `zone` shows it."""
    return f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}"


def _head(figures: Figures) -> Iterator[str]:
    yield f"{local(figures.start, figures.zone)} to {local(figures.until, figures.zone)} ({figures.zone})"
    applied = ", ".join(figures.applied) or "nothing: no file has pending changes"
    yield f"  applied   {applied}"
    yield f"  assumed   {told(figures.assumptions)}"
    yield f"  rehearsed {counted(figures.instants, 'instant')} in {figures.seconds:.1f} s; nothing was written or sent"


def _refused(figures: Figures) -> Iterator[str]:
    for one in figures.refused:
        why = one.why.removeprefix(f"{one.name}: ")
        yield f"NOT APPLIED {one.name}: {why}" + (f" ({one.hint})" if one.hint else "")


def _days(figures: Figures) -> Iterator[str]:
    if not figures.days:
        yield "no mail would go"
        return
    total, most = sum(day.accepted for day in figures.days), max(day.accepted for day in figures.days)
    yield f"mails a day ({total:,} in all)"
    for day in figures.days[:_DAYS_SHOWN]:
        bounced = f"  {day.bounced:,} bounced" if day.bounced else ""
        yield f"  {day.day:%a %Y-%m-%d} {day.accepted:>9,}  {text_bar(day.accepted, most, _COLUMNS)}{bounced}"
    if len(figures.days) > _DAYS_SHOWN:
        yield f"  … and {len(figures.days) - _DAYS_SHOWN} days more (--html or --json has them)"


def _steps(figures: Figures) -> Iterator[str]:
    for step in figures.steps:
        yield from _step(step, figures.zone)


def _step(step: StepFigures, zone: str) -> Iterator[str]:
    name = step.campaign if step.step == "send" else f"{step.campaign} / {step.step}"
    yield f"{name}: {step.accepted:,} of {step.messages:,} accepted"
    if step.first_at is not None and step.last_at is not None:
        first, last = local(step.first_at, zone), local(step.last_at, zone)
        yield f"  {'sent':<24} {first}" + (f" to {last}" if last != first else "")
    numbers = {"bounced": step.bounced, "still waiting": step.waiting, "in doubt or failed": step.other}
    numbers |= {f"held, {reason}": count for reason, count in step.held.items()}
    numbers |= {f"skipped, {reason}": count for reason, count in step.skipped.items()}
    width = max(map(len, numbers), default=0)
    for name, count in numbers.items():
        if count:
            yield f"  {name:<{max(width, 24)}} {count:>9,}"
    if step.fault:
        yield f"  stands still: {step.fault}"


def _ways(figures: Figures) -> Iterator[str]:
    for way in figures.transports:
        hour = local(way.busiest_hour, figures.zone) + (
            f", {way.lasts_s / 60:,.0f} min by its rate" if way.lasts_s else ""
        )
        yield (
            f"transport {way.transport}: {way.mails:,} mails, at most {way.busiest_day_count:,} a day "
            f"({way.busiest_day}) and {way.busiest_hour_count:,} an hour ({hour})"
        )
    for over in figures.exceeded:
        yield f"  TOO MUCH for {over.transport} on {over.day}: {over.wanted:,} mails, {over.allowed:,} allowed"
    total = sum(way.mails for way in figures.transports)
    large = [f"{domain} {count:,}" for domain, count in figures.domains.items() if count > total / 200]
    if large:
        yield "  to " + ", ".join(large[:5])


def _pressure(figures: Figures) -> Iterator[str]:
    if not figures.pressure:
        return
    yield "most mails in any seven days"
    most = max(figures.pressure.values())
    for number, people in sorted(figures.pressure.items()):
        yield f"  {number:>3}  {people:>9,} people  {text_bar(people, most, _COLUMNS)}"
    many = [one for one in figures.pressed if one.most > 1]
    if many:
        names = ", ".join(f"{one.customer} ({one.most})" for one in many[:8])
        yield f"  most: {names}"


def _dead_ends(figures: Figures) -> Iterator[str]:
    if figures.dead_ends:
        yield "comes to nothing"
    for end in figures.dead_ends:
        yield f"  {end.name}{f' / {end.step}' if end.step else ''}: {end.says}"


def _due(figures: Figures) -> Iterator[str]:
    if figures.due:
        yield "for people"
    for one in figures.due:
        span = _span(one.first_at, one.last_at, figures.zone)
        yield f"  {one.what.replace('_', ' '):<13} {one.kind:<28} {one.count:>7,}  {span}".rstrip()


def _span(first: datetime | None, last: datetime | None, zone: str) -> str:
    if first is None or last is None:
        return ""
    return local(first, zone) if first == last else f"{local(first, zone)} to {local(last, zone)}"


def _flaws(figures: Figures) -> Iterator[str]:
    if figures.flaws:
        yield f"cannot be rendered (of {figures.rendered:,} tried)"
    for flaw in figures.flaws:
        count = figures.flaw_counts[f"{flaw.campaign}/{flaw.step}"]
        yield f"  {flaw.campaign}: {flaw.what} ({flaw.customer}; {counted(count, 'message')})"


def _moments(figures: Figures) -> Iterator[str]:
    if figures.watched is None:
        return
    yield f"{figures.watched} gets" if figures.moments else f"{figures.watched} gets nothing"
    for one in figures.moments:
        step = "" if one.step in ("send", "") else f" / {one.step}"
        yield f"  {one.local:%a %Y-%m-%d %H:%M %z}  {one.what:<8} {one.campaign}{step}  {one.says}".rstrip()


def totals(figures: Figures) -> Mapping[str, int]:
    """Everything added up: accepted, bounced, held, skipped, and people who are written to."""
    return {
        "accepted": sum(day.accepted for day in figures.days),
        "bounced": sum(day.bounced for day in figures.days),
        "held": sum(sum(step.held.values()) for step in figures.steps),
        "skipped": sum(sum(step.skipped.values()) for step in figures.steps),
        "people": sum(figures.pressure.values()),
    }
