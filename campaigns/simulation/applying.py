"""The workspace's files as if they were applied now: one after the other, so that one mistake hides no other."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from campaigns import versions, whole_plan
from campaigns.catalogue import Catalogue
from campaigns.kinds import KINDS
from campaigns.plan import applied_by
from core.errors import ConfigError, EngineError, NotFound
from core.names import did_you_mean


@dataclass(frozen=True, slots=True)
class Refused:
    """What could not be applied, and why."""

    name: str
    why: str
    hint: str


def apply_files(
    connection: Connection, catalogue: Catalogue, names: Collection[str], now: datetime
) -> tuple[list[str], list[Refused]]:
    """What is pending of these names (of everything, when none is given) is under way; their names, and what was
    refused.

    In the order in which `apply` does it, each by itself. What was cancelled is left out unless it is named.

    Raises:
        NotFound: a name is unknown.
    """
    applied: list[str] = []
    refused: list[Refused] = []
    for name in _in_order(connection, catalogue, names):
        try:
            with connection.begin_nested():
                if _is_applied(connection, catalogue, name, now, anew=name in names):
                    applied.append(name)
        except EngineError as error:
            first = error.problems[0] if isinstance(error, ConfigError) and error.problems else None
            refused.append(Refused(name, str(first or error.message), error.hint))
    return applied, refused


def _is_applied(connection: Connection, catalogue: Catalogue, name: str, now: datetime, *, anew: bool) -> bool:
    whole = whole_plan.make(connection, catalogue, [name], now)
    if not whole.pending or (whole.cancelled and not anew):
        return False
    whole_plan.apply_document(connection, catalogue, whole_plan.to_file(whole), now)
    return True


def _in_order(connection: Connection, catalogue: Catalogue, names: Collection[str]) -> Iterable[str]:
    """Mailings with a higher priority come first; other kinds come after all mailings."""
    others: Sequence[str] = [name for kind in KINDS for name in sorted(kind.names(connection, catalogue))]
    known = [*catalogue.campaigns, *others]
    for name in names:
        if name not in known:
            raise NotFound(f"no campaign {name!r}", hint=did_you_mean(name, known))
    mailings = [versions.pin(catalogue, name) for name in catalogue.campaigns if not names or name in names]
    ordered = [version.campaign for version in sorted(mailings, key=applied_by) if not version.is_transactional]
    return [*ordered, *(name for name in others if not names or name in names)]
