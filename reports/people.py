"""One row per person and campaign: what was sent to them and how they answered. Every figure is a sum of it.

So a person is counted once, however many messages, hits or orders there were. Tier and country are those
the customer has now.
"""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    DateTime,
    MetaData,
    Numeric,
    Select,
    Table,
    Text,
    and_,
    case,
    cast,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.selectable import LateralFromClause

from core.schema import attempt, customer, customer_metrics, hit, message, suppression

#: A view (`core.schema_code.VIEWS`), so it has a collection of its own that never creates tables.
conversion = Table(
    "conversion",
    MetaData(),
    Column("campaign", Text),
    Column("run_id", BigInteger),
    Column("message_id", BigInteger),
    Column("customer_id", BigInteger),
    Column("reference", Text),
    Column("at", DateTime(timezone=True)),
    Column("value", Numeric(18, 4)),
)
#: A transport took it. What happened later (a bounce, a complaint) does not undo that.
ACCEPTED = ("accepted", "delivered", "bounced", "complained")
WAITING = ("planned", "handed_over", "deferred")
#: Status codes that condemn the address, and replies that do so in words (standards S-1.40).
_HARD_STATUS = ("5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10")
_HARD_CODES = (550, 551, 553)
_HARD_WORDS = (
    r"(user|recipient|mailbox|address).{0,20}(unknown|not found|does not exist)"
    r"|(unknown|no such) (user|recipient|mailbox|address)"
)
#: How a person's own opt-out is recorded; its evidence names the message.
OPT_OUT_SOURCES = ("one_click", "page", "mailto", "provider")
#: Whose message it is. Somebody who was erased stays one person: their messages share the address key.
PERSON: Final[ColumnElement[str]] = func.coalesce(
    cast(message.c.customer_id, Text), cast(message.c.address_key, Text), cast(message.c.id, Text)
)


@dataclass(frozen=True, slots=True)
class Scope:
    """The runs that are reported on, and the campaigns they belong to."""

    campaigns: tuple[str, ...]
    run_ids: tuple[int, ...]

    def holds(self, run_id: ColumnElement[Any] = message.c.run_id) -> ColumnElement[bool]:
        """Whether a row belongs to one of the runs."""
        return run_id == func.any(cast(list(self.run_ids), ARRAY(BigInteger)))

    @property
    def conversions(self) -> ColumnElement[bool]:
        """Whether a conversion is owed to one of the runs. Naming the campaign, too, keeps the view from
        working out the conversions of every other campaign first."""
        of_campaign = conversion.c.campaign == func.any(cast(list(self.campaigns), ARRAY(Text)))
        return and_(of_campaign, self.holds(conversion.c.run_id))


def _instant(name: str) -> Column[Any]:
    return Column(name, DateTime(timezone=True))


#: One row per campaign and person of the runs' audiences, filled by `gather`, gone with its transaction. An
#: instant is that of the first time; NULL: never.
people = Table(
    "report_people",
    MetaData(),
    Column("campaign", Text),
    Column("person", Text, comment="PERSON"),
    Column("customer_id", BigInteger),
    Column("tier", Text),
    Column("country", Text),
    *(
        Column(name, BigInteger)
        for name in (
            "audience", "skipped", "waiting", "accepted", "failed", "unknown", "delivered", "complained",
            "bounced_hard", "bounced_soft",
        )
    ),
    _instant("accepted_at"),
    _instant("opened_at"),
    _instant("clicked_at"),
    _instant("unsubscribed_at"),
    _instant("converted_at"),
    Column("opened_machine", Boolean),
    Column("clicked_machine", Boolean),
    Column("written_to", Boolean, comment="a message was accepted, or was answered"),
    Column("orders", BigInteger),
    Column("revenue", Numeric(18, 4)),
    Column("conversions", ARRAY(Text), comment="what each of them is, as the view conversion names it"),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DROP",
)  # fmt: skip


def gather(connection: Connection, scope: Scope) -> None:
    """`people` holds the people of the scope until the transaction ends. Repeat: safe, the last scope counts."""
    connection.execute(text(f"DROP TABLE IF EXISTS pg_temp.{people.name}"))
    people.create(connection, checkfirst=False)
    gathered = _gathered(scope)
    connection.execute(insert(people).from_select([column.name for column in gathered.selected_columns], gathered))


def _gathered(scope: Scope) -> Select[Any]:
    sent = _messages(scope).subquery("sent")
    bought = _conversions(scope).subquery("bought")
    joined = (
        sent.outerjoin(customer, customer.c.id == sent.c.customer_id)
        .outerjoin(customer_metrics, customer_metrics.c.customer_id == sent.c.customer_id)
        .outerjoin(bought, and_(bought.c.campaign == sent.c.campaign, bought.c.person == sent.c.person))
    )
    answers = (sent.c.opened_at, sent.c.clicked_at, sent.c.unsubscribed_at, bought.c.converted_at)
    return select(
        *sent.c,
        func.coalesce(customer_metrics.c.pyramid, "unknown").label("tier"),
        func.coalesce(customer.c.country, "unknown").label("country"),
        bought.c.converted_at,
        func.coalesce(bought.c.orders, 0).label("orders"),
        func.coalesce(bought.c.revenue, 0).label("revenue"),
        bought.c.conversions,
        or_(
            sent.c.accepted > 0,
            sent.c.opened_machine,
            sent.c.clicked_machine,
            *(answer.is_not(None) for answer in answers),
        ).label("written_to"),
    ).select_from(joined)


def _messages(scope: Scope) -> Select[Any]:
    """The runs' messages and what came back for them, one row per campaign and person."""
    hits = _hits(scope).subquery("hits")
    opt_outs = _opt_outs(scope).subquery("opt_outs")
    verdicts = _verdicts(scope).subquery("verdicts")
    return (
        select(
            message.c.campaign,
            PERSON.label("person"),
            func.max(message.c.customer_id).label("customer_id"),
            func.count().label("audience"),
            _counted("skipped", message.c.state == "skipped"),
            _counted("waiting", message.c.state.in_(WAITING)),
            _counted("accepted", message.c.state.in_(ACCEPTED)),
            _counted("failed", message.c.state == "failed"),
            _counted("unknown", message.c.state == "unknown"),
            _counted("delivered", message.c.state.in_(("delivered", "complained"))),
            _counted("complained", message.c.state == "complained"),
            _counted("bounced_hard", verdicts.c.verdict == "hard"),
            _counted("bounced_soft", verdicts.c.verdict == "soft"),
            func.min(message.c.accepted_at).label("accepted_at"),
            func.min(hits.c.opened_at).label("opened_at"),
            func.min(hits.c.clicked_at).label("clicked_at"),
            func.coalesce(func.bool_or(hits.c.opened_machine), literal(False)).label("opened_machine"),
            func.coalesce(func.bool_or(hits.c.clicked_machine), literal(False)).label("clicked_machine"),
            func.min(opt_outs.c.unsubscribed_at).label("unsubscribed_at"),
        )
        .select_from(
            message.outerjoin(hits, hits.c.message_id == message.c.id)
            .outerjoin(opt_outs, opt_outs.c.message_id == message.c.id)
            .outerjoin(verdicts, verdicts.c.message_id == message.c.id)
        )
        .where(scope.holds())
        .group_by(message.c.campaign, PERSON)
    )


def _counted(name: str, condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.count().filter(condition).label(name)


def _hits(scope: Scope) -> Select[Any]:
    human, machine = hit.c.label == "human", hit.c.label == "machine"
    opened, clicked = hit.c.kind == "open", hit.c.kind == "click"
    return (
        select(
            hit.c.message_id,
            func.min(hit.c.occurred_at).filter(opened, human).label("opened_at"),
            func.min(hit.c.occurred_at).filter(clicked, human).label("clicked_at"),
            func.bool_or(and_(opened, machine)).label("opened_machine"),
            func.bool_or(and_(clicked, machine)).label("clicked_machine"),
        )
        .join(message, message.c.id == hit.c.message_id)
        .where(scope.holds())
        .group_by(hit.c.message_id)
    )


def _opt_outs(scope: Scope) -> Select[Any]:
    of_message = suppression.c.evidence["message_id"].astext
    return (
        select(message.c.id.label("message_id"), func.min(suppression.c.created_at).label("unsubscribed_at"))
        .join_from(message, suppression, suppression.c.address_key == message.c.address_key)
        .where(scope.holds(), suppression.c.source.in_(OPT_OUT_SOURCES), of_message == cast(message.c.id, Text))
        .group_by(message.c.id)
    )


def last_attempt() -> LateralFromClause:
    """The last attempt of the statement's message, to be joined to it."""
    return (
        select(attempt.c.code, attempt.c.enhanced, attempt.c.reply, attempt.c.bounce_class, attempt.c.worker)
        .where(attempt.c.message_id == message.c.id)
        .order_by(attempt.c.number.desc(), attempt.c.answered_at.desc().nulls_last())
        .limit(1)
        .lateral("last_attempt")
    )


def _verdicts(scope: Scope) -> Select[Any]:
    """Whether each failed or bounced message did so because of its address, from its last attempt."""
    last = last_attempt()
    return (
        select(message.c.id.label("message_id"), _verdict(last).label("verdict"))
        .join_from(message, last, true())
        .where(scope.holds(), message.c.state.in_(("failed", "bounced")))
    )


def _verdict(last: LateralFromClause) -> ColumnElement[str | None]:
    status, code = last.c.enhanced, last.c.code
    condemned_in_words = and_(code.in_(_HARD_CODES), last.c.reply.regexp_match(_HARD_WORDS, flags="i"))
    reported = last.c.worker == "feedback"  # what came back later was judged when it came, also without any code
    return case(
        (and_(reported, last.c.bounce_class == "hard"), "hard"),
        (and_(reported, last.c.bounce_class.in_(("soft", "mailbox_full"))), "soft"),
        (reported, None),
        (status.in_(_HARD_STATUS), "hard"),
        (and_(status.is_(None), condemned_in_words), "hard"),
        (or_(status.like("4.%"), status.like("_.2.2"), code.between(400, 499)), "soft"),
        else_=None,
    )


def _conversions(scope: Scope) -> Select[Any]:
    return (
        select(
            conversion.c.campaign,
            PERSON.label("person"),
            func.min(conversion.c.at).label("converted_at"),
            func.count().label("orders"),
            func.sum(conversion.c.value).label("revenue"),
            func.array_agg(conversion.c.reference).label("conversions"),
        )
        .join_from(conversion, message, message.c.id == conversion.c.message_id)
        .where(scope.conversions)
        .group_by(conversion.c.campaign, PERSON)
    )


def is_set(name: str) -> ColumnElement[bool]:
    """Whether a person did what is counted under `name` (an open, a click, …) at all."""
    answered = people.c[name]
    return answered if isinstance(answered.type, Boolean) else answered.is_not(None)
