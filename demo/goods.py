"""What the demo's dealer sells."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Product:
    """One article. `price` and `cost` are in euros for one unit; `pack` is the usual number ordered."""

    number: str
    name: str
    category: str
    price: float
    cost: float
    pack: int


def _listed(category: str, *articles: tuple[str, str, float, float, int]) -> tuple[Product, ...]:
    return tuple(Product(number, name, category, price, cost, pack) for number, name, price, cost, pack in articles)


PRODUCTS: Final = (
    *_listed(
        "paper",
        ("PA-080", "Copy paper A4 80 g, box of 5 reams", 24.90, 18.60, 4),
        ("PA-090", "Laser paper A4 90 g, box of 5 reams", 31.50, 23.40, 3),
        ("PA-100", "Recycled paper A4, box of 5 reams", 22.40, 17.10, 4),
        ("PA-A3", "Copy paper A3 80 g, 3 reams", 29.80, 21.90, 2),
    ),
    *_listed(
        "toner",
        ("TO-BK", "Toner black, 3,000 pages", 68.00, 41.00, 2),
        ("TO-CMY", "Toner set colour", 189.00, 121.00, 1),
        ("TO-XL", "Toner black XL, 12,000 pages", 149.00, 92.00, 1),
    ),
    *_listed(
        "writing",
        ("WR-GEL", "Gel pens blue, pack of 12", 14.20, 6.30, 3),
        ("WR-MRK", "Board markers, set of 4", 8.90, 3.80, 4),
        ("WR-HIL", "Highlighters, set of 6", 6.50, 2.70, 4),
    ),
    *_listed(
        "filing",
        ("FI-BND", "Lever arch files, box of 10", 27.50, 15.20, 2),
        ("FI-POC", "Punched pockets, 500", 19.90, 10.10, 2),
        ("FI-SUS", "Suspension files, 25", 23.00, 12.60, 1),
    ),
    *_listed(
        "furniture",
        ("FU-CHR", "Office chair Aria", 289.00, 176.00, 1),
        ("FU-DSK", "Desk 160 × 80, height adjustable", 469.00, 302.00, 1),
        ("FU-LMP", "Desk lamp LED", 54.00, 27.00, 2),
    ),
    *_listed(
        "kitchen",
        ("KI-COF", "Coffee beans, 6 kg", 79.00, 52.00, 1),
        ("KI-CUP", "Paper cups, 1,000", 46.00, 26.00, 1),
    ),
    *_listed(
        "technology",
        ("TE-KEY", "Keyboard and mouse, wireless", 42.00, 25.00, 2),
        ("TE-HEA", "Headset with microphone", 89.00, 54.00, 2),
        ("TE-SHR", "Shredder P-4", 159.00, 101.00, 1),
    ),
)
CATEGORIES: Final = tuple(dict.fromkeys(product.category for product in PRODUCTS))
BY_CATEGORY: Final = {
    category: tuple(product for product in PRODUCTS if product.category == category) for category in CATEGORIES
}
#: How likely a line of an order, or a visit, is about a category.
CATEGORY_WEIGHTS: Final = dict(zip(CATEGORIES, (0.30, 0.17, 0.14, 0.13, 0.07, 0.10, 0.09), strict=True))
