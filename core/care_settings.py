"""`care` and `addresses` in `clarion.yaml`: whom mass mail leaves to a person, and which addresses it never goes to."""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from core.field_types import Name
from core.names import did_you_mean
from core.units import Duration, parse_duration
from core.yaml_files import Section

EventName = Annotated[str, StringConstraints(min_length=1, max_length=200)]

#: Scheme → its levels, as `clarion tiers` shows them.
LEVELS: Final[Mapping[str, frozenset[str]]] = {
    "rfm": frozenset({"champions", "loyal_customers", "potential_loyalists", "new_customers", "promising",
                      "need_attention", "about_to_sleep", "cant_loose", "at_risk", "hibernating"}),
    "abc": frozenset("ABC"),
    "pyramid": frozenset({"top", "big", "medium", "small", "inactive", "prospect", "suspect"}),
    "quadrant": frozenset("ABCDE"),
}  # fmt: skip


class KeyAccounts(Section):
    """Customers who belong to a named person: promotions leave them out, and their owner gets a task instead."""

    levels: dict[Literal["rfm", "abc", "pyramid", "quadrant"], tuple[str, ...]] = Field({})  # any of them; none: all
    owned: bool = True  # only customers who have an owner
    task_due: Duration = parse_duration("5d")  # after the campaign would have written to them


class Cases(Section):
    """What opens and closes a case, such as a complaint or a ticket: while one is open promotions wait."""

    opened_by: Annotated[tuple[EventName, ...], Field(min_length=1)]  # events, as `clarion import events` has them
    closed_by: tuple[EventName, ...] = ()
    same: str | None = None  # the property that names the case; None: a closing event closes all cases before it
    forgotten_after: Duration | None = parse_duration("90d")  # a case that nobody closed is over then; None: never
    wait: Duration = parse_duration("14d")  # a promotion waits at most so long; then it is skipped


class Care(Section):
    """Whom promotions spare: key accounts, and people with an open case."""

    promotions: tuple[Name, ...] = ()  # the topics that count as promotions; none: all
    key_accounts: KeyAccounts | None = None
    cases: Cases | None = None


class Addresses(Section):
    """Which addresses are no person's, and which nobody can have."""

    role_accounts: Literal["write", "skip"] = "write"  # info@, sales@ and the like, in bulk mail
    never: tuple[str, ...] = ("abuse", "postmaster", "hostmaster", "mailer-daemon", "noreply", "no-reply")  # no bulk
    reserved: Literal["write", "skip"] | None = None  # as example.com; None: skip once a transport leaves this machine


#: Of whom a campaign writes to one. A household is one person's too, and so is a company.
OnePer = Literal["address", "person", "household", "company"]
#: How long it is remembered who got a piece.
PieceMemory = Literal["ever", "none"] | Duration


class Duplicates(Section):
    """Who gets the same twice."""

    one_per: OnePer = "person"  # a campaign's `limits.one_per` goes first
    piece_memory: PieceMemory = "ever"  # nobody gets one piece twice within it, by any campaign


def care_mistakes(care: Care, topics: Collection[str]) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """Topics and levels that are none: place, text and hint."""
    for place, topic in enumerate(care.promotions):
        if topic not in topics:
            text = f"care.promotions: there is no topic {topic!r}, expected one of `topics`"
            yield ("care", "promotions", place), text, did_you_mean(topic, topics)
    for scheme, levels in (care.key_accounts.levels if care.key_accounts else {}).items():
        for place, level in enumerate(levels):
            if level not in LEVELS[scheme]:
                path = ("care", "key_accounts", "levels", scheme, place)
                text = f"care.key_accounts: {scheme} has no level {level!r}"
                yield path, text, did_you_mean(level, LEVELS[scheme])
