"""The audit: whoever changes, removes or inserts an entry later leaves a mark, however busy it was."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from core import audit, schema


@pytest.fixture
def written(database):
    """Five entries by two people."""
    for number in range(5):
        with database.begin() as connection:
            audit.record(connection, "anna", "suppress.add", f"address:{number}", reason="manual", count=number)
    return database


def _verdict(database):
    with database.begin() as connection:
        return audit.verify(connection)


def _tamper(connection, *statements):
    """The statements are carried out as somebody does who owns the database: triggers do not stop them."""
    for statement in ("SET LOCAL session_replication_role = replica", *statements):
        connection.execute(text(statement))


def _flaws_after(database, *statements):
    """What is found after tampering, which is undone: each case begins with the same five entries."""
    with database.begin() as connection:
        savepoint = connection.begin_nested()
        _tamper(connection, *statements)
        flaws = audit.verify(connection).flaws
        savepoint.rollback()
    return [(flaw.number, flaw.what) for flaw in flaws]


def test_an_untouched_audit_has_no_flaw(written):
    """
    All entries are in the chain; its seal stands for them, and can be found again after more were written.
    """
    verdict = _verdict(written)
    with written.begin() as connection:
        audit.record(connection, "ben", "customer.export", "customer:1")

    assert (5, ()) == (verdict.count, verdict.flaws)
    assert (6, ()) == (_verdict(written).count, _verdict(written).flaws)
    with written.begin() as connection:
        assert audit.holds_seal(connection, verdict.seal)
        assert not audit.holds_seal(connection, "00" * 32)


def test_entries_made_while_it_is_checked_are_no_flaw(written, monkeypatch):
    """
    Whatever is committed between one look and the next, there is but one look.
    """
    sealed, cut = audit._sealed, audit._cut

    def busy(way):
        def during(*given):
            with written.begin() as other:
                audit.record(other, "ben", "customer.export", "customer:2")
            return way(*given)

        return during

    monkeypatch.setattr(audit, "_sealed", busy(sealed))
    monkeypatch.setattr(audit, "_cut", busy(cut))

    verdict = _verdict(written)
    assert (5, ()) == (verdict.count, verdict.flaws)
    monkeypatch.undo()
    assert (11, ()) == (_verdict(written).count, _verdict(written).flaws)


def test_a_changed_entry_is_found(written):
    """
    A change of any column breaks the chain at that entry, the last one included.
    """
    changes = {
        "actor": "'nobody'",
        "action": "'suppress.remove'",
        "subject": "'address:9'",
        "at": "at + interval '1 microsecond'",
        "detail": "detail || '{\"count\": 7}'",
        "seal": "sha256('x')",
    }

    assert set(changes) == set(schema.audit.c.keys()) - {"id", "number"}
    for column, value in changes.items():
        for number in (1, 3, 5):
            found = _flaws_after(written, f"UPDATE audit SET {column} = {value} WHERE number = {number}")
            assert number in [at for at, _ in found], (column, number)


def test_a_removed_entry_is_found(written):
    """
    Entries missing at the beginning, within and at the end are told by their numbers.
    """
    for removed in ([1], [3], [5], [2, 3], [1, 2, 3, 4, 5]):
        found = _flaws_after(written, f"DELETE FROM audit WHERE number = ANY(ARRAY{removed})")
        assert removed[0] in [number for number, _ in found]
        assert all("removed" in what for _, what in found)


def test_a_removed_entry_is_found_though_the_others_were_renumbered(written):
    """
    Closing the gap does not help: the seals contain the numbers and each other.
    """
    found = _flaws_after(
        written,
        "DELETE FROM audit WHERE number = 3",
        "UPDATE audit SET number = number - 1 WHERE number = 4",
        "UPDATE audit SET number = number - 1 WHERE number = 5",
        "UPDATE audit_head SET number = 4",
    )

    assert (3, "the entry or the one before it was changed") in found


def test_an_inserted_entry_is_found(written):
    """
    An entry pushed in without the trigger has no place; with a number of its own it has a wrong seal or no end.
    """
    row = "INSERT INTO audit (actor, action, subject, number, seal) VALUES ('eve', 'a.b', 'c:1', {}, sha256('x'))"

    assert ["was never sealed" in what for _, what in _flaws_after(written, row.format("NULL"))] == [True]
    assert {6} <= {number for number, _ in _flaws_after(written, row.format("6"))}


def test_two_entries_that_changed_places_are_found(written):
    """
    Swapped numbers break the chain.
    """
    found = _flaws_after(
        written,
        "UPDATE audit SET number = -1 WHERE number = 2",
        "UPDATE audit SET number = 2 WHERE number = 3",
        "UPDATE audit SET number = 3 WHERE number = -1",
    )

    assert {2, 3} <= {number for number, _ in found}


def test_a_chain_computed_anew_does_not_hold_a_seal_that_was_noted(written):
    """
    Who owns the database can compute a new chain without flaw; a seal kept elsewhere is not in it.
    """
    noted = _verdict(written).seal
    with written.begin() as connection:
        _tamper(connection, "DELETE FROM audit", "UPDATE audit_head SET number = 0, seal = ''")
    with written.begin() as connection:
        for number in range(5):
            audit.record(connection, "anna", "suppress.add", f"address:{number}")

    assert () == _verdict(written).flaws
    with written.begin() as connection:
        assert not audit.holds_seal(connection, noted)


def test_entries_cannot_be_changed_by_mistake(written):
    """
    The database refuses what would change or remove entries.
    """
    for statement in ("UPDATE audit SET actor = 'x'", "DELETE FROM audit", "TRUNCATE audit"):
        with pytest.raises(DBAPIError, match="append-only"), written.begin() as connection:
            connection.execute(text(statement))


def test_entries_written_at_once_are_one_chain(database):
    """
    Eight writers, several entries a transaction, some rolled back: the numbers have no gap and no flaw.
    """

    def write(writer):
        for turn in range(10):
            with database.engine.connect() as connection, connection.begin() as transaction:
                for _ in range(turn % 3 + 1):
                    audit.record(connection, f"w{writer}", "suppress.add", f"address:{turn}")
                if turn % 5 == 4:
                    transaction.rollback()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))

    verdict = _verdict(database)
    assert (8 * (1 + 2 + 3 + 1 + 3 + 1 + 2 + 3), ()) == (verdict.count, verdict.flaws)


def test_a_long_transaction_with_an_entry_keeps_nobody_waiting(database):
    """
    Entries line up when they are committed: one written early in a long transaction holds no lock until then.
    """
    with database.begin() as long, database.begin() as short:
        audit.record(long, "anna", "customer.import", "file:big.csv")
        short.execute(text("SET LOCAL lock_timeout = '2s'"))
        audit.record(short, "ben", "suppress.add", "address:1")
        short.commit()

    with database.begin() as connection:
        order = connection.execute(text("SELECT actor FROM audit ORDER BY number")).scalars().all()
    assert ["ben", "anna"] == list(order)
    assert () == _verdict(database).flaws


def test_mailboxes_in_an_entry_are_masked(database):
    """
    An address that slipped into an entry is written without its local part: the audit outlives an erasure.
    """
    with database.begin() as connection:
        audit.record(
            connection, "anna", "x.y", "customer:ann@x.example", note="wrote to <Ann.Lee+1@x.example>", more=["a@b.c"]
        )
        row = connection.execute(text("SELECT subject, detail FROM audit")).one()

    assert ("customer:…@x.example", {"note": "wrote to <…@x.example>", "more": ["…@b.c"]}) == tuple(row)
