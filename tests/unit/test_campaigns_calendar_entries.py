"""Calendar entries, read by a parser that did not write them (S-7.1, S-7.3, S-7.6 to S-7.8)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import vobject
from hypothesis import given
from hypothesis import strategies as st

from campaigns.events.calendar_entry import Entry, written
from campaigns.events.invitation import calendar_of, method_in
from core.units import local_instant

NOW = datetime(2026, 3, 2, 12, 0, 0, 123456, tzinfo=UTC)


def entry(starts="2026-03-20T18:00", zone="Europe/Berlin", hours=2.5, **changes):
    """An evening in Berlin, or as the changes say."""
    at = local_instant(datetime.fromisoformat(starts), zone)
    made = Entry(
        uid="0a1b@paper.example", sequence=3, way="request", is_cancelled=False, stamped_at=NOW, starts_at=at,
        ends_at=at + timedelta(hours=hours), zone=zone, title="Paper evening", description="Samples; talks, and bread",
        location="Mill Lane 1, Papertown", url=None, organiser_name="Paper & Co",
        organiser_email="offers@paper.example",
        attendee_name="Ann Lee", attendee_email="ann@firm.example",
    )  # fmt: skip
    return replace(made, **changes)


def read(made):
    """The entry as another library understands it."""
    return vobject.readOne(written(made))


def lines_of(made):
    """Its lines, unfolded."""
    return written(made).replace("\r\n ", "").split("\r\n")


def test_entry_says_what_calendars_need():
    """
    REQUEST: one organiser, one attendee, UID, DTSTAMP, DTSTART and SUMMARY (S-7.1). Names stand beside the bare
    addresses, not in them (S-7.6).
    """
    found = read(entry())
    event = found.vevent

    assert ("2.0", "REQUEST") == (found.version.value, found.method.value)
    assert ("0a1b@paper.example", "3", "CONFIRMED") == (event.uid.value, event.sequence.value, event.status.value)
    assert datetime(2026, 3, 2, 12, tzinfo=UTC) == event.dtstamp.value
    assert ("mailto:offers@paper.example", ["Paper & Co"]) == (event.organizer.value, event.organizer.params["CN"])
    assert ["mailto:ann@firm.example"] == [one.value for one in event.attendee_list]
    assert ["FALSE"] == event.attendee.params["RSVP"]
    assert ("Paper evening", "Samples; talks, and bread") == (event.summary.value, event.description.value)
    assert "Mill Lane 1, Papertown" == event.location.value


@pytest.mark.parametrize(
    ("way", "is_cancelled", "method", "status", "attendees"),
    [
        ("request", False, "REQUEST", "CONFIRMED", 1), ("request", True, "CANCEL", "CANCELLED", 1),
        ("publish", False, "PUBLISH", "CONFIRMED", 0), ("publish", True, "PUBLISH", "CANCELLED", 0),
    ],
)  # fmt: skip
def test_method_stays_what_it_was(way, is_cancelled, method, status, attendees):
    """
    What came as a request is cancelled by CANCEL; what was published says of itself that it is (S-7.3).
    """
    made = entry(way=way, is_cancelled=is_cancelled)
    found = read(made)

    assert (method, status) == (found.method.value, found.vevent.status.value)
    assert method == method_in(written(made))
    assert attendees == len(getattr(found.vevent, "attendee_list", []))
    assert hasattr(found.vevent, "organizer")


@pytest.mark.parametrize(
    ("zone", "starts", "shown"),
    [
        ("Europe/Berlin", "2026-07-01T09:00", "TZID=Europe/Berlin:20260701T090000"),
        ("America/New_York", "2007-03-11T02:30", "TZID=America/New_York:20070311T033000"),  # skipped: 03:30 EDT
        ("America/New_York", "2007-11-04T01:30", "TZID=America/New_York:20071104T013000"),  # twice: the first
        ("Australia/Lord_Howe", "2026-10-04T02:15", "TZID=Australia/Lord_Howe:20261004T024500"),
        ("Asia/Kathmandu", "2026-05-05T05:05", "TZID=Asia/Kathmandu:20260505T050500"),
        ("UTC", "2026-05-05T05:05", "20260505T050500Z"),
    ],
)
def test_times_are_written_by_the_clock_of_the_zone(zone, starts, shown):
    """
    Skipped and repeated times mean what S-7.8 says; UTC needs no zone (S-7.7).
    """
    made = entry(starts, zone, hours=5)
    (start,) = [line for line in lines_of(made) if line.startswith("DTSTART") and shown in line]

    assert start.endswith(shown)
    assert ("BEGIN:VTIMEZONE" in written(made)) == (zone != "UTC")


def test_end_that_the_local_clock_cannot_say_is_told_in_utc():
    """
    From half past one to half past one, an hour later: by the clock of the zone it would last no time at all.
    """
    made = entry("2026-11-01T01:30", "America/New_York", hours=1)

    assert {"DTSTART:20261101T053000Z", "DTEND:20261101T063000Z"} <= set(lines_of(made))
    assert "VTIMEZONE" not in written(made)


ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/St_Johns", "Asia/Kolkata",
         "Africa/Casablanca", "America/Santiago", "Pacific/Chatham", "Asia/Tehran", "Europe/Dublin"]  # fmt: skip


@pytest.mark.parametrize("zone", ZONES)
def test_zone_in_the_entry_shows_the_hours_around_every_change_of_clock(zone):
    """
    By the VTIMEZONE alone, without a zone database, each hour of the days of change is the instant that was meant.
    """
    year = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in range(366 * 24)]
    clock = ZoneInfo(zone)
    changes = [
        at for at in year if at.astimezone(clock).utcoffset() != (at + timedelta(hours=1)).astimezone(clock).utcoffset()
    ]
    near = {change + timedelta(hours=hour) for change in changes for hour in range(-4, 5)} | {year[0], year[4000]}
    observances = _observances(zone)

    for at in near:
        wall = at.astimezone(clock).replace(tzinfo=None)
        if local_instant(wall, zone) == at:  # the second of two equal times is not written so
            assert at == _instant_by(observances, wall), (zone, wall)


def _observances(zone):
    """The beginnings of the zone's clocks, as the entry tells them: local begin, offset before, offset after."""
    found, current = [], {}
    for line in lines_of(entry("2026-06-01T12:00", zone)):
        name, _, value = line.partition(":")
        if line in ("BEGIN:STANDARD", "BEGIN:DAYLIGHT"):
            current = {}
        elif name in ("DTSTART", "TZOFFSETFROM", "TZOFFSETTO") and current is not None:
            current[name] = value
        elif line in ("END:STANDARD", "END:DAYLIGHT"):
            found.append(
                (
                    datetime.fromisoformat(current["DTSTART"]),
                    *(_offset(current[n]) for n in ("TZOFFSETFROM", "TZOFFSETTO")),
                )
            )
        elif line == "BEGIN:VEVENT":
            break
    return sorted((begins - before, before, after) for begins, before, after in found)


def _offset(text):
    sign = -1 if text[0] == "-" else 1
    return sign * timedelta(hours=int(text[1:3]), minutes=int(text[3:5]), seconds=int(text[5:] or 0))


def _instant_by(observances, wall):
    """The first instant at which a clock that follows the observances shows `wall`."""
    for number, (begins, _, after) in enumerate(observances):
        ends = observances[number + 1][0] if number + 1 < len(observances) else datetime(9999, 1, 1)  # noqa: DTZ001  a wall time
        if begins <= wall - after < ends:
            return (wall - after).replace(tzinfo=UTC)
    return None


WORDS = st.text(
    st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\u2028\u2029\x85"), min_size=1, max_size=300
)


@given(WORDS, WORDS, WORDS)
def test_whatever_words_come_back_as_they_were(title, description, name):
    """
    Escaped and folded at 75 octets, never inside a character; no words begin a line of their own (S-7.7).
    """
    made = entry(title=title, description=description + "\nand\\more;,", attendee_name=name)
    text = written(made)
    event = read(made).vevent

    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
    assert title.strip() == event.summary.value
    assert (description + "\nand\\more;,").strip() == event.description.value
    assert 1 == text.count("\r\nATTENDEE")
    assert "\n" not in text.replace("\r\n", "")


@pytest.mark.parametrize("text", ["x\r\nATTACH:http://evil.example", "x\nEND:VEVENT", 'x";X="y', "x\x0b\u2028\x85y"])
def test_nothing_that_people_type_becomes_a_property(text):
    """
    Neither in values nor in parameters (S-2.1).
    """
    made = entry(title=text, description=text, location=text, attendee_name=text, organiser_name=text)
    names = {line.partition(":")[0].partition(";")[0] for line in lines_of(made)}

    assert names.isdisjoint({"ATTACH", "X"})
    assert 1 == lines_of(made).count("END:VEVENT")
    assert read(made).vevent.uid.value == "0a1b@paper.example"


def test_only_mails_of_events_carry_an_entry():
    """
    A value that somebody calls `calendar` in an order of their own is a value like any other.
    """
    text = written(entry())

    assert ("REQUEST", None) == (
        calendar_of("event:x", {"calendar": text}).method,
        calendar_of("x", {"calendar": text}),
    )
