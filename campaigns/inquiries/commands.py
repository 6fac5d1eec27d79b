"""`clarion inquiry`: what people asked, who answers, and what came of it."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from core.commands import (
    Desk,
    acting_user,
    headline,
    in_zone,
    json_option,
    local,
    print_json,
    print_table,
    remark,
    shown,
)

if TYPE_CHECKING:
    from sqlalchemy import Row


@click.group()
def inquiry() -> None:
    """What people asked, who answers, and what came of it.

    OWNER is an entry of `staff` in clarion.yaml, DESK one of `inquiries`.
    """


_COLUMNS = ["id", "owner", "desk", "customer", "subject", "received_at", "due_at", "when", "level", "call_at"]


@inquiry.command("list")
@click.option("--owner", help="Only this employee's.")
@click.option("--desk", "of_desk", help="Only those of this desk.")
@click.option("--all", "ended", is_flag=True, help="Those that were answered or dropped, too.")
@json_option
@click.pass_obj
def list_(desk: Desk, owner: str | None, of_desk: str | None, ended: bool, as_json: bool) -> None:
    """List the open inquiries, those due first."""
    from campaigns.inquiries.desks import desk_of
    from campaigns.inquiries.working import listed

    _known_employee(desk, owner)
    if of_desk is not None:
        desk_of(desk.workspace.settings, of_desk)
    with desk.database.begin() as connection:
        rows = listed(connection, owner=owner, desk=of_desk, ended=ended)
    if as_json:
        print_json({"inquiries": [_document(row) for row in rows]})
        return
    named = [_document(row) | {"when": _when(row, desk.clock.now())} for row in rows]
    print_table(in_zone(named, desk.zone), [*_COLUMNS, *(["state", "outcome"] if ended else [])])


@inquiry.command("show")
@click.argument("inquiry_id", type=int, metavar="ID")
@json_option
@click.pass_obj
def show(desk: Desk, inquiry_id: int, as_json: bool) -> None:
    """Show one inquiry with its whole text."""
    from campaigns.inquiries.desks import field_label
    from campaigns.inquiries.working import fetch

    with desk.database.begin() as connection:
        row = fetch(connection, inquiry_id)
    if as_json:
        print_json(_document(row))
        return
    headline(f"{row.id}  {row.subject}")
    (told,) = in_zone([_document(row)], desk.zone)
    for name, value in told.items():
        if value not in (None, [], {}) and name not in ("id", "subject", "content", "fields"):
            click.echo(f"  {name.replace('_', ' '):<16} {value if name in ('message_id', 'task_id') else shown(value)}")
    its_desk = desk.workspace.settings.inquiries.get(row.desk)
    for name, value in row.fields.items():
        click.echo(f"  {field_label(its_desk, name):<16} {value}")
    click.echo("\n" + "\n".join(f"  {line}".rstrip() for line in row.content.splitlines()))


@inquiry.command("add")
@click.argument("of_desk", metavar="DESK")
@click.option("--from", "key", required=True, help="Who asks: an external id or an e-mail address.")
@click.option("--subject", required=True)
@click.option("--text", "content", default="", help="What they ask.")
@click.option("--call-at", help="When they are to be called, by their clock, such as '2026-12-01 15:00'.")
@click.option("--key", "given_key", help="Equal whenever the same inquiry is added again.")
@json_option
@click.pass_obj
def add(
    desk: Desk, of_desk: str, key: str, subject: str, content: str, call_at: str | None, given_key: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Take an inquiry that came by telephone or at a counter."""
    from uuid import uuid4

    from campaigns.duty import Circumstances
    from campaigns.inquiries.calling import local_time
    from campaigns.inquiries.receiving import NewInquiry, Source, receive
    from customers.identity import find_customer

    settings = desk.workspace.settings
    with desk.database.begin() as connection:
        person = find_customer(connection, key, desk.workspace.secret)
        at = local_time(call_at, person["zone"] if person else None, settings) if call_at else None
        wanted = NewInquiry(
            key=f"operator:{given_key or uuid4()}", desk=of_desk, source=Source.OPERATOR, subject=subject,
            content=content, email=None if person else key, customer_id=person["id"] if person else None, call_at=at,
        )  # fmt: skip
        received = receive(connection, Circumstances.of(desk.workspace), wanted, desk.clock.now())
    if as_json:
        print_json({
            "inquiry": received.inquiry_id, "is_new": received.is_new, "owner": received.owner,
            "task": received.task_id, "due_at": received.due_at, "is_acknowledged": received.is_acknowledged,
        })  # fmt: skip
    else:
        told = "acknowledged" if received.is_acknowledged else "not acknowledged"
        remark(f"inquiry {received.inquiry_id} is {received.owner}'s, due {local(received.due_at, desk.zone)}, {told}")


@inquiry.command("answer")
@click.argument("inquiry_ids", type=int, nargs=-1, required=True, metavar="ID…")
@click.option("--outcome", required=True, help="What came of it.")
@click.option("--by", help="Who answered, an entry of staff (default: your login).")
@json_option
@click.pass_obj
def answer(desk: Desk, inquiry_ids: tuple[int, ...], outcome: str, by: str | None, as_json: bool) -> None:
    """Say that inquiries were answered, and what came of them. Their tasks are done."""
    from campaigns.inquiries.states import InquiryState

    _end(desk, inquiry_ids, InquiryState.ANSWERED, outcome, by, as_json=as_json)


@inquiry.command("drop")
@click.argument("inquiry_ids", type=int, nargs=-1, required=True, metavar="ID…")
@click.option("--because", required=True, help="Why they need no answer.")
@json_option
@click.pass_obj
def drop(desk: Desk, inquiry_ids: tuple[int, ...], because: str, as_json: bool) -> None:
    """Say that inquiries need no answer, and why."""
    from campaigns.inquiries.states import InquiryState

    _end(desk, inquiry_ids, InquiryState.DROPPED, because, None, as_json=as_json)


@inquiry.command("give")
@click.argument("inquiry_id", type=int, metavar="ID")
@click.argument("owner")
@json_option
@click.pass_obj
def give(desk: Desk, inquiry_id: int, owner: str, as_json: bool) -> None:
    """Make an open inquiry OWNER's, with its task, and tell them."""
    from campaigns.duty import Circumstances
    from campaigns.inquiries.giving import give as give_inquiry
    from campaigns.inquiries.working import fetch

    _known_employee(desk, owner)
    with desk.database.begin() as connection:
        circumstances = Circumstances.of(desk.workspace)
        give_inquiry(connection, circumstances, inquiry_id, owner, by=acting_user(), now=desk.clock.now())
        row = fetch(connection, inquiry_id)
    if as_json:
        print_json(_document(row))
    else:
        remark(f"inquiry {inquiry_id} is {owner}'s")


@inquiry.command("call")
@click.argument("inquiry_id", type=int, metavar="ID")
@click.option("--at", "wall", required=True, help="By the clock of who is called, such as '2026-12-01 15:00'.")
@json_option
@click.pass_obj
def call(desk: Desk, inquiry_id: int, wall: str, as_json: bool) -> None:
    """Note when a call was agreed: the inquiry and its task are due then."""
    from campaigns.inquiries.calling import local_time, zone_of
    from campaigns.inquiries.working import call as agree
    from campaigns.inquiries.working import fetch

    settings = desk.workspace.settings
    with desk.database.begin() as connection:
        known = fetch(connection, inquiry_id)
        at = local_time(wall, known.zone, settings)
        agree(connection, inquiry_id, at, by=acting_user(), now=desk.clock.now(), zone=desk.zone)
        row = fetch(connection, inquiry_id)
    if as_json:
        print_json(_document(row))
    else:
        remark(
            f"inquiry {inquiry_id}: call at {wall} in {zone_of(known.zone, settings)}, which is {local(at, desk.zone)}"
        )


def _end(desk: Desk, ids: tuple[int, ...], state: Any, outcome: str, by: str | None, *, as_json: bool) -> None:
    from campaigns.inquiries.working import end, fetch

    _known_employee(desk, by)
    numbers, who, now = list(dict.fromkeys(ids)), by or acting_user(), desk.clock.now()
    with desk.database.begin() as connection:
        for number in numbers:
            end(connection, number, state=state, by=who, outcome=outcome, now=now, zone=desk.zone)
        rows = [fetch(connection, number) for number in numbers]
    if as_json:
        print_json({"inquiries": [_document(row) for row in rows]})
    else:
        remark(f"{len(rows)} {state}")


def _known_employee(desk: Desk, name: str | None) -> None:
    """Nothing happens when `name` is None or an entry of staff.

    Raises:
        NotFound: it is not.
    """
    from core.errors import NotFound
    from core.names import did_you_mean

    staff = desk.workspace.settings.staff
    if name is not None and name not in staff:
        hint = did_you_mean(name, staff) or "list employees under `staff` in clarion.yaml"
        raise NotFound(f"there is no employee {name!r}", hint=hint, where="clarion.yaml")


def _when(row: "Row[Any]", now: datetime) -> str | None:
    return "overdue" if row.state == "open" and row.due_at <= now else None


def _document(row: "Row[Any]") -> dict[str, Any]:
    hidden = ("customer_id", "inquiry_key", "address_key", "mail_ids")
    return {name: value for name, value in row._mapping.items() if name not in hidden}
