"""What may be recorded of a customer, and used to choose: expressions over consent of the channels `tracking` and
`profiling` (S-5.12, S-5.17).

Without a word of the customer the workspace's default holds; by profile, that of the customer's country.
"""

from typing import Any, Final

from sqlalchemy import ColumnElement, case, false, func, literal_column, select, text, true

from core.latest_word import newest_first
from core.schema import consent
from suppression.policy import Policy
from suppression.profiles import REQUESTED, Instant, constant

#: Channels of rows that are about what is recorded of a person, not about mail; their topic is empty.
TRACKING: Final = "tracking"
PROFILING: Final = "profiling"


def tracked(customer_id: Any, country: Any, *, now: Instant, policy: Policy) -> ColumnElement[bool]:
    """A scalar SQL expression over two columns of customer: opens and clicks of this customer may be recorded."""
    if policy.tracking == "by_profile":
        eager = [code for profile in policy.profiles if profile.tracking == "opt_out" for code in profile.countries]
        default: ColumnElement[bool] = func.coalesce(country.in_(eager), false())
    else:
        default = true() if policy.tracking == "opt_out" else false()
    return func.coalesce(_said(customer_id, TRACKING, now), default)


def chosen_by_behaviour(customer_id: Any, *, now: Instant, policy: Policy) -> ColumnElement[bool]:
    """A scalar SQL expression: a segment that looks at what people did may choose this customer."""
    default = true() if policy.profiling == "opt_out" else false()
    return func.coalesce(_said(customer_id, PROFILING, now), default)


def _said(customer_id: Any, channel: str, now: Instant) -> ColumnElement[bool]:
    """SQL: the customer's latest word, a yes only while it has not expired; NULL when there is none."""
    word = consent.alias("w")
    # Index ix_consent_watching, which is next to nothing where nobody said anything.
    return (
        select(case((word.c.state == constant("withdrawn"), false()), (word.c.expires_at <= now, None), else_=true()))
        .where(word.c.customer_id == customer_id, word.c.channel == constant(channel), word.c.topic == constant(""))
        .where(word.c.state != constant(REQUESTED))
        .order_by(text(newest_first("w")))
        .limit(literal_column("1"))
        .correlate_except(word)
        .scalar_subquery()
    )
