"""Rows of a rehearsal that were replaced are taken away.

Within one transaction PostgreSQL keeps every version of a row, and whoever asks an index for the next passage goes past
all versions that came before: in thirty days of a sequence with thousands of people that was two fifths of all time.
"""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

#: Fewer versions are not worth it.
_FEWEST: Final = 5_000
_REPLACED: Final = text("""
    SELECT pg_stat_get_xact_tuples_updated(oid) FROM pg_class
    WHERE relnamespace = pg_my_temp_schema() AND relname = 'enrolment'
""")
_COMPACT: Final = (
    "CREATE TEMP TABLE rehearsal_passage AS SELECT * FROM pg_temp.enrolment",
    "ALTER TABLE pg_temp.enrolment DISABLE TRIGGER USER",
    "TRUNCATE pg_temp.enrolment",
    "INSERT INTO pg_temp.enrolment OVERRIDING SYSTEM VALUE SELECT * FROM rehearsal_passage ORDER BY id",
    "ALTER TABLE pg_temp.enrolment ENABLE TRIGGER USER",
    "ANALYZE pg_temp.enrolment",
)
_LEFT: Final = text("SELECT count(*) FROM rehearsal_passage")


@dataclass
class Compacting:
    """The passages of one world. `count`: how often they were written anew."""

    connection: Connection
    count: int = 0
    _due_at: int = _FEWEST  # so many versions replaced

    def look(self) -> None:
        """Versions of the past are gone once they are half as many as the passages, and at least 5,000.

        Nothing else changes. Repeat: safe.
        """
        if self._replaced() < self._due_at:
            return
        for statement in _COMPACT:
            self.connection.exec_driver_sql(statement)
        live = self.connection.execute(_LEFT).scalar_one()
        self.connection.exec_driver_sql("DROP TABLE pg_temp.rehearsal_passage")
        self.count += 1
        self._due_at = self._replaced() + max(_FEWEST, live // 2)

    def _replaced(self) -> int:
        """How many versions were replaced; PostgreSQL forgets those of a table that is emptied."""
        found: int = self.connection.execute(_REPLACED).scalar_one()
        return found
