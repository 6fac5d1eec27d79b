"""Amazon SNS: the envelopes in which SES reports, and the certificates that sign them (S-4.15).

The address of the certificate stands in the envelope itself: it is followed only to Amazon's own hosts, and only for
topics of ours. What is fetched is small, kept until it expires, and a redirect is not followed.
"""

import base64
import binascii
import http.client
import re
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, HashAlgorithm
from cryptography.x509.oid import NameOID

from core.webhook_settings import Ses
from tracking.webhooks.genuine import (
    Arrived,
    NotGenuine,
    Unreadable,
    check_age,
    document,
    fields,
    unsigned,
    words,
    written_instant,
)

NOTIFICATION: Final = "Notification"
CONFIRMATION: Final = "SubscriptionConfirmation"
_SIGNED: Final[Mapping[str, tuple[str, ...]]] = {
    NOTIFICATION: ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    CONFIRMATION: ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}  # fmt: skip
_HASHES: Final[Mapping[str, type[HashAlgorithm]]] = {"1": SHA1, "2": SHA256}
_HOST: Final = re.compile(r"sns\.[a-z0-9-]{2,30}\.amazonaws\.com(\.cn)?")
_OWNER: Final = re.compile(r"sns(\.[a-z0-9-]{2,30})?\.amazonaws\.com(\.cn)?")
_CERTIFICATE: Final = re.compile(r"/[A-Za-z0-9_-]{1,100}\.pem")
_LARGEST: Final = 64 * 1024
_TIMEOUT_S: Final = 5.0
#: An address that gave no certificate is not asked again for so long.
_FAILED_FOR_S: Final = 60.0
_MOST: Final = 64

#: What an https address answers with status 200; None for anything else.
Fetch = Callable[[str], bytes | None]


def amazon_host(url: object) -> str | None:
    """The host of an https address of SNS; None for every other address."""
    if not isinstance(url, str) or not url.isascii() or re.search(r"[\s\\]", url):
        return None
    try:
        parts = urlsplit(url)
        is_plain = parts.scheme == "https" and parts.port in (None, 443) and "@" not in parts.netloc
    except ValueError:
        return None
    host = parts.hostname or ""
    return host if is_plain and _HOST.fullmatch(host) else None


def fetch(url: str) -> bytes | None:
    """What Amazon's host answers, over verified TLS, without following redirects; None: nothing usable."""
    host = amazon_host(url)
    if host is None:
        return None
    parts = urlsplit(url)
    link = http.client.HTTPSConnection(host, timeout=_TIMEOUT_S, context=ssl.create_default_context())
    try:
        link.request("GET", f"{parts.path}?{parts.query}" if parts.query else parts.path)
        answer = link.getresponse()
        body = answer.read(_LARGEST + 1)
        return body if answer.status == 200 and len(body) <= _LARGEST else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        link.close()


@dataclass
class Certificates:
    """Amazon's signing certificates, kept by address."""

    fetch: Fetch = fetch
    _known: dict[str, x509.Certificate] = field(default_factory=dict)
    _failed: dict[str, float] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def key(self, url: str, now: datetime) -> RSAPublicKey:
        """The public key of the certificate at `url`, which is Amazon's and valid at `now`.

        Raises:
            NotGenuine: it is not, or cannot be had.
        """
        if amazon_host(url) is None or not _CERTIFICATE.fullmatch(urlsplit(url).path) or urlsplit(url).query:
            raise NotGenuine("the certificate is not at Amazon")
        with self._lock:
            found = self._known.get(url) or self._load(url)
        if not found.not_valid_before_utc <= now <= found.not_valid_after_utc:
            raise NotGenuine("the certificate is not valid at this time")
        key = found.public_key()
        if not isinstance(key, RSAPublicKey) or not any(_OWNER.fullmatch(name) for name in _names(found)):
            raise NotGenuine("the certificate is not that of SNS")
        return key

    def _load(self, url: str) -> x509.Certificate:
        if time.monotonic() < self._failed.get(url, float("-inf")):
            raise NotGenuine("the certificate could not be had")
        body = self.fetch(url)
        try:
            found = x509.load_pem_x509_certificate(body or b"")
        except ValueError:
            self._failed = dict(list(self._failed.items())[-_MOST:]) | {url: time.monotonic() + _FAILED_FOR_S}
            raise NotGenuine("the certificate could not be had") from None
        self._known = dict(list(self._known.items())[-_MOST:]) | {url: found}
        return found


def _names(certificate: x509.Certificate) -> list[str]:
    """Whom the certificate names."""
    common = [str(each.value) for each in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    try:
        other = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return common
    return [*common, *other.value.get_values_for_type(x509.DNSName)]


@dataclass(frozen=True, slots=True)
class Envelope:
    """A verified envelope. `subscribe_url` is set when Amazon asks whether we want to hear of the topic."""

    message: str
    message_id: str
    sent_at: datetime
    subscribe_url: str | None = None


def verify(arrived: Arrived, settings: Ses, certificates: Certificates) -> Envelope:
    """The envelope, which Amazon signed for one of our topics.

    Raises:
        NotGenuine: it did not, or long ago.
    """
    said = _said(arrived)
    if said.get("TopicArn") not in settings.topics:  # before anything is fetched: strangers cause no traffic
        raise NotGenuine("not a topic of ours")
    kind, version, signature = (said.get(name) for name in ("Type", "SignatureVersion", "Signature"))
    if not isinstance(signature, str) or not signature:
        raise unsigned("the signature")
    if not isinstance(kind, str) or kind not in _SIGNED or not isinstance(version, str) or version not in _HASHES:
        raise NotGenuine("an unknown type or version of signature")
    key = certificates.key(str(said.get("SigningCertURL")), arrived.now)
    try:
        key.verify(base64.b64decode(signature, validate=True), _canonical(said, kind), PKCS1v15(), _HASHES[version]())
    except (InvalidSignature, binascii.Error, ValueError):
        raise NotGenuine("the signature is wrong") from None
    sent_at = written_instant(said.get("Timestamp"), arrived.now - settings.max_age - timedelta(days=1))
    check_age(sent_at, arrived.now, settings.max_age)
    url = said.get("SubscribeURL") if kind == CONFIRMATION and amazon_host(said.get("SubscribeURL")) else None
    message_id = words(said.get("MessageId"), 200) or ""
    return Envelope(str(said.get("Message") or "") if kind == NOTIFICATION else "", message_id, sent_at, url)


def _said(arrived: Arrived) -> Mapping[str, Any]:
    """The document, whose signature is inside it. What is no JSON is not signed."""
    try:
        return fields(document(arrived.body))
    except Unreadable:
        raise unsigned("the signature") from None


def _canonical(said: Mapping[str, Any], kind: str) -> bytes:
    """What Amazon signs: names and values in lines, those that are there."""
    lines = [(name, said[name]) for name in _SIGNED[kind] if isinstance(said.get(name), str)]
    return "".join(f"{name}\n{value}\n" for name, value in lines).encode("utf-8", "surrogatepass")
