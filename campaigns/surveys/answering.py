"""Answers are written down, each once, and known to segments as activities of the customer. Writes survey_answer.

`survey_answered` has the properties `survey`, `question`, and `rating` or `choice`; its value is the rating. Of several
choices each is an activity. What was written in words is in survey_answer alone.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from campaigns.surveys.files import Survey
from campaigns.surveys.reading import Answer
from core.errors import NotFound, UsageError
from core.people_lock import people_stay
from core.schema import activity, customer, survey_answer

ACTIVITY: Final = "survey_answered"
#: The occasion of all answers to a survey of which one counts for each customer.
ONCE: Final = "once"
_SOURCE: Final = "survey"
LONGEST_OCCASION: Final = 200


@dataclass(frozen=True, slots=True)
class Recorded:
    """What an answer came to. `corrected`: the questions that had been answered before."""

    answered: tuple[str, ...]
    corrected: tuple[str, ...]


def record(
    connection: Connection,
    survey: Survey,
    customer_id: int,
    answers: Mapping[str, Answer],
    occasion: str,
    message_id: int | None,
    now: datetime,
) -> Recorded:
    """The answers are the customer's on this occasion, and activities tell segments and sequences of them.

    `occasion` tells one asking from the next, such as the message that asked; a survey with `once` has one for all. A
    second answer takes the place of the first; questions that are left out keep theirs, and so do those whose answer
    says nothing. Repeat: safe, also concurrently: the last one counts. Atomic with the connection's transaction.

    Raises:
        NotFound: there is no such customer.
        UsageError: a question is none of the survey's, or `occasion` cannot be kept.
    """
    asked = _checked(survey, answers, occasion)
    said = {question: answer for question, answer in answers.items() if _says_something(answer)}
    people_stay(connection)
    _lock(connection, customer_id)
    rows = [
        _row(survey.name, question, answer, customer_id, asked, message_id, now) for question, answer in said.items()
    ]
    before = _questions_before(connection, survey.name, customer_id, asked)
    for row in rows:
        _write(connection, row)
    _tell(connection, rows)
    return Recorded(tuple(said), tuple(name for name in said if name in before))


def _checked(survey: Survey, answers: Mapping[str, Answer], occasion: str) -> str:
    """The occasion that counts."""
    unknown = [name for name in answers if name not in survey.definition.questions]
    if unknown:
        raise UsageError(f"survey {survey.name!r} has no question {unknown[0]!r}")
    if not occasion.strip() or len(occasion) > LONGEST_OCCASION or not occasion.isprintable() or "|" in occasion:
        raise UsageError(f"this is no occasion (expected 1 to {LONGEST_OCCASION} printable characters without '|')")
    return ONCE if survey.definition.once else occasion


def _says_something(answer: Answer) -> bool:
    """Whether it is more than a box that nobody ticked, or an empty line. A rating of 0 says a lot."""
    return answer is not False and answer not in ("", ())


def _lock(connection: Connection, customer_id: int) -> None:
    """Two answers of one customer at once come one after the other."""
    locked = select(customer.c.id).where(customer.c.id == customer_id).with_for_update(key_share=True)
    if connection.execute(locked).first() is None:
        raise NotFound(f"there is no customer with the number {customer_id}")


def _row(
    survey: str, question: str, answer: Answer, customer_id: int, occasion: str, message_id: int | None, now: datetime
) -> dict[str, Any]:
    return {
        "survey": survey, "question": question, "occasion": occasion, "customer_id": customer_id,
        "message_id": message_id, "rating": answer if isinstance(answer, int) else None,
        "choices": list(answer) if isinstance(answer, tuple) else None,
        "words": answer if isinstance(answer, str) else None, "answered_at": now,
    }  # fmt: skip


def _questions_before(connection: Connection, survey: str, customer_id: int, occasion: str) -> frozenset[str]:
    known = select(survey_answer.c.question).where(
        survey_answer.c.survey == survey,
        survey_answer.c.customer_id == customer_id,
        survey_answer.c.occasion == occasion,
    )
    return frozenset(connection.execute(known).scalars())


def _write(connection: Connection, row: Mapping[str, Any]) -> None:
    added = insert(survey_answer).values(**row)
    changed: dict[str, Any] = {name: added.excluded[name] for name in ("rating", "choices", "words", "answered_at")}
    changed["message_id"] = func.coalesce(added.excluded.message_id, survey_answer.c.message_id)
    keys = ["survey", "question", "occasion", "customer_id"]
    connection.execute(added.on_conflict_do_update(index_elements=keys, set_=changed))


def _tell(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """The activities of the answers are there as they are now; those of a former answer are gone."""
    for row in rows:
        wanted = list(_activities(row))
        keys = [one["event_key"] for one in wanted]
        former = _key(row, "")
        gone = delete(activity).where(
            activity.c.customer_id == row["customer_id"], activity.c.name == ACTIVITY,
            func.starts_with(activity.c.event_key, former), activity.c.event_key.not_in(keys),
        )  # fmt: skip
        connection.execute(gone)
        if wanted:
            added = insert(activity).values(wanted)
            changed = {name: added.excluded[name] for name in ("occurred_at", "properties", "value")}
            connection.execute(added.on_conflict_do_update(index_elements=["event_key"], set_=changed))


def _activities(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One for a rating or words, one for each choice."""
    said: list[tuple[str, dict[str, Any]]] = [("", {} if row["rating"] is None else {"rating": row["rating"]})]
    if row["choices"] is not None:
        said = [(choice, {"choice": choice}) for choice in row["choices"]]
    for name, properties in said:
        yield {
            "customer_id": row["customer_id"], "name": ACTIVITY, "occurred_at": row["answered_at"],
            "properties": {"survey": row["survey"], "question": row["question"], **properties},
            "value": row["rating"], "source": _SOURCE, "event_key": _key(row, name),
        }  # fmt: skip


def _key(row: Mapping[str, Any], choice: str) -> str:
    """Equal whenever the same answer is given again."""
    return f"survey|{row['customer_id']}|{row['survey']}|{row['question']}|{row['occasion']}|{choice}"
