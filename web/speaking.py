"""How pages name topics, addresses and days."""

import re
from datetime import datetime
from zoneinfo import ZoneInfo

from core.addresses import masked
from core.settings import Settings
from templates.locales import LOCALES
from web.languages import Words


def topic_label(settings: Settings, topic: str, words: Words) -> str:
    """The topic as people know it, in their language where the settings have it."""
    known = settings.topics.get(topic)
    return topic if known is None else known.labels.get(words.code, known.label)


def topic_description(settings: Settings, topic: str, words: Words) -> str:
    """What the topic is about; empty when nothing is said of it."""
    known = settings.topics.get(topic)
    return "" if known is None else known.descriptions.get(words.code, known.description)


def shown_date(at: datetime, zone: str, words: Words) -> str:
    """The day in this zone, as the language writes it; as 2026-05-30 in one whose months are not known."""
    day = at.astimezone(ZoneInfo(zone))
    if words.code not in LOCALES:
        return f"{day:%Y-%m-%d}"
    locale = LOCALES[words.code]
    parts = {"%-d": str(day.day), "%-m": str(day.month), "%B": locale.months[day.month - 1], "%Y": str(day.year)}
    return re.sub("|".join(parts), lambda found: parts[found[0]], locale.date)


def shown_address(email: str) -> str:
    """The address, masked; a word joiner keeps it on one line."""
    return masked(email).replace("…", "…\u2060")
