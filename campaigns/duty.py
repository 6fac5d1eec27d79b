"""A duty: something that goes on by itself while time passes, told to two readers, the scheduler and the simulator."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from core.settings import Settings
from core.workspace import Workspace
from suppression.policy import Policy


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What duties go by beside the database."""

    workspace: Workspace
    policy: Policy

    @property
    def settings(self) -> Settings:
        """The settings of the workspace."""
        return self.workspace.settings

    @classmethod
    def of(cls, workspace: Workspace) -> "Circumstances":
        """As the workspace's files say now."""
        return cls(workspace, Policy.of(workspace.settings))


@dataclass(frozen=True, slots=True)
class Duty:
    """One thing to be looked after.

    `run` does a bounded part of what is due at an instant, within the transaction it is given, and returns how much it
    did; 0: nothing is due any more. It may run twice, in two processes at once, or be cut off anywhere: what was
    committed is not done again. It goes by the instant it is given, never by a clock. `next_at` is the instant at which
    there will be something to do, at the latest; None: not by itself.
    """

    name: str
    run: Callable[[Connection, Circumstances, datetime], int]
    next_at: Callable[[Connection, Circumstances, datetime], datetime | None]
