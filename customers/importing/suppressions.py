"""Suppressions: one row forbids writing to one address. An import adds entries and never lifts one.

A row names the address, or the MD5 or SHA-256 of it (`customers.importing.hashed_lists`). An entry that was lifted
comes back when a file that holds it is imported again, and the import says so: the file says it must not be
written to, and nothing in it says that somebody thought better of it. Of entries that differ only in their end the
longest holds; a shorter one that is on record makes room for it and stays readable.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final
from uuid import UUID

from core.names import did_you_mean
from customers.entries import KEY, lifted_before, record_entries
from customers.importing.fields import Fields, require
from customers.importing.hashed_lists import digest_of, record_digests
from customers.importing.importer import Importer, Loaded, Source, read_mailbox
from customers.importing.people import EMAIL_HEADERS
from customers.importing.values import Rejected, instant_reader
from customers.importing.words import channel_of, reason_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

_SCOPES: Final = ("global", "channel", "topic", "campaign")

#: A rest that somebody asked for: it always has an end.
_PAUSED: Final = "paused"


class SuppressionImporter(Importer):
    """Addresses that must not be written to."""

    fields: ClassVar[Fields] = {
        "email": EMAIL_HEADERS,
        "digest": (
            "hash",
            "md5",
            "sha256",
            "sha-256",
            "email md5",
            "email sha256",
            "email hash",
            "hashed email",
            "Hashwert",
            "哈希",
        ),
        "scope": ("Umfang", "范围"),
        "topic": ("Thema", "主题"),
        "campaign": ("Kampagne", "活动"),
        "channel": ("Kanal", "渠道"),
        "reason": ("status", "Grund", "原因"),
        "created_at": ("date", "suppressed at", "unsubscribed at", "timestamp", "Datum", "日期", "时间"),
        "expires_at": ("until", "expires", "gültig bis", "有效期至"),
    }
    stage: ClassVar[Mapping[str, str]] = {
        "row": "integer",
        "address_key": "uuid",
        "digest": "bytea",
        "channel": "text",
        "scope": "text",
        "scope_name": "text",
        "reason": "text",
        "evidence": "jsonb",
        "created_at": "timestamptz",
        "expires_at": "timestamptz",
    }
    fills: ClassVar[tuple[str, ...]] = ("suppression", "blocked_digest")
    changes_metrics: ClassVar[bool] = False

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        require(source.columns, ("email", "digest"), header=source.header)
        self._instant = instant_reader(source.formats)
        self._cell = {name: source.columns.reader(name) for name in self.fields}

    def staged_row(self, number: int, cells: Sequence[str]) -> Sequence[Any]:
        cell = self._cell
        key, digest = self._who(cell["email"](cells), cell["digest"](cells))
        scope, scope_name = self._scope(cells)
        evidence = {"file": self.source.file_name, **self.source.columns.attribute_texts(cells)}
        created_at, expires_at = cell["created_at"](cells), cell["expires_at"](cells)
        reason = reason_of(cell["reason"](cells))
        if digest is not None and (scope_name or expires_at or reason == _PAUSED):
            raise Rejected("a digest forbids everything, for good (got a topic, a campaign, an end or a pause)")
        if reason == _PAUSED and not expires_at:
            raise Rejected("a pause without an end (got none, expected expires_at)")
        return (
            number, key, digest, channel_of(cell["channel"](cells)), scope, scope_name, reason,
            json.dumps(evidence, ensure_ascii=False), self._instant(created_at) if created_at else self.source.now,
            self._instant(expires_at) if expires_at else None,
        )  # fmt: skip

    def _who(self, email: str, hashed: str) -> tuple[UUID | None, bytes | None]:
        """The key of the address, or the digest that stands in its place; a file may hold both columns."""
        if email and (digest := digest_of(email)) is None:
            return read_mailbox(email, self.source.secret).key, None
        digest = digest_of(hashed) if hashed else digest_of(email) if email else None
        if digest is None:
            raise Rejected(f"not a digest of an address (got {hashed!r})" if hashed else "no address")
        return None, digest

    def _scope(self, cells: Sequence[str]) -> tuple[str, str]:
        """Scope and name; a topic or campaign without a scope means that topic or campaign."""
        topic, campaign = self._cell["topic"](cells), self._cell["campaign"](cells)
        given = self._cell["scope"](cells).casefold()
        scope = given or ("topic" if topic else "campaign" if campaign else "global")
        if scope not in _SCOPES:
            raise Rejected(f"not a scope (got {scope!r}, expected one of {', '.join(_SCOPES)})")
        name = {"topic": topic, "campaign": campaign}.get(scope, "")
        if scope in ("topic", "campaign") and not name:
            raise Rejected(f"scope {scope} without a {scope}")
        known = self.source.settings.topics
        if scope == "topic" and name not in known:
            raise Rejected(f"there is no topic {name!r} in clarion.yaml; {did_you_mean(name, known)}")
        return scope, name

    def load(self, connection: "Connection") -> Loaded:
        from sqlalchemy import text

        now, label = self.source.now, self.source.label
        connection.execute(text(_OF_FILE))
        remarks = lifted_before(connection, now=now)
        created = record_entries(connection, now=now)
        connection.execute(text(_VOID_REQUESTS), {"now": now, "source": label})
        listed, of_list = record_digests(connection, label, now)
        return Loaded(created + listed, remarks=(*remarks, *of_list))


_OF_FILE = f"""
    CREATE TEMP TABLE entry ON COMMIT DROP AS
    SELECT DISTINCT ON ({KEY}) row, 'import' AS source, {KEY}, evidence, created_at, expires_at
    FROM staged WHERE digest IS NULL
    ORDER BY {KEY}, coalesce(expires_at, 'infinity') DESC, row
"""  # noqa: S608  made of our own names

#: Who is on a list of opt-outs cannot confirm any more what they were asked to confirm before.
_VOID_REQUESTS = """
    INSERT INTO consent (customer_id, channel, topic, state, basis, source, captured_at)
    SELECT customer_id, channel, topic, 'withdrawn', basis, :source, greatest(captured_at, :now)
    FROM (
        SELECT DISTINCT ON (c.customer_id, c.channel, c.topic)
               c.customer_id, c.channel, c.topic, c.state, c.basis, c.captured_at
        FROM entry JOIN customer AS p USING (address_key) JOIN consent AS c ON c.customer_id = p.id
        WHERE entry.reason = 'unsubscribed' AND entry.scope <> 'campaign'
          AND (entry.scope = 'global' OR c.channel = entry.channel)
          AND (entry.scope <> 'topic' OR c.topic = entry.scope_name)
        ORDER BY c.customer_id, c.channel, c.topic, c.captured_at DESC, c.id DESC
    ) AS latest
    WHERE state = 'requested'
    ON CONFLICT ON CONSTRAINT uq_consent_fact DO NOTHING
"""
