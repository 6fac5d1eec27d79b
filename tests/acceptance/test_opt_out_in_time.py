"""An opt-out one second before the hand-over: by a real request, while real Celery workers send."""

import http.client

import pytest
from sqlalchemy import text

from demo.inbox import read_index
from tests.acceptance.test_rates_at_the_server import populate, sending
from tests.campaign_files import FILES
from tests.conftest import MINIMAL_SETTINGS
from tests.processes import answers, clarion, clarion_json, free_port, started, wait_for
from tracking.tokens import Purpose, Signer

pytestmark = pytest.mark.slow
PEOPLE = 600
TRIES = 100
SLOWLY = MINIMAL_SETTINGS.replace("connections: 4", 'connections: 4, rate: "20/s"') + "web: {{port: 0}}\n"
#: Those whose batch is due in about a second: rates give every message a time of its own beforehand.
DUE_IN_A_SECOND = text("""
    SELECT m.id, c.email FROM batch AS b
    JOIN message AS m ON m.id = ANY(b.message_ids)
    JOIN customer AS c ON c.id = m.customer_id
    WHERE b.state = 'ready' AND m.state = 'planned'
      AND b.not_before BETWEEN now() + interval '0.9 s' AND now() + interval '1.4 s'
    ORDER BY m.id LIMIT 1
""")


def _unsubscribe(port, workspace, message_id):
    token = Signer(workspace.secret).sign(Purpose.UNSUBSCRIBE, message_id)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", f"/u/{token}", "List-Unsubscribe=One-Click", headers)
    status = connection.getresponse().status
    connection.close()
    return status


def test_an_opt_out_one_second_before_the_hand_over_wins(make_workspace, database, broker, tmp_path):
    """
    A hundred times somebody unsubscribes a second before it is their turn: none of them is written to, all others are.
    """
    smtp_port, web_port = free_port(), free_port()
    settings = SLOWLY.replace("port: 0", f"port: {web_port}")
    workspace = make_workspace(database=database, broker=broker, smtp_port=smtp_port, files=FILES, settings=settings)
    populate(database, {"customers.example": PEOPLE})
    store = tmp_path / "inbox"
    web = ["-m", "cli", "--workspace", str(workspace.root), "web"]

    out: dict[int, str] = {}
    leads: list[float] = []
    with started(web, tmp_path / "web.log", ready=lambda: answers(web_port)), sending(workspace, store, smtp_port):
        while len(out) < TRIES:
            wait_for(lambda: _next(database, out) is not None, f"somebody whose turn is near ({len(out)} tried)")
            message_id, email = _next(database, out) or (0, "")
            if message_id:
                assert 200 == _unsubscribe(web_port, workspace, message_id)
                out[message_id] = email
                leads.append(_lead(database, message_id))
        wait_for(lambda: "finished" == clarion_json(workspace, "status", "spring-paper")["state"], "the run to finish")
        clarion(workspace, "status", "--check")
        status = clarion_json(workspace, "status", "spring-paper")
    written_to = {mail.recipients[0] for mail in read_index(store)}

    print(f"{TRIES} opt-outs, {min(leads):.2f} to {max(leads):.2f} s before their turn")
    assert set() == written_to & set(out.values())
    assert PEOPLE - TRIES == len(written_to) == status["accepted"]
    assert {"suppressed:unsubscribed": TRIES} == status["skipped"]


def _next(database, out):
    """Message and address of somebody whose turn is in a second, and who was not tried yet; None: nobody now."""
    with database.begin() as connection:
        found = connection.execute(DUE_IN_A_SECOND).one_or_none()
    return None if found is None or found.id in out else (found.id, found.email)


def _lead(database, message_id):
    """Seconds from now, after the answer to the opt-out, to the time of the message's batch."""
    left = "extract(epoch FROM max(not_before) - clock_timestamp())"
    query = text(f"SELECT {left} FROM batch WHERE :id = ANY(message_ids)")
    with database.begin() as connection:
        return float(connection.execute(query, {"id": message_id}).scalar_one())
