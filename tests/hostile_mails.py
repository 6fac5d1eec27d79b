"""Mails that are made to break their readers, each as large as asked for."""

from collections.abc import Callable
from typing import Final

_DAEMON: Final = b"From: MAILER-DAEMON@mx.example\r\nSubject: failure notice\r\n"
_MIXED: Final = b'From: a@customers.example\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'


def _nested(size: int) -> bytes:
    """10,000 levels and more, each with a boundary of its own."""
    head = b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n'
    levels = b"".join(head % (level, level) for level in range(max(10_000, size // 60)))
    return b"From: a@customers.example\r\n" + levels + b"Content-Type: text/plain\r\n\r\nhi\r\n"


def _of(head: bytes, repeated: bytes, tail: bytes = b"") -> Callable[[int], bytes]:
    return lambda size: head + repeated * (size // len(repeated)) + tail


def _reports(size: int) -> bytes:
    """Thousands of groups of fields, no two of one recipient, beside words that take long to judge."""
    head = (
        b'From: <>\r\nSubject: Undelivered\r\nContent-Type: multipart/report; boundary="B"\r\n\r\n--B\r\n'
        b"Content-Type: text/plain\r\n\r\n" + (b"user " * 49 + b"\r\n") * 66
    )
    part = b"--B\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\n"
    group = b"Final-Recipient: rfc822; a%d@customers.example\r\nAction: failed\r\nDiagnostic-Code: " + b"user " * 190
    parts = min(max(1, size // 100_000), 290)
    of_part = b"".join(group % number + b"\r\n\r\n" for number in range(100))
    return head + (part + of_part) * parts + b"--B--\r\n"


def _ids(size: int) -> bytes:
    """Hundreds of enclosed mails with ids, and fields that name where it was delivered, which never come to an @."""
    fields = b"".join(
        name + b": " + b"a" * 8000 + b"\r\n"
        for name in (b"Delivered-To", b"X-Original-To", b"Envelope-To", b"X-Rcpt-To")
        for _ in range(3)
    )
    head = b'From: a@customers.example\r\nContent-Type: multipart/mixed; boundary="B"\r\n' + fields + b"\r\n"
    ids = b"".join(
        name + b": " + b"a" * 8000 + b"\r\n" for name in (b"Message-ID", b"Return-Path", b"Original-Message-ID")
    )
    part = b"--B\r\nContent-Type: message/rfc822\r\n\r\nFrom: a\r\n" + ids + b"\r\nx\r\n"
    return head + part * max(1, (size - len(head)) // len(part))


#: What it is → its bytes, about as many as asked for. After each, whether it is too strange to be acted upon.
HOSTILE: Final[dict[str, tuple[Callable[[int], bytes], bool]]] = {
    "nested": (_nested, True),
    "nested in one boundary": (_of(_MIXED, b'--b\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'), True),
    "mails in mails": (_of(b"", b"From: a@customers.example\r\nContent-Type: message/rfc822\r\n\r\n"), True),
    "thousands of parts": (_of(_MIXED, b"--b\r\n\r\nx\r\n"), True),
    "one header field": (_of(b"From: a@customers.example\r\nSubject: ", b"a"), True),
    "many header fields": (_of(b"From: a@customers.example\r\n", b"X-A: b\r\n"), True),
    "a folded header field": (_of(b"From: a@customers.example\r\nSubject: x\r\n", b" b\r\n"), True),
    "a boundary everywhere": (
        _of(b'From: a@customers.example\r\nContent-Type: multipart/mixed; boundary="-"\r\n\r\n', b"-"),
        True,
    ),
    "no boundary": (_of(b"From: a@customers.example\r\nContent-Type: multipart/mixed\r\n\r\n", b"x"), True),
    "no end": (_of(_MIXED, b"x" * 70 + b"\r\n"), True),
    "nothing but NULs": (_of(b"", b"\x00"), True),
    "NULs": (_of(_DAEMON + b"\r\n", b"\x00"), False),
    "line ends": (_of(_DAEMON + b"\r\n", b"\n"), False),
    "torn base64": (_of(_DAEMON + b"Content-Transfer-Encoding: base64\r\n\r\n", b"QUJD", b"=A"), False),
    "quoted-printable": (_of(_DAEMON + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n", b"=41=\r\n"), False),
    "a charset that takes long": (_of(_DAEMON + b"Content-Type: text/plain; charset=punycode\r\n\r\n", b"a-"), False),
    "a charset nobody knows": (
        _of(_DAEMON + b'Content-Type: text/plain; charset="x\x00y"\r\n\r\n', b"\xff\xfe"),
        False,
    ),
    "halves of characters": (_of(_DAEMON + b"Content-Type: text/plain; charset=utf-7\r\n\r\n", b"+2AA-"), False),
    "open tags": (_of(_DAEMON + b"Content-Type: text/html\r\n\r\n", b"<script"), False),
    "tags": (_of(_DAEMON + b"Content-Type: text/html\r\n\r\n", b"<script></script><a<b>&#99999999999;"), False),
    "addresses": (_of(_DAEMON + b"\r\nA message that you sent could not be delivered\r\n", b"a@"), False),
    "long words": (
        _of(_DAEMON + b"\r\nDid not reach the following recipient\r\nYour message to:\r\n", b"a" * 240 + b"\r\n"),
        False,
    ),
    "recipients": (
        _of(
            b'From: <>\r\nContent-Type: multipart/report; boundary="b"\r\n\r\n--b\r\n'
            b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: x\r\n\r\n",
            b"Final-Recipient: rfc822; a@customers.example\r\nAction: failed\r\n\r\n",
        ),
        False,
    ),
    "reports and words": (_reports, False),
    "ids without an end": (_ids, False),
    "encoded words": (_of(b"From: a@customers.example\r\nSubject: ", b"=?utf-8?q?=41?= "), True),
    "references": (_of(b"From: a@customers.example\r\nReferences: ", b"<a@b>\r\n "), True),
}
