"""Key accounts get no mass mail: their owner has a task instead, with what the mailing would have said (N16).

The task is made in the transaction that skips the message, so none is lost; its text is written soon after, by whoever
comes first: a worker, or `clarion task`. Writes the table task.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Interval,
    String,
    Text,
    cast,
    exists,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from campaigns import versions
from campaigns.mailings import Letter, Studio, sample_recipient
from core.arrays import among
from core.errors import ConfigError, RenderError
from core.schema import customer, message, run, task
from core.staff_settings import responsible
from core.workspace import Workspace
from suppression.care import KEY_ACCOUNT, key_account_id
from suppression.policy import Policy

#: Texts written in one transaction.
_AT_A_TIME: Final = 50
#: A task without a text: the mailing has still to be rendered into it (index ix_task_unwritten).
_UNWRITTEN: Final = (task.c.body == "") & (task.c.kind == KEY_ACCOUNT)


def leave_to_owners(
    connection: Connection,
    run_id: int,
    topic: str,
    policy: Policy,
    now: datetime,
    *,
    only: Sequence[int] | None = None,
) -> int:
    """Every message of the run that was skipped as `key_account` is a task of the account's owner, one a person; the
    number of new tasks. `only`: these messages alone are looked at.

    Asks nothing where mail about the topic spares no key accounts. Repeat: safe, also concurrently. Atomic with the
    connection's transaction.
    """
    rules = policy.care.key_accounts
    if rules is None or not policy.care.spares_key_accounts(topic):
        return 0
    columns = ["task_key", "kind", "owner", "customer_id", "campaign", "message_id", "title", "due_at", "created_at"]
    account = customer.alias("account")
    owner = select(func.nullif(account.c.owner, "")).where(account.c.id == key_account_id(customer.c.id, rules))
    query = select(
        literal(f"{KEY_ACCOUNT}:") + cast(message.c.id, String), literal(KEY_ACCOUNT), owner.scalar_subquery(),
        customer.c.id, message.c.campaign, message.c.id, _title(),
        func.greatest(message.c.not_before, now) + literal(rules.task_due, Interval), literal(now),
    ).join_from(message, customer, customer.c.id == message.c.customer_id)  # fmt: skip
    query = query.where(message.c.run_id == run_id, message.c.skip_reason == KEY_ACCOUNT, ~_has_elder())
    if only is not None:
        query = query.where(among(message.c.id, only))
    added = insert(task).from_select(columns, query.order_by(message.c.id))
    new = added.on_conflict_do_nothing(index_elements=["task_key"]).returning(task.c.id)
    return len(connection.execute(new).all())


def _title() -> ColumnElement[str]:
    names = func.concat_ws(" ", customer.c.first_name, customer.c.last_name)
    shown = func.coalesce(func.nullif(names, ""), func.nullif(customer.c.company, ""), customer.c.external_id)
    return message.c.campaign + literal(": write to ", Text) + shown + literal(" yourself", Text)


def _has_elder() -> ColumnElement[bool]:
    """Another customer who is the same human being has this task of the run."""
    elder, skipped = customer.alias("elder"), message.alias("skipped")
    same = or_(elder.c.person == customer.c.person, elder.c.address_key == customer.c.address_key)
    return exists().where(
        same, elder.c.id < customer.c.id, skipped.c.customer_id == elder.c.id, skipped.c.run_id == message.c.run_id,
        skipped.c.skip_reason == KEY_ACCOUNT,
    )  # fmt: skip


# --- what the mailing would have said ----------------------------------------------------------------------------


#: A task waits for its text.
IS_UNWRITTEN: Final = select(task.c.id).where(_UNWRITTEN).exists()


def is_unwritten(connection: Connection) -> bool:
    """Whether a task waits for its text. Costs a look into an index that is empty else."""
    return bool(connection.execute(select(IS_UNWRITTEN)).scalar())


def write_texts(connection: Connection, workspace: Workspace, now: datetime) -> int:
    """Some of the tasks that wait for it have their text, and an owner of `staff`; how many.

    Links in the text are those of the template: the owner writes, and nobody is tracked. Repeat: safe, also
    concurrently. Atomic with the connection's transaction.
    """
    waiting = (
        select(task.c.id, task.c.customer_id, task.c.owner, run.c.version_id)
        .join(message, message.c.id == task.c.message_id)
        .join(run, run.c.id == message.c.run_id)
        .where(_UNWRITTEN)
        .order_by(task.c.id)
        .limit(_AT_A_TIME)
        .with_for_update(of=task, skip_locked=True)
    )
    rows = connection.execute(waiting).all()
    desk = _Desk(connection, workspace, now)
    for row in rows:
        owner = responsible(workspace.settings.staff, row.owner)
        body = desk.body(row.version_id, row.customer_id, row.owner if owner is None else None)
        connection.execute(update(task).where(task.c.id == row.id).values(body=body, owner=owner))
    return len(rows)


_LEFT_OUT: Final = "(a link of the customer's own)"


def _without_own_links(text: str, base_url: str) -> str:
    """The text without links by which whoever has them opts out or chooses in the customer's name."""
    return re.sub(rf"{re.escape(base_url.rstrip('/'))}/[upv]/[\w.~%=-]+", _LEFT_OUT, text)


class _Desk:
    """Renders mailings as texts; keeps what was compiled."""

    def __init__(self, connection: Connection, workspace: Workspace, now: datetime) -> None:
        self._connection, self._now = connection, now
        self._studio, self._base_url = Studio(workspace), workspace.settings.tracking.base_url
        self._letters: dict[int, Letter] = {}

    def body(self, version_id: int, customer_id: int, unknown_owner: str | None) -> str:
        """Subject and text of the mailing as this customer would have got it, or why there is none; never empty."""
        try:
            rendered = self._studio.render(self._letter(version_id), self._recipient(customer_id))
        except (RenderError, ConfigError) as error:
            return f"The mailing could not be rendered for this customer: {error}"
        remark = f"({unknown_owner!r} is no entry of `staff` in clarion.yaml.)\n\n" if unknown_owner else ""
        return f"{remark}Subject: {rendered.subject}\n\n{_without_own_links(rendered.text, self._base_url)}".strip()

    def _letter(self, version_id: int) -> Letter:
        if version_id not in self._letters:
            version = versions.fetch(self._connection, version_id)
            self._letters[version_id] = Letter.of(self._connection, replace(version, opens=False, clicks=False))
        return self._letters[version_id]

    def _recipient(self, customer_id: int) -> Any:
        return sample_recipient(self._connection, customer_id, self._now)
