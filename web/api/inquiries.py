"""`POST /api/v1/inquiries`: what somebody asked elsewhere, such as in a chat."""

from datetime import timedelta
from typing import Annotated, Final

from pydantic import AfterValidator, AwareDatetime, Field

from campaigns.inquiries import receiving
from campaigns.inquiries.receiving import NewInquiry, Source
from campaigns.transactional import Standing
from customers.activities import find_person
from web.api.answers import Mistake, Refusal
from web.api.bodies import Body, Email, Line, Text, Values, Who, sensible_time, with_plain_names
from web.api.calls import Call, Done
from web.site import Site

_FAR: Final = timedelta(days=2 * 365)


class Inquiry(Body):
    """What somebody asks, and how they are reached."""

    desk: Line = Field(description="an entry of `inquiries` in clarion.yaml")
    key: Annotated[Line, Field(max_length=100)] = Field(description="tells it from every other inquiry")
    subject: Line
    content: Annotated[Text, Field(max_length=receiving.LONGEST_CONTENT)] = ""
    email: Email | None = None
    customer: Who | None = None
    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}$")] | None = None
    fields: Values = Field({})
    call_at: Annotated[AwareDatetime, AfterValidator(sensible_time)] | None = Field(
        None, description="when they want to be called: later than now, and within two years"
    )


def acknowledging(site: Site, body: Inquiry) -> Standing | None:
    """The campaign that says it was received, ready; None: the desk has none that can be sent, or is none."""
    desk = site.workspace.settings.inquiries.get(body.desk)
    return site.orders.ready(desk.acknowledge) if desk is not None else None


def receive(call: Call, body: Inquiry) -> Done:
    """The inquiry is acknowledged, and somebody's until it is answered."""
    site = call.site
    if body.call_at is not None and not call.now < body.call_at <= call.now + _FAR:
        mistake = Mistake("call_at", "expected a time later than now, and within two years")
        raise Refusal(422, "invalid", "1 of the values cannot be taken", mistakes=[mistake])
    customer_id = None
    if body.customer is not None:
        customer_id = find_person(call.connection, body.customer.person(site.workspace.secret))
        if customer_id is None:
            raise Refusal(404, "unknown_customer", "no customer is named so")
    wanted = NewInquiry(
        key=f"api:{call.caller.name}:{body.key}", desk=body.desk, source=Source.API, subject=body.subject,
        content=body.content, email=body.email, fields=with_plain_names(body.fields), language=body.language,
        customer_id=customer_id, call_at=body.call_at,
    )  # fmt: skip
    done = receiving.receive(call.connection, site.circumstances, wanted, call.now, acknowledge_by=call.prepared)
    content = {
        "inquiry": done.inquiry_id, "outcome": "new" if done.is_new else "known", "owner": done.owner,
        "due_at": done.due_at.isoformat(), "acknowledged": done.is_acknowledged,
    }  # fmt: skip
    return Done(201 if done.is_new else 200, content)
