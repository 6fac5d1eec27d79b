"""What refusals say: codes first, then the words of the servers that people write to."""

import pytest

from delivery.bounce_classes import BounceClass, bounce_class
from delivery.smtp import Outcome, OutcomeState
from delivery.smtp.replies import Reply
from delivery.smtp.steps import Step

HARD, SOFT, FULL, DISABLED = BounceClass.HARD, BounceClass.SOFT, BounceClass.MAILBOX_FULL, BounceClass.DISABLED
BLOCK, MESSAGE, UNSUPPORTED = BounceClass.BLOCK, BounceClass.MESSAGE_FAULT, BounceClass.UNSUPPORTED


def refused(reply: str, step: Step = Step.RECIPIENT) -> BounceClass | None:
    """The class of a reply such as '550 5.1.1 no such user', said to `step`."""
    code, _, text = reply.partition(" ")
    state = OutcomeState.DEFERRED if code.startswith("4") else OutcomeState.FAILED
    return bounce_class(Reply(int(code), tuple(text.encode().split(b"\n"))).outcome(state, step))


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        # S-1.40
        ("550 5.1.1 x", HARD), ("550 5.1.2 x", HARD), ("550 5.1.3 x", HARD), ("550 5.1.6 x", HARD),
        ("556 5.1.10 null MX", HARD), ("550 5.4.1 x", SOFT), ("550 5.4.4 x", SOFT), ("451 4.4.1 x", SOFT),
        ("450 4.1.1 x", SOFT), ("550 5.3.0 x", SOFT), ("550 5.3.2 x", SOFT), ("452 4.3.1 disk full", SOFT),
        ("450 4.2.1 too fast", SOFT), ("550 5.1.4 ambiguous", SOFT), ("550 5.2.4 list expansion", SOFT),
        # S-1.41
        ("452 4.2.2 x", FULL), ("552 5.2.2 x", FULL), ("550 5.2.2 x", FULL), ("550 5.2.1 x", DISABLED),
        ("450 4.2.1 this account is disabled", DISABLED),
        # S-1.42
        ("550 5.7.1 x", BLOCK), ("550 5.7.515 x", BLOCK), ("550 5.7.26 x", BLOCK), ("421 4.7.28 x", BLOCK),
        ("421 4.7.0 x", BLOCK), ("450 4.7.1 x", BLOCK), ("550 5.2.3 x", MESSAGE), ("552 5.3.4 x", MESSAGE),
        ("452 4.3.4 x", MESSAGE), ("554 5.6.0 x", MESSAGE), ("554 5.6.1 x", MESSAGE), ("501 5.5.2 x", MESSAGE),
        ("501 5.5.4 x", MESSAGE), ("452 4.5.3 x", SOFT), ("550 5.5.3 too many recipients", SOFT),
        # the sender's address, and what needs SMTPUTF8
        ("553 5.1.7 x", MESSAGE), ("550 5.1.8 x", MESSAGE), ("553 5.6.7 x", UNSUPPORTED),
    ],
)  # fmt: skip
def test_enhanced_code_decides(reply: str, expected: BounceClass) -> None:
    """
    An enhanced code with a meaning of its own decides, whatever the basic code is (S-1.39).
    """
    assert expected is refused(reply)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("550 5.1.1 this mailbox is full of spam", HARD),
        ("552 5.7.1 user unknown", BLOCK),
        ("450 5.1.1 later is never for good", SOFT),
        ("451 x (#5.1.2)", SOFT),
        ("550 sorry, no mailbox here by that name. (#5.1.1)", HARD),
        ("554 sorry, mailbox full (#5.2.2)", FULL),
        ("550 #5.1.0 Address rejected.", SOFT),
        ("556 x", HARD), ("571 x", BLOCK), ("500 x", MESSAGE), ("503 x", MESSAGE), ("555 x", MESSAGE),
        ("550 x", SOFT), ("551 x", SOFT), ("553 x", SOFT), ("554 x", SOFT), ("552 x", FULL), ("450 x", SOFT),
        ("471 x", SOFT), ("559 x", SOFT), ("452 mailbox full", FULL), ("451 user unknown", SOFT),
        ("421 x", SOFT), ("421 too many connections", BLOCK), ("501 x", SOFT),
    ],
)  # fmt: skip
def test_order_is_enhanced_then_basic_then_words(reply: str, expected: BounceClass) -> None:
    """
    Words are read where neither code says enough, and never outweigh one that does (S-1.39).
    """
    assert expected is refused(reply)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        # Gmail
        ("550 5.1.1 The email account that you tried to reach does not exist. Please try\n5.1.1 double-checking", HARD),
        ("550 5.2.1 The email account that you tried to reach is disabled. - gsmtp", DISABLED),
        ("452 4.2.2 The email account that you tried to reach is over quota. Please direct", FULL),
        ("552 5.2.2 The email account that you tried to reach is over quota and inactive.", FULL),
        ("450 4.2.1 The user you are trying to contact is receiving mail at a rate that", SOFT),
        ("421 4.7.28 Our system has detected an unusual rate of unsolicited mail", BLOCK),
        ("550 5.7.26 This mail has been blocked because the sender is unauthenticated.", BLOCK),
        ("552 5.2.3 Your message exceeded Google's message size limits.", MESSAGE),
        # Outlook, Exchange
        ("550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302).", HARD),
        ("550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup", HARD),
        ("550 5.7.515 Access denied, sending domain does not meet the required authentication level.", BLOCK),
        ("451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation.", BLOCK),
        ("550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. (S3140)", BLOCK),
        ("554 5.2.2 mailbox full; STOREDRV.Deliver.Exception:QuotaExceededException", FULL),
        # Yahoo
        ("554 delivery error: dd This user doesn't have a yahoo.com account (c1@yahoo.com) [0] - mta1", HARD),
        ("554 delivery error: dd Requested mail action aborted, mailbox not found - mta2", HARD),
        ("554 delivery error: dd Sorry your message to c1@yahoo.com cannot be delivered. This account has been "
         "disabled or discontinued [#102]. - mta3", DISABLED),
        ("552 1 Requested mail action aborted, mailbox not found", HARD),
        ("421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to user complaints", BLOCK),
        ("421 Message from (192.0.2.1) temporarily deferred - 4.16.50.", BLOCK),
        ("554 5.7.9 Message not accepted for policy reasons.", BLOCK),
        # Postfix
        ("550 5.1.1 <c1@customers.example>: Recipient address rejected: User unknown in virtual mailbox table", HARD),
        ("550 <c1@customers.example>: Recipient address rejected: User unknown in local recipient table", HARD),
        ("450 4.1.1 <c1@customers.example>: Recipient address rejected: unverified address", SOFT),
        ("554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", BLOCK),
        ("552 5.3.4 Message size exceeds fixed limit", MESSAGE),
        ("452 4.3.1 Insufficient system storage", SOFT),
        ("550 5.1.0 <offers@paper.example>: Sender address rejected: User unknown", MESSAGE),
        # Exim
        ("550 Unknown user", HARD), ("550 Unrouteable address", HARD), ("550 No such user here", HARD),
        ("550 Verification failed for <offers@paper.example>\nNo Such User Here\nSender verify failed", MESSAGE),
        ("550 JunkMail rejected - host [192.0.2.1] is in an RBL on zen.spamhaus.org", BLOCK),
        ("552 Message size exceeds maximum permitted", MESSAGE),
        # Sendmail
        ("550 <c1@customers.example>... User unknown", HARD),
        ("553 5.3.0 <c1@customers.example>... No such user here", HARD),
        ("553 5.3.0 <c1@customers.example>... Addressee unknown, relay=[192.0.2.1]", HARD),
        # qmail
        ("511 sorry, no mailbox here by that name (#5.1.1 - chkuser)", HARD),
        ("553 sorry, your envelope sender is in my badmailfrom list (#5.7.1)", BLOCK),
        # 163, 126, Coremail
        ("550 User not found: c1@163.com", HARD), ("550 Invalid User: c1@163.com", HARD),
        ("550 User suspended: c1@163.com", DISABLED),
        ("554 DT:SPM 163 mx1,PsmowAB. Please see http://mail.163.com/help/help_spam_16.htm?ip=192.0.2.1", BLOCK),
        ("450 RP:TRC 163 mx2. Please see http://mail.163.com/help", BLOCK),
        ("421 HL:REP 163 mx3. Please see http://mail.163.com/help", BLOCK),
        ("552 Quota exceeded or service disabled.", FULL),
        ("553 Requested action not taken: NULL sender is not allowed", MESSAGE),
        ("553 Mail from must equal authorized user", MESSAGE),
        # QQ
        ("550 Mailbox not found. http://service.mail.qq.com/cgi-bin/help?subtype=1&&id=20022&&no=1000728", HARD),
        ("550 Mail content denied. http://service.mail.qq.com/cgi-bin/help?subtype=1&&no=1000726", BLOCK),
        ("550 Ip frequency limited. http://service.mail.qq.com/cgi-bin/help?subtype=1&&no=1000725", BLOCK),
        ("550 Mailbox unavailable or access denied", BLOCK),
        ("550 SPF check failed", BLOCK), ("550 Suspected bounce attacks", BLOCK),
        ("501 Bad address syntax. http://service.mail.qq.com/cgi-bin/help?no=1000730", HARD),
        # others
        ("550 relay not permitted", BLOCK), ("554 <c1@a.example>: Relay access denied", BLOCK),
        ("550 Requested action not taken: mailbox unavailable", HARD), ("550 abcd:user not exist", HARD),
        ("551 recipient does not exist here", HARD), ("554 No Resent-From field given", SOFT),
        ("554 aliasing/forwarding loop broken (11 aliases deep; 10 max)", MESSAGE),
        ("550 收件人不存在", HARD), ("552 邮箱容量已满", FULL), ("554 垃圾邮件", BLOCK),
    ],
)  # fmt: skip
def test_words_of_common_servers_are_understood(reply: str, expected: BounceClass) -> None:
    """
    The refusals of the large providers and the common servers, as they write them.
    """
    assert expected is refused(reply)


@pytest.mark.parametrize("step", [Step.MAIL, Step.DATA, Step.END_OF_DATA])
@pytest.mark.parametrize(("code", "expected"), [(550, MESSAGE), (554, MESSAGE), (552, MESSAGE), (451, SOFT)])
def test_wordless_refusal_of_the_transaction_is_the_messages(step: Step, code: int, expected: BounceClass) -> None:
    """
    A 5yz to MAIL, DATA or the final dot fails the message, not the address (S-1.4).
    """
    assert expected is refused(f"{code} no", step)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("550 5.1.1 no such user", MESSAGE),
        ("550 user unknown", MESSAGE),
        ("452 4.2.2 full", SOFT),
        ("550 5.7.1", BLOCK),
    ],
)
def test_nothing_said_to_mail_is_about_the_recipient(reply: str, expected: BounceClass) -> None:
    """
    Before RCPT the server knows no recipient: no address is suppressed for an answer to MAIL.
    """
    assert expected is refused(reply, Step.MAIL)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [("554 delivery error: dd This user doesn't have a yahoo.com account", HARD), ("552 5.2.2 full", FULL)],
)
def test_late_word_about_the_address_counts(reply: str, expected: BounceClass) -> None:
    """
    A server that looks for the mailbox only after the final dot speaks of the one recipient of the transaction.
    """
    assert expected is refused(reply, Step.END_OF_DATA)


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(OutcomeState.ACCEPTED, 250, "2.0.0", "taken"),
        Outcome(OutcomeState.UNKNOWN, None, None, "the connection was lost"),
        Outcome(OutcomeState.NOT_SENT, None, None, "certificate refused"),
        Outcome(OutcomeState.DEFERRED, None, None, "before the end of the message: user unknown"),
        Outcome(OutcomeState.DEFERRED, 250, None, "ok"),
    ],
)
def test_no_refusal_has_no_class(outcome: Outcome) -> None:
    """
    What was taken, is unknown, was never sent, or broke off without a word is no bounce.
    """
    assert bounce_class(outcome) is None


@pytest.mark.parametrize(
    ("enhanced", "expected"), [("5.3.4", MESSAGE), ("5.6.3", MESSAGE), ("5.6.7", UNSUPPORTED), ("5.1.3", HARD)]
)
def test_refusal_of_our_own_has_a_class(enhanced: str, expected: BounceClass) -> None:
    """
    A message that fails before any server is asked is classed by the enhanced code it was given (S-1.18, S-1.20).
    """
    assert expected is bounce_class(Outcome(OutcomeState.FAILED, None, enhanced, "words of ours"))
