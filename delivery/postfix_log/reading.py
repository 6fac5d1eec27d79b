"""Two passes over a mail log, and a third where it is needed.

Postfix gives each message a queue id. `cleanup` logs it with the Message-ID once the header is read, `qmgr` when the
whole message is in the queue, a delivery agent what each try came to, `qmgr` its removal. So a Message-ID alone proves
nothing: of a connection that broke within the body, `cleanup` logs the same line, and `smtpd` says under its process id
that the connection was lost. The first pass finds the queue ids, the second what was said under them, the third, for
messages of which nothing more was said, what their smtpd said next.

Only what concerns the messages asked for is kept, so a log of any size fits. Files may come in any order, and any line
that is none of Postfix's is passed over.
"""

import re
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Final

from delivery.postfix_log.lines import Lines
from delivery.postfix_log.verdicts import Event, Evidence, Verdict, best, judge

_QUEUE_ID: Final = re.compile(rb"\]: ([0-9A-Za-z]{5,20}): | - ([0-9A-Za-z]{5,20}): ")
_MESSAGE_ID: Final = re.compile(rb"([0-9A-Za-z]{5,20}): message-id=<?([^<>\s]+)>?\s*$")
#: What smtpd says of a connection that ended within a message.
_BROKEN: Final = re.compile(rb"(?:lost connection|timeout|too many errors) after DATA\b")
_NEXT: Final = (b"disconnect from", b"connect from")
#: The last line of a file may be cut off, or another program's.
_LAST_LINES: Final = 100

_Place = tuple[bytes, bytes]  # host and queue id, or host and process id


@dataclass(slots=True)
class Log:
    """What was read: evidence by Message-ID (in lower case), and the time the files cover together."""

    evidence: dict[str, Evidence] = field(default_factory=dict)
    first_at: datetime | None = None
    last_at: datetime | None = None
    messages: int = 0  # Message-IDs logged, anybody's
    cut_short: Sequence[str] = ()  # files that end before their end


@dataclass(frozen=True, slots=True)
class _Begun:
    """A message asked for, as its header was read."""

    message_id: str
    place: _Place
    at: datetime


def read(
    paths: Sequence[Path],
    wanted: Mapping[str, str],
    *,
    zone: tzinfo,
    now: datetime,
    advance: Callable[[int], None] = lambda _bytes: None,
) -> Log:
    """What these files say about the Message-IDs in `wanted` (in lower case, each with its recipient).

    `zone` and `now` complete timestamps without zone and year. `advance` is told of bytes read, of each file twice.

    Raises:
        UsageError: a file cannot be read.
    """
    lines, log = Lines(paths, zone, now), Log()
    begun = list(_begun(lines, wanted, log, advance))
    events = _events(lines, {one.place[1] for one in begun}, advance)
    copies: dict[str, dict[str, Evidence]] = {}
    open_ended = []
    for one in begun:
        found = judge(events.get(one.place, []), one.at, wanted[one.message_id])
        copies.setdefault(one.message_id, {})[one.place[1].decode()] = found
        if found.verdict is Verdict.BEGUN:
            open_ended.append(one)
    for one in _broken_off(lines, events, open_ended):
        words = "the connection was lost within the message"
        copies[one.message_id][one.place[1].decode()] = Evidence(Verdict.BROKEN_OFF, one.at, words=words)
    log.evidence = {message_id: best(found) for message_id, found in copies.items()}
    log.cut_short = tuple(lines.cut_short)
    return log


def _begun(lines: Lines, wanted: Mapping[str, str], log: Log, advance: Callable[[int], None]) -> Iterator[_Begun]:
    """The wanted messages whose header was read; the log's times and its number of messages are known after it."""
    for numbered in lines.files(advance):
        is_first = True
        last: deque[bytes] = deque(maxlen=_LAST_LINES)
        for _, raw in numbered:
            last.append(raw)
            if is_first and (at := lines.time_of(raw)) is not None:
                is_first = False
                _cover(log, at)
            if b": message-id=" not in raw or (line := lines.line_of(raw)) is None:
                continue
            if (found := _MESSAGE_ID.match(line.text)) is None:
                continue
            log.messages += 1
            message_id = found[2].decode("utf-8", "replace").lower()
            if message_id in wanted:
                yield _Begun(message_id, (line.host, found[1]), line.at)
        _cover(log, next((at for raw in reversed(last) if (at := lines.time_of(raw)) is not None), None))


def _cover(log: Log, at: datetime | None) -> None:
    if at is not None:
        log.first_at = at if log.first_at is None else min(log.first_at, at)
        log.last_at = at if log.last_at is None else max(log.last_at, at)


def _events(lines: Lines, queue_ids: Collection[bytes], advance: Callable[[int], None]) -> dict[_Place, list[Event]]:
    """Everything said under these queue ids, in order of time."""
    events: dict[_Place, list[Event]] = {}
    for numbered in lines.files(advance):
        for number, raw in numbered:
            found = _QUEUE_ID.search(raw)
            if found is None or (found[1] or found[2]) not in queue_ids or (line := lines.line_of(raw)) is None:
                continue
            queue_id, _, said = line.text.partition(b": ")
            text = said.decode("utf-8", "replace").strip()
            events.setdefault((line.host, queue_id), []).append(Event(line.at, number, line.pid, text))
    return {place: sorted(said) for place, said in events.items()}


def _broken_off(
    lines: Lines, events: Mapping[_Place, Sequence[Event]], open_ended: Sequence[_Begun]
) -> Iterator[_Begun]:
    """Those of the messages of whose connection smtpd says next that it broke within them."""
    taken: list[tuple[_Begun, _Place, Event]] = []
    for one in open_ended:
        by = [e for e in events.get(one.place, []) if e.text.startswith("client=") and e.at <= one.at]
        if by:
            taken.append((one, (one.place[0], by[-1].pid), by[-1]))
    said = _said_by(lines, {process for _, process, _ in taken}) if taken else {}
    for one, process, client in taken:
        following = next((event for event in said.get(process, []) if event > client), None)
        if following is not None and following.text == "broken":
            yield one


def _said_by(lines: Lines, processes: Collection[_Place]) -> dict[_Place, list[Event]]:
    """What these smtpd processes said of messages taken up and of connections, in order of time."""
    said: dict[_Place, list[Event]] = {}
    for numbered in lines.files():
        for number, raw in numbered:
            if b"smtpd" not in raw or (line := lines.line_of(raw)) is None:
                continue
            process = (line.host, line.pid)
            if process not in processes:
                continue
            is_broken = bool(_BROKEN.match(line.text))
            if is_broken or b": client=" in line.text or line.text.startswith(_NEXT):
                event = Event(line.at, number, line.pid, "broken" if is_broken else "")
                said.setdefault(process, []).append(event)
    return {process: sorted(events) for process, events in said.items()}
