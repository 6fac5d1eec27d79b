"""`POST /api/v1/activities`: what customers did, told as it happens."""

import json
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Final

from pydantic import AfterValidator, AwareDatetime, Field

from core.people_lock import people_stay
from customers.activities import Outcome, Told, record_activities
from customers.importing.values import MAX_KEY, Rejected, to_cents
from web.api.bodies import Body, Line, Values, Who
from web.api.calls import Call, Done

MOST: Final = 1000
_MOST_PROPERTIES: Final = 16_000
_YEARS: Final = range(1900, 3000)


def _instant(at: AwareDatetime) -> AwareDatetime:
    if at.year not in _YEARS or abs(at.utcoffset() or timedelta()) > timedelta(hours=16):
        raise ValueError(f"expected a time of the years {_YEARS[0]} to {_YEARS[-1]}")
    return at


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
    occurred_at: Annotated[AwareDatetime, AfterValidator(_instant)] | None = Field(None, description="absent: now")
    properties: Annotated[Values, AfterValidator(_small)] = Field({})
    value: Annotated[Decimal, AfterValidator(_number)] | None = None
    key: Annotated[Line, Field(max_length=MAX_KEY)] | None = Field(
        None, description="tells it from every other activity; absent: its content does"
    )


class Activities(Body):
    """Activities of any customers."""

    activities: Annotated[list[Activity], Field(min_length=1, max_length=MOST)]


def record(call: Call, body: Activities) -> Done:
    """The activities of known customers are on record; of each it is told what became of it."""
    people_stay(call.connection)
    told = [_told(call, one) for one in body.activities]
    outcomes = record_activities(call.connection, told, source=f"api:{call.caller.name}")
    counts = {outcome.value: outcomes.count(outcome) for outcome in Outcome}
    return Done(200, {"counts": counts, "activities": [{"outcome": outcome.value} for outcome in outcomes]})


def _told(call: Call, one: Activity) -> Told:
    person = one.customer.person(call.site.workspace.secret)
    return Told(
        person.name, person.key, one.name, one.occurred_at or call.now, dict(one.properties), one.value, one.key
    )  # fmt: skip
