"""The sign-up form: how it is shown, and what is made of what was filled in."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from core.addresses import Address
from core.form_settings import Form, in_language
from core.plain_text import one_line
from core.settings import Settings
from web import widgets
from web.languages import Words
from web.pages import NOTHING, Html, fragment, joined
from web.reading import LONGEST, address_in, last
from web.speaking import topic_description, topic_label
from web.widgets import Choice, Problems

_AUTOCOMPLETE: Final = {"first_name": "given-name", "last_name": "family-name", "company": "organization"}


@dataclass(frozen=True, slots=True)
class Entered:
    """A form that was filled in well. `wording` is the very text that was agreed to."""

    address: Address
    topics: tuple[str, ...]
    told: Mapping[str, str]
    wording: str
    language: str

    @property
    def wording_hash(self) -> str:
        """SHA-256 of the wording, in hexadecimal digits."""
        return hashlib.sha256(self.wording.encode()).hexdigest()


def read(form: Form, settings: Settings, words: Words, fields: Mapping[str, list[str]]) -> Entered | Problems:
    """What was entered, or what is wrong with it, field by field."""
    problems: dict[str, str] = {}
    address = address_in(fields)
    if address is None:
        problems["email"] = words.say("form_email_problem")
    chosen = tuple(topic for topic in form.topics if topic in fields.get("topics", ())) or _only(form)
    if not chosen:
        problems["topics"] = words.say("form_topics_problem")
    if fields.get("agree") != ["yes"]:
        problems["agree"] = words.say("form_agree_problem")
    if address is None or problems:
        return problems
    told: dict[str, str] = {name: text for name in form.fields if (text := one_line(last(fields, name))[:LONGEST])}
    return Entered(address, chosen, told, wording_of(form, settings, words), words.code)


def _only(form: Form) -> tuple[str, ...]:
    """The topic of a form that has one: there it is not asked for."""
    return form.topics if len(form.topics) == 1 else ()


def wording_of(form: Form, settings: Settings, words: Words) -> str:
    """What people agree to when they tick the box."""
    own = in_language(form.wording.text, words.code)
    if own is not None:
        return own
    organisation = settings.organisation.name
    if len(form.topics) == 1:
        topic = topic_label(settings, form.topics[0], words)
        return words.say("form_agree_topic", organisation=organisation, topic=topic)
    return words.say("form_agree", organisation=organisation)


def heading_of(form: Form, settings: Settings, words: Words) -> str:
    """What stands above the form."""
    return in_language(form.title, words.code) or words.say("form_heading", organisation=settings.organisation.name)


def shown(
    form: Form, settings: Settings, words: Words, fields: Mapping[str, list[str]], problems: Problems
) -> Html:  # fmt: skip
    """The content of the page, with what was filled in already."""
    parts = [_text(words, "email", fields, problems), *(_text(words, name, fields, problems) for name in form.fields)]
    if len(form.topics) > 1:
        parts.append(_topics(form, settings, words, fields, problems))
    agreed = Choice("yes", wording_of(form, settings, words), is_chosen=fields.get("agree") == ["yes"])
    parts.append(widgets.box("agree", agreed, problems))
    values = {
        "heading": heading_of(form, settings, words), "alert": widgets.alert(words, problems),
        "intro": in_language(form.intro, words.code) or words.say("form_intro"), "fields": joined(parts),
        "captcha": _captcha(form, problems), "leave_empty": words.say("form_leave_empty"),
        "button": words.say("form_button"),
    }  # fmt: skip
    return fragment("form.html", values)


def _text(words: Words, name: str, fields: Mapping[str, list[str]], problems: Problems) -> Html:
    is_address = name == "email"
    return widgets.text_field(
        name, words.say(f"form_{name}"), last(fields, name)[:LONGEST], kind="email" if is_address else "text",
        autocomplete="email" if is_address else _AUTOCOMPLETE[name],
        mark="" if is_address else words.say("form_optional"), problems=problems,
    )  # fmt: skip


def _topics(
    form: Form, settings: Settings, words: Words, fields: Mapping[str, list[str]], problems: Problems
) -> Html:  # fmt: skip
    chosen = fields.get("topics", [])
    offered = [
        Choice(topic, topic_label(settings, topic, words), topic in chosen, topic_description(settings, topic, words))
        for topic in form.topics
    ]
    return widgets.boxes("topics", words.say("form_topics"), offered, problems)


def _captcha(form: Form, problems: Problems) -> Html:
    if form.captcha is None:
        return NOTHING
    problem = problems.get("captcha")
    told = fragment("problem.html", {"name": "captcha", "problem": problem}) if problem else NOTHING
    values = {"element": form.captcha.element, "site_key": form.captcha.site_key, "problem": told}
    return fragment("captcha.html", values)
