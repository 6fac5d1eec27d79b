"""What single mails report: notifications, complaints, answers of machines and of people."""

import pytest

from tests.inbound_mails import crlf, letter, spam_report, status_notification
from tracking.feedback import FeedbackKind
from tracking.inbound.findings import Action, Finding
from tracking.inbound.reading import read

_K = FeedbackKind


def kinds(raw: bytes) -> list[FeedbackKind]:
    return [finding.kind for finding in read(raw).findings]


@pytest.mark.parametrize(
    ("action", "status", "kind", "shown"),
    [
        ("failed", "5.1.1", _K.HARD, _K.HARD),
        ("Failed", "4.4.1", _K.SOFT, _K.SOFT),
        ("delayed", "4.4.1", _K.DELAYED, _K.DELAYED),
        ("delayed", "5.1.1", _K.DELAYED, _K.DELAYED),
        ("relayed", "2.1.5", _K.UNKNOWN, _K.UNKNOWN),
        ("expanded", "2.1.5", _K.UNKNOWN, _K.UNKNOWN),
        ("delivered", "2.1.5", _K.DELIVERED, _K.UNKNOWN),
    ],
)
def test_notification_counts_as_a_bounce_only_if_it_failed(action, status, kind, shown):
    """
    Of the actions only `failed` is a bounce, whatever its status (RFC 3464 section 2.3.3, S-4.2).
    """
    raw = status_notification("a@customers.example", action=action, status=status, diagnostic="smtp; said so")
    (found,) = read(raw).findings

    assert (kind, shown) == (found.kind, found.shown_class)


def test_notification_keeps_its_recipients_apart():
    """
    Each recipient of one notification has its own action, status and words (S-4.1).
    """
    full = "Final-Recipient: rfc822; full@customers.example\nAction: failed\nStatus: 5.2.2\n\n"
    late = "Original-Recipient: rfc822;late@customers.example\nFinal-Recipient: x400; /S=l/\n"
    others = crlf(f"{full}{late}Action: delayed\nStatus: 4.4.7\n\n--B\nContent-Type: text/rfc")
    raw = status_notification("gone@customers.example").replace(b"--B\r\nContent-Type: text/rfc", others)

    assert [
        ("gone@customers.example", _K.HARD, "5.1.1", Action.FAILED),
        ("full@customers.example", _K.MAILBOX_FULL, "5.2.2", Action.FAILED),
        ("late@customers.example", _K.DELAYED, "4.4.7", Action.DELAYED),
    ] == [(one.recipient, one.kind, one.status, one.action) for one in read(raw).findings]


@pytest.mark.parametrize(
    ("status", "diagnostic", "expected"),
    [
        ("5.1.1", "550 5.1.1 unknown", (_K.HARD, "5.1.1", True)),
        ("5.0.0", "smtp; 550 user unknown", (_K.HARD, "5.1.1", True)),
        ("5.0.0", "smtp; 550 unknown host", (_K.HARD, "5.1.2", True)),
        ("5.0.0", "smtp; 550 no", (_K.HARD, "5.0.0", False)),
        ("5.2.1", "smtp; 550 5.2.1 disabled", (_K.HARD, "5.2.1", False)),
        ("5.2.2", "smtp; 552 5.2.2 full", (_K.MAILBOX_FULL, "5.2.2", True)),
        ("5.0.0", "smtp; 550-5.7.1 likely unsolicited mail", (_K.BLOCK, "5.7.1", True)),
        ("5.7.515", "smtp; 550 5.7.515 Access denied", (_K.BLOCK, "5.7.515", True)),
        ("5.3.4", "smtp; 552 5.3.4 too big", (_K.MESSAGE_FAULT, "5.3.4", True)),
        ("5.6.0", "smtp; 554 5.6.0 bad MIME", (_K.MESSAGE_FAULT, "5.6.0", True)),
        ("4.4.7", "smtp; delivery time expired", (_K.SOFT, "4.4.7", True)),
        ("5.4.4", "smtp; unrouteable", (_K.SOFT, "5.4.4", True)),
        ("4.0.0", "smtp; 451 user unknown, perhaps", (_K.SOFT, "4.1.1", True)),
        ("", "smtp; 550 5.1.1 no such user", (_K.HARD, "5.1.1", True)),
    ],
)
def test_notification_is_judged_by_code_and_words(status, diagnostic, expected):
    """
    The more precise of code and words decides (S-1.39 to S-1.42); only address-class evidence is certain (S-4.3).
    """
    (found,) = read(status_notification("a@customers.example", status=status, diagnostic=diagnostic)).findings

    assert expected == (found.kind, found.status, found.is_certain)


@pytest.mark.parametrize(
    "raw",
    [b"", b"file,address\nbounce_1.txt,gone@customers.example\n", b"a: 1\nundeliverable: gone@customers.example\n"],
)
def test_what_is_no_mail_reports_nothing(raw):
    """
    A table or a file of settings is not a mail, whatever words and addresses stand in it, and says so.
    """
    reading = read(raw)

    assert [(_K.UNKNOWN, None, "not a mail")] == [(one.kind, one.recipient, one.diagnostic) for one in reading.findings]
    assert reading.mail.flaws


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("abuse", _K.COMPLAINT), ("fraud", _K.COMPLAINT), ("other", _K.COMPLAINT), ("virus", _K.COMPLAINT),
     ("not-spam", _K.UNKNOWN), ("opt-out", _K.UNSUBSCRIBE), ("something-new", _K.UNKNOWN)],
)  # fmt: skip
def test_spam_report_is_a_complaint_by_its_type(kind, expected):
    """
    abuse, fraud and other are complaints, not-spam is none (S-4.6).
    """
    assert [expected] == kinds(spam_report(kind=kind, rcpt="a@customers.example"))


@pytest.mark.parametrize("version", ["", "Version: 1\nVersion: 1\n", "Version: 1\nFeedback-Type: abuse\n"])
def test_spam_report_without_its_fields_says_nothing(version):
    """
    A report that lacks a field it must have, or has it twice, is not believed (RFC 5965 section 3.1).
    """
    assert [_K.UNKNOWN] == kinds(spam_report(version=version))


def test_spam_report_names_nobody_where_it_is_redacted():
    """
    Redacted addresses are not taken for addresses; one that stands in the returned header is.
    """
    redacted = spam_report(rcpt="redacted@isp.example", returned="From: o@paper.example\nTo: xxxx@isp.example")
    open_ = spam_report(returned="From: o@paper.example\nTo: A <a@isp.example>")

    assert [None, "a@isp.example"] == [read(raw).findings[0].recipient for raw in (redacted, open_)]


@pytest.mark.parametrize(
    ("subject", "headers"),
    [
        ("Re: Paper", "Auto-Submitted: auto-replied\n"),
        ("Re: Paper", "Auto-Submitted: auto-generated (vacation)\n"),
        ("Re: Paper", "X-Autoreply: yes\n"),
        ("Re: Paper", "Precedence: auto_reply\n"),
        ("Out of Office: Paper", ""),
        ("Automatic reply: Paper", "In-Reply-To: <x@paper.example>\n"),
        ("Automatische Antwort: Papier", ""),
        ("Abwesenheitsnotiz: Papier", ""),
        ("=?gb2312?B?19S2r7vYuLSjug==?= Paper", ""),
    ],
)
def test_answer_of_a_machine_is_neither_bounce_nor_reply(subject, headers):
    """
    Automatic answers are told by their headers, else by their subjects, in the languages people use (S-4.7).
    """
    assert [Finding(_K.AUTO_REPLY, "a@customers.example")] == list(
        read(letter("a@customers.example", subject=subject, headers=headers)).findings
    )


@pytest.mark.parametrize("headers", ["Auto-Submitted: no\n", "In-Reply-To: <x@paper.example>\n", ""])
def test_answer_of_a_person_is_a_reply(headers):
    """
    What a person writes is a reply, also if it quotes a bounce.
    """
    text = "Your mail to me bounced. See below.\n\n> <a@customers.example>: 550 5.1.1 user unknown"

    assert [_K.REPLY] == kinds(letter("a@customers.example", text=text, headers=headers))


@pytest.mark.parametrize(
    ("subject", "text"),
    [("unsubscribe", ""), ("Re: Unsubscribe please", "x"), ("Abmelden", "x"), ("退订", "x"), ("Re: Paper", "STOP"),
     ("Re: Paper", "Please remove me from your list\n\nOn Monday Paper wrote:\n> Buy paper.\n> Really.")],
)  # fmt: skip
def test_request_to_stop_is_told_from_other_answers(subject, text):
    """
    A subject or a short text that asks to stop is a request to stop.
    """
    assert [_K.UNSUBSCRIBE] == kinds(letter("a@customers.example", subject=subject, text=text))


@pytest.mark.parametrize(
    ("subject", "text"),
    [("Re: Paper", "I want to order a shopping stop sign.\nPlease call."), ("Stopover in Paris?", "We come by."),
     ("Re: Paper", "Great!\n\n> To unsubscribe click here")],
)  # fmt: skip
def test_other_answers_are_not_taken_for_requests_to_stop(subject, text):
    """
    Words like stop within a letter, or in what it quotes, unsubscribe nobody.
    """
    assert [_K.REPLY] == kinds(letter("a@customers.example", subject=subject, text=text))


def test_newsletters_of_others_are_unknown():
    """
    Bulk mail that strays in is no reply of a customer.
    """
    assert [_K.UNKNOWN] == kinds(letter("news@shop.example", headers="List-Id: <x.shop.example>\n"))


@pytest.mark.parametrize(
    "text", ["我要退订", "请退订", "退订谢谢", "取消订阅，谢谢", "Bitte abmelden", "Take me off your list", "TD"]
)
def test_short_requests_to_stop_are_known_in_any_language(text):
    """
    A request to stop counts with the polite words around it, also where no blanks part words.
    """
    assert [_K.UNSUBSCRIBE] == kinds(letter("a@customers.example", text=text))


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        ("Re: Stop paying too much for paper", "Yes please, 500 boxes.\n\nBest regards\nJoan\nHead of purchasing"),
        ("Re: Unsubscribe from high prices", "Yes please, 500 boxes.\n\nBest regards\nJoan\nHead of purchasing"),
        ("Stop by on Friday?", "We are at home."),
        ("Re: Paper", "Remove item 3 from my order, send the rest."),
        ("Re: Paper", "Stop! Before I order, is the price per box?"),
        ("Re: Baja prices", "What are they?"),
        ("TD Bank payment confirmation", "We have paid invoice 17."),
        ("Vacation planner, 20 pieces please", "By Friday."),
        ("Out of office supplies - reorder", "By Friday."),
        ("Away from home in May, please deliver later", "Thank you."),
        ("Delivery problem with order 4711", "My parcel could not be delivered yesterday, please send it again."),
        ("Returned to sender", "Our parcel was returned to sender."),
    ],
)
def test_customers_letters_are_replies_whatever_they_are_about(subject, text):
    """
    What a customer orders or complains about is no opt-out, no bounce and no answer of a machine.
    """
    assert [_K.REPLY] == kinds(letter("a@customers.example", subject=subject, text=text))


@pytest.mark.parametrize(
    "name", ["Bounce House Ltd", "System Administrator", "Mail Delivery Team", "Postmaster Coffee"]
)
def test_names_of_companies_make_nobody_a_machine(name):
    """
    Whether a mail server wrote is told by its address: the name beside it is anybody's.
    """
    raw = letter("a@customers.example", headers="In-Reply-To: <x@y>\n")

    assert [_K.REPLY] == kinds(raw.replace(b"From: Somebody", f"From: {name}".encode()))


def test_denial_of_an_automatic_answer_is_believed():
    """
    `X-Autoreply: no` says that a person wrote.
    """
    assert [_K.REPLY] == kinds(letter("a@customers.example", headers="X-Autoreply: no\n"))


def test_opt_out_by_token_wins_over_the_mark_of_a_machine():
    """
    A mail program that opts out for its reader, with the token of our header, may say that it is one (S-4.11).
    """
    raw = letter(
        "a@customers.example", subject=f"unsubscribe {'aB3-' * 10}", headers="Auto-Submitted: auto-generated\n"
    )

    assert [_K.UNSUBSCRIBE] == kinds(raw)
