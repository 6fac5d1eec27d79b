"""`POST /api/v1/activities`: what customers did, told as it happens."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Final

from pydantic import AfterValidator, AwareDatetime, Field

from core.people_lock import people_stay
from customers.activities import Outcome, Told, record_activities
from customers.importing.values import MAX_KEY, Rejected, to_cents
from web.api.answers import Mistake, Refusal
from web.api.bodies import Body, Line, Values, Who, sensible_time
from web.api.calls import Call, Done

MOST: Final = 1000
_MOST_PROPERTIES: Final = 16_000


def _number(value: Decimal) -> Decimal:
    try:
        return to_cents(value)
    except Rejected as error:
        raise ValueError(str(error)) from None


def _small(properties: Values) -> Values:
    if len(json.dumps(properties)) > _MOST_PROPERTIES:
        raise ValueError(f"expected properties of at most {_MOST_PROPERTIES:,} characters together")
    return properties


class Activity(Body):
    """One thing a customer did."""

    customer: Who
    name: Line = Field(description="what they did, such as page_view or ticket_opened")
    occurred_at: Annotated[AwareDatetime, AfterValidator(sensible_time)] | None = Field(None, description="absent: now")
    properties: Annotated[Values, AfterValidator(_small)] = Field({})
    value: Annotated[Decimal, AfterValidator(_number)] | None = None
    key: Annotated[Line, Field(max_length=MAX_KEY)] | None = Field(
        None, description="tells it from every other activity this key of the API told of; absent: its content does"
    )


class Activities(Body):
    """Activities of any customers."""

    activities: Annotated[list[Activity], Field(min_length=1, max_length=MOST)]


def record(call: Call, body: Activities) -> Done:
    """The activities of known customers are on record; of each it is told what became of it."""
    if mistakes := list(_twice(body)):
        raise Refusal(422, "invalid", f"{len(mistakes)} of the keys are given twice", mistakes=mistakes)
    people_stay(call.connection)
    told = [_told(call, one) for one in body.activities]
    outcomes = record_activities(call.connection, told, source=f"api:{call.caller.name}")
    counts = {outcome.value: outcomes.count(outcome) for outcome in Outcome}
    return Done(200, {"counts": counts, "activities": [{"outcome": outcome.value} for outcome in outcomes]})


def _twice(body: Activities) -> Iterator[Mistake]:
    """Activities whose key is that of another one in the same call."""
    first: dict[str, Activity] = {}
    for number, one in enumerate(body.activities):
        if one.key is not None and first.setdefault(one.key, one) != one:
            yield Mistake(f"activities.{number}.key", "expected a key that no other activity of the call has")


def _told(call: Call, one: Activity) -> Told:
    person = one.customer.person(call.site.workspace.secret)
    return Told(
        person.name, person.key, one.name, one.occurred_at or call.now, dict(one.properties), one.value, one.key
    )  # fmt: skip
