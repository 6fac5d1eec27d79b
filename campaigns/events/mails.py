"""The mails of an event: what each of them is given, and which of them are joined into one.

All are transactional messages of the campaign `event:<name>`, ordered in the transaction in which what they tell
happened. What a mail needs is put together here and kept with its message: a second attempt sends the same bytes.

Two mails at the same time are one where one can say it all: who registers others and comes too gets the summary inside
the confirmation, if its template tells `given.party`; and a mail that has not gone yet is taken back when another one
replaces it (`taking_back`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, case, select, update

from campaigns.duty import Circumstances
from campaigns.events import wording
from campaigns.events.held import HeldEvent
from campaigns.events.states import Seat
from campaigns.events.taking_back import take_back
from campaigns.posting import Owed, post_many
from core.schema import customer, registration
from tracking.public_links import PublicLinks

#: Links to registrations are good for so long after the event.
_LINKS_LAST: Final = timedelta(days=31)
#: Of a name in a calendar, in characters: `weighing` counts on it.
_LONGEST_NAME: Final = 200
_STEPS: Final[Mapping[str, str]] = {Seat.CONFIRMED: "confirmation", Seat.WAITING: "waiting"}


def links_end(held: HeldEvent) -> datetime:
    """When the links of the event's mails end."""
    return held.ends_at + _LINKS_LAST


@dataclass(frozen=True, slots=True)
class Reader:
    """Who gets a mail of one registration."""

    row: Row[Any]  # of registration
    email: str  # empty: they have none any more
    name: str
    language: str
    zone: str | None


@dataclass(frozen=True, slots=True)
class Party:
    """Those whom one order registers, for who gave it. `key` tells the order from others of the event."""

    by: int  # a customer
    others: tuple[Mapping[str, str], ...]  # each with `email` and `seat`
    key: str
    language: str | None


@dataclass(slots=True)
class Post:
    """Orders the mails of one event within one transaction. Readers are looked up once for each call."""

    connection: Connection
    circumstances: Circumstances
    held: HeldEvent
    now: datetime
    _links: PublicLinks = field(init=False)

    def __post_init__(self) -> None:
        self._links = PublicLinks.of(self.circumstances.workspace)

    def placed(self, rows: Sequence[Row[Any]], party: Party | None = None, *, is_raised: bool = False) -> None:
        """Who got a seat or a place on the list is told so; who registered them, of the whole `party`.

        `is_raised`: their calendar entries have their new SEQUENCE already.
        """
        if not is_raised:
            rows = self._with_entry(rows, [row.id for row in rows if row.state == Seat.CONFIRMED and row.revision])
        by, others = (party.by, party.others) if party is not None else (None, ())
        for seat, step in _STEPS.items():
            mine = [row for row in rows if row.state == seat]
            is_joined = "party" in self.held.joins.get(step, ())
            told = {row.id: {"party": others if is_joined and row.customer_id == by else ()} for row in mine}
            self._order(step, mine, told, has_entry=seat == Seat.CONFIRMED)
            if is_joined and any(row.customer_id == by for row in mine):
                others = ()  # it is told
        if party is not None and others:
            self._summary(party)

    def withdrawn(self, rows: Sequence[Row[Any]], *, had_seat: bool) -> None:
        """They are told that they are not expected any more; what has not gone yet goes no more."""
        back = take_back(self.connection, [row.id for row in rows], self.now)
        rows = self._with_entry(rows, [row.id for row in rows])
        unheard = {number for number, step in back if step == "confirmation"}
        heard = [row for row in rows if row.id not in unheard]
        self._order("withdrawn", heard, {}, has_entry=had_seat)
        self._order("withdrawn", [row for row in rows if row.id in unheard], {}, has_entry=False)

    def offered(self, rows: Sequence[Row[Any]]) -> None:
        """A seat is kept for them until a time that the mail tells."""
        told: dict[int, dict[str, Any]] = {}
        for reader in self.readers(rows):
            until = reader.row.offered_until
            told[reader.row.id] = {
                "until": wording.moment(until, self.held.zone, reader.language), "until_at": until.isoformat(),
            }  # fmt: skip
        self._order("offer", rows, told)

    def offers_ended(self, rows: Sequence[Row[Any]]) -> None:
        """The seat that was kept for them is not any more, nor are they on the list."""
        take_back(self.connection, [row.id for row in rows], self.now)
        self._order("offer_expired", self._with_entry(rows, [row.id for row in rows]), {})

    def changed(self, rows: Sequence[Row[Any]]) -> int:
        """Everybody is told of what is another now than they know, and calendars move; how many are told is returned.

        Who has not got their first mail yet gets one that knows. Who knows it so, as it was for a while only, is told
        nothing.
        """
        now_shown = self.held.shown[self.held.revision]
        rows = [row for row in rows if now_shown.changes_from(self.held.shown[row.event_revision])]
        ids = [row.id for row in rows]
        back = take_back(self.connection, ids, self.now, but=("withdrawn", "offer_expired", "summary"))
        rows = self._with_entry(rows, ids)
        offered = [row for row in rows if row.state == Seat.OFFERED and (row.id, "offer") in back]
        placed = [row for row in rows if (row.id, _STEPS.get(row.state)) in back]
        self.placed(placed, is_raised=True)
        self.offered(offered)
        unheard = {row.id for row in (*offered, *placed)}
        heard = [row for row in rows if row.id not in unheard]
        told = {row.id: self._change_for(row) for row in heard}
        seated = [row for row in heard if row.state == Seat.CONFIRMED]
        others = [row for row in heard if row.state != Seat.CONFIRMED]
        self._order("change", seated, told, has_entry=True)
        self._order("change", others, told)
        return len(rows)

    def _change_for(self, row: Row[Any]) -> dict[str, Any]:
        """What is another now than the attendee knows."""
        knows, shown = self.held.shown[row.event_revision], self.held.shown[self.held.revision]
        language = row.language or self.circumstances.settings.organisation.language
        return {"was": wording.told_before(knows, language), "changes": list(shown.changes_from(knows))}

    def cancelled(self, rows: Sequence[Row[Any]], had_seat: frozenset[int]) -> int:
        """Everybody is told that it does not take place; calendars forget it, reminders that wait do not go."""
        back = take_back(self.connection, [row.id for row in rows], self.now)
        rows = self._with_entry(rows, [row.id for row in rows])
        unheard = {number for number, step in back if step == "confirmation"}
        knows = [row for row in rows if row.id in had_seat - unheard]
        others = [row for row in rows if row.id not in had_seat - unheard]
        told = self._order("cancelled", knows, {}, has_entry=True)
        return told + self._order("cancelled", others, {})

    def followed_up(self, step: str, rows: Sequence[Row[Any]]) -> int:
        """Those who came, or did not, hear of us once more."""
        return self._order(step, rows, {})

    def given(self, reader: Reader, *, has_entry: bool = False) -> dict[str, Any]:
        """What every mail of a registration is given."""
        event = wording.told(self.held, self._links, reader.language, reader.zone)
        if reader.row.state not in (Seat.CONFIRMED, Seat.CANCELLED):
            event["online"] = ""  # for those who have a seat
        given: dict[str, Any] = {
            "event": event, "events": [event], "registrations": [reader.row.id], "language": reader.language,
            "seat": reader.row.state,
            "url": self._links.registration(reader.row.id, links_end(self.held)),
        }  # fmt: skip
        if has_entry and reader.email:  # else nothing is sent
            given |= {"calendar": self._entry(reader, event), "calendar_attached": self.held.definition.attach}
        return given

    def readers(self, rows: Sequence[Row[Any]]) -> list[Reader]:
        """Who gets the mails of these registrations; those who are gone are left out."""
        known = customer.c
        columns = (known.id, known.email, known.first_name, known.last_name, known.language, known.zone)
        query = select(*columns).where(known.id.in_({row.customer_id for row in rows}))
        people = {row.id: row for row in self.connection.execute(query)}
        return [self._reader(row, people[row.customer_id]) for row in rows if row.customer_id in people]

    def _order(
        self, step: str, rows: Sequence[Row[Any]], told: Mapping[int, Mapping[str, Any]], *, has_entry: bool = False
    ) -> int:
        standing = self.held.standing(step, self.circumstances)
        if standing is None or not rows:
            return 0
        owed = [
            Owed(
                reader.row.customer_id, self._key(step, reader.row),
                self.given(reader, has_entry=has_entry) | dict(told.get(reader.row.id, {})),
            )
            for reader in self.readers(rows)
        ]  # fmt: skip
        return post_many(self.connection, standing, owed, self.now)

    def _key(self, step: str, row: Row[Any]) -> str:
        """The same whenever the same thing is told of the registration, and another one when it happens again: whoever
        cancels, or is told of a change, has a higher revision from then on."""
        until = f".{row.offered_until.timestamp():.0f}" if step == "offer" else ""
        return f"{row.id}.{row.revision}{until}"

    def _with_entry(self, rows: Sequence[Row[Any]], raised: Sequence[int]) -> list[Row[Any]]:
        """The rows as they are once the `raised` ones have the next SEQUENCE (S-7.2)."""
        if not raised:
            return list(rows)
        ids = [row.id for row in rows]
        higher = case((registration.c.id.in_(raised), registration.c.revision + 1), else_=registration.c.revision)
        again = update(registration).where(registration.c.id.in_(ids)).values(revision=higher)
        found = {row.id: row for row in self.connection.execute(again.returning(registration))}
        return [found[number] for number in ids if number in found]

    def _reader(self, row: Row[Any], person: Any) -> Reader:
        language = row.language or person.language or self.circumstances.settings.organisation.language
        name = " ".join(part for part in (person.first_name, person.last_name) if part)
        return Reader(row, person.email or "", name, language, person.zone)

    def _summary(self, party: Party) -> None:
        """Who registered others and has no mail that tells of them gets one."""
        standing = self.held.standing("summary", self.circumstances)
        person = self.connection.execute(select(customer).where(customer.c.id == party.by)).one_or_none()
        if standing is None or person is None or person.email is None:
            return
        language = party.language or person.language or self.circumstances.settings.organisation.language
        event = wording.told(self.held, self._links, person.language or language, person.zone)
        event["online"] = ""
        given = {"event": event, "events": [event], "language": language, "party": list(party.others)}
        post_many(self.connection, standing, [Owed(party.by, f"party.{party.key}", given)], self.now)

    def _entry(self, reader: Reader, event: Mapping[str, str]) -> str:
        from campaigns.events.calendar_entry import Entry, written  # who orders no entry does not load `icalendar`

        held, row = self.held, reader.row
        told = [event["description"], f"{event['online']}" if event["online"] and event["place"] else ""]
        return written(
            Entry(
                uid=row.uid,
                sequence=row.revision,
                way=held.definition.calendar,
                is_cancelled=row.state == Seat.CANCELLED,
                stamped_at=self.now,
                starts_at=held.starts_at,
                ends_at=held.ends_at,
                zone=held.zone,
                title=event["title"],
                description="\n\n".join(part for part in told if part),
                location=event["place"] or event["online"],
                url=event["online"] or None,
                organiser_name=held.organiser_name,
                organiser_email=held.organiser_email,
                attendee_name=reader.name[:_LONGEST_NAME],
                attendee_email=reader.email,
            )
        )


def entry_file(post: Post, row: Row[Any]) -> str | None:
    """The calendar entry of a registration as it is now, for whoever downloads it; None: it has none."""
    readers = post.readers([row])
    if not readers or row.state not in (Seat.CONFIRMED, Seat.CANCELLED):
        return None
    entry: str | None = post.given(readers[0], has_entry=True).get("calendar")
    return entry
