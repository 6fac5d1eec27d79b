"""From a template to the programs that are run per message: the steps, in their order.

layouts → names and syntax → MJML → frame (preheader, footer, pixel) → CSS → links → text part → programs
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

import css_inline

from core.errors import ConfigError, Problem
from core.names import did_you_mean
from core.settings import Organisation
from core.workspace import raise_if
from templates import mjml
from templates.attaching import attachments_of, size_problems
from templates.characters import filler_in_ascii
from templates.chunks import Chunk, Kind, cut, script_of
from templates.definition import Definition, TemplateSource, parse_definition
from templates.files import NO_FILES, Asset, Attachment, Shelf
from templates.frame import footer, framed, links_back, names_sender
from templates.layouts import Flat, Flattener
from templates.links import Links
from templates.masking import Mask, hide_in_html, hide_in_text
from templates.pieces import piece_of, said_by
from templates.plain_text import text_of
from templates.program import Program
from templates.variables import check_script

_INLINER: Final = css_inline.CSSInliner(keep_style_tags=True, keep_at_rules=True, load_remote_stylesheets=False)
_UNWANTED: Final = re.compile(r"<(script|iframe|object|embed|applet|base)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a mailing is made of; the fields are those of `Mailing`."""

    subject: Program
    preheader: Program | None
    html: Program | None
    text: Program
    links: tuple[str, ...]
    piece: str
    uses: tuple[str, ...]
    outline: str | None
    images: tuple[Asset, ...]
    attachments: tuple[Attachment, ...]


@dataclass(slots=True)
class _Texts:
    """A mailing as it was written, flat."""

    definition: Definition
    subject: list[Chunk]
    preheader: list[Chunk]
    body: Flat
    text: Flat | None
    uses: tuple[str, ...]
    transactional: bool
    given: bool

    def closing(self, chunks: Sequence[Chunk], suffix: str, language: str) -> list[Chunk]:
        """The footer that `chunks` lack; none where they say themselves what it would."""
        has_own = names_sender(chunks) if self.transactional else links_back(chunks)
        return [] if has_own else footer(suffix, language, transactional=self.transactional)


def compile_parts(
    name: str,
    sources: Mapping[str, TemplateSource],
    *,
    organisation: Organisation,
    opens: bool,
    clicks: bool,
    subject: str | None,
    transactional: bool = False,
    given: bool = False,
    files: Shelf = NO_FILES,
) -> Parts:
    """The programs of the template `name`.

    Transactional ones may name `given`, what came with the order to send; they have no unsubscribe link. `given`: so
    may this one, a step of a sequence.

    Raises:
        ConfigError: with every mistake, each at its file and line.
    """
    if name not in sources:
        raise ConfigError(f"there is no template {name!r}", hint=did_you_mean(name, sources))
    texts, problems = _read(sources[name], sources, subject, transactional=transactional, given=given)
    attachments, missing = attachments_of(texts.definition, files)
    raise_if(sorted({*problems, *missing, *_check(texts)}))
    mask = Mask.of(chunk.text for flat in (texts.body, texts.text) if flat for chunk in [*flat.prologue, *flat.body])
    links = Links(mask, [*texts.body.written, *texts.body.body], clicks, files)
    if texts.definition.source.suffix == ".txt":
        html, outline, text = None, None, _written_text(texts, texts.body, links, organisation)
        said = hide_in_text(texts.body.body, mask)
    else:
        page = _page(texts, mask)
        said = said_by(page, mask)
        outline = _finished(page, texts, mask, organisation, opens=opens)
        rewritten = links.rewrite(outline)
        text = _text_part(texts, outline, links, organisation)
        html = mask.script(_settings(texts.body), rewritten)
    raise_if(links.problems)
    assets = [*links.images, *(attachment.asset for attachment in attachments)]
    raise_if(size_problems(texts.definition, assets, files))
    return Parts(
        subject=Program.of(script_of([*_settings(texts.body), *texts.subject]), html=False),
        preheader=_optional([*_settings(texts.body), *texts.preheader]) if texts.preheader else None,
        html=Program.of(html, html=True) if html else None,
        text=Program.of(mask.script(_settings(texts.text or texts.body), text), html=False),
        links=tuple(links.targets),
        piece=piece_of(said, mask, assets),
        uses=texts.uses,
        outline=outline,
        images=tuple(links.images),
        attachments=attachments,
    )


def _optional(chunks: Sequence[Chunk]) -> Program:
    return Program.of(script_of(chunks), html=False)


def _read(
    source: TemplateSource,
    sources: Mapping[str, TemplateSource],
    subject: str | None,
    *,
    transactional: bool,
    given: bool,
) -> tuple[_Texts, list[Problem]]:
    """The files behind the mailing, and what in them cannot be read or found."""
    definition, problems = parse_definition(source)
    flattener = Flattener(sources)
    body = flattener.flatten(definition)
    written = subject if subject is not None else definition.front.subject
    if written is None:
        problems.append(Problem(source.file, 1, "the mailing has no subject", "write 'subject: …' between '---' lines"))
    subject_line = 0 if subject is not None else definition.lines.get("subject", 1)
    texts = _Texts(
        definition,
        _cut(written or "", source.file, subject_line, problems),
        _cut(definition.front.preheader or "", source.file, definition.lines.get("preheader", 1), problems),
        body,
        _separate_text(definition, sources, flattener, problems),
        (),
        transactional,
        given,
    )
    texts.uses = tuple(flattener.uses)
    return texts, [*problems, *flattener.problems]


def _cut(text: str, file: str, line: int, problems: list[Problem]) -> list[Chunk]:
    chunks, found = cut(text, file, line)
    problems += found
    return chunks


def _separate_text(
    definition: Definition,
    sources: Mapping[str, TemplateSource],
    flattener: Flattener,
    problems: list[Problem],
) -> Flat | None:
    """The template of the text part: the one named by `text:`, or the file beside it with `.txt`."""
    source = definition.source
    if source.suffix == ".txt":
        return None
    named = definition.front.text
    name = named or PurePosixPath(source.name).with_suffix(".txt").as_posix()
    if name in sources:
        separate, found = parse_definition(sources[name])
        problems += found
        return flattener.flatten(separate)
    if named:
        hint = did_you_mean(named, [other for other in sources if other.endswith(".txt")])
        problems.append(Problem(source.file, definition.lines.get("text", 1), f"there is no template {named!r}", hint))
    return None


def _check(texts: _Texts) -> list[Problem]:
    """Syntax and names of every text of the mailing."""
    html = texts.definition.source.suffix != ".txt"
    settings = _settings(texts.body)
    written = [
        ([*settings, *texts.subject], False),
        ([*settings, *texts.preheader], False),
        ([*texts.body.prologue, *texts.body.body], html),
    ]
    if texts.text is not None:
        written.append(([*texts.text.prologue, *texts.text.body], False))
    problems: set[Problem] = set()
    for chunks, is_html in written:
        script, asked = script_of(chunks), {"transactional": texts.transactional, "given": texts.given}
        problems.update(check_script(script, html=is_html, **asked))
    return sorted(problems)


def _settings(flat: Flat) -> list[Chunk]:
    """The `{% set name = … %}`s that stand before everything; macros are part of the page."""
    return [chunk for chunk in flat.prologue if chunk.keyword == "set" and "=" in chunk.text]


def _macros(flat: Flat) -> list[Chunk]:
    settings = _settings(flat)
    return [chunk for chunk in flat.prologue if chunk not in settings]


def _page(texts: _Texts, mask: Mask) -> str:
    """The mailing as masked HTML.

    Raises:
        ConfigError: MJML's mistakes, values where escaping cannot protect them, elements no mail client runs.
    """
    chunks = texts.body.body
    parts, problems = hide_in_html(chunks, mask)
    places = mjml.Places(chunks, parts)
    page = "".join(parts)
    for match in _UNWANTED.finditer(page):
        problems.append(places.problem(match.start(), f"<{match.group(1)}> does not work in mail", "leave it out"))
    for chunk in _macros(texts.body):
        if chunk.kind is Kind.DATA and (unwanted := _UNWANTED.search(chunk.text)):
            problems.append(chunk.problem(f"<{unwanted.group(1)}> does not work in mail", "leave it out"))
    if texts.definition.source.suffix == ".mjml":
        masked = page
        page, found = mjml.to_html(masked, places)
        problems += found or _lost(mask.lost(masked, page), "MJML")
    raise_if(problems)
    return page


def _finished(page: str, texts: _Texts, mask: Mask, organisation: Organisation, *, opens: bool) -> str:
    """The page with all that is added to it and its CSS inlined, still masked.

    Raises:
        ConfigError: CSS that cannot be read, or code that stood where HTML keeps nothing.
    """
    closing = texts.closing(texts.body.body, ".html", organisation.language)
    page = framed(
        _in_language(page, organisation.language),
        mask,
        opening=_macros(texts.body),
        preheader=texts.preheader,
        footer_chunks=closing,
        opens=opens,
    )
    page = mask.commented(page)
    try:
        finished = filler_in_ascii(_INLINER.inline(page))
    except css_inline.InlineError as error:
        raise ConfigError(problems=[Problem(texts.definition.source.file, 0, f"CSS: {error}")]) from None
    raise_if(_lost(mask.lost(page, finished), "HTML"))
    return finished


def _in_language(page: str, language: str) -> str:
    """`page` with its language named: screen readers and translators ask for it."""
    named = re.sub(r'(<[^>]*\blang=)"und"', rf'\1"{language}"', page)
    return re.sub(r"<html(?![^>]*\blang=)", f'<html lang="{language}"', named, count=1, flags=re.IGNORECASE)


def _lost(chunks: Sequence[Chunk], language: str) -> list[Problem]:
    hint = "put it around whole elements, inside a quoted attribute value, or into text"
    return [
        chunk.problem(f"{{{{ {chunk.text.strip()} }}}} stands where {language} keeps nothing", hint)
        if chunk.kind is Kind.PRINT
        else chunk.problem(f"{{% {chunk.text.strip()} %}} stands where {language} keeps nothing", hint)
        for chunk in chunks
    ]


def _text_part(texts: _Texts, outline: str, links: Links, organisation: Organisation) -> str:
    """The masked text part: written by a person, or made from the HTML."""
    if texts.text is not None:
        return _written_text(texts, texts.text, links, organisation)
    return text_of(
        outline,
        link=lambda href, track: links.replacement(href, track=track, text=True),
        is_code=lambda comment: bool(re.fullmatch(links.mask.word_pattern, comment)),
    )


def _written_text(texts: _Texts, flat: Flat, links: Links, organisation: Organisation) -> str:
    chunks = [*_macros(flat), *flat.body, *texts.closing(flat.body, ".txt", organisation.language)]
    return links.rewrite_text(hide_in_text(chunks, links.mask))
