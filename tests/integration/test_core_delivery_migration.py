"""The second revision on a database with work in it: what was under way goes on, and nobody waits for nothing."""

from datetime import timedelta

import pytest
from alembic import command
from sqlalchemy import text

from campaigns import ledger
from campaigns.status import status_of
from core import audit, migrate
from suppression.policy import Policy

#: A claimed batch whose worker was lost, then two that are ready: of a third attempt, and of a first.
_WORK = """
    INSERT INTO customer (external_id, email, address_key)
    SELECT 'C' || n, 'c' || n || '@firm.example', gen_random_uuid() FROM generate_series(1, 6) AS n;
    INSERT INTO consent (customer_id, topic, state, basis, source, captured_at)
    SELECT id, 'promotions', 'granted', 'consent', 'test', '2025-01-01' FROM customer;
    INSERT INTO campaign_version (campaign, fingerprint, kind, topic, definition, piece)
    VALUES ('spring', 'f', 'broadcast', 'promotions', '{}', 'p');
    INSERT INTO run (campaign, version_id, step, occurrence, state, digest, starts_at, audience)
    VALUES ('spring', 1, 'send', '1', 'running', 'd', '2026-01-01', 6);
    INSERT INTO message (run_id, campaign, step, occurrence, customer_id, address_key, state, not_before, attempt_count)
    SELECT 1, 'spring', 'send', '1', id, address_key,
           ('{claimed, handed_over, deferred, planned, accepted, deferred}'::text[])[id]::message_state, '2026-01-01',
           ('{0, 1, 3, 0, 1, 1}'::int[])[id]
    FROM customer;
    INSERT INTO attempt (message_id, number, transport, worker, outcome) VALUES (5, 1, 'main', 'w', 'accepted');
    INSERT INTO batch (run_id, message_ids, state, not_before, lease_until, claim_count, worker) VALUES
        (1, '{1, 2, 5, 6}', 'claimed', '2026-01-01', now() - interval '1 minute', 1, 'w'),
        (1, '{3}', 'ready', '2026-01-01', NULL, 1, NULL),
        (1, '{4}', 'ready', '2026-01-01', NULL, 0, NULL);
    INSERT INTO audit (actor, action, subject) VALUES ('anna', 'pause', 'campaign:spring'), ('ben', 'resume', 'c:1');
"""


@pytest.fixture
def former(database):
    """The database at the revision before, with work under way."""
    config = migrate._config(database)
    with database.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    with database.begin() as connection:
        connection.exec_driver_sql(_WORK)
    return database


def test_what_was_under_way_goes_on_after_the_upgrade(former, clock):
    """
    Each open batch knows how often its messages were tried: a third attempt goes at its time, not one wait later.
    """
    migrate.upgrade(former)
    with former.begin() as connection:
        held = [
            ledger.claim(
                connection, batch_id, worker="w2", lease=timedelta(minutes=1), policy=Policy(), now=clock.now()
            )
            for batch_id in (1, 2, 3)
        ]
        states = connection.execute(text("SELECT array_agg(state::text ORDER BY id) FROM message")).scalar_one()
        assert () == status_of(connection, 1).broken

        audit.record(connection, "anna", "pause", "campaign:spring")
    with former.begin() as connection:
        assert (3, ()) == ((verdict := audit.verify(connection)).count, verdict.flaws)  # those of before, too

    assert [(1,), (3,), (4,)] == [each.message_ids for each in held]
    assert ["planned", "unknown", "deferred", "planned", "accepted", "deferred"] == states
