"""`clarion.yaml`: who sends, through what, about which topics, and how customers are ranked."""

from datetime import timedelta
from ipaddress import ip_network
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from core.addresses import parse_address
from core.api_settings import Api
from core.calendar_settings import CalendarSettings
from core.care_settings import Addresses, Care, Duplicates
from core.consent_settings import ConsentSettings
from core.dkim_settings import DkimSettings
from core.doubt_settings import Doubt
from core.endpoint_settings import Endpoint
from core.errors import AddressError
from core.feedback_settings import FeedbackRules
from core.field_types import BaseUrl, Email, HeaderText, Name
from core.form_settings import Form, PublicPages, Words
from core.inbound_settings import Inbound
from core.inquiry_settings import Desk, Tasks
from core.pressure_settings import Pressure, QuietHours
from core.refusal_settings import Refusals
from core.retention_settings import Retention
from core.service_urls import checked_url
from core.staff_settings import Employee
from core.transport_settings import (
    DEFAULT_ROUTE,
    DomainLimit,
    DomainPattern,
    Route,
    Transport,
)
from core.units import (
    Duration,
    Share,
    Size,
    Unfit,
    ZoneName,
    format_duration,
    parse_duration,
    parse_size,
    quoted,
)
from core.webhook_settings import Webhooks
from core.yaml_files import Section


class Organisation(Section):
    """Who is writing; named in the footer of every mailing."""

    name: HeaderText
    postal_address: Annotated[str, StringConstraints(min_length=10, strip_whitespace=True)]
    website: BaseUrl | None = None
    language: str = "en"
    zone: ZoneName = "UTC"


def _return_domain(text: str) -> str:
    try:
        domain = parse_address(f"b@{text}").domain
    except AddressError as error:
        raise Unfit(quoted(text), "a domain such as 'bounces.example.com'", error.message) from None
    if len(domain) > _LONGEST_RETURN_DOMAIN:
        raise Unfit(quoted(text), f"a domain of at most {_LONGEST_RETURN_DOMAIN} characters")
    return domain


#: A return path has at most 256 octets, 42 of which are taken (`tracking.return_paths.LONGEST_DOMAIN`).
_LONGEST_RETURN_DOMAIN = 214
ReturnDomain = Annotated[str, AfterValidator(_return_domain)]


class Sender(Section):
    """One From line."""

    name: HeaderText
    email: Email
    reply_to: Email | None = None
    return_path: ReturnDomain | None = None  # the domain bounces come back to; None: to `email`


class Topic(Section):
    """What people may agree to."""

    label: HeaderText
    description: str = ""
    labels: Words = Field({})  # by language, where `label` is in another: {de: …, zh: …}
    descriptions: Words = Field({})
    confirmed: bool = False  # only people who confirmed by a link in a mail (double opt-in) are written to


class Tracking(Section):
    """Where links lead, and what is recorded."""

    base_url: BaseUrl = "http://127.0.0.1:8025"
    opens: bool = True
    clicks: bool = True


class Pyramid(Section):
    """Shares of the active customers, ranked by value, in the upper levels; the rest is small."""

    top: Share = 0.01
    big: Share = 0.04
    medium: Share = 0.15

    @model_validator(mode="after")
    def _fits(self) -> "Pyramid":
        if self.top + self.big + self.medium >= 1:
            raise ValueError("top, big and medium leave nobody for small, expected a sum below 100%")
        return self


class Abc(Section):
    """Cumulative shares of revenue at which class A and class B end."""

    a: Share = 0.80
    b: Share = 0.95


class Quadrant(Section):
    """Order value × order frequency; None: the median of the customers who bought."""

    value: float | None = None
    frequency: float | None = None


class Tiers(Section):
    """How customers are ranked."""

    value: Literal["monetary", "gross_profit"] = "monetary"
    period: Duration | None = None  # only purchases this recent count; None: all
    inactive_after: Duration = parse_duration("365d")
    pyramid: Pyramid = Pyramid()
    abc: Abc = Abc()
    quadrant: Quadrant = Quadrant()
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] = "EUR"


class Attachments(Section):
    """The files that go with a mailing: attachments, and images in its text."""

    max_size: Size = parse_size("5 MB")  # of all files of one mailing together; mail makes them a third larger


def _network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError:
        raise Unfit(quoted(text), "a network address such as '10.0.0.5' or '10.0.0.0/8'") from None


class Web(Section):
    """Where the public pages listen, and which proxies before them tell who is visiting."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8025
    proxies: tuple[Annotated[str, AfterValidator(_network)], ...] = ("127.0.0.1", "::1")  # only they are believed
    proxy_header: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9-]*$")] = "X-Forwarded-For"


def _lease(length: timedelta) -> timedelta:
    if length < timedelta(seconds=10):
        raise Unfit(quoted(format_duration(length)), "at least '10s'")
    return length


class Workers(Section):
    """How many processes `clarion up` starts, and how many messages one task carries."""

    processes: Annotated[int, Field(ge=1, le=64)] = 2
    batch_size: Annotated[int, Field(ge=1, le=5000)] = 500
    lease: Annotated[Duration, AfterValidator(_lease)] = parse_duration("1m")  # at least 10s


def checked_database(text: str) -> str:
    """`text`, which names a database.

    Raises:
        Unfit: it names none.
    """
    if text == "embedded":
        return text
    return checked_url(text, ("postgresql", "postgres"), "'embedded' or 'postgresql://…'", needs_host=False)


def _broker(text: str) -> str:
    if text == "embedded":
        return text
    return checked_url(text, ("redis", "rediss", "unix"), "'embedded' or 'redis://…'", needs_host=False)


def checked_secret(text: str) -> str:
    """`text`, which is long enough for a secret.

    Raises:
        Unfit: it is not.
    """
    if len(text) < 32:
        raise Unfit(quoted(text), "at least 32 characters, for example from `openssl rand -hex 32`")
    return text


class Settings(Section):
    """The whole of `clarion.yaml`."""

    organisation: Organisation
    # repr=False: neither a traceback nor a message about a mistake shows what stands there
    database: Annotated[str, AfterValidator(checked_database)] = Field("embedded", repr=False)
    broker: Annotated[str, AfterValidator(_broker)] = Field("embedded", repr=False)
    secret: Annotated[str, AfterValidator(checked_secret)] | None = Field(
        None, repr=False
    )  # None: made by `clarion init`, kept in .clarion/secret
    # Those before it, the newest first: links and return paths made with them go on working.
    retired_secrets: tuple[Annotated[str, AfterValidator(checked_secret)], ...] = Field((), repr=False)
    senders: Annotated[dict[Name, Sender], Field(min_length=1)]
    transports: Annotated[dict[Name, Transport], Field(min_length=1)]
    routes: dict[Name, Route] = Field({})  # transports with weights, or `standby`: used while no other one can be
    domains: dict[DomainPattern, DomainLimit] = Field({})  # by recipient domain; `"*"` is each one not named
    dkim: DkimSettings = Field({})  # by the domain of the senders
    topics: Annotated[dict[Name, Topic], Field(min_length=1)]
    # The campaigns that may be sent without consent, as what is owed to one person; null: each that says so (S-2.24).
    transactional: tuple[Name, ...] | None = None
    tracking: Tracking = Tracking()
    tiers: Tiers = Tiers()
    attachments: Attachments = Attachments()
    web: Web = Web()
    workers: Workers = Workers()
    refusals: Refusals = Refusals()
    doubt: Doubt = Doubt()
    consent: ConsentSettings = ConsentSettings()
    pressure: Pressure = Pressure()
    quiet_hours: QuietHours = QuietHours()
    inbound: Inbound = Inbound()
    feedback: FeedbackRules = FeedbackRules()
    webhooks: Webhooks = Webhooks()
    forms: dict[Name, Form] = Field({})  # where anybody may ask for mail
    pages: PublicPages = PublicPages()
    api: Api = Api()
    endpoints: dict[Name, Endpoint] = Field({})  # other systems that steps of sequences call
    staff: dict[Name, Employee] = Field({})  # who owns key customers, answers replies and does tasks
    inquiries: dict[Name, Desk] = Field({})  # what people ask us, and who answers by when
    tasks: Tasks = Tasks()
    calendar: CalendarSettings = CalendarSettings()  # what goes out when, as the staff is told
    care: Care = Care()
    addresses: Addresses = Addresses()
    duplicates: Duplicates = Duplicates()
    retention: Retention = Retention()

    @property
    def default_way(self) -> str:
        """The route or transport of campaigns that name none."""
        return DEFAULT_ROUTE if DEFAULT_ROUTE in self.routes else next(iter(self.transports))
