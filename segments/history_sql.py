"""What came back from campaigns, and what a customer agreed to, in SQL."""

from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    and_,
    column,
    exists,
    literal_column,
    or_,
    select,
    table,
    text,
)

from core import schema
from core.latest_word import outranks
from segments.behaviour_sql import Moments
from segments.tree import History, Response

EMAIL: Final = "email"
#: The kinds of hit that show a message was opened; one who clicked has seen it, though images were off.
OPENED_BY: Final = ("open", "view", "click")
CLICKED_BY: Final = ("click",)
#: A person who answers by mail has responded, too.
ANSWERED_BY: Final = (*CLICKED_BY, "reply")

_conversion = table("conversion", column("customer_id"), column("campaign"), column("at"))


def responded(history: History, customer: FromClause, moments: Moments) -> ColumnElement[bool]:
    """Whether the customer did it with a message of the campaign."""
    match history.response:
        case Response.RECEIVED:
            return exists(_received(history, customer, moments))
        case Response.OPENED:
            return exists(_hits(history, OPENED_BY, customer, moments))
        case Response.CLICKED:
            return exists(_hits(history, CLICKED_BY, customer, moments))
        case Response.CONVERTED:
            return exists(_converted(history, customer, moments))
    answered = exists(_hits(history, ANSWERED_BY, customer, moments))
    return or_(answered, exists(_converted(history, customer, moments)))


def _messages(history: History, customer: FromClause) -> Select[Any]:
    message = schema.message.c
    found: Select[Any] = (
        select(literal_column("1")).select_from(schema.message).where(message.customer_id == customer.c.id)
    )
    return found if history.campaign is None else found.where(message.campaign == history.campaign)


def _received(history: History, customer: FromClause, moments: Moments) -> Select[Any]:
    message = schema.message.c
    kept = and_(message.state != "bounced", *moments.span(message.accepted_at, history.within))
    return _messages(history, customer).where(kept).correlate(customer)


def _hits(history: History, kinds: tuple[str, ...], customer: FromClause, moments: Moments) -> Select[Any]:
    hit = schema.hit.c
    return (
        _messages(history, customer)
        .join(schema.hit, hit.message_id == schema.message.c.id)
        .where(hit.kind.in_(kinds), hit.label == "human", *moments.span(hit.occurred_at, history.within))
        .correlate(customer)
    )


def _converted(history: History, customer: FromClause, moments: Moments) -> Select[Any]:
    found: Select[Any] = (
        select(literal_column("1"))
        .select_from(_conversion)
        .where(_conversion.c.customer_id == customer.c.id, *moments.span(_conversion.c.at, history.within))
        .correlate(customer)
    )
    return found if history.campaign is None else found.where(_conversion.c.campaign == history.campaign)


def subscribed(topic: str, customer: FromClause, moments: Moments) -> ColumnElement[bool]:
    """Whether the latest word of the customer on the topic is yes, and no suppression forbids it."""
    return and_(exists(_agreed(topic, customer, moments)), ~exists(_suppressed(topic, customer, moments)))


def _agreed(topic: str, customer: FromClause, moments: Moments) -> Select[Any]:
    """A yes after which nothing was said. Two EXISTS can become one join over all; ORDER BY cannot. A request for
    confirmation says nothing yet."""
    said, later = schema.consent.alias("said"), schema.consent.alias("later")
    superseded = exists(
        select(literal_column("1"))
        .select_from(later)
        .where(later.c.customer_id == said.c.customer_id, later.c.channel == EMAIL, later.c.topic == topic)
        .where(later.c.state != "requested")
        .where(text(outranks("later", "said")))
        .correlate(said)
    )
    return (
        select(literal_column("1"))
        .select_from(said)
        .where(said.c.customer_id == customer.c.id, said.c.channel == EMAIL, said.c.topic == topic)
        .where(
            said.c.state.in_(("granted", "confirmed")),
            or_(said.c.expires_at.is_(None), said.c.expires_at > moments.now),
        )
        .where(~superseded)
        .correlate(customer)
    )


def _suppressed(topic: str, customer: FromClause, moments: Moments) -> Select[Any]:
    entry = schema.suppression.c
    scope = or_(
        entry.scope == "global",
        and_(entry.scope == "channel", entry.channel == EMAIL),
        and_(entry.scope == "topic", entry.channel == EMAIL, entry.scope_name == topic),
    )
    return (
        select(literal_column("1"))
        .select_from(schema.suppression)
        .where(entry.address_key == customer.c.address_key, scope, entry.lifted_at.is_(None))
        .where(or_(entry.expires_at.is_(None), entry.expires_at > moments.now))
        .correlate(customer)
    )
