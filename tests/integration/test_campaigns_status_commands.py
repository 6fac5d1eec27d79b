"""`status` as it is typed: everybody stands in its table, and who is behind a count."""

import json
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner
from sqlalchemy import insert, select, update

from campaigns.doubts import doubts
from cli import clarion
from core.commands import Desk
from core.database import Database
from core.schema import attempt, batch, message
from core.workspace import Workspace
from tests.campaign_files import FILES
from tests.factories import make_customer

Typed = Callable[..., str]


@pytest.fixture
def workspace(database: Database, make_workspace: Callable[..., Workspace]) -> Workspace:
    """A workspace with one campaign and six customers who agreed."""
    with database.begin() as connection:
        for number in range(6):
            make_customer(
                connection, external_id=f"K{number}", email=f"p{number}@firm.example", consents=("promotions",)
            )
    return make_workspace(database=database, files=FILES)


@pytest.fixture
def typed(workspace: Workspace) -> Iterator[Typed]:
    """Types a command in the workspace, where everybody has a message by then; gives its stdout."""
    desk = Desk(workspace.root)

    def call(*arguments: str) -> str:
        return CliRunner().invoke(clarion, list(arguments), obj=desk).stdout

    call("send", "spring-paper", "--yes")
    yield call
    desk.close()


def answered(database: Database, state: str, reply: str, *, code: int | None, most: int) -> None:
    """The first `most` planned messages were tried once, and are in this state since."""
    with database.begin() as connection:
        planned = select(message.c.id).where(message.c.state == "planned").order_by(message.c.id).limit(most)
        for id_, at in connection.execute(
            update(message)
            .where(message.c.id.in_(planned))
            .values(state=state, attempt_count=1)
            .returning(message.c.id, message.c.state_at)
        ).all():
            tried = {"number": 1, "transport": "main", "worker": "w1", "outcome": state, "answered_at": at}
            connection.execute(insert(attempt).values(message_id=id_, code=code, reply=reply, **tried))


def test_table_accounts_for_everybody_while_a_run_goes_on(typed: Typed, database: Database) -> None:
    """
    Who is in the hands of workers has a column while anybody is: the columns add up to the audience.
    """
    before = typed("status").splitlines()[0].split()
    with database.begin() as connection:
        connection.execute(update(batch).values(state="claimed"))
        first = select(message.c.id).limit(1).scalar_subquery()
        connection.execute(update(message).where(message.c.id == first).values(state="handed_over"))
    heads, _, row = typed("status").splitlines()[:3]
    counts = dict(zip(heads.replace("handed over", "handed_over").split(), row.split(), strict=True))

    assert "claimed" not in before
    assert ("6", "0", "5", "1") == tuple(counts[name] for name in ("audience", "planned", "claimed", "handed_over"))


def test_who_failed_is_told_with_the_words_of_the_server(typed: Typed, database: Database) -> None:
    """
    On screen and as JSON.
    """
    answered(database, "failed", "no such user", code=550, most=2)
    people = json.loads(typed("status", "spring-paper", "--who", "failed", "--json"))["people"]

    assert 2 * ["550 no such user"] == [person["reason"] for person in people]
    assert 2 == typed("status", "spring-paper", "--who", "failed").count("550 no such user")


def test_who_is_in_doubt_is_told_with_their_message_ids(typed: Typed, database: Database, workspace: Workspace) -> None:
    """
    A file of outcomes can be written from the list: it has the Message-IDs by which a provider knows the mails.
    """
    answered(database, "unknown", "the answer was lost", code=None, most=1)
    answered(database, "failed", "no such user", code=550, most=1)
    with database.begin() as connection:
        (doubt,) = doubts(connection, workspace.secret, campaign="spring-paper")
    (person,) = json.loads(typed("status", "spring-paper", "--who", "unknown", "--json"))["people"]
    (failed,) = json.loads(typed("status", "spring-paper", "--who", "failed", "--json"))["people"]

    assert (f"<{doubt.message_id}>", "the answer was lost") == (person["message_id"], person["reason"])
    assert person["message_id"] in typed("status", "spring-paper", "--who", "unknown")
    assert "message_id" not in failed
