"""What calendars answer: a decline withdraws, if it is the attendee's and of the entry as it is (S-7.15)."""

import pytest

from campaigns.inbox import Inbox
from tests.event_files import FILES, Hall
from tests.integration.test_campaigns_events import ANN, BEN, deliver
from tracking.inbound.storage import Arrived, store

REPLY = """\
From: {sender}
To: offers@paper.example
Subject: Declined: Paper evening
Date: Mon, 02 Mar 2026 12:30:00 +0000
Message-ID: <r1@firm.example>
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary=x

--x
Content-Type: text/plain; charset=utf-8

I cannot come.
--x
Content-Type: text/calendar; charset=utf-8; method={method}

BEGIN:VCALENDAR
PRODID:-//Some//Calendar//EN
VERSION:2.0
METHOD:{method}
BEGIN:VEVENT
UID:{uid}
DTSTAMP:{stamp}
SEQUENCE:{sequence}
DTSTART:20260320T170000Z
ORGANIZER:mailto:offers@paper.example
ATTENDEE;PARTSTAT={says};CN=Ann:mailto:{sender}
END:VEVENT
END:VCALENDAR
--x--
"""


@pytest.fixture
def hall(make_workspace, database, clock):
    """Ann has a seat and her confirmation, and Ben waits with a thousand others for nothing."""
    made = Hall(make_workspace(database=database, files=FILES), database, clock)
    made.apply()
    made.register(ANN)
    made.register(BEN)
    deliver(made)
    return made


def answer(hall, **changes):
    """What became of a mail with an answer from Ann's calendar."""
    given = {"sender": ANN, "uid": hall.row(ANN).uid, "method": "REPLY", "stamp": "20260302T123000Z", "sequence": 0,
             "says": "DECLINED"} | changes  # fmt: skip
    raw = REPLY.format(**given).replace("\n", "\r\n").encode()
    with hall.database.begin() as connection:
        store(connection, Arrived("office", raw, len(raw), "offers@paper.example"), hall.clock.now())
    return Inbox(hall.workspace, hall.database, hall.clock).handle_next()


def test_decline_in_the_calendar_withdraws(hall):
    """
    As if it had been said on the page: a mail, the seat is free, and nobody has to read the answer.
    """
    handled = answer(hall)

    assert ("paper-evening: declined in the calendar, withdrawn",) == handled.effects
    assert ["cancelled", "confirmed"] == hall.states()
    assert ["confirmation", "withdrawn"] == hall.mails(ANN)
    assert "METHOD:CANCEL" in hall.entry(ANN)


@pytest.mark.parametrize(
    "changes",
    [
        {"says": "ACCEPTED"}, {"says": "TENTATIVE"}, {"sequence": -1}, {"stamp": "20260302T115900Z"},
        {"sender": "mallory@firm.example"}, {"uid": "0a1b@paper.example"}, {"method": "REQUEST"},
        {"stamp": "yesterday"},
    ],
    ids=lambda changes: next(iter(changes)),
)  # fmt: skip
def test_other_answers_change_nothing(hall, changes):
    """
    Who accepts has a seat already; what is old, somebody else's, or not understood says nothing.
    """
    answer(hall, **changes)

    assert ["confirmed", "confirmed"] == hall.states()
    assert ["confirmation"] == hall.mails(ANN)
