"""Lost answers, settled by the log that a real Postfix wrote."""

import socket
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text, update

from campaigns.doubts import doubts
from core import schema
from delivery.postfix_log import read
from tests.campaign_files import FILES
from tests.factories import SECRET, make_customer
from tests.integration.test_campaigns_plan import apply_of, plan_of
from tests.processes import wait_for
from tests.servers import postfix

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(postfix.why_not() is not None, reason=str(postfix.why_not())),
]


def _hand_over(port, message_id, recipient, *, within, after):
    """A mail is handed over whose connection breaks `within` its body, or `after` the final dot, unanswered."""
    header = f"From: offers@paper.example\r\nTo: {recipient}\r\nMessage-ID: <{message_id}>\r\nSubject: x\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port)) as link, link.makefile("rb") as replies:
        replies.readline()
        for command in ("HELO app.example", "MAIL FROM:<offers@paper.example>", f"RCPT TO:<{recipient}>", "DATA"):
            link.sendall(f"{command}\r\n".encode())
            replies.readline()
        link.sendall(header.encode() + b"line\r\n" * 5000 + (b"" if within else b".\r\n"))
        if not (within or after):
            assert replies.readline().startswith(b"250")


def test_a_real_log_tells_broken_off_from_taken(make_workspace, database, clock):
    """
    Answered, broken off after the final dot, broken off within the body: the log of a real server tells them apart.
    """
    with database.begin() as connection:
        for number in range(3):
            make_customer(connection, email=f"p{number}@{postfix.DOMAIN}", consents=("promotions",))
    workspace = make_workspace(database=database, files=FILES)
    apply_of(workspace, database, clock, plan_of(workspace, database, clock))
    with database.begin() as connection:
        connection.execute(update(schema.message).values(state="unknown", attempt_count=1))
        connection.execute(text("UPDATE batch SET state = 'done'"))
        assert 3 == len(connection.execute(select(schema.message.c.id)).all())
        found = doubts(connection, SECRET, campaign=None)
    breaks = [(False, False), (False, True), (True, False)]
    with postfix.running() as server:
        for one, (within, after) in zip(found, breaks, strict=True):
            _hand_over(server.port, one.message_id, one.recipient, within=within, after=after)
        wait_for(lambda: server.log.read_text().count("removed") == 2, "both mails to be delivered", server.log)
        wait_for(lambda: "lost connection after DATA" in server.log.read_text(), "the break to be logged", server.log)
        now = datetime.now(UTC) + timedelta(seconds=1)
        log = read([server.log], {one.message_id: one.recipient for one in found}, zone=_local(), now=now)

    assert ["delivered", "delivered", "broken_off"] == [log.evidence[one.message_id].verdict for one in found]


def _local():
    zone = datetime.now().astimezone().tzinfo
    assert zone is not None
    return zone
