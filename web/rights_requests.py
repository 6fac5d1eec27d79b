"""Links people ask for by their address: to their preferences, a copy of their data, and its erasure.

Writes rights_request. Whoever asks gets the same answer whether the address is known or not; the mail goes to the
address, and what it leads to is done once (S-5.15, S-9.9).
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, func, insert, select, text, update
from starlette.requests import Request
from starlette.responses import Response

from campaigns.tasks import NewTask, create
from campaigns.transactional import post
from core import audit
from core.addresses import parse_address
from core.ids import address_key
from core.people_lock import people_go, people_stay
from core.schema import customer, rights_request
from customers.joining import STRANGER
from customers.rights.erase import erase
from customers.rights.export import document_of
from customers.rights.subject import Circle, Subject, subject_of
from tracking.timed_tokens import TimedPurpose, TimedToken
from web.languages import Words
from web.limits import answered, limit_key, lock_mailbox, may_mail, remember_mail
from web.pages import fragment
from web.site import Site
from web.used_tokens import is_used, use


class Kind(StrEnum):
    """What can be asked for."""

    PREFERENCES = "preferences"  #: to choose what one gets
    EXPORT = "export"  #: a copy of one's data
    ERASE = "erase"  #: to have it erased


class Outcome(StrEnum):
    """What opening a link for good came to."""

    DONE = "done"  #: what was asked for
    USED = "used"  #: nothing: the link was used, or the address is nobody's any more
    FOR_STAFF = "for_staff"  #: a task: so many customers are at the address that somebody has to look


#: The kind of the tasks made here.
_TASK: Final = "rights"

_PURPOSES: Final = {
    Kind.PREFERENCES: (TimedPurpose.PREFERENCES, "p"),
    Kind.EXPORT: (TimedPurpose.EXPORT, "x"),
    Kind.ERASE: (TimedPurpose.ERASE, "e"),
}


#: A visitor waits no longer for an import to end; the link stays good.
_SHORT: Final = timedelta(seconds=4)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request whose link was opened, and whom it is about."""

    number: int
    customer_id: int
    email: str
    language: str | None


def campaign_of(site: Site, kind: Kind) -> str | None:
    """The campaign that carries links of this kind; None: the workspace takes no such requests."""
    named: str | None = getattr(site.workspace.settings.pages, kind.value)
    return named


def life_of(site: Site, kind: Kind) -> timedelta:
    """How long its link is good for."""
    links = site.workspace.settings.pages.links
    return links.preferences if kind is Kind.PREFERENCES else links.rights


def ask(site: Site, kind: Kind, email: str, words: Words) -> None:
    """A mail with the link is ordered for whoever has the address, unless nobody does, or one was a while ago.

    Whom only a form names that nobody confirmed is not known. Where nothing may be mailed staff is asked to see to it.

    Atomic: yes.

    Raises:
        AddressError: `email` is not an address.
        EngineError: the campaign cannot be sent.
    """
    campaign, secret, now = campaign_of(site, kind), site.workspace.secret, site.clock.now()
    if campaign is None:
        return
    standing, address = site.orders.standing(campaign), parse_address(email)
    folded, key = limit_key(secret, address), address_key(secret, address.comparable)
    limits = site.workspace.settings.pages.limits
    with site.transaction() as connection:
        people_stay(connection)
        lock_mailbox(connection, folded)
        whose = select(func.min(customer.c.id)).where(customer.c.address_key == key, text(f"NOT ({STRANGER})"))
        customer_id = connection.execute(whose).scalar_one()
        is_due = may_mail(connection, kind, folded, limits, now)
        if customer_id is None or not is_due:
            return
        number = _written(connection, kind, key, customer_id, now)
        purpose, page = _PURPOSES[kind]
        subject = key.int if kind is Kind.PREFERENCES else number
        given = {
            "url": site.link(page, purpose, subject, life_of(site, kind)), "kind": kind.value, "language": words.code,
            "valid_for": words.length(life_of(site, kind)),
        }  # fmt: skip
        posted = post(connection, standing, customer_id, key=f"{kind}-{number}", given=given, now=now)
        remember_mail(connection, kind, folded, limits.mail_every, now)
        if posted.skip_reason is not None and kind is not Kind.PREFERENCES:
            title = f"Asked for on a page: {kind}, but no link could be mailed ({posted.skip_reason})"
            create(connection, NewTask(f"rights:{number}:unsent", _TASK, title, customer_id=customer_id), now)


def _written(
    connection: Connection, kind: Kind, key: UUID, customer_id: int, now: datetime
) -> int:  # fmt: skip
    """The number of the request. One for preferences is no request for data, and leaves no row: a number is taken."""
    table = rights_request
    if kind is Kind.PREFERENCES:
        return int(connection.execute(select(func.nextval(func.pg_get_serial_sequence(table.name, "id")))).scalar_one())
    values = {
        "kind": kind, "address_key": key, "customer_id": customer_id, "requested_at": now, "state": "requested",
    }  # fmt: skip
    return int(connection.execute(insert(table).values(**values).returning(table.c.id)).scalar_one())


def on_its_way(site: Site, request: Request, words: Words, kind: Kind) -> Response:
    """The one answer to whoever asks."""
    spoken = words.say("my_sent_words", length=words.length(life_of(site, kind)))
    hint = fragment("hint.html", {"words": words.say("my_sent_hint")})
    return site.message(request, words, words.say("my_sent_heading"), spoken, hint)


def asked_with(connection: Connection, token: TimedToken) -> Asked | None:
    """The request a link is about; None when the link was used, or the address is nobody's any more."""
    if is_used(connection, token):
        return None
    found = connection.execute(_asked(token)).one_or_none()
    return _of(found)


def _asked(token: TimedToken) -> Any:
    same = (customer.c.id == rights_request.c.customer_id) & (customer.c.address_key == rights_request.c.address_key)
    return (
        select(rights_request.c.id, customer.c.id.label("customer_id"), customer.c.email, customer.c.language)
        .join(customer, same)
        .where(rights_request.c.id == token.subject_id, rights_request.c.kind == token.purpose.value)
    )


def _of(found: Row[Any] | None) -> Asked | None:
    return None if found is None else Asked(found.id, found.customer_id, found.email, found.language)


def export(site: Site, token: TimedToken) -> bytes | Outcome:
    """Everything that is stored about whoever has the address, as JSON; or why it is not given out. Atomic: yes."""
    now = site.clock.now()
    with site.database.begin() as connection:
        people_stay(connection)
        asked = asked_with(connection, token)
        if asked is None or not use(connection, token, now):
            return Outcome.USED
        subject = subject_of(connection, asked.customer_id, circle=Circle.ADDRESS)
        if subject.is_wide:
            return _for_staff(connection, asked, Kind.EXPORT, subject, now)
        found = document_of(connection, subject, now=now)
        _done(connection, site, asked, now)
        for number in subject.customers:
            audit.record(
                connection, audit.PERSON, "customer.export", f"customer:{number}", at=now, request=asked.number
            )
    return json.dumps(found, ensure_ascii=False, indent=2).encode()


def erase_all(site: Site, token: TimedToken) -> Outcome:
    """Nothing is stored about whoever has the address any more, unless the outcome says otherwise. Atomic: yes.

    Customers of the same `person` at other addresses stay: nobody has proven to read mail there. A task tells staff.
    """
    now = site.clock.now()
    with site.database.begin() as connection:
        people_go(connection, _SHORT)
        asked = asked_with(connection, token)
        if asked is None or not use(connection, token, now):
            return Outcome.USED
        subject = subject_of(connection, asked.customer_id, circle=Circle.ADDRESS)
        if subject.is_wide:
            return _for_staff(connection, asked, Kind.ERASE, subject, now)
        _done(connection, site, asked, now)
        erase(
            connection, site.workspace.secret, asked.customer_id, circle=Circle.ADDRESS, source="request", now=now,
            actor=audit.PERSON,
        )  # fmt: skip
        if subject.others:
            title = f"Erased on a page: look at {subject.others:,} more of the same person at other addresses"
            create(connection, NewTask(f"rights:{asked.number}:others", _TASK, title), now)
    return Outcome.DONE


def _for_staff(connection: Connection, asked: Asked, kind: Kind, subject: Subject, now: datetime) -> Outcome:
    """Somebody looks first: behind so many customers there is hardly one person."""
    title = f"Asked for on a page: {kind} of the data of {len(subject.customers):,} customers at one address"
    create(connection, NewTask(f"rights:{asked.number}", _TASK, title, customer_id=asked.customer_id), now)
    values = {"state": "confirmed", "confirmed_at": now}
    connection.execute(update(rights_request).where(rights_request.c.id == asked.number).values(**values))
    return Outcome.FOR_STAFF


def _done(connection: Connection, site: Site, asked: Asked, now: datetime) -> None:
    answered(connection, limit_key(site.workspace.secret, parse_address(asked.email)))
    values = {"state": "done", "confirmed_at": now, "done_at": now}
    connection.execute(update(rights_request).where(rights_request.c.id == asked.number).values(**values))
