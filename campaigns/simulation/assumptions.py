"""What people are assumed to do with the mail of a rehearsal: stated, and the same in every rehearsal with one seed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Final

from core.errors import UsageError
from core.names import did_you_mean
from core.units import quoted

#: The word for nobody ever answering.
NONE: Final = "none"


@dataclass(frozen=True, slots=True)
class Assumptions:
    """Shares (0 to 1) of the messages that are accepted, but for `bounces`: of those that are handed over.

    Who clicks has opened, and who converts has clicked, as far as the shares go.
    """

    opens: float = 0.30
    clicks: float = 0.03
    replies: float = 0.003
    converts: float = 0.01
    bounces: float = 0.005
    unsubscribes: float = 0.002

    def document(self) -> dict[str, float]:
        """The shares by name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


#: Nobody answers, and every address exists.
SILENCE: Final = Assumptions(0, 0, 0, 0, 0, 0)


def parse_assumptions(words: Iterable[str]) -> Assumptions:
    """The usual assumptions, changed by words such as `opens=40%` or `bounces=0.01`; after `none` all others are 0.

    Raises:
        UsageError: a word is none of these.
    """
    found = Assumptions()
    for word in words:
        if word.strip() == NONE:
            found = SILENCE
            continue
        name, equals, share = (part.strip() for part in word.partition("="))
        known = Assumptions().document()
        if not equals or name not in known:
            hint = did_you_mean(name, known) or f"one of {', '.join(known)}, or {NONE}"
            raise UsageError(f"--assume {quoted(word)} says nothing that is assumed (expected opens=30%)", hint=hint)
        found = replace(found, **{name: _share(word, share)})
    return found


def _share(word: str, text: str) -> float:
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise UsageError(f"--assume {quoted(word)} is no share (expected from 0% to 100%)")
    return share


def told(assumptions: Assumptions) -> str:
    """The assumptions in one line."""
    shares: Mapping[str, float] = assumptions.document()
    if not any(shares.values()):
        return "nobody answers, and every address exists"
    return ", ".join(f"{name} {share * 100:.3g}%" for name, share in shares.items())
