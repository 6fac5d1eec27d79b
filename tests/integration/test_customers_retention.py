"""What was kept long enough goes: each class by its own time, and a dry run tells what a run then does."""

import json
from datetime import timedelta

import pytest
from click.testing import CliRunner
from sqlalchemy import func, insert, select, text

from campaigns.inquiries.states import ENDED, RECEIVED
from cli import clarion
from core import audit, schema
from core.commands import Desk
from core.fresh_settings import FreshWorkspace
from core.retention_settings import Retention
from core.settings import Settings
from customers import joining
from customers.rights import retention
from customers.rights.classes import CLASSES, EXPIRED
from customers.rights.erase import erase
from tests.factories import (
    LONG_AGO,
    SECRET,
    key_of,
    make_activity,
    make_attempt,
    make_consent,
    make_customer,
    make_enrolment,
    make_event,
    make_hit,
    make_message,
    make_registration,
    make_run,
)
from tests.rights_rows import EMAIL, WORDS, found_anywhere, make_person
from workers.housekeeping import Housekeeping

#: Every class that can be set has a time.
ALL = Retention(activities="400d", consents="1095d", survey_answers="400d", registrations="400d")
NOW = LONG_AGO + timedelta(days=5000)
DAY = timedelta(days=1)


@pytest.fixture
def aged(database):
    """A person named everywhere, with what retention looks for beside: all of it long ago."""
    with database.begin() as connection:
        person = make_person(connection)
        asked = make_customer(connection, source="inquiry:sales", created_at=LONG_AGO, updated_at=LONG_AGO)
        make_activity(connection, asked, "inquiry_received", occurred_at=LONG_AGO)
        message = make_message(connection, make_run(connection, "spring", state="finished"), person)
        make_hit(connection, message, ip="192.0.2.9", user_agent="Firefox")
        make_attempt(connection, message, reply=f"550 <{EMAIL}> unknown")
        make_consent(connection, person, topic="news", state="withdrawn", captured_at=LONG_AGO + DAY)
        run_id = connection.execute(select(schema.run.c.id).where(schema.run.c.campaign == "spring")).scalar_one()
        rows = [
            (schema.batch, {"run_id": run_id, "message_ids": [message], "state": "done", "not_before": LONG_AGO}),
            (schema.batch, {"run_id": run_id, "message_ids": [message], "state": "ready", "not_before": LONG_AGO}),
            (schema.used_token, {"digest": b"1", "forget_at": LONG_AGO}),
            (schema.used_token, {"digest": b"2", "forget_at": NOW + DAY}),
            (schema.public_count, {"key": "form:news|ip:192.0.2.0/24", "period": LONG_AGO, "count": 1,
                                   "forget_at": LONG_AGO}),
            *((schema.schedule_tick, {"schedule": "weekly", "nominal_at": at}) for at in (LONG_AGO, LONG_AGO + DAY)),
        ]  # fmt: skip
        for table, values in rows:
            connection.execute(insert(table).values(**values))
        for table, column in (("task", "done_at"), ("staff_notice", "sent_at"), ("rights_request", "done_at")):
            connection.execute(text(f"UPDATE {table} SET {column} = :at"), {"at": LONG_AGO})
        connection.execute(text("UPDATE task SET state = 'done'"))
        connection.execute(text("UPDATE inquiry SET state = 'answered', answered_at = :at"), {"at": LONG_AGO})
        connection.execute(text("UPDATE webhook_call SET state = 'accepted', created_at = :at"), {"at": LONG_AGO})
        connection.execute(text("UPDATE staff_notice SET state = 'accepted'"))
        for table, column in (
            ("sign_up", "requested_at"),
            ("inbound_mail", "received_at"),
            ("feedback", "recorded_at"),
        ):
            connection.execute(text(f"UPDATE {table} SET {column} = :at"), {"at": LONG_AGO})
    return person


def _tables(database):
    with database.begin() as connection:
        return {
            table.name: sorted(map(str, connection.execute(select(table)))) for table in schema.metadata.tables.values()
        }


def _counts(outcomes):
    return {(one.data_class, one.table): one.rows for one in outcomes}


def test_every_class_has_a_setting_and_every_setting_a_class():
    """
    The names of `retention` in clarion.yaml are those of the classes, so that none is set without effect.
    """
    assert {each.name for each in CLASSES} == set(Retention.model_fields)


def test_dry_run_changes_nothing_and_tells_what_the_run_does(database, aged):
    """
    The counts are equal, every class has some, and a second run finds nothing.
    """
    before = _tables(database)
    dry = retention.run(database, ALL, now=NOW, dry_run=True)
    after_dry = _tables(database)
    done = retention.run(database, ALL, now=NOW)
    again = retention.run(database, ALL, now=NOW)

    assert before == after_dry
    assert _counts(dry) == _counts(done)
    assert {each.name for each in (*CLASSES, EXPIRED)} <= {one.data_class for one in done if one.rows}
    assert {0} == {one.rows for one in again}
    with database.begin() as connection:
        assert ["retention.run"] == [row["action"] for row in audit.entries(connection, action="retention")]


def test_what_is_young_or_in_use_stays(database, aged):
    """
    A moment before its time nothing goes; open batches, words in force and tokens that may still be used stay later.
    """
    with database.begin() as connection:
        connection.execute(text("DELETE FROM used_token WHERE forget_at < :now"), {"now": NOW})
        connection.execute(text("DELETE FROM public_count"))
    early = retention.run(database, ALL, now=LONG_AGO + timedelta(days=29))
    retention.run(database, ALL, now=NOW)

    assert {0} == {one.rows for one in early}
    with database.begin() as connection:
        assert ["ready", "ready"] == list(connection.execute(select(schema.batch.c.state)).scalars())
        words = connection.execute(
            select(schema.consent.c.topic, schema.consent.c.state).order_by(schema.consent.c.topic)
        ).all()
        assert [("news", "withdrawn"), ("promotions", "granted")] == list(map(tuple, words))
        assert [LONG_AGO + DAY] == list(connection.execute(select(schema.schedule_tick.c.nominal_at)).scalars())
        assert [b"2"] == list(connection.execute(select(schema.used_token.c.digest)).scalars())


def test_words_of_servers_keep_what_tells_a_bounce(database, aged):
    """
    Of a server's words only the mailboxes go: a report still tells by them that nobody was there.
    """
    retention.run(database, ALL, now=NOW)

    with database.begin() as connection:
        replies = connection.execute(select(schema.attempt.c.reply)).scalars().all()
    assert "550 <…@pappel.example> unknown" in replies


def test_what_comes_in_for_erased_people_names_nobody_the_next_day(database, aged):
    """
    A server's late answer and a late bounce about somebody erased are emptied by the next run, not after weeks.
    """
    with database.begin() as connection:
        erase(connection, SECRET, aged, now=NOW)
        message = connection.execute(select(func.max(schema.message.c.id))).scalar_one()
        make_attempt(connection, message, number=2, reply=f"550 <{EMAIL}> unknown")
        connection.execute(insert(schema.kept_content).values(message_id=message, content=EMAIL.encode()))
        connection.execute(insert(schema.feedback).values(
            event_key="x", kind="hard", source="mail", address_key=key_of(EMAIL), diagnostic=EMAIL, occurred_at=NOW,
        ))  # fmt: skip
        assert found_anywhere(connection)

    dry = retention.run(database, Retention(), now=NOW, dry_run=True)
    done = retention.run(database, Retention(), now=NOW)

    with database.begin() as connection:
        assert [] == found_anywhere(connection, WORDS)
    assert _counts(dry) == _counts(done)
    assert {"attempt", "feedback", "kept_content"} == {one.table for one in done if one.data_class == "erased"}


def test_evidence_of_consent_is_kept_three_years():
    """
    A shorter time is refused by the settings.
    """
    with pytest.raises(ValueError, match="three years"):
        Retention(consents="30d")
    assert Retention() == Settings.model_fields["retention"].default


def test_retention_command_prints_what_it_would_do(database, aged, make_workspace, clock):
    """
    `--dry-run --json` and the run itself have the same lines; `list` shows how long each class is kept.
    """
    clock.instant = NOW
    desk = Desk(make_workspace(database=database).root, clock)

    def call(*arguments):
        done = CliRunner().invoke(clarion, arguments, obj=desk, catch_exceptions=False)
        assert 0 == done.exit_code, done.output
        return done

    dry = json.loads(call("retention", "run", "--dry-run", "--json").stdout)
    table = call("retention", "run", "--dry-run").stdout
    done = json.loads(call("retention", "run", "--json").stdout)
    listed = json.loads(call("retention", "list", "--json").stdout)["classes"]
    desk.close()

    assert dry["outcomes"] == done["outcomes"] != []
    assert "would be removed" in table
    assert {"class": "activities", "kept_for": None, "tables": "activity"} in listed


def test_scheduler_keeps_house_once_a_day(database, aged, clock, make_workspace):
    """
    The first scheduler of the day does it, whichever; the next day it is done again. Who was erased is in the file.
    """
    clock.instant = NOW
    with database.begin() as connection:
        erase(connection, SECRET, aged, now=NOW)
    workspace = make_workspace(database=database)
    houses = [Housekeeping(database, FreshWorkspace(workspace), clock) for _ in range(2)]

    done = [house.keep_house() for house in houses]
    clock.step(DAY)

    assert [True, False] == done
    assert houses[1].keep_house()
    assert str(key_of(EMAIL)) in (workspace.state / "erasures.jsonl").read_text()


def test_retention_leaves_marks_and_mails_that_nobody_saw_to(database):
    """
    An event that nothing may follow from stays marked when its words go; a mail kept aside stays until it was handled.
    """
    rules = {rule.table: rule for each in CLASSES for rule in each.rules if rule.table in ("feedback", "inbound_mail")}
    with database.begin() as connection:
        event = {"event_key": "mail:x", "kind": "soft", "source": "mail", "occurred_at": LONG_AGO, "diagnostic": "No"}
        detail = {"mail": 1, "unproven": True}
        connection.execute(insert(schema.feedback).values(**event, detail=detail, recorded_at=LONG_AGO))
        for state, digest in (("handled", b"1"), ("kept_aside", b"2")):
            mail = {"digest": digest, "source": "drop", "raw": b"x", "size": 1, "state": state}
            connection.execute(insert(schema.inbound_mail).values(**mail, received_at=LONG_AGO))
        for rule in rules.values():
            connection.execute(text(f"UPDATE {rule.table} SET {rule.becomes} WHERE {rule.where}"), {"before": NOW})
        left = connection.execute(select(schema.feedback.c.detail, schema.feedback.c.diagnostic)).one()
        mail = schema.inbound_mail.c
        raw = connection.execute(select(mail.raw).order_by(mail.digest)).scalars()

        assert ({"unproven": True}, None) == tuple(left)
        assert [None, b"x"] == list(raw)
        connection.rollback()


def test_every_table_that_names_customers_tells_of_them_or_says_why_not():
    """
    A table made later is in one of the two: else retention would remove customers whom its rows are about.
    """
    naming = {
        (table.name, column.name) for table in schema.metadata.tables.values() for column in table.columns
        for key in column.foreign_keys if key.column.table is schema.customer
    }  # fmt: skip
    named = {(name, "customer_id") for name in {*joining.TELLING, *joining.SILENT}} | {
        ("registration", "registrant_id")
    }

    assert naming == named
    assert not set(joining.TELLING) & set(joining.SILENT)
    assert all(joining.SILENT.values())


@pytest.mark.parametrize("source", ["form:event:day", "inquiry:sales"])
@pytest.mark.parametrize(
    "table", ["registration", "registrant", "inquiry", "enrolment", "survey_answer", "task", "consent", "activity"]
)
def test_stranger_of_whom_more_is_known_stays(module_database, table, source):
    """
    Who came by a form or an inquiry and has a seat, asked something, answered, agreed, did something, or goes through a
    sequence is not removed with old sign-ups and inquirers, and neither are those rows; who only typed an address is,
    and who asked what is gone.
    """
    now, later = LONG_AGO, LONG_AGO + timedelta(days=11)
    stranger = {"source": source, "created_at": now, "updated_at": now}
    with module_database.begin() as connection:
        person, gone, other = (make_customer(connection, **stranger) for _ in range(3))
        if source.startswith("inquiry"):
            for name in (RECEIVED, *ENDED.values()):
                make_activity(connection, gone, name, occurred_at=now)
        held = make_event(connection, starts_at=later + DAY, ends_at=later + DAY)
        match table:
            case "registration":
                make_registration(connection, held, person)
            case "registrant":
                make_registration(connection, held, other, registrant_id=person)
            case "inquiry":
                row = {"inquiry_key": source, "desk": "sales", "source": "form", "customer_id": person,
                       "subject": "A", "received_at": now, "due_at": now}  # fmt: skip
                connection.execute(insert(schema.inquiry).values(row))
            case "enrolment":
                make_enrolment(connection, person)
            case "survey_answer":
                row = {"survey": "s", "question": "q", "occasion": "o", "customer_id": person, "answered_at": now}
                connection.execute(insert(schema.survey_answer).values(row))
            case "consent":
                make_consent(connection, person, captured_at=now)
            case "activity":
                make_activity(connection, person, occurred_at=now)
            case "task":
                row = {"task_key": source, "kind": "call", "title": "Call", "customer_id": person, "created_at": now}
                connection.execute(insert(schema.task).values(row))
    retention.run(module_database, Retention.model_validate({"sign_ups": "10d", "inquirers": "10d"}), now=later)
    with module_database.begin() as connection:
        left = set(connection.execute(select(schema.customer.c.id)).scalars())

    assert person in left
    assert gone not in left
