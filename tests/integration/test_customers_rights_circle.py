"""Who is given out or erased with whom: on a page only the address that was proven, nowhere by way of others."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import insert, select

from cli import clarion
from core import schema
from core.clock import SteppedClock
from core.commands import Desk
from core.database import Database
from core.workspace import Workspace
from customers.importing.placeholders import is_placeholder
from customers.rights.erase import erase
from customers.rights.export import document
from tests.factories import LONG_AGO, SECRET, key_of, make_customer, make_suppression
from tests.integration.test_customers_opt_outs import Desk as ImportDesk
from tests.integration.test_customers_opt_outs import desk
from tests.public_pages import Pages, public_pages
from tracking.timed_tokens import TimedPurpose

__all__ = ["desk"]


@pytest.fixture
def pages(make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock) -> Iterator[Pages]:
    """The pages."""
    with public_pages(make_workspace, database, clock) as running:
        yield running


def _asked(pages: Pages, what: str, purpose: TimedPurpose, email: str) -> Any:
    pages.post("/my", {"email": email, "what": what})
    number = next(row["id"] for row in pages.rows(schema.rights_request) if row["kind"] == what)
    return pages.post(f"/{what[1] if what == 'export' else what[0]}/{pages.token(purpose, number)}")


def _names(connection: Any) -> list[str]:
    return sorted(connection.execute(select(schema.customer.c.external_id)).scalars())


def _chain(connection: Any) -> int:
    """C1 and C2 are one person; C2 shares a mailbox with C3, who is one person with C4. The number of C1."""
    first = make_customer(connection, external_id="C1", email="fam@x.example", person="P1")
    make_customer(connection, external_id="C2", email="office@x.example", person="P1")
    make_customer(connection, external_id="C3", email="office@x.example", person="P3")
    make_customer(connection, external_id="C4", email="home@x.example", person="P3")
    return first


def test_nobody_is_reached_by_way_of_others(database: Database) -> None:
    """
    Who shares a mailbox with another customer of the person is neither given out nor erased with them.
    """
    with database.begin() as connection:
        first = _chain(connection)
        exported = document(connection, first)
        erased = erase(connection, SECRET, first, now=LONG_AGO)

        assert (["C1", "C2"], 2) == (exported["customers"], erased.customers)
        assert ["C3", "C4"] == _names(connection)


def test_page_gives_out_the_proven_address_alone(pages: Pages) -> None:
    """
    Of customers of the same person at other addresses the file holds nothing but how many there are.
    """
    with pages.database.begin() as connection:
        _chain(connection)
    found = json.loads(_asked(pages, "export", TimedPurpose.EXPORT, "fam@x.example").body)

    assert (["C1"], ["fam@x.example"], 1) == (found["customers"], found["addresses"], found["others"])
    assert "office@x.example" not in json.dumps(found)


def test_page_erases_the_proven_address_alone(pages: Pages) -> None:
    """
    Customers of the same person at other addresses stay, and staff are told to look.
    """
    with pages.database.begin() as connection:
        _chain(connection)
    answer = _asked(pages, "erase", TimedPurpose.ERASE, "fam@x.example")

    with pages.database.begin() as connection:
        assert (200, ["C2", "C3", "C4"]) == (answer.status, _names(connection))
        titles = list(connection.execute(select(schema.task.c.title)).scalars())
    assert ["Erased on a page: look at 1 more of the same person at other addresses"] == titles


@pytest.mark.parametrize(("what", "purpose"), [("export", TimedPurpose.EXPORT), ("erase", TimedPurpose.ERASE)])
def test_page_leaves_a_crowd_to_staff(pages: Pages, what: str, purpose: TimedPurpose) -> None:
    """
    Behind an address of nine customers there is hardly one person: nothing is given out or erased, and a task says so.
    """
    with pages.database.begin() as connection:
        for number in range(9):
            make_customer(connection, external_id=f"C{number}", email="info@x.example")
    answer = _asked(pages, what, purpose, "info@x.example")

    with pages.database.begin() as connection:
        assert 9 == len(_names(connection))
        assert ["rights"] == list(connection.execute(select(schema.task.c.kind)).scalars())
    assert "Somebody will look at this" in answer.text
    assert "C3" not in answer.text


def test_commands_take_a_crowd_only_with_yes(
    database: Database, make_workspace: Callable[..., Workspace], clock: SteppedClock
) -> None:
    """
    Nine customers of one `person` are exported and erased only when an operator says so.
    """
    with database.begin() as connection:
        for number in range(9):
            make_customer(connection, external_id=f"C{number}", email=f"c{number}@x.example", person="P")
    desk = Desk(make_workspace(database=database).root, clock)
    codes = []
    for command in ("export", "erase"):
        for more in ([], ["--yes"]):
            done = CliRunner().invoke(clarion, ["customer", command, "C1", *more], obj=desk)
            codes.append(done.exit_code != 0)
    desk.close()

    assert [True, False, True, False] == codes
    with database.begin() as connection:
        assert [] == _names(connection)


@pytest.mark.parametrize("word", ["n/a", "-", "unknown", "None", "0", "#N/A", "0.0", "NULL", "Unbekannt", "无"])
def test_word_for_nobody_makes_nobody_one_person(desk: ImportDesk, word: str) -> None:
    """
    A placeholder in `person` or `household` is left out, and the import says so.
    """
    rows = "".join(f"C{n},c{n}@x.example,{word},{word}\n" for n in range(3))
    told = desk.run("customers", "id,email,person,household\n" + rows)

    with desk.database.begin() as connection:
        found = connection.execute(select(schema.customer.c.person, schema.customer.c.household)).all()
    assert [(None, None)] * 3 == [tuple(row) for row in found]
    assert "3 cells of person hold a word for nobody, such as 'n/a': they are left empty" in told.remarks


@pytest.mark.parametrize("key", ["P1", "10", "007", "N-12", "nana", "a"])
def test_keys_are_no_placeholders(key: str) -> None:
    """
    What tells people apart stays.
    """
    assert not is_placeholder(key)


def test_former_address_that_is_somebody_elses_is_left_alone(database: Database) -> None:
    """
    Erasing, or giving out, a former owner of an address touches nothing that is by now its present owner's.
    """
    with database.begin() as connection:
        former = make_customer(connection, external_id="C1", email="new@x.example")
        owner = make_customer(connection, external_id="C9", email="fam@x.example", consents=("promotions",))
        values = {"customer_id": former, "address_key": key_of("fam@x.example"), "email": "fam@x.example"}
        connection.execute(insert(schema.customer_address).values(**values))
        make_suppression(connection, "fam@x.example", reason="manual", evidence={"note": "of C9"})
        signed_up = {"form": "f", "email": "fam@x.example", "address_key": key_of("fam@x.example"),
                     "limit_key": key_of("fam@x.example"), "topics": ["news"]}  # fmt: skip
        connection.execute(insert(schema.sign_up).values(**signed_up, customer_id=owner))
        connection.execute(insert(schema.sign_up).values(**signed_up))
        digest = {"digest": b"x", "reason": "legal", "source": "list"}
        connection.execute(insert(schema.blocked_digest).values(digest))
        connection.exec_driver_sql("UPDATE blocked_digest SET digest = sha256(convert_to('fam@x.example', 'UTF8'))")
        tables = document(connection, former)["tables"]
        erase(connection, SECRET, former, now=LONG_AGO)
        left = {
            table.name: len(connection.execute(select(table)).all())
            for table in (schema.sign_up, schema.blocked_digest, schema.suppression)
        }
        notes = list(connection.execute(select(schema.suppression.c.evidence)).scalars())

    assert ([], [], []) == (tables["sign_up"], tables["blocked_digest"], tables["suppression"])
    assert {"sign_up": 2, "blocked_digest": 1, "suppression": 2} == left  # and the erased address's own
    assert {"note": "of C9"} in notes
