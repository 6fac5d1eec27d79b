"""The ledger while several act on it at once: what was committed first counts, and nobody breaks another one off."""

import contextlib
import threading

import pytest
from sqlalchemy import insert, select, text, update

from campaigns import batches, control, ledger
from campaigns.window import Window, _statement
from campaigns.window import hand_over as hand_over_window
from core.errors import PlanError
from core.schema import batch, message, run
from suppression.policy import Policy
from tests.factories import make_customer, make_message, make_run, make_suppression
from tests.integration.test_campaigns_ledger import claim, expire_lease, hand_over, status


@pytest.fixture
def planned(database, clock):
    """A running run of two planned messages in one batch: its id, the batch's and the messages'."""
    with database.begin() as connection:
        run_id = make_run(connection, audience=2, starts_at=clock.now())
        people = [
            make_customer(connection, email=f"p{n}@customers.example", consents=("promotions",)) for n in range(2)
        ]
        ids = [make_message(connection, run_id, person, state="planned", not_before=clock.now()) for person in people]
        cut = insert(batch).values(run_id=run_id, message_ids=ids, not_before=clock.now())
        batch_id = connection.execute(cut.returning(batch.c.id)).scalar_one()
    return run_id, batch_id, ids


@contextlib.contextmanager
def meanwhile(database, call):
    """`call` runs in a thread until it waits for a lock, or is done. Afterwards its result is in the list."""
    results = []
    thread = threading.Thread(target=lambda: results.append(call()))
    thread.start()
    while thread.is_alive() and not is_waited_for(database):
        thread.join(0.02)
    yield results
    thread.join(30)


def is_waited_for(database):
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with database.begin() as connection:
        return connection.execute(text(waiting)).scalar_one() > 0


def order(database, verb, clock):
    with database.begin() as connection:
        return control.order(connection, "spring-paper", verb, actor="ann", now=clock.now())


def test_a_pause_does_not_overrule_a_cancel(database, planned, clock):
    """
    A pause that waits for a cancel finds the run cancelled, and says so; no resume brings it back.
    """
    run_id, _, _ = planned

    def pause():
        with contextlib.suppress(PlanError):
            return order(database, "pause", clock)
        return "refused"

    with contextlib.ExitStack() as stack, database.begin() as connection:
        control.order(connection, "spring-paper", "cancel", actor="bob", now=clock.now())
        paused = stack.enter_context(meanwhile(database, pause))
    assert ["refused"] == paused
    assert "cancelled" == status(database, run_id).state


@pytest.mark.parametrize("what", ["opt_out", "cancel"])
def test_what_is_committed_while_a_hand_over_waits_for_its_batch_wins(database, planned, clock, what):
    """
    A hand-over that has to wait for its batch goes by the opt-outs and orders of when it goes on.
    """
    _, batch_id, ids = planned
    held = claim(database, batch_id, clock)

    def hand_over_waiting():
        with contextlib.closing(database.link()) as link:
            window = Window(ids, (), dict.fromkeys(ids, b"bytes"))
            return hand_over_window(link, held, window, transport="main", now=clock.now())

    with contextlib.ExitStack() as stack, database.begin() as connection:
        connection.execute(select(batch.c.id).with_for_update())
        gone = stack.enter_context(meanwhile(database, hand_over_waiting))
        with database.begin() as other:
            if what == "opt_out":
                make_suppression(other, "p0@customers.example", reason="unsubscribed")
            else:
                control.order(other, "spring-paper", "cancel", actor="ann", now=clock.now())
    assert [ids[1:] if what == "opt_out" else []] == gone


def test_a_close_that_skips_and_a_claim_do_not_lock_each_other_out(database, planned, clock):
    """
    A worker that closes its batch locks it before its messages, as claims do: neither is broken off as a deadlock.
    """
    _, batch_id, ids = planned
    late = claim(database, batch_id, clock)

    def close():
        with database.begin() as connection:
            batches.close(connection, late, clock.now(), skipped={"address_changed": ids})
        return "closed"

    with contextlib.ExitStack() as stack, database.begin() as connection:
        connection.execute(select(batch.c.id).with_for_update())  # a claim's first step
        closed = stack.enter_context(meanwhile(database, close))
        ledger.skip(connection, ids[:1], "expired", clock.now())
    assert ["closed"] == closed
    with database.begin() as connection:
        reasons = select(message.c.skip_reason).order_by(message.c.id)
        assert ["expired", "address_changed"] == list(connection.execute(reasons).scalars())


def test_a_close_without_the_lease_skips_nobody(database, planned, clock):
    """
    What a late worker could not render is another one's to decide.
    """
    _, batch_id, ids = planned
    late = claim(database, batch_id, clock)
    expire_lease(database, batch_id)
    heir = claim(database, batch_id, clock, "w2")
    with database.begin() as connection:
        batches.close(connection, late, clock.now(), skipped={"render_failed": ids})

    assert ids == hand_over(database, heir, ids, [], clock)


def test_a_run_that_ends_forgets_its_fault(database, planned, clock):
    """
    A finished run has nothing that keeps its messages from going.
    """
    run_id, _, _ = planned
    with database.begin() as connection:
        connection.execute(update(run).values(fault="nobody listens at the transport"))
        connection.execute(update(batch).values(state="done"))
        connection.execute(update(message).values(state="accepted"))
        assert [run_id] == batches.finish_runs(connection, clock.now())

    assert ("finished", None) == (status(database, run_id).state, status(database, run_id).fault)


@pytest.mark.parametrize("by_behaviour", [True, False])
@pytest.mark.parametrize("message_class", ["bulk", "transactional"])
def test_the_statement_of_a_window_is_short_enough_to_be_cached(message_class, by_behaviour):
    """
    psycopg reads a text of more than 4,096 characters anew each time; names of topics and campaigns are no part of it.
    """
    sql, _ = _statement("t" * 60, "c" * 60, message_class, Policy(), by_behaviour=by_behaviour, keeps=True)

    assert len(sql) <= 4096
