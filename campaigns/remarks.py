"""What works in the files of a workspace, but could be better."""

from collections.abc import Collection, Iterator
from typing import NamedTuple

from campaigns import versions
from campaigns.catalogue import Catalogue
from campaigns.events import activities
from campaigns.subject_labels import feigns_an_answer
from campaigns.surveys.answering import ACTIVITY
from core.names import did_you_mean
from core.workspace import Workspace
from segments.membership import behaviours_in
from segments.mistakes import line_of
from segments.tree import Behaviour
from segments.vocabulary import Vocabulary
from templates.check import lint_mailing


def remarks_on(workspace: Workspace, catalogue: Catalogue) -> list[str]:
    """One line for each remark, with its file: on the mailings that campaigns send, on rules that ask for surveys
    or events, and on the keys that sign."""
    found: list[str] = []
    for name in sorted(catalogue.campaigns):
        version = versions.pin(catalogue, name)
        file = version.templates[version.definition.send.template].file
        found += [f"{file}: {remark}" for remark in lint_mailing(version.mailing)]
        if not version.is_transactional and feigns_an_answer(version.mailing.subject.script.text):
            found.append(f"{file}: the subject begins like an answer; the law forbids that where nobody wrote before")
    return [*dict.fromkeys(found), *_remarks_on_rules(catalogue), *_remarks_on_keys(workspace, catalogue)]


class _Rule(NamedTuple):
    """A rule as it stands in a file, beginning on `line`."""

    file: str
    line: int
    text: str
    vocabulary: Vocabulary


def _rules(catalogue: Catalogue) -> Iterator[_Rule]:
    """Every rule of segments and of sequences."""
    for segment in catalogue.segments.values():
        yield _Rule(segment.file, segment.where_line, segment.where, catalogue.vocabulary)
    for name, sequence in catalogue.sequences.items():
        place = catalogue.places[name]
        for path, text in sequence.rules():
            yield _Rule(place.file, place.line(path), text, catalogue.passage_vocabulary)


def _remarks_on_rules(catalogue: Catalogue) -> Iterator[str]:
    """Rules that ask for a survey or an event without a file: nobody will answer it or come to it any more."""
    for rule in _rules(catalogue):
        for asked in behaviours_in(rule.text, rule.vocabulary):
            where = f"{rule.file}:{rule.line + line_of(rule.text, asked.at)}"
            yield from (f"{where}: {remark}" for remark in _strangers(asked.behaviour, catalogue))


def _strangers(behaviour: Behaviour, catalogue: Catalogue) -> Iterator[str]:
    """What it asks for that has no file."""
    known: Collection[str]
    if behaviour.name == ACTIVITY:
        noun, known, asks = "survey", catalogue.surveys, "it asks for answers to"
    elif behaviour.name in activities.NAMES:
        noun, known, asks = "event", catalogue.events, "it asks for activities of"
    else:
        return
    for name in dict(behaviour.where).get(noun, ()):
        if isinstance(name, str) and name not in known:
            yield f"{asks} {name!r}, and there is no such {noun} ({did_you_mean(name, known)})"


def _remarks_on_keys(workspace: Workspace, catalogue: Catalogue) -> list[str]:
    if not catalogue.settings.dkim:
        return []
    from delivery.dkim import key_remarks  # only who signs loads `cryptography`

    return key_remarks(catalogue.settings.dkim, workspace.root)
