"""What the audience ordered, as the file the shop would hand over."""

import csv
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from random import Random

from demo.audience import Order
from demo.goods import BY_CATEGORY


def write_orders(path: Path, orders: Iterable[Order], customers: Path, *, seed: int) -> int:
    """The orders are in a CSV file that `clarion import purchases` reads; returns their number.

    `customers` is the file the firms were imported from. Somebody who shares an address cannot be told apart
    from the others there, so their order is left out.
    """
    keys = _keys_by_address(customers)
    rows = [row for order in orders if (key := keys.get(order.recipient)) for row in _order(order, key, seed)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("order_id", "line_number", "external_id", "ordered_at", "product", "category",
                         "description", "quantity", "unit_price", "unit_cost", "currency"))  # fmt: skip
        writer.writerows(rows)
    return len({row[0] for row in rows})


def _keys_by_address(customers: Path) -> dict[str, str]:
    with customers.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    counts = Counter(row["email"] for row in rows)
    return {row["email"]: row["external_id"] for row in rows if row["email"] and counts[row["email"]] == 1}


def _order(order: Order, key: str, seed: int) -> list[tuple[object, ...]]:
    random = Random(f"{seed}:order:{order.recipient}")  # noqa: S311  a sample, not a secret
    number = f"W{order.at:%y%m%d%H%M}-{key}"
    chosen = [random.choice(BY_CATEGORY[category]) for category in random.choice((("paper",), ("toner", "paper")))]
    return [
        (number, line, key, order.at.isoformat(), product.number, product.category, product.name,
         product.pack * random.choice((1, 1, 2, 3)), f"{product.price:.2f}", f"{product.cost:.2f}", "EUR")
        for line, product in enumerate(chosen, start=1)
    ]  # fmt: skip
