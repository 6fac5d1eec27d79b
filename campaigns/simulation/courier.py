"""The courier of a rehearsal: claims, gate, caps, quiet hours and hand-over are production's; a transport takes all.

What it alone knows is noted in a table of its own, `rehearsal_hold`: who had to wait for what.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Final

from sqlalchemy import Connection, bindparam, text

from campaigns import batches, ledger, mailings, transactional
from campaigns.duty import Circumstances
from campaigns.ledger import Claim
from campaigns.mailings import Letter, Recipient, Studio
from campaigns.putting_off import hold_off
from campaigns.sequences import recall
from campaigns.simulation.responses import Responses
from campaigns.window import Window, hand_over
from core.arrays import Ids
from core.errors import ConfigError, RenderError
from delivery import routes
from delivery.message_bytes import write_message
from delivery.smtp import Outcome, OutcomeState
from templates.mailing import Rendered

_TABLE: Final = """
    CREATE TEMP TABLE rehearsal_hold (message_id bigint, reason text, at timestamptz, PRIMARY KEY (message_id, reason))
"""
_NOTE_HOLDS: Final = text("""
    INSERT INTO rehearsal_hold SELECT id, hold_reason, :now FROM message
    WHERE id = ANY(:ids) AND hold_reason IS NOT NULL ON CONFLICT DO NOTHING
""").bindparams(bindparam("ids", type_=Ids))
#: Who hands over, as the ledger shows it.
NAME: Final = "rehearsal"
_TAKEN: Final = Outcome(OutcomeState.ACCEPTED, 250, "2.0.0", "rehearsed")
_NO_SUCH_MAILBOX: Final = Outcome(OutcomeState.FAILED, 550, "5.1.1", "assumed: no such mailbox")


@dataclass(frozen=True, slots=True)
class Flaw:
    """A message that could not be rendered."""

    campaign: str
    step: str
    customer: str
    what: str


@dataclass
class NullCourier:
    """Sends batches to nobody.

    `samples`: how many messages of each version are rendered, to find mistakes; None: all of them. `watched`: the
    external ids of customers whose every message is rendered and kept; None: everybody's.
    """

    circumstances: Circumstances
    responses: Responses
    samples: int | None = 5
    watched: frozenset[str] | None = frozenset()
    flaws: list[Flaw] = field(default_factory=list)
    flaw_counts: Counter[tuple[str, str]] = field(default_factory=Counter)  # by campaign and step
    sights: dict[int, Rendered] = field(default_factory=dict)  # of the watched, by message
    faults: dict[int, str] = field(default_factory=dict)  # why theirs could not be rendered, by message
    rendered: Counter[int] = field(default_factory=Counter)  # by version's id

    @classmethod
    def prepare(cls, connection: Connection) -> None:
        """The table of what was held is there."""
        connection.execute(text(_TABLE))

    def send_batch(self, connection: Connection, batch_id: int, now: datetime) -> int:
        """What of the batch may go is accepted at `now`; how many messages that is."""
        transactional.gather(connection, batch_id, now)
        settings, policy = self.circumstances.settings, self.circumstances.policy
        held = ledger.claim(connection, batch_id, worker=NAME, lease=settings.workers.lease, policy=policy, now=now)
        if held is None:
            return 0
        letter = self._studio.letter(connection, held.version_id)
        claimed = held.message_ids
        people = list(mailings.recipients(connection, claimed, policy=policy, now=now))
        gone = sorted(set(claimed) - {person.message_id for person in people})
        if people:
            held, people = recall.leave_out(connection, held, people, letter.version, now)
            held, people = hold_off(connection, held, people, letter.version, now)
        failed = self._render(held.version_id, letter, people)
        accepted, refused = self._hand_over(connection, held, letter, people, failed, now)
        skipped = {"address_changed": gone, "render_failed": failed}
        batches.close(connection, held, now, skipped=skipped, refused=refused, policy=settings.refusals)
        connection.execute(_NOTE_HOLDS, {"ids": list(claimed), "now": now})
        self.responses.expect(connection, accepted, now)
        return len(accepted) + len(refused)

    def _hand_over(
        self, connection: Connection, held: Claim, letter: Letter, people: Sequence[Recipient], failed: Sequence[int],
        now: datetime,
    ) -> tuple[list[int], list[int]]:  # fmt: skip
        """The messages that were accepted, and those that were refused."""
        accepted: list[int] = []
        refused: list[int] = []
        tried = {person.message_id: person.attempt_count for person in people}
        for transport, share in self._shared_out(sorted(set(tried).difference(failed)), letter.version.transport):
            contents: Mapping[int, bytes] = dict.fromkeys(share, b"") if held.sends_again else {}
            going = hand_over(connection, held, Window(share, (), contents, tried), transport=transport, now=now)
            bounced = self.responses.bounced(connection, going)
            answers = [(id_, _NO_SUCH_MAILBOX if id_ in bounced else _TAKEN) for id_ in going]
            hand_over(connection, held, Window((), answers, contents, tried), transport=transport, now=now)
            accepted += [id_ for id_ in going if id_ not in bounced]
            refused += [id_ for id_ in going if id_ in bounced]
        return accepted, refused

    def _shared_out(self, ids: Sequence[int], route: str) -> Iterator[tuple[str, Sequence[int]]]:
        """The messages by transport, in proportion to the weights of the route."""
        if not ids:
            return
        ways = routes.ways(self.circumstances.settings, route)
        weights = {way: weight for way, weight in ways.items() if isinstance(weight, int)} or dict.fromkeys(ways, 1)
        total, first, passed = sum(weights.values()), 0, 0
        for way, weight in weights.items():
            passed += weight
            last = len(ids) * passed // total
            if last > first:
                yield way, ids[first:last]
            first = last

    # --- rendering ------------------------------------------------------------------------------------------------

    @cached_property
    def _studio(self) -> Studio:
        return Studio(self.circumstances.workspace)

    def _render(self, version_id: int, letter: Letter, people: Sequence[Recipient]) -> list[int]:
        """A sample was rendered, and the messages of those who are watched; who cannot be is returned."""
        failed = []
        for person in people:
            is_sample = self.samples is None or self.rendered[version_id] < self.samples
            self.rendered[version_id] += is_sample
            if (is_sample or self._is_watched(person)) and not self._renders(letter, person):
                failed.append(person.message_id)
        return failed

    def _is_watched(self, person: Recipient) -> bool:
        return self.watched is None or person.customer["external_id"] in self.watched

    def _renders(self, letter: Letter, person: Recipient) -> bool:
        campaign, step = person.identity.split("|")[:2]
        try:
            rendered = self._studio.render(letter, person)
            write_message(self._studio.mail(letter, person))
        except (RenderError, ConfigError) as error:
            what = error.message
        except Exception as error:  # noqa: BLE001  as in production: one person's values fail alone
            what = f"{type(error).__name__}: {error}"
        else:
            if self._is_watched(person):
                self.sights[person.message_id] = rendered
            return True
        if self._is_watched(person):
            self.faults[person.message_id] = what
        self.flaw_counts[campaign, step] += 1
        if self.flaw_counts[campaign, step] == 1:
            self.flaws.append(Flaw(campaign, step, person.customer["external_id"], what))
        return False
