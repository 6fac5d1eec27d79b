"""Other systems that are slow, silent, hostile or not meant any more hold up their own calls, and nobody else's."""

import socket
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta

import pytest
from sqlalchemy import text

from campaigns import attending
from campaigns.control import order
from campaigns.sequences import calling
from campaigns.sequences.calling import Pauses, make_calls
from campaigns.sequences.calls import is_due
from campaigns.sequences.http import Refused, is_public, post
from core.errors import ConfigError
from tests.conftest import MINIMAL_SETTINGS
from tests.factories import make_customer
from tests.sequence_files import Road, sequence
from workers.celery_app import CALL, CALLS, make_app
from workers.scheduler import Ticks
from workers.tasks import register

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
TWO = """
hook: {webhook: {endpoint: crm}}
other: {webhook: {endpoint: erp}}
"""


@contextmanager
def answering(answer, *, until=None):
    """The URL of a server that gives this answer; or byte after byte of it, until the event is set; None: none."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0), backlog=200) as server:

        def serve():
            with ExitStack() as kept:
                threads = []
                while not ended.is_set():
                    link = kept.enter_context(server.accept()[0])
                    if answer is not None and not ended.is_set():
                        threads.append(threading.Thread(target=reply, args=(link,)))
                        threads[-1].start()
                for thread in threads:
                    thread.join()

        def reply(link):
            with suppress(OSError):
                link.recv(65536)
                for part in [answer] if until is None else [bytes([byte]) for byte in answer]:
                    if until is not None and until.wait(0.1):
                        return
                    link.sendall(part)
                link.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        finally:
            ended.set()
            socket.create_connection(server.getsockname()).close()
            thread.join()


def road(make_workspace, database, clock, steps, people=1, **endpoints):
    """A sequence whose steps were done for so many people, with these endpoints: URLs, or URLs with more."""
    lines = "".join(
        f'  {name}: {{{{url: "{url}", secret: "0123456789abcdef", internal: true, timeout: 1s}}}}\n'
        for name, url in endpoints.items()
    )
    settings = f"{MINIMAL_SETTINGS}endpoints:\n{lines}"
    way = Road(lambda **given: make_workspace(**given, settings=settings), database, clock, sequence(steps))
    with database.begin() as connection:
        for _ in range(people):
            make_customer(connection)
    way.tick()
    return way


def states(way):
    """Endpoint, state and number of calls."""
    query = "SELECT endpoint, state, count(*) FROM webhook_call GROUP BY 1, 2 ORDER BY 1, 2"
    return [tuple(row) for row in way.rows(query)]


def test_an_endpoint_that_never_answers_holds_up_its_own_calls_alone(make_workspace, database, clock):
    """
    Of forty calls of a silent endpoint five are tried, then it is left alone; every call of the other one is made.
    """
    with answering(None) as silent, answering(OK) as good:
        way = road(make_workspace, database, clock, TWO, people=40, crm=silent, erp=good)
        pauses = Pauses()

        assert 40 == make_calls(way.workspace, database, clock, pauses)
        assert [("crm", "planned", 40), ("erp", "accepted", 40)] == states(way)
        tried = way.rows("SELECT count(*) FROM webhook_call WHERE endpoint = 'crm' AND attempt_count > 0")
        assert 5 == tried[0][0]
        assert 0 == make_calls(way.workspace, database, clock, pauses)
        clock.step(timedelta(seconds=10))
        assert 0 == make_calls(way.workspace, database, clock, pauses)
        tried = way.rows("SELECT sum(attempt_count) FROM webhook_call WHERE endpoint = 'crm'")
        assert 6 == tried[0][0]


def test_a_clock_set_back_ends_the_pause_of_an_endpoint(clock):
    """
    S-8.10: an endpoint that is left alone is tried when the clock says an hour less, and then left alone anew.
    """
    pauses, noon = Pauses(), clock.now()
    pauses.note("crm", noon, was_heard=False)
    before = noon - timedelta(hours=1)

    assert [0, 1] == [pauses.room("crm", noon), pauses.room("crm", before)]
    pauses.note("crm", before, was_heard=False)
    assert [0, 1] == [pauses.room("crm", before), pauses.room("crm", before + timedelta(seconds=30))]


def test_calls_under_way_elsewhere_count(make_workspace, database, clock):
    """
    An endpoint has five calls under way in all workers together.
    """
    with answering(OK) as good:
        way = road(make_workspace, database, clock, "hook: {webhook: {endpoint: crm}}", people=7, crm=good)
        with database.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE webhook_call SET state = 'handed_over', not_before = not_before + interval '1 minute' "
                "WHERE id IN (SELECT id FROM webhook_call ORDER BY id LIMIT 5)"
            )
        assert 0 == make_calls(way.workspace, database, clock)
        clock.step(timedelta(minutes=1))
        assert 7 == make_calls(way.workspace, database, clock)


def test_the_whole_exchange_has_one_deadline():
    """
    Who sends a byte now and then is left when the time is over, not when he has finished.
    """
    ended = threading.Event()
    with answering(OK * 20, until=ended) as url:
        begun = time.monotonic()
        with pytest.raises(Refused, match="TimeoutError"):
            post(url, b"{}", {}, timeout=timedelta(seconds=1), internal=True)
        took = time.monotonic() - begun
        ended.set()

    assert took < 3  # it would be ten


def test_the_status_counts_though_the_rest_never_comes():
    """
    An answer is known by its status: what follows may break off.
    """
    ended = threading.Event()
    with answering(b"HTTP/1.1 200 OK\r\n\r\n" + b"." * 100, until=ended) as url:
        post(url, b"{}", {}, timeout=timedelta(seconds=2.5), internal=True)
        ended.set()


@pytest.mark.parametrize(
    ("reason", "said"), [(b"a\x00b", "500 a b"), (b"\x1b[2Jx\xff", "500 [2Jxÿ"), (b"\x85\x9b", "500 ")]
)
def test_a_hostile_reason_is_kept_without_its_control_characters(make_workspace, database, clock, reason, said):
    """
    The call is tried again like any other, and its fault can be stored and shown.
    """
    with answering(b"HTTP/1.1 500 " + reason + b"\r\nContent-Length: 0\r\n\r\n") as url:
        way = road(make_workspace, database, clock, "hook: {webhook: {endpoint: crm}}", crm=url)
        make_calls(way.workspace, database, clock)

    (state, fault), *_ = way.rows("SELECT state, fault FROM webhook_call")
    assert ("planned", f"127.0.0.1 answered {said}".strip()) == (state, fault.strip())


def test_a_call_that_cannot_be_made_is_refused_like_any_other(make_workspace, database, clock, monkeypatch, caplog):
    """
    A mistake of ours in one call is logged; the calls beside it are made.
    """
    with answering(OK) as url:
        way = road(make_workspace, database, clock, TWO, crm=url, erp=url)
        made = calling.signature
        monkeypatch.setattr(calling, "signature", lambda secret, body, now: made(secret, _not_crm(body), now))

        assert 1 == make_calls(way.workspace, database, clock)
    assert [("crm", "planned", 1), ("erp", "accepted", 1)] == states(way)
    assert any("could not be made" in record.message and record.exc_info for record in caplog.records)


def _not_crm(body):
    if b'"hook"' in body:
        raise ZeroDivisionError
    return body


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/hä", f"http://{'a' * 64}.example/", "http://.example/"])
def test_what_cannot_be_written_out_is_refused(make_workspace, url):
    """
    Settings do not take such a URL; and should one come through, its call is refused.
    """
    with pytest.raises(Refused, match="cannot be reached"):
        post(url, b"{}", {}, timeout=timedelta(seconds=1), internal=True)
    text = f'{MINIMAL_SETTINGS}endpoints:\n  crm: {{{{url: "{url}", secret: "0123456789abcdef"}}}}\n'
    with pytest.raises(ConfigError, match=r"endpoints\.crm\.url"):
        _ = make_workspace(settings=text).settings


def test_the_slash_at_the_end_of_a_url_stays(make_workspace):
    """
    It is part of the address that is called; only the beginning of our own pages goes without.
    """
    text = (
        f"{MINIMAL_SETTINGS}tracking: {{{{base_url: 'https://news.example/'}}}}\n"
        'endpoints:\n  crm: {{url: "https://crm.example/hooks/", secret: "0123456789abcdef"}}\n'
    )
    settings = make_workspace(settings=text).settings

    assert ("https://crm.example/hooks/", "https://news.example") == (
        settings.endpoints["crm"].url, settings.tracking.base_url,
    )  # fmt: skip


@pytest.mark.parametrize(
    "address",
    [
        "::7f00:1",
        "64:ff9b:1::a00:1",
        "fec0::1",
        "::ffff:0:127.0.0.1",
        "::",
        "fe80::1%eth0",
        "64:ff9b::7f00:1",
        "100::1",
    ],
)
def test_addresses_that_only_look_public_are_not(address):
    """
    What was never given out to the open Internet is none of it, and what carries a private address is private.
    """
    assert not is_public(address)
    assert is_public("2606:2800:220:1:248:1893:25c8:1946")
    assert is_public("64:ff9b::5db8:d822")


def test_calls_of_a_paused_sequence_wait(make_workspace, database, clock):
    """
    None goes out while the sequence is paused, and all of them once it was resumed.
    """
    with answering(OK) as url:
        way = road(make_workspace, database, clock, "hook: {webhook: {endpoint: crm}}", people=2, crm=url)
        with database.begin() as connection:
            order(connection, "nurture", "pause", actor="anna", now=clock.now())
        assert 0 == make_calls(way.workspace, database, clock)
        with database.begin() as connection:
            assert not is_due(connection, clock.now())
            order(connection, "nurture", "resume", actor="anna", now=clock.now())
        clock.step(timedelta(minutes=1))
        assert 2 == make_calls(way.workspace, database, clock)


@pytest.mark.parametrize("state", ["planned", "handed_over"])
def test_calls_of_a_cancelled_sequence_are_ended(make_workspace, database, clock, state):
    """
    None goes out any more, not even when the sequence is applied anew: neither one that waits, nor one whose worker
    was lost.
    """
    with answering(OK) as url:
        way = road(make_workspace, database, clock, "hook: {webhook: {endpoint: crm}}", people=2, crm=url)
        with database.begin() as connection:
            order(connection, "nurture", "cancel", actor="anna", now=clock.now())
        assert 0 == make_calls(way.workspace, database, clock)
        way.tick()
        assert [("crm", "failed", 2)] == states(way)

        with database.begin() as connection:
            connection.execute(text("UPDATE webhook_call SET state = :state, answered_at = NULL"), {"state": state})
        way.apply()
        assert [("crm", "failed", 2)] == states(way)


def test_a_call_in_a_workers_hands_is_not_ended(make_workspace, database, clock):
    """
    Applying a cancelled sequence anew leaves the worker what it is at: it says what became of it.
    """
    way = road(make_workspace, database, clock, "hook: {webhook: {endpoint: crm}}", crm="http://127.0.0.1:9/")
    with database.begin() as connection:
        order(connection, "nurture", "cancel", actor="anna", now=clock.now())
        lease = {"until": clock.now() + timedelta(minutes=1)}
        connection.execute(text("UPDATE webhook_call SET state = 'handed_over', not_before = :until"), lease)
    way.apply()

    assert [("crm", "handed_over", 1)] == states(way)


def test_calls_have_a_queue_of_their_own(make_workspace, database, clock, broker):
    """
    The scheduler tells of them on it; the task that attends to transactional things has none of them to do.
    """
    app = make_app(broker)
    with app.connection_for_write() as connection:
        connection.default_channel.queue_purge(CALLS)
    with answering(OK) as url:
        way = road(make_workspace, database, clock, "hook: {webhook: {endpoint: crm}}", crm=url)
        register(app, way.workspace)
        with database.begin() as connection:
            assert not attending.is_waiting(connection, clock.now())
        attending.attend_to(way.workspace, database, clock)
        assert [("crm", "planned", 1)] == states(way)

        ticks = Ticks(database, app, clock)
        told = [ticks.call() for _ in range(3)]
        with app.connection_for_read() as link:
            ordered = link.default_channel.basic_get(CALLS, no_ack=True)
        app.tasks[CALL]()

    assert ([True, False, False], CALL) == (told, ordered.headers["task"])
    assert [("crm", "accepted", 1)] == states(way)
