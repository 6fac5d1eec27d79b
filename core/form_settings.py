"""`forms` and `pages` in `clarion.yaml`: sign-up forms, the pages people manage their mail on, and their limits."""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema

from core.field_types import HeaderText, HttpUrl, Name
from core.names import did_you_mean
from core.units import Duration, Unfit, format_duration, parse_duration, quoted
from core.yaml_files import Section

#: Fields of every page's own: who fills in the first is taken for a program, and the second chooses the language. A
#: field of such a name in a file would cost what people send.
PAGE_FIELDS: Final = frozenset({"homepage", "lang"})
#: The key of a text that is the same in every language.
ANY_LANGUAGE: Final = "any"
_LANGUAGE: Final = r"^[a-z]{2,3}$"


def _by_language(value: object) -> object:
    return {ANY_LANGUAGE: value} if isinstance(value, str) else value


_TEXT_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [{"type": "string"}, {"type": "object", "additionalProperties": {"type": "string"}}],
    "description": "one text, or texts by language: {en: …, de: …}",
}
Words = Annotated[
    dict[Annotated[str, StringConstraints(pattern=_LANGUAGE)], Annotated[str, StringConstraints(min_length=1)]],
    BeforeValidator(_by_language),
    WithJsonSchema(_TEXT_SCHEMA),
]

#: What people read in any case: there is at least one text.
Label = Annotated[Words, Field(min_length=1)]


def in_language(words: Mapping[str, str], code: str) -> str | None:
    """The text in the language `code`, else the one for every language, else English, else the first; None: none."""
    for key in (code, ANY_LANGUAGE, "en", *words):
        if key in words:
            return words[key]
    return None


def label_in(words: Mapping[str, str], code: str, name: str) -> str:
    """The text in the language `code`, as `in_language`; without any, the name of what it is about in words."""
    return in_language(words, code) or re.sub("[_-]+", " ", name).strip().capitalize()


class Wording(Section):
    """What people agree to; a new `version` whenever the text changes."""

    version: HeaderText = "clarion-1"
    text: Words = Field({})  # empty: the pages' own words


#: A host, or all hosts below one, as a Content-Security-Policy names them.
Origin = Annotated[str, StringConstraints(pattern=r"^https?://(\*\.)?[A-Za-z0-9.-]+(:[0-9]+)?$")]


class Captcha(Section):
    """A service that tells people from programs; its script runs in the form, which then needs JavaScript."""

    script: HttpUrl
    origins: tuple[Origin, ...] = ()  # where else its script loads things from
    verify_url: HttpUrl
    element: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]  # the class it looks for
    answer: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]  # the field it fills in
    site_key: HeaderText
    secret: Annotated[str, StringConstraints(min_length=1)] = Field(repr=False)


class Form(Section):
    """A page on which anybody may ask for mail, at `/f/<its name>`. What is asked for counts once it is confirmed."""

    topics: Annotated[tuple[Name, ...], Field(min_length=1)]
    campaign: Name  # a transactional one: carries the link that confirms
    title: Words = Field({})
    intro: Words = Field({})
    wording: Wording = Wording()
    fields: tuple[Literal["first_name", "last_name", "company"], ...] = ()  # asked for, and never required
    captcha: Captcha | None = None


def _lasting(length: object) -> object:
    parsed = parse_duration(length)
    if parsed < parse_duration("1h"):
        raise Unfit(quoted(format_duration(parsed)), "at least '1h'")
    return parsed


LinkLife = Annotated[Duration, BeforeValidator(_lasting)]
PerHour = Annotated[int, Field(ge=1, le=1_000_000)]


class Links(Section):
    """How long the links in mails are good for."""

    confirm: LinkLife = parse_duration("7d")
    preferences: LinkLife = parse_duration("1d")  # asked for on the page
    mailings: LinkLife = parse_duration("400d")  # to one's preferences, in the footer of mailings
    rights: LinkLife = parse_duration("1d")  # to get one's own data, or to have it erased


class PageLimits(Section):
    """What keeps the pages from being used to flood mailboxes. Unsubscribing is never limited."""

    mail_every: LinkLife = parse_duration("1d")  # one mail of a kind to a mailbox, however its address is spelled
    mails: Annotated[int, Field(ge=1, le=100)] = 3  # … and so many of all kinds in that time
    unanswered: Annotated[int, Field(ge=1, le=1000)] = 10  # mails of all kinds to a mailbox whose links nobody used
    unconfirmed: Annotated[int, Field(ge=1, le=100)] = 3  # sign-ups mailed to a mailbox that never confirmed
    visitor_per_hour: PerHour = 20  # forms sent from one network address
    network_per_hour: PerHour = 100  # from its neighbourhood: /24 in IPv4, /48 in IPv6
    registrations: Annotated[int, Field(ge=1, le=1000)] = 10  # of one mailbox within `mail_every`, for all events
    inquiries: Annotated[int, Field(ge=1, le=1000)] = 5  # of one mailbox within `mail_every`, on all desks
    form_per_hour: PerHour = 500
    all_per_hour: PerHour = 1000  # of all forms together


class PublicPages(Section):
    """The pages people manage their mail on. A campaign that is not named switches its request off."""

    preferences: Name | None = None  # the transactional campaign that carries the link to one's preferences
    export: Name | None = None  # … to a copy of one's data
    erase: Name | None = None  # … to having one's data erased
    links: Links = Links()
    pauses: tuple[Duration, ...] = (parse_duration("30d"), parse_duration("90d"), parse_duration("180d"))
    limits: PageLimits = PageLimits()
    answer_s: Annotated[float, Field(ge=0, le=5)] = 0.5  # seconds after which requests are answered, known or unknown


#: Name → form, as `forms:` lists them.
Forms = Mapping[str, Form]


def form_mistakes(forms: Forms, topics: Collection[str]) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """Topics nobody has heard of: place, text and hint."""
    for name, form in forms.items():
        for index, topic in enumerate(form.topics):
            if topic not in topics:
                place = ("forms", name, "topics", index)
                yield place, f"forms.{name}: no topic {topic!r}", did_you_mean(topic, topics)


def campaigns_named(forms: Forms, pages: PublicPages) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every campaign the two sections name, with its place."""
    for name, form in forms.items():
        yield ("forms", name, "campaign"), form.campaign
    for purpose in ("preferences", "export", "erase"):
        named: str | None = getattr(pages, purpose)
        if named is not None:
            yield ("pages", purpose), named
