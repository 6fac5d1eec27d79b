"""Webhooks are proven to be the provider's before anything in them is read (S-4.12 to S-4.18)."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.feedback_events import NOON
from tests.webhook_requests import (
    AMAZON_KEY,
    CERTIFICATE_URL,
    LOGIN,
    OTHER_KEY,
    SETTINGS,
    TOPIC,
    Amazon,
    Request,
    bounced,
    certificate,
    mailgun,
    make_reader,
    postmark,
    sendgrid,
    ses,
    ses_bounce,
)
from tracking.webhooks import NotGenuine, Unreadable
from tracking.webhooks.sns import amazon_host

MINUTES = timedelta(minutes=1)
FAILED = {"event": "failed", "severity": "permanent", "id": "g-1", "recipient": "reader@customers.example"}
HARD = {"RecordType": "Bounce", "Type": "HardBounce", "ID": 7, "Email": "reader@customers.example"}
EVERY = {
    "sendgrid": lambda **given: sendgrid(bounced(), **given),
    "mailgun": lambda **given: mailgun(FAILED, **given),
    "ses": lambda **given: ses(ses_bounce(), **given),
    "postmark": lambda **given: postmark(HARD, **given),
}


def refusal(request: Request, **given: object) -> int | None:
    """The status with which the request is refused; None: it is taken."""
    reader = make_reader(given.pop("amazon", None), given.pop("settings", SETTINGS))  # type: ignore[arg-type]
    try:
        reader.read(request.provider, request.arrived(**given))  # type: ignore[arg-type]
    except NotGenuine as error:
        return error.status
    return None


@pytest.mark.parametrize("provider", EVERY)
def test_a_genuine_request_is_read(provider: str) -> None:
    """
    What the provider signed is read, as one hard bounce of the address it names.
    """
    request = EVERY[provider]()
    (feedback,) = make_reader().read(provider, request.arrived()).feedbacks

    assert ("hard", "reader@customers.example", True) == (feedback.kind, feedback.address, feedback.is_verified)


def changed(request: Request) -> Request:
    """The request with one letter of its address changed."""
    return replace(request, body=request.body.replace(b"reader@", b"beader@"))


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (changed(sendgrid(bounced())), 403),
        (sendgrid(bounced(), key=ec.generate_private_key(ec.SECP256R1())), 403),
        (replace(sendgrid(bounced()), headers={}), 401),
        (replace(sendgrid(bounced()), headers={"X-Twilio-Email-Event-Webhook-Timestamp": "1"}), 401),
        (
            replace(
                sendgrid(bounced()),
                headers={
                    "X-Twilio-Email-Event-Webhook-Signature": "no base64!",
                    "X-Twilio-Email-Event-Webhook-Timestamp": "1",
                },
            ),
            403,
        ),
        (mailgun(FAILED, key="another key of some length"), 403),
        (Request("mailgun", json.dumps({"event-data": FAILED}).encode(), {}), 401),
        (Request("mailgun", b"event=failed&recipient=reader", {}), 401),
        (Request("mailgun", b"[" * 100_000, {}), 401),
        (Request("mailgun", b'{"signature": {"timestamp": true, "token": [], "signature": {}}}', {}), 401),
        (changed(ses(ses_bounce())), 403),
        (ses(ses_bounce(), key=OTHER_KEY), 403),
        (ses(ses_bounce(), Signature=""), 401),
        (ses(ses_bounce(), Signature="%%%"), 403),
        (ses(ses_bounce(), SignatureVersion="3", Signature="aaaa"), 403),
        (ses(ses_bounce(), TopicArn="arn:aws:sns:eu-west-1:123456789012:other"), 403),
        (Request("ses", b"no json", {}), 401),
        (Request("ses", json.dumps({"TopicArn": TOPIC, "Type": ["Notification"]}).encode(), {}), 401),
        (Request("ses", json.dumps({"TopicArn": [TOPIC]}).encode(), {}), 403),
        (postmark(HARD, login="clarion:wrong"), 403),
        (postmark(HARD, login=LOGIN + "x"), 403),
        (Request("postmark", json.dumps(HARD).encode(), {}), 401),
        (Request("postmark", json.dumps(HARD).encode(), {"Authorization": "Bearer x"}), 401),
        (Request("postmark", json.dumps(HARD).encode(), {"Authorization": "Basic %%%"}), 403),
    ],
)
def test_what_is_not_proven_is_refused(request_: Request, status: int) -> None:
    """
    Unsigned requests are refused with 401; changed ones, and those signed with another key, with 403.
    """
    assert status == refusal(request_)


@pytest.mark.parametrize(
    ("make", "longest"),
    [
        (EVERY["sendgrid"], 5 * MINUTES),
        (EVERY["mailgun"], timedelta(hours=9)),
        (EVERY["ses"], timedelta(hours=1)),
    ],
    ids=["sendgrid", "mailgun", "ses"],
)
def test_signatures_count_only_near_their_time(make: Callable[..., Request], longest: timedelta) -> None:
    """
    A signature counts up to its longest age and five minutes ahead of our clock, and not a second beyond (S-4.12).
    """
    second = timedelta(seconds=1)
    statuses = [
        refusal(make(at=NOON - longest)),
        refusal(make(at=NOON - longest - second)),
        refusal(make(at=NOON + 5 * MINUTES)),
        refusal(make(at=NOON + 5 * MINUTES + second)),
    ]

    assert [None, 403, None, 403] == statuses


@pytest.mark.parametrize("version", ["1", "2"])
def test_both_versions_of_sns_signatures_are_known(version: str) -> None:
    """
    SignatureVersion says which hash was signed: SHA-1 for 1, SHA-256 for 2 (S-4.15).
    """
    assert refusal(ses(ses_bounce(), version=version)) is None


def test_an_sns_signature_of_the_other_version_is_wrong() -> None:
    """
    A signature made with one hash and declared as the other is refused.
    """
    signed = json.loads(ses(ses_bounce(), version="1").body)
    declared = json.dumps(signed | {"SignatureVersion": "2"}).encode()

    assert 403 == refusal(Request("ses", declared, {}))


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.eu-west-1.amazonaws.com/a.pem",
        "https://sns.eu-west-1.amazonaws.com.attacker.example/a.pem",
        "https://attacker.example/sns.eu-west-1.amazonaws.com/a.pem",
        "https://user@sns.eu-west-1.amazonaws.com/a.pem",
        "https://sns.eu-west-1.amazonaws.com@attacker.example/a.pem",
        "https://sns.eu-west-1.amazonaws.com:8443/a.pem",
        "https://sns.eu-west-1.amazonaws.com\\@attacker.example/a.pem",
        "https://sns.eu-west-1.amazonaws.com/../a.pem",
        "https://sns.eu-west-1.amazonaws.com/a.pem?x=1",
        "https://sns.eu-west-1.amazonaws.com/a.txt",
        "https://s3.eu-west-1.amazonaws.com/a.pem",
        "https://sns.a.b.amazonaws.com/a.pem",
        "https://169.254.169.254/a.pem",
        "file:///etc/passwd",
        "https://[::1/a.pem",
        "",
    ],
)
def test_certificates_are_fetched_from_amazon_alone(url: str) -> None:
    """
    Another address in SigningCertURL is refused without being asked (no SSRF).
    """
    amazon = Amazon()
    status = refusal(ses(ses_bounce(), SigningCertURL=url), amazon=amazon)

    assert (403, []) == (status, amazon.asked)


def test_certificates_of_chinese_regions_are_amazons_too() -> None:
    """
    Regions in China have hosts of their own.
    """
    assert "sns.cn-north-1.amazonaws.com.cn" == amazon_host("https://sns.cn-north-1.amazonaws.com.cn/a.pem")


def test_strangers_cause_no_traffic() -> None:
    """
    For a topic that is not ours no certificate is fetched.
    """
    amazon = Amazon()
    refusal(ses(ses_bounce(), TopicArn="arn:aws:sns:eu-west-1:999999999999:mail"), amazon=amazon)

    assert [] == amazon.asked


@pytest.mark.parametrize(
    "pem",
    [
        certificate(name="attacker.example"),
        certificate(name="sns.amazonaws.com.attacker.example"),
        certificate(begins=NOON - timedelta(days=91)),
        certificate(begins=NOON + timedelta(days=1)),
        b"no certificate",
        b"",
    ],
    ids=["other-name", "longer-name", "expired", "not-yet", "garbage", "nothing"],
)
def test_only_a_valid_certificate_of_sns_counts(pem: bytes) -> None:
    """
    A certificate of somebody else, or of another time, proves nothing, whatever it signs.
    """
    assert 403 == refusal(ses(ses_bounce()), amazon=Amazon(pem))


def test_a_certificate_is_fetched_once() -> None:
    """
    Certificates are kept; and an address that gave none is not asked again at once.
    """
    amazon, barren = Amazon(), Amazon(b"")
    reader, other = make_reader(amazon), make_reader(barren)
    for _ in range(3):
        reader.read("ses", ses(ses_bounce()).arrived())
        with pytest.raises(NotGenuine):
            other.read("ses", ses(ses_bounce()).arrived())

    assert ([CERTIFICATE_URL], [CERTIFICATE_URL]) == (amazon.asked, barren.asked)


@pytest.mark.parametrize(("ip", "status"), [("192.0.2.7", None), ("192.0.2.8", 403), ("2001:db8::1", 403), (None, 403)])
def test_postmark_comes_from_where_the_settings_say(ip: str | None, status: int | None) -> None:
    """
    With `networks`, the right login from elsewhere is refused (S-4.17).
    """
    listed = SETTINGS.postmark.model_copy(update={"networks": ["192.0.2.7/32"]}) if SETTINGS.postmark else None
    settings = SETTINGS.model_copy(update={"postmark": listed})

    assert status == refusal(postmark(HARD), settings=settings, ip=ip)


def test_a_topic_of_ours_is_confirmed_and_others_are_not() -> None:
    """
    SNS's question whether we want to hear of a topic is answered for topics of ours, at Amazon's own address.
    """
    asked = {"Type": "SubscriptionConfirmation", "Token": "t", "Message": "You have chosen to subscribe"}
    url = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=t"
    ours = make_reader().read("ses", ses({}, **asked, SubscribeURL=url).arrived())
    elsewhere = make_reader().read("ses", ses({}, **asked, SubscribeURL="https://attacker.example/").arrived())
    other = refusal(ses({}, **asked, SubscribeURL=url, TopicArn=TOPIC + "x"))

    assert (url, None, 403) == (ours.confirm_url, elsewhere.confirm_url, other)


@pytest.mark.parametrize("body", [b"no json", b"{}", b'"text"', b"\xff\xfe", b"[" * 50_000])
def test_senseless_but_signed_requests_are_unreadable(body: bytes) -> None:
    """
    What the provider signed and nobody can read is told apart from a forgery.
    """
    stamp = str(int(NOON.timestamp()))
    from cryptography.hazmat.primitives.hashes import SHA256

    from tests.webhook_requests import GRID_KEY

    signature = base64.b64encode(GRID_KEY.sign(stamp.encode() + body, ec.ECDSA(SHA256()))).decode()
    headers = {
        "x-twilio-email-event-webhook-signature": signature,
        "x-twilio-email-event-webhook-timestamp": stamp,
    }
    with pytest.raises(Unreadable):
        make_reader().read("sendgrid", Request("sendgrid", body, headers).arrived())


def test_the_key_that_signs_is_amazons() -> None:
    """
    The tests' own certificate names the key that the tests sign with.
    """
    assert refusal(ses(ses_bounce(), key=AMAZON_KEY)) is None
