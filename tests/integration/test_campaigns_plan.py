"""Plan and apply: heads counted before anything happens, and exactly that carried out."""

from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from sqlalchemy import delete, func, select, update

from campaigns import catalogue as files
from campaigns import control
from campaigns.plan import from_file, make_plan, to_file
from campaigns.runs import RUN, apply_reviewed, start_occurrence
from campaigns.stages import TELL, Stage
from campaigns.status import status_of
from core import schema
from core.errors import PlanError, StalePlan
from suppression.policy import Policy
from tests.campaign_files import FILES, campaign_file
from tests.factories import make_customer, make_suppression


@pytest.fixture
def office(make_workspace, database):
    """
    A workspace and its customers: two who agreed, one who did not, one without address, one opted out, and one who
    shares the first one's address.
    """
    with database.begin() as connection:
        make_customer(connection, external_id="ann", email="ann@firm.example", consents=("promotions",))
        make_customer(connection, external_id="ben", email="ben@firm.example", consents=("promotions",))
        make_customer(connection, external_id="cat", email="cat@firm.example")
        make_customer(connection, external_id="dan", email=None, consents=("promotions",))
        make_customer(connection, external_id="eve", email="eve@firm.example", consents=("promotions",))
        make_customer(connection, external_id="ann-again", email="ANN@firm.example", consents=("promotions",))
        make_suppression(connection, "eve@firm.example", scope="topic", scope_name="promotions", reason="unsubscribed")
    return make_workspace(database=database, files=FILES)


def plan_of(workspace, database, clock, *names):
    with database.begin() as connection:
        return make_plan(connection, files.load(workspace), names, clock.now())


def apply_of(workspace, database, clock, plan):
    with database.begin() as connection:
        return apply_reviewed(connection, files.load(workspace), from_file(to_file(plan)), clock.now())


def ledger(database):
    with database.begin() as connection:
        rows = connection.execute(
            select(schema.customer.c.external_id, schema.message.c.state, schema.message.c.skip_reason)
            .join(schema.customer, schema.customer.c.id == schema.message.c.customer_id)
            .order_by(schema.message.c.run_id, schema.customer.c.id)
        )
        return {(row.external_id, row.state, row.skip_reason) for row in rows}


def test_plan_counts_everybody_by_reason_and_writes_nothing(office, database, clock):
    """
    Every person of the segment is either would_send or under one skip reason, and no table has a new row.
    """
    counts = plan_of(office, database, clock).campaigns[0].counts

    assert (6, 2) == (counts.audience, counts.would_send)
    assert {"no_address": 1, "not_consented": 1, "suppressed:unsubscribed": 1, "duplicate_address": 1} == counts.skipped
    with database.begin() as connection:
        assert 0 == connection.execute(select(func.count()).select_from(schema.campaign_version)).scalar_one()


def test_apply_freezes_exactly_what_was_planned(office, database, clock):
    """
    The ledger holds the planned people with the planned reasons, its audience equals its rows, and it balances.
    """
    (started,) = apply_of(office, database, clock, plan_of(office, database, clock))

    assert {
        ("ann", "planned", None),
        ("ben", "planned", None),
        ("cat", "skipped", "not_consented"),
        ("dan", "skipped", "no_address"),
        ("eve", "skipped", "suppressed:unsubscribed"),
        ("ann-again", "skipped", "duplicate_address"),
    } == ledger(database)
    with database.begin() as connection:
        status = status_of(connection, started.run_id)
    assert status.balanced
    assert 6 == status.audience


def test_applying_again_does_nothing(office, database, clock):
    """
    The same plan applied twice starts one run, and a new plan has nothing pending.
    """
    plan = plan_of(office, database, clock)
    apply_of(office, database, clock, plan)

    assert [] == apply_of(office, database, clock, plan)
    assert () == plan_of(office, database, clock).pending
    assert {"already_messaged": 3} == {  # three customers, two addresses
        reason: number
        for reason, number in plan_of(office, database, clock).campaigns[0].counts.skipped.items()
        if reason == "already_messaged"
    }


def test_late_joiners_are_a_plan_of_their_own(office, database, clock):
    """
    Who joins the segment after the run is planned alone; nobody else is written to again.
    """
    apply_of(office, database, clock, plan_of(office, database, clock))
    with database.begin() as connection:
        make_customer(connection, external_id="fay", email="fay@firm.example", consents=("promotions",))

    plan = plan_of(office, database, clock)
    apply_of(office, database, clock, plan)

    assert 1 == plan.campaigns[0].counts.would_send
    assert {"ann", "ben", "fay"} == {name for name, state, _ in ledger(database) if state == "planned"}


@pytest.mark.parametrize("change", ["opt-out", "newcomer", "gone"])
def test_a_plan_that_is_no_longer_true_is_refused(office, database, clock, change):
    """
    When people or permissions changed since the plan, apply refuses and nothing is in the ledger.
    """
    plan = plan_of(office, database, clock)
    with database.begin() as connection:
        if change == "opt-out":
            make_suppression(connection, "ben@firm.example")
        elif change == "newcomer":
            make_customer(connection, consents=("promotions",))
        else:
            connection.execute(delete(schema.customer).where(schema.customer.c.external_id == "ben"))

    with pytest.raises(StalePlan, match="the audience changed"):
        apply_of(office, database, clock, plan)
    assert set() == ledger(database)


def test_a_plan_for_other_files_is_refused(office, database, clock):
    """
    When the template changed since the plan, apply refuses.
    """
    plan = plan_of(office, database, clock)
    template = office.root / "templates/spring-paper.html"
    template.write_text(template.read_text() + "<!-- more -->", encoding="utf-8")

    with pytest.raises(StalePlan, match="its files changed"):
        apply_of(office, database, clock, plan)


def test_an_audience_above_the_limit_is_refused(office, database, clock):
    """
    More people than limits.max_audience is an error that says both numbers.
    """
    (office.root / "campaigns/spring-paper.yaml").write_text(campaign_file(limits="{max_audience: 1}"))

    with pytest.raises(PlanError, match=r"2 people .* \(expected at most 1\)"):
        plan_of(office, database, clock)


def test_every_audience_above_its_limit_is_told_at_once(office, database, clock):
    """
    One refusal names all campaigns that are too large, and who asks gets the plan of the others.
    """
    for name in ("autumn-paper", "winter-paper"):
        (office.root / f"campaigns/{name}.yaml").write_text(
            campaign_file(limits="{max_audience: 1, piece_memory: none}")
        )

    with pytest.raises(PlanError, match=r"autumn-paper: 2 people .*\n.*winter-paper: 2 people") as told:
        plan_of(office, database, clock)
    refused = []
    with database.begin() as connection:
        plan = make_plan(connection, files.load(office), (), clock.now(), refused)

    assert 1 == str(told.value).count("hint:")
    assert (["spring-paper"], 2) == ([item.campaign for item in plan.campaigns], len(refused))


def test_a_roll_out_to_nobody_has_no_stages(office, database, clock):
    """
    When everybody has their message or waits for it, the plan tells no stage of 0 people.
    """
    (office.root / "campaigns/spring-paper.yaml").write_text(campaign_file(rollout="{stages: [10%]}"))
    first = plan_of(office, database, clock)
    apply_of(office, database, clock, first)

    assert ((1, 1), ()) == (first.campaigns[0].rollout, plan_of(office, database, clock).campaigns[0].rollout)


def test_excluded_segments_are_not_in_the_audience(office, database, clock):
    """
    Members of an excluded segment are no part of the audience at all.
    """
    (office.root / "segments/firm-a.yaml").write_text('where: external_id == "ann"\n')
    (office.root / "campaigns/spring-paper.yaml").write_text(
        campaign_file(audience="{segment: everybody, exclude: [firm-a]}")
    )

    counts = plan_of(office, database, clock).campaigns[0].counts

    assert (5, 2) == (counts.audience, counts.would_send)


def test_recipients_wait_for_their_own_local_time(office, database, clock):
    """
    With `zone: recipient` each message waits for the wall time in its recipient's zone, or at once where it has passed.
    """
    (office.root / "campaigns/spring-paper.yaml").write_text(
        campaign_file(schedule="{at: 2026-03-03T09:00, zone: recipient}")
    )
    with database.begin() as connection:
        for name, zone in (("ann", "Asia/Shanghai"), ("ben", "no/where")):
            connection.execute(update(schema.customer).where(schema.customer.c.external_id == name).values(zone=zone))
        make_customer(connection, external_id="kim", zone="America/New_York", consents=("promotions",))
    apply_of(office, database, clock, plan_of(office, database, clock))

    with database.begin() as connection:
        rows = connection.execute(
            select(schema.customer.c.external_id, schema.message.c.not_before)
            .join(schema.customer, schema.customer.c.id == schema.message.c.customer_id)
            .where(schema.message.c.state == "planned")
        )
        waits = {row.external_id: row.not_before for row in rows}
        batches = connection.execute(select(func.count()).select_from(schema.batch)).scalar_one()
    assert datetime(2026, 3, 3, 1, 0, tzinfo=UTC) == waits["ann"]
    assert datetime(2026, 3, 3, 9, 0, tzinfo=UTC) == waits["ben"]
    assert datetime(2026, 3, 3, 14, 0, tzinfo=UTC) == waits["kim"]
    assert 3 == batches


def test_a_tick_of_a_recurring_campaign_runs_once(office, database, clock):
    """
    Applying a recurring campaign registers it; one nominal time gives one run, the next another with the same people.
    """
    (office.root / "campaigns/spring-paper.yaml").write_text(
        campaign_file(kind="recurring", schedule='{cron: "0 9 * * mon", zone: Europe/Berlin}')
    )
    apply_of(office, database, clock, plan_of(office, database, clock))
    with database.begin() as connection:
        version_id = connection.execute(select(schema.schedule.c.version_id)).scalar_one()

    runs = []
    for occurrence in ("2026-03-02T08:00Z", "2026-03-02T08:00Z", "2026-03-09T08:00Z"):
        with database.begin() as connection:
            runs.append(start_occurrence(connection, version_id, occurrence, clock.now(), 500, Policy()))

    assert [True, False, True] == [made is not None for made in runs]
    assert 2 == runs[2].counts.would_send
    assert () == plan_of(office, database, clock).pending


def test_cancel_is_final_and_pause_is_not(office, database, clock):
    """
    A paused run resumes; a cancelled one skips what was not handed over and cannot be resumed (S-8.11).
    """
    (started,) = apply_of(office, database, clock, plan_of(office, database, clock))

    def order(verb):
        with database.begin() as connection:
            return control.order(connection, "spring-paper", verb, actor="test", now=clock.now())

    assert [started.run_id] == order("pause") == order("resume") == order("cancel")
    with pytest.raises(PlanError, match="cannot resume"):
        order("resume")
    assert {"cancelled"} == {why for name, _, why in ledger(database) if name in ("ann", "ben")}
    with database.begin() as connection:
        assert status_of(connection, started.run_id).balanced


def test_every_stage_can_be_told_and_run():
    """
    What `plan` tells and what `apply` runs is the same list of stages.
    """
    assert set(get_args(Stage)) == set(TELL) == set(RUN)


def test_a_validity_ends_after_the_last_planned_time(office, database, clock):
    """
    valid_for counts from the time of the last message.
    """
    (office.root / "campaigns/spring-paper.yaml").write_text(campaign_file(limits="{valid_for: 2d}"))
    (started,) = apply_of(office, database, clock, plan_of(office, database, clock))

    with database.begin() as connection:
        until = connection.execute(select(schema.run.c.valid_until).where(schema.run.c.id == started.run_id)).scalar()
    assert clock.now() + timedelta(days=2) == until
