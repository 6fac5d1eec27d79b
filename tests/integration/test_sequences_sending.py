"""What goes out of a sequence: through the same gate, courier and report as every other mail."""

import email
from email import policy

import pytest

from campaigns import batches
from campaigns.sending import Courier
from campaigns.sequences import enrol
from reports.funnel import campaign_report
from tests.factories import make_customer
from tests.integration.test_campaigns_sending import serving
from tests.sequence_files import ORDERED, Road, sequence

STEPS = """
hello: {send: {template: ordered.html}}
pause: {wait: 3d}
again: {send: {template: reminder.html, subject: One last word}}
"""


@pytest.fixture
def way(make_workspace, database, clock):
    """Builds a sequence whose mail goes to a server."""

    def build(port, **more):
        text = sequence(STEPS, enrol="{by: api}", **more)
        files = {"templates/ordered.html": ORDERED}
        return Road(lambda **given: make_workspace(**given, smtp_port=port), database, clock, text, files)

    return build


def send_due(road):
    """Everything that is due is sent."""
    courier = Courier(road.workspace, road.database, road.clock, "w1")
    with road.database.begin() as connection:
        due = batches.due_batches(connection, now=road.clock.now(), again_after=None)
    for batch_id, _ in due:
        courier.send_batch(batch_id)
    courier.close()


def test_each_step_is_one_mail_and_the_report_counts_them(way):
    """
    The mail says what was given and how to leave; the report of the sequence counts both steps.
    """
    with serving() as server:
        road = way(server.port)
        with road.database.begin() as connection:
            ann = make_customer(connection, consents=("promotions",))
        enter(road, ann)
        road.tick()
        send_due(road)
        road.tick(days=3)
        send_due(road)
        mails = [email.message_from_bytes(one.content, policy=policy.default) for one in server.received]
    with road.database.begin() as connection:
        report = campaign_report(connection, "nurture", now=road.clock.now())

    assert ["Order A-7", "One last word"] == [mail["Subject"] for mail in mails]
    assert 2 == len({mail["Message-ID"] for mail in mails})
    assert all(mail["List-Unsubscribe"] for mail in mails)
    assert (2, 2) == (report.figures.audience, report.figures.accepted)
    assert ["again", "hello"] == sorted(line.occurrence for line in report.runs)


def test_what_comes_too_late_is_skipped(way):
    """
    After a pause longer than `valid_for` the next mailing is skipped as expired, and the passage goes on.
    """
    with serving() as server:
        road = way(server.port, limits="{valid_for: 1d}")
        with road.database.begin() as connection:
            ann = make_customer(connection, consents=("promotions",))
        enter(road, ann)
        road.tick()
        road.tick(days=5)

    assert [("hello", "sent"), ("pause", "waited"), ("again", "skipped:expired")] == road.done(ann)


def enter(road, customer_id):
    """The customer enters with an order's number."""
    with road.database.begin() as connection:
        enrol.enrol(connection, "nurture", customer_id, given={"number": "A-7"}, now=road.clock.now())
