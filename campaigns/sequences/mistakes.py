"""What can be wrong in a file of a sequence beside its values: names nobody knows, moves that go back, dead steps.

Works on the raw content, so that it speaks beside other mistakes.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from campaigns.sequences.definition import KIND
from campaigns.sequences.steps import OWNER
from core.errors import Problem
from core.names import did_you_mean
from core.units import quoted
from core.yaml_files import Document, Path_
from segments.membership import rule_mistakes
from segments.mistakes import as_problem
from segments.vocabulary import Vocabulary


class Names(Protocol):
    """The names that clarion.yaml defines."""

    topics: frozenset[str]
    senders: frozenset[str]
    transports: frozenset[str]
    staff: frozenset[str]
    endpoints: frozenset[str]


def is_sequence(document: Document) -> bool:
    """Whether the file says that it is one."""
    return isinstance(document.content, dict) and document.content.get("kind") == KIND


def templates_sent(document: Document) -> Iterator[str]:
    """The templates its send steps name."""
    for name in _steps(document):
        template = _at(document.content, ("steps", name, "send", "template"))
        if isinstance(template, str):
            yield template


def sequence_mistakes(
    documents: Mapping[str, Document], vocabulary: Vocabulary, names: Names, templates: Mapping[str, object]
) -> Iterator[Problem]:
    """Every such mistake of every sequence. `vocabulary`: that of rules within sequences."""
    for document in documents.values():
        yield from _unknown_names(document, vocabulary, names, templates)
        yield from _unasked_limit(document)
        yield from _rules(document, vocabulary)
        yield from _moves(document)
        yield from _dead_steps(document)
        yield from edit_mistakes(document)


def _steps(document: Document) -> list[str]:
    """The names of the steps whose content can be looked at."""
    steps = _at(document.content, ("steps",))
    return [name for name, step in steps.items() if isinstance(step, dict)] if isinstance(steps, dict) else []


def _at(content: Any, path: Path_) -> Any:
    """What stands at `path`; None where there is nothing of that kind."""
    for part in path:
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):
            return None
    return content


def _listed(content: Any, path: Path_) -> list[Path_]:
    """The places of the items of the list at `path`."""
    found = _at(content, path)
    return [(*path, index) for index in range(len(found))] if isinstance(found, list) else []


# --- names -------------------------------------------------------------------------------------------------------


def _unknown_names(
    document: Document, vocabulary: Vocabulary, names: Names, templates: Mapping[str, object]
) -> Iterator[Problem]:
    content, mailings = document.content, [name for name in templates if "/" not in name] or list(templates)
    wanted: list[tuple[Path_, str, Iterable[str], Iterable[str]]] = [
        (("topic",), "topic", names.topics, names.topics),
        (("enrol", "segment"), "segment", vocabulary.segments, vocabulary.segments),
        (("send", "from"), "sender", names.senders, names.senders),
        (("send", "transport"), "transport", names.transports, names.transports),
    ]
    excluded = _listed(content, ("enrol", "exclude"))
    wanted += [(path, "segment", vocabulary.segments, vocabulary.segments) for path in excluded]
    for name in _steps(document):
        here = ("steps", name)
        staff = names.staff | {OWNER}
        wanted += [
            ((*here, "send", "template"), "template", templates, mailings),
            ((*here, "send", "from"), "sender", names.senders, names.senders),
            ((*here, "send", "transport"), "transport", names.transports, names.transports),
            ((*here, "task", "owner"), "employee", staff, staff),
            ((*here, "webhook", "endpoint"), "endpoint", names.endpoints, names.endpoints),
        ]
        if _at(content, (*here, "send")) is not None and not _has_sender(content, here):
            text = f"steps.{name}: nobody is named who writes (expected 'from')"
            yield document.problem((*here, "send"), text, "name a sender here, or for all steps: send: {from: …}")
    for path, noun, known, shown in wanted:
        value = _at(content, path)
        if isinstance(value, str) and value not in known:
            named = "of this name" if document.hides(path) else quoted(value)
            yield document.problem(path, f"no {noun} {named}", did_you_mean(value, shown))


def _has_sender(content: Any, here: Path_) -> bool:
    return any(_at(content, path) is not None for path in ((*here, "send", "from"), ("send", "from")))


def _unasked_limit(document: Document) -> Iterator[Problem]:
    """A limit of people at once is asked only where a segment brings them."""
    path, ways = ("limits", "max_audience"), ("event", "by")
    way = next((name for name in ways if _at(document.content, ("enrol", name)) is not None), None)
    if way is None or _at(document.content, path) is None:
        return
    hint = "remove it: such people enter one by one"
    yield document.problem(path, f"limits.max_audience means nothing beside enrol.{way}, expected a segment", hint)


# --- rules -------------------------------------------------------------------------------------------------------


def _rules(document: Document, vocabulary: Vocabulary) -> Iterator[Problem]:
    for path, has_step in _rule_places(document):
        text = _at(document.content, path)
        if not isinstance(text, str) or not text.strip():
            continue
        if document.hides(path):
            hint = "write the value out: a rule is kept with the sequence"
            yield document.problem(path, "a rule cannot read the environment", hint)
            continue
        text = text.strip()
        yield from (
            as_problem(each, text, document.file, document.line(path)) for each in rule_mistakes(text, vocabulary)
        )
        if not has_step and 'since="step"' in text.replace("'", '"').replace(" ", ""):
            yield document.problem(path, 'no step has begun here (got since="step")', 'write since="enrolment"')


def _rule_places(document: Document) -> Iterator[tuple[Path_, bool]]:
    """Where rules stand, and whether a step has begun there."""
    yield ("enrol", "where"), False
    yield ("exit_when",), True
    for name in _steps(document):
        yield ("steps", name, "wait", "for"), True
        yield from (((*fork, "when"), True) for fork in _listed(document.content, ("steps", name, "branch")))


# --- the way through ---------------------------------------------------------------------------------------------


def _targets(document: Document, name: str) -> Iterator[tuple[Path_, str]]:
    """The steps that this one names as what comes then, each with its place."""
    content, here = document.content, ("steps", name)
    places: list[Path_] = [(*here, "next"), (*here, "wait", "on_timeout")]
    places += [(*fork, "go") for fork in _listed(content, (*here, "branch"))]
    yield from ((path, target) for path in places if isinstance(target := _at(content, path), str))
    split = _at(content, (*here, "split"))
    if isinstance(split, dict):
        yield from (((*here, "split", target), target) for target in split)


def _all_steps(document: Document) -> list[str]:
    steps = _at(document.content, ("steps",))
    return list(steps) if isinstance(steps, dict) else []


def _moves(document: Document) -> Iterator[Problem]:
    steps = _all_steps(document)
    for place, name in enumerate(steps):
        for path, target in _targets(document, name):
            if target not in steps:
                yield document.problem(path, f"steps.{name}: no step {quoted(target)}", did_you_mean(target, steps))
            elif steps.index(target) <= place:
                text = f"steps.{name}: {target!r} does not come after it (a sequence only goes forward)"
                yield document.problem(path, text, "who is to pass again enters again: enrol.again")


def _dead_steps(document: Document) -> Iterator[Problem]:
    """Steps to which no way leads. With mistakes in the ways themselves nothing is said of them."""
    steps = _all_steps(document)
    if len(_steps(document)) != len(steps) or any(True for _ in _moves(document)):
        return
    reached = set(steps[:1])
    for place, name in enumerate(steps):
        if name not in reached:
            text = f"steps.{name}: no way leads here"
            yield document.problem(("steps", name), text, "name it in a branch, a split or 'next' of an earlier step")
            continue
        reached |= {target for _, target in _targets(document, name)}
        if _falls_through(_at(document.content, ("steps", name))) and place + 1 < len(steps):
            reached.add(steps[place + 1])


def _falls_through(step: Mapping[str, Any]) -> bool:
    if any(step.get(name) is not None for name in ("next", "split", "exit")):
        return False
    forks = step.get("branch")
    last = forks[-1] if isinstance(forks, list) and forks else None
    return not (isinstance(last, dict) and last.get("when") is None)


def edit_mistakes(document: Document) -> Iterator[Problem]:
    """Every mistake in what a file says of people who wait while it is edited."""
    yield from _former_names(document)
    yield from _choices(document)


def _former_names(document: Document) -> Iterator[Problem]:
    """Nobody waits at a step of a former name twice, or at one that is still there."""
    steps, seen = _all_steps(document), dict[str, str]()
    for name in _steps(document):
        path: Path_ = ("steps", name, "renamed_from")
        former = _at(document.content, path)
        if not isinstance(former, str):
            continue
        if former in steps:
            yield document.problem(path, f"steps.{name}: {former!r} is still a step", "remove 'renamed_from'")
        elif former in seen:
            yield document.problem(path, f"steps.{name}: {former!r} became {seen[former]!r} already", "keep one")
        seen[former] = name


def _choices(document: Document) -> Iterator[Problem]:
    """What is said of people who wait at steps that an edit removed or moved speaks of such steps."""
    steps = _all_steps(document)
    for section, is_there in (("when_removed", False), ("when_reordered", True)):
        choices = _at(document.content, (section,))
        for name in choices if isinstance(choices, dict) else ():
            here: Path_ = (section, name)
            if is_there and name not in steps:
                yield document.problem(here, f"{section}: no step {quoted(name)}", did_you_mean(name, steps))
            elif not is_there and name in steps:
                hint = "remove one of the two; where its place changed: when_reordered"
                yield document.problem(here, f"{section}: {name!r} is still a step", hint)
            target = _at(document.content, (*here, "move"))
            if isinstance(target, str) and target not in steps:
                text = f"{section}.{name}: no step {quoted(target)}"
                yield document.problem((*here, "move"), text, did_you_mean(target, steps))
