"""Customers: one row is one person or firm, known again by external id, else by address.

An empty cell says nothing: what is known already stays. Columns that are no field are added to the attributes.
A second row for the same customer in one file is rejected, because the file does not say which one is right.
Opt-outs go with a customer to a new address: who said "stop" meant themselves, not one of their mailboxes.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from core.names import did_you_mean
from core.units import parse_zone
from customers.importing.consents import CONSENT_STAGE, record_consents
from customers.importing.countries import country_code
from customers.importing.fields import Fields, require
from customers.importing.importer import Importer, Loaded, Mailbox, Source, read_mailbox
from customers.importing.people import EMAIL_HEADERS, EXTERNAL_ID_HEADERS
from customers.importing.suppressions import follow_addresses
from customers.importing.values import Rejected, clean_key, instant_reader, one_line

if TYPE_CHECKING:
    from sqlalchemy import Connection

_NO: Final = frozenset({"", "no", "none", "false", "0", "n", "nein", "keine", "否", "无"})
_TAG_LENGTHS: Final = range(1, 9)  # of the parts of a BCP 47 tag


class CustomerImporter(Importer):
    """Customers, their attributes, and the topics they agreed to."""

    fields: ClassVar[Fields] = {
        "external_id": ("id", *EXTERNAL_ID_HEADERS),
        "email": EMAIL_HEADERS,
        "first_name": ("given name", "forename", "Vorname", "名", "名字"),
        "last_name": ("surname", "family name", "Nachname", "Familienname", "姓", "姓氏"),
        "company": ("company name", "organisation", "organization", "firm", "Firma", "Unternehmen", "单位", "公司"),
        "phone": ("phone number", "telephone", "mobile phone", "mobile", "business phone", "primary phone",
                  "Telefon", "Mobiltelefon", "Telefonnummer", "移动电话", "手机", "电话", "商务电话"),
        "country": ("country/region", "business country/region", "Land", "Land/Region", "国家", "国家/地区",
                    "商务地址 国家/地区"),
        "language": ("lang", "locale", "language code", "Sprache"),
        "zone": ("time zone", "Zeitzone", "时区"),
        "owner": ("account manager", "sales representative", "Betreuer", "负责人", "客户经理"),
        "topics": ("consent", "topic", "consents", "Einwilligung", "Themen", "同意主题"),
        "consent_at": ("consented at", "consent date", "opt-in date", "Einwilligung am", "同意时间"),
        "consent_basis": ("legal basis", "Rechtsgrundlage"),
        "source": ("lead source", "origin", "Quelle", "来源"),
    }  # fmt: skip
    stage: ClassVar[Mapping[str, str]] = {
        "row": "integer",
        "external_id": "text",
        "comparable": "text",
        "email": "text",
        "address_key": "uuid",
        "smtputf8": "boolean",
        "first_name": "text",
        "last_name": "text",
        "company": "text",
        "phone": "text",
        "country": "text",
        "language": "text",
        "zone": "text",
        "owner": "text",
        "source": "text",
        "attributes": "jsonb",
        "topics": "text[]",
        "consent_at": "timestamptz",
        "consent_basis": "text",
    }
    fills: ClassVar[tuple[str, ...]] = ("customer", "consent")

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        require(source.columns, ("external_id", "email"), header=source.header)
        self._cell = {name: source.columns.reader(name) for name in self.fields}
        self._instant = instant_reader(source.formats)

    def staged_row(self, number: int, cells: Sequence[str]) -> Sequence[Any]:
        cell = self._cell
        external_id, email = clean_key(cell["external_id"](cells)), cell["email"](cells)
        if not external_id and not email:
            raise Rejected("no customer (the row has neither an external id nor an e-mail address)")
        mailbox = _flat(read_mailbox(email, self.source.secret)) if email else _NOWHERE
        attributes = self.source.columns.attribute_texts(cells)
        return (
            number, external_id or None, *mailbox,
            *(one_line(cell[name](cells)) or None for name in ("first_name", "last_name", "company", "phone")),
            country_code(cell["country"](cells)) or None,
            _language(cell["language"](cells)), _zone(cell["zone"](cells)), cell["owner"](cells) or None,
            cell["source"](cells) or self.source.file_name, json.dumps(attributes, ensure_ascii=False),
            self._topics(cell["topics"](cells)), self._consent_at(cell["consent_at"](cells)),
            cell["consent_basis"](cells) or "consent",
        )  # fmt: skip

    def _topics(self, text: str) -> list[str]:
        if text.casefold() in _NO:
            return []
        known = self.source.settings.topics
        topics = [topic.strip() for topic in text.replace(",", ";").split(";") if topic.strip()]
        for topic in topics:
            if topic not in known:
                raise Rejected(f"there is no topic {topic!r} in clarion.yaml; {did_you_mean(topic, known)}")
        return sorted(set(topics))

    def _consent_at(self, text: str) -> Any:
        instant = self._instant(text) if text else None
        if instant is not None and instant > self.source.now:
            raise Rejected(f"the consent lies in the future (got {text!r})")
        return instant

    def load(self, connection: "Connection") -> Loaded:
        from sqlalchemy import text

        connection.execute(text(_ADDRESSED))
        connection.execute(text("ANALYZE addressed"))
        connection.execute(text(_CANDIDATES))
        repeated = connection.execute(text(_REPEATED))
        rejected = {row: f"the same customer as row {first}" for row, first in repeated}
        connection.execute(text(_MOVED))
        created, updated = connection.execute(text(_UPSERT), {"now": self.source.now}).one()
        # After the update: an opt-out at the old address that was committed meanwhile is seen.
        followed = follow_addresses(connection, now=self.source.now)
        remarks = (f"{followed:,} opt-outs went with customers to their new addresses",) if followed else ()
        return Loaded(created, updated, rejected, (*remarks, *self._record_topics(connection)))

    def _record_topics(self, connection: "Connection") -> tuple[str, ...]:
        from sqlalchemy import text

        if "topics" not in self.source.columns:
            return ()
        columns = ", ".join(f"{name} {kind}" for name, kind in CONSENT_STAGE.items())
        connection.execute(text(f"CREATE TEMP TABLE agreement ({columns}) ON COMMIT DROP"))
        connection.execute(text(_AGREEMENTS), {"source": self.source.label})
        recorded = record_consents(connection, now=self.source.now)
        remarks = [f"recorded {recorded.created:,} consents"] if recorded.created else []
        if recorded.refused:
            remarks.append(f"{len(recorded.refused):,} consents were left out: withdrawn before, and undated here")
        return (*remarks, *recorded.remarks)


_NOWHERE: Final = (None, None, None, False)


def _flat(mailbox: Mailbox) -> tuple[Any, ...]:
    return mailbox.comparable, mailbox.email, mailbox.key, mailbox.smtputf8


def _language(text: str) -> str | None:
    parts = text.replace("_", "-").split("-")
    if text and not (
        text.isascii() and all(len(p) in _TAG_LENGTHS and p.isalnum() for p in parts) and len(parts[0]) in (2, 3)
    ):
        raise Rejected(f"not a language tag (got {text!r}, expected such as 'en' or 'zh-CN')")
    return "-".join(parts) or None


def _zone(text: str) -> str | None:
    try:
        return parse_zone(text) if text else None
    except ValueError as error:
        raise Rejected(str(error)) from None


#: The external id of each row: its own; else that of the customer with its address, here or in the file; else
#: the comparable address. A customer who is known by the address alone goes first, so that a repeated import
#: meets the same one.
_ADDRESSED = """
    CREATE TEMP TABLE addressed ON COMMIT DROP AS
    SELECT staged.*, coalesce(staged.external_id, of_address.external_id, in_file.external_id, comparable) AS known_as
    FROM staged
    LEFT JOIN LATERAL (
        SELECT c.external_id FROM customer c
        WHERE staged.external_id IS NULL AND c.address_key = staged.address_key
        ORDER BY (c.external_id = staged.comparable) DESC, c.id LIMIT 1
    ) of_address ON true
    LEFT JOIN (
        SELECT DISTINCT ON (address_key) address_key, external_id FROM staged
        WHERE external_id IS NOT NULL AND address_key IS NOT NULL ORDER BY address_key, row
    ) in_file ON staged.external_id IS NULL AND in_file.address_key = staged.address_key
"""

#: What each customer would become. `first_row` differs from `row` in a repeated row.
_CANDIDATES = """
    CREATE TEMP TABLE candidate ON COMMIT DROP AS
    SELECT a.row, first_value(a.row) OVER (PARTITION BY a.known_as ORDER BY a.row) AS first_row,
           a.known_as AS external_id, c.id AS customer_id,
           CASE WHEN a.email IS NULL THEN c.email ELSE a.email END AS email,
           CASE WHEN a.email IS NULL THEN c.address_key ELSE a.address_key END AS address_key,
           CASE WHEN a.email IS NULL THEN coalesce(c.smtputf8, false) ELSE a.smtputf8 END AS smtputf8,
           coalesce(a.first_name, c.first_name) AS first_name, coalesce(a.last_name, c.last_name) AS last_name,
           coalesce(a.company, c.company) AS company, coalesce(a.phone, c.phone) AS phone,
           coalesce(a.country, c.country) AS country, coalesce(a.language, c.language) AS language,
           coalesce(a.zone, c.zone) AS zone, coalesce(a.owner, c.owner) AS owner,
           coalesce(c.source, a.source) AS source, coalesce(c.attributes, '{}') || a.attributes AS attributes,
           a.topics, a.consent_at, a.consent_basis
    FROM addressed a LEFT JOIN customer c ON c.external_id = a.known_as
"""

_REPEATED = "SELECT row, first_row FROM candidate WHERE row > first_row"

#: The addresses of customers who are about to get another one.
_MOVED = """
    CREATE TEMP TABLE moved ON COMMIT DROP AS
    SELECT DISTINCT c.address_key AS old_key, n.address_key AS new_key
    FROM candidate n JOIN customer c ON c.id = n.customer_id
    WHERE n.row = n.first_row AND n.address_key <> c.address_key
"""

_FIELDS: Final = (
    "email", "address_key", "smtputf8", "first_name", "last_name", "company", "phone", "country", "language",
    "zone", "owner", "source", "attributes",
)  # fmt: skip

_UPSERT = f"""
    WITH written AS (
        INSERT INTO customer AS known (external_id, {", ".join(_FIELDS)}, created_at, updated_at)
        SELECT n.external_id, {", ".join(f"n.{name}" for name in _FIELDS)}, :now, :now
        FROM candidate n LEFT JOIN customer c ON c.id = n.customer_id
        WHERE n.row = n.first_row AND (c.id IS NULL OR
            ({", ".join(f"n.{name}" for name in _FIELDS)}) IS DISTINCT FROM
            ({", ".join(f"c.{name}" for name in _FIELDS)}))
        ORDER BY n.row
        ON CONFLICT (external_id) DO UPDATE SET
            {", ".join(f"{name} = excluded.{name}" for name in _FIELDS)}, updated_at = excluded.updated_at
        RETURNING known.xmax = 0 AS is_new
    )
    SELECT count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE NOT is_new) FROM written
"""  # noqa: S608  made of our own names

_AGREEMENTS = """
    INSERT INTO agreement (row, customer_id, channel, topic, state, basis, source, proof, captured_at)
    SELECT n.row, c.id, 'email', topic, 'granted', n.consent_basis, :source, '{}', n.consent_at
    FROM candidate n JOIN customer c USING (external_id) CROSS JOIN LATERAL unnest(n.topics) AS topic
    WHERE n.row = n.first_row
"""
