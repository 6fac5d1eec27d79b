"""Errors, names, ids and clocks: the small parts every room uses."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from core.clock import SteppedClock, SystemClock
from core.commands import print_json, print_table
from core.errors import ConfigError, EngineError, Problem, StalePlan
from core.ids import address_key, keyed_hash
from core.names import did_you_mean, near_miss


def test_error_text_has_place_message_and_hint():
    """
    The text of an error is `where: what`, then the hint on a line of its own.
    """
    assert "a.yaml:3: wrong\nhint: mend it" == str(EngineError("wrong", hint="mend it", where="a.yaml:3"))


def test_error_without_message_says_its_own_sentence():
    """
    The docstring of an error class is what it says when nothing else is given.
    """
    assert "The plan no longer describes what would happen; nothing was sent." == str(StalePlan())


def test_config_error_lists_every_problem_in_order():
    """
    All problems of the files come in one error, sorted by file and line.
    """
    later, first = Problem("b.yaml", 2, "second"), Problem("a.yaml", 9, "first", hint="look", excerpt="x\n^")

    assert "a.yaml:9: first\n    x\n    ^\n    hint: look\nb.yaml:2: second" == str(
        ConfigError(problems=[later, first])
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("promotion", "did you mean 'promotions'?"),
        ("zzz", "known: events, news, promotions"),
    ],
)
def test_unknown_name_gets_a_near_miss_or_the_names_there_are(name, expected):
    """
    A close name is suggested; without one, the known names are listed.
    """
    assert expected == did_you_mean(name, {"news", "promotions", "events"})


def test_hint_lists_at_most_the_limit():
    """
    A long list of names is cut, and says so.
    """
    assert "known: a, b, …" == did_you_mean("zzz", ["a", "b", "c"], limit=2)
    assert "there are none yet" == did_you_mean("zzz", [])
    assert near_miss("zzz", []) is None


def test_keyed_hash_differs_by_secret_and_purpose():
    """
    A hash for one purpose says nothing about another, nor about other installations.
    """
    hashes = {keyed_hash(secret, purpose, b"x") for secret in (b"s", b"t") for purpose in ("address", "token")}

    assert 4 == len(hashes)


def test_address_key_is_stable():
    """
    The key of an address never changes for one secret: opt-outs are found by it for ever.
    """
    assert "2c6e8006-eb44-ec22-edbb-2f164ca6264b" == str(address_key(b"0" * 32, "ada@paper.example"))


def test_system_clock_is_aware_and_in_utc():
    """
    Instants carry their zone, which is UTC.
    """
    assert timedelta(0) == SystemClock().now().utcoffset()


def test_stepped_clock_moves_only_when_told():
    """
    Tests and simulations decide what time it is.
    """
    clock = SteppedClock(datetime(2026, 3, 2, tzinfo=UTC))
    clock.step(timedelta(days=1))

    assert datetime(2026, 3, 3, tzinfo=UTC) == clock.now() == clock.now()


def test_table_aligns_numbers_right_and_texts_left(capsys):
    """
    Numbers are grouped and right-aligned; wide characters take two places; nothing is shown as a dash.
    """
    print_table([{"level": "top", "customers": 1200}, {"level": "中文", "customers": None}])

    assert "level  customers\n─────  ─────────\ntop        1,200\n中文           –\n" == capsys.readouterr().out


def test_no_rows_are_said_to_be_none(capsys):
    """
    An empty table is not an empty screen.
    """
    print_table([])

    assert "(none)\n" == capsys.readouterr().out


def test_json_has_plain_values(capsys):
    """
    Decimals become numbers and instants ISO 8601, in one document.
    """
    print_json({"revenue": Decimal("1.50"), "count": Decimal("2.00"), "at": datetime(2026, 3, 2, tzinfo=UTC)})

    assert '{\n  "revenue": 1.5,\n  "count": 2,\n  "at": "2026-03-02T00:00:00+00:00"\n}\n' == capsys.readouterr().out
