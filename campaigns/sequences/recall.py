"""Messages of who leaves a sequence: those that still wait are not sent any more. Writes `message` and `enrolment`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, bindparam, text

from campaigns import ledger
from campaigns.ledger import Claim
from campaigns.mailings import Recipient
from campaigns.putting_off import in_hands
from campaigns.sequences import versions
from campaigns.sequences.actions import leaving_rules
from campaigns.sequences.passages import fitting
from campaigns.versions import Version
from core.arrays import Ids

LEFT: Final = "left_sequence"
#: A message that waited longer since it was made is asked for anew whether its recipient stays.
_FRESH: Final = timedelta(minutes=1)
#: What a worker has in its hands at this instant is on its way.
_WAITING: Final = text("""
    SELECT m.id FROM enrolment_step AS s JOIN message AS m ON m.id = s.message_id
    WHERE s.enrolment_id = ANY(:ids) AND m.state IN ('planned', 'deferred')
    ORDER BY m.id FOR NO KEY UPDATE OF m SKIP LOCKED
""").bindparams(bindparam("ids", type_=Ids))


def call_back(connection: Connection, enrolment_ids: Sequence[int], now: datetime) -> None:
    """Messages that these passages made, and that a cap, quiet hours or a queue held until now, are skipped.

    Workers skip what is no longer planned when they hand over. Repeat: safe.
    """
    if enrolment_ids:
        waiting = connection.execute(_WAITING, {"ids": list(enrolment_ids)}).scalars()
        ledger.skip(connection, list(waiting), LEFT, now)


# --- when a batch is prepared ------------------------------------------------------------------------------------

_WAITED: Final = text("""
    SELECT m.id AS message_id, e.id AS enrolment_id, e.version_id
    FROM message AS m JOIN enrolment AS e ON e.customer_id = m.customer_id AND e.sequence = m.campaign
    JOIN enrolment_step AS s ON s.enrolment_id = e.id AND s.message_id = m.id
    WHERE m.id = ANY(:ids) AND s.done_at <= :before
""").bindparams(bindparam("ids", type_=Ids))
#: Not to be had while an edit is applied or an order given, which reckon with nobody going on meanwhile.
_SEQUENCE: Final = text("SELECT name FROM sequence WHERE name = :name FOR KEY SHARE SKIP LOCKED")
#: One that the engine has in its hands is asked there, before its next action.
_END: Final = text("""
    UPDATE enrolment SET state = 'exited', due_at = NULL, ended_at = :now, ended_because = :because
    WHERE id IN (SELECT id FROM enrolment WHERE id = ANY(:ids) AND state = 'active' FOR NO KEY UPDATE SKIP LOCKED)
""").bindparams(bindparam("ids", type_=Ids))


def leave_out(
    connection: Connection, held: Claim, people: Sequence[Recipient], version: Version, now: datetime
) -> tuple[Claim, list[Recipient]]:
    """The claim without the messages that waited while their recipients came to fit what lets them out of the
    sequence, and those of its `people` who stay. What the others' passages made is skipped; the passages are over, now
    or before their next action.

    Costs nothing for other campaigns, and a look at the steps for what was made within a minute. Atomic with the
    connection's transaction. Repeat: safe.
    """
    if not version.definition.is_sequence:
        return held, list(people)
    given = {"ids": [person.message_id for person in people], "before": now - _FRESH}
    made_by = {row.enrolment_id: row for row in connection.execute(_WAITED, given)}
    left = _leaving(connection, {id_: row.version_id for id_, row in made_by.items()}, now)
    if not left:
        return held, list(people)
    if not in_hands(connection, held):
        return held, []
    gone = {made_by[id_].message_id for id_ in left}
    ledger.skip(connection, sorted(gone), LEFT, now)
    if connection.execute(_SEQUENCE, {"name": held.campaign}).first() is not None:
        _end(connection, left, now)
    call_back(connection, list(left), now)
    stays = tuple(message_id for message_id in held.message_ids if message_id not in gone)
    return replace(held, message_ids=stays), [person for person in people if person.message_id not in gone]


def _end(connection: Connection, left: Mapping[int, str], now: datetime) -> None:
    for because in sorted(set(left.values())):
        ids = [id_ for id_, each in left.items() if each == because]
        connection.execute(_END, {"ids": ids, "because": because, "now": now})


def _leaving(connection: Connection, passages: Mapping[int, int], now: datetime) -> Mapping[int, str]:
    """Those of the passages, each with its version, whose customers are to leave now, and why."""
    left: dict[int, str] = {}
    for version_id in sorted(set(passages.values())):
        version = versions.fetch(connection, version_id).version
        rules = leaving_rules(version.definition)
        ids = [id_ for id_, each in passages.items() if each == version_id]
        fit = fitting(connection, version.vocabulary, [rule for _, rule in rules], ids, now)
        left |= {id_: rules[number][0] for id_, number in fit.items()}
    return left
