"""`clarion up` takes mails in where that is set up: from the mail server's port to what follows."""

import smtplib

import pytest

from tests.inbound_mails import SETTINGS, status_notification
from tests.integration.test_inbound_handling import path_of, reasons, sent, state_of
from tests.processes import answers, clarion, clarion_json, free_port, wait_for

pytestmark = pytest.mark.slow


def test_up_takes_mails_in_and_down_ends_it(make_workspace, database):
    """
    With a listener in clarion.yaml `up` runs the intake, `doctor` sees it, a bounce has its effect, and `down` ends it.
    """
    port = free_port()
    more = f"web: {{{{port: {free_port()}}}}}\ninbound: {{{{listeners: {{{{mta: {{{{port: {port}}}}}}}}}}}}}\n"
    workspace = make_workspace(database=database, settings=SETTINGS + more)
    with database.begin() as connection:
        message_id = sent(connection, "gone@customers.example")
    try:
        clarion(workspace, "up", "--detach")
        wait_for(lambda: answers(port), "the listener")
        with smtplib.LMTP("127.0.0.1", port) as lmtp:
            lmtp.sendmail("", path_of(workspace, message_id), status_notification("gone@customers.example"))
        wait_for(lambda: state_of(database, message_id) == "bounced", "the bounce")
        checks = {row["check"]: row["ok"] for row in clarion_json(workspace, "doctor", expect=None)["checks"]}
    finally:
        clarion(workspace, "down")

    assert (True, ["hard_bounce"]) == (checks["inbound"], reasons(database, "gone@customers.example"))
    assert not answers(port)
