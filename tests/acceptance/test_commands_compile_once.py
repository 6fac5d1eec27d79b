"""A command compiles a template once, whatever it does with it: checks it, plans with it, stores it, renders it."""

import io
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import pytest
from click.testing import CliRunner
from sqlalchemy import func, select

from cli import clarion
from core import schema
from core.commands import Desk
from templates.compiling import compile_parts
from tests import sequence_files, transactional_files
from tests.factories import make_customer

EVENT = """\
title: Paper evening
starts: 2026-03-20T18:00
lasts: 2h
place: Mill Lane 1, Papertown
organiser: offers
mails: {confirmation: seat.html, change: seat.html, cancelled: seat.html, withdrawn: seat.html}
"""
SEAT = "---\nsubject: Your seat\n---\n<p>{{ given.event.title }}</p>\n"
EVENT_FILES = {"events/paper-evening.yaml": EVENT, "templates/seat.html": SEAT}
FILES = sequence_files.FILES | transactional_files.FILES | EVENT_FILES
ORDERED = ("--given", "order_number=7", "--given", "total=9.50")


@pytest.fixture
def office(make_workspace, database):
    """A campaign, a sequence, a transactional campaign and an event; and Ann, who agreed."""
    with database.begin() as connection:
        make_customer(connection, external_id="ann", email="ann@firm.example", consents=("promotions",))
    return make_workspace(database=database, files=FILES)


@contextmanager
def compilations() -> Iterator[Counter[tuple[object, ...]]]:
    """What the compiler was asked for meanwhile, and how often."""
    asked: Counter[tuple[object, ...]] = Counter()

    def look(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code is compile_parts.__code__:
            given = frame.f_locals
            asked[tuple(given[name] for name in ("name", "subject", "transactional", "given", "opens", "clicks"))] += 1

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        yield asked
    finally:
        sys.setprofile(before)


@pytest.mark.parametrize(
    ("status", "command"),
    [
        (0, ("validate",)),
        (2, ("plan", "--json")),
        (0, ("apply", "--yes")),
        (0, ("send", "receipt", "--to", "ann", *ORDERED)),
    ],
    ids=str,
)
def test_command_compiles_each_template_once(office, clock, status, command):
    """
    Every template is compiled, and none a second time for the same kind of mail and the same subject.
    """
    desk = Desk(office.root, clock)
    with compilations() as asked:
        done = CliRunner().invoke(clarion, command, obj=desk)
    desk.close()

    assert status == done.exit_code, done.output
    assert [] == [wanted for wanted, times in asked.items() if times > 1]
    assert {"spring-paper.html", "reminder.html", "receipt.html", "seat.html"} == {name for name, *_ in asked}


class Slow(io.BytesIO):
    """A person who edits a template before they say yes."""

    def __init__(self, edit) -> None:
        super().__init__(b"y\n")
        self._edit = edit

    def read1(self, size=-1):
        self._edit()
        return super().read1(size)


@pytest.mark.parametrize("command", [("apply",), ("send", "spring-paper")], ids=str)
def test_files_edited_while_a_person_is_asked_are_noticed(office, database, clock, command):
    """
    What they say yes to is what they were shown: with other files nothing is sent.
    """
    template = office.root / "templates/spring-paper.html"
    desk = Desk(office.root, clock)
    slow = Slow(lambda: template.write_text(template.read_text().replace("offer", "offers"), encoding="utf-8"))
    done = CliRunner().invoke(clarion, command, obj=desk, input=slow)
    desk.close()

    assert "its files changed since the plan was made" in done.output
    with database.begin() as connection:
        assert 0 == connection.execute(select(func.count()).select_from(schema.message)).scalar_one()
