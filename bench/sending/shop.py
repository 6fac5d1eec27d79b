"""The workspace that is measured: one settings file, one mailing of about 7 KB, customers by COPY."""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from core import embedded
from core.database import Database, analyze, copy_rows, open_database
from core.ids import address_key
from core.workspace import Workspace

_SETTINGS = """\
organisation: {{name: "Paper & Co", postal_address: "1 Mill Lane, 12345 Papertown"}}
secret: "0123456789abcdef0123456789abcdef"
senders:
  offers: {{name: "Paper & Co", email: offers@paper.example, reply_to: help@paper.example}}
transports:
  main: {{url: "smtp://127.0.0.1:{port}", connections: {connections}, messages_per_connection: 1000000}}
topics:
  promotions: {{label: "Offers and promotions"}}
tracking: {{base_url: "https://news.paper.example"}}
workers: {{processes: {processes}, batch_size: {batch_size}}}
duplicates: {{piece_memory: none}}  # every round sends the same piece
"""
_SEGMENT = 'description: Everybody with an account\nwhere: external_id != ""\n'
_CAMPAIGN = """\
kind: broadcast
topic: promotions
audience: {segment: everybody}
send: {template: offer.html, from: offers}
"""
_LONG_AGO: Final = datetime(2025, 1, 1, tzinfo=UTC)
_DOMAINS: Final = 50
_CITIES = ("Papertown", "Old Mill", "Inkwell", "Quill upon Reed")
_THINGS = ("grey folders", "copy paper", "envelopes", "toner")


@dataclass(frozen=True, slots=True)
class Shape:
    """How the workspace sends. `connections` are those of each worker process."""

    port: int
    connections: int = 10
    processes: int = 2
    batch_size: int = 500


@dataclass(frozen=True, slots=True)
class Shop:
    """A workspace with services of its own and customers in it; campaigns are added one by one."""

    workspace: Workspace
    database: Database
    size: int  # customers who may be written to

    def add_campaign(self, name: str) -> str:
        """The campaign's file is there; its name is returned."""
        (self.workspace.root / "campaigns" / f"{name}.yaml").write_text(_CAMPAIGN, encoding="utf-8")
        return name


@contextlib.contextmanager
def opened(size: int, shape: Shape) -> Iterator[Shop]:
    """A shop with `size` customers who may be written to and a tenth more who may not; destroyed with the block."""
    with tempfile.TemporaryDirectory(prefix="clarion-bench-") as folder:
        workspace = _workspace(Path(folder), shape)
        try:
            embedded.ensure_valkey(workspace)
            database = open_database(workspace)
            _fill(database, workspace.secret, size)
            yield Shop(workspace, database, size)
            database.dispose()
        finally:
            embedded.destroy(workspace)


def _workspace(folder: Path, shape: Shape) -> Workspace:
    template = Path(__file__).with_name("offer.html").read_text(encoding="utf-8")
    settings = _SETTINGS.format(
        port=shape.port, connections=shape.connections, processes=shape.processes, batch_size=shape.batch_size
    )
    files = {"clarion.yaml": settings, "segments/everybody.yaml": _SEGMENT, "templates/offer.html": template}
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    (folder / "campaigns").mkdir()
    return Workspace(folder)


def _fill(database: Database, secret: bytes, size: int) -> None:
    """Of the tenth more, one half never agreed and the other half opted out."""
    total, agreed = size + size // 10, size + size // 20
    with database.begin() as connection:
        copy_rows(connection, "customer", _CUSTOMER, (_customer(secret, n) for n in range(1, total + 1)))
        copy_rows(connection, "customer_metrics", _METRICS, (_metrics(n) for n in range(1, total + 1)))
        copy_rows(connection, "consent", _CONSENT, (_consent(n) for n in range(1, agreed + 1)))
        copy_rows(connection, "suppression", _OPT_OUT, (_opt_out(secret, n) for n in range(size + 1, agreed + 1)))
        connection.exec_driver_sql("SELECT setval(pg_get_serial_sequence('customer', 'id'), %s)", (total,))
        analyze(connection, "customer", "customer_metrics", "consent", "suppression")


def _email(n: int) -> str:
    return f"c{n}@d{n % _DOMAINS}.example"


_CUSTOMER = (
    "id", "external_id", "email", "address_key", "first_name", "last_name", "company", "country", "language", "zone",
    "owner", "attributes",
)  # fmt: skip


def _customer(secret: bytes, n: int) -> tuple[Any, ...]:
    attributes = (
        f'{{"city": "{_CITIES[n % 4]}", "street": "{n % 97 + 1} Mill Lane", "weekday": "Thursday", '
        f'"product": "{_THINGS[n % 4]}", "printer": "Laser {n % 31}", "colour": "green", "points": {n % 5000}, '
        f'"gift": "a box of {_THINGS[n % 4]}", "until": "30 April", "extension": "{100 + n % 800}"}}'
    )
    email = _email(n)
    return (
        n, f"C{n}", email, address_key(secret, email), f"Maria{n % 1000}", f"Reed-{n}", f"Mill {n} Ltd", "DE", "en",
        "Europe/Berlin", "Kim Baker", attributes,
    )  # fmt: skip


_METRICS = ("customer_id", "first_order_at", "last_order_at", "order_count", "monetary", "pyramid", "as_of")


def _metrics(n: int) -> tuple[Any, ...]:
    return n, _LONG_AGO, _LONG_AGO, 4 + n % 20, 100 + n % 9000, "small", _LONG_AGO


_CONSENT = ("customer_id", "topic", "state", "basis", "source", "captured_at")


def _consent(n: int) -> tuple[Any, ...]:
    return n, "promotions", "granted", "consent", "bench", _LONG_AGO


_OPT_OUT = ("address_key", "scope", "scope_name", "reason", "source")


def _opt_out(secret: bytes, n: int) -> tuple[Any, ...]:
    return address_key(secret, _email(n)), "topic", "promotions", "unsubscribed", "bench"
