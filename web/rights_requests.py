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

from sqlalchemy import Connection, func, insert, select, text, update

from campaigns.tasks import NewTask, create
from campaigns.transactional import post
from core import audit
from core.addresses import parse_address
from core.ids import address_key
from core.mailboxes import limit_key, lock_mailbox
from core.people_lock import people_go, people_stay
from core.schema import customer, rights_request
from customers.joining import STRANGER
from customers.rights.erase import erase
from customers.rights.export import document_of
from customers.rights.subject import WIDE, Circle, Subject, subject_of
from tracking.timed_tokens import TimedPurpose, TimedToken
from web.languages import Words
from web.limits import answered, may_mail, remember_mail
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
    names: tuple[str, ...]  # of all customers at the address, as far as known; empty: there is one, or very many


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


def asked_with(connection: Connection, token: TimedToken) -> Asked | None:
    """The request a link is about; None when the link was used, or the address is nobody's any more."""
    if is_used(connection, token):
        return None
    same = (customer.c.id == rights_request.c.customer_id) & (customer.c.address_key == rights_request.c.address_key)
    asked = select(rights_request.c.id, customer.c.id.label("customer_id"), customer.c.email, customer.c.language)
    asked = asked.add_columns(customer.c.address_key).join(customer, same)
    its = (rights_request.c.id == token.subject_id) & (rights_request.c.kind == token.purpose.value)
    found = connection.execute(asked.where(its)).one_or_none()
    if found is None:
        return None
    return Asked(found.id, found.customer_id, found.email, found.language, _names(connection, found.address_key))


def _names(connection: Connection, key: UUID) -> tuple[str, ...]:
    """What those who share an address are called, of each as little as tells them apart; empty: nobody shares it, or
    staff will look first. An empty name is not known."""
    named = select(func.coalesce(customer.c.first_name, customer.c.company, customer.c.last_name, ""))
    here = named.where(customer.c.address_key == key).order_by(customer.c.id).limit(WIDE + 1)
    found = tuple(connection.execute(here).scalars())
    return found if 1 < len(found) <= WIDE else ()


def export(site: Site, token: TimedToken) -> bytes | Outcome:
    """Everything that is stored about whoever has the address, as JSON; or why it is not given out. Atomic: yes."""
    now = site.clock.now()
    with site.transaction() as connection:
        people_stay(connection)
        begun = _begun(connection, site, token, now)
        if isinstance(begun, Outcome):
            return begun
        asked, subject = begun
        found = document_of(connection, subject, now=now)
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
    with site.transaction() as connection:
        people_go(connection, _SHORT)
        begun = _begun(connection, site, token, now)
        if isinstance(begun, Outcome):
            return begun
        asked, subject = begun
        erase(
            connection, site.workspace.secret, asked.customer_id, circle=Circle.ADDRESS, source="request", now=now,
            actor=audit.PERSON,
        )  # fmt: skip
        if subject.others:
            title = f"Erased on a page: look at {subject.others:,} more of the same person at other addresses"
            create(connection, NewTask(f"rights:{asked.number}:others", _TASK, title), now)
    return Outcome.DONE


def _begun(connection: Connection, site: Site, token: TimedToken, now: datetime) -> tuple[Asked, Subject] | Outcome:
    """The link is used up, and its request done with this; or what is to be said instead."""
    asked = asked_with(connection, token)
    if asked is None or not use(connection, token, now):
        return Outcome.USED
    subject = subject_of(connection, asked.customer_id, circle=Circle.ADDRESS)
    if subject.is_wide:
        return _for_staff(connection, asked, token, subject, now)
    answered(connection, limit_key(site.workspace.secret, parse_address(asked.email)))
    _note(connection, asked, state="done", confirmed_at=now, done_at=now)
    return asked, subject


def _for_staff(
    connection: Connection, asked: Asked, token: TimedToken, subject: Subject, now: datetime
) -> Outcome:  # fmt: skip
    """Somebody looks first: behind so many customers there is hardly one person."""
    title = f"Asked for on a page: {token.purpose} of the data of {len(subject.customers):,} customers at one address"
    create(connection, NewTask(f"rights:{asked.number}", _TASK, title, customer_id=asked.customer_id), now)
    _note(connection, asked, state="confirmed", confirmed_at=now)
    return Outcome.FOR_STAFF


def _note(connection: Connection, asked: Asked, **values: Any) -> None:
    connection.execute(update(rights_request).where(rights_request.c.id == asked.number).values(**values))
