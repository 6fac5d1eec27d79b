"""A staged roll-out: cut fairly, held back, watched, gone on with, and stopped."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import func, insert, select, update

from campaigns import batches, control, ledger, recurring, refusals, rollout
from campaigns.holds import Hold, put_off
from campaigns.rollout_file import Rollout, bounds, heads
from campaigns.status import status_of
from core import schema
from core.fresh_settings import FreshWorkspace
from core.workspace import Workspace
from suppression.policy import Policy
from tests.campaign_files import FILES, campaign_file
from tests.factories import make_attempt, make_customer
from tests.integration.test_campaigns_plan import apply_of, plan_of
from workers.duty_rounds import DutyRounds
from workers.scheduler import Ticks

WATCH = timedelta(minutes=30)
PEOPLE = 200
ROLLOUT = "{stages: [10%, 30%], watch: 30m, stop_at: {hard_bounces: 5%, complaints: 1%, blocks: 10%}}"


@pytest.fixture
def staged(make_workspace, database, clock):
    """
    A run over 200 people in stages of 20, 40 and 140; gives its id. Keywords replace lines of the campaign file.
    """

    def build(zones=("UTC",), **changes):
        with database.begin() as connection:
            for number in range(PEOPLE):
                make_customer(connection, consents=("promotions",), zone=zones[number % len(zones)])
        files = FILES | {"campaigns/spring-paper.yaml": campaign_file(rollout=ROLLOUT, **changes)}
        workspace = make_workspace(database=database, files=files)
        (started,) = apply_of(workspace, database, clock, plan_of(workspace, database, clock))
        return started.run_id

    return build


def stages(database):
    """Message ids by stage."""
    with database.begin() as connection:
        rows = connection.execute(select(schema.batch.c.stage, schema.batch.c.message_ids))
        found = {}
        for stage, ids in rows:
            found.setdefault(stage, []).extend(ids)
        return found


def run_of(database, run_id):
    with database.begin() as connection:
        return connection.execute(select(schema.run).where(schema.run.c.id == run_id)).mappings().one()


def serve(database, clock, outcomes=()):
    """Every batch that is due is claimed, answered with the given bounce classes first (else accepted), and closed."""
    outcomes = list(outcomes)
    while True:
        with database.begin() as connection:
            due = batches.due_batches(connection, now=clock.now(), again_after=None)
            if not due:
                return
            for batch_id, _ in due:
                held = ledger.claim(
                    connection, batch_id, worker="w1", lease=timedelta(minutes=1), policy=Policy(), now=clock.now()
                )
                for message_id in held.message_ids:
                    kind = outcomes.pop() if outcomes else None
                    answer(connection, message_id, kind, clock.now())
                batches.close(connection, held, clock.now())


def answer(connection, message_id, kind, at):
    state = {None: "accepted", "complained": "complained", "block": "deferred"}.get(kind, "failed")
    values = {"state": state, "attempt_count": 1, "state_at": at, "accepted_at": at if state == "accepted" else None}
    connection.execute(update(schema.message).where(schema.message.c.id == message_id).values(**values))
    kind = None if kind == "complained" else kind
    said = {} if kind == "hard" else {"enhanced": None, "reply": "no"}
    make_attempt(connection, message_id, outcome=state, bounce_class=kind, answered_at=at, **said)


def advance(database, clock):
    with database.begin() as connection:
        return rollout.advance(connection, clock.now())


def accepted(database, run_id):
    with database.begin() as connection:
        return status_of(connection, run_id).states["accepted"]


@pytest.mark.parametrize(
    ("shares", "people", "expected"),
    [
        ((0.01, 0.1), 1000, (10, 90, 900)),
        ((0.1,), 30, (3, 27)),  # not 4: 0.1 × 30 is more than 3 in binary
        ((0.01, 0.1), 5, (1, 4)),
        ((0.5,), 1, (1,)),
        ((0.01,), 0, (0,)),
        ((0.001, 0.999), 3, (1, 2)),
    ],
)
def test_heads_of_stages_are_whole_people(shares, people, expected):
    """
    Shares are rounded up, a stage that reaches nobody new is left out, and everybody is in one stage.
    """
    assert expected == heads(shares, people)
    assert len(expected) - 1 == len(bounds(shares, people))


def test_a_plan_tells_the_stages(make_workspace, database, clock):
    """
    The plan gives the head count of each stage before anything is frozen.
    """
    with database.begin() as connection:
        for _ in range(20):
            make_customer(connection, consents=("promotions",))
    files = FILES | {"campaigns/spring-paper.yaml": campaign_file(rollout=ROLLOUT)}
    plan = plan_of(make_workspace(database=database, files=files), database, clock)

    assert (2, 4, 14) == plan.campaigns[0].rollout


def test_the_audience_is_cut_into_fair_stages(staged, database):
    """
    Everybody is in one stage, each has its share of heads, and none is a stretch of the oldest customers.
    """
    staged()
    found = stages(database)

    assert {0: 20, 1: 40, 2: 140} == {stage: len(ids) for stage, ids in found.items()}
    everybody = sorted(found[0] + found[1] + found[2])
    assert PEOPLE == len(set(everybody))
    middle = everybody[PEOPLE // 2]
    assert 2 < sum(message_id < middle for message_id in found[0]) < 18


def test_stages_go_one_after_the_other(staged, database, clock):
    """
    A stage begins when all of the one before was tried and the watch is over; not a second sooner.
    """
    run_id = staged()
    serve(database, clock)
    assert (20, []) == (accepted(database, run_id), advance(database, clock))

    clock.step(WATCH - timedelta(seconds=1))
    assert [] == advance(database, clock)
    clock.step(timedelta(seconds=1))
    assert [run_id] == advance(database, clock)
    serve(database, clock)
    assert (60, 1) == (accepted(database, run_id), run_of(database, run_id)["stage"])

    advance(database, clock)
    clock.step(WATCH)
    assert [run_id] == advance(database, clock)
    serve(database, clock)
    assert (PEOPLE, "finished") == (accepted(database, run_id), run_of(database, run_id)["state"])
    assert [] == advance(database, clock)


def test_a_stage_waits_for_its_last_message(staged, database, clock):
    """
    While a batch of the stage was not tried, the stage is not over, however long it takes.
    """
    run_id = staged()
    with database.begin() as connection:
        first = connection.execute(select(schema.batch).where(schema.batch.c.stage == 0)).mappings().one()
        ids = first["message_ids"]
        later = {"run_id": run_id, "stage": 0, "message_ids": ids[:1], "not_before": clock.now() + timedelta(hours=2)}
        connection.execute(insert(schema.batch).values(**later))
        mine = schema.batch.c.id == first["id"]
        connection.execute(update(schema.batch).where(mine).values(message_ids=ids[1:]))
    serve(database, clock)
    for _ in range(2):
        clock.step(WATCH)
        assert [] == advance(database, clock)

    clock.step(timedelta(hours=1))
    serve(database, clock)
    advance(database, clock)
    clock.step(WATCH)
    assert [run_id] == advance(database, clock)


def test_messages_put_off_do_not_hold_up_the_next_stage(staged, database, clock):
    """
    A server that says "later" to one message of a stage does not hold up everybody else for days.
    """
    run_id = staged()
    serve(database, clock, ["block"])
    advance(database, clock)
    clock.step(WATCH)
    serve(database, clock)

    assert [run_id] == advance(database, clock)


@pytest.mark.parametrize(("reason", "goes_on"), [("frequency_cap", True), ("open_case", True), ("quiet_hours", False)])
def test_a_stage_waits_for_those_who_sleep_and_for_nobody_else_who_is_held(staged, database, clock, reason, goes_on):
    """
    Whom a cap or a case holds does not hold up the others; while a stage sleeps nobody goes on to the next.
    """
    run_id = staged()
    with database.begin() as connection:
        ((batch_id, _),) = batches.due_batches(connection, now=clock.now(), again_after=None)
        given = {"worker": "w1", "lease": timedelta(minutes=1), "policy": Policy(), "now": clock.now()}
        held = ledger.claim(connection, batch_id, **given)
        later = [Hold(id_, reason, clock.now() + timedelta(days=2)) for id_ in held.message_ids[:5]]
        put_off(connection, held, later, clock.now())
        for message_id in held.message_ids[5:]:
            answer(connection, message_id, None, clock.now())
        batches.close(connection, held, clock.now())
    advance(database, clock)
    clock.step(WATCH)

    assert ([run_id] if goes_on else []) == advance(database, clock)
    with database.begin() as connection:
        assert ({reason: 5}, ()) == (status_of(connection, run_id).held, status_of(connection, run_id).broken)


@pytest.mark.parametrize(
    ("kinds", "told"),
    [
        (["hard", "hard"], "hard bounces 10.00% (stop_at 5.00%; 2 messages)"),
        (["block"] * 3, "blocks 15.00% (stop_at 10.00%; 3 messages)"),
        (["complained"] * 2, "complaints 10.00% (stop_at 1.00%; 2 messages)"),
    ],
)
def test_a_stage_that_goes_wrong_stops_the_run(staged, database, clock, kinds, told):
    """
    Above a limit the run is paused with figures, nobody else is written to, and resuming it goes on knowingly.
    """
    run_id = staged()
    serve(database, clock, kinds)

    assert [run_id] == advance(database, clock)
    stopped = run_of(database, run_id)
    assert ("paused", 0) == (stopped["state"], stopped["stage"])
    assert f"stopped by its roll-out (stage 1 of 3, 20 messages answered): {told}" == stopped["fault"]
    assert [] == advance(database, clock)

    with database.begin() as connection:
        control.order(connection, "spring-paper", "resume", actor="ann", now=clock.now())
    assert run_of(database, run_id)["fault"] is None
    assert [] == advance(database, clock)
    clock.step(WATCH)
    assert [run_id] == advance(database, clock)
    assert ("running", 1) == (run_of(database, run_id)["state"], run_of(database, run_id)["stage"])


@pytest.mark.parametrize("kinds", [["hard"], ["block"] * 2, ["complained"], ["message_fault"] * 9, ["soft"] * 9])
def test_what_stays_within_its_limit_stops_nothing(staged, database, clock, kinds):
    """
    A share exactly at its limit, a single message whatever its share, and classes without a limit let the run go on.
    """
    run_id = staged()
    serve(database, clock, kinds)
    advance(database, clock)
    clock.step(WATCH)

    assert [run_id] == advance(database, clock)
    assert "running" == run_of(database, run_id)["state"]


def test_refusals_that_are_taken_for_an_outage_stop_the_run(staged, database, clock):
    """
    A domain that is held for its hard refusals does not take them out of the limit: the run stops, with all of them.
    """
    run_id = staged()
    serve(database, clock, ["hard"] * 3)
    with database.begin() as connection:
        tally = {"domain": "customers.example", "minute": clock.now(), "attempt_count": 50, "hard_count": 3}
        connection.execute(insert(schema.domain_tally).values(**tally))
        failed = connection.execute(select(schema.message.c.id).where(schema.message.c.state == "failed")).scalars()
        fault = refusals.settle(
            connection, SimpleNamespace(run_id=run_id, campaign="spring-paper"), list(failed), clock.now()
        )
        classes = connection.execute(select(schema.attempt.c.bounce_class).distinct()).scalars()
        assert (True, {None, "soft"}) == ("customers.example is held" in str(fault), set(classes))

    assert [run_id] == advance(database, clock)
    assert "hard bounces 15.00% (stop_at 5.00%; 3 messages)" in run_of(database, run_id)["fault"]


def test_what_comes_back_during_the_watch_stops_the_run(staged, database, clock):
    """
    Complaints take minutes: those that arrive while the stage is watched count.
    """
    run_id = staged()
    serve(database, clock)
    advance(database, clock)
    clock.step(timedelta(minutes=10))
    with database.begin() as connection:
        some = select(schema.message.c.id).where(schema.message.c.state == "accepted").limit(2)
        connection.execute(
            update(schema.message).where(schema.message.c.id.in_(some.scalar_subquery())).values(state="complained")
        )
    clock.step(timedelta(minutes=20))

    assert [run_id] == advance(database, clock)
    assert "paused" == run_of(database, run_id)["state"]


def test_a_paused_run_stays_in_its_stage(staged, database, clock):
    """
    While somebody holds the run nothing is moved on behind their back.
    """
    run_id = staged()
    serve(database, clock)
    advance(database, clock)
    with database.begin() as connection:
        control.order(connection, "spring-paper", "pause", actor="ann", now=clock.now())
    clock.step(WATCH)

    assert ([], 0) == (advance(database, clock), run_of(database, run_id)["stage"])


def test_the_status_tells_the_stage(staged, database, clock):
    """
    Which stage of how many the run is in, and when the next one may begin.
    """
    run_id = staged()
    serve(database, clock)
    advance(database, clock)
    with database.begin() as connection:
        document = status_of(connection, run_id).document()

    assert (1, 3, clock.now() + WATCH, True) == tuple(
        document[name] for name in ("stage", "stages", "next_stage_at", "balanced")
    )


def test_a_campaign_without_roll_out_has_one_stage(make_workspace, database, clock):
    """
    Everybody at once, as before; the status does not speak of stages.
    """
    with database.begin() as connection:
        make_customer(connection, consents=("promotions",))
    workspace = make_workspace(database=database, files=FILES)
    (started,) = apply_of(workspace, database, clock, plan_of(workspace, database, clock))
    with database.begin() as connection:
        document = status_of(connection, started.run_id).document()

    assert (None, None, None) == tuple(document[name] for name in ("stage", "stages", "next_stage_at"))


def test_everybody_keeps_their_own_hour(staged, database, clock):
    """
    In the recipients' own zones a later stage waits for the next day where their hour is long past, goes at once where
    it has just been, and stays valid as long as the campaign says.
    """
    run_id = staged(
        zones=("Asia/Tokyo", "Europe/London", "America/Los_Angeles"),
        schedule="{at: 2026-03-03T09:00, zone: recipient}",
        limits="{valid_for: 6h}",
    )
    valid_until = run_of(database, run_id)["valid_until"]
    for _ in range(60):  # the hours of all three zones, which are 17 apart
        clock.step(timedelta(hours=1))
        serve(database, clock)
        advance(database, clock)
        if run_of(database, run_id)["stage"] == 1:
            break
    now = clock.now()
    with database.begin() as connection:
        rows = connection.execute(
            select(schema.customer.c.zone, schema.message.c.not_before, schema.batch.c.not_before)
            .join(schema.message, schema.message.c.customer_id == schema.customer.c.id)
            .join(schema.batch, schema.message.c.id == func.any(schema.batch.c.message_ids))
            .where(schema.batch.c.stage == 1)
            .distinct()
        ).all()

    assert {"Asia/Tokyo": True, "Europe/London": True, "America/Los_Angeles": False} == {
        zone: not_before > now for zone, not_before, _ in rows
    }
    assert all(message_time == batch_time for _, message_time, batch_time in rows)
    assert {"Asia/Tokyo": 0, "Europe/London": 9, "America/Los_Angeles": 17} == {
        zone: not_before.hour for zone, not_before, _ in rows
    }
    assert max(not_before for _, not_before, _ in rows) + timedelta(hours=6) == run_of(database, run_id)["valid_until"]
    assert valid_until < run_of(database, run_id)["valid_until"]


def test_each_occurrence_of_a_recurring_campaign_is_staged(make_workspace, database, clock):
    """
    A tick of the scheduler starts a staged run, and later ticks move it on.
    """
    with database.begin() as connection:
        for _ in range(20):
            make_customer(connection, consents=("promotions",))
    text = campaign_file(rollout=ROLLOUT, schedule='{cron: "0 13 * * *"}').replace("broadcast", "recurring")
    workspace = make_workspace(database=database, files=FILES | {"campaigns/spring-paper.yaml": text})
    apply_of(workspace, database, clock, plan_of(workspace, database, clock))
    ticks = Ticks(database, None, clock)
    clock.step(timedelta(hours=1))
    assert 1 == DutyRounds(database, FreshWorkspace(workspace), clock, recurring.DUTIES).work()

    assert {0: 2, 1: 4, 2: 14} == {stage: len(ids) for stage, ids in stages(database).items()}
    with database.begin() as connection:
        run_id = connection.execute(select(schema.run.c.id)).scalar_one()
    serve(database, clock)
    ticks.settle()
    clock.step(WATCH)
    ticks.settle()
    assert 1 == run_of(database, run_id)["stage"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"rollout": "{stages: []}"}, "at least 1"),
        ({"rollout": "{stages: [10%, 1%]}"}, "grow from stage to stage"),
        ({"rollout": "{stages: [100%]}"}, "below 1"),
        ({"rollout": "{stages: [10%], stop_at: {opens: 1%}}"}, "opens"),
        ({"rollout": "{stages: [1%, 10%], watch: 1d}", "limits": "{valid_for: 2d}"}, "limits.valid_for is 2d"),
    ],
)
def test_a_roll_out_that_cannot_be_meant_is_refused(make_workspace, changes, told):
    """
    Stages that do not grow, an unknown limit, a last stage that would always be expired: told at validation.
    """
    from campaigns.catalogue import examine

    files = FILES | {"campaigns/spring-paper.yaml": campaign_file(**changes)}
    _, problems = examine(Workspace(make_workspace(files=files).root))

    assert any(told in str(problem) for problem in problems), problems


def test_a_roll_out_is_read_back_as_it_was_stored():
    """
    The version of a run keeps shares, watch and limits.
    """
    given = Rollout.model_validate({"stages": ["1%", "10%"], "watch": "2h", "stop_at": {"blocks": "1%"}})

    assert given == Rollout.model_validate(given.model_dump(mode="json", exclude_defaults=True))


def test_a_stage_of_which_nobody_was_reached_guards_the_next(staged, database, clock):
    """
    While a cap holds everybody of the first stage nobody learns how it goes: the run stays in it.
    """
    run_id = staged()
    with database.begin() as connection:
        (batch_id,) = [id_ for id_, _ in batches.due_batches(connection, now=clock.now(), again_after=None)]
        held = ledger.claim(
            connection, batch_id, worker="w", lease=timedelta(minutes=1), policy=Policy(), now=clock.now()
        )
        everybody = [Hold(id_, "frequency_cap", clock.now() + timedelta(days=2)) for id_ in held.message_ids]
        put_off(connection, held, everybody, clock.now())
    for _ in range(2):
        with database.begin() as connection:
            rollout.advance(connection, clock.now())
        clock.step(WATCH)

    assert (0, None) == (run_of(database, run_id)["stage"], run_of(database, run_id)["stage_ended_at"])
