"""Mail that came in and belongs to nobody known: whose it is says its header, in whatever letters."""

import hashlib

import pytest
from sqlalchemy import insert, select, update

from core import schema
from customers.rights.erase import erase
from customers.rights.export import document
from tests.factories import LONG_AGO, SECRET, make_customer

REPORT = """From: MAILER-DAEMON@mx.example
Content-Type: multipart/report;
 report-type=delivery-status; boundary=b

--b
Content-Type: message/delivery-status

Final-Recipient: rfc822; ann@x.example
--b--
"""


def _mail(connection, raw, state="handled"):
    content = raw.replace("\n", "\r\n").encode()
    digest = hashlib.sha256(content + state.encode()).digest()
    row = {"digest": digest, "source": "inbox", "raw": content, "size": len(content), "state": state}
    connection.execute(insert(schema.inbound_mail).values(**row))


def _found_and_left(database, email, raw, state="handled"):
    """How many mails are given out to the customer at the address, and how many still have their text afterwards."""
    with database.begin() as connection:
        person = make_customer(connection, email=email)
        _mail(connection, raw, state)
        found = len(document(connection, person)["tables"]["inbound_mail"])
        erase(connection, SECRET, person, now=LONG_AGO)
        kept = select(schema.inbound_mail.c.id).where(schema.inbound_mail.c.raw.is_not(None))
        return found, len(connection.execute(kept).all())


@pytest.mark.parametrize(("email", "raw"), [
    ("ann@x.example", "From: ann@x.example\nTo: us@firm.example\n\nhello"),
    ("ann@x.example", "To: us@firm.example\nFROM: Ann Other\n <Ann@X.example>\n\nhello"),
    ("ann@x.example", "Return-Path: <ann@x.example>\nFrom: a@other.example\n\nhello"),
    ("ann@x.example", "From: b@other.example, ann@x.example (Ann)\n\nhello"),
    ("ann@x.example", "From: ann@x.example"),
    ("ann@x.example", REPORT),
    ("jörg@x.example", "From: jörg@x.example\n\nhello"),
    ("jörg@x.example", "From: <JÖRG@X.example>\n\nhello"),
    ("jo@bücher.example", "From: jo@xn--bcher-kva.example\n\nhello"),
    ("jo@bücher.example", "From: jo@bücher.example\n\nhello"),
])  # fmt: skip
def test_mail_of_the_person_is_theirs(database, email, raw):
    """
    From, the envelope, or a report that they could not be reached.
    """
    assert (1, 0) == _found_and_left(database, email, raw)


@pytest.mark.parametrize("raw", [
    "From: Dr Stranger <s@other.example>\nSubject: my illness\n\nPlease write to ann@x.example too.\n",
    "From: s@other.example\n\nFrom: ann@x.example\n\nshe wrote\n",
    "From: s@other.example\nSubject: about ann@x.example\nTo: ann@x.example\n\nhello",
    'From: "ann@x.example" <s@other.example>\n\nhello',
    "From: ann@x.example <s@other.example>\n\nhello",
    "From: joann@x.example\n\nhello",
    "From: ann@x.example.net\n\nhello",
    "From: s@other.example\n\nFinal-Recipient: rfc822; ann@x.example\n",
])  # fmt: skip
def test_mail_of_others_that_names_the_person_is_not(database, raw):
    """
    An address in a text, a subject or a name says nothing about who wrote.
    """
    assert (0, 1) == _found_and_left(database, "ann@x.example", raw)


def test_mail_nobody_has_read_yet_is_left_alone(database):
    """
    It waits to be handled, and may be a stranger's.
    """
    assert (0, 1) == _found_and_left(database, "ann@x.example", "From: ann@x.example\n\nhello", state="received")


def test_address_that_is_none_any_more_is_no_obstacle(database):
    """
    Somebody whose stored address the rules of today refuse is given out and erased all the same.
    """
    with database.begin() as connection:
        person = make_customer(connection, email="ann@x.example")
        connection.execute(update(schema.customer).values(email="ann@localhost"))

        assert ["ann@localhost"] == document(connection, person)["addresses"]
        assert 1 == erase(connection, SECRET, person, now=LONG_AGO).customers
