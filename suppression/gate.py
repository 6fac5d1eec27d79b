"""The one gate: may this customer be written to, at this address, about this topic, in this campaign, now?

It is a single SQL expression, built here and nowhere else. The freeze of an audience, the hand-over of a message
and `clarion suppress check` all ask it, so they cannot disagree.

What is owed to one person (class `transactional`: a receipt, a password) needs no consent and is not stopped by an
opt-out from marketing, but by everything that says this address must not be written to (S-2.24).

Both questions are asked by correlated sub-selects of one value, which PostgreSQL can only answer by probing an index.
As EXISTS they may be hashed, which is a little quicker over all customers and much slower for a batch: it reads all
consents for 500 messages. Measured with 1,000,000 customers, as many consents and 50,000 suppressions on 2 cores:
4.6 s for all customers (EXISTS: 2.0 to 4.0 s), 4 ms for a batch of 500 (EXISTS: up to 100 ms with 100,000 consents).
"""

from typing import Any, Final

from sqlalchemy import ColumnElement, Text, and_, case, cast, func, literal, literal_column, or_, select, text
from sqlalchemy.dialects.postgresql import ARRAY

from core import schema
from core.latest_word import newest_first
from suppression.care import KEY_ACCOUNT, key_account_id
from suppression.policy import Policy
from suppression.profiles import ENOUGH, NOT_CONSENTED, REQUESTED, Instant, constant, flaw
from suppression.watching import chosen_by_behaviour

NO_ADDRESS: Final = "no_address"
SUPPRESSED: Final = "suppressed:"
NO_PROFILING: Final = "no_profiling"

#: Reasons of suppression entries, the strongest first; one that is not named here is weaker than all of them.
REASONS: Final = ("legal", "complaint", "hard_bounce", "unsubscribed", "manual", "paused")

#: The class of what is owed to one person; everything else is `bulk`.
TRANSACTIONAL: Final = "transactional"
#: The reason of an opt-out. It is a word about marketing, however wide its scope.
UNSUBSCRIBED: Final = "unsubscribed"
#: The reason of a rest that somebody asked for; it always has an end.
PAUSED: Final = "paused"
#: What people say about marketing: it stops no mail that is owed to them.
ABOUT_MARKETING: Final = (UNSUBSCRIBED, PAUSED, "soft_bounces", "mailbox_full")  # the latter two: S-4.19
#: Reasons that tell of the address or of the law: they bind transactional mail however narrow their scope.
BINDING: Final = ("legal", "complaint", "hard_bounce")


def skip_reason(
    customer_id: Any,
    address_key: Any,
    *,
    topic: str,
    campaign: str,
    now: Instant,
    policy: Policy,
    channel: str = "email",
    message_class: str = "bulk",
    by_behaviour: bool = False,
) -> ColumnElement[str | None]:
    """A scalar SQL expression over the two columns: why the customer gets no message, NULL when nothing
    forbids it.

    `no_address`; else `suppressed:<reason>` with the strongest reason of an entry in force for the address,
    whichever customer it came from; else what `without_consent` says; else `key_account`; else
    `no_profiling`, where the audience is chosen `by_behaviour` and the customer refused that. For `message_class`
    transactional no consent is needed, `topic` means nothing, and opt-outs and pauses do not count.
    """
    entry = schema.suppression.alias("e")
    if message_class == TRANSACTIONAL:
        forbids = _forbids_transactional(entry, campaign, channel)
        unless_consents: ColumnElement[str | None] = literal(None, Text)
    else:
        forbids = _forbids_bulk(entry, topic, campaign, channel)
        unless_consents = without_consent(customer_id, topic=topic, now=now, policy=policy, channel=channel)
        if policy.care.key_accounts is not None and policy.care.spares_key_accounts(topic):
            is_key = key_account_id(customer_id, policy.care.key_accounts).is_not(None)
            unless_consents = func.coalesce(unless_consents, case((is_key, constant(KEY_ACCOUNT))))
        if by_behaviour:
            may_choose = chosen_by_behaviour(customer_id, now=now, policy=policy)
            unless_consents = func.coalesce(unless_consents, case((~may_choose, constant(NO_PROFILING))))
    strongest = _strongest_reason(entry, address_key, forbids, now)
    return case(
        (address_key.is_(None), constant(NO_ADDRESS)),
        else_=func.coalesce(constant(SUPPRESSED) + strongest, unless_consents),
    )


def in_force(entry: Any, now: Instant) -> ColumnElement[bool]:
    """The row of `entry` (suppression or an alias of it) is neither lifted nor expired at `now`."""
    return and_(entry.c.lifted_at.is_(None), or_(entry.c.expires_at.is_(None), entry.c.expires_at > now))


def _forbids_bulk(entry: Any, topic: str, campaign: str, channel: str) -> ColumnElement[bool]:
    within_channel = or_(
        entry.c.scope == constant("channel"),
        and_(entry.c.scope == constant("topic"), entry.c.scope_name == topic),
        and_(entry.c.scope == constant("campaign"), entry.c.scope_name == campaign),
    )
    return or_(entry.c.scope == constant("global"), and_(entry.c.channel == constant(channel), within_channel))


def _forbids_transactional(entry: Any, campaign: str, channel: str) -> ColumnElement[bool]:
    within_channel = or_(
        entry.c.scope == constant("channel"),
        entry.c.reason.in_([constant(reason) for reason in BINDING]),
        and_(entry.c.scope == constant("campaign"), entry.c.scope_name == campaign),
    )
    reaches = or_(entry.c.scope == constant("global"), and_(entry.c.channel == constant(channel), within_channel))
    return and_(entry.c.reason.not_in([constant(reason) for reason in ABOUT_MARKETING]), reaches)


def _strongest_reason(entry: Any, address_key: Any, forbids: ColumnElement[bool], now: Instant) -> ColumnElement[str]:
    # The least of rank, one digit, and reason: sorting costs as much as the rest where there is nothing to sort.
    assert len(REASONS) < 9  # noqa: S101  or ranks have two digits
    ranks = literal(list(REASONS), ARRAY(Text), literal_execute=True)
    rank = func.coalesce(func.array_position(ranks, entry.c.reason), literal_column(str(len(REASONS) + 1)))
    return (
        select(func.substr(func.min(cast(rank, Text) + entry.c.reason), literal_column("2")))
        .where(entry.c.address_key == address_key, in_force(entry, now), forbids)
        .correlate_except(entry)
        .scalar_subquery()
    )


def without_consent(
    customer_id: Any, *, topic: str, now: Instant, policy: Policy, channel: str = "email"
) -> ColumnElement[str | None]:
    """A scalar SQL expression: why the customer's latest word on the topic (`core.latest_word`) is no yes at `now`;
    NULL when it is one.

    `not_consented` (never, or withdrawn), `basis_not_enough` or `not_confirmed` (for the customer's country, or the
    topic), `consent_expired`.
    """
    word = schema.consent.alias("c")
    found = (
        select(flaw(word, topic=topic, now=now, policy=policy))
        .where(word.c.customer_id == customer_id, word.c.channel == constant(channel), word.c.topic == topic)
        .where(word.c.state != constant(REQUESTED))
        .order_by(text(newest_first("c")))
        .limit(literal_column("1"))
        .correlate_except(word)
        .scalar_subquery()
    )
    return func.nullif(func.coalesce(found, constant(NOT_CONSENTED)), constant(ENOUGH))
