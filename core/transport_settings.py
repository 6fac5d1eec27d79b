"""The ways out, as `clarion.yaml` names them: transports, their rates, warm-up plans, routes, recipient domains."""

import re
from datetime import date
from decimal import Decimal
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from core.addresses import parse_address
from core.errors import AddressError
from core.service_urls import checked_url
from core.smtp_settings import Auth, HelloName, Idle, SmtpTimers
from core.units import Duration, Unfit, parse_duration, quoted
from core.yaml_files import Section

#: The entry of `domains` that stands for every domain without one of its own.
OTHER_DOMAINS: Final = "*"
#: The route that campaigns take which name none.
DEFAULT_ROUTE: Final = "default"
#: The weight of a transport that is used only while no other one of its route can be.
STANDBY: Final = "standby"

_PERIODS: Final = {"s": 1, "min": 60, "h": 3600, "day": 86400}
_RATE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*/\s*(s|min|h|day)")
_FASTEST_PER_S: Final = 1_000_000
_PORT_OF_SMTPS: Final = 465


def parse_rate(value: object) -> float:
    """Messages a second from `100/s`, `6000/min`, `500/h` or `2000/day`.

    Raises:
        Unfit: anything else, no message a day, or above a million a second.
    """
    match = _RATE.fullmatch(value.strip()) if isinstance(value, str) else None
    rate = Decimal(match[1]) / _PERIODS[match[2]] if match else Decimal(0)
    if not Decimal(1) / 86400 <= rate <= _FASTEST_PER_S:
        raise Unfit(quoted(value), "a rate such as '100/s', '6000/min', '500/h' or '2000/day'")
    return float(rate)


Rate = Annotated[float, BeforeValidator(parse_rate)]


def _domain(text: str) -> str:
    try:
        return parse_address(f"x@{text}").domain
    except AddressError:
        raise Unfit(quoted(text), "a domain such as 'gmail.com'") from None


def _domain_or_others(text: str) -> str:
    return text if text == OTHER_DOMAINS else _domain(text)


Domain = Annotated[str, AfterValidator(_domain)]
DomainPattern = Annotated[str, AfterValidator(_domain_or_others)]
Heads = Annotated[int, Field(ge=1)]
Daily = Annotated[tuple[Heads, ...], Field(min_length=1)]


class WarmUp(Section):
    """A new sending address is made known by rising daily volumes; what is above them waits for the next day."""

    start: date  # the first day, in the organisation's zone; nothing goes before it
    daily: Daily  # messages on the first day, the second, …; after the last one there is no limit
    domains: dict[Domain, Daily] = Field({})  # the same for single recipient domains, beside `daily`

    def allowed(self, day: date, domain: str | None = None) -> int | None:
        """Messages that may go on `day`, to `domain` or altogether; None: any number."""
        daily = self.daily if domain is None else self.domains.get(domain)
        if daily is None:
            return None
        place = (day - self.start).days
        if place < 0:
            return 0
        return daily[place] if place < len(daily) else None


def _smtp_url(text: str) -> str:
    return checked_url(text, ("smtp", "smtps"), "'smtp://host:port' or 'smtps://user:${PASSWORD}@host:465'")


class Transport(Section):
    """One way out: an SMTP relay. `url` may carry user and password; both are never stored or printed."""

    url: Annotated[str, AfterValidator(_smtp_url)] = Field(repr=False)
    tls: Literal["starttls", "implicit", "none"] | None = None  # None: implicit for smtps, starttls off loopback
    connections: Annotated[int, Field(ge=1, le=200)] = 10
    messages_per_connection: Annotated[int, Field(ge=1)] = 1000
    helo: HelloName | None = None  # the name given in EHLO; the machine's full name when absent
    auth: Auth | None = None  # instead of user and password in the url
    dsn: Literal["failure", "delay", "none"] = "failure"  # bounces asked for; delay: warnings of delay too
    longest_age: Duration = parse_duration("5m")  # of a connection, then it is replaced
    longest_idle: Idle = parse_duration("4m")  # of a connection, then it is not used again; below 5m
    timers: SmtpTimers = SmtpTimers()
    rate: Rate | None = None  # of all workers together; None: as fast as it takes them
    warm_up: WarmUp | None = None

    @model_validator(mode="after")
    def _has_one_kind_of_tls(self) -> "Transport":
        parts = urlsplit(self.url)
        if parts.scheme == "smtps" and self.tls not in (None, "implicit"):
            raise ValueError(
                f"smtps:// speaks TLS from the first byte (got tls: {self.tls}, expected smtp:// or no tls:)"
            )
        if parts.port == _PORT_OF_SMTPS and self.tls == "starttls":
            raise ValueError(
                "port 465 speaks TLS from the first byte (got tls: starttls, expected smtps:// or port 587)"
            )
        return self

    @property
    def shown(self) -> str:
        """The address without user and password."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.hostname}:{parts.port or (_PORT_OF_SMTPS if parts.scheme == 'smtps' else 25)}"


class DomainLimit(Section):
    """How fast one recipient domain may be served."""

    rate: Rate  # of all workers and transports together


def _weight(value: object) -> object:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if value != STANDBY and not (is_number and 1 <= value <= _HEAVIEST):  # type: ignore[operator]
        raise Unfit(quoted(value), f"a whole number from 1 to {_HEAVIEST}, or '{STANDBY}'")
    return value


_HEAVIEST: Final = 1000
Weight = Annotated[Annotated[int, Field(ge=1, le=_HEAVIEST)] | Literal["standby"], BeforeValidator(_weight)]
Route = Annotated[dict[str, Weight], Field(min_length=1)]
