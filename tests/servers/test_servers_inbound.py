"""A real Postfix bounces a message and hands its notification to our listener, which finds whose it was."""

import contextlib
import smtplib
import threading

import pytest
from aiosmtpd.controller import Controller
from sqlalchemy import select

from core.schema import feedback
from tests.factories import key_of
from tests.inbound_mails import OWN, SETTINGS
from tests.integration.test_inbound_handling import reasons, sent, state_of
from tests.processes import answers, free_port, wait_for
from tests.servers import postfix
from tracking.return_paths import ReturnPaths
from workers.intake import Intake

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(postfix.why_not() is not None, reason=str(postfix.why_not())),
]
MAIL = "From: offers@paper.example\r\nTo: gone@gone.example\r\nSubject: Paper\r\n\r\nBuy paper.\r\n"
#: The recipient's server refuses in these words → what follows.
REFUSALS = {"5.1.1 No such user here": ["hard_bounce"], "5.2.2 Mailbox is full": [], "5.7.1 Blocked for spam": []}


class _Refusing:
    """A server that takes no recipient."""

    def __init__(self, words: str) -> None:
        self._words = words

    async def handle_RCPT(self, _server, _session, _envelope, _address, _options) -> str:  # noqa: N802
        return f"550 {self._words}"


@contextlib.contextmanager
def refusing(words: str):
    controller = Controller(_Refusing(words), hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


@pytest.mark.parametrize("refusal", REFUSALS)
def test_notification_of_a_real_server_finds_its_message(make_workspace, database, clock, refusal):
    """
    Postfix gives up a message, sends its own notification to the return path, and hands it over by LMTP: the message
    is bounced, and the address suppressed where it does not exist.
    """
    port = free_port()
    listener = f"inbound: {{{{listeners: {{{{mta: {{{{port: {port}}}}}}}}}}}}}\n"
    workspace = make_workspace(database=database, settings=SETTINGS + listener)
    with database.begin() as connection:
        message_id = sent(connection, "gone@gone.example")
    path = ReturnPaths(workspace.secret, OWN).path(message_id)
    intake = Intake(workspace, database, clock)
    thread = threading.Thread(target=intake.run)
    thread.start()
    try:
        with contextlib.ExitStack() as stack:
            theirs = stack.enter_context(refusing(refusal))
            routes = f"inline:{{ {{gone.example=smtp:127.0.0.1:{theirs}}}, {{{OWN}=lmtp:inet:127.0.0.1:{port}}} }}"
            lines = (f"transport_maps = {routes}", f"relay_domains = gone.example {OWN}")
            server = stack.enter_context(postfix.running(*lines))
            wait_for(lambda: answers(port), "the listener")
            with smtplib.SMTP("127.0.0.1", server.port) as smtp:
                smtp.ehlo("paper.example")
                smtp.sendmail(path, ["gone@gone.example"], MAIL, mail_options=["RET=HDRS", "ENVID=x1"])
            wait_for(lambda: state_of(database, message_id) == "bounced", "the bounce", server.log)
            wait_for(server.is_idle, "Postfix to be answered", server.log)
    finally:
        intake.stopping.set()
        thread.join()

    with database.begin() as connection:
        events = connection.execute(
            select(feedback.c.kind, feedback.c.matched_by, feedback.c.status).where(
                feedback.c.address_key == key_of("gone@gone.example")
            )
        ).all()
    assert REFUSALS[refusal] == reasons(database, "gone@gone.example")
    assert [("verp", refusal[:5])] == [(event.matched_by, event.status) for event in events]
