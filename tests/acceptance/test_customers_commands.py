"""`clarion import`, `tiers` and `customer show`, as a marketer types them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli import clarion
from core.commands import Desk
from core.database import Database
from core.workspace import Workspace

PURCHASES = "customer,order,date,amount\n" + "".join(
    f"{number},O{number}-{nth},2026-02-{nth + 1:02},{number * 10}\n"
    for number in range(1, 11)
    for nth in range(number % 3 + 1)
)


@pytest.fixture
def run(database: Database, make_workspace: Callable[..., Workspace], clock: Any) -> Callable[..., Result]:
    workspace = make_workspace(database=database)

    def invoke(*arguments: str | Path) -> Result:
        desk = Desk(workspace.root, clock)
        desk.__dict__["database"] = database  # the test's own, which is closed at its end
        return CliRunner().invoke(clarion, [str(argument) for argument in arguments], obj=desk)

    return invoke


@pytest.fixture
def purchases(tmp_path: Path) -> Path:
    path = tmp_path / "purchases.csv"
    path.write_text(PURCHASES, encoding="utf-8")
    return path


def test_import_prints_the_agreed_keys(run: Callable[..., Result], purchases: Path) -> None:
    """
    `--json` is one document with exactly the keys that outside checks rely on; remarks go to stderr.
    """
    result = run("import", "purchases", purchases, "--create-customers", "--json")
    counts = json.loads(result.stdout)

    assert ["read", "created", "updated", "unchanged", "rejected", "rejects_file", "seconds"] == list(counts)
    assert (20, 20, 0, None) == (counts["read"], counts["created"], counts["rejected"], counts["rejects_file"])
    assert "UTF-8" in result.stderr


def test_import_in_words_says_what_happened(run: Callable[..., Result], purchases: Path, tmp_path: Path) -> None:
    """
    The figures, the dry run and the place of the rejects file are told in two lines.
    """
    rejects = tmp_path / "why.csv"
    result = run("import", "purchases", purchases, "--dry-run", "--rejects", rejects)

    assert "20 rows read: 0 created, 0 updated, 0 unchanged, 20 rejected" in result.stdout
    assert "dry run: nothing was kept" in result.stdout
    assert f"rejected rows and why: {rejects}" in result.stdout
    assert rejects.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("import", "customers", "nothing.csv"), 1, "there is no such file"),
        (("import", "purchases", "FILE", "--map", "custmer=external_id"), 2, "did you mean 'customer'"),
        (("import", "purchases", "FILE", "--encoding", "utf-9"), 2, "no such encoding"),
        (("import", "purchases", "FILE", "--delimiter", "none"), 2, "not a delimiter"),
        (("tiers", "--as-of", "soon"), 2, "not a date"),
        (("customer", "show", "C99"), 1, "there is no customer 'C99'"),
    ],
)
def test_mistakes_are_one_message_and_an_exit_code(
    run: Callable[..., Result], purchases: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    """
    What a person can mend is told without a traceback.
    """
    result = run(*(purchases if argument == "FILE" else argument for argument in arguments))

    assert code == result.exit_code
    assert words in result.stderr


def test_tiers_are_shown_per_scheme_and_level(run: Callable[..., Result], purchases: Path) -> None:
    """
    Every scheme lists its levels with head counts, revenue and share; one scheme can be chosen.
    """
    run("import", "purchases", purchases, "--create-customers")
    levels = json.loads(run("tiers", "--json").stdout)
    shown = run("tiers", "--scheme", "pyramid").stdout

    assert {"scheme", "level", "customers", "revenue", "share_of_revenue"} <= set(levels[0])
    assert {"rfm": 10, "abc": 10, "pyramid": 10, "quadrant": 10} == {
        scheme: sum(row["customers"] for row in levels if row["scheme"] == scheme)
        for scheme in ("rfm", "abc", "pyramid", "quadrant")
    }
    assert "champions" not in shown
    assert "█" in shown


def test_tiers_before_any_import_say_so(run: Callable[..., Result]) -> None:
    """
    An empty database is told in words, not as a table of zeros.
    """
    assert "no metrics yet" in run("tiers").stdout


def test_tiers_of_an_earlier_instant_store_nothing(run: Callable[..., Result], purchases: Path) -> None:
    """
    With `--as-of` only what had happened by then counts.
    """
    run("import", "purchases", purchases, "--create-customers")
    now = run("tiers", "--json").stdout
    then = json.loads(run("tiers", "--as-of", "2026-02-01 23:00", "--scheme", "abc", "--json").stdout)

    assert 10 == sum(row["customers"] for row in then)
    assert sum(number * 10 for number in range(1, 11)) == sum(row["revenue"] for row in then)
    assert now == run("tiers", "--json").stdout


def test_customer_is_shown_by_key(run: Callable[..., Result], tmp_path: Path) -> None:
    """
    External id and address show the same person, in words and as JSON.
    """
    path = tmp_path / "people.csv"
    path.write_text("id,email,first_name,last_name,topics\nC1,ann@x.example,Ann,Ng,news\n", encoding="utf-8")
    run("import", "customers", path)
    document = json.loads(run("customer", "show", "ANN@x.example", "--json").stdout)
    shown = run("customer", "show", "C1").stdout

    assert "C1" == document["customer"]["external_id"]
    assert ["news"] == [consent["topic"] for consent in document["consents"]]
    assert shown.startswith("Ann Ng\n")
    assert "prospect" in shown


def test_dry_run_leaves_no_rejects_file(run: Callable[..., Result], tmp_path: Path) -> None:
    """
    What a dry run would reject is counted; a file beside the user's own is written by the import alone.
    """
    path = tmp_path / "people.csv"
    path.write_text("id,email\nC1,no address\nC2,bob@x.example\n", encoding="utf-8")
    dry = json.loads(run("import", "customers", path, "--dry-run", "--json").stdout)
    left = sorted(file.name for file in tmp_path.glob("people*"))
    real = json.loads(run("import", "customers", path, "--json").stdout)

    assert (1, None, ["people.csv"]) == (dry["rejected"], dry["rejects_file"], left)
    assert (1, str(tmp_path / "people.csv.rejects.csv")) == (real["rejected"], real["rejects_file"])


def test_events_of_the_future_are_remarked(run: Callable[..., Result], tmp_path: Path) -> None:
    """
    They are imported, and it is said that nothing follows from them yet: the date may be a mistake.
    """
    (tmp_path / "people.csv").write_text("id,email\nC1,ann@x.example\n", encoding="utf-8")
    run("import", "customers", tmp_path / "people.csv")
    path = tmp_path / "events.csv"
    path.write_text("customer,event,time\nC1,visit,2026-03-01\nC1,visit,2026-03-03\nC1,visit,2027-01-01\n")
    result = run("import", "events", path)
    again = run("import", "events", path, "--dry-run")
    path.write_text("customer,event,time\nC1,visit,2026-03-01\n")

    assert "3 created" in result.stdout
    assert "2 of the future: nothing follows from them before their date" in result.stderr
    assert "2 of the future" in again.stderr
    assert "of the future" not in run("import", "events", path).stderr
