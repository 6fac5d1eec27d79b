"""What is on record of one customer: what became of each message of a campaign, and what they permitted."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, func, select

from campaigns.reasons import STATES, sentence
from core.local_time import shown_in
from core.schema import attempt, campaign_version, consent, customer_alias, hit, message, run, suppression
from suppression.gate import TRANSACTIONAL


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing on record. `at` None: so it is at present."""

    at: datetime | None
    what: str

    def document(self) -> dict[str, Any]:
        """The public form."""
        return {"at": self.at, "what": self.what}


def in_order(facts: Iterable[Fact]) -> list[Fact]:
    """The oldest first; what is so at present comes last."""
    return sorted(facts, key=lambda fact: (fact.at is None, fact.at))


def messages(connection: Connection, customer_id: int, campaign: str) -> list[RowMapping]:
    """Theirs of this campaign, in the order in which they were made."""
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


def reason_of(row: RowMapping) -> str:
    """What became of the message, or why it was not sent."""
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


def message_facts(connection: Connection, row: RowMapping, zone: str) -> list[Fact]:
    """How the message came to be comes first; then what became of it, by the clock of `zone`."""
    facts = [_beginning(row)]
    if row["skip_reason"]:
        facts.append(Fact(row["state_at"], f"skipped, {reason_of(row)}"))
    elif row["state"] in ("planned", "handed_over"):
        not_before = shown_in(zone, row["not_before"])
        facts.append(Fact(row["state_at"], f"message {row['id']} {STATES[row['state']]}, not before {not_before}"))
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


def permission_facts(connection: Connection, person: RowMapping) -> list[Fact]:
    """What they agreed to, and what stands or stood against writing to them."""
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
