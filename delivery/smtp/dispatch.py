"""One delivery: messages out of their source, through the gate, to whichever connection is free.

Before the gate is opened, connections that are about to become ready are waited for, but no longer than the
call of `hand_over` takes: so a slow connection never holds up the others, and yet windows are full (measured
with 10 connections and a commit of 2 ms: windows of 10.0 messages instead of 5.1). Those that asked their server
too late to come in that time are not waited for: over a round trip of 50 ms that had cost each window 4 ms.
"""

import asyncio
from collections import deque
from collections.abc import Iterable

from delivery.smtp.envelope import Envelope, envelope_of
from delivery.smtp.faults import TransportFault, Trouble, TroubleKind
from delivery.smtp.features import Features
from delivery.smtp.gate import Gate
from delivery.smtp.messages import Coming, HandOver, Outcome, OutcomeState, Outgoing
from delivery.smtp.roles import Crew
from delivery.smtp.session import Session

_SHORTEST_WAIT, _LONGEST_WAIT = 0.0003, 0.01  # seconds: a shorter call is not worth a wait
_OCTETS_AHEAD = 4 << 20


class Dispatch:
    """The desk that sessions take messages from, for one call of `SmtpPool.deliver`.

    `ahead` messages are fetched from the source before a connection asks for them, fewer where they are big.
    """

    def __init__(self, messages: Iterable[Outgoing | Coming], hand_over: HandOver, crew: Crew, *, ahead: int) -> None:
        self._source = iter(messages)
        self._gate = Gate(hand_over)
        self._ahead = ahead
        self._crew = crew
        self._queue: deque[Envelope] = deque()
        self._open_count = 0  # taken from the source and not concluded
        self._is_exhausted = False
        self._coming: asyncio.Future[bytes] | None = None  # the source has nothing ready before it is done
        self._error: BaseException | None = None
        self._fault: TransportFault | None = None
        self._denials = crew.denials
        self._denials.begin()
        self._denied: list[tuple[Envelope, Outcome]] = []  # whose fault it is turns out later
        self._denied_with: TransportFault | None = None
        self._idle: list[Session] = []
        self._sessions: set[Session] = set()
        self._is_gathering = False
        self._full_count = 0  # of sessions at the gate or idle: nobody else is about to come
        self._is_report_due = False
        self._woken = asyncio.Event()

    async def run(self, sessions: Iterable[Session]) -> None:
        """Every message is concluded and every answer reported.

        Raises:
            TransportFault: the transport cannot be used; what had been taken from the source was reported as
                not_sent, the rest was left in it.
            Exception: whatever the source of the messages or `hand_over` raised.
        """
        self._idle.extend(sessions)
        self._sessions.update(self._idle)
        self._fetch_ahead()
        while self._employ():
            await self._woken.wait()
            self._woken.clear()
            if self._gate.waiting:
                await self._gather()
                await self._pass_gate()
            elif self._is_report_due:
                self._is_report_due = False
                await self._gate.report()
            await asyncio.sleep(0)  # what was written leaves: while it is under way there is time to make messages
            self._fetch_ahead()
        if self._gate.has_answers:
            await self._gate.report()
        if self._error is not None:
            raise self._error
        if self._fault is not None:
            raise self._fault

    # What sessions call.

    def take(self, features: Features) -> Envelope | None:
        """The next message that a server with these features can be given."""
        while self._fill(1):
            envelope = self._queue.popleft()
            refusal = envelope.refusal(features)
            if refusal is None:
                return envelope
            self.answered(envelope, refusal)
        return None

    def ready(self, session: Session) -> None:
        """The session waits at the gate: its server took a recipient."""
        if self._denied or self._denials.in_a_row or not self._denials.has_relayed:
            self._denials.relayed()
            self._conclude_denied()
        self._gate.reached_by(session)
        self._look_up()

    def answered(self, envelope: Envelope, outcome: Outcome) -> None:
        """The message is concluded; its outcome goes with the next call of `hand_over`."""
        self._conclude(envelope.id, outcome)

    def stranded(self, session: Session, envelope: Envelope, trouble: Trouble, *, is_innocent: bool) -> None:
        """The connection broke before the final dot: the message gets another connection, or is deferred.

        One that was at most a witness gets it for nothing, others once: a connection that was resting may have
        been closed long ago, and that costs no attempt (S-1.28).
        """
        if not self._gate.withdraw(session):
            return  # `_let_through` settles it, when it is known whether the hand-over was recorded
        if self._fault is not None:
            self.answered(envelope, _not_sent(self._fault))
        elif is_innocent or self._has_second_chance(session, envelope, trouble):
            envelope.had_second_chance |= not is_innocent
            self._queue.appendleft(envelope)
            self._woken.set()
        else:
            self.answered(envelope, _deferred(trouble))

    def denied(self, envelope: Envelope, refusal: Outcome, fault: TransportFault) -> None:
        """The recipient was denied relaying; whose fault that is turns out later (see `denials`)."""
        self._denials.denied(envelope.recipient)
        self._denied.append((envelope, refusal))
        self._denied_with = fault
        if self._fault is not None or self._denials.are_of_the_client:
            self.stop(self._fault or fault)
        self._woken.set()

    def faulty(self, fault: TransportFault, envelope: Envelope) -> None:
        """The server refuses this client: nothing more is taken, and nobody failed."""
        self._conclude(envelope.id, _not_sent(fault))
        self.stop(fault)

    def idle(self, session: Session) -> None:
        """The session waits for work."""
        self._idle.append(session)
        self._look_up()

    def gone(self, session: Session) -> None:
        """The session is out; if work is left, a new connection is opened for it."""
        if session in self._idle:
            self._idle.remove(session)
        self._sessions.discard(session)
        self._crew.gone(session)
        self._woken.set()

    # What the pool calls.

    def welcome(self, session: Session) -> None:
        """A new connection takes part."""
        self._sessions.add(session)
        self._begin(session)
        self._woken.set()

    def stop(self, fault: TransportFault) -> None:
        """No further message is taken, and those waiting are not sent; those under way are concluded."""
        self._fault = self._fault or fault
        self._is_exhausted, self._coming = True, None
        while self._queue:
            self._conclude(self._queue.popleft().id, _not_sent(fault))
        self._conclude_denied()
        self._woken.set()

    def tick(self) -> None:
        """Answers that have waited since the last tick for a window to go with are reported without one."""
        if self._gate.tick():
            self._is_report_due = True
            self._woken.set()

    def crash(self, error: BaseException) -> None:
        """The delivery ends with `error`, when what is under way is concluded."""
        self._error = self._error or error
        self.stop(TransportFault("the delivery was broken off", temporary=True))

    # The gate.

    def _look_up(self) -> None:
        if not self._is_gathering or self._is_window_full():
            self._woken.set()

    def _is_window_full(self) -> bool:
        return len(self._gate.waiting) + len(self._idle) >= self._full_count

    async def _gather(self) -> None:
        """The window is full, or as many seconds have passed as a call takes."""
        wait_s = min(self._gate.call_s, _LONGEST_WAIT)
        if wait_s < _SHORTEST_WAIT:
            return
        busy = self._sessions.difference(self._idle)
        self._full_count = len(self._sessions) - self._gate.far_off_count(busy, wait_s)
        if self._is_window_full():
            return
        self._is_gathering = True
        alarm = asyncio.get_running_loop().call_later(wait_s, self._woken.set)
        try:
            await self._woken.wait()
        finally:
            alarm.cancel()
            self._is_gathering = False

    async def _pass_gate(self) -> None:
        if not self._gate.waiting:
            return  # all of them broke while the window was filled
        window, going = await self._gate.open()
        asked_at = asyncio.get_running_loop().time()
        for session in window:
            session.asked_at = asked_at
            self._let_through(session, going)

    def _let_through(self, session: Session, going: frozenset[int]) -> None:
        envelope = session.current
        if envelope is None:
            return
        if envelope.id not in going:
            self._open_count -= 1
            session.refuse()
        elif session.broken_by is not None:  # the hand-over is on record, so another one would be refused
            self.answered(envelope, _deferred(session.broken_by))
        else:
            session.release()

    # Work and workers.

    def _employ(self) -> bool:
        """Waiting messages get the idle sessions, and more connections are opened; False when all is concluded."""
        while self._idle and self._fill(1):
            self._begin(self._idle.pop())
        if self._fill(1) and self._fail_those_known_to_be_refused():
            self._crew.open_more(len(self._queue))
        if self._denied_with is not None and self._is_exhausted and self._open_count == len(self._denied) > 0:
            self._judge_denied(self._denied_with)
        return self._open_count > 0 or self._coming is not None

    def _begin(self, session: Session) -> None:
        session.asked_at = asyncio.get_running_loop().time()
        session.proceed()

    def _judge_denied(self, fault: TransportFault) -> None:
        """Nothing is left that could tell whose fault it is: it is theirs if the server ever relayed."""
        if self._denials.has_relayed:
            self._conclude_denied()
        else:
            self.stop(fault)

    def _conclude_denied(self) -> None:
        denied, self._denied = self._denied, []
        if self._fault is not None:
            self._denials.suspect(envelope.recipient for envelope, _ in denied)
        for envelope, refusal in denied:
            self._conclude(envelope.id, refusal if self._fault is None else _not_sent(self._fault))

    def _fail_those_known_to_be_refused(self) -> bool:
        """No connection is opened for what the server is known not to take (S-1.20); False when none is needed."""
        features = self._crew.known_features()
        while features is not None and self._fill(1) and (refusal := self._queue[0].refusal(features)) is not None:
            self.answered(self._queue.popleft(), refusal)
        return bool(self._queue)

    def _fill(self, count: int) -> bool:
        """`count` messages wait in the queue, or as many as the source has left; False when there is none."""
        while len(self._queue) < count and self._fetch():
            pass
        return bool(self._queue)

    def _fetch_ahead(self) -> None:
        """Enough messages are taken ahead of need, which is when they are rendered."""
        while not self._is_enough() and self._fetch():
            pass

    def _is_enough(self) -> bool:
        count = len(self._queue)
        return count > 0 and (count >= self._ahead or count * self._queue[-1].size >= _OCTETS_AHEAD)

    def _fetch(self) -> bool:
        """One more message was taken from the source; False when it has ended, or the next one is in the making."""
        if self._is_exhausted or not self._has_come():
            return False
        try:
            outgoing = next(self._source, None)
        except Exception as error:  # noqa: BLE001  the caller's own: raised again when all is concluded
            self._error = error
            outgoing = None
        if outgoing is None:
            self._is_exhausted = True
            return False
        if isinstance(outgoing, Coming):
            self._await(outgoing)
            return self._fetch()
        self._open_count += 1
        made = envelope_of(outgoing)
        if isinstance(made, Outcome):
            self._conclude(outgoing.id, made)
        else:
            self._queue.append(made)
        return True

    def _await(self, coming: Coming) -> None:
        self._coming = asyncio.wrap_future(coming.future)
        self._coming.add_done_callback(lambda _: self._woken.set())

    def _has_come(self) -> bool:
        """Whether the source may be asked: what it was waiting for is done."""
        if self._coming is not None and self._coming.done():
            self._coming = None
        return self._coming is None

    def _conclude(self, message_id: int, outcome: Outcome) -> None:
        self._open_count -= 1
        self._gate.record(message_id, outcome)
        if not self._open_count:
            self._woken.set()

    def _has_second_chance(self, session: Session, envelope: Envelope, trouble: Trouble) -> bool:
        if envelope.had_second_chance:
            return False
        if trouble.kind is TroubleKind.CLOSING:  # 421 is about the connection, or the address (S-1.5, S-1.45)
            return session.has_served or self._crew.is_elsewhere_possible(session)
        return trouble.kind is TroubleKind.LOST


def _deferred(trouble: Trouble) -> Outcome:
    if trouble.reply is not None:
        return trouble.reply.outcome(OutcomeState.DEFERRED, trouble.step)
    return Outcome(OutcomeState.DEFERRED, None, None, f"before the end of the message: {trouble.text}")


def _not_sent(fault: TransportFault) -> Outcome:
    return Outcome(OutcomeState.NOT_SENT, None, None, fault.message)
