"""What providers report, in our words (S-4.13 to S-4.17)."""

import json
from typing import Any

import pytest

from core.settings import Sender
from tests.factories import SECRET
from tests.feedback_events import NOON, SENDERS
from tests.webhook_requests import SETTINGS, Request, bounced, mailgun, make_reader, postmark, sendgrid, ses, ses_bounce
from tracking.feedback import Feedback, FeedbackKind
from tracking.return_paths import ReturnPaths
from tracking.tokens import Purpose, Signer
from tracking.webhooks import Reader
from tracking.webhooks.proof import Tokens

EMAIL = "reader@customers.example"


def told(request: Request, reader: Reader | None = None) -> list[Feedback]:
    """What the request reports."""
    return list((reader or make_reader()).read(request.provider, request.arrived()).feedbacks)


def kinds(request: Request) -> list[str]:
    return [feedback.kind.value for feedback in told(request)]


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (bounced(), "hard"),
        (bounced(type="blocked", status="5.7.1"), "block"),
        (bounced(type="blocked"), "block"),
        (bounced(status="5.2.2", reason="552 5.2.2 mailbox full"), "mailbox_full"),
        (bounced(status="", reason="500 unknown recipient"), "hard"),
        ({"event": "deferred"}, "delayed"),
        ({"event": "delivered"}, "delivered"),
        ({"event": "spamreport"}, "complaint"),
        ({"event": "unsubscribe"}, "unsubscribe"),
        ({"event": "group_unsubscribe", "asm_group_id": 7}, "unsubscribe"),
        ({"event": "dropped", "reason": "Bounced Address"}, "hard"),
        ({"event": "dropped", "reason": "Spam Reporting Address"}, "complaint"),
        ({"event": "dropped", "reason": "Unsubscribed Address"}, "unsubscribe"),
        ({"event": "dropped", "reason": "Invalid SMTPAPI header"}, "message_fault"),
        ({"event": "dropped", "reason": "Spam Content"}, "block"),
        ({"event": "dropped"}, "message_fault"),
        ({"event": "open", "sg_machine_open": True}, "opened"),
        ({"event": "click"}, "clicked"),
        ({"event": "invented next year"}, "unknown"),
        ({"event": ["odd"]}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_sendgrid_events(event: dict[str, Any], kind: str) -> None:
    """
    Each event of SendGrid is one of our kinds; a blocked bounce is never hard, and unknown ones are kept (S-4.13).
    """
    assert [kind] == kinds(sendgrid({"email": EMAIL} | event))


def test_sendgrid_says_nothing_new_of_what_it_took() -> None:
    """
    That SendGrid took a message, or that a group was joined again there, changes nothing here.
    """
    assert [] == told(sendgrid({"event": "processed"}, {"event": "group_resubscribe"}))


def test_sendgrid_groups_are_topics() -> None:
    """
    Leaving a group is leaving its topic; leaving everything is leaving everything.
    """
    seven, eight, every = told(
        sendgrid(
            {"event": "group_unsubscribe", "asm_group_id": 7, "sg_event_id": "a"},
            {"event": "group_unsubscribe", "asm_group_id": 8, "sg_event_id": "b"},
            {"event": "unsubscribe", "sg_event_id": "c"},
        )
    )

    assert [("news", False), (None, False), (None, True)] == [
        (one.topic, one.everything) for one in (seven, eight, every)
    ]


@pytest.mark.parametrize(
    ("event", "kind", "is_final"),
    [
        ({"event": "delivered"}, "delivered", True),
        ({"event": "complained"}, "complaint", True),
        ({"event": "unsubscribed"}, "unsubscribe", True),
        ({"event": "rejected"}, "message_fault", True),
        ({"event": "opened"}, "opened", True),
        ({"event": "clicked"}, "clicked", True),
        ({"event": "failed", "severity": "permanent", "reason": "bounce"}, "hard", True),
        ({"event": "failed", "severity": "temporary", "reason": "generic"}, "soft", False),
        (
            {"event": "failed", "severity": "temporary", "delivery-status": {"message": "5.1.1 no such user"}},
            "soft",
            False,
        ),
        (
            {"event": "failed", "severity": "temporary", "delivery-status": {"enhanced-code": "4.2.2"}},
            "mailbox_full",
            False,
        ),
        ({"event": "failed", "severity": "permanent", "reason": "suppress-bounce"}, "hard", True),
        ({"event": "failed", "severity": "permanent", "reason": "suppress-complaint"}, "complaint", True),
        ({"event": "failed", "severity": "permanent", "reason": "suppress-unsubscribe"}, "unsubscribe", True),
        ({"event": "failed", "severity": "permanent", "reason": "espblock"}, "block", True),
        ({"event": "failed", "severity": "permanent", "reason": "old"}, "soft", True),
        (
            {"event": "failed", "severity": "permanent", "delivery-status": {"message": "554 5.7.1 spam"}},
            "block",
            True,
        ),
        ({"event": "a new one"}, "unknown", True),
        ({}, "unknown", True),
    ],
)
def test_mailgun_events(event: dict[str, Any], kind: str, is_final: bool) -> None:
    """
    Each event of Mailgun is one of our kinds; a temporary failure is soft, and the message is still tried (S-4.14).
    """
    (feedback,) = told(mailgun({"id": "g-1", "recipient": EMAIL} | event))

    assert (kind, is_final) == (feedback.kind, feedback.is_final)


def test_mailgun_may_have_further_signatures() -> None:
    """
    A request of a subaccount also brings its parent's signature, and other fields nobody knows.
    """
    request = mailgun({"event": "delivered"}, **{"parent-signature": {"token": "x"}, "new-field": [1, 2]})

    assert ["delivered"] == kinds(request)


@pytest.mark.parametrize(
    ("kind", "subtype", "expected"),
    [
        ("Permanent", "General", "hard"),
        ("Permanent", "NoEmail", "hard"),
        ("Permanent", "Suppressed", "hard"),
        ("Permanent", "OnAccountSuppressionList", "hard"),
        ("Transient", "General", "soft"),
        ("Transient", "MailboxFull", "mailbox_full"),
        ("Transient", "MessageTooLarge", "message_fault"),
        ("Transient", "ContentRejected", "message_fault"),
        ("Transient", "AttachmentRejected", "message_fault"),
        ("Transient", "InventedNextYear", "soft"),
        ("Undetermined", "Undetermined", "soft"),
        ("Invented", "General", "unknown"),
    ],
)
def test_ses_bounces(kind: str, subtype: str, expected: str) -> None:
    """
    Bounces of SES by type and sub-type (S-4.16).
    """
    assert [expected] == kinds(ses(ses_bounce(kind, subtype)))


def test_ses_bounces_are_judged_by_what_the_server_said() -> None:
    """
    A permanent bounce for reasons of policy is a block: nobody is suppressed for it.
    """
    event = ses_bounce()
    event["bounce"]["bouncedRecipients"][0] |= {"status": "5.7.1", "diagnosticCode": "smtp; 550 5.7.1 blocked"}

    assert ["block"] == kinds(ses(event))


def test_ses_tells_of_each_recipient_and_never_of_the_destination() -> None:
    """
    The recipients that bounced are told of, each in an event of its own (S-4.16).
    """
    feedbacks = told(ses(ses_bounce("Permanent", "General", "a@customers.example", "b@customers.example")))

    assert ["a@customers.example", "b@customers.example"] == [one.address for one in feedbacks]
    assert 2 == len({one.event_key for one in feedbacks})


SES_MAIL = {"messageId": "s-1", "destination": [EMAIL]}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"eventType": "Delivery", "delivery": {"recipients": [EMAIL], "smtpResponse": "250 ok"}}, "delivered"),
        ({"notificationType": "Delivery", "delivery": {"recipients": [EMAIL]}}, "delivered"),
        ({"eventType": "DeliveryDelay", "deliveryDelay": {"delayedRecipients": [{"emailAddress": EMAIL}]}}, "delayed"),
        ({"eventType": "Complaint", "complaint": {"complainedRecipients": [{"emailAddress": EMAIL}]}}, "complaint"),
        (
            {
                "eventType": "Complaint",
                "complaint": {
                    "complainedRecipients": [{"emailAddress": EMAIL}],
                    "complaintFeedbackType": "not-spam",
                },
            },
            "unknown",
        ),
        ({"eventType": "Open", "open": {}}, "opened"),
        ({"eventType": "Click", "click": {}}, "clicked"),
        ({"eventType": "Reject", "reject": {"reason": "Bad content"}}, "message_fault"),
        ({"eventType": "Rendering Failure"}, "message_fault"),
        ({"eventType": "Invented"}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_ses_events(event: dict[str, Any], expected: str) -> None:
    """
    Notifications and events of SES, under either name of their type.
    """
    (feedback,) = told(ses(event | {"mail": SES_MAIL}))

    assert (expected, EMAIL) == (feedback.kind, feedback.address)


@pytest.mark.parametrize(
    "message", [{"eventType": "Send", "mail": SES_MAIL}, {"text": "Successfully validated"}, "text"]
)
def test_ses_says_nothing_new_of_what_it_took(message: object) -> None:
    """
    A message that SES took, and the text with which a topic is tried, report nothing.
    """
    assert [] == told(ses({}, Message=json.dumps(message)))


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"RecordType": "Bounce", "Type": "HardBounce"}, "hard"),
        ({"RecordType": "Bounce", "Type": "BadEmailAddress"}, "hard"),
        ({"RecordType": "Bounce", "Type": "HardBounce", "Details": "smtp;552 5.2.2 full"}, "mailbox_full"),
        ({"RecordType": "Bounce", "Type": "SoftBounce"}, "soft"),
        ({"RecordType": "Bounce", "Type": "SoftBounce", "Details": "smtp;550 5.1.1 no such user"}, "soft"),
        ({"RecordType": "Bounce", "Type": "Transient"}, "soft"),
        ({"RecordType": "Bounce", "Type": "Blocked"}, "block"),
        ({"RecordType": "Bounce", "Type": "DMARCPolicy"}, "block"),
        ({"RecordType": "Bounce", "Type": "AutoResponder"}, "auto_reply"),
        ({"RecordType": "Bounce", "Type": "SpamComplaint"}, "complaint"),
        ({"RecordType": "Bounce", "Type": "Unsubscribe"}, "unsubscribe"),
        ({"RecordType": "Bounce", "Type": "ManuallyDeactivated"}, "unknown"),
        ({"RecordType": "Bounce", "Type": "Invented"}, "unknown"),
        ({"RecordType": "SpamComplaint"}, "complaint"),
        ({"RecordType": "Delivery", "Recipient": EMAIL}, "delivered"),
        ({"RecordType": "Open"}, "opened"),
        ({"RecordType": "Click"}, "clicked"),
        (
            {"RecordType": "SubscriptionChange", "SuppressSending": True, "SuppressionReason": "ManualSuppression"},
            "unsubscribe",
        ),
        ({"RecordType": "SubscriptionChange", "SuppressSending": False}, "unknown"),
        ({"RecordType": "Invented"}, "unknown"),
        ([], "unknown"),
    ],
)
def test_postmark_events(event: Any, expected: str) -> None:
    """
    Each record and type of bounce of Postmark is one of our kinds; being let in again there changes nothing (S-4.17).
    """
    assert [expected] == kinds(postmark(event))


def test_our_tokens_prove_which_message_is_meant() -> None:
    """
    Our return path, or else our unsubscribe link in the headers, names the message; forged ones name none.
    """
    senders = {"offers": Sender(name="Paper", email="offers@paper.example", return_path="b.paper.example")}
    reader = Reader(SETTINGS, Tokens(SECRET, senders))
    path = ReturnPaths(SECRET, "b.paper.example").path(17)
    forged = ReturnPaths(b"another secret of thirty-two byte", "b.paper.example").path(17)
    link = f"<https://news.paper.example/u/{Signer(SECRET).sign(Purpose.UNSUBSCRIBE, 18)}>"
    events = [
        {"event": "failed", "id": "1", "envelope": {"sender": path}},
        {"event": "failed", "id": "2", "envelope": {"sender": forged}},
        {"event": "failed", "id": "3", "message": {"headers": {"list-unsubscribe": link}}},
        {"event": "failed", "id": "4", "message": {"headers": {"list-unsubscribe": link.replace("/u/", "/u/A")}}},
        {"event": "failed", "id": "5", "envelope": {"sender": [path]}, "message": []},
    ]
    found = [told(mailgun(event), reader)[0] for event in events]

    assert [(17, "verp"), (None, None), (18, "header"), (None, None), (None, None)] == [
        (one.message_id, one.matched_by) for one in found
    ]


@pytest.mark.parametrize(
    "odd", ["\x00", "\ud800", "a\r\nb", "x" * 100_000, 5, None, [], {"a": {}}, True, -1e308, 1e400, "💩"]
)
def test_odd_values_are_kept_as_far_as_they_can_be_stored(odd: object) -> None:
    """
    Whatever stands where a text or number belongs, the event is reported, and what is kept can be stored.
    """
    names = ["email", "event", "type", "status", "reason", "response", "sg_event_id", "smtp-id", "timestamp"]
    (feedback,) = told(sendgrid(dict.fromkeys(names, odd)))
    kept = [
        feedback.event_key,
        feedback.address or "",
        feedback.status or "",
        feedback.diagnostic or "",
        *feedback.named,
    ]

    assert feedback.kind in FeedbackKind
    assert all(text.encode() and "\x00" not in text and len(text) < 2000 for text in kept if text)


def test_when_it_happened_is_what_the_provider_says() -> None:
    """
    The instants of all four providers are read, with their zones.
    """
    moments = [
        told(sendgrid(bounced(timestamp=NOON.timestamp())))[0],
        told(mailgun({"event": "delivered", "timestamp": NOON.timestamp()}))[0],
        told(ses({"eventType": "Open", "open": {"timestamp": "2026-03-02T12:00:00.000Z"}, "mail": SES_MAIL}))[0],
        told(postmark({"RecordType": "Delivery", "DeliveredAt": "2026-03-02T07:00:00-05:00"}))[0],
    ]

    assert [NOON] * 4 == [one.occurred_at for one in moments]
    assert set(SENDERS) == {"offers"}
