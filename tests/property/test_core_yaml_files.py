"""No bytes of a person make the reader of files fail, and nothing from the environment is in what it says."""

import os
import tempfile
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from campaigns.definition import CampaignFile
from core.settings import Settings
from core.yaml_files import Document, Section, build, parse_document, read_document
from segments.definition import SegmentFile

SECRET = "hunter2/@§"
SETTINGS = """\
organisation: {name: "Paper & Co", postal_address: "1 Mill Lane, 12345 Papertown", zone: Europe/Berlin}
database: "postgresql://u:${PASSWORD}@db/x"
broker: "redis://:${PASSWORD}@h:1/0"
secret: "${PASSWORD}"
senders: {offers: {name: P, email: offers@paper.example, reply_to: "${PASSWORD}"}}
transports:
  main: {url: "smtps://u:${PASSWORD}@h:465", tls: implicit, connections: 4}
topics: {promotions: {label: x}}
tiers: {period: 365d, pyramid: {top: 1%, big: 0.04}, abc: {a: 0.8}, currency: EUR, quadrant: {value: 1.5}}
workers: {processes: 2, lease: 1m}
"""
CAMPAIGN = """\
kind: broadcast
topic: "${PASSWORD}"
audience: {segment: everybody, exclude: [staff, "${PASSWORD}"]}
send: {template: a.html, from: offers, subject: "${PASSWORD}"}
schedule: {at: 2026-12-01T09:00, zone: "${PASSWORD}"}
goal: {event: purchase, within: "${PASSWORD}"}
cost: {fixed: 12.5, per_message: "${PASSWORD}", currency: "${PASSWORD}"}
limits: {max_audience: 10, valid_for: 2d}
"""
SEGMENT = 'description: "${PASSWORD}"\nwhere: >\n  tier == "${PASSWORD}"\n  and true\n'
FILES: list[tuple[type[Section], str]] = [(Settings, SETTINGS), (CampaignFile, CAMPAIGN), (SegmentFile, SEGMENT)]
SHREDS = [
    '"${PASSWORD}"', "${PASSWORD}", "[", "]", "{", "}", "&a ", "*a", "<<: ", "!!int ", "!x ", "? ", "- ", ": ", ", ",
    "|\n", "\n", "  ", "\t", '"', "'", "#", "%", "@", "9" * 40, "9" * 5000, "1e999", "-1", "0.5s", "99999999999999d",
    "~", "true", "\\0", "\\ud800", "0001-01-01T00:00", "² * * * *", "60 * * * *", "---\n", "%YAML 1.9\n", "\ufeff",
    "\x00", "\u2028", "[" * 60, "transports", "secret: ", "smtp://[::1", "://",
]  # fmt: skip
_cuts = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 30), st.one_of(st.sampled_from(SHREDS), st.text(max_size=5))), max_size=5
)


def _mutated(text: str, cuts: list[tuple[float, int, str]]) -> str:
    """`text` with pieces taken out and others put in their place."""
    for place, length, shred in cuts:
        at = int(place * len(text))
        text = text[:at] + shred + text[at + length :]
    return text


def _built(model: type[Section], content: bytes) -> tuple[Section | None, Document]:
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, PASSWORD=SECRET):
        path = Path(folder, "a.yaml")
        path.write_bytes(content)
        document = read_document(path, "a.yaml")
        return build(model, document), document


def _check(model: type[Section], content: bytes) -> None:
    built, document = _built(model, content)

    assert (built is None) == bool(document.problems)
    for problem in document.problems:
        assert problem.line >= 0
        assert problem.message
        assert "hunter2" not in str(problem)
        assert str(problem).encode()


@pytest.mark.parametrize(("model", "text"), FILES, ids=[model.__name__ for model, _ in FILES])
@given(cuts=_cuts)
def test_any_change_to_a_good_file_is_built_or_explained(
    model: type[Section], text: str, cuts: list[tuple[float, int, str]]
) -> None:
    """
    However a good file is cut up, it is built or there are problems with a place; nothing is raised, and no value from
    the environment is told.
    """
    _check(model, _mutated(text, cuts).encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("model", [model for model, _ in FILES])
@given(content=st.one_of(st.binary(max_size=200), st.text(max_size=100).map(str.encode)))
def test_any_bytes_are_built_or_explained(model: type[Section], content: bytes) -> None:
    """
    Bytes that are no text, no YAML or not of this kind are explained by at least one problem; nothing is raised.
    """
    _check(model, content)


@example(["\x08"])
@example(["organisation: \ud800"])
@given(st.lists(st.sampled_from(["organisation:", "  name: A", "senders: {}", "- a", "? b", "[", "x: ", " - "])))
def test_any_lines_are_settings_or_problems(lines: list[str]) -> None:
    """
    Lines in any order are built into settings or explained.
    """
    document = parse_document("\n".join(lines), Document("clarion.yaml"))

    assert (build(Settings, document) is None) == bool(document.problems)
