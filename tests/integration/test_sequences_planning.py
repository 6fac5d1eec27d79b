"""Plans of sequences: who would enter, whom an edit touches, when a plan is stale, and what applying leaves behind."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from click.testing import CliRunner

from campaigns import catalogue as files
from campaigns import whole_plan
from campaigns.sequences import activities, duties, enrol
from cli import clarion
from core.commands import Desk
from core.errors import ConfigError, PlanError, StalePlan
from tests.factories import make_activity, make_customer, make_suppression
from tests.sequence_files import Road, sequence

BY_API = "{by: api}"
STEPS = """
hello: {send: {template: spring-paper.html}}
pause: {wait: 3d}
again: {send: {template: reminder.html}}
"""
WITHOUT_PAUSE = """
hello: {send: {template: spring-paper.html}}
again: {send: {template: reminder.html}}
"""
MOVED = "{pause: {move: again}}"


class Way(Road):
    """A sequence whose plans are made and applied as people do it. `is_new`: it is not in force yet."""

    def __init__(self, make_workspace, database, clock, content, *, is_new=False):
        self.is_new = is_new
        super().__init__(make_workspace, database, clock, content)

    def apply(self, name="nurture"):
        """The sequence is in force as its file says now."""
        if not self.is_new:
            self.carry_out(self.plan(name))

    def plan(self, name="nurture"):
        """The plan of the sequence, as its file would keep it."""
        with self.database.begin() as connection:
            made = whole_plan.make(connection, files.load(self.workspace), [name], self.clock.now())
        return whole_plan.to_file(made)

    def planned(self, name="nurture"):
        """The plan of the sequence itself."""
        with self.database.begin() as connection:
            made = whole_plan.make(connection, files.load(self.workspace), [name], self.clock.now())
        return made.others[0][1]

    def carry_out(self, document):
        """The plan is applied; what was done."""
        with self.database.begin() as connection:
            catalogue = files.load(self.workspace)
            applied = whole_plan.apply_document(connection, catalogue, document, self.clock.now(), actor="ann")
        return applied.others

    def carry_out_while(self, other):
        """The plan of now is applied while somebody else begins `other` in between, and has to wait for it."""
        document, catalogue = self.plan(), files.load(self.workspace)
        with ThreadPoolExecutor(1) as pool:
            with self.database.begin() as connection:
                whole_plan.apply_document(connection, catalogue, document, self.clock.now())
                begun = pool.submit(self._alone, other)
                self._until_somebody_waits()
            begun.result()

    def _alone(self, other):
        with self.database.begin() as connection:
            other(connection)

    def _until_somebody_waits(self):
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        for _ in range(10_000):
            if self.rows(query)[0][0]:
                return
        raise AssertionError("nobody waits for the edit")

    def edit(self, content, name="nurture"):
        """The file says something else."""
        (self.workspace.root / "campaigns" / f"{name}.yaml").write_text(content, encoding="utf-8")

    def enter(self, **values):
        """A customer who agreed to promotions enters, and has got what is due at once."""
        with self.database.begin() as connection:
            customer_id = make_customer(connection, consents=("promotions",), **values)
            enrol.enrol(connection, "nurture", customer_id, now=self.clock.now())
        self.tick()
        return customer_id


@pytest.fixture
def way(make_workspace, database, clock):
    """A sequence in force, whose people are named."""
    return Way(make_workspace, database, clock, sequence(STEPS, enrol=BY_API))


def test_a_first_start_counts_who_would_enter(make_workspace, database, clock):
    """
    The plan of a sequence nobody is in counts members of the segment, and what becomes of their first mailing.
    """
    with database.begin() as connection:
        for number in range(3):
            make_customer(connection, consents=("promotions",), email=f"c{number}@firm.example")
        make_customer(connection)
        make_suppression(connection, "c0@firm.example", reason="unsubscribed")
    way = Way(make_workspace, database, clock, sequence(STEPS), is_new=True)
    planned, document = way.planned(), way.plan()

    told = planned.document()
    assert (4, 2) == (told["audience"], told["would_send"])
    assert {"not_consented": 1, "suppressed:unsubscribed": 1} == told["skipped"]
    assert "start_sequence" == planned.changes()[0]["change"]
    assert [] == way.rows("SELECT FROM sequence")
    way.carry_out(document)
    way.tick()
    assert 2 == len([skip for *_, skip in way.messages() if skip is None])
    assert [] == way.carry_out(document)
    assert not way.planned().is_pending


def test_a_start_is_stale_when_others_would_enter(make_workspace, database, clock):
    """
    Who joins the segment after the review makes the plan of a first start stale; nothing is begun.
    """
    way = Way(make_workspace, database, clock, sequence(STEPS), is_new=True)
    document = way.plan()
    with database.begin() as connection:
        make_customer(connection, consents=("promotions",))

    with pytest.raises(StalePlan, match="the people whom it touches changed"):
        way.carry_out(document)
    assert [] == way.rows("SELECT FROM sequence")


def test_more_than_may_enter_are_no_plan(make_workspace, database, clock):
    """
    A plan that would let more people in than `limits.max_audience` is refused.
    """
    with database.begin() as connection:
        for _ in range(2):
            make_customer(connection, consents=("promotions",))
    way = Way(make_workspace, database, clock, sequence(STEPS, limits="{max_audience: 1}"), is_new=True)

    with pytest.raises(PlanError, match="nurture: 2 people would enter"):
        way.plan()


def test_a_removed_step_is_refused_at_its_line(way):
    """
    Where people wait at a step that is gone the plan is refused: at its file and line, with what to write.
    """
    way.enter()
    way.edit(sequence(WITHOUT_PAUSE, enrol=BY_API))
    with pytest.raises(ConfigError) as refused:
        way.plan()

    (problem,) = refused.value.problems
    assert ("campaigns/nurture.yaml", 5) == (problem.file, problem.line)
    assert "'pause' is gone, and 1 person waits there" in problem.message
    assert "when_removed: {pause: …} with {move: again}, exit, or finish" in problem.hint


def test_one_more_person_in_a_touched_step_makes_the_plan_stale(way):
    """
    Somebody who comes to a step that is taken away was not reviewed: nothing is done to anybody.
    """
    way.enter()
    way.edit(sequence(WITHOUT_PAUSE, enrol=BY_API, when_removed=MOVED))
    document = way.plan()
    way.enter()

    with pytest.raises(StalePlan, match="planned 1 inside and 0 entering, now 2 and 0"):
        way.carry_out(document)
    assert {"pause"} == {step for _, _, step, _ in way.passages()}


def test_people_who_merely_go_on_do_not_make_a_plan_stale(way):
    """
    An edit of a text is applied although people entered, went on and ended since it was planned.
    """
    way.enter()
    way.edit(sequence(STEPS.replace("reminder.html}", "reminder.html, subject: Soon}"), enrol=BY_API))
    document = way.plan()
    way.tick(days=3)
    ben = way.enter()
    way.carry_out(document)
    way.tick(days=3)

    query = "SELECT v.definition->'campaign'->'send'->>'subject' FROM message AS m JOIN run AS r ON r.id = m.run_id \
        JOIN campaign_version AS v ON v.id = r.version_id WHERE m.step = 'again' ORDER BY m.id"
    assert [(None,), ("Soon",)] == [tuple(row) for row in way.rows(query)]
    assert [("hello", "sent"), ("pause", "waited"), ("again", "sent")] == way.done(ben)


def test_a_plan_of_other_files_is_stale(way):
    """
    A file that was saved once more after the review, or another edit that was applied, makes the plan stale.
    """
    way.edit(sequence(STEPS.replace("3d", "4d"), enrol=BY_API))
    first = way.plan()
    way.edit(sequence(STEPS.replace("3d", "5d"), enrol=BY_API))
    with pytest.raises(StalePlan, match="its files changed"):
        way.carry_out(first)
    second = way.plan()
    way.carry_out(second)
    way.edit(sequence(STEPS.replace("3d", "4d"), enrol=BY_API))

    with pytest.raises(StalePlan, match="something else is in force"):
        way.carry_out(first)


def test_applying_again_changes_nothing(way):
    """
    A plan that was applied has nothing pending any more, also after people went on.
    """
    way.enter()
    way.edit(sequence(WITHOUT_PAUSE, enrol=BY_API, when_removed=MOVED))
    document = way.plan()
    (row,) = way.carry_out(document)
    way.tick()

    assert {"campaign": "nurture", "change": "edit_sequence", "people": 1, "entering": 0} == row
    assert [] == way.carry_out(document)
    assert [("hello", "sent"), ("again", "sent")] == way.done()


def test_who_finishes_is_out_of_reach_of_later_edits(way):
    """
    Who was left to finish goes on as they began; a later edit neither counts nor touches them.
    """
    ann = way.enter()
    way.edit(sequence(WITHOUT_PAUSE, enrol=BY_API, when_removed="{pause: finish}"))
    way.apply()
    way.edit(sequence("bye: {send: {template: reminder.html}}", enrol=BY_API))
    planned = way.planned()
    way.apply()
    way.tick(days=3)

    assert (0, 1) == (planned.inside, planned.finishing)
    assert [("hello", "sent"), ("pause", "waited"), ("again", "sent")] == way.done(ann)


def test_a_rename_keeps_what_was_done(way):
    """
    Whoever did a step has done it under its new name; somebody who shares their address does not get it either.
    """
    ann = way.enter(email="post@firm.example")
    with way.database.begin() as connection:
        twin = make_customer(connection, consents=("promotions",), email="post@firm.example")
    renamed = STEPS.replace("hello: {send: {template: spring-paper.html}", "hi: {send: {template: spring-paper.html}")
    way.edit(sequence(renamed.replace("spring-paper.html}}", "spring-paper.html}, renamed_from: hello}"), enrol=BY_API))
    way.apply()
    with way.database.begin() as connection:
        enrol.enrol(connection, "nurture", twin, now=way.clock.now())
    way.tick()

    assert [("hi", "sent")] == way.done(ann)
    assert [("hi", "skipped:already_messaged")] == way.done(twin)


def test_what_was_done_is_passed_over_also_a_wait(way):
    """
    Who comes again to a wait and a mailing that they did goes past both at once.
    """
    steps = STEPS + "rest: {wait: 5d}\nlast: {send: {template: spring-paper.html, subject: Last}}\n"
    way.edit(sequence(steps, enrol=BY_API))
    way.apply()
    ann = way.enter()
    way.tick(days=3)
    order = ["hello", "rest", "pause", "again", "last"]
    lines = {line.split(":")[0]: line for line in steps.strip().splitlines()}
    way.edit(sequence("\n".join(lines[name] for name in order), enrol=BY_API, when_reordered="{rest: stay}"))
    (told,) = [one for one in way.planned().changes() if one.get("effect") == "would_repeat"][:1]
    way.apply()
    way.tick(days=5)

    assert ("rest", 1) == (told["step"], told["people"])
    done = [("hello", "sent"), ("pause", "waited"), ("again", "sent"), ("rest", "waited"), ("last", "sent")]
    assert done == way.done(ann)


def test_a_paused_sequence_is_edited_and_stays_paused(way):
    """
    An edit of a paused sequence takes people over, and nobody goes on before it is resumed.
    """
    way.enter()
    way.rows("UPDATE sequence SET state = 'paused' RETURNING name")
    way.edit(sequence(WITHOUT_PAUSE, enrol=BY_API, when_removed=MOVED))
    way.apply()
    way.tick()

    assert [("paused",)] == [tuple(row) for row in way.rows("SELECT state FROM sequence")]
    assert [("again", "active")] == [tuple(row) for row in way.rows("SELECT step, state FROM enrolment")]


def test_a_cancelled_sequence_begins_again_with_a_changed_file(way):
    """
    A cancelled sequence has nothing pending as it is; a changed file begins it again, and nobody comes back to life.
    """
    ann = way.enter()
    way.rows("UPDATE sequence SET state = 'cancelled' RETURNING name")
    untouched = way.planned()
    way.edit(sequence(STEPS.replace("3d", "4d"), enrol=BY_API))
    again = way.planned()
    way.apply()
    way.tick(days=4)

    assert (False, True) == (untouched.is_pending, again.is_pending)
    assert again.cancelled_at is not None
    assert [(ann, "exited", "pause", "cancelled")] == way.passages()
    assert [("active",)] == [tuple(row) for row in way.rows("SELECT state FROM sequence")]


def test_a_sequence_without_a_file_ends_when_nobody_is_in_it(way):
    """
    Where people are in a sequence whose file is gone the plan is refused; when they have left, it ends.
    """
    way.enter()
    (way.workspace.root / "campaigns" / "nurture.yaml").unlink()
    with pytest.raises(ConfigError, match=r"campaigns/nurture.yaml: the file is gone, and 1 person is in the sequence"):
        way.plan()
    way.tick(days=3)
    way.apply()

    assert [("cancelled",)] == [tuple(row) for row in way.rows("SELECT state FROM sequence")]
    with way.database.begin() as connection:
        assert () == whole_plan.make(connection, files.load(way.workspace), ["spring-paper"], way.clock.now()).pending


def test_an_edit_leaves_an_audit_entry(way):
    """
    The audit says who applied which edit, and how many people it touched in which way.
    """
    way.enter()
    way.edit(sequence(STEPS.replace("3d", "4d"), enrol=BY_API))
    way.apply()
    actor, detail = way.rows("SELECT actor, detail FROM audit WHERE action = 'sequence.edit'")[0]

    assert "ann" == actor
    assert (1, {"pause: re_timed": 1}) == (detail["inside"], detail["effects"])


def test_a_wait_counts_from_when_people_came_to_it(way):
    """
    A changed wait is reckoned in each person's own zone, from when they came to it; what is over is due at once.
    """
    way.enter(zone="America/New_York")
    way.clock.step(timedelta(days=2))
    way.enter(zone="Europe/Berlin")
    way.edit(sequence(STEPS.replace("3d", "36h"), enrol=BY_API))
    planned = way.planned()
    way.apply()

    told = planned.changes()[1]
    assert ("3d", "36h", 1, 1) == (told["was"], told["now"], told["due_at_once"], told["earlier"])
    assert [way.clock.now(), way.clock.now() + timedelta(hours=36)] == way.due_at()


def test_exit_rules_and_topics_are_counted_before_they_hold(way):
    """
    A new `exit_when` and another topic say of how many people they keep from more, step by step.
    """
    way.enter(country="DE")
    way.enter(country="FR")
    way.edit(sequence(STEPS, enrol=BY_API, exit_when="'country == \"DE\"'").replace("topic: promotions", "topic: news"))
    told = {(one["effect"], one["people"]) for one in way.planned().changes()[1:]}

    assert {("leaves", 1), ("skipped", 2), ("content_only", 2)} == told


def test_commands_plan_and_apply_an_edit(way, tmp_path):
    """
    `plan` tells the edit and exits with 2, `apply` carries out the file, then `plan` exits with 0.
    """
    way.enter()
    way.edit(sequence(STEPS.replace("3d", "4d"), enrol=BY_API))
    plan = tmp_path / "plan.json"

    def call(*arguments):
        desk = Desk(way.workspace.root, way.clock)
        result = CliRunner().invoke(clarion, arguments, obj=desk)
        desk.close()
        return result

    told = call("plan", "nurture", "--json", "--out", str(plan))
    assert 2 == told.exit_code
    whole, effect = json.loads(told.stdout)["changes"]
    assert ("edit_sequence", 1) == (whole["change"], whole["people"])
    assert ("pause", 1, "re_timed", "3d", "4d") == tuple(
        effect[key] for key in ("step", "people", "effect", "was", "now")
    )
    shown = call("plan", "nurture")
    assert "pause          1  4d instead of 3d, since they came to it: 1 later" in shown.stdout
    applied = call("apply", str(plan), "--json")
    assert (0, "edit_sequence") == (applied.exit_code, json.loads(applied.stdout)["changed"][0]["change"])
    assert 0 == call("plan", "nurture").exit_code
    assert 1 == call("send", "nurture").exit_code


def test_nobody_is_left_in_a_version_that_an_edit_left(way):
    """
    Somebody who enters while an edit is applied waits for it, and begins with the new version.
    """
    with way.database.begin() as connection:
        ann = make_customer(connection, consents=("promotions",))
    way.edit(sequence(WITHOUT_PAUSE, enrol=BY_API))
    way.carry_out_while(lambda connection: enrol.enrol(connection, "nurture", ann, now=way.clock.now()))

    in_force = "SELECT e.version_id = s.version_id FROM enrolment AS e JOIN sequence AS s ON s.name = e.sequence"
    assert [(True,)] == [tuple(row) for row in way.rows(in_force)]


def test_nobody_sleeps_on_after_an_edit(way):
    """
    What somebody waits for, read while an edit is applied, wakes them in the new version.
    """
    waiting = """
paid: {wait: {for: 'did("paid", since="step")', timeout: 7d}}
again: {send: {template: reminder.html}}
"""
    way.edit(sequence(waiting, enrol=BY_API))
    way.apply()
    ann = way.enter()
    with way.database.begin() as connection:
        make_activity(connection, ann, "paid", occurred_at=way.clock.now())
    way.edit(sequence(waiting.replace("reminder.html", "spring-paper.html"), enrol=BY_API))
    way.carry_out_while(lambda connection: activities.read(connection, None, way.clock.now()))
    way.tick()

    assert [("paid", "came_true"), ("again", "sent")] == way.done(ann)


def test_every_duty_of_sequences_is_at_rest_after_an_edit(way):
    """
    After an edit nothing is due by itself but what people wait for.
    """
    way.enter()
    way.edit(sequence(STEPS.replace("3d", "4d"), enrol=BY_API))
    way.apply()
    with way.database.begin() as connection:
        times = [duty.next_at(connection, None, way.clock.now()) for duty in duties.DUTIES]

    assert [way.clock.now() + timedelta(days=4)] == [at for at in times if at is not None]
