"""Whatever order feedback comes in, and however often: messages and addresses end as a plain reference says."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, select

from campaigns.feedback import catch_up, take
from campaigns.feedback.soft_rule import Bounce, suppressed_until
from core import schema
from core.database import Database
from core.feedback_settings import FeedbackRules, SoftBounces
from core.refusal_settings import Outage, Refusals
from tests.factories import key_of, make_customer, make_message, make_run
from tests.feedback_events import NOON, make_receiver
from tracking.feedback import Feedback, FeedbackKind, MatchedBy

K = FeedbackKind
EMAILS: Final = ("a@customers.example", "b@customers.example")
MESSAGES_EACH: Final = 4
SOFT: Final = SoftBounces(times=3, days=2, within=timedelta(days=10))
FULL: Final = SoftBounces(times=2, days=2, within=timedelta(days=20))
RECEIVER: Final = make_receiver(
    rules=FeedbackRules(soft=SOFT, mailbox_full=FULL),
    refusals=Refusals(outage=Outage(attempts=1_000_000), message_faults=1_000_000),
)
ALL_KINDS: Final = [kind for kind in FeedbackKind if kind is not K.REPLY]


@dataclass(frozen=True)
class Told:
    """One event before it has ids: about the n-th message of an address."""

    number: int
    kind: FeedbackKind
    address: int
    message: int
    hours_ago: int
    trust: str  # proven, verified, forged
    is_final: bool = True

    @property
    def at(self) -> datetime:
        return NOON - timedelta(hours=self.hours_ago)


def told() -> st.SearchStrategy[Told]:
    return st.builds(
        Told,
        number=st.integers(0, 40),
        kind=st.sampled_from(ALL_KINDS) | st.sampled_from([K.SOFT, K.MAILBOX_FULL, K.DELIVERED]),
        address=st.integers(0, len(EMAILS) - 1),
        message=st.integers(0, MESSAGES_EACH - 1),
        hours_ago=st.integers(0, 24 * 25),
        trust=st.sampled_from(["proven", "proven", "proven", "verified", "forged"]),
        is_final=st.booleans() | st.just(True),
    )


@dataclass(frozen=True)
class End:
    """What all of it came to."""

    states: tuple[str, ...]
    classes: tuple[str | None, ...]
    entries: frozenset[tuple[int, str, str, str, datetime | None]]  # address, scope, topic, reason, end
    events: frozenset[int]


# --- the reference: plain Python over the set of events, in no order ---------------------------------------------

_CLASS_ORDER: Final = ("soft", "block", "message_fault", "mailbox_full", "hard")
_BOUNCES: Final = (K.HARD, K.SOFT, K.MAILBOX_FULL, K.BLOCK, K.MESSAGE_FAULT)


def reference(events: Sequence[Told]) -> End:
    first: dict[int, Told] = {}
    for event in events:
        first.setdefault(event.number, event)
    distinct = list(first.values())
    counting = [event for event in distinct if event.trust != "forged"]
    states, classes = [], []
    for address in range(len(EMAILS)):
        for message in range(MESSAGES_EACH):
            mine = [e for e in counting if (e.address, e.message, e.trust) == (address, message, "proven")]
            found = {e.kind for e in mine if e.kind not in _BOUNCES or e.is_final}
            bounces = [kind.value for kind in found if kind in _BOUNCES]
            if K.COMPLAINT in found:
                states.append("complained")
            elif bounces:
                states.append("bounced")
            else:
                states.append("delivered" if K.DELIVERED in found else "accepted")
            classes.append(max(bounces, key=_CLASS_ORDER.index) if states[-1] == "bounced" else None)
    entries = {entry for address in range(len(EMAILS)) for entry in _entries(counting, address)}
    return End(tuple(states), tuple(classes), frozenset(entries), frozenset(first))


def _entries(counting: Sequence[Told], address: int) -> Iterator[tuple[int, str, str, str, datetime | None]]:
    mine = [event for event in counting if event.address == address]
    if any(event.kind is K.HARD for event in mine):
        yield address, "channel", "", "hard_bounce", None
    if any(event.kind is K.COMPLAINT for event in mine):
        yield address, "global", "", "complaint", None
    if any(event.kind is K.UNSUBSCRIBE and event.trust == "proven" for event in mine):
        yield address, "topic", "promotions", "unsubscribed", None
    if any(event.kind is K.UNSUBSCRIBE and event.trust == "verified" for event in mine):
        yield address, "global", "", "unsubscribed", None
    for kind, reason, rule in ((K.SOFT, "soft_bounces", SOFT), (K.MAILBOX_FULL, "mailbox_full", FULL)):
        ends_at = _soft_end(mine, kind, rule)
        if ends_at is not None and ends_at > NOON:
            yield address, "channel", "", reason, ends_at


def _soft_end(mine: Sequence[Told], kind: FeedbackKind, rule: SoftBounces) -> datetime | None:
    """By brute force: every bounce is asked whether it was the one too many."""
    delivered = max((event.at for event in mine if event.kind is K.DELIVERED), default=datetime.min.replace(tzinfo=UTC))
    times: dict[object, datetime] = {}
    for event in mine:
        if event.kind is kind and event.at > delivered:
            name = ("message", event.message) if event.trust == "proven" else ("event", event.number)
            times[name] = min(event.at, times.get(name, event.at))
    ends = []
    for last in times.values():
        window = [at for at in times.values() if last - rule.within < at <= last]
        if len(window) >= rule.times and len({at.date() for at in window}) >= rule.days:
            ends.append(last + rule.within)
    return max(ends, default=None)


# --- the real thing --------------------------------------------------------------------------------------------


class Shop:
    """Two customers with four accepted messages each, put back to the beginning for each example."""

    def __init__(self, database: Database) -> None:
        self.database = database
        with database.begin() as connection:
            people = [make_customer(connection, email=email) for email in EMAILS]
            runs = [make_run(connection, f"campaign-{number}") for number in range(MESSAGES_EACH)]
            # Accepted long before: nothing is matched by address and time.
            self.messages = [[make_message(connection, run, person) for run in runs] for person in people]

    def begin(self) -> None:
        with self.database.begin() as connection:
            for table in (schema.feedback, schema.suppression, schema.attempt, schema.hit, schema.domain_tally):
                connection.execute(delete(table))
            connection.execute(schema.message.update().values(state="accepted"))

    def feedback(self, event: Told) -> Feedback:
        is_proven = event.trust == "proven"
        return Feedback(
            kind=event.kind,
            source="mail" if is_proven else "sendgrid",
            event_key=f"event:{event.number}",
            occurred_at=event.at,
            address=EMAILS[event.address],
            message_id=self.messages[event.address][event.message] if is_proven else None,
            matched_by=MatchedBy.VERP if is_proven else None,
            is_verified=event.trust == "verified",
            is_final=event.is_final,
        )

    def end(self) -> End:
        with self.database.begin() as connection:
            return End(
                self._states(connection), self._classes(connection), self._entries(connection), self._events(connection)
            )

    def _states(self, connection: Connection) -> tuple[str, ...]:
        rows = {row.id: row.state for row in connection.execute(select(schema.message.c.id, schema.message.c.state))}
        return tuple(rows[each] for mine in self.messages for each in mine)

    def _classes(self, connection: Connection) -> tuple[str | None, ...]:
        """Of messages that ended as bounced: the class of the last bounce that was noted."""
        attempt = schema.attempt.c
        query = select(attempt.message_id, attempt.bounce_class).where(attempt.outcome == "bounced")
        last = {row.message_id: row.bounce_class for row in connection.execute(query.order_by(attempt.answered_at))}
        ids = [each for mine in self.messages for each in mine]
        states = self._states(connection)
        return tuple(last.get(each) if state == "bounced" else None for each, state in zip(ids, states, strict=True))

    def _entries(self, connection: Connection) -> frozenset[tuple[int, str, str, str, datetime | None]]:
        numbers = {key_of(email): number for number, email in enumerate(EMAILS)}
        entry = schema.suppression.c
        rows = connection.execute(select(schema.suppression).where(entry.lifted_at.is_(None)))
        return frozenset(
            (numbers[row.address_key], row.scope, row.scope_name, row.reason, row.expires_at) for row in rows
        )

    def _events(self, connection: Connection) -> frozenset[int]:
        keys = connection.execute(select(schema.feedback.c.event_key)).scalars()
        return frozenset(int(key.removeprefix("event:")) for key in keys)


@pytest.fixture(scope="module")
def shop(module_database: Database) -> Shop:
    return Shop(module_database)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Told], list[int]]:
    """Events, each number of one meaning, with repetitions, in some order; and where the transactions end."""
    distinct = draw(st.lists(told(), min_size=1, max_size=25, unique_by=lambda event: event.number))
    repeated = draw(st.lists(st.sampled_from(distinct), max_size=8))
    events = draw(st.permutations([*distinct, *repeated]))
    return events, sorted(draw(st.sets(st.integers(1, len(events)), max_size=6)))


@given(histories())
@settings(max_examples=50)
def test_any_order_and_repetition_of_feedback_ends_the_same(shop: Shop, history: tuple[list[Told], list[int]]) -> None:
    """
    Messages, classes of bounces and suppressions are a function of the set of events alone.
    """
    events, cuts = history
    shop.begin()
    for step, (begin, end) in enumerate(zip([0, *cuts], [*cuts, len(events)], strict=True)):
        with shop.database.begin() as connection:
            now = NOON + timedelta(microseconds=step)
            take(connection, [shop.feedback(event) for event in events[begin:end]], RECEIVER, now)
            assert 0 == catch_up(connection, RECEIVER, now)

    assert reference(events) == shop.end()


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2000)), max_size=20), st.none() | st.integers(0, 2000))
def test_the_rule_of_soft_bounces_does_not_know_their_order(reported: list[tuple[int, int]], since: int | None) -> None:
    """
    The same bounces in any order suppress until the same instant; none is counted twice, none before the reset.
    """
    bounces = [Bounce(str(message), NOON + timedelta(hours=hour)) for message, hour in reported]
    reset = None if since is None else NOON + timedelta(hours=since)
    found = suppressed_until(bounces, SOFT, since=reset)

    assert found == suppressed_until(bounces[::-1] + bounces, SOFT, since=reset)
    if found is not None:
        assert found - SOFT.within in {bounce.at for bounce in bounces}
        assert reset is None or found - SOFT.within > reset
