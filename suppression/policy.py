"""What `clarion.yaml` says about permission, as one value the gate is asked with."""

from dataclasses import dataclass, field, fields
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from core.consent_settings import BUILT_IN, Profile
from suppression.caps import Rules
from suppression.care import Care
from suppression.mailboxes import Mailboxes
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
    profiles: tuple[Profile, ...] = BUILT_IN  # by country; the last one is for everybody else
    tracking: str = "opt_out"  # or opt_in, or by_profile: of who never said anything about opens and clicks
    profiling: str = "opt_out"  # or opt_in: of who never said anything about being chosen by behaviour
    pressure: Rules = Rules()  # noqa: RUF009  frozen
    quiet_hours: QuietHours | None = None
    care: Care = Care()  # noqa: RUF009  frozen
    mailboxes: Mailboxes = Mailboxes()  # noqa: RUF009  frozen
    one_per: str = "person"  # or address, household, company: who gets one message of a run
    piece_memory: timedelta | None = None  # nobody gets a piece twice within it; None: ever
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        compared = tuple(getattr(self, each.name) for each in fields(self) if each.compare)
        object.__setattr__(self, "_hash", hash(compared))

    def __hash__(self) -> int:
        """Made once: every window of a few messages asks for it, and making it takes 10 µs."""
        return self._hash

    @classmethod
    def of(cls, settings: "Settings") -> "Policy":
        """The policy of the settings."""
        policy = cls(
            confirmed_topics=frozenset(name for name, topic in settings.topics.items() if topic.confirmed),
            profiles=settings.consent.resolved(),
            tracking=settings.consent.tracking,
            profiling=settings.consent.profiling,
            pressure=Rules.of(settings),
            quiet_hours=QuietHours.of(settings),
            care=Care.of(settings),
            mailboxes=Mailboxes.of(settings),
            one_per=settings.duplicates.one_per,
            piece_memory=remembered(settings.duplicates.piece_memory),
        )
        return _one(policy)


@lru_cache(maxsize=64)
def _one(policy: Policy) -> Policy:
    """One object for equal policies: as keys of caches they are told to be equal at a glance."""
    return policy


def remembered(piece_memory: timedelta | str) -> timedelta | None:
    """How long pieces are remembered, from what a file says: a length of time, `ever` (None) or `none` (zero)."""
    if isinstance(piece_memory, timedelta):
        return piece_memory
    return None if piece_memory == "ever" else timedelta(0)
