"""The pages about times and the calendar say what files, settings and the command take."""

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from campaigns.calendar.commands import calendar
from campaigns.calendar.entries import Kind
from campaigns.definition import CampaignFile, Schedule
from campaigns.recurring import MISSED_AFTER
from core.calendar_settings import CalendarSettings, WeeklyDigest
from core.units import local_instant
from core.yaml_files import read_document
from workers.leading import LEASE_S

DOCS = Path(__file__).parents[2] / "docs"
SCHEDULING, CALENDAR = ((DOCS / name).read_text(encoding="utf-8") for name in ("scheduling.md", "calendar.md"))


def blocks(page: str, tmp_path: Path) -> list[dict[str, Any]]:
    """The examples as Clarion reads them, which takes `on` for a word."""
    found = []
    for block in re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        (tmp_path / "block.yaml").write_text(block, encoding="utf-8")
        document = read_document(tmp_path / "block.yaml", "block.yaml")
        assert [] == list(document.problems)
        found.append(document.content)
    return found


def test_campaigns_of_the_page_about_times_can_be_read(tmp_path: Path) -> None:
    """
    Both files are valid, and every value of both rules is in a table.
    """
    weekly, spring = (CampaignFile.model_validate(block).schedule for block in blocks(SCHEDULING, tmp_path))

    assert weekly is not None
    assert spring is not None
    assert (timedelta(hours=6), "next_day") == (weekly.missed, spring.when_passed)
    assert MISSED_AFTER == timedelta(minutes=5)
    assert LEASE_S == 10
    for value in ("once", "6h", "skip", "now", "next_day"):
        assert re.search(rf"^\| `{value}`", SCHEDULING, re.MULTILINE), value
    with pytest.raises(ValueError, match="'missed' is for 'cron'"):
        Schedule.model_validate({"at": "2027-03-01T09:00", "missed": "skip"})
    with pytest.raises(ValueError, match="'when_passed' is for 'zone: recipient'"):
        Schedule.model_validate({"at": "2027-03-01T09:00", "when_passed": "skip"})
    with pytest.raises(ValueError, match="'once', 'skip' or a duration"):
        Schedule.model_validate({"cron": "0 9 * * *", "missed": "often"})


def test_table_of_clock_changes_is_true() -> None:
    """
    Each row's time is the instant that follows from it.
    """
    rows = re.findall(r"^\| (\d{4}-\d\d-\d\d \d\d:\d\d) \| (\S+) \| .*?\((\d\d:\d\d) UTC", SCHEDULING, re.MULTILINE)

    assert 4 == len(rows)
    for wall, zone, utc in rows:
        assert utc == f"{local_instant(datetime.fromisoformat(wall), zone):%H:%M}"


def test_page_about_the_calendar_names_every_kind_setting_and_option(tmp_path: Path) -> None:
    """
    Its settings are valid; kinds of lines, settings and options are all there.
    """
    links, digest = (CalendarSettings.model_validate(block["calendar"]) for block in blocks(CALENDAR, tmp_path))

    assert 2 == links.links
    assert digest.digest is not None
    assert {f"`{kind.value}`" for kind in Kind} == set(re.findall(r"^\| (`[a-z ]+`) \|", CALENDAR, re.MULTILINE))
    assert all(f"{name}" in CALENDAR for name in (*WeeklyDigest.model_fields, *CalendarSettings.model_fields))
    options = {option for parameter in calendar.params for option in parameter.opts}
    assert options == set(re.findall(r"--[a-z]+", CALENDAR))
