"""Mails that come in, as tests need them: reports of mail servers, answers of machines and of people."""

import zlib

OWN = "bounces.paper.example"
SETTINGS = """\
organisation: {{name: "Paper & Co", postal_address: "1 Mill Lane, 12345 Papertown"}}
database: "{database}"
broker: "{broker}"
secret: "0123456789abcdef0123456789abcdef"
senders:
  offers:
    {{name: Paper, email: offers@paper.example, reply_to: help@paper.example, return_path: bounces.paper.example}}
transports:
  main: {{url: "smtp://127.0.0.1:{smtp_port}", connections: 4}}
topics:
  promotions: {{label: "Offers and promotions"}}
  news: {{label: "News"}}
staff:
  anna: {{name: Anna, email: anna@paper.example}}
feedback: {{replies_to: anna}}
"""


def crlf(text: str) -> bytes:
    """`text` with the line ends of mail."""
    return text.replace("\n", "\r\n").encode()


def status_notification(
    *recipients: str, action: str = "failed", status: str = "5.1.1", diagnostic: str = "smtp; 550 5.1.1 No such user",
    to: str = "offers@paper.example", returned: str = "", envelope_id: str = "", number: str = "1",
) -> bytes:  # fmt: skip
    """A delivery status notification, the headers of the message returned at its end."""
    blocks = "\n".join(
        f"Final-Recipient: rfc822; {one}\nAction: {action}\nStatus: {status}\nDiagnostic-Code: {diagnostic}\n"
        for one in recipients
    )
    head = f"Original-Envelope-Id: {envelope_id}\n" if envelope_id else ""
    return crlf(f"""\
Return-Path: <>
From: MAILER-DAEMON@mx.customers.example (Mail Delivery System)
To: {to}
Subject: Undelivered Mail Returned to Sender
Message-ID: <{number}@mx.customers.example>
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="B"

--B
Content-Type: text/plain

Your message could not be delivered.

--B
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.customers.example
{head}
{blocks}
--B
Content-Type: text/rfc822-headers

{returned or "Subject: Paper"}

--B--
""")


def spam_report(*, kind: str = "abuse", version: str = "Version: 1\n", returned: str = "", rcpt: str = "") -> bytes:
    """A feedback report (ARF)."""
    named = f"Original-Rcpt-To: <{rcpt}>\n" if rcpt else ""
    return crlf(f"""\
From: <abuse@isp.example>
To: abuse@paper.example
Subject: FW: Paper
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="B"

--B
Content-Type: text/plain

This is an email abuse report.

--B
Content-Type: message/feedback-report

Feedback-Type: {kind}
User-Agent: SomeGenerator/1.0
{version}{named}
--B
Content-Type: message/rfc822

{returned or "From: offers@paper.example"}

Buy paper.

--B--
""")


def letter(
    sender: str, *, subject: str = "Re: Paper", text: str = "Please call me.", to: str = "help@paper.example",
    headers: str = "",
) -> bytes:  # fmt: skip
    """What somebody writes."""
    return crlf(f"""\
From: Somebody <{sender}>
To: {to}
Subject: {subject}
Message-ID: <{zlib.crc32(repr((sender, subject, text, to, headers)).encode())}@mua.example>
Date: Mon, 2 Mar 2026 11:00:00 +0000
{headers}MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8

{text}
""")
