"""Feedback is taken: kept once, and everything that follows from it happens in the same transaction."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, RowMapping, text

from campaigns.feedback import addresses, complaints
from campaigns.feedback.answering import answered
from campaigns.feedback.matching import Match, match
from campaigns.feedback.moving import Moved, move, move_of
from campaigns.feedback.receiver import Receiver
from campaigns.feedback.records import keep, note
from campaigns.refusals import pause_faulty
from campaigns.states import State
from core.people_lock import people_stay
from tracking.feedback import Feedback, FeedbackKind, MatchedBy

#: So many events are taken by one set of statements.
_SLICE: Final = 500
_OLDEST: Final = timedelta(days=400)
_CLOCKS_DIFFER: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Effect:
    """What became of one event. `words`: what it changed; None: nothing."""

    feedback: Feedback
    is_new: bool
    message_id: int | None
    matched_by: str | None
    words: str | None


def take(connection: Connection, feedbacks: Sequence[Feedback], receiver: Receiver, now: datetime) -> list[Effect]:
    """Every event is in the table feedback, and what follows from the new ones has happened; one effect each, in order.

    The end state is the same whatever order events come in, and however often. What is neither proven by a token nor
    vouched for by a provider is kept, and changes nothing about messages and addresses. Answer a provider, and let a
    mailbox forget, only after the transaction is committed. Repeat: safe, also concurrently. Atomic with the
    connection's transaction.
    """
    effects: list[Effect] = []
    for begin in range(0, len(feedbacks), _SLICE):
        effects += _take(connection, feedbacks[begin : begin + _SLICE], receiver, now)
    return effects


def _take(connection: Connection, feedbacks: Sequence[Feedback], receiver: Receiver, now: datetime) -> list[Effect]:
    feedbacks = [_at_a_plausible_time(one, now) for one in feedbacks]
    people_stay(connection)  # an opt-out names its customer, and must not be lost when that one is merged meanwhile
    matches = match(connection, feedbacks, receiver.secret)
    added = keep(connection, matches)
    fresh = list({one.feedback.event_key: one for one in matches if one.feedback.event_key in added}.values())
    told, pending = _follow(connection, fresh, receiver, now)
    note(connection, {added[key]: words for key, words in told.items()}, [added[key] for key in pending])
    return [_effect(one, added, told) for one in matches]


def _at_a_plausible_time(said: Feedback, now: datetime) -> Feedback:
    """Times of other centuries would fall out of every calendar; and a delivery next year would end every count."""
    is_plausible = now - _OLDEST <= said.occurred_at <= now + _CLOCKS_DIFFER
    return said if is_plausible else replace(said, occurred_at=now)


def _effect(one: Match, added: Mapping[str, int], told: Mapping[str, Sequence[str]]) -> Effect:
    key = one.feedback.event_key
    return Effect(
        feedback=one.feedback,
        is_new=key in added,
        message_id=one.message.id if one.message is not None else None,
        matched_by=one.by.value if one.by is not None else None,
        words="; ".join(told.get(key, ())) or None,
    )


def _follow(
    connection: Connection, fresh: Sequence[Match], receiver: Receiver, now: datetime
) -> tuple[dict[str, list[str]], list[str]]:
    """What followed from the events, in words, and the keys of those the ledger could not hear of yet.

    In one order, whatever came in: messages, then suppressions, then the counts of addresses. So two transactions
    never wait for each other.
    """
    told: dict[str, list[str]] = defaultdict(list)
    moved = move(connection, [each for one in fresh if (each := move_of(one)) is not None], now)
    for one in fresh:
        if (wanted := move_of(one)) is not None and moved.is_made(wanted):
            told[one.feedback.event_key].append(f"message: {wanted.to}")
    _pause_faulty(connection, fresh, moved, receiver)
    for kinds, follow in _consequences(connection, receiver, moved, now):
        concerned = [one for one in fresh if one.feedback.kind in kinds and (one.counts or kinds == _REPLIES)]
        for key, words in follow(concerned).items() if concerned else ():
            told[key] += [words] if words else []
    complaints.count(connection, _complained(fresh, moved), receiver, now)
    waiting = [
        one.feedback.event_key
        for one in fresh
        if one.message is not None and one.message.id in moved.pending and move_of(one) is not None
    ]
    return told, waiting


def _complained(found: Iterable[Match], moved: Moved) -> list[Match]:
    """The complaints, one a message; and those that a provider vouches for, whose message is not known."""
    mine = [one for one in found if one.feedback.kind is FeedbackKind.COMPLAINT and one.counts]
    by_message = {one.message.id: one for one in mine if one.message is not None and one.is_told}
    nameless = [one for one in mine if not one.is_told]
    return [*nameless, *(one for key, one in by_message.items() if moved.states.get(key) is State.COMPLAINED)]


_REPLIES: Final = frozenset({FeedbackKind.REPLY})
Follow = Callable[[Sequence[Match]], Mapping[str, str]]


def _consequences(
    connection: Connection, receiver: Receiver, moved: Moved, now: datetime
) -> Iterable[tuple[frozenset[FeedbackKind], Follow]]:
    """Kinds, and what follows from them. A reply is passed on whoever wrote it: it changes no permission."""
    kinds = FeedbackKind
    yield frozenset({kinds.HARD}), lambda found: addresses.dead(connection, found, moved, receiver.refusals, now)
    yield frozenset({kinds.COMPLAINT}), lambda found: addresses.complaining(connection, found, now)
    yield frozenset({kinds.UNSUBSCRIBE}), lambda found: addresses.unsubscribed(connection, found, now)
    yield (
        frozenset({kinds.SOFT, kinds.MAILBOX_FULL, kinds.DELIVERED}),
        lambda found: addresses.count_again(connection, found, receiver.rules, now),
    )
    yield _REPLIES, lambda found: answered(connection, found, receiver, now)


@dataclass(frozen=True, slots=True)
class _OfRun:
    """Whose messages they are, for the consequences of refusals."""

    run_id: int
    campaign: str


def _pause_faulty(connection: Connection, fresh: Sequence[Match], moved: Moved, receiver: Receiver) -> None:
    """Runs too many of whose messages came back for what they are, are paused (S-1.42)."""
    faulty = {
        (one.message.run_id, one.message.campaign, not one.feedback.is_verified)
        for one in fresh
        if one.feedback.kind is FeedbackKind.MESSAGE_FAULT
        and one.message is not None
        and one.message.id in moved.states
    }
    for run_id, campaign, is_reported in sorted(faulty):
        limit = receiver.refusals.message_faults
        pause_faulty(connection, _OfRun(run_id, campaign), limit, is_reported=is_reported)


# --- what the ledger could not hear of at once ---------------------------------------------------------------

_PENDING: Final = text("""
    SELECT f.id, f.event_key, f.kind, f.source, f.message_id, f.matched_by, f.status, f.diagnostic, f.occurred_at,
           f.effect, f.detail
    FROM feedback AS f WHERE f.pending ORDER BY f.id LIMIT :most FOR UPDATE SKIP LOCKED
""")


def catch_up(connection: Connection, receiver: Receiver, now: datetime, *, most: int = _SLICE) -> int:
    """Events whose messages were in a worker's hands have changed them, as far as these are out of them by now; how
    many are settled. Repeat: safe. Atomic with the connection's transaction."""
    people_stay(connection)
    rows = connection.execute(_PENDING, {"most": most}).all()
    if not rows:
        return 0
    events = {row.id: _event(row._mapping) for row in rows}
    matches = dict(zip(events, match(connection, list(events.values()), receiver.secret), strict=True))
    moves = {row_id: move_of(one) for row_id, one in matches.items()}
    moved = move(connection, [each for each in moves.values() if each is not None], now)
    _pause_faulty(connection, list(matches.values()), moved, receiver)
    addresses.count_dead(connection, matches.values(), moved)
    complaints.count(connection, _complained(matches.values(), moved), receiver, now)
    still = [row_id for row_id, each in moves.items() if each is not None and each.message_id in moved.pending]
    told = {row.id: [row.effect] if row.effect else [] for row in rows}
    for row_id, each in moves.items():
        if each is not None and moved.is_made(each):
            told[row_id].append(f"message: {each.to}")
    note(connection, told, still)
    return len(rows) - len(still)


def _event(row: RowMapping) -> Feedback:
    """The event as it was taken. Only a final one that was good enough to change its message is ever pending: a guess
    stays the one that was made then."""
    by = MatchedBy(row["matched_by"])
    return Feedback(
        kind=FeedbackKind(row["kind"]),
        source=row["source"],
        event_key=row["event_key"],
        occurred_at=row["occurred_at"],
        message_id=row["message_id"],
        matched_by=MatchedBy.HEADER if by is MatchedBy.ADDRESS else by,
        status=row["status"],
        diagnostic=row["diagnostic"],
        detail=row["detail"],
    )
