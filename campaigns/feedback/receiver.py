"""What of a workspace decides about feedback."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.addresses import parse_address
from core.errors import AddressError
from core.feedback_settings import FeedbackRules
from core.refusal_settings import Refusals
from core.settings import Sender
from core.staff_settings import Employee
from core.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Receiver:
    """The rules of one workspace, its secret, and who works there."""

    secret: bytes
    rules: FeedbackRules = field(default_factory=FeedbackRules)
    refusals: Refusals = field(default_factory=Refusals)
    staff: Mapping[str, Employee] = field(default_factory=dict)
    senders: Mapping[str, Sender] = field(default_factory=dict)
    zone: str = "UTC"  # whose midnight begins a day

    @classmethod
    def of(cls, workspace: Workspace) -> "Receiver":
        """The receiver of the workspace, by its present settings."""
        settings = workspace.settings
        return cls(
            workspace.secret, settings.feedback, settings.refusals, settings.staff, settings.senders,
            settings.organisation.zone,
        )  # fmt: skip

    def is_own(self, email: str) -> bool:
        """Whether the address is one of the organisation's: of a sender, or of an employee."""
        known = [employee.email for employee in self.staff.values()]
        for sender in self.senders.values():
            known += [sender.email, sender.reply_to or sender.email]
        return comparable(email) in {comparable(one) for one in known}


def comparable(email: str) -> str:
    """The address as it is compared; of what is none, small letters."""
    try:
        return parse_address(email).comparable
    except AddressError:
        return email.casefold()
