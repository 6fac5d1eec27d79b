"""Rates, measured where they count: at the mail server, while two workers send to it (S-8.12)."""

import asyncio
import contextlib
import threading
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import insert

from core import schema
from core.database import analyze
from demo.inbox import read_index
from tests.campaign_files import CAMPAIGN, FILES
from tests.conftest import MINIMAL_SETTINGS
from tests.factories import LONG_AGO, key_of
from tests.processes import answers, clarion, clarion_json, clarion_process, free_port, started, wait_for
from tests.smtp_server import ScriptedServer

pytestmark = pytest.mark.slow
WINDOWS_S = (5, 10, 30)


def populate(database, people: dict[str, int]) -> None:
    """Customers who agreed, so many of each domain, one after the other in turn."""
    emails = [f"p{n}@{domain}" for domain, count in people.items() for n in range(count)]
    emails.sort(key=lambda email: (int(email[1:].partition("@")[0]) / people[email.partition("@")[2]], email))
    rows = [
        {"id": n, "external_id": f"C{n}", "email": email, "address_key": key_of(email)}
        for n, email in enumerate(emails, 1)
    ]
    agreed = [
        {
            "customer_id": row["id"], "topic": "promotions", "state": "granted", "basis": "consent",
            "source": "test", "captured_at": LONG_AGO,
        }
        for row in rows
    ]  # fmt: skip
    with database.begin() as connection:
        connection.execute(insert(schema.customer), rows)
        connection.execute(insert(schema.consent), agreed)
        analyze(connection, "customer", "consent")


@contextlib.contextmanager
def sending(workspace, store: Path, port: int):
    """Two workers, a scheduler and a mail server; the campaign is under way."""
    store.mkdir()
    inbox = ["-m", "demo.inbox", "--port", str(port), "--store", str(store)]
    worker = clarion_process(workspace, "worker", "--processes", "2", present="worker")
    scheduler = clarion_process(workspace, "scheduler", present="scheduler")
    with started(inbox, store.parent / "inbox.log", ready=lambda: answers(port)), worker, scheduler:
        clarion(workspace, "send", "spring-paper", "--yes")
        yield


def arrivals(store: Path) -> dict[str, list[float]]:
    """When mails came to the server, in seconds, by recipient domain and altogether (`*`)."""
    found: dict[str, list[float]] = {"*": []}
    for mail in read_index(store):
        for name in ("*", mail.recipients[0].partition("@")[2]):
            found.setdefault(name, []).append(mail.received_at.timestamp())
    return found


def fastest(times: list[float], window_s: float) -> float:
    """The most mails a second that any window of this length saw."""
    most = first = 0
    for last, at in enumerate(times):
        while at - times[first] >= window_s:
            first += 1
        most = max(most, last - first + 1)
    return most / window_s


def figures(name: str, times: list[float]) -> dict[int, float]:
    found = {window_s: fastest(times, window_s) for window_s in WINDOWS_S}
    mean = (len(times) - 1) / (times[-1] - times[0])
    shown = ", ".join(f"{rate:.2f}/s in {window_s} s" for window_s, rate in found.items())
    print(f"{name}: {len(times)} mails in {times[-1] - times[0]:.1f} s = {mean:.2f}/s; fastest {shown}")
    return found


def until(seconds: float, store: Path) -> None:
    """Comes back when mails have come to the server for so long."""

    def lasted() -> bool:
        times = [mail.received_at.timestamp() for mail in read_index(store)]
        return bool(times) and times[-1] - times[0] >= seconds

    wait_for(lasted, f"{seconds} s of mail", timeout_s=seconds + 60)


def test_two_workers_keep_the_rates_of_a_transport_and_of_a_domain(make_workspace, database, broker, tmp_path):
    """
    100/s for the transport and 10/s for one domain: over 30 seconds neither is exceeded at the server, and both are
    used; the ledger balances meanwhile and the worker's log tells of no mistake.
    """
    port, store = free_port(), tmp_path / "inbox"
    limits = "domains: {{slow.example: {{rate: 10/s}}}}\n"
    settings = MINIMAL_SETTINGS.replace("connections: 4}}", "connections: 4, rate: 100/s}}") + limits
    workspace = make_workspace(database=database, broker=broker, smtp_port=port, files=FILES, settings=settings)
    populate(database, {"slow.example": 1000, "fast.example": 4000})

    with sending(workspace, store, port):
        until(35, store)
        clarion(workspace, "status", "--check")
        found = arrivals(store)
        assert "Traceback" not in (workspace.root / "worker.log").read_text()

    everything, slow = figures("transport", found["*"]), figures("slow.example", found["slow.example"])
    assert 30 <= everything[30] < 102  # the lower bounds leave room for a machine that is busy otherwise
    assert 3 <= slow[30] < 10.3
    assert everything[5] <= 115
    assert slow[5] <= 11.6
    assert 1 == max(Counter(mail.recipients for mail in read_index(store)).values())


def test_other_domains_go_at_full_speed_beside_a_slow_one(make_workspace, database, broker, tmp_path):
    """
    Only one domain is limited: the other's thousands do not wait for it (a tenth of a mail's time each), and the
    slow ones keep their rate before and after.
    """
    port, store = free_port(), tmp_path / "inbox"
    settings = MINIMAL_SETTINGS + "domains: {{slow.example: {{rate: 10/s}}}}\n"
    workspace = make_workspace(database=database, broker=broker, smtp_port=port, files=FILES, settings=settings)
    populate(database, {"slow.example": 400, "fast.example": 8000})

    with sending(workspace, store, port):
        wait_for(lambda: len(arrivals(store).get("fast.example", [])) == 8000, "everybody at the fast domain")
        until(20, store)
        clarion(workspace, "status", "--check")
        found = arrivals(store)

    slow_times, fast = found["slow.example"], found["fast.example"]
    slow = figures("slow.example", slow_times)
    print(f"fast.example: {len(fast) / (fast[-1] - fast[0]):.0f}/s")
    assert len(fast) / (fast[-1] - fast[0]) > 100
    assert fast[-1] < slow_times[-1]
    assert slow[10] < 11


@contextlib.contextmanager
def scripted(server: ScriptedServer):
    """The server answers, on an event loop of its own."""
    loop = asyncio.new_event_loop()
    loop.run_until_complete(server.__aenter__())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.__aexit__(None, None, None), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_transport_that_does_not_relay_is_held_and_everybody_gets_mail(make_workspace, database, broker, tmp_path):
    """
    The first of two servers refuses to relay: its transport is held, everybody's mail goes through the second, nobody
    failed and nobody is suppressed. Mended and resumed, the first one carries its share again.
    """
    port, store, first_port = free_port(), tmp_path / "inbox", free_port()
    ways = f'first: {{{{url: "smtp://127.0.0.1:{first_port}"}}}}\n  main:'
    more = "routes: {{default: {{first: 3, main: 1}}}}\nduplicates: {{piece_memory: none}}\n"
    settings = MINIMAL_SETTINGS.replace("main:", ways) + more
    files = FILES | {"campaigns/autumn-paper.yaml": CAMPAIGN}
    workspace = make_workspace(database=database, broker=broker, smtp_port=port, files=files, settings=settings)
    populate(database, {"a.example": 3000})

    def finished(campaign: str) -> bool:
        return clarion_json(workspace, "status", campaign)["state"] == "finished"

    refusing = ScriptedServer({"mail": b"550 5.7.1 relaying denied"}, port=first_port)
    with scripted(refusing) as first, sending(workspace, store, port):
        wait_for(lambda: finished("spring-paper"), "the run to finish")
        status = clarion_json(workspace, "status", "spring-paper")
        held = clarion_json(workspace, "transport", "list")["transports"][0]
        unwell = {check["check"]: check for check in clarion_json(workspace, "doctor", expect=1)["checks"]}
        refused = len(first.conversations)
        first.script.clear()
        clarion(workspace, "transport", "resume", "first")
        resumed = clarion_json(workspace, "transport", "list")["transports"][0]
        clarion(workspace, "send", "autumn-paper", "--yes")
        wait_for(lambda: finished("autumn-paper"), "the second run to finish")
        again = clarion_json(workspace, "status", "autumn-paper")

    assert (3000, 0, 0, True) == (status["accepted"], status["failed"], status["unknown"], status["balanced"])
    assert ("first", "held", "breaker") == (held["transport"], held["state"], held["by"])
    assert "transport first is held" in unwell["transport first"]["detail"]
    assert refused >= 1
    assert "free" == resumed["state"]
    assert 3000 == again["accepted"]
    assert 3000 == len(first.received) + len(arrivals(store)["*"]) - 3000
    assert len(first.received) >= 1500
    with database.begin() as connection:
        assert [] == connection.execute(schema.suppression.select()).all()
