"""What goes out of a sequence: through the same gate, courier and report as every other mail."""

import email
from datetime import timedelta
from email import policy

import pytest

from campaigns import batches
from campaigns.sending import Courier
from campaigns.sequences import enrol, overview
from reports.funnel import campaign_report
from tests.conftest import MINIMAL_SETTINGS
from tests.factories import make_activity, make_customer
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


NIGHT = 'quiet_hours: {{from: "21:00", to: "08:00"}}\n'


@pytest.mark.parametrize(
    ("more", "ends"),
    [("pause: {wait: 3d}", ("exited", "exit_when")), ("", ("completed", "completed"))],
    ids=["on the way", "through"],
)
def test_who_comes_to_leave_while_a_mail_waits_does_not_get_it(make_workspace, database, clock, more, ends):
    """
    A message that quiet hours held is not sent to who fits `exit_when` by the morning, also after the last step; the
    others get theirs.
    """
    text = sequence(f"hello: {{send: {{template: reminder.html}}}}\n{more}", enrol="{by: api}",
                    exit_when='did("subscribed", since="enrolment")')  # fmt: skip
    clock.step(timedelta(hours=11))  # it is eleven in the evening
    with serving() as server:
        road = Road(
            lambda **given: make_workspace(**given, smtp_port=server.port, settings=MINIMAL_SETTINGS + NIGHT),
            database, clock, text,
        )  # fmt: skip
        with database.begin() as connection:
            ann, bob = (make_customer(connection, email=f"{name}@firm.example", consents=("promotions",))
                        for name in ("ann", "bob"))  # fmt: skip
            for one in (ann, bob):
                enrol.enrol(connection, "nurture", one, now=clock.now())
        road.tick()
        send_due(road)
        assert [("planned", "quiet_hours")] * 2 == road.rows("SELECT state::text, hold_reason FROM message")
        clock.step(timedelta(hours=2))
        with database.begin() as connection:
            make_activity(connection, ann, "subscribed", occurred_at=clock.now())
        road.tick(hours=8)
        send_due(road)
        received = [mail.recipients for mail in server.received]

    assert [("RCPT TO:<bob@firm.example>",)] == received
    skipped = road.rows("SELECT customer_id, skip_reason FROM message WHERE state = 'skipped'")
    assert [(ann, "left_sequence")] == skipped
    assert ends == road.passages()[0][1::2]
    with database.begin() as connection:
        assert [] == overview.broken(connection, "nurture")


def test_passages_of_a_sequence_that_somebody_holds_are_left_to_the_engine(make_workspace, database, clock):
    """
    While an edit is applied nobody goes on: the held mail is skipped, and the passage ends before its next action.
    """
    clock.step(timedelta(hours=11))
    steps = "hello: {send: {template: reminder.html}}\npause: {wait: 3d}"
    with serving() as server:
        road = Road(
            lambda **given: make_workspace(**given, smtp_port=server.port, settings=MINIMAL_SETTINGS + NIGHT),
            database, clock, sequence(steps, enrol="{by: api}", exit_when='did("subscribed", since="enrolment")'),
        )  # fmt: skip
        with database.begin() as connection:
            ann = make_customer(connection, email="ann@firm.example", consents=("promotions",))
            enrol.enrol(connection, "nurture", ann, now=clock.now())
        road.tick()
        send_due(road)
        clock.step(timedelta(hours=10))
        with database.begin() as connection:
            make_activity(connection, ann, "subscribed", occurred_at=clock.now())
        with database.begin() as held:
            held.exec_driver_sql("SELECT FROM sequence FOR UPDATE")
            send_due(road)
            assert ["active"] == [passage[1] for passage in road.passages()]
        road.tick(days=3)

    assert [] == server.received
    assert [("hello", "1", "left_sequence")] == road.messages()
    assert [("exited", "exit_when")] == [passage[1::2] for passage in road.passages()]


def enter(road, customer_id):
    """The customer enters with an order's number."""
    with road.database.begin() as connection:
        enrol.enrol(connection, "nurture", customer_id, given={"number": "A-7"}, now=road.clock.now())
