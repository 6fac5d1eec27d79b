"""Sign-ups: taken with one mail that asks for confirmation, and confirmed by the link in it (double opt-in).

Writes sign_up. What a stranger typed about somebody changes nothing until the mailbox's owner has pressed a button: no
name reaches a customer or the mail (S-9.10).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, insert, select, update

from campaigns.transactional import post
from core import audit
from core.form_settings import Form
from core.ids import address_key
from core.mailboxes import limit_key, lock_mailbox
from core.people_lock import people_stay
from core.schema import customer, sign_up
from customers.joining import customer_at, fill_in
from suppression.consent_ledger import Wording, confirm_consent, request_consent
from suppression.gate import PAUSED, SUPPRESSED, skip_reason
from suppression.policy import Policy
from tracking.timed_tokens import TimedPurpose, TimedToken
from web.limits import SIGN_UP, answered, may_mail, remember_mail
from web.sign_up_form import Entered, heading_of
from web.site import Site
from web.speaking import topic_label
from web.used_tokens import is_used, use


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What a confirmation came to. `blocked`: topics that still cannot be written about."""

    address_key: UUID  # of the mailbox that was proven
    topics: tuple[str, ...]
    blocked: tuple[str, ...]


def take(site: Site, name: str, form: Form, entered: Entered, visitor: str | None) -> bool:
    """What was entered is on record, and one mail with a link is ordered; False: a limit kept it back, or they were
    erased, and nothing at all is kept. Atomic: yes.
    """
    settings, secret, now = site.workspace.settings, site.workspace.secret, site.clock.now()
    standing = site.orders.standing(form.campaign)
    folded, key = limit_key(secret, entered.address), address_key(secret, entered.address.comparable)
    with site.transaction() as connection:
        people_stay(connection)
        lock_mailbox(connection, folded)
        if not may_mail(connection, SIGN_UP, folded, settings.pages.limits, now):
            return False
        customer_id = customer_at(
            connection, entered.address, key, language=entered.language, source=f"form:{name}", now=now
        )
        if customer_id is None:
            return False
        number = _written(connection, name, form, entered, key, folded, visitor, customer_id, now)
        request_consent(
            connection, customer_id, entered.topics, source=f"form:{name}", proof={"sign_up": number},
            wording=Wording(form.wording.version, entered.wording_hash), now=now,
        )  # fmt: skip
        words = site.languages[entered.language]
        given = {
            "url": site.link("k", TimedPurpose.CONFIRM, number, settings.pages.links.confirm),
            "topics": [topic_label(settings, topic, words) for topic in entered.topics],
            "language": entered.language, "form": heading_of(form, settings, words),
            "valid_for": words.length(settings.pages.links.confirm),
        }  # fmt: skip
        post(connection, standing, customer_id, key=f"sign-up-{number}", given=given, now=now)
        remember_mail(connection, SIGN_UP, folded, settings.pages.limits.mail_every, now)
        connection.execute(update(sign_up).where(sign_up.c.id == number).values(mailed_at=now))
    return True


def _written(
    connection: Connection, name: str, form: Form, entered: Entered, key: UUID, folded: UUID, visitor: str | None,
    customer_id: int, now: datetime,
) -> int:  # fmt: skip
    values = {
        "form": name, "email": entered.address.email, "address_key": key, "limit_key": folded,
        "topics": list(entered.topics), "fields": dict(entered.told), "wording": form.wording.version,
        "wording_hash": entered.wording_hash, "language": entered.language, "ip": visitor,
        "customer_id": customer_id, "requested_at": now,
    }  # fmt: skip
    return int(connection.execute(insert(sign_up).values(**values).returning(sign_up.c.id)).scalar_one())


def sign_up_of(connection: Connection, token: TimedToken) -> Row[Any] | None:
    """The sign-up a link is about; None when there is none any more, or the link was used."""
    found = connection.execute(select(sign_up).where(sign_up.c.id == token.subject_id)).one_or_none()
    return None if found is None or is_used(connection, token) else found


#: A customer who has another address by now is not the one whose mailbox was proven.
_STILL_THERE: Final = (
    select(sign_up)
    .join(customer, (customer.c.id == sign_up.c.customer_id) & (customer.c.address_key == sign_up.c.address_key))
    .with_for_update(of=sign_up)
)


def confirm(site: Site, token: TimedToken, visitor: str | None) -> Confirmed | None:
    """The owner of the mailbox agrees, provably, to what was asked for; None: the link was used before, or the
    sign-up is gone. Atomic: yes."""
    settings, now = site.workspace.settings, site.clock.now()
    with site.transaction() as connection:
        people_stay(connection)
        if not use(connection, token, now):
            return None
        asked = connection.execute(_STILL_THERE.where(sign_up.c.id == token.subject_id)).one_or_none()
        if asked is None:
            return None
        answered(connection, asked.limit_key)
        fill_in(connection, asked.customer_id, asked.fields, now)
        done = confirm_consent(
            connection, asked.customer_id, asked.topics, source=f"form:{asked.form}",
            known_topics=list(settings.topics), sign_up=asked.id,
            proof=_proof(asked) | {"confirmed_at": now.isoformat(), "confirmed_from": visitor}, now=now,
        )  # fmt: skip
        connection.execute(update(sign_up).where(sign_up.c.id == asked.id).values(confirmed_at=now))
        audit.record(
            connection, audit.PERSON, "consent.confirm", f"customer:{asked.customer_id}", at=now, form=asked.form,
            topics=list(done.topics),
        )  # fmt: skip
        blocked = _blocked(connection, asked, Policy.of(settings), now)
    topics = tuple(topic for topic in done.topics if topic not in blocked)
    return Confirmed(asked.address_key, topics, (*blocked, *(topic for topic in done.void if topic not in blocked)))


def _blocked(connection: Connection, asked: Row[Any], policy: Policy, now: datetime) -> tuple[str, ...]:
    """The topics that a suppression still keeps away, but for a break the person takes."""
    gates = [
        skip_reason(customer.c.id, customer.c.address_key, topic=topic, campaign="", now=now, policy=policy).label(
            topic
        )
        for topic in asked.topics
    ]
    reasons = connection.execute(select(*gates).where(customer.c.id == asked.customer_id)).one()
    return tuple(
        topic for topic, reason in zip(asked.topics, reasons, strict=True)
        if reason is not None and reason.startswith(SUPPRESSED) and reason != SUPPRESSED + PAUSED
    )  # fmt: skip


def _proof(asked: Row[Any]) -> dict[str, Any]:
    return {
        "sign_up": asked.id, "form": asked.form, "language": asked.language,
        "requested_at": asked.requested_at.isoformat(), "requested_from": str(asked.ip) if asked.ip else None,
    }  # fmt: skip
