"""The public pages of a workspace with an event, a survey and a desk that people write to."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import update

from campaigns import catalogue
from campaigns.events import applying, pinning
from campaigns.events.held import HeldEvent, event_of
from campaigns.sequences import records, versions
from core import schema
from core.clock import SteppedClock
from core.database import Database
from core.workspace import Workspace
from tests import api_calls
from tests.inquiry_files import ACKNOWLEDGEMENT, STAFF, TEMPLATE
from tests.public_pages import Pages, public_pages
from tracking.public_links import PublicLinks

_MAILS = ("confirmation", "change", "cancelled", "withdrawn", "waiting", "offer", "offer_expired", "summary")
_MAIL = """\
---
subject: "{name}: {{{{ given.event.title }}}}"
---
<html><body><p>{{{{ given.event.title }}}} <a href="{{{{ given.url }}}}">Your registration</a></p></body></html>
"""
#: It begins a fortnight after the clock of tests.
EVENT = """\
title: {en: Paper day at the mill, de: Papiertag in der Mühle, zh: 纸厂开放日}
description:
  en: |
    A day among vats, felts and presses: see how a sheet is made by hand, and make your own.

    Bring shoes that may get wet. Coffee, soup and bread are there all day.
  de: |
    Ein Tag zwischen Bütten, Filzen und Pressen: Sehen Sie, wie ein Bogen von Hand entsteht, und schöpfen Sie selbst.

    Bringen Sie Schuhe mit, die nass werden dürfen. Kaffee, Suppe und Brot gibt es den ganzen Tag.
  zh: |
    走进纸槽与压榨机之间，观看手工造纸，并亲手抄一张纸。

    请穿可以沾水的鞋。全天供应咖啡、热汤和面包。
starts: 2026-03-16T10:00
ends: 2026-03-16T17:00
zone: Europe/Berlin
place: Mill Road 7, Leipzig
capacity: CAPACITY
waiting_list: {offer_for: 1d}
registration:
  attendees: 4
  fields:
    first_name: {}
    last_name: {required: true}
    company: {}
    meal:
      label: {en: "What would you like to eat?", de: "Was möchten Sie essen?", zh: 用餐选择}
      choices: [Vegetarian, Vegan, With meat]
      required: true
organiser: offers
mails:
  confirmation: confirmation.html
  change: change.html
  cancelled: cancelled.html
  withdrawn: withdrawn.html
  waiting: waiting.html
  offer: offer.html
  offer_expired: offer_expired.html
  summary: summary.html
"""
SURVEY = """\
title: {en: One question, de: Eine Frage, zh: 一个问题}
intro: {en: It takes less than a minute., de: Das dauert keine Minute., zh: 用时不到一分钟。}
questions:
  likely:
    ask:
      en: How likely are you to recommend us to a friend?
      de: Wie wahrscheinlich ist es, dass Sie uns weiterempfehlen?
      zh: 您向朋友推荐我们的可能性有多大？
    kind: rating
    lowest: {en: not at all likely, de: gar nicht, zh: 完全不可能}
    highest: {en: very likely, de: sehr, zh: 非常可能}
    required: true
  channel:
    ask: {en: "Where do you buy from us?", de: "Wo kaufen Sie bei uns?", zh: "您从哪里购买？"}
    kind: choices
    choices: {shop: {en: In the shop, de: Im Laden, zh: 门店}, web: {en: On the web, de: Im Netz, zh: 网上}}
  why:
    ask: {en: "Why?", de: "Warum?", zh: "原因是什么？"}
    kind: text
    max_length: 500
"""
DESKS = """\
inquiries:
  sales:
    title: {{en: Ask sales, de: Fragen Sie uns, zh: 联系销售}}
    intro:
      en: We answer within four hours of work.
      de: Wir antworten innerhalb von vier Arbeitsstunden.
      zh: 我们会在四个工作小时内回复。
    fields:
      subject_area:
        label: {{en: About, de: Thema, zh: 主题}}
        kind: choice
        choices: {{paper: {{en: Paper, de: Papier, zh: 纸张}}, ink: {{en: Ink, de: Tinte, zh: 墨水}}}}
    ask_for: [first_name, last_name]
    call_back: true
    owner: anna
    deadline: 4h
    office_hours: {{from: "09:00", to: "17:00", zone: Europe/Berlin}}
    acknowledge: received
"""
SETTINGS = api_calls.SETTINGS + STAFF + DESKS
PERSON = {"email": "ann@customers.example", "last_name": "Ash", "meal": "Vegan", "action": "register"}


def files(capacity: int = 2) -> dict[str, str]:
    """The files of the workspace; braces as they are in files."""
    return {
        "events/paper-day.yaml": EVENT.replace("CAPACITY", str(capacity)), "surveys/nps.yaml": SURVEY,
        "campaigns/received.yaml": ACKNOWLEDGEMENT, "templates/received.html": TEMPLATE,
        **{f"templates/{name}.html": _MAIL.format(name=name) for name in _MAILS},
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class EventPages:
    """The pages, with the event in force."""

    pages: Pages

    @property
    def links(self) -> PublicLinks:
        """Links as mails have them, on this server."""
        return PublicLinks(self.pages.base_url, self.pages.tokens)

    @property
    def held(self) -> HeldEvent:
        with self.pages.database.begin() as connection:
            return event_of(connection, "paper-day")

    def path(self, link: str) -> str:
        """What follows the server in a link."""
        return link.removeprefix(self.pages.base_url)

    def registration(self, number: int) -> str:
        """The path of a registration's page."""
        return self.path(self.links.registration(number, self.pages.clock.now() + timedelta(days=90)))

    def survey(self, message: int) -> str:
        """The path of the survey for whoever the message went to."""
        return self.path(self.links.survey("nps", message, self.pages.clock.now() + timedelta(days=90)))

    def asked(self, customer: int) -> str:
        """The path of the survey for a customer who was asked by a mail just now."""
        return self.asked_by(self.pages.mailed(customer))

    def asked_by(self, message: int) -> str:
        """The path of the survey in the message, which went out just now."""
        now = self.pages.clock.now()
        sent = update(schema.message).where(schema.message.c.id == message).values(not_before=now)
        with self.pages.database.begin() as connection:
            connection.execute(sent)
        return self.survey(message)

    def apply_sequence(self, name: str) -> None:
        """The sequence is in force as its file says."""
        now = self.pages.clock.now()
        with self.pages.database.begin() as connection:
            pinned = versions.pin(catalogue.load(Workspace(self.pages.workspace.root)), name)
            records.register(connection, name, versions.store(connection, pinned, now).id, now)

    @property
    def door(self) -> str:
        """The path of the check-in page."""
        return self.path(self.links.check_in("paper-day", self.pages.clock.now() + timedelta(days=90)))

    def register(self, email: str, **fields: Any) -> Any:
        """What the form answers to somebody."""
        return self.pages.post("/events/paper-day", {**PERSON, "email": email, **fields})

    def apply(self) -> None:
        """The event is as its file says."""
        files = catalogue.load(Workspace(self.pages.workspace.root))
        pinned = pinning.pin(files, "paper-day")
        entry = {"name": "paper-day", "pending": True, "fingerprint": pinned.fingerprint, "was": None}
        with self.pages.database.begin() as connection:
            applying.apply(connection, files, [entry], self.pages.clock.now(), "tests")


@contextlib.contextmanager
def event_pages(
    make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock, *, settings: str = SETTINGS,
    more: Mapping[str, str] | None = None, capacity: int = 2,
) -> Iterator[EventPages]:  # fmt: skip
    """The pages, running, and the event applied."""
    written = {**files(capacity), **(more or {})}
    with public_pages(make_workspace, database, clock, settings=settings, files=written) as pages:
        found = EventPages(pages)
        found.apply()
        yield found


#: The clock of tests stands at this instant.
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
