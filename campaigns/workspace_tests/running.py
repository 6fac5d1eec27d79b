"""Cases played through: an empty shadow of the database, the people given, the clock from one thing to the next."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.exc import DBAPIError

from campaigns.catalogue import Catalogue
from campaigns.duty import Circumstances, Setbacks
from campaigns.simulation.applying import apply_files
from campaigns.simulation.assumptions import SILENCE
from campaigns.simulation.clock import VirtualClock
from campaigns.simulation.courier import NullCourier
from campaigns.simulation.responses import Responses
from campaigns.simulation.vain_looks import VainLooks
from campaigns.simulation.world import count_anew, shadow_world
from campaigns.workspace_tests import given
from campaigns.workspace_tests.doing import Stage, happen
from campaigns.workspace_tests.expecting import Finding, compare
from campaigns.workspace_tests.found import Found, look
from campaigns.workspace_tests.given import Place
from campaigns.workspace_tests.loading import TestCase
from core.database import Database
from core.errors import EngineError
from core.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one case."""

    case: TestCase
    findings: tuple[Finding, ...]
    found: Found | None  # None: it could not be played
    seconds: float

    @property
    def passed(self) -> bool:
        """Everything is as expected."""
        return not self.findings


def run(
    database: Database, workspace: Workspace, catalogue: Catalogue, cases: Iterable[TestCase],
    told: Callable[[Result], None] = lambda _: None,
) -> list[Result]:  # fmt: skip
    """Every case was played, each in a world of its own; nothing was written or sent. `told` hears of each."""
    circumstances = Circumstances.of(workspace)
    results = []
    with shadow_world(database, empty=True) as connection:
        for case in cases:
            begun = time.monotonic()
            savepoint = connection.begin_nested()
            count_anew(connection)
            place = Place(connection, workspace, case.file.zone or workspace.settings.organisation.zone)
            played = _played(place, catalogue, replace(circumstances, setbacks=Setbacks()), case)
            savepoint.rollback()
            results.append(replace(played, seconds=time.monotonic() - begun))
            told(results[-1])
    return results


def _played(place: Place, catalogue: Catalogue, circumstances: Circumstances, case: TestCase) -> Result:
    line = case.line()
    try:
        with place.connection.begin_nested():
            return _play(place, catalogue, circumstances, case)
    except _Failed as failure:
        return Result(case, (Finding(failure.line, failure.what),), None, 0)
    except Exception as error:  # a value that cannot be ends its own case, not the others
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            raise
        return Result(case, (Finding(line, _words(error)),), None, 0)


def _words(error: Exception) -> str:
    """What went wrong, in one line where the database or Python says it."""
    if isinstance(error, EngineError):
        return str(error)
    words = str(error.orig if isinstance(error, DBAPIError) else error).strip().splitlines()
    return f"it cannot go on: {words[0] if words else type(error).__name__}"


class _Failed(Exception):
    """A case cannot go on."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line, self.what = line, what


def _play(place: Place, catalogue: Catalogue, circumstances: Circumstances, case: TestCase) -> Result:
    begin = case.file.begins(case.case).at(place.zone)
    until = begin + (case.case.lasts or case.file.lasts)
    people = case.file.people(case.case)
    clock = _clock(place, circumstances)
    stage = Stage(place, catalogue, circumstances, people, given.add_people(place, people, begin))
    names = case.file.apply if case.case.apply is None else case.case.apply
    _, refused = apply_files(place.connection, catalogue, names, begin)
    if refused:
        raise _Failed(case.line(), f"{refused[0].name} cannot be applied: {refused[0].why}")
    now = begin
    for number, step in sorted(enumerate(case.case.steps), key=lambda one: one[1].at.at(place.zone)):
        at = step.at.at(place.zone)
        clock.go(now, at)
        _happen(stage, case, number, at)  # what follows at this instant comes first when the clock goes on
        now = at
    clock.go(now, max(until, now))
    found = look(place, clock)
    return Result(case, tuple(compare(case, place, found)), found, 0)


def _clock(place: Place, circumstances: Circumstances) -> VirtualClock:
    Responses.prepare(place.connection)
    NullCourier.prepare(place.connection)
    responses = Responses(SILENCE)
    courier = NullCourier(circumstances, responses, samples=None, watched=None)
    vain_looks = VainLooks(place.connection, circumstances)
    return VirtualClock(place.connection, circumstances, courier, responses, vain_looks=vain_looks)


def _happen(stage: Stage, case: TestCase, number: int, at: datetime) -> None:
    try:
        happen(stage, case.case.steps[number], at)
    except Exception as error:
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            raise
        what = error.message if isinstance(error, EngineError) else _words(error)
        raise _Failed(case.line("steps", number), what) from None
