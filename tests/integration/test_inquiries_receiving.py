"""Inquiries come in: kept once, acknowledged without repeating anything, and somebody's from the first moment."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from campaigns import tasks
from campaigns.duty import Circumstances
from campaigns.inquiries.receiving import LONGEST_CONTENT, Received, Source, receive
from core.care_settings import Cases
from core.database import Database
from core.errors import NotFound, UsageError
from core.open_cases import open_case_since
from core.schema import activity, customer, inquiry, message, staff_notice, task
from core.workspace import Workspace
from customers.rights.erase import erase
from tests.factories import SECRET, make_customer
from tests.inquiry_files import FILES, SETTINGS, asked

NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)


@pytest.fixture
def circumstances(database: Database, make_workspace: Callable[..., Workspace]) -> Circumstances:
    return Circumstances.of(make_workspace(database=database, files=FILES, settings=SETTINGS))


@pytest.fixture
def take(database: Database, circumstances: Circumstances) -> Callable[..., Received]:
    def take_(now: datetime = NOW, **values: object) -> Received:
        with database.begin() as connection:
            return receive(connection, circumstances, asked(**values), now)

    return take_


def counted(database: Database, *tables: object) -> list[int]:
    """How many rows each table has."""
    with database.begin() as connection:
        return [connection.execute(select(func.count()).select_from(table)).scalar_one() for table in tables]  # type: ignore[call-overload]


def test_inquiry_is_acknowledged_and_somebodys_task(database: Database, take: Callable[..., Received]) -> None:
    """
    One transaction: the customer, their history, the task with its deadline, a notice, and the mail to them.
    """
    received = take(fields={"first_name": "Rita", "subject_area": "paper"})
    with database.begin() as connection:
        row = tasks.fetch(connection, received.task_id or 0)
        given = connection.execute(select(message.c.given, message.c.state)).one()
        history = connection.execute(select(activity.c.name, activity.c.properties)).one()
        who = connection.execute(select(customer)).one()

    assert (True, True, "anna") == (received.is_new, received.is_acknowledged, received.owner)
    assert ("inquiry", "anna", NOW + timedelta(hours=4)) == (row.kind, row.owner, row.due_at)
    assert "How many fit?" in row.body
    assert "About: paper" in row.body
    assert ("planned", received.inquiry_id, "") == (given.state, given.given["number"], given.given["subject"])
    assert ("inquiry_received", {"desk": "sales", "inquiry": received.inquiry_id}) == tuple(history)
    assert ("reader@customers.example", None, "inquiry:sales") == (who.email, who.first_name, who.source)
    assert [1] == counted(database, staff_notice)


def test_what_a_stranger_typed_is_not_mailed_to_anybody(database: Database, take: Callable[..., Received]) -> None:
    """
    A form must not be a way to have our server write somebody's words to somebody (S-9.10).
    """
    take(subject="Buy pills", content="http://pills.example", fields={"first_name": "Buy pills"})
    with database.begin() as connection:
        given = connection.execute(select(message.c.given)).scalar_one()

    assert "pill" not in str(given)


def test_same_inquiry_twice_is_one(database: Database, take: Callable[..., Received]) -> None:
    """
    A form sent fifty times at once, with one key, is one inquiry with one task, one notice and one mail.
    """
    with ThreadPoolExecutor(10) as pool:
        received = list(pool.map(lambda _: take(), range(50)))

    assert 1 == len({one.inquiry_id for one in received})
    assert 1 == sum(one.is_new for one in received)
    assert [1, 1, 1, 1, 1] == counted(database, inquiry, task, staff_notice, message, customer)


def test_different_inquiries_of_one_address_at_once_make_one_customer(
    database: Database, take: Callable[..., Received]
) -> None:
    """
    Ten inquiries of somebody unknown at one instant: ten tasks, one customer.
    """
    with ThreadPoolExecutor(10) as pool:
        received = list(pool.map(lambda number: take(key=f"form:{number}"), range(10)))

    assert 10 == len({one.inquiry_id for one in received})
    assert [10, 1] == counted(database, task, customer)


def test_acknowledgements_of_one_address_have_an_end(take: Callable[..., Received]) -> None:
    """
    Five a day by form; of mails one in seven days (S-4.8). The inquiries count all the same.
    """
    by_form = [take(key=f"f{number}").is_acknowledged for number in range(7)]
    days = (0, 1, 6, 7)
    by_mail = [
        take(NOW + timedelta(days=day), key=f"m{day}", source=Source.MAIL, email="other@customers.example")
        for day in days
    ]

    assert [True] * 5 + [False] * 2 == by_form
    assert [True, False, False, True] == [one.is_acknowledged for one in by_mail]
    assert all(one.task_id for one in by_mail)


def test_acknowledgements_of_one_address_are_as_many_as_the_settings_say(
    database: Database, make_workspace: Callable[..., Workspace]
) -> None:
    """
    Seven in two days, where `pages.limits` says so; then what counts is what was acknowledged since.
    """
    limited = SETTINGS + "pages: {{limits: {{inquiries: 7, mail_every: 2d}}}}\n"
    circumstances = Circumstances.of(make_workspace(database=database, files=FILES, settings=limited))
    hours = (*range(8), 47, 48, 49)
    with database.begin() as connection:
        received = [
            receive(connection, circumstances, asked(key=f"f{hour}"), NOW + timedelta(hours=hour)) for hour in hours
        ]

    assert [True] * 7 + [False] * 2 + [True] * 2 == [one.is_acknowledged for one in received]


@pytest.mark.parametrize("address", ["MAILER-DAEMON@x.example", "list-request@x.example", "anna@paper.example"])
def test_nothing_is_answered_to_programs_and_ourselves(
    database: Database, take: Callable[..., Received], address: str
) -> None:
    """
    Addresses that answer by themselves, and our own, get no mail; the task says why (S-4.8).
    """
    received = take(email=address, source=Source.MAIL)
    with database.begin() as connection:
        body = tasks.fetch(connection, received.task_id or 0).body

    assert not received.is_acknowledged
    assert "Not acknowledged: nothing is answered to this address" in body
    assert [0] == counted(database, message)


def test_broken_campaign_keeps_no_inquiry_from_its_owner(
    database: Database, circumstances: Circumstances, take: Callable[..., Received]
) -> None:
    """
    The acknowledgement's file has mistakes: the inquiry is somebody's all the same, who reads that nothing was sent.
    """
    (circumstances.workspace.root / "campaigns" / "received.yaml").write_text("kind: nonsense\n", encoding="utf-8")
    received = take()
    with database.begin() as connection:
        body = tasks.fetch(connection, received.task_id or 0).body

    assert (False, "anna") == (received.is_acknowledged, received.owner)
    assert "the campaign received cannot be sent" in body


def test_erased_person_who_asks_is_answered_by_a_person(database: Database, take: Callable[..., Received]) -> None:
    """
    They are no customer again by asking, and get no mail by itself; somebody has the task.
    """
    with database.begin() as connection:
        known = make_customer(connection, email="reader@customers.example")
        erase(connection, SECRET, known, now=NOW - timedelta(days=1))
    received = take()

    assert (None, False, "anna") == (received.customer_id, received.is_acknowledged, received.owner)
    assert received.task_id is not None
    assert [0, 0] == counted(database, customer, message)


def test_open_inquiry_is_an_open_case(database: Database, take: Callable[..., Received]) -> None:
    """
    `care.cases` sees it, until it is answered.
    """
    rules = Cases(
        opened_by=("inquiry_received",), closed_by=("inquiry_answered", "inquiry_dropped"), same="inquiry"
    )  # fmt: skip
    received = take()
    later = NOW + timedelta(hours=2)
    with database.begin() as connection:
        before = connection.execute(select(open_case_since(received.customer_id, rules, later))).scalar()
        tasks.end(connection, received.task_id or 0, by="anna", outcome="Told them", now=NOW + timedelta(hours=1))
        after = connection.execute(select(open_case_since(received.customer_id, rules, later))).scalar()

    assert (NOW, None) == (before, after)


def test_known_customer_is_found(database: Database, take: Callable[..., Received]) -> None:
    """
    By the address, whatever its capitals; what they typed does not change their record.
    """
    with database.begin() as connection:
        known = make_customer(connection, email="reader@customers.example", first_name="Rita", country="FR")
    received = take(email="Reader@CUSTOMERS.example", fields={"first_name": "Mallory"})
    with database.begin() as connection:
        name = connection.execute(select(customer.c.first_name)).scalar_one()

    assert (known, "cora") == (received.customer_id, received.owner)  # of customers in France
    assert "Rita" == name


def test_fields_that_say_nothing_are_not_kept(database: Database, take: Callable[..., Received]) -> None:
    """
    What was left empty or not ticked in a form elsewhere is no answer; a 0 and a ticked box are.
    """
    received = take(source=Source.API, fields={"a_lot": 0, "vip": True, "newsletter": False, "size": None, "note": " "})
    with database.begin() as connection:
        kept = connection.execute(select(inquiry.c.fields)).scalar_one()
        body = tasks.fetch(connection, received.task_id or 0).body

    assert {"a_lot": 0, "vip": True} == kept
    assert "A lot: 0\n" in body
    assert "Newsletter" not in body


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"desk": "sale"}, "sales"),
        ({"key": ""}, "key"),
        ({"subject": " ", "content": ""}, "empty"),
        ({"content": "x" * (LONGEST_CONTENT + 1)}, "too long"),
        ({"email": "nobody"}, "address"),
        ({"email": None}, "nobody asks"),
    ],
)
def test_inquiry_that_cannot_be_kept_is_refused(
    database: Database, take: Callable[..., Received], values: dict[str, object], expected: str
) -> None:
    """
    With words that say why; nothing is written.
    """
    with pytest.raises((UsageError, NotFound)) as refused:
        take(**values)

    assert expected in str(refused.value)
    assert [0, 0] == counted(database, inquiry, task)
