"""What a message of the ledger becomes: the same bytes whoever writes it and when, and an identity of its own."""

import email
import re
from email import policy

import pytest

from campaigns import catalogue, mailings, versions
from campaigns.mailings import Studio
from delivery.message_bytes import write_message
from suppression.policy import Policy
from tests.campaign_files import FILES
from tests.factories import LONG_AGO, make_customer, make_message, make_run


@pytest.fixture
def written(make_workspace, database):
    """Messages by number: two to Ann in two occurrences, one to Ben; each call writes them with a new studio."""
    workspace = make_workspace(database=database, files=FILES)
    with database.begin() as connection:
        version_id = versions.store(connection, versions.pin(catalogue.load(workspace), "spring-paper"))
        ann = make_customer(connection, email="ann@firm.example", first_name="Ann")
        ben = make_customer(connection, email="ben@firm.example", first_name="Ben")
        first, again = (make_run(connection, version_id=version_id, occurrence=name) for name in ("1", "2"))
        ids = [make_message(connection, *whom) for whom in ((first, ann), (first, ben), (again, ann))]

    def write():
        with database.begin() as connection:
            studio = Studio(workspace)
            letter = studio.letter(connection, version_id)
            people = mailings.recipients(connection, ids, policy=Policy(), now=LONG_AGO)
            return [write_message(studio.mail(letter, who)) for who in people]

    return write


def test_a_message_is_written_the_same_again(written):
    """
    Another process at another time writes the same header and body, Date and boundary included (S-2.5).
    """
    assert written() == written()


def test_message_ids_differ_by_person_and_occurrence_and_name_nobody(written):
    """
    A Message-ID is equal across attempts, different per recipient and deliberate resend, in the sender's own domain,
    and holds no address (S-2.4).
    """
    ids = [email.message_from_bytes(octets, policy=policy.default)["Message-ID"] for octets in written()]

    assert 3 == len(set(ids))
    assert all(re.fullmatch(r"<[0-9a-f]{20,}@paper\.example>", each) for each in ids)


def test_each_header_stands_once_and_to_names_one_person(written):
    """
    What leaves the house has exactly one Date, From, To, Subject, Message-ID and MIME-Version, one recipient, and no
    Bcc (S-2.3); From names one mailbox of one domain (S-3.9).
    """
    for octets, person in zip(written(), ("ann", "ben", "ann"), strict=True):
        message = email.message_from_bytes(octets, policy=policy.default)
        once = ("Date", "From", "To", "Subject", "Message-ID", "MIME-Version", "List-Unsubscribe", "List-Id")
        once += ("Feedback-ID",)

        assert [1] * len(once) == [len(message.get_all(name)) for name in once]
        assert [f"{person}@firm.example"] == [address.addr_spec for address in message["To"].addresses]
        assert ["offers@paper.example"] == [address.addr_spec for address in message["From"].addresses]
        assert message["Bcc"] is message["Cc"] is None


def test_an_html_mailing_has_a_text_part_before_it(written):
    """
    Every HTML mail has a readable text part, and it comes first (S-2.6).
    """
    message = email.message_from_bytes(written()[0], policy=policy.default)

    assert ["text/plain", "text/html"] == [part.get_content_type() for part in message.iter_parts()]
    assert "Good morning Ann" in message.get_body(("plain",)).get_content()
