"""What an edit means to those who wait at each step, in words: told by `plan`, before anything is done."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from campaigns.sequences.edits import Edits
from campaigns.sequences.fates import Fate, Lot
from campaigns.sequences.retiming import Retimed
from campaigns.sequences.steps import Step, WaitStep


class Effect(StrEnum):
    """How an edit touches people."""

    CONTENT_ONLY = "content_only"  #: what lies ahead of them says or does something else
    RENAMED = "renamed"  #: the step at which they wait has another name
    RE_TIMED = "re_timed"  #: they are due at another time
    RE_TIMED_LATER = "re_timed_later"  #: a wait that lies ahead of them has another length
    DECIDED_ANEW = "decided_anew"  #: what lies ahead sends people elsewhere
    ADDED = "added"  #: a step that is new lies ahead of them
    ADDED_BEHIND = "added_behind"  #: a step that is new lies behind them: they never come to it
    MOVED = "moved"  #: they go on at another step
    EXITS = "exits"  #: they leave the sequence
    FINISHES = "finishes"  #: they go on as they began, for good
    WOULD_REPEAT = "would_repeat"  #: they come again to what they did, and pass over it
    WOULD_DROP = "would_drop"  #: they do not come any more to what lay ahead of them
    LEAVES = "leaves"  #: `exit_when` lets them out before their next action
    SKIPPED = "skipped"  #: they may not be written to under the new topic


@dataclass(frozen=True, slots=True)
class Told:
    """One effect on those who wait at one step."""

    step: str  # by its old name
    people: int
    effect: Effect
    text: str
    detail: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As `plan --json` lists it under `changes`."""
        return {"step": self.step, "people": self.people, "effect": str(self.effect), **self.detail, "text": self.text}


def told(edits: Edits, lots: Sequence[tuple[Lot, Retimed | None]], did: Mapping[tuple[str, str], int]) -> list[Told]:
    """Every effect on everybody who waits, in the old order of steps; who is untouched is not mentioned."""
    found: list[Told] = []
    for lot, times in lots:
        found += _fate(edits, lot, times)
        if lot.to is not None:
            found += _ahead(edits, lot, lot.to)
            found += _again(edits, lot, did)
        if lot.fate in (Fate.STAYS, Fate.MOVED) and (lost := edits.lost(lot.step, lot.to)):
            text = f"will not come to {listed(lost)} any more"
            found.append(Told(lot.step, lot.crowd.people, Effect.WOULD_DROP, text, {"steps": list(lost)}))
    return found


def listed(names: Sequence[str]) -> str:
    """`pause, nudge and rest`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


# --- what becomes of them when it is applied ---------------------------------------------------------------------


def _fate(edits: Edits, lot: Lot, times: Retimed | None) -> Iterator[Told]:
    step, people = lot.step, lot.crowd.people
    if lot.fate is Fate.MOVED:
        yield Told(step, people, Effect.MOVED, f"moved to {lot.to}, to which they come now", {"to": lot.to})
    elif lot.fate is Fate.EXITS:
        yield Told(step, people, Effect.EXITS, "let out of the sequence")
    elif lot.fate is Fate.FINISHES:
        yield Told(step, people, Effect.FINISHES, "left to finish as they began; no later edit reaches them")
    elif step in edits.renamed:
        yield Told(step, people, Effect.RENAMED, f"at {lot.to}, as the step is called now", {"to": lot.to})
    if lot.fate is Fate.STAYS and times is not None:
        yield _re_timed(edits, lot, times)


def _re_timed(edits: Edits, lot: Lot, times: Retimed) -> Told:
    was, now = (wait_words(step) for step in edits.steps(lot.step))
    counts = {"due_at_once": times.due_at_once, "earlier": times.earlier, "later": times.later}
    shown = ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in counts.items() if number)
    text = f"{now} instead of {was}, since they came to it: {shown or 'due when they were'}"
    return Told(lot.step, lot.crowd.people, Effect.RE_TIMED, text, {"was": was, "now": now, **counts})


def wait_words(step: Step) -> str:
    """How long a step lasts, as people say it; a step that is no wait lasts no time."""
    wait = step.wait
    return "no wait" if wait is None else _wait_words(wait)


def _wait_words(wait: WaitStep) -> str:
    if wait.span is not None:
        return str(wait.span)
    if wait.rule is not None:
        return f"until {wait.rule} (at most {wait.timeout})"
    days = f" on {', '.join(wait.on)}" if wait.on is not None else ""
    zone = "" if wait.zone == "recipient" else f" in {wait.zone}"
    return f"until {wait.until:%H:%M}{days}{zone}"


# --- what lies ahead of them -------------------------------------------------------------------------------------


def _ahead(edits: Edits, lot: Lot, at: str) -> Iterator[Told]:
    ahead, people = edits.after.ahead(at), lot.crowd.people
    kept = [old for old, now in edits.names.items() if now in ahead]

    def effect(kind: Effect, steps: Sequence[str], text: str) -> Iterator[Told]:
        if steps:
            yield Told(lot.step, people, kind, text.format(listed(steps)), {"steps": list(steps)})

    for what, steps in _rewritten(edits, kept).items():
        does = f"another {listed(what)}" if what else "something else to do"
        shown = f"ahead of them, {listed(steps)} {'has' if len(steps) == 1 else 'have'} {does}"
        detail = {"steps": list(steps), "what": list(what)}
        yield Told(lot.step, people, Effect.CONTENT_ONLY, shown, detail)
    later = [edits.names[old] for old in kept if edits.is_retimed(old) and edits.names[old] != at]
    yield from effect(Effect.RE_TIMED_LATER, later, "ahead of them, {} has another length")
    anew = [edits.names[old] for old in kept if edits.is_decided_anew(old)]
    yield from effect(Effect.DECIDED_ANEW, anew, "ahead of them, {} decides by new ways")
    yield from effect(Effect.ADDED, [name for name in edits.added if name in ahead], "will also come to {}")
    behind = [name for name in edits.added if name not in ahead and edits.after.leads(name, at)]
    yield from effect(Effect.ADDED_BEHIND, behind, "will never come to {}, which is new and behind them")


def _rewritten(edits: Edits, steps: Sequence[str]) -> Mapping[tuple[str, ...], list[str]]:
    """What is another one → the steps of which it is, by their new names."""
    found: dict[tuple[str, ...], list[str]] = {}
    for old in steps:
        if edits.is_rewritten(old):
            found.setdefault(edits.content.get(old, ()), []).append(edits.names[old])
    return found


def _again(edits: Edits, lot: Lot, did: Mapping[tuple[str, str], int]) -> Iterator[Told]:
    for (step, other), people in did.items():
        if step == lot.step:
            now = edits.names[other]
            text = f"did {now}, and will pass over it"
            yield Told(step, people, Effect.WOULD_REPEAT, text, {"steps": [now]})
