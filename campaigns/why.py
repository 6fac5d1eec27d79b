"""What happened to one customer in one campaign, and why, from stored facts only."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, exists, func, literal, select

from campaigns import audience, holding, versions
from campaigns.catalogue import Catalogue
from campaigns.events.invitation import PREFIX
from campaigns.on_record import Fact, in_order, message_facts, messages, permission_facts, reason_of
from campaigns.particulars import particulars
from campaigns.plan import ONCE
from campaigns.reasons import mail_of_event, sentence
from campaigns.sequences import records
from campaigns.sequences.history import passages_of
from campaigns.versions import Version
from campaigns.waiting import HOLDS, message_waits
from core.errors import NotFound
from core.names import did_you_mean
from core.schema import customer, event, registration
from segments.membership import audience as segment_audience
from suppression.gate import TRANSACTIONAL, skip_reason
from suppression.mailboxes import unfit
from suppression.policy import Policy


@dataclass(frozen=True, slots=True)
class Answer:
    """The decision about one customer in one campaign.

    `outcome` is a message's state, or for somebody who has no message: would_send, would_skip, not_in_audience; of an
    event registered, not_registered; of a sequence as `sequences.history` has it.
    """

    customer: str
    campaign: str
    outcome: str
    reason: str
    at: datetime | None
    facts: tuple[Fact, ...]

    def document(self) -> dict[str, Any]:
        """The public form."""
        return {
            "customer": self.customer,
            "campaign": self.campaign,
            "outcome": self.outcome,
            "reason": self.reason,
            "at": self.at,
            "facts": [fact.document() for fact in self.facts],
        }


def explain(connection: Connection, catalogue: Catalogue, person: RowMapping, campaign: str, now: datetime) -> Answer:
    """The decision about `person` (a row of `customer`) in `campaign`, with the facts behind it, oldest first; what is
    so at present comes last. A sequence or an event is asked for by its name, too.

    Raises:
        NotFound: there is nothing of that name.
    """
    zone = catalogue.settings.organisation.zone
    if (record := records.find(connection, campaign)) is not None:
        return _of_sequence(connection, person, record, zone, now)
    if campaign not in catalogue.campaigns and (name := _event(connection, campaign)) is not None:
        return _of_event(connection, catalogue, person, name, now)
    rows = messages(connection, person["id"], campaign)
    facts = [fact for row in rows for fact in message_facts(connection, row, zone)]
    facts += permission_facts(connection, person)
    outlook = _outlook(connection, catalogue, person, campaign, now) if campaign in catalogue.campaigns else None
    if rows:
        last = rows[-1]
        facts = in_order(facts) + _waits(connection, catalogue, last, now)
        known = _known(connection, catalogue, person, campaign, last["skip_reason"], now)
        facts += [Fact(None, f"{last['skip_reason']}, as things are now: {known}")] if known else []
        if outlook is not None:
            facts.append(Fact(None, f"{_asked_now(catalogue, campaign)}: {outlook[1]}"))
        return Answer(person["external_id"], campaign, last["state"], reason_of(last), last["state_at"], tuple(facts))
    if outlook is None:
        raise _unknown(catalogue, campaign)
    facts = in_order(facts)
    reason = outlook[1].partition(":")[0] if outlook[0] == "would_skip" else None
    if known := _known(connection, catalogue, person, campaign, reason, now):
        facts.append(Fact(None, f"{reason}, as things are now: {known}"))
    return Answer(person["external_id"], campaign, outlook[0], outlook[1], None, tuple(facts))


def _unknown(catalogue: Catalogue, name: str) -> NotFound:
    """There is nothing of this name, or nothing of it is in force."""
    if name in catalogue.sequences or name in catalogue.events:
        return NotFound(f"{name!r} is not in force", hint=f"bring it into force: clarion apply {name}")
    names = [*catalogue.campaigns, *catalogue.sequences, *catalogue.events]
    return NotFound(f"no campaign, sequence or event {name!r}", hint=did_you_mean(name, names))


def _event(connection: Connection, name: str) -> str | None:
    """The name of the event that is meant; None: none is."""
    asked = select(event.c.name).where(event.c.name == name.removeprefix(PREFIX))
    found: str | None = connection.execute(asked).scalar()
    return found


def _of_event(connection: Connection, catalogue: Catalogue, person: RowMapping, name: str, now: datetime) -> Answer:
    """The customer's registrations for the event, with what became of each mail, and what they permitted."""
    zone, mine = catalogue.settings.organisation.zone, registration.c.customer_id == person["id"]
    asked = select(registration).where(mine, registration.c.event == name).order_by(registration.c.id)
    placed = connection.execute(asked).mappings().all()
    facts = [Fact(row["registered_at"], f"registered for {name} ({row['source']})") for row in placed]
    rows = messages(connection, person["id"], PREFIX + name)
    for row in rows:
        of = mail_of_event(name, row["step"])
        facts += [Fact(row["not_before"], f"{of}: ordered")]
        facts += [replace(fact, what=f"{of}: {fact.what}") for fact in message_facts(connection, row, zone)[1:]]
    facts = in_order(facts + permission_facts(connection, person))
    if rows:
        last = rows[-1]
        reason = f"{mail_of_event(name, last['step'])}: {reason_of(last)}"
        facts += _waits(connection, catalogue, last, now)
        return Answer(person["external_id"], PREFIX + name, last["state"], reason, last["state_at"], tuple(facts))
    outcome = "registered" if placed else "not_registered"
    reason = f"no mail of the event {name} was ordered" if placed else f"did not register for the event {name}"
    return Answer(person["external_id"], PREFIX + name, outcome, reason, None, tuple(facts))


def _waits(connection: Connection, catalogue: Catalogue, row: RowMapping, now: datetime) -> list[Fact]:
    """Why the message does not go at present."""
    zone = catalogue.settings.organisation.zone
    waits = message_waits(connection, catalogue.settings, row["id"], now)
    return [Fact(None, f"waits because {reason.sentence_in(zone)}") for reason in waits]


def _of_sequence(
    connection: Connection, person: RowMapping, record: records.Record, zone: str, now: datetime
) -> Answer:
    """The customer's passages through a sequence, with what became of each message, and what they permitted."""
    told = passages_of(connection, person, record, zone, now)
    facts = [Fact(at, what) for at, what in told.facts]
    for row in messages(connection, person["id"], record.name):
        facts += [
            replace(fact, what=f"{row['step']}: {fact.what}") for fact in message_facts(connection, row, zone)[1:]
        ]
    facts = in_order(facts + permission_facts(connection, person))
    return Answer(person["external_id"], record.name, told.outcome, told.reason, told.at, tuple(facts))


def _known(
    connection: Connection, catalogue: Catalogue, person: RowMapping, campaign: str, reason: str | None, now: datetime
) -> str:
    """What there is to say of this customer beside the skip reason."""
    if reason is None or campaign not in catalogue.campaigns:
        return ""
    definition, policy = catalogue.campaign(campaign), Policy.of(catalogue.settings)
    if definition.message_class == TRANSACTIONAL:
        return ""
    topic, priority = definition.consent_topic, definition.limits.priority
    return particulars(connection, policy, person["id"], reason, topic=topic, priority=priority, now=now)


def _asked_now(catalogue: Catalogue, campaign: str) -> str:
    is_owed = catalogue.campaign(campaign).message_class == TRANSACTIONAL
    return "ordered again now" if is_owed else "in a plan made now"


def _owed_outlook(
    connection: Connection, person: RowMapping, campaign: str, now: datetime, policy: Policy
) -> tuple[str, str]:
    """What would become of a transactional message ordered now."""
    gate = skip_reason(
        customer.c.id, customer.c.address_key,
        topic="", campaign=campaign, now=now, policy=policy, message_class=TRANSACTIONAL,
    )  # fmt: skip
    refused = func.coalesce(gate, unfit(customer.c.email, policy.mailboxes, is_bulk=False))
    reason = connection.execute(select(refused).where(customer.c.id == person["id"])).scalar_one()
    if reason is None:
        return "would_send", "a message ordered for this customer would be sent: nothing stands against it"
    return "would_skip", f"{reason}: {sentence(reason)}"


def _outlook(
    connection: Connection, catalogue: Catalogue, person: RowMapping, campaign: str, now: datetime
) -> tuple[str, str]:
    """What a plan made now would decide: outcome and sentence."""
    version, policy = versions.pin(catalogue, campaign), Policy.of(catalogue.settings)
    if version.is_transactional:
        return _owed_outlook(connection, person, campaign, now, policy)
    same = holding.depends_on(person["id"], version, policy)
    people = audience.decided(version, ONCE, now, policy, only=same)
    row = connection.execute(select(people.c.skip_reason).where(people.c.customer_id == person["id"])).one_or_none()
    if row is None:
        return "not_in_audience", _outside(connection, version, person["id"], now)
    if row.skip_reason is None:
        told = holding.forecast_of(connection, people, person["id"], version, now, policy)
        if later := next(iter(told.skipped_later), None):
            return "would_skip", f"{later}: {sentence(later)}"
        holds = next(iter(told.held), None)
        topic, priority = version.definition.consent_topic, version.definition.limits.priority
        known = (
            particulars(connection, policy, person["id"], holds, topic=topic, priority=priority, now=now)
            if holds else ""
        )  # fmt: skip
        waits = f", but it would wait at first: {HOLDS.get(holds, holds)}" if holds else ""
        waits += f": {known}" if known else ""
        return "would_send", f"in the audience, and nothing stands against it{waits}"
    return "would_skip", f"{row.skip_reason}: {sentence(row.skip_reason)}"


def _outside(connection: Connection, version: Version, customer_id: int, now: datetime) -> str:
    asked = version.definition.people

    def inside(name: str) -> bool:
        members = segment_audience(name, version.vocabulary, now=now).subquery()
        return bool(connection.execute(select(exists().where(members.c.customer_id == literal(customer_id)))).scalar())

    if not inside(asked.segment):
        return f"not in segment {asked.segment}"
    return next(
        (f"excluded as a member of segment {name}" for name in asked.exclude if inside(name)),
        "not in the audience",
    )
