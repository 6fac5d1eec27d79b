"""`POST /api/v1/enrolments`: a customer enters a sequence."""

from typing import Annotated, Any

from pydantic import Field, JsonValue

from campaigns.sequences import enrol as enrolling
from campaigns.transactional import LONGEST_KEY
from core.people_lock import people_stay
from customers.activities import find_person
from web.api.answers import Refusal
from web.api.bodies import Body, Line, Who, kept_json, with_plain_names
from web.api.calls import Call, Done


class Enrolment(Body):
    """Who enters, and what the sequence's mails are to know."""

    sequence: Line
    customer: Who
    key: Annotated[Line, Field(max_length=LONGEST_KEY)] | None = Field(
        None, description="tells passages of one customer apart, such as an order's number"
    )
    given: dict[Line, JsonValue] = Field({}, description="what templates and rules name as given.…")


def enrol(call: Call, body: Enrolment) -> Done:
    """The customer passes through the sequence from now on, or does already."""
    given: dict[str, Any] = kept_json(with_plain_names(body.given), "given")
    people_stay(call.connection)
    customer_id = find_person(call.connection, body.customer.person(call.site.workspace.secret))
    if customer_id is None:
        raise Refusal(404, "unknown_customer", "no customer is named so")
    done = enrolling.enrol(
        call.connection, body.sequence, customer_id, key=body.key or "", given=given, source=enrolling.API, now=call.now
    )
    told = {"because": done.because} if done.because else {}
    content = {"enrolment": done.enrolment_id, "outcome": "new" if done.is_new else "known", **told}
    return Done(201 if done.is_new else 200, content)
