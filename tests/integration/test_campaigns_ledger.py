"""The ledger against a real database: every statement, every state, every race that one database can show."""

from datetime import timedelta

import pytest
from sqlalchemy import insert, select, text, update

from campaigns import batches, control, ledger
from campaigns.retry_waits import RETRY_WAITS
from campaigns.states import OPEN, TRANSITIONS, State
from campaigns.status import status_of
from campaigns.window import Window
from campaigns.window import hand_over as hand_over_window
from core import schema
from delivery.smtp import Outcome, OutcomeState
from suppression.policy import Policy
from tests.factories import key_of, make_customer, make_message, make_run, make_suppression

LEASE = timedelta(minutes=1)
ACCEPTED = Outcome(OutcomeState.ACCEPTED, 250, "2.0.0", "ok")
DEFERRED = Outcome(OutcomeState.DEFERRED, 451, "4.3.0", "later")
FAILED = Outcome(OutcomeState.FAILED, 550, "5.1.1", "no such user")
UNKNOWN = Outcome(OutcomeState.UNKNOWN, None, None, "connection lost after the final dot")
NOT_SENT = Outcome(OutcomeState.NOT_SENT, None, None, "connection lost before the final dot")

_WATCH = """
    CREATE TABLE moved (before text, after text);
    CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO moved VALUES (old.state, new.state); RETURN new; END $$;
    CREATE TRIGGER watch AFTER UPDATE ON message FOR EACH ROW
        WHEN (old.state IS DISTINCT FROM new.state) EXECUTE FUNCTION watch();
"""


@pytest.fixture
def planned(database, clock):
    """A running run of five planned messages in one batch; every change of state is watched."""
    with database.begin() as connection:
        connection.execute(text(_WATCH))
        run_id = make_run(connection, audience=5, starts_at=clock.now())
        people = [
            make_customer(connection, email=f"p{n}@customers.example", consents=("promotions",)) for n in range(5)
        ]
        ids = [make_message(connection, run_id, person, state="planned", not_before=clock.now()) for person in people]
        batch_id = connection.execute(
            insert(schema.batch)
            .values(run_id=run_id, message_ids=ids, not_before=clock.now())
            .returning(schema.batch.c.id)
        ).scalar_one()
    yield run_id, batch_id, ids
    with database.begin() as connection:
        moves = {(State(before), State(after)) for before, after in connection.execute(text("SELECT * FROM moved"))}
    allowed = {(before, after) for before, afters in TRANSITIONS.items() for after in afters}
    assert set() == moves - allowed


def claim(database, batch_id, clock, worker="w1"):
    with database.begin() as connection:
        return ledger.claim(connection, batch_id, worker=worker, lease=LEASE, policy=Policy(), now=clock.now())


def hand_over(database, held, ids, answered, clock):
    with database.begin() as connection:
        given = Window(ids, answered, dict.fromkeys([*ids, *(i for i, _ in answered)], b"bytes"))
        return hand_over_window(connection, held, given, transport="main", now=clock.now())


def close(database, held, clock):
    with database.begin() as connection:
        batches.close(connection, held, clock.now())


def told(database, clock, most=None):
    with database.begin() as connection:
        return batches.due_batches(connection, now=clock.now(), again_after=None, most=most)


def states(database):
    with database.begin() as connection:
        rows = connection.execute(select(schema.message.c.id, schema.message.c.state).order_by(schema.message.c.id))
        return {row.id: row.state for row in rows}


def expire_lease(database, batch_id):
    with database.begin() as connection:
        connection.execute(
            update(schema.batch).where(schema.batch.c.id == batch_id).values(lease_until=text("now() - interval '1s'"))
        )


def test_every_outcome_is_recorded_and_the_run_finishes(database, planned, clock):
    """
    Accepted, failed and unknown end a message, a deferral waits in a batch of its own, and once everything is
    answered the run is finished.
    """
    _, batch_id, ids = planned
    held = claim(database, batch_id, clock)
    assert tuple(ids) == held.message_ids
    assert ids == hand_over(database, held, ids, [], clock)
    answers = list(zip(ids, (ACCEPTED, FAILED, UNKNOWN, DEFERRED, NOT_SENT), strict=True))
    hand_over(database, held, [], answers, clock)
    close(database, held, clock)

    assert ["accepted", "failed", "unknown", "deferred", "deferred"] == [states(database)[i] for i in ids]
    with database.begin() as connection:
        again = connection.execute(select(schema.batch).where(schema.batch.c.state == "ready")).mappings().one()
        assert [ids[3], ids[4]] == again["message_ids"]
        assert 0.9 <= (again["not_before"] - clock.now()) / RETRY_WAITS[0] <= 1.1
        assert "running" == connection.execute(select(schema.run.c.state)).scalar_one()

    clock.step(timedelta(minutes=6))
    second = claim(database, again["id"], clock)
    hand_over(database, second, [ids[3], ids[4]], [], clock)
    hand_over(database, second, [], [(ids[3], ACCEPTED), (ids[4], ACCEPTED)], clock)
    close(database, second, clock)

    with database.begin() as connection:
        assert "finished" == connection.execute(select(schema.run.c.state)).scalar_one()
        numbers = connection.execute(
            select(schema.attempt.c.number, schema.attempt.c.outcome).where(schema.attempt.c.message_id == ids[3])
        ).all()
    assert [(1, "deferred"), (2, "accepted")] == sorted(map(tuple, numbers))


def test_a_held_batch_is_not_given_twice(database, planned, clock):
    """
    While a lease runs, a second claim of the batch gets nothing.
    """
    _, batch_id, _ = planned
    claim(database, batch_id, clock)

    assert claim(database, batch_id, clock, worker="w2") is None


def test_a_lost_worker_leaves_only_its_window_in_doubt(database, planned, clock):
    """
    After the lease of a worker that died, what it had handed over is unknown and everything else is sent by the next.
    """
    _, batch_id, ids = planned
    held = claim(database, batch_id, clock)
    hand_over(database, held, ids[:2], [], clock)
    expire_lease(database, batch_id)

    heir = claim(database, batch_id, clock, worker="w2")

    assert tuple(ids[2:]) == heir.message_ids
    assert ["unknown", "unknown", "planned", "planned", "planned"] == [states(database)[i] for i in ids]


def test_a_worker_that_comes_back_hands_over_nothing(database, planned, clock):
    """
    The fencing token of a batch that was given to somebody else is worth nothing, yet a late answer settles what was
    in doubt.
    """
    _, batch_id, ids = planned
    late = claim(database, batch_id, clock)
    hand_over(database, late, ids[:1], [], clock)
    expire_lease(database, batch_id)
    heir = claim(database, batch_id, clock, worker="w2")

    going = hand_over(database, late, ids[1:2], [(ids[0], ACCEPTED)], clock)
    close(database, late, clock)

    assert [] == going
    assert "accepted" == states(database)[ids[0]]
    assert ids[1:] == hand_over(database, heir, ids[1:], [], clock)


def test_a_refused_envelope_is_an_attempt_and_a_dead_transport_is_none(database, planned, clock):
    """
    A server's refusal before the hand-over is recorded at once; what a transport never took goes back to planned.
    """
    _, batch_id, ids = planned
    held = claim(database, batch_id, clock)
    hand_over(database, held, [], [(ids[0], FAILED), (ids[1], DEFERRED), (ids[2], NOT_SENT)], clock)
    close(database, held, clock)

    assert ["failed", "deferred", "planned", "planned", "planned"] == [states(database)[i] for i in ids]
    with database.begin() as connection:
        tried = select(schema.attempt.c.message_id, schema.attempt.c.number).order_by(schema.attempt.c.message_id)
        assert [(ids[0], 1), (ids[1], 1)] == [tuple(row) for row in connection.execute(tried)]


def test_a_late_deferral_of_a_doubtful_message_ends_it(database, planned, clock):
    """
    When the answer to a message given up as unknown turns out to be "later", the message has failed.
    """
    _, batch_id, ids = planned
    late = claim(database, batch_id, clock)
    hand_over(database, late, ids[:1], [], clock)
    expire_lease(database, batch_id)
    claim(database, batch_id, clock, worker="w2")
    hand_over(database, late, [], [(ids[0], DEFERRED)], clock)

    assert "failed" == states(database)[ids[0]]


def test_an_opt_out_between_claim_and_hand_over_wins(database, planned, clock):
    """
    Who opts out after the claim is skipped at the hand-over, with the reason.
    """
    _, batch_id, ids = planned
    held = claim(database, batch_id, clock)
    with database.begin() as connection:
        make_suppression(
            connection, "p0@customers.example", scope="topic", scope_name="promotions", reason="unsubscribed"
        )

    assert ids[1:] == hand_over(database, held, ids, [], clock)
    with database.begin() as connection:
        row = connection.execute(select(schema.message).where(schema.message.c.id == ids[0])).mappings().one()
    assert ("skipped", "suppressed:unsubscribed") == (row["state"], row["skip_reason"])


def test_an_opt_out_between_plan_and_claim_wins(database, planned, clock):
    """
    Who opts out after the plan is skipped by the claim itself.
    """
    _, batch_id, ids = planned
    with database.begin() as connection:
        make_suppression(connection, "p4@customers.example", reason="complaint")

    held = claim(database, batch_id, clock)

    assert tuple(ids[:4]) == held.message_ids
    assert "skipped" == states(database)[ids[4]]


@pytest.mark.parametrize(("order", "left"), [("paused", "planned"), ("cancelled", "skipped")])
def test_a_stopped_run_hands_over_nothing_more(database, planned, clock, order, left):
    """
    Once a pause or cancel is committed no message is handed over; what was claimed is given back, or never sent.
    """
    run_id, batch_id, ids = planned
    held = claim(database, batch_id, clock)
    with database.begin() as connection:
        connection.execute(update(schema.run).where(schema.run.c.id == run_id).values(state=order))

    assert [] == hand_over(database, held, ids, [], clock)
    close(database, held, clock)
    assert {left} == set(states(database).values())
    assert claim(database, batch_id, clock) is None


@pytest.mark.parametrize("late_answer", [DEFERRED, FAILED])
def test_an_answer_of_a_lost_lease_changes_nothing(database, planned, clock, late_answer):
    """
    A refusal that reaches a worker after its lease does not touch a message the next worker has handed over: what
    that one's server says counts, and nobody is mailed twice.
    """
    _, batch_id, ids = planned
    late = claim(database, batch_id, clock)
    expire_lease(database, batch_id)
    heir = claim(database, batch_id, clock, worker="w2")
    hand_over(database, heir, ids[:1], [], clock)
    hand_over(database, late, [], [(ids[0], late_answer)], clock)
    assert "handed_over" == states(database)[ids[0]]
    hand_over(database, heir, [], [(ids[0], ACCEPTED)], clock)

    assert "accepted" == states(database)[ids[0]]


def test_a_customer_with_another_address_is_not_written_to(database, planned, clock):
    """
    Who has a new address since the freeze is skipped: the gate was never asked about it.
    """
    _, batch_id, ids = planned
    with database.begin() as connection:
        mine = schema.customer.c.email == "p3@customers.example"
        changed = {"email": "p0@customers.example", "address_key": key_of("p0@customers.example")}
        connection.execute(update(schema.customer).where(mine).values(**changed))

    held = claim(database, batch_id, clock)

    assert ids[3] not in held.message_ids
    with database.begin() as connection:
        reason = select(schema.message.c.skip_reason).where(schema.message.c.id == ids[3])
        assert "address_changed" == connection.execute(reason).scalar_one()


def order(database, verb, clock):
    with database.begin() as connection:
        return control.order(connection, "spring-paper", verb, actor="test", now=clock.now())


def settle(database, clock):
    with database.begin() as connection:
        batches.settle_stopped(connection, clock.now())
        return batches.finish_runs(connection, clock.now())


def status(database, run_id):
    with database.begin() as connection:
        return status_of(connection, run_id)


def test_a_cancel_under_way_leaves_nothing_open(database, planned, clock):
    """
    A message that the server puts off after the cancel is not tried again, and the ledger balances.
    """
    run_id, batch_id, ids = planned
    held = claim(database, batch_id, clock)
    hand_over(database, held, ids[:2], [], clock)
    order(database, "cancel", clock)
    hand_over(database, held, [], [(ids[0], DEFERRED), (ids[1], ACCEPTED)], clock)
    close(database, held, clock)

    assert {"cancelled": 4} == status(database, run_id).skipped
    assert status(database, run_id).balanced


@pytest.mark.parametrize("verb", ["cancel", "pause"])
def test_a_worker_lost_while_its_run_was_stopped_is_found(database, planned, clock, verb):
    """
    After the lease, what a lost worker had handed over is unknown, although nobody claims a stopped run's batch.
    """
    run_id, batch_id, ids = planned
    held = claim(database, batch_id, clock)
    hand_over(database, held, ids[:1], [], clock)
    order(database, verb, clock)
    expire_lease(database, batch_id)
    settle(database, clock)

    assert "unknown" == states(database)[ids[0]]
    assert status(database, run_id).balanced
    if verb == "pause":
        order(database, "resume", clock)
        assert tuple(ids[1:]) == claim(database, batch_id, clock).message_ids


def test_a_run_whose_last_batches_close_at_once_still_finishes(database, planned, clock):
    """
    Two workers that do not see each other's last close leave the run to the scheduler, which finishes it.
    """
    run_id, batch_id, ids = planned
    with database.begin() as connection:
        connection.execute(update(schema.batch).values(message_ids=ids[:3]))
        second = insert(schema.batch).values(run_id=run_id, message_ids=ids[3:], not_before=clock.now())
        second_id = connection.execute(second.returning(schema.batch.c.id)).scalar_one()
    helds = [claim(database, each, clock) for each in (batch_id, second_id)]
    for held in helds:
        hand_over(database, held, held.message_ids, [], clock)
        hand_over(database, held, [], [(i, ACCEPTED) for i in held.message_ids], clock)
    with database.begin() as one, database.begin() as other:
        batches.close(one, helds[0], clock.now())
        batches.close(other, helds[1], clock.now())

    assert "running" == status(database, run_id).state
    assert [run_id] == settle(database, clock)
    assert "finished" == status(database, run_id).state


def test_a_run_paused_in_its_last_window_finishes_when_resumed(database, planned, clock):
    """
    Everything answered while the run was paused is recorded: resuming it finishes it (S-8.11).
    """
    run_id, batch_id, ids = planned
    held = claim(database, batch_id, clock)
    hand_over(database, held, ids, [], clock)
    order(database, "pause", clock)
    hand_over(database, held, [], [(i, ACCEPTED) for i in ids], clock)
    close(database, held, clock)
    order(database, "resume", clock)

    assert "finished" == status(database, run_id).state


def test_cancel_and_claim_do_not_lock_each_other_out(database, planned, clock):
    """
    A cancel that meets a claim waits or goes first; neither is broken off as a deadlock.
    """
    run_id, batch_id, _ = planned
    with database.begin() as claiming:
        ledger.claim(claiming, batch_id, worker="w1", lease=LEASE, policy=Policy(), now=clock.now())
        order(database, "cancel", clock)

    assert "cancelled" == status(database, run_id).state


def test_what_is_past_its_validity_is_skipped(database, planned, clock):
    """
    A batch claimed after the run's valid_until skips its messages as expired.
    """
    _, batch_id, _ = planned
    with database.begin() as connection:
        connection.execute(update(schema.run).values(valid_until=clock.now() - timedelta(seconds=1)))

    assert () == claim(database, batch_id, clock).message_ids
    assert {"skipped"} == set(states(database).values())


def test_deferred_message_is_looked_at_as_soon_as_it_has_expired(database, planned, clock):
    """
    What would be tried again after its time only is due then, so that its run can end.
    """
    run_id, batch_id, ids = planned
    valid_until = clock.now() + timedelta(seconds=20)
    with database.begin() as connection:
        connection.execute(update(schema.run).values(valid_until=valid_until))
    held = claim(database, batch_id, clock)
    hand_over(database, held, ids, [], clock)
    hand_over(database, held, [], [(ids[0], DEFERRED), *((i, ACCEPTED) for i in ids[1:])], clock)
    close(database, held, clock)
    clock.step(timedelta(seconds=21))

    [(again, _)] = told(database, clock)
    late = claim(database, again, clock)
    assert () == late.message_ids
    close(database, late, clock)
    assert ("finished", {"expired": 1}) == (status(database, run_id).state, status(database, run_id).skipped)


def test_batches_are_told_in_the_order_in_which_they_became_due(database, planned, clock):
    """
    One that was put off comes behind what is due since, and in front of what becomes due later.
    """
    run_id, put_off, ids = planned
    with database.begin() as connection:
        others = [
            connection.execute(
                insert(schema.batch).values(run_id=run_id, message_ids=ids[:1], not_before=clock.now() + later)
                .returning(schema.batch.c.id)
            ).scalar_one()
            for later in (timedelta(seconds=60), timedelta(seconds=20), timedelta(seconds=90))
        ]  # fmt: skip
        later = clock.now() + timedelta(seconds=30)
        connection.execute(update(schema.batch).where(schema.batch.c.id == put_off).values(not_before=later))
    clock.step(timedelta(seconds=60))

    assert [others[1], put_off] == [batch_id for batch_id, _ in told(database, clock, most=2)]
    assert [others[0]] == [batch_id for batch_id, _ in told(database, clock)]


def test_endless_deferral_fails_in_the_end(database, planned, clock):
    """
    A message that the server puts off again and again is given up after the last wait.
    """
    _, batch_id, ids = planned
    with database.begin() as connection:
        connection.execute(update(schema.message).values(attempt_count=len(RETRY_WAITS)))
    held = claim(database, batch_id, clock)
    hand_over(database, held, ids, [], clock)
    hand_over(database, held, [], [(i, DEFERRED) for i in ids], clock)
    close(database, held, clock)

    assert {"failed"} == set(states(database).values())


def test_due_batches_are_told_once_and_again_later(database, planned, clock):
    """
    A due batch is told once, and again only when nobody took it for a while.
    """
    _, batch_id, _ = planned

    def due(again):
        with database.begin() as connection:
            return batches.due_batches(connection, now=clock.now(), again_after=again)

    assert [(batch_id, "bulk")] == due(timedelta(minutes=1))
    assert [] == due(timedelta(minutes=1))
    assert [(batch_id, "bulk")] == due(timedelta(0))
    claim(database, batch_id, clock)
    assert [] == due(timedelta(0))
    expire_lease(database, batch_id)
    assert [(batch_id, "bulk")] == due(timedelta(0))


def test_one_message_per_address_is_kept_by_the_database(database, planned, clock):
    """
    A second message to the same address in the same campaign, step and occurrence is refused by PostgreSQL.
    """
    from sqlalchemy.exc import IntegrityError

    run_id, _, _ = planned
    with database.begin() as connection:
        twin = make_customer(connection, email="P0@customers.example")

    with pytest.raises(IntegrityError, match="uq_message_address"), database.begin() as connection:
        make_message(connection, run_id, twin, state="planned")


def test_every_state_has_its_transitions():
    """
    The transition table names every state, and no open state is a dead end.
    """
    assert set(State) == set(TRANSITIONS)
    assert all(TRANSITIONS[state] for state in OPEN)


def test_what_a_lost_workers_server_put_off_still_waits(database, planned, clock):
    """
    A message deferred by the answer to a worker that was lost before it closed its batch is not tried at once by the
    next worker: it waits in a batch of its own.
    """
    _, batch_id, ids = planned
    held = claim(database, batch_id, clock)
    hand_over(database, held, ids[:1], [], clock)
    hand_over(database, held, [], [(ids[0], DEFERRED)], clock)
    expire_lease(database, batch_id)
    heir = claim(database, batch_id, clock, worker="w2")
    close(database, heir, clock)

    assert tuple(ids[1:]) == heir.message_ids
    with database.begin() as connection:
        waits = select(schema.batch.c.message_ids, schema.batch.c.not_before).order_by(schema.batch.c.id)
        found = [(row.message_ids, row.not_before) for row in connection.execute(waits)]
    (back, at_once), (put_off, later) = found
    assert (ids[1:], clock.now(), [ids[0]]) == (back, at_once, put_off)
    assert 0.9 <= (later - clock.now()) / RETRY_WAITS[0] <= 1.1


def test_an_answer_reported_twice_is_one_attempt(database, planned, clock):
    """
    When the database went away in the middle of it, a worker repeats its report: a refused envelope counts once.
    """
    _, batch_id, ids = planned
    held = claim(database, batch_id, clock)
    for _ in range(2):
        hand_over(database, held, [], [(ids[0], DEFERRED), (ids[1], FAILED)], clock)

    with database.begin() as connection:
        tried = select(schema.attempt.c.message_id, schema.attempt.c.number).order_by(schema.attempt.c.message_id)
        assert [(ids[0], 1), (ids[1], 1)] == [tuple(row) for row in connection.execute(tried)]


def test_content_is_kept_until_its_message_is_settled(database, planned, clock):
    """
    The bytes of a deferred message are kept, those of an accepted one are not, and they go with its last answer.
    """
    _, batch_id, ids = planned

    def kept():
        with database.begin() as connection:
            return list(connection.execute(select(schema.kept_content.c.message_id)).scalars())

    held = claim(database, batch_id, clock)
    hand_over(database, held, ids, [], clock)
    hand_over(database, held, [], [(ids[0], DEFERRED), *((i, ACCEPTED) for i in ids[1:])], clock)
    close(database, held, clock)
    assert [ids[0]] == kept()

    clock.step(timedelta(minutes=6))
    with database.begin() as connection:
        again = connection.execute(select(schema.batch.c.id).where(schema.batch.c.state == "ready")).scalar_one()
    second = claim(database, again, clock)
    hand_over(database, second, ids[:1], [], clock)
    hand_over(database, second, [], [(ids[0], ACCEPTED)], clock)
    close(database, second, clock)

    assert [] == kept()
