"""Customers: one row is one person or firm, known again by external id, else by address.

An empty cell says nothing: what is known already stays. Columns that are no field are added to the attributes.
A second row for the same customer in one file is rejected, because the file does not say which one is right.
Opt-outs go with a customer to a new address: who said "stop" meant themselves, not one of their mailboxes.
A row that names a customer by what they were before (the external id of one who was merged into them, a former address)
is about them, but old: it fills in what is empty and changes nothing.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from core.names import did_you_mean
from core.units import parse_zone
from customers.entries import follow
from customers.importing import customer_sql as sql
from customers.importing.agreements import CONSENT_STAGE, record_consents
from customers.importing.consents import basis_of, needs_date
from customers.importing.countries import country_code
from customers.importing.fields import Fields, require
from customers.importing.importer import Importer, Loaded, Mailbox, Source, read_mailbox
from customers.importing.people import EMAIL_HEADERS, EXTERNAL_ID_HEADERS
from customers.importing.placeholders import is_placeholder
from customers.importing.values import Rejected, clean_key, instant_reader, one_line
from customers.importing.words import says_no

if TYPE_CHECKING:
    from sqlalchemy import Connection

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
        "person": ("person id", "Person", "人员编号"),
        "household": ("household id", "Haushalt", "家庭编号"),
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
        "person": "text",
        "household": "text",
        "source": "text",
        "attributes": "jsonb",
        "topics": "text[]",
        "says_no": "boolean",
        "consent_at": "timestamptz",
        "consent_basis": "text",
    }
    fills: ClassVar[tuple[str, ...]] = ("customer", "consent")

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        require(source.columns, ("external_id", "email"), header=source.header)
        self._cell = {name: source.columns.reader(name) for name in self.fields}
        self._instant = instant_reader(source.formats)
        self._placeholders: Counter[str] = Counter()

    def staged_row(self, number: int, cells: Sequence[str]) -> Sequence[Any]:
        cell = self._cell
        external_id, email = clean_key(cell["external_id"](cells)), cell["email"](cells)
        if not external_id and not email:
            raise Rejected("no customer (the row has neither an external id nor an e-mail address)")
        mailbox = _flat(read_mailbox(email, self.source.secret)) if email else _NOWHERE
        attributes, topics = self.source.columns.attribute_texts(cells), cell["topics"](cells)
        basis, agreed = basis_of(cell["consent_basis"](cells)), self._topics(topics)
        if agreed and not cell["consent_at"](cells):
            needs_date(basis)
        return (
            number, external_id or None, *mailbox,
            *(one_line(cell[name](cells)) or None for name in ("first_name", "last_name", "company", "phone")),
            country_code(cell["country"](cells)) or None,
            _language(cell["language"](cells)), _zone(cell["zone"](cells)), cell["owner"](cells) or None,
            self._group("person", cells), self._group("household", cells),
            cell["source"](cells) or self.source.file_name, json.dumps(attributes, ensure_ascii=False),
            agreed, says_no(topics), self._consent_at(cell["consent_at"](cells)),
            basis,
        )  # fmt: skip

    def _group(self, name: str, cells: Sequence[str]) -> str | None:
        """What customers who belong together share; None for what stands in a cell that is not filled in."""
        key = clean_key(self._cell[name](cells))
        if is_placeholder(key):
            self._placeholders[name] += 1
            return None
        return key or None

    def _topics(self, text: str) -> list[str]:
        if not text or says_no(text):
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

        connection.execute(text(sql.ADDRESSED))
        connection.execute(text("ANALYZE addressed"))
        connection.execute(text(sql.CANDIDATES))
        repeated = connection.execute(text(sql.REPEATED))
        rejected = {row: f"the same customer as row {first}" for row, first in repeated}
        connection.execute(text(sql.MOVED))
        connection.execute(text(sql.REMEMBER), {"now": self.source.now})
        created, updated = connection.execute(text(sql.UPSERT), {"now": self.source.now}).one()
        connection.execute(text(sql.FORGET_PRESENT))
        # After the update: an opt-out at the old address that was committed meanwhile is seen.
        followed = follow(connection, source="address_change", now=self.source.now)
        remarks = [f"{followed:,} opt-outs went with customers to their new addresses"] if followed else []
        remarks += (
            f"{cells:,} cells of {name} hold a word for nobody, such as 'n/a': they are left empty"
            for name, cells in self._placeholders.items()
        )
        return Loaded(created, updated, rejected, (*remarks, *self._record_topics(connection)))

    def _record_topics(self, connection: "Connection") -> tuple[str, ...]:
        from sqlalchemy import text

        if "topics" not in self.source.columns:
            return ()
        columns = ", ".join(f"{name} {kind}" for name, kind in CONSENT_STAGE.items())
        connection.execute(text(f"CREATE TEMP TABLE agreement ({columns}) ON COMMIT DROP"))
        connection.execute(text(sql.AGREEMENTS), {"source": self.source.label})
        connection.execute(text(sql.NO_AT))
        connection.execute(text(sql.REFUSALS), {"source": self.source.label})
        noes = connection.execute(text("SELECT count(DISTINCT row) FROM no_at")).scalar_one()
        recorded = record_consents(connection, self.source.secret, file=self.source.file_name, now=self.source.now)
        remarks = [f"recorded {recorded.created:,} consents"] if recorded.created else []
        if recorded.refused:
            why = "withdrawn or erased before, and undated or older here"
            remarks.append(f"{len(recorded.refused):,} consents were left out: {why}")
        if noes:
            remarks.append(f"{noes:,} customers say no: they get mail about no topic")
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
