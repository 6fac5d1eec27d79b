"""The public pages of a workspace as `clarion init` makes it, on a real server, and the mail they order."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import UUID

from sqlalchemy import func, select

import campaigns.starter
from campaigns import catalogue, versions
from core import schema
from core.clock import SteppedClock
from core.database import Database
from core.workspace import Workspace
from suppression.gate import skip_reason
from suppression.policy import Policy
from tests import factories
from tests.conftest import MINIMAL_SETTINGS
from tests.serving import FILES, Answer, ask, served
from tracking.timed_tokens import TimedPurpose, TimedTokens
from tracking.tokens import Signer
from web.app import create_app

_STARTER = Path(campaigns.starter.__file__).parent / "files"
NAMES = ("campaigns/confirm-sign-up.yaml", "campaigns/your-link.yaml", "templates/confirm-sign-up.html",
         "templates/your-link.html", "templates/layouts/notice.html")  # fmt: skip
#: Braces are doubled: the text goes through `str.format`.
SETTINGS = (
    MINIMAL_SETTINGS
    + """\
forms:
  newsletter:
    topics: [news, promotions]
    campaign: confirm-sign-up
    fields: [first_name, last_name, company]
  offers: {{topics: [promotions], campaign: confirm-sign-up}}
pages: {{preferences: your-link, export: your-link, erase: your-link, answer_s: 0}}
"""
)
GOOD = {"email": "ann@customers.example", "topics": "news", "agree": "yes"}


@dataclass(frozen=True, slots=True)
class Pages:
    """The pages, and what lies behind them."""

    base_url: str
    database: Database
    workspace: Workspace
    clock: SteppedClock

    @property
    def tokens(self) -> TimedTokens:
        return TimedTokens(self.workspace.secret)

    def get(self, path: str, **headers: str) -> Answer:
        """What a browser is shown at the path."""
        return ask(self.base_url + path, headers=headers)

    def post(self, path: str, fields: Any = None, **headers: str) -> Answer:
        """What a form answers; a field may have several values."""
        body = urlencode(fields or {}, doseq=True)
        return ask(self.base_url + path, "POST", body, {"Content-Type": "application/x-www-form-urlencoded"} | headers)

    def mails(self, campaign: str | None = None) -> list[Mapping[str, Any]]:
        """What was ordered, in order: id, address key, campaign, and the values given to the template."""
        message = schema.message
        query = select(message.c.id, message.c.address_key, message.c.campaign, message.c.given, message.c.state)
        with self.database.begin() as connection:
            rows = connection.execute(query.where(message.c.given.is_not(None)).order_by(message.c.id)).mappings().all()
        return [row for row in rows if campaign in (None, row["campaign"])]

    def mails_to(self, email: str) -> list[Mapping[str, Any]]:
        """Those to one address."""
        key: UUID = factories.key_of(email)
        return [mail for mail in self.mails() if mail["address_key"] == key]

    def path_in(self, mail: Mapping[str, Any]) -> str:
        """Where the link of a mail leads, on this server."""
        return urlsplit(mail["given"]["url"]).path

    def rows(self, table: Any) -> list[Mapping[str, Any]]:
        """Every row of a table."""
        with self.database.begin() as connection:
            order = list(table.primary_key.columns)
            return list(connection.execute(select(table).order_by(*order)).mappings().all())

    def counts(self) -> dict[str, int]:
        """The number of rows of every table."""
        with self.database.begin() as connection:
            return {
                name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for name, table in schema.metadata.tables.items()
            }

    def customer(self, **values: Any) -> int:
        """A customer."""
        with self.database.begin() as connection:
            return factories.make_customer(connection, **values)

    def mailed(self, customer_id: int) -> int:
        """A message of a real campaign to the customer, accepted long ago."""
        with self.database.begin() as connection:
            version = versions.store(connection, versions.pin(catalogue.load(self.workspace), "spring-paper"))
            run = factories.make_run(connection, version_id=version)
            return factories.make_message(connection, run, customer_id)

    def reasons(self, customer_id: int) -> dict[str, str | None]:
        """What the gate says to mail about each topic."""
        customer, now = schema.customer.c, self.clock.now()
        gates = [
            skip_reason(customer.id, customer.address_key, topic=topic, campaign="x", now=now, policy=Policy()).label(
                topic
            )
            for topic in ("news", "promotions")
        ]
        with self.database.begin() as connection:
            return dict(connection.execute(select(*gates).where(customer.id == customer_id)).mappings().one())

    def token(self, purpose: TimedPurpose, subject: int, **from_now: float) -> str:
        """A genuine token."""
        return self.tokens.sign(purpose, subject, self.clock.now() + timedelta(**(from_now or {"hours": 1})))

    @property
    def signer(self) -> Signer:
        return Signer(self.workspace.secret)


def workspace_files() -> dict[str, str]:
    """The campaigns the pages order mail from, as they are shipped, beside one that is sent to many."""
    return {**FILES, **{name: (_STARTER / name).read_text(encoding="utf-8") for name in NAMES}}


@contextlib.contextmanager
def public_pages(
    make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock, *, settings: str = SETTINGS,
    files: Mapping[str, str] | None = None,
) -> Iterator[Pages]:  # fmt: skip
    """The pages, running."""
    workspace = make_workspace(database=database, files={**workspace_files(), **(files or {})}, settings=settings)
    with served(create_app(workspace, database, clock)) as base_url:
        yield Pages(base_url, database, workspace, clock)
