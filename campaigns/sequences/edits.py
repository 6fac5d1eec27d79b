"""What is different between two definitions of a sequence, step by step, without asking who waits where."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Literal

from campaigns.sequences.definition import Move, SequenceFile
from campaigns.sequences.steps import Step

#: What may become of people who wait in a step.
Choice = Move | Literal["stay", "exit", "finish"]
#: Of a wait: whither it leads afterwards. The rest says how long it is.
_WAYS_OUT: Final = frozenset({"on_timeout"})


class Flow:
    """Which steps lie ahead of which, in one definition."""

    def __init__(self, definition: SequenceFile) -> None:
        self._ahead: dict[str, frozenset[str]] = {}
        for name in reversed(definition.order):  # steps only lead forward
            ways = {way for way in definition.ways_out(name) if way is not None}
            self._ahead[name] = frozenset({name}).union(*(self._ahead.get(way, frozenset({way})) for way in ways))

    def ahead(self, name: str) -> frozenset[str]:
        """Every step that somebody at this one may still come to; this one is among them."""
        return self._ahead[name]

    def leads(self, name: str, to: str) -> bool:
        """Whether somebody at the one step may come to the other, later."""
        return name != to and to in self._ahead[name]


@dataclass(frozen=True)
class Edits:
    """Two definitions of one sequence, compared. `content`: old name → what a send step says otherwise than before."""

    old: SequenceFile
    new: SequenceFile
    content: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def names(self) -> Mapping[str, str]:
        """Old name → new name of every step that is still there."""
        renamed = {
            step.renamed_from: name
            for name, step in self.new.steps.items()
            if step.renamed_from is not None and step.renamed_from in self.old.steps
        }
        kept = set(self.new.steps) - set(renamed.values())
        return {name: renamed.get(name, name) for name in self.old.steps if name in renamed or name in kept}

    @cached_property
    def taken(self) -> tuple[str, ...]:
        """The steps that took over the name of another step, which people know as something else."""
        return tuple(now for now in self.renamed.values() if now in self.old.steps)

    @cached_property
    def renamed(self) -> Mapping[str, str]:
        """Old name → new name of the steps that have another one."""
        return {name: now for name, now in self.names.items() if now != name}

    @cached_property
    def gone(self) -> tuple[str, ...]:
        """The steps that are not there any more, by their old order."""
        return tuple(name for name in self.old.order if name not in self.names)

    @cached_property
    def added(self) -> tuple[str, ...]:
        """The steps that are new, in their order."""
        known = set(self.names.values())
        return tuple(name for name in self.new.order if name not in known)

    @cached_property
    def before(self) -> Flow:
        """What lay ahead of whom."""
        return Flow(self.old)

    @cached_property
    def after(self) -> Flow:
        """What lies ahead of whom."""
        return Flow(self.new)

    def steps(self, name: str) -> tuple[Step, Step]:
        """The step of that old name as it was, and as it is."""
        return self.old.steps[name], self.new.steps[self.names[name]]

    def is_retimed(self, name: str) -> bool:
        """Whoever waits there is due at another time."""
        was, now = self.steps(name)
        return _timing(was) != _timing(now)

    def is_rewritten(self, name: str) -> bool:
        """The step says or does something else: a mail, a task, a webhook, attributes."""
        was, now = self.steps(name)
        return name in self.content or any(
            getattr(was, action) != getattr(now, action) for action in ("task", "update", "webhook", "exit")
        )

    def is_decided_anew(self, name: str) -> bool:
        """The step sends people elsewhere: by its conditions, shares, or what it names as coming then."""
        was, now = self.steps(name)
        return _Ways.of(was, self.names) != _Ways.of(now, {})

    def skipped(self, name: str) -> tuple[str, ...]:
        """The old names of steps that lay ahead of this one, and come before it now."""
        here = self.names[name]
        return tuple(
            other for other, now in self.names.items() if self.before.leads(name, other) and self.after.leads(now, here)
        )

    def ahead_again(self, name: str) -> tuple[str, ...]:
        """The old names of steps that came before this one, and lie ahead of it now."""
        here = self.names[name]
        return tuple(
            other for other, now in self.names.items() if self.before.leads(other, name) and self.after.leads(here, now)
        )

    def choice(self, name: str) -> Choice | None:
        """What the file says about people who wait there; None: nothing. Of a step whose place among the others is
        what it was nothing needs to be said, and nothing that was said for an earlier edit counts."""
        if name not in self.names:
            return self.new.when_removed.get(name)
        if self.skipped(name) or self.ahead_again(name):
            return self.new.when_reordered.get(self.names[name])
        return None

    def lost(self, name: str, at: str | None) -> tuple[str, ...]:
        """The old names of steps that lay ahead of somebody at the old step `name` and do not any more.

        They are at `at` of the new definition now; None: they left.
        """
        ahead = self.after.ahead(at) if at is not None else frozenset()
        return tuple(
            other for other in self.old.order if self.before.leads(name, other) and self.names.get(other) not in ahead
        )


def _timing(step: Step) -> object:
    return None if step.wait is None else step.wait.model_dump(exclude=set(_WAYS_OUT))


@dataclass(frozen=True, slots=True)
class _Ways:
    """What a step says about where people go from it, by present names."""

    forks: tuple[tuple[str | None, str], ...]
    shares: Mapping[str, float]
    on_timeout: str | None
    then: str | None

    @classmethod
    def of(cls, step: Step, names: Mapping[str, str]) -> "_Ways":
        on_timeout = step.wait.on_timeout if step.wait is not None else None
        return cls(
            forks=tuple((fork.when, names.get(fork.go, fork.go)) for fork in step.branch or ()),
            shares={names.get(name, name): share for name, share in (step.split or {}).items()},
            on_timeout=None if on_timeout is None else names.get(on_timeout, on_timeout),
            then=None if step.next is None else names.get(step.next, step.next),
        )
