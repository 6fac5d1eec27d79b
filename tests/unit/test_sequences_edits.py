"""What is different between two definitions of a sequence, and what the file must explain to whom."""

import re
from pathlib import Path
from typing import Any

from campaigns.sequences.crowds import Crowd
from campaigns.sequences.definition import SequenceFile
from campaigns.sequences.edits import Edits, Flow
from campaigns.sequences.fates import Fate, Lot, came_before, lots, unexplained
from campaigns.sequences.mistakes import edit_mistakes
from campaigns.sequences.telling import Effect
from core.yaml_files import Document, build, parse_document

STEPS: dict[str, Any] = {
    "hello": {"send": {"template": "hello.html"}},
    "pause": {"wait": "3d"},
    "nudge": {"send": {"template": "nudge.html"}},
    "rest": {"wait": "5d"},
    "last": {"send": {"template": "last.html"}},
}


def sequence_of(steps: dict[str, Any], **more: Any) -> SequenceFile:
    """A sequence of these steps."""
    given = {"kind": "sequence", "topic": "news", "enrol": {"by": "api"}, "send": {"from": "offers"}, "steps": steps}
    return SequenceFile.model_validate(given | more)


def edited(steps: dict[str, Any], before: dict[str, Any] | None = None, **more: Any) -> Edits:
    """The linear sequence, or `before`, edited to these steps."""
    return Edits(sequence_of(before or STEPS), sequence_of(steps, **more))


def reordered(*names: str, **changed: Any) -> dict[str, Any]:
    """The steps of these names, in this order."""
    return {name: changed.get(name, STEPS.get(name)) for name in names}


def waiting(**people: int) -> dict[str, Crowd]:
    """So many people wait at these steps."""
    return {step: Crowd(step, number, number) for step, number in people.items()}


def asked(edits: Edits, crowds: dict[str, Crowd], did: dict[tuple[str, str], int] | None = None) -> list[str]:
    """What the file would have to explain."""
    return [one.message for one in unexplained(edits, lots(edits, crowds), did or {})]


def test_flow_knows_what_lies_ahead():
    """
    Both ways of a branch lie ahead of it, and neither ahead of the other.
    """
    flow = Flow(
        sequence_of(
            {
                "which": {"branch": [{"when": "true", "go": "call"}, {"go": "mail"}]},
                "call": {"task": {"title": "Call"}, "next": "done"},
                "mail": {"send": {"template": "mail.html"}},
                "done": {"exit": "finished"},
            }
        )
    )

    assert {"which", "call", "mail", "done"} == flow.ahead("which")
    assert {"call", "done"} == flow.ahead("call")
    assert not flow.leads("call", "mail")


def test_edits_follow_a_renamed_step():
    """
    A renamed step is neither gone nor added, and ways that name it are what they were.
    """
    before = STEPS | {"which": {"branch": [{"when": "true", "go": "bye"}]}, "bye": {"exit": "finished"}}
    after = STEPS | {
        "which": {"branch": [{"when": "true", "go": "farewell"}]},
        "farewell": {"exit": "finished", "renamed_from": "bye"},
    }
    edits = edited(after, before)

    assert ({"bye": "farewell"}, (), ()) == (edits.renamed, edits.gone, edits.added)
    assert not edits.is_decided_anew("which")


def test_edits_tell_a_new_length_from_a_new_way():
    """
    A wait of another length is re-timed; one that leads elsewhere when its time is up is decided anew.
    """
    before = STEPS | {"pause": {"wait": {"for": "true", "timeout": "3d"}}}
    longer = edited(before | {"pause": {"wait": {"for": "true", "timeout": "4d"}}}, before)
    elsewhere = edited(before | {"pause": {"wait": {"for": "true", "timeout": "3d", "on_timeout": "last"}}}, before)

    assert (True, False) == (longer.is_retimed("pause"), longer.is_decided_anew("pause"))
    assert (False, True) == (elsewhere.is_retimed("pause"), elsewhere.is_decided_anew("pause"))


def test_a_removed_step_needs_a_word_where_people_wait():
    """
    A step that is gone has to be explained to those who wait there, and to nobody where nobody does.
    """
    edits = edited(reordered("hello", "nudge", "rest", "last"))
    (question,) = unexplained(edits, lots(edits, waiting(pause=1204)), {})

    assert "steps: 'pause' is gone, and 1,204 people wait there" == question.message
    assert "when_removed: {pause: …} with {move: nudge}, exit, or finish" in question.hint
    assert [] == asked(edits, waiting(hello=3, rest=5))


def test_a_removed_step_is_as_the_file_says():
    """
    Who waits at a step that is gone is moved, leaves, or finishes as they began.
    """
    steps, there = reordered("hello", "nudge", "rest", "last"), waiting(pause=3)
    moved = edited(steps, when_removed={"pause": {"move": "rest"}})
    left = edited(steps, when_removed={"pause": "exit"})
    kept = edited(steps, when_removed={"pause": "finish"})

    assert [Lot("pause", there["pause"], Fate.MOVED, "rest")] == lots(moved, there)
    assert [Lot("pause", there["pause"], Fate.EXITS, None)] == lots(left, there)
    assert [Lot("pause", there["pause"], Fate.FINISHES, None)] == lots(kept, there)
    assert [] == asked(moved, there) + asked(left, there) + asked(kept, there)


def test_another_order_needs_a_word_where_it_matters():
    """
    Another order has to be explained to who would miss a step, or come again to one that some of them did.
    """
    edits = edited(reordered("hello", "rest", "nudge", "pause", "last"))
    crowds = waiting(hello=1, pause=2, rest=3)
    pairs = set(came_before(edits, lots(edits, crowds)))

    assert {("rest", "pause"), ("rest", "nudge")} == pairs
    assert [
        "steps.pause: the order changed, and 2 people wait here: they would not come to 'nudge', 'rest' any more",
        "steps.rest: the order changed, and 3 people wait here: they would come to 'nudge' again",
    ] == asked(edits, crowds, {("rest", "nudge"): 3})


def test_another_order_is_as_the_file_says():
    """
    Who waits between steps that changed places stays, is moved, leaves or finishes, as the file says.
    """
    steps = reordered("hello", "rest", "nudge", "pause", "last")
    edits = edited(steps, when_reordered={"pause": "stay", "rest": {"move": "last"}})
    found = lots(edits, waiting(pause=2, rest=3))

    assert [(Fate.STAYS, "pause"), (Fate.MOVED, "last")] == [(lot.fate, lot.to) for lot in found]
    assert [] == list(unexplained(edits, found, {}))


def test_a_word_on_an_earlier_order_is_not_taken_for_this_edit():
    """
    `when_reordered` that stays in the file lets nobody out by a later edit of a text.
    """
    later = STEPS | {"last": {"send": {"template": "other.html"}}}
    found = lots(edited(later, when_reordered={"pause": "exit"}), waiting(pause=2))

    assert [(Fate.STAYS, "pause")] == [(lot.fate, lot.to) for lot in found]


def test_nobody_is_sent_back_before_a_decision():
    """
    Whoever went through a branch cannot be moved to a step before it: the way they went was decided for good.
    """
    before = {
        "which": {"branch": [{"when": "true", "go": "rest"}]},
        "pause": {"wait": "3d"},
        "rest": {"wait": "5d"},
        "last": {"send": {"template": "last.html"}},
    }
    after = {"pause": before["pause"], "which": before["which"], "last": before["last"], "rest": before["rest"]}
    del after["rest"]
    after["which"] = {"branch": [{"when": "true", "go": "last"}]}
    edits = edited(after, before, when_removed={"rest": {"move": "pause"}})

    assert [
        "when_removed.rest: of the people there (7) some went through 'which' already, and would come to it again "
        "from 'pause'"
    ] == asked(edits, waiting(rest=7), {("rest", "which"): 7})


def test_lost_steps_are_those_that_lay_ahead():
    """
    Who waits before a step that is gone does not come to it any more; who is past it loses nothing.
    """
    edits = edited(reordered("hello", "pause", "rest", "last"))

    assert ("nudge",) == edits.lost("pause", "pause")
    assert () == edits.lost("rest", "rest")


def read(content: str) -> tuple[SequenceFile | None, list[str]]:
    """A file of a sequence, and what is wrong in it with what it says of edits."""
    document = parse_document(content, Document("campaigns/nurture.yaml"))
    definition = build(SequenceFile, document)
    return definition, [problem.message for problem in [*document.problems, *edit_mistakes(document)]]


def page() -> str:
    """docs/live-edits.md."""
    return (Path(__file__).parents[2] / "docs" / "live-edits.md").read_text(encoding="utf-8")


def test_the_example_of_the_page_is_a_sequence():
    """
    What docs/live-edits.md shows of a file can be written so.
    """
    (example,) = re.findall(r"```yaml\n(.*?)```", page(), re.DOTALL)
    definition, problems = read(example)

    assert [] == problems
    assert definition is not None
    assert {"move": "nudge"} == definition.when_removed["pause"].model_dump()


def test_the_page_tells_every_effect():
    """
    docs/live-edits.md explains each effect that a plan may name, and no other.
    """
    table = page().split("| effect | means |")[1].split("\n\n")[0]
    told = re.findall(r"`([a-z_]+)`", "\n".join(row.split("|")[1] for row in table.splitlines()[2:]))

    assert {str(effect) for effect in Effect} == set(told)


def test_what_a_file_says_of_people_speaks_of_the_right_steps():
    """
    A choice for a removed step that is still there, for a moved one that is not, or to no step at all, is a mistake.
    """
    _, problems = read("""
kind: sequence
topic: news
enrol: {by: api}
when_removed: {nudge: exit, gone: {move: nowhere}}
when_reordered: {nugde: stay}
steps:
  nudge: {exit: finished}
""")

    assert [
        "when_removed: 'nudge' is still a step",
        "when_removed.gone: no step 'nowhere'",
        "when_reordered: no step 'nugde'",
    ] == problems
