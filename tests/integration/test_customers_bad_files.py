"""Files with faults: no row gets lost, no money is counted twice, nothing ends in a traceback."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import text

from core.database import Database
from core.errors import ImportFailed, UsageError
from core.workspace import Workspace
from customers.importing.files import Counts, How, Imported, import_file
from customers.importing.importer import NewCustomers

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
HEADER = "customer,order_id,date,product,quantity,unit_price\n"


class Desk:
    """A workspace on a fresh database, and files to import into it."""

    def __init__(self, database: Database, workspace: Workspace, folder: Path) -> None:
        self.database, self.workspace, self.path = database, workspace, folder / "file.csv"

    def run(self, kind: str, content: str | bytes, **how: Any) -> Imported:
        self.path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return import_file(self.database, self.workspace, kind, self.path, now=NOW, how=How(**how))

    def buy(self, lines: str) -> Imported:
        return self.run("purchases", HEADER + lines, new_customers=NewCustomers(wanted=True))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.database.begin() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    def revenue(self) -> Decimal:
        ((amount,),) = self.rows("SELECT sum(monetary) FROM customer_metrics")
        return Decimal(amount)


@pytest.fixture
def desk(database: Database, make_workspace: Callable[..., Workspace], tmp_path: Path) -> Desk:
    return Desk(database, make_workspace(database=database), tmp_path)


def figures(counts: Counts) -> tuple[int, int, int, int, int]:
    return counts.read, counts.created, counts.updated, counts.unchanged, counts.rejected


def long_key() -> str:
    """9,000 characters that no index entry can hold, not even packed."""
    return "".join(Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=9_000))


def test_stray_quote_sends_every_line_it_swallows_to_the_rejects(desk: Desk) -> None:
    """
    Imported and rejected lines together are all the lines of the file.
    """
    imported = desk.run(
        "customers", 'external_id,first_name,last_name\nC1,"Ann,X\nC2,Bob,Y\nC3,Cid,Z\nC4,"Dan",W\nC5,Eve,V\n'
    )
    rejects = Path(imported.counts.rejects_file or "").read_text(encoding="utf-8-sig")

    assert (5, 1, 0, 0, 4) == figures(imported.counts)
    assert [("C5",)] == desk.rows("SELECT external_id FROM customer")
    assert all(f"C{number}," in rejects for number in (1, 2, 3, 4))


def test_cell_of_a_megabyte_is_imported_and_a_longer_one_rejected(desk: Desk) -> None:
    """
    A long text is no fault; one that no cell should hold is rejected alone.
    """
    content = f"external_id,notes\nC1,{'x' * 140_000}\nC2,{'x' * 1_100_000}\nC3,ok\n"

    assert (3, 2, 0, 0, 1) == figures(desk.run("customers", content).counts)


def test_corrected_order_replaces_what_it_was(desk: Desk) -> None:
    """
    A corrected price counts once, as an update, and the corrected file imported again changes nothing.
    """
    desk.buy("C1,O1,2026-01-01,P,1,1000\nC1,O2,2026-01-01,P,1,7\n")

    assert (1, 0, 1, 0, 0) == figures(desk.buy("C1,O1,2026-01-01,P,1,100\n").counts)
    assert Decimal(107) == desk.revenue()
    assert (1, 0, 0, 1, 0) == figures(desk.buy("C1,O1,2026-01-01,P,1,100\n").counts)


def test_order_with_fewer_lines_loses_the_others_and_says_so(desk: Desk) -> None:
    """
    Lines that their order no longer has are removed and named in a remark; the figures still add up.
    """
    desk.buy("C1,O1,2026-01-01,P,1,10\nC1,O1,2026-01-01,P,1,10\nC1,O1,2026-01-01,Q,1,5\n")
    imported = desk.buy("C1,O1,2026-01-01,P,1,10\n")

    assert (1, 0, 0, 1, 0) == figures(imported.counts)
    assert "removed 2 order lines, because this file has their orders without them" in imported.remarks
    assert Decimal(10) == desk.revenue()


def test_order_with_more_lines_gains_them(desk: Desk) -> None:
    """
    A new line beside a corrected one is created, the corrected one updated.
    """
    desk.buy("C1,O1,2026-01-01,P,1,10\n")

    assert (2, 1, 1, 0, 0) == figures(desk.buy("C1,O1,2026-01-01,P,1,9\nC1,O1,2026-01-01,Q,1,5\n").counts)
    assert Decimal(14) == desk.revenue()


def test_mended_rejects_file_adds_to_its_orders(desk: Desk) -> None:
    """
    A rejects file holds single lines of orders, so the lines imported before stay.
    """
    first = desk.buy("C1,O1,2026-01-01,P,1,10\nC1,O1,2026-01-01,Q,one,5\n")
    rejects = Path(first.counts.rejects_file or "").read_text(encoding="utf-8-sig")

    assert (1, 1, 0, 0, 0) == figures(desk.run("purchases", rejects.replace("one", "1")).counts)
    assert Decimal(15) == desk.revenue()


def test_free_lines_by_themselves_add_to_their_order(desk: Desk) -> None:
    """
    An order of which a file has only lines without price keeps its paid lines.
    """
    desk.buy("C1,O1,2026-01-01,P,1,10\n")

    assert (1, 1, 0, 0, 0) == figures(desk.buy("C1,O1,2026-01-01,P,2,0\n").counts)
    assert Decimal(10) == desk.revenue()


def test_numbered_lines_are_never_removed(desk: Desk) -> None:
    """
    With line numbers a file may hold parts of orders.
    """
    header = "customer,order_id,line_number,date,amount\n"
    desk.run("customers", "id\nC1\n")
    desk.run("purchases", f"{header}C1,O1,1,2026-01-01,10\nC1,O1,2,2026-01-01,5\n")
    desk.run("purchases", f"{header}C1,O1,2,2026-01-01,6\n")

    assert Decimal(16) == desk.revenue()


@pytest.mark.parametrize(
    ("kind", "content", "words"),
    [
        ("purchases", "customer,order_id,date,amount\nC1,O1,2026-01-01,99999999999999.99999\n", "too large"),
        ("purchases", HEADER + "C1,O1,2026-01-01,P,99999999999999.99999,0\n", "too large"),
        ("purchases", HEADER + "C1,O1,0001-01-01,P,1,1\n", "year out of range"),
        ("purchases", HEADER + "C1,O1,9999-12-31T23:59:59-05:00,P,1,1\n", "year out of range"),
        ("purchases", HEADER + f"C1,{long_key()},2026-01-01,P,1,1\n", "key too long"),
        ("purchases", HEADER + f"C1,O1,2026-01-01,{long_key()},1,1\n", "key too long"),
        ("purchases", HEADER + f"{long_key()},O1,2026-01-01,P,1,1\n", "key too long"),
        ("purchases", f"customer,order_id,line,date,amount\nC1,O1,{long_key()},2026-01-01,1\n", "key too long"),
        ("customers", f"external_id,email\n{long_key()},a@x.example\n", "key too long"),
    ],
)
def test_value_that_nothing_can_hold_is_rejected(desk: Desk, kind: str, content: str, words: str) -> None:
    """
    Numbers, instants and keys beyond what the database takes are rejected with a reason.
    """
    desk.run("customers", "external_id\nC1\n")
    imported = desk.run(kind, content)

    assert (1, 0, 0, 0, 1) == figures(imported.counts)
    assert words in Path(imported.counts.rejects_file or "").read_text(encoding="utf-8-sig")


def test_longest_keys_fit_their_index(desk: Desk) -> None:
    """
    An order number and a line number of the longest kind, in Chinese, are imported.
    """
    random = Random(2)
    order, line = ("".join(chr(random.randrange(0x20000, 0x2A000)) for _ in range(count)) for count in (500, 100))
    desk.run("customers", "external_id\nC1\n")

    content = f"customer,order_id,line,date,amount\nC1,{order},{line},2026-01-01,1\n"
    assert (1, 1, 0, 0, 0) == figures(desk.run("purchases", content).counts)


def test_rejects_never_overwrite_the_file_that_is_imported(desk: Desk) -> None:
    """
    The file of the customer is kept as it is.
    """
    content = "external_id,language\nC1,en\nC2,??\n"

    with pytest.raises(UsageError, match="is the file that is being imported"):
        desk.run("customers", content, rejects=desk.path)
    assert content == desk.path.read_text()


def test_half_a_character_refuses_the_file(desk: Desk) -> None:
    """
    UTF-7 can hold half of a pair, which no database takes.
    """
    with pytest.raises(ImportFailed, match="not UTF-7 text"):
        desk.run("customers", "external_id,first_name\nC1,+2AA-\n", encoding="utf-7")


def test_event_key_no_index_can_hold_is_rejected(desk: Desk) -> None:
    """
    An event with an endless key is rejected with the reason; the others are imported.
    """
    desk.run("customers", "external_id\nC1\n")
    imported = desk.run(
        "events", f"customer,name,occurred_at,event_key\nC1,visit,2026-03-01,{long_key()}\nC1,visit,2026-03-01,k2\n"
    )

    assert (2, 1, 0, 0, 1) == figures(imported.counts)
