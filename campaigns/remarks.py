"""What works in the files of a workspace, but could be better."""

from collections.abc import Iterator

from campaigns import versions
from campaigns.catalogue import Catalogue
from campaigns.subject_labels import feigns_an_answer
from campaigns.surveys.answering import ACTIVITY
from core.names import did_you_mean
from core.workspace import Workspace
from segments.membership import behaviours_in
from templates.check import lint_mailing


def remarks_on(workspace: Workspace, catalogue: Catalogue) -> list[str]:
    """One line for each remark, with its file: on the mailings that campaigns send, on segments that ask for answers to
    surveys, and on the keys that sign."""
    found: list[str] = []
    for name in sorted(catalogue.campaigns):
        version = versions.pin(catalogue, name)
        file = version.templates[version.definition.send.template].file
        found += [f"{file}: {remark}" for remark in lint_mailing(version.mailing)]
        if not version.is_transactional and feigns_an_answer(version.mailing.subject.script.text):
            found.append(f"{file}: the subject begins like an answer; the law forbids that where nobody wrote before")
    return [*dict.fromkeys(found), *_remarks_on_surveys(catalogue), *_remarks_on_keys(workspace, catalogue)]


def _remarks_on_surveys(catalogue: Catalogue) -> Iterator[str]:
    """Segments that ask for answers to a survey without a file: nobody will give any more of them."""
    for segment in catalogue.segments.values():
        for behaviour in behaviours_in(segment, catalogue.vocabulary):
            named = dict(behaviour.where).get("survey", ()) if behaviour.name == ACTIVITY else ()
            for name in named:
                if isinstance(name, str) and name not in catalogue.surveys:
                    hint = did_you_mean(name, catalogue.surveys)
                    yield f"{segment.file}: it asks for answers to {name!r}, and there is no such survey ({hint})"


def _remarks_on_keys(workspace: Workspace, catalogue: Catalogue) -> list[str]:
    if not catalogue.settings.dkim:
        return []
    from delivery.dkim import key_remarks  # only who signs loads `cryptography`

    return key_remarks(catalogue.settings.dkim, workspace.root)
