"""What the mailings of a sequence say otherwise than they did, in few words."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection

from campaigns import versions as mailings
from campaigns.sequences.versions import SequenceVersion, Standing
from campaigns.versions import Version

#: What was said of a send step, by the keys under which a version keeps it.
_PARTS: Final = {
    "text": ("templates", "files"), "sender": ("sender",), "transport": ("transport",),
    "organisation": ("organisation",), "tracking": ("opens", "clicks"),
}  # fmt: skip
_SAID: Final = {"template": ("send", "template"), "subject": ("send", "subject"), "topic": ("topic",)}


def rewritten(connection: Connection, standing: Standing, pinned: SequenceVersion) -> Mapping[str, tuple[str, ...]]:
    """Old name → what its mailing says otherwise."""
    former = {step.renamed_from: name for name, step in pinned.definition.steps.items() if step.renamed_from}
    found = {}
    for step, version_id in standing.sends.items():
        now = pinned.mailings.get(former.get(step, step))
        if now is None or now.fingerprint == standing.version.mailing_prints[step]:
            continue
        if what := _differences(mailings.fetch(connection, version_id), now):
            found[step] = what
    return found


def _differences(was: Version, now: Version) -> tuple[str, ...]:
    before, after = was.stored(), now.stored()
    parts = [word for word, keys in _PARTS.items() if any(before.get(key) != after.get(key) for key in keys)]
    said = [word for word, path in _SAID.items() if _at(before["campaign"], path) != _at(after["campaign"], path)]
    return (*said, *(part for part in parts if part != "text" or "template" not in said))


def _at(content: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        content = content.get(key) if isinstance(content, dict) else None
    return content
