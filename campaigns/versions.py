"""A campaign with everything it uses, pinned: what runs is this, whatever happens to the files meanwhile."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from campaigns.catalogue import Catalogue
from campaigns.definition import TRANSACTIONAL, CampaignFile, StepFile
from core.errors import NotFound
from core.schema import asset, campaign_version
from core.settings import Organisation, Sender
from segments.behaviour import looks_at_behaviour
from segments.definition import Segment
from segments.membership import Vocabulary, segments_used
from templates.definition import TemplateSource
from templates.files import Asset, Pinned
from templates.mailing import Mailing, compile_mailing

#: The one step of a broadcast or recurring campaign.
SEND_STEP = "send"
#: Settings of a sender that came later. At their defaults they are not stored: versions of unchanged files keep their
#: fingerprint, and a cancelled recurring campaign does not begin again with an upgrade.
_LATER: Final[Mapping[str, object]] = {"return_path": None}


@dataclass(frozen=True)
class Version:
    """One campaign at one state of its files. `fingerprint` changes when anything that is sent or asked changes."""

    campaign: str
    definition: CampaignFile
    segments: Mapping[str, Segment]
    templates: Mapping[str, TemplateSource]
    sender: Sender
    organisation: Organisation
    topics: frozenset[str]
    transport: str  # or a route
    opens: bool
    clicks: bool
    currency: str
    repeats: bool | None = None  # whether what is in doubt is sent again; None: if it is transactional
    #: The files it sends, by name; `contents` holds them by digest where they were just read, and nothing once stored.
    assets: Mapping[str, Asset] = field(default_factory=dict)
    contents: Mapping[str, bytes] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def is_transactional(self) -> bool:
        """Its messages are owed to their recipients."""
        return self.definition.message_class == TRANSACTIONAL

    @cached_property
    def is_open_ended(self) -> bool:
        """Messages are added to its run while it goes on."""
        return self.is_transactional or self.definition.is_sequence

    @property
    def vocabulary(self) -> Vocabulary:
        """The names its segments may use."""
        return Vocabulary(self.segments, self.topics, None)

    @property
    def by_behaviour(self) -> bool:
        """Its audience is chosen by what people did."""
        chosen = self.definition.by_behaviour if isinstance(self.definition, StepFile) else False
        return chosen or looks_at_behaviour(self.segments, self.vocabulary)

    @cached_property
    def mailing(self) -> Mailing:
        """The compiled mailing.

        Raises:
            ConfigError: the template has mistakes.
        """
        send = self.definition.send
        return compile_mailing(
            send.template,
            self.templates,
            organisation=self.organisation,
            opens=self.opens,
            clicks=self.clicks,
            subject=send.subject,
            transactional=self.is_transactional,
            given=self.definition.is_sequence,
            files=Pinned(self.assets),
        )

    @cached_property
    def piece(self) -> str:
        """The fingerprint of what it says without the person."""
        return self.mailing.piece

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits of everything stored."""
        canonical = json.dumps(self.stored(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()

    def stored(self) -> dict[str, Any]:
        """The version as plain JSON values; `from_stored` reads it back. Holds no secret."""
        sender = self.sender.model_dump(mode="json")
        files = {"files": {name: [file.digest, file.size] for name, file in sorted(self.assets.items())}}
        repeats = {"repeats": self.repeats} if self.repeats is not None else {}
        return (
            (files if self.assets else {})
            | repeats
            | {
                "campaign": self.definition.stored(),
                "segments": {name: segment.where for name, segment in sorted(self.segments.items())},
                "templates": {name: source.text for name, source in sorted(self.templates.items())},
                "sender": {key: value for key, value in sender.items() if key not in _LATER or value != _LATER[key]},
                "organisation": self.organisation.model_dump(mode="json"),
                "topics": sorted(self.topics),
                "transport": self.transport,
                "opens": self.opens,
                "clicks": self.clicks,
                "currency": self.currency,
            }
        )

    @classmethod
    def from_stored(cls, campaign: str, stored: Mapping[str, Any]) -> "Version":
        """The version that `stored()` described."""
        segments = {n: Segment(n, f"segments/{n}.yaml", where, "", 1) for n, where in stored["segments"].items()}
        return cls(
            campaign=campaign,
            definition=definition_of(stored["campaign"]),
            segments=segments,
            templates={name: TemplateSource(name, text) for name, text in stored["templates"].items()},
            sender=Sender.model_validate(stored["sender"]),
            organisation=Organisation.model_validate(stored["organisation"]),
            topics=frozenset(stored["topics"]),
            transport=stored["transport"],
            opens=stored["opens"],
            clicks=stored["clicks"],
            currency=stored["currency"],
            repeats=stored.get("repeats"),
            assets={name: Asset(name, *content) for name, content in stored.get("files", {}).items()},
        )


def definition_of(stored: Mapping[str, Any]) -> CampaignFile:
    """The definition that `CampaignFile.stored` described."""
    return (StepFile if stored["kind"] == "sequence" else CampaignFile).model_validate(stored)


def pin(catalogue: Catalogue, name: str) -> Version:
    """The campaign `name` with everything it uses, as the files say now.

    Raises:
        NotFound: there is no such campaign.
    """
    return pin_as(catalogue, name, catalogue.campaign(name))


def pin_as(catalogue: Catalogue, name: str, definition: CampaignFile) -> Version:
    """What `definition` says, under `name`, with everything it uses, as the files say now."""
    settings, templates = catalogue.settings, catalogue.templates
    asked = (definition.audience.segment, *definition.audience.exclude) if definition.audience else ()
    whole = templates.mailing(
        definition.send.template,
        subject=definition.send.subject,
        transactional=definition.message_class == TRANSACTIONAL,
        given=definition.is_sequence,
    )
    files = (*whole.images, *(attachment.asset for attachment in whole.attachments))
    version = Version(
        campaign=name,
        definition=definition,
        segments={used: catalogue.segments[used] for used in segments_used(asked, catalogue.vocabulary)},
        templates={used: templates.sources[used] for used in whole.uses},
        sender=settings.senders[definition.send.sender],
        organisation=templates.organisation,
        topics=frozenset(settings.topics),
        transport=definition.send.transport or settings.default_way,
        opens=templates.opens,
        clicks=templates.clicks,
        currency=definition.cost.currency or settings.tiers.currency,
        repeats=settings.doubt.repeats(definition.message_class),
        assets={file.name: file for file in files},
        contents={file.digest: catalogue.files.contents[file.digest] for file in files},
    )
    version.__dict__["mailing"] = whole  # what it is pinned from: not to be compiled again
    return version


def store(connection: Connection, version: Version) -> int:
    """The version is in `campaign_version`, its files in `asset`; its id is returned. Repeat: safe, the same id."""
    table, definition = campaign_version, version.definition
    _store_contents(connection, version.contents)
    goal, cost = definition.goal, definition.cost
    connection.execute(
        insert(table)
        .values(
            campaign=version.campaign,
            fingerprint=version.fingerprint,
            kind=definition.kind,
            topic=definition.consent_topic,
            message_class=definition.message_class,
            valid_for=definition.limits.valid_for if version.is_open_ended else None,
            by_behaviour=version.by_behaviour,
            repeats=version.repeats,
            definition=version.stored(),
            links=list(version.mailing.links),
            piece=version.piece,
            goal_event=goal.event if goal else None,
            goal_within=goal.within if goal else None,
            fixed_cost=cost.fixed,
            cost_per_message=cost.per_message,
            currency=version.currency,
        )
        .on_conflict_do_nothing()
    )
    where = (table.c.campaign == version.campaign) & (table.c.fingerprint == version.fingerprint)
    return int(connection.execute(select(table.c.id).where(where)).scalar_one())


def _store_contents(connection: Connection, contents: Mapping[str, bytes]) -> None:
    known = select(asset.c.digest).where(asset.c.digest.in_(contents))
    missing = set(contents) - set(connection.execute(known).scalars()) if contents else set()
    for digest in sorted(missing):  # one at a time, always in this order: no two that store wait for each other
        row = insert(asset).values(digest=digest, content=contents[digest])
        connection.execute(row.on_conflict_do_nothing())


def contents_of(connection: Connection, version: Version) -> Mapping[str, bytes]:
    """The contents of the version's files by digest: as just read, or as they were stored.

    Raises:
        NotFound: some are not in the database.
    """
    if version.contents or not version.assets:
        return version.contents
    digests = {file.digest for file in version.assets.values()}
    rows = connection.execute(select(asset.c.digest, asset.c.content).where(asset.c.digest.in_(digests)))
    found = {digest: bytes(content) for digest, content in rows}
    if lost := sorted(file.name for file in version.assets.values() if file.digest not in found):
        raise NotFound(f"the content of {', '.join(lost)} is not in the database", hint="restore the table `asset`")
    return found


def fetch(connection: Connection, version_id: int) -> Version:
    """The stored version with this id."""
    row = connection.execute(select(campaign_version).where(campaign_version.c.id == version_id)).mappings().one()
    version = Version.from_stored(row["campaign"], row["definition"])
    version.__dict__["piece"] = row["piece"]  # without it the template would be compiled to know it
    return version
