"""Messages owed to one person, such as a receipt: each is ordered by itself, under a key that makes it once.

A transactional campaign has one open-ended run for each version of its files. Orders only insert: many at once do not
wait for each other, and the audience of such a run is what it holds. Each message has a batch of its own, of the queue
`transactional`, and the scheduler is told of it as soon as the order is committed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from campaigns import versions
from campaigns.catalogue import Catalogue
from campaigns.runs import WORK_CHANNEL, lock_campaign
from campaigns.states import State
from campaigns.versions import SEND_STEP, Version
from core.errors import NotFound, PlanError, UsageError
from core.schema import batch, campaign_version, customer, message, run
from suppression.gate import TRANSACTIONAL, skip_reason
from suppression.mailboxes import unfit
from suppression.policy import Policy

#: An order's values are kept with its message: a page of text, not a file.
MOST_GIVEN: Final = 64_000
LONGEST_KEY: Final = 200
#: Orders on one trip at most, beside the first.
_MOST_GATHERED: Final = 99
#: In these states a run takes orders; those of a paused one wait.
_TAKING: Final = ("running", "paused")


@dataclass(frozen=True, slots=True)
class Standing:
    """A transactional campaign at one state of its files, ready to take orders. Kept by who orders often.

    What sends several mails, such as an event, has a `step` and a version for each of them.
    """

    campaign: str
    version_id: int
    policy: Policy
    step: str = SEND_STEP


@dataclass(frozen=True, slots=True)
class Posted:
    """What an order came to. `is_new` is False when its key was used before: then nothing was added."""

    message_id: int
    run_id: int
    is_new: bool
    skip_reason: str | None  # why the message will not be sent; None: it will be


def standing(connection: Connection, catalogue: Catalogue, campaign: str) -> Standing:
    """The campaign as its files say now, stored. Repeat: safe.

    Raises:
        NotFound: there is no such campaign.
        PlanError: it is not transactional.
    """
    if catalogue.campaign(campaign).message_class != TRANSACTIONAL:
        kind = catalogue.campaign(campaign).kind
        raise PlanError(
            f"{campaign} cannot be sent to one person (its kind is {kind!r}, expected 'transactional')",
            hint=f"send it to its audience: clarion send {campaign}",
        )
    version = versions.pin(catalogue, campaign)
    return Standing(campaign, _stored(connection, version), Policy.of(catalogue.settings))


def _stored(connection: Connection, version: Version) -> int:
    """Known versions are found without compiling them again."""
    known = select(campaign_version.c.id).where(
        campaign_version.c.campaign == version.campaign, campaign_version.c.fingerprint == version.fingerprint
    )
    found = connection.execute(known).scalar()
    return versions.store(connection, version) if found is None else int(found)


def post(
    connection: Connection, of: Standing, customer_id: int, *, key: str, given: Mapping[str, Any], now: datetime
) -> Posted:
    """The customer is owed one message under this `key`, and workers are told when the transaction commits.

    `given` holds the values that the template names as `given.…`; when the key was used before they are not looked at.
    A key counts once for each campaign and address. That of a skipped message may be used again when the campaign's
    files have changed. Repeat: safe, also at the same time; it is the same message. Atomic: yes.

    Raises:
        NotFound: there is no such customer.
        UsageError: `key` or `given` cannot be kept.
    """
    check_order(key, given)
    gate = skip_reason(
        customer.c.id, customer.c.address_key,
        topic="", campaign=of.campaign, now=now, policy=of.policy, message_class=TRANSACTIONAL,
    )  # fmt: skip
    refused = func.coalesce(gate, unfit(customer.c.email, of.policy.mailboxes, is_bulk=False))
    person = connection.execute(
        select(customer.c.address_key, refused.label("reason"))
        .where(customer.c.id == customer_id)
        .with_for_update(read=True, key_share=True, of=customer)  # whoever erases them now waits, or has done it
    )
    row = person.one_or_none()
    if row is None:
        raise NotFound(f"there is no customer with the number {customer_id}")
    run_id = open_run(connection, of, now)
    owed = {
        "run_id": run_id, "campaign": of.campaign, "step": of.step, "occurrence": key, "customer_id": customer_id,
        "address_key": row.address_key, "state": State.SKIPPED if row.reason else State.PLANNED,
        "skip_reason": row.reason, "not_before": now, "state_at": now, "given": dict(given),
    }  # fmt: skip
    added = upsert(message).values(**owed).on_conflict_do_nothing().returning(message.c.id)
    message_id = connection.execute(added).scalar()
    if message_id is None:
        return _known(connection, owed)
    if row.reason is None:
        _to_be_sent(connection, run_id, message_id, now)
    return Posted(message_id, run_id, is_new=True, skip_reason=row.reason)


def check_order(key: str, given: Mapping[str, Any]) -> None:
    if not key.strip() or len(key) > LONGEST_KEY or not key.isprintable():
        shown = key if key.isprintable() and len(key) <= LONGEST_KEY else f"{len(key)} characters"
        raise UsageError(f"this is no key (got {shown!r}, expected 1 to {LONGEST_KEY} printable characters)")
    try:
        written = json.dumps(dict(given), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"the values given are not JSON: {error}") from None
    if len(written) > MOST_GIVEN:
        raise UsageError(f"the values given are too large (got {len(written):,} characters, expected {MOST_GIVEN:,})")
    if "\\u0000" in written:
        raise UsageError("the values given hold the character U+0000, which cannot be kept")


def open_run(connection: Connection, of: Standing, now: datetime) -> int:
    """The version's run that takes orders, held open until this transaction ends; made when there is none."""
    mine = (run.c.campaign == of.campaign) & (run.c.version_id == of.version_id) & (run.c.step == of.step)
    taking = (
        select(run.c.id)
        .where(mine, run.c.state.in_(_TAKING))
        .order_by(run.c.id.desc())
        .limit(1)
        .with_for_update(read=True)
    )
    found = connection.execute(taking).scalar()
    if found is None:
        lock_campaign(connection, of.campaign)  # the first two orders make one run
        found = connection.execute(taking).scalar()
    if found is None:
        values = {
            "campaign": of.campaign, "version_id": of.version_id, "step": of.step, "occurrence": TRANSACTIONAL,
            "state": "running", "digest": "", "starts_at": now, "open_ended": True,
        }  # fmt: skip
        found = connection.execute(insert(run).values(**values).returning(run.c.id)).scalar_one()
    return int(found)


def _to_be_sent(connection: Connection, run_id: int, message_id: int, now: datetime) -> None:
    values = {"run_id": run_id, "queue": TRANSACTIONAL, "message_ids": [message_id], "not_before": now}
    connection.execute(insert(batch).values(**values))
    connection.execute(text(f"NOTIFY {WORK_CHANNEL}"))


def _known(connection: Connection, owed: Mapping[str, Any]) -> Posted:
    """The message that has the key already: at this address, or skipped for this customer."""
    named = [message.c[name] == owed[name] for name in ("campaign", "step", "occurrence")]
    columns = select(message.c.id, message.c.run_id, message.c.skip_reason)
    by_address = columns.where(*named, message.c.address_key == owed["address_key"], message.c.skip_reason.is_(None))
    by_customer = columns.where(*named, message.c.customer_id == owed["customer_id"]).order_by(message.c.id.desc())
    row = connection.execute(by_address).first() or connection.execute(by_customer.limit(1)).one()
    return Posted(row.id, row.run_id, is_new=False, skip_reason=row.skip_reason)


_GATHER: Final = text("""
    WITH mine AS MATERIALIZED (
        SELECT b.id, b.run_id, b.attempt_count, b.waits_from FROM batch AS b JOIN run AS r ON r.id = b.run_id
        WHERE b.id = :batch_id AND b.queue = 'transactional' AND b.state = 'ready' AND b.not_before <= :now
          AND b.booked_at IS NULL AND r.state = 'running' FOR NO KEY UPDATE OF b
    ), others AS MATERIALIZED (
        SELECT o.id, o.message_ids FROM batch AS o JOIN mine ON mine.run_id = o.run_id AND mine.id <> o.id
        WHERE o.queue = 'transactional' AND o.state = 'ready' AND o.state <> 'done' AND o.not_before <= :now
          AND cardinality(o.message_ids) = 1
          AND o.booked_at IS NULL AND o.attempt_count = mine.attempt_count
          AND o.waits_from IS NOT DISTINCT FROM mine.waits_from
        ORDER BY o.id LIMIT :most FOR NO KEY UPDATE OF o SKIP LOCKED
    ), emptied AS (
        UPDATE batch SET state = 'done', message_ids = '{}' FROM others WHERE batch.id = others.id
    )
    UPDATE batch SET message_ids = ARRAY(
        SELECT unnest(batch.message_ids) UNION SELECT unnest(message_ids) FROM others ORDER BY 1
    )
    FROM mine WHERE batch.id = mine.id AND EXISTS (SELECT 1 FROM others)
""")


def gather(connection: Connection, batch_id: int, now: datetime) -> None:
    """A transactional batch that is due holds what else of its run is: orders that wait go on one trip.

    A trip costs 19 ms of a processor's time and a dozen round trips to the database, with one message or with fifty;
    one by one, orders would queue up when many come at once. Other batches stay as they are. Repeat: safe.
    """
    connection.execute(_GATHER, {"batch_id": batch_id, "now": now, "most": _MOST_GATHERED})


_newer = run.alias("newer")
_IS_NEWER: Final = (_newer.c.campaign == run.c.campaign) & (_newer.c.step == run.c.step) & (_newer.c.id > run.c.id)
_FORMER: Final = (
    select(run.c.id)
    .join(campaign_version, campaign_version.c.id == run.c.version_id)
    .where(
        campaign_version.c.message_class == TRANSACTIONAL, run.c.state == "running",
        select(_newer.c.id).where(_IS_NEWER).exists(),
    )
)  # fmt: skip
#: Whether `finish_superseded` may have anything to do.
IS_FORMER: Final = _FORMER.exists()


def finish_superseded(connection: Connection, now: datetime) -> list[int]:
    """Runs of former versions that have nothing open are finished; their ids are returned. Repeat: safe.

    They are locked before their batches are looked at: an order in the making holds its run.
    """
    ids = list(connection.execute(_FORMER.with_for_update(of=run, skip_locked=True)).scalars())
    if not ids:
        return []
    open_batches = select(batch.c.id).where(batch.c.run_id == run.c.id, batch.c.state != "done").exists()
    ended = update(run).where(run.c.id.in_(ids), ~open_batches).values(state="finished", finished_at=now)
    return list(connection.execute(ended.returning(run.c.id)).scalars())
