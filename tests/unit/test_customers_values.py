"""What cells mean, and that nothing is guessed."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from customers.importing.countries import country_code
from customers.importing.line_money import LineMoney, is_reversed, line_money
from customers.importing.values import Formats, Rejected, clean_key, instant_reader, number_reader, one_line

D = Decimal


@pytest.mark.parametrize(
    ("text", "decimal", "expected"),
    [
        ("12", None, "12"), ("-1.5", None, "-1.5"), ("0.125", None, "0.125"), (" 2.55 ", None, "2.55"),
        ("1.23456", None, "1.23456"), ("1e3", None, "1000"), (".5", None, "0.5"),
        ("1,234.56", "point", "1234.56"), ("1.234", "point", "1.234"), ("1,234", "point", "1234"),
        ("1.234,56", "comma", "1234.56"), ("1.234", "comma", "1234"), ("12,5", "comma", "12.5"),
        ("1 234,5", "comma", "1234.5"), ("-7", "comma", "-7"),
    ],
)  # fmt: skip
def test_number_is_read_as_the_formats_say(text: str, decimal: Any, expected: str) -> None:
    """
    Decimal sign and grouping follow the option; plain numbers need none.
    """
    assert D(expected) == number_reader(Formats(decimal=decimal))(text)


@pytest.mark.parametrize(
    ("text", "decimal", "words"),
    [
        ("1.234,56", None, "--decimal"), ("1,5", None, "--decimal"), ("1.234", None, "grouped thousands"),
        ("1.234.567", None, "grouped thousands"), ("abc", None, "not a number"), ("NaN", None, "not a number"),
        ("Infinity", None, "not a number"), ("", None, "not a number"), ("12.5", "comma", "decimal comma"),
        ("1,23.4", "point", "decimal point"), ("1e20", None, "too large"), (",", "comma", "decimal comma"),
    ],
)  # fmt: skip
def test_number_that_can_be_read_two_ways_is_rejected(text: str, decimal: Any, words: str) -> None:
    """
    What is no number, or two numbers, is rejected with the option that would decide it.
    """
    with pytest.raises(Rejected, match=words):
        number_reader(Formats(decimal=decimal))(text)


@pytest.mark.parametrize(
    ("text", "dates", "expected"),
    [
        ("2010-12-01 08:26:00", None, datetime(2010, 12, 1, 7, 26, tzinfo=UTC)),
        ("2010-12-01", None, datetime(2010, 11, 30, 23, 0, tzinfo=UTC)),
        ("20101201", None, datetime(2010, 11, 30, 23, 0, tzinfo=UTC)),
        ("2010-12-01T08:26:00Z", None, datetime(2010, 12, 1, 8, 26, tzinfo=UTC)),
        ("2010-12-01T08:26+08:00", None, datetime(2010, 12, 1, 0, 26, tzinfo=UTC)),
        ("2010/12/1 8:26", None, datetime(2010, 12, 1, 7, 26, tzinfo=UTC)),
        ("2010年12月1日", None, datetime(2010, 11, 30, 23, 0, tzinfo=UTC)),
        ("1.12.2010 08:26", None, datetime(2010, 12, 1, 7, 26, tzinfo=UTC)),
        ("12/1/2010 8:26", "mdy", datetime(2010, 12, 1, 7, 26, tzinfo=UTC)),
        ("1/12/2010 8:26 PM", "dmy", datetime(2010, 12, 1, 19, 26, tzinfo=UTC)),
        ("1/12/2010 12:05 am", "dmy", datetime(2010, 11, 30, 23, 5, tzinfo=UTC)),
        ("2010-07-01 12:00", None, datetime(2010, 7, 1, 10, 0, tzinfo=UTC)),
    ],
)
def test_instant_is_read_in_the_organisation_zone(text: str, dates: Any, expected: datetime) -> None:
    """
    Common forms are understood; times without offset are local, with summer time.
    """
    assert expected == instant_reader(Formats("Europe/Berlin", dates=dates))(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("3/4/2026", "--dates"), ("soon", "not a date"), ("2026-02-30", "not a date"), ("31.2.2026", "not a date"),
        ("2026-01-01 25:00", "not a date"), ("45000", "not a date"),
    ],
)  # fmt: skip
def test_instant_that_is_unclear_is_rejected(text: str, words: str) -> None:
    """
    Day and month are never guessed, and impossible dates are named.
    """
    with pytest.raises(Rejected, match=words):
        instant_reader(Formats())(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("17850.0", "17850"), ("17850.00", "17850"), ("0170", "0170"), ("A1.0", "A1.0"), ("1.50", "1.50"), ("", "")],
)
def test_key_loses_the_fraction_of_data_frames(text: str, expected: str) -> None:
    """
    Only a whole number written as a float is cleaned; leading zeros stay.
    """
    assert expected == clean_key(text)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"quantity": 6, "unit_price": "2.55"}, (6, "15.30", None)),
        ({"quantity": -1, "unit_price": "27.5"}, (-1, "-27.5", None)),
        ({"quantity": 2, "unit_price": "3", "is_cancelled": True}, (-2, "-6", None)),
        ({"quantity": 2, "amount": "9.99"}, (2, "9.99", None)),
        ({"quantity": -2, "amount": "9.99"}, (-2, "-9.99", None)),
        ({"quantity": -2, "amount": "-9.99", "cost": "4"}, (-2, "-9.99", "-4")),
        ({"quantity": None, "amount": "9.99", "cost": "4"}, (1, "9.99", "4")),
        ({"quantity": None, "amount": "-9.99", "cost": "4"}, (-1, "-9.99", "-4")),
        ({"quantity": 1, "amount": "-5"}, (1, "-5", None)),  # a discount is no return
        ({"quantity": 3, "unit_price": "2", "unit_cost": "1.5"}, (3, "6", "4.5")),
        ({"quantity": -3, "unit_price": "2", "unit_cost": "1.5"}, (-3, "-6", "-4.5")),
        ({"quantity": 3, "unit_price": "0.33333"}, (3, "1.0000", None)),
    ],
)
def test_line_money_counts_returns_as_negative(given: dict[str, Any], expected: tuple[Any, ...]) -> None:
    """
    Quantity, amount and cost of returns and cancelled lines are negative, exactly.
    """
    figures = {name: D(value) if isinstance(value, str | int) and not isinstance(value, bool) else value
               for name, value in given.items()}  # fmt: skip
    quantity, amount, cost = expected

    assert LineMoney(D(quantity), D(amount), None if cost is None else D(cost)) == line_money(**figures)


def test_line_money_needs_an_amount_or_its_factors() -> None:
    """
    A line without amount and without unit price is rejected.
    """
    with pytest.raises(Rejected, match="no amount"):
        line_money(D(1))


@pytest.mark.parametrize("status", ["Cancelled", "returned", "STORNIERT", "已取消"])
def test_status_says_that_goods_came_back(status: str) -> None:
    """
    The words of shops for cancelled and returned lines are known.
    """
    assert is_reversed(status)


def test_country_becomes_its_code_where_known() -> None:
    """
    English, German and Chinese names become the ISO code; unknown ones stay.
    """
    names = ["United Kingdom", "EIRE", "Deutschland", "德国", "us", "Channel Islands", ""]

    assert ["GB", "IE", "DE", "DE", "US", "Channel Islands", ""] == [country_code(name) for name in names]


def test_one_line_joins_what_was_broken() -> None:
    """
    Line breaks cannot reach a mail header through a name.
    """
    assert "Ann B. C" == one_line(" Ann\r\nB.\t C ")
