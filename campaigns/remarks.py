"""What works in the files of a workspace, but could be better."""

from campaigns import versions
from campaigns.catalogue import Catalogue
from templates.mailing import lint_mailing


def remarks_on(catalogue: Catalogue) -> list[str]:
    """One line for each remark on a mailing that a campaign sends, with its file."""
    found: list[str] = []
    for name in sorted(catalogue.campaigns):
        version = versions.pin(catalogue, name)
        file = version.templates[version.definition.send.template].file
        found += [f"{file}: {remark}" for remark in lint_mailing(version.mailing())]
    return list(dict.fromkeys(found))
