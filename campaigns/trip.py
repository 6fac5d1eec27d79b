"""One batch on its way: rendered, signed, handed over window by window, its answers collected."""

import asyncio
import logging
import time
import zlib
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final

from campaigns.journal import Journal
from campaigns.ledger import Claim
from campaigns.mailings import Letter, Recipient, Sheet, Studio
from core.errors import RenderError
from delivery.dkim import Signer, SigningPool
from delivery.message_bytes import write_message
from delivery.smtp import Coming, HandOver, Outcome, OutcomeState, Outgoing, SmtpPool
from suppression.gate import TRANSACTIONAL
from tracking.return_paths import ReturnPaths

_log = logging.getLogger("clarion.sending")
#: A batch that is under way this long is given back with what is left of it: calls of other systems and changed
#: settings wait for its end, and what is more urgent behind one that is urgent. A thousand messages over five
#: connections and a round trip of 50 ms take 11 s.
_LONGEST_S: Final = 15.0
_LONGEST_URGENT_S: Final = 10.0
#: Messages that are being signed while others are sent; fewer where they have so many octets together.
_SIGNED_AHEAD: Final = 20
_OCTETS_AHEAD: Final = 4 << 20
#: Messages that are made together, step by step: a processor that does one thing fifty times in a row takes two
#: thirds of the time. The event loop waits for it, some 8 ms. Their files are not in them yet.
_TOGETHER: Final = 50


#: A journal for these attempts before the trip, and these contents under way (`campaigns.journal`).
JournalFor = Callable[[Mapping[int, int], Mapping[int, bytes]], Journal]


@dataclass(frozen=True, slots=True)
class Desk:
    """What every trip of one worker and one version needs."""

    studio: Studio
    letter: Letter
    signer: Signer | None  # None: mail of this sender goes unsigned
    signing: SigningPool
    return_paths: ReturnPaths | None  # None: bounces come back to the sender's own address
    is_stopping: Callable[[], bool]


@dataclass(slots=True)
class Trip:
    """The messages of one claim that may go now. `kept` holds the bytes of those that were tried before,
    but for their files."""

    desk: Desk
    held: Claim
    people: Sequence[Recipient]
    kept: Mapping[int, bytes]  # compressed
    answers: list[tuple[int, Outcome]] = field(default_factory=list)
    render_failed: list[int] = field(default_factory=list)
    # Of the messages under way, unsigned and without their files: those are the version's.
    _contents: dict[int, bytes] = field(default_factory=dict)
    _stopped: bool = False  # the run was paused, or the batch is somebody else's

    async def go(self, pool: SmtpPool, journal_for: JournalFor) -> None:
        """Every message that could be rendered in time is handed over and answered.

        Raises:
            TransportError: the transport cannot be used.
        """
        tried = {person.message_id: person.attempt_count for person in self.people}
        journal = journal_for(tried, self._contents)
        await journal.open()
        renewing = asyncio.ensure_future(self._keep_lease(journal))
        mails = self._mails() if self.desk.signer is None else self._signed(self.desk.signer)
        try:
            await pool.deliver(mails, self._hand_over_to(journal))
        finally:
            renewing.cancel()
            await journal.close()

    @property
    def unsent(self) -> list[Recipient]:
        """Those of the people whose message was never offered to a server."""
        offered = {message_id for message_id, outcome in self.answers if outcome.state is not OutcomeState.NOT_SENT}
        return [person for person in self.people if person.message_id not in offered]

    async def _keep_lease(self, journal: Journal) -> None:
        """A server may take minutes to answer: the lease is renewed while this worker lives."""
        while True:
            await asyncio.sleep(self.held.lease.total_seconds() / 3)
            self._stopped |= not await journal.is_held()

    def _hand_over_to(self, journal: Journal) -> HandOver:
        async def hand_over(answered: Sequence[tuple[int, Outcome]], ids: Sequence[int]) -> Collection[int]:
            going = await journal.write(answered, ids)
            self.answers += answered
            for message_id, _ in answered:
                self._contents.pop(message_id, None)
            if ids and not going:
                self._stopped |= not await journal.is_held()
            return going

        return hand_over

    def _signed(self, signer: Signer) -> Iterator[Outgoing | Coming]:
        """The messages in order, each as soon as its signature is made; several are in the making."""
        under_way: deque[tuple[Outgoing, Future[bytes]]] = deque()
        octets = 0
        for outgoing in self._mails():
            under_way.append((outgoing, self.desk.signing.submit(signer, outgoing.content)))
            octets += len(outgoing.content)
            while len(under_way) >= _SIGNED_AHEAD or octets > _OCTETS_AHEAD:
                octets -= len(under_way[0][0].content)
                yield from self._first(under_way)
        while under_way:
            yield from self._first(under_way)

    def _first(self, under_way: deque[tuple[Outgoing, Future[bytes]]]) -> Iterator[Outgoing | Coming]:
        """The oldest of them; nothing, and one more failed, where it cannot be signed."""
        outgoing, signing = under_way.popleft()
        while not signing.done():
            yield Coming(signing)
        try:
            signed = signing.result()
        except Exception:  # noqa: BLE001  one message must not keep all others waiting for ever
            _log.exception("message %d was not signed", outgoing.id)
            self._contents.pop(outgoing.id, None)
            self.render_failed.append(outgoing.id)
        else:
            yield outgoing._replace(content=signed)

    def _mails(self) -> Iterator[Outgoing]:
        letter, paths = self.desk.letter, self.desk.return_paths
        for person, content in self._written():
            self._contents[person.message_id] = content
            mail_from = letter.version.sender.email if paths is None else paths.path(person.message_id)
            yield Outgoing(
                person.message_id, mail_from, person.email, letter.enclosures.put_into(content), person.smtputf8,
                person.envelope_id, in_crlf=True,  # `write_message` makes no other lines
            )  # fmt: skip

    def _written(self) -> Iterator[tuple[Recipient, bytes]]:
        """The messages that can be rendered in time, in order, as their bytes before signing, without their files."""
        is_urgent = self.held.message_class == TRANSACTIONAL
        deadline = time.monotonic() + (_LONGEST_URGENT_S if is_urgent else _LONGEST_S)
        for start in range(0, len(self.people), _TOGETHER):
            for person, content in self._made(self.people[start : start + _TOGETHER]):
                if self._stopped or self.desk.is_stopping() or time.monotonic() > deadline:
                    return
                yield person, content

    def _made(self, people: Sequence[Recipient]) -> list[tuple[Recipient, bytes]]:
        """Their bytes; of whom a mailing cannot be rendered there are none, and one more failed.

        What was tried before is sent again as it was, whatever changed since (S-2.5).
        """
        contents: dict[int, bytes] = {}

        def write(sheet: Sheet) -> None:
            contents[sheet.recipient.message_id] = write_message(sheet.mail)

        def unpack(sheet: Sheet) -> None:
            contents[sheet.recipient.message_id] = zlib.decompress(self.kept[sheet.recipient.message_id])

        letter, studio, kept = self.desk.letter.without_files, self.desk.studio, self.kept
        self._do((unpack,), [Sheet(letter, person) for person in people if person.message_id in kept])
        self._do((*studio.steps, write), [Sheet(letter, person) for person in people if person.message_id not in kept])
        return [(person, contents[person.message_id]) for person in people if person.message_id in contents]

    def _do(self, steps: Iterable[Callable[[Sheet], None]], sheets: list[Sheet]) -> None:
        """Each step for all of them before the next one, which those who failed do not come to."""
        for step in steps:
            done: list[Sheet] = []
            for sheet in sheets:
                try:
                    step(sheet)
                except Exception as error:  # noqa: BLE001  one person's values must not keep all others waiting
                    self._fail(sheet.recipient.message_id, error)
                else:
                    done.append(sheet)
            sheets = done

    def _fail(self, message_id: int, error: Exception) -> None:
        """This person's mailing cannot be rendered; a bug keeps its traceback."""
        if isinstance(error, RenderError):
            _log.warning("message %d was not rendered: %s", message_id, error.message)
        else:
            _log.error("message %d was not rendered", message_id, exc_info=error)
        self.render_failed.append(message_id)
