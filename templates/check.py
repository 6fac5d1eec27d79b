"""Every mistake in every template, without a customer; and remarks on what works but could be better."""

import re
from collections.abc import Collection, Mapping
from typing import Final

from core.errors import ConfigError, Problem
from core.settings import Organisation
from core.units import format_size
from templates.chunks import Chunk, Kind, cut, script_of
from templates.definition import Definition, parse_definition
from templates.layouts import named_in
from templates.links import attributes_of
from templates.mailing import Mailing, Templates
from templates.variables import syntax_problems

#: Gmail cuts a message off after this many bytes of HTML, and with it the unsubscribe link (S-2.26).
CLIPPED_AT: Final = 102_000
_LONG_SUBJECT: Final = 90
#: Files above this many octets together are remarked on: large mail to many is slow, and often held for spam.
_LARGE_FILES: Final = 1_000_000
#: Stands for one that cannot be read, in checks.
NOBODY: Final = Organisation(name="Organisation", postal_address="Street 1, 12345 Town")


def check_templates(
    templates: Templates,
    *,
    transactional: Collection[str] = (),
    bulk: Collection[str] = (),
    sequences: Collection[str] = (),
) -> list[Problem]:
    """Every mistake in every template, sorted by place.

    `transactional`, `bulk` and `sequences` name the templates that campaigns of that kind send; one that none sends is
    bulk.
    Mailings are checked whole, with their layouts. A file without front matter that another one names, or that
    lies in a folder, is a part: it is checked where it is used, and for syntax alone where it is not. A text that is
    attached somewhere is no template.
    """
    definitions = {name: parse_definition(source)[0] for name, source in templates.sources.items()}
    attached = {entry.file for definition in definitions.values() for entry in definition.front.attachments}
    parts = _parts(definitions) - attached
    whole = set(definitions) - parts - attached
    asked = [
        *((name, True, False) for name in whole.intersection(transactional)),
        *((name, False, True) for name in whole.intersection(sequences)),
        *((name, False, False) for name in whole.difference(transactional, sequences) | whole.intersection(bulk)),
    ]
    used: set[str] = set()
    problems: list[Problem] = []
    for name, is_owed, given in asked:
        try:
            used.update(templates.mailing(name, transactional=is_owed, given=given).uses)
        except ConfigError as error:
            problems += error.problems
    for name in parts - used:
        problems += _part_problems(definitions[name])
    return sorted(set(problems))


def _parts(definitions: Mapping[str, Definition]) -> set[str]:
    """The names of the files that are no mailings of their own."""
    named: set[str] = set()
    for name, definition in definitions.items():
        chunks, _ = cut(definition.body, definition.source.file)
        named |= {other for chunk in chunks if (other := named_in(chunk)) is not None}
        named |= {other for other in (definition.front.layout, definition.front.text) if other}
        if not name.endswith(".txt"):
            named.add(re.sub(r"\.\w+$", ".txt", name))
    return {
        name for name, definition in definitions.items() if not definition.has_front and (name in named or "/" in name)
    }


def _part_problems(definition: Definition) -> list[Problem]:
    """The mistakes that show without knowing where the part is used: what it may name depends on that."""
    chunks, problems = cut(definition.body, definition.source.file, definition.body_line)
    written = [chunk for chunk in chunks if chunk.keyword not in ("extends", "include", "block", "endblock")]
    calls_layout = re.compile(r"\s*super\s*\(\s*\)\s*")
    kept: list[Chunk] = [c for c in written if not (c.kind is Kind.PRINT and calls_layout.fullmatch(c.text))]
    return problems or syntax_problems(script_of(kept), html=definition.source.suffix != ".txt")


def lint_mailing(mailing: Mailing) -> list[str]:
    """Remarks on a mailing that can be sent as it is, one line each."""
    remarks: list[str] = []
    if mailing.outline is not None and mailing.html is not None:
        remarks += _picture_remarks(mailing.outline)
        size = len(mailing.html.script.text.encode())
        if size > CLIPPED_AT:
            remarks.append(
                f"the HTML has about {size // 1000} KB; Gmail shows {CLIPPED_AT // 1000} KB and hides the rest, "
                "with the unsubscribe link"
            )
        if mailing.preheader is None:
            remarks.append("there is no preheader; mail clients will show the first words of the text")
    files = {asset.digest: asset.size for asset in (*mailing.images, *(each.asset for each in mailing.attachments))}
    if (total := sum(files.values())) > _LARGE_FILES:
        remarks.append(f"its files add {format_size(total)} to every message; a link to a web server adds nothing")
    if "postal_address" not in mailing.text.script.text:
        remarks.append("the postal address of the organisation is not in the text; the law often asks for it")
    subject = "".join(part for part in mailing.subject.script.parts if not part.startswith(("{{", "{%")))
    if len(subject) > _LONG_SUBJECT:
        remarks.append(f"the subject has {len(subject)} characters; about 50 are shown on a telephone")
    return remarks


def _picture_remarks(html: str) -> list[str]:
    tags = re.findall(r"<img\b[^>]*>", html)
    sources = [attributes_of(tag).get("src", "") for tag in tags if "alt" not in attributes_of(tag)]
    return [f"the picture {source} has no alt text; many people see pictures only after a click" for source in sources]
