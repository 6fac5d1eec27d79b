"""What is owed to one person: ordered once, sent soon, sent again rather than lost, and stopped by no opt-out."""

import asyncio
import contextlib
import email
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from email import policy

import pytest
from sqlalchemy import func, select, text, update

from campaigns import batches, control
from campaigns import catalogue as files
from campaigns.sending import Courier
from campaigns.status import status_of
from campaigns.transactional import finish_superseded, gather, post, standing
from campaigns.why import explain
from core import schema
from core.errors import NotFound, PlanError, UsageError
from tests.factories import make_customer, make_suppression
from tests.integration.test_campaigns_sending import serving
from tests.smtp_server import DROP, STALL
from tests.transactional_files import FILES, TEMPLATE

GIVEN = {"order_number": "A-7", "total": "12,00 €"}


class Shop:
    """A workspace with one transactional campaign, and the customer Ann, who agreed to nothing."""

    def __init__(self, make_workspace, database, clock):
        self._make_workspace, self.database, self.clock = make_workspace, database, clock
        self.workspace = make_workspace(database=database, files=FILES)
        with database.begin() as connection:
            self.ann = make_customer(connection, external_id="ann", email="ann@firm.example", first_name="Ann")
            self.ben = make_customer(connection, external_id="ben", email="ben@firm.example")
        self.couriers = []

    def order(self, key="order-7", given=GIVEN, customer_id=None):
        """What `post` says of an order for Ann."""
        with self.database.begin() as connection:
            of = standing(connection, files.load(self.workspace), "receipt")
            return post(connection, of, customer_id or self.ann, key=key, given=given, now=self.clock.now())

    def rewrite(self, name, old, new):
        path = self.workspace.root / name
        path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")

    def courier(self, server, *, patience="1s"):
        """A courier to the server, who waits so long for the answer to a message."""
        settings = (
            (self.workspace.root / "clarion.yaml")
            .read_text(encoding="utf-8")
            .replace(
                'smtp://127.0.0.1:2525", ', f'smtp://127.0.0.1:{server.port}", timers: {{end_of_data: {patience}}}, '
            )
        )
        (self.workspace.root / "clarion.yaml").write_text(settings, encoding="utf-8")
        self.workspace = type(self.workspace)(self.workspace.root)
        self.couriers.append(Courier(self.workspace, self.database, self.clock, f"w{len(self.couriers)}"))
        return self.couriers[-1]

    def send_due(self, courier):
        """Everything that is due goes through the courier; the ids of its batches are returned."""
        with self.database.begin() as connection:
            due = batches.due_batches(connection, now=self.clock.now(), again_after=None)
        return [(courier.send_batch(batch_id), queue)[1] for batch_id, queue in due]

    def status(self, run_id):
        with self.database.begin() as connection:
            return status_of(connection, run_id)

    def why(self, key):
        with self.database.begin() as connection:
            person = (
                connection.execute(select(schema.customer).where(schema.customer.c.external_id == key)).mappings().one()
            )
            return explain(connection, files.load(self.workspace), person, "receipt", self.clock.now())

    def message(self, message_id):
        with self.database.begin() as connection:
            return connection.execute(select(schema.message).where(schema.message.c.id == message_id)).one()


@pytest.fixture
def shop(make_workspace, database, clock):
    made = Shop(make_workspace, database, clock)
    yield made
    for courier in made.couriers:
        courier.close()


def test_an_order_becomes_one_mail(shop):
    """
    The mail says what was given, is marked as automatic and not as bulk, has no way to unsubscribe, and its run stays
    open for the next order.
    """
    with serving() as server:
        posted = shop.order()
        queues = shop.send_due(shop.courier(server))
        mail = email.message_from_bytes(server.received[0].content, policy=policy.default)

    assert (True, None) == (posted.is_new, posted.skip_reason)
    assert ["transactional"] == queues
    assert "Order A-7" == mail["Subject"]
    assert ["auto-generated"] == mail.get_all("Auto-Submitted")
    assert [None] * 4 == [mail[name] for name in ("List-Unsubscribe", "List-Unsubscribe-Post", "List-Id", "Precedence")]
    page = mail.get_body(("html",)).get_content()
    assert "over 12,00 &#8364;" in page
    assert "1 Mill Lane" in page
    assert "/u/" not in page + mail.get_body(("plain",)).get_content()
    status = shop.status(posted.run_id)
    assert ("running", 1, 1, ()) == (status.state, status.audience, status.states["accepted"], status.broken)


def test_fifty_orders_at_once_with_one_key_are_one_message(shop, database):
    """
    However often and however concurrently an order is repeated, there is one message, one batch and one run.
    """
    ready = threading.Barrier(10)
    catalogue = files.load(shop.workspace)

    def order(_):
        with contextlib.suppress(threading.BrokenBarrierError):
            ready.wait(5)
        with database.begin() as connection:
            of = standing(connection, catalogue, "receipt")
            return post(connection, of, shop.ann, key="order-7", given=GIVEN, now=shop.clock.now())

    with ThreadPoolExecutor(10) as threads:
        posted = list(threads.map(order, range(50)))

    assert 1 == sum(one.is_new for one in posted)
    assert 1 == len({(one.message_id, one.run_id) for one in posted})
    with database.begin() as connection:
        for table in (schema.message, schema.batch, schema.run):
            assert 1 == connection.execute(select(func.count()).select_from(table)).scalar_one()


def test_another_key_is_another_message(shop):
    """
    One customer may be owed many messages by one run; the same key for somebody else is somebody else's.
    """
    posted = [shop.order("a"), shop.order("b"), shop.order("b", customer_id=shop.ben), shop.order("b")]

    assert [True, True, True, False] == [one.is_new for one in posted]
    assert 1 == len({one.run_id for one in posted})
    assert 3 == shop.status(posted[0].run_id).audience


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"reason": "unsubscribed"}, None),
        ({"reason": "unsubscribed", "scope": "campaign", "scope_name": "receipt"}, None),
        ({"reason": "manual", "scope": "topic", "scope_name": "promotions"}, None),
        ({"reason": "manual"}, "suppressed:manual"),
        ({"reason": "hard_bounce"}, "suppressed:hard_bounce"),
        ({"reason": "complaint", "scope": "topic", "scope_name": "promotions"}, "suppressed:complaint"),
    ],
)
def test_opt_outs_do_not_stop_it_and_bounces_do(shop, database, entry, expected):
    """
    Nobody's opt-out from marketing costs them a receipt; an address that must not be written to is skipped at once.
    """
    with database.begin() as connection:
        make_suppression(connection, "ann@firm.example", **entry)
    posted = shop.order()
    with serving() as server:
        shop.send_due(shop.courier(server))

        assert (expected is None) == bool(server.received)
    assert expected == posted.skip_reason == shop.message(posted.message_id).skip_reason


def test_a_block_after_the_order_wins(shop, database):
    """
    The gate is asked again at the hand-over.
    """
    posted = shop.order()
    with database.begin() as connection:
        make_suppression(connection, "ann@firm.example", reason="complaint")
    with serving() as server:
        shop.send_due(shop.courier(server))

        assert [] == server.received
    assert "suppressed:complaint" == shop.message(posted.message_id).skip_reason


def test_a_missing_value_fails_that_message_alone(shop):
    """
    What the template prints and the order did not give skips this message; `why` says so, and the next one goes.
    """
    lacking, whole = shop.order("a", {"total": "1 €"}), shop.order("b")
    with serving() as server:
        shop.send_due(shop.courier(server))

        assert 1 == len(server.received)
    assert ["render_failed", None] == [shop.message(one.message_id).skip_reason for one in (lacking, whole)]
    assert any("given order_number, total" in fact.what for fact in shop.why("ann").facts)


def test_what_comes_too_late_is_not_sent(shop, clock):
    """
    An order that waited longer than the campaign's validity is expired; a younger one of the same run goes.
    """
    late = shop.order("a")
    clock.step(timedelta(hours=3))
    young = shop.order("b")
    with serving() as server:
        shop.send_due(shop.courier(server))

        assert 1 == len(server.received)
    assert ["expired", None] == [shop.message(one.message_id).skip_reason for one in (late, young)]


def content_of(talk):
    """What was written between DATA and the final dot of a conversation with one message."""
    return b"".join(talk.chunks).split(b"DATA\r\n", 1)[1].rsplit(b"\r\n.\r\n", 1)[0]


@pytest.mark.parametrize("silence", [STALL, DROP])
def test_what_may_be_lost_is_sent_again_byte_for_byte(shop, clock, silence):
    """
    The server took the message and never said so: it is sent again with the same bytes and Message-ID, although
    customer and template have changed in between, and both attempts are on record.
    """
    posted = shop.order()
    with serving({"end": [silence]}) as server:
        courier = shop.courier(server)
        shop.send_due(courier)
        assert "deferred" == shop.message(posted.message_id).state
        with shop.database.begin() as connection:
            connection.execute(update(schema.customer).values(first_name="Somebody else"))
        shop.rewrite("templates/receipt.html", "thank you", "many thanks")
        clock.step(timedelta(minutes=1))
        shop.send_due(courier)
        first, second = (content_of(talk) for talk in server.conversations)

    assert first == second
    assert b"Ann" in first
    message_ids = [email.message_from_bytes(content)["Message-ID"] for content in (first, second)]
    assert message_ids[0]
    assert message_ids[0] == message_ids[1]
    with shop.database.begin() as connection:
        attempts = connection.execute(select(schema.attempt.c.outcome).order_by(schema.attempt.c.number)).scalars()
        kept = connection.execute(select(func.count()).select_from(schema.kept_content)).scalar_one()
        assert ["unknown", "accepted"] == list(attempts)
    assert 0 == kept
    assert () == shop.status(posted.run_id).broken


def test_a_lost_worker_loses_no_order(shop, database, clock):
    """
    A worker that died after the hand-over: the lease runs out, and the next worker sends the bytes it had kept.
    """
    posted = shop.order()
    with serving({"end": [STALL]}) as server:
        courier = shop.courier(server, patience="60s")
        with database.begin() as connection:
            ((batch_id, _),) = batches.due_batches(connection, now=clock.now(), again_after=None)
        dying = threading.Thread(target=lambda: _die(courier, batch_id))
        dying.start()
        _until(lambda: server.conversations and server.dots == 1)
        with database.begin() as connection:
            connection.execute(text("UPDATE batch SET lease_until = now() - interval '1 second'"))
        other = Courier(shop.workspace, database, clock, "other")
        other.send_batch(batch_id)
        clock.step(timedelta(minutes=1))
        shop.send_due(other)
        first, second = (content_of(talk) for talk in server.conversations)
        other.close()
        asyncio.run_coroutine_threadsafe(server.hang_up(), server._server.get_loop()).result(10)
        dying.join(20)

    assert first == second
    assert "accepted" == shop.message(posted.message_id).state


def _die(courier, batch_id):
    """What a worker's thread would do; it comes back when its connection is cut, and its claim is another's by then."""
    with contextlib.suppress(Exception):
        courier.send_batch(batch_id)


def _until(happened):
    for _ in range(400):
        if happened():
            return
        threading.Event().wait(0.02)
    raise AssertionError("it did not happen")


def test_orders_that_wait_go_on_one_trip(shop, clock):
    """
    A batch that is taken brings along what else of its run is due; what somebody holds, or is not due, is left.
    """
    posted = [shop.order(f"order-{n}") for n in range(6)]
    with shop.database.begin() as connection:
        due = [batch_id for batch_id, _ in batches.due_batches(connection, now=clock.now(), again_after=None)]
        table = schema.batch
        connection.execute(
            update(table).where(table.c.id == due[4]).values(not_before=clock.now() + timedelta(hours=1))
        )
        held = {"state": "claimed", "claim_count": 1, "lease_until": func.now() + timedelta(hours=1)}
        connection.execute(update(table).where(table.c.id == due[5]).values(**held))
    with serving() as server:
        courier = shop.courier(server)
        sent = [courier.send_batch(batch_id) for batch_id in due]

        assert 4 == len(server.received) == sent[0].messages
    assert [None] * 5 == sent[1:]
    status = shop.status(posted[0].run_id)
    assert (4, 2, ()) == (status.states["accepted"], status.states["planned"] + status.states["claimed"], status.broken)


@pytest.mark.parametrize("is_paused", [False, True])
def test_a_batch_that_may_not_go_gathers_nothing(shop, clock, is_paused):
    """
    A batch whose time is yet to come, or whose run is paused, leaves the others where they wait: they go at theirs.
    """
    for number in range(3):
        shop.order(f"order-{number}")
    table = schema.batch
    with shop.database.begin() as connection:
        due = [batch_id for batch_id, _ in batches.due_batches(connection, now=clock.now(), again_after=None)]
        if is_paused:
            control.order(connection, "receipt", "pause", actor="ann", now=clock.now())
        else:
            later = clock.now() + timedelta(minutes=2)
            connection.execute(update(table).where(table.c.id == due[0]).values(not_before=later))
        gather(connection, due[0], clock.now())

        sizes = select(func.cardinality(table.c.message_ids)).where(table.c.state == "ready")
        assert [1, 1, 1] == list(connection.execute(sizes).scalars())


def test_a_new_version_has_a_run_of_its_own(shop, clock):
    """
    Orders after a change of files go out in the new words; the former run ends when it has nothing open.
    """
    before = shop.order("a")
    shop.rewrite("templates/receipt.html", "thank you", "many thanks")
    after = shop.order("b")
    assert before.run_id != after.run_id
    with shop.database.begin() as connection:
        assert [] == finish_superseded(connection, clock.now())
    with serving() as server:
        shop.send_due(shop.courier(server))
        said = sorted("many thanks" in mail.content.decode() for mail in server.received)
    with shop.database.begin() as connection:
        assert [before.run_id] == finish_superseded(connection, clock.now())
        assert [] == batches.finish_runs(connection, clock.now())

    assert [False, True] == said
    assert ["finished", "running"] == [shop.status(one.run_id).state for one in (before, after)]
    assert not shop.order("a").is_new


def test_a_paused_campaign_takes_orders_and_keeps_them(shop, clock):
    """
    Paused, it waits; cancelled, what waited is skipped, and a later order begins anew.
    """
    first = shop.order("a")
    with shop.database.begin() as connection:
        control.order(connection, "receipt", "pause", actor="ann", now=clock.now())
    second = shop.order("b")
    with serving() as server:
        assert [] == shop.send_due(shop.courier(server))
        with shop.database.begin() as connection:
            control.order(connection, "receipt", "cancel", actor="ann", now=clock.now())
        third = shop.order("c")
        shop.send_due(shop.couriers[-1])

    assert first.run_id == second.run_id != third.run_id
    assert ["cancelled", "cancelled", None] == [shop.message(p.message_id).skip_reason for p in (first, second, third)]


def test_an_order_holds_its_run_open(shop, database, clock):
    """
    A run is not ended while an order for it is being written.
    """
    of_former = shop.order("a")
    former = files.load(shop.workspace)
    with database.begin() as connection:
        connection.execute(update(schema.batch).values(state="done"))
        connection.execute(update(schema.message).values(state="failed"))
    shop.rewrite("templates/receipt.html", "thank you", "many thanks")
    shop.order("b")
    with database.begin() as ordering:
        posted = post(ordering, standing(ordering, former, "receipt"), shop.ann, key="c", given=GIVEN, now=clock.now())
        with database.begin() as connection:
            assert [] == finish_superseded(connection, clock.now())
    with database.begin() as connection:
        assert [] == finish_superseded(connection, clock.now())

    assert of_former.run_id == posted.run_id


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"key": ""}, UsageError),
        ({"key": "a\nb"}, UsageError),
        ({"key": "k" * 201}, UsageError),
        ({"given": {"total": float("nan")}}, UsageError),
        ({"given": {"total": "a\x00b"}}, UsageError),
        ({"given": {"letter": "a" * 70_000}}, UsageError),
        ({"given": {"file": object()}}, UsageError),
        ({"customer_id": 999_999}, NotFound),
    ],
)
def test_what_cannot_be_kept_is_refused(shop, change, error):
    """
    Keys and values that the ledger cannot hold are named before anything is written.
    """
    with pytest.raises(error):
        shop.order(**change)
    with shop.database.begin() as connection:
        assert 0 == connection.execute(select(func.count()).select_from(schema.message)).scalar_one()


def test_a_broadcast_takes_no_orders(shop):
    """
    A campaign with an audience is not sent to one person.
    """
    with shop.database.begin() as connection, pytest.raises(PlanError, match="expected 'transactional'"):
        standing(connection, files.load(shop.workspace), "spring-paper")


def test_templates_are_checked_for_their_class(shop):
    """
    `given` is for transactional campaigns alone, and what is owed has no unsubscribe link.
    """
    shop.rewrite("templates/spring-paper.html", "Good morning", "Order {{ given.order_number }}")
    shop.rewrite("templates/receipt.html", "<p>thank", '<a href="{{ unsubscribe_url }}">No more</a><p>thank')
    _, problems = files.examine(shop.workspace)

    assert [
        ("templates/receipt.html", 6, "'unsubscribe_url' is not known here"),
        ("templates/spring-paper.html", 6, "'given' is not known here"),
    ] == [(p.file, p.line, p.message) for p in problems]
    assert "thank you" in TEMPLATE
