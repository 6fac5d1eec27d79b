"""The files of an event with everything an event may have, and a hall that keeps it: for tests of the real thing."""

import email
import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from email import policy
from email.message import EmailMessage
from typing import Any

from sqlalchemy import select, text

from campaigns import catalogue, whole_plan
from campaigns.duty import Circumstances
from campaigns.events import afterwards, duties, registering
from campaigns.events.registering import Attendee, Order, Registered, Source
from core import schema
from core.addresses import parse_address
from core.clock import SteppedClock
from core.database import Database
from core.workspace import Workspace
from tests.looking_after import looked_after

EVENT = """\
title: {en: Paper evening, de: Papierabend}
description: {en: "Samples; talks, and bread", de: "Muster, Vorträge und Brot"}
starts: 2026-03-20T18:00
lasts: 2h 30m
zone: Europe/Berlin
place: "Mill Lane 1, Papertown"
capacity: 2
waiting_list: {offer_for: 12h}
organiser: offers
registration:
  attendees: 3
  fields: {company: {}, diet: {label: {en: "What do you eat?"}, choices: [everything, vegetarian]}}
mails:
  confirmation: event-confirmed.html
  change: event-changed.html
  cancelled: event-cancelled.html
  withdrawn: event-withdrawn.html
  waiting: event-waiting.html
  offer: event-offer.html
  offer_expired: event-offer-expired.html
  summary: event-summary.html
reminders:
  - {before: 7d, template: event-reminder.html}
  - {before: 1d, template: event-reminder.html}
follow_up: {after: 1d, attended: event-thanks.html, absent: event-missed.html}
"""
_PAGE = """\
---
subject: "{subject}: {{{{ given.event.title }}}}"
---
<html><body>
<p>Good morning {{{{ customer.first_name or "there" }}}},</p>
<p>{{{{ given.event.when }}}}{{% if given.event.when_there %}} / {{{{ given.event.when_there }}}}{{% endif %}},
{{{{ given.event.place or given.event.online }}}}</p>
{more}
</body></html>
"""
_LINK = '<p><a href="{{ given.url }}">Your registration</a></p>'
_PARTY = "{% for one in given.party %}<p>{{ one.email }}: {{ one.seat }}</p>{% endfor %}"
_ALL = '{% for event in given.events %}<p>{{ event.title }} <a href="{{ event.url }}">yours</a></p>{% endfor %}'


def page(subject: str, more: str = _LINK) -> str:
    """A template that tells of the event."""
    return _PAGE.format(subject=subject, more=more)


FILES = {
    "events/paper-evening.yaml": EVENT,
    "templates/event-confirmed.html": page("Your seat", _LINK + _PARTY),
    "templates/event-changed.html": page("Changed", "<p>It was: {{ given.was.when }}</p>" + _LINK),
    "templates/event-cancelled.html": page("Cancelled", ""),
    "templates/event-withdrawn.html": page("Withdrawn", ""),
    "templates/event-waiting.html": page("Waiting list"),
    "templates/event-offer.html": page("A seat until {{ given.until }}"),
    "templates/event-offer-expired.html": page("Offer over", ""),
    "templates/event-summary.html": page("Registered", _PARTY),
    "templates/event-reminder.html": page("Soon", _ALL),
    "templates/event-thanks.html": page("Thanks", ""),
    "templates/event-missed.html": page("Missed", ""),
}


class Hall:
    """A workspace with events, its people, and the time."""

    def __init__(self, workspace: Workspace, database: Database, clock: SteppedClock) -> None:
        self.workspace, self.database, self.clock = workspace, database, clock

    @property
    def circumstances(self) -> Circumstances:
        return Circumstances.of(self.workspace)

    def apply(self, *names: str) -> list[dict[str, Any]]:
        """The event files are planned and applied; what was done."""
        self.workspace = Workspace(self.workspace.root)
        files = catalogue.load(self.workspace)
        with self.database.begin() as connection:
            made = whole_plan.make(connection, files, names or tuple(files.events), self.clock.now())
            document = whole_plan.to_file(made)
            return whole_plan.apply_document(connection, files, document, self.clock.now()).others

    def rewrite(self, old: str, new: str, name: str = "events/paper-evening.yaml") -> None:
        path = self.workspace.root / name
        content = path.read_text(encoding="utf-8")
        assert old in content
        path.write_text(content.replace(old, new), encoding="utf-8")

    def register(
        self, *addresses: str, event: str = "paper-evening", party: str | None = None, source: Source = Source.PAGE,
        registrant: str | None = None, **attendee: Any,
    ) -> Registered:  # fmt: skip
        people = tuple(Attendee(parse_address(address), **attendee) for address in addresses)
        by = Attendee(parse_address(registrant), **attendee) if registrant else None
        order = Order(people, source, party or f"form-{'+'.join(addresses)}", by)
        with self.database.begin() as connection:
            return registering.register(connection, self.circumstances, event, order, self.clock.now())

    def number(self, address: str, event: str = "paper-evening") -> int:
        """The registration of whoever has this address."""
        return int(self.row(address, event).id)

    def row(self, address: str, event: str = "paper-evening") -> Any:
        table, known = schema.registration, schema.customer
        query = select(table).join(known, known.c.id == table.c.customer_id).where(known.c.email == address)
        with self.database.begin() as connection:
            return connection.execute(query.where(table.c.event == event).order_by(table.c.id.desc())).first()

    def states(self, event: str = "paper-evening") -> list[str]:
        """The states of all registrations, in the order in which they came."""
        query = text("SELECT state FROM registration WHERE event = :event ORDER BY id")
        with self.database.begin() as connection:
            return list(connection.execute(query, {"event": event}).scalars())

    def order(self, verb: str, address: str, **more: Any) -> afterwards.Change:
        """`withdraw`, `accept_offer` or `decline_offer`, for whoever has this address."""
        function = getattr(afterwards, verb)
        with self.database.begin() as connection:
            made: afterwards.Change = function(
                connection, self.circumstances, self.number(address), self.clock.now(), **more
            )
            return made

    def check_in(self, address: str) -> afterwards.Change:
        with self.database.begin() as connection:
            return afterwards.check_in(connection, "paper-evening", self.number(address), self.clock.now())

    def step(self, **length: float) -> int:
        """Time goes on, and everything that happens meanwhile happens when it is due; how much."""
        until, done = self.clock.now() + timedelta(**length), self.look_after()
        while (at := self.next_at()) is not None and at <= until:
            self.clock.instant = max(at, self.clock.now())
            done += self.look_after()
        self.clock.instant = until
        return done + self.look_after()

    def next_at(self) -> datetime | None:
        with self.database.begin() as connection:
            now = self.clock.now()
            times = [duty.next_at(connection, self.circumstances, now) for duty in duties.DUTIES]
        return min((at for at in times if at is not None), default=None)

    def look_after(self) -> int:
        """Every duty of events until nothing is due."""
        done = 0
        for duty in duties.DUTIES:
            while True:
                with self.database.begin() as connection:
                    made = looked_after(duty, connection, self.circumstances, self.clock.now())
                done += made
                if not made:
                    break
        return done

    def mails(self, address: str | None = None, *, skipped: bool = False) -> list[str]:
        """The steps of what was ordered, in order; of one address or all."""
        query = """
            SELECT m.step FROM message AS m JOIN customer AS c ON c.id = m.customer_id
            WHERE m.campaign LIKE 'event:%' AND (CAST(:address AS text) IS NULL OR c.email = :address)
              AND (m.skip_reason IS NULL OR :skipped) ORDER BY m.id
        """
        with self.database.begin() as connection:
            return list(connection.execute(text(query), {"address": address, "skipped": skipped}).scalars())

    def given(self, address: str, step: str) -> list[Mapping[str, Any]]:
        """What each such mail was given."""
        table, known = schema.message, schema.customer
        query = select(table.c.given).join(known, known.c.id == table.c.customer_id)
        query = query.where(known.c.email == address, table.c.step == step, table.c.skip_reason.is_(None))
        with self.database.begin() as connection:
            return list(connection.execute(query.order_by(table.c.id)).scalars())

    def entry(self, address: str) -> str:
        """The newest calendar entry that went to the address."""
        steps = ("confirmation", "change", "withdrawn", "cancelled")
        found = [given for step in steps for given in self.given(address, step) if "calendar" in given]
        return str(max(found, key=lambda given: given["calendar"].partition("SEQUENCE:")[2][:4])["calendar"])

    def deliver(self, port: int) -> None:
        """Everything that is due goes through a real courier to the server."""
        from campaigns import batches
        from campaigns.sending import Courier

        settings = self.workspace.root / "clarion.yaml"
        content = re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{port}", settings.read_text(encoding="utf-8"))
        settings.write_text(content, encoding="utf-8")
        self.workspace = Workspace(self.workspace.root)
        with closing(Courier(self.workspace, self.database, self.clock, "w")) as courier:
            while True:
                with self.database.begin() as connection:
                    due = batches.due_batches(connection, now=self.clock.now(), again_after=None)
                for batch_id, _ in due:
                    courier.send_batch(batch_id)
                if not due:
                    break


def parsed(contents: Sequence[bytes]) -> list[EmailMessage]:
    """Mails as a mail program reads them."""
    return [email.message_from_bytes(content, policy=policy.default) for content in contents]  # type: ignore[misc]
