"""Purchases: one row is one line of an order. Returns and cancelled lines are negative (`line_money`).

A line is known again by its order and line number; without a line number column, by its content (instant,
product, quantity, amount) and its place among equal lines of that order in the file. So exact duplicates in one
order are kept, and the file may be imported again.

A file without line numbers holds whole orders: what it no longer says of an order is no longer so, and a corrected
line takes the place of the one before. Two things are additions instead, and replace nothing: a rejects file, whose
orders are incomplete by nature, and an order of which the file has only lines of amount zero, which are free extras
exported by themselves.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from customers.importing.countries import country_code
from customers.importing.fields import Fields, require
from customers.importing.importer import Importer, Loaded, Source
from customers.importing.line_money import LineMoney, is_reversed, line_money
from customers.importing.people import (
    WHO_FIELDS,
    WHO_STAGE,
    check_pattern,
    create_people,
    find_people,
    who_reader,
)
from customers.importing.rejects import REJECT_COLUMNS
from customers.importing.values import Rejected, clean_key, instant_reader, number_reader, short_key

if TYPE_CHECKING:
    from sqlalchemy import Connection


_TEXTS: Final = (
    "order_id", "line_number", "ordered_at", "product", "category", "description", "currency", "country", "status",
)  # fmt: skip
#: Shorter than other keys, because order and line share one entry of an index.
_MAX_LINE_NUMBER: Final = 100
_FIGURES: Final = ("quantity", "unit_price", "amount", "unit_cost", "cost")


class PurchaseImporter(Importer):
    """Lines of orders."""

    fields: ClassVar[Fields] = {
        **WHO_FIELDS,
        "order_id": ("order", "order number", "order no", "invoice no", "invoice", "invoice number", "invoice id",
                     "Bestellnummer", "Auftragsnummer", "Rechnungsnummer", "订单号", "订单编号", "发票号"),
        "line_number": ("line", "line no", "line id", "position", "Positionsnummer", "Position", "行号"),
        "ordered_at": ("order date", "order time", "invoice date", "purchase date", "purchased at", "date",
                       "Bestelldatum", "Rechnungsdatum", "Datum", "订单日期", "下单时间", "日期"),
        "product": ("product id", "product code", "sku", "stock code", "article", "item",
                    "Artikelnummer", "Artikel", "Produkt", "商品编号", "商品", "产品"),
        "category": ("product category", "product group", "Warengruppe", "Kategorie", "类别", "品类"),
        "description": ("product name", "item name", "Bezeichnung", "Beschreibung", "商品名称", "描述"),
        "quantity": ("qty", "units", "Menge", "Anzahl", "Stück", "数量"),
        "unit_price": ("price", "price per unit", "Einzelpreis", "Preis", "Stückpreis", "单价", "价格"),
        "amount": ("line total", "total", "net amount", "revenue", "Betrag", "Summe", "Umsatz", "金额", "总额"),
        "cost": ("line cost", "cost of goods", "Kosten", "Wareneinsatz", "成本"),
        "unit_cost": ("cost per unit", "Einstandspreis", "单位成本"),
        "currency": ("currency code", "Währung", "币种", "货币"),
        "status": ("order status", "line status", "Auftragsstatus", "状态", "订单状态"),
        "country": ("customer country", "ship country", "Land", "国家", "国家/地区"),
    }  # fmt: skip
    stage: ClassVar[Mapping[str, str]] = {
        "row": "integer",
        **WHO_STAGE,
        "who_email": "text",
        "who_smtputf8": "boolean",
        "who_country": "text",
        "order_id": "text",
        "line_number": "text",
        "ordered_at": "timestamptz",
        "product": "text",
        "category": "text",
        "description": "text",
        "quantity": "numeric(18, 4)",
        "amount": "numeric(18, 4)",
        "cost": "numeric(18, 4)",
        "currency": "text",
    }
    fills: ClassVar[tuple[str, ...]] = ("customer", "purchase")
    keeps_attributes: ClassVar[bool] = False

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        check_pattern(source.new_customers)
        columns = source.columns
        require(
            columns,
            ("external_id", "email"), ("order_id",), ("ordered_at",), ("amount", "quantity+unit_price"),
            header=source.header,
        )  # fmt: skip
        self._who = who_reader(columns, source.secret, source.new_customers.email_pattern)
        self._number = number_reader(source.formats)
        self._instant = instant_reader(source.formats)
        self._texts = columns.picker(*_TEXTS)
        self._figures = columns.picker(*_FIGURES)

    def staged_row(self, number: int, cells: Sequence[str]) -> Sequence[Any]:
        who = self._who(cells)
        order, line, ordered_at, product, category, description, currency, country, status = self._texts(cells)
        if not order:
            raise Rejected("no order id")
        if not ordered_at:
            raise Rejected("no order date")
        quantity, amount, cost = self._money(cells, status)
        return (
            number, who.name, who.key, who.email, who.smtputf8, country_code(country) or None,
            clean_key(order), clean_key(short_key(line, most=_MAX_LINE_NUMBER)) or None, self._instant(ordered_at),
            short_key(product) or None, category or None, description or None,
            quantity, amount, cost, self._currency(currency),
        )  # fmt: skip

    def _money(self, cells: Sequence[str], status: str) -> LineMoney:
        number = self._number
        quantity, unit_price, amount, unit_cost, cost = (
            number(text) if text else None for text in self._figures(cells)
        )
        return line_money(
            quantity,
            unit_price=unit_price,
            amount=amount,
            unit_cost=unit_cost,
            cost=cost,
            is_cancelled=is_reversed(status),
        )

    def _currency(self, text: str) -> str:
        if not text:
            return self.source.settings.tiers.currency
        if not (len(text) == 3 and text.isascii() and text.isalpha()):
            raise Rejected(f"not a currency (got {text!r}, expected three letters such as EUR)")
        return text.upper()

    def load(self, connection: "Connection") -> Loaded:
        from sqlalchemy import text

        rejected = find_people(connection)
        remarks: tuple[str, ...] = ()
        if self.source.new_customers.wanted and rejected:
            count = create_people(connection, self.source)
            rejected, remarks = {}, (f"created {count:,} customers",)
        elif rejected:
            hint = "import the customers first, or give --create-customers"
            rejected = {row: f"{reason}; {hint}" for row, reason in rejected.items()}
        connection.execute(text(_LINES))
        connection.execute(text("ANALYZE line"))
        repeated = connection.execute(text(_REPEATED))
        rejected |= {row: f"the same order line as row {first}" for row, first in repeated}
        has_whole_orders = not set(REJECT_COLUMNS) & set(self.source.header)
        wanted = {"has_whole_orders": has_whole_orders}
        created, updated, removed = connection.execute(text(_UPSERT), wanted).one()
        if removed:
            remarks = (*remarks, f"removed {removed:,} order lines, because this file has their orders without them")
        return Loaded(created, updated, rejected, remarks)


#: The lines with their customer and key. `nth` counts the lines that share a given line number.
_LINES = """
    CREATE TEMP TABLE line ON COMMIT DROP AS
    WITH content AS (
        SELECT staged.*, known.customer_id,
               md5(concat_ws(chr(31), extract(epoch FROM ordered_at), coalesce(product, description, ''),
                             quantity, amount)) AS digest
        FROM staged JOIN known USING (who)
        WHERE known.customer_id IS NOT NULL
    )
    SELECT row, customer_id, order_id, ordered_at, product, category, description, quantity, amount, cost, currency,
           line_number IS NULL AS is_by_content,
           coalesce(line_number, left(digest, 16) || '-' || row_number() OVER alike) AS line_key,
           CASE WHEN line_number IS NULL THEN 1 ELSE row_number() OVER alike END AS nth,
           first_value(row) OVER alike AS first_row
    FROM content
    WINDOW alike AS (PARTITION BY order_id, coalesce(line_number, digest) ORDER BY row)
"""

_REPEATED = "SELECT row, first_row FROM line WHERE nth > 1"

#: An empty cell of an optional column says nothing: what is known already stays. Of `gone`, the lines known by
#: their content that their whole orders no longer have, as many count as updated as new ones take their places.
_UPSERT = """
    WITH wanted AS (
        SELECT line.customer_id, order_id, line_key, line.ordered_at, line.quantity, line.amount, line.currency,
               coalesce(line.product, p.product) AS product, coalesce(line.category, p.category) AS category,
               coalesce(line.description, p.description) AS description, coalesce(line.cost, p.cost) AS cost
        FROM line LEFT JOIN purchase p USING (order_id, line_key)
        WHERE line.nth = 1 AND (p.id IS NULL OR (
            p.customer_id, p.ordered_at, p.quantity, p.amount, p.currency,
            p.product, p.category, p.description, p.cost
        ) IS DISTINCT FROM (
            line.customer_id, line.ordered_at, line.quantity, line.amount, line.currency,
            coalesce(line.product, p.product), coalesce(line.category, p.category),
            coalesce(line.description, p.description), coalesce(line.cost, p.cost)
        ))
    ), written AS (
        INSERT INTO purchase AS known (
            customer_id, order_id, line_key, ordered_at, product, category, description,
            quantity, amount, cost, currency
        )
        SELECT customer_id, order_id, line_key, ordered_at, product, category, description,
               quantity, amount, cost, currency
        FROM wanted
        ON CONFLICT (order_id, line_key) DO UPDATE SET
            customer_id = excluded.customer_id, ordered_at = excluded.ordered_at, product = excluded.product,
            category = excluded.category, description = excluded.description, quantity = excluded.quantity,
            amount = excluded.amount, cost = excluded.cost, currency = excluded.currency
        RETURNING order_id, CASE WHEN known.xmax = 0 THEN 'new' ELSE 'changed' END AS fate
    ), whole AS (
        SELECT order_id FROM line WHERE is_by_content AND :has_whole_orders
        GROUP BY order_id HAVING bool_or(amount <> 0)
    ), gone AS (
        DELETE FROM purchase p USING whole
        WHERE p.order_id = whole.order_id AND p.line_key ~ '^[0-9a-f]{16}-[0-9]+$'
          AND NOT EXISTS (SELECT FROM line WHERE line.order_id = p.order_id AND line.line_key = p.line_key)
        RETURNING p.order_id, 'gone' AS fate
    ), per_order AS (
        SELECT count(*) FILTER (WHERE fate = 'new') AS new, count(*) FILTER (WHERE fate = 'changed') AS changed,
               count(*) FILTER (WHERE fate = 'gone') AS gone
        FROM (SELECT * FROM written UNION ALL SELECT * FROM gone) fates
        GROUP BY order_id
    )
    SELECT CAST(coalesce(sum(new - least(new, gone)), 0) AS bigint),
           CAST(coalesce(sum(changed + least(new, gone)), 0) AS bigint),
           CAST(coalesce(sum(gone - least(new, gone)), 0) AS bigint)
    FROM per_order
"""
