"""What the bodies of calls are made of: unknown keys are mistakes, texts can be kept, numbers are finite."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from core.addresses import Address, parse_address
from core.errors import AddressError
from core.ids import address_key
from core.plain_text import one_line
from customers.activities import Person
from customers.importing.values import MAX_KEY, Rejected, clean_key
from web.api.answers import Refusal
from web.form_fields import PERSONAL

_LARGEST: Final = 2**63
_YEARS: Final = range(1900, 3000)
_LONGEST: Final = 4000
_LARGEST_JSON: Final = 16_000


class Body(BaseModel):
    """The base of everything in a body."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)


def _kept(text: str) -> str:
    if "\x00" in text:
        raise ValueError("the character U+0000 cannot be kept")
    return text


def _scalar(value: object) -> object:
    """A value that can be kept as JSON, and compared."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str) and len(value) <= _LONGEST:
        return _kept(value)
    if isinstance(value, int | float) and abs(value) < _LARGEST:  # which NaN is not
        return value
    raise ValueError(f"expected a text of at most {_LONGEST:,} characters, a number, true, false or null")


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("expected one line of printable characters")
    return text.strip()


def sensible_time(at: AwareDatetime) -> AwareDatetime:
    """The time, if it is one that people date things with."""
    if at.year not in _YEARS or abs(at.utcoffset() or timedelta()) > timedelta(hours=16):
        raise ValueError(f"expected a time of the years {_YEARS[0]} to {_YEARS[-1]}")
    return at


def _address(text: str) -> str:
    try:
        return parse_address(text).email
    except AddressError as error:
        raise ValueError(f"expected an e-mail address: {error.message}") from None


Text = Annotated[str, AfterValidator(_kept)]
Line = Annotated[str, AfterValidator(_one_line), Field(min_length=1, max_length=200)]
Email = Annotated[str, AfterValidator(_address), Field(max_length=320)]
Scalar = Annotated[
    Any,
    BeforeValidator(_scalar),
    WithJsonSchema({"anyOf": [{"type": kind} for kind in ("string", "number", "boolean", "null")]}),
]
#: Properties, or answers, by name.
Values = Annotated[dict[Line, Scalar], Field(max_length=100)]


class Who(Body):
    """A customer, by the external id, the e-mail address, or both: the id goes first."""

    external_id: Annotated[Line, Field(max_length=MAX_KEY)] | None = None
    email: Email | None = None

    @model_validator(mode="after")
    def _names_somebody(self) -> "Who":
        if self.external_id is None and self.email is None:
            raise ValueError("expected external_id, email, or both")
        return self

    def person(self, secret: bytes) -> Person:
        """Whom it names, as imports read it: an address in the place of the id serves too."""
        name = _key_of(self.external_id)
        mailbox = _mailbox(self.email or (name if name and "@" in name else None))
        if mailbox is None:
            return Person(name or "", None)
        is_named_by_address = not name or name in (mailbox.email, mailbox.comparable)
        return Person(
            mailbox.comparable if is_named_by_address or name is None else name,
            address_key(secret, mailbox.comparable),
        )


def with_plain_names(told: Mapping[str, Any]) -> dict[str, Any]:
    """The same, with what people tell of themselves in one line each: it comes into headers of mails."""
    return {
        name: one_line(value) if name in PERSONAL and isinstance(value, str) else value for name, value in told.items()
    }


def kept_json(values: Mapping[str, Any], at: str) -> dict[str, Any]:
    """The values, which can be kept as JSON whatever is in them.

    Raises:
        Refusal: they cannot.
    """
    try:
        written = json.dumps(dict(values), allow_nan=False)
    except (ValueError, RecursionError):
        raise Refusal(422, "invalid", f"{at} holds a number that is none") from None
    if "\\u0000" in written or len(written) > _LARGEST_JSON:
        raise Refusal(422, "invalid", f"{at} is larger than {_LARGEST_JSON:,} characters, or holds U+0000")
    return dict(values)


def _key_of(text: str | None) -> str | None:
    try:
        return clean_key(text) if text else None
    except Rejected:
        return text


def _mailbox(text: str | None) -> Address | None:
    try:
        return parse_address(text) if text else None
    except AddressError:
        return None
