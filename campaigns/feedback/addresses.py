"""What feedback says of addresses: dead, complaining, no good at present, or unsubscribed.

Called with events that count and are new. Everything is decided from the table feedback, not from the order in which
events come in, so that late and repeated ones change nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import ARRAY, Connection, Row, Text, bindparam, text
from sqlalchemy import UUID as UUID_TYPE

from campaigns.feedback.matching import Match
from campaigns.feedback.moving import Moved
from campaigns.feedback.records import UNPROVEN
from campaigns.feedback.soft_rule import Bounce, suppressed_until
from campaigns.refusals import doubtful_domains
from core.advisory import FOR_REAL
from core.feedback_settings import FeedbackRules, SoftBounces
from core.refusal_settings import Refusals
from delivery.throttles.tallies import count_hard
from suppression.record import suppress, unsubscribe, withdraw
from suppression.refused import MAILBOX_FULL, SOFT_BOUNCES, Place, Refused, forgiven, set_soft, suppress_refused
from tracking.feedback import FeedbackKind

#: Event key → what followed, in words.
Told = Mapping[str, str]
_REASONS: Final[Mapping[FeedbackKind, str]] = {
    FeedbackKind.SOFT: SOFT_BOUNCES,
    FeedbackKind.MAILBOX_FULL: MAILBOX_FULL,
}
#: Where people's own opt-outs came from, as reports count them.
_BY_MAIL: Final = "mailto"
_BY_PROVIDER: Final = "provider"


def count_dead(connection: Connection, found: Iterable[Match], moved: Moved) -> None:
    """Each message that came back now, for the first time, is counted for its domain (S-1.43); of reports that name
    none, and that a provider vouches for, each address.

    Reports are not counted: whoever has one return path could write any number of them. Repeat: not safe.
    """
    domains: dict[object, str] = {}
    for one in found:
        is_nameless = one.message is None and one.feedback.is_verified and one.key is not None
        is_first = one.message is not None and one.message.id in moved.dead
        if one.feedback.kind is FeedbackKind.HARD and one.domain is not None and (is_first or is_nameless):
            domains.setdefault(one.message.id if one.message is not None else one.key, one.domain)
    count_hard(connection, Counter(domains.values()))


def dead(connection: Connection, found: Sequence[Match], moved: Moved, policy: Refusals, now: datetime) -> Told:
    """No e-mail goes to the addresses that do not exist, unless their domain seems to be out of order (S-1.43)."""
    known = [one for one in found if one.key is not None]
    if not known:
        return {}
    count_dead(connection, known, moved)
    domains = {one.domain for one in known if one.domain is not None}
    _, doubtful = doubtful_domains(connection, None, domains, policy.outage, now)
    entries = {one.feedback.event_key: _dead(one) for one in known if one.domain not in doubtful}
    suppress_refused(connection, list(entries.values()), now)
    return {
        one.feedback.event_key: "suppressed: hard_bounce"
        if one.feedback.event_key in entries
        else f"not suppressed: {one.domain} refuses too many"
        for one in known
    }


def _dead(one: Match) -> Refused:
    assert one.key is not None  # noqa: S101  asked by the caller
    return Refused(one.key, _evidence(one), source=one.feedback.source)


def _evidence(one: Match) -> dict[str, object]:
    said = one.feedback
    evidence: dict[str, object] = {"feedback": said.event_key, "status": said.status, "domain": one.domain}
    if one.message is not None and one.is_proven:
        evidence |= {"message": one.message.id, "message_id": one.message.id, "campaign": one.message.campaign}
    return {name: value for name, value in evidence.items() if value is not None}


def complaining(connection: Connection, found: Sequence[Match], now: datetime) -> Told:
    """Nothing goes to those who reported a message as spam, neither there nor to the address they have now."""
    told = {}
    for one, key in sorted(_with_keys(found), key=lambda each: (each[1], each[0].feedback.event_key)):
        suppress(
            connection, key, scope="global", reason="complaint", source=one.feedback.source, evidence=_evidence(one),
            now=now,
        )  # fmt: skip
        told[one.feedback.event_key] = "suppressed: complaint"
    return told


def _with_keys(found: Iterable[Match]) -> Iterable[tuple[Match, UUID]]:
    for one in found:
        keys = [one.key, one.present_key] if one.is_proven else [one.key]
        yield from ((one, key) for key in dict.fromkeys(keys) if key is not None)


def unsubscribed(connection: Connection, found: Sequence[Match], now: datetime) -> Told:
    """Who opted out gets no more of it: of the topic named, else of the message's, else nothing at all."""
    told = {}
    for one in sorted(found, key=lambda each: (str(each.key), each.feedback.event_key)):
        words = _unsubscribe(connection, one, now)
        if words is not None:
            told[one.feedback.event_key] = words
    return told


def _unsubscribe(connection: Connection, one: Match, now: datetime) -> str | None:
    said = one.feedback
    source = _BY_MAIL if said.source == "mail" else _BY_PROVIDER
    if one.message is not None and one.is_proven and said.topic is None:
        done = unsubscribe(connection, message_id=one.message.id, source=source, everything=said.everything, now=now)
        return None if done is None else f"unsubscribed: {'everything' if done.everything else done.topic}"
    if one.key is None:
        return None
    topic = None if said.everything else said.topic
    for key in sorted({key for _, key in _with_keys([one])}):
        suppress(
            connection, key, scope="topic" if topic else "global", scope_name=topic or "", reason="unsubscribed",
            source=source, evidence=_evidence(one), now=now,
        )  # fmt: skip
        withdraw(connection, key, customer_id=one.customer_id, topic=topic, source=source, now=now)
    return f"unsubscribed: {topic or 'everything'}"


# --- too often ---------------------------------------------------------------------------------------------

# Two transactions that count the same address wait for each other: each sees the other's events.
_LOCK: Final = text(
    """
    SELECT pg_advisory_xact_lock(hashtextextended('feedback:' || k.key, 0))
    FROM (SELECT DISTINCT CAST(key AS text) AS key FROM unnest(:keys) AS u(key) ORDER BY 1) AS k
    WHERE {for_real}
""".replace("{for_real}", FOR_REAL)
).bindparams(bindparam("keys", type_=ARRAY(UUID_TYPE)))
_HISTORY: Final = text("""
    SELECT address_key, kind, occurred_at, coalesce(CAST(message_id AS text), event_key) AS message, source, event_key
    FROM feedback
    WHERE address_key = ANY(:keys) AND kind = ANY(:kinds) AND occurred_at > :since AND NOT detail ? :unproven
    ORDER BY occurred_at, event_key
""").bindparams(bindparam("keys", type_=ARRAY(UUID_TYPE)), bindparam("kinds", type_=ARRAY(Text)))


def count_again(connection: Connection, found: Sequence[Match], rules: FeedbackRules, now: datetime) -> Told:
    """Addresses that too many messages came back from get no bulk mail for a while; one that was delivered begins the
    count anew, and ends that (S-4.19). Decided from all that is known of the addresses."""
    keys = sorted({one.key for one in found if one.key is not None})
    if not keys:
        return {}
    connection.execute(_LOCK, {"keys": keys})
    longest = max(rules.soft.within, rules.mailbox_full.within)
    given = {
        "keys": keys, "kinds": ["soft", "mailbox_full", "delivered"], "since": now - 2 * longest, "unproven": UNPROVEN,
    }  # fmt: skip
    history = connection.execute(_HISTORY, given).all()
    if all(row.kind == "delivered" for row in history):
        keys = []  # nothing was counted, so nothing can be over
    new, over = set_soft(connection, _wanted(connection, keys, history, rules, now), now) if keys else ([], [])
    return _told(found, set(new), set(over))


def _wanted(
    connection: Connection, keys: Sequence[UUID], history: Sequence[Row[tuple[object, ...]]], rules: FeedbackRules,
    now: datetime,
) -> Mapping[Place, Refused | None]:  # fmt: skip
    lifted = forgiven(connection, keys, list(_REASONS.values()))
    rows: dict[UUID, list[Row[tuple[object, ...]]]] = defaultdict(list)
    for row in history:
        rows[row.address_key].append(row)
    by_kind: Mapping[FeedbackKind, SoftBounces] = {
        FeedbackKind.SOFT: rules.soft, FeedbackKind.MAILBOX_FULL: rules.mailbox_full,
    }  # fmt: skip
    return {
        (key, _REASONS[kind]): _entry(key, kind, rows[key], rule, lifted.get((key, _REASONS[kind])), now)
        for key in keys
        for kind, rule in by_kind.items()
    }


def _entry(
    key: UUID, kind: FeedbackKind, rows: Sequence[Row[tuple[object, ...]]], rule: SoftBounces,
    lifted_at: datetime | None, now: datetime,
) -> Refused | None:  # fmt: skip
    delivered = [row.occurred_at for row in rows if row.kind == FeedbackKind.DELIVERED]
    since = max([*delivered, *([lifted_at] if lifted_at is not None else [])], default=None)
    bounces = [Bounce(row.message, row.occurred_at) for row in rows if row.kind == kind]
    ends_at = suppressed_until(bounces, rule, since=since)
    if ends_at is None or ends_at <= now:
        return None
    counted = [row for row in rows if row.kind == kind and (since is None or row.occurred_at > since)]
    evidence = {"feedback": counted[-1].event_key, "times": len({row.message for row in counted})}
    return Refused(key, evidence, ends_at, reason=_REASONS[kind], source=counted[-1].source)


def _told(found: Sequence[Match], new: set[Place], over: set[Place]) -> Told:
    told = {}
    for one in found:
        if one.key is None:
            continue
        words = [f"suppressed: {reason}" for key, reason in sorted(new) if key == one.key]
        words += [f"no longer suppressed: {reason}" for key, reason in sorted(over) if key == one.key]
        if words:
            told[one.feedback.event_key] = ", ".join(words)
    return told
