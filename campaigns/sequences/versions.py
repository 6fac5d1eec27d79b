"""A sequence with everything it uses, pinned: who entered passes it as it was, whatever happens to the files meanwhile.

Writes `sequence_version`, and through `campaigns.versions` a version for each mailing its steps send.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from campaigns import versions
from campaigns.catalogue import Catalogue
from campaigns.definition import Limits, Send, StepFile
from campaigns.sequences.definition import SequenceFile
from campaigns.sequences.steps import Step
from campaigns.versions import Version
from core.schema import sequence_version
from segments.behaviour import looks_at_behaviour
from segments.definition import Segment
from segments.membership import segments_named, segments_used
from segments.vocabulary import Vocabulary


@dataclass(frozen=True)
class SequenceVersion:
    """One sequence at one state of its files. `fingerprint` changes when anything that is done or asked changes.

    `mailings`: step → what it sends; empty once stored, where `Standing.sends` names their versions instead.
    """

    sequence: str
    definition: SequenceFile
    segments: Mapping[str, Segment]
    topics: frozenset[str]
    zone: str  # of the organisation: of people whose own is not known
    mailing_prints: Mapping[str, str]  # step → fingerprint of what it sends
    mailings: Mapping[str, Version] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The names its rules may use."""
        return Vocabulary(self.segments, self.topics, None, passage=True)

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits of everything stored."""
        canonical = json.dumps(self.stored(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()

    def stored(self) -> dict[str, Any]:
        """The version as plain JSON values. Holds no secret."""
        return {
            "file": self.definition.stored(),
            "segments": {name: segment.where for name, segment in sorted(self.segments.items())},
            "topics": sorted(self.topics),
            "zone": self.zone,
            "mailings": dict(sorted(self.mailing_prints.items())),
        }


@dataclass(frozen=True)
class Standing:
    """A stored version. `sends`: step → the `campaign_version` it sends."""

    id: int
    version: SequenceVersion
    sends: Mapping[str, int]

    @property
    def sequence(self) -> str:
        """The sequence's name."""
        return self.version.sequence

    @property
    def definition(self) -> SequenceFile:
        """What its file says."""
        return self.version.definition


def pin(catalogue: Catalogue, name: str) -> SequenceVersion:
    """The sequence `name` with everything it uses, as the files say now.

    Raises:
        NotFound: there is no such sequence.
        ConfigError: a template has mistakes.
    """
    file = catalogue.sequence(name)
    used = _segments_of(catalogue, file)
    by_behaviour = file.enrol.event is not None or _chosen_by_behaviour(catalogue, file)
    mailings = {
        step: versions.pin_as(catalogue, name, step_file(file, file.steps[step], by_behaviour=by_behaviour))
        for step in file.sends
    }
    return SequenceVersion(
        sequence=name,
        definition=file,
        segments={each: catalogue.segments[each] for each in used},
        topics=frozenset(catalogue.settings.topics),
        zone=catalogue.settings.organisation.zone,
        mailing_prints={step: mailing.fingerprint for step, mailing in mailings.items()},
        mailings=mailings,
    )


def _segments_of(catalogue: Catalogue, file: SequenceFile) -> Iterable[str]:
    vocabulary = catalogue.passage_vocabulary
    chosen = [file.enrol.segment, *file.enrol.exclude] if file.enrol.segment else []
    named = [name for _, rule in file.rules() for name in segments_named(rule, vocabulary)]
    return segments_used([*chosen, *named], vocabulary)


def _chosen_by_behaviour(catalogue: Catalogue, file: SequenceFile) -> bool:
    """What people did decides who enters, or who gets what. What only lets them out is no choice against them."""
    vocabulary = catalogue.passage_vocabulary
    rules = [rule for place, rule in file.rules() if place[0] == "steps"]
    named = {name for rule in rules for name in segments_named(rule, vocabulary)}
    entering = [file.enrol.segment, *file.enrol.exclude] if file.enrol.segment else []
    asked = {name: catalogue.segments[name] for name in segments_used([*entering, *named], vocabulary)}
    asked |= {f"{number}": Segment(f"{number}", "", rule, "", 1) for number, rule in enumerate(rules)}
    return looks_at_behaviour(asked, vocabulary)


def step_file(file: SequenceFile, step: Step, *, by_behaviour: bool) -> StepFile:
    """What the messages of a send step know of it, with what the sequence says for all of them."""
    send, limits = step.send, file.limits
    assert send is not None  # noqa: S101  only send steps have messages
    return StepFile(
        kind="sequence",
        topic=file.topic,
        send=Send(
            template=send.template, sender=send.sender or file.send.sender or "", subject=send.subject,
            transport=send.transport or file.send.transport,
        ),
        goal=file.goal,
        cost=file.cost.model_dump(),
        limits=Limits(
            valid_for=limits.valid_for, priority=limits.priority, when_capped=limits.when_capped,
            one_per=limits.one_per, piece_memory=limits.piece_memory,
        ),
        by_behaviour=by_behaviour,
    )  # fmt: skip


def store(connection: Connection, version: SequenceVersion, now: datetime) -> Standing:
    """The version is in `sequence_version`, its mailings in `campaign_version`. Repeat: safe, the same ids."""
    sends = {step: versions.store(connection, mailing) for step, mailing in sorted(version.mailings.items())}
    fingerprint, table = version.fingerprint, sequence_version
    content = version.stored() | {"sends": sends}
    values = {"sequence": version.sequence, "fingerprint": fingerprint, "definition": content, "created_at": now}
    connection.execute(insert(table).values(**values).on_conflict_do_nothing())
    where = (table.c.sequence == version.sequence) & (table.c.fingerprint == fingerprint)
    return fetch(connection, int(connection.execute(select(table.c.id).where(where)).scalar_one()))


def fetch(connection: Connection, version_id: int) -> Standing:
    """The stored version with this id."""
    row = connection.execute(select(sequence_version).where(sequence_version.c.id == version_id)).mappings().one()
    return from_row(row["id"], row["sequence"], row["definition"])


def from_row(version_id: int, sequence: str, content: Mapping[str, Any]) -> Standing:
    """The version of a row of `sequence_version`."""
    segments = {n: Segment(n, f"segments/{n}.yaml", where, "", 1) for n, where in content["segments"].items()}
    version = SequenceVersion(
        sequence=sequence,
        definition=SequenceFile.from_stored(content["file"]),
        segments=segments,
        topics=frozenset(content["topics"]),
        zone=content["zone"],
        mailing_prints=content["mailings"],
    )
    return Standing(version_id, version, {step: int(number) for step, number in content["sends"].items()})
