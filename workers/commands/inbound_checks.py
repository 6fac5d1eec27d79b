"""What `clarion doctor` says of the places where mails and reports come in."""

import http.client
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from core.commands import Desk
from core.errors import EngineError, ServiceError
from core.inbound_settings import Listener

if TYPE_CHECKING:
    from tracking.inbound.mailboxes import Mailbox

_TIMEOUT_S: Final = 5.0
Check = Callable[[], str]


def inbound_rows(desk: Desk) -> list[dict[str, Any]]:
    """Where mails come in at all, a row for the process, one for what it kept aside, and one for each listener and
    mailbox; and one for each webhook."""
    try:
        settings = desk.workspace.settings
    except EngineError:  # the files have a row of their own
        return []
    rows = _webhooks(desk)
    if settings.inbound.is_used:
        rows = [*_mails(desk), *rows]
    return rows


def _mails(desk: Desk) -> list[dict[str, Any]]:
    try:
        database = desk.database
    except EngineError:  # it has a row of its own
        return []
    from workers.intake import mailboxes

    rows = [_row("inbound", partial(_process, desk)), _row("inbound mails", partial(_none_aside, desk))]
    for name, listener in desk.workspace.settings.inbound.listeners.items():
        rows.append(_row(f"inbound {name}", partial(_greeted, listener)))
    for mailbox in mailboxes(desk.workspace, database):
        rows.append(_row(f"inbound {mailbox.name}", partial(_opened, mailbox)))
    return rows


def _row(name: str, check: Check) -> dict[str, Any]:
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


def _greeted(listener: Listener) -> str:
    place = f"{listener.host}:{listener.port}"
    try:
        with socket.create_connection((listener.host, listener.port), timeout=_TIMEOUT_S) as link:
            said = link.recv(3)
            link.sendall(b"QUIT\r\n")
    except OSError as error:
        raise ServiceError(f"nothing answers at {place}: {error.strerror or error}") from None
    if said != b"220":
        raise ServiceError(f"what answers at {place} takes no mail now")
    return f"{place} takes mail by {listener.protocol.upper()}"


def _opened(mailbox: "Mailbox") -> str:
    with mailbox.opened():
        return "can be opened"


# --- webhooks --------------------------------------------------------------------------------------------


def _webhooks(desk: Desk) -> list[dict[str, Any]]:
    """Asked where the pages answer here; whether providers reach `tracking.base_url` is seen only from outside."""
    settings = desk.workspace.settings
    return [
        _row(f"webhook {provider}", partial(_heard, desk, provider))
        for provider, section in settings.webhooks
        if section is not None
    ]


def _heard(desk: Desk, provider: str) -> str:
    web, base = desk.workspace.settings.web, desk.workspace.settings.tracking.base_url
    link = http.client.HTTPConnection(web.host, web.port, timeout=_TIMEOUT_S)
    try:
        link.request("GET", f"/hooks/{provider}")
        status = link.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise ServiceError(f"nothing answers at {web.host}:{web.port}: {error}") from None
    finally:
        link.close()
    if status != 405:  # only POST is answered otherwise
        raise ServiceError(f"the pages do not know it ({status}); were they started before it was set?")
    return f"{base.rstrip('/')}/hooks/{provider}"
