"""What works in the files of a workspace, but could be better."""

from campaigns import versions
from campaigns.catalogue import Catalogue
from campaigns.subject_labels import feigns_an_answer
from core.workspace import Workspace
from templates.mailing import lint_mailing


def remarks_on(workspace: Workspace, catalogue: Catalogue) -> list[str]:
    """One line for each remark on a mailing that a campaign sends, with its file, and on the keys that sign."""
    found: list[str] = []
    for name in sorted(catalogue.campaigns):
        version = versions.pin(catalogue, name)
        file = version.templates[version.definition.send.template].file
        mailing = version.mailing()
        found += [f"{file}: {remark}" for remark in lint_mailing(mailing)]
        if not version.is_transactional and feigns_an_answer(mailing.subject.script.text):
            found.append(f"{file}: the subject begins like an answer; the law forbids that where nobody wrote before")
    return [*dict.fromkeys(found), *_remarks_on_keys(workspace, catalogue)]


def _remarks_on_keys(workspace: Workspace, catalogue: Catalogue) -> list[str]:
    if not catalogue.settings.dkim:
        return []
    from delivery.dkim import key_remarks  # only who signs loads `cryptography`

    return key_remarks(catalogue.settings.dkim, workspace.root)
