"""`webhooks` in `clarion.yaml`: the providers that report what became of messages, and how they prove who they are."""

import base64
import binascii
import re
from ipaddress import ip_network
from typing import Annotated, Final

from pydantic import AfterValidator, Field, StringConstraints

from core.field_types import Name
from core.units import Duration, Unfit, parse_duration, quoted
from core.yaml_files import Section

_TOPIC: Final = re.compile(r"arn:aws(-cn|-us-gov)?:sns:[a-z0-9-]{5,30}:\d{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?")


def _topic(text: str) -> str:
    if not _TOPIC.fullmatch(text):
        raise Unfit(quoted(text), "the ARN of an SNS topic, such as 'arn:aws:sns:eu-west-1:123456789012:mail'")
    return text


def _public_key(text: str) -> str:
    """`text`, which is a P-256 public key as SendGrid shows it."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        key = load_der_public_key(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise Unfit("another text", "the verification key that SendGrid shows: a P-256 key in base64")
    return text


def _network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError:
        raise Unfit(quoted(text), "an IP address, or a network such as '192.0.2.0/24'") from None


Secret = Annotated[str, StringConstraints(min_length=16)]


class Ses(Section):
    """Amazon SES, by way of SNS."""

    topics: Annotated[list[Annotated[str, AfterValidator(_topic)]], Field(min_length=1)]  # others are refused
    max_age: Duration = parse_duration("1h")  # SNS repeats a notification for as long


class SendGrid(Section):
    """SendGrid's signed event webhook."""

    public_key: Annotated[str, AfterValidator(_public_key)]
    groups: dict[str, Name] = Field({})  # number of an unsubscribe group → topic
    max_age: Duration = parse_duration("5m")


class Mailgun(Section):
    """Mailgun's webhooks."""

    signing_key: Secret = Field(repr=False)
    max_age: Duration = parse_duration("9h")  # Mailgun repeats a webhook for 8 hours, with the token it had


class Postmark(Section):
    """Postmark's webhooks, which are not signed: a login, and the addresses they come from."""

    user: Annotated[str, StringConstraints(min_length=1)]
    password: Secret = Field(repr=False)
    networks: list[Annotated[str, AfterValidator(_network)]] = Field([])  # empty: from anywhere


class Webhooks(Section):
    """Each at `/hooks/<its name>`; one that is not set is not there."""

    ses: Ses | None = None
    sendgrid: SendGrid | None = None
    mailgun: Mailgun | None = None
    postmark: Postmark | None = None
