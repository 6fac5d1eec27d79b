"""The fields an expression may name, and the levels each tier field knows."""

from dataclasses import dataclass
from typing import Final

from segments.tree import Type


@dataclass(frozen=True, slots=True)
class Field:
    """A column of `customer` or `customer_metrics`. `levels`: every value there can be; empty: any."""

    name: str
    type: Type
    table: str
    column: str
    meaning: str
    levels: tuple[str, ...] = ()


def _customer(name: str, meaning: str, type_: Type = Type.TEXT) -> Field:
    return Field(name, type_, "customer", name, meaning)


def _metric(name: str, type_: Type, meaning: str, *, column: str | None = None, levels: tuple[str, ...] = ()) -> Field:
    return Field(name, type_, "customer_metrics", column or name, meaning, levels)


PYRAMID_LEVELS: Final = ("top", "big", "medium", "small", "inactive", "prospect", "suspect")
RFM_LEVELS: Final = (
    "champions",
    "loyal_customers",
    "potential_loyalists",
    "new_customers",
    "promising",
    "need_attention",
    "about_to_sleep",
    "cant_loose",
    "at_risk",
    "hibernating",
)
ABC_LEVELS: Final = ("A", "B", "C")
QUADRANT_LEVELS: Final = ("A", "B", "C", "D", "E")

FIELDS: Final = {
    field.name: field
    for field in (
        _customer("external_id", "the key in the system the customer came from"),
        _customer("email", "the e-mail address"),
        _customer("first_name", "first name"),
        _customer("last_name", "last name"),
        _customer("company", "company"),
        _customer("phone", "telephone number"),
        _customer("country", "country, two letters where known"),
        _customer("language", "language, such as `de` or `en-GB`"),
        _customer("zone", "time zone, such as `Europe/Berlin`"),
        _customer("owner", "the employee a key customer belongs to"),
        _customer("source", "where the customer came from, such as a file's name"),
        _customer("created_at", "when the customer came into Clarion", Type.INSTANT),
        _metric("tier", Type.TEXT, "level of the pyramid", column="pyramid", levels=PYRAMID_LEVELS),
        _metric("abc", Type.TEXT, "class by share of revenue", levels=ABC_LEVELS),
        _metric("rfm", Type.TEXT, "named group of the recency and frequency scores", levels=RFM_LEVELS),
        _metric("quadrant", Type.TEXT, "order value × order frequency", levels=QUADRANT_LEVELS),
        _metric("recency_score", Type.NUMBER, "1–5, 5: bought most recently"),
        _metric("frequency_score", Type.NUMBER, "1–5, 5: bought most often"),
        _metric("monetary_score", Type.NUMBER, "1–5, 5: spent most"),
        _metric("order_count", Type.NUMBER, "number of orders"),
        _metric("monetary", Type.NUMBER, "money spent, net of returns"),
        _metric("gross_profit", Type.NUMBER, "money spent less what the goods cost us"),
        _metric("average_order_value", Type.NUMBER, "money spent per order"),
        _metric("first_order_at", Type.INSTANT, "when the first order came"),
        _metric("last_order_at", Type.INSTANT, "when the last order came"),
        _metric(
            "recency_days",
            Type.NUMBER,
            "whole days since the last order, to the minute",
            column="last_order_at",
        ),
    )
}
