"""The workspace `clarion init` makes: small, complete, and valid as it is."""

import csv
import random
from datetime import date, timedelta
from importlib import resources
from pathlib import Path
from typing import Final

from core.errors import UsageError
from core.workspace import SETTINGS_FILE

_SEED: Final = 20
_CUSTOMERS: Final = 60
_FIRST_NAMES: Final = (
    "Ada",
    "Ben",
    "Chloé",
    "Dilek",
    "Emil",
    "Fatima",
    "Grace",
    "Henrik",
    "Ines",
    "Jörg",
    "伟",
    "Lena",
)
_LAST_NAMES: Final = (
    "Arnold",
    "Brown",
    "Çelik",
    "Dubois",
    "Eriksen",
    "Fischer",
    "Garcia",
    "Huber",
    "王",
    "Jansen",
)
_TRADES: Final = ("Law", "Dental", "Architects", "Logistics", "School", "Bakery", "Consulting", "Printing")
_PLACES: Final = (
    ("DE", "de", "Europe/Berlin"),
    ("GB", "en", "Europe/London"),
    ("FR", "fr", "Europe/Paris"),
    ("US", "en", "America/New_York"),
    ("CN", "zh", "Asia/Shanghai"),
)
_PRODUCTS: Final = (
    ("Copy paper A4", "paper", 24.90),
    ("Toner black", "ink", 79.00),
    ("Desk chair", "furniture", 189.00),
    ("Ball pens, box", "writing", 12.50),
    ("Ring binders, 10", "filing", 21.00),
)

#: What the public pages order, in words that fit every workspace.
LETTERS: Final = ("confirm-sign-up.html", "your-link.html")


def make(folder: Path, today: date) -> list[str]:
    """`folder` holds a ready workspace with sample customers; the names of its files are returned, sorted.

    The same sample comes out for the same day.

    Raises:
        UsageError: the folder already holds a workspace; nothing was changed.
    """
    if (folder / SETTINGS_FILE).exists():
        raise UsageError(f"{folder} already holds a workspace", hint="name another folder")
    source = resources.files(__package__) / "files"
    _copy(Path(str(source)), folder)
    _write_sample(folder / "sample", today)
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def copy_letters(folder: Path) -> None:
    """`folder` holds the letters that the public pages order. What they look like its `layouts/notice.html` says."""
    source = resources.files(__package__) / "files" / "templates"
    for name in LETTERS:
        (folder / name).write_bytes((source / name).read_bytes())


def _copy(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        if path.is_dir():
            _copy(path, target / path.name)
        elif path.suffix != ".pyc":
            name = ".gitignore" if path.name == "gitignore.txt" else path.name
            (target / name).write_bytes(path.read_bytes())


def _write_sample(folder: Path, today: date) -> None:
    dice = random.Random(_SEED)  # noqa: S311  a sample, not a secret
    folder.mkdir(parents=True, exist_ok=True)
    customers = [_customer(dice, number) for number in range(1, _CUSTOMERS + 1)]
    _write(folder / "customers.csv", customers)
    _write(folder / "purchases.csv", [row for customer in customers for row in _purchases(dice, customer, today)])
    agreed = [customer for customer in customers if dice.random() < 0.85]
    day = today - timedelta(days=400)
    _write(
        folder / "consents.csv",
        [
            {
                "customer": row["customer"],
                "topic": "promotions",
                "state": "granted",
                "basis": "consent",
                "source": "web form",
                "captured_at": day.isoformat(),
            }
            for row in agreed
        ],
    )


def _customer(dice: random.Random, number: int) -> dict[str, str]:
    first, last = dice.choice(_FIRST_NAMES), dice.choice(_LAST_NAMES)
    country, language, zone = dice.choice(_PLACES)
    return {
        "customer": f"K{number:03}",
        "email": f"buyer{number}@firm{number}.example",
        "first_name": first,
        "last_name": last,
        "company": f"{last} {dice.choice(_TRADES)}",
        "country": country,
        "language": language,
        "zone": zone,
        "employees": str(dice.choice((3, 8, 20, 75, 300))),
    }


def _purchases(dice: random.Random, customer: dict[str, str], today: date) -> list[dict[str, str]]:
    """Few customers order much and often, most little and seldom, some nothing."""
    rows: list[dict[str, str]] = []
    for order in range(int(dice.paretovariate(0.9)) % 30 if dice.random() < 0.9 else 0):
        day = today - timedelta(days=int(dice.triangular(1, 700, 40)))
        for line in range(dice.randint(1, 3)):
            product, category, price = dice.choice(_PRODUCTS)
            rows.append(
                {
                    "order": f"{customer['customer']}-{order + 1}",
                    "line": str(line + 1),
                    "customer": customer["customer"],
                    "ordered_at": f"{day.isoformat()} {dice.randint(8, 17):02}:{dice.randint(0, 59):02}",
                    "product": product,
                    "category": category,
                    "quantity": str(dice.randint(1, 12)),
                    "unit_price": f"{price:.2f}",
                    "currency": "EUR",
                }
            )
    return rows


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
