"""What follows from mails that came in: matched by tokens and ids, each once, and none holds up another."""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, select, update
from sqlalchemy.exc import OperationalError

from campaigns.inbox import Inbox
from campaigns.mailings import envelope_id_of
from campaigns.message_ids import identity_of, message_id_of
from core.clock import SteppedClock
from core.database import Database
from core.schema import activity, customer, feedback, inbound_mail, message, staff_notice, suppression, task
from core.workspace import Workspace
from tests.factories import key_of, make_customer, make_message, make_run, make_version
from tests.inbound_mails import OWN, SETTINGS, letter, spam_report, status_notification
from tracking.feedback import BOUNCES as BOUNCED
from tracking.feedback import FeedbackKind
from tracking.inbound import storage
from tracking.inbound.reading import read
from tracking.inbound.storage import Arrived
from tracking.return_paths import ReturnPaths
from tracking.tokens import Purpose, Signer

_m = inbound_mail.c
_numbers = itertools.count()
BOUNCES = Path(__file__).parents[3] / "shared/data/bounces"


@pytest.fixture
def database(module_database: Database) -> Database:
    """One for the whole file: every test has people and mails of its own."""
    return module_database


@pytest.fixture
def gone() -> str:
    """An address of this test alone."""
    return f"gone{next(_numbers)}@customers.example"


@pytest.fixture
def workspace(make_workspace: Callable[..., Workspace], database: Database) -> Workspace:
    return make_workspace(database=database, settings=SETTINGS)


@pytest.fixture
def inbox(workspace: Workspace, database: Database, clock: SteppedClock) -> Inbox:
    return Inbox(workspace, database, clock)


def sent(connection: Connection, email: str) -> int:
    """A message to `email` that was accepted."""
    version = make_version(connection, definition={"sender": {"name": "P", "email": "offers@paper.example"}})
    run = make_run(connection, version_id=version)
    customer_id = make_customer(connection, email=email, consents=("promotions",))
    return make_message(connection, run, customer_id)


def arrive(database: Database, clock: SteppedClock, raw: bytes, envelope_to: str | None = None) -> int:
    with database.begin() as connection:
        return storage.store(connection, Arrived("drop", raw, len(raw), envelope_to), clock.now())


def path_of(workspace: Workspace, message_id: int) -> str:
    return ReturnPaths(workspace.secret, OWN).path(message_id)


def reasons(database: Database, email: str) -> list[str]:
    with database.begin() as connection:
        rows = select(suppression.c.reason).where(suppression.c.address_key == key_of(email))
        return sorted(connection.execute(rows).scalars())


def mail_row(database: Database, number: int) -> tuple[str, str | None, int | None]:
    with database.begin() as connection:
        row = connection.execute(select(_m.state, _m["class"], _m.message_id).where(_m.id == number)).one()
        return (row[0], row[1], row[2])


def state_of(database: Database, message_id: int) -> str:
    with database.begin() as connection:
        return str(connection.execute(select(message.c.state).where(message.c.id == message_id)).scalar_one())


def test_inbound_bounce_to_a_return_path_suppresses_the_address(database, workspace, inbox, clock, gone):
    """
    A status notification to a message's own return path bounces it, whatever address the report names.
    """
    with database.begin() as connection:
        message_id = sent(connection, gone)
    raw = status_notification("forwarded@elsewhere.example")
    number = arrive(database, clock, raw, path_of(workspace, message_id))
    inbox.handle_all()

    assert ("handled", "hard", message_id) == mail_row(database, number)
    assert ("bounced", ["hard_bounce"]) == (state_of(database, message_id), reasons(database, gone))
    assert [] == reasons(database, "forwarded@elsewhere.example")


@pytest.mark.parametrize("spelling", [str.upper, lambda path: f"<{path}>"])
def test_inbound_return_path_is_read_in_any_spelling(database, workspace, inbox, clock, spelling, gone):
    """
    Servers that change the case of addresses do no harm, nor do those that note it in Delivered-To alone.
    """
    with database.begin() as connection:
        message_id = sent(connection, gone)
    raw = b"Delivered-To: " + spelling(path_of(workspace, message_id)).encode() + b"\r\n"
    arrive(database, clock, raw + status_notification(gone))
    inbox.handle_all()

    assert ["hard_bounce"] == reasons(database, gone)


@pytest.mark.parametrize("by", ["envelope_id", "message_id", "header"])
def test_inbound_bounce_is_matched_by_what_came_back(database, workspace, inbox, clock, by, gone):
    """
    Without a return path the envelope id, our Message-ID or a token in the returned header tells the message.
    """
    with database.begin() as connection:
        message_id = sent(connection, gone)
        row = connection.execute(select(message).where(message.c.id == message_id)).one()
    identity = identity_of(row.campaign, row.step, row.occurrence, row.address_key)
    token = Signer(workspace.secret).sign(Purpose.UNSUBSCRIBE, message_id)
    ours = message_id_of(workspace.secret, identity, "offers@paper.example")
    given = {
        "envelope_id": {"envelope_id": envelope_id_of(identity)},
        "message_id": {"returned": f"Message-ID: <{ours}>"},
        "header": {"returned": f"List-Unsubscribe:\n <https://news.paper.example/u/{token}>"},
    }[by]
    arrive(database, clock, status_notification(gone, **given))
    inbox.handle_all()

    with database.begin() as connection:
        about = select(feedback.c.message_id, feedback.c.matched_by).where(feedback.c.address_key == key_of(gone))
        events = connection.execute(about).all()
    assert [(message_id, by)] == [tuple(event) for event in events]
    assert ["hard_bounce"] == reasons(database, gone)


@pytest.mark.parametrize(
    "envelope_to",
    [None, f"b-{'a' * 37}@{OWN}", "b-aebagbafaydqqcikbmga2dqpcaireeyuculbogazdinryhi6d4@other.example"],
)
def test_inbound_bounce_without_proof_changes_nothing(database, inbox, clock, envelope_to, gone):
    """
    A report that anybody could have written is kept and suppresses nobody, forged return path or none (S-4.4).
    """
    with database.begin() as connection:
        message_id = sent(connection, gone)
    number = arrive(database, clock, status_notification(gone), envelope_to)
    inbox.handle_all()

    assert ("handled", "hard") == mail_row(database, number)[:2]
    assert ("accepted", []) == (state_of(database, message_id), reasons(database, gone))


def test_inbound_return_path_of_another_workspace_changes_nothing(database, inbox, clock, gone):
    """
    A bounce to a return path made with another secret is nobody's (S-4.5).
    """
    with database.begin() as connection:
        message_id = sent(connection, gone)
    theirs = ReturnPaths(b"x" * 32, OWN).path(message_id)
    arrive(database, clock, status_notification(gone), theirs)
    inbox.handle_all()

    assert [] == reasons(database, gone)


def test_inbound_delay_and_then_failure_bounce_once(database, workspace, inbox, clock):
    """
    4.4.1 with delayed changes nothing; 4.4.1 with failed is a bounce that counts, and suppresses nobody (S-4.2, S-4.3).
    """
    with database.begin() as connection:
        message_id = sent(connection, "slow@customers.example")
    path, states = path_of(workspace, message_id), []
    for action in ("delayed", "failed"):
        arrive(database, clock, status_notification("slow@customers.example", action=action, status="4.4.1",
                                                    diagnostic="smtp; 421 4.4.1 no answer"), path)  # fmt: skip
        inbox.handle_all()
        states.append(state_of(database, message_id))

    assert ["accepted", "bounced"] == states
    assert [] == reasons(database, "slow@customers.example")


def test_inbound_failure_without_a_cause_suppresses_nobody(database, workspace, inbox, clock):
    """
    5.0.0 without words bounces the message, and says nothing yet about the address (S-4.3).
    """
    with database.begin() as connection:
        message_id = sent(connection, "odd@customers.example")
    raw = status_notification("odd@customers.example", status="5.0.0", diagnostic="smtp; 550 sorry")
    number = arrive(database, clock, raw, path_of(workspace, message_id))
    inbox.handle_all()

    assert ("handled", "hard", message_id) == mail_row(database, number)
    assert ("bounced", []) == (state_of(database, message_id), reasons(database, "odd@customers.example"))


def test_inbound_complaint_with_redacted_address_suppresses(database, workspace, inbox, clock):
    """
    A spam report whose addresses are redacted is matched by the token in the returned header (S-4.6).
    """
    with database.begin() as connection:
        sent(connection, "somebody@customers.example")
        message_id = sent(connection, "angry@customers.example")
    token = Signer(workspace.secret).sign(Purpose.UNSUBSCRIBE, message_id)
    returned = f"From: offers@paper.example\nTo: redacted@isp.example\nList-Unsubscribe: <https://x.example/u/{token}>"
    arrive(database, clock, spam_report(returned=returned, rcpt="redacted@isp.example"))
    inbox.handle_all()

    assert ["complaint"] == reasons(database, "angry@customers.example")
    assert [] == reasons(database, "somebody@customers.example")


def test_inbound_request_to_stop_needs_a_token(database, workspace, inbox, clock):
    """
    A mail with a token in its subject unsubscribes; one that only bears the address becomes somebody's task (S-4.11).
    """
    with database.begin() as connection:
        first, _ = sent(connection, "leaving@customers.example"), sent(connection, "framed@customers.example")
    token = Signer(workspace.secret).sign(Purpose.UNSUBSCRIBE, first)
    arrive(database, clock, letter("leaving@customers.example", subject=f"unsubscribe {token}", text=""))
    arrive(database, clock, letter("framed@customers.example", subject="unsubscribe", text="Stop."))
    inbox.handle_all()

    assert ["unsubscribed"] == reasons(database, "leaving@customers.example")
    assert [] == reasons(database, "framed@customers.example")
    with database.begin() as connection:
        asked = select(task.c.kind, task.c.owner).join(customer, customer.c.id == task.c.customer_id)
        rows = connection.execute(asked.where(customer.c.email == "framed@customers.example"))
        assert [("reply", "anna")] == [tuple(row) for row in rows]


def test_inbound_mail_that_cannot_be_handled_holds_up_nobody(database, workspace, inbox, clock, monkeypatch, gone):
    """
    A mail that makes its reader fail is kept aside with its reason; the ones before and after it are handled.
    """
    with database.begin() as connection:
        message_id = sent(connection, gone)
    broken = arrive(database, clock, letter(gone, subject="broken"))
    good = arrive(database, clock, status_notification(gone), path_of(workspace, message_id))
    from campaigns import inbox as module

    read = module.read
    monkeypatch.setattr(module, "read", lambda raw: 1 / 0 if b"broken" in raw else read(raw))
    inbox.handle_all()

    assert ["kept_aside", "handled"] == [mail_row(database, number)[0] for number in (broken, good)]
    assert ["hard_bounce"] == reasons(database, gone)


def test_inbound_mail_that_ended_the_process_is_kept_aside(database, inbox, clock, gone):
    """
    A mail that three processes began and none finished is kept aside, and can be handled again on request.
    """
    number = arrive(database, clock, letter(gone))
    with database.begin() as connection:
        connection.execute(update(inbound_mail).where(_m.id == number).values(attempt_count=storage.MOST_ATTEMPTS))
    inbox.handle_all()
    aside = mail_row(database, number)[0]
    with database.begin() as connection:
        assert storage.try_again(connection, number)
    inbox.handle_all()

    assert ("kept_aside", "handled") == (aside, mail_row(database, number)[0])


def test_inbound_same_mail_is_handled_once(database, workspace, inbox, clock, gone):
    """
    A mail that is delivered again, from another mailbox and after it was handled, changes nothing more.
    """
    with database.begin() as connection:
        message_id = sent(connection, gone)
    raw, path = status_notification(gone), path_of(workspace, message_id)
    first = arrive(database, clock, raw, path)
    inbox.handle_all()
    second = arrive(database, clock, raw, path)
    inbox.handle_all()

    assert first == second
    with database.begin() as connection:
        count = select(func.count()).select_from(feedback).where(feedback.c.address_key == key_of(gone))
        assert 1 == connection.execute(count).scalar_one()


def test_inbound_mails_are_handled_once_by_many_processes(database, workspace, clock, gone):
    """
    Four that handle at the same time share the mails: each has its effects once, and none is left.
    """
    with database.begin() as connection:
        ids = [sent(connection, f"{number}.{gone}") for number in range(24)]
    numbers = [
        arrive(database, clock, status_notification(f"{number}.{gone}"), path_of(workspace, message_id))
        for number, message_id in enumerate(ids)
    ]
    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(lambda _: Inbox(workspace, database, clock).handle_all(), range(4)))

    assert len(ids) <= sum(done)
    assert {("handled", "hard")} == {mail_row(database, number)[:2] for number in numbers}
    with database.begin() as connection:
        counted = select(func.count(), func.count(feedback.c.message_id.distinct())).where(
            feedback.c.message_id.in_(ids)
        )
        assert (24, 24) == tuple(connection.execute(counted).one())


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.skipif(not BOUNCES.is_dir(), reason="the data sets are not beside the repository")
def test_real_bounces_to_return_paths_have_their_effects(database, workspace, inbox, clock):
    """
    Real bounces, sent to the return paths of messages of ours: what failed bounces its message, what is delayed does
    not, and only those suppress that say that the address does not exist.
    """
    files = sorted(BOUNCES.glob("*.txt"))
    with database.begin() as connection:
        ids = {path: sent(connection, f"real@{path.stem.replace('_', '-')}.example") for path in files}
    for path, message_id in ids.items():
        arrive(database, clock, path.read_bytes(), path_of(workspace, message_id))
    inbox.handle_all()

    findings = {path: read(path.read_bytes()).findings for path in files}
    bounced = {path for path, found in findings.items() if any(one.kind in BOUNCED for one in found)}
    gone = {
        path
        for path, found in findings.items()
        if any(one.kind is FeedbackKind.HARD and one.is_certain for one in found)
    }
    assert bounced == {path for path, message_id in ids.items() if state_of(database, message_id) == "bounced"}
    assert gone == {path for path in files if reasons(database, f"real@{path.stem.replace('_', '-')}.example")}
    assert (100, 50) < (len(bounced), len(gone))


def test_inbound_return_path_of_a_former_sender_still_counts(database, make_workspace, clock, gone):
    """
    A bounce to the return path of a domain that no sender has any more is known, where `inbound.domains` names it.
    """
    workspace = make_workspace(database=database, settings=SETTINGS + "inbound: {{domains: [old.paper.example]}}\n")
    with database.begin() as connection:
        message_id = sent(connection, gone)
    former = ReturnPaths(workspace.secret, "old.paper.example").path(message_id)
    arrive(database, clock, status_notification(gone), former)
    Inbox(workspace, database, clock).handle_all()

    assert ["hard_bounce"] == reasons(database, gone)


def test_inbound_faults_of_the_database_put_no_mail_aside(database, workspace, clock, monkeypatch, gone):
    """
    However often the database fails while a mail is handled: that is no attempt, and the opt-out is handled later.
    """
    inbox = Inbox(workspace, database, clock)
    with database.begin() as connection:
        message_id = sent(connection, gone)
    number = arrive(database, clock, letter(gone, subject=f"unsubscribe {token_of(workspace, message_id)}"))
    from campaigns import inbox as module

    def fail(*_: object) -> None:
        raise OperationalError("deadlock", {}, Exception("deadlock detected"))

    take = module.take
    monkeypatch.setattr(module, "take", fail)
    for _ in range(storage.MOST_ATTEMPTS + 1):
        with pytest.raises(OperationalError):
            inbox.handle_all()
        clock.step(timedelta(minutes=3))
    monkeypatch.setattr(module, "take", take)
    inbox.handle_all()

    assert (("handled", "unsubscribe", message_id), ["unsubscribed"]) == (
        mail_row(database, number), reasons(database, gone),
    )  # fmt: skip


def test_inbound_mail_kept_aside_is_told_of(database, inbox, clock, gone):
    """
    Somebody has a task, and a notice, when a mail is kept aside: it may be an opt-out.
    """
    number = arrive(database, clock, letter(gone))
    with database.begin() as connection:
        connection.execute(update(inbound_mail).where(_m.id == number).values(attempt_count=storage.MOST_ATTEMPTS))
    inbox.handle_all()
    key = f"inbound:aside:{clock.now().date()}"
    with database.begin() as connection:
        owner = connection.execute(select(task.c.owner).where(task.c.task_key == key)).scalar_one()
        told = connection.execute(select(staff_notice.c.id).where(staff_notice.c.notice_key == key)).all()

    assert ("anna", 1) == (owner, len(told))


def test_inbound_opt_out_nobody_can_be_matched_with_is_always_passed_on(database, inbox, clock, gone):
    """
    Twenty letters before it, or a Reply-To of our own, keep no request to stop from people; it is due at once.
    """
    letters = [letter(gone, subject=f"Letter {number}") for number in range(21)]
    own = letter(gone, subject="Unsubscribe", headers="Reply-To: help@paper.example\n")
    numbers = [arrive(database, clock, raw) for raw in (*letters, letter(gone, subject="Unsubscribe"), own)][-2:]
    inbox.handle_all()
    with database.begin() as connection:
        digests = select(_m.digest).where(_m.id.in_(numbers))
        keys = [f"reply:mail:{one.hex()[:40]}:for-people" for one in connection.execute(digests).scalars()]
        rows = connection.execute(select(task.c.due_at).where(task.c.task_key.in_(keys))).scalars()

        assert [clock.now()] * 2 == list(rows)


def test_inbound_letter_in_somebodys_name_changes_no_history(database, inbox, clock, gone):
    """
    A reply that nothing proves becomes a task, and no activity of the customer whose address it bears.
    """
    with database.begin() as connection:
        sent(connection, gone)
    arrive(database, clock, letter(gone))
    inbox.handle_all()
    with database.begin() as connection:
        known = select(customer.c.id).where(customer.c.email == gone).scalar_subquery()
        activities = connection.execute(select(activity.c.id).where(activity.c.customer_id == known)).all()
        kinds = connection.execute(select(task.c.kind).where(task.c.customer_id == known)).scalars()

        assert ([], ["reply"]) == (activities, list(kinds))


def token_of(workspace: Workspace, message_id: int) -> str:
    """The token of the message's unsubscribe link."""
    return Signer(workspace.token_secret).sign(Purpose.UNSUBSCRIBE, message_id)


def test_inbound_answer_is_matched_by_the_address_it_comes_from(database, workspace, inbox, clock, gone):
    """
    Who wants answers elsewhere (Reply-To) opts out all the same: their message went to the address in From.
    """
    with database.begin() as connection:
        message_id = sent(connection, gone)
        row = connection.execute(select(message).where(message.c.id == message_id)).one()
    identity = identity_of(row.campaign, row.step, row.occurrence, row.address_key)
    name = message_id_of(workspace.secret, identity, "offers@paper.example")
    headers = f"Reply-To: other@elsewhere.example\nIn-Reply-To: <{name}>\n"
    arrive(database, clock, letter(gone, subject="Unsubscribe", headers=headers))
    inbox.handle_all()

    assert ["unsubscribed"] == reasons(database, gone)


def test_inbound_complaint_is_matched_by_the_link_in_the_mail_that_came_back(database, workspace, inbox, clock, gone):
    """
    A receiver that takes addresses and headers out of its report leaves the text: its unsubscribe link proves it.
    """
    with database.begin() as connection:
        message_id = sent(connection, gone)
    text = f"From: offers@paper.example\n\nNo more: https://paper.example/u/{token_of(workspace, message_id)}"
    number = arrive(database, clock, spam_report(rcpt="redacted@customers.example", returned=text))
    inbox.handle_all()

    assert (("handled", "complaint", message_id), ["complaint"]) == (
        mail_row(database, number), reasons(database, gone),
    )  # fmt: skip
