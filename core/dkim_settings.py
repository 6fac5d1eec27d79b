"""The section `dkim` of `clarion.yaml`: with which keys the mail of a domain is signed."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from core.addresses import parse_address
from core.errors import AddressError
from core.units import Unfit, quoted
from core.yaml_files import Section

_LABEL: Final = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_SELECTOR: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")  # RFC 6376 section 3.1: labels of a domain name
_LONGEST_SELECTOR: Final = 63


def checked_selector(text: str) -> str:
    """`text`, which is the name of a key in DNS.

    Raises:
        Unfit: it is none.
    """
    if len(text) > _LONGEST_SELECTOR or not _SELECTOR.fullmatch(text):
        raise Unfit(quoted(text), "a selector of a–z, 0–9 and '-', such as 's2026a'")
    return text


def checked_domain(text: str) -> str:
    """The domain as A-labels, in lower case.

    Raises:
        Unfit: mail cannot be sent from it.
    """
    try:
        return parse_address(f"postmaster@{text}").domain
    except AddressError:
        raise Unfit(quoted(text), "a domain such as 'paper.example'") from None


def _path(text: str) -> str:
    if not text or "-----" in text or "\n" in text:
        raise Unfit("no path", "the path of a file; a key itself goes into 'key: ${VARIABLE}'")
    return text


class DkimKey(Section):
    """One private key and its selector: the public half stands in DNS under `SELECTOR._domainkey.DOMAIN`.

    Either `file` or `key` is given.
    """

    selector: Annotated[str, AfterValidator(checked_selector)]
    file: Annotated[str, AfterValidator(_path)] | None = None  # its path; a relative one begins at the workspace
    key: str | None = Field(None, repr=False)  # the key itself in PEM, from the environment: `${DKIM_KEY}`
    signs: bool = True  # false: prepared for later, or retired; its record is in DNS all the same

    @model_validator(mode="after")
    def _names_one_key(self) -> "DkimKey":
        if (self.file is None) == (self.key is None):
            raise Unfit("both or neither", "either 'file' or 'key'")
        return self


class DkimDomain(Section):
    """The keys of one domain. Those that sign all sign each message: one of RSA, and one of Ed25519 if wished."""

    keys: Annotated[list[DkimKey], Field(min_length=1)]

    @model_validator(mode="after")
    def _has_distinct_selectors(self) -> "DkimDomain":
        if len({key.selector for key in self.keys}) < len(self.keys):
            raise Unfit("a selector twice", "each selector once")
        return self


def _distinct(sections: object) -> object:
    """Two spellings of one domain would hide each other."""
    spelled = [str(name).lower().rstrip(".") for name in sections] if isinstance(sections, dict) else []
    if len(set(spelled)) < len(spelled):
        raise Unfit("a domain twice", "each domain once")
    return sections


Domain = Annotated[str, AfterValidator(checked_domain)]
DkimSettings = Annotated[dict[Domain, DkimDomain], BeforeValidator(_distinct)]
