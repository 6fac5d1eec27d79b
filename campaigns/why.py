"""What happened to one customer in one campaign, and why, from stored facts only."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, exists, func, literal, select

from campaigns import audience, holding, versions
from campaigns.catalogue import Catalogue
from campaigns.particulars import particulars
from campaigns.plan import ONCE
from campaigns.reasons import STATES, sentence
from campaigns.sequences import records
from campaigns.sequences.history import passages_of
from campaigns.versions import Version
from campaigns.waiting import HOLDS, message_waits
from core.schema import attempt, campaign_version, consent, customer, customer_alias, hit, message, run, suppression
from segments.membership import audience as segment_audience
from suppression.gate import TRANSACTIONAL, skip_reason
from suppression.mailboxes import unfit
from suppression.policy import Policy


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing on record."""

    at: datetime | None
    what: str

    def document(self) -> dict[str, Any]:
        return {"at": self.at, "what": self.what}


@dataclass(frozen=True, slots=True)
class Answer:
    """The decision about one customer in one campaign.

    `outcome` is a message's state, or for somebody who has no message: would_send, would_skip, not_in_audience.
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
    """The decision about `person` (a row of `customer`) in `campaign`, with the facts behind it, oldest first.

    Raises:
        NotFound: there is neither a run nor a file of that campaign.
    """
    if (record := records.find(connection, campaign)) is not None:
        return _of_sequence(connection, person, record, now)
    rows = _messages(connection, person["id"], campaign)
    facts = [fact for row in rows for fact in _message_facts(connection, row)]
    facts += _permission_facts(connection, person)
    outlook = _outlook(connection, catalogue, person, campaign, now) if campaign in catalogue.campaigns else None
    if rows:
        last = rows[-1]
        facts = sorted(facts, key=lambda fact: (fact.at is None, fact.at))
        waits = message_waits(connection, catalogue.settings, last["id"], now)
        facts += [Fact(now, f"waits because {reason.sentence}") for reason in waits]
        known = _known(connection, catalogue, person, campaign, last["skip_reason"], now)
        facts += [Fact(now, f"{last['skip_reason']}, as things are now: {known}")] if known else []
        if outlook is not None:
            facts.append(Fact(now, f"{_asked_now(catalogue, campaign)}: {outlook[1]}"))
        return Answer(person["external_id"], campaign, last["state"], _reason(last), last["state_at"], tuple(facts))
    if outlook is None:
        catalogue.campaign(campaign)
    assert outlook is not None  # noqa: S101  the line above raises otherwise
    facts = sorted(facts, key=lambda fact: (fact.at is None, fact.at))
    reason = outlook[1].partition(":")[0] if outlook[0] == "would_skip" else None
    if known := _known(connection, catalogue, person, campaign, reason, now):
        facts.append(Fact(now, f"{reason}, as things are now: {known}"))
    return Answer(person["external_id"], campaign, outlook[0], outlook[1], None, tuple(facts))


def _of_sequence(connection: Connection, person: RowMapping, record: records.Record, now: datetime) -> Answer:
    """The customer's passages through a sequence, with what became of each message, and what they permitted."""
    told = passages_of(connection, person, record, now)
    facts = [Fact(at, what) for at, what in told.facts]
    for row in _messages(connection, person["id"], record.name):
        facts += [replace(fact, what=f"{row['step']}: {fact.what}") for fact in _message_facts(connection, row)[1:]]
    facts += _permission_facts(connection, person)
    facts.sort(key=lambda fact: (fact.at is None, fact.at))
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


def _messages(connection: Connection, customer_id: int, campaign: str) -> list[RowMapping]:
    query = (
        select(
            message,
            run.c.created_at.label("frozen_at"),
            run.c.state.label("run_state"),
            campaign_version.c.message_class,
        )
        .join(run, run.c.id == message.c.run_id)
        .join(campaign_version, campaign_version.c.id == run.c.version_id)
        .where(message.c.customer_id == customer_id, message.c.campaign == campaign)
        .order_by(message.c.id)
    )
    return list(connection.execute(query).mappings())


def _reason(row: RowMapping) -> str:
    if row["skip_reason"]:
        return f"{row['skip_reason']}: {sentence(row['skip_reason'])}"
    return f"the message {STATES[row['state']]}"


def _beginning(row: RowMapping) -> Fact:
    """How it came to be; of what was given with an order, the names alone, for a value may be a secret."""
    if row["message_class"] != TRANSACTIONAL:
        frozen = f"in the frozen audience of run {row['run_id']} (occurrence {row['occurrence']})"
        return Fact(row["frozen_at"], frozen)
    names = f", given {', '.join(sorted(row['given']))}" if row["given"] else ""
    return Fact(row["not_before"], f"ordered for this customer with the key {row['occurrence']!r}{names}")


def _message_facts(connection: Connection, row: RowMapping) -> list[Fact]:
    facts = [_beginning(row)]
    if row["skip_reason"]:
        facts.append(Fact(row["state_at"], f"skipped, {_reason(row)}"))
    elif row["state"] in ("planned", "handed_over"):
        facts.append(
            Fact(
                row["state_at"],
                f"message {row['id']} {STATES[row['state']]}, not before {row['not_before']:%Y-%m-%d %H:%M %Z}",
            )
        )
    for tried in connection.execute(
        select(attempt).where(attempt.c.message_id == row["id"]).order_by(attempt.c.number)
    ).mappings():
        reply = " ".join(str(part) for part in (tried["code"], tried["reply"]) if part)
        via = f" by {tried['transport']}" if tried["transport"] else ""
        facts.append(
            Fact(
                tried["answered_at"],
                f"attempt {tried['number']}{via}: {tried['outcome']}{f' ({reply})' if reply else ''}",
            )
        )
    hits = select(hit.c.kind, hit.c.label, func.min(hit.c.occurred_at).label("first"), func.count().label("times"))
    hits = hits.where(hit.c.message_id == row["id"]).group_by(hit.c.kind, hit.c.label)
    for seen in connection.execute(hits):
        times = f" ({seen.times} times)" if seen.times > 1 else ""
        facts.append(Fact(seen.first, f"{seen.kind} by a {seen.label}{times}"))
    return facts


def _permission_facts(connection: Connection, person: RowMapping) -> list[Fact]:
    facts = []
    for row in connection.execute(select(consent).where(consent.c.customer_id == person["id"])).mappings():
        facts.append(
            Fact(
                row["captured_at"],
                f"consent for {row['topic']}: {row['state']} ({row['basis']}, from {row['source']})",
            )
        )
    for merged in connection.execute(select(customer_alias).where(customer_alias.c.customer_id == person["id"])):
        because = f"{merged.external_id} was merged into this customer: {merged.merged_because}"
        facts.append(Fact(merged.merged_at, because))
    entries = select(suppression).where(suppression.c.address_key == person["address_key"])
    for row in connection.execute(entries).mappings():
        scope = row["scope"] + (f" {row['scope_name']}" if row["scope_name"] else "")
        facts.append(Fact(row["created_at"], f"suppressed for {scope}: {row['reason']} (from {row['source']})"))
        if row["lifted_at"]:
            facts.append(Fact(row["lifted_at"], f"suppression for {scope} lifted: {row['lifted_because']}"))
    return facts


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
