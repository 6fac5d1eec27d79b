"""What one person has chosen: read for the preference page, and changed by it.

Only what is chosen anew is written: a page that is saved unchanged changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, select

from core import audit
from core.schema import consent, customer, preference, suppression
from core.settings import Settings
from suppression.consent_ledger import (
    PROFILING,
    TRACKING,
    About,
    Wording,
    choose,
    confirm_consent,
    request_consent,
)
from suppression.gate import PAUSED, UNSUBSCRIBED, in_force, without_consent
from suppression.locks import lock_addresses
from suppression.policy import Policy
from suppression.record import suppress, withdraw
from suppression.watching import chosen_by_behaviour, tracked
from suppression.wishes import pause, wish_for_at_most
from web.mailboxes import Mailbox, Person

EMAIL: Final = "email"
SOURCE: Final = "preferences"

#: Channel and topic.
Offer = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Choices:
    """What the person gets: topics by channel, how often, from when, and what is recorded."""

    wanted: Mapping[Offer, bool]
    most: tuple[int, timedelta] | None
    paused_until: datetime | None
    may_track: bool
    may_profile: bool


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the page was sent with, as far as it differs from what the page showed: what was not touched is not
    wished. A page may have lain open for long, or come a second time."""

    wanted: frozenset[Offer]
    shown_off: frozenset[Offer]
    shown_at: datetime | None
    keeps_most: bool
    most: tuple[int, timedelta] | None
    keeps_pause: bool
    pause_until: datetime | None
    may_track: bool | None  # None: not touched
    may_profile: bool | None  # None: not touched
    wording: Wording


def choices_of(connection: Connection, person: Person, settings: Settings, now: datetime) -> Choices:
    """What the person gets at present."""
    in_the_way = select(suppression).where(suppression.c.address_key == person.key, in_force(suppression, now))
    entries = connection.execute(in_the_way).all()
    pauses = [entry.expires_at for entry in entries if entry.reason == PAUSED and entry.expires_at is not None]
    wish = connection.execute(select(preference).where(preference.c.customer_id == person.customer_id)).one_or_none()
    most = (wish.most_messages, wish.most_within) if wish is not None and wish.most_messages is not None else None
    offers, policy = _offers(connection, person, settings), Policy.of(settings)
    answers: list[ColumnElement[Any]] = [
        tracked(customer.c.id, customer.c.country, now=now, policy=policy),
        chosen_by_behaviour(customer.c.id, now=now, policy=policy),
        *(without_consent(customer.c.id, topic=topic, now=now, policy=policy, channel=its) for its, topic in offers),
    ]
    asked = [answer.label(f"a{place}") for place, answer in enumerate(answers)]
    may_track, may_profile, *found = connection.execute(select(*asked).where(customer.c.id == person.customer_id)).one()
    wanted = {
        offer: flaw is None and not any(_stops(entry, *offer) for entry in entries)
        for offer, flaw in zip(offers, found, strict=True)
    }
    return Choices(wanted, most, max(pauses, default=None), bool(may_track), bool(may_profile))


def _offers(connection: Connection, person: Person, settings: Settings) -> list[Offer]:
    """E-mail for every topic, and the other ways the person was ever asked about."""
    said = select(consent.c.channel, consent.c.topic).where(
        consent.c.customer_id == person.customer_id, consent.c.channel.not_in((EMAIL, TRACKING, PROFILING))
    )
    others = sorted(tuple(row) for row in connection.execute(said.distinct()) if row.topic in settings.topics)
    return [*((EMAIL, topic) for topic in settings.topics), *others]


def _stops(entry: Any, channel: str, topic: str) -> bool:
    """Whether a suppression, a break aside, keeps the topic away."""
    if entry.reason == PAUSED:
        return False
    is_topic = entry.scope == "topic" and entry.scope_name == topic
    return bool(entry.scope == "global" or (entry.channel == channel and (entry.scope == "channel" or is_topic)))


def save(
    connection: Connection, person: Person, settings: Settings, wishes: Wishes, proof: Mapping[str, Any], now: datetime
) -> bool:  # fmt: skip
    """What the person wishes is so, from now on, as far as it is theirs to say: what an operator, a complaint or a
    bounce stopped stays stopped. A topic is switched on only if it was shown off, and nothing was stopped since; False:
    something was.

    To be called while `people_stay` holds. Repeat: safe. Atomic with the connection's transaction.
    """
    proof = {"customer": person.customer_id, **proof}
    lock_addresses(connection, [person.key])
    before = choices_of(connection, person, settings, now)
    is_on = {offer for offer, is_on in before.wanted.items() if is_on}
    stopping = is_on - wishes.wanted - wishes.shown_off
    is_fresh = not _stopped_since(connection, person, wishes.shown_at)
    ticked = wishes.shown_off & wishes.wanted if is_fresh else frozenset()
    starting = {offer for offer in ticked if before.wanted.get(offer) is False}
    for channel, topic in sorted(stopping):
        _stop(connection, person, channel, topic, proof, now)
    for channel in sorted({channel for channel, _ in starting}):
        _start(connection, person, channel, sorted(topic for its, topic in starting if its == channel), settings,
               wishes.wording, proof, now)  # fmt: skip
    if not wishes.keeps_most and wishes.most != before.most:
        most, within = wishes.most or (None, None)
        wish_for_at_most(connection, person.customer_id, most, within, source=SOURCE, now=now)
    if not wishes.keeps_pause and wishes.pause_until != before.paused_until:
        pause(connection, person.key, wishes.pause_until, source=SOURCE, now=now)
    _let_record(connection, person, "tracking", before.may_track, wishes.may_track, proof, now)
    _let_record(connection, person, "profiling", before.may_profile, wishes.may_profile, proof, now)
    audit.record(
        connection, audit.PERSON, "preferences.save", f"customer:{person.customer_id}", at=now,
        changed=sorted(f"{channel}:{topic}" for channel, topic in stopping | starting),
    )  # fmt: skip
    return is_fresh


def _stopped_since(connection: Connection, person: Person, shown_at: datetime | None) -> bool:
    """Whether anything was stopped after the page was shown: then its ticks are older than a no."""
    if shown_at is None:
        return True
    entry, said = suppression.c, consent.c
    stopped = select(entry.id).where(
        entry.address_key == person.key, entry.reason == UNSUBSCRIBED, entry.created_at > shown_at
    )
    withdrawn = select(said.id).where(
        said.customer_id == person.customer_id, said.state == "withdrawn", said.channel.not_in((TRACKING, PROFILING)),
        said.captured_at > shown_at,
    )  # fmt: skip
    return any(connection.execute(one.limit(1)).first() is not None for one in (stopped, withdrawn))


def _let_record(
    connection: Connection, person: Person, about: About, was: bool, will: bool | None,
    proof: Mapping[str, Any], now: datetime,
) -> None:  # fmt: skip
    if will is not None and was != will:
        choose(connection, person.customer_id, about, allowed=will, source=SOURCE, proof=proof, now=now)


def _start(
    connection: Connection, person: Person, channel: str, topics: list[str], settings: Settings,
    wording: Wording, proof: Mapping[str, Any], now: datetime,
) -> None:  # fmt: skip
    """Asked for and confirmed at once: the link came to their own mailbox."""
    request_consent(
        connection, person.customer_id, topics, source=SOURCE, wording=wording, proof=proof, channel=channel, now=now
    )  # fmt: skip
    confirm_consent(
        connection, person.customer_id, topics, source=SOURCE, known_topics=list(settings.topics), proof=proof,
        channel=channel, now=now,
    )  # fmt: skip


def _stop(
    connection: Connection, person: Person, channel: str, topic: str, proof: Mapping[str, Any], now: datetime
) -> None:  # fmt: skip
    suppress(
        connection, person.key, scope="topic", scope_name=topic, reason=UNSUBSCRIBED, source=SOURCE, channel=channel,
        evidence=proof, now=now,
    )  # fmt: skip
    withdraw(
        connection, person.key, customer_id=person.customer_id, topic=topic, source=SOURCE, proof=proof,
        channel=channel, now=now,
    )  # fmt: skip


def stop_all(connection: Connection, mailbox: Mailbox, proof: Mapping[str, Any], now: datetime) -> None:
    """No bulk message goes to the mailbox any more, nor to its owner, by any channel.

    To be called while `people_stay` holds. Repeat: safe.
    """
    number = mailbox.customer_id
    proof = {"customer": number, **proof}
    lock_addresses(connection, mailbox.keys)
    for key in mailbox.keys:
        suppress(connection, key, scope="global", reason=UNSUBSCRIBED, source=SOURCE, evidence=proof, now=now)
    said = select(consent.c.channel).where(
        consent.c.customer_id == number, consent.c.channel.not_in((EMAIL, TRACKING, PROFILING))
    )
    for channel in (EMAIL, *connection.execute(said.distinct().order_by(consent.c.channel)).scalars()):
        for key in mailbox.keys:
            withdraw(
                connection, key, customer_id=number, topic=None, source=SOURCE, proof=proof, channel=channel, now=now
            )  # fmt: skip
    subject = f"customer:{number}" if number is not None else f"address:{mailbox.keys[0]}"
    audit.record(connection, audit.PERSON, "preferences.stop", subject, at=now)
