"""What two customers who are one began both: passages through a sequence, seats at an event, answers to a survey.

Nobody goes through a sequence twice at once, has two seats, or is counted twice.
"""

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

#: A passage that the other customer has begun, too, ends; both stay on record, told apart by their numbers.
_END_PASSAGES: Final = text("""
    UPDATE enrolment AS mine
    SET state = 'exited', due_at = NULL, ended_at = :now, ended_because = 'merged'
    FROM enrolment AS other
    WHERE mine.customer_id = :merged_id AND mine.state = 'active' AND other.customer_id = :into_id
      AND other.sequence = mine.sequence AND other.entry_key = mine.entry_key
""")
_NUMBER_PASSAGES: Final = text("""
    UPDATE enrolment AS mine SET number = mine.number + others.number
    FROM (
        SELECT sequence, entry_key, max(number) AS number FROM enrolment WHERE customer_id IN (:merged_id, :into_id)
        GROUP BY sequence, entry_key HAVING count(DISTINCT customer_id) = 2
    ) AS others
    WHERE mine.customer_id = :merged_id AND others.sequence = mine.sequence AND others.entry_key = mine.entry_key
""")


def end_twin_passages(connection: Connection, merged_id: int, into_id: int, now: datetime) -> None:
    """Of a sequence that both began the merged customer's passage has ended. Their rows can be handed over."""
    given = {"merged_id": merged_id, "into_id": into_id, "now": now}
    connection.execute(_END_PASSAGES, given)
    connection.execute(_NUMBER_PASSAGES, {"merged_id": merged_id, "into_id": into_id})


#: Of several seats of one person the best stays: the one they have, then the one offered, then the first in the queue.
_CANCEL_SEATS: Final = text("""
    WITH ranked AS (
        SELECT id, state, row_number() OVER (
            PARTITION BY event
            ORDER BY array_position(ARRAY['confirmed', 'offered', 'waiting'], state), waiting_since NULLS FIRST, id
        ) AS place, count(*) FILTER (WHERE customer_id = :merged_id) OVER (PARTITION BY event) AS of_merged,
        count(*) FILTER (WHERE customer_id = :into_id) OVER (PARTITION BY event) AS of_into
        FROM registration WHERE customer_id IN (:merged_id, :into_id) AND state <> 'cancelled'
    ), cancelled AS (
        UPDATE registration SET state = 'cancelled', cancelled_at = :now, cancelled_because = 'merged',
               offered_until = NULL, waiting_since = NULL
        FROM ranked WHERE ranked.id = registration.id AND place > 1 AND of_merged > 0 AND of_into > 0
        RETURNING registration.id, ranked.state
    )
    INSERT INTO registration_change (registration_id, state_from, state_to, because, at)
    SELECT id, state, 'cancelled', 'merged', :now FROM cancelled
""")


def give_up_twin_seats(connection: Connection, merged_id: int, into_id: int, now: datetime) -> None:
    """Of an event for which both are registered one registration stays; the other's seat is free. Nobody is mailed."""
    connection.execute(_CANCEL_SEATS, {"merged_id": merged_id, "into_id": into_id, "now": now})


#: Whose answers go: those of whom answered earlier, with the activities that tell of them.
_FORGET_ANSWERS: Final = text("""
    WITH earlier AS (
        DELETE FROM survey_answer AS a USING survey_answer AS b
        WHERE a.customer_id IN (:merged_id, :into_id) AND b.customer_id IN (:merged_id, :into_id)
          AND a.customer_id <> b.customer_id AND a.survey = b.survey AND a.question = b.question
          AND a.occasion = b.occasion AND (a.answered_at, a.id) < (b.answered_at, b.id)
        RETURNING concat_ws('|', 'survey', a.customer_id, a.survey, a.question, a.occasion, '') AS key
    )
    DELETE FROM activity USING earlier
    WHERE activity.customer_id IN (:merged_id, :into_id) AND activity.name = 'survey_answered'
      AND starts_with(activity.event_key, earlier.key)
""")
_RENAME_ANSWERS: Final = text("""
    UPDATE activity SET event_key = :new_key || substr(event_key, length(:old_key) + 1)
    WHERE customer_id IN (:merged_id, :into_id) AND name = 'survey_answered' AND starts_with(event_key, :old_key)
""")


def keep_latest_answers(connection: Connection, merged_id: int, into_id: int) -> None:
    """Of a question that both answered on one occasion the later answer stays, and can be corrected as before."""
    people = {"merged_id": merged_id, "into_id": into_id}
    connection.execute(_FORGET_ANSWERS, people)
    keys = {"old_key": f"survey|{merged_id}|", "new_key": f"survey|{into_id}|"}
    connection.execute(_RENAME_ANSWERS, people | keys)
