"""Edits of a live sequence with people in it: the files before and after, for the table of docs/live-edits.md."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

HEAD: Final = {"kind": "sequence", "topic": "promotions", "enrol": "{by: api}", "send": "{from: offers}"}
STEPS: Final = {
    "hello": "{send: {template: hello.html}}",
    "pause": "{wait: 3d}",
    "nudge": "{send: {template: nudge.html}}",
    "rest": "{wait: 5d}",
    "last": "{send: {template: last.html}}",
}
_FORKED: Final = {
    "hello": "{send: {template: hello.html}}",
    "pause": "{wait: 3d}",
    "which": "{branch: [{when: 'country == \"DE\"', go: gift}, {go: offer}]}",
    "gift": "{send: {template: nudge.html}, next: rest}",
    "offer": "{send: {template: offer.html}}",
    "rest": "{wait: 5d}",
    "last": "{send: {template: last.html}}",
}
_SPLIT: Final = _FORKED | {"which": "{split: {gift: 100%, offer: 0%}}"}


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit. `after`: the steps as they are then; None: as before. `head`: other lines that change, or are new."""

    what: str
    after: Mapping[str, str] | None = None
    before: Mapping[str, str] = field(default_factory=lambda: STEPS)
    head: Mapping[str, str] = field(default_factory=dict)
    is_removed: bool = False


def text_of(steps: Mapping[str, str], head: Mapping[str, str]) -> str:
    """The file of a sequence."""
    lines = [f"{key}: {value}" for key, value in (HEAD | head).items()]
    return "\n".join([*lines, "steps:", *(f"  {name}: {step}" for name, step in steps.items())]) + "\n"


def _without(*names: str) -> dict[str, str]:
    return {name: step for name, step in STEPS.items() if name not in names}


def _inserted(after: str, name: str, step: str) -> dict[str, str]:
    """The steps, with one more."""
    steps = {}
    for each, content in STEPS.items():
        steps[each] = content
        if each == after:
            steps[name] = step
    return steps


def _ordered(*names: str) -> dict[str, str]:
    return {name: STEPS[name] for name in names}


_RENAMED: Final = {
    ("reminder" if name == "nudge" else name): (
        "{send: {template: nudge.html}, renamed_from: nudge}" if name == "nudge" else step
    )
    for name, step in STEPS.items()
}
_OTHER_ORDER: Final = _ordered("hello", "rest", "nudge", "pause", "last")

EDITS: Final = (
    Edit("none, to compare with"),
    Edit("the template of `last`", STEPS | {"last": "{send: {template: other.html}}"}),
    Edit("the subject of `nudge`", STEPS | {"nudge": "{send: {template: nudge.html, subject: Soon}}"}),
    Edit("`pause` is longer: 6d", STEPS | {"pause": "{wait: 6d}"}),
    Edit("`rest` is shorter: 2d", STEPS | {"rest": "{wait: 2d}"}),
    Edit("`pause` is of another kind: until 09:00", STEPS | {"pause": '{wait: {until: "09:00"}}'}),
    Edit(
        '`pause` waits for `did("paid")`, at most 4d',
        STEPS | {"pause": '{wait: {for: \'did("paid", since="step")\', timeout: 4d}}'},
    ),
    Edit("`tip` is added after `pause`", _inserted("pause", "tip", "{send: {template: offer.html}}")),
    Edit("`nudge` is removed, where nobody waits", _without("nudge")),
    Edit("`pause` is removed, and nothing said", _without("pause")),
    Edit("`when_removed: {pause: {move: nudge}}`", _without("pause"), head={"when_removed": "{pause: {move: nudge}}"}),
    Edit("`when_removed: {pause: exit}`", _without("pause"), head={"when_removed": "{pause: exit}"}),
    Edit("`when_removed: {pause: finish}`", _without("pause"), head={"when_removed": "{pause: finish}"}),
    Edit("`nudge` becomes `reminder`: `renamed_from: nudge`", _RENAMED),
    Edit("`rest` comes before `nudge` and `pause`, and nothing is said", _OTHER_ORDER),
    Edit(
        "the same, with `when_reordered: {pause: stay, rest: stay}`",
        _OTHER_ORDER,
        head={"when_reordered": "{pause: stay, rest: stay}"},
    ),
    Edit(
        "the condition of a branch",
        _FORKED | {"which": "{branch: [{when: 'country == \"AT\"', go: gift}, {go: offer}]}"},
        before=_FORKED,
    ),
    Edit("the shares of a split", _FORKED | {"which": "{split: {gift: 0%, offer: 100%}}"}, before=_SPLIT),
    Edit("`exit_when` is new, and holds for one of them", STEPS, head={"exit_when": "'attributes.lost == true'"}),
    Edit("the topic, which only one of them agreed to", STEPS, head={"topic": "news"}),
    Edit("who enters: `enrol: {segment: swiss, mode: once}`", STEPS, head={"enrol": "{segment: swiss, mode: once}"}),
    Edit("the file is removed", is_removed=True),
)
