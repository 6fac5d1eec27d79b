"""The main job with nothing replaced: Celery workers, Valkey, PostgreSQL, SMTP to a server in another process."""

import contextlib
import email
from email import policy

import pytest
from sqlalchemy import insert, select, text

from core import schema
from core.database import analyze
from demo.inbox import read_content, read_index
from tests.campaign_files import FILES
from tests.factories import LONG_AGO, key_of
from tests.processes import answers, clarion, clarion_json, clarion_process, free_port, started, wait_for


def _populate(database, number):
    """Customers p0 … who agreed; every tenth never agreed, and every hundredth opted out."""
    people = [
        {
            "id": n,
            "external_id": f"C{n}",
            "email": f"p{n}@customers.example",
            "address_key": key_of(f"p{n}@customers.example"),
            "first_name": f"Name{n}",
        }
        for n in range(1, number + 1)
    ]
    agreed = [
        {
            "customer_id": n,
            "topic": "promotions",
            "state": "granted",
            "basis": "consent",
            "source": "test",
            "captured_at": LONG_AGO,
        }
        for n in range(1, number + 1)
        if n % 10
    ]
    opted_out = [
        {
            "address_key": key_of(f"p{n}@customers.example"),
            "scope": "topic",
            "scope_name": "promotions",
            "reason": "unsubscribed",
            "source": "page",
        }
        for n in range(1, number + 1)
        if n % 100 == 1
    ]
    with database.begin() as connection:
        connection.execute(insert(schema.customer), people)
        connection.execute(insert(schema.consent), agreed)
        connection.execute(insert(schema.suppression), opted_out)
        analyze(connection, "customer", "consent", "suppression")


@contextlib.contextmanager
def _inbox(folder, port):
    command = ["-m", "demo.inbox", "--port", str(port), "--store", str(folder)]
    with started(command, folder.parent / "inbox.log", ready=lambda: answers(port)):
        yield


def _received(folder):
    """Message-ID and recipient of every mail at the server, read by Python's own parser."""
    contents = [read_content(folder, mail) for mail in read_index(folder)]
    mails = [email.message_from_bytes(content, policy=policy.default) for content in contents]
    return [(mail["Message-ID"].strip(), mail["To"].addresses[0].addr_spec) for mail in mails]


@pytest.mark.parametrize("number", [600, pytest.param(10_000, marks=pytest.mark.slow)])
def test_everybody_once_and_the_opted_out_never(make_workspace, database, broker, tmp_path, number):
    """
    Distinct Message-IDs at the server = accepted in the ledger = audience − skipped; an opt-out after the plan holds;
    sending again sends nothing; the ledger balances.
    """
    port = free_port()
    workspace = make_workspace(database=database, broker=broker, smtp_port=port, files=FILES)
    _populate(database, number)
    plan_file = str(tmp_path / "plan.json")
    store = tmp_path / "inbox"
    store.mkdir()

    planned = clarion_json(workspace, "plan", "spring-paper", "--out", plan_file, expect=2)["campaigns"][0]
    assert planned["audience"] == number
    assert planned["skipped"] == {"not_consented": number // 10, "suppressed:unsubscribed": number // 100}
    clarion(workspace, "apply", plan_file)
    clarion(workspace, "suppress", "add", "p2@customers.example", "--reason", "manual")  # after the plan

    worker = clarion_process(workspace, "worker", "--processes", "2", present="worker")
    scheduler = clarion_process(workspace, "scheduler", present="scheduler")
    with _inbox(store, port), worker, scheduler:
        _until_finished(workspace)
        status = clarion_json(workspace, "status", "spring-paper")
        clarion(workspace, "status", "--check")
        again = clarion_json(workspace, "send", "spring-paper", "--yes")

    received = _received(store)
    recipients = [to for _, to in received]
    assert planned["would_send"] - 1 == status["accepted"] == len(received) == len({mid for mid, _ in received})
    assert status["audience"] - sum(status["skipped"].values()) == status["accepted"]
    assert 1 == status["skipped"]["suppressed:manual"]
    assert "p2@customers.example" not in recipients
    assert len(recipients) == len(set(recipients))
    assert status["balanced"] is True
    assert {"started": [], "changed": []} == again
    with database.begin() as connection:
        workers = connection.execute(select(schema.attempt.c.worker).distinct()).scalars().all()
        doubled = connection.execute(text("SELECT count(*) FROM attempt WHERE number > 1")).scalar_one()
    assert 0 == doubled
    assert number < 1000 or len(workers) == 2


def _until_finished(workspace):
    wait_for(lambda: clarion_json(workspace, "status", "spring-paper")["state"] == "finished", "the run to finish")
