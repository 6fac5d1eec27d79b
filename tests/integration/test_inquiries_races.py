"""Inquiries under way at the same time as who answers, erases and tidies up."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from campaigns import tasks
from campaigns.duty import Circumstances
from campaigns.inquiries import escalating
from campaigns.inquiries.receiving import receive
from campaigns.inquiries.states import InquiryState
from campaigns.inquiries.working import end
from core.database import Database
from core.retention_settings import Retention
from core.schema import inquiry, task
from core.workspace import Workspace
from customers.rights import retention
from customers.rights.erase import erase
from tests.factories import SECRET, make_customer
from tests.inquiry_files import FILES, SETTINGS, asked

NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
LATE = NOW + timedelta(days=3)


def test_answers_and_escalations_at_once_wait_for_each_other(
    database: Database, make_workspace: Callable[..., Workspace]
) -> None:
    """
    Twenty tasks are done while their inquiries escalate: no deadlock, each ends answered, with its task.
    """
    circumstances = Circumstances.of(make_workspace(database=database, files=FILES, settings=SETTINGS))
    with database.begin() as connection:
        found = [receive(connection, circumstances, asked(key=f"k{number}"), NOW) for number in range(20)]

    def answer(task_id: int) -> None:
        with database.begin() as connection:
            tasks.end(connection, task_id, by="anna", outcome="Told them", now=LATE)

    def escalate(_: int) -> None:
        with database.begin() as connection:
            escalating.escalate(connection, circumstances, LATE)

    with ThreadPoolExecutor(8) as pool:
        work = [pool.submit(answer, one.task_id or 0) for one in found]
        work += [pool.submit(escalate, number) for number in range(10)]
        for each in work:
            each.result()
    with database.begin() as connection:
        ends = connection.execute(select(inquiry.c.state, inquiry.c.escalates_at, task.c.state).join(task)).all()

    assert {("answered", None, "done")} == {tuple(row) for row in ends}


def test_what_an_erased_person_asks_stays_until_it_is_answered(
    database: Database, make_workspace: Callable[..., Workspace]
) -> None:
    """
    The daily run empties what names erased people, but takes no open inquiry from who has to answer it.
    """
    circumstances = Circumstances.of(make_workspace(database=database, files=FILES, settings=SETTINGS))
    with database.begin() as connection:
        erase(connection, SECRET, make_customer(connection, email="reader@customers.example"), now=NOW)
        received = receive(connection, circumstances, asked(), NOW)
    retention.run(database, Retention(), now=LATE)
    with database.begin() as connection:
        states = connection.execute(select(inquiry.c.state)).scalars().all()
        end(
            connection, received.inquiry_id, state=InquiryState.ANSWERED, by="anna", outcome="Wrote to them", now=LATE
        )  # fmt: skip
    retention.run(database, Retention(), now=LATE)
    with database.begin() as connection:
        left = connection.execute(select(inquiry.c.id)).all()

    assert ["open"] == states
    assert [] == left
