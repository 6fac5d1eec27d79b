"""`preview` and `send-test`: a mailing before anybody gets it, and nothing in the ledger."""

import email
from email import policy

import pytest
from click.testing import CliRunner
from sqlalchemy import func, select

from cli import clarion
from core import schema
from tests.campaign_files import FILES
from tests.factories import make_customer
from tests.processes import answers, free_port, started

PLAIN = {"templates/spring-paper.txt": "---\nsubject: Plain\n---\n1 < 2, {{ customer.first_name }}\n"}


@pytest.fixture
def office(make_workspace, database):
    with database.begin() as connection:
        make_customer(connection, external_id="ann", email="ann@firm.example", first_name="Ann <b>")
    return make_workspace(database=database, files=FILES, smtp_port=free_port())


def run(workspace, *arguments):
    return CliRunner().invoke(clarion, ["--workspace", str(workspace.root), *arguments])


def test_preview_shows_the_mailing_as_the_customer_gets_it(office, tmp_path):
    """
    On screen, as HTML and as a finished mail the same content comes out; values are escaped in HTML only.
    """
    html, eml = tmp_path / "a.html", tmp_path / "a.eml"
    screen = run(office, "preview", "spring-paper", "--as", "ann@firm.example")
    files = run(office, "preview", "spring-paper", "--as", "ann", "--html", str(html), "--eml", str(eml))
    mail = email.message_from_bytes(eml.read_bytes(), policy=policy.default)

    assert (0, 0) == (screen.exit_code, files.exit_code)
    assert "Good morning Ann <b>," in screen.stdout
    assert "Ann &lt;b&gt;" in html.read_text()
    assert "Paper for you" == mail["Subject"]
    assert "Good morning Ann <b>," in mail.get_body(("plain",)).get_content()


def test_preview_of_a_text_mailing_is_an_escaped_page(office, tmp_path):
    """
    A mailing without HTML is shown as a page on which its text stands literally.
    """
    for name, text in PLAIN.items():
        (office.root / name).write_text(text)
    campaign = office.root / "campaigns/spring-paper.yaml"
    campaign.write_text(campaign.read_text().replace("spring-paper.html", "spring-paper.txt"))

    run(office, "preview", "spring-paper", "--as", "ann", "--html", str(tmp_path / "a.html"))

    assert "1 &lt; 2, Ann &lt;b&gt;" in (tmp_path / "a.html").read_text()


def test_an_unknown_customer_or_campaign_is_named(office):
    """
    What does not exist is named in one line, with a hint.
    """
    assert "no customer 'bob'" in run(office, "preview", "spring-paper", "--as", "bob").stderr
    assert "did you mean 'spring-paper'?" in run(office, "preview", "sprng-paper", "--as", "ann").stderr


def test_send_test_goes_to_oneself_and_not_into_the_ledger(office, database, tmp_path):
    """
    A test mailing reaches the given address only, and no message is recorded.
    """
    from demo.inbox import read_content, read_index

    port = int(office.settings.transports["main"].url.rpartition(":")[2])
    command = ["-m", "demo.inbox", "--port", str(port), "--store", str(tmp_path / "inbox")]
    with started(command, tmp_path / "inbox.log", ready=lambda: answers(port)):
        done = run(office, "send-test", "spring-paper", "--as", "ann", "--to", "me@office.example")

    assert 0 == done.exit_code, done.output
    (received,) = read_index(tmp_path / "inbox")
    assert ("me@office.example",) == received.recipients
    assert b"Subject: [test] Paper for you" in read_content(tmp_path / "inbox", received)
    with database.begin() as connection:
        assert 0 == connection.execute(select(func.count()).select_from(schema.message)).scalar_one()
