"""`clarion task`: what employees have to do for customers."""

from typing import TYPE_CHECKING, Any

import click

from core.commands import Desk, acting_user, headline, in_zone, json_option, print_json, print_table, remark, shown

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row


@click.group()
def task() -> None:
    """What employees have to do for customers.

    They come from campaigns that leave out key accounts, from replies and inquiries. OWNER is an entry of `staff` in
    clarion.yaml.
    """


@task.command("list")
@click.option("--owner", help="Only this employee's.")
@click.option("--nobody", is_flag=True, help="Only those that are nobody's yet.")
@click.option("--customer", "key", metavar="KEY", help="Only those about this customer.")
@click.option("--kind", help="Only this kind, such as key_account or reply.")
@click.option("--all", "ended", is_flag=True, help="Those that were done or dropped, too.")
@click.option("--full", is_flag=True, help="With the whole text of each.")
@json_option
@click.pass_obj
def list_(
    desk: Desk, owner: str | None, nobody: bool, key: str | None, kind: str | None, ended: bool, full: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """List the open tasks: those due first, then the oldest."""
    from campaigns.commands.persons import person_of
    from campaigns.tasks import NOBODY, listed

    _known_owner(desk, owner)
    _write_texts(desk)
    with desk.database.begin() as connection:
        customer_id = person_of(desk, connection, key)["id"] if key else None
        rows = listed(
            connection, owner=NOBODY if nobody else owner, kind=kind, customer_id=customer_id, ended=ended
        )  # fmt: skip
    if as_json:
        print_json({"tasks": [_document(row) for row in rows]})
    elif full:
        for row in rows:
            _print_whole(row, desk.zone)
    else:
        named = [_document(row) | {"when": _when(row, desk)} for row in rows]
        print_table(in_zone(named, desk.zone), [*_COLUMNS, *(["state", "outcome"] if ended else [])])


_COLUMNS = ["id", "owner", "kind", "customer", "title", "due_at", "when", "created_at"]


def _when(row: "Row[Any]", desk: Desk) -> str | None:
    """`overdue` or `today`, by the organisation's clock; None: later, never, or it has ended."""
    from zoneinfo import ZoneInfo

    if row.due_at is None or row.state != "open":
        return None
    now, zone = desk.clock.now(), ZoneInfo(desk.workspace.settings.organisation.zone)
    if row.due_at <= now:
        return "overdue"
    return "today" if row.due_at.astimezone(zone).date() == now.astimezone(zone).date() else None


@task.command("show")
@click.argument("task_id", type=int, metavar="ID")
@json_option
@click.pass_obj
def show(desk: Desk, task_id: int, as_json: bool) -> None:
    """Show one task with its whole text, such as the mailing a key account would have got."""
    from campaigns.tasks import fetch

    _write_texts(desk)
    with desk.database.begin() as connection:
        row = fetch(connection, task_id)
    if as_json:
        print_json(_document(row))
    else:
        _print_whole(row, desk.zone)


@task.command("done")
@click.argument("task_ids", type=int, nargs=-1, required=True, metavar="ID…")
@click.option("--outcome", required=True, help="What came of it.")
@click.option("--by", help="Who did it, an entry of staff (default: your login).")
@json_option
@click.pass_obj
def done(desk: Desk, task_ids: tuple[int, ...], outcome: str, by: str | None, as_json: bool) -> None:
    """Say that tasks were done, and what came of them."""
    from campaigns.tasks import TaskState

    _end(desk, task_ids, TaskState.DONE, outcome, by, as_json=as_json)


@task.command("drop")
@click.argument("task_ids", type=int, nargs=-1, required=True, metavar="ID…")
@click.option("--because", required=True, help="Why they need not be done.")
@json_option
@click.pass_obj
def drop(desk: Desk, task_ids: tuple[int, ...], because: str, as_json: bool) -> None:
    """Say that tasks need not be done any more, and why."""
    from campaigns.tasks import TaskState

    _end(desk, task_ids, TaskState.DROPPED, because, None, as_json=as_json)


@task.command("give")
@click.argument("task_id", type=int, metavar="ID")
@click.argument("owner")
@json_option
@click.pass_obj
def give(desk: Desk, task_id: int, owner: str, as_json: bool) -> None:
    """Make an open task OWNER's, and tell them."""
    from campaigns.duty import Circumstances
    from campaigns.inquiries.giving import give_task
    from campaigns.tasks import fetch

    _known_owner(desk, owner)
    with desk.database.begin() as connection:
        circumstances = Circumstances.of(desk.workspace)
        give_task(connection, circumstances, task_id, owner, by=acting_user(), now=desk.clock.now())
        row = fetch(connection, task_id)
    if as_json:
        print_json(_document(row))
    else:
        remark(f"task {task_id} is {owner}'s")


def _write_texts(desk: Desk) -> None:
    """The tasks of key accounts hold their mailings, if no worker came to that yet."""
    from campaigns.key_accounts import is_unwritten, write_texts

    with desk.database.begin() as connection:
        while is_unwritten(connection) and write_texts(connection, desk.workspace, desk.clock.now()):
            pass


def _end(desk: Desk, task_ids: tuple[int, ...], state: Any, outcome: str, by: str | None, *, as_json: bool) -> None:
    from campaigns.tasks import end

    _known_owner(desk, by)
    who, now = by or acting_user(), desk.clock.now()
    with desk.database.begin() as connection:
        for task_id in dict.fromkeys(task_ids):
            end(connection, task_id, by=who, outcome=outcome, now=now, state=state, zone=desk.zone)
        rows = _fetched(connection, task_ids)
    if as_json:
        print_json({"tasks": [_document(row) for row in rows]})
    else:
        remark(f"{len(rows)} {state}")


def _fetched(connection: "Connection", task_ids: tuple[int, ...]) -> "list[Row[Any]]":
    from campaigns.tasks import fetch

    return [fetch(connection, task_id) for task_id in dict.fromkeys(task_ids)]


def _known_owner(desk: Desk, owner: str | None) -> None:
    """Nothing happens when `owner` is None or an entry of staff.

    Raises:
        NotFound: it is not.
    """
    from core.errors import NotFound
    from core.names import did_you_mean

    staff = desk.workspace.settings.staff
    if owner is not None and owner not in staff:
        hint = did_you_mean(owner, staff) or "list employees under `staff` in clarion.yaml"
        raise NotFound(f"there is no employee {owner!r}", hint=hint, where="clarion.yaml")


def _document(row: "Row[Any]") -> dict[str, Any]:
    hidden = ("customer_id", "task_key")
    return {name: value for name, value in row._mapping.items() if name not in hidden}


def _print_whole(row: "Row[Any]", zone: str) -> None:
    headline(f"{row.id}  {row.title}")
    (told,) = in_zone([_document(row)], zone)
    for name, value in told.items():
        if value is not None and name not in ("id", "title", "body"):
            click.echo(f"  {name.replace('_', ' '):<12} {value if name == 'message_id' else shown(value)}")
    if row.body:
        click.echo("\n" + "\n".join(f"  {line}".rstrip() for line in row.body.splitlines()))
    click.echo()
