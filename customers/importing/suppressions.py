"""Suppressions: one row forbids writing to one address. An import adds entries and never lifts one.

An entry that was lifted comes back when a file that holds it is imported again: the file says it must not be
written to, and nothing in it says that somebody thought better of it.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from core.names import did_you_mean
from customers.importing.fields import Fields, require
from customers.importing.importer import Importer, Loaded, Source, read_mailbox
from customers.importing.people import EMAIL_HEADERS
from customers.importing.values import Rejected, instant_reader

if TYPE_CHECKING:
    from sqlalchemy import Connection

_SCOPES: Final = ("global", "channel", "topic", "campaign")


class SuppressionImporter(Importer):
    """Addresses that must not be written to."""

    fields: ClassVar[Fields] = {
        "email": EMAIL_HEADERS,
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
        "channel": "text",
        "scope": "text",
        "scope_name": "text",
        "reason": "text",
        "evidence": "jsonb",
        "created_at": "timestamptz",
        "expires_at": "timestamptz",
    }
    fills: ClassVar[tuple[str, ...]] = ("suppression",)
    changes_metrics: ClassVar[bool] = False

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        require(source.columns, ("email",), header=source.header)
        self._instant = instant_reader(source.formats)
        self._cell = {name: source.columns.reader(name) for name in self.fields}

    def staged_row(self, number: int, cells: Sequence[str]) -> Sequence[Any]:
        cell = self._cell
        email = cell["email"](cells)
        if not email:
            raise Rejected("no address")
        mailbox = read_mailbox(email, self.source.secret)
        scope, scope_name = self._scope(cells)
        evidence = {"file": self.source.file_name, **self.source.columns.attribute_texts(cells)}
        created_at, expires_at = cell["created_at"](cells), cell["expires_at"](cells)
        return (
            number, mailbox.key, cell["channel"](cells) or "email", scope, scope_name,
            cell["reason"](cells).casefold() or "manual", json.dumps(evidence, ensure_ascii=False),
            self._instant(created_at) if created_at else self.source.now,
            self._instant(expires_at) if expires_at else None,
        )  # fmt: skip

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

        return Loaded(connection.execute(text(_INSERT)).rowcount)


_INSERT = """
    INSERT INTO suppression (
        address_key, channel, scope, scope_name, reason, source, evidence, created_at, expires_at
    )
    SELECT address_key, channel, scope, scope_name, reason, 'import', evidence, created_at, expires_at
    FROM staged ORDER BY row
    ON CONFLICT (address_key, channel, scope, scope_name, reason) WHERE lifted_at IS NULL DO NOTHING
"""
