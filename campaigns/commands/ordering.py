"""`send CAMPAIGN --to KEY`: one message, owed to one person."""

import functools
import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import click

from campaigns.commands.persons import person_of
from core.commands import Desk, acting_user, print_json, remark
from core.errors import ServiceError, UsageError

if TYPE_CHECKING:
    from campaigns.transactional import Posted

#: How long `--wait` asks again after; a message takes a few hundredths of a second.
_LOOK_S: Final = 0.05
#: In these states an answer is to be had soon; one that was put off is not waited for.
_ON_ITS_WAY: Final = ("planned", "handed_over")
#: Whoever waited in one of these does not have what they waited for.
_NOT_WELL: Final = ("planned", "handed_over", "deferred", "failed", "unknown")


@dataclass(frozen=True, slots=True)
class Order:
    """What was typed: one message of the campaign, to this person."""

    campaign: str
    to: str
    key: str
    given: Mapping[str, Any]


def read_given(pairs: tuple[str, ...], file: IO[str] | None) -> Mapping[str, Any]:
    """The values of the file, and over them those of the command line.

    Raises:
        UsageError: a pair is not name=value, or the file is no JSON object.
    """
    values: dict[str, Any] = {}
    if file is not None:
        try:
            values = json.load(file)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{Path(file.name).name}: this is no JSON: {error}") from None
        if not isinstance(values, dict):
            raise UsageError(f"{Path(file.name).name}: got a {type(values).__name__}, expected an object of values")
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"not a value (got {pair!r}, expected name=value)")
        values[name] = value
    return values


def given_options(command: Callable[..., None]) -> Callable[..., None]:
    """`--given` and `--given-file`; the command gets their values as one mapping, `given`."""

    @click.option("--given", "pairs", multiple=True, metavar="NAME=VALUE", help="A value that mails call given.NAME.")
    @click.option("--given-file", "file", type=click.File(encoding="utf-8"), help="A JSON object of such values.")
    @functools.wraps(command)
    def with_values(*arguments: Any, pairs: tuple[str, ...], file: IO[str] | None, **options: Any) -> None:
        command(*arguments, given=read_given(pairs, file), **options)

    return with_values


def new_key() -> str:
    """A key nobody used."""
    return uuid.uuid4().hex


def place(desk: Desk, order: Order, *, wait: bool, as_json: bool) -> None:
    """The message is in the ledger, and what became of it is told; with `wait`, answered.

    Raises:
        RenderError: it cannot be rendered with these values; nothing was ordered.
        ServiceError: nothing is running that sends, and it was to be waited for.
    """
    from campaigns.presence import await_senders

    if wait and not await_senders(desk.database):
        raise ServiceError(
            "nothing is running that sends; nothing was ordered", hint="run `clarion up` in another window"
        )
    posted = _post(desk, order)
    if wait and posted.skip_reason is None:
        _wait(desk, posted.message_id)
    _tell(desk, order, posted, as_json=as_json)
    if not wait and posted.skip_reason is None and not _is_served(desk):
        remark("no worker is running: the message waits until one is (`clarion up`)")
    if wait and _look(desk, posted.message_id)[0] in _NOT_WELL:
        raise click.exceptions.Exit(1)


def _is_served(desk: Desk) -> bool:
    from campaigns.presence import are_senders_present

    with desk.database.begin() as connection:
        return are_senders_present(connection)


def _post(desk: Desk, order: Order) -> "Posted":
    from campaigns import catalogue as files
    from campaigns.preview import preview
    from campaigns.transactional import post, standing
    from core import audit

    catalogue, now = files.load(desk.workspace), desk.clock.now()
    with desk.database.begin() as connection:
        of = standing(connection, catalogue, order.campaign)
        person = person_of(desk, connection, order.to)
        if person["address_key"] is not None:  # a missing value is better told now than by `clarion why` later
            preview(connection, desk.workspace, catalogue, order.campaign, person, now, order.given)
        posted = post(connection, of, person["id"], key=order.key, given=order.given, now=now)
        if posted.is_new:
            audit.record(
                connection, acting_user(), "campaign.order", f"customer:{person['id']}", at=now,
                campaign=order.campaign, message=posted.message_id,
            )  # fmt: skip
        return posted


def _wait(desk: Desk, message_id: int) -> None:
    while True:
        state, _, stopped = _look(desk, message_id)
        if state not in _ON_ITS_WAY or stopped:
            return
        time.sleep(_LOOK_S)


def _look(desk: Desk, message_id: int) -> tuple[str, str | None, str | None]:
    """The message's state, its skip reason, and what keeps its run from going, if anything does."""
    from sqlalchemy import case, select

    from core.schema import message, run

    stopped = case((run.c.state != "running", "the run is " + run.c.state), else_=run.c.fault)
    query = select(message.c.state, message.c.skip_reason, stopped.label("stopped")).join(run)
    with desk.database.begin() as connection:
        row = connection.execute(query.where(message.c.id == message_id)).one()
    return row.state, row.skip_reason, row.stopped


def _tell(desk: Desk, order: Order, posted: "Posted", *, as_json: bool) -> None:
    state, reason, stopped = _look(desk, posted.message_id)
    if as_json:
        print_json(
            {
                "campaign": order.campaign,
                "key": order.key,
                "message": posted.message_id,
                "run": posted.run_id,
                "is_new": posted.is_new,
                "state": state,
                "reason": reason,
            }
        )
        return
    was = "" if posted.is_new else "ordered before, "
    click.echo(f"message {posted.message_id} (key {order.key}): {was}{state}{f', {reason}' if reason else ''}")
    if stopped and state == "planned":
        remark(f"it does not go at present: {stopped}")
