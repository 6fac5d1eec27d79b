"""Everything the workspace's files define, loaded together, with every mistake in them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from campaigns.definition import TRANSACTIONAL, CampaignFile
from campaigns.events.definition import EventFile
from campaigns.events.files import event_mistakes, load_events, templates_of
from campaigns.page_links import page_link_mistakes
from campaigns.sequences.definition import KIND as SEQUENCE
from campaigns.sequences.definition import SequenceFile
from campaigns.sequences.mistakes import is_sequence, sequence_mistakes, templates_sent
from campaigns.surveys.files import Survey, load_surveys
from core.errors import NotFound, Problem
from core.field_types import NAME_PATTERN
from core.form_settings import campaigns_named
from core.inquiry_settings import acknowledging
from core.names import did_you_mean
from core.settings import Settings
from core.settings_mistakes import names_in, token_mistakes
from core.sound_part import sound_part
from core.units import quoted
from core.workspace import Workspace, raise_if
from core.yaml_files import Document, build, read_document
from segments.definition import Segment, load_segments
from segments.membership import Vocabulary, check_segments
from templates.check import NOBODY, check_templates
from templates.definition import FOLDER as TEMPLATES_FOLDER
from templates.definition import TemplateSource, load_templates
from templates.files import Folder
from templates.mailing import Templates

ModelT = TypeVar("ModelT", CampaignFile, SequenceFile)


@dataclass(frozen=True, slots=True)
class Campaign:
    """One campaign file, read; `definition` is None when it has mistakes."""

    name: str
    definition: CampaignFile | SequenceFile | None
    document: Document


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The definitions of one workspace."""

    settings: Settings
    segments: Mapping[str, Segment]
    templates: Templates
    files: Folder  # that templates attach or show
    campaigns: Mapping[str, CampaignFile]  # of every kind but sequences
    vocabulary: Vocabulary
    surveys: Mapping[str, Survey] = field(default_factory=dict)
    sequences: Mapping[str, SequenceFile] = field(default_factory=dict)
    events: Mapping[str, EventFile] = field(default_factory=dict)
    places: Mapping[str, Document] = field(default_factory=dict)  # campaign → its file, for what is found wrong later

    def event(self, name: str) -> EventFile:
        """The event called `name`.

        Raises:
            NotFound: there is none; near misses are named.
        """
        if name not in self.events:
            raise NotFound(f"no event {name!r}", hint=did_you_mean(name, self.events))
        return self.events[name]

    @property
    def passage_vocabulary(self) -> Vocabulary:
        """The names that rules of sequences may use."""
        return replace(self.vocabulary, passage=True)

    def sequence(self, name: str) -> SequenceFile:
        """The sequence called `name`.

        Raises:
            NotFound: there is none; near misses are named.
        """
        if name not in self.sequences:
            raise NotFound(f"no sequence {name!r}", hint=did_you_mean(name, self.sequences))
        return self.sequences[name]

    def campaign(self, name: str) -> CampaignFile:
        """The campaign called `name`.

        Raises:
            NotFound: there is none; near misses are named.
        """
        if name not in self.campaigns:
            raise NotFound(f"no campaign {name!r}", hint=did_you_mean(name, self.campaigns))
        return self.campaigns[name]


@dataclass(slots=True)
class _Names:
    """The names that campaign files may use, also when clarion.yaml itself has mistakes."""

    topics: frozenset[str]
    senders: frozenset[str]
    transports: frozenset[str]  # and routes
    staff: frozenset[str]
    endpoints: frozenset[str]


def load(workspace: Workspace) -> Catalogue:
    """Every definition of the workspace.

    Raises:
        ConfigError: with every problem of every file.
    """
    catalogue, problems = examine(workspace)
    raise_if(problems)
    assert catalogue is not None  # noqa: S101  no problems means it could be built
    return catalogue


def examine(workspace: Workspace) -> tuple[Catalogue | None, list[Problem]]:
    """The definitions, or None where they cannot be used, and every problem of every file, sorted by place."""
    settings, document = workspace.read_settings()
    sound = settings or sound_part(Settings, document)
    names = _names_in(sound, document)
    segments, segment_problems = load_segments(workspace)
    sources, template_problems = load_templates(workspace)
    files = Folder(workspace.root / TEMPLATES_FOLDER, sound.attachments.max_size)
    organisation, tracking = settings.organisation if settings else NOBODY, sound.tracking
    templates = Templates(sources, organisation, tracking.opens, tracking.clicks, files)
    campaigns, campaign_problems = _load_campaigns(workspace)
    surveys, survey_problems = load_surveys(workspace)
    events, event_problems = load_events(workspace)
    vocabulary = Vocabulary(segments, names.topics, frozenset(campaigns))
    used_by = _templates_by_class(campaigns)
    problems = [
        *document.problems,
        *_check_keys(sound, document, workspace),
        *token_mistakes(sound, document, workspace.root),
        *segment_problems,
        *template_problems,
        *campaign_problems,
        *survey_problems,
        *event_problems,
        *event_mistakes(events.values(), names, sources),
        *page_link_mistakes(sources, surveys, events),
        *check_segments(vocabulary),
        *_check_pages(sound, document, campaigns),
        *_check_permitted(sound.transactional, document, campaigns),
        *check_templates(
            templates,
            transactional=used_by[TRANSACTIONAL] | templates_of(events.values()),
            bulk=used_by["bulk"],
            sequences=used_by[SEQUENCE],
        ),
        *(problem for campaign in campaigns.values() for problem in _cross_check(campaign, names, segments, sources)),
        *sequence_mistakes(
            {name: campaign.document for name, campaign in campaigns.items() if is_sequence(campaign.document)},
            replace(vocabulary, passage=True),
            names,
            sources,
        ),
    ]
    problems = sorted(set(problems))
    if settings is None:
        return None, problems
    good, sequences = _good(campaigns.values(), CampaignFile), _good(campaigns.values(), SequenceFile)
    held = {name: event.definition for name, event in events.items() if event.definition is not None}
    places = {name: campaign.document for name, campaign in campaigns.items()}
    return Catalogue(settings, segments, templates, files, good, vocabulary, surveys, sequences, held, places), problems


def _good(files: Iterable[Campaign], model: type[ModelT]) -> dict[str, ModelT]:
    """The definitions of this kind, by name."""
    return {file.name: file.definition for file in files if isinstance(file.definition, model)}


def _templates_by_class(campaigns: Mapping[str, Campaign]) -> dict[str, set[str]]:
    """The templates that campaigns of each class send, also of files with mistakes in other places."""
    found: dict[str, set[str]] = {TRANSACTIONAL: set(), "bulk": set(), SEQUENCE: set()}
    for campaign in campaigns.values():
        if is_sequence(campaign.document):
            found[SEQUENCE] |= set(templates_sent(campaign.document))
            continue
        template = _value_at(campaign.document.content, ("send", "template"))
        if isinstance(template, str):
            is_owed = _value_at(campaign.document.content, ("kind",)) == TRANSACTIONAL
            found[TRANSACTIONAL if is_owed else "bulk"].add(template)
    return found


def _check_keys(settings: Settings, document: Document, workspace: Workspace) -> list[Problem]:
    """The keys that sign are there, and of the senders' domains; of a sender with a mistake that is not known."""
    if not settings.dkim or settings.senders.keys() != document.names("senders"):
        return []
    from delivery.dkim.problems import dkim_problems  # only who signs loads `cryptography`

    return dkim_problems(settings, document, workspace.root)


def _names_in(settings: Settings, document: Document) -> _Names:
    topics, senders, transports, routes, staff, endpoints = (
        names_in(section, settings, document)
        for section in ("topics", "senders", "transports", "routes", "staff", "endpoints")
    )
    return _Names(topics, senders, transports | routes, staff, endpoints)


def _check_pages(settings: Settings, document: Document, campaigns: Mapping[str, Campaign]) -> list[Problem]:
    """The campaigns that carry the links of the public pages, or acknowledge inquiries, are owed to one person."""
    problems = []
    for path, name in (*campaigns_named(settings.forms, settings.pages), *acknowledging(settings.inquiries)):
        found = campaigns.get(name)
        if found is None:
            problems.append(document.problem(path, f"no campaign {name!r}", did_you_mean(name, campaigns)))
        elif found.definition is not None and _class_of(found) != TRANSACTIONAL:
            text = f"{'.'.join(map(str, path))}: {name!r} is not transactional (its kind is {found.definition.kind!r})"
            problems.append(document.problem(path, text, "it goes to one person"))
    return problems


def _check_permitted(
    permitted: tuple[str, ...] | None, document: Document, campaigns: Mapping[str, Campaign]
) -> Iterator[Problem]:
    """Who writes campaign files cannot send marketing as what is owed: where clarion.yaml names the campaigns that may
    be sent without consent, no other one may (S-2.24)."""
    if permitted is None:
        return
    for at, name in enumerate(permitted):
        if name not in campaigns:
            yield document.problem(("transactional", at), f"no campaign {name!r}", did_you_mean(name, campaigns))
    for name, campaign in campaigns.items():
        if _class_of(campaign) != TRANSACTIONAL or name in permitted:
            continue
        text = f"{name!r} may not be sent without consent (`transactional` of clarion.yaml does not name it)"
        yield campaign.document.problem(("kind",), text, "name it there, or give it a topic and an audience")


def _class_of(campaign: Campaign) -> str | None:
    """The class of its messages; None of a file with mistakes."""
    if isinstance(campaign.definition, CampaignFile):
        return campaign.definition.message_class
    return None if campaign.definition is None else "bulk"


def _load_campaigns(workspace: Workspace) -> tuple[dict[str, Campaign], list[Problem]]:
    found: dict[str, Campaign] = {}
    problems: list[Problem] = []
    for path in workspace.files("campaigns", ".yaml", ".yml"):
        shown = workspace.shown(path)
        document = read_document(path, shown)
        definition = build(SequenceFile, document) if is_sequence(document) else build(CampaignFile, document)
        problems += document.problems
        if not re.fullmatch(NAME_PATTERN, path.stem):
            problems.append(Problem(shown, 0, f"{path.stem!r} is no campaign name", "use a–z, 0–9, '-' and '_'"))
        if path.stem in found:
            other = found[path.stem].document.file
            problems.append(
                Problem(shown, 0, f"duplicate name {path.stem!r} (also {other})", "rename one of the files")
            )
            continue
        found[path.stem] = Campaign(path.stem, definition, document)
    return found, problems


def _cross_check(
    campaign: Campaign,
    names: _Names,
    segments: Mapping[str, Segment],
    templates: Mapping[str, TemplateSource],
) -> Iterable[Problem]:
    """The names a campaign file uses exist. Works on the raw content, so that it speaks beside other mistakes."""
    content = campaign.document.content
    if not isinstance(content, dict) or is_sequence(campaign.document):
        return
    audience, send = content.get("audience"), content.get("send")
    wanted: list[tuple[tuple[str | int, ...], str, Iterable[str]]] = [(("topic",), "topic", names.topics)]
    if isinstance(audience, dict):
        wanted.append((("audience", "segment"), "segment", segments))
        listed = audience.get("exclude")
        excluded = listed if isinstance(listed, list) else []
        wanted += [(("audience", "exclude", index), "segment", segments) for index in range(len(excluded))]
    if isinstance(send, dict):
        wanted += [
            (("send", "template"), "template", [n for n in templates if "/" not in n] or templates),
            (("send", "from"), "sender", names.senders),
            (("send", "transport"), "transport", names.transports),
        ]
    for path, noun, known in wanted:
        value = _value_at(content, path)
        everything = templates if noun == "template" else known
        if isinstance(value, str) and value not in everything:
            named = "of this name" if campaign.document.hides(path) else quoted(value)
            yield campaign.document.problem(path, f"no {noun} {named}", did_you_mean(value, known))


def _value_at(content: Any, path: tuple[str | int, ...]) -> object:
    """What stands at `path`; None where there is nothing of that kind."""
    for part in path:
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):
            return None
    return content
