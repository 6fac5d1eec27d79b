"""Where links lead that mails, screens and calendars show: each signed for its one purpose, and with an end.

The addresses are those of `web.app`.
"""

from dataclasses import dataclass
from datetime import datetime

from core.workspace import Workspace
from tracking.timed_tokens import TimedPurpose, TimedTokens


def event_page(base_url: str, event: str) -> str:
    """The page on which anybody registers for the event."""
    return f"{base_url}/events/{event}"


@dataclass(frozen=True, slots=True)
class PublicLinks:
    """The links of one workspace's public pages."""

    base_url: str
    tokens: TimedTokens

    @classmethod
    def of(cls, workspace: Workspace) -> "PublicLinks":
        """Those of the workspace, signed with its secret."""
        return cls(workspace.settings.tracking.base_url, TimedTokens(workspace.token_secret))

    def event(self, event: str) -> str:
        """The page on which anybody registers for the event. It is not signed, and does not end."""
        return event_page(self.base_url, event)

    def registration(self, registration_id: int, ends_at: datetime) -> str:
        """The page of one registration: to look at it, take an offered seat, cancel, or download the calendar entry."""
        return f"{self.base_url}/r/{self.tokens.sign(TimedPurpose.REGISTRATION, registration_id, ends_at)}"

    def check_in(self, event: str, ends_at: datetime) -> str:
        """The page on which staff at the door checks in who comes."""
        return f"{self.base_url}/door/{event}/{self.tokens.sign(TimedPurpose.CHECK_IN, 0, ends_at, about=event)}"

    def survey(self, survey: str, message_id: int, ends_at: datetime) -> str:
        """The page of the survey for whoever the message went to."""
        return f"{self.base_url}/s/{survey}/{self.tokens.sign(TimedPurpose.SURVEY, message_id, ends_at, about=survey)}"

    def inquiry(self, desk: str) -> str:
        """The page on which anybody asks the desk something. It is not signed, and does not end."""
        return f"{self.base_url}/i/{desk}"

    def calendar(self, ends_at: datetime) -> str:
        """The feed of what goes out when, for staff."""
        return f"{self.base_url}/calendar/{self.tokens.sign(TimedPurpose.CALENDAR, 0, ends_at)}.ics"
