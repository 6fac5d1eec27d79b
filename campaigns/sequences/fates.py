"""What an edit does to those who wait at each step when it is applied, and what the file has to explain before."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from campaigns.sequences.crowds import Crowd
from campaigns.sequences.definition import Move
from campaigns.sequences.edits import Edits
from core.yaml_files import Path_


class Fate(StrEnum):
    """What becomes of those who wait at a step."""

    STAYS = "stays"  #: they go on by the new version, from the same step
    MOVED = "moved"  #: they go on at another step, which they come to when the edit is applied
    EXITS = "exits"  #: they leave the sequence
    FINISHES = "finishes"  #: they go on by the version they began with, for good


@dataclass(frozen=True, slots=True)
class Lot:
    """Those who wait at one step, and what becomes of them."""

    step: str  # the old name
    crowd: Crowd
    fate: Fate
    to: str | None  # the step of the new version they are at then; None: none
    is_retimed: bool = False  # they are due at another time


@dataclass(frozen=True, slots=True)
class Unexplained:
    """People to whom the file does not say what happens: where it would have to stand, and what."""

    path: Path_
    message: str
    hint: str


def lots(edits: Edits, crowds: Mapping[str, Crowd]) -> list[Lot]:
    """What the file says becomes of everybody who waits, in the old order of steps; who stays where nothing is said."""
    return [_lot(edits, crowds[name]) for name in edits.old.order if name in crowds]


def _lot(edits: Edits, crowd: Crowd) -> Lot:
    name, choice = crowd.step, edits.choice(crowd.step)
    if isinstance(choice, Move):
        return Lot(name, crowd, Fate.MOVED, choice.move)
    if choice == "exit":
        return Lot(name, crowd, Fate.EXITS, None)
    if choice == "finish":
        return Lot(name, crowd, Fate.FINISHES, None)
    return Lot(name, crowd, Fate.STAYS, edits.names.get(name), name in edits.names and edits.is_retimed(name))


def came_before(edits: Edits, found: Iterable[Lot]) -> Iterator[tuple[str, str]]:
    """(step, other step), by old names: they would come to the other once more from where they are now, and it matters
    how many of those at the one did it already."""
    for lot in found:
        if lot.fate is Fate.STAYS and lot.to is not None:
            yield from ((lot.step, other) for other in edits.ahead_again(lot.step))
        elif lot.to is not None:
            ahead = edits.after.ahead(lot.to)
            yield from ((lot.step, other) for other, now in edits.names.items() if now in ahead)


def unexplained(edits: Edits, found: Iterable[Lot], did: Mapping[tuple[str, str], int]) -> Iterator[Unexplained]:
    """Everything that the file would have to explain. `did`: what `came_before` asks."""
    for name in edits.taken:
        yield Unexplained(
            ("steps", name, "renamed_from"),
            f"steps.{name}: this was the name of another step, which some have done",
            "choose a name that no step had",
        )
    for lot in found:
        again = [other for step, other in did if step == lot.step]
        twice = [name for name in again if _decides(edits, name)]
        if lot.fate is Fate.STAYS and lot.to is None:
            yield _removed(edits, lot)
        elif lot.to is not None and twice:
            yield _decided_twice(edits, lot, twice)
        elif lot.fate is Fate.STAYS and edits.choice(lot.step) is None:
            skipped = edits.skipped(lot.step)
            if skipped or again:
                yield _reordered(edits, lot, skipped, again)


def _removed(edits: Edits, lot: Lot) -> Unexplained:
    order = edits.old.order
    later = [edits.names[name] for name in order[order.index(lot.step) :] if name in edits.names]
    choice = f"{{move: {later[0]}}}, exit, or finish" if later else "exit, or finish"
    renamed = f"; or, if {edits.added[0]!r} is its new name: renamed_from: {lot.step}" if edits.added else ""
    return Unexplained(
        ("steps",),
        f"steps: {lot.step!r} is gone, and {_waiting(lot)} there",
        f"say what becomes of them: when_removed: {{{lot.step}: …}} with {choice}{renamed}",
    )


def _reordered(edits: Edits, lot: Lot, skipped: Sequence[str], again: Sequence[str]) -> Unexplained:
    now = edits.names[lot.step]
    wrong = [f"would not come to {_listed(skipped)} any more"] if skipped else []
    wrong += [f"would come to {_listed(again)} again"] if again else []
    return Unexplained(
        ("steps", now),
        f"steps.{now}: the order changed, and {_waiting(lot)} here: they {' and '.join(wrong)}",
        f"say what becomes of them: when_reordered: {{{now}: …}} with stay (what they did is passed over), "
        "{move: STEP}, exit, or finish",
    )


def _decides(edits: Edits, name: str) -> bool:
    return any(step.branch or step.split for step in edits.steps(name))


def _decided_twice(edits: Edits, lot: Lot, twice: Sequence[str]) -> Unexplained:
    section = "when_reordered" if lot.step in edits.names else "when_removed"
    key = edits.names.get(lot.step, lot.step)
    return Unexplained(
        (section, key),
        f"{section}.{key}: of the people there ({lot.crowd.people:,}) some went through {_listed(twice)} already, "
        f"and would come to it again from {lot.to!r}",
        "the way they went was decided for good: move them to a step after it, or let them finish",
    )


def _waiting(lot: Lot) -> str:
    return "1 person waits" if lot.crowd.people == 1 else f"{lot.crowd.people:,} people wait"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)
