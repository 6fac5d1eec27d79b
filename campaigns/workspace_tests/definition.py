"""`tests/*.yaml`: cases that say who there is, what happens, and what they get."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Final, Literal

from pydantic import Field, JsonValue, StringConstraints, field_validator, model_validator

from core.field_types import Name
from core.instants import Instant, InstantText
from core.units import Duration, ZoneName, parse_duration, parse_zone
from core.yaml_files import Section

Filled = Annotated[str, StringConstraints(min_length=1)]
Scalar = str | bool | int | float | None
#: As the columns hold it.
Amount = Annotated[Decimal, Field(max_digits=18, decimal_places=4)]
#: The longest that an index of the database takes for sure.
Key = Annotated[str, StringConstraints(max_length=200)]


class Consented(Section):
    """A word about a topic; `consents: [news]` is a yes by consent, long ago."""

    topic: Name
    state: Literal["requested", "granted", "confirmed", "withdrawn"] = "confirmed"
    basis: Literal["consent", "soft_opt_in", "contract", "legitimate_interest", "implied"] = "consent"
    at: InstantText | None = None  # None: a year before the clock


class Bought(Section):
    """One order."""

    at: InstantText
    amount: Amount
    order: Key | None = None  # None: a number of its own
    product: str | None = None
    category: str | None = None
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] | None = None  # None: that of the tiers


class Did(Section):
    """Something a customer did."""

    at: InstantText
    name: Filled
    properties: dict[str, JsonValue] = Field({})
    value: Amount | None = None


class Suppressed(Section):
    """An entry that forbids sending."""

    reason: Filled = "manual"
    scope: Literal["global", "channel", "topic", "campaign"] = "global"
    name: str = ""  # of the topic or campaign
    until: InstantText | None = None


class Customer(Section):
    """Somebody. The name in the file is their external id."""

    email: str | None = None  # None: <name>@customers.example; an empty text: no address
    first_name: str | None = None
    last_name: str | None = None
    company: str | None = None
    phone: str | None = None
    country: str | None = None
    language: str | None = None
    zone: ZoneName | None = None
    owner: str | None = None
    person: str | None = None
    household: str | None = None
    attributes: dict[str, Scalar] = Field({})
    consents: tuple[Name | Consented, ...] = ()
    purchases: tuple[Bought, ...] = ()
    activities: tuple[Did, ...] = ()
    suppressions: tuple[Suppressed, ...] = ()
    # Levels, where what the purchases come to among so few customers is not meant.
    tier: Literal["top", "big", "medium", "small", "inactive", "prospect", "suspect"] | None = None
    abc: Literal["A", "B", "C"] | None = None
    rfm: str | None = None
    quadrant: Literal["A", "B", "C", "D", "E"] | None = None


#: What may happen, and which keys each needs beside `at`, `do` and `customer`.
NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "activity": ("name",), "purchase": ("amount",), "consent": ("topic",), "opt-out": (), "change": ("fields",),
    "open": ("campaign",), "click": ("campaign",), "reply": ("campaign",), "order": ("campaign",),
    "enrol": ("sequence",), "registration": ("event",), "accept-offer": ("event",),
    "cancel-registration": ("event",), "check-in": ("event",),
}  # fmt: skip
_MAY: Final[Mapping[str, tuple[str, ...]]] = {
    "activity": ("properties", "value"), "purchase": ("product", "category"), "opt-out": ("topic",),
    "open": ("step",), "click": ("step",), "reply": ("step",), "order": ("given", "key"), "enrol": ("given", "key"),
    "registration": ("answers",),
}  # fmt: skip


class Happening(Section):
    """One thing that happens."""

    at: InstantText
    do: Literal[
        "activity", "purchase", "consent", "opt-out", "change", "open", "click", "reply", "order", "enrol",
        "registration", "accept-offer", "cancel-registration", "check-in",
    ]  # fmt: skip
    customer: Filled
    name: Filled | None = None  # of the activity
    properties: dict[str, JsonValue] | None = None
    value: Amount | None = None
    amount: Amount | None = None
    product: str | None = None
    category: str | None = None
    topic: Name | None = None  # of a consent, or of an opt-out; an opt-out without one is from everything
    fields: dict[Filled, Scalar] | None = None  # of `change`: columns, or `attributes.<name>`
    campaign: Name | None = None  # whose message is opened, clicked or answered, or is ordered
    step: Name | None = None
    sequence: Name | None = None
    event: Name | None = None
    answers: dict[str, str] | None = None
    given: dict[str, JsonValue] | None = None
    key: Key | None = None

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> "Happening":
        needs, may = NEEDS[self.do], _MAY.get(self.do, ())
        if missing := [name for name in needs if getattr(self, name) is None]:
            raise ValueError(f"'do: {self.do}' needs {' and '.join(map(repr, missing))}")
        given = self.model_fields_set - {"at", "do", "customer", *needs, *may}
        if given:
            raise ValueError(f"{', '.join(map(repr, sorted(given)))} means nothing beside 'do: {self.do}'")
        return self

    @field_validator("fields")
    @classmethod
    def _fit_their_columns(cls, fields: dict[str, Scalar] | None) -> dict[str, Scalar] | None:
        for name, value in (fields or {}).items():
            if value is None or name.startswith("attributes."):
                continue
            if not isinstance(value, str):
                raise ValueError(f"{name!r} is a text (got {value!r}, expected it in quotes)")
            if name == "zone":
                parse_zone(value)
        return fields


class ExpectedMessage(Section):
    """A message that goes, or is skipped with a reason. What is not said may be anything."""

    customer: Filled
    campaign: Filled
    step: Filled | None = None
    at: InstantText | None = None  # to the minute; without a zone: by the customer's own clock
    subject: Filled | None = None  # contained in the subject
    text: Filled | None = None  # contained in the text
    skipped: Filled | None = None  # the skip reason; None: it goes


class Unexpected(Section):
    """What must not go to somebody: anything, or what is of one campaign or step."""

    customer: Filled
    campaign: Filled | None = None
    step: Filled | None = None


class ExpectedTask(Section):
    """A task of an employee."""

    customer: Filled | None = None
    kind: Filled | None = None
    owner: Filled | None = None
    title: Filled | None = None  # contained in the title
    due: InstantText | None = None  # to the minute; without a zone: in the zone of the file


class ExpectedEnrolment(Section):
    """Where a passage through a sequence has come to at the end."""

    customer: Filled
    sequence: Filled
    state: Literal["active", "completed", "exited", "none"] = "active"
    step: Filled | None = None
    because: Filled | None = None


class ExpectedRegistration(Section):
    """What an attendee has at the end."""

    customer: Filled
    event: Filled
    state: Literal["confirmed", "waiting", "offered", "cancelled", "none"] = "confirmed"


class Expectation(Section):
    """What a case comes to."""

    messages: tuple[ExpectedMessage, ...] = ()
    others: Literal["none", "allowed"] = "none"  # messages that go and are not named
    none: tuple[Unexpected, ...] = ()
    tasks: tuple[ExpectedTask, ...] = ()
    enrolments: tuple[ExpectedEnrolment, ...] = ()
    registrations: tuple[ExpectedRegistration, ...] = ()
    faults: tuple[Filled, ...] = ()  # campaigns and sequences that are to stand still; of others that is a finding


class Case(Section):
    """One case: from the clock on, over everything that happens, until the end."""

    description: str = ""
    clock: InstantText | None = None  # when the files are applied; None: as the file says
    apply: tuple[Name, ...] | None = None  # None: as the file says
    lasts: Duration | None = None  # from the clock on; None: as the file says
    customers: dict[Filled, Customer] = Field({})  # beside, or instead of, those of the file
    steps: tuple[Happening, ...] = ()
    expect: Expectation


class WorkspaceTestFile(Section):
    """One file of cases. What stands beside `cases` holds for each of them."""

    description: str = ""
    zone: ZoneName | None = None  # of times that name no place; None: the organisation's
    clock: InstantText
    apply: tuple[Name, ...] = ()  # the campaigns, sequences and events that are applied; none: all of the workspace
    lasts: Duration = parse_duration("30d")
    customers: dict[Filled, Customer] = Field({})
    cases: Annotated[dict[Filled, Case], Field(min_length=1)]

    def people(self, case: Case) -> Mapping[str, Customer]:
        """The customers of one case, in the order of the file."""
        return {**self.customers, **case.customers}

    def begins(self, case: Case) -> Instant:
        """When the files are applied."""
        return case.clock or self.clock
