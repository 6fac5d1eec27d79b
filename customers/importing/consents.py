"""Consents: one row is one fact, that somebody agreed to a topic or withdrew. The table only grows.

A row without a date counts from the import on, once: the same fact from the same source is not recorded again.
It never outranks a withdrawal that is on record; a row that says when the person agreed again does, and the
import says how many did. Suppressions stand above all of it. A withdrawal binds everybody at the address, as an
unsubscribe link does: whoever reads that mailbox has said no. It suppresses the address, for whoever comes there later.
Of an undated consent and a withdrawal in one file the withdrawal counts.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final

from core.consent_evidence import EVIDENCE, SOFT_OPT_IN, lacks, proof_of
from core.names import did_you_mean
from customers.importing.agreements import CONSENT_STAGE, record_consents
from customers.importing.fields import Fields, require
from customers.importing.importer import Importer, Loaded, Source
from customers.importing.people import WHO_FIELDS, WHO_STAGE, find_people, who_reader
from customers.importing.values import Rejected, end_of_day, instant_reader
from customers.importing.words import channel_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

_STATES: Final = {
    "": "granted", "granted": "granted", "confirmed": "confirmed", "withdrawn": "withdrawn",
    "yes": "granted", "no": "withdrawn", "opt-in": "granted", "opt-out": "withdrawn",
    "subscribed": "granted", "unsubscribed": "withdrawn", "ja": "granted", "nein": "withdrawn",
    "同意": "granted", "撤回": "withdrawn",
}  # fmt: skip
#: On these consent ends by itself in some countries (S-5.6).
_ENDING: Final = ("implied", "contract")
_BASES: Final = frozenset({"consent", "soft_opt_in", "contract", "legitimate_interest", "implied"})


class ConsentImporter(Importer):
    """Facts about consent; other columns become the proof."""

    fields: ClassVar[Fields] = {
        **WHO_FIELDS,
        "topic": ("topics", "consent", "Thema", "主题"),
        "state": ("status", "consent status", "Status", "状态"),
        "channel": ("Kanal", "渠道"),
        "basis": ("legal basis", "Rechtsgrundlage", "依据"),
        "source": ("form", "origin", "Quelle", "来源"),
        "wording": ("text version", "consent text", "Wortlaut"),
        "captured_at": ("consented at", "consent date", "date", "timestamp", "Datum", "时间", "日期"),
        "sale": ("order", "order id", "sold", "Verkauf", "Bestellung", "订单"),
        "similar_products": ("similar goods", "ähnliche Produkte", "同类产品"),
        "opt_out_offered": ("opt-out offered", "Widerspruch angeboten", "提供退订"),
        "subscriber": ("subscriber type", "Art des Empfängers", "用户类型"),
        "relation": ("relationship", "Beziehung", "关系"),
        "expires_at": ("valid until", "expires", "gültig bis", "有效期至"),
    }
    stage: ClassVar[Mapping[str, str]] = {
        **WHO_STAGE,
        **{name: kind for name, kind in CONSENT_STAGE.items() if name != "customer_id"},
    }
    fills: ClassVar[tuple[str, ...]] = ("consent",)

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        require(source.columns, ("external_id", "email"), ("topic",), header=source.header)
        self._who = who_reader(source.columns, source.secret)
        self._instant = instant_reader(source.formats)
        self._cell = {name: source.columns.reader(name) for name in self.fields}
        self._unproven = 0

    def staged_row(self, number: int, cells: Sequence[str]) -> Sequence[Any]:
        cell = self._cell
        who = self._who(cells)
        proof, basis = self._proof(cells), basis_of(cell["basis"](cells))
        self._unproven += basis == "soft_opt_in" and bool(lacks(proof))
        state, said_from = _state(cell["state"](cells)), self._said(cell["captured_at"](cells))
        if state != "withdrawn" and said_from is None:
            needs_date(basis)
        return (
            who.name, who.key, number, channel_of(cell["channel"](cells)), self._topic(cell["topic"](cells)),
            state, basis, cell["source"](cells) or self.source.label, cell["wording"](cells) or None,
            json.dumps(proof, ensure_ascii=False), self._captured_at(said_from, state),
            self._instant(expires) if (expires := cell["expires_at"](cells)) else None, said_from,
        )  # fmt: skip

    def _proof(self, cells: Sequence[str]) -> dict[str, Any]:
        said = {name: self._cell[name](cells) for name in EVIDENCE}
        try:
            return self.source.columns.attribute_texts(cells) | proof_of(said)
        except ValueError as error:
            raise Rejected(str(error)) from None

    def _topic(self, topic: str) -> str:
        known = self.source.settings.topics
        if topic not in known:
            raise Rejected(f"there is no topic {topic!r} in clarion.yaml; {did_you_mean(topic, known)}")
        return topic

    def _said(self, text: str) -> datetime | None:
        instant = self._instant(text) if text else None
        if instant is not None and instant > self.source.now:
            # It would outrank every withdrawal until then.
            raise Rejected(f"the consent lies in the future (got {text!r})")
        return instant

    def _captured_at(self, said_from: datetime | None, state: str) -> datetime | None:
        if said_from is None or state != "withdrawn":
            return said_from
        # A yes of that day, at whatever time, does not come after it.
        return end_of_day(said_from, self.source.formats, latest=self.source.now)

    def load(self, connection: "Connection") -> Loaded:
        from sqlalchemy import text

        unknown = find_people(connection)
        connection.execute(text(_AGREEMENTS))
        connection.execute(text(_NO_AT))
        # A no needs nobody to be known at the address: it waits for whoever comes.
        kept = set(connection.scalars(text("SELECT row FROM no_at")))
        rejected = {row: reason for row, reason in unknown.items() if row not in kept}
        recorded = record_consents(connection, self.source.secret, file=self.source.file_name, now=self.source.now)
        remarks = recorded.remarks
        if self._unproven:
            remarks += (f"{self._unproven:,} soft opt-ins lack {', '.join(SOFT_OPT_IN)}: they count in few countries",)
        return Loaded(recorded.created, 0, {**rejected, **dict(recorded.refused)}, remarks)


def _state(text: str) -> str:
    state = _STATES.get(text.casefold())
    if state is None:
        raise Rejected(f"not a state of consent (got {text!r}, expected granted, confirmed or withdrawn)")
    return state


def basis_of(text: str) -> str:
    """The legal basis a cell names; of an empty one, the person's own word.

    Raises:
        Rejected: it is none.
    """
    basis = text.casefold().replace(" ", "_").replace("-", "_") or "consent"
    if basis not in _BASES:
        raise Rejected(f"not a legal basis (got {text!r}, expected one of {', '.join(sorted(_BASES))})")
    return basis


def needs_date(basis: str) -> None:
    """The basis holds without a date.

    Raises:
        Rejected: consent on it ends by itself, counted from its date: every file would renew it.
    """
    if basis in _ENDING:
        raise Rejected(f"consent on the basis {basis} without a date: it ends by itself, so say since when it holds")


#: A withdrawal is also that of everybody at the address the row names, and at that of the customer it names.
_AGREEMENTS = f"""
    CREATE TEMP TABLE agreement ON COMMIT DROP AS
    WITH named AS (
        SELECT row, customer_id, state, who_key FROM staged JOIN known USING (who) WHERE customer_id IS NOT NULL
    ), left_address AS (
        SELECT row, who_key AS address_key FROM named WHERE state = 'withdrawn'
        UNION
        SELECT row, address_key FROM named JOIN customer ON customer.id = customer_id WHERE state = 'withdrawn'
    ), bound AS (
        SELECT row, customer_id FROM named
        UNION
        SELECT row, customer.id FROM left_address JOIN customer USING (address_key)
    )
    SELECT {", ".join(CONSENT_STAGE)} FROM bound JOIN staged USING (row)
"""  # noqa: S608  made of our own names

#: What the addresses are suppressed for: those the rows name, and those of the customers they name.
_NO_AT = """
    CREATE TEMP TABLE no_at ON COMMIT DROP AS
    WITH named AS (SELECT * FROM staged JOIN known USING (who) WHERE state = 'withdrawn')
    SELECT row, who_key AS address_key, customer_id, channel, 'topic' AS scope, topic AS scope_name, captured_at
    FROM named WHERE who_key IS NOT NULL
    UNION
    SELECT row, customer.address_key, customer_id, channel, 'topic', topic, captured_at
    FROM named JOIN customer ON customer.id = customer_id WHERE customer.address_key IS NOT NULL
"""
