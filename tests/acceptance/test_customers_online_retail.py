"""Half a million real invoice lines: counts, sums and the published RFM table, to the cent."""

import csv
import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from core.database import Database
from core.settings import Tiers
from core.workspace import Workspace
from customers.importing.files import How, import_file
from customers.importing.importer import NewCustomers
from customers.tiers import count_levels

FOLDER = Path(__file__).parents[3] / "shared/data/online_retail"
AS_OF = datetime(2011, 12, 11, tzinfo=UTC)

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not FOLDER.is_dir(), reason="the data sets are not beside the repository"),
]


def published() -> dict[str, Any]:
    text_of = (FOLDER / "published.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text_of, parse_float=Decimal)
    return document


def write_parts(folder: Path) -> tuple[Path, Path, Decimal]:
    """The cleaned lines, the lines with price zero, and the net revenue of everybody with a customer id."""
    clean, free, net = folder / "clean.csv", folder / "free.csv", Decimal(0)
    with (
        gzip.open(FOLDER / "online_retail.csv.gz", "rt", encoding="utf-8", newline="") as raw,
        clean.open("w", encoding="utf-8", newline="") as clean_file,
        free.open("w", encoding="utf-8", newline="") as free_file,
    ):
        rows = csv.reader(raw)
        header = next(rows)
        writers = csv.writer(clean_file), csv.writer(free_file)
        for writer in writers:
            writer.writerow(header)
        for row in rows:
            if not row[6]:
                continue
            quantity, price = int(row[3]), Decimal(row[5])
            net += quantity * price
            if quantity > 0 and not row[0].startswith("C"):
                writers[price == 0].writerow(row)
    return clean, free, net


class Shop:
    """The wholesaler's workspace on a fresh database."""

    def __init__(self, database: Database, workspace: Workspace, folder: Path) -> None:
        self.database, self.workspace, self.folder = database, workspace, folder

    def run(self, path: Path) -> tuple[int, int, int, int]:
        """(created, updated, unchanged, rejected) of importing `path`."""
        new = NewCustomers(wanted=True, email_pattern="c{customer}@customers.example")
        how = How(new_customers=new, rejects=self.folder / "rejects.csv")
        counts = import_file(self.database, self.workspace, "purchases", path, now=AS_OF, how=how).counts
        return counts.created, counts.updated, counts.unchanged, counts.rejected

    def totals(self) -> tuple[int, int, Decimal]:
        """(lines, customers, revenue) in the database."""
        count = text("SELECT count(*), count(DISTINCT customer_id), round(sum(amount), 2) FROM purchase")
        with self.database.begin() as connection:
            lines, customers, revenue = connection.execute(count).one()
        return lines, customers, revenue


@pytest.fixture
def shop(database: Database, make_workspace: Callable[..., Workspace], tmp_path: Path) -> Shop:
    return Shop(database, make_workspace(database=database), tmp_path)


def test_online_retail_gives_the_published_figures(shop: Shop) -> None:
    """
    The cleaned set has the published lines, customers and revenue; with the free lines the RFM table is the
    published one to six decimals.
    """
    clean, free, _ = write_parts(shop.folder)

    assert (397_884, 0, 0, 0) == shop.run(clean)
    assert (397_884, 4_338, Decimal("8911407.90")) == shop.totals()

    assert (40, 0, 0, 0) == shop.run(free)
    with shop.database.begin() as connection:
        levels = count_levels(connection, Tiers(), scheme="rfm")
    expected = published()["RFM_segments_published"]["table"]
    expected["champions"][3] = Decimal("6857.935482")  # the published source has one line of 18.00 more
    assert expected == {
        level.level: [level.customers, level.mean_recency, level.mean_frequency, level.mean_monetary]
        for level in levels
    }


@pytest.mark.slow
def test_online_retail_raw_adds_only_returns_to_the_cleaned_set(shop: Shop) -> None:
    """
    The raw file over the cleaned one creates the returns and cancelled lines, rejects the lines without a
    customer, and finds every other line unchanged; imported again it changes nothing.
    """
    clean, free, net = write_parts(shop.folder)
    shop.run(clean)
    shop.run(free)
    raw = FOLDER / "online_retail.csv.gz"

    assert (8_905, 0, 397_924, 135_080) == shop.run(raw)
    assert (406_829, 4_372, round(net, 2)) == shop.totals()
    assert (0, 0, 406_829, 135_080) == shop.run(raw)
