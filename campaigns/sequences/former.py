"""Runs of former versions of sequences: they end when nobody can come to them any more."""

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, DateTime, bindparam, text

from core.arrays import Ids

# Whoever sends holds the run. Those who finish in a former version are looked for only while it has such a run.
_FORMER: Final = text("""
    SELECT r.id FROM run AS r JOIN sequence AS s ON s.name = r.campaign
    JOIN sequence_version AS present ON present.id = s.version_id
    WHERE r.open_ended AND r.state = 'running'
      AND (present.definition -> 'sends' ->> r.step) IS DISTINCT FROM CAST(r.version_id AS text)
      AND NOT EXISTS (
          SELECT FROM sequence_version AS v JOIN enrolment AS e ON e.version_id = v.id AND e.sequence = v.sequence
          WHERE v.sequence = r.campaign AND e.state = 'active'
            AND (v.definition -> 'sends' ->> r.step) = CAST(r.version_id AS text)
      )
    ORDER BY r.id FOR NO KEY UPDATE OF r SKIP LOCKED
""")
_END: Final = text("""
    UPDATE run SET state = 'finished', finished_at = :now, fault = NULL
    WHERE id = ANY(:ids) AND NOT EXISTS (SELECT FROM batch AS b WHERE b.run_id = run.id AND b.state <> 'done')
    RETURNING id
""").bindparams(bindparam("ids", type_=Ids), bindparam("now", type_=DateTime(timezone=True)))


def finish_former(connection: Connection, now: datetime) -> list[int]:
    """Runs of steps as no version in use has them, with nothing open, are finished; their ids. Repeat: safe.

    Reads everybody who is in a sequence that has such a run: for every ten minutes, not for every second.
    """
    ids = list(connection.execute(_FORMER).scalars())
    return sorted(connection.execute(_END, {"ids": ids, "now": now}).scalars()) if ids else []
