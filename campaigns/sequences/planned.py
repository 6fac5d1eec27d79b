"""What applying would do to one sequence, as `plan` tells it, writes it into a plan file, and `apply` compares it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import ConfigDict, Field, StringConstraints

from campaigns.sequences.beginning import Entering
from campaigns.sequences.telling import Told
from core.field_types import Name
from core.yaml_files import Section


class Intent(StrEnum):
    """What applying does."""

    NOTHING = "nothing"  #: the files say what is in force
    START = "start_sequence"  #: people begin to enter
    RESTART = "restart_sequence"  #: it was cancelled, and begins again
    EDIT = "edit_sequence"  #: who is in it goes over to the new version
    END = "end_sequence"  #: its file is gone, and nobody is in it


@dataclass(frozen=True, slots=True)
class SequencePlan:
    """The plan of one sequence. `digest`: of what applying does to whom now, so that a plan can be stale."""

    name: str
    intent: Intent
    fingerprint: str  # of the files; empty where they are gone
    base: str | None  # the fingerprint of what is in force; None: nothing ever was
    digest: str
    state: str | None = None  # active, paused or cancelled; None: it was never applied
    inside: int = 0  # people on their way through the version in force
    finishing: int = 0  # people who finish in earlier versions
    entering: Entering = field(default_factory=Entering)
    told: tuple[Told, ...] = ()
    untouched: Mapping[str, int] = field(default_factory=dict)  # step → people of whom nothing is told
    remarks: tuple[str, ...] = ()
    cancelled_at: datetime | None = None  # it was cancelled then, and applying would begin it again

    @property
    def is_pending(self) -> bool:
        """Applying would do something."""
        return self.intent is not Intent.NOTHING

    @property
    def would_send(self) -> int:
        """How many of those who enter at once would get their first mailing."""
        return self.entering.counts.would_send

    def document(self) -> dict[str, Any]:
        """Its entry under `campaigns` of `plan --json`."""
        counts = self.entering.counts
        return {
            "name": self.name,
            "kind": "sequence",
            "audience": counts.audience,
            "would_send": counts.would_send,
            "skipped": dict(counts.skipped),
            "first_mailing": self.entering.first,
            "leaving": self.entering.leaving,
            "state": self.state,
            "inside": self.inside,
            "finishing": self.finishing,
            "untouched": dict(self.untouched),
            "remarks": list(self.remarks),
        }

    def changes(self) -> list[dict[str, Any]]:
        """Its entries under `changes` of `plan --json`: one for the whole, and one for each effect on each step."""
        if not self.is_pending:
            return []
        counts = self.entering.counts
        whole = {"campaign": self.name, "change": str(self.intent), "people": self.inside, "entering": counts.audience}
        return [whole, *({"campaign": self.name, "change": "edit_step", **one.document()} for one in self.told)]

    def reviewed(self) -> dict[str, Any]:
        """Its entry in a plan file."""
        return {
            "intent": str(self.intent),
            "fingerprint": self.fingerprint,
            "base": self.base,
            "digest": self.digest,
            "people": self.inside,
            "entering": self.entering.counts.audience,
        }

    def lines(self) -> Iterator[str]:
        """What is told on screen."""
        if not self.is_pending:
            yield f"nothing to do; {_heads(self.inside)} inside"
            return
        yield from self._entering_lines()
        if self.intent is Intent.EDIT:
            yield f"{_heads(self.inside)} inside" + (" (the sequence is paused)" if self.state == "paused" else "")
        yield from _table(self.told, self.untouched)
        if self.finishing:
            yield f"{_heads(self.finishing)} finishing in an earlier version; nothing changes for them"
        yield from (f"remark: {remark}" for remark in self.remarks)

    def _entering_lines(self) -> Iterator[str]:
        counts = self.entering.counts
        if counts.audience == 0 and self.intent is Intent.EDIT:
            return
        rows = [("enter now", counts.audience)]
        if self.entering.first is not None and counts.audience:
            rows.append((f"would get {self.entering.first}", counts.would_send))
        rows += [(f"skipped, {reason}", number) for reason, number in counts.skipped.items()]
        if self.entering.leaving:
            rows.append(("leave at once, exit_when", self.entering.leaving))
        width = max(len(label) for label, _ in rows)
        yield from (f"{label.ljust(width)}  {number:>12,}" for label, number in rows)


def _heads(number: int) -> str:
    return "1 person" if number == 1 else f"{number:,} people"


def _table(told: tuple[Told, ...], untouched: Mapping[str, int]) -> Iterator[str]:
    """A line for each effect on each step, in columns."""
    rows = [(one.step, one.people, one.text) for one in told]
    rows += [(step, people, "nothing changes") for step, people in untouched.items()]
    width = max((len(step) for step, _, _ in rows), default=0)
    yield from (f"  {step.ljust(width)}  {people:>9,}  {text}" for step, people, text in rows)


class Reviewed(Section):
    """One sequence of a plan file: what was shown to the person who approved it."""

    model_config = ConfigDict(extra="ignore")

    name: Name
    intent: Intent
    fingerprint: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]*$", max_length=64)]
    base: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]*$", max_length=64)] | None
    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]+$", max_length=64)]
    people: Annotated[int, Field(ge=0, strict=True)]
    entering: Annotated[int, Field(ge=0, strict=True)]
