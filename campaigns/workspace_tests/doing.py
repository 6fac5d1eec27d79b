"""What happens in a case: each kind of it done as production does it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, insert, select, update

from campaigns import transactional
from campaigns.catalogue import Catalogue
from campaigns.duty import Circumstances
from campaigns.events import afterwards, answers, registering
from campaigns.events.held import event_of
from campaigns.sequences import enrol as sequences
from campaigns.workspace_tests import given
from campaigns.workspace_tests.definition import Bought, Consented, Customer, Did, Happening
from campaigns.workspace_tests.given import Place
from core.errors import UsageError
from core.instants import Instant
from core.schema import customer, hit, message, registration
from customers.joining import FIELDS
from suppression.record import withdraw


@dataclass(frozen=True, slots=True)
class Stage:
    """A case that is being played."""

    place: Place
    catalogue: Catalogue
    circumstances: Circumstances
    people: Mapping[str, Customer]
    numbers: Mapping[str, int]

    @property
    def connection(self) -> Connection:
        """The connection of its world."""
        return self.place.connection


def happen(stage: Stage, step: Happening, now: datetime) -> None:
    """It has happened, at `now`.

    Raises:
        EngineError: it could not.
    """
    _DO[step.do](stage, stage.numbers[step.customer], step, now)


def _at(now: datetime) -> Instant:
    return Instant(now)


def _activity(stage: Stage, number: int, step: Happening, now: datetime) -> None:
    given.do(
        stage.place, number, Did(at=_at(now), name=step.name or "", properties=step.properties or {}, value=step.value)
    )


def _purchase(stage: Stage, number: int, step: Happening, now: datetime) -> None:
    assert step.amount is not None  # noqa: S101  the definition asks for it
    bought = Bought(at=_at(now), amount=step.amount, product=step.product, category=step.category)
    given.buy(stage.place, number, bought)
    given.rank(stage.place, stage.people, now)


def _consent(stage: Stage, number: int, step: Happening, now: datetime) -> None:
    given.agree(stage.place, number, Consented(topic=step.topic or ""), now)


def _opt_out(stage: Stage, number: int, step: Happening, now: datetime) -> None:
    key = stage.connection.execute(select(customer.c.address_key).where(customer.c.id == number)).scalar()
    withdraw(stage.connection, key, customer_id=number, topic=step.topic, source="page", now=now)


def _change(stage: Stage, number: int, step: Happening, now: datetime) -> None:
    row = stage.connection.execute(select(customer).where(customer.c.id == number)).mappings().one()
    attributes, values = dict(row["attributes"]), {"updated_at": now}
    for name, value in (step.fields or {}).items():
        if name.startswith("attributes."):
            attributes[name.removeprefix("attributes.")] = value
        elif name in given.COLUMNS:
            values[name] = value  # type: ignore[assignment]
        else:
            known = ", ".join(given.COLUMNS)
            raise UsageError(f"no field {name!r} of customers", hint=f"{known}, or attributes.<name>")
    changed: dict[str, Any] = values | {"attributes": attributes}
    stage.connection.execute(update(customer).where(customer.c.id == number).values(changed))


def _answer(stage: Stage, number: int, step: Happening, now: datetime) -> None:
    """They open, click or answer the last message they got of the campaign."""
    got = select(message.c.id).where(
        message.c.customer_id == number, message.c.campaign == step.campaign, message.c.accepted_at.is_not(None)
    )
    if step.step is not None:
        got = got.where(message.c.step == step.step)
    message_id = stage.connection.execute(got.order_by(message.c.accepted_at.desc(), message.c.id.desc())).scalar()
    if message_id is None:
        raise UsageError(f"{step.customer} cannot {step.do}: there is no message of {step.campaign} so far")
    values = {"message_id": message_id, "kind": step.do, "occurred_at": now, "label": "human"}
    stage.connection.execute(insert(hit).values(values))


def _order(stage: Stage, number: int, step: Happening, now: datetime) -> None:
    standing = transactional.standing(stage.connection, stage.catalogue, step.campaign or "")
    key = step.key or f"test-{now.isoformat()}"
    transactional.post(stage.connection, standing, number, key=key, given=step.given or {}, now=now)


def _enrol(stage: Stage, number: int, step: Happening, now: datetime) -> None:
    sequences.enrol(
        stage.connection,
        step.sequence or "",
        number,
        key=step.key or "",
        given=step.given,
        source=sequences.API,
        now=now,
    )


def _register(stage: Stage, number: int, step: Happening, now: datetime) -> None:
    del number  # an order names addresses
    person = stage.people[step.customer]
    address = given.email_of(step.customer, person)
    if address is None:
        raise UsageError(f"{step.customer} cannot register without an address")
    attendee = registering.Attendee(address, _answers(stage, person, step), person.language)
    party = f"test-{step.customer}-{now.isoformat()}"
    order = registering.Order((attendee,), registering.Source.API, party)
    registering.register(stage.connection, stage.circumstances, step.event or "", order, now)


def _answers(stage: Stage, person: Customer, step: Happening) -> dict[str, str]:
    """What the form is filled in with: the customer's names where it asks for them, and what the test says.

    Raises:
        UsageError: the form does not take it.
    """
    definition = event_of(stage.connection, step.event or "").definition
    named = {name: getattr(person, name) for name in FIELDS if name in definition.registration.fields}
    told = {name: value for name, value in named.items() if value} | (step.answers or {})
    kept, mistakes = answers.read(definition, told, is_asked=True)
    if mistakes:
        raise UsageError(f"{step.customer} cannot register for {step.event}: {'; '.join(map(str, mistakes))}")
    return kept


def _of_registration(act: Callable[[Stage, int, Happening, datetime], object]) -> Callable[..., None]:
    def done(stage: Stage, number: int, step: Happening, now: datetime) -> None:
        mine = select(registration.c.id).where(
            registration.c.customer_id == number,
            registration.c.event == step.event,
            registration.c.state != "cancelled",
        )
        found = stage.connection.execute(mine).scalar()
        if found is None:
            raise UsageError(f"{step.customer} has not registered for {step.event}")
        act(stage, found, step, now)

    return done


def _withdraw(stage: Stage, found: int, _step: Happening, now: datetime) -> object:
    return afterwards.withdraw(stage.connection, stage.circumstances, found, now)


def _accept(stage: Stage, found: int, _step: Happening, now: datetime) -> object:
    return afterwards.accept_offer(stage.connection, stage.circumstances, found, now)


def _check_in(stage: Stage, found: int, step: Happening, now: datetime) -> object:
    return afterwards.check_in(stage.connection, step.event or "", found, now)


_DO: Final[Mapping[str, Callable[[Stage, int, Happening, datetime], None]]] = {
    "activity": _activity,
    "purchase": _purchase,
    "consent": _consent,
    "opt-out": _opt_out,
    "change": _change,
    "open": _answer,
    "click": _answer,
    "reply": _answer,
    "order": _order,
    "enrol": _enrol,
    "registration": _register,
    "accept-offer": _of_registration(_accept),
    "cancel-registration": _of_registration(_withdraw),
    "check-in": _of_registration(_check_in),
}
