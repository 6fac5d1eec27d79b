"""Our mailing sent by listmonk: the same people, values and links, in a PostgreSQL like ours, set up for speed."""

import contextlib
import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import text

from bench.sending import usage
from bench.sending.listmonk.program import Installation, Program
from bench.sending.shop import Shop
from bench.sending.tools import Sink
from bench.sending.traffic import Traffic, watched
from core import embedded
from core.database import Database, analyze, copy_rows
from core.embedded import places, postgres
from core.workspace import Workspace

#: listmonk asks for the extension pgcrypto, which ours lacks, for the passwords of its staff: here nobody logs in.
_STAND_IN: Final = (
    "CREATE FUNCTION crypt(text, text) RETURNS text LANGUAGE sql AS 'SELECT $1'",
    "CREATE FUNCTION gen_salt(text) RETURNS text LANGUAGE sql AS 'SELECT $1'",
    """INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
       VALUES (9999, 'pgcrypto', 10, 'public'::regnamespace, true, '1.3')""",
)
#: Numbers and dates are written beforehand: a template of listmonk's would have to do it for every message.
_PEOPLE: Final = text("""
    SELECT c.id, gen_random_uuid()::text, c.email, c.first_name || ' ' || c.last_name,
           (c.attributes || jsonb_build_object(
               'company', c.company, 'owner', c.owner, 'external_id', c.external_id, 'language', c.language,
               'order_count', m.order_count, 'monetary', to_char(m.monetary, 'FM"€"999,990.00'),
               'last_order_at', to_char(m.last_order_at, 'FMMonth FMDD, YYYY'),
               'points', to_char((c.attributes->>'points')::int, 'FM999,990')))::text
    FROM customer c JOIN customer_metrics m ON m.customer_id = c.id
    WHERE c.id <= :size ORDER BY c.id
""")
_EVERYBODY: Final = (
    "INSERT INTO lists (id, uuid, name, type) VALUES (100, gen_random_uuid(), 'everybody', 'private')",
    "INSERT INTO subscriber_lists (subscriber_id, list_id, status) SELECT id, 100, 'confirmed' FROM subscribers",
    "INSERT INTO templates (id, name, subject, body) VALUES (100, 'bare', '', '{{ template \"content\" . }}')",
)
_SETTING: Final = text("UPDATE settings SET value = CAST(:value AS jsonb) WHERE key = :key RETURNING key")
_CAMPAIGN: Final = text("""
    WITH added AS (
        INSERT INTO campaigns (uuid, name, subject, from_email, headers, body, altbody, content_type, messenger,
                               template_id)
        VALUES (gen_random_uuid(), :name, :subject, 'Paper & Co <offers@paper.example>',
                '[{"Reply-To": "help@paper.example"}]', :html, :text, 'html', 'email', 100)
        RETURNING id
    )
    INSERT INTO campaign_lists (campaign_id, list_id, list_name) SELECT id, 100, 'everybody' FROM added
    RETURNING campaign_id
""")
_SUBJECT: Final = '{{ or .Subscriber.FirstName "Hello" }}, {{ .Subscriber.Attribs.city }}: ten boxes, one delivery'
_START: Final = text("UPDATE campaigns SET status = 'running' WHERE id = :id")
_STATUS: Final = text("SELECT status FROM campaigns WHERE id = :id")


@dataclass(frozen=True, slots=True)
class Sent:
    """One campaign of listmonk's. CPU seconds are those of sending alone, by group."""

    traffic: Traffic
    cpu_s: dict[str, float]
    peak_mb: float


def settings(size: int, connections: int) -> dict[str, Any]:
    """listmonk's settings that differ from what it is delivered with, all but its SMTP server.

    A worker sleeps for a second after `message_rate` messages, and the queue in memory holds twice that many for each:
    so it is twice a worker's share.
    """
    return {
        "app.concurrency": connections,
        "app.message_rate": max(1000, 2 * size // connections),
        "app.batch_size": 5000,
        "app.check_updates": False,
        "app.root_url": "https://news.paper.example",
        "privacy.individual_tracking": True,
    }


def _server(port: int, connections: int) -> dict[str, Any]:
    return {
        "enabled": True, "host": "127.0.0.1", "port": port, "auth_protocol": "none", "tls_type": "none",
        "max_conns": connections, "idle_timeout": "15s", "wait_timeout": "30s", "max_msg_retries": 2,
        "msg_retry_delay": "10ms", "email_headers": [], "from_addresses": [],
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rival:
    """listmonk with the people of a shop on a list."""

    installation: Installation
    database: Database
    postgres: int
    size: int

    def send(self, campaign: str, sink: int) -> Sent:
        """A campaign is sent to everybody by a process that was started for it."""
        campaign_id = self._drafted(campaign)
        with self.installation.running() as process, watched(sink) as readings:
            groups = {"listmonk": process, "postgresql": self.postgres, "sink": sink}
            before = usage.cpu_by_group(groups)
            self._do(_START, id=campaign_id)
            self._finish(campaign_id)
            cpu = {name: used - before[name] for name, used in usage.cpu_by_group(groups).items()}
            peak_mb = usage.peak_mb(process)
        return Sent(Traffic.of(readings, self.size), cpu, peak_mb)

    def _drafted(self, name: str) -> int:
        here = Path(__file__).parent
        html, plain = ((here / file).read_text(encoding="utf-8") for file in ("offer.html", "offer.txt"))
        return int(self._do(_CAMPAIGN, name=name, subject=_SUBJECT, html=html, text=plain))

    def _finish(self, campaign_id: int) -> None:
        while (status := self._do(_STATUS, id=campaign_id)) == "running":
            time.sleep(0.1)
        if status != "finished" or "error" in self.installation.log.read_text(errors="replace"):
            raise self.installation.failed(f"the campaign is {status}")

    def _do(self, statement: Any, **given: Any) -> Any:
        with self.database.begin() as connection:
            done = connection.execute(statement, given)
            return done.scalar() if done.returns_rows else None


@contextlib.contextmanager
def rival(program: Program, shop: Shop, sink: Sink, connections: int) -> Iterator[Rival]:
    """listmonk in a PostgreSQL of its own, which is destroyed with the block."""
    with tempfile.TemporaryDirectory(prefix="clarion-bench-listmonk-") as folder:
        workspace = Workspace(Path(folder))
        try:
            database = Database(embedded.ensure_postgres(workspace))
            with database.begin() as connection:
                for statement in _STAND_IN:
                    connection.exec_driver_sql(statement)
            at = places(workspace)
            installation = Installation.into(program, Path(folder), at.sockets)
            _fill(database, shop, settings(shop.size, connections) | {"smtp": [_server(sink.port, connections)]})
            yield Rival(installation, database, postgres.process(at) or 0, shop.size)
            database.dispose()
        finally:
            embedded.destroy(workspace)


def _fill(database: Database, shop: Shop, wanted: Mapping[str, Any]) -> None:
    with shop.database.begin() as ours:
        people = [tuple(row) for row in ours.execute(_PEOPLE, {"size": shop.size})]
    with database.begin() as connection:
        connection.exec_driver_sql("DELETE FROM subscribers")  # two examples
        copy_rows(connection, "subscribers", ("id", "uuid", "email", "name", "attribs"), people)
        for statement in _EVERYBODY:
            connection.exec_driver_sql(statement)
        for key, value in wanted.items():
            connection.execute(_SETTING, {"key": key, "value": json.dumps(value)}).one()
        analyze(connection, "subscribers", "subscriber_lists")
