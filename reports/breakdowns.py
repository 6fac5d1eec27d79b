"""The parts of a report beside the totals: who was left out, what servers said, links, the course of time."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import (
    BigInteger,
    Connection,
    cast,
    distinct,
    func,
    literal,
    select,
    true,
    union_all,
)

from core.schema import campaign_version, hit, message, run
from reports.figures import Count, Link, Moment, Timeline
from reports.people import PERSON, Scope, last_attempt, people

#: The lengths a stretch of the timeline may have; the shortest that gives at most MOMENTS stretches is taken.
_STEPS: Final = tuple(
    timedelta(seconds=seconds)
    for seconds in (1, 5, 15, 60, 300, 900, 3600, 3 * 3600, 6 * 3600, 86400, 7 * 86400, 28 * 86400)
)
MOMENTS: Final = 60
ANSWERS_SHOWN: Final = 10
PERSONAL_LINK: Final = "(a link of their own)"
_EPOCH = datetime(2001, 1, 1, tzinfo=UTC)  # a Monday, so that stretches of a week begin on one
_HAPPENINGS = {
    "accepted": "accepted_at",
    "opened_human": "opened_at",
    "clicked_human": "clicked_at",
    "unsubscribed": "unsubscribed_at",
    "converted": "converted_at",
}


def skips(connection: Connection, scope: Scope) -> tuple[Count, ...]:
    """How many messages were kept back for each skip reason, the most frequent first."""
    counted = (
        select(message.c.skip_reason, func.count())
        .where(scope.holds(), message.c.skip_reason.is_not(None))
        .group_by(message.c.skip_reason)
        .order_by(func.count().desc(), message.c.skip_reason)
    )
    return tuple(Count(reason, number) for reason, number in connection.execute(counted))


def answers(connection: Connection, scope: Scope) -> tuple[Count, ...]:
    """What servers answered last to the messages that were not accepted, the most frequent first."""
    last = last_attempt()
    said = func.concat_ws(" ", last.c.code, last.c.enhanced).label("said")
    counted = (
        select(said, func.count())
        .join_from(message, last, true())
        .where(scope.holds(), message.c.state.in_(("failed", "deferred", "unknown", "bounced")))
        .group_by(said)
        .order_by(func.count().desc(), said)
        .limit(ANSWERS_SHOWN)
    )
    return tuple(Count(words or "no answer", number) for words, number in connection.execute(counted))


def links(connection: Connection, scope: Scope) -> tuple[Link, ...]:
    """The people who followed each link of the mailing, links that nobody followed included."""
    # By target, not by number: versions may number the same targets differently.
    listed = (
        func.jsonb_array_elements_text(campaign_version.c.links)
        .table_valued("url", with_ordinality="place")
        .render_derived("listed")
    )
    targets = (
        select(run.c.id.label("run_id"), listed.c.url, (listed.c.place - 1).label("link"))
        .select_from(run.join(campaign_version, campaign_version.c.id == run.c.version_id).join(listed, true()))
        .where(scope.holds(run.c.id))
        .cte("targets")
    )
    clicks = (
        select(message.c.run_id, PERSON.label("person"), hit.c.link, hit.c.label)
        .join_from(message, hit, hit.c.message_id == message.c.id)
        .where(scope.holds(), hit.c.kind == "click")
        .cte("clicks")
    )
    followed = targets.outerjoin(clicks, (clicks.c.run_id == targets.c.run_id) & (clicks.c.link == targets.c.link))
    followers = [
        func.count(distinct(clicks.c.person)).filter(clicks.c.label == label).label(label)
        for label in ("human", "machine")
    ]
    listed_links = (
        select(targets.c.url, *followers, func.min(targets.c.link).label("place"))
        .select_from(followed)
        .group_by(targets.c.url)
    )
    personal = (
        select(literal(PERSONAL_LINK), *followers, cast(None, BigInteger))
        .where(clicks.c.link.is_(None))
        .having(func.count() > 0)
    )
    every = union_all(listed_links, personal).subquery()
    rows = connection.execute(select(every).order_by(every.c.human.desc(), every.c.place.asc().nulls_last()))
    return tuple(Link(row.url, row.human, row.machine) for row in rows)


def timeline(connection: Connection) -> Timeline | None:
    """When the gathered people were first reached and first answered; None when nobody was.

    The sums over the moments are the report's people counts, `accepted` apart, which counts people here.
    """
    instants = [people.c[source] for source in _HAPPENINGS.values()]
    span = select(func.min(func.least(*instants)), func.max(func.greatest(*instants)))
    begin, end = connection.execute(span).one()
    if begin is None:
        return None
    step = step_for(end - begin)
    counts: dict[tuple[datetime, str], int] = {}
    for name, source in _HAPPENINGS.items():
        stretch = func.date_bin(step, people.c[source], _EPOCH)
        rows = connection.execute(select(stretch, func.count()).where(people.c[source].is_not(None)).group_by(stretch))
        counts |= {(at, name): number for at, number in rows}
    return Timeline(step, _moments(counts, step))


def step_for(span: timedelta) -> timedelta:
    """The length of a stretch, so that `span` is shown in at most MOMENTS of them where that is possible."""
    return next((step for step in _STEPS if span < step * (MOMENTS - 1)), _STEPS[-1])


def _moments(counts: dict[tuple[datetime, str], int], step: timedelta) -> tuple[Moment, ...]:
    begins = [at for at, _ in counts]
    number = round((max(begins) - min(begins)) / step) + 1
    stretches: Sequence[datetime] = [min(begins) + step * place for place in range(number)]
    return tuple(
        Moment(begin=at.astimezone(UTC), **{what: counts.get((at, what), 0) for what in _HAPPENINGS})
        for at in stretches
    )
