"""Passages that were replaced are taken away: what is left is what was there."""

from sqlalchemy import text

from campaigns.sequences import enrol
from campaigns.simulation.compacting import Compacting
from campaigns.simulation.world import shadow_world
from tests.factories import make_customer
from tests.sequence_files import Road, sequence

_ALL = text("SELECT (e.*)::text FROM enrolment AS e ORDER BY id")


def test_compacting_changes_nothing_but_the_past(make_workspace, database, clock):
    """
    Every passage and its numbering are as before; versions of the past are gone, and new ones find their indexes.
    """
    way = Road(make_workspace, database, clock, sequence("pause: {wait: 3d}\n", enrol="{by: api}"))
    with database.begin() as connection:
        people = [make_customer(connection, consents=("promotions",)) for _ in range(4)]
        for customer_id in people[:3]:
            enrol.enrol(connection, "nurture", customer_id, now=clock.now())
    with shadow_world(database) as connection:
        compacting = Compacting(connection)
        for _ in range(1_700):
            connection.execute(text("UPDATE enrolment SET due_at = due_at + interval '1 minute'"))
        compacting.look()
        before = connection.execute(_ALL).scalars().all()
        size = connection.execute(text("SELECT pg_relation_size('pg_temp.enrolment')")).scalar_one()
        compacting.look()

        assert (1, before) == (compacting.count, connection.execute(_ALL).scalars().all())
        assert size == 8192
        enrol.enrol(connection, "nurture", people[3], now=clock.now())
        assert 4 == connection.execute(text("SELECT count(DISTINCT id) FROM enrolment")).scalar_one()
    assert [3] == [row[0] for row in way.rows("SELECT count(*) FROM enrolment")]
