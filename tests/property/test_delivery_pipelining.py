"""Replies are matched to commands by count and order, however they are cut and whatever they say."""

import itertools
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from delivery.smtp.envelope import Envelope, envelope_of
from delivery.smtp.faults import TransportFault, Trouble
from delivery.smtp.features import Features
from delivery.smtp.messages import Outcome, OutcomeState
from delivery.smtp.replies import Reply, ReplyParser
from delivery.smtp.session import Session
from tests.smtp_server import make_outgoing

#: Refusals of every kind but those that end a connection (421) or are about the client (530, 534, 535, 538).
refusals = st.integers(400, 599).filter(lambda code: code not in (421, 530, 534, 535, 538))
codes = st.one_of(st.integers(200, 299), st.just(250), refusals)
data_codes = st.one_of(st.integers(300, 399), st.just(354), refusals)
texts = st.lists(st.binary(max_size=30).map(lambda text: text.translate(None, b"\r\n")), min_size=1, max_size=4).map(
    tuple
)
#: What the server says to MAIL, RCPT, DATA and the final dot of each message.
plans = st.lists(st.tuples(codes, codes, data_codes, codes), min_size=1, max_size=12)


class Server:
    """Answers what is written to it by the plan, in order, as RFC 5321 and RFC 2920 want; remembers the dots."""

    def __init__(self, plan: list[tuple[int, int, int, int]]) -> None:
        self.plan = plan
        self.answers: list[int] = []
        self.taken: list[int] = []
        self.line_counts: Iterator[int] = itertools.repeat(1)
        self._octets = b""
        self._number = 0
        self._has_sender = self._has_recipient = False
        self._in_content = False

    def write(self, octets: bytes) -> None:
        self._octets += octets
        while b"\r\n" in self._octets:
            line, _, self._octets = self._octets.partition(b"\r\n")
            self._line(line)

    def _line(self, line: bytes) -> None:
        if self._in_content:
            if line == b".":
                self._in_content = False
                self._end()
            return
        verb = line.split(b" ")[0].split(b":")[0]
        getattr(self, f"_{verb.decode().lower()}")(line)

    def _mail(self, line: bytes) -> None:
        assert not self._has_sender, "MAIL inside a transaction"
        self._number = int(line.partition(b"<s")[2].partition(b"@")[0])
        self._has_sender = self._answer(self.plan[self._number][0]) < 300

    def _rcpt(self, line: bytes) -> None:
        code = self.plan[self._number][1] if self._has_sender else 503
        self._has_recipient = self._answer(code) < 300

    def _data(self, line: bytes) -> None:
        code = self.plan[self._number][2]
        self._in_content = self._answer(code) // 100 == 3

    def _end(self) -> None:
        if self._has_recipient:
            self.taken.append(self._number)
        self._answer(self.plan[self._number][3] if self._has_recipient else 554)
        self._has_sender = self._has_recipient = False

    def _rset(self, line: bytes) -> None:
        self._has_sender = self._has_recipient = False
        self._answer(250)

    def _answer(self, code: int) -> int:
        self.answers.append(code)
        return code

    def octets(self) -> bytes:
        answers, self.answers = self.answers, []
        return b"".join(
            b"%d-more\r\n" % code * (line_count - 1) + b"%d said\r\n" % code
            for code, line_count in zip(answers, self.line_counts, strict=False)
        )


class Table:
    """The session's link and desk in one: everything at once, no event loop."""

    def __init__(self, plan: list[tuple[int, int, int, int]]) -> None:
        self.server = Server(plan)
        self.waiting = [
            envelope_of(make_outgoing(number, mail_from=f"s{number}@paper.example")) for number in range(len(plan))
        ]
        self.at_gate: list[Session] = []
        self.states: dict[int, tuple[OutcomeState, int | None]] = {}
        self.is_dot_held_back = self.is_worn_out = False

    def write(self, octets: bytes) -> None:
        self.server.write(octets)

    def write_message(self, lines: bytes, end: bytes) -> None:
        self.server.write(lines + end)

    def fail(self, trouble: Trouble) -> None:
        raise AssertionError(trouble)

    def close(self) -> None:
        raise AssertionError("closed")

    def message_answered(self) -> None:
        pass

    def take(self, features: Features) -> Envelope | None:
        envelope = self.waiting.pop(0) if self.waiting else None
        assert not isinstance(envelope, Outcome)
        return envelope

    def ready(self, session: Session) -> None:
        self.at_gate.append(session)

    def answered(self, envelope: Envelope, outcome: Outcome) -> None:
        assert envelope.id not in self.states
        self.states[envelope.id] = (outcome.state, outcome.code)

    def stranded(self, session: Session, envelope: Envelope, trouble: Trouble, *, is_innocent: bool) -> None:
        raise AssertionError("stranded")

    def denied(self, envelope: Envelope, refusal: Outcome, fault: TransportFault) -> None:
        raise AssertionError("denied")

    def faulty(self, fault: TransportFault, envelope: Envelope) -> None:
        raise AssertionError("faulty")

    def idle(self, session: Session) -> None:
        pass

    def gone(self, session: Session) -> None:
        raise AssertionError("gone")


def expected_of(plan: tuple[int, int, int, int]) -> tuple[OutcomeState, int]:
    """The first answer that refuses decides; without one, the answer to the dot."""
    refusal = next((code for code in plan[:3] if code >= 400), plan[3])
    kinds = {2: OutcomeState.ACCEPTED, 4: OutcomeState.DEFERRED, 5: OutcomeState.FAILED}
    return kinds[refusal // 100], refusal


def pieces(octets: bytes, sizes: Iterator[int]) -> Iterator[bytes]:
    """The octets cut by the given sizes."""
    while octets:
        size = next(sizes)
        yield octets[:size]
        octets = octets[size:]


@given(
    plan=plans,
    pipelining=st.booleans(),
    sizes=st.lists(st.integers(1, 40), min_size=1),
    line_counts=st.lists(st.integers(1, 4), min_size=1),
)
def test_each_message_gets_its_own_answers(
    plan: list[tuple[int, int, int, int]], pipelining: bool, sizes: list[int], line_counts: list[int]
) -> None:
    """
    Whatever is refused at whatever step, in however many lines, no message gets the answer of another (S-1.12).
    """
    table, parser = Table(plan), ReplyParser()
    table.server.line_counts = itertools.cycle(line_counts)
    session = Session(table, Features(pipelining=pipelining), table)
    cuts = itertools.cycle(sizes)

    session.proceed()
    while table.server.answers or table.at_gate:
        for piece in pieces(table.server.octets(), cuts):
            for reply in parser.feed(piece):
                session.reply(reply)
        while table.at_gate:
            table.at_gate.pop().release()

    assert {number: expected_of(answers) for number, answers in enumerate(plan)} == table.states
    assert table.server.taken == [n for n, answers in enumerate(plan) if all(code < 400 for code in answers[:3])]


@given(
    replies=st.lists(
        st.builds(
            Reply,
            st.integers(200, 599),
            st.lists(
                st.binary(max_size=30).map(lambda line: line.translate(None, b"\r\n")), min_size=1, max_size=4
            ).map(tuple),
        )
    ),
    sizes=st.lists(st.integers(1, 40), min_size=1),
)
def test_replies_survive_any_fragmentation(replies: list[Reply], sizes: list[int]) -> None:
    """
    A stream of replies cut anywhere is read as the same replies.
    """
    lines = []
    for reply in replies:
        lines += [b"%d-%b\r\n" % (reply.code, text) for text in reply.lines[:-1]]
        lines.append(b"%d %b\r\n" % (reply.code, reply.lines[-1]))
    parser = ReplyParser()
    cuts = itertools.cycle(sizes)

    assert replies == [reply for piece in pieces(b"".join(lines), cuts) for reply in parser.feed(piece)]
