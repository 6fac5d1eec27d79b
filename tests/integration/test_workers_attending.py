"""The scheduler tells a worker what came back, and the worker's task does what follows."""

from collections.abc import Callable

import pytest
from sqlalchemy import select

from campaigns.feedback import Receiver, take
from core import schema
from core.clock import SteppedClock
from core.database import Database
from core.errors import ConfigError
from core.workspace import Workspace
from reports.funnel import campaign_report
from tests.conftest import MINIMAL_SETTINGS
from tests.factories import make_customer, make_message, make_run
from tests.feedback_events import NOON, make_feedback
from tests.integration.test_campaigns_replies import READER, SETTINGS, mail_server, make_reply, sent
from workers.celery_app import ATTEND, TRANSACTIONAL, make_app
from workers.scheduler import Ticks
from workers.tasks import register


def test_a_worker_is_told_and_mails_the_notice(
    make_workspace: Callable[..., Workspace], database: Database, broker: str
) -> None:
    """
    A reply leads to one order to a worker, over the real broker, and its task delivers the notice.
    """
    app = make_app(broker)
    with app.connection_for_write() as connection:
        connection.default_channel.queue_purge(TRANSACTIONAL)
    with mail_server() as server:
        workspace = make_workspace(database=database, broker=broker, smtp_port=server.port, settings=SETTINGS)
        register(app, workspace)
        with database.begin() as connection:
            event = make_feedback("reply", sent(connection), address=READER, reply=make_reply())
            take(connection, [event], Receiver.of(workspace), NOON)
        ticks = Ticks(database, app, SteppedClock(NOON))
        told = [ticks.attend() for _ in range(3)]
        with app.connection_for_read() as link:
            order = link.default_channel.basic_get(TRANSACTIONAL, no_ack=True)
            left = link.default_channel.queue_declare(TRANSACTIONAL).message_count
        app.tasks[ATTEND](looks=True)
    with database.begin() as connection:
        states = list(connection.execute(select(schema.staff_notice.c.state)).scalars())

    assert ([True, False, False], ATTEND, 0) == (told, order.headers["task"], left)
    assert ["RCPT TO:<anna@paper.example>"] == [one.recipients[0].split(" NOTIFY")[0] for one in server.received]
    assert ["accepted"] == states


def test_reports_count_what_came_back(make_workspace: Callable[..., Workspace], database: Database) -> None:
    """
    The figures of delivery come from feedback, whatever codes it brings, and balance with the audience.
    """
    kinds = ["delivered", "delivered", "hard", "soft", "mailbox_full", "block", "complaint", "delayed"]
    with database.begin() as connection:
        run = make_run(connection)
        messages = [make_message(connection, run, make_customer(connection), accepted_at=NOON) for _ in kinds]
        told = [make_feedback(kind, each) for kind, each in zip(kinds, messages, strict=True)]
        take(connection, told, Receiver.of(make_workspace(database=database)), NOON)
        figures = campaign_report(connection, "spring-paper", now=NOON).figures

    # Who complained has got it.
    assert (8, 8, 3, 1, 2, 1) == (
        figures.audience, figures.accepted, figures.delivered, figures.bounced_hard, figures.bounced_soft,
        figures.complained,
    )  # fmt: skip
    assert figures.balances


@pytest.mark.parametrize("url", ["https://news.paper.example", "http://127.0.0.1:8025"])
def test_webhooks_without_signatures_over_the_event_need_https(
    make_workspace: Callable[..., Workspace], url: str
) -> None:
    """
    Mailgun and Postmark are heard over https only, but for this machine itself (S-4.14).
    """
    given = MINIMAL_SETTINGS + 'webhooks: {{mailgun: {{signing_key: "0123456789abcdef"}}}}\n'
    assert (
        make_workspace(settings=given + f"tracking: {{{{base_url: '{url}'}}}}\n").settings.webhooks.mailgun is not None
    )

    with pytest.raises(ConfigError, match=r"webhooks.mailgun: tracking.base_url is not https"):
        _ = make_workspace(settings=given + "tracking: {{base_url: 'http://news.paper.example'}}\n").settings
