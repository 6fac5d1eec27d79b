"""A rehearsal says what then happens: thirty days rehearsed, and the same thirty days gone through for real."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from campaigns import catalogue as files
from campaigns import whole_plan
from campaigns.simulation.applying import apply_files
from campaigns.simulation.assumptions import SILENCE
from campaigns.simulation.rehearsal import Wish, open_world, rehearsed, take_over
from campaigns.simulation.world import shadow_world
from core.clock import SteppedClock
from core.database import analyze
from core.workspace import Workspace
from tests.campaign_files import FILES, campaign_file
from tests.conftest import MINIMAL_SETTINGS
from tests.engine_days import EngineDays, messages
from tests.integration.test_campaigns_sending import serving

#: In its thirty days clocks change in America (8 March) and in Europe (29 March).
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DAYS = 30
PEOPLE = 2000
ZONE = "Europe/Berlin"
RULES = """\
pressure:
  caps:
    weekly: {most: 3, within: 7d}
    firm: {most: 40, each: week, of: company}
  when_capped: {defer: 2d}
quiet_hours: {from: "20:00", to: "08:00", weekends: true}
"""
#: Ten zones, no zone, and one that is none.
ZONES = (
    "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia",
    "America/St_Johns", "Africa/Casablanca", "Asia/Shanghai", "Pacific/Honolulu", None, "Mars/Olympus",
)  # fmt: skip
_CUSTOMERS = """
    INSERT INTO customer (external_id, email, address_key, zone, company, person, country, created_at, updated_at)
    SELECT 'C' || n, CASE WHEN n % 61 <> 0 THEN 'c' || n || '@customers.example' END,
           CASE WHEN n % 61 <> 0 THEN md5('a' || n)::uuid END,
           (CAST(:zones AS text[]))[n % 12 + 1], 'Firm ' || n % 97,
           CASE WHEN n % 23 = 0 THEN 'P' || n / 46 END, CASE WHEN n % 5 = 0 THEN 'US' ELSE 'DE' END, :now, :now
    FROM generate_series(1, :size) AS n
"""
_CONSENTS = """
    INSERT INTO consent (customer_id, topic, state, basis, source, captured_at)
    SELECT id, topic, 'confirmed', 'consent', 'test', '2025-01-01'
    FROM customer, unnest(ARRAY['promotions', 'news']) AS topic WHERE id % 9 <> 0
"""
_OPT_OUTS = """
    INSERT INTO suppression (address_key, scope, scope_name, reason, source)
    SELECT address_key, 'topic', 'promotions', 'unsubscribed', 'test'
    FROM customer WHERE id % 19 = 1 AND address_key IS NOT NULL
"""
_ORDERS = """
    INSERT INTO purchase (customer_id, order_id, line_key, ordered_at, amount, currency)
    SELECT id, 'O' || id, '1', :now - make_interval(days => (id % 40)::int, hours => (id % 24)::int), 50, 'EUR'
    FROM customer WHERE id % 3 = 0
"""
SEQUENCE = """\
kind: sequence
topic: promotions
enrol: {segment: quiet-buyers, look_every: 6h}
send: {from: offers}
exit_when: 'count("purchase", within="10d") > 0'
steps:
  hello: {send: {template: hello.html}}
  pause: {wait: 3d}
  morning: {wait: {until: "02:30", on: [mon, tue, thu], zone: recipient}}
  which: {branch: [{when: 'country == "US"', go: call}, {go: nudge}]}
  nudge: {send: {template: nudge.html}, next: parts}
  call: {task: {title: Call them, owner: owner, due: 2d}, next: parts}
  parts: {split: {last: 40%, rest: 60%}}
  last: {send: {template: last.html}, next: rest}
  rest: {wait: 72h}
  bought: {wait: {for: 'did("purchase", since="step")', timeout: 2d, look_every: 6h, on_timeout: gone}}
  done: {exit: bought}
  gone: {update: {nurtured: true}}
"""


def _template(subject):
    return f'---\nsubject: "{subject}"\n---\n<p>{subject}: <a href="https://paper.example/">see</a></p>\n'


MANY = FILES | {
    "segments/quiet-buyers.yaml": 'where: \'did("purchase", within="60d") and not did("purchase", within="12d")\'\n',
    "templates/hello.html": _template("Hello"), "templates/nudge.html": _template("A word"),
    "templates/last.html": _template("The last one"), "templates/news.html": _template("News"),
    "templates/sale.html": _template("Sale"), "templates/letter.html": _template("Letter"),
    "campaigns/nurture.yaml": SEQUENCE,
    "campaigns/news.yaml": campaign_file(
        kind="recurring", topic="news", send="{template: news.html, from: offers}",
        schedule='{cron: "30 2 * * sun,wed", zone: Europe/Berlin}', limits="{piece_memory: none, valid_for: 1d}",
    ),
    "campaigns/sale.yaml": campaign_file(
        send="{template: sale.html, from: offers}", schedule="{at: 2026-03-08T02:30, zone: recipient}",
        limits="{priority: 5, valid_for: 3d}",
    ),
    "campaigns/letter.yaml": campaign_file(
        send="{template: letter.html, from: offers}", schedule="{at: 2026-03-17T09:00, zone: recipient}",
        rollout="{stages: [5%, 30%], watch: 2h}", limits="{when_capped: {defer: 1d}}",
    ),
}  # fmt: skip


def populate(database, size):
    with database.begin() as connection:
        for statement in (_CUSTOMERS, _CONSENTS, _OPT_OUTS, _ORDERS):
            wanted = {"size": size, "now": START, "zones": list(ZONES)}
            connection.execute(text(statement), {key: wanted[key] for key in wanted if f":{key}" in statement})
        analyze(connection, "customer", "consent", "suppression", "purchase")


def rehearse_messages(database, workspace, days):
    """
    What a rehearsal says that would be in the ledger.
    """
    wish = Wish(START, days, assumptions=SILENCE)
    circumstances = rehearsed(workspace)
    with shadow_world(database) as connection:
        clock = open_world(connection, circumstances, wish, lambda _: None)
        take_over(connection, START)
        _, refused = apply_files(connection, files.load(workspace), (), START)
        clock.go(START, wish.until)
        return messages(connection, ZONE), refused


def live_messages(database, workspace, days):
    """
    What is in the ledger after as many days.
    """
    clock = SteppedClock(START)
    catalogue = files.load(workspace)
    with database.begin() as connection:
        plan = whole_plan.make(connection, catalogue, (), START)
        whole_plan.apply_document(connection, catalogue, whole_plan.to_file(plan), START)
    engine = EngineDays(workspace, database, clock)
    engine.go(START + timedelta(days=days))
    engine.close()
    with database.begin() as connection:
        return messages(connection, ZONE)


@pytest.mark.slow
def test_thirty_days_happen_as_they_were_rehearsed(database, make_workspace):
    """
    2,000 customers in twelve zones: broadcasts by their own clocks, a staged one, a recurring one, a sequence with
    waits, branches, splits and tasks, under caps and quiet hours. The same messages at the same local minutes, and the
    same reasons for those that were skipped; and the mail server has each of them.
    """
    with serving() as server:
        settings = MINIMAL_SETTINGS.replace("{{name", "{{zone: Europe/Berlin, name", 1) + RULES.replace(
            "{", "{{"
        ).replace("}", "}}")
        workspace = make_workspace(database=database, smtp_port=server.port, files=MANY, settings=settings)
        populate(database, PEOPLE)
        told, refused = rehearse_messages(database, workspace, DAYS)
        assert [] == refused
        assert [] == server.received
        happened = live_messages(database, Workspace(workspace.root), DAYS)

        assert 5 * PEOPLE < len(happened)
        assert {"nurture", "news", "sale", "letter", "spring-paper"} == {row[1] for row in happened}
        assert {"quiet_too_long", "frequency_cap", "not_consented"} < {row[5] for row in happened}
        assert sorted(happened - told, key=str) == sorted(told - happened, key=str) == []
        assert len(server.received) == sum(row[4] == "accepted" for row in happened)
