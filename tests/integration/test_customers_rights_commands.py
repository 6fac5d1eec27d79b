"""`clarion customer export`, `erase`, `readmit`: what they print, write and leave behind."""

import json

import pytest
from click.testing import CliRunner
from sqlalchemy import func, select, text

from cli import clarion
from core import audit, schema
from core.commands import Desk
from tests.campaign_files import FILES
from tests.factories import make_consent, make_customer, make_suppression
from tests.rights_rows import EMAIL, EXTERNAL, make_person

#: Other ways to write the same mailbox: case, pasted forms, full width, invisible characters.
SPELLINGS = (
    "annelore.quittenbaum@PAPPEL.example",
    "<Annelore.Quittenbaum@pappel.example>",
    "mailto:ANNELORE.QUITTENBAUM@pappel.example",
    "Ａnnelore.Quittenbaum@pappel.example",
    "Annelore.\u200bQuittenbaum@pappel.example.",
)


@pytest.fixture
def run(database, make_workspace, clock):
    """Runs the command line in a workspace over the test's database; the last line of stdout is read as JSON."""
    workspace = make_workspace(database=database, files=FILES)
    desks = []

    def call(*arguments, code=0):
        desk = Desk(workspace.root, clock)
        desks.append(desk)
        done = CliRunner().invoke(clarion, arguments, obj=desk, catch_exceptions=False)
        assert code == done.exit_code, done.output
        return done

    call.workspace = workspace
    yield call
    for desk in desks:
        desk.close()


@pytest.fixture
def person(database):
    with database.begin() as connection:
        return make_person(connection)


def _import(run, kind, content, code=0):
    path = run.workspace.root / "people.csv"
    path.write_text(content, encoding="utf-8")
    return json.loads(run("import", kind, str(path), "--json", code=code).stdout)


def _customers(database):
    with database.begin() as connection:
        return connection.execute(select(func.count()).select_from(schema.customer)).scalar_one()


def test_export_prints_one_document_and_is_on_record(run, database, person):
    """
    The document is JSON on stdout, for an address or an external id; the audit says that it was given out.
    """
    by_address = json.loads(run("customer", "export", EMAIL.upper()).stdout)
    by_name = json.loads(run("customer", "export", EXTERNAL, "--json").stdout)

    assert by_address["tables"]["consent"] == by_name["tables"]["consent"] != []
    with database.begin() as connection:
        noted = connection.execute(select(schema.audit).where(schema.audit.c.action == "customer.export")).all()
    assert [f"customer:{person}"] * 2 == [entry.subject for entry in noted]


def test_export_writes_files_that_no_spreadsheet_runs(run, database):
    """
    A CSV file for each table with rows; what would be a formula has an apostrophe before it.
    """
    with database.begin() as connection:
        make_customer(connection, external_id="F1", email="f@x.example", first_name="=HYPERLINK(1)")
    folder = run.workspace.root / "out"

    run("customer", "export", "F1", "--csv", str(folder))

    written = (folder / "customer.csv").read_text(encoding="utf-8-sig")
    assert ",'=HYPERLINK(1)," in written
    assert ["audit.csv", "customer.csv"][1:] == [path.name for path in folder.iterdir() if path.name != "audit.csv"]


def test_export_of_somebody_who_only_signed_up(run, database):
    """
    An address nobody is a customer at has rights too; an unknown external id is refused.
    """
    with database.begin() as connection:
        make_suppression(connection, "who@x.example", reason="complaint")

    exported = json.loads(run("customer", "export", "WHO@x.example").stdout)

    assert ["complaint"] == [row["reason"] for row in exported["tables"]["suppression"]]
    assert "there is no customer 'Z'" in run("customer", "export", "Z", code=1).stderr


def test_dry_run_tells_what_erasing_then_does(run, database, person):
    """
    The dry run changes nothing and has the same counts.
    """
    dry = json.loads(run("customer", "erase", EXTERNAL, "--dry-run", "--json").stdout)
    count = _customers(database)
    done = json.loads(run("customer", "erase", EXTERNAL, "--yes", "--json").stdout)

    assert (1, 0) == (count, _customers(database))
    assert dry | {"dry_run": False} == done
    assert 1 == done["customers"]


def test_erased_person_is_not_imported_in_another_spelling(run, database, person):
    """
    However the mailbox is written, with whatever external id: the row is rejected with the reason, and the address is
    suppressed.
    """
    run("customer", "erase", EMAIL, "--yes")
    rows = "".join(f"NEW-{number},{spelling},Annelore\n" for number, spelling in enumerate(SPELLINGS))

    counts = _import(run, "customers", f"external_id,email,first_name\n{rows}")
    rejects = (run.workspace.root / "people.csv.rejects.csv").read_text(encoding="utf-8-sig")
    checked = [json.loads(run("suppress", "check", spelling, "--json").stdout) for spelling in SPELLINGS]

    assert (0, len(SPELLINGS)) == (counts["created"], counts["rejected"])
    assert len(SPELLINGS) == rejects.count("erased on request")
    assert all(
        answer["transactional_reason"].startswith("suppressed:") for each in checked for answer in each["answers"]
    )


def test_erased_person_is_not_imported_by_the_old_external_id(run, database, person):
    """
    The external id, with another address or none, is the same person; so it is in purchases and events.
    """
    run("customer", "erase", EXTERNAL, "--yes")

    people = _import(run, "customers", f"external_id,email\n{EXTERNAL},new@x.example\nKD-9,other@x.example\n")
    orders = _import(
        run, "purchases", f"external_id,order_id,ordered_at,amount,currency\n{EXTERNAL},O1,2026-01-01,5,EUR\n"
    )

    assert (1, 1) == (people["created"], people["rejected"])
    assert 1 == orders["rejected"]


def test_idna_spelling_of_an_erased_address_is_refused(run, database):
    """
    An address erased under its Unicode domain is refused under the A-label, and the other way round.
    """
    with database.begin() as connection:
        make_customer(connection, email="Jörg@exämple.example", external_id="U1")
    run("customer", "erase", "U1", "--yes")

    counts = _import(run, "customers", "external_id,email\nU2,jörg@xn--exmple-cua.example\nU3,JÖRG@EXÄMPLE.example\n")

    assert 2 == counts["rejected"]


def test_people_of_one_mailbox_are_erased_together_only_when_that_is_meant(run, database):
    """
    Without somebody at the keyboard nobody is erased but with --yes; the others at the address are named.
    """
    with database.begin() as connection:
        for number in (1, 2):
            make_customer(connection, email="both@x.example", external_id=f"B{number}")

    refused = run("customer", "erase", "B1", code=2).stderr
    run("customer", "erase", "B1", "--yes")

    assert "whether to erase B1, with B2, for good; nothing was erased" in refused
    assert "--yes" in refused
    assert 0 == _customers(database)


def test_files_that_still_name_the_person_are_told(run, database, person):
    """
    Files of the workspace are the operator's: erasing names those with the address, by line.
    """
    (run.workspace.root / "lists").mkdir()
    (run.workspace.root / "lists" / "fair.csv").write_text(f"name,email\nA,{EMAIL.lower()}\n", encoding="utf-8")

    assert "still named in lists/fair.csv:2" in run("customer", "erase", EXTERNAL, "--yes").stderr


def test_readmitted_person_is_imported_again_and_must_agree_anew(run, database, person):
    """
    With a reason, imports take them again; the opt-out of before still holds, and what they agreed to is gone.
    """
    run("customer", "erase", EMAIL, "--yes")
    run("customer", "readmit", EMAIL, "--because", "ordered again")

    counts = _import(run, "customers", f"external_id,email\n{EXTERNAL},{EMAIL}\n")
    answers = json.loads(run("suppress", "check", EXTERNAL, "--json").stdout)["answers"]

    assert (1, 0) == (counts["created"], counts["rejected"])
    assert {"suppressed:legal"} == {answer["reason"] for answer in answers}  # of the hashed list; see `make_person`
    assert "nobody known as" in run("customer", "readmit", EMAIL, "--because", "x", code=1).stderr


def test_restored_database_is_brought_up_to_date(run, database, person):
    """
    The file beside the database remembers who was erased, also when the database has forgotten: a replay erases them
    again, and does nothing the second time.
    """
    run("customer", "erase", EMAIL, "--yes")
    with database.begin() as connection:  # what a backup from before the erasure gives back
        connection.execute(text("TRUNCATE erasure"))
        connection.execute(text("DELETE FROM suppression"))
        make_customer(connection, email="ANNELORE.quittenbaum@pappel.example", external_id=EXTERNAL)
        stays = make_customer(connection, email="stays@x.example")
        make_consent(connection, stays)

    first = json.loads(run("customer", "erase", "--replay", "--json").stdout)
    second = json.loads(run("customer", "erase", "--replay", "--json").stdout)

    assert 1 == _customers(database)
    assert (1, 0) == (first["customers"], second["customers"])
    assert (first["restored"] > 0, second["restored"]) == (True, 0)
    counts = _import(run, "customers", f"external_id,email\nX,{EMAIL}\n")
    assert 1 == counts["rejected"]
    with database.begin() as connection:
        assert () == audit.verify(connection).flaws


def test_readmitted_person_survives_a_replay(run, database, person):
    """
    Who came back after the erasure is a customer again, and a replay leaves them alone.
    """
    run("customer", "erase", EMAIL, "--yes")
    run("customer", "readmit", EMAIL, "--because", "ordered again")
    _import(run, "customers", f"external_id,email\n{EXTERNAL},{EMAIL}\n")

    replayed = json.loads(run("customer", "erase", "--replay", "--json").stdout)

    assert (0, 1) == (replayed["customers"], _customers(database))


def test_file_that_holds_no_erasures_is_refused(run, database):
    """
    A wrong line is named by file and number, and nothing is done.
    """
    path = run.workspace.root / "bad.jsonl"
    for line in ("no json", "{}", '{"external_key": 1}', "[]"):
        path.write_text(line + "\n", encoding="utf-8")

        refused = run("customer", "erase", "--replay", "--tombstones", str(path), code=1).stderr

        assert "bad.jsonl:1: not an erasure" in refused
