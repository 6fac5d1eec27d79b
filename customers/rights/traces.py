"""Rows that stay when somebody is erased, because figures and rules stand on them: what in them named the person goes.

Kept are counts, codes, instants, and the keyed hash of the address. Every other table with rows about people has them
removed (`erase`), a table made later among them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from sqlalchemy import ColumnElement, Connection, Table, TextClause, and_, text, update

from core.schema import (
    attempt,
    audit,
    erased_conversion,
    erasure,
    feedback,
    hit,
    inbound_mail,
    message,
    rights_request,
    suppression,
)
from customers.rights.subject import Subject

#: A mailbox anywhere in a text.
_MAILBOX: Final = r"[^\s<>\"',;:()]+@[^\s<>\"',;:()]+"
#: Shorter words are not looked for: they would be found everywhere.
_SHORTEST_NAME: Final = 2
_SHORTEST_ID: Final = 3

#: Table → column → what stands there afterwards. `:named` matches what names the person, or any mailbox. Of the
#: evidence stays what leads to a message, whose figures count the entry, and codes. Of replies stay the words of those
#: without a status: nothing else tells a hard bounce from a soft one there.
_NAMELESS: Final = "regexp_replace({}, :named, '…', 'gi')"
STAYING: Final[Mapping[Table, Mapping[str, str]]] = {
    message: {
        "customer_id": "NULL", "given": "NULL",
        # The key of an order to send, which its giver chose; of an audience it is the run's.
        "occurrence": "CASE WHEN given IS NOT NULL AND occurrence ~* :named THEN 'erased:' || id ELSE occurrence END",
    },
    attempt: {
        "reply": f"""CASE WHEN enhanced IS NULL AND code IS NOT NULL AND worker <> 'feedback'
                          THEN {_NAMELESS.format("reply")} END"""
    },
    hit: {"ip": "NULL", "user_agent": "NULL", "evidence": "NULL"},
    feedback: {
        "customer_id": "NULL", "diagnostic": "NULL", "detail": "'{}'", "effect": _NAMELESS.format("effect"),
        "event_key": "CASE WHEN event_key ~* :named THEN 'erased:' || id ELSE event_key END",
    },
    inbound_mail: {"customer_id": "NULL", "raw": "NULL", "envelope_to": "NULL", "problem": "NULL"},
    rights_request: {"customer_id": "NULL"},
    suppression: {
        "evidence": """(
            SELECT coalesce(jsonb_object_agg(key, value), '{}') FROM jsonb_each(evidence)
            WHERE key IN ('campaign', 'code', 'enhanced', 'repeated') OR jsonb_typeof(value) IN ('number', 'boolean')
        )""",
        "source": f"CASE WHEN source LIKE '%:%' THEN {_NAMELESS.format('source')} ELSE source END",  # else a code
        "lifted_because": _NAMELESS.format("lifted_because"),
    },
    erasure: {"readmitted_because": _NAMELESS.format("readmitted_because")},
    erased_conversion: {},
    audit: {},  # it cannot be changed; it holds no names (`core.audit.record`)
}  # fmt: skip


#: Texts of these tables that name nobody: codes, names of files and settings, keyed hashes. A column made later is in
#: one of the two, or a test says so.
CODES: Final[Mapping[Table, frozenset[str]]] = {
    message: frozenset({"campaign", "step", "skip_reason", "hold_reason"}),
    attempt: frozenset({"transport", "worker", "enhanced", "bounce_class"}),
    hit: frozenset({"kind", "label"}),
    feedback: frozenset({"kind", "source", "matched_by", "status"}),
    inbound_mail: frozenset({"digest", "source", "class", "state"}),
    rights_request: frozenset({"kind", "state"}),
    suppression: frozenset({"channel", "scope", "scope_name", "reason"}),
    erasure: frozenset({"source"}),
    erased_conversion: frozenset({"currency"}),
    audit: frozenset({"actor", "action", "subject", "detail", "seal"}),
}


def pattern_of(subject: Subject | None = None) -> str:
    """A regular expression of PostgreSQL for every mailbox, and what the person is called."""
    words = any_of(_words(subject)) if subject is not None else ""
    return f"{_MAILBOX}|{words}" if words else _MAILBOX


def any_of(words: Iterable[str]) -> str:
    """A regular expression of PostgreSQL for each of the words; empty for none."""
    escaped = map(re.escape, sorted(set(words), key=len, reverse=True))
    return rf"(?<!\w)(?:{alternatives})(?!\w)" if (alternatives := "|".join(escaped)) else ""


def _words(subject: Subject) -> Iterator[str]:
    yield from subject.emails
    locals_ = (email.rpartition("@")[0] for email in subject.emails)
    yield from (word for word in (*locals_, *subject.external_ids) if len(word) >= _SHORTEST_ID)
    yield from (name for name in subject.names if len(name) >= _SHORTEST_NAME)


def empty(connection: Connection, table: Table, where: ColumnElement[bool], named: str) -> int:
    """Those rows of `table`, one of STAYING, name nobody any more; how many did is returned. Repeat: safe."""
    columns = STAYING[table]
    if not columns:
        return 0
    before = ", ".join(f'"{name}"' for name in columns)
    after = ", ".join(f"({value})" for value in columns.values())
    differs = _given(f"(({before}, 0) IS DISTINCT FROM ({after}, 0))", named)
    values = {name: _given(f"({value})", named) for name, value in columns.items()}
    return connection.execute(update(table).where(and_(where, differs)).values(values)).rowcount


def _given(sql: str, named: str) -> TextClause:
    return text(sql).bindparams(named=named) if ":named" in sql else text(sql)
