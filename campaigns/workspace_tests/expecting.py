"""What was expected beside what was found, and what differs, in words."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from campaigns.status import TAKEN
from campaigns.workspace_tests.definition import (
    ExpectedEnrolment,
    ExpectedMessage,
    ExpectedRegistration,
    ExpectedTask,
    Unexpected,
)
from campaigns.workspace_tests.found import Found, FoundMessage, FoundTask
from campaigns.workspace_tests.given import Place
from campaigns.workspace_tests.loading import TestCase
from core.instants import Instant

#: Nobody means this to happen: it is told unless it is expected.
RENDER_FAILED: Final = "render_failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as expected."""

    line: int
    what: str
    expected: str | None = None
    found: str | None = None


def compare(case: TestCase, place: Place, found: Found) -> Iterator[Finding]:
    """Everything that is not as the case expects: messages, what stands still, then the rest."""
    yield from _messages(case, found)
    yield from _faults(case, found)
    expect = case.case.expect
    tasks = list(found.tasks)
    for number, task in enumerate(expect.tasks):
        yield from _task(case.line("expect", "tasks", number), task, tasks, place)
    for number, enrolment in enumerate(expect.enrolments):
        yield from _enrolment(case.line("expect", "enrolments", number), enrolment, found)
    for number, registration in enumerate(expect.registrations):
        yield from _registration(case.line("expect", "registrations", number), registration, found)


def _messages(case: TestCase, found: Found) -> Iterator[Finding]:
    """Those that are expected, those that must not go, and those nobody spoke of."""
    expect = case.case.expect
    left = list(found.messages)
    for number, message in enumerate(expect.messages):
        yield from _message(case.line("expect", "messages", number), message, left)
    for number, unwanted in enumerate(expect.none):
        yield from _none(case.line("expect", "none", number), unwanted, found.messages)
    if expect.others == "none":
        for other in left:
            if other.state in TAKEN:
                yield Finding(case.line("expect"), "a message goes that is not expected", None, shown(other))
    for other in left:
        if other.skipped == RENDER_FAILED:
            yield Finding(case.line("expect"), "a message cannot be rendered", None, shown(other))


def _faults(case: TestCase, found: Found) -> Iterator[Finding]:
    """What stands still although nobody expects it, or goes on although somebody expects that it does not."""
    expect = case.case.expect
    for fault in found.faults:
        if fault.name not in expect.faults:
            yield Finding(case.line("expect"), f"{fault.name} does not go on", None, fault.what)
    for name in sorted(set(expect.faults) - {fault.name for fault in found.faults}):
        yield Finding(case.line("expect", "faults"), f"{name} goes on", "a fault", "none")


# --- messages -------------------------------------------------------------------------------------------------------


def shown(message: FoundMessage) -> str:
    """A message in one line: by its recipient's own clock."""
    local = message.at.astimezone(ZoneInfo(message.zone))
    step = "" if message.step == "send" else f" / {message.step}"
    head = f"{message.customer}  {local:%a %Y-%m-%d %H:%M} {message.zone}  {message.campaign}{step}"
    if message.skipped is not None:
        return f"{head}  skipped: {message.skipped}" + (f" ({message.fault})" if message.fault else "")
    if message.state not in TAKEN:
        return f"{head}  {message.state}"
    return f"{head}  {message.subject!r}"


def _message(line: int, expected: ExpectedMessage, left: list[FoundMessage]) -> Iterator[Finding]:
    """The first message that is as expected is taken from those that are left."""
    near: list[tuple[int, FoundMessage, list[str]]] = []
    for message in left:
        if message.customer != expected.customer or message.campaign != expected.campaign:
            continue
        wrong = _wrong(expected, message)
        if not wrong:
            left.remove(message)
            return
        near.append((len(wrong), message, wrong))
    if not near:
        yield Finding(line, "no such message", _said(expected), None)
        return
    _, closest, wrong = min(near, key=lambda one: (one[0], expected.step not in (None, one[1].step)))
    if closest in left and expected.step in (None, closest.step):
        left.remove(closest)  # said once is enough
    yield Finding(line, f"another {' and '.join(wrong)}", _said(expected), shown(closest))


def _wrong(expected: ExpectedMessage, message: FoundMessage) -> list[str]:
    """What of the message is not as expected."""
    went = message.state in TAKEN
    tests: Mapping[str, bool] = {
        "step": expected.step in (None, message.step),
        "outcome": went if expected.skipped is None else message.skipped is not None,
        "reason": expected.skipped is None or message.skipped in (None, expected.skipped),
        "time": _is_at(expected.at, message.at, message.zone),
        "subject": expected.subject is None or not went or expected.subject in message.subject,
        "text": expected.text is None or not went or expected.text in message.text,
    }
    return [name for name, holds in tests.items() if not holds]


def _is_at(expected: Instant | None, at: datetime | None, zone: str) -> bool:
    if expected is None:
        return True
    return at is not None and at.replace(second=0, microsecond=0) == expected.at(zone).replace(second=0, microsecond=0)


def _said(expected: ExpectedMessage) -> str:
    step = f" / {expected.step}" if expected.step else ""
    at = f"  {expected.at}" if expected.at else ""
    rest = f"  skipped: {expected.skipped}" if expected.skipped else ""
    rest += f"  subject … {expected.subject!r} …" if expected.subject else ""
    rest += f"  text … {expected.text!r} …" if expected.text else ""
    return f"{expected.customer}{at}  {expected.campaign}{step}{rest}"


def _none(line: int, unwanted: Unexpected, messages: Sequence[FoundMessage]) -> Iterator[Finding]:
    for message in messages:
        names_it = unwanted.campaign in (None, message.campaign) and unwanted.step in (None, message.step)
        if message.customer == unwanted.customer and names_it and message.state in TAKEN:
            yield Finding(line, "a message goes that must not", "none", shown(message))


# --- what else --------------------------------------------------------------------------------------------------------


def _task(line: int, expected: ExpectedTask, left: list[FoundTask], place: Place) -> Iterator[Finding]:
    for task in left:
        fits = (
            expected.customer in (None, task.customer), expected.kind in (None, task.kind),
            expected.owner in (None, task.owner), expected.title is None or expected.title in task.title,
            _is_at(expected.due, task.due, place.zone),
        )  # fmt: skip
        if all(fits):
            left.remove(task)
            return
    there = "; ".join(_task_words(task, place) for task in left) or "no task"
    wanted = ", ".join(f"{name}: {value}" for name, value in expected if value is not None)
    yield Finding(line, "no such task", wanted, there)


def _task_words(task: FoundTask, place: Place) -> str:
    due = f", due {task.due.astimezone(ZoneInfo(place.zone)):%Y-%m-%d %H:%M}" if task.due else ""
    return f"{task.customer or 'nobody'}: {task.title!r} ({task.kind}, {task.owner or 'no owner'}{due})"


def _enrolment(line: int, expected: ExpectedEnrolment, found: Found) -> Iterator[Finding]:
    mine = (expected.customer, expected.sequence)
    there = next((one for one in found.enrolments if (one.customer, one.sequence) == mine), None)
    said = ", ".join(str(value) for value in (expected.state, expected.step, expected.because) if value is not None)
    if there is None:
        if expected.state != "none":
            yield Finding(line, f"{expected.customer} did not enter {expected.sequence}", said, "none")
        return
    fits = (
        expected.state == there.state, expected.step in (None, there.step), expected.because in (None, there.because)
    )  # fmt: skip
    if not all(fits):
        is_now = ", ".join(part for part in (there.state, there.step, there.because) if part)
        yield Finding(line, f"{expected.customer} is elsewhere in {expected.sequence}", said, is_now)


def _registration(line: int, expected: ExpectedRegistration, found: Found) -> Iterator[Finding]:
    mine = (expected.customer, expected.event)
    state = next((one.state for one in found.registrations if (one.customer, one.event) == mine), "none")
    if state != expected.state:
        yield Finding(line, f"{expected.customer} has something else at {expected.event}", expected.state, state)
