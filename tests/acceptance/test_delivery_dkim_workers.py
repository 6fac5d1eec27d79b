"""Signed by real workers: keys made by `clarion dkim`, mail through Celery and SMTP, a rotation between campaigns."""

import contextlib
import json

import dkim
import pytest
from click.testing import CliRunner
from sqlalchemy import insert, select

from cli import clarion
from core import schema
from core.database import analyze
from demo.inbox import read_content, read_index
from tests.campaign_files import CAMPAIGN, FILES
from tests.factories import LONG_AGO, key_of
from tests.processes import answers, clarion_process, free_port, started, wait_for

NUMBER = 60
AGAIN = CAMPAIGN + "limits: {piece_memory: none}\n"
CAMPAIGNS = {f"campaigns/{name}.yaml": AGAIN for name in ("before", "after")}


def _populate(database):
    people = [
        {"id": n, "external_id": f"C{n}", "email": f"p{n}@customers.example",
         "address_key": key_of(f"p{n}@customers.example"), "first_name": "Zoë  " * (n % 3)}
        for n in range(1, NUMBER + 1)
    ]  # fmt: skip
    agreed = [
        {"customer_id": n, "topic": "promotions", "state": "granted", "basis": "consent", "source": "test",
         "captured_at": LONG_AGO}
        for n in range(1, NUMBER + 1)
    ]  # fmt: skip
    with database.begin() as connection:
        connection.execute(insert(schema.customer), people)
        connection.execute(insert(schema.consent), agreed)
        analyze(connection, "customer", "consent")


def _write_keys(workspace, plain, keys):
    """clarion.yaml names these keys: (made, whether it signs)."""
    entries = [
        f"      - {{selector: {key['selector']}, file: {key['file']}, signs: {json.dumps(signs)}}}"
        for key, signs in keys
    ]
    section = "\n".join(["dkim:", "  paper.example:", "    keys:", *entries])
    (workspace.root / "clarion.yaml").write_text(f"{plain}{section}\n", encoding="utf-8")


def _clarion(workspace, *arguments):
    """What the command prints; in this process, because each one of its own takes a second."""
    done = CliRunner().invoke(clarion, ["--workspace", str(workspace.root), *arguments])
    assert 0 == done.exit_code, done.output
    return done.stdout


def _send(workspace, database, campaign):
    """The campaign is finished, by a worker that read the settings as they are now."""
    query = select(schema.run.c.state).where(schema.run.c.campaign == campaign)

    def is_finished():
        with database.begin() as connection:
            return "finished" == connection.execute(query).scalar()

    worker = clarion_process(workspace, "worker", "--processes", "1", present="worker")
    with worker, clarion_process(workspace, "scheduler", present="scheduler"):
        _clarion(workspace, "send", campaign, "--yes")
        wait_for(is_finished, "the run to finish")
    _clarion(workspace, "status", "--check")


def _verdicts(contents, *published):
    """Per mail, whether each of its signatures verifies when the DNS has the records of these keys."""
    records = {key["record"]["name"]: key["record"]["value"].encode() for key in published}

    def verdict(content, place):
        with contextlib.suppress(dkim.DKIMException):
            return dkim.DKIM(content).verify(place, dnsfunc=lambda name, timeout=5: records.get(name.decode()[:-1]))
        return False

    return {
        tuple(verdict(content, place) for place in range(content.count(b"DKIM-Signature:"))) for content in contents
    }


@pytest.mark.slow
def test_mail_of_real_workers_verifies_before_and_after_a_rotation(make_workspace, database, broker, tmp_path):
    """
    Every mail carries an RSA and an Ed25519 signature that verify; after a rotation the old mail does so too, for as
    long as the old record is published.
    """
    port, store = free_port(), tmp_path / "inbox"
    workspace = make_workspace(database=database, broker=broker, smtp_port=port, files=FILES | CAMPAIGNS)
    plain = (workspace.root / "clarion.yaml").read_text()
    _populate(database)
    old, modern, new = (
        json.loads(_clarion(workspace, "dkim", "generate", "paper.example", "--json", *options))
        for options in ((), ("--ed25519",), ())
    )
    store.mkdir()
    command = ["-m", "demo.inbox", "--port", str(port), "--store", str(store)]
    with started(command, tmp_path / "inbox.log", ready=lambda: answers(port)):
        _write_keys(workspace, plain, [(old, True), (modern, True)])
        _send(workspace, database, "before")
        _write_keys(workspace, plain, [(old, False), (modern, True), (new, True)])
        _send(workspace, database, "after")

    contents = [read_content(store, mail) for mail in read_index(store)]
    before, after = contents[:NUMBER], contents[NUMBER:]
    assert [NUMBER, NUMBER] == [len(before), len(after)]
    assert [{(True, True)}, {(True, True)}] == [_verdicts(mails, old, modern, new) for mails in (before, after)]
    assert [{(False, True)}, {(True, True)}] == [_verdicts(mails, modern, new) for mails in (before, after)]
    assert all(f"s={new['selector']};".encode() in content for content in after)
