"""A broadcast over a held transport keeps nobody from sending over another one."""

from datetime import timedelta

from sqlalchemy import select

from campaigns import batches
from campaigns.sending import Courier
from core import schema
from delivery import holds
from delivery.holds import HeldBy
from delivery.routes import LONGEST_WAIT
from delivery.throttles import transport_key
from tests.campaign_files import FILES
from tests.conftest import MINIMAL_SETTINGS
from tests.factories import make_customer
from tests.integration.test_campaigns_plan import apply_of, plan_of
from tests.integration.test_campaigns_sending import serving

_PEOPLE = 6
_TURN = timedelta(seconds=30)
_OTHER_WAY = FILES["campaigns/spring-paper.yaml"].replace("from: offers", "from: offers, transport: other")
_BOTH = FILES | {"campaigns/newer.yaml": _OTHER_WAY + "limits: {piece_memory: none}\n"}


def test_batches_that_ask_in_vain_get_behind_those_of_another_transport(make_workspace, database, clock):
    """
    One worker takes a batch each half minute: the older run's are due again meanwhile, the newer run's go all the same.
    """
    with database.begin() as connection:
        for number in range(_PEOPLE):
            make_customer(connection, email=f"p{number}@firm.example", consents=("promotions",))
    with serving() as server:
        lines = f'  other: {{{{url: "smtp://127.0.0.1:{server.port}"}}}}\nworkers: {{{{batch_size: 1}}}}\ntopics:'
        settings = MINIMAL_SETTINGS.replace("topics:", lines)
        workspace = make_workspace(database=database, files=FILES, settings=settings, smtp_port=1)
        apply_of(workspace, database, clock, plan_of(workspace, database, clock))
        with database.begin() as connection:
            holds.hold(connection, transport_key("main"), because="a new key", by=HeldBy.OPERATOR, actor="ann")
        clock.step(timedelta(seconds=1))
        workspace = make_workspace(database=database, files=_BOTH, settings=settings, smtp_port=1)
        apply_of(workspace, database, clock, plan_of(workspace, database, clock))
        courier = Courier(workspace, database, clock, "w1")
        for _ in range(2 * _PEOPLE):
            courier.send_batch(due(database, clock))
            clock.step(_TURN)
        courier.send_batch(due(database, clock))
        courier.close()

    assert _PEOPLE == len(server.received)
    waits = waits_of_held(database, clock)
    assert (_PEOPLE, LONGEST_WAIT) == (len(waits), max(waits))


def due(database, clock):
    with database.begin() as connection:
        return batches.due_batches(connection, now=clock.now(), again_after=None, most=1)[0][0]


def waits_of_held(database, clock):
    with database.begin() as connection:
        query = select(schema.batch.c.not_before).where(schema.batch.c.state == "ready")
        return [until - clock.now() for until in connection.execute(query).scalars()]
