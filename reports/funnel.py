"""The report of one campaign, and one line for each of them all."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Row, RowMapping, Text, case, cast, func, select, tuple_, union

from campaigns.sequences.sending import OPEN_ENDED
from core.errors import NotFound
from core.names import did_you_mean
from core.schema import campaign_version, erased_conversion, message, purchase, run
from reports import breakdowns
from reports.figures import FIGURE_NAMES, CampaignReport, Figures, Group, Money, RunLine
from reports.people import ACCEPTED, Scope, gather, is_set, people

#: The levels of the pyramid from above; a level of another name comes after them.
TIER_ORDER = ("top", "big", "medium", "small", "inactive", "prospect", "suspect")
#: Countries that are shown one by one; the others are added up as "other".
COUNTRIES_SHOWN = 8
_COUNTED = (
    "audience", "skipped", "waiting", "accepted", "failed", "unknown", "delivered", "complained",
    "bounced_hard", "bounced_soft", "orders", "revenue",
)  # fmt: skip
#: Figure → the column of `people` that says whether, or when first, a person is counted.
_PEOPLE_COUNTED = {
    "written_to": "written_to",
    "opened_human": "opened_at",
    "opened_machine": "opened_machine",
    "clicked_human": "clicked_at",
    "clicked_machine": "clicked_machine",
    "unsubscribed": "unsubscribed_at",
    "converted": "converted_at",
}
_WHOLE, _TIER, _COUNTRY = 0b11, 0b01, 0b10  # GROUPING(tier, country): a set bit means "not grouped by it"


def campaign_report(
    connection: Connection, campaign: str, *, now: datetime, run_id: int | None = None
) -> CampaignReport:
    """All that came back from a campaign, or from one run of it, up to this moment.

    Raises:
        NotFound: the campaign has never run, or has no such run.
    """
    runs = _runs(connection, campaign, run_id)
    scope = Scope((campaign,), tuple(each.id for each in runs))
    gather(connection, scope)
    groups = _grouped(connection)
    figures = groups[_WHOLE][0].figures if groups[_WHOLE] else Figures()
    version = _newest_version(connection, scope)
    return CampaignReport(
        campaign=campaign,
        topic=version.topic,
        goal=version.goal_event,
        goal_within=version.goal_within,
        as_of=now,
        runs=tuple(runs),
        figures=figures,
        money=_money(figures, _costs(connection, scope)[campaign], _currencies(connection)),
        tiers=_by_level(groups[_TIER]),
        countries=_by_size(groups[_COUNTRY]),
        skips=breakdowns.skips(connection, scope),
        answers=breakdowns.answers(connection, scope),
        links=breakdowns.links(connection, scope),
        timeline=breakdowns.timeline(connection),
    )


def overview(connection: Connection) -> tuple[tuple[Group, Money], ...]:
    """Every campaign that has run, the latest first, with its figures and its money."""
    latest = func.max(run.c.starts_at).desc()
    rows = connection.execute(
        select(run.c.campaign, func.array_agg(run.c.id).label("ids")).group_by(run.c.campaign).order_by(latest)
    ).all()
    scope = Scope(tuple(row.campaign for row in rows), tuple(chain.from_iterable(row.ids for row in rows)))
    if not rows:
        return ()
    gather(connection, scope)
    groups = {group.name: group for group in _grouped(connection)[_WHOLE]}
    costs = _costs(connection, scope)
    found = [groups.get(name, Group(name, Figures())) for name in scope.campaigns]
    return tuple((group, _money(group.figures, costs[group.name], ())) for group in found)


def _runs(connection: Connection, campaign: str, run_id: int | None) -> list[RunLine]:
    held = select(func.count()).where(message.c.run_id == run.c.id).scalar_subquery()
    people = case((run.c.open_ended, held), else_=run.c.audience).label("people")
    # The run of a step of a sequence is told by the step.
    told = case((run.c.occurrence == OPEN_ENDED, run.c.step), else_=run.c.occurrence).label("told")
    chosen = select(run, people, told).where(run.c.campaign == campaign).order_by(run.c.starts_at, run.c.id)
    lines = [
        RunLine(row.id, row.told, row.state, row.starts_at, row.finished_at, row.people)
        for row in connection.execute(chosen)
    ]
    if not lines:
        known = connection.execute(select(run.c.campaign).distinct()).scalars().all()
        raise NotFound(f"campaign {campaign!r} has not been sent yet", hint=did_you_mean(campaign, known))
    if run_id is None:
        return lines
    if not (one := [line for line in lines if line.id == run_id]):
        known = ", ".join(str(line.id) for line in lines)
        raise NotFound(f"campaign {campaign!r} has no run {run_id}", hint=f"its runs: {known}")
    return one


# --- figures ----------------------------------------------------------------------------------------


def _grouped(connection: Connection) -> dict[int, list[Group]]:
    """The figures of each campaign, of each tier and of each country, by which of them was grouped by."""
    columns = people.c
    level = func.grouping(columns.tier, columns.country).label("grouped")
    sets = func.grouping_sets(
        tuple_(columns.campaign),
        tuple_(columns.campaign, columns.tier),
        tuple_(columns.campaign, columns.country),
    )
    figures = [func.sum(columns[name]).label(name) for name in _COUNTED] + [
        func.count().filter(is_set(source)).label(name) for name, source in _PEOPLE_COUNTED.items()
    ]
    name = func.coalesce(columns.tier, columns.country, columns.campaign).label("name")
    groups: dict[int, list[Group]] = defaultdict(list)
    for row in connection.execute(select(level, name, *figures).group_by(sets)).mappings():
        groups[row["grouped"]].append(Group(row["name"], _figures(row)))
    return groups


def _figures(row: RowMapping) -> Figures:
    counts = {name: int(row[name]) for name in (*_COUNTED, *_PEOPLE_COUNTED) if name != "revenue"}
    return Figures(**counts, revenue=row["revenue"])


def _by_level(groups: Sequence[Group]) -> tuple[Group, ...]:
    order = {level: place for place, level in enumerate(TIER_ORDER)}
    return tuple(sorted(groups, key=lambda group: (order.get(group.name, len(order)), group.name)))


def _by_size(groups: Sequence[Group]) -> tuple[Group, ...]:
    """The largest audiences first; what goes beyond COUNTRIES_SHOWN is one group, `other`."""
    ranked = sorted(groups, key=lambda group: (-group.figures.audience, group.name))
    shown, rest = ranked[:COUNTRIES_SHOWN], ranked[COUNTRIES_SHOWN:]
    if len(rest) > 1:
        added = {name: sum(getattr(group.figures, name) for group in rest) for name in FIGURE_NAMES}
        return (*shown, Group("other", Figures(**added)))
    return tuple(ranked)


# --- money ------------------------------------------------------------------------------------------


def _costs(connection: Connection, scope: Scope) -> dict[str, tuple[Decimal, str | None]]:
    """What each campaign cost, and in which currency: each run's fixed cost and its accepted messages."""
    accepted = (
        select(message.c.run_id, func.count().label("messages"))
        .where(scope.holds(), message.c.state.in_(ACCEPTED))
        .group_by(message.c.run_id)
        .subquery()
    )
    cost = campaign_version.c.fixed_cost + campaign_version.c.cost_per_message * func.coalesce(accepted.c.messages, 0)
    rows = connection.execute(
        select(run.c.campaign, func.sum(cost), func.max(campaign_version.c.currency))
        .join(campaign_version, campaign_version.c.id == run.c.version_id)
        .outerjoin(accepted, accepted.c.run_id == run.c.id)
        .where(scope.holds(run.c.id))
        .group_by(run.c.campaign)
    )
    return {campaign: (_cents(amount), currency) for campaign, amount, currency in rows}


def _currencies(connection: Connection) -> tuple[str, ...]:
    """The currencies of the orders that count as conversions."""
    of_customers = (
        select(purchase.c.currency)
        .join(people, people.c.customer_id == purchase.c.customer_id)
        .where(people.c.converted_at.is_not(None), "order:" + purchase.c.order_id == func.any(people.c.conversions))
    )
    kept = erased_conversion
    of_erased = (
        select(kept.c.currency)
        .join(people, "erased:" + cast(kept.c.reference, Text) == func.any(people.c.conversions))
        .where(kept.c.currency.is_not(None), people.c.customer_id.is_(None))
    )
    return tuple(sorted(connection.execute(union(of_customers, of_erased)).scalars()))


def _money(figures: Figures, cost: tuple[Decimal, str | None], currencies: tuple[str, ...]) -> Money:
    amount, currency = cost
    return Money(amount, _cents(figures.revenue), currency or next(iter(currencies), None), currencies)


def _cents(amount: Decimal) -> Decimal:
    return Decimal(amount).quantize(Decimal("0.01"))


def _newest_version(connection: Connection, scope: Scope) -> Row[Any]:
    return connection.execute(
        select(campaign_version)
        .join(run, run.c.version_id == campaign_version.c.id)
        .where(scope.holds(run.c.id))
        .order_by(run.c.starts_at.desc(), run.c.id.desc())
        .limit(1)
    ).one()
