"""`clarion send --to`, `preview --given`, and the page that explains them: its example is a workspace that works."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import func, select

from cli import clarion
from core import schema
from core.schema import campaign_version
from tests.campaign_files import FILES as BULK_FILES
from tests.factories import make_customer, make_suppression

PAGE = (Path(__file__).parents[2] / "docs" / "transactional.md").read_text(encoding="utf-8")
(CAMPAIGN,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
(TEMPLATE,) = re.findall(r"```html\n(.*?)```", PAGE, re.DOTALL)
FILES = BULK_FILES | {"campaigns/receipt.yaml": CAMPAIGN, "templates/receipt.html": TEMPLATE}
SEND = ("send", "receipt", "--to", "C1042", "--key", "order-7", "--given", "order_number=7")


@pytest.fixture
def shop(make_workspace, database):
    """The workspace of the page, where customer C1042 agreed to nothing."""
    with database.begin() as connection:
        make_customer(connection, external_id="C1042", email="ann@firm.example", first_name="Ann")
    return make_workspace(database=database, files=FILES)


@pytest.fixture
def run(shop):
    """Types a command in the workspace."""
    return lambda *arguments: CliRunner().invoke(clarion, ["--workspace", str(shop.root), *arguments])


def _messages(database):
    with database.begin() as connection:
        return connection.execute(select(func.count()).select_from(schema.message)).scalar_one()


def test_the_example_of_the_page_is_valid_and_needs_no_plan(run):
    """
    The page's files have no mistake, and a plan has nothing to do with the campaign.
    """
    assert 0 == run("validate").exit_code
    planned = run("plan", "receipt", "--json")
    assert 0 == planned.exit_code
    assert ({"audience": 0, "would_send": 0, "skipped": {}}, []) == (
        {name: json.loads(planned.stdout)["campaigns"][0][name] for name in ("audience", "would_send", "skipped")},
        json.loads(planned.stdout)["changes"],
    )
    assert "clarion send receipt --to KEY" in run("plan", "receipt").stdout


def test_one_order_typed_twice_is_one_message(run, database, tmp_path):
    """
    The same key is the same message; values may come from a file, and those typed go over them.
    """
    values = tmp_path / "order-7.json"
    values.write_text(json.dumps({"order_number": 6, "total": "12.00 EUR"}), encoding="utf-8")
    first = json.loads(run(*SEND, "--given-file", str(values), "--json").stdout)
    second = json.loads(run(*SEND, "--given-file", str(values), "--json").stdout)

    assert ["campaign", "key", "message", "run", "is_new", "state", "reason"] == list(first)
    assert ("planned", True, False) == (first["state"], first["is_new"], second["is_new"])
    assert first["message"] == second["message"]
    with database.begin() as connection:
        given = connection.execute(select(schema.message.c.given)).scalars().all()
        assert [{"order_number": "7", "total": "12.00 EUR"}] == given
        kept = select(campaign_version.c.message_class, campaign_version.c.topic)
        assert ("transactional", "transactional") == tuple(connection.execute(kept).one())
    assert (
        "ordered for this customer with the key 'order-7', given order_number, total"
        in run("why", "C1042", "receipt").stdout
    )


def test_an_order_without_a_key_is_a_new_one(run, database):
    """
    Each is a message of its own, and its key is told.
    """
    arguments = [*SEND[:4], "--given", "order_number=7", "--given", "total=1"]
    keys = {json.loads(run(*arguments, "--json").stdout)["key"] for _ in range(2)}

    assert 2 == len(keys) == _messages(database)


def test_a_preview_shows_what_would_be_given(run):
    """
    `preview` renders with the values that an order would give.
    """
    shown = run("preview", "receipt", "--as", "C1042", "--given", "order_number=7", "--given", "total=12").stdout

    assert "Subject: Order 7" in shown
    assert "over 12" in shown
    assert "nsubscribe" not in shown


def test_a_skipped_order_says_why(run, database):
    """
    Somebody who must not be written to is told of at once; the check of the person says the same.
    """
    with database.begin() as connection:
        make_suppression(connection, "ann@firm.example", reason="legal")
    ordered = json.loads(run(*SEND, "--given", "total=1", "--json").stdout)

    assert ("skipped", "suppressed:legal") == (ordered["state"], ordered["reason"])
    assert (
        "would_skip" in run("why", "C1042", "receipt").stdout
        or "suppressed:legal" in run("why", "C1042", "receipt").stdout
    )


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (SEND, 1, "total"),
        (("send", "receipt", "--yes"), 1, "name the person"),
        (("send", "spring-paper", "--to", "C1042"), 1, "expected 'transactional'"),
        (("send", "spring-paper", "--yes", "--key", "a"), 2, "--to KEY"),
        ((*SEND[:4], "--given", "order number"), 2, "expected name=value"),
        ((*SEND, "--given", "total=1", "--wait"), 1, "clarion up"),
        (("send", "receipt", "--to", "C1", "--given", "total=1"), 1, "no customer 'C1'"),
        (("send", "reciept", "--to", "C1042"), 1, "did you mean 'receipt'"),
        ((*SEND[:4], "--key", " ", "--given", "order_number=7", "--given", "total=1"), 2, "this is no key"),
    ],
)
def test_a_mistake_is_told_and_nothing_ordered(run, database, arguments, code, said):
    """
    What lacks, misfits or is unknown is named with what to do.
    """
    done = run(*arguments)

    assert (code, 0) == (done.exit_code, _messages(database)), done.output
    assert said in done.output


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("topic: promotions", "got 'topic'"),
        ("audience: {segment: everybody}", "got 'audience'"),
        ('schedule: {at: "2026-12-01T09:00"}', "got 'schedule'"),
        ("rollout: {stages: [1%]}", "got 'rollout'"),
    ],
)
def test_what_only_bulk_has_is_refused(run, shop, line, said):
    """
    A transactional campaign says nothing about whom and when: an order does.
    """
    (shop.root / "campaigns" / "receipt.yaml").write_text(f"{CAMPAIGN}{line}\n", encoding="utf-8")
    done = run("validate")

    assert 1 == done.exit_code or 2 == done.exit_code
    assert said in done.output


def test_a_broadcast_still_needs_topic_and_audience(run, shop):
    """
    What became optional for one kind is asked of the others, by `validate` and by the JSON Schema.
    """
    (shop.root / "campaigns" / "spring-paper.yaml").write_text(
        "kind: broadcast\nsend: {template: spring-paper.html, from: offers}\n", encoding="utf-8"
    )
    done = run("validate")
    written = run("schema", "--out", str(shop.root / "schemas"))
    document = json.loads((shop.root / "schemas" / "campaign.json").read_text(encoding="utf-8"))

    assert "kind 'broadcast' needs 'topic' and 'audience'" in done.output
    assert 0 == written.exit_code
    assert ["topic", "audience"] == document["else"]["else"]["required"]
