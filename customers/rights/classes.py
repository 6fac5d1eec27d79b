"""The classes of data that are kept for a time: which rows, since when, and what becomes of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from core.latest_word import outranks
from core.retention_settings import Retention
from customers.joining import INQUIRER, STRANGER


@dataclass(frozen=True, slots=True)
class Rule:
    """Rows of one table whose time is up. `where` names `:before`, the instant they must be older than."""

    table: str
    where: str
    becomes: str = ""  # the columns that are set; empty: the rows are deleted


@dataclass(frozen=True, slots=True)
class DataClass:
    """What `retention` of clarion.yaml calls by one name."""

    name: str
    rules: tuple[Rule, ...]

    def kept_for(self, settings: Retention) -> timedelta | None:
        """How long; None: for good."""
        length: timedelta | None = getattr(settings, self.name)
        return length


#: Also part of a rule: rows that have nothing to lose any more are not counted again.
_MASKED: Final = "regexp_replace({0}, '[^[:space:]<>\"'',;:()]+@', '…@', 'g')"
_NAMES_A_MAILBOX: Final = "{0} LIKE '%@%' AND {0} ~ '[^[:space:]<>\"'',;:()…]@'"

CLASSES: Final[Sequence[DataClass]] = (
    DataClass("origins", (
        Rule("hit", "occurred_at < :before AND (ip IS NOT NULL OR user_agent IS NOT NULL)",
             "ip = NULL, user_agent = NULL"),
    )),
    DataClass("inbound_mail", (
        Rule("inbound_mail", "received_at < :before AND state = 'handled' AND raw IS NOT NULL",
             "raw = NULL, envelope_to = NULL"),
    )),
    DataClass("replies", (
        Rule("attempt", f"answered_at < :before AND {_NAMES_A_MAILBOX.format('reply')}",
             f"reply = {_MASKED.format('reply')}"),
        # The mark of an event that nothing may follow from stays as long as the event, which would count without it.
        Rule("feedback", "recorded_at < :before AND (diagnostic IS NOT NULL OR detail - 'unproven' <> '{}')",
             "diagnostic = NULL, detail = detail - ARRAY(SELECT jsonb_object_keys(detail - 'unproven'))"),
    )),
    DataClass("sign_ups", (
        Rule("sign_up", "requested_at < :before AND confirmed_at IS NULL"),
        Rule("customer", f"""created_at < :before AND NOT EXISTS (
            SELECT FROM sign_up WHERE sign_up.customer_id = customer.id AND sign_up.requested_at >= :before
        ) AND {STRANGER}"""),
    )),
    DataClass("inquirers", (Rule("customer", f"created_at < :before AND {INQUIRER}"),)),
    DataClass("activities", (Rule("activity", "occurred_at < :before AND name <> 'survey_answered'"),)),
    DataClass("consents", (
        Rule("consent", f"""captured_at < :before AND EXISTS (
            SELECT 1 FROM consent AS later
            WHERE later.customer_id = consent.customer_id AND later.channel = consent.channel
              AND later.topic = consent.topic AND later.state <> 'requested'
              AND {outranks("later", "consent")} AND later.captured_at < :before
        )"""),  # noqa: S608  made of our own names
    )),
    DataClass("requests", (Rule("rights_request", "coalesce(done_at, requested_at) < :before"),)),
    DataClass("tasks", (Rule("task", "done_at < :before AND state <> 'open'"),)),
    DataClass("inquiries", (Rule("inquiry", "answered_at < :before AND state <> 'open'"),)),
    DataClass("survey_answers", (
        Rule("survey_answer", "answered_at < :before"),
        Rule("activity", "name = 'survey_answered' AND occurred_at < :before"),
    )),
    DataClass("registrations", (Rule("registration", """EXISTS (
        SELECT 1 FROM event WHERE event.name = registration.event AND event.ends_at < :before
    )"""),)),
    DataClass("webhook_calls", (
        Rule("webhook_call", "created_at < :before AND state IN ('accepted', 'failed')"),
    )),
    DataClass("notices", (Rule("staff_notice", "sent_at < :before AND state = 'accepted'"),)),
    # Of a run that is under way its batches stay, but for a transactional one, which never ends.
    DataClass("batches", (
        Rule("batch", """state = 'done' AND not_before < :before AND (queue = 'transactional' OR EXISTS (
            SELECT 1 FROM run WHERE run.id = batch.run_id AND run.state IN ('finished', 'cancelled')
        ))"""),
    )),
    # A schedule goes on from its last one: without it, times before would come again.
    DataClass("ticks", (
        Rule("schedule_tick", """nominal_at < :before AND EXISTS (
            SELECT FROM schedule_tick AS later
            WHERE later.schedule = schedule_tick.schedule AND later.nominal_at > schedule_tick.nominal_at
        )"""),
    )),
)  # fmt: skip

#: What says itself when it is of no use any more; there is nothing to set.
EXPIRED: Final = DataClass("expired", (
    Rule("used_token", "forget_at < :before"),
    Rule("public_count", "forget_at < :before"),
    Rule("api_call", "forget_at < :before"),
))  # fmt: skip


def due(settings: Retention, now: datetime) -> Sequence[tuple[DataClass, datetime]]:
    """The classes that are kept for a time, each with the instant its rows must be older than."""
    lengths = ((each, each.kept_for(settings)) for each in CLASSES)
    return (*((each, now - length) for each, length in lengths if length is not None), (EXPIRED, now))
