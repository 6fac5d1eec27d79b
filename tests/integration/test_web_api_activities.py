"""`POST /api/v1/activities`: what programs tell is on record before they are answered, and once."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select

from core import schema
from core.clock import SteppedClock
from core.database import Database
from core.workspace import Workspace
from tests.api_calls import Api, api_served
from web.api.activities import MOST
from web.api.calls import REMEMBERED

VIEWED = {"customer": {"external_id": "C-1"}, "name": "page_view", "occurred_at": "2026-03-02T08:00:00+01:00"}


@pytest.fixture
def api(make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock) -> Iterator[Api]:
    """The API, and one customer."""
    with api_served(make_workspace, database, clock) as running:
        running.pages.customer(external_id="C-1", email="ann@customers.example")
        yield running


def _told(api: Api) -> list[tuple[Any, ...]]:
    activity, customer = schema.activity, schema.customer
    columns = (customer.c.external_id, activity.c.name, activity.c.occurred_at, activity.c.properties, activity.c.value)
    query = select(*columns).join(customer, customer.c.id == activity.c.customer_id).order_by(activity.c.id)
    with api.pages.database.begin() as connection:
        return [tuple(row) for row in connection.execute(query)]


def test_activity_is_on_record(api: Api) -> None:
    """
    Customer, name, time, value and properties are as they were told; without a time it is now.
    """
    full = {**VIEWED, "value": "12.5", "properties": {"page": "/paper", "pages": 3, "logged_in": True}}
    answer = api.post(
        "activities", {"activities": [full, {"customer": {"email": "Ann@Customers.example"}, "name": "a"}]}
    )
    first, second = _told(api)

    assert (200, [{"outcome": "new"}, {"outcome": "new"}]) == (answer.status, answer.content["activities"])
    assert ("C-1", "page_view", "2026-03-02T07:00:00+00:00") == (*first[:2], first[2].isoformat())
    assert ({"page": "/paper", "pages": 3, "logged_in": True}, 12.5) == (first[3], float(first[4]))
    assert ("C-1", "a", api.pages.clock.now()) == second[:3]


def test_activity_told_again_is_known_and_corrected_by_its_key(api: Api) -> None:
    """
    Without a key its content tells it from others, with one its key does.
    """
    keyed = {**VIEWED, "key": "view-1", "value": 1}
    outcomes = [
        api.post("activities", {"activities": [one]}).content["activities"][0]["outcome"]
        for one in (VIEWED, VIEWED, keyed, keyed, {**keyed, "value": 2})
    ]

    assert ["new", "known", "new", "known", "changed"] == outcomes
    assert [None, 2] == [row[4] for row in _told(api)]


def test_unknown_customer_is_told_and_the_others_count(api: Api) -> None:
    """
    Nobody is made of an activity, and the rest of the call is carried out.
    """
    answer = api.post("activities", {"activities": [{**VIEWED, "customer": {"external_id": "nobody"}}, VIEWED]})

    assert ["unknown_customer", "new"] == [one["outcome"] for one in answer.content["activities"]]
    assert {"new": 1, "changed": 0, "known": 0, "key_taken": 0, "unknown_customer": 1} == answer.content["counts"]
    assert 1 == len(_told(api))


def test_senseless_values_are_named_and_nothing_is_kept(api: Api) -> None:
    """
    422 with the place of each mistake; the activity beside it is not recorded either.
    """
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"customer": {}}, "customer"), ({"name": ""}, "name"), ({"occurred_at": "2026-03-02T08:00:00"}, "occurred_at"),
        ({"occurred_at": "0001-01-01T00:00:00Z"}, "occurred_at"), ({"value": "1e20"}, "value"),
        ({"properties": {"a": "b\u0000"}}, "properties.a"), ({"properties": {"a": {"b": 1}}}, "properties.a"),
        ({"key": "k" * 501}, "key"), ({"nmae": "x"}, "nmae"),
        ({"properties": {f"b{n}": "y" * 4000 for n in range(5)}}, "properties"),
    ]  # fmt: skip
    answers = [(api.post("activities", {"activities": [VIEWED | change, VIEWED]}), at) for change, at in wrong]

    assert {(422, "invalid")} == {(answer.status, answer.content["error"]["code"]) for answer, _ in answers}
    assert [] == [
        at for answer, at in answers
        if f"activities.0.{at}" not in [problem["at"] for problem in answer.content["error"]["problems"]]
    ]  # fmt: skip
    assert [] == _told(api)


def test_a_call_holds_as_many_activities_as_documented(api: Api) -> None:
    """
    A thousand are taken, one more is too many.
    """
    many = [{**VIEWED, "properties": {"n": number}} for number in range(MOST + 1)]

    assert 422 == api.post("activities", {"activities": many}).status
    assert {"new": MOST} == {
        name: count for name, count in api.post("activities", {"activities": many[:MOST]}).content["counts"].items()
        if count
    }  # fmt: skip


def test_call_with_a_key_is_carried_out_once(api: Api) -> None:
    """
    Twenty times at once: one is new, and all are answered alike.
    """
    body = {"activities": [{"customer": {"external_id": "C-1"}, "name": "now"}]}
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: api.post("activities", body, key="once"), range(20)))

    assert {200} == {answer.status for answer in answers}
    assert 1 == len({answer.body for answer in answers})
    assert 19 == sum(answer.headers.get("idempotency-replayed") == "true" for answer in answers)
    assert 1 == len(_told(api))


def test_key_is_good_for_one_call(api: Api) -> None:
    """
    Another body under the same key is refused; what was refused may be mended under its key.
    """
    api.post("activities", {"activities": [VIEWED]}, key="once")
    answer = api.post("activities", {"activities": [{**VIEWED, "name": "other"}]}, key="once")
    refused = api.post("activities", {"activities": []}, key="mended")
    mended = api.post("activities", {"activities": [{**VIEWED, "name": "other"}]}, key="mended")

    assert (422, "key_reused") == (answer.status, answer.content["error"]["code"])
    assert (422, 200) == (refused.status, mended.status)
    assert ["page_view", "other"] == [row[1] for row in _told(api)]


def test_remembered_calls_are_forgotten(api: Api) -> None:
    """
    A call is remembered for two days, and says until when.
    """
    api.post("activities", {"activities": [VIEWED]}, key="once")
    (row,) = api.pages.rows(schema.api_call)

    assert api.pages.clock.now() + REMEMBERED == row["forget_at"]
    assert "ann@customers.example" not in str(row)
