"""Clock changes: the same instants in a rehearsal, in the engine, and in a table that asks neither."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from campaigns import catalogue as files
from campaigns import whole_plan
from campaigns.sequences.enrol import enrol
from campaigns.workspace_tests.definition import WorkspaceTestFile
from campaigns.workspace_tests.loading import TestCase
from campaigns.workspace_tests.running import run
from core import schema
from core.clock import SteppedClock
from core.yaml_files import Document
from tests.campaign_files import FILES, campaign_file
from tests.clock_changes import CLOCK_CHANGES, TIMES
from tests.engine_days import EngineDays
from tests.factories import make_customer
from tests.integration.test_campaigns_sending import serving

pytestmark = pytest.mark.slow
_MINUTE = timedelta(minutes=1)
_DAILY = """\
kind: sequence
topic: promotions
enrol: {{by: api, again: always}}
send: {{from: offers}}
steps:
  pause: {{wait: {{until: "{at:%H:%M}", zone: recipient}}}}
  mail: {{send: {{template: spring-paper.html}}}}
"""


def affected(change):
    """
    A time of day that the change skips or repeats.
    """
    low, high = sorted((change.old, change.new))
    days = (low.date(), high.date())
    return next(at for at in TIMES for day in days if low <= datetime.combine(day, at) < high)


def name_of(at):
    return f"daily-{at:%H%M}"


def daily_files(changes):
    times = sorted({affected(each) for each in changes})
    return FILES | {f"campaigns/{name_of(at)}.yaml": _DAILY.format(at=at) for at in times}


def rehearsed(workspace, database, document):
    """
    When messages go in a case: (customer, campaign, UTC).
    """
    file = WorkspaceTestFile.model_validate(document)
    case = TestCase("one", file, file.cases["one"], Document("tests/one.yaml"))
    (result,) = run(database, workspace, files.load(workspace), [case])
    assert result.found is not None, result.findings
    return sorted((one.customer, one.campaign, one.at) for one in result.found.messages if one.state == "accepted")


def in_the_ledger(database):
    with database.begin() as connection:
        query = select(schema.customer.c.external_id, schema.message.c.campaign, schema.message.c.accepted_at).join(
            schema.customer, schema.customer.c.id == schema.message.c.customer_id
        )
        rows = connection.execute(query.where(schema.message.c.accepted_at.is_not(None))).all()
    return sorted((row.external_id, row.campaign, row.accepted_at) for row in rows)


def applied(workspace, database, now):
    catalogue = files.load(workspace)
    with database.begin() as connection:
        whole_plan.apply_document(
            connection, catalogue, whole_plan.to_file(whole_plan.make(connection, catalogue, (), now)), now
        )


@pytest.mark.parametrize("changes", [CLOCK_CHANGES[number::4] for number in range(4)], ids=["1", "2", "3", "4"])
def test_a_month_around_each_change_is_the_same_in_both(make_workspace, database, changes):
    """
    Somebody in each of ten zones waits, each day of the month around a change, until a time of day that it skips or
    repeats: a mail goes at the instant of the table, in a rehearsal and in the engine, and not a minute earlier.
    """
    with serving() as server:
        workspace = make_workspace(database=database, smtp_port=server.port, files=daily_files(changes))
        expected, orders = set(), []
        for change in changes:
            at = affected(change)
            for instant in change.daily(at):
                expected.add((str(change), name_of(at), instant))
                orders.append((instant - timedelta(hours=11), change, instant))
        begin = min(order[0] for order in orders) - timedelta(days=1)
        people = {
            str(change): {"zone": change.zone, "consents": ["promotions"], "email": f"c{number}@customers.example"}
            for number, change in enumerate(changes)
        }
        steps = [
            {"at": f"{at:%Y-%m-%dT%H:%M}Z", "do": "enrol", "customer": str(change), "key": f"{at:%Y-%m-%d}",
             "sequence": name_of(affected(change))}
            for at, change, _ in sorted(orders, key=lambda order: order[0])
        ]  # fmt: skip
        case = {"customers": people, "steps": steps, "lasts": "300d", "expect": {}}
        names = sorted({name_of(affected(change)) for change in changes})
        told = rehearsed(
            workspace, database, {"clock": f"{begin:%Y-%m-%dT%H:%M}Z", "apply": names, "cases": {"one": case}}
        )
        happened = _gone_through(workspace, database, begin, people, orders)

    assert sorted(expected) == told
    assert sorted(expected) == happened


def _gone_through(workspace, database, begin, people, orders):
    clock = SteppedClock(begin)
    with database.begin() as connection:
        numbers = {
            name: make_customer(connection, external_id=name, consents=("promotions",), zone=values["zone"])
            for name, values in people.items()
        }
    applied_without_broadcast(workspace, database, begin)
    engine = EngineDays(workspace, database, clock)
    moments = sorted(
        {(at, str(change), instant) for at, change, instant in orders}
        | {(instant - _MINUTE, "", instant) for _, _, instant in orders}
        | {(instant, "", instant) for _, _, instant in orders}
    )
    zones = {str(change): change for _, change, _ in orders}
    for at, name, _ in moments:
        clock.instant = at
        if name:
            with database.begin() as connection:
                sequence = name_of(affected(zones[name]))
                enrol(connection, sequence, numbers[name], key=f"{at:%Y-%m-%d}", now=at)
        engine.catch_up()
    engine.close()
    return in_the_ledger(database)


def applied_without_broadcast(workspace, database, now):
    (workspace.root / "campaigns" / "spring-paper.yaml").unlink()
    applied(type(workspace)(workspace.root), database, now)


#: S-7.8 and S-8.2: zone, wall time, instant (UTC).
VECTORS = (
    ("America/New_York", "2007-03-11T02:30", "2007-03-11T07:30"),
    ("America/New_York", "2007-11-04T01:30", "2007-11-04T05:30"),
    ("America/New_York", "2026-03-08T02:30", "2026-03-08T07:30"),
    ("America/New_York", "2026-11-01T01:30", "2026-11-01T05:30"),
    ("Australia/Lord_Howe", "2026-10-04T02:15", "2026-10-03T15:45"),
    ("Pacific/Apia", "2011-12-30T09:00", "2011-12-30T19:00"),
)


@pytest.mark.parametrize(("zone", "wall", "instant"), VECTORS, ids=[" ".join(vector[:2]) for vector in VECTORS])
def test_vectors_are_the_same_in_both(make_workspace, database, zone, wall, instant):
    """
    A broadcast by the recipient's clock, and one time of a recurring campaign, go once, at the instant of the vector.
    """
    local, expected = datetime.fromisoformat(wall), datetime.fromisoformat(instant).replace(tzinfo=UTC)
    begin = expected - timedelta(days=2)
    cron = f"{local:%-M %-H %-d %-m} *"
    workspace_files = FILES | {
        "campaigns/spring-paper.yaml": campaign_file(
            schedule=f"{{at: {wall}, zone: recipient}}", limits="{piece_memory: none}"
        ),
        "campaigns/yearly.yaml": campaign_file(
            kind="recurring", schedule=f'{{cron: "{cron}", zone: {zone}}}', limits="{piece_memory: none}"
        ),
    }
    with serving() as server:
        workspace = make_workspace(database=database, smtp_port=server.port, files=workspace_files)
        case = {"customers": {"ann": {"zone": zone, "consents": ["promotions"]}}, "lasts": "5d", "expect": {}}
        told = rehearsed(workspace, database, {"clock": f"{begin:%Y-%m-%dT%H:%M}Z", "cases": {"one": case}})
        clock = SteppedClock(begin)
        with database.begin() as connection:
            customer_id = make_customer(connection, external_id="ann", zone=zone)
            agree(connection, customer_id, begin - timedelta(days=365))
        applied(workspace, database, begin)
        engine = EngineDays(workspace, database, clock)
        for moment in (
            begin,
            expected - _MINUTE,
            expected,
            expected + timedelta(hours=1),
            expected + timedelta(days=2),
        ):
            clock.instant = moment
            engine.catch_up()
        engine.close()

    both = [("ann", "spring-paper", expected), ("ann", "yearly", expected)]
    assert both == told
    assert both == in_the_ledger(database)


def agree(connection, customer_id, at):
    values = {"customer_id": customer_id, "topic": "promotions", "state": "confirmed", "basis": "consent"}
    connection.execute(schema.consent.insert().values(**values, source="test", captured_at=at))
