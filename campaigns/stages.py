"""The steps of carrying out a plan. One list, several readers: told by `plan`, run by `apply`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from campaigns import rollout_file
from campaigns.audience import Counts
from campaigns.versions import Version


@dataclass(frozen=True, slots=True)
class FreezeAudience:
    """Everybody of the audience gets a row in the ledger, with a skip reason or to be sent."""

    version: Version
    occurrence: str
    counts: Counts | None  # what was reviewed; None: nothing was, as for a tick of a recurring campaign


@dataclass(frozen=True, slots=True)
class CutBatches:
    """The messages to be sent are cut into batches that workers take."""

    messages: int | None  # None: known only once the audience is frozen
    size: int
    shares: tuple[float, ...] = ()  # of everybody, reached by each stage of a roll-out but the last


@dataclass(frozen=True, slots=True)
class Register:
    """A recurring campaign is known to the scheduler, in this version."""

    version: Version


Stage = FreezeAudience | CutBatches | Register


def _tell_freeze(stage: FreezeAudience) -> dict[str, Any]:
    counts = stage.counts
    return {
        "change": "freeze_audience",
        "messages": counts.would_send if counts else None,
        "audience": counts.audience if counts else None,
    }


def _tell_batches(stage: CutBatches) -> dict[str, Any]:
    number = None if stage.messages is None else -(-stage.messages // stage.size)
    told: dict[str, Any] = {"change": "cut_batches", "batches": number}
    if stage.shares and stage.messages is not None:
        told["rollout"] = list(rollout_file.heads(stage.shares, stage.messages))
    return told


def _tell_register(stage: Register) -> dict[str, Any]:
    schedule = stage.version.definition.schedule
    return {"change": "schedule", "cron": schedule.cron if schedule else None}


TELL: Final[dict[type, Callable[[Any], dict[str, Any]]]] = {
    FreezeAudience: _tell_freeze,
    CutBatches: _tell_batches,
    Register: _tell_register,
}


def tell(stage: Stage) -> dict[str, Any]:
    """What the stage would do, as `plan --json` lists it under `changes`."""
    return TELL[type(stage)](stage)
