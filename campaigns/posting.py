"""Messages owed to many at once, such as everybody who registered for an event: ordered like one, in one statement."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Connection,
    DateTime,
    Text,
    bindparam,
    case,
    cast,
    column,
    func,
    insert,
    literal,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as upsert

from campaigns.runs import WORK_CHANNEL
from campaigns.states import State
from campaigns.transactional import Standing, check_order, open_run
from core.schema import batch, customer, message
from suppression.gate import TRANSACTIONAL, skip_reason
from suppression.mailboxes import unfit
from suppression.policy import Policy

#: Messages of one batch. Batches of one are gathered with others (`transactional.gather`), these are not.
_BATCH: Final = 100
_AT_ONCE: Final = 2_000  # orders in one statement: some megabytes of values
_NOW: Final = bindparam("now", type_=DateTime(timezone=True))


@dataclass(frozen=True, slots=True)
class Owed:
    """One of many orders: as the arguments of `transactional.post`."""

    customer_id: int
    key: str
    given: Mapping[str, Any]


def post_many(connection: Connection, of: Standing, owed: Iterable[Owed], now: datetime) -> int:
    """Each is owed their message; how many are new is returned. Customers who are gone are left out.

    As `transactional.post`, but for the time it takes. Repeat: safe. Atomic: yes.

    Raises:
        UsageError: a key or its values cannot be kept.
    """
    orders = list(owed)
    for order in orders:
        check_order(order.key, order.given)
    if not orders:
        return 0
    run_id, added = open_run(connection, of, now), 0
    for at in range(0, len(orders), _AT_ONCE):
        added += _added(connection, of, orders[at : at + _AT_ONCE], run_id, now)
    return added


def _added(connection: Connection, of: Standing, orders: Sequence[Owed], run_id: int, now: datetime) -> int:
    rows = [{"customer_id": one.customer_id, "occurrence": one.key, "given": dict(one.given)} for one in orders]
    values: dict[str, Any] = {"rows": json.dumps(rows), "run_id": run_id, "step": of.step, "now": now}
    found = connection.execute(_adding(of.campaign, of.policy), values).all()
    going = sorted(row.id for row in found if row.skip_reason is None)
    each = {"run_id": run_id, "queue": TRANSACTIONAL, "not_before": now}
    cut = [each | {"message_ids": going[at : at + _BATCH]} for at in range(0, len(going), _BATCH)]
    if cut:
        connection.execute(insert(batch), cut)
        connection.execute(text(f"NOTIFY {WORK_CHANNEL}"))
    return len(found)


_NAMES: Final = (
    "run_id", "campaign", "step", "occurrence", "customer_id", "address_key", "state", "skip_reason", "not_before",
    "state_at", "given",
)  # fmt: skip


@lru_cache(maxsize=64)
def _adding(campaign: str, policy: Policy) -> Any:
    """A message for each of the `rows` whose customer is there, with what stands against it. Put together once."""
    staged = (
        func.jsonb_to_recordset(cast(bindparam("rows", type_=Text), JSONB))
        .table_valued(column("customer_id", BigInteger), column("occurrence", Text), column("given", JSONB))
        .render_derived("staged", with_types=True)
    )
    gate = skip_reason(
        customer.c.id, customer.c.address_key,
        topic="", campaign=campaign, now=_NOW, policy=policy, message_class=TRANSACTIONAL,
    )  # fmt: skip
    refused = func.coalesce(gate, unfit(customer.c.email, policy.mailboxes, is_bulk=False))
    state = case((refused.is_(None), State.PLANNED), else_=State.SKIPPED)
    run_id, step = bindparam("run_id", type_=BigInteger), bindparam("step", type_=Text)
    decided = (
        select(
            run_id, literal(campaign, Text), step, staged.c.occurrence,
            customer.c.id, customer.c.address_key, cast(state, message.c.state.type), refused, _NOW, _NOW,
            staged.c.given,
        )
        .select_from(staged)
        .join(customer, customer.c.id == staged.c.customer_id)
        .order_by(customer.c.id, staged.c.occurrence)
        .with_for_update(read=True, key_share=True, of=customer)
    )  # fmt: skip
    added = upsert(message).from_select(_NAMES, decided).on_conflict_do_nothing()
    return added.returning(message.c.id, message.c.skip_reason)
