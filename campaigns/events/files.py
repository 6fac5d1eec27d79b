"""The event files of a workspace, read, with every mistake in them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from campaigns.events.definition import FOLDER, EventFile
from campaigns.events.weighing import heaviest
from core.errors import Problem
from core.field_types import NAME_PATTERN
from core.form_settings import PAGE_FIELDS
from core.names import did_you_mean, near_miss
from core.units import quoted
from core.workspace import Workspace
from core.yaml_files import Document, Path_, build, read_document

#: Names of the form itself: what is typed into a field of such a name could not be told from them.
_TAKEN: Final = PAGE_FIELDS | {"email", "language", "agree", "order", "people", "action", "wording"}


@dataclass(frozen=True, slots=True)
class EventSource:
    """One event file, read; `definition` is None when it has mistakes."""

    name: str
    definition: EventFile | None
    document: Document


class Names(Protocol):
    """The names that clarion.yaml defines."""

    topics: frozenset[str]
    senders: frozenset[str]
    transports: frozenset[str]


def load_events(workspace: Workspace) -> tuple[dict[str, EventSource], list[Problem]]:
    """Every event file by name, and what is wrong in them."""
    found: dict[str, EventSource] = {}
    problems: list[Problem] = []
    for path in workspace.files(FOLDER, ".yaml", ".yml"):
        shown = workspace.shown(path)
        document = read_document(path, shown)
        definition = build(EventFile, document)
        problems += document.problems
        if not re.fullmatch(NAME_PATTERN, path.stem):
            problems.append(Problem(shown, 0, f"{path.stem!r} is no event name", "use a–z, 0–9, '-' and '_'"))
        if path.stem in found:
            also = found[path.stem].document.file
            problems.append(Problem(shown, 0, f"duplicate name {path.stem!r} (also {also})", "rename one of the files"))
            continue
        found[path.stem] = EventSource(path.stem, definition, document)
    return found, problems


def templates_of(events: Iterable[EventSource]) -> set[str]:
    """The templates that events send, also those of files with mistakes in other places."""
    return {value for event in events for _, value in _templates(event.document.content)}


def event_mistakes(events: Iterable[EventSource], names: Names, templates: Mapping[str, object]) -> Iterator[Problem]:
    """Names that nobody knows, and fields that cannot be told from the page's own.

    Works on the raw content, so that it speaks beside other mistakes.
    """
    for event in events:
        content, document = event.document.content, event.document
        if not isinstance(content, dict):
            continue
        for key, noun, known in (
            ("topic", "topic", names.topics),
            ("organiser", "sender", names.senders),
            ("transport", "transport", names.transports),
        ):
            value = content.get(key)
            if isinstance(value, str) and value not in known:
                yield _unknown(document, (key,), value, noun, did_you_mean(value, known))
        yield from _taken(document, content.get("registration"))
        yield from _too_heavy(event)
        yield from _without_template(document, templates)


def _taken(document: Document, registration: object) -> Iterator[Problem]:
    """Fields of the form that are called like something of the page."""
    fields = registration.get("fields") if isinstance(registration, dict) else None
    for name in fields if isinstance(fields, dict) else ():
        if name in _TAKEN:
            path = ("registration", "fields", name)
            yield document.problem(path, f"a field cannot be called {name!r}", "choose another name")


def _too_heavy(event: EventSource) -> Iterator[Problem]:
    """Texts that no mail could hold."""
    from campaigns.transactional import MOST_GIVEN  # which reads these files, too

    for language, weight in heaviest(event.definition) if event.definition is not None else ():
        if weight > MOST_GIVEN:
            told = f"the mails in {language!r} would be too large (got up to {weight:,} characters, "
            yield event.document.problem(
                ("description",), f"{told}expected at most {MOST_GIVEN:,})",
                "shorten the description; others than Latin letters count sixfold",
            )  # fmt: skip


def _without_template(document: Document, templates: Mapping[str, object]) -> Iterator[Problem]:
    """Mails whose template is not there. One that another mail names is not what was meant: their names are alike."""
    named = dict(_templates(document.content))
    free = [name for name in templates if "/" not in name and name not in named.values()]
    for path, value in named.items():
        if value not in templates:
            near, write = near_miss(value, free), "" if document.hides(path) else f"write it: templates/{value}"
            yield _unknown(document, path, value, "template", f"did you mean {near!r}?" if near else write)


def _unknown(document: Document, path: Path_, value: str, noun: str, hint: str) -> Problem:
    return document.problem(path, f"no {noun} {'of this name' if document.hides(path) else quoted(value)}", hint)


def _templates(content: Any) -> Iterator[tuple[Path_, str]]:
    """The templates a file names, with their places."""
    if not isinstance(content, dict):
        return
    mails, reminders, follow_up = (content.get(key) for key in ("mails", "reminders", "follow_up"))
    entries: list[tuple[Path_, Any]] = []
    if isinstance(mails, dict):
        entries += [(("mails", name), mail) for name, mail in mails.items()]
    if isinstance(reminders, list):
        entries += [(("reminders", index), reminder) for index, reminder in enumerate(reminders)]
    if isinstance(follow_up, dict):
        entries += [(("follow_up", name), follow_up.get(name)) for name in ("attended", "absent")]
    for path, entry in entries:
        if isinstance(entry, str):
            yield path, entry
        elif isinstance(entry, dict) and isinstance(entry.get("template"), str):
            yield (*path, "template"), entry["template"]
