"""Files of sequences: what they say is read, and what is wrong in them is named with its line."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from campaigns.catalogue import examine
from campaigns.sequences.definition import SequenceFile
from campaigns.sequences.engine import arm
from campaigns.sequences.waits import Clock
from core.workspace import Workspace
from core.yaml_files import Document, build, parse_document
from tests.conftest import MINIMAL_SETTINGS
from tests.sequence_files import FILES, sequence

GOOD = sequence("""
hello: {send: {template: spring-paper.html}}
pause: {wait: 3d}
parts: {split: {short: 25%, long: 75%}}
short: {exit: finished}
long: {wait: {until: "09:00", on: [mon, fri], zone: recipient}}
paid: {wait: {for: 'did("paid", since="step")', timeout: 7d, on_timeout: done}}
which: {branch: [{when: 'country == "DE"', go: done}]}
note: {update: {nurtured: true, old: null}}
done: {task: {title: Call, owner: owner}}
""")


def mistakes(tmp_path: Path, text: str) -> list[str]:
    """What is wrong with a workspace that has this sequence, by line."""
    settings = MINIMAL_SETTINGS.format(database="embedded", broker="embedded", smtp_port=2525)
    for name, content in {**FILES, "clarion.yaml": settings, "campaigns/nurture.yaml": text}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    _, problems = examine(Workspace(tmp_path))
    return [f"{problem.line}: {problem.message}" for problem in problems]


def test_a_definition_is_the_same_after_the_database() -> None:
    """
    Stored as JSON with sorted names and read back it is equal, its steps in their order.
    """
    document = parse_document(GOOD, Document("x.yaml"))
    file = build(SequenceFile, document)
    assert file is not None
    stored = file.stored()
    stored["steps"] = dict(sorted(stored["steps"].items()))

    assert file == SequenceFile.from_stored(stored)
    assert file.order == SequenceFile.from_stored(stored).order


def test_a_good_file_has_no_mistake(tmp_path: Path) -> None:
    """
    A file with every kind of step but calls validates.
    """
    assert [] == mistakes(tmp_path, GOOD)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("wait: 3d", "wait: 3x", "7: steps.pause.wait: got '3x'"),
        (", timeout: 7d, on_timeout: done", "", "11: steps.paid.wait: a wait 'for' something needs a 'timeout'"),
        ("25%, long", "35%, long", "8: steps.parts.split: got '110.0000%'"),
        ("go: done", "go: nowhere", "12: steps.which: no step 'nowhere'"),
        ("on_timeout: done", "on_timeout: hello", "11: steps.paid: 'hello' does not come after it"),
        ("{short: 25%, long: 75%}", "{long: 100%}", "9: steps.short: no way leads here"),
        ("spring-paper.html", "spring-papre.html", "6: no template 'spring-papre.html'"),
        ("segment: everybody", "segment: everyone", "3: no segment 'everyone'"),
        ("topic: promotions", "topic: promotion", "2: no topic 'promotion'"),
        ("owner: owner", "owner: anna", "14: no employee 'anna'"),
        ("task: {title: Call, owner: owner}", "webhook: {endpoint: crm}", "14: no endpoint 'crm'"),
        ("{from: offers}", "{from: ofers}", "4: no sender 'ofers'"),
        ("send: {from: offers}", "description: x", "6: steps.hello: nobody is named who writes"),
        ('since="step"', 'since="stop"', "11: since of did is 'enrolment' or 'step'"),
        ('country == "DE"', "country == ", "12: "),
        ("{segment: everybody}", "{segment: everybody, again: always}", "3: enrol: who stays in the segment"),
        ("{segment: everybody}", '{event: x, where: \'did("y", since="step")\'}', "3: no step has begun here"),
        ("{exit: finished}", "{exit: finished, wait: 3d}", "9: steps.short: expected exactly one of send, wait"),
        ("{segment: everybody}", "{by: api}\nlimits: {max_audience: 5}", "4: limits.max_audience means nothing"),
        ("{segment: everybody}", "{event: x}\nlimits: {max_audience: 5}", "4: limits.max_audience means nothing"),
        ("note: {", "note: {renamed_from: hello, ", "13: steps.note: 'hello' is still a step"),
    ],
)
def test_each_mistake_is_named_with_its_line(tmp_path: Path, old: str, new: str, expected: str) -> None:
    """
    One thing wrong is one message, at its line.
    """
    assert old in GOOD
    found = mistakes(tmp_path, GOOD.replace(old, new, 1))

    assert 1 == len(found), found
    assert found[0].startswith(expected)


def test_chance_leads_the_same_customer_the_same_way() -> None:
    """
    A quarter of many goes the short way, whoever asks and however the shares are ordered.
    """
    shares = {"short": 0.25, "long": 0.75}
    ways = [arm(shares, "nurture", "parts", customer) for customer in range(4000)]

    assert ways == [arm(dict(reversed(shares.items())), "nurture", "parts", customer) for customer in range(4000)]
    assert 0.22 < ways.count("short") / 4000 < 0.28


@pytest.mark.parametrize(
    ("wait", "zone", "nominal", "expected"),
    [
        ("3d", "Europe/Berlin", "2026-03-27T08:00", "2026-03-30T07:00"),  # a clock change lies between
        ("72h", "Europe/Berlin", "2026-03-27T08:00", "2026-03-30T08:00"),
        ('{until: "09:00"}', "Asia/Shanghai", "2026-03-02T12:00", "2026-03-03T01:00"),
        ('{until: "09:00"}', None, "2026-03-02T12:00", "2026-03-03T09:00"),  # nobody knows where: the organisation's
        ('{until: "09:00"}', "UTC", "2026-03-02T09:00", "2026-03-03T09:00"),  # who comes at nine
        ('{until: "09:00", on: [fri]}', "UTC", "2026-03-02T12:00", "2026-03-06T09:00"),
        ('{until: "09:00", zone: America/New_York}', "Asia/Shanghai", "2026-03-02T12:00", "2026-03-02T14:00"),
    ],
)
def test_a_wait_ends_by_the_clock_of_the_customer(wait: str, zone: str | None, nominal: str, expected: str) -> None:
    """
    Days are calendar days where the customer lives, hours are absolute, and times of day are theirs.
    """
    document = parse_document(sequence(f"pause: {{wait: {wait}}}"), Document("x.yaml"))
    file = build(SequenceFile, document)
    assert file is not None
    begun = datetime.fromisoformat(nominal).replace(tzinfo=UTC)
    rest = Clock("UTC", begun).rest(file.steps["pause"], zone, begun)

    assert datetime.fromisoformat(expected).replace(tzinfo=UTC) == rest.due_at == rest.nominal


def test_a_wait_until_a_time_that_is_long_over_ends_at_the_next_one() -> None:
    """
    Brought to it days late, as after a pause, nobody is written to in the middle of the night.
    """
    document = parse_document(sequence('pause: {wait: {until: "09:00"}}'), Document("x.yaml"))
    file = build(SequenceFile, document)
    assert file is not None
    clock = Clock("UTC", datetime(2026, 3, 9, 3, tzinfo=UTC))

    assert (
        datetime(2026, 3, 9, 9, tzinfo=UTC)
        == clock.rest(file.steps["pause"], None, datetime(2026, 3, 2, tzinfo=UTC)).due_at
    )
