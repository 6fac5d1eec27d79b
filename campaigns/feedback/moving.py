"""The ledger hears of what came back: messages become delivered, bounced, complained, or are in doubt no more.

Changes message.state by `campaigns.states.TRANSITIONS`, and notes an attempt for each change. What is worse always
wins: whatever order events come in, a message ends in the same state, with the same class.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ARRAY, BIGINT, Connection, DateTime, Row, Text, bindparam, text

from campaigns.feedback.matching import Match
from campaigns.feedback.records import words
from campaigns.states import TRANSITIONS, State
from core.arrays import Ids
from delivery.bounce_classes import BounceClass
from tracking.feedback import BOUNCES, FeedbackKind

#: Who answers, as attempts show it.
WORKER: Final = "feedback"
#: Of several bounces of one message the last of these counts.
_CLASSES: Final = (
    BounceClass.SOFT, BounceClass.BLOCK, BounceClass.MESSAGE_FAULT, BounceClass.MAILBOX_FULL, BounceClass.HARD,
)  # fmt: skip
_CLASS_OF: Final[Mapping[FeedbackKind, BounceClass]] = {
    FeedbackKind.HARD: BounceClass.HARD, FeedbackKind.SOFT: BounceClass.SOFT, FeedbackKind.BLOCK: BounceClass.BLOCK,
    FeedbackKind.MAILBOX_FULL: BounceClass.MAILBOX_FULL, FeedbackKind.MESSAGE_FAULT: BounceClass.MESSAGE_FAULT,
}  # fmt: skip
#: What somebody answered to has arrived.
_ARRIVED: Final = frozenset({FeedbackKind.REPLY, FeedbackKind.UNSUBSCRIBE, FeedbackKind.AUTO_REPLY})
_RANKS: Final = (State.ACCEPTED, State.DELIVERED, State.BOUNCED, State.COMPLAINED)
_IN_DOUBT: Final = (State.UNKNOWN, State.DEFERRED)


@dataclass(frozen=True, slots=True)
class Move:
    """What one event says became of its message."""

    message_id: int
    to: State
    at: datetime
    bounce_class: BounceClass | None = None
    status: str | None = None
    words: str | None = None

    @property
    def rank(self) -> tuple[int, int]:
        return _RANKS.index(self.to), _severity(self.bounce_class)


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of the moves. `pending`: messages in a worker's hands at this instant."""

    states: Mapping[int, State]  # of messages that changed, or whose bounce turned out to be of a worse class
    pending: frozenset[int]
    dead: frozenset[int] = frozenset()  # of messages that came back now, for the first time, as of nobody there

    def is_made(self, wanted: Move) -> bool:
        """Whether the message is now in the state that this one said."""
        return self.states.get(wanted.message_id) is wanted.to


def move_of(match: Match) -> Move | None:
    """What the event says became of its message; None: nothing, or nobody vouches for which message it was."""
    said = match.feedback
    if match.message is None or not match.is_told:
        return None
    to = _state_of(said.kind, said.is_final)
    if to is None:
        return None
    return Move(
        match.message.id, to, said.occurred_at, _CLASS_OF.get(said.kind), said.status,
        f"{said.source}: {words(said.diagnostic) or said.kind.replace('_', ' ')}",
    )  # fmt: skip


def _state_of(kind: FeedbackKind, is_final: bool) -> State | None:
    if kind in BOUNCES:
        return State.BOUNCED if is_final else None
    if kind is FeedbackKind.DELIVERED:
        return State.DELIVERED
    if kind is FeedbackKind.COMPLAINT:
        return State.COMPLAINED
    return State.ACCEPTED if kind in _ARRIVED else None


def move(connection: Connection, moves: Iterable[Move], now: datetime) -> Moved:
    """The messages are in the states their events say, as far as these may follow.

    One that another transaction is just changing, or whose answer a worker has yet to write, is left as it is and
    named as pending. Locks nobody waits for. Repeat: safe. Atomic with the connection's transaction.
    """
    worst = _worst(moves)
    if not worst:
        return Moved({}, frozenset())
    rows = {row.id: row for row in connection.execute(_LOCK, {"ids": sorted(worst)})}
    locked = frozenset(connection.execute(_EXIST, {"ids": sorted(set(worst) - set(rows))}).scalars())
    classes = _bounced_as(connection, [row.id for row in rows.values() if row.state == State.BOUNCED])
    changes = [_change(worst[row.id], row, classes.get(row.id)) for row in rows.values()]
    made = [change for change in changes if change is not None]
    if made:
        connection.execute(_MOVE, _columns(made) | {"now": now, "worker": WORKER})
    handed_over = {row.id for row in rows.values() if row.state == State.HANDED_OVER}
    dead = {one.message_id for one in made if _is_of_nobody(one, State(rows[one.message_id].state))}
    return Moved({one.message_id: one.to for one in made}, frozenset(locked | handed_over), frozenset(dead))


def _is_of_nobody(made: Move, before: State) -> bool:
    return made.to is State.BOUNCED and before is not State.BOUNCED and made.bounce_class is BounceClass.HARD


def _worst(moves: Iterable[Move]) -> dict[int, Move]:
    found: dict[int, Move] = {}
    for one in moves:
        known = found.get(one.message_id)
        if known is None or (one.rank, one.at) > (known.rank, known.at):
            found[one.message_id] = one
    return found


def _change(wanted: Move, row: Row[Any], bounced_as: str | None) -> Move | None:
    """The move, if it changes anything."""
    state = State(row.state)
    if state is State.BOUNCED and wanted.to is State.BOUNCED:
        known = BounceClass(bounced_as) if bounced_as is not None else None
        return wanted if _severity(wanted.bounce_class) > _severity(known) else None
    if wanted.to in TRANSITIONS[state]:
        return wanted
    # What was in doubt has arrived after all, and more became of it.
    is_known_now = state in _IN_DOUBT and wanted.to in TRANSITIONS[State.ACCEPTED]
    return wanted if is_known_now else None


def _severity(bounce_class: BounceClass | None) -> int:
    return _CLASSES.index(bounce_class) if bounce_class in _CLASSES else -1


_LOCK: Final = text("""
    SELECT id, state, attempt_count FROM message WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
""").bindparams(bindparam("ids", type_=Ids))
_EXIST: Final = text("SELECT id FROM message WHERE id = ANY(:ids)").bindparams(bindparam("ids", type_=Ids))
_CLASSES_SO_FAR: Final = text("""
    SELECT DISTINCT ON (message_id) message_id, bounce_class FROM attempt
    WHERE message_id = ANY(:ids) AND outcome = 'bounced' AND bounce_class IS NOT NULL
    ORDER BY message_id, array_position(:classes, bounce_class) DESC NULLS LAST
""").bindparams(bindparam("ids", type_=Ids), bindparam("classes", type_=ARRAY(Text)))


def _bounced_as(connection: Connection, ids: Sequence[int]) -> Mapping[int, str]:
    """The worst class of each bounced message. Read after the lock: what was noted before it was let go is there."""
    if not ids:
        return {}
    found = connection.execute(_CLASSES_SO_FAR, {"ids": ids, "classes": [one.value for one in _CLASSES]})
    return {row.message_id: row.bounce_class for row in found}


_MOVE: Final = text("""
    WITH found AS (
        SELECT * FROM unnest(:ids, :states, :times, :classes, :statuses, :words)
            AS f(id, state, at, bounce_class, status, words)
    ), moved AS (
        UPDATE message AS m
        SET state = CAST(f.state AS message_state),
            state_at = CASE WHEN m.state = CAST(f.state AS message_state) THEN m.state_at ELSE :now END,
            accepted_at = coalesce(m.accepted_at, f.at), hold_reason = NULL
        FROM found AS f WHERE m.id = f.id
        RETURNING m.id, m.attempt_count
    ), settled AS (
        DELETE FROM kept_content WHERE message_id IN (SELECT id FROM moved)
    )
    INSERT INTO attempt (message_id, number, transport, worker, outcome, enhanced, reply, bounce_class, answered_at)
    SELECT moved.id, moved.attempt_count, '', :worker, CAST(f.state AS message_state), f.status, left(f.words, 500),
           f.bounce_class, :now
    FROM moved JOIN found AS f ON f.id = moved.id
""").bindparams(
    bindparam("ids", type_=ARRAY(BIGINT)),
    bindparam("states", type_=ARRAY(Text)),
    bindparam("times", type_=ARRAY(DateTime(timezone=True))),
    bindparam("classes", type_=ARRAY(Text)),
    bindparam("statuses", type_=ARRAY(Text)),
    bindparam("words", type_=ARRAY(Text)),
)


def _columns(made: Sequence[Move]) -> dict[str, Any]:
    return {
        "ids": [one.message_id for one in made],
        "states": [one.to.value for one in made],
        "times": [one.at for one in made],
        "classes": [one.bounce_class.value if one.bounce_class is not None else None for one in made],
        "statuses": [one.status for one in made],
        "words": [one.words for one in made],
    }
