"""A mailing: compiled once from its template, rendered for each customer.

Compiling does everything that does not depend on the person: layouts, MJML, CSS, the text part, the footer, the
list of links. What is left per message is running four small Jinja programs.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from core.errors import RenderError
from core.settings import Organisation
from templates.budget import BUDGET, Budget
from templates.characters import escaped, in_ascii
from templates.compiling import compile_parts
from templates.definition import TemplateSource
from templates.files import NO_FILES, Asset, Attachment, Shelf
from templates.page_links import FUNCTIONS, functions
from templates.program import Program
from templates.remembering import SAID, in_html
from templates.sandbox import GLOBALS

#: CR, LF and every other control or line separator: none may reach a header (S-2.1).
_STYLES: Final = re.compile(r"<style\b.*?</style>", re.DOTALL | re.IGNORECASE)
_NOT_IN_HEADERS: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class Urls(Protocol):
    """Where the links of one message lead."""

    @property
    def unsubscribe(self) -> str: ...

    @property
    def preferences(self) -> str: ...

    @property
    def view(self) -> str: ...

    @property
    def pixel(self) -> str | None: ...

    def survey(self, name: str) -> str:
        """The page of the survey for whoever gets the message."""
        ...

    def registration(self, name: str) -> str:
        """The page on which anybody registers for the event."""
        ...

    def clicks(self, targets: Sequence[str]) -> list[str]:
        """The addresses that record a click and lead to `targets`, the mailing's links in order."""
        ...

    def click(self, position: int | None, url: str) -> str:
        """The address that records a click and leads to `url`; position None: a target that holds values."""
        ...


@dataclass(frozen=True, slots=True)
class Rendered:
    """One message's content. `html` is None for a mailing of plain text; header texts are one line each."""

    subject: str
    preheader: str
    html: str | None
    text: str


@dataclass(slots=True)
class Draft:
    """One message while it is made: the values its template prints, and what was written so far."""

    values: dict[str, Any]
    subject: str = ""
    text: str = ""
    html: str | None = None


@dataclass(frozen=True, slots=True)
class Mailing:
    """A compiled mailing.

    `links`: the tracked static targets by position. `piece`: the fingerprint of what is said, without the person,
    the subject and the tracking. `uses`: the names of all workspace files it was made from. `outline`: the HTML
    with words in the place of code, for checks; None for plain text. `images`: the files the HTML may show,
    by `cid:` and their content ids; `attachments`: those beside the text.
    """

    name: str
    links: tuple[str, ...]
    piece: str
    uses: tuple[str, ...]
    outline: str | None
    images: tuple[Asset, ...]
    attachments: tuple[Attachment, ...]
    subject: Program = field(repr=False)
    preheader: Program | None = field(repr=False)
    html: Program | None = field(repr=False)
    text: Program = field(repr=False)
    constants: Mapping[str, Any] = field(repr=False)
    has_plain_styles: bool = True  # its style sheets hold ASCII only
    names_pages: bool = True  # it calls a function for a link to a page of ours

    def render(self, context: Mapping[str, object], urls: Urls) -> Rendered:
        """The mailing for one customer. Values are printed, never read as templates.

        Raises:
            RenderError: a value that is printed is empty, a link leads nowhere good, or the template takes too
                long; this message alone fails.
        """
        draft = self.begun(context, urls)
        self.write_text(draft)
        foretold = one_line(self.preheader.run(draft.values)) if self.preheader else ""
        self.write_html(draft)
        return Rendered(draft.subject, foretold, draft.html, draft.text)

    def begun(self, context: Mapping[str, object], urls: Urls) -> Draft:
        """A draft for one customer in which nothing is written yet."""
        return Draft({
            **self.constants,
            **context,
            "unsubscribe_url": urls.unsubscribe,
            "preferences_url": urls.preferences,
            "view_url": urls.view,
            **(functions(urls.survey, urls.registration) if self.names_pages else {}),
            "_pixel": escaped(urls.pixel) if urls.pixel else None,
            "_urls": urls,
            "_clicks": urls.clicks(self.links),
            BUDGET: Budget(),
            SAID: {},
        })  # fmt: skip

    def write_text(self, draft: Draft) -> None:
        """The draft holds its subject and its text.

        Raises:
            RenderError: as for `render`.
        """
        draft.subject = one_line(self.subject.run(draft.values))
        if not draft.subject:
            raise RenderError("the subject is empty", where=self.name)
        draft.text = self.text.run(draft.values).strip("\n") + "\n"

    def write_html(self, draft: Draft) -> None:
        """The draft, whose text is written, holds its HTML, if there is any.

        Raises:
            RenderError: as for `render`.
        """
        if self.html is None:
            return
        values = draft.values
        values["_clicks"] = escaped("\0".join(values["_clicks"])).split("\0")  # no address holds it
        values[SAID] = in_html(values[SAID], as_ascii=self.has_plain_styles)
        html = self.html.run(values)
        draft.html = in_ascii(html) if self.has_plain_styles else html


def one_line(text: str) -> str:
    """`text` as a header takes it: runs of blanks, line breaks and control characters are one blank (S-2.1)."""
    if text.isascii() and text.isprintable() and "  " not in text:  # so it is one already
        return text.strip(" ")
    return _NOT_IN_HEADERS.sub(" ", text).strip()


@dataclass(slots=True)
class Templates:
    """Templates as they were read, with what all mailings made of them share; each of these is compiled once.

    Made anew by whoever reads the files again: it lives no longer than a command.
    """

    sources: Mapping[str, TemplateSource]
    organisation: Organisation
    opens: bool = True
    clicks: bool = True
    files: Shelf = NO_FILES
    _compiled: dict[tuple[str, str | None, bool, bool], Mailing] = field(default_factory=dict, repr=False)

    def mailing(
        self, name: str, *, subject: str | None = None, transactional: bool = False, given: bool = False
    ) -> Mailing:
        """What `compile_mailing` makes of the template `name`.

        Raises:
            ConfigError: with every mistake, each at its file and line.
        """
        asked = name, subject, transactional, given
        if asked not in self._compiled:
            self._compiled[asked] = compile_mailing(
                name, self.sources, organisation=self.organisation, opens=self.opens, clicks=self.clicks,
                subject=subject, transactional=transactional, given=given, files=self.files,
            )  # fmt: skip
        return self._compiled[asked]


def compile_mailing(
    name: str,
    sources: Mapping[str, TemplateSource],
    *,
    organisation: Organisation,
    opens: bool,
    clicks: bool,
    subject: str | None = None,
    transactional: bool = False,
    given: bool = False,
    files: Shelf = NO_FILES,
) -> Mailing:
    """The mailing made of the template `name`; `subject` replaces the one of its front matter.

    A transactional one is rendered with `given` in its context, and has no unsubscribe link; `given`: so is
    this one, a step of a sequence. `files` are those it may attach or show.

    Raises:
        ConfigError: with every mistake, each at its file and line.
    """
    parts = compile_parts(
        name, sources, organisation=organisation, opens=opens, clicks=clicks, subject=subject,
        transactional=transactional, given=given, files=files,
    )  # fmt: skip
    programs = (parts.subject, parts.preheader, parts.html, parts.text)
    constants = {**GLOBALS, "_language": organisation.language, "_zone": organisation.zone}
    return Mailing(
        name=name,
        links=parts.links,
        piece=parts.piece,
        uses=parts.uses,
        outline=parts.outline,
        images=parts.images,
        attachments=parts.attachments,
        subject=parts.subject,
        preheader=parts.preheader,
        html=parts.html,
        text=parts.text,
        constants=constants,
        has_plain_styles=all(style.isascii() for style in _STYLES.findall(parts.outline or "")),
        names_pages=any(name in program.script.text for program in programs if program for name in FUNCTIONS),
    )
