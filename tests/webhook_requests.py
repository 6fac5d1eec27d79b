"""Requests of mail providers, signed for real: keys and certificates are made here."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from core.webhook_settings import Mailgun, Postmark, SendGrid, Ses, Webhooks
from tests.factories import SECRET
from tests.feedback_events import NOON, SENDERS
from tracking.webhooks import Arrived, Reader
from tracking.webhooks.proof import Tokens
from tracking.webhooks.sns import Certificates

TOPIC = "arn:aws:sns:eu-west-1:123456789012:mail"
CERTIFICATE_URL = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"
SIGNING_KEY = "key-0123456789abcdef0123456789abcdef"
LOGIN = "clarion:0123456789abcdef"
GRID_KEY = ec.generate_private_key(ec.SECP256R1())
AMAZON_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public_text(key: ec.EllipticCurvePrivateKey) -> str:
    """The public key as SendGrid shows it."""
    return base64.b64encode(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


SETTINGS = Webhooks(
    ses=Ses(topics=[TOPIC]),
    sendgrid=SendGrid(public_key=public_text(GRID_KEY), groups={"7": "news"}),
    mailgun=Mailgun(signing_key=SIGNING_KEY),
    postmark=Postmark(user="clarion", password="0123456789abcdef"),
)


def certificate(
    key: rsa.RSAPrivateKey = AMAZON_KEY, name: str = "sns.amazonaws.com", *, begins: datetime | None = None
) -> bytes:
    """A certificate for the name, valid for 90 days from a month before the tests' noon."""
    begins = begins or NOON - timedelta(days=30)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=90))
        .sign(key, SHA256())
    )
    return built.public_bytes(Encoding.PEM)


class Amazon:
    """Where certificates are fetched from: knows what it was asked for."""

    def __init__(self, pem: bytes | None = None) -> None:
        self.asked: list[str] = []
        self.pem = certificate() if pem is None else pem

    def fetch(self, url: str) -> bytes | None:
        self.asked.append(url)
        return self.pem


def make_reader(amazon: Amazon | None = None, settings: Webhooks = SETTINGS) -> Reader:
    """A reader of the tests' installation; SES certificates come from `amazon`."""
    return Reader(settings, Tokens(SECRET, SENDERS), Certificates((amazon or Amazon()).fetch))


@dataclass(frozen=True)
class Request:
    """A request of a provider."""

    provider: str
    body: bytes
    headers: Mapping[str, str]

    def arrived(self, now: datetime = NOON, **changes: Any) -> Arrived:
        """The request as it arrives; headers in lower case."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Arrived(**{"headers": headers, "body": self.body, "now": now, "ip": "192.0.2.7"} | changes)


def sendgrid(*events: Mapping[str, Any], at: datetime = NOON, key: ec.EllipticCurvePrivateKey = GRID_KEY) -> Request:
    """The events as SendGrid posts them at an instant."""
    body = json.dumps(list(events)).encode()
    stamp = str(int(at.timestamp()))
    signature = base64.b64encode(key.sign(stamp.encode() + body, ec.ECDSA(SHA256()))).decode()
    headers = {
        "X-Twilio-Email-Event-Webhook-Signature": signature,
        "X-Twilio-Email-Event-Webhook-Timestamp": stamp,
    }
    return Request("sendgrid", body, headers)


def mailgun(
    event: Mapping[str, Any], *, at: datetime = NOON, token: str = "t" * 50, key: str = SIGNING_KEY, **more: Any
) -> Request:
    """The event as Mailgun posts it at an instant."""
    stamp = str(int(at.timestamp()))
    signature = hmac.new(key.encode(), f"{stamp}{token}".encode(), hashlib.sha256).hexdigest()
    signed = {"timestamp": stamp, "token": token, "signature": signature}
    return Request("mailgun", json.dumps({"signature": signed, "event-data": event} | more).encode(), {})


def postmark(event: Mapping[str, Any], *, login: str = LOGIN) -> Request:
    """The event as Postmark posts it."""
    authorization = "Basic " + base64.b64encode(login.encode()).decode()
    return Request("postmark", json.dumps(event).encode(), {"Authorization": authorization})


_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}


def ses(
    event: Mapping[str, Any], *, at: datetime = NOON, version: str = "2", key: rsa.RSAPrivateKey = AMAZON_KEY,
    **changes: Any,
) -> Request:  # fmt: skip
    """The event in SNS's envelope, signed with what `changes` make of it."""
    said: dict[str, Any] = {
        "Type": "Notification", "MessageId": "m-1", "TopicArn": TOPIC, "Message": json.dumps(event),
        "Timestamp": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"), "SignatureVersion": version,
        "SigningCertURL": CERTIFICATE_URL,
    } | changes  # fmt: skip
    lines = "".join(f"{name}\n{said[name]}\n" for name in _SIGNED[said["Type"]] if name in said)
    hashed = SHA1() if said["SignatureVersion"] == "1" else SHA256()
    said.setdefault("Signature", base64.b64encode(key.sign(lines.encode(), padding.PKCS1v15(), hashed)).decode())
    return Request("ses", json.dumps(said).encode(), {"Content-Type": "text/plain"})


def ses_bounce(kind: str = "Permanent", subtype: str = "General", *emails: str, **of_mail: Any) -> dict[str, Any]:
    """A bounce as SES tells of it."""
    bounced = [{"emailAddress": email, "action": "failed"} for email in emails or ("reader@customers.example",)]
    return {
        "notificationType": "Bounce",
        "bounce": {
            "bounceType": kind, "bounceSubType": subtype, "bouncedRecipients": bounced, "feedbackId": "f-1",
            "timestamp": "2026-03-02T11:59:00.000Z",
        },
        "mail": {"messageId": "s-1", "source": "offers@paper.example", "destination": ["first@customers.example"]}
        | of_mail,
    }  # fmt: skip


def bounced(email: str = "reader@customers.example", **values: Any) -> dict[str, Any]:
    """A bounce as SendGrid tells of it."""
    return {
        "email": email, "event": "bounce", "type": "bounce", "status": "5.1.1", "reason": "550 5.1.1 no such user",
        "sg_event_id": "e-1", "timestamp": int(NOON.timestamp()) - 60,
    } | values  # fmt: skip
