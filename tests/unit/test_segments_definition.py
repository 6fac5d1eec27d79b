"""Segment files, and the references between them."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from core.errors import ExpressionError
from core.workspace import Workspace
from customers.tiers import LEVELS
from segments.definition import Segment, load_segments
from segments.fields import FIELDS
from segments.membership import Vocabulary, audience, check_segments, segments_used
from segments.vocabulary import read_vocabulary

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
DRIFTING = """\
# yaml-language-server: $schema=../.clarion/schemas/segment.json
description: Big customers who have gone quiet
where: >

  tier in ["top", "big"]
  and last_order_at is older_than("90d")

  and contry == "DE"
"""
MakeWorkspace = Callable[..., Workspace]


def _vocabulary(**where: str) -> Vocabulary:
    names = {name.replace("_", "-"): text for name, text in where.items()}
    segments = {name: Segment(name, f"segments/{name}.yaml", text) for name, text in names.items()}
    return Vocabulary(segments, frozenset({"promotions"}), frozenset())


def test_a_segment_keeps_the_lines_of_its_file(make_workspace: MakeWorkspace) -> None:
    """
    A folded expression is read as its lines stand in the file, so that mistakes have a line.
    """
    workspace = make_workspace(files={"segments/drifting.yaml": DRIFTING})
    segments, problems = load_segments(workspace)

    assert [] == problems
    assert (5, "Big customers who have gone quiet") == (
        segments["drifting"].where_line,
        segments["drifting"].description,
    )
    assert 'tier in ["top", "big"]\nand last_order_at is older_than("90d")\n\nand contry == "DE"' == (
        segments["drifting"].where
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('where: contry == "DE"\n', 1),
        ("description: x\nwhere: 'contry == \"DE\"'\n", 2),
        ('where: |\n  tier == "top" and\n  contry == "DE"\n', 3),
        ('where: tier == "top"\n  and contry == "DE"\n', 2),
        ('where: >-\n    tier == "top"\n      or contry == "DE"\ndescription: x\n', 3),
        ('where: "tier == \\"top\\" and contry == \\"DE\\""\n', 1),
    ],
    ids=["inline", "quoted", "literal", "continued", "folded", "escaped"],
)
def test_a_mistake_is_located_in_its_file(make_workspace: MakeWorkspace, text: str, line: int) -> None:
    """
    Whichever way YAML writes the expression, the problem names the line that holds the mistake.
    """
    vocabulary, _ = read_vocabulary(make_workspace(files={"segments/a.yaml": text}))
    (problem,) = check_segments(vocabulary)

    assert ("segments/a.yaml", line, "did you mean 'country'?") == (problem.file, problem.line, problem.hint)
    place, caret = problem.excerpt.splitlines()
    assert "contry" == place[caret.index("^") :][:6]


def test_a_problem_in_a_segment_shows_file_line_and_caret(make_workspace: MakeWorkspace) -> None:
    """
    The report reads like a compiler's.
    """
    vocabulary, _ = read_vocabulary(make_workspace(files={"segments/drifting.yaml": DRIFTING}))
    expected = (
        "segments/drifting.yaml:8: unknown name 'contry'\n"
        '    and contry == "DE"\n'
        "        ^\n"
        "    hint: did you mean 'country'?"
    )

    assert [expected] == list(map(str, check_segments(vocabulary)))


def test_problems_of_files_are_reported_all_at_once(make_workspace: MakeWorkspace) -> None:
    """
    A wrong key, a missing rule, a bad name, a second file of a name, and broken YAML are five problems.
    """
    files = {
        "segments/a.yaml": "wher: 'true'\nwhere: 'true'\n",
        "segments/b.yaml": "description: x\n",
        "segments/Big One.yaml": "where: 'true'\n",
        "segments/more/d.yaml": "where: 'true'\n",
        "segments/d.yaml": "where: 'true'\n",
        "segments/e.yaml": "where: 'true\n",
    }
    segments, problems = load_segments(make_workspace(files=files))

    assert ["Big One.yaml", "a.yaml", "b.yaml", "e.yaml"] == sorted(
        problem.file.removeprefix("segments/") for problem in problems if "second segment" not in problem.message
    )
    assert 1 == sum("a second segment named 'd'" in problem.message for problem in problems)
    assert ["Big One", "a", "b", "e"] == sorted(name for name, found in segments.items() if found.broken)


def test_a_broken_file_is_one_problem_and_not_two(make_workspace: MakeWorkspace) -> None:
    """
    A segment that refers to one whose file is broken is not called a mistake too, but cannot be used.
    """
    files = {"segments/a.yaml": "where: [1]\n", "segments/b.yaml": "where: in_segment('a')\n"}
    vocabulary, problems = read_vocabulary(make_workspace(files=files))

    assert 1 == len(problems)
    assert [] == check_segments(vocabulary)
    with pytest.raises(ExpressionError, match="its file holds mistakes"):
        audience("b", vocabulary, now=NOW)


# --- references --------------------------------------------------------------------------------------


def test_a_cycle_is_a_problem_of_every_segment_in_it() -> None:
    """
    Each reference that leads back is reported once, and a segment outside the cycle is not.
    """
    vocabulary = _vocabulary(
        a='in_segment("b")', b='true and in_segment("c")', c='not in_segment("a")', d='in_segment("a")'
    )
    problems = check_segments(vocabulary)

    assert ["segments/a.yaml", "segments/b.yaml", "segments/c.yaml"] == [problem.file for problem in problems]
    assert "the segment 'a' refers to 'b', which leads back to it" == problems[0].message
    assert 'true and in_segment("c")\n         ^' == problems[1].excerpt


@pytest.mark.parametrize("name", ["a", "b", 'in_segment("a")', "loop"])
def test_a_cycle_cannot_be_compiled(name: str) -> None:
    """
    A segment within a cycle is refused by name and by reference.
    """
    vocabulary = _vocabulary(a='in_segment("b")', b='in_segment("a")', loop='in_segment("loop")')

    with pytest.raises(ExpressionError, match=r"leads back|refers to itself"):
        audience(name, vocabulary, now=NOW)


def test_a_segment_asked_for_often_is_compiled_once() -> None:
    """
    Twenty layers that each refer twice to the one below make twenty subqueries, not a million.
    """
    layers = {f"s{n}": f'in_segment("s{n - 1}") or not in_segment("s{n - 1}")' for n in range(1, 21)}
    text = str(audience("s20", _vocabulary(s0='tier == "top"', **layers), now=NOW))

    assert 1 == text.count("pyramid")
    assert 20 == text.count(" AS \n(SELECT")


def test_a_long_chain_of_segments_is_compiled() -> None:
    """
    Five hundred segments, each referring to the next, do not exhaust the stack.
    """
    chain = {f"s{n}": f'in_segment("s{n + 1}")' for n in range(500)}

    assert "segment_s1 " in str(audience("s0", _vocabulary(**chain, s500="true"), now=NOW))


def test_segments_used_are_those_the_rules_ask_for() -> None:
    """
    References are found however they are written, through other segments and in circles; texts that look like one,
    unknown names and rules with mistakes add nothing.
    """
    vocabulary = _vocabulary(
        a="tier == 'top' and not (true and in_segment ( 'b' ))",
        b="in_segment('c') or in_segment('d')",
        c="in_segment('b') or company == 'in_segment(\"e\")'",
        d="in_segment('e') and contry == 'DE'",
        e="true",
    )

    assert {"a", "b", "c", "d"} == segments_used(["a", "nobody"], vocabulary)
    assert {"e"} == segments_used(["e"], vocabulary)


def test_a_mistake_in_a_referenced_segment_names_its_file() -> None:
    """
    The error of an expression that uses a wrong segment points into the segment's file.
    """
    vocabulary = _vocabulary(a='\ncontry == "DE"')

    with pytest.raises(ExpressionError) as caught:
        audience('in_segment("a")', vocabulary, now=NOW)
    assert "segments/a.yaml:2" == caught.value.where


def test_a_name_means_the_segment() -> None:
    """
    A text that is exactly a segment's name is never read as an expression.
    """
    vocabulary = _vocabulary(email="order_count > 3")

    assert "order_count" in str(audience("email", vocabulary, now=NOW))


def test_an_unusable_segment_is_refused() -> None:
    """
    A segment marked broken has no rule to compile.
    """
    vocabulary = _vocabulary(a="true")
    broken = replace(vocabulary.segments["a"], broken=True)

    with pytest.raises(ExpressionError, match="cannot be used"):
        audience("a", replace(vocabulary, segments={"a": broken}), now=NOW)


def test_the_levels_are_those_the_metrics_give() -> None:
    """
    Expressions know exactly the levels that customers can have.
    """
    fields = {"pyramid": "tier", "abc": "abc", "rfm": "rfm", "quadrant": "quadrant"}

    assert {scheme: set(levels) for scheme, levels in LEVELS.items()} == {
        scheme: set(FIELDS[name].levels) for scheme, name in fields.items()
    }


def test_a_truth_value_needs_no_quotes(make_workspace: MakeWorkspace) -> None:
    """
    `where: true`, which YAML reads as no text, is everybody.
    """
    segments, problems = load_segments(make_workspace(files={"segments/all.yaml": "where: true\n"}))

    assert ([], "true") == (problems, segments["all"].where)
