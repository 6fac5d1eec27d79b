"""What one message of about 7 KB costs: our writer against Python's `email` package.

python bench/message_bytes.py [--count 2000]
"""

import argparse
import random
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from delivery.message_bytes import Mail, bulk_headers, encoded_attachment, write_message

_ROW = '<p style="color:#333333">{}, line {} of <a href="https://news.paper.example/c/k7f3x{}">our offer</a></p>\n'
_FILE = b"%PDF-1.7\n" + random.Random(1).randbytes(100_000)
_GREETINGS = {
    "ASCII": "Dear friend",
    "Latin": "Liebe Frau Müller, schöne Grüße",
    "Chinese": "亲爱的顾客您好" * 4,
}


def mail_of(greeting: str, number: int) -> Mail:
    """A bulk mail of about 7 KB whose body and addresses belong to one person."""
    rows = [_ROW.format(greeting, line, number * 100 + line) for line in range(60)]
    return Mail(
        message_id=f"k7f3.{number}@paper.example",
        date=datetime(2026, 3, 2, 12, 0, tzinfo=UTC),
        sender_name="Paper & Co",
        sender_email="offers@paper.example",
        reply_to="help@paper.example",
        recipient_email=f"c{number}@customers.example",
        recipient_name=f"Customer {number}",
        subject=f"{greeting}: spring offers",
        text="".join(f"{greeting}, line {line}\n" for line in range(15)),
        html=f"<html><body>{''.join(rows)}</body></html>\n",
        headers=bulk_headers(f"https://news.paper.example/u/{'x' * 120}{number}"),
    )


def with_email_package(mail: Mail) -> bytes:
    """The same message by `email.message`."""
    message = EmailMessage(policy=SMTP)
    message["Date"] = format_datetime(mail.date)
    message["From"] = Address(mail.sender_name, addr_spec=mail.sender_email)
    message["Reply-To"] = mail.reply_to
    message["To"] = Address(mail.recipient_name or "", addr_spec=mail.recipient_email)
    message["Subject"] = mail.subject
    message["Message-ID"] = f"<{mail.message_id}>"
    for name, value in mail.headers:
        message[name] = value
    message.set_content(mail.text)
    message.add_alternative(mail.html, subtype="html")
    if mail.attachments:
        message.add_attachment(_FILE, maintype="application", subtype="pdf", filename=mail.attachments[0].name)
    return message.as_bytes()


def micros_each(write: Callable[[Mail], bytes], mails: list[Mail]) -> float:
    """Microseconds per message, the best of three rounds."""
    rounds = []
    for _ in range(3):
        started = time.perf_counter()
        for mail in mails:
            write(mail)
        rounds.append((time.perf_counter() - started) / len(mails) * 1e6)
    return min(rounds)


def main() -> None:
    """A row per kind of text is printed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=2000)
    count = parser.parse_args().count
    print(f"{'text':8} {'octets':>7} {'ours µs':>8} {'8-bit µs':>8} {'email µs':>9}")
    for name, greeting in _GREETINGS.items():
        mails = [mail_of(greeting, number) for number in range(count)]
        ours = micros_each(write_message, mails)
        eight_bit = micros_each(lambda mail: write_message(mail, eight_bit=True), mails)
        theirs = micros_each(with_email_package, mails[: max(count // 20, 1)])
        print(f"{name:8} {len(write_message(mails[0])):7} {ours:8.1f} {eight_bit:8.1f} {theirs:9.1f}")
    with_file(count)


def with_file(count: int) -> None:
    """The rows of a message with an attachment of 100 KB, and what encoding it once for all messages takes."""
    started = time.perf_counter()
    file = encoded_attachment("price-list.pdf", "application/pdf", _FILE)
    once = (time.perf_counter() - started) * 1e6
    mails = [replace(mail_of("Dear friend", number), attachments=(file,)) for number in range(count)]
    ours, theirs = micros_each(write_message, mails), micros_each(with_email_package, mails[: max(count // 100, 1)])
    print(f"{'+100 KB':8} {len(write_message(mails[0])):7} {ours:8.1f} {'':8} {theirs:9.1f}")
    print(f"the file is encoded once a version: {once:.0f} µs")


if __name__ == "__main__":
    main()
