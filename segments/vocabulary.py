"""The names an expression may use beyond the language itself."""

from collections.abc import Mapping
from dataclasses import dataclass

from segments.definition import Segment


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The segments, topics and campaigns of one workspace. `campaigns` None: names of campaigns pass."""

    segments: Mapping[str, Segment]
    topics: frozenset[str]
    campaigns: frozenset[str] | None
