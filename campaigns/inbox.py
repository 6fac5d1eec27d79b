"""Mails that came in are read, and what follows from them happens: each once, however often processes end.

A mail waits in `inbound_mail` from before its mailbox may forget it. It is begun in one transaction and handled in
another, together with everything that follows from it; one that cannot be handled is kept aside, and never holds up
the next.
"""

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from sqlalchemy import Connection, select, update
from sqlalchemy.exc import DBAPIError, OperationalError

from campaigns import tasks
from campaigns.duty import Circumstances
from campaigns.events import calendar_replies
from campaigns.feedback import Effect, Receiver, complaints, take
from campaigns.feedback.answering import ASKS_TO, DESK
from campaigns.inquiries import by_mail
from campaigns.inquiries.desk_mail import Written, desk_for, written_of
from core.clock import Clock
from core.database import Database, is_gone
from core.errors import ServiceError
from core.schema import feedback
from core.staff_settings import responsible
from core.workspace import Workspace
from tracking.feedback import Feedback, FeedbackKind, Reply
from tracking.inbound import leaving, people, storage
from tracking.inbound.findings import Action, Finding
from tracking.inbound.mime import CUT_OFF
from tracking.inbound.proof import Proof, Prover
from tracking.inbound.reading import Reading, read
from tracking.inbound.storage import Stored

_log = logging.getLogger("clarion.inbound")
SOURCE: Final = "mail"
#: Who began a mail longer ago than this has ended without finishing it; reading takes seconds at most.
_LEASE: Final = timedelta(minutes=2)
#: The Date of a mail counts as the time of what it reports only if it is not older than this.
_OLDEST: Final = timedelta(days=7)
_MOST_FINDINGS: Final = 500
_REPLY_TEXT: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class Handled:
    """What became of a mail. `kind` is None for one that was kept aside."""

    mail_id: int
    kind: FeedbackKind | None
    effects: tuple[str, ...] = ()
    problem: str | None = None


class Inbox:
    """Handles the mails of one workspace, by its settings as they were when this was made."""

    def __init__(self, workspace: Workspace, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self._receiver, self._prover = Receiver.of(workspace), Prover.of(workspace)
        self._circumstances = Circumstances.of(workspace)

    def handle_all(self) -> int:
        """Every mail that waited is handled or kept aside; how many. Repeat: safe, also concurrently.

        Raises:
            ServiceError: the database cannot be reached.
        """
        count = 0
        while self.handle_next() is not None:
            count += 1
        return count

    def handle_next(self) -> Handled | None:
        """The oldest mail that waits is handled or kept aside; None when none waits.

        Raises:
            ServiceError: the database cannot be reached; the mail waits again after a while.
        """
        with self._database.begin() as connection:
            mail = storage.begin(connection, self._clock.now(), _LEASE)
            if mail is not None and mail.attempt_count > storage.MOST_ATTEMPTS:
                return self._aside(connection, mail, f"reading it ended the process {storage.MOST_ATTEMPTS} times")
        return self._handle(mail) if mail is not None else None

    def _handle(self, mail: Stored) -> Handled:
        try:
            reading = read(mail.raw)
            with self._database.begin() as connection:
                return self._follow(connection, mail, reading)
        except (ServiceError, OperationalError):  # gone, or two transactions in each other's way: later again
            self._give_back(mail)
            raise
        except DBAPIError as error:
            if is_gone(error):
                self._give_back(mail)
                raise
            problem = f"what follows from it was refused: {type(error.orig).__name__}"
        except Exception as error:  # noqa: BLE001  a bug met by one mail must not hold up all others
            problem = f"it could not be handled: {type(error).__name__}"
        _log.exception("inbound mail %d: %s", mail.id, problem)
        with self._database.begin() as connection:
            return self._aside(connection, mail, problem)

    def _give_back(self, mail: Stored) -> None:
        """What the database did is no fault of the mail; where it cannot even be told so, one attempt is lost."""
        with contextlib.suppress(ServiceError, DBAPIError), self._database.begin() as connection:
            storage.give_back(connection, mail.id)

    def tell_of_aside(self, connection: Connection) -> None:
        """Somebody has to see to the mails kept aside: a task and a notice, once a day. Repeat: safe."""
        now, receiver = self._clock.now(), self._receiver
        key, words = f"inbound:aside:{now.date()}", "Mails came in that could not be handled, and are kept aside"
        body = f"{words}. They may be opt-outs. `clarion inbound list --aside` shows them, and why.\n"
        owner = responsible(receiver.staff, receiver.rules.replies_to)
        task = tasks.NewTask(key, "inbound", words, body, owner, due_at=now + receiver.rules.answer_within)
        if tasks.create(connection, task, now) is not None:
            complaints.tell(connection, receiver, key, words, now)

    def _aside(self, connection: Connection, mail: Stored, problem: str) -> Handled:
        storage.keep_aside(connection, mail.id, problem, self._clock.now())
        self.tell_of_aside(connection)
        return Handled(mail.id, None, problem=problem)

    def _follow(self, connection: Connection, mail: Stored, reading: Reading) -> Handled:
        """What follows from the mail has happened, with its state, in the connection's transaction."""
        now = self._clock.now()
        proof = self._prover.prove(reading, mail.envelope_to)
        told = events(mail, reading, proof)
        kind = told[0].kind
        flaws = "; ".join(reading.mail.flaws)
        if _is_for_people(kind, reading.mail.flaws, is_proven=proof.message_id is not None):
            return self._aside(connection, mail, flaws)
        answered = calendar_replies.take(connection, self._circumstances, reading.mail, now)
        if answered is not None:
            return self._answered(connection, mail, reading, answered, now)
        written, desk = None, None
        if kind is FeedbackKind.REPLY and self._circumstances.settings.inquiries:
            written = written_of(connection, self._circumstances, told[0], reading.mail, mail.envelope_to)
            desk = desk_for(connection, self._circumstances, written, now)
        if desk is not None:
            told = [replace(told[0], detail={**told[0].detail, DESK: desk})]
        effects = take(connection, told, self._receiver, now)
        if desk is not None and written is not None and effects[0].is_new:
            effects = [self._inquired(connection, effects[0], desk, written, now)]
        effects += take(connection, _for_people(mail, reading, effects), self._receiver, now)
        first = next((one for one in effects if one.message_id is not None), None)
        message_id = first.message_id if first is not None else None
        if not storage.handled(
            connection, mail.id, shown_kind(reading), message_id, _customer_of(connection, effects), now, flaws or None
        ):
            raise RuntimeError(f"inbound mail {mail.id} was handled by another process meanwhile")
        return Handled(mail.id, kind, tuple(one.words for one in effects if one.words), flaws or None)

    def _answered(self, connection: Connection, mail: Stored, reading: Reading, words: str, now: datetime) -> Handled:
        """A calendar's answer has been followed: nobody has to read it."""
        if not storage.handled(connection, mail.id, shown_kind(reading), None, None, now, None):
            raise RuntimeError(f"inbound mail {mail.id} was handled by another process meanwhile")
        return Handled(mail.id, reading.findings[0].kind, (words,))

    def _inquired(self, connection: Connection, effect: Effect, desk: str, written: Written, now: datetime) -> Effect:
        """The mail is an inquiry, or belongs to one, which is noted with the event."""
        came_to = by_mail.take(connection, self._circumstances, desk, written, now)
        words = "; ".join(word for word in (effect.words, came_to) if word)
        noted = update(feedback).where(feedback.c.event_key == effect.feedback.event_key).values(effect=words)
        connection.execute(noted)
        return replace(effect, words=words)


def _is_for_people(kind: FeedbackKind, flaws: Sequence[str], *, is_proven: bool) -> bool:
    """Whether a mail is too strange for anything to follow from it: beyond a limit, or broken and not understood.

    A report with a token of ours counts all the same. Answers with original attached are never passed on then.
    """
    if kind is FeedbackKind.UNKNOWN:
        return bool(flaws)
    return any(flaw != CUT_OFF for flaw in flaws) and (kind is FeedbackKind.REPLY or not is_proven)


def shown_kind(reading: Reading) -> FeedbackKind:
    """What the mail is, in one word: the kind of its first finding."""
    return reading.findings[0].shown_class


def events(mail: Stored, reading: Reading, proof: Proof) -> list[Feedback]:
    """What a mail reports, as events: one for each recipient."""
    occurred_at = _occurred_at(reading, mail.received_at)
    return [
        _event(mail, reading, proof, finding, number, occurred_at)
        for number, finding in enumerate(reading.findings[:_MOST_FINDINGS])
    ]


def _event(
    mail: Stored, reading: Reading, proof: Proof, finding: Finding, number: int, occurred_at: datetime
) -> Feedback:
    # A failure for good whose cause nobody gives says nothing yet about the address (S-4.3).
    is_doubtful = finding.kind is FeedbackKind.HARD and not finding.is_certain
    return Feedback(
        kind=FeedbackKind.SOFT if is_doubtful else finding.kind,
        source=SOURCE,
        event_key=_key(mail, number),
        occurred_at=occurred_at,
        address=finding.recipient,
        message_id=proof.message_id,
        matched_by=proof.matched_by,
        named=proof.named,
        also=people.writers_of(reading.mail) if finding.recipient == people.sender_of(reading.mail) else (),
        is_final=finding.action is not Action.DELAYED,
        status=finding.status,
        diagnostic=finding.diagnostic or None,
        reply=_reply(reading) if finding.kind is FeedbackKind.REPLY else None,
        detail={"mail": mail.id} | ({"said": FeedbackKind.HARD.value} if is_doubtful else {}),
    )


def _key(mail: Stored, number: int | str) -> str:
    return f"{SOURCE}:{mail.digest.hex()[:40]}:{number}"


def _for_people(mail: Stored, reading: Reading, effects: Sequence[Effect]) -> list[Feedback]:
    """A request to stop that somebody should read: nobody could be matched with it (S-4.11), or it was known by its
    words alone and says more than that. It must not be lost."""
    asked = [
        one for one in effects if one.feedback.kind is FeedbackKind.UNSUBSCRIBE and one.feedback.address is not None
    ]
    in_words = bool(asked) and not reading.findings[0].diagnostic and not leaving.asks_by_token(reading.mail)
    is_wordy = in_words and leaving.says_more(reading.mail)
    return [
        replace(
            one.feedback,
            kind=FeedbackKind.REPLY,
            event_key=_key(mail, "for-people"),
            reply=_reply(reading),
            detail={"mail": mail.id, ASKS_TO: "unsubscribe"},
        )
        for one in asked
        if one.words is None or is_wordy
    ][:1]


def _reply(reading: Reading) -> Reply | None:
    mail = reading.mail
    sender = people.sender_of(mail)
    if sender is None:
        return None
    return Reply(sender, mail.top.first("subject")[:500], leaving.words_of(mail, _REPLY_TEXT), mail.raw)


def _occurred_at(reading: Reading, received_at: datetime) -> datetime:
    """When it was written, where that is plausible; else when it came."""
    try:
        written = parsedate_to_datetime(reading.mail.top.first("date")[:100])
        written = written.replace(tzinfo=UTC) if written.tzinfo is None else written.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return received_at
    return written if received_at - _OLDEST <= written <= received_at else received_at


def _customer_of(connection: Connection, effects: Sequence[Effect]) -> int | None:
    keys = [one.feedback.event_key for one in effects]
    known = select(feedback.c.customer_id).where(feedback.c.event_key.in_(keys), feedback.c.customer_id.is_not(None))
    found: int | None = connection.execute(known.limit(1)).scalar_one_or_none()
    return found
