"""What one person has chosen: read for the preference page, and changed by it.

Only what is chosen anew is written: a page that is saved unchanged changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, select

from core import audit
from core.people_lock import people_stay
from core.schema import consent, customer, message, preference, suppression
from core.settings import Settings
from suppression.consent_ledger import PROFILING, TRACKING, About, choose, confirm_consent, request_consent
from suppression.gate import PAUSED, UNSUBSCRIBED, in_force, without_consent
from suppression.locks import lock_addresses
from suppression.policy import Policy
from suppression.record import suppress, withdraw
from suppression.watching import chosen_by_behaviour, tracked
from suppression.wishes import pause, wish_for_at_most

EMAIL: Final = "email"
SOURCE: Final = "preferences"

#: Channel and topic.
Offer = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Person:
    """Whose choices these are, at the address the link was mailed to."""

    customer_id: int
    key: UUID
    email: str
    language: str | None
    country: str | None


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
    """What the page was sent with. `keeps_pause`: the break was not touched, and `pause_until` means nothing."""

    wanted: frozenset[Offer]
    most: tuple[int, timedelta] | None
    keeps_pause: bool
    pause_until: datetime | None
    may_track: bool | None  # None: the page did not ask
    may_profile: bool


_PERSON: Final = (customer.c.id, customer.c.address_key, customer.c.email, customer.c.language, customer.c.country)


def person_with(connection: Connection, customer_id: int) -> Person | None:
    """The customer, if they can be reached by mail."""
    row = connection.execute(select(*_PERSON).where(customer.c.id == customer_id)).one_or_none()
    return _person(row)


def recipient_of(connection: Connection, message_id: int) -> Person | None:
    """The recipient of a message, if they still have the address it went to: whoever has the old one now must not
    choose for them."""
    same = (message.c.id == message_id) & (customer.c.address_key == message.c.address_key)
    joined = select(*_PERSON).join(message, message.c.customer_id == customer.c.id)
    return _person(connection.execute(joined.where(same)).one_or_none())


def _person(row: Any) -> Person | None:
    if row is None or row.address_key is None or row.email is None:
        return None
    return Person(row.id, row.address_key, row.email, row.language, row.country)


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
) -> None:  # fmt: skip
    """What the person wishes is so, from now on, as far as it is theirs to say: what an operator, a complaint or a
    bounce stopped stays stopped. Repeat: safe. Atomic with the connection's transaction."""
    people_stay(connection)
    lock_addresses(connection, [person.key])
    before = choices_of(connection, person, settings, now)
    changed = {offer for offer, is_on in before.wanted.items() if is_on != (offer in wishes.wanted)}
    for channel, topic in sorted(changed - wishes.wanted):
        _stop(connection, person, channel, topic, proof, now)
    for channel in sorted({channel for channel, _ in changed & wishes.wanted}):
        _start(connection, person, channel, [topic for its, topic in changed & wishes.wanted if its == channel],
               settings, proof, now)  # fmt: skip
    if wishes.most != before.most:
        most, within = wishes.most or (None, None)
        wish_for_at_most(connection, person.customer_id, most, within, source=SOURCE, now=now)
    if not wishes.keeps_pause and wishes.pause_until != before.paused_until:
        pause(connection, person.key, wishes.pause_until, source=SOURCE, now=now)
    will_track = before.may_track if wishes.may_track is None else wishes.may_track
    _let_record(connection, person, "tracking", before.may_track, will_track, proof, now)
    _let_record(connection, person, "profiling", before.may_profile, wishes.may_profile, proof, now)
    audit.record(
        connection, audit.PERSON, "preferences.save", f"customer:{person.customer_id}", at=now,
        changed=sorted(f"{channel}:{topic}" for channel, topic in changed),
    )  # fmt: skip


def _let_record(
    connection: Connection, person: Person, about: About, was: bool, will: bool, proof: Mapping[str, Any], now: datetime
) -> None:  # fmt: skip
    if was != will:
        choose(connection, person.customer_id, about, allowed=will, source=SOURCE, proof=proof, now=now)


def _start(
    connection: Connection, person: Person, channel: str, topics: list[str], settings: Settings,
    proof: Mapping[str, Any], now: datetime,
) -> None:  # fmt: skip
    """Asked for and confirmed at once: the link came to their own mailbox."""
    request_consent(connection, person.customer_id, topics, source=SOURCE, proof=proof, channel=channel, now=now)
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


def stop_all(
    connection: Connection, person: Person, settings: Settings, proof: Mapping[str, Any], now: datetime
) -> None:  # fmt: skip
    """No bulk message goes to the person any more, by any channel. Repeat: safe."""
    suppress(
        connection, person.key, scope="global", reason=UNSUBSCRIBED, source=SOURCE, evidence=proof, now=now
    )  # fmt: skip
    before = choices_of(connection, person, settings, now)
    for channel in sorted({channel for channel, _ in before.wanted}):
        withdraw(
            connection, person.key, customer_id=person.customer_id, topic=None, source=SOURCE, proof=proof,
            channel=channel, now=now,
        )  # fmt: skip
    audit.record(connection, audit.PERSON, "preferences.stop", f"customer:{person.customer_id}", at=now)
