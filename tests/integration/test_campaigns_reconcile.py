"""Messages in doubt and failed ones: settled by the mail server's records, or sent again by order."""

from datetime import timedelta

import pytest
from click.testing import CliRunner
from sqlalchemy import insert, select, update

from campaigns import batches, control, ledger, window
from campaigns.doubts import doubts
from campaigns.retry_waits import RETRY_WAITS
from campaigns.status import status_of
from cli import clarion
from core import schema
from core.commands import Desk
from delivery.smtp import Outcome, OutcomeState
from suppression.policy import Policy
from tests.campaign_files import FILES
from tests.factories import SECRET, make_attempt, make_customer, make_suppression
from tests.integration.test_campaigns_plan import apply_of, plan_of
from tests.mail_logs import PostfixLog

PEOPLE = 6
ACCEPTED = Outcome(OutcomeState.ACCEPTED, 250, "2.0.0", "ok")
UNKNOWN = Outcome(OutcomeState.UNKNOWN, None, None, "connection lost after the final dot")


@pytest.fixture
def office(make_workspace, database, clock):
    """A run of six messages: the last was accepted, the others are in doubt; the run is finished."""
    with database.begin() as connection:
        for number in range(PEOPLE):
            make_customer(connection, email=f"p{number}@firm.example", consents=("promotions",))
    workspace = make_workspace(database=database, files=FILES)
    (started,) = apply_of(workspace, database, clock, plan_of(workspace, database, clock))
    clock.step(timedelta(minutes=1))
    hand_over(database, clock, lambda number: ACCEPTED if number == PEOPLE - 1 else UNKNOWN)
    clock.step(timedelta(hours=1))
    return Office(workspace, database, clock, started.run_id)


def hand_over(database, clock, outcome):
    """Every batch that is due is handed over and answered; gives the ids."""
    with database.begin() as connection:
        due = batches.due_batches(connection, now=clock.now(), again_after=None)
    handed = []
    for batch_id, _ in due:
        with database.begin() as connection:
            held = ledger.claim(
                connection, batch_id, worker="w1", lease=timedelta(minutes=1), policy=Policy(), now=clock.now()
            )
            if held is None:
                continue
            ids = list(held.message_ids)
            first = window.Window(ids, (), {}, {})
            going = window.hand_over(connection, held, first, transport="main", now=clock.now())
            answers = [(message_id, outcome(ids.index(message_id))) for message_id in going]
            second = window.Window((), answers, {}, {})
            window.hand_over(connection, held, second, transport="main", now=clock.now())
            batches.close(connection, held, clock.now())
            handed += going
    return handed


class Office:
    def __init__(self, workspace, database, clock, run_id):
        self.workspace, self.database, self.clock, self.run_id = workspace, database, clock, run_id
        with database.begin() as connection:
            every = doubts(connection, SECRET, campaign=None, states=("unknown", "accepted"))
        self.ids = [one.id for one in every]
        self.message_ids = [one.message_id for one in every]
        self.log = PostfixLog(every[0].since - timedelta(minutes=1))

    def run(self, *arguments, expect=0, typed=None):
        """What the command prints with --json, or its whole output where it fails."""
        import json

        desk = Desk(self.workspace.root, self.clock)
        json_flag = ["--json"] if expect == 0 else []
        done = CliRunner().invoke(clarion, [*arguments, *json_flag], obj=desk, input=typed)
        desk.close()
        assert expect == done.exit_code, done.output
        return json.loads(done.stdout) if expect == 0 else done.output

    def reconcile(self, *arguments, expect=0):
        path = self.workspace.root / "mail.log"
        path.write_text(self.log.text())
        return self.run("reconcile", "--mail-log", str(path), *arguments, expect=expect)

    def outcomes(self, text, *arguments, expect=0):
        path = self.workspace.root / "outcomes.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return self.run("reconcile", "--outcomes", str(path), *arguments, expect=expect)

    def whole_log(self):
        """The log says something of five of the six, and covers the whole time."""
        log, to = self.log, "p{}@firm.example".format
        log.write("anvil", "statistics: max connection count 1")
        log.at = self.clock.now() - timedelta(hours=1, seconds=30)
        log.delivered("4AAAA0", self.message_ids[0], to(0))
        log.bounced("4AAAA1", self.message_ids[1], to(1))
        log.queued("4AAAA2", self.message_ids[2])
        log.broken_off("4AAAA3", self.message_ids[3], pid=99)
        log.delivered("4AAAA5", self.message_ids[5], to(5))
        log.at = self.clock.now()
        log.write("anvil", "statistics: max connection count 1")

    def states(self):
        with self.database.begin() as connection:
            rows = connection.execute(select(schema.message.c.id, schema.message.c.state))
            found = {row.id: row.state for row in rows}
        return [found[message_id] for message_id in self.ids]

    def status(self):
        with self.database.begin() as connection:
            return status_of(connection, self.run_id)


def test_a_log_settles_what_it_knows(office):
    """
    Delivered, came back, accepted; what broke off within its body is sent again; of what the log does not know nothing
    is concluded.
    """
    office.whole_log()
    told = office.reconcile()

    assert ["delivered", "bounced", "accepted", "planned", "unknown", "accepted"] == office.states()
    assert {"delivered": 1, "bounced": 1, "accepted": 1, "planned": 1} == told["settled"]
    assert (5, 1, {"not in the log": 1}) == (told["in_doubt"], told["still_unknown"], told["left"])
    assert ("running", True) == (office.status().state, office.status().balanced)


def test_a_dry_run_changes_nothing(office):
    """
    It says what would be settled.
    """
    office.whole_log()
    before = office.states()
    told = office.reconcile("--dry-run", "--complete")

    assert {"delivered": 1, "bounced": 1, "accepted": 1, "planned": 2} == told["settled"]
    assert before == office.states()


def test_a_complete_log_finds_who_was_never_written_to(office):
    """
    With the operator's word, and a log that spans the time and knows the accepted one, the missing message is sent
    again: in the same run, once, with the next number of attempt.
    """
    office.whole_log()
    told = office.reconcile("--complete")
    assert (2, 0) == (told["settled"]["planned"], told["still_unknown"])

    assert office.ids[3:5] == sorted(hand_over(office.database, office.clock, lambda _: ACCEPTED))
    assert ["delivered", "bounced", *["accepted"] * 4] == office.states()
    assert ("finished", True) == (office.status().state, office.status().balanced)
    with office.database.begin() as connection:
        tried = select(schema.attempt.c.number, schema.attempt.c.outcome).where(
            schema.attempt.c.message_id == office.ids[4]
        )
        assert [(1, "planned"), (1, "unknown"), (2, "accepted")] == sorted(map(tuple, connection.execute(tried)))


def test_reconciling_again_changes_nothing(office):
    """
    What is settled stays settled, and is told to nobody twice.
    """
    office.whole_log()
    office.reconcile("--complete")
    states = office.states()
    told = office.reconcile("--complete")

    assert ({}, states) == (told["settled"], office.states())


def test_a_log_that_begins_too_late_proves_nothing(office):
    """
    Silence of a log that does not reach back to the hand-over, or ends before it, leaves everybody in doubt.
    """
    office.log.at = office.clock.now() - timedelta(minutes=1)
    office.log.write("anvil", "statistics")
    late = office.reconcile("--complete")
    office.log = PostfixLog(office.clock.now() - timedelta(days=1))
    office.log.write("anvil", "statistics")
    early = office.reconcile("--complete")

    reason = "not in the log, which does not cover the time of its hand-over"
    assert ({reason: 5}, {reason: 5}) == (late["left"], early["left"])


def test_a_log_that_ends_before_the_doubt_proves_nothing(office):
    """
    A log whose last line is older than the doubt may have been copied before the server wrote what it took; with one
    line after it, it covers the time.
    """
    log, noticed_at = office.log, office.clock.now() - timedelta(hours=1)
    log.write("anvil", "statistics")
    log.at = noticed_at - timedelta(seconds=30)
    log.delivered("4AAAA5", office.message_ids[5], "p5@firm.example")
    log.at = noticed_at - timedelta(seconds=10)
    log.write("anvil", "statistics")
    early = office.reconcile("--complete")

    assert {"not in the log, which does not cover the time of its hand-over": 5} == early["left"]
    assert ["unknown"] * 5 == office.states()[:5]
    log.at = noticed_at + timedelta(seconds=1)
    log.write("postfix/master", "mark")
    assert {"planned": 5} == office.reconcile("--complete")["settled"]


def test_a_log_of_another_server_proves_nothing(office):
    """
    A log that lacks a message the transport accepted in its time is not complete, whatever the operator says.
    """
    office.log.write("anvil", "statistics")
    office.log.at = office.clock.now()
    office.log.write("anvil", "statistics")
    told = office.reconcile("--complete")

    assert {"not in the log, which lacks accepted messages of the same run too": 5} == told["left"]
    assert ["unknown"] * 5 == office.states()[:5]


def test_a_bounce_in_the_log_suppresses_its_address(office):
    """
    Who does not exist is not written to again, as if the answer had come at once.
    """
    office.whole_log()
    office.reconcile()

    with office.database.begin() as connection:
        entry = connection.execute(select(schema.suppression)).mappings().one()
    assert ("hard_bounce", office.ids[1], 550) == (
        entry["reason"], entry["evidence"]["message"], entry["evidence"]["code"]
    )  # fmt: skip


def test_accepted_messages_can_be_looked_up_too(office):
    """
    On request the log also tells which accepted messages were delivered.
    """
    office.whole_log()
    office.reconcile()
    assert "accepted" == office.states()[5]
    told = office.reconcile("--accepted")

    assert ({"delivered": 1}, "delivered") == (told["settled"], office.states()[5])


def test_why_tells_what_settled_a_message(office):
    """
    The words of the log are on record for each person, and the audit names who reconciled.
    """
    office.whole_log()
    office.reconcile("spring-paper", "--complete")
    facts = [fact["what"] for fact in office.run("why", "p1@firm.example", "spring-paper")["facts"]]
    never = [fact["what"] for fact in office.run("why", "p4@firm.example", "spring-paper")["facts"]]

    assert any("bounced" in fact and "the mail log" in fact and "no such user" in fact for fact in facts), facts
    assert any("the server never received it" in fact for fact in never), never
    with office.database.begin() as connection:
        audit = connection.execute(select(schema.audit).where(schema.audit.c.action == "reconcile")).mappings().one()
    assert {"delivered": 1, "bounced": 1, "accepted": 1, "planned": 2, "source": "mail.log (complete)"} == audit[
        "detail"
    ]


def test_what_a_cancelled_run_never_sent_is_not_sent(office):
    """
    A message of a cancelled run that was never received is skipped with the rest of it.
    """
    with office.database.begin() as connection:
        connection.execute(update(schema.run).values(state="cancelled"))
    office.whole_log()
    office.reconcile("--complete")

    assert ["skipped", "skipped"] == office.states()[3:5]
    assert office.status().balanced


def test_who_opted_out_meanwhile_is_not_written_to(office):
    """
    The gate is asked again before a message goes.
    """
    office.whole_log()
    office.reconcile("--complete")
    with office.database.begin() as connection:
        make_suppression(connection, "p4@firm.example")

    assert office.ids[3:4] == hand_over(office.database, office.clock, lambda _: ACCEPTED)


def test_a_message_in_another_workers_batch_is_in_one_batch_afterwards(office):
    """
    A message in doubt whose old batch is still open is taken out of it: two batches would both send it.
    """
    with office.database.begin() as connection:
        connection.execute(
            insert(schema.batch).values(run_id=office.run_id, message_ids=office.ids, not_before=office.clock.now())
        )
    office.whole_log()
    office.reconcile("--complete")

    with office.database.begin() as connection:
        rows = connection.execute(select(schema.batch.c.message_ids).where(schema.batch.c.state != "done")).scalars()
        held = [message_id for ids in rows for message_id in ids]
    assert [1, 1] == [held.count(message_id) for message_id in office.ids[3:5]]


def test_what_a_worker_has_in_hands_stays_in_doubt(office):
    """
    A message whose batch is being sent is not planned again under the worker's eyes; the report says so.
    """
    claimed = {"state": "claimed", "claim_count": 1, "lease_until": office.clock.now() + timedelta(days=3650)}
    with office.database.begin() as connection:
        held = {"run_id": office.run_id, "message_ids": office.ids[3:4], "not_before": office.clock.now()}
        connection.execute(insert(schema.batch).values(**held | claimed))
    office.whole_log()
    told = office.reconcile("--complete")

    assert ["unknown", "planned"] == office.states()[3:5]
    reason = "its batch is being sent, or somebody else settled it: reconcile again"
    assert (1, {reason: 1}) == (told["still_unknown"], told["left"])


def test_a_file_of_outcomes_settles_what_it_names(office):
    """
    Brackets, case, order of columns, separator and byte order mark do not matter; each bad row is told with its line.
    """
    ids = office.message_ids
    text = (
        "\ufeffOutcome;Note;Message_ID\r\n\r\n"
        f"Delivered;x;<{ids[0].upper()}>\r\nbounced;;{ids[1]}\r\ndeferred;;{ids[2]}\r\nnever received;; <{ids[3]}> \r\n"
        f"flown;;{ids[4]}\r\ndelivered;;nonsense\r\nfailed\r\nrejected;;else@paper.example\r\n"
    )
    told = office.outcomes(text)

    assert ["delivered", "bounced", "accepted", "planned", "unknown", "accepted"] == office.states()
    assert (1, [7, 8, 9]) == (told["unmatched"], [row["line"] for row in told["rejected"]])
    assert "flown" in told["rejected"][0]["reason"]


def test_a_complete_file_plans_whoever_is_not_in_it(office):
    """
    What a complete file does not name was never received, if it names the accepted one; one with rows that cannot be
    read is not complete.
    """
    office.outcomes(f"message-id,outcome\n{office.message_ids[0]},flown\n", "--complete", expect=2)
    assert ["unknown"] * 5 == office.states()[:5]

    rows = f"{office.message_ids[0]},rejected\n{office.message_ids[5]},delivered\n"
    office.outcomes(f"message-id,outcome\n{rows}", "--complete")
    assert ["failed", *["planned"] * 4] == office.states()[:5]


@pytest.mark.parametrize("text", ["", "id,what\n1,2\n", "message-id,message-id,outcome\n"])
def test_a_file_without_its_columns_is_refused(office, text):
    """
    The mistake says which first line is expected.
    """
    assert "message-id,outcome" in office.outcomes(text, expect=2)


def test_no_records_or_two_kinds_are_refused(office):
    """
    A log or a file of outcomes: one of them; and a campaign that never ran is a mistake. Nobody is settled by it.
    """
    before = office.states()
    office.log.write("anvil", "statistics")
    log = office.workspace.root / "mail.log"
    log.write_text(office.log.text())
    file = f"message-id,outcome\n{office.message_ids[0]},delivered\n"

    assert "--mail-log" in office.run("reconcile", expect=2)
    assert "--outcomes" in office.outcomes(file, "--mail-log", str(log), expect=2)
    assert "winter" in office.reconcile("winter", expect=1)
    assert before == office.states()


# --- retry -----------------------------------------------------------------------------------------------


def fail(office, kinds):
    """The messages in doubt have failed, for these classes."""
    with office.database.begin() as connection:
        for message_id, kind in zip(office.ids, kinds, strict=False):
            connection.execute(
                update(schema.message).where(schema.message.c.id == message_id).values(state="failed", attempt_count=1)
            )
            make_attempt(connection, message_id, bounce_class=kind, answered_at=office.clock.now())


KINDS = ("hard", "soft", "block", "message_fault", None)


def test_failed_messages_are_sent_again(office):
    """
    All but those whose address does not exist go again, in the same run, and number their attempts on.
    """
    fail(office, KINDS)
    told = office.run("retry", "spring-paper", "--failed", "--yes")

    assert (4, {"hard: the address does not exist": 1}) == (told["retried"], told["left"])
    assert ["failed", *["planned"] * 4] == office.states()[:5]
    assert ("running", True) == (office.status().state, office.status().balanced)
    assert office.ids[1:5] == sorted(hand_over(office.database, office.clock, lambda _: ACCEPTED))
    assert ("finished", True) == (office.status().state, office.status().balanced)
    with office.database.begin() as connection:
        tried = select(schema.attempt.c.number).where(
            schema.attempt.c.message_id == office.ids[1], schema.attempt.c.outcome == "accepted"
        )
        assert 2 == connection.execute(tried).scalar_one()
    assert 0 == office.run("retry", "spring-paper", "--failed", "--yes")["retried"]


def test_retrying_has_its_bounds(office):
    """
    Only the classes named, nobody whom the gate forbids or who moved away, and nothing in a dry run.
    """
    fail(office, KINDS)
    with office.database.begin() as connection:
        make_suppression(connection, "p1@firm.example", reason="unsubscribed")
        connection.execute(
            update(schema.customer).where(schema.customer.c.email == "p2@firm.example").values(address_key=None)
        )
    dry = office.run("retry", "spring-paper", "--failed", "--dry-run")
    assert (2, ["failed"] * 5) == (dry["retried"], office.states()[:5])
    assert {"suppressed:unsubscribed", "address_changed", "hard: the address does not exist"} == set(dry["left"])

    told = office.run("retry", "spring-paper", "--failed", "--class", "message-fault, soft", "--yes")
    assert (1, {"message_fault": 1}) == (told["retried"], told["classes"])
    assert 1 == told["left"]["of another class: none"]
    assert "never tried again" in office.run("retry", "spring-paper", "--failed", "--class", "hard", expect=2)
    assert "did you mean 'soft'" in office.run("retry", "spring-paper", "--failed", "--class", "sofd", expect=2)
    office.run("retry", "spring-paper", expect=2)
    office.run("retry", "winter", "--failed", expect=1)


def test_what_has_expired_is_not_sent_again(office):
    """
    Beyond its time a message stays failed.
    """
    fail(office, KINDS)
    with office.database.begin() as connection:
        connection.execute(update(schema.run).values(valid_until=office.clock.now() - timedelta(seconds=1)))

    assert {"expired": 4} == {
        k: n for k, n in office.run("retry", "spring-paper", "--failed", "--yes")["left"].items() if k == "expired"
    }
    assert ["failed"] * 5 == office.states()[:5]


def test_retried_messages_wait_as_long_as_the_first_time(office):
    """
    A server that says "later" again is asked at the first wait again, not given up at once; after all waits it has
    failed.
    """
    later = Outcome(OutcomeState.DEFERRED, 451, "4.3.0", "later")
    spent = len(RETRY_WAITS) + 1
    fail(office, ["soft"])
    with office.database.begin() as connection:
        connection.execute(
            update(schema.message).where(schema.message.c.id == office.ids[0]).values(attempt_count=spent)
        )
    office.run("retry", "spring-paper", "--failed", "--yes")
    times = []
    while hand_over(office.database, office.clock, lambda _: later):
        with office.database.begin() as connection:
            waits = connection.execute(
                select(schema.batch.c.not_before).where(schema.batch.c.state == "ready")
            ).scalar()
        if waits is None:
            break
        times.append(waits - office.clock.now())
        office.clock.step(times[-1])

    assert len(RETRY_WAITS) == len(times)
    assert all(0.9 <= time / wait <= 1.1 for time, wait in zip(times, RETRY_WAITS, strict=True))
    assert "failed" == office.states()[0]


def test_messages_in_doubt_are_sent_again_only_knowingly(office):
    """
    The campaign's name must be typed: some people may get it twice. The audit keeps who did.
    """
    refused = office.run("retry", "spring-paper", "--unknown", "--yes", expect=1, typed="yes\n")
    assert "twice" in refused
    assert "clarion reconcile spring-paper --mail-log FILE" in refused
    assert ["unknown"] * 5 == office.states()[:5]

    told = office.run("retry", "spring-paper", "--unknown", "--accept-duplicates", "spring-paper")
    assert (5, ["planned"] * 5) == (told["retried"], office.states()[:5])
    with office.database.begin() as connection:
        assert "retry.unknown" in set(connection.execute(select(schema.audit.c.action)).scalars())


def test_a_paused_run_keeps_its_retried_messages(office):
    """
    What is retried in a paused run waits until somebody resumes it.
    """
    fail(office, KINDS)
    with office.database.begin() as connection:
        connection.execute(update(schema.run).values(state="paused"))
    office.run("retry", "spring-paper", "--failed", "--yes")
    assert [] == hand_over(office.database, office.clock, lambda _: ACCEPTED)
    with office.database.begin() as connection:
        control.order(connection, "spring-paper", "resume", actor="ann", now=office.clock.now())

    assert 4 == len(hand_over(office.database, office.clock, lambda _: ACCEPTED))


def test_a_log_in_which_no_line_is_understood_is_told(office, tmp_path):
    """
    A file of another kind is an error, not a log in which nothing happened.
    """
    log = tmp_path / "other.log"
    log.write_text("one\ntwo\n")
    told = office.run("reconcile", "spring-paper", "--mail-log", str(log), expect=1)

    assert "is one of a Postfix log; nothing was changed" in told


def test_bad_rows_are_told_with_what_was_meant(office):
    """
    Words of others lead to ours, and a short row says what is short.
    """
    told = office.outcomes(f"message-id,outcome\n{office.message_ids[0]},arrived\nx@y\n")

    assert "did you mean 'delivered'?" in told["rejected"][0]["reason"]
    assert "too few columns (got 1, expected 2 or more)" == told["rejected"][1]["reason"]
