"""`clarion suppress` and `clarion consent`, from the keyboard to the tables."""

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from cli import clarion
from core import schema
from core.clock import SteppedClock
from core.commands import Desk
from core.database import Database
from core.workspace import Workspace
from suppression.wishes import wish_for_at_most
from tests import factories

Run = Callable[..., Result]


@pytest.fixture
def run(make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock) -> Run:
    """Calls `clarion` with the arguments, at the tests' clock."""
    desk = Desk(clock=clock)
    desk.workspace = make_workspace(database=database)
    desk.database = database
    return lambda *arguments: CliRunner().invoke(clarion, arguments, obj=desk)


@pytest.fixture
def customer_id(database: Database) -> int:
    """Ann, who agreed to promotions."""
    with database.begin() as connection:
        return factories.make_customer(
            connection, external_id="A1", email="ann@customers.example", consents=("promotions",)
        )


def answers(result: Result) -> list[tuple[str, bool, str | None]]:
    """What `suppress check --json` printed, as (topic, may write, reason)."""
    return [(row["topic"], row["may_write"], row["reason"]) for row in json.loads(result.stdout)["answers"]]


def audit_rows(database: Database) -> list[tuple[str, dict[str, Any]]]:
    """Every audit row in order, as (action, detail)."""
    with database.begin() as connection:
        rows = connection.execute(select(schema.audit.c.action, schema.audit.c.detail).order_by(schema.audit.c.id))
        return [tuple(row) for row in rows]


def test_check_answers_each_topic(run: Run, customer_id: int) -> None:
    """
    Without a topic, every topic of the workspace is asked.
    """
    result = run("suppress", "check", "A1", "--json")

    assert [("promotions", True, None), ("news", False, "not_consented")] == answers(result)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (["--reason", "unsubscribed"], (True, None)),
        (["--reason", "manual", "--topic", "news"], (True, None)),
        (["--reason", "manual", "--scope", "channel"], (False, "suppressed:manual")),
        (["--reason", "hard_bounce"], (False, "suppressed:hard_bounce")),
        (["--reason", "complaint", "--topic", "promotions"], (False, "suppressed:complaint")),
    ],
)
def test_check_tells_of_what_is_owed(
    run: Run, customer_id: int, entry: list[str], expected: tuple[bool, str | None]
) -> None:
    """
    Opt-outs and words about one topic do not stop what is owed to a person; bounces, complaints and bans do.
    """
    run("suppress", "add", "A1", *entry)
    checked = json.loads(run("suppress", "check", "A1", "--topic", "news", "--json").stdout)["answers"][0]

    assert expected == (checked["transactional"], checked["transactional_reason"])
    assert checked["may_write"] is False


def test_add_by_external_id_binds_every_spelling(run: Run, customer_id: int) -> None:
    """
    An entry made for a customer answers for their address, however it is written.
    """
    added = run("suppress", "add", "A1", "--reason", "legal", "--note", "letter of 1 March")
    checked = run("suppress", "check", "<ANN@Customers.Example>", "--topic", "promotions", "--json")

    assert (0, "1 added, 0 already there\n") == (added.exit_code, added.stderr)
    assert [("promotions", False, "suppressed:legal")] == answers(checked)


def test_add_takes_addresses_nobody_is_known_at(run: Run, database: Database) -> None:
    """
    A do-not-contact entry can precede the customer, and holds when they are imported.
    """
    run("suppress", "add", "later@customers.example", "--reason", "manual")
    with database.begin() as connection:
        factories.make_customer(connection, email="later@customers.example", consents=("promotions",))
    result = run("suppress", "check", "later@customers.example", "--topic", "promotions", "--json")

    assert [("promotions", False, "suppressed:manual")] == answers(result)


def test_add_for_a_topic_leaves_the_others(run: Run, database: Database, customer_id: int) -> None:
    """
    A topic's entry forbids that topic only.
    """
    with database.begin() as connection:
        factories.make_consent(connection, customer_id, topic="news")
    run("suppress", "add", "A1", "--topic", "promotions", "--reason", "manual")

    assert [("promotions", False, "suppressed:manual"), ("news", True, None)] == answers(
        run("suppress", "check", "A1", "--json")
    )


def test_add_for_a_while_ends(run: Run, clock: SteppedClock, customer_id: int) -> None:
    """
    `--for 30d` forbids for thirty days.
    """
    run("suppress", "add", "A1", "--reason", "manual", "--for", "30d")
    clock.step(timedelta(days=30) - timedelta(seconds=1))
    before = answers(run("suppress", "check", "A1", "--topic", "promotions", "--json"))
    clock.step(timedelta(seconds=1))
    after = answers(run("suppress", "check", "A1", "--topic", "promotions", "--json"))

    assert [("promotions", False, "suppressed:manual")] == before
    assert [("promotions", True, None)] == after


def test_add_twice_says_so_and_is_audited_once(run: Run, database: Database, customer_id: int) -> None:
    """
    Repeating a command changes nothing.
    """
    results = [run("suppress", "add", "A1", "--reason", "manual", "--json") for _ in range(2)]

    assert [True, False] == [json.loads(result.stdout)["entries"][0]["new"] for result in results]
    assert ["suppress.add"] == [action for action, _ in audit_rows(database)]


def test_remove_lifts_with_words_and_is_audited(run: Run, database: Database, customer_id: int) -> None:
    """
    A lifted entry leaves the list, stays among all, and the audit says who and why.
    """
    run("suppress", "add", "A1", "--reason", "manual")
    removed = run("suppress", "remove", "A1", "--because", "asked on the phone")
    listed = run("suppress", "list", "--json")
    everything = json.loads(run("suppress", "list", "--all", "--json").stdout)["entries"]
    detail = audit_rows(database)[-1]

    assert (0, {"entries": []}) == (removed.exit_code, json.loads(listed.stdout))
    assert [("asked on the phone", False)] == [(row["lifted_because"], row["active"]) for row in everything]
    assert ("suppress.remove", {"because": "asked on the phone"}) == detail


def test_remove_without_words_is_a_usage_error(run: Run, customer_id: int) -> None:
    """
    Nothing is lifted silently.
    """
    missing = run("suppress", "remove", "A1")
    blank = run("suppress", "remove", "A1", "--because", " ")

    assert [2, 2] == [missing.exit_code, blank.exit_code]


def test_remove_of_nothing_is_an_error(run: Run, customer_id: int) -> None:
    """
    Whoever lifts what is not there has mistaken the person or the scope.
    """
    result = run("suppress", "remove", "A1", "--because", "typo")

    assert 1 == result.exit_code
    assert "no entry of 'A1' fits" in result.stderr


def test_list_masks_addresses(run: Run, customer_id: int) -> None:
    """
    The list names customers by id; of their addresses it shows the outline.
    """
    run("suppress", "add", "A1", "--reason", "manual")
    result = run("suppress", "list")

    assert "a…@customers.example" in result.stdout
    assert "A1" in result.stdout
    assert "ann@" not in result.stdout


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (["add", "A2", "--reason", "manual"], 1, "no customer has the external id 'A2'"),
        (["add", "ann@", "--reason", "manual"], 1, "not an e-mail address"),
        (["add", "A1", "--reason", "whim"], 2, "'whim' is not one of"),
        (["add", "A1", "--reason", "manual", "--topic", "promotion"], 1, "did you mean 'promotions'?"),
        (["add", "A1", "--reason", "manual", "--topic", "news", "--campaign", "x"], 2, "got several scopes"),
        (["add", "A1", "--reason", "manual", "--for", "soon"], 2, "expected a duration"),
        (["add", "--reason", "manual"], 2, "Missing argument"),
        (["check", "A1", "--topic", "promotion"], 1, "did you mean 'promotions'?"),
    ],
)
def test_mistakes_are_told(run: Run, customer_id: int, arguments: list[str], exit_code: int, words: str) -> None:
    """
    Each mistake has its sentence and its exit code.
    """
    result = run("suppress", *arguments)

    assert exit_code == result.exit_code
    assert words in result.stderr


def test_add_is_all_or_nothing(run: Run, customer_id: int) -> None:
    """
    One unknown key among several changes nothing.
    """
    run("suppress", "add", "A1", "nobody", "--reason", "manual")

    assert {"entries": []} == json.loads(run("suppress", "list", "--json").stdout)


def test_customer_without_address_cannot_be_suppressed(run: Run, database: Database) -> None:
    """
    Entries belong to addresses.
    """
    with database.begin() as connection:
        factories.make_customer(connection, external_id="B1", email=None)
    added = run("suppress", "add", "B1", "--reason", "manual")
    checked = run("suppress", "check", "B1", "--topic", "news", "--json")

    assert 1 == added.exit_code
    assert "has no e-mail address" in added.stderr
    assert [("news", False, "no_address")] == answers(checked)


def test_consent_shows_history_and_what_holds(
    run: Run, database: Database, clock: SteppedClock, customer_id: int
) -> None:
    """
    Every word is listed, newest first; the latest of a topic counts, if it says yes and has not ended.
    """
    with database.begin() as connection:
        factories.make_consent(connection, customer_id, state="withdrawn", captured_at=clock.now())
        factories.make_consent(connection, customer_id, topic="news", expires_at=clock.now() + timedelta(days=1))
    rows = json.loads(run("consent", "show", "A1", "--json").stdout)["consents"]

    assert [
        ("promotions", "withdrawn", True, False), ("news", "granted", True, True), ("promotions", "granted",
        False, False),
    ] == [(row["topic"], row["state"], row["counts"], row["holds"]) for row in rows]  # fmt: skip


def test_consent_of_an_unknown_address_is_an_error(run: Run) -> None:
    """
    Consent belongs to customers.
    """
    result = run("consent", "show", "nobody@customers.example")

    assert (1, True) == (result.exit_code, "no customer has the address" in result.stderr)


# --- consent, said in person ---------------------------------------------------------------------------------------


def consents(result: Result) -> list[tuple[str, str, bool, str | None]]:
    """What `consent show --json` printed, as (topic, state, holds, because)."""
    rows = json.loads(result.stdout)["consents"]
    return [(row["topic"], row["state"], row["holds"], row["because"]) for row in rows]


def test_consent_granted_in_person_holds_from_its_date(run: Run, customer_id: int, database: Database) -> None:
    """
    A yes with its date, source and evidence is on record once, and in the audit.
    """
    words = ("consent", "grant", "A1", "--topic", "news", "--source", "fair", "--at", "2026-03-01", "--proof", "by=Ann")
    first, again = run(*words, "--json"), run(*words, "--json")

    assert [{"key": "A1", "recorded": count} for count in (1, 0)] == [json.loads(r.stdout) for r in (first, again)]
    assert ("news", "granted", True, None) in consents(run("consent", "show", "A1", "--json"))
    told = {"topics": ["news"], "basis": "consent", "source": "fair"}
    assert ("consent.grant", told) == audit_rows(database)[0]


def test_consent_withdrawn_in_person_binds_everybody_at_the_address(
    run: Run, customer_id: int, database: Database
) -> None:
    """
    By topic or for all topics, also of whoever shares the address, or is known nowhere yet; a yes that a colleague
    records lifts nothing, and says so.
    """
    with database.begin() as connection:
        factories.make_customer(
            connection, external_id="A2", email="ANN@customers.example", consents=("promotions", "news")
        )
    one = run("consent", "withdraw", "A1", "--topic", "promotions", "--source", "phone", "--json")
    rest = run("consent", "withdraw", "ann@customers.example", "--all", "--source", "phone", "--json")

    assert [2, 1] == [json.loads(result.stdout)["recorded"] for result in (one, rest)]
    for key in ("A1", "A2"):
        assert [(topic, False, "suppressed:unsubscribed") for topic in ("promotions", "news")] == answers(
            run("suppress", "check", key, "--json")
        )


@pytest.mark.parametrize("about", ["tracking", "profiling"])
def test_refusing_to_be_watched_is_a_word_like_any_other(run: Run, customer_id: int, about: str) -> None:
    """
    No and yes, each shown with what holds.
    """
    run("consent", "withdraw", "A1", "--about", about, "--source", "phone")
    refused = consents(run("consent", "show", "A1", "--json"))[0]
    run("consent", "grant", "A1", "--about", about, "--source", "phone")
    allowed = consents(run("consent", "show", "A1", "--json"))[0]

    assert ("", "withdrawn", False, None) == refused
    assert ("", "granted", True, None) == allowed


def test_show_says_why_a_yes_does_not_hold_and_when_it_ends(run: Run, database: Database) -> None:
    """
    A basis the country does not take, and the end that Canadian law gives an implied consent.
    """
    with database.begin() as connection:
        german = factories.make_customer(connection, external_id="D", country="DE")
        factories.make_consent(connection, german, basis="legitimate_interest")
        canadian = factories.make_customer(connection, external_id="C", country="CA")
        said_at = factories.LONG_AGO
        factories.make_consent(
            connection, canadian, basis="implied", proof={"relation": "purchase"}, captured_at=said_at
        )
    shown = json.loads(run("consent", "show", "C", "--json").stdout)["consents"][0]

    assert [("promotions", "granted", False, "basis_not_enough")] == consents(run("consent", "show", "D", "--json"))
    assert (True, None, "2027-01-01") == (shown["holds"], shown["because"], shown["expires_at"][:10])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("consent", "grant", "A1", "--source", "x"), "expected topics, or --about"),
        (("consent", "grant", "A1", "--topic", "nwes", "--source", "x"), "there is no topic 'nwes'"),
        (("consent", "grant", "A1", "--topic", "news", "--source", "x", "--at", "2027-01-01"), "lies in the future"),
        (("consent", "grant", "A1", "--topic", "news", "--source", "x", "--at", "soon"), "not a time (got 'soon'"),
        (("consent", "grant", "A1", "--topic", "news", "--source", "x", "--proof", "by"), "expected NAME=TEXT"),
        (
            ("consent", "grant", "A1", "--topic", "news", "--source", "x", "--proof", "subscriber=robot"),
            "subscriber: got 'robot'",
        ),
        (("consent", "withdraw", "A1", "--source", "x"), "expected topics, or --about"),
        (
            ("consent", "withdraw", "nobody@x.example", "--about", "tracking", "--source", "x"),
            "no customer has the address",
        ),
        (("suppress", "add", "A1", "--reason", "paused"), "a pause without an end"),
    ],
)
def test_words_that_are_none_are_refused(
    run: Run, customer_id: int, database: Database, words: tuple[str, ...], told: str
) -> None:
    """
    Each says what was expected; nothing is written.
    """
    result = run(*words)

    assert result.exit_code != 0
    assert told in str(result.exception) + result.output
    assert [] == audit_rows(database)


def test_a_yes_is_one_persons(run: Run, customer_id: int, database: Database) -> None:
    """
    Where several share the address, one has to be named.
    """
    with database.begin() as connection:
        factories.make_customer(connection, external_id="A2", email="ann@customers.example")
    result = run("consent", "grant", "ann@customers.example", "--topic", "news", "--source", "x")

    assert "2 customers have the address" in result.output


# --- export --------------------------------------------------------------------------------------------------------


def test_export_is_hashed_and_blocks_the_same_people_elsewhere(
    run: Run, customer_id: int, database: Database, tmp_path: Any
) -> None:
    """
    The file holds no address, only what forbids everything for good, says what it cannot hold, and reads back.
    """
    listed = tmp_path / "list.csv"
    run("suppress", "add", "A1", "nobody@customers.example", "--reason", "complaint")
    run("suppress", "add", "A1", "--topic", "news", "--reason", "unsubscribed")
    result = run("suppress", "export", str(listed), "--json")
    digest = hashlib.sha256(b"ann@customers.example").hexdigest()
    run("suppress", "remove", "A1", "--because", "a test of the list")
    run("import", "suppressions", str(listed))

    assert {"file": str(listed), "form": "sha256", "rows": 1, "unknown": 1, "digests": 0} == json.loads(result.stdout)
    assert [digest] == [line.split(",")[0] for line in listed.read_text().splitlines()[1:]]
    assert [("promotions", False, "suppressed:complaint")] == answers(
        run("suppress", "check", "A1", "--topic", "promotions", "--json")
    )
    assert "suppress.export" in [action for action, _ in audit_rows(database)]


def test_plain_export_holds_every_entry_with_scope_and_end(run: Run, customer_id: int, tmp_path: Any) -> None:
    """
    Read by another installation, it forbids the very same.
    """
    listed = tmp_path / "list.csv"
    run("suppress", "add", "A1", "--topic", "news", "--reason", "unsubscribed")
    run("suppress", "add", "A1", "--reason", "paused", "--for", "30d")
    run("suppress", "export", str(listed), "--plain")
    before = json.loads(run("suppress", "list", "--json").stdout)["entries"]
    run("suppress", "remove", "A1", "--because", "a test of the list")
    run("import", "suppressions", str(listed))
    after = json.loads(run("suppress", "list", "--json").stdout)["entries"]

    names = ("address", "scope", "scope_name", "reason", "expires_at")
    assert 2 == len(after)
    assert sorted([entry[name] for name in names] for entry in before) == sorted(
        [entry[name] for name in names] for entry in after
    )


def test_former_names_of_a_merged_customer_mean_who_they_became(run: Run, database: Database, customer_id: int) -> None:
    """
    A no on the phone under a former external id or address reaches the address that mail goes to now.
    """
    with database.begin() as connection:
        connection.execute(
            schema.customer_alias.insert().values(external_id="A2", customer_id=customer_id, merged_because="the same")
        )
        former = {"customer_id": customer_id, "address_key": factories.key_of("old@customers.example")}
        connection.execute(schema.customer_address.insert().values(**former, email="old@customers.example"))

    shown = [json.loads(run("consent", "show", key, "--json").stdout) for key in ("A2", "old@customers.example")]
    dry = run("suppress", "add", "old@customers.example", "--reason", "manual", "--dry-run", "--json")
    before = answers(run("suppress", "check", "A2", "--topic", "promotions", "--json"))
    run("suppress", "add", "old@customers.example", "--reason", "manual")
    after = answers(run("suppress", "check", "A2", "--topic", "promotions", "--json"))

    assert [["A1"], ["A1"]] == [[row["customer"] for row in each["consents"]] for each in shown]
    assert json.loads(dry.stdout)["entries"][0]["new"]
    assert [("promotions", True, None)] == before
    assert [("promotions", False, "suppressed:manual")] == after


def test_consent_show_tells_wishes_and_pauses(
    run: Run, database: Database, customer_id: int, clock: SteppedClock
) -> None:
    """
    How often somebody wants mail, and until when they rest, is shown beside what they agreed to.
    """
    with database.begin() as connection:
        wish_for_at_most(connection, customer_id, 1, timedelta(days=7), source="preferences", now=clock.now())
    run("suppress", "add", "A1", "--reason", "paused", "--for", "30d")

    wish = json.loads(run("consent", "show", "A1", "--json").stdout)["wishes"][0]

    assert (1, "7d", (clock.now() + timedelta(days=30)).isoformat()) == (
        wish["at_most"], wish["within"], wish["paused_until"],
    )  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        ("grant", "A1", "--topic", "news", "--source", "fair"),
        ("grant", "A1", "--about", "tracking", "--source", "fair"),
        ("withdraw", "A1", "--topic", "promotions", "--source", "phone"),
        ("withdraw", "A1", "--all", "--source", "phone"),
        ("withdraw", "A1", "--about", "profiling", "--source", "phone"),
    ],
)
def test_dry_run_of_a_word_records_nothing(
    run: Run, database: Database, customer_id: int, words: tuple[str, ...]
) -> None:
    """
    It counts what the word would record, says that it is a dry run, and leaves no row behind, not in the audit either.
    """
    tables = (schema.consent, schema.suppression, schema.audit)

    def kept() -> list[Any]:
        with database.begin() as connection:
            return [connection.execute(select(table)).all() for table in tables]

    before = kept()
    told = run("consent", *words, "--dry-run")
    counted = json.loads(run("consent", *words, "--dry-run", "--json").stdout)
    after_dry = kept()
    real = json.loads(run("consent", *words, "--json").stdout)

    assert (0, before) == (told.exit_code, after_dry)
    assert "recorded (dry run: nothing was kept)" in told.stderr
    assert counted == real | {"dry_run": True}
    assert real["recorded"] > 0
    assert before != kept()
