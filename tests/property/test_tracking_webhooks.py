"""Whatever stands in a provider's signed request: it is read or called unreadable, and what was read can be stored."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.feedback import take
from core.database import Database
from tests.feedback_events import NOON, OneTransaction, make_receiver, taken_back
from tests.webhook_requests import Request, mailgun, make_reader, postmark, sendgrid, ses
from tracking.webhooks import NotGenuine, Unreadable

RECEIVER = make_receiver()
TEXTS = st.text(max_size=30) | st.sampled_from(
    ["bounce", "Bounce", "failed", "delivered", "Complaint", "unsubscribe", "temporary", "Permanent", "5.1.1", "1e999",
     "reader@customers.example", "<id@paper.example>", "2026-03-02T12:00:00Z", "\x00", "\ud800", "0" * 400]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
NAMES = {
    "sendgrid": ["email", "event", "type", "status", "reason", "response", "sg_event_id", "timestamp", "smtp-id",
                 "asm_group_id", "sg_machine_open"],
    "mailgun": ["event", "id", "timestamp", "recipient", "severity", "reason", "delivery-status", "envelope",
                "message"],
    "postmark": ["RecordType", "Type", "ID", "Email", "Recipient", "BouncedAt", "Details", "Metadata", "From", "Origin",
                 "SuppressSending", "SuppressionReason"],
    "ses": ["notificationType", "eventType", "mail", "bounce", "complaint", "delivery", "open"],
}  # fmt: skip
SIGNED = {"sendgrid": sendgrid, "mailgun": mailgun, "postmark": postmark, "ses": ses}
#: A bounce of SES with odd insides is deep: made of its own parts.
SES = st.fixed_dictionaries(
    {"notificationType": st.sampled_from(["Bounce", "Complaint", "Delivery", "Odd"]), "mail": VALUES},
    optional={
        "bounce": st.dictionaries(
            st.sampled_from(["bounceType", "bouncedRecipients", "timestamp", "feedbackId"]), VALUES
        ),
        "complaint": st.dictionaries(st.sampled_from(["complainedRecipients", "complaintFeedbackType"]), VALUES),
        "delivery": st.dictionaries(st.sampled_from(["recipients", "smtpResponse", "timestamp"]), VALUES),
    },
)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """A genuine request of one of the providers about nobody knows what."""
    provider = draw(st.sampled_from(sorted(SIGNED)))
    event: Any = draw(st.dictionaries(st.sampled_from(NAMES[provider]), VALUES))
    if provider == "ses" and draw(st.booleans()):
        event = draw(SES)
    return SIGNED[provider](event)


@pytest.fixture(scope="module")
def one(module_database: Database) -> Any:
    """One transaction for all examples."""
    with taken_back(module_database) as found:
        yield found


@given(requests())
@settings(max_examples=40)
def test_any_signed_request_is_taken_or_unreadable(one: OneTransaction, request_: Request) -> None:
    """
    No value in a signed request can make reading it fail, or the database refuse it.
    """
    try:
        report = make_reader().read(request_.provider, request_.arrived())
    except Unreadable:
        return
    with one.begin() as connection:
        effects = take(connection, report.feedbacks, RECEIVER, NOON)

    assert len(report.feedbacks) == len(effects)


@given(
    st.sampled_from(sorted(SIGNED)), VALUES | st.binary(max_size=50), st.dictionaries(st.text(max_size=20), st.text())
)
def test_nothing_unsigned_is_ever_genuine(provider: str, said: Any, headers: dict[str, str]) -> None:
    """
    Whatever an unsigned request holds, it is refused, and nothing else happens.
    """
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    with pytest.raises(NotGenuine):
        make_reader().read(provider, Request(provider, body, headers).arrived())
