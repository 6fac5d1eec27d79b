"""The test files of a workspace, read and checked against its other files: every mistake at its line."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from campaigns.catalogue import Catalogue
from campaigns.events.invitation import PREFIX
from campaigns.versions import SEND_STEP
from campaigns.workspace_tests.definition import Case, Customer, WorkspaceTestFile
from campaigns.workspace_tests.given import email_of
from core.errors import AddressError, NotFound, Problem
from core.names import did_you_mean
from core.workspace import Workspace, raise_if
from core.yaml_files import Document, Path_, Section, build, read_document

#: Where they are.
FOLDER: Final = "tests"


@dataclass(frozen=True, slots=True)
class TestCase:
    """One case of one file."""

    __test__ = False  # not one of pytest's

    name: str
    file: WorkspaceTestFile
    case: Case
    document: Document

    @property
    def shown(self) -> str:
        """As people read it."""
        return f"{self.document.file}: {self.name}"

    def line(self, *path: str | int) -> int:
        """The line of something in the case."""
        return self.document.line(("cases", self.name, *path))


def load(workspace: Workspace, catalogue: Catalogue, chosen: Iterable[Path] = ()) -> list[TestCase]:
    """The cases of these files, of all files of the workspace when none is given, in order.

    Raises:
        ConfigError: with every mistake of every file.
        NotFound: there is no test.
    """
    paths = list(chosen) or paths_of(workspace)
    if not paths:
        raise NotFound(f"no test in {workspace.root / FOLDER}", hint="docs/workspace-tests.md shows how to write one")
    cases, problems = examine(workspace, catalogue, paths)
    raise_if(problems)
    return cases


def paths_of(workspace: Workspace) -> list[Path]:
    """The test files of the workspace, by name."""
    return list(workspace.files(FOLDER, ".yaml", ".yml"))


def examine(workspace: Workspace, catalogue: Catalogue, paths: Iterable[Path]) -> tuple[list[TestCase], list[Problem]]:
    """The cases of the files that can be used, and every mistake of all of them."""
    cases: list[TestCase] = []
    problems: list[Problem] = []
    for path in paths:
        document = read_document(path, workspace.shown(path.resolve()))
        file = build(WorkspaceTestFile, document)
        if file is not None:
            document.problems += _check(file, document, catalogue)
            cases += [TestCase(name, file, case, document) for name, case in file.cases.items()]
        problems += document.problems
    return cases, problems


def _check(file: WorkspaceTestFile, document: Document, catalogue: Catalogue) -> Iterator[Problem]:
    known = _Known(catalogue)
    yield from _names(document, ("apply",), file.apply, known.applicable, "campaign, sequence or event")
    yield from _people(file.customers, document, ("customers",), known)
    for name, case in file.cases.items():
        here: Path_ = ("cases", name)
        yield from _names(document, (*here, "apply"), case.apply or (), known.applicable, "campaign, sequence or event")
        yield from _people(case.customers, document, (*here, "customers"), known)
        yield from _check_case(file, case, document, here, known)


class _Known:
    """The names that tests may use, and the zone of times that name no place."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.steps: dict[str, set[str]] = {name: {SEND_STEP} for name in catalogue.campaigns}
        self.steps |= {name: set(file.steps) for name, file in catalogue.sequences.items()}
        self.steps |= {PREFIX + name: {step for step, _ in e.every_mail()} for name, e in catalogue.events.items()}
        self.topics = set(catalogue.settings.topics)
        self.sequences = set(catalogue.sequences)
        self.events = set(catalogue.events)
        self.campaigns = set(catalogue.campaigns) | self.sequences
        self.applicable = self.campaigns | self.events
        self.sending = set(self.steps)  # as the campaign of a message is called
        self.zone = catalogue.settings.organisation.zone

    def steps_of(self, name: str | None) -> set[str]:
        """The steps of one that may send; of any, when none is named."""
        return self.steps.get(name, set()) if name is not None else set().union(*self.steps.values())


def _check_case(
    file: WorkspaceTestFile, case: Case, document: Document, here: Path_, known: _Known
) -> Iterator[Problem]:
    people = file.people(case)
    for place, step in enumerate(case.steps):
        at = (*here, "steps", place)
        for key, names in (
            ("customer", people), ("campaign", known.sending),
            ("sequence", known.sequences), ("event", known.events), ("topic", known.topics),
        ):  # fmt: skip
            value = getattr(step, key)
            if value is not None:
                yield from _names(document, (*at, key), [value], names, key, whole=True)
        zone = file.zone or known.zone
        if step.at.at(zone) < file.begins(case).at(zone):
            yield document.problem((*at, "at"), f"{step.at} is before the clock ({file.begins(case)})")
    for part in ("messages", "none", "tasks", "enrolments", "registrations"):
        for place, one in enumerate(getattr(case.expect, part)):
            yield from _check_expected(one, document, (*here, "expect", part, place), people, known)
    yield from _names(document, (*here, "expect", "faults"), case.expect.faults, known.applicable, "campaign")


def _check_expected(
    one: Section, document: Document, here: Path_, people: Iterable[str], known: _Known
) -> Iterator[Problem]:
    """What is expected names only what there is: a misspelt prohibition would hold for ever."""
    sending = getattr(one, "campaign", None) or getattr(one, "sequence", None)
    names: dict[str, Iterable[str]] = {
        "customer": people, "campaign": known.sending, "sequence": known.sequences, "event": known.events,
    }  # fmt: skip
    if sending is None or sending in known.sending:  # else its name is told
        names["step"] = known.steps_of(sending)
    for key, fitting in names.items():
        value = getattr(one, key, None)
        if value is not None:
            yield from _names(document, (*here, key), [value], fitting, key, whole=True)


def _people(people: Mapping[str, Customer], document: Document, path: Path_, known: _Known) -> Iterator[Problem]:
    for name, person in people.items():
        try:
            email_of(name, person)
        except AddressError as error:
            yield document.problem((*path, name), error.message, "give them an `email`, or an empty one")
        for place, word in enumerate(person.consents):
            topic = word if isinstance(word, str) else word.topic
            yield from _names(document, (*path, name, "consents", place), [topic], known.topics, "topic", whole=True)


def _names(
    document: Document, path: Path_, names: Iterable[str], known: Iterable[str], noun: str, *, whole: bool = False
) -> Iterator[Problem]:
    for place, name in enumerate(names):
        if name not in known:
            at = path if whole else (*path, place)
            yield document.problem(at, f"no {noun} {name!r}", did_you_mean(name, known))
