"""What a merged customer said counts on: of two words about one thing the stricter one holds (S-10.10).

Silence is no word: where only one of the two customers ever said something, that holds. Writes consent, suppression
and preference.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from core.latest_word import newest_first
from customers.entries import follow

#: From the strictest to the most permissive.
_STATES: Final = ("withdrawn", "granted", "confirmed")
#: From the weakest ground for writing to the strongest.
_BASES: Final = ("implied", "legitimate_interest", "soft_opt_in", "contract", "consent")
#: What a proof may tell of the ground; a word that tells less is the weaker one.
_TELLING: Final = ("relation", "sale", "similar_products", "opt_out_offered", "subscriber")


@dataclass(frozen=True, slots=True)
class Word:
    """The latest a customer said about one topic on one channel; requests, which nobody has said, aside."""

    state: str
    basis: str
    expires_at: datetime | None  # None: never
    captured_at: datetime
    proof: Mapping[str, Any] = field(default_factory=dict)

    @property
    def said_at(self) -> str:
        """When it was first said, of a word that was said again for somebody merged."""
        return str(self.proof.get("said_at", self.captured_at.isoformat()))


def strictest(words: Iterable[Word]) -> Word:
    """The word that allows writing only when, and as long as, each of `words` does. `captured_at` is the latest.

    Its basis, and what proves it, are those of the weakest: on that it depends where it is enough, and until when.
    """
    said = list(words)
    ends = [word.expires_at for word in said if word.expires_at is not None]
    weakest = min(said, key=_strength)
    return Word(
        min((word.state for word in said), key=_STATES.index),
        weakest.basis,
        min(ends, default=None),
        max(word.captured_at for word in said),
        {**weakest.proof, "said_at": weakest.said_at},
    )


def _strength(word: Word) -> tuple[int, int, str]:
    basis = _BASES.index(word.basis) if word.basis in _BASES else -1
    return basis, sum(name in word.proof for name in _TELLING), word.said_at


_LATEST: Final = text(f"""
    SELECT DISTINCT ON (customer_id, channel, topic) channel, topic, state, basis, expires_at, captured_at, proof
    FROM consent WHERE customer_id = ANY(:people) AND state <> 'requested'
    ORDER BY customer_id, channel, topic, {newest_first()}
""")  # noqa: S608  made of our own names


def words_of(connection: Connection, people: Sequence[int]) -> Mapping[tuple[str, str], list[Word]]:
    """(channel, topic) → the latest word of each of the customers who said one."""
    found: dict[tuple[str, str], list[Word]] = {}
    for row in connection.execute(_LATEST, {"people": list(people)}):
        word = Word(row.state, row.basis, row.expires_at, row.captured_at, row.proof)
        found.setdefault((row.channel, row.topic), []).append(word)
    return found


#: What both said at one instant by the same way, as when one file named both, stays on record twice.
_TELL_APART: Final = text("""
    UPDATE consent AS mine SET source = mine.source || ' (of ' || CAST(:name AS text) || ')'
    FROM consent AS theirs
    WHERE mine.customer_id = :merged_id AND theirs.customer_id = :into_id
      AND (mine.channel, mine.topic, mine.captured_at, mine.state, mine.source)
        = (theirs.channel, theirs.topic, theirs.captured_at, theirs.state, theirs.source)
""")


def tell_consents_apart(connection: Connection, merged: RowMapping, into_id: int) -> None:
    """No consent of the one customer is word for word one of the other: where it was, its source says whose it is."""
    given = {"merged_id": merged["id"], "into_id": into_id, "name": merged["external_id"]}
    connection.execute(_TELL_APART, given)


_SAY: Final = text("""
    INSERT INTO consent (customer_id, channel, topic, state, basis, source, proof, captured_at, expires_at)
    VALUES (:customer_id, :channel, :topic, :state, :basis, 'merge',
            CAST(:proof AS jsonb), :captured_at, :expires_at)
    ON CONFLICT ON CONSTRAINT uq_consent_fact DO NOTHING
""")


def keep_strictest(
    connection: Connection,
    before: Mapping[tuple[str, str], Sequence[Word]],
    into_id: int,
    merged_id: int,
    now: datetime,
) -> int:
    """For every topic both customers spoke about, the strictest word is the latest on record; returns how many rows
    that took. `before`: their words before the rows were handed over."""
    after = words_of(connection, [into_id])
    written = 0
    for (channel, topic), said in before.items():
        word, (holds,) = strictest(said), after[channel, topic]
        if _says(word) == _says(holds):
            continue
        given = {
            "customer_id": into_id, "channel": channel, "topic": topic, "state": word.state, "basis": word.basis,
            "proof": json.dumps({**word.proof, "merged": merged_id}), "captured_at": max(word.captured_at, now),
            "expires_at": word.expires_at,
        }  # fmt: skip
        written += connection.execute(_SAY, given).rowcount
    return written


def _says(word: Word) -> tuple[object, ...]:
    """What counts of a word. A plain consent needs no more; what other grounds are worth depends on more."""
    proof = None if word.basis == "consent" else {name: word.proof.get(name) for name in _TELLING}
    said_at = None if word.basis == "consent" else datetime.fromisoformat(word.said_at)
    return word.state, word.basis, word.expires_at, proof, said_at


_MOVED: Final = text("""
    CREATE TEMP TABLE moved ON COMMIT DROP AS
    SELECT CAST(:old_key AS uuid) AS old_key, CAST(:new_key AS uuid) AS new_key
""")


def follow_person(connection: Connection, old_key: UUID | None, new_key: UUID | None, now: datetime) -> int:
    """What forbids writing to the person at the old address forbids it at the new one, as long; returns how many
    entries that took. What is said of the old mailbox alone stays there. Repeat: safe."""
    if old_key is None or new_key is None or old_key == new_key:
        return 0
    connection.execute(text("DROP TABLE IF EXISTS moved"))
    connection.execute(_MOVED, {"old_key": old_key, "new_key": new_key})
    return follow(connection, source="merge", now=now)


#: The wish for fewer messages a time; of equal ones the customer's own.
_PREFER_FEWER: Final = text("""
    DELETE FROM preference WHERE customer_id = (
        SELECT customer_id FROM preference WHERE customer_id IN (:merged_id, :into_id)
        ORDER BY most_messages / nullif(extract(epoch FROM most_within), 0) DESC NULLS FIRST,
                 customer_id = :merged_id DESC
        LIMIT 1
    ) AND (SELECT count(*) FROM preference WHERE customer_id IN (:merged_id, :into_id)) = 2
""")


def prefer_fewer(connection: Connection, merged_id: int, into_id: int) -> None:
    """Of two wishes how often to be written to only the one for less is left."""
    connection.execute(_PREFER_FEWER, {"merged_id": merged_id, "into_id": into_id})
