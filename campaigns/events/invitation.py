"""How the calendar entry of an event's message comes into its mail: the text that was kept with it, as it is."""

from collections.abc import Mapping
from typing import Any, Final

from delivery.message_bytes import CalendarText, EncodedFile, encoded_attachment

#: Before the name of an event: what its mails are known by in the ledger. No campaign file can have such a name.
PREFIX: Final = "event:"


def calendar_of(campaign: str, given: Mapping[str, Any]) -> CalendarText | None:
    """The entry that goes with a message of this campaign; None: none does."""
    text = given.get("calendar") if campaign.startswith(PREFIX) else None
    return CalendarText(text, method_in(text)) if isinstance(text, str) else None


def files_of(campaign: str, calendar: CalendarText | None, given: Mapping[str, Any]) -> tuple[EncodedFile, ...]:
    """The entry as a file beside the mail, where the event asks for that."""
    if calendar is None or not given.get("calendar_attached"):
        return ()
    name = file_name(campaign.removeprefix(PREFIX))
    return (encoded_attachment(name, "application/ics", calendar.text.encode()),)


def file_name(event: str) -> str:
    """What the entry is called as a file: names of events are fit for headers and for every file system."""
    return f"{event}.ics"


def method_in(text: str) -> str:
    """The METHOD that an iCalendar object in CRLF lines names (S-7.4)."""
    return text.partition("\r\nMETHOD:")[2].partition("\r\n")[0]
