"""From lost answers to a settled ledger: what the operator types, against a real server and its log."""

from datetime import UTC, datetime, timedelta

from campaigns.doubts import doubts
from campaigns.sending import Courier
from core.clock import SystemClock
from tests.campaign_files import FILES
from tests.factories import SECRET, make_customer
from tests.integration.test_campaigns_plan import apply_of, plan_of
from tests.integration.test_campaigns_sending import first_batch, serving
from tests.mail_logs import PostfixLog
from tests.processes import clarion, clarion_json
from tests.smtp_server import DROP

PEOPLE = 6
#: Their connections break after the final dot: the server has taken the first one's message, the second one's not.
TAKEN, NOT_TAKEN = "p1@firm.example", "p2@firm.example"


def _address(command):
    """The recipient of an RCPT command."""
    return command.partition("<")[2].partition(">")[0]


def _send_everything(courier):
    while (batch_id := first_batch(courier.database)) is not None:
        courier.send_batch(batch_id)


def _written_log(database, begins):
    """The server's log: everybody but the one whose message never was in its queue."""
    log = PostfixLog(begins - timedelta(minutes=1), iso=True)
    log.write("postfix-script", "starting the Postfix mail system")
    with database.begin() as connection:
        known = doubts(connection, SECRET, campaign="spring-paper", states=("unknown", "accepted"))
    for number, one in enumerate(known):
        if one.recipient != NOT_TAKEN:
            log.delivered(f"4jXGTt{number}8J9z1SW4H", one.message_id, one.recipient)
    log.at = datetime.now(UTC)
    log.write("anvil", "statistics: max connection count 4")
    return log.text()


def test_lost_answers_are_settled_by_the_log(make_workspace, database):
    """
    Two answers are lost; the log settles the one the server took, and the other is sent again: everybody has one mail,
    the ledger balances, and `why` says what happened.
    """
    begins = datetime.now(UTC)
    lost = {TAKEN, NOT_TAKEN}

    def break_off(conversation):
        last = next(command for command in reversed(conversation.commands) if command.startswith("RCPT"))
        return DROP if _address(last) in lost else None

    with database.begin() as connection:
        for number in range(PEOPLE):
            make_customer(connection, email=f"p{number}@firm.example", consents=("promotions",))
    with serving({"end": break_off}) as server:
        workspace = make_workspace(database=database, files=FILES, smtp_port=server.port)
        apply_of(workspace, database, SystemClock(), plan_of(workspace, database, SystemClock()))
        courier = Courier(workspace, database, SystemClock(), "w1")
        _send_everything(courier)
        assert 2 == clarion_json(workspace, "status", "spring-paper")["unknown"]
        before = [_address(mail.recipients[0]) for mail in server.received]

        log = workspace.root / "mail.log"
        log.write_text(_written_log(database, begins))
        told = clarion_json(workspace, "reconcile", "spring-paper", "--mail-log", str(log), "--complete")
        lost.clear()
        _send_everything(courier)
        courier.close()
        after = [_address(mail.recipients[0]) for mail in server.received[len(before) :]]

    assert {"delivered": 1, "planned": 1} == told["settled"]
    assert [NOT_TAKEN] == after
    assert {f"p{number}@firm.example" for number in range(PEOPLE)} == {*before, *after, TAKEN}
    status = clarion_json(workspace, "status", "spring-paper", "--check")
    assert ("finished", PEOPLE, 0, True) == tuple(status[name] for name in ("state", "accepted", "unknown", "balanced"))
    assert "delivered" in clarion(workspace, "why", TAKEN, "spring-paper").stdout
    assert "the server never received it" in clarion(workspace, "why", NOT_TAKEN, "spring-paper").stdout
