"""Rates, plans, routes and domains in `clarion.yaml`: what is read, what is refused, and the examples of the page."""

import re
from datetime import date
from pathlib import Path

import pytest

from core.errors import ConfigError
from core.settings import Settings, Transport
from core.transport_settings import parse_rate
from core.units import Unfit
from core.workspace import checked_settings
from core.yaml_files import Document, parse_document
from delivery.breaker import FIRST_PAUSE, FIRST_PAUSE_TO_MEND, LONGEST_PAUSE
from tests.conftest import MINIMAL_SETTINGS

PAGE = (Path(__file__).parents[2] / "docs" / "transports.md").read_text(encoding="utf-8")
EXAMPLES = [
    block
    for block in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    if re.search(r"rate:|warm_up:|routes:", block)
]
ROUTES = "routes: {{road: {{main: 2}}}}\n"


@pytest.mark.parametrize(
    ("text", "per_s"), [("100/s", 100), ("6000/min", 100), ("1800/h", 0.5), ("86400/day", 1), (" 2.5 / s ", 2.5)]
)
def test_rate_is_read_in_messages_a_second(text, per_s):
    """
    A number and a period.
    """
    assert per_s == parse_rate(text)


@pytest.mark.parametrize("value", ["100", 100, 5.0, "0/s", "-1/s", "1/week", "1e3/s", "", None, "2000000/s", "0.5/day"])
def test_rate_that_is_none_is_refused(value):
    """
    Anything else is refused with examples, as is less than one message a day.
    """
    with pytest.raises(Unfit, match="a rate such as '100/s'"):
        parse_rate(value)


def _settings(text: str) -> Settings | None:
    settings, document = checked_settings(parse_document(text, Document("clarion.yaml")))
    if document.problems:
        raise ConfigError(problems=document.problems)
    return settings


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_of_the_page_is_read(example):
    """
    Each example is part of a whole file.
    """
    base = re.sub(
        r"transports:\n  main: .*\n", "", MINIMAL_SETTINGS.format(database="embedded", broker="embedded", smtp_port=25)
    )

    assert _settings(base + example) is not None


def test_page_tells_the_pauses_of_the_breaker():
    """
    The table of pauses says what the code does.
    """
    assert 3 == len(EXAMPLES)
    assert f"| {FIRST_PAUSE_TO_MEND.seconds // 60} minute, 2, 4 … at most {LONGEST_PAUSE.seconds // 60} |" in PAGE
    assert f"| {FIRST_PAUSE.seconds} seconds, 30 … at most {LONGEST_PAUSE.seconds // 60} minutes |" in PAGE


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("connections: 4", "connections: 4, rate: 100", "transports.main.rate: got 100, expected a rate such as"),
        ("connections: 4", "connections: 4, warm_up: {{daily: [5]}}", "transports.main.warm_up.start is missing"),
        ("connections: 4", "connections: 4, warm_up: {{start: 2026-12-01, daily: []}}", "warm_up.daily is wrong"),
        ("topics:", "domains: {{gmail: {{rate: 5/s}}}}\ntopics:", "expected a domain such as 'gmail.com'"),
        (
            "topics:",
            "domains: {{gmail.com: {{rate: fast}}}}\ntopics:",
            "domains.gmail.com.rate: got 'fast', expected a rate",
        ),
        ("topics:", "domains: {{gmail.com: {{speed: 5/s}}}}\ntopics:", "unknown key 'speed' in domains"),
        ("topics:", "routes: {{road: {{main: 0}}}}\ntopics:", "road.main: got 0, expected a whole number from 1"),
        ("topics:", "routes: {{road: {{}}}}\ntopics:", "routes.road is wrong (got {}, expected at least 1 entry)"),
        ("topics:", "routes: {{road: {{mian: 1}}}}\ntopics:", "road names no transport 'mian'"),
        ("topics:", "routes: {{main: {{main: 1}}}}\ntopics:", "'main' is a transport already"),
        ("topics:", "routes: {{road: {{main: standby}}}}\ntopics:", "road has only transports on standby"),
    ],
)
def test_mistake_is_explained(old, new, message):
    """
    Each mistake is located and told with what was expected.
    """
    text = MINIMAL_SETTINGS.replace(old, new, 1).format(database="embedded", broker="embedded", smtp_port=25)
    with pytest.raises(ConfigError) as caught:
        _settings(text)

    assert message in str(caught.value)
    assert "clarion.yaml:" in str(caught.value)


def test_every_mistake_of_the_routes_is_told_at_once():
    """
    One look shows all of them.
    """
    wrong = "routes: {{main: {{nowhere: 1}}, idle: {{main: standby}}}}\n"
    with pytest.raises(ConfigError) as caught:
        _settings((MINIMAL_SETTINGS + wrong).format(database="embedded", broker="embedded", smtp_port=25))

    assert all(
        part in str(caught.value)
        for part in ("a transport already", "no transport 'nowhere'", "only transports on standby")
    )


def test_default_way_is_the_route_of_that_name_or_the_first_transport():
    """
    A campaign that names nothing takes `default`, if there is such a route.
    """
    given = {"database": "embedded", "broker": "embedded", "smtp_port": 25}
    plain = _settings((MINIMAL_SETTINGS + ROUTES).format(**given))
    routed = _settings((MINIMAL_SETTINGS + ROUTES.replace("road", "default")).format(**given))

    assert ("main", "default") == (plain.default_way, routed.default_way)


def test_domain_is_written_in_any_spelling():
    """
    Domains are compared as A-labels in lower case.
    """
    text = (
        MINIMAL_SETTINGS
        + 'domains: {{Gmail.COM: {{rate: 5/s}}, "bücher.example": {{rate: 60/min}}, "*": {{rate: 1/h}}}}\n'
    )
    settings = _settings(text.format(database="embedded", broker="embedded", smtp_port=25))

    assert {"gmail.com", "xn--bcher-kva.example", "*"} == set(settings.domains)


def test_plan_says_how_many_may_go_each_day():
    """
    Before the first day none, after the last one any number; a domain without a plan of its own has no limit.
    """
    plan = {"start": "2026-12-01", "daily": [200, 400], "domains": {"gmail.com": [50]}}
    warm_up = Transport.model_validate({"url": "smtp://127.0.0.1", "warm_up": plan}).warm_up

    days = [date(2026, 11, 30), date(2026, 12, 1), date(2026, 12, 2), date(2026, 12, 3)]
    assert [0, 200, 400, None] == [warm_up.allowed(day) for day in days]
    assert [0, 50, None, None] == [warm_up.allowed(day, "gmail.com") for day in days]
    assert [None] * 4 == [warm_up.allowed(day, "other.example") for day in days]
