"""DKIM signatures by example: the sample of RFC 8463, what is covered, what breaks them, and keys that stay secret."""

import base64
import re
import traceback
from datetime import UTC, datetime, timedelta

import dkim
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from campaigns.retry_waits import RETRY_WAITS
from core.clock import SteppedClock
from core.dkim_settings import checked_domain
from core.errors import ConfigError
from delivery.dkim import VALID_FOR, Signer, signer_for
from delivery.dkim.canonical import relaxed_body, relaxed_fields, split
from delivery.dkim.keys import SigningKey, new_key, pem_of, read_key
from delivery.dkim.records import record_fault, record_value, txt_strings, zone_lines
from delivery.message_bytes import Mail, bulk_headers, write_message

RSA = SigningKey("paper.example", "s2026a", new_key())
ED25519 = SigningKey("paper.example", "e2026a", new_key(ed25519=True))
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SIGNER = Signer((RSA, ED25519))
WANTED = {
    "from", "to", "subject", "date", "message-id", "reply-to", "mime-version", "content-type",
    "list-id", "list-unsubscribe", "list-unsubscribe-post", "feedback-id",
}  # fmt: skip

#: RFC 8463 appendix A: the message, with both signatures, and the secret key of appendix A.1.
SAMPLE = b"""\
DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
""".replace(b"\n", b"\r\n")
SAMPLE_SECRET = base64.b64decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
SAMPLE_ED25519 = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
SAMPLE_RSA = (
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91"
    "y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB"
)


def make_content(**values):
    """A bulk mail in which only what matters is given."""
    defaults = {
        "message_id": "k7f3.1@paper.example",
        "date": NOON,
        "sender_name": "Paper & Co",
        "sender_email": "offers@paper.example",
        "reply_to": "help@paper.example",
        "recipient_email": "anna@customers.example",
        "recipient_name": "Anna",
        "subject": "Spring offers",
        "text": "Hello\n",
        "html": "<p>Hello</p>\n",
        "headers": (
            *bulk_headers("https://news.paper.example/u/k7f3"),
            ("List-Id", "Offers <offers.paper.example>"),
            ("Feedback-ID", "spring:promotions:paper"),
        ),
    }
    return write_message(Mail(**(defaults | values)))


def tags_of(field):
    """The tags of one DKIM-Signature field, without blanks."""
    value = re.sub(r"\s+", "", field.partition(":")[2])
    return dict(part.split("=", 1) for part in value.split(";"))


def signatures_of(signed):
    """The tags of each DKIM-Signature field, from the top."""
    head = split(signed)[0].decode()
    return [tags_of(field) for field in re.findall(r"DKIM-Signature:(?:.|\r\n )*\r\n", head)]


def records_of(*keys):
    """A name server that has the records of `keys`."""
    records = {key.dns_name: record_value(key).encode() for key in keys}
    return lambda name, timeout=5: records.get(name.decode().rstrip("."))


def verdicts(signed, *keys):
    """What dkimpy says about each signature, from the top."""
    judged = []
    for place in range(signed.count(b"DKIM-Signature:")):
        try:
            judged.append(dkim.DKIM(signed).verify(place, dnsfunc=records_of(*keys)))
        except dkim.DKIMException:
            judged.append(False)
    return judged


@pytest.mark.parametrize("selector", ["brisbane", "test"])
def test_rfc_8463_sample_is_covered_as_it_was_signed(selector):
    """
    Our canonical form of the RFC's sample is what both of its signatures cover.
    """
    (covered, signature, body_hash) = covered_in_sample(selector)

    digest = hashes.Hash(hashes.SHA256())
    digest.update(relaxed_body(split(SAMPLE)[1]))
    assert base64.b64decode(body_hash) == digest.finalize()
    if selector == "test":
        public = serialization.load_der_public_key(base64.b64decode(SAMPLE_RSA))
        public.verify(signature, covered, padding.PKCS1v15(), hashes.SHA256())
    else:
        key = SigningKey("football.example.com", "brisbane", Ed25519PrivateKey.from_private_bytes(SAMPLE_SECRET))
        assert SAMPLE_ED25519 == record_value(key)
        assert signature == key.signature(covered)


def covered_in_sample(selector):
    """What a signature of the sample covers by our canonical form, the signature, and its bh=."""
    fields = relaxed_fields(split(SAMPLE)[0])
    ours = next(field for name, field in fields if name == b"dkim-signature" and f"s={selector};".encode() in field)
    tags = tags_of(ours.decode())
    by_name = dict(fields)
    names = tags["h"].split(":")[:5]  # the others are named once more, and there is no second one
    without_value = re.sub(rb" b=.*", b" b=", ours.rstrip(b"\r\n"))
    covered = b"".join(by_name[name.encode()] for name in names) + without_value
    return covered, base64.b64decode(tags["b"]), tags["bh"]


def test_message_is_signed_twice_and_verifies():
    """
    Each message has an RSA and an Ed25519 signature, by selectors of their own and for one domain; both verify.
    """
    signed = SIGNER.sign(make_content())

    assert [True, True] == verdicts(signed, RSA, ED25519)
    assert [("rsa-sha256", "s2026a", "paper.example"), ("ed25519-sha256", "e2026a", "paper.example")] == [
        (tags["a"], tags["s"], tags["d"]) for tags in signatures_of(signed)
    ]


def test_message_itself_is_untouched():
    """
    The signatures stand in front; what follows is the content, octet by octet.
    """
    content = make_content()

    assert SIGNER.sign(content).endswith(b"\r\n" + content)


def test_signature_covers_what_receivers_rely_on():
    """
    h= names every field that matters, above all both of one-click unsubscription, and none that changes on its way.
    """
    content = b"Return-Path: <bounces@paper.example>\r\nReceived: by relay\r\n" + make_content()
    names = signatures_of(SIGNER.sign(content))[0]["h"].split(":")

    assert set() == WANTED - set(names)
    assert set() == {"return-path", "received", "dkim-signature"} & set(names)


def test_signature_has_the_tags_of_the_standard():
    """
    Relaxed both ways, i= in the domain, t= now, x= after every retry has had a relay's five days, and never l=.
    """
    (tags, _) = signatures_of(Signer((RSA, ED25519), SteppedClock(NOON)).sign(make_content()))

    assert ("1", "relaxed/relaxed", "@paper.example") == (tags["v"], tags["c"], tags["i"])
    assert (int(NOON.timestamp()), int((NOON + VALID_FOR).timestamp())) == (int(tags["t"]), int(tags["x"]))
    assert VALID_FOR >= sum(RETRY_WAITS, timedelta(days=5))
    assert "l" not in tags


@pytest.mark.parametrize("name", ["From", "To", "Cc", "Subject", "Date", "Reply-To", "Content-Type"])
def test_added_field_breaks_both_signatures(name):
    """
    Nobody can add a second From, or a Cc where there was none, and keep the signatures good.
    """
    signed = SIGNER.sign(make_content())
    head, body = split(signed)

    for forged in (name.encode() + b": evil@example.com\r\n" + signed,
                   head + name.encode() + b": evil@example.com\r\n\r\n" + body):  # fmt: skip
        assert [False, False] == verdicts(forged, RSA, ED25519)


@pytest.mark.parametrize("changed", [(b"Hello", b"Hullo"), (b"One-Click", b"Two-Click"), (b"Spring", b"Autumn")])
def test_changed_content_breaks_both_signatures(changed):
    """
    A changed body, subject or unsubscription is seen by both.
    """
    assert [False, False] == verdicts(SIGNER.sign(make_content()).replace(*changed), RSA, ED25519)


def test_signed_bytes_may_be_signed_again():
    """
    A repeated attempt signs anew; older signatures below stay good.
    """
    once = Signer((RSA,)).sign(make_content())

    assert [True, True, True] == verdicts(SIGNER.sign(once), RSA, ED25519)


def test_several_fields_of_one_name_are_covered_from_the_last_up():
    """
    Fields that occur twice are hashed from the last one up.
    """
    signed = SIGNER.sign(b"List-Post: <mailto:a@paper.example>\r\nList-Post: NO\r\n" + make_content())

    assert [True, True] == verdicts(signed, RSA, ED25519)
    assert 2 == signatures_of(signed)[0]["h"].split(":").count("list-post")


def test_blanks_before_the_colon_are_no_part_of_the_name():
    """
    The old form with blanks before the colon is read too (RFC 6376 section 3.4.2).
    """
    assert [(b"subject", b"subject:a b\r\n")] == relaxed_fields(b"Subject \t: a \t\r\n  b \r\n")


@pytest.mark.parametrize("content", [b"From: a@paper.example\r\n\r\n", b"From: a@paper.example\r\n"])
def test_message_without_body_verifies(content):
    """
    An empty body is signed as one, with or without the blank line.
    """
    assert [True, True] == verdicts(SIGNER.sign(content), RSA, ED25519)


def test_mail_after_a_rotation_verifies_with_both_records():
    """
    Mail signed before a rotation and mail signed after it verify while both records are in DNS.
    """
    old, new = RSA, SigningKey("paper.example", "s2026b", new_key())
    before, after = Signer((old,)).sign(make_content()), Signer((new,)).sign(make_content())

    assert [[True], [True]] == [verdicts(signed, old, new) for signed in (before, after)]
    assert [[False], [True]] == [verdicts(signed, new) for signed in (before, after)]


def test_lines_of_the_signature_are_short():
    """
    No line is longer than 78 characters, and a fold is never inside a word.
    """
    signed = SIGNER.sign(make_content())

    field_lines = signed[: -len(make_content())].decode().split("\r\n")
    assert 78 >= max(map(len, field_lines))
    assert all(line.startswith((" ", "DKIM-Signature: v=1;")) for line in field_lines if line)


def test_domain_of_the_settings_is_signed_as_a_labels():
    """
    However clarion.yaml spells a domain, d= and i= are its A-labels.
    """
    key = SigningKey(checked_domain("Bücher.Example"), "s", RSA.private)

    (tags,) = signatures_of(Signer((key,)).sign(make_content()))
    assert ("xn--bcher-kva.example", "@xn--bcher-kva.example") == (tags["d"], tags["i"])


def test_signer_is_chosen_by_the_domain_of_the_address():
    """
    The domain is compared as A-labels; a domain without keys goes unsigned, and so does one below.
    """
    signers = {"paper.example": SIGNER, "xn--bcher-kva.example": Signer((RSA,))}

    assert [SIGNER, signers["xn--bcher-kva.example"], None, None] == [
        signer_for(signers, email)
        for email in ("a@Paper.Example", "a@bücher.example", "a@other.example", "a@news.paper.example")
    ]


# --- keys ------------------------------------------------------------------------------------------------


def pem(key):
    """A key as `openssl` writes it."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    ).decode()


def locked_pem():
    """A key with a passphrase."""
    return RSA.private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"open")
    ).decode()


@pytest.mark.parametrize("line_end", ["\n", "\\n", " ", "\r\n", "\n\n"])
@pytest.mark.parametrize("key", [RSA, ED25519], ids=["rsa", "ed25519"])
def test_key_is_read_however_its_line_ends_came(key, line_end):
    """
    Environments and YAML turn line ends into blanks or `\\n`; the key is read all the same.
    """
    read = SigningKey(key.domain, key.selector, read_key(pem_of(key.private).decode().replace("\n", line_end)))

    assert key.public_octets() == read.public_octets()


def test_traditional_rsa_key_is_read():
    """
    Keys of other programs (`BEGIN RSA PRIVATE KEY`) are read.
    """
    assert RSA.private.private_numbers() == read_key(pem(RSA.private)).private_numbers()


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "not a private key (expected PEM"),
        ("c2VjcmV0", "not a private key (expected PEM"),
        ("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----", "damaged or of an unknown kind"),
        ("-----BEGIN PUBLIC KEY-----\nc2VjcmV0\n-----END PUBLIC KEY-----", "not a private key (got a public key)"),
        (pem(rsa.generate_private_key(65537, 1024)).replace("MII", "c2VjcmV0"), "damaged or of an unknown kind"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "of another kind (expected RSA or Ed25519)"),
        (locked_pem(), "protected by a passphrase"),
    ],
)
def test_unusable_key_is_told_without_any_of_it(text, wrong):
    """
    Each kind of mistake has its own words; nothing of the key is in message, hint or traceback.
    """
    with pytest.raises(ConfigError) as caught:
        read_key(text)

    assert wrong in caught.value.message
    told = "".join(traceback.format_exception(caught.value)) + caught.value.hint
    assert not any(line in told for line in text.splitlines() if line and not line.startswith("-----"))


def test_short_key_is_refused():
    """
    RSA below 1024 bits is refused with the length it has (S-3.1); 1024 is still read.
    """
    short = (
        "-----BEGIN RSA PRIVATE KEY-----\n"
        "MIIBOgIBAAJBAKj34GkxFhD90vcNLYLInFEX6Ppy1tPf9Cnzj4p4WGeKLs1Pt8Qu\n"
        "KUpRKfFLfRYC9AIKjbJTWit+CqvjWYzvQwECAwEAAQJAIJLixBy2qpFoS4DSmoEm\n"
        "o3qGy0t6z09AIJtH+5OeRV1be+N4cDYJKffGzDa88vQENZiRm0GRq6a+HPGQMd2k\n"
        "TQIhAKMSvzIBnni7ot/OSie2TmJLY4SwTQAevXysE2RbFDYdAiEBCUEaRQnMnbp7\n"
        "9mxDXDf6AU0cN/RPBjb9qSHDcWZHGzUCIG2Es59z8ugGrDY+pxLQnwfotadxd+Uy\n"
        "v/Ow5T0q5gIJAiEAyS4RaI9YG8EWx/2w0T67ZUVAw8eOMB6BIUg0Xcu+3okCIBOs\n"
        "/5OiPgoTdSy7bcF9IGpSE8ZgGKzgYQVZeN97YE00\n"
        "-----END RSA PRIVATE KEY-----\n"
    )

    with pytest.raises(ConfigError, match=r"got 512 bits, expected 2048 bits, at least 1024"):
        read_key(short)
    assert 1024 == read_key(pem(rsa.generate_private_key(65537, 1024))).key_size


def test_key_shows_nothing_of_itself():
    """
    Neither a key nor a signer shows more than domain and selector.
    """
    numbers = RSA.private.private_numbers()

    shown = f"{RSA!r} {RSA} {SIGNER!r} {SIGNER.shown}"
    assert not any(str(secret) in shown or f"{secret:x}" in shown for secret in (numbers.d, numbers.p, numbers.q))
    assert "SigningKey(domain='paper.example', selector='s2026a')" == repr(RSA)


# --- records ---------------------------------------------------------------------------------------------


def test_record_is_split_into_strings_that_fit():
    """
    A record longer than 255 octets is written as several strings, which joined are the record.
    """
    strings = txt_strings(record_value(RSA))

    assert record_value(RSA) == "".join(strings)
    assert [255, True] == [len(strings[0]), all(len(piece) <= 255 for piece in strings)]
    assert strings == re.findall(r'"(.*)"', zone_lines(RSA))


def test_published_record_is_what_the_key_needs():
    """
    The record of the key serves, also with blanks, other tags, and without the tags that have defaults.
    """
    public = record_value(RSA).rpartition("p=")[2]

    for text in (record_value(RSA), f"p={public}", f"v=DKIM1;k=rsa; n=ours ; p={public[:60]} {public[60:]} ;"):
        assert record_fault(RSA, text) is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("v=DKIM1; k=rsa", "it has no key"),
        ("v=spf1 a=b", "it is not a DKIM record"),
        ("hello", "it is not a list of tags"),
        ("v=DKIM1; k=rsa; p=", "its key is revoked"),
        ("v=DKIM2; p=abc", "it is not a DKIM record"),
        pytest.param(
            record_value(ED25519), "it is for another kind of key (got k=ed25519, expected k=rsa)", id="another kind"
        ),
        ("v=DKIM1; p=MIGf", "its key is another one"),
        (record_value(RSA) + "; h=sha1", "it does not allow SHA-256"),
        (record_value(RSA) + "; s=web", "it does not allow mail"),
        (record_value(RSA) + "; t=y:s", "only tests DKIM"),
    ],
)
def test_wrong_record_is_told(text, fault):
    """
    What keeps verifiers from using a record is named.
    """
    assert fault in (record_fault(RSA, text) or "")
