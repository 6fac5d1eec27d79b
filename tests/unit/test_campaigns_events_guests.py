"""Who registered, as a table."""

import csv
from datetime import UTC, datetime

from campaigns.events.guests import write_guests

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def guest(**more):
    """Somebody who has a seat, as they are listed."""
    known = {"first_name": "Ann", "last_name": "Ash", "company": None}
    mail = {"last_mail": "confirmation", "mail_state": "planned"}
    times = {"registered_at": NOON, "offered_until": None, "checked_in_at": None}
    whose = {"customer": "C1", "email": "ann@firm.example", "language": None, "source": "page"}
    return {"registration": 1, "state": "confirmed", **whose, **known, **times, **mail, "answers": {}, **more}


def test_guests_have_a_column_for_each_field(tmp_path):
    """
    Names as they registered, else as we know them; and no cell that a spreadsheet runs (S-9.6).
    """
    file = tmp_path / "guests.csv"
    answers = {"first_name": "Anna", "company": "=Ash", "diet": "vegetarian", "wording": "1"}
    write_guests([guest(answers=answers), guest(checked_in_at=NOON)], ("company", "diet"), file)
    with file.open(encoding="utf-8-sig", newline="") as stream:
        first, second = csv.DictReader(stream)

    shown = ("first_name", "last_name", "company", "diet", "checked_in_at")
    assert ("Anna", "Ash", "'=Ash", "vegetarian", "") == tuple(first[name] for name in shown)
    assert ("Ann", "Ash", "", "", "2026-03-02T12:00:00+00:00") == tuple(second[name] for name in shown)
    assert "wording" not in first
    assert "2026-03-02T12:00:00+00:00" == first["registered_at"]
