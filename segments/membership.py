"""Who is in a segment: a name or an expression becomes one SELECT, and segments are checked all together."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime

from sqlalchemy import FromClause, Select

from core.errors import ExpressionError, Problem
from core.field_types import NAME_PATTERN
from core.names import did_you_mean, near_miss
from segments.definition import Segment
from segments.expression import Reading, read
from segments.fields import FIELDS
from segments.functions import FUNCTIONS
from segments.mistakes import Mistake, as_error, as_problem
from segments.to_sql import customer_ids, passage_ids
from segments.tree import All, AnyOf, Condition, Did, InSegment, Measured, Not
from segments.vocabulary import Vocabulary

__all__ = [
    "Rule", "Vocabulary", "audience", "behaviours_in", "check_segments", "passing", "rule", "rule_mistakes",
    "segments_named", "segments_used",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rule:
    """A checked condition and the segments it needs, each after those it refers to itself."""

    text: str
    condition: Condition
    segments: Mapping[str, Condition]


def audience(name_or_expression: str, vocabulary: Vocabulary, *, now: datetime) -> Select[tuple[int]]:
    """The customers a segment or an expression selects at `now`: one statement, one column `customer_id`.

    Raises:
        ExpressionError: with the line, a caret under the place, and a suggestion.
    """
    found = rule(name_or_expression, vocabulary)
    return customer_ids(found.condition, found.segments, now=now)


def rule_mistakes(text: str, vocabulary: Vocabulary) -> tuple[Mistake, ...]:
    """Everything that is wrong with a rule that stands in a file; nothing where it is a segment's name."""
    return () if text.strip() in vocabulary.segments else read(text, vocabulary).mistakes


def passing(text: str, vocabulary: Vocabulary, passages: FromClause, *, now: datetime) -> Select[tuple[int]]:
    """Those of the passages through a sequence whose customers a rule selects at `now`: one column, `id`.

    `passages`: as `to_sql.passage_ids` takes them.

    Raises:
        ExpressionError: as `audience` does.
    """
    found = rule(text, vocabulary)
    return passage_ids(found.condition, found.segments, passages, now=now)


def rule(name_or_expression: str, vocabulary: Vocabulary) -> Rule:
    """The checked rule behind a segment's name or an expression.

    Raises:
        ExpressionError: as `audience` does; a mistake in a segment is located in its file.
    """
    text = re.sub(r"\r\n?", "\n", name_or_expression.strip())
    if text in vocabulary.segments:
        condition = InSegment(text)
        segments = _in_order(condition, vocabulary)
        return Rule(text, segments.pop(text), segments)
    reading = read(text, vocabulary)
    if reading.condition is None:
        raise _unknown_name(text, vocabulary) or as_error(reading.mistakes, text)
    return Rule(text, reading.condition, _in_order(reading.condition, vocabulary))


def _unknown_name(text: str, vocabulary: Vocabulary) -> ExpressionError | None:
    """The better error for a text that was surely meant as a segment's name."""
    if not re.fullmatch(NAME_PATTERN, text) or text in FIELDS or text in FUNCTIONS:
        return None
    if "-" not in text and near_miss(text, vocabulary.segments) is None and near_miss(text, FIELDS):
        return None
    return ExpressionError(f"no segment is named {text!r}", hint=did_you_mean(text, vocabulary.segments))


# --- segments that refer to segments ---------------------------------------------------------------


def _references(condition: Condition) -> Iterator[InSegment]:
    match condition:
        case All(parts) | AnyOf(parts):
            for part in parts:
                yield from _references(part)
        case Not(part):
            yield from _references(part)
        case InSegment():
            yield condition


def segments_named(text: str, vocabulary: Vocabulary) -> frozenset[str]:
    """The segments that the rule `text` names, or is. A rule with mistakes names none."""
    if text.strip() in vocabulary.segments:
        return frozenset({text.strip()})
    condition = read(text, vocabulary).condition
    return frozenset(reference.name for reference in _references(condition)) if condition else frozenset()


def behaviours_in(text: str, vocabulary: Vocabulary) -> Iterator[Did | Measured]:
    """Where the rule itself asks whether, when or how often customers did something. A segment's name asks nothing, and
    neither does a rule with mistakes."""
    return _behaviours(None if text.strip() in vocabulary.segments else read(text, vocabulary).condition)


def _behaviours(part: object) -> Iterator[Did | Measured]:
    if isinstance(part, Did | Measured):
        yield part
    elif isinstance(part, tuple):
        yield from (asked for each in part for asked in _behaviours(each))
    elif is_dataclass(part):
        yield from _behaviours(tuple(getattr(part, each.name) for each in fields(part)))


def segments_used(names: Iterable[str], vocabulary: Vocabulary) -> frozenset[str]:
    """The segments called `names`, and every segment their rules ask for, directly or through another.

    A name that no segment has is left out. A rule with mistakes asks for nothing.
    """
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found or name not in vocabulary.segments:
            continue
        found.add(name)
        condition = read(vocabulary.segments[name].where, vocabulary.plain).condition
        waiting += [reference.name for reference in _references(condition)] if condition else []
    return frozenset(found)


def _in_order(condition: Condition, vocabulary: Vocabulary) -> dict[str, Condition]:
    """Every segment the condition needs, each read once, in an order in which references point backwards.

    Walks with a list of its own, so a long chain of segments cannot exhaust the stack.
    """
    done: dict[str, Condition] = {}
    opened: dict[str, Condition] = {}
    waiting = [reference.name for reference in _references(condition)]
    while waiting:
        name = waiting[-1]
        if name in done:
            waiting.pop()
            continue
        if name in opened:
            done[name] = opened.pop(name)
            waiting.pop()
            continue
        opened[name] = _read_segment(vocabulary.segments[name], vocabulary)
        for reference in _references(opened[name]):
            if reference.name in opened:
                raise _cycle_error(name, reference, vocabulary)
            waiting.append(reference.name)
    return done


def _read_segment(segment: Segment, vocabulary: Vocabulary) -> Condition:
    if segment.broken:
        raise ExpressionError(
            f"the segment {segment.name!r} cannot be used: its file holds mistakes",
            hint="`clarion validate` lists them",
            where=segment.file,
        )
    reading = read(segment.where, vocabulary.plain)
    if reading.condition is None:
        raise as_error(reading.mistakes, segment.where, file=segment.file, first_line=segment.where_line)
    return reading.condition


def _cycle_error(name: str, reference: InSegment, vocabulary: Vocabulary) -> ExpressionError:
    segment = vocabulary.segments[name]
    mistake = _cycle_mistake(name, reference)
    return as_error([mistake], segment.where, file=segment.file, first_line=segment.where_line)


def _cycle_mistake(name: str, reference: InSegment) -> Mistake:
    if name == reference.name:
        return Mistake(reference.at, f"the segment {name!r} refers to itself", "remove one reference")
    message = f"the segment {name!r} refers to {reference.name!r}, which leads back to it"
    return Mistake(reference.at, message, "remove one of the references")


def check_segments(vocabulary: Vocabulary) -> list[Problem]:
    """Every mistake in every segment's expression, and every reference that leads back to where it began."""
    usable = {name: segment for name, segment in vocabulary.segments.items() if not segment.broken}
    readings = {name: read(segment.where, vocabulary) for name, segment in usable.items()}
    mistakes = [(name, mistake) for name, reading in readings.items() for mistake in reading.mistakes]
    mistakes += _cycles(readings)
    return sorted(
        as_problem(mistake, usable[name].where, usable[name].file, usable[name].where_line)
        for name, mistake in mistakes
    )


def _cycles(readings: Mapping[str, Reading]) -> Iterator[tuple[str, Mistake]]:
    """Every reference from a segment to one from which that segment can be reached again."""
    references = {
        name: list(_references(reading.condition)) if reading.condition else [] for name, reading in readings.items()
    }
    reached = {name: _reachable(name, references) for name in references}
    for name, found in references.items():
        for reference in found:
            if reference.name == name or name in reached.get(reference.name, ()):
                yield name, _cycle_mistake(name, reference)


def _reachable(name: str, references: Mapping[str, list[InSegment]]) -> set[str]:
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        for reference in references.get(waiting.pop(), ()):
            if reference.name not in seen:
                seen.add(reference.name)
                waiting.append(reference.name)
    return seen
