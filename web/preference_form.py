"""The preference page: how choices are shown, and what is made of what was chosen."""

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

from core.settings import Settings
from core.units import format_duration, parse_duration
from suppression.consent_ledger import Wording
from web import widgets
from web.choices import Choices, Offer, Wishes
from web.languages import Words
from web.mailboxes import Person
from web.pages import NOTHING, Html, fragment, joined
from web.reading import last
from web.speaking import shown_address, shown_date, topic_description, topic_label
from web.widgets import Choice

#: What can be chosen: so many messages within so many days.
_OFTEN: Final = ((1, timedelta(days=7)), (2, timedelta(days=30)), (1, timedelta(days=30)))
_KEEP: Final = "keep"
_NONE: Final = "none"
#: The version of the page's own words.
WORDING: Final = "preferences-1"
_CHANNELS: Final = ("email", "sms", "letter", "phone")


def read(fields: Mapping[str, list[str]], settings: Settings, words: Words, now: datetime) -> Wishes | None:
    """What the page was sent with; None when it is not the page's form.

    Without what was shown nothing is switched on, and what is not ticked is switched off.
    """
    often, pause = last(fields, "often"), last(fields, "pause")
    lengths = {format_duration(length): length for length in settings.pages.pauses}
    most = _parsed_often(often)
    if (most is None and often != _NONE) or pause not in {_NONE, _KEEP, *lengths}:
        return None
    shown_at = _instant(last(fields, "shown_at"), now)
    was_often, was_pause = fields.get("was_often", [_NONE])[-1], fields.get("was_pause", [_NONE])[-1]
    return Wishes(
        _offers(fields, "topics"), _offers(fields, "off"), shown_at, keeps_most=often == was_often, most=most,
        keeps_pause=pause in (_KEEP, was_pause), pause_until=now + lengths[pause] if pause in lengths else None,
        may_track=_touched(fields, "tracking") if _tracks(settings) else None,
        may_profile=_touched(fields, "profiling"), wording=_wording(settings, words),
    )  # fmt: skip


def _offers(fields: Mapping[str, list[str]], kind: str) -> frozenset[Offer]:
    """What the fields `<kind>:<channel>` name."""
    named = ((name.partition(":"), values) for name, values in fields.items())
    return frozenset((channel, topic) for (its, _, channel), values in named if its == kind for topic in values)


def _touched(fields: Mapping[str, list[str]], about: str) -> bool | None:
    """The answer about what is recorded, if it is another than the one shown."""
    is_on = about in fields.get("privacy", [])
    was_on = about not in fields.get("off_privacy", [])
    return None if is_on == was_on else is_on


def _instant(text: str, now: datetime) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return min(found, now) if found.tzinfo is not None else None


def _wording(settings: Settings, words: Words) -> Wording:
    """What a tick here agrees to, as it is shown in this language."""
    labels = [
        f"{topic_label(settings, topic, words)}\n{topic_description(settings, topic, words)}"
        for topic in settings.topics
    ]
    shown = "\n".join([words.say("choices_heading"), words.say("choices_topics"), *labels, words.say("choices_save")])
    return Wording(WORDING, hashlib.sha256(shown.encode()).hexdigest())


def _tracks(settings: Settings) -> bool:
    """Whether anything is recorded at all; else it is not asked."""
    return settings.tracking.opens or settings.tracking.clicks


def _often_value(most: tuple[int, timedelta]) -> str:
    return f"{most[0]} in {format_duration(most[1])}"


def _parsed_often(text: str) -> tuple[int, timedelta] | None:
    count, _, length = text.partition(" in ")
    try:
        most = int(count), parse_duration(length)
    except ValueError:
        return None
    return most if 1 <= most[0] <= 100 and most[1] <= timedelta(days=366) else None


def shown(
    person: Person, choices: Choices, settings: Settings, words: Words, status: Html, now: datetime
) -> Html:  # fmt: skip
    """The content of the page."""
    parts = [*_topics(choices, settings, words), _often(choices, words), _pause(choices, settings, words)]
    parts += [_privacy(choices, settings, words), _as_shown(choices, settings, now)]
    values = {
        "heading": words.say("choices_heading"), "status": status, "choices": joined(parts),
        "whose": words.say("choices_whose", address=shown_address(person.email)), "save": words.say("choices_save"),
        "stop_heading": words.say("choices_stop_heading"), "stop_words": words.say("choices_stop_words"),
        "stop_button": words.say("choices_stop_button"), "own": _own(settings, words),
    }  # fmt: skip
    return fragment("preferences.html", values)


def _as_shown(choices: Choices, settings: Settings, now: datetime) -> Html:
    """What was on and off when the page was made, and when that was: a page may come back much later."""
    privacy = {"tracking": choices.may_track or not _tracks(settings), "profiling": choices.may_profile}
    fields = [
        *((f"off:{channel}", topic) for (channel, topic), is_on in choices.wanted.items() if not is_on),
        *(("off_privacy", about) for about, is_on in privacy.items() if not is_on),
        ("was_often", _often_value(choices.most) if choices.most is not None else _NONE),
        ("was_pause", _NONE if choices.paused_until is None else _KEEP), ("shown_at", now.isoformat()),
    ]  # fmt: skip
    return joined([fragment("hidden.html", {"name": name, "value": value}) for name, value in fields])


def _topics(choices: Choices, settings: Settings, words: Words) -> list[Html]:
    """A group of boxes for each way to reach people."""
    groups = []
    channels = {channel for channel, _ in choices.wanted}
    for channel, offers in groupby(choices.wanted, key=lambda offer: offer[0]):
        legend = words.say("choices_topics")
        if len(channels) > 1:
            legend = f"{legend} – {_channel(channel, words)}"
        boxes = [
            Choice(
                topic, topic_label(settings, topic, words), choices.wanted[(channel, topic)],
                topic_description(settings, topic, words),
            )
            for _, topic in offers
        ]  # fmt: skip
        groups.append(widgets.boxes(f"topics:{channel}", legend, boxes, {}))
    return groups


def _channel(channel: str, words: Words) -> str:
    if channel in _CHANNELS:
        return words.say(f"channel_{channel}")
    return words.say("channel_other", channel=channel)


def _often(choices: Choices, words: Words) -> Html:
    offered = [Choice(_NONE, words.say("often_any"), choices.most is None)]
    for most in _OFTEN:
        label = words.say(f"often_{most[0]}_{most[1].days}")
        offered.append(Choice(_often_value(most), label, choices.most == most))
    if choices.most is not None and choices.most not in _OFTEN:
        count, within = choices.most
        label = words.say("often_other", count=str(count), length=words.length(within))
        offered.append(Choice(_often_value(choices.most), label, is_chosen=True))
    return widgets.options("often", words.say("choices_often"), offered, {})


def _pause(choices: Choices, settings: Settings, words: Words) -> Html:
    is_on = choices.paused_until is not None
    offered = [Choice(_NONE, words.say("pause_none"), not is_on)]
    if choices.paused_until is not None:
        until = shown_date(choices.paused_until, settings.organisation.zone, words)
        offered.append(Choice(_KEEP, words.say("pause_until", date=until), is_chosen=True))
    for length in settings.pages.pauses:
        label = words.say("pause_for", length=words.length(length))
        offered.append(Choice(format_duration(length), label, is_chosen=False))
    return widgets.options("pause", words.say("choices_pause"), offered, {})


def _privacy(choices: Choices, settings: Settings, words: Words) -> Html:
    offered = [Choice("profiling", words.say("choices_profiling"), choices.may_profile)]
    if _tracks(settings):
        offered.insert(0, Choice("tracking", words.say("choices_tracking"), choices.may_track))
    return widgets.boxes("privacy", words.say("choices_privacy"), offered, {})


def _own(settings: Settings, words: Words) -> Html:
    """Buttons to ask for one's data, as far as the workspace takes such requests."""
    named = {"export": settings.pages.export, "erase": settings.pages.erase}
    buttons = [
        fragment("second_button.html", {"value": kind, "label": words.say(f"choices_data_{kind}")})
        for kind, campaign in named.items() if campaign is not None
    ]  # fmt: skip
    if not buttons:
        return NOTHING
    values = {
        "heading": words.say("choices_data_heading"), "words": words.say("choices_data_words"),
        "buttons": joined(buttons),
    }  # fmt: skip
    return fragment("own_records.html", values)
