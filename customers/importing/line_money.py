"""What one order line is worth, returns and cancelled lines as negative, exact to the cent.

A line is negative when its quantity is (Online Retail's cancelled invoices, `C536379` with quantity -1, are such
lines), when its amount is and no quantity is given, or when its status says cancelled, returned or refunded. Then
quantity, amount and cost are negative, however the file wrote them.
"""

from decimal import Decimal
from typing import Final, NamedTuple

from customers.importing.values import Rejected, to_cents

_REVERSED: Final = frozenset(
    {"cancelled", "canceled", "cancelation", "cancellation", "returned", "return", "refunded", "refund",
     "storniert", "storno", "retoure", "retourniert", "gutschrift",
     "已取消", "取消", "已退货", "退货", "退款", "已退款"}
)  # fmt: skip


class LineMoney(NamedTuple):
    """Quantity, amount and cost of a line; cost is None when nothing is known of it."""

    quantity: Decimal
    amount: Decimal
    cost: Decimal | None


def is_reversed(status: str) -> bool:
    """Whether a status means that the goods did not stay with the customer."""
    return bool(status) and status.casefold() in _REVERSED


def line_money(
    quantity: Decimal | None,
    *,
    unit_price: Decimal | None = None,
    amount: Decimal | None = None,
    unit_cost: Decimal | None = None,
    cost: Decimal | None = None,
    is_cancelled: bool = False,
) -> LineMoney:
    """The line's figures from what the file gives of them. A given amount goes before quantity × unit price; a
    missing quantity is one.

    Raises:
        Rejected: there is neither an amount nor both a quantity and a unit price, or a figure is too large.
    """
    if amount is None:
        if quantity is None or unit_price is None:
            raise Rejected("no amount (expected an amount, or a quantity and a unit price)")
        amount = quantity * unit_price
        if is_cancelled and quantity > 0:
            amount = -amount
        is_return = is_cancelled or quantity < 0
    else:
        is_return = is_cancelled or (amount < 0 if quantity is None else quantity < 0)
        if is_return:
            amount = -abs(amount)
    count = Decimal(1) if quantity is None else to_cents(quantity)
    if cost is None and unit_cost is not None:
        cost = count * unit_cost
    if is_return:
        return LineMoney(-abs(count), to_cents(amount), None if cost is None else to_cents(-abs(cost)))
    return LineMoney(count, to_cents(amount), None if cost is None else to_cents(cost))
