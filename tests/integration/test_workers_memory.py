"""What a worker keeps of a batch that it sent."""

import gc

from sqlalchemy import select

from campaigns.trip import Trip
from core import schema
from tests.campaign_files import FILES
from tests.conftest import MINIMAL_SETTINGS
from tests.factories import make_customer
from tests.integration.test_campaigns_plan import apply_of, plan_of
from tests.integration.test_campaigns_sending import serving
from tests.processes import free_port
from workers.tasks import Station


def sent_by_a_station(workspace, database):
    """What became of each batch, and the trips that are in memory then, though nobody looked for circles of objects."""
    station = Station(workspace, lambda: False)
    threshold = gc.get_threshold()
    gc.collect()
    gc.disable()
    try:
        with database.begin() as connection:
            batches = connection.execute(select(schema.batch.c.id).order_by(schema.batch.c.id)).scalars().all()
        sent = [station.send(batch_id) for batch_id in batches]
        left = [each for each in gc.get_objects() if isinstance(each, Trip)]
        station.close()
    finally:
        gc.enable()
        gc.unfreeze()
        gc.set_threshold(*threshold)
    return sent, left


def test_nothing_is_left_of_a_batch_that_no_server_took(make_workspace, database, clock, monkeypatch):
    """
    The fault that ends its trip holds none of its people and contents, though nobody looks for circles.
    """
    monkeypatch.setattr("workers.tasks.SystemClock", lambda: clock)
    with database.begin() as connection:
        make_customer(connection, email="p@firm.example", consents=("promotions",))
    workspace = make_workspace(database=database, files=FILES, smtp_port=free_port())  # where nobody listens
    apply_of(workspace, database, clock, plan_of(workspace, database, clock))
    sent, left = sent_by_a_station(workspace, database)

    assert sent[0].fault is not None
    assert [] == left


def test_nothing_is_left_of_batches_but_the_last(make_workspace, database, clock, monkeypatch):
    """
    Their people and contents are no longer in memory, though nobody looks for objects that refer to each other.
    """
    monkeypatch.setattr("workers.tasks.SystemClock", lambda: clock)
    with database.begin() as connection:
        for number in range(300):
            make_customer(connection, email=f"p{number}@firm.example", consents=("promotions",))
    with serving() as server:
        workspace = make_workspace(database=database, files=FILES, smtp_port=server.port,
                                   settings=MINIMAL_SETTINGS + "workers: {{batch_size: 100}}\n")  # fmt: skip
        apply_of(workspace, database, clock, plan_of(workspace, database, clock))
        sent, left = sent_by_a_station(workspace, database)

    assert [(100, None)] * 3 == [(each.messages, each.fault) for each in sent]
    assert len(left) <= 1
