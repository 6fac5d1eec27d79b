"""From a registration for an event to its accepted confirmation, while bulk mail goes out.

    PYTHONPATH=. python bench/registrations.py [--bulk 200000] [--registrations 200] [--every 0.1]

Real PostgreSQL (fsync on), Valkey, scheduler, two worker processes and Debian's `smtp-sink`. Every registration is one
call of `campaigns.events.registering.register` of another person, its time is that from the beginning of the call until
the ledger says that the server accepted the confirmation, calendar entry included. Results go to
bench/results/registrations.json.
"""

import argparse
import json
import statistics
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import text

from bench.sending import results, shop, tools
from bench.sending.shop import Shape, Shop
from bench.sending.whole_path import process_of
from campaigns import catalogue, whole_plan
from campaigns.duty import Circumstances
from campaigns.events.registering import Answer, Attendee, Order, Source, register
from core.addresses import parse_address
from tests.event_files import EVENT, FILES
from tests.processes import clarion, wait_for

_FILE: Final = Path(__file__).parent / "results" / "registrations.json"
_EVENT: Final = "paper-evening"
_ACCEPTED: Final = text("""
    SELECT r.id, m.accepted_at FROM registration AS r
    JOIN message AS m ON m.customer_id = r.customer_id AND m.campaign = 'event:paper-evening'
    WHERE m.state = 'accepted'
""")
_BULK: Final = text("SELECT count(*) FROM message WHERE campaign = 'bulk' AND state = 'accepted'")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bulk", type=int, default=200_000, help="messages of the broadcast")
    parser.add_argument("--registrations", type=int, default=200)
    parser.add_argument("--every", type=float, default=0.1, help="seconds between two of them")
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    with tools.sink(tools.Tools.find(None)) as sink, shop.opened(arguments.bulk, Shape(sink.port)) as here:
        _hold_event(here)
        here.add_campaign("bulk")
        with process_of(here, "worker"), process_of(here, "scheduler"):
            clarion(here.workspace, "send", "bulk", "--yes")
            wait_for(lambda: _bulk(here) > 0, "bulk to go")
            before, begun = _bulk(here), time.monotonic()
            started = _register(here, arguments.registrations, arguments.every)
            during, lasted = _bulk(here) - before, time.monotonic() - begun
            wait_for(lambda: len(_accepted(here)) == len(started), "the confirmations to be accepted")
            accepted = _accepted(here)
    taken = sorted((accepted[number] - at).total_seconds() for number, at in started.items())
    _tell(taken, during, lasted, arguments.bulk)


def _hold_event(here: Shop) -> None:
    """The event is open, next year, with seats for everybody."""
    event = EVENT.replace("2026-03-20", f"{datetime.now(UTC).year + 1}-03-20").replace(
        "capacity: 2", "capacity: 100000"
    )
    for name, content in (FILES | {"events/paper-evening.yaml": event}).items():
        path = here.workspace.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    files, now = catalogue.load(here.workspace), datetime.now(UTC)
    with here.database.begin() as connection:
        document = whole_plan.to_file(whole_plan.make(connection, files, (_EVENT,), now))
        whole_plan.apply_document(connection, files, document, now)


def _register(here: Shop, count: int, every: float) -> dict[int, datetime]:
    """When each registration began, by its number."""
    circumstances, started = Circumstances.of(here.workspace), {}
    for number in range(count):
        due, now = time.monotonic() + every, datetime.now(UTC)
        attendee = Attendee(parse_address(f"guest{number}@guests.example"))
        order = Order((attendee,), Source.PAGE, f"form-{number}")
        with here.database.begin() as connection:
            done = register(connection, circumstances, _EVENT, order, now)
        assert done.answer is Answer.RECEIVED
        started[done.placed[0].registration_id] = now
        time.sleep(max(0.0, due - time.monotonic()))
    return started


def _accepted(here: Shop) -> Mapping[int, datetime]:
    with here.database.begin() as connection:
        return {row.id: row.accepted_at for row in connection.execute(_ACCEPTED)}


def _bulk(here: Shop) -> int:
    with here.database.begin() as connection:
        return int(connection.execute(_BULK).scalar_one())


def _tell(taken: list[float], bulk: int, lasted: float, planned: int) -> None:
    figures: dict[str, Any] = {
        "registrations": len(taken), "p50_s": round(statistics.median(taken), 3),
        "p95_s": round(taken[int(len(taken) * 0.95)], 3), "max_s": round(taken[-1], 3), "bulk_planned": planned,
        "bulk_a_second_meanwhile": round(bulk / lasted),
    }  # fmt: skip
    print(json.dumps(figures, indent=2))
    stored = {"measured": f"{datetime.now(UTC):%Y-%m-%d}", "machine": results.machine(), **figures}
    _FILE.write_text(json.dumps(stored, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
