"""What is known of one customer beside the reason that stands against a message to them, or holds it: which cap, which
holiday, which basis of which country."""

from datetime import datetime
from typing import Final

from sqlalchemy import BigInteger, Connection, RowMapping, literal, select, text

from core.consent_settings import profile_of
from core.latest_word import newest_first
from core.local_time import shown_in
from core.open_cases import last_closed, open_case_since
from core.schema import consent, customer, preference
from core.units import format_duration
from suppression.caps import Cap, Rules
from suppression.care import OPEN_CASE
from suppression.contacts import Pressed, moments
from suppression.policy import Policy
from suppression.pressure import FREQUENCY_CAP
from suppression.profiles import BASIS_NOT_ENOUGH, NOT_CONFIRMED, REQUESTED
from suppression.quiet_hours import QUIET_HOURS

#: A message that is not in the ledger.
NOBODYS: Final = -1


def particulars(
    connection: Connection, policy: Policy, customer_id: int, reason: str, *, topic: str, priority: int,
    message_id: int = NOBODYS, now: datetime,
) -> str:  # fmt: skip
    """What is to be said of this customer beside the reason, as things are at `now`; empty when that is nothing."""
    row = connection.execute(select(customer).where(customer.c.id == customer_id)).mappings().one_or_none()
    if row is None:
        return ""
    if reason == FREQUENCY_CAP:
        return _of_caps(connection, policy, customer_id, topic, priority, message_id, now)
    if reason == QUIET_HOURS:
        return _of_quiet_hours(policy, row, now)
    if reason == OPEN_CASE:
        return _of_case(connection, policy, customer_id, now)
    if reason in (BASIS_NOT_ENOUGH, NOT_CONFIRMED):
        return _of_basis(connection, policy, row, topic)
    return ""


def _of_caps(
    connection: Connection, policy: Policy, customer_id: int, topic: str, priority: int, message_id: int, now: datetime
) -> str:
    pressed = Pressed(customer, literal(message_id, BigInteger), topic, priority, moments(policy.pressure, now))

    def holds(rules: Rules, *, wishes: bool) -> bool:
        free = select(pressed.free_at(rules, wishes=wishes)).select_from(customer).where(customer.c.id == customer_id)
        return connection.execute(free).scalar() is not None

    full = [
        _cap_words(cap)
        for cap in policy.pressure.about(topic)
        if holds(Rules((cap,), policy.pressure.defer, policy.pressure.zone), wishes=False)
    ]
    if holds(Rules(), wishes=True):
        full.append(_wish_words(connection, customer_id))
    return "; ".join(full)


def _cap_words(cap: Cap) -> str:
    period = f"in {format_duration(cap.within)}" if cap.within is not None else f"each {cap.each}"
    about = f" about {cap.topic}" if cap.topic else ""
    kept = f", {cap.reserve} of them kept for transactional mail" if cap.reserve else ""
    return f"pressure.caps.{cap.name} allows a {cap.of} {cap.most}{about} {period}{kept}, and all are used"


def _wish_words(connection: Connection, customer_id: int) -> str:
    asked = select(preference.c.most_messages, preference.c.most_within)
    wish = connection.execute(asked.where(preference.c.customer_id == customer_id)).one_or_none()
    if wish is None or wish.most_messages is None:
        return "somebody who is the same person asked for fewer"
    return f"they asked for at most {wish.most_messages} in {format_duration(wish.most_within)}, and all are used"


def _of_quiet_hours(policy: Policy, row: RowMapping, now: datetime) -> str:
    quiet = policy.quiet_hours
    if quiet is None:
        return ""
    place = quiet.place(row["zone"], row["country"], row["attributes"])
    why = quiet.why(place, now)
    return f"{why} ({', '.join(part for part in (place.country, place.zone) if part)})" if why else ""


def _of_case(connection: Connection, policy: Policy, customer_id: int, now: datetime) -> str:
    cases, zone = policy.care.cases, policy.pressure.zone
    if cases is None:
        return ""
    asked = (literal(customer_id, BigInteger), cases, now)
    since, closed_at = connection.execute(select(open_case_since(*asked), last_closed(*asked))).one()
    if since is not None:
        return f"opened {shown_in(zone, since)}"
    when = f"closed {shown_in(zone, closed_at)}" if closed_at is not None else "none is open any more"
    return f"{when}; goes at the next look"


def _of_basis(connection: Connection, policy: Policy, row: RowMapping, topic: str) -> str:
    mine = (consent.c.customer_id == row["id"]) & (consent.c.topic == topic) & (consent.c.channel == "email")
    words = select(consent).where(mine, consent.c.state != REQUESTED)
    last = words.order_by(text(newest_first())).limit(1)
    said = connection.execute(last).mappings().one_or_none()
    if said is None:
        return ""
    profile = profile_of(row["country"], policy.profiles)
    wanted = [f"{basis} with its evidence" if basis in profile.proven_bases else str(basis) for basis in profile.bases]
    wanted += [f"{basis} of firms" for basis in profile.corporate_bases if basis not in profile.bases]
    is_confirmed = profile.confirmed or topic in policy.confirmed_topics
    country = row["country"] or "no country on record"
    return (
        f"{country} (profile {profile.name}): on record is {said['basis']}, {said['state']}; "
        f"wanted is {' or '.join(wanted)}{', confirmed' if is_confirmed else ''}"
    )
