"""Words of channels and reasons, as files of other systems write them."""

import pytest

from customers.importing.values import Rejected
from customers.importing.words import channel_of, reason_of, says_no


@pytest.mark.parametrize("word", ["", "email", "Email", "E-Mail", "e mail", "MAIL", "邮件", "电子邮件"])
def test_every_spelling_of_e_mail_is_one_channel(word: str) -> None:
    """
    Case, hyphens and languages do not make another channel; an empty cell is e-mail.
    """
    assert "email" == channel_of(word)


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("", "manual"), ("opt-out", "unsubscribed"), ("Opted out", "unsubscribed"), ("abgemeldet", "unsubscribed"),
        ("退订", "unsubscribed"), ("Spam complaint", "complaint"), ("Bounce", "hard_bounce"),
        ("hard-bounce", "hard_bounce"), ("soft bounces", "soft_bounces"), ("GDPR", "legal"), ("投诉", "complaint"),
    ],
)  # fmt: skip
def test_reasons_of_other_systems_are_understood(word: str, reason: str) -> None:
    """
    The word of an export means one of the reasons the gate knows; no word at all is an operator's.
    """
    assert reason == reason_of(word)


@pytest.mark.parametrize("read", [channel_of, reason_of])
def test_unknown_words_are_rejected_with_what_was_expected(read: type) -> None:
    """
    A word nobody knows is no silent nothing.
    """
    with pytest.raises(Rejected, match=r"expected one of"):
        read("wednesday")


def test_a_near_miss_is_named() -> None:
    """
    Whoever mistyped a reason reads which one was meant.
    """
    with pytest.raises(Rejected, match="did you mean 'unsubscribed'"):
        reason_of("unsubcribed")


@pytest.mark.parametrize(("cell", "answer"), [("No", True), ("Nein", True), ("否", True), ("", False), ("news", False)])
def test_an_outright_no_is_told_from_silence(cell: str, answer: bool) -> None:
    """
    An empty cell says nothing.
    """
    assert answer is says_no(cell)
