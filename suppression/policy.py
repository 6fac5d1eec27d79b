"""What `clarion.yaml` says about permission, as one value the gate is asked with."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from suppression.pressure import Rules
from suppression.quiet_hours import QuietHours

if TYPE_CHECKING:
    from core.settings import Settings


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of one workspace; `Policy()` is that of a workspace whose `clarion.yaml` adds none.

    Equal policies are the same key of a cache: statements built for one are reused. A worker asks with the policy of
    its present settings, whatever they were when the audience was frozen.
    """

    confirmed_topics: frozenset[str] = frozenset()  # only a confirmed consent counts (double opt-in)
    pressure: Rules = Rules()
    quiet_hours: QuietHours | None = None

    @classmethod
    def of(cls, settings: "Settings") -> "Policy":
        """The policy of the settings."""
        return cls(
            confirmed_topics=frozenset(name for name, topic in settings.topics.items() if topic.confirmed),
            pressure=Rules.of(settings),
            quiet_hours=QuietHours.of(settings),
        )
