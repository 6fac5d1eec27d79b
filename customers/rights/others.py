"""Rows that are about somebody else, and in which the person is named all the same: only that goes.

Who registers several people is told of them; mails of several people can be one inquiry.
"""

from typing import Final

from sqlalchemy import Connection, Text, any_, bindparam, literal, not_, or_, select, text, types, update
from sqlalchemy.dialects.postgresql import ARRAY

from core.schema import inquiry, task
from customers.joined_mails import without
from customers.rights.subject import Subject
from customers.rights.ties import about

#: Of the campaigns of events alone: no other mail tells of people beside its recipient.
_PARTY: Final = text("""
    UPDATE message SET given = jsonb_set(given, '{party}', (
        SELECT coalesce(jsonb_agg(one ORDER BY number), '[]')
        FROM jsonb_array_elements(given -> 'party') WITH ORDINALITY AS party(one, number)
        WHERE lower(one ->> 'email') <> ALL(:spelled)
    ))
    WHERE run_id IN (SELECT id FROM run WHERE campaign LIKE 'event:%')
      AND jsonb_typeof(given -> 'party') = 'array' AND EXISTS (
        SELECT FROM jsonb_array_elements(given -> 'party') AS one WHERE lower(one ->> 'email') = ANY(:spelled)
    )
""").bindparams(bindparam("spelled", type_=ARRAY(Text)))
_NOTICES: Final = text("""
    DELETE FROM staff_notice WHERE notice_key LIKE 'inquiry:' || :inquiry || ':%' AND EXISTS (
        SELECT FROM unnest(cast(:spelled AS text[])) AS word
        WHERE position(word IN lower(encode(content, 'escape'))) > 0
    )
""")


def clear(connection: Connection, subject: Subject) -> dict[str, int]:
    """Nothing that is about others names the person any more by one of the addresses that are theirs alone; rows
    changed or removed, by table. To be called before what is about them goes. Repeat: safe."""
    spelled = sorted(set(subject.spellings))
    if not spelled:
        return {}
    counts = {"message": connection.execute(_PARTY, {"spelled": spelled}).rowcount}
    named = any_(literal([f"%{_escaped(one)}%" for one in spelled], ARRAY(types.Text)))
    found = select(inquiry.c.id, inquiry.c.content, inquiry.c.task_id).where(
        inquiry.c.content.ilike(named), not_(or_(about(inquiry, subject)))
    )
    rows = connection.execute(found.order_by(inquiry.c.id).with_for_update()).all()
    for row in rows:
        kept = without(row.content, spelled)
        connection.execute(update(inquiry).where(inquiry.c.id == row.id).values(content=kept))
        body = connection.execute(select(task.c.body).where(task.c.id == row.task_id)).scalar_one_or_none()
        if body is not None:
            connection.execute(update(task).where(task.c.id == row.task_id).values(body=without(body, spelled)))
        connection.execute(_NOTICES, {"inquiry": str(row.id), "spelled": spelled})
    return {**counts, "inquiry": len(rows)}


def _escaped(words: str) -> str:
    """As LIKE takes them for themselves."""
    return words.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
