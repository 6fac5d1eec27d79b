"""Who did what: entries are sealed in a chain by the database when they are committed, so a later change shows.

Writes `audit`; `audit_head` holds the number and seal of the last entry. The sealing is a deferred trigger (migration
0003): entries of concurrent transactions line up only while they commit, so nobody waits for a long one.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: What carries out a rule of the workspace without anybody asking, as an actor.
ITSELF = "clarion"
#: A person on the public pages, as an actor: nobody logs in there, so no name is known.
PERSON = "person"

_MAILBOX = re.compile(r"[^\s<>\"',;:@]+@(?=[^\s@]*[^\s@.])")

#: The head and the entries as one statement sees them: entries that are committed meanwhile are in neither.
_ENTRIES = """
    SELECT * FROM (
        SELECT true AS is_head, NULL AS id, number, seal, NULL AS words FROM audit_head
        UNION ALL
        SELECT false, id, number, seal, jsonb_build_array(
            number, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), actor, action, subject, detail
        )::text FROM audit
    ) AS chain ORDER BY is_head DESC, number NULLS LAST, id
"""


@dataclass(frozen=True, slots=True)
class Flaw:
    """A place where the audit is not what it was when it was written."""

    number: int | None  # of the entry in the chain
    what: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What checking the chain gave. `seal` (hexadecimal digits) stands for all entries up to `count`."""

    count: int
    seal: str
    flaws: tuple[Flaw, ...] = ()


def record(
    connection: "Connection", actor: str, action: str, subject: str, *, at: datetime | None = None, **detail: Any
) -> None:
    """An entry says that `actor` did `action` to `subject`, once the transaction is committed.

    `actor` is `core.commands.acting_user()`, `ITSELF` or `PERSON`. `action` is `<noun>.<verb>` (`suppress.add`);
    `subject` is `<kind>:<name>`: `customer:<id>` (the number of the row, never the external id), `address:<key>`,
    `campaign:<name>`. Neither they nor `detail` hold names or message bodies; mailboxes in texts are masked. S-5.20
    """
    from sqlalchemy import insert

    from core.schema import audit

    told = {name: value for name, value in _masked(detail).items() if value is not None}
    values = {"actor": _masked(actor), "action": action, "subject": _masked(subject), "detail": told}
    connection.execute(insert(audit).values(values if at is None else values | {"at": at}))


def _masked(value: Any) -> Any:
    """`value` as JSON has it, every mailbox in it without its local part."""
    if isinstance(value, Mapping):
        return {_masked(str(name)): _masked(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked(each) for each in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return _MAILBOX.sub("…@", str(value))


def verify(connection: "Connection") -> Verdict:
    """The whole chain was computed again; every changed, removed or inserted entry is a flaw.

    Entries cut off at the end show by `audit_head`. It is one look: entries made meanwhile do no harm. Whoever can
    write the database can also compute a new chain: compare the seal with one that was noted elsewhere (`holds_seal`).
    """
    from sqlalchemy import text

    flaws: list[Flaw] = []
    number, seal, head = 0, b"", None
    for row in connection.execute(text(_ENTRIES).execution_options(stream_results=True, yield_per=2000)):
        if row.is_head:
            head = row
            continue
        if row.number is None:
            flaws.append(Flaw(None, f"entry {row.id} was never sealed"))
            continue
        flaws += _gap(number, row.number)
        is_next = row.number == number + 1
        if is_next and bytes(row.seal or b"") != _sealed(seal, row.words):
            flaws.append(Flaw(row.number, "the entry or the one before it was changed"))
        number, seal = row.number, bytes(row.seal or b"")
    return Verdict(number, seal.hex(), (*flaws, *_cut(head, number, seal)))


def _sealed(previous: bytes, words: str) -> bytes:
    return hashlib.sha256(previous + words.encode()).digest()


def _gap(last: int, number: int) -> Iterator[Flaw]:
    if number <= last:
        yield Flaw(number, "the entry stands there twice")
    elif number == last + 2:
        yield Flaw(last + 1, "the entry was removed")
    elif number > last + 2:
        yield Flaw(last + 1, f"the entries {last + 1} to {number - 1} were removed")


def _cut(head: Any, number: int, seal: bytes) -> Iterator[Flaw]:
    if head is None:
        yield Flaw(None, "the end of the chain is not known any more (audit_head is empty)")
    elif head.number > number:
        yield Flaw(number + 1, f"the entries {number + 1} to {head.number} were removed")
    elif head.number < number:
        yield Flaw(head.number + 1, f"the entries {head.number + 1} to {number} were added past the end")
    elif bytes(head.seal) != seal:
        yield Flaw(number, "the last entry is not the one that was written last")


def holds_seal(connection: "Connection", seal: str) -> bool:
    """Whether the chain contains an entry with this seal: what was noted elsewhere is still what was written."""
    from sqlalchemy import select

    from core.schema import audit

    asked = select(audit.c.number).where(audit.c.seal == bytes.fromhex(seal))
    return connection.execute(asked).first() is not None


def entries(
    connection: "Connection",
    *,
    action: str | None = None,
    actor: str | None = None,
    subject: str | None = None,
    since: datetime | None = None,
    most: int = 100,
) -> list[dict[str, Any]]:
    """The newest entries that fit: number, at, actor, action, subject, detail. `action` may be its first part alone."""
    from sqlalchemy import or_, select

    from core.schema import audit

    columns = (audit.c.number, audit.c.at, audit.c.actor, audit.c.action, audit.c.subject, audit.c.detail)
    query = select(*columns).order_by(audit.c.number.desc()).limit(most)
    if action is not None:
        query = query.where(or_(audit.c.action == action, audit.c.action.startswith(f"{action}.", autoescape=True)))
    for column, wanted in ((audit.c.actor, actor), (audit.c.subject, subject)):
        query = query if wanted is None else query.where(column == wanted)
    if since is not None:
        query = query.where(audit.c.at >= since)
    return [dict(row) for row in connection.execute(query).mappings()]
