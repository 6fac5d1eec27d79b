"""The order of commands and replies on one open connection. No socket, no clock: bytes out, replies in.

With PIPELINING a message costs one round trip. Its content, its final dot, and MAIL, RCPT and DATA of the next
message leave in one write; then come the answer to the dot and the three replies of the next envelope, whose
content waits at the gate until its hand-over is durable (RFC 2920; standards S-1.10 to S-1.13, S-1.36). Without
PIPELINING the same steps go one by one.

A transaction has one recipient, always. So an answer to MAIL, RCPT, DATA or the final dot decides that recipient
and no other (S-1.3, S-1.4), and "too many recipients" cannot come up: a 452 or 552 to RCPT is about this one
(S-1.6). Content goes by DATA; BDAT is never used, whether the server offers CHUNKING or not (S-1.14, S-1.15).
"""

from collections import deque

from delivery.smtp.denials import ASKS_FOR_AUTH, denies_relaying
from delivery.smtp.envelope import Envelope
from delivery.smtp.faults import TransportFault, Trouble, TroubleKind
from delivery.smtp.features import Features
from delivery.smtp.messages import Outcome, OutcomeState
from delivery.smtp.replies import Reply
from delivery.smtp.roles import Desk, Link
from delivery.smtp.steps import Step

#: What goes wrong here is not the fault of the message that comes next.
_OF_THE_LAST_MESSAGE = frozenset({Step.END_OF_DATA, Step.RSET})
_GOOD = {Step.RSET: 2, Step.MAIL: 2, Step.RECIPIENT: 2, Step.DATA: 3}


class Session:
    """One connection's place in the dialogue.

    `current` is the message whose envelope is under way or waits at the gate, `ending` the one whose final dot
    was written and not answered yet; there is never more than one of each. `is_stale` until the first reply
    after a rest: such a connection may have died unnoticed. `has_served`: a message was answered on it. `asked_at`:
    when the desk last let it write, by the event loop's clock.
    """

    __slots__ = (
        "_answering", "_dirty", "_expected", "_is_denied", "_pending", "_quitting", "_refusal",
        "asked_at", "broken_by", "current", "desk", "ending", "features", "has_served", "is_stale", "link",
    )  # fmt: skip

    def __init__(self, link: Link, features: Features, desk: Desk) -> None:
        self.link = link
        self.features = features
        self.desk = desk
        self.current: Envelope | None = None
        self.ending: Envelope | None = None
        self.asked_at = 0.0
        self.is_stale = False
        self.has_served = False
        self.broken_by: Trouble | None = None
        self._expected: deque[Step] = deque()  # replies due, in order: the only way they are matched (S-1.12)
        self._pending: deque[tuple[Step, bytes]] = deque()  # without PIPELINING: steps not written yet
        self._answering: Step | None = None  # the step whose reply is being dealt with
        self._refusal: Outcome | None = None  # of `current`, when one of its steps was refused
        self._is_denied = False  # that refusal may be about this client rather than about the recipient
        self._dirty = False  # a refused envelope is left on the server: RSET before the next
        self._quitting = False

    @property
    def awaited(self) -> Step | None:
        """The step whose reply is due next."""
        return self._expected[0] if self._expected else None

    @property
    def is_usable(self) -> bool:
        """Whether it can carry another message, now or after those under way."""
        return self.broken_by is None and not self._quitting

    def proceed(self) -> None:
        """The next message is begun, or the session is idle or, if worn out, closed."""
        if self.link.is_worn_out:
            self.quit()
        elif (envelope := self.desk.take(self.features)) is None:
            self.desk.idle(self)
        else:
            self._say(self._opening_of(envelope))

    def release(self) -> None:
        """The content and the final dot of `current` are written, and the start of the next message with them."""
        envelope = self.current
        if envelope is None:
            raise RuntimeError("released a session that has no message at the gate")
        self.current, self.ending = None, envelope
        self._expected.append(Step.END_OF_DATA)
        self.link.write_message(envelope.lines, b".\r\n" + self._beside_the_dot())

    def refuse(self) -> None:
        """The message at the gate is dropped: only closing the connection keeps the server from taking it."""
        self.current = None
        self.link.close()

    def quit(self) -> None:
        """QUIT is written; nothing may be under way."""
        self._quitting = True
        self._say([(Step.QUIT, b"QUIT\r\n")])

    def reply(self, reply: Reply) -> None:
        """The reply is taken as the answer to the oldest step that has none."""
        self.is_stale = self.is_stale and reply.code == 421
        if not self._expected:
            return self._fail_on(reply, "spoke out of turn")
        step = self._answering = self._expected.popleft()
        if step is Step.END_OF_DATA:
            self._end_answered(reply)
        elif step is Step.QUIT:
            self.link.close()
        elif reply.code == 421:
            self._fail_on(reply, "closes the connection")
        elif step is Step.LONE_DOT:
            self._dirty = False
            self._conclude_refused()
        else:
            self._envelope_answered(step, reply)
        self._answering = None
        if self._pending and not self._expected:
            self._say_next()
        return None

    def broken(self, trouble: Trouble) -> None:
        """Every message under way is accounted for; the connection is gone."""
        if self.broken_by is not None:
            return
        self.broken_by = trouble
        is_innocent = self.is_stale or (self._answering or self.awaited) in _OF_THE_LAST_MESSAGE
        self._expected.clear()
        self._pending.clear()
        ending, self.ending = self.ending, None
        if ending is not None:
            held_back = self.link.is_dot_held_back
            state = OutcomeState.DEFERRED if held_back else OutcomeState.UNKNOWN
            self.desk.answered(ending, Outcome(state, None, None, trouble.text))
        if self.current is not None and self._refusal is not None:
            self._tell_refused(self.current, self._refusal)
            self.current = None
        if self.current is not None:
            self.desk.stranded(self, self.current, trouble, is_innocent=is_innocent)
        self.desk.gone(self)

    def _opening_of(self, envelope: Envelope) -> list[tuple[Step, bytes]]:
        self.current, self._refusal = envelope, None
        steps = [
            (Step.MAIL, envelope.mail_command(self.features)),
            (Step.RECIPIENT, envelope.recipient_command(self.features)),
            (Step.DATA, b"DATA\r\n"),
        ]
        if self._dirty:
            self._dirty = False
            steps.insert(0, (Step.RSET, b"RSET\r\n"))
        return steps

    def _beside_the_dot(self) -> bytes:
        """What shares the write with the final dot; without PIPELINING nothing may (S-1.10)."""
        if not self.features.pipelining:
            return b""
        if self.link.is_worn_out:
            self._quitting = True
            steps = [(Step.QUIT, b"QUIT\r\n")]
        elif (envelope := self.desk.take(self.features)) is None:
            return b""
        else:
            steps = self._opening_of(envelope)
        self._expected.extend([step for step, _ in steps])
        return b"".join([command for _, command in steps])

    def _say(self, steps: list[tuple[Step, bytes]]) -> None:
        if self.features.pipelining:
            self._expected.extend([step for step, _ in steps])
            self.link.write(b"".join([command for _, command in steps]))
        else:
            self._pending.extend(steps)
            self._say_next()

    def _say_next(self) -> None:
        step, command = self._pending.popleft()
        self._expected.append(step)
        self.link.write(command)

    def _end_answered(self, reply: Reply) -> None:
        """A 4yz, 421 or 5yz after the dot is a clear answer; only its absence is not (S-1.35). Before the dot a yes is
        none: the server has no message yet (S-1.2, S-1.7)."""
        envelope, self.ending = self.ending, None
        if envelope is None:
            raise RuntimeError("an answer to a final dot that was not written")
        state = _END_STATES.get(reply.kind, OutcomeState.UNKNOWN)
        if self.link.is_dot_held_back and state is not OutcomeState.FAILED:
            state = OutcomeState.DEFERRED
        self.desk.answered(envelope, reply.outcome(state, Step.END_OF_DATA))
        self.has_served = True
        self.link.message_answered()
        if reply.code == 421 or state is OutcomeState.UNKNOWN or self.link.is_dot_held_back:
            self._fail_on(reply, "answered the end of a message and will not go on")
        elif self.current is None and not self._quitting:
            self.proceed()

    def _envelope_answered(self, step: Step, reply: Reply) -> None:
        if self._refusal is not None:
            self._after_refusal(step, reply)
        elif reply.kind == _GOOD[step]:
            if step is Step.DATA:
                self.desk.ready(self)
        elif reply.kind < 4 or step is Step.RSET:
            self._fail_on(reply, f"gave no answer to {step.name}")
        elif (step is Step.MAIL and denies_relaying(reply)) or (step is Step.DATA and reply.code in ASKS_FOR_AUTH):
            self._client_refused(reply)
        else:
            self._refused(step, reply)

    def _refused(self, step: Step, reply: Reply) -> None:
        """The message ends here, but the replies of its later commands are still to come (S-1.12)."""
        state = OutcomeState.DEFERRED if reply.kind == 4 else OutcomeState.FAILED
        self._refusal = reply.outcome(state, step)
        self._is_denied = step is Step.RECIPIENT and denies_relaying(reply)
        self._dirty = True
        self._pending.clear()
        if step is Step.DATA or not self.features.pipelining:
            self._conclude_refused()

    def _after_refusal(self, step: Step, reply: Reply) -> None:
        if step is not Step.DATA:
            return
        if reply.kind == 3:  # all recipients refused and yet a go-ahead: an empty message, for nobody (S-1.9)
            self._expected.append(Step.LONE_DOT)
            self.link.write(b".\r\n")
        else:
            self._conclude_refused()

    def _conclude_refused(self) -> None:
        envelope, refusal = self.current, self._refusal
        self.current, self._refusal = None, None
        self.has_served = True
        if envelope is not None and refusal is not None:
            self._tell_refused(envelope, refusal)
        self.proceed()

    def _tell_refused(self, envelope: Envelope, refusal: Outcome) -> None:
        if self._is_denied:
            self.desk.denied(envelope, refusal, _fault(refusal.code, refusal.reply))
        else:
            self.desk.answered(envelope, refusal)

    def _client_refused(self, reply: Reply) -> None:
        envelope, self.current = self.current, None
        fault = _fault(reply.code, reply.text)
        if envelope is not None:
            self.desk.faulty(fault, envelope)
        self.link.fail(Trouble(TroubleKind.CLOSING, fault.message, reply))

    def _fail_on(self, reply: Reply, what: str) -> None:
        kind = TroubleKind.CLOSING if reply.code == 421 else TroubleKind.GARBLED
        self.link.fail(Trouble(kind, f"the server {what}: {reply.code} {reply.text}", reply, self._answering))


_END_STATES = {2: OutcomeState.ACCEPTED, 4: OutcomeState.DEFERRED, 5: OutcomeState.FAILED}


def _fault(code: int | None, text: str) -> TransportFault:
    return TransportFault(
        f"the server refuses this client: {code} {text}",
        temporary=False,
        hint="check user, password and TLS of the transport, and that the server relays for this machine",
    )
