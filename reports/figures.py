"""The figures of a campaign: what each number counts, and the rates that may be made of them.

Messages are counted where the ledger is meant (audience, accepted, bounced, …); people are counted where an
answer is meant (opened, clicked, unsubscribed, converted): somebody who got three issues of a newsletter and
opened all of them is one who opened. So no rate exceeds 100 % (standards S-6.19).
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Figures:
    """What happened to some people: those of a campaign, a tier or a country."""

    audience: int = 0  #: messages: one per person of the frozen audience and run
    skipped: int = 0  #: messages that were kept back, each with a reason
    waiting: int = 0  #: messages not handed over yet, deferred ones included
    accepted: int = 0  #: messages a transport took, whatever became of them later
    failed: int = 0  #: messages refused for good when they were handed over
    unknown: int = 0  #: messages whose answer was lost
    delivered: int = 0  #: of the accepted: reported as having reached the receiving server
    complained: int = 0  #: of the accepted: reported as spam
    bounced_hard: int = 0  #: of the failed and the accepted: the address is no good (standards S-1.40)
    bounced_soft: int = 0  #: of the failed and the accepted: refused for the time being, too often
    written_to: int = 0  #: people who got or answered a message: the denominator of rates
    opened_human: int = 0  #: people whose mail program loaded the pixel for a reader
    opened_machine: int = 0  #: people whose pixel was loaded by a scanner or a privacy proxy
    clicked_human: int = 0  #: people who followed a link
    clicked_machine: int = 0  #: people for whom a scanner followed a link, clicked or not
    unsubscribed: int = 0  #: people who opted out through a message
    converted: int = 0  #: people who did what the campaign was for, within its window
    orders: int = 0  #: conversions, each counted once
    revenue: Decimal = Decimal(0)  #: value of the conversions, net of returns

    def rate(self, name: str) -> float | None:
        """The share 0–1 of the people written to who are counted under `name`; None when there are none."""
        count: int = getattr(self, name)
        return count / self.written_to if self.written_to else None

    @property
    def balances(self) -> bool:
        """Whether every message of the audience is accounted for exactly once."""
        return self.audience == self.skipped + self.waiting + self.accepted + self.failed + self.unknown


FIGURE_NAMES = tuple(each.name for each in fields(Figures))


@dataclass(frozen=True, slots=True)
class Group:
    """The figures of one tier, country or campaign."""

    name: str
    figures: Figures


@dataclass(frozen=True, slots=True)
class Count:
    """How many messages share one skip reason or one server's answer."""

    name: str
    messages: int


@dataclass(frozen=True, slots=True)
class Link:
    """Who followed one link of the mailing; people, not clicks."""

    url: str
    clicked_human: int
    clicked_machine: int


@dataclass(frozen=True, slots=True)
class RunLine:
    """One execution of the campaign."""

    id: int
    occurrence: str
    state: str
    starts_at: datetime
    finished_at: datetime | None
    audience: int


@dataclass(frozen=True, slots=True)
class Moment:
    """What happened for the first time, to how many, in one stretch of the timeline."""

    begin: datetime
    accepted: int
    opened_human: int
    clicked_human: int
    unsubscribed: int
    converted: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """Equal stretches of `step` from the first acceptance to the last answer, none left out."""

    step: timedelta
    moments: tuple[Moment, ...]


@dataclass(frozen=True, slots=True)
class Money:
    """What was spent and what came back; `currencies` are those of the orders."""

    cost: Decimal
    revenue: Decimal
    currency: str | None
    currencies: tuple[str, ...] = ()

    @property
    def profit(self) -> Decimal:
        """Revenue less the campaign's cost; the cost of the goods is not in it."""
        return self.revenue - self.cost

    @property
    def return_(self) -> Decimal | None:
        """Profit per unit spent: at 2 each euro came back threefold. None when nothing was spent."""
        return (self.profit / self.cost).quantize(Decimal("0.0001")) if self.cost else None


@dataclass(frozen=True, slots=True)
class CampaignReport:
    """Everything that is told about one campaign, or about one run of it."""

    campaign: str
    topic: str
    goal: str | None
    goal_within: timedelta | None
    as_of: datetime
    runs: tuple[RunLine, ...]
    figures: Figures
    money: Money
    tiers: tuple[Group, ...] = ()
    countries: tuple[Group, ...] = ()
    skips: tuple[Count, ...] = ()
    answers: tuple[Count, ...] = ()  #: what servers said when they did not accept
    links: tuple[Link, ...] = ()
    timeline: Timeline | None = None
    remarks: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "remarks", tuple(_remarks(self)))


def _remarks(report: CampaignReport) -> Iterator[str]:
    figures, money = report.figures, report.money
    if figures.accepted and not figures.delivered:
        yield (
            "Delivered is 0 because no delivery reports have arrived: accepted says what the relay took, "
            "not what reached a mailbox."
        )
    if figures.unknown:
        yield f"{figures.unknown:,} messages have no known outcome: the server's answer was lost."
    if figures.waiting:
        yield f"{figures.waiting:,} messages are still waiting; the figures will grow."
    if len(money.currencies) > 1:
        yield f"Revenue adds amounts of several currencies as they are: {', '.join(money.currencies)}."
    elif money.cost and money.currencies and money.currency != money.currencies[0]:
        other = money.currencies[0]
        yield f"Revenue is in {other}, cost is in {money.currency}: the return takes them as equal."
    if figures.opened_human or figures.opened_machine:
        yield "Opens are a hint, not a measure: mail programs block the pixel, scanners and proxies load it."


def summary(group: Group, money: Money) -> dict[str, object]:
    """A campaign's figures and money under the keys of the public contract."""
    return {
        "campaign": group.name,
        **{name: getattr(group.figures, name) for name in FIGURE_NAMES},
        "revenue": money.revenue,
        "cost": money.cost,
        "profit": money.profit,
        "return": money.return_,
        "currency": money.currency,
    }


def document(report: CampaignReport) -> dict[str, object]:
    """The report as `clarion report NAME --json` prints it; the keys are a public contract."""
    return {
        **summary(Group(report.campaign, report.figures), report.money),
        "rates": {name: report.figures.rate(name) for name in RATES},
        "skip_reasons": {each.name: each.messages for each in report.skips},
        "server_answers": {each.name: each.messages for each in report.answers},
        "tiers": [_group("tier", each) for each in report.tiers],
        "countries": [_group("country", each) for each in report.countries],
        "links": [asdict(each) for each in report.links],
        "timeline": [asdict(each) for each in report.timeline.moments] if report.timeline else [],
        "arms": [],
        "lift": [],
        "runs": [asdict(each) for each in report.runs],
        "as_of": report.as_of,
        "remarks": list(report.remarks),
    }


#: The figures that are also shown as a share of the people written to.
RATES = ("opened_human", "opened_machine", "clicked_human", "clicked_machine", "unsubscribed", "converted")


def _group(label: str, group: Group) -> dict[str, object]:
    shown = ("audience", "skipped", "accepted", "written_to", "opened_human", "clicked_human", "unsubscribed",
             "converted", "revenue")  # fmt: skip
    return {label: group.name, **{name: getattr(group.figures, name) for name in shown}}
