"""Every answer as a table that no spreadsheet runs (S-9.6): one row for each answer of each customer."""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, select

from core.guard import GuardedWriter
from core.schema import customer, customer_metrics, survey_answer

HEADS: Final = ("customer", "tier", "question", "rating", "choices", "words", "answered_at")


def write_answers(connection: Connection, survey: str, path: Path) -> int:
    """The answers are in `path`, a CSV file in UTF-8, the oldest first; how many. Choices are parted by blanks."""
    a = survey_answer.c
    query = (
        select(customer.c.external_id, customer_metrics.c.pyramid)
        .add_columns(a.question, a.rating, a.choices, a.words, a.answered_at)
        .join(customer, customer.c.id == a.customer_id)
        .outerjoin(customer_metrics, customer_metrics.c.customer_id == a.customer_id)
        .where(a.survey == survey).order_by(a.answered_at, a.id)
    )  # fmt: skip
    count = 0
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = GuardedWriter(stream)
        writer.write(HEADS)
        for row in connection.execute(query.execution_options(yield_per=5000)):
            name, tier, question, rating, choices, words, answered_at = row
            cells = (name, tier, question, rating, " ".join(choices or ()), words, answered_at.isoformat())
            writer.write("" if cell is None else str(cell) for cell in cells)
            count += 1
    return count
