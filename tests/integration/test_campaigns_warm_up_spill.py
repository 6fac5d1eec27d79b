"""What is above the warm-up volume of one transport takes the others of its route, the same day."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select

from campaigns.sending import Courier
from core import schema
from core.clock import SystemClock
from tests.campaign_files import FILES
from tests.conftest import MINIMAL_SETTINGS
from tests.factories import make_customer
from tests.integration.test_campaigns_plan import apply_of, plan_of
from tests.integration.test_campaigns_sending import serving


@pytest.mark.parametrize(("weight", "taken"), [("standby", (5, 7)), ("1", (5, 7)), (None, (5, 0))])
def test_what_is_above_the_volume_goes_over_the_other_transport(make_workspace, database, clock, weight, taken):
    """
    A volume of five, twelve people: seven take the other transport, also one on standby; without one they wait.
    """
    with database.begin() as connection:
        for number in range(12):
            make_customer(connection, email=f"p{number}@firm.example", consents=("promotions",))
    with serving() as fresh, serving() as other:
        plan = f", warm_up: {{{{start: {datetime.now(UTC).date()}, daily: [5, 5]}}}}}}}}"
        lines = f'\n  other: {{{{url: "smtp://127.0.0.1:{other.port}"}}}}'
        way = f"routes: {{{{default: {{{{main: 1{f', other: {weight}' if weight else ''}}}}}}}}}\n"
        settings = MINIMAL_SETTINGS.replace("connections: 4}}", "connections: 4" + plan + lines) + way
        workspace = make_workspace(database=database, files=FILES, settings=settings, smtp_port=fresh.port)
        apply_of(workspace, database, clock, plan_of(workspace, database, clock))
        courier = Courier(workspace, database, SystemClock(), "w1")
        for _ in range(4):
            for batch_id in ready(database):
                courier.send_batch(batch_id)
        courier.close()

    reached = (len(fresh.received), len(other.received))
    assert taken == reached if weight != "1" else sum(taken) == sum(reached) and reached[0] <= 5


def ready(database):
    with database.begin() as connection:
        query = select(schema.batch.c.id).where(
            schema.batch.c.state == "ready", schema.batch.c.not_before <= func.now()
        )
        return list(connection.execute(query.order_by(schema.batch.c.id)).scalars())
