"""What `clarion doctor` says of the places where mails come in."""

from typing import Any

from core.commands import Desk
from core.errors import EngineError, ServiceError


def inbound_rows(desk: Desk) -> list[dict[str, Any]]:
    """One row for the process, where mails come in at all, and one for each mailbox that it looks into."""
    try:
        if not desk.workspace.settings.inbound.is_used:
            return []
    except EngineError:  # the files have a row of their own
        return []
    from workers.intake import mailboxes

    rows = [_row("inbound", lambda: _process(desk)), _row("inbound mails", lambda: _none_aside(desk))]
    return rows + [
        _row(f"inbound {mailbox.name}", lambda one=mailbox: _opened(one)) for mailbox in mailboxes(desk.workspace)
    ]


def _row(name: str, check: Any) -> dict[str, Any]:
    try:
        return {"check": name, "ok": True, "detail": check()}
    except EngineError as error:
        return {"check": name, "ok": False, "detail": error.message.splitlines()[0]}


def _process(desk: Desk) -> str:
    from campaigns.presence import present

    with desk.database.begin() as connection:
        if "inbound" not in present(connection):
            raise ServiceError("not running: inbound; start it with `clarion up` or `clarion inbound run`")
    return "mails are taken in"


def _none_aside(desk: Desk) -> str:
    from tracking.inbound.register import aside_count

    with desk.database.begin() as connection:
        if count := aside_count(connection):
            raise ServiceError(f"{count:,} kept aside, which nothing followed from: `clarion inbound list --aside`")
    return "none is kept aside"


def _opened(mailbox: Any) -> str:
    with mailbox.opened():
        return "can be opened"
