"""A worker that runs reads `clarion.yaml` again when somebody mended it."""

import logging

from sqlalchemy import func, select, update

from core import schema
from core.fresh_settings import FreshWorkspace
from delivery import holds
from delivery.throttles import transport_key
from tests.campaign_files import FILES
from tests.factories import make_customer
from tests.integration.test_campaigns_plan import apply_of, plan_of
from tests.integration.test_campaigns_sending import first_batch, serving
from tests.processes import free_port
from workers.tasks import Station


def test_worker_sends_over_the_transport_as_it_was_mended(make_workspace, database, clock, monkeypatch):
    """
    The transport led nowhere; its address is mended in the file, it is resumed, and the same worker sends.
    """
    with database.begin() as connection:
        make_customer(connection, email="p@firm.example", consents=("promotions",))
    monkeypatch.setattr("workers.tasks.SystemClock", lambda: clock)
    nowhere = free_port()
    workspace = make_workspace(database=database, files=FILES, smtp_port=nowhere)
    (started,) = apply_of(workspace, database, clock, plan_of(workspace, database, clock))
    station = Station(workspace, lambda: False)
    batch_id = first_batch(database)
    first = station.courier.send_batch(batch_id)
    with serving() as server:
        file = workspace.root / "clarion.yaml"
        file.write_text(file.read_text().replace(f":{nowhere}", f":{server.port}"))
        with database.begin() as connection:
            holds.release(connection, transport_key("main"), actor="test")
            connection.execute(update(schema.batch).values(not_before=clock.now()))
        second = station.courier.send_batch(batch_id)
        station.close()

    assert first.fault is not None
    assert (None, 1) == (second.fault, len(server.received))
    with database.begin() as connection:
        query = select(func.count()).where(schema.message.c.run_id == started.run_id)
        assert 1 == connection.execute(query.where(schema.message.c.state == "accepted")).scalar_one()


def test_settings_with_a_mistake_leave_the_old_ones_in_force(make_workspace, caplog):
    """
    The mistake is said once, with its line; what is right again counts.
    """
    workspace = make_workspace()
    file, good = workspace.root / "clarion.yaml", (workspace.root / "clarion.yaml").read_text()
    fresh = FreshWorkspace(workspace)
    assert 4 == workspace.settings.transports["main"].connections
    with caplog.at_level(logging.ERROR):
        file.write_text(good.replace("connections: 4", "connections: none"))
        told = [fresh.renew(), fresh.renew()]
    assert [False, False] == told
    assert 4 == fresh.current.settings.transports["main"].connections
    assert 1 == len(caplog.records)
    assert "clarion.yaml:8: transports.main.connections" in caplog.text

    file.write_text(good.replace("connections: 4", "connections: 9"))
    assert fresh.renew()
    assert 9 == fresh.current.settings.transports["main"].connections
    assert not fresh.renew()


def test_secret_counts_from_the_next_start(make_workspace, caplog):
    """
    The process goes on with the one it began with, whatever else it reads anew: the database knows people by it.
    """
    workspace = make_workspace()
    fresh, old = FreshWorkspace(workspace), workspace.token_secret
    file, text = workspace.root / "clarion.yaml", (workspace.root / "clarion.yaml").read_text()
    assert 4 == workspace.settings.transports["main"].connections
    file.write_text(text.replace(old.decode(), "f" * 32).replace("connections: 4", "connections: 9"))

    assert fresh.renew()
    assert 9 == fresh.current.settings.transports["main"].connections
    assert [old, old] == [fresh.current.secret, fresh.current.token_secret]
    assert "`secret` of clarion.yaml counts from the next start" in caplog.text


def test_secret_of_the_installation_counts_from_the_next_start(make_workspace):
    """
    The same where the secret stands in a file of its own: who replaces it does not make everybody somebody else.
    """
    workspace = make_workspace()
    file, old = workspace.root / "clarion.yaml", workspace.root / ".clarion" / "secret"
    text = "\n".join(line for line in file.read_text().splitlines() if not line.startswith("secret:"))
    file.write_text(text)
    workspace = type(workspace)(workspace.root)
    fresh, keys = FreshWorkspace(workspace), (workspace.secret, workspace.token_secret)
    former = old.read_text()
    assert 4 == workspace.settings.transports["main"].connections
    old.write_text("e" * 64)
    file.write_text(f'{text.replace("connections: 4", "connections: 9")}\nretired_secrets: ["{former}"]\n')

    assert fresh.renew()
    assert 9 == fresh.current.settings.transports["main"].connections
    assert keys == (fresh.current.secret, fresh.current.token_secret)


def test_change_while_a_process_starts_is_seen(make_workspace):
    """
    What was written after the settings were read, and before anybody looked for changes, counts with the first look.
    """
    workspace = make_workspace()
    file = workspace.root / "clarion.yaml"
    assert 4 == workspace.settings.transports["main"].connections
    file.write_text(file.read_text().replace("connections: 4", "connections: 9"))
    fresh = FreshWorkspace(workspace)

    assert fresh.renew()
    assert 9 == fresh.current.settings.transports["main"].connections


def test_file_that_is_away_for_a_moment_changes_nothing(make_workspace):
    """
    Editors put a new file in place of the old one.
    """
    workspace = make_workspace()
    fresh = FreshWorkspace(workspace)
    assert workspace.settings is not None
    (workspace.root / "clarion.yaml").rename(workspace.root / "away")

    assert not fresh.renew()
    assert workspace is fresh.current
