"""Links to pages of ours that templates name by a function: `survey_url('nps', likely=9)`, `registration_url('fair')`.

What a link names is checked when the files are read (`page_links_in`); its address is made for each message.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from core.errors import RenderError
from templates.definition import TemplateSource

SURVEY: Final = "survey_url"
REGISTRATION: Final = "registration_url"
FUNCTIONS: Final = frozenset({SURVEY, REGISTRATION})
_CALL: Final = re.compile(rf"\b({SURVEY}|{REGISTRATION})\s*\(\s*(?:([\"'])([^\"']*)\2([^()]*))?")
_KEYWORD: Final = re.compile(r",\s*(\w+)\s*=")


@dataclass(frozen=True, slots=True)
class PageLink:
    """A function of templates: the address of the page that is named, with answers it is to show chosen."""

    address: Callable[[str], str]
    takes_answers: bool

    def __call__(self, name: object, /, **answers: object) -> str:
        if not isinstance(name, str) or (answers and not self.takes_answers):
            raise RenderError("a link to a page names it in quotes, such as survey_url('nps', likely=9)")
        query = urlencode({key: str(value) for key, value in answers.items()})
        return f"{self.address(name)}?{query}" if query else self.address(name)


@dataclass(frozen=True, slots=True)
class Named:
    """A page that a template links to. `name` None: it is not written out. `answers`: the questions it answers."""

    function: str
    name: str | None
    answers: tuple[str, ...]
    line: int


def page_links_in(source: TemplateSource) -> Iterator[Named]:
    """Every page the template links to by a function."""
    for found in _CALL.finditer(source.text):
        line = source.text.count("\n", 0, found.start()) + 1
        yield Named(found[1], found[3], tuple(_KEYWORD.findall(found[4] or "")), line)


def functions(survey: Callable[[str], str], registration: Callable[[str], str]) -> Mapping[str, PageLink]:
    """What templates can call."""
    return {SURVEY: PageLink(survey, takes_answers=True), REGISTRATION: PageLink(registration, takes_answers=False)}
