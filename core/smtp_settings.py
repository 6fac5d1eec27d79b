"""How one speaks to an SMTP relay: who logs in, how long an answer may take, by what name one says hello."""

import ipaddress
import re
import shlex
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from core.units import Duration, Unfit, format_duration, parse_duration, quoted
from core.yaml_files import Section

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_FULL_NAME = re.compile(rf"(?=.{{4,253}}$){_LABEL}(?:\.{_LABEL})+")
_NOBODYS = frozenset({"localhost", "localdomain"})


def is_full_name(text: str) -> bool:
    """Whether a server may hear it as the name of this machine: a full domain name, and not localhost (S-1.44)."""
    labels = text.lower().split(".")
    return bool(_FULL_NAME.fullmatch(text)) and not labels[-1].isdecimal() and not _NOBODYS & {labels[0], labels[-1]}


def _is_literal(text: str) -> bool:
    inner = text[1:-1].removeprefix("IPv6:")
    try:
        address = ipaddress.ip_address(inner)
    except ValueError:
        return False
    return text == (f"[{inner}]" if address.version == 4 else f"[IPv6:{inner}]")


def _hello_name(text: str) -> str:
    if not is_full_name(text) and not _is_literal(text):
        raise Unfit(quoted(text), "the full name of this machine such as 'mail.example.com', or '[192.0.2.1]'")
    return text


def _command_line(text: str) -> str:
    try:
        words = shlex.split(text)
    except ValueError:
        words = []
    if not words:
        raise Unfit("a command line that is not shown", "words as a shell would split them")
    return text


def _idle(length: timedelta) -> timedelta:
    if length >= timedelta(minutes=5):
        raise Unfit(quoted(format_duration(length)), "less than '5m', after which servers hang up")
    return length


HelloName = Annotated[str, AfterValidator(_hello_name)]
Idle = Annotated[Duration, AfterValidator(_idle)]


class Xoauth2(Section):
    """Access by OAuth 2.0: who logs in, and where the token of the hour comes from."""

    user: Annotated[str, StringConstraints(min_length=1, pattern=r"^[^\x00-\x20\x7f]+$")]
    token_command: Annotated[str, AfterValidator(_command_line)] | None = Field(
        None, repr=False
    )  # its first line of output is the token; no shell, run in the workspace
    token_file: Annotated[str, StringConstraints(min_length=1)] | None = (
        None  # its first line is the token; a relative path begins at the workspace
    )

    @model_validator(mode="after")
    def _has_one_source(self) -> "Xoauth2":
        if (self.token_command is None) == (self.token_file is None):
            found = "neither of" if self.token_file is None else "both"
            raise ValueError(f"got {found} token_command and token_file, expected one of them")
        return self


class Auth(Section):
    """A way to log in other than user and password of the url."""

    xoauth2: Xoauth2


class SmtpTimers(Section):
    """How long the server may take to answer; the defaults are those of RFC 5321 section 4.5.3.2."""

    connect: Duration = parse_duration("30s")
    greeting: Duration = parse_duration("5m")
    hello: Duration = parse_duration("5m")  # EHLO, STARTTLS and each step of AUTH
    mail: Duration = parse_duration("5m")
    recipient: Duration = parse_duration("5m")
    data: Duration = parse_duration("2m")
    block: Duration = parse_duration("3m")  # without progress inside a large message
    end_of_data: Duration = parse_duration("10m")
