"""`api` in `clarion.yaml`: the programs that may call the HTTP API, what for, and how often."""

import hashlib
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints, model_validator

from core.field_types import Name
from core.yaml_files import Section

Scope = Literal["activities", "enrolments", "registrations", "inquiries"]
#: A key is at least this long: nobody guesses it, and its hash can stand in a file.
SHORTEST_KEY: Final = 32


def hash_of(key: str) -> str:
    """The SHA-256 of an API key, in hexadecimal digits: all that has to be kept of it (S-9.11)."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


class ApiKey(Section):
    """One program that calls. `clarion api-key` makes its key, of which the hash alone stands here."""

    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = Field(None, repr=False)
    key: Annotated[str, StringConstraints(min_length=SHORTEST_KEY)] | None = Field(None, repr=False)  # … or `${NAME}`
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    per_minute: Annotated[int, Field(ge=1, le=1_000_000)] = 600

    @model_validator(mode="after")
    def _has_one(self) -> "ApiKey":
        if (self.sha256 is None) == (self.key is None):
            raise ValueError("expected one of sha256 and key")
        return self

    @property
    def hash(self) -> str:
        """The hash of its key."""
        return self.sha256 if self.sha256 is not None else hash_of(self.key or "")


class Api(Section):
    """The HTTP API, at `/api/v1`. Without keys it is not there."""

    keys: dict[Name, ApiKey] = Field({})
