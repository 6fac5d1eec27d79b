"""Rehearsals: nothing of them stays, nobody waits for them, and they tell what would happen."""

import socket
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text

from campaigns import catalogue
from campaigns.sending import Courier
from campaigns.simulation.applying import apply_files
from campaigns.simulation.assumptions import SILENCE, Assumptions, parse_assumptions
from campaigns.simulation.rehearsal import Wish, open_world, rehearse
from campaigns.simulation.rehearsal import rehearsed as rehearsed_settings
from campaigns.simulation.world import WroteToReality, shadow_world
from core import schema
from core.database import Database
from core.errors import UsageError
from core.workspace import Workspace
from customers.merging.merge import merge
from suppression.record import unsubscribe
from tests.campaign_files import FILES, campaign_file
from tests.factories import make_activity, make_customer, make_purchase
from tests.integration.test_campaigns_plan import apply_of, plan_of
from tests.integration.test_campaigns_sending import serving

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
WEEKLY = campaign_file(
    kind="recurring", schedule='{cron: "30 8 * * tue", zone: Europe/Berlin}', limits="{piece_memory: none}"
)
EVERYBODY_ANSWERS = Assumptions(opens=1, clicks=1, replies=1, converts=1, bounces=0, unsubscribes=0.5)


@pytest.fixture
def office(make_workspace, database):
    """
    A workspace with a broadcast and a weekly mailing, and forty people in two zones, thirty of whom agreed.
    """
    with database.begin() as connection:
        for number in range(40):
            consents = ("promotions",) if number % 4 else ()
            zone = "Europe/Berlin" if number % 2 else "America/New_York"
            make_customer(connection, external_id=f"K{number}", consents=consents, zone=zone, company=f"Firm {number}")
    return make_workspace(database=database, files=FILES | {"campaigns/weekly.yaml": WEEKLY})


def rehearsed(database, workspace, days=30, **wishes):
    wishes = {"assumptions": SILENCE} | wishes
    return rehearse(database, workspace, Wish(START, days, **wishes), START)


# --- nothing of it stays -------------------------------------------------------------------------------------------

_TABLES = text("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
_SEQUENCES = text("SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'public' ORDER BY 1")


def everything(database):
    """
    The content of every table, and where every sequence is.
    """
    with database.begin() as connection:
        content = {}
        for name in connection.execute(_TABLES).scalars().all():
            digest = f"SELECT md5(coalesce(string_agg(md5(t::text), '' ORDER BY md5(t::text)), '')) FROM {name} AS t"
            content[name] = connection.execute(text(digest)).scalar()
        return content, connection.execute(_SEQUENCES).all()


def files_of(workspace):
    return {path: path.stat().st_mtime_ns for path in workspace.root.rglob("*")}


def test_nothing_is_written_and_nothing_is_sent(make_workspace, office, database, clock):
    """
    Every table, every sequence and every file is as before, nobody spoke to the mail server, and no lock is left.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.01)
        workspace = make_workspace(
            database=database, smtp_port=server.getsockname()[1], files=FILES | {"campaigns/weekly.yaml": WEEKLY}
        )
        apply_of(workspace, database, clock, plan_of(workspace, database, clock, "weekly"))
        with database.begin() as connection:
            make_activity(connection, 1)
            make_purchase(connection, 1)
        _ = workspace.settings, workspace.secret
        before, files = everything(database), files_of(workspace)
        found = rehearsed(database, workspace, days=9, assumptions=EVERYBODY_ANSWERS)

        assert sum(day.accepted + day.bounced for day in found.days) >= 30
        assert before == everything(database)
        assert files == files_of(workspace)
        with pytest.raises(TimeoutError):
            server.accept()


def test_what_a_rehearsal_would_write_to_real_tables_is_found(database):
    """
    A statement that names the real table is undone, and said.
    """
    with pytest.raises(WroteToReality, match="customer"), shadow_world(database) as connection:
        connection.execute(text("INSERT INTO public.customer (external_id) VALUES ('x')"))

    with database.begin() as connection:
        assert [] == connection.execute(select(schema.customer.c.id)).all()


def test_every_table_has_its_shadow(database):
    """
    Columns, indexes, unique and check constraints of the shadows are those of the real tables.
    """
    names = ", ".join(f"'{name}'" for name in schema.metadata.tables)
    asked = f"""
        SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity
        FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
        WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = :schema) AND c.relname IN ({names})
        UNION ALL
        SELECT c.relname, k.conname, pg_get_constraintdef(k.oid), true, k.contype
        FROM pg_class AS c JOIN pg_constraint AS k ON k.conrelid = c.oid AND k.contype IN ('p', 'u', 'c')
        WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = :schema) AND c.relname IN ({names})
        UNION ALL
        SELECT tablename, indexname, regexp_replace(indexdef, ' ON [^ ]+ ', ' '), true, '' FROM pg_indexes
        WHERE schemaname = :schema AND tablename IN ({names})
        ORDER BY 1, 2, 3
    """
    with shadow_world(database, empty=True) as connection:
        own = connection.execute(text("SELECT nspname FROM pg_namespace WHERE oid = pg_my_temp_schema()")).scalar()
        real, shadow = (connection.execute(text(asked), {"schema": name}).all() for name in ("public", own))

    assert len(real) > 500
    assert real == shadow


# --- nobody waits for it -------------------------------------------------------------------------------------------


@pytest.fixture
def impatient(database):
    """
    The same database, where nobody waits longer than two seconds for a lock.
    """
    hasty = Database(f"{database.url}&options=-c%20lock_timeout%3D2000")
    yield hasty
    hasty.dispose()


_LOCKS = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
CAPS = "pressure: {caps: {week: {most: 20, within: 7d, of: company}}}\n"


def test_production_goes_on_while_a_rehearsal_holds_its_transaction(office, database, impatient, clock):
    """
    While a rehearsal that did all of it stands open, a campaign is applied and sent, somebody opts out, and two
    customers become one.
    """
    with serving() as server, shadow_world(database) as rehearsal:
        settings = office.root / "clarion.yaml"
        settings.write_text(settings.read_text().replace(":2525", f":{server.port}") + CAPS)
        workspace = Workspace(office.root)
        wish = Wish(START, 3, assumptions=EVERYBODY_ANSWERS)
        ticking = open_world(rehearsal, rehearsed_settings(workspace), wish, lambda _: None)
        applied, _ = apply_files(rehearsal, catalogue.load(workspace), (), START)
        ticking.go(START, wish.until)

        sent = _applied_and_sent(workspace, impatient, clock)
        with impatient.begin() as connection:
            first = select(schema.message.c.id).where(schema.message.c.accepted_at.is_not(None)).limit(1)
            gone = unsubscribe(
                connection, message_id=connection.execute(first).scalar_one(), source="page", now=clock.now()
            )
        with impatient.begin() as connection:
            one, other = connection.execute(
                select(schema.customer.c.id).order_by(schema.customer.c.id).limit(2)
            ).scalars()
            merge(connection, other, one, because="the same", actor="test", now=clock.now())

        assert ["spring-paper", "weekly"] == sorted(applied)
        assert 0 == rehearsal.execute(_LOCKS).scalar()
        assert (30, 30, True) == (sent, len(server.received), gone.is_new)


def _applied_and_sent(workspace, database, clock):
    apply_of(workspace, database, clock, plan_of(workspace, database, clock))
    courier = Courier(workspace, database, clock, "w1")
    with database.begin() as connection:
        batches = connection.execute(select(schema.batch.c.id)).scalars().all()
    sent = sum(courier.send_batch(batch_id).messages for batch_id in batches)
    courier.close()
    return sent


# --- what it tells -------------------------------------------------------------------------------------------------


def step_of(found, campaign):
    return next(step for step in found.steps if step.campaign == campaign)


def test_days_steps_and_people_are_told(office, database):
    """
    A broadcast at once and four Tuesdays at half past eight in Berlin: so many mails on each day, and none else.
    """
    found = rehearsed(database, office, days=28)

    assert [(2, 30), (3, 30), (10, 30), (17, 30), (24, 30)] == [(day.day.day, day.accepted) for day in found.days]
    assert {"not_consented": 40} == step_of(found, "weekly").skipped
    assert (160, 120) == (step_of(found, "weekly").messages, step_of(found, "weekly").accepted)
    assert ({2: 30}, ()) == (found.pressure, found.dead_ends)
    assert ("spring-paper", "weekly") == found.applied


def test_a_customer_who_is_watched_is_told_everything(office, database):
    """
    Each of their messages by their own clock, with its subject; for one without consent the reasons.
    """
    found, none = (rehearsed(database, office, days=3, watched=key) for key in ("K2", "K4"))

    assert [
        ("2026-03-02 07:00", "message", "spring-paper", "Paper for Firm 2"),
        ("2026-03-03 02:30", "message", "weekly", "Paper for Firm 2"),
    ] == [(f"{one.local:%Y-%m-%d %H:%M}", one.what, one.campaign, one.says) for one in found.moments]
    assert {("skipped", "not_consented")} == {(one.what, one.says) for one in none.moments}


def test_answers_count_for_what_follows(office, database):
    """
    Half of the people leave with each mail, so that fewer get the next one.
    """
    found = rehearsed(database, office, days=16, assumptions=EVERYBODY_ANSWERS)
    numbers = [day.accepted for day in found.days]

    assert 30 == numbers[0]
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[-1] < 12
    assert step_of(found, "weekly").skipped["suppressed:unsubscribed"] > 12
    assert {"open", "click", "reply", "convert", "unsubscribe"} == set(found.answers)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_rehearsal(office, database):
    """
    Who answers depends on nothing but the messages and the seed.
    """
    assumed = parse_assumptions(["opens=50%", "unsubscribes=20%", "bounces=10%"])
    first, again, other = (rehearsed(database, office, days=2, assumptions=assumed, seed=seed) for seed in (1, 1, 2))

    assert first.days == again.days
    assert first.days != other.days


def test_what_cannot_be_applied_hides_nothing_else(office, database):
    """
    A campaign above its limit is told as refused, and the others are rehearsed.
    """
    (office.root / "campaigns" / "large.yaml").write_text(campaign_file(limits="{max_audience: 3, piece_memory: none}"))
    found = rehearsed(database, Workspace(office.root), days=3)

    assert [("large", "large: 30 people would be written to (expected at most 3)")] == [
        (one.name, one.why) for one in found.refused
    ]
    assert ("spring-paper", "weekly") == found.applied


def test_mistakes_of_rendering_are_found(office, database):
    """
    A value that the template cannot print is told with the person it was met with; so many are left out.
    """
    template = office.root / "templates" / "spring-paper.html"
    template.write_text(template.read_text().replace("customer.company or 'you'", "customer.last_name"))
    found = rehearsed(database, Workspace(office.root), days=1, names=("spring-paper",), samples=None)

    assert (30, {"spring-paper/send": 30}) == (found.rendered, dict(found.flaw_counts))
    assert {"render_failed": 30, "not_consented": 10} == step_of(found, "spring-paper").skipped
    assert "last_name" in found.flaws[0].what
    assert ["everybody_skipped"] == [end.what for end in found.dead_ends]


def test_more_than_a_transport_may_carry_is_told(office, database):
    """
    A warm-up plan of ten mails on the second day is exceeded by the thirty of that Tuesday.
    """
    settings = office.root / "clarion.yaml"
    warm = "connections: 4, warm_up: {start: 2026-03-02, daily: [100, 10, 40]}}"
    settings.write_text(settings.read_text().replace("connections: 4}", warm))
    found = rehearsed(database, Workspace(office.root), days=3)

    assert [("main", 3, 30, 10)] == [
        (over.transport, over.day.day, over.wanted, over.allowed) for over in found.exceeded
    ]


def test_what_is_under_way_goes_on_before_the_files_are_applied(office, database, clock):
    """
    From a day to come: what was applied already happens until then, and is not counted.
    """
    apply_of(office, database, clock, plan_of(office, database, clock, "weekly"))
    wish = Wish(START + timedelta(days=10), 7, assumptions=SILENCE)
    found = rehearse(database, office, wish, START)

    assert [(17, 30)] == [(day.day.day, day.accepted) for day in found.days]
    assert () == found.applied  # everybody has the piece by then: the two of the mailing before were sent


def test_answers_before_the_start_are_not_counted(office, database, clock):
    """
    From a day to come: what people do before it happens, and is no figure; nor are the mails they answered.
    """
    apply_of(office, database, clock, plan_of(office, database, clock, "weekly"))
    everybody_opens = Assumptions(opens=1, clicks=0, replies=0, converts=0, bounces=0, unsubscribes=0)
    found = rehearse(database, office, Wish(START + timedelta(days=11), 10, assumptions=everybody_opens), START)

    assert [(17, 30)] == [(day.day.day, day.accepted) for day in found.days]
    assert {"open": 30} == found.answers


def test_a_transport_counts_what_was_handed_over(office, database):
    """
    Mails that bounce were the transport's to carry: they count there, and not as accepted.
    """
    found = rehearsed(database, office, days=1, names=("spring-paper",), assumptions=Assumptions(bounces=1))

    assert [("main", 30)] == [(way.transport, way.mails) for way in found.transports]
    assert [(0, 30)] == [(day.accepted, day.bounced) for day in found.days]
    assert 30 == found.document()["transports"][0]["mails"]


_IN_HANDS = (
    """
    UPDATE batch SET state = 'claimed', claim_count = 1, worker = 'w', published_at = now(),
                     lease_until = now() + interval '1 h'
    """,
    "UPDATE message SET state = 'handed_over' WHERE id = (SELECT min(id) FROM message WHERE state = 'planned')",
)


def test_what_workers_hold_is_taken_over(office, database, clock):
    """
    A batch in the hands of a worker goes on, what it had handed over counts as accepted.
    """
    apply_of(office, database, clock, plan_of(office, database, clock, "spring-paper"))
    with database.begin() as connection:
        for statement in _IN_HANDS:
            connection.execute(text(statement))
    found = rehearsed(database, office, days=1)

    assert 29 == step_of(found, "spring-paper").accepted


# --- assumptions ---------------------------------------------------------------------------------------------------


def test_assumptions_are_read_as_people_write_them():
    """
    Shares as per cent or as numbers; after `none` only what is named.
    """
    assert Assumptions(opens=0.4, bounces=0.01) == parse_assumptions(["opens=40%", "bounces=0.01"])
    assert Assumptions(0, 0.02, 0, 0, 0, 0) == parse_assumptions(["none", "clicks = 2%"])


@pytest.mark.parametrize("word", ["opens", "opens=", "opens=140%", "opens=-1", "opens=many", "views=3%"])
def test_assumptions_nobody_understands_are_refused(word):
    """
    The word is quoted, and what may be said is named.
    """
    with pytest.raises(UsageError, match=f"--assume '{word}'"):
        parse_assumptions([word])
