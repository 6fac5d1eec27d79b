"""A plan as people see it: mailings and whatever else there is beside them; made, kept in a file, applied as one."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from campaigns import plan, runs
from campaigns.catalogue import Catalogue
from campaigns.kinds import KINDS
from campaigns.plan import Plan, Reviewed
from campaigns.planned import Kind, Planned
from campaigns.runs import Started
from core import audit
from core.errors import ConfigError, EngineError, NotFound, PlanError, raise_together
from core.names import did_you_mean

_BY_NAME: Final[Mapping[str, Kind]] = {kind.name: kind for kind in KINDS}


@dataclass(frozen=True, slots=True)
class WholePlan:
    """A reviewed intention: `apply_document` does exactly this, or refuses."""

    mailings: Plan
    others: tuple[tuple[str, Planned], ...]  # with the name of their kind

    @property
    def pending(self) -> tuple[str, ...]:
        """The names of everything for which something would be done."""
        found = [item.campaign for item in self.mailings.pending]
        return (*found, *(item.name for _, item in self.others if item.is_pending))

    @property
    def would_send(self) -> int:
        """How many messages would be ordered at once."""
        mails = sum(item.counts.would_send for item in self.mailings.pending)
        return mails + sum(item.would_send for _, item in self.others if item.is_pending)

    @property
    def cancelled(self) -> tuple[str, ...]:
        """The names of what was cancelled, and would start anew."""
        found = [item.campaign for item in self.mailings.campaigns if item.cancelled_at is not None]
        return (*found, *(item.name for _, item in self.others if item.cancelled_at is not None))

    def without(self, names: Iterable[str]) -> "WholePlan":
        """The plan, less those of these names."""
        left_out = set(names)
        kept = tuple(item for item in self.mailings.campaigns if item.campaign not in left_out)
        others = tuple((kind, item) for kind, item in self.others if item.name not in left_out)
        return WholePlan(replace(self.mailings, campaigns=kept), others)


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying did."""

    started: list[Started] = field(default_factory=list)
    others: list[dict[str, Any]] = field(default_factory=list)


def make(
    connection: Connection,
    catalogue: Catalogue,
    names: Sequence[str],
    now: datetime,
    refused: list[EngineError] | None = None,
) -> WholePlan:
    """The plan of everything of these names (of all there is, when none is given); nothing is written.

    `refused`, where it is given, takes what is wrong with some of it; the plan is of the rest then. Else all of that is
    raised at once.

    Raises:
        NotFound: a name is unknown.
        PlanError: an audience exceeds its campaign's `max_audience`, or an event cannot be as its file says.
        ConfigError: an edit does not say what becomes of people who wait.
    """
    found: list[EngineError] = [] if refused is None else refused
    known = {kind.name: sorted(kind.names(connection, catalogue)) for kind in KINDS}
    _check_known(names, [*catalogue.campaigns, *(name for each in known.values() for name in each)])
    chosen = [name for name in names or catalogue.campaigns if name in catalogue.campaigns]
    mailings = plan.make_plan(connection, catalogue, chosen, now, found) if chosen else Plan(now, ())
    others = tuple(_others(connection, catalogue, names, known, now, found))
    if refused is None:
        raise_together(found)
    return WholePlan(mailings, others)


def _check_known(names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise NotFound(f"no campaign {name!r}", hint=did_you_mean(name, known))


def _others(
    connection: Connection,
    catalogue: Catalogue,
    names: Sequence[str],
    known: Mapping[str, Sequence[str]],
    now: datetime,
    refused: list[EngineError],
) -> Iterator[tuple[str, Planned]]:
    for kind in KINDS:
        for name in known[kind.name]:
            if names and name not in names:
                continue
            try:
                yield kind.name, kind.plan(connection, catalogue, name, now)
            except (ConfigError, PlanError) as error:  # all of them at once
                refused.append(error)


def to_file(whole: WholePlan) -> dict[str, Any]:
    """The plan as a JSON document; `apply_document` carries it out."""
    others = [{"kind": kind, "name": item.name, **item.reviewed()} for kind, item in whole.others]
    return plan.to_file(whole.mailings) | {"others": others}


def reviewed(document: Mapping[str, Any]) -> tuple[list[Reviewed], dict[str, list[Mapping[str, Any]]]]:
    """The campaigns of a plan file, and its other entries by their kind.

    Raises:
        PlanError: it is no plan file, of another format, or damaged.
    """
    mailings = plan.from_file(document)
    entries: dict[str, list[Mapping[str, Any]]] = {kind.name: [] for kind in KINDS}
    given = document.get("others", [])
    for place, entry in enumerate(given if isinstance(given, list) else [given]):
        kind = entry.get("kind") if isinstance(entry, dict) else None
        if kind not in entries:
            raise PlanError(f"the plan file is damaged: others.{place}: no such kind", hint="make the plan again")
        entries[str(kind)].append(entry)
    return mailings, entries


def apply_document(
    connection: Connection,
    catalogue: Catalogue,
    document: Mapping[str, Any],
    now: datetime,
    *,
    actor: str = audit.ITSELF,
) -> Applied:
    """Exactly what was reviewed is under way.

    Atomic: yes, over everything. Repeat: safe; what was applied has nothing pending any more.

    Raises:
        StalePlan: files, people or permissions changed since; nothing was done.
    """
    mailings, entries = reviewed(document)
    # First what waits for a sequence to stand still: its engine may wait in turn for locks that mailings take.
    others = [
        row for name, given in entries.items() for row in _BY_NAME[name].apply(connection, catalogue, given, now, actor)
    ]
    return Applied(runs.apply_reviewed(connection, catalogue, mailings, now, actor=actor), others)
