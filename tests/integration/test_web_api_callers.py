"""Who may call the API, how often, and what everybody else is told."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from cli import clarion
from core import schema
from core.api_settings import ApiKey, hash_of
from core.clock import SteppedClock
from core.database import Database
from core.workspace import Workspace
from tests.api_calls import KEY, Api
from tests.event_pages import SETTINGS, EventPages, event_pages
from tests.public_pages import SETTINGS as WITHOUT_KEYS
from tests.public_pages import public_pages

ORDER = {"event": "paper-day", "key": "order-1", "attendees": [
    {"email": "ann@customers.example", "answers": {"last_name": "Ash", "meal": "Vegan"}},
    {"email": "bo@customers.example", "answers": {"last_name": "Birch", "meal": "Vegan"}},
    {"email": "cy@customers.example", "answers": {"last_name": "Cedar", "meal": "Vegan"}},
]}  # fmt: skip
ASKED = {"desk": "sales", "key": "chat-1", "subject": "Boxes", "email": "ann@customers.example"}


@pytest.fixture
def event(make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock) -> Iterator[EventPages]:
    """An event of two seats."""
    with event_pages(make_workspace, database, clock, settings=SETTINGS) as running:
        yield running


@pytest.fixture
def api(event: EventPages) -> Api:
    """The API."""
    return Api(event.pages)


def test_only_whoever_shows_a_key_for_it_is_let_in(api: Api) -> None:
    """
    401 without a key, 403 without its scope, JSON of one shape; nothing is changed, and the key is shown nowhere.
    """
    before = api.pages.counts()
    refused = [
        api.post("activities", {}, bearer=""), api.post("activities", {}, bearer=KEY[:-1]),
        api.call("POST", "activities", "{}", bearer="", Authorization=f"Basic {KEY}"),
        api.post("activities", {}, bearer=KEY[::-1]), api.get("registrations/1", bearer=KEY[::-1]),
    ]  # fmt: skip
    after = api.pages.counts()
    errors = [answer.content["error"] for answer in refused]

    assert [401, 401, 401, 403, 403] == [answer.status for answer in refused]
    assert ["no_key"] * 3 + ["scope"] * 2 == [error["code"] for error in errors]
    assert 'Bearer realm="api"' == refused[0].headers["www-authenticate"]
    assert not any(KEY in str(answer) for answer in refused)
    assert before == {**after, "public_count": before["public_count"]}


def test_key_that_calls_too_often_waits(api: Api) -> None:
    """
    So many calls within a minute of the clock; the others of that minute are told how long to wait, and the next is
    new. Another key goes on.
    """
    narrow = [api.post("inquiries", {**ASKED, "key": str(n)}, bearer=KEY[::-1]) for n in range(4)]
    other = api.get("registrations/1")
    api.pages.clock.instant = api.pages.clock.instant.replace(minute=1)
    later = api.post("inquiries", {**ASKED, "key": "5"}, bearer=KEY[::-1])

    assert [201, 201, 201, 429] == [answer.status for answer in narrow]
    assert "60" == narrow[3].headers["retry-after"]
    assert (404, 201) == (other.status, later.status)


def test_what_is_no_call_is_told_so(api: Api) -> None:
    """
    Another type, no JSON, too much, another method, another address: JSON again, and no failure of ours.
    """
    answers = [
        api.call("POST", "activities", "a=b", **{"Content-Type": "application/x-www-form-urlencoded"}),
        api.post("activities", "{"), api.post("activities", "[" * 100_000), api.post("activities", b"x" * 3_000_000),
        api.get("activities"), api.get("nothing/at/all"), api.post("inquiries", {**ASKED, "desk": "none"}),
        api.post("enrolments", {"sequence": "none", "customer": {"email": "nobody@customers.example"}}),
        api.post("inquiries", ASKED, key="k" * 256),
    ]  # fmt: skip

    assert [415, 400, 400, 413, 405, 404, 404, 404, 400] == [answer.status for answer in answers]
    assert all({"code", "message"} <= answer.content["error"].keys() for answer in answers)
    assert "POST" == answers[4].headers["allow"]


def test_registrations_take_seats_and_give_them_back(api: Api) -> None:
    """
    Seats in the order of the attendees, one registration however often the order comes; withdrawing is final and safe.
    """
    first, again = api.post("registrations", ORDER), api.post("registrations", ORDER)
    withdrawn = [api.delete("registrations/1").content["outcome"] for _ in range(2)]

    assert (201, 200) == (first.status, again.status)
    assert ["confirmed", "confirmed", "waiting"] == [one["seat"] for one in first.content["registrations"]]
    assert {"known"} == {one["outcome"] for one in again.content["registrations"]}
    assert ["withdrawn", "known"] == withdrawn
    assert "offered" == api.get("registrations/3").content["seat"]
    assert [404, 404] == [api.get("registrations/99").status, api.delete("registrations/x").status]


def test_answers_are_those_the_event_asks_for(api: Api) -> None:
    """
    A field it has not, a choice that is none, one that is missing: each is named, and nobody is registered.
    """
    person = {"email": "ann@customers.example", "answers": {"last_name": "Ash", "meal": "Stones", "shoe": "42"}}
    registrant = {"email": "dan@customers.example", "answers": {"first_name": "Dan", "shoe": "42"}}
    attendees = [person, {**person, "answers": {"meal": " "}}]
    wrong = api.post("registrations", {**ORDER, "attendees": attendees, "registrant": registrant})
    api.pages.clock.instant = api.pages.clock.instant.replace(year=2027)
    late = api.post("registrations", ORDER)

    assert [
        "attendees.0.answers.meal", "attendees.0.answers.shoe", "attendees.1.answers.last_name",
        "attendees.1.answers.meal", "registrant.answers.shoe",
    ] == [problem["at"] for problem in wrong.content["error"]["problems"]]  # fmt: skip
    assert (422, 409, "closed") == (wrong.status, late.status, late.content["error"]["code"])
    assert [] == api.pages.rows(schema.registration)


def test_without_keys_there_is_no_api(
    make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock
) -> None:
    """
    Every address of it leads nowhere, like any other.
    """
    with public_pages(make_workspace, database, clock, settings=WITHOUT_KEYS) as pages:
        assert [404, 404] == [Api(pages).get(path).status for path in ("openapi.json", "registrations/1")]


def test_key_is_made_and_its_hash_alone_is_kept(tmp_path: Path) -> None:
    """
    The command shows a key that fits its hash; an entry names the hash or the key, and shows neither.
    """
    made = json.loads(CliRunner().invoke(clarion, ["api-key", "--json"]).stdout)
    entry = ApiKey(sha256=made["sha256"], scopes=("activities",))

    assert hash_of(made["key"]) == entry.hash == ApiKey(key=made["key"], scopes=("activities",)).hash
    assert made["sha256"] not in repr(entry)
    for wrong in ({}, {"sha256": made["sha256"], "key": made["key"]}, {"key": "short"}, {"sha256": "x" * 64}):
        with pytest.raises(ValidationError):
            ApiKey(**wrong, scopes=("activities",))
