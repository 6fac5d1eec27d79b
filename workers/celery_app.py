"""The Celery application: which broker, which queues, and how a task is taken.

The broker is only a bell. What there is to do is in the database; a broker that forgets loses nothing.
"""

from typing import Final

from celery import Celery

#: Names of the queues, most urgent first. A worker looks into them in this order.
QUEUES: Final = ("transactional", "calls", "bulk")
TRANSACTIONAL, CALLS, BULK = QUEUES
SEND_BATCH: Final = "clarion.send_batch"
ATTEND: Final = "clarion.attend"
CALL: Final = "clarion.call"


def make_app(broker_url: str) -> Celery:
    """A Celery application on the broker at `broker_url` (`redis://…`, or `unix://…` for a socket)."""
    app = Celery("clarion", broker=_kombu_url(broker_url))
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=True,  # every task is safe to repeat
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options={"queue_order_strategy": "priority", "visibility_timeout": 3600},
        task_default_queue="bulk",
    )
    return app


def _kombu_url(url: str) -> str:
    return "redis+socket://" + url.removeprefix("unix://") if url.startswith("unix://") else url
