"""The gate against a plain-Python reference, over any sequence of things people say and operators do."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select, text

from core import schema
from core.clock import SteppedClock
from core.database import Database
from suppression.commands import REASONS as COMMAND_REASONS
from suppression.gate import PAUSED, REASONS, skip_reason
from suppression.policy import Policy
from suppression.record import lift, suppress, withdraw
from tests import factories

TOPICS, CAMPAIGNS, CHANNELS = ("promotions", "news"), ("spring", "autumn"), ("email", "letter")
ADDRESSES = ("one@customers.example", "two@customers.example")
START = datetime.fromisoformat("2026-03-02T12:00:00+00:00")

hours = st.integers(-48, 48).map(lambda number: timedelta(hours=number))
ends = st.none() | hours
scopes = st.one_of(
    st.sampled_from([("global", ""), ("channel", "")]),
    st.tuples(st.just("topic"), st.sampled_from(TOPICS)),
    st.tuples(st.just("campaign"), st.sampled_from(CAMPAIGNS)),
)
customers, addresses = st.integers(0, 2), st.sampled_from(ADDRESSES)
reasons = st.sampled_from([*REASONS, "soft_bounces"])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("consent"), customers, st.sampled_from(TOPICS), st.sampled_from(CHANNELS),
                  st.sampled_from(["requested", "granted", "confirmed", "withdrawn"]), hours, ends),
        st.tuples(st.just("suppress"), addresses, scopes, st.sampled_from(CHANNELS), reasons, ends),
        st.tuples(st.just("lift"), addresses, st.none() | scopes, st.none() | reasons),
        st.tuples(st.just("withdraw"), addresses, st.none() | st.sampled_from(TOPICS)),
        st.tuples(st.just("wait"), st.integers(1, 30).map(lambda number: timedelta(hours=number))),
    ),
    max_size=14,
)  # fmt: skip


def strongest(reasons: set[str]) -> str:
    """The reason that is named: by the gate's order, and by the alphabet behind it."""
    order = {reason: place for place, reason in enumerate(REASONS)}
    return min(reasons, key=lambda reason: (order.get(reason, 99), reason))


@dataclass
class Said:
    """What the reference remembers: the rules in the simplest words."""

    addresses: list[str | None]
    consents: list[list[tuple[datetime, str, str, str, datetime | None]]] = field(default_factory=list)
    entries: list[tuple[str, tuple[str, str], str, str, datetime | None]] = field(default_factory=list)

    def reason(self, number: int, topic: str, campaign: str, channel: str, now: datetime) -> str | None:
        """Why the customer gets no message."""
        address = self.addresses[number]
        if address is None:
            return "no_address"
        forbidding = {
            reason
            for whose, (scope, name), where, reason, until in self.entries
            if whose == address
            and (until is None or until > now)
            and (scope == "global" or where == channel)
            and (scope in ("global", "channel") or name == {"topic": topic, "campaign": campaign}[scope])
        }
        if forbidding:
            return f"suppressed:{strongest(forbidding)}"
        word = self.latest(number, topic, channel)
        if word is None or word[0] == "withdrawn":
            return "not_consented"
        return None if word[1] is None or word[1] > now else "consent_expired"

    def owed_reason(self, number: int, campaign: str, channel: str, now: datetime) -> str | None:
        """Why the customer does not even get what is owed to them."""
        address = self.addresses[number]
        if address is None:
            return "no_address"
        forbidding = {
            reason
            for whose, (scope, name), where, reason, until in self.entries
            if whose == address
            and (until is None or until > now)
            and reason not in ("unsubscribed", "paused", "soft_bounces", "mailbox_full")
            and (scope == "global" or where == channel)
            and (scope in ("global", "channel") or name == campaign or reason in ("legal", "complaint", "hard_bounce"))
        }
        return f"suppressed:{strongest(forbidding)}" if forbidding else None

    def latest(self, number: int, topic: str, channel: str) -> tuple[str, datetime | None] | None:
        """The state and end of the customer's latest word; of two at one instant a no, else what came last."""
        words = [
            (at, state == "withdrawn", place, state, until)
            for place, (at, about, by, state, until) in enumerate(self.consents[number])
            if (about, by) == (topic, channel) and state != "requested"
        ]
        return max(words)[3:] if words else None

    def newest(self, number: int, topic: str, channel: str) -> tuple[datetime, int, str] | None:
        """The customer's latest row, requests included: when, its place, its state."""
        rows = [
            (at, place, state)
            for place, (at, about, by, state, _) in enumerate(self.consents[number])
            if (about, by) == (topic, channel)
        ]
        return max(rows, default=None)


@dataclass
class World:
    """The real tables beside the reference."""

    connection: Connection
    said: Said
    ids: list[int]
    keys: dict[str, uuid.UUID]
    now: datetime = START
    count: int = 0

    def consent(
        self, number: int, topic: str, channel: str, state: str, offset: timedelta, end: timedelta | None
    ) -> None:
        self.count += 1
        at, until = self.now + offset, self.now + end if end is not None else None
        factories.make_consent(
            self.connection, self.ids[number], topic=topic, channel=channel, state=state, captured_at=at,
            expires_at=until, source=f"s{self.count}",
        )  # fmt: skip
        self.said.consents[number].append((at, topic, channel, state, until))

    def suppress(self, address: str, place: tuple[str, str], channel: str, reason: str, end: timedelta | None) -> None:
        if reason == PAUSED:  # a break always has an end
            end = end or timedelta(hours=24)
        until = self.now + end if end is not None else None
        if reason == "unsubscribed" and place[0] != "campaign":
            self.void(address, place, channel)
        suppress(
            self.connection, self.keys[address], scope=place[0], scope_name=place[1], channel=channel,  # type: ignore[arg-type]
            reason=reason, source="test", expires_at=until, now=self.now,
        )  # fmt: skip
        self.said.entries.append((address, place, channel, reason, until))

    def lift(self, address: str, place: tuple[str, str] | None, reason: str | None) -> None:
        scope, name = place or (None, None)
        lift(self.connection, self.keys[address], scope=scope, scope_name=name, reason=reason,  # type: ignore[arg-type]
             because="asked", now=self.now)  # fmt: skip
        self.said.entries = [
            entry for entry in self.said.entries
            if entry[0] != address or (place not in (None, entry[1])) or (reason not in (None, entry[3]))
        ]  # fmt: skip

    def withdraw(self, address: str, topic: str | None) -> None:
        self.count += 1
        withdraw(self.connection, self.keys[address], topic=topic, source=f"s{self.count}", now=self.now)
        place = ("topic", topic) if topic else ("channel", "")
        self.said.entries.append((address, place, "email", "unsubscribed", None))
        for number, held in enumerate(self.said.addresses):
            for about in TOPICS:
                newest = self.said.newest(number, about, "email")
                if held == address and topic in (None, about) and newest and newest[2] != "withdrawn":
                    self.refuse(number, about, "email")

    def refuse(self, number: int, topic: str, channel: str) -> None:
        """A no is the latest word, whenever the others were captured."""
        newest = self.said.newest(number, topic, channel)
        at = self.now if newest is None else max(newest[0] + timedelta(microseconds=1), self.now)
        self.said.consents[number].append((at, topic, channel, "withdrawn", None))

    def void(self, address: str, place: tuple[str, str], where: str) -> None:
        """What was asked for before an opt-out cannot be confirmed after it."""
        for number, held in enumerate(self.said.addresses):
            for about in TOPICS:
                for channel in CHANNELS:
                    newest = self.said.newest(number, about, channel)
                    reaches = place[0] == "global" or (where == channel and place[1] in ("", about))
                    if held == address and reaches and newest and newest[2] == "requested":
                        self.refuse(number, about, channel)

    def wait(self, length: timedelta) -> None:
        self.now += length

    def asked(self, topic: str, campaign: str, channel: str, message_class: str) -> list[str | None]:
        """What the gate says of each customer."""
        customer = schema.customer
        gate = skip_reason(
            customer.c.id, customer.c.address_key, topic=topic, campaign=campaign, channel=channel, now=self.now,
            policy=Policy(), message_class=message_class,
        )  # fmt: skip
        return list(self.connection.execute(select(gate).order_by(customer.c.id)).scalars())


def make_world(connection: Connection) -> World:
    """Two customers who share an address and one of their own, and one without any."""
    mine = [ADDRESSES[0], ADDRESSES[0], ADDRESSES[1], None]
    ids = [factories.make_customer(connection, email=address) for address in mine]
    keys = {address: factories.key_of(address) for address in ADDRESSES}
    return World(connection, Said(mine, [[] for _ in mine]), ids, keys)


@settings(max_examples=100)
@given(steps=steps)
@example(steps=[
    ("withdraw", ADDRESSES[1], None), ("withdraw", ADDRESSES[1], "promotions"),
    ("lift", ADDRESSES[1], ("channel", ""), None),
])  # fmt: skip
def test_gate_equals_the_reference(module_database: Database, steps: list[tuple[object, ...]]) -> None:
    """
    After any sequence, for every customer, topic, campaign and channel, gate and reference give one answer, for bulk
    and for transactional mail.
    """
    with module_database.engine.connect() as connection:
        world = make_world(connection)
        for name, *values in steps:
            act: Callable[..., None] = getattr(world, str(name))
            act(*values)
        for campaign in CAMPAIGNS:
            for channel in CHANNELS:
                owed = [world.said.owed_reason(number, campaign, channel, world.now) for number in range(4)]

                assert owed == world.asked("", campaign, channel, "transactional"), (campaign, channel)
                for topic in TOPICS:
                    bulk = [world.said.reason(number, topic, campaign, channel, world.now) for number in range(4)]

                    assert bulk == world.asked(topic, campaign, channel, "bulk"), (topic, campaign, channel)
        connection.rollback()


def test_gate_stands_in_an_update(module_database: Database, clock: SteppedClock) -> None:
    """
    The hand-over asks the same expression in UPDATE … FROM: only those who may be written to are handed over.
    """
    message, customer = schema.message, schema.customer
    with module_database.engine.connect() as connection:
        yes = factories.make_customer(connection, consents=("promotions",))
        no = factories.make_customer(connection)
        run = factories.make_run(connection)
        for one in (yes, no):
            factories.make_message(connection, run, one, state="planned")
        gate = skip_reason(
            message.c.customer_id, message.c.address_key,
            topic="promotions", campaign="spring-paper", now=clock.now(), policy=Policy(),
        )  # fmt: skip
        connection.execute(
            message.update().where(customer.c.id == message.c.customer_id, gate.is_(None)).values(state="handed_over")
        )
        states = connection.execute(select(message.c.customer_id, message.c.state).order_by(message.c.id)).all()
        connection.rollback()

    assert [(yes, "handed_over"), (no, "planned")] == [tuple(row) for row in states]


def test_gate_and_command_name_the_same_reasons() -> None:
    """
    The command's choices are the gate's order of strength.
    """
    assert REASONS == COMMAND_REASONS


@pytest.mark.parametrize("message_class", ["bulk", "transactional"])
def test_gate_probes_indexes_for_a_batch(module_database: Database, clock: SteppedClock, message_class: str) -> None:
    """
    For a batch neither suppressions nor consents are read in full.
    """
    customer = schema.customer
    gate = skip_reason(
        customer.c.id, customer.c.address_key, topic="promotions", campaign="x", now=clock.now(),
        policy=Policy(), message_class=message_class,
    )  # fmt: skip
    query = select(gate).where(customer.c.id.in_(range(1, 501)))
    with module_database.engine.connect() as connection:
        connection.execute(text(FILL))
        for table in ("customer", "consent", "suppression"):
            connection.execute(text(f"ANALYZE {table}"))
        compiled = query.compile(connection, compile_kwargs={"literal_binds": True})
        plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN {compiled}".replace("%", "%%")).scalars())
        connection.rollback()

    assert "Seq Scan on suppression" not in plan
    assert "Seq Scan on consent" not in plan


FILL = """
    WITH people AS (
        INSERT INTO customer (external_id, address_key)
        SELECT 'F' || n, md5(n::text)::uuid FROM generate_series(1, 40000) n RETURNING id, address_key
    ), agreed AS (
        INSERT INTO consent (customer_id, topic, state, basis, source, captured_at)
        SELECT id, 'promotions', 'granted', 'consent', 'test', '2025-01-01' FROM people
    )
    INSERT INTO suppression (address_key, scope, reason, source)
    SELECT address_key, 'global', 'manual', 'test' FROM people WHERE id % 4 = 0
"""
