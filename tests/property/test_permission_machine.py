"""Everything that changes who may be written to, in any order, against a reference in plain Python.

The machine freezes audiences and hands messages over with the real tables, between opt-ins, opt-outs, bounces,
complaints, files that say yes and no, changed addresses, merges, erasures and the passing of time. Nobody whom the
reference forbids is ever handed over; everybody whom it allows, at the freeze and at the hand-over, is.
"""

import hashlib
import itertools
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select, text

from campaigns import batches, catalogue, ledger, runs, versions
from campaigns.feedback import Receiver, take
from campaigns.window import Window, hand_over
from core import schema
from core.database import Database
from core.workspace import Workspace
from customers.importing.files import import_file
from customers.merging.merge import merge
from customers.rights.erase import erase
from delivery.smtp import Outcome, OutcomeState
from suppression.consent_ledger import request_consent
from suppression.policy import Policy
from suppression.record import unsubscribe
from tests import factories
from tests.campaign_files import SEGMENT, TEMPLATE
from tests.conftest import MINIMAL_SETTINGS
from tracking.feedback import Feedback, FeedbackKind, MatchedBy

TOPICS = ("promotions", "news")
ADDRESSES = tuple(f"{name}@customers.example" for name in ("ann", "ben", "cai", "dora", "eve"))
START = datetime.fromisoformat("2026-03-02T12:00:00+00:00")
NEVER = datetime.fromisoformat("9999-01-01T00:00:00+00:00")
LEASE = timedelta(minutes=1)
ACCEPTED = Outcome(OutcomeState.ACCEPTED, 250, "2.0.0", "ok")
CAMPAIGN = """\
kind: recurring
topic: {topic}
audience: {{segment: everybody}}
send: {{template: spring-paper.html, from: offers}}
schedule: {{cron: "0 9 * * *"}}
"""
OFFICE = {
    "segments/everybody.yaml": SEGMENT,
    "templates/spring-paper.html": TEMPLATE,
    **{f"campaigns/{topic}.yaml": CAMPAIGN.format(topic=topic) for topic in TOPICS},
}
#: Tables that nothing here reads, and nothing may empty.
KEPT = ("installation", "audit", "audit_head")
#: Every day says the same thing here.
SETTINGS = MINIMAL_SETTINGS + "duplicates: {{piece_memory: none, one_per: address}}\n"

addresses, topics = st.sampled_from(ADDRESSES), st.sampled_from(TOPICS)
days = st.integers(1, 40).map(lambda number: timedelta(days=number))


@dataclass
class Human:
    """A customer as the reference knows one: an address, and the latest word on each topic."""

    id: int
    address: str
    words: dict[str, tuple[bool, datetime | None]] = field(default_factory=dict)  # topic → yes or no, and its end
    was_at_last: bool = False  # is known by the last address as well


@dataclass
class Blocks:
    """What forbids writing to an address: for a topic (None: for all), whether it is of the mailbox alone, its end."""

    of: dict[str, list[tuple[str | None, bool, datetime]]] = field(default_factory=dict)

    def add(self, address: str, topic: str | None = None, *, of_mailbox: bool = False, end: datetime = NEVER) -> None:
        self.of.setdefault(address, []).append((topic, of_mailbox, end))

    def forbid(self, address: str, topic: str, now: datetime) -> bool:
        return any(named in (None, topic) and end > now for named, _, end in self.of.get(address, ()))

    def follow(self, old: str, new: str) -> None:
        """The person moved: what was said of them goes along, what is wrong with the mailbox does not."""
        for topic, of_mailbox, end in [*self.of.get(old, ())]:
            if not of_mailbox:
                self.add(new, topic, end=end)


class Permission(RuleBasedStateMachine):
    """The tables, and beside them what anybody would expect."""

    database: Database
    workspace: Workspace
    folder: Path

    runs_under_way = Bundle("runs_under_way")

    @initialize()
    def begin(self) -> None:
        names = ", ".join(f'"{table.name}"' for table in schema.metadata.sorted_tables if table.name not in KEPT)
        self.now, self.numbers = START, itertools.count(1)
        self.people: dict[int, Human] = {}
        self.blocks, self.sent = Blocks(), dict[int, tuple[int, str, str]]()
        with self.database.begin() as connection:
            connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))
            known = catalogue.load(self.workspace)
            self.versions = {topic: versions.store(connection, versions.pin(known, topic)) for topic in TOPICS}
            for address in ADDRESSES[:-1]:  # nobody is known at the last one
                self._arrive(connection, address)

    def _arrive(self, connection: Any, address: str) -> None:
        person = factories.make_customer(connection, email=address, external_id=f"K{next(self.numbers)}")
        self.people[person] = Human(person, address)

    def _may(self, person: Human, topic: str) -> bool:
        said, end = person.words.get(topic, (False, None))
        return said and (end is None or end > self.now) and not self.blocks.forbid(person.address, topic, self.now)

    def _somebody(self, number: int) -> Human:
        return self.people[sorted(self.people)[number % len(self.people)]]

    # --- what people and operators do ------------------------------------------------------------------------

    @rule(length=days)
    def wait(self, length: timedelta) -> None:
        self.now += length

    @precondition(lambda self: self.people)
    @rule(number=st.integers(0, 9), topic=topics, end=st.none() | days)
    def opt_in(self, number: int, topic: str, end: timedelta | None) -> None:
        person, until = self._somebody(number), self.now + end if end else None
        with self.database.begin() as connection:
            factories.make_consent(
                connection, person.id, topic=topic, captured_at=self.now, expires_at=until,
                source=f"s{next(self.numbers)}",
            )  # fmt: skip
        person.words[topic] = (True, until)

    @precondition(lambda self: self.sent)
    @rule(number=st.integers(0, 99), everything=st.booleans())
    def opt_out(self, number: int, everything: bool) -> None:
        message_id, (customer_id, address, topic) = self._a_message(number)
        with self.database.begin() as connection:
            unsubscribe(connection, message_id=message_id, source="one_click", everything=everything, now=self.now)
        about = None if everything else topic
        whose = self.people.get(customer_id)
        for place in {address, whose.address if whose else address}:
            self.blocks.add(place, about)
        for person in self.people.values():
            if person.address == address or person is whose:
                for said in TOPICS if everything else (topic,):
                    if said in person.words:
                        person.words[said] = (False, None)

    @precondition(lambda self: self.sent)
    @rule(number=st.integers(0, 99), kind=st.sampled_from([FeedbackKind.HARD, FeedbackKind.COMPLAINT]))
    def come_back(self, number: int, kind: FeedbackKind) -> None:
        message_id, (customer_id, address, _) = self._a_message(number)
        event = Feedback(
            kind, "mail", f"mail:{next(self.numbers)}", self.now, message_id=message_id, matched_by=MatchedBy.VERP,
            status="5.1.1" if kind is FeedbackKind.HARD else None,
        )  # fmt: skip
        with self.database.begin() as connection:
            take(connection, [event], Receiver(factories.SECRET), self.now)
        self.blocks.add(address, of_mailbox=kind is FeedbackKind.HARD)
        if kind is FeedbackKind.COMPLAINT and customer_id in self.people:
            self.blocks.add(self.people[customer_id].address)

    @rule(address=addresses, hashed=st.booleans())
    def do_not_contact(self, address: str, hashed: bool) -> None:
        listed = hashlib.sha256(address.encode()).hexdigest() if hashed else address.upper()
        self._import("suppressions", "email\n" + listed + "\n")
        self.blocks.add(address)

    @rule(address=addresses, length=days)
    def do_not_contact_for_a_while(self, address: str, length: timedelta) -> None:
        """Beside a digest of the address it shortens nothing."""
        self._import("suppressions", f"email,expires_at\n{address},{(self.now + length).isoformat()}\n")
        self.blocks.add(address, end=self.now + length)

    @precondition(lambda self: self.people)
    @rule(number=st.integers(0, 9), topic=topics, dated=st.booleans())
    def a_file_says_yes(self, number: int, topic: str, *, dated: bool) -> None:
        """With its date it is the latest word; without one it counts where the person said nothing yet."""
        person = self._somebody(number)
        at = self.now.isoformat() if dated else ""
        row = f"{self._name(person)},{topic},s{next(self.numbers)},{at}"
        self._import("consents", f"customer,topic,source,captured_at\n{row}\n")
        if dated or topic not in person.words:
            person.words[topic] = (True, None)

    @precondition(lambda self: self.people)
    @rule(number=st.integers(0, 9), topic=topics, column=st.booleans())
    def a_file_says_no(self, number: int, topic: str, *, column: bool) -> None:
        """By name, for one topic or for all: it binds the mailbox, and whoever has it later."""
        person = self._somebody(number)
        if column:
            self._import("customers", f"external_id,consent\n{self._name(person)},No\n")
        else:
            self._import("consents", f"customer,topic,state\n{self._name(person)},{topic},withdrawn\n")
        self.blocks.add(person.address, None if column else topic)

    @rule(topic=topics)
    def an_address_nobody_has_says_no(self, topic: str) -> None:
        """It waits for whoever comes there."""
        self._import("consents", f"email,topic,state\n{ADDRESSES[-1]},{topic},no\n")
        self.blocks.add(ADDRESSES[-1], topic)
        for person in self.people.values():
            if person.address == ADDRESSES[-1] or person.was_at_last:
                self.blocks.add(person.address, topic)

    @precondition(lambda self: self.people)
    @rule(number=st.integers(0, 9), topic=topics)
    def request(self, number: int, topic: str) -> None:
        """Asked, and never confirmed: it says nothing, and hides nothing."""
        with self.database.begin() as connection:
            request_consent(connection, self._somebody(number).id, [topic], source="form", now=self.now)

    @precondition(lambda self: self.people)
    @rule(number=st.integers(0, 9), address=addresses)
    def change_address(self, number: int, address: str) -> None:
        """By import; an address that was erased is refused."""
        person = self._somebody(number)
        self._import("customers", f"external_id,email\n{self._name(person)},{address}\n")
        with self.database.begin() as connection:
            mine = select(schema.customer.c.email).where(schema.customer.c.id == person.id)
            if connection.execute(mine).scalar_one().lower() == address != person.address:
                self.blocks.follow(person.address, address)
                person.was_at_last |= person.address == ADDRESSES[-1]
                person.address = address

    def _name(self, person: Human) -> str:
        with self.database.begin() as connection:
            named = select(schema.customer.c.external_id).where(schema.customer.c.id == person.id)
            return str(connection.execute(named).scalar_one())

    @precondition(lambda self: len(self.people) > 1)
    @rule(number=st.integers(0, 9), other=st.integers(1, 8))
    def merge(self, number: int, other: int) -> None:
        gone = self._somebody(number)
        kept = self._somebody(number + 1 + other % (len(self.people) - 1))
        with self.database.begin() as connection:
            merge(connection, gone.id, kept.id, because="one", actor="test", now=self.now)
        for topic, word in gone.words.items():
            kept.words[topic] = _stricter(word, kept.words[topic]) if topic in kept.words else word
        self.blocks.follow(gone.address, kept.address)
        kept.was_at_last |= gone.was_at_last or gone.address == ADDRESSES[-1]
        del self.people[gone.id]
        self.sent = {message: (kept.id if of == gone.id else of, *rest) for message, (of, *rest) in self.sent.items()}

    @precondition(lambda self: self.people)
    @rule(number=st.integers(0, 9))
    def erase(self, number: int) -> None:
        person = self._somebody(number)
        with self.database.begin() as connection:
            erase(connection, factories.SECRET, person.id, now=self.now)
            left = set(connection.execute(select(schema.customer.c.id)).scalars())
        erased = [one for one in self.people.values() if one.id not in left]
        assert person in erased
        for one in erased:
            self.blocks.add(one.address)
            del self.people[one.id]

    @rule(address=addresses)
    def import_again(self, address: str) -> None:
        """Under another name and in another spelling, with a consent of today."""
        name = f"N{next(self.numbers)}"
        self._import("customers", f"external_id,email\n{name},{address.upper()}\n")
        with self.database.begin() as connection:
            arrived = select(schema.customer.c.id).where(schema.customer.c.external_id == name)
            found = connection.execute(arrived).scalar()
        if found is not None:
            self.people[found] = Human(found, address)

    def _import(self, kind: str, content: str) -> None:
        path = self.folder / f"{kind}.csv"
        path.write_text(content, encoding="utf-8")
        import_file(self.database, self.workspace, kind, path, now=self.now)

    # --- what Clarion does -------------------------------------------------------------------------------------

    @rule(target=runs_under_way, topic=topics)
    def freeze(self, topic: str) -> Any:
        with self.database.begin() as connection:
            occurrence, policy = f"o{next(self.numbers)}", Policy.of(self.workspace.settings)
            started = runs.start_occurrence(connection, self.versions[topic], occurrence, self.now, 500, policy)
        if started is None:
            return multiple()
        return started.run_id, topic, {(one.id, one.address) for one in self.people.values() if self._may(one, topic)}

    @rule(frozen=consumes(runs_under_way))
    def deliver(self, frozen: tuple[int, str, set[tuple[int, str]]]) -> None:
        run_id, topic, could = frozen
        allowed = {person.id: person for person in self.people.values() if self._may(person, topic)}
        gone = self._hand_over(run_id)
        for message_id, customer_id, address in gone:
            assert customer_id in allowed, f"message {message_id} went to customer {customer_id}"
            assert not self.blocks.forbid(address, topic, self.now), f"message {message_id} went to {address}"
            self.sent[message_id] = (customer_id, address, topic)
        served = {address for _, _, address in gone}
        owed = {one.address for one in allowed.values() if (one.id, one.address) in could}
        assert owed <= served, f"nobody wrote to {owed - served}"
        assert len(served) == len(gone), "two messages to one address"

    def _hand_over(self, run_id: int) -> list[tuple[int, int, str]]:
        """The run's messages are handed over as by a worker, and accepted; (message, customer, address) each."""
        keys = {factories.key_of(address): address for address in ADDRESSES}
        going: list[int] = []
        with self.database.begin() as connection:
            mine = select(schema.batch.c.id).where(schema.batch.c.run_id == run_id, schema.batch.c.state == "ready")
            for batch_id in connection.execute(mine).scalars().all():
                policy = Policy.of(self.workspace.settings)
                held = ledger.claim(connection, batch_id, worker="w", lease=LEASE, policy=policy, now=self.now)
                assert held is not None
                ids = list(held.message_ids)
                went = hand_over(connection, held, Window(ids), transport="main", now=self.now)
                answers = [(message_id, ACCEPTED) for message_id in went]
                hand_over(connection, held, Window([], answers), transport="main", now=self.now)
                batches.close(connection, held, self.now)
                going += went
            message = schema.message.c
            rows = select(message.id, message.customer_id, message.address_key).where(message.id.in_(going))
            return [(row.id, row.customer_id, keys[row.address_key]) for row in connection.execute(rows)]

    def _a_message(self, number: int) -> tuple[int, tuple[int, str, str]]:
        message_id = sorted(self.sent)[number % len(self.sent)]
        return message_id, self.sent[message_id]


def _stricter(one: tuple[bool, datetime | None], other: tuple[bool, datetime | None]) -> tuple[bool, datetime | None]:
    ends = [end for _, end in (one, other) if end is not None]
    return one[0] and other[0], min(ends, default=None)


@pytest.fixture
def machine(module_database: Database, make_workspace: Any, tmp_path: Path) -> type[Permission]:
    workspace = make_workspace(database=module_database, files=OFFICE, settings=SETTINGS)
    return type("Office", (Permission,), {"database": module_database, "workspace": workspace, "folder": tmp_path})


@pytest.mark.parametrize("examples", [12, pytest.param(100, marks=pytest.mark.slow)])
def test_nobody_who_must_not_is_ever_handed_over(machine: type[Permission], examples: int) -> None:
    """
    After any sequence of opt-ins, opt-outs, bounces, complaints, imports, merges, erasures and time, those whom the
    reference allows are handed over, and nobody else.
    """
    run_state_machine_as_test(machine, settings=settings(max_examples=examples, stateful_step_count=25, deadline=None))
