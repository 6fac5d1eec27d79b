"""The calendar: every kind of line, its number and where it comes from; the feed; the weekly mail."""

import email
import json
from datetime import timedelta
from email import policy
from html.parser import HTMLParser

import icalendar
import pytest
from click.testing import CliRunner
from sqlalchemy import select, text, update

from campaigns.calendar import digest, feed, page, screen
from campaigns.calendar.entries import Certainty
from campaigns.calendar.gathering import gather
from cli import clarion
from core import schema
from core.clock import SteppedClock
from core.commands import Desk
from core.workspace import Workspace
from tests.calendar_days import NOON, Season


@pytest.fixture(scope="module")
def season(tmp_path_factory, module_database):
    return Season(tmp_path_factory.mktemp("season"), module_database)


@pytest.fixture
def connection(season):
    """A connection; nothing of what is done on it is kept."""
    with season.undone() as connection:
        yield connection


def calendar_of(season, connection, days=21):
    return gather(connection, season.workspace, NOON, days)


def told(calendar):
    """Each line as day, time, name, what, number and where it comes from."""
    zone = calendar.window.zone
    return [
        (f"{day.date:%m-%d}", one["local_time"], one["name"], one["what"], one["count"], one["certainty"])
        for day in calendar.days
        for one in (entry.document(zone) for entry in day.entries)
    ]


def test_calendar_tells_of_everything_that_goes_out_by_itself(season, connection):
    """
    Applied runs by recipients' zones, times that come again, people in sequences, events with their mails, deadlines,
    and what nobody applied: by the organisation's clock, UTC here, over the change of clock in Berlin's zone.
    """
    calendar = calendar_of(season, connection, days=30)

    assert [
        ("03-02", "12:00", "tasks", "are due", 1, "measured"),
        ("03-03", "12:00", "tasks", "are due", 1, "measured"),
        ("03-04", "01:00", "spring-paper", "goes out", 3, "measured"),
        ("03-09", "08:00", "weekly", "runs", 3, "estimated"),
        ("03-10", "09:00", "summer", "is written for this time", None, "unknown"),
        ("03-13", "17:00", "paper-evening", "reminder-7d", 2, "estimated"),
        ("03-16", "08:00", "weekly", "runs", 3, "estimated"),
        ("03-19", "17:00", "paper-evening", "reminder-1d", 2, "estimated"),
        ("03-20", "17:00", "paper-evening", "takes place, 2 of 2 seats", 2, "measured"),
        ("03-21", "19:30", "paper-evening", "attended or absent", 2, "estimated"),
        ("03-23", "08:00", "weekly", "runs", 3, "estimated"),
        ("03-30", "07:00", "weekly", "runs", 3, "estimated"),
    ] == [line for line in told(calendar) if line[2] != "nurture"]
    assert "1 on the waiting list" in [entry.remark for day in calendar.days for entry in day.entries]
    assert 30 == len(calendar.days)
    assert 0 == len(calendar.remarks)


def test_calendar_counts_people_who_wait_in_sequences(season, connection):
    """
    Who is due at which step stands on the day they are due; only steps that send count as mails.
    """
    moved = {"due_at": NOON + timedelta(days=2), "step": "again"}
    connection.execute(update(schema.enrolment).values(state="active", ended_at=None, ended_because=None, **moved))
    connection.execute(update(schema.enrolment).where(schema.enrolment.c.id == 1).values(step="pause", due_at=NOON))
    calendar = calendar_of(season, connection, days=3)
    waiting = [line for line in told(calendar) if line[2] == "nurture"]

    assert [
        ("03-02", "12:00", "nurture", "pause ends, or is looked at again", 1, "measured"),
        ("03-04", "12:00", "nurture", "again is sent", 2, "measured"),
    ] == waiting
    assert [0, 0, 3 + 2] == [day.mails(Certainty.MEASURED) for day in calendar.days]


def test_paused_things_stand_in_the_calendar_and_count_for_nothing(season, connection):
    """
    A paused run and a paused recurring campaign are shown as such; no day counts their mails.
    """
    connection.execute(update(schema.schedule).values(state="paused"))
    connection.execute(update(schema.run).where(schema.run.c.campaign == "spring-paper").values(state="paused"))
    calendar = calendar_of(season, connection, days=14)

    paused = {entry.name for day in calendar.days for entry in day.entries if entry.is_paused}
    assert {"spring-paper", "weekly"} == paused
    assert 2 == sum(day.all_mails for day in calendar.days)  # the reminder
    assert "paused, as on 2026-03-02" in "\n".join(screen.lines(calendar))


def test_times_of_one_day_are_one_line(season, connection):
    """
    What comes every five minutes is told once a day, from the first time to the last, with all its mails together.
    """
    connection.execute(update(schema.schedule).values(cron="*/5 10-11 * * *", zone="UTC"))
    line = next(entry for entry in calendar_of(season, connection, days=2).days[1].entries if entry.name == "weekly")

    assert ("runs 24 times", 24 * 3) == (line.what, line.count)
    assert timedelta(minutes=115) == line.until - line.at


def test_files_with_mistakes_hide_only_what_is_not_applied(season, connection):
    """
    A broken file is remarked; what runs is told all the same.
    """
    before = len(told(calendar_of(season, connection)))
    broken = season.workspace.root / "segments/broken.yaml"
    broken.write_text("where: [", encoding="utf-8")
    calendar = gather(connection, Workspace(season.workspace.root), NOON, 21)
    broken.unlink()

    assert before - 1 == len(told(calendar))
    assert ["mistakes"] == [word for word in calendar.remarks[0].split() if word == "mistakes"]


def test_command_prints_lines_and_a_document_and_writes_files(season, tmp_path):
    """
    Screen, JSON, page and calendar file tell the same; `--link` prints the address of the feed.
    """
    desk = Desk(season.workspace.root, season.clock)
    page_file, ics_file = tmp_path / "calendar.html", tmp_path / "calendar.ics"

    def run(*arguments):
        done = CliRunner().invoke(clarion, ["calendar", *arguments], obj=desk)
        assert 0 == done.exit_code, done.output
        return done.stdout

    document = json.loads(run("--days", "21", "--json"))
    shown = run("--days", "21")
    run("--days", "21", "--html", str(page_file), "--ics", str(ics_file))
    link = run("--link").strip()
    desk.close()

    assert ["2026-03-02", "2026-03-22"] == [document["days"][place]["date"] for place in (0, -1)]
    assert [3, 0] == [document["days"][2][name] for name in ("mails_measured", "mails_estimated")]
    entries = [entry for day in document["days"] for entry in day["entries"]]
    for entry in entries:
        assert entry["name"] in shown
        assert entry["name"] in page_file.read_text(encoding="utf-8")
    assert "Wed 2026-03-04  3 mails" in shown
    assert "~3  recurring" in shown
    assert len(entries) == len(icalendar.Calendar.from_ical(ics_file.read_bytes()).walk("VEVENT"))
    assert link.endswith(".ics")
    assert "/calendar/" in link


class _Words(HTMLParser):
    """The words of a page, and whether its tags close."""

    def __init__(self):
        super().__init__()
        self.open, self.words = [], []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert tag == self.open.pop()

    def handle_data(self, data):
        self.words.append(data)


def test_page_closes_its_tags_and_escapes_names(season, connection):
    """
    A name that looks like markup is words in the page, and every tag ends where it began.
    """
    connection.execute(update(schema.schedule).values(campaign="<b>&weekly"))
    reader = _Words()
    reader.feed(page.written(calendar_of(season, connection), "Paper & <Sons>"))

    assert [] == reader.open
    assert "<b>&weekly" in reader.words
    assert "Paper & <Sons> · calendar" in reader.words


def test_feed_is_read_by_a_calendar_program(season, connection):
    """
    Each line is an entry with a UID of its own, in UTC, folded and with CRLF; names of customers are nowhere in it.
    """
    calendar = calendar_of(season, connection)
    written = feed.written(calendar, "Paper, Sons; and more")
    read = icalendar.Calendar.from_ical(written)
    entries = read.walk("VEVENT")
    weekly = [entry for entry in entries if "weekly" in entry["summary"]]

    assert "PUBLISH" == read["method"]
    assert [] == [entry.errors for entry in entries if entry.errors]
    assert len(told(calendar)) == len(entries) == len({str(entry["uid"]) for entry in entries})
    assert ["weekly runs: about 3"] * 2 == [str(entry["summary"]) for entry in weekly]
    assert {timedelta(0)} == {entry["dtstart"].dt.utcoffset() for entry in entries}
    assert "\n" not in written.replace("\r\n", "")
    assert 75 >= max(len(line.encode()) for line in written.split("\r\n"))
    assert "Ann Lee" not in written
    takes_place = next(entry for entry in entries if "takes place" in entry["summary"])
    assert timedelta(hours=2, minutes=30) == takes_place["dtend"].dt - takes_place["dtstart"].dt


def test_entries_of_the_feed_keep_their_uids_when_numbers_change(season, connection):
    """
    A calendar program that looks again changes its entries, and adds none.
    """

    def uids():
        read = icalendar.Calendar.from_ical(feed.written(calendar_of(season, connection), "Paper"))
        return {str(entry["uid"]) for entry in read.walk("VEVENT")}

    before = uids()
    connection.execute(text("UPDATE registration SET state = 'cancelled' WHERE id = 1"))
    connection.execute(text("DELETE FROM message WHERE campaign = 'weekly' AND customer_id = 1"))

    assert before == uids()


class Weeks:
    """The digest, looked at as time goes on."""

    def __init__(self, season, connection):
        self.season, self.connection, self.clock = season, connection, SteppedClock(NOON)

    def look(self, **step):
        """Time went on, and it was looked at twice; how much was done, and when there is something to do again."""
        self.clock.step(timedelta(**step))
        around, now = self.season.circumstances, self.clock.now()
        done = [digest.run(self.connection, around, now) for _ in range(2)]
        return done, digest.next_at(self.connection, around, now)

    @property
    def mails(self):
        """What was ordered, as mail programs read it."""
        notice = schema.staff_notice
        query = select(notice.c.content).where(notice.c.notice_key.like("digest:calendar%")).order_by(notice.c.id)
        contents = self.connection.execute(query).scalars()
        return [email.message_from_bytes(bytes(content), policy=policy.default) for content in contents]


NEXT_MONDAY = NOON.replace(day=9, hour=8)


def test_weekly_mail_goes_once_a_week_to_everybody_it_is_for(season, connection):
    """
    Not for a time before it was first looked at; then each Monday once, and weeks without a scheduler are one.
    """
    weeks = Weeks(season, connection)

    assert ([2, 0], NEXT_MONDAY) == weeks.look()
    assert [] == weeks.mails
    assert ([0, 0], NEXT_MONDAY) == weeks.look(days=6, hours=19)
    assert ([2, 0], NEXT_MONDAY + timedelta(days=7)) == weeks.look(hours=1)
    assert ["anna@paper.example", "ben@paper.example"] == [mail["to"].addresses[0].addr_spec for mail in weeks.mails]
    assert ([2, 0], NEXT_MONDAY + timedelta(days=28)) == weeks.look(days=24)
    assert 4 == len(weeks.mails)


def test_weekly_mail_says_what_the_calendar_says(season, connection):
    """
    Subject, days and numbers, and a link to the feed that lasts.
    """
    weeks = Weeks(season, connection)
    weeks.look()
    weeks.look(days=6, hours=20)
    mail = weeks.mails[0]
    content = mail.get_content()
    lines = list(screen.lines(gather(connection, season.workspace, weeks.clock.now(), 7)))

    assert "What goes out: about 5 mails, 9 Mar to 15 Mar 2026" == mail["subject"]
    assert "Fri 2026-03-13  about 2 mails" in lines
    assert lines == [line.rstrip() for line in content.splitlines()][: len(lines)]
    assert feed.link(season.workspace, NEXT_MONDAY + timedelta(days=365)) in content
