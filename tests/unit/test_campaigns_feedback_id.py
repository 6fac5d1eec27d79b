"""The Feedback-ID by which Gmail counts complaints (S-2.21)."""

import pytest

from campaigns.message_ids import feedback_id


@pytest.mark.parametrize(
    ("email", "sender"),
    [
        ("offers@paper.example", "paperexample"),
        ("a@news.paper-and-co.example", "newspaper"),  # too long: nine characters and a hash
        ("a@x.co", "xco"),
        ("a@bücher.example", "xnbcherkv"),
    ],
)
def test_feedback_id_has_four_parts_the_last_of_the_sender(email, sender):
    """
    Campaign, topic, class, and 5 to 15 characters that are the same for all mail of a sender's domain.
    """
    parts = feedback_id("spring-paper", "promotions", email).split(":")
    other = feedback_id("autumn", "news", f"else@{email.partition('@')[2].upper()}").split(":")

    assert ["spring-paper", "promotions", "bulk"] == parts[:3]
    assert parts[3] == other[3]
    assert parts[3].startswith(sender)
    assert 5 <= len(parts[3]) <= 15


def test_senders_that_begin_alike_have_ids_of_their_own():
    """
    Domains too long to be written out are told apart by their hash.
    """
    ids = {feedback_id("c", "t", f"a@{name}.newspaper-and-co.example") for name in ("eins-zwei", "eins-zwo")}

    assert 2 == len(ids)
