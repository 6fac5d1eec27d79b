"""`rollout` in a campaign file: how it reaches a few people first, and what stops it before it reaches everybody."""

import itertools
import math
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

from pydantic import Field, field_validator

from core.units import Duration, Share, Unfit, parse_duration, quoted
from core.yaml_files import Section


class StopAt(Section):
    """Shares of the answered messages above which the roll-out stops. A single message never stops it."""

    hard_bounces: Share = 0.03
    complaints: Share = 0.001
    blocks: Share = 0.05


class Rollout(Section):
    """Stages: `[1%, 10%]` reaches 1 % of the people first, then 10 % of them all, then everybody."""

    stages: Annotated[tuple[Share, ...], Field(min_length=1, max_length=20)]
    watch: Duration = parse_duration("30m")  # from the last answer of a stage to the next stage
    stop_at: StopAt = StopAt()

    @field_validator("stages")
    @classmethod
    def _each_reaches_more(cls, stages: tuple[float, ...]) -> tuple[float, ...]:
        shown = quoted(", ".join(f"{share:.6g}" for share in stages))
        if not all(0 < share < 1 for share in stages):
            raise Unfit(shown, "shares above 0 and below 1; everybody comes last by itself")
        if any(later <= earlier for earlier, later in itertools.pairwise(stages)):
            raise Unfit(shown, "shares of everybody that grow from stage to stage, such as [1%, 10%]")
        return stages

    @property
    def watched(self) -> timedelta:
        """How long all its stages are watched together."""
        return self.watch * len(self.stages)


def bounds(shares: Sequence[float], people: int) -> tuple[int, ...]:
    """How many of `people` each stage but the last has reached, all before it included: whole people, ascending.

    A stage that would reach nobody new is left out, and so is one that would leave nobody for the last.
    """
    # Rounded first: 0.1 × 30 is a little more than 3 in binary fractions.
    reached = sorted({math.ceil(round(share * people, 6)) for share in shares})
    return tuple(number for number in reached if 0 < number < people)


def heads(shares: Sequence[float], people: int) -> tuple[int, ...]:
    """How many of `people` are new in each stage, the last included; their sum is `people`."""
    ends = (0, *bounds(shares, people), people)
    return tuple(end - start for start, end in itertools.pairwise(ends))
