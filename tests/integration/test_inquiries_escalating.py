"""An inquiry left alone escalates, level by level and in office hours; an answered one does not. On a virtual clock."""

import email
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.policy import default as modern

import pytest
from sqlalchemy import select, update

from campaigns import tasks
from campaigns.attending import attend_to
from campaigns.duty import Circumstances
from campaigns.inquiries.duties import DUTIES
from campaigns.inquiries.receiving import Received, receive
from campaigns.inquiries.states import InquiryState
from campaigns.inquiries.working import call, end, fetch, listed
from core.clock import SteppedClock
from core.database import Database
from core.schema import activity, inquiry, staff_notice, task
from core.workspace import Workspace
from tests.factories import make_customer
from tests.inquiry_files import FILES, SETTINGS, asked, settings
from tests.integration.test_campaigns_replies import mail_server
from tests.looking_after import looked_after

#: Friday, 30 October 2026, 15:30 in Berlin (CET since the 25th): half past five of working time is Monday morning.
FRIDAY = datetime(2026, 10, 30, 14, 30, tzinfo=UTC)


class World:
    """A workspace, its database, and a clock that the duties move: from each instant at which something is due to the
    next, as the scheduler would come to them."""

    def __init__(self, workspace: Workspace, database: Database) -> None:
        self.database, self.clock = database, SteppedClock(FRIDAY)
        self.circumstances = Circumstances.of(workspace)

    def receive(self, **values: object) -> Received:
        with self.database.begin() as connection:
            return receive(connection, self.circumstances, asked(**values), self.clock.now())

    def run_until(self, until: datetime) -> None:
        while True:
            with self.database.begin() as connection:
                now = self.clock.now()
                while sum(looked_after(duty, connection, self.circumstances, now) for duty in DUTIES):
                    pass
                times = [duty.next_at(connection, self.circumstances, now) for duty in DUTIES]
            following = min((at for at in times if at is not None and at > now), default=until)
            if following > until:
                break
            self.clock.instant = max(following, now)
            if following == until:
                break
        self.clock.instant = until

    def change_settings(self, *changes: tuple[str, str]) -> None:
        """clarion.yaml is edited while everything runs."""
        root = self.circumstances.workspace.root
        path = root / "clarion.yaml"
        text = path.read_text(encoding="utf-8")
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")
        self.circumstances = Circumstances.of(Workspace(root))

    def told(self, *, since: datetime = FRIDAY, digests: bool = False) -> list[tuple[datetime, str, str]]:
        """When whom what notice was ordered for, as the mail itself says it."""
        query = select(staff_notice).where(staff_notice.c.created_at >= since).order_by(staff_notice.c.id)
        with self.database.begin() as connection:
            rows = connection.execute(query).all()
        found = []
        for row in rows:
            mail = email.message_from_bytes(row.content, policy=modern)
            if digests == row.notice_key.startswith("digest:"):
                found.append((row.created_at, row.recipient.partition("@")[0], str(mail["Subject"])))
        return found

    def owner(self, number: int) -> tuple[str, str, int]:
        """Of the inquiry, of its task, and how often it escalated."""
        with self.database.begin() as connection:
            row = fetch(connection, number)
            return row.owner, tasks.fetch(connection, row.task_id).owner, row.level


@pytest.fixture
def make_world(database: Database, make_workspace: Callable[..., Workspace]) -> Callable[..., World]:
    def build(text: str = SETTINGS) -> World:
        return World(make_workspace(database=database, files=FILES, settings=text), database)

    return build


def at(day: int, clock: str, month: int = 11) -> datetime:
    """An instant of November 2026 by the clock in Berlin."""
    hours, minutes = map(int, clock.split(":"))
    return datetime(2026, month, day, hours, minutes, tzinfo=UTC) - timedelta(hours=1)


def test_inquiry_left_alone_escalates_level_by_level_in_office_hours(make_world: Callable[..., World]) -> None:
    """
    Four hours of work from Friday 15:30 end on Monday at 11:30; then each level has its own time. Who is the last of
    the chain is reminded each day of work, and weekly once the inquiry is a week too late.
    """
    world = make_world()
    received = world.receive()

    assert ("anna", at(2, "11:30")) == (received.owner, received.due_at)
    world.run_until(at(2, "11:29"))
    assert [(FRIDAY, "anna")] == [row[:2] for row in world.told()]

    world.run_until(at(2, "13:29"))
    assert [(at(2, "11:30"), "anna")] == [row[:2] for row in world.told()[1:]]
    assert ("anna", "anna", 0) == world.owner(received.inquiry_id)

    world.run_until(at(3, "13:29"))
    passed_on = [row[:2] for row in world.told()[2:]]
    assert [(at(2, "13:30"), "ben"), (at(2, "13:30"), "anna")] == passed_on
    assert ("ben", "ben", 1) == world.owner(received.inquiry_id)

    world.run_until(at(24, "12:00"))
    days = [(at(day, "09:00"), "cora") for day in (4, 5, 6, 9, 10, 17, 24)]
    assert [(at(3, "13:30"), "cora"), (at(3, "13:30"), "ben"), *days] == [row[:2] for row in world.told()[4:]]
    assert ("cora", "cora", 2) == world.owner(received.inquiry_id)


def test_inquiry_over_a_public_holiday_is_due_after_it(make_world: Callable[..., World]) -> None:
    """
    Christmas 2026 is a Friday and a Saturday: what came on Thursday at four is due on Monday.
    """
    world = make_world()
    world.clock.instant = at(24, "16:00", month=12)

    assert at(28, "12:00", month=12) == world.receive().due_at


@pytest.mark.parametrize("way", ["inquiry answer", "inquiry drop", "task done"])
def test_answered_inquiry_does_not_escalate(way: str, make_world: Callable[..., World]) -> None:
    """
    However it ends, by itself or with its task, nobody is told any more, and the customer's history knows.
    """
    world = make_world()
    received = world.receive()
    world.run_until(at(2, "10:00"))
    with world.database.begin() as connection:
        if way == "task done":
            tasks.end(connection, received.task_id or 0, by="anna", outcome="Sent a list", now=world.clock.now())
        else:
            state = InquiryState.ANSWERED if way == "inquiry answer" else InquiryState.DROPPED
            end(connection, received.inquiry_id, state=state, by="anna", outcome="Sent a list", now=world.clock.now())
    world.run_until(at(20, "12:00"))

    with world.database.begin() as connection:
        row = fetch(connection, received.inquiry_id)
        states = connection.execute(select(task.c.state)).scalars().all()
        history = connection.execute(select(activity.c.name).order_by(activity.c.id)).scalars().all()
        still_open = listed(connection)
    ended = "dropped" if way == "inquiry drop" else "answered"
    assert [(FRIDAY, "anna")] == [row[:2] for row in world.told()]
    assert (ended, "anna", "Sent a list", None) == (row.state, row.answered_by, row.outcome, row.escalates_at)
    assert ["dropped" if way == "inquiry drop" else "done"] == states
    assert ["inquiry_received", f"inquiry_{ended}"] == history
    assert [] == still_open


def test_acknowledgement_answers_nothing(make_world: Callable[..., World]) -> None:
    """
    The mail that says an inquiry was received leaves it open, and it escalates.
    """
    world = make_world()
    received = world.receive()
    world.run_until(at(2, "14:00"))

    assert received.is_acknowledged
    assert ("ben", "ben", 1) == world.owner(received.inquiry_id)


def test_level_whose_employee_is_away_goes_to_the_deputy(make_world: Callable[..., World]) -> None:
    """
    Cora is away when her level comes: her deputy has it. Ben, away without a deputy, is left out.
    """
    world = make_world(settings(
        ("email: cora@paper.example,", "email: cora@paper.example, away: true,"),
        ("email: ben@paper.example", "email: ben@paper.example, away: true"),
    ))  # fmt: skip
    received = world.receive()
    world.run_until(at(2, "18:00"))

    assert ("dan", "dan", 2) == world.owner(received.inquiry_id)
    assert [(at(2, "11:30"), "anna"), (at(2, "13:30"), "dan"), (at(2, "13:30"), "anna")] == [
        row[:2] for row in world.told()[1:]
    ]


def test_owner_who_goes_away_hands_over_to_the_deputy(make_world: Callable[..., World]) -> None:
    """
    Anna goes on holiday with an inquiry open: her deputy has it at once, and is told; the deadline stays.
    """
    world = make_world()
    received = world.receive()
    world.change_settings(("email: anna@paper.example,", "email: anna@paper.example, away: true,"))
    world.run_until(at(2, "11:00"))

    assert ("dan", "dan", 0) == world.owner(received.inquiry_id)
    assert ["anna", "dan"] == [row[1] for row in world.told()]
    world.run_until(at(2, "12:00"))
    assert [(at(2, "11:30"), "dan")] == [row[:2] for row in world.told()[2:]]


def test_owner_who_left_leaves_nothing_to_nobody(make_world: Callable[..., World]) -> None:
    """
    Ben is no longer among the staff: his inquiry is the desk's own, and stays nobody's for no tick.
    """
    world = make_world()
    received = world.receive(fields={"subject_area": "ink"})
    assert "ben" == received.owner
    world.change_settings(
        ("  ben: {name: Ben Birch, email: ben@paper.example}\n", ""), ("owner: ben}", "owner: anna}"),
        ("to: ben}", "to: cora}"),
    )  # fmt: skip
    world.run_until(FRIDAY)

    assert ("anna", "anna", 0) == world.owner(received.inquiry_id)
    assert "anna" == world.told()[-1][1]


def test_missed_levels_come_one_by_one(make_world: Callable[..., World]) -> None:
    """
    Nothing ran for a week: the owner is reminded first, and the next level has its own time from then.
    """
    world = make_world()
    received = world.receive()
    world.clock.instant = at(9, "10:00")
    world.run_until(at(9, "11:59"))
    assert ("anna", "anna", 0) == world.owner(received.inquiry_id)
    world.run_until(at(9, "12:01"))

    assert ("ben", "ben", 1) == world.owner(received.inquiry_id)


def test_desk_without_a_chain_reminds_its_owner(make_world: Callable[..., World]) -> None:
    """
    At the deadline the owner is reminded, though there is nobody to pass it on to; the digest goes on.
    """
    world = make_world(settings((
        "    escalation:\n      - {{after: 2h, to: ben}}\n      - {{after: 8h, to: cora}}\n", "",
    )))  # fmt: skip
    world.receive()
    world.run_until(at(5, "12:00"))

    reminded = [(at(2, "11:30"), "anna"), *((at(day, "09:00"), "anna") for day in (3, 4, 5))]
    assert reminded == [row[:2] for row in world.told()[1:]]
    assert [FRIDAY, *(at(day, "07:30") for day in (2, 3, 4, 5))] == [row[0] for row in world.told(digests=True)]


AWAY = (
    ("name: Anna Ash,", "name: Anna Ash, away: true,"), ("name: Ben Birch,", "name: Ben Birch, away: true,"),
    ("name: Cora Cedar,", "name: Cora Cedar, away: true,"), ("name: Dan Date,", "name: Dan Date, away: true,"),
)  # fmt: skip


@pytest.mark.parametrize("who", ["those of the chain", "everybody"])
def test_level_that_nobody_can_take_keeps_its_place(who: str, make_world: Callable[..., World]) -> None:
    """
    Whoever is to have it next is away, and so is their deputy: no level is used up, and on the next day of work after
    they came back it goes on where it was.
    """
    away = AWAY if who == "everybody" else (AWAY[1], AWAY[2])
    alone = ("email: cora@paper.example, deputy: dan", "email: cora@paper.example")
    world = make_world(settings() if who == "everybody" else settings(alone))
    received = world.receive()
    world.run_until(at(2, "10:00"))
    world.change_settings(*away)
    world.run_until(at(4, "10:00"))
    assert ("anna", "anna", 0) == world.owner(received.inquiry_id)
    told = [at(2, "11:30"), at(2, "13:30"), at(3, "09:00"), at(4, "09:00")]
    assert [(instant, "anna") for instant in told] == [row[:2] for row in world.told()[1:]]

    world.change_settings(*((new, old) for old, new in away))
    world.run_until(at(5, "09:01"))
    assert ("ben", "ben", 1) == world.owner(received.inquiry_id)
    world.run_until(at(6, "09:01"))
    assert ("cora", "cora", 2) == world.owner(received.inquiry_id)


def test_inquiry_of_a_renamed_desk_goes_to_who_has_what_is_nobodys(make_world: Callable[..., World]) -> None:
    """
    Its owner is reminded at the deadline; a day of work later it is that of `tasks.nobodys`, who is reminded from then
    on, by the hours of the organisation's zone.
    """
    world = make_world()
    received = world.receive()
    world.change_settings(("  sales:\n    title", "  buying:\n    title"))
    world.run_until(at(4, "11:00"))

    assert ("dan", "dan", 1) == world.owner(received.inquiry_id)
    expected = [(at(2, "11:30"), "anna"), (at(3, "11:30"), "dan"), (at(3, "11:30"), "anna"), (at(4, "10:00"), "dan")]
    assert expected == [row[:2] for row in world.told()[1:]]


def test_call_that_was_agreed_is_the_deadline(make_world: Callable[..., World]) -> None:
    """
    The inquiry and its task are due when the call is; nobody is told before, and it escalates after.
    """
    world = make_world()
    received = world.receive()
    with world.database.begin() as connection:
        call(connection, received.inquiry_id, at(4, "15:00"), by="anna", now=world.clock.now())
        due = connection.execute(select(task.c.due_at)).scalar_one()
    world.run_until(at(4, "14:59"))
    assert at(4, "15:00") == due
    assert 1 == len(world.told())
    world.run_until(at(5, "09:01"))

    assert [(at(4, "15:00"), "anna"), (at(4, "17:00"), "ben"), (at(4, "17:00"), "anna")] == [
        row[:2] for row in world.told()[1:]
    ]


def test_desk_that_is_gone_keeps_its_inquiries(make_world: Callable[..., World]) -> None:
    """
    An inquiry of a desk that clarion.yaml names no more is somebody's, and its owner is reminded.
    """
    world = make_world()
    received = world.receive()
    with world.database.begin() as connection:
        connection.execute(update(inquiry).values(desk="former"))
    world.run_until(at(2, "12:00"))

    assert ("anna", "anna", 0) == world.owner(received.inquiry_id)
    assert 2 == len(world.told())


def test_overlapping_ticks_tell_once(make_world: Callable[..., World]) -> None:
    """
    Two schedulers at one instant: the second finds nothing to do.
    """
    world = make_world()
    world.receive()
    now = at(2, "11:30")
    escalate = next(duty for duty in DUTIES if duty.name == "escalating inquiries")
    with world.database.begin() as first, world.database.begin() as second:
        counts = [escalate.run(connection, world.circumstances, now) for connection in (first, second)]

    assert [1, 0] == counts
    assert 2 == len(world.told())


def test_owner_of_the_customer_goes_first(make_world: Callable[..., World]) -> None:
    """
    A key customer's inquiry is their employee's, whoever has the desk; while that one is away, the deputy's.
    """
    world = make_world()
    with world.database.begin() as connection:
        make_customer(connection, email="key@customers.example", owner="Cora@Paper.example")
    assert "cora" == world.receive(key="a", email="key@customers.example", fields={"subject_area": "ink"}).owner
    world.change_settings(("email: cora@paper.example,", "email: cora@paper.example, away: true,"))

    assert "dan" == world.receive(key="b", email="key@customers.example").owner


def test_notices_of_an_escalation_really_leave(database: Database, make_workspace: Callable[..., Workspace]) -> None:
    """
    Over SMTP: the inquiry, the reminder, and who has it next, each to the right person, to be answered to the customer.
    """
    with mail_server() as server:
        workspace = make_workspace(database=database, files=FILES, settings=SETTINGS, smtp_port=server.port)
        world = World(workspace, database)
        world.receive(content="Wie viele passen hinein? 多少？")
        for day in (1, 2):
            world.run_until(at(day, "18:00"))
            attend_to(workspace, database, world.clock)
    mails = [email.message_from_bytes(one.content, policy=modern) for one in server.received]
    notices = [mail for mail in mails if "inquiry" in str(mail["Subject"]).lower()]
    told = [(mail["To"].addresses[0].username, str(mail["Subject"]).partition(":")[0]) for mail in notices]

    assert ("anna", "Inquiry of reader@customers.example") == told[0]
    assert {
        ("anna", "Inquiry of reader@customers.example"), ("anna", "Overdue"), ("ben", "Passed on to you"),
        ("anna", "Passed on to Ben Birch"),
    } == set(told)  # fmt: skip
    assert {"reader@customers.example"} == {mail["Reply-To"] for mail in notices if mail["Reply-To"]}
    assert "多少" in notices[0].get_body(("plain",)).get_content()
