"""How pages name topics and addresses."""

from core.addresses import masked
from core.form_settings import in_language
from core.settings import Settings
from web.languages import Words


def topic_label(settings: Settings, topic: str, words: Words) -> str:
    """The topic as people know it, in their language where the settings have it."""
    known = settings.topics.get(topic)
    return topic if known is None else in_language(known.labels, words.code) or known.label


def topic_description(settings: Settings, topic: str, words: Words) -> str:
    """What the topic is about; empty when nothing is said of it."""
    known = settings.topics.get(topic)
    return "" if known is None else in_language(known.descriptions, words.code) or known.description


def shown_address(email: str) -> str:
    """The address, masked; a word joiner keeps it on one line."""
    return masked(email).replace("…", "…\u2060")
