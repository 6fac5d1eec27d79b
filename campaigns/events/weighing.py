"""How much the mails of an event hold at the most: what is too much is found in the file, not by who registers."""

import json
from collections.abc import Iterator
from typing import Any, Final

from campaigns.events.definition import EventFile
from core.form_settings import in_language

#: Characters of whatever no file says: links, names, times, and the zone's changes of clock.
_REST: Final = 12_000
#: Of one address in a summary, in characters of JSON.
_ADDRESS: Final = 800
#: How often a mail may say each of them: as the event, among events, as it was, and in the calendar entry.
_SAID: Final = {"description": 2, "title": 4, "place": 4, "online": 7}


def weight(value: Any) -> int:
    """The characters that the value takes where it is kept with a message."""
    return len(json.dumps(value))


def heaviest(definition: EventFile) -> Iterator[tuple[str, int]]:
    """Each language of the texts with the characters that the heaviest mail in it may hold."""
    people = definition.registration.attendees * _ADDRESS if definition.registration.attendees > 1 else 0
    for language in sorted({*definition.title, *definition.description}):
        yield language, _REST + people + _texts(definition, language)


def _texts(definition: EventFile, language: str) -> int:
    said = {
        "description": in_language(definition.description, language) or "",
        "title": in_language(definition.title, language) or "",
        "place": definition.place or "", "online": definition.online or "",
    }  # fmt: skip
    plain = sum(times * weight(said[name]) for name, times in _SAID.items())
    return plain + sum(_in_calendar(text) for text in said.values())


def _in_calendar(text: str) -> int:
    """As a line of an entry: with its escapes, folded at 75 octets."""
    for mark in "\\;,\n":
        text = text.replace(mark, "\\" + mark)
    return weight(text) + 5 * (len(text.encode()) // 72 + 1)
