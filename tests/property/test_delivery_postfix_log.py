"""Mail logs of any content and in any order of files."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from delivery.postfix_log import read
from tests.mail_logs import PostfixLog

BEGIN = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
NOW = BEGIN + timedelta(hours=2)
IDS = [f"m{number}@paper.example" for number in range(4)]
WANTED = dict.fromkeys(IDS, "p1@firm.example")
_ENDS = ("taken_up", "queued", "delivered", "bounced", "broken_off")


def evidence(*contents):
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, content in enumerate(contents):
            paths.append(Path(folder) / f"{number}.log")
            paths[-1].write_bytes(content)
        log = read(paths, WANTED, zone=UTC, now=NOW)
        return log.evidence, log.first_at, log.last_at, log.messages


@st.composite
def stories(draw):
    """The lines of a log in which each message comes to some end, some queue ids are used twice."""
    log = PostfixLog(BEGIN, iso=draw(st.booleans()))
    for message_id in draw(st.permutations(IDS)):
        queue_id, end = draw(st.sampled_from(["4AAAA1", "4BBBB2"])), draw(st.sampled_from(_ENDS))
        recipient = [WANTED[message_id]] if end in ("delivered", "bounced") else []
        getattr(log, end)(queue_id, message_id, *recipient)
    return [line.encode() for line in log.lines]


@given(stories(), st.data())
def test_the_order_of_files_does_not_matter(lines, data):
    """
    A log cut into files anywhere, named in any order, says what it says in one piece.
    """
    cuts = sorted(data.draw(st.lists(st.integers(0, len(lines)), max_size=3)))
    pieces = [b"".join(lines[start:end]) for start, end in zip([0, *cuts], [*cuts, len(lines)], strict=True)]

    assert evidence(b"".join(lines)) == evidence(*data.draw(st.permutations(pieces)))


@given(st.lists(st.binary(max_size=200), max_size=20).map(b"\n".join))
def test_any_bytes_are_read_without_an_error(content):
    """
    Whatever a file holds, it is passed over or understood.
    """
    assert {} == evidence(content)[0]


@given(stories(), st.data())
def test_a_damaged_log_says_less_and_is_no_error(lines, data):
    """
    Bytes changed or lost anywhere never raise, and never invent a message.
    """
    content = bytearray(b"".join(lines))
    for place, byte in data.draw(
        st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=20)
    ):
        content[place] = byte
    found = evidence(bytes(content[data.draw(st.integers(0, 50)) :]))[0]

    assert set() == found.keys() - set(IDS)


@given(stories(), st.lists(st.binary(max_size=80), max_size=10), st.data())
def test_lines_of_others_change_nothing(lines, others, data):
    """
    What other programs log between Postfix's lines does not matter.
    """
    mixed = list(lines)
    for other in others:
        mixed.insert(data.draw(st.integers(0, len(mixed))), other.replace(b"\n", b" ") + b"\n")

    assert evidence(b"".join(lines))[0] == evidence(b"".join(mixed))[0]
