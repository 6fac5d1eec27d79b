"""Text that people wrote, without what hides in it."""

import pytest

from core.plain_text import one_line, plain


def test_one_line_has_no_breaks_and_nothing_unseen():
    """
    Line ends, control characters and what turns the direction of writing are blanks, and runs of blanks are one.
    """
    assert "Ann Lee exe.txt" == one_line(" Ann\r\nLee\x00\u202e\u00a0 exe.txt\u2029")


def test_plain_text_keeps_its_lines():
    """
    Line ends of every kind are one kind; escapes and what turns the direction of writing are gone.
    """
    assert "one\ntwo\n\nthree\tfour [31mfive" == plain("\none\r\ntwo\r\u2028three\tfour \x1b[31m\u202efive\n")


@pytest.mark.parametrize("text", ["می\u200cخواهم", "👨\u200d👩\u200d👧"])
def test_plain_text_keeps_what_words_are_made_of(text):
    """
    Letters and emoji that hang together by characters nobody sees stay as they were written.
    """
    assert text == plain(f"{text}\u200d ")


def test_plain_text_keeps_words_apart():
    """
    A blank that does not break is a blank, not nothing.
    """
    assert "10 000 Euro" == plain("10\u00a0000\u202fEuro")


@pytest.mark.parametrize("text", ["\u200b\u200d", "\ufeff \r\n", "\x00"])
def test_text_of_nothing_that_is_seen_is_empty(text):
    """
    Who sends only what nobody sees has sent nothing.
    """
    assert ("", "") == (one_line(text), plain(text))
