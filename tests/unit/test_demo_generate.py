"""The demo's generated dealer: repeatable, and distributed as in real trade."""

import csv
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from core.addresses import parse_address
from core.errors import AddressError
from demo.generate import FILES, GONE, generate
from demo.places import PLACES, plain

TODAY = date(2026, 3, 2)
Row = dict[str, str]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Row]]:
    """The rows of the five files for 2,000 firms."""
    folder = tmp_path_factory.mktemp("generated")
    generate(folder, today=TODAY, customers=2_000)
    return {name: _rows(folder / f"{name}.csv") for name in FILES}


def _rows(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_generate_repeats_itself(tmp_path: Path) -> None:
    """
    The same seed and day write the same bytes; another seed writes others.
    """
    folders = [tmp_path / name for name in ("first", "again", "other")]
    for folder, seed in zip(folders, (1, 1, 2), strict=True):
        generate(folder, today=TODAY, customers=100, seed=seed)
    first, again, other = ([(folder / f"{name}.csv").read_bytes() for name in FILES] for folder in folders)

    assert first == again
    assert first != other


def test_generate_counts_what_it_writes(tmp_path: Path) -> None:
    """
    The numbers that are returned are the rows of the files.
    """
    counts = generate(tmp_path, today=TODAY, customers=100)
    written = {name: len(_rows(tmp_path / f"{name}.csv")) for name in FILES}

    assert counts == written
    assert 100 == counts["customers"]


def test_generate_lets_a_fifth_bring_four_fifths(tables: dict[str, list[Row]]) -> None:
    """
    The best fifth of the buyers brings between 70 and 90 % of the revenue.
    """
    revenue: Counter[str] = Counter()
    for row in tables["purchases"]:
        revenue[row["external_id"]] += round(float(row["quantity"]) * float(row["unit_price"]) * 100)
    ranked = sorted(revenue.values(), reverse=True)

    assert 0.70 <= sum(ranked[: len(ranked) // 5]) / sum(ranked) <= 0.90


def test_generate_ends_before_today(tables: dict[str, list[Row]]) -> None:
    """
    Nothing happens on the demo's own day, and two years lie between the first order and the last.
    """
    days = sorted(datetime.fromisoformat(row["ordered_at"]) for row in tables["purchases"])

    assert days[-1] < datetime(2026, 3, 2, tzinfo=UTC)
    assert 600 <= (days[-1] - days[0]).days <= 730


def test_generate_orders_on_working_days(tables: dict[str, list[Row]]) -> None:
    """
    Hardly any order is placed on a weekend.
    """
    days = [datetime.fromisoformat(row["ordered_at"]).weekday() for row in tables["purchases"]]

    assert sum(day > 4 for day in days) / len(days) < 0.05


def test_generate_writes_people_of_many_languages(tables: dict[str, list[Row]]) -> None:
    """
    Every country has customers, and names keep their own letters.
    """
    countries = Counter(row["country"] for row in tables["customers"])

    assert set(countries) == {place.country for place in PLACES}
    assert any(row["last_name"] == "王" for row in tables["customers"])


def test_generate_has_the_flaws_of_real_lists(tables: dict[str, list[Row]]) -> None:
    """
    Some firms have no address, a broken one, one they share, or one that is gone; the others are good.
    """
    emails = [row["email"] for row in tables["customers"]]
    broken = [email for email in emails if email and not _is_address(email)]
    shared = [email for email, count in Counter(emails).items() if email and count > 1]

    assert 0 < emails.count("") < 100
    assert all("(at)" in email for email in broken)
    assert 0 < len(broken) < 30
    assert 0 < len(shared) < 60
    assert any(email.startswith(GONE) for email in emails)


def _is_address(text: str) -> bool:
    try:
        parse_address(text)
    except AddressError:
        return False
    return True


def test_generate_has_opt_outs_of_several_kinds(tables: dict[str, list[Row]]) -> None:
    """
    Withdrawn consents, and suppressions of each scope and reason, are there.
    """
    assert "withdrawn" in {row["state"] for row in tables["consents"]}
    assert {"unsubscribed", "hard_bounce"} <= {row["reason"] for row in tables["suppressions"]}


def test_generate_takes_goods_back(tables: dict[str, list[Row]]) -> None:
    """
    A returned line belongs to the order it was bought in, and comes later.
    """
    bought = {(row["order_id"], row["line_number"]): row for row in tables["purchases"]}
    returned = [row for row in tables["purchases"] if float(row["quantity"]) < 0]

    assert returned
    for row in returned:
        original = bought[row["order_id"], str(int(row["line_number"]) - 10)]
        assert original["ordered_at"] < row["ordered_at"]
        assert float(original["quantity"]) == -float(row["quantity"])


@pytest.mark.parametrize(
    ("name", "german", "expected"),
    [
        ("Größmann", True, "groessmann"),
        ("Łukasz", False, "lukasz"),
        ("王", False, "wang"),
        ("O'Neill", False, "oneill"),
    ],
)
def test_plain_spells_names_for_domains(name: str, german: bool, expected: str) -> None:
    """
    Any name of the lists has a spelling in plain letters.
    """
    assert expected == plain(name, german=german)
