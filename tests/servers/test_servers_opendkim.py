"""What OpenDKIM thinks of our signatures, by its own code: `opendkim -t FILE` with records from a file, without DNS."""

import re
import shutil
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from delivery.dkim import Signer
from delivery.dkim.keys import SigningKey, new_key, read_key
from delivery.dkim.records import record_fault, record_value
from delivery.message_bytes import Mail, bulk_headers, write_message

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(shutil.which("opendkim") is None, reason="needs Debian's package opendkim"),
]
OLD, NEW = SigningKey("paper.example", "s2026a", new_key()), SigningKey("paper.example", "s2026b", new_key())
ED25519 = SigningKey("paper.example", "e2026a", new_key(ed25519=True))
SIGNER = Signer((OLD, ED25519))
BOTH_PASS = [("pass", "rsa-sha256", "s2026a"), ("pass", "ed25519-sha256", "e2026a")]
_VERDICT = re.compile(r"dkim=(\w+).*?header\.a=([\w-]+) header\.s=(\w+)")
_MAIL = b"From: offers@paper.example\r\nTo: ann@customers.example\r\n"


def judged(folder: Path, signed: bytes, published: Iterable[SigningKey]) -> list[tuple[str, str, str]]:
    """OpenDKIM's verdict on each signature: result, algorithm, selector."""
    records = folder / "records"
    records.write_text("".join(f"{key.dns_name} {record_value(key)}\n" for key in published))
    settings, mail = folder / "opendkim.conf", folder / "mail.eml"
    settings.write_text(f"TestPublicKeys {records}\nMode v\nSyslog no\n")
    mail.write_bytes(signed)
    command = ["opendkim", "-x", str(settings), "-vvv", "-t", str(mail)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    verdicts = _VERDICT.findall(done.stdout)
    assert verdicts, done.stdout + done.stderr
    return verdicts


def bulk_mail() -> bytes:
    """A bulk mail as orders write it."""
    return write_message(
        Mail(
            message_id="k7f3.1@paper.example",
            date=datetime(2026, 3, 2, 12, 0, tzinfo=UTC),
            sender_name="Paper & Co",
            sender_email="offers@paper.example",
            reply_to="help@paper.example",
            recipient_email="ann@customers.example",
            recipient_name="Änn",
            subject="Frühling 春",
            text="Guten Morgen, Änn \n\n\n",
            html="<p>\n\t  Guten   Morgen\n</p>\n",
            headers=bulk_headers(f"https://news.paper.example/u/{'x' * 150}"),
        )
    )


def test_bulk_mail_verifies_twice(tmp_path):
    """
    OpenDKIM verifies both signatures of a bulk mail.
    """
    assert BOTH_PASS == judged(tmp_path, SIGNER.sign(bulk_mail()), [OLD, ED25519])


@pytest.mark.parametrize(
    "content",
    [
        _MAIL + b"\r\n",
        _MAIL + b"\r\n\r\n\r\n",
        _MAIL + b"Subject: no body\r\n",
        _MAIL + b"Subject: a  b\t c \r\n\td\r\n  e\r\n\r\nbody\r\n",
        _MAIL + b"Subject :blank before the colon\r\n\r\nbody\r\n",
        _MAIL + b"\r\n  a \t b \r\n\r\n \r\n.dot\r\n..\r\nend \t\r\n\r\n\r\n",
        _MAIL + b"\r\nlast line without its end",
        _MAIL + "Subject: ü\r\n\r\n8 bit: ü 春 \r\n".encode(),
        _MAIL + b"\r\n" + b"word " * 190 + b"\r\n",
        _MAIL + b"List-Post: NO\r\nReferences: <a@b>\r\nList-Post: <mailto:a@paper.example>\r\n\r\nbody\r\n",
    ],
)  # fmt: skip
def test_odd_message_verifies_twice(tmp_path, content):
    """
    Empty bodies, folded fields, stray blanks, octets outside ASCII and repeated fields verify as well.
    """
    carried = content if content.endswith(b"\r\n") else content + b"\r\n"

    assert BOTH_PASS == judged(tmp_path, SIGNER.sign(content) + carried[len(content) :], [OLD, ED25519])


def test_relay_may_add_its_lines_and_fold_anew(tmp_path):
    """
    Received lines on top, and other folds in what was signed, do no harm.
    """
    signed = SIGNER.sign(bulk_mail()).replace(b"; boundary=", b";\r\n\tboundary=").replace(b"To: ", b"To:\r\n  ", 1)

    relayed = b"Return-Path: <bounces@paper.example>\r\nReceived: from a by b\r\n" + signed
    assert BOTH_PASS == judged(tmp_path, relayed.replace(b"MIME-Version: 1.0", b"MIME-Version:   1.0"), [OLD, ED25519])


@pytest.mark.parametrize(
    "added", ["From: evil@example.com", "Cc: b@example.com", "Subject: other", "Reply-To: e@x.org"]
)
def test_added_field_is_seen(tmp_path, added):
    """
    A field added on top breaks both signatures.
    """
    verdicts = judged(tmp_path, f"{added}\r\n".encode() + SIGNER.sign(bulk_mail()), [OLD, ED25519])

    assert {"pass"}.isdisjoint(verdict for verdict, _, _ in verdicts)


def test_rotation_keeps_mail_on_its_way_good(tmp_path):
    """
    While both records are in DNS, mail signed before and after a rotation verifies; without the old one, only new mail.
    """
    before, after = Signer((OLD,)).sign(bulk_mail()), Signer((NEW,)).sign(bulk_mail())

    def results(*published):
        return [judged(tmp_path, signed, published)[0][0] for signed in (before, after)]

    assert ["pass", "pass"] == results(OLD, NEW)
    assert [False, True] == [result == "pass" for result in results(NEW)]


@pytest.mark.skipif(shutil.which("opendkim-genkey") is None, reason="needs Debian's package opendkim-tools")
def test_key_of_opendkim_is_read_with_its_record(tmp_path):
    """
    A key that OpenDKIM made can be taken over, and the record it printed is the one we would print.
    """
    command = ["opendkim-genkey", "-b", "2048", "-d", "paper.example", "-s", "mail", "-D", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    key = SigningKey("paper.example", "mail", read_key((tmp_path / "mail.private").read_text()))

    published = "".join(re.findall(r'"([^"]*)"', (tmp_path / "mail.txt").read_text()))
    assert record_fault(key, published) is None
