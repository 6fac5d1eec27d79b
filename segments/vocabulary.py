"""The names an expression may use beyond the language itself."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from core.errors import Problem
from core.workspace import Workspace
from segments.definition import Segment, load_segments


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The segments, topics and campaigns of one workspace. `campaigns` None: names of campaigns pass.

    `passage`: the rule is asked of somebody who passes through a sequence. It may name what the passage began with,
    `given.…`, and ask for what was done `since="enrolment"` or `since="step"`.
    """

    segments: Mapping[str, Segment]
    topics: frozenset[str]
    campaigns: frozenset[str] | None
    passage: bool = False

    @property
    def plain(self) -> "Vocabulary":
        """The same for segments, which are asked of anybody."""
        return replace(self, passage=False) if self.passage else self


def read_vocabulary(workspace: Workspace) -> tuple[Vocabulary, list[Problem]]:
    """The names the workspace's files define, and the problems of its segment files.

    Raises:
        ConfigError: the settings hold mistakes.
    """
    segments, problems = load_segments(workspace)
    campaigns = frozenset(path.stem for path in workspace.files("campaigns", ".yaml", ".yml"))
    return Vocabulary(segments, frozenset(workspace.settings.topics), campaigns), problems
