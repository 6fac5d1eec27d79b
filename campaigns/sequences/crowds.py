"""Who waits at which step of a sequence: counted, with a digest that tells whether they are still the same."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class Crowd:
    """The people of one version who wait at one step. The same people give the same digest, in any order."""

    step: str
    people: int
    digest: int


_WAITING = text("""
    SELECT step, count(*) AS people, sum(hashtextextended(id::text, 0)) AS digest
    FROM enrolment
    WHERE sequence = :sequence AND state = 'active' AND version_id = :version
    GROUP BY step
""")


def waiting(connection: Connection, sequence: str, version_id: int) -> dict[str, Crowd]:
    """Step → who waits there, of those who are in this version."""
    rows = connection.execute(_WAITING, {"sequence": sequence, "version": version_id})
    return {row.step: Crowd(row.step, row.people, int(row.digest)) for row in rows}


def finishing(connection: Connection, sequence: str, version_id: int) -> int:
    """How many finish in an earlier version than this one, because an earlier edit left them there."""
    counted = text("""
        SELECT count(*) FROM enrolment
        WHERE sequence = :sequence AND state = 'active' AND version_id <> :version
    """)
    return int(connection.execute(counted, {"sequence": sequence, "version": version_id}).scalar_one())


_DONE = text("""
    SELECT e.step, d.step AS done, count(*) AS people
    FROM unnest(CAST(:steps AS text[]), CAST(:dones AS text[])) AS pair (step, done)
    JOIN enrolment AS e ON e.step = pair.step
    JOIN enrolment_step AS d ON d.enrolment_id = e.id AND d.step = pair.done
    WHERE e.sequence = :sequence AND e.state = 'active' AND e.version_id = :version
    GROUP BY e.step, d.step
""")


def did(
    connection: Connection, sequence: str, version_id: int, pairs: Iterable[tuple[str, str]]
) -> Mapping[tuple[str, str], int]:
    """(step, other step) → how many of those who wait at the one did the other; without those of whom nobody did."""
    asked = list(pairs)
    if not asked:
        return {}
    steps, dones = ([pair[place] for pair in asked] for place in (0, 1))
    values = {"sequence": sequence, "version": version_id, "steps": steps, "dones": dones}
    return {(row.step, row.done): row.people for row in connection.execute(_DONE, values)}
