"""What refusals lead to: who is suppressed, which domain is held, which run is paused, and who is left alone."""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, select, update

from campaigns import batches, control, refusals
from campaigns.ledger import Claim
from core import schema
from core.refusal_settings import Outage, Refusals, Repeated
from core.units import parse_duration
from delivery.holds import HeldBy, hold
from delivery.overview import held_by_name
from suppression.gate import skip_reason
from suppression.policy import Policy
from suppression.refused import Refused, lift_refused, suppress_refused
from tests.factories import key_of, make_attempt, make_customer, make_message, make_run, make_suppression

POLICY = Refusals(
    message_faults=3,
    disabled=Repeated(times=2, within=parse_duration("30d")),
    mailbox_full=Repeated(times=3, within=parse_duration("30d")),
    soft=Repeated(times=4, within=parse_duration("30d")),
)


@pytest.fixture
def refuse(database, clock):
    """
    `refuse(n, kind, …)` lets a server refuse messages of one new run to p0, p1, … and settles that; gives the run's
    id and what was told.
    """

    def build(number, kind, *, domain="firm.example", policy=POLICY, state="failed", run_id=None, tally=True, first=0):
        with database.begin() as connection:
            run_id = run_id or make_run(connection, campaign=f"c{clock.now():%Y%m%d%H%M%S}", audience=number)
            ids = [
                refused_message(connection, run_id, f"p{n}@{domain}", kind, state, clock.now())
                for n in range(first, first + number)
            ]
            if tally:
                minute = tallied_at(clock)
                hard = number if kind == "hard" else 0
                counted = {"domain": domain, "minute": minute, "attempt_count": number, "hard_count": hard}
                connection.execute(insert(schema.domain_tally).values(**counted))
        with database.begin() as connection:
            return run_id, refusals.settle(connection, held(connection, run_id), ids, clock.now(), policy)

    return build


def tallied_at(clock):
    """The minute of a tally: by the database's clock, as far on from now as the tests' clock is from its start."""
    return (datetime.now(UTC) + (clock.now() - datetime(2026, 3, 2, 12, tzinfo=UTC))).replace(second=0, microsecond=0)


def refused_message(connection, run_id, email, kind, state, at):
    known = connection.execute(select(schema.customer.c.id).where(schema.customer.c.email == email)).scalar()
    person = known or make_customer(connection, email=email, consents=("promotions",))
    message_id = make_message(connection, run_id, person, state=state, attempt_count=1)
    make_attempt(
        connection, message_id, outcome=state, bounce_class=kind, answered_at=at,
        code=None if kind is None else 550, reply=f"no <{email}> here",
    )  # fmt: skip
    return message_id


def held(connection, run_id):
    run = connection.execute(select(schema.run).where(schema.run.c.id == run_id)).mappings().one()
    return Claim(
        batch_id=1, token=1, run_id=run_id, version_id=run["version_id"], campaign=run["campaign"], topic="promotions",
        message_class="bulk", message_ids=(), lease=timedelta(minutes=1), worker="w1", policy=Policy(),
    )  # fmt: skip


def suppressed(database, clock):
    """The external reason the gate gives for each known address."""
    with database.begin() as connection:
        gate = skip_reason(
            schema.customer.c.id, schema.customer.c.address_key,
            topic="promotions", campaign="x", now=clock.now(), policy=Policy(),
        )  # fmt: skip
        rows = connection.execute(select(schema.customer.c.email, gate.label("reason")))
        return {row.email for row in rows if row.reason == "suppressed:hard_bounce"}


def test_a_hard_refusal_suppresses_its_address(database, clock, refuse):
    """
    Who does not exist gets no more e-mail; the entry says which reply to which message told so, without the address.
    """
    run_id, fault = refuse(2, "hard")

    assert fault is None
    assert {"p0@firm.example", "p1@firm.example"} == suppressed(database, clock)
    with database.begin() as connection:
        entry = connection.execute(
            select(schema.suppression).where(schema.suppression.c.address_key == key_of("p0@firm.example"))
        ).mappings().one()  # fmt: skip
    assert ("channel", "email", "smtp", None) == (
        entry["scope"], entry["channel"], entry["source"], entry["expires_at"]
    )  # fmt: skip
    assert (run_id, 550, "no <…@firm.example> here") == tuple(
        entry["evidence"][name] for name in ("run", "code", "reply")
    )


def test_settling_again_changes_nothing(database, clock, refuse):
    """
    The same refusals, settled twice, make one entry an address.
    """
    run_id, _ = refuse(2, "hard")
    with database.begin() as connection:
        ids = list(connection.execute(select(schema.message.c.id)).scalars())
        refusals.settle(connection, held(connection, run_id), ids, clock.now(), POLICY)

    with database.begin() as connection:
        assert 2 == len(connection.execute(select(schema.suppression)).all())


@pytest.mark.parametrize("kind", ["block", "message_fault", "unsupported", "soft", None])
def test_only_the_address_itself_can_be_suppressed(database, clock, refuse, kind):
    """
    A block, a fault of the message, an unsupported address, a single soft refusal: nobody is suppressed (S-1.42).
    """
    refuse(2, kind)

    assert set() == suppressed(database, clock)


@pytest.mark.parametrize(("kind", "times"), [("disabled", 2), ("mailbox_full", 3), ("soft", 4)])
def test_repetition_suppresses_at_its_own_number(database, clock, refuse, kind, times):
    """
    Each cause has a counter of its own, and the entry is made by the message that reaches it (S-1.41).
    """
    for other in ("disabled", "mailbox_full", "soft"):
        if other != kind:
            refuse(1, other)
            clock.step(timedelta(days=1))
    for _ in range(times - 1):
        refuse(1, kind)
        clock.step(timedelta(days=1))

    assert set() == suppressed(database, clock)
    refuse(1, kind)
    assert {"p0@firm.example"} == suppressed(database, clock)

    clock.step(timedelta(days=31))
    assert ({"p0@firm.example"} if kind == "disabled" else set()) == suppressed(database, clock)


def test_an_accepted_message_starts_the_count_anew(database, clock, refuse):
    """
    Who took a message since is not suppressed for what was before, nor for what is older than the rule's time.
    """
    refuse(1, "mailbox_full")
    clock.step(timedelta(days=31))
    refuse(1, "mailbox_full")
    clock.step(timedelta(days=1))
    refuse(1, "mailbox_full")
    assert set() == suppressed(database, clock)

    clock.step(timedelta(days=1))
    run_id, _ = refuse(1, None, state="deferred")
    with database.begin() as connection:
        connection.execute(
            update(schema.message)
            .where(schema.message.c.run_id == run_id)
            .values(state="accepted", accepted_at=clock.now())
        )
    clock.step(timedelta(days=1))
    refuse(1, "mailbox_full")
    assert set() == suppressed(database, clock)


def test_a_message_that_is_tried_again_counts_for_nothing_yet(database, clock, refuse):
    """
    A deferral is no end: repetition is counted in messages that were given up.
    """
    for _ in range(3):
        refuse(1, "mailbox_full", state="deferred")
        clock.step(timedelta(days=1))

    assert set() == suppressed(database, clock)


def test_faults_of_messages_pause_their_run(database, clock, refuse):
    """
    The run is paused at the number set, says why, and pauses again only after as many new ones once resumed (S-1.42).
    """
    run_id, fault = refuse(2, "message_fault")
    assert (None, "running") == (fault, run_of(database, run_id)["state"])

    _, fault = refuse(1, "message_fault", run_id=run_id, first=2, tally=False)
    assert "paused" == run_of(database, run_id)["state"]
    assert fault == run_of(database, run_id)["fault"]
    assert "3 messages were refused for what they are" in fault

    with database.begin() as connection:
        control.order(connection, run_of(database, run_id)["campaign"], "resume", actor="ann", now=clock.now())
        # this run has no batch: resuming ends it, and the next refusals come from one still under way
        connection.execute(update(schema.run).where(schema.run.c.id == run_id).values(state="running"))
    _, fault = refuse(2, "message_fault", run_id=run_id, first=3, tally=False)
    assert (None, "running") == (fault, run_of(database, run_id)["state"])
    _, fault = refuse(1, "message_fault", run_id=run_id, first=5, tally=False)
    assert "paused" == run_of(database, run_id)["state"]


def test_a_stopped_run_keeps_its_reason(database, clock, refuse):
    """
    A batch that was under way when its run was paused, and went well, does not take back why.
    """
    run_id, fault = refuse(3, "message_fault")
    with database.begin() as connection:
        batch_id = connection.execute(
            insert(schema.batch)
            .values(run_id=run_id, message_ids=[], not_before=clock.now(), state="claimed", claim_count=1)
            .returning(schema.batch.c.id)
        ).scalar_one()
        batches.close(connection, replace(held(connection, run_id), batch_id=batch_id), clock.now())

    assert ("paused", fault) == (run_of(database, run_id)["state"], run_of(database, run_id)["fault"])


def run_of(database, run_id):
    with database.begin() as connection:
        return connection.execute(select(schema.run).where(schema.run.c.id == run_id)).mappings().one()


def holds(database):
    with database.begin() as connection:
        return {row.key: row.held_by for row in connection.execute(select(schema.throttle)) if row.held_at}


def test_a_domain_that_is_out_of_order_is_held_and_suppresses_nobody(database, clock, refuse):
    """
    When more than the share of a domain turns hard within minutes it is held, and its refusals before and after that
    suppress nobody; what was suppressed days ago, or by another domain, stays (S-1.43).
    """
    refuse(2, "hard")
    clock.step(timedelta(days=2))
    refuse(1, "hard", domain="other.example")
    refuse(3, "hard", first=10)
    assert 6 == len(suppressed(database, clock))
    clock.step(timedelta(minutes=5))
    with database.begin() as connection:
        delivered = {"domain": "firm.example", "minute": tallied_at(clock), "attempt_count": 40, "hard_count": 0}
        connection.execute(insert(schema.domain_tally).values(**delivered))
    clock.step(timedelta(minutes=5))

    run_id, fault = refuse(7, "hard", first=20)

    assert {"domain:firm.example": "hard_bounces"} == holds(database)
    assert "firm.example is held: it refused 10 of 50 recipients" in fault
    with database.begin() as connection:
        told = held_by_name(connection)["domain firm.example"]
    assert told.startswith("domain firm.example is held until")
    assert ": it refused 10 of 50 recipients" in told
    assert 1 == told.count("firm.example")
    kept = {"p0@firm.example", "p1@firm.example", "p0@other.example"}
    assert kept == suppressed(database, clock)
    with database.begin() as connection:
        classes = connection.execute(
            select(schema.attempt.c.bounce_class)
            .join(schema.message, schema.message.c.id == schema.attempt.c.message_id)
            .where(schema.message.c.run_id == run_id)
        ).scalars()
        assert {"soft"} == set(classes)

    clock.step(timedelta(minutes=1))
    refuse(2, "hard", first=30)  # they were under way when the domain was held
    assert kept == suppressed(database, clock)


@pytest.mark.parametrize(("hard", "others", "held_domains"), [(5, 95, 0), (6, 94, 1), (49, 0, 0), (50, 0, 1)])
def test_an_outage_has_its_bounds(database, clock, refuse, hard, others, held_domains):
    """
    More than 5 % of at least 50 attempts: exactly 5 % is no outage, nor are 49 attempts, all of them hard.
    """
    with database.begin() as connection:
        if others:
            minute = tallied_at(clock) - timedelta(minutes=10)
            counted = {"domain": "firm.example", "minute": minute, "attempt_count": others, "hard_count": 0}
            connection.execute(insert(schema.domain_tally).values(**counted))
    refuse(hard, "hard", policy=Refusals(outage=Outage()))

    assert held_domains == len(holds(database))
    assert (0 if held_domains else hard) == len(suppressed(database, clock))


def test_a_domain_that_was_let_go_is_judged_anew(database, clock, refuse):
    """
    After somebody ends the hold, the old refusals no longer count: new ones suppress again.
    """
    refuse(50, "hard")
    with database.begin() as connection:
        connection.execute(update(schema.throttle).values(held_at=None, held_because=None, held_by=None))
    clock.step(timedelta(minutes=2))
    refuse(1, "hard")

    assert {} == holds(database)
    assert {"p0@firm.example"} == suppressed(database, clock)


def test_an_operators_hold_stays_theirs(database, clock, refuse):
    """
    A domain somebody holds already keeps their word for why, and suppresses nobody either.
    """
    with database.begin() as connection:
        connection.execute(
            insert(schema.throttle).values(key="domain:firm.example", held_at=clock.now(), held_by="operator")
        )
    refuse(50, "hard")

    assert {"domain:firm.example": "operator"} == holds(database)
    assert set() == suppressed(database, clock)


def test_a_domain_held_for_complaints_still_knows_its_people(database, clock, refuse):
    """
    What readers report says nothing about a domain's directory: an address it does not know is suppressed all the same.
    """
    with database.begin() as connection:
        hold(connection, "domain:firm.example", because="spam", by=HeldBy.COMPLAINTS, actor="test")
    refuse(2, "hard")

    assert {"domain:firm.example": "complaints"} == holds(database)
    assert {"p0@firm.example", "p1@firm.example"} == suppressed(database, clock)


def test_a_domain_somebody_else_is_at_does_not_hold_up_an_end(database, clock, refuse):
    """
    Another worker has the domain's throttle at that instant: nobody waits for it while holding others, nobody is
    suppressed meanwhile, and the next refusal holds the domain.
    """
    policy = Refusals(outage=Outage())
    key = {"key": "domain:firm.example"}
    with database.begin() as connection:
        connection.execute(insert(schema.throttle).values(**key))
    told = []
    settling = threading.Thread(target=lambda: told.append(refuse(50, "hard", policy=policy)[1]))
    with database.begin() as connection:
        connection.execute(select(schema.throttle).where(schema.throttle.c.key == key["key"]).with_for_update())
        settling.start()
        settling.join(10)
        assert not settling.is_alive()
    settling.join(10)

    assert [None] == told
    assert set() == suppressed(database, clock)
    _, fault = refuse(1, "hard", policy=policy, first=50, tally=False)
    assert fault.startswith("firm.example is held")
    assert set() == suppressed(database, clock)


@pytest.mark.parametrize("is_lifted", [True, False])
def test_entries_are_changed_in_order_of_their_addresses(database, clock, is_lifted):
    """
    Two workers that change the same addresses' entries wait for the first of them, and never for each other.
    """
    emails = sorted((f"p{n}@firm.example" for n in range(20)), key=key_of, reverse=True)
    evidence = {"domain": "firm.example", "message": 1}
    with database.begin() as connection:
        for email in emails:  # the last address first, as a scan finds them
            make_suppression(
                connection, email, scope="channel", reason="hard_bounce", source="smtp", evidence=evidence,
                created_at=clock.now(), expires_at=clock.now() + timedelta(days=1),
            )  # fmt: skip

    def change():
        with database.begin() as connection:
            for way in ("indexscan", "bitmapscan", "nestloop"):  # which would bring the order by chance
                connection.exec_driver_sql(f"SET LOCAL enable_{way} = off")
            if is_lifted:
                since = clock.now() - timedelta(hours=1)
                lift_refused(connection, "firm.example", since=since, because="up again", now=clock.now())
            else:
                suppress_refused(connection, [Refused(key_of(email), evidence) for email in emails], clock.now())

    changing = threading.Thread(target=change)
    entry = select(schema.suppression.c.id).with_for_update(nowait=True)
    with database.begin() as connection:
        connection.execute(entry.where(schema.suppression.c.address_key == key_of(emails[-1])))
        changing.start()
        changing.join(0.5)
        assert changing.is_alive()
        connection.execute(entry.where(schema.suppression.c.address_key == key_of(emails[0])))
    changing.join(20)
    assert not changing.is_alive()
