"""Whose an inquiry is. Nobody's is none of them, while anybody works here."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from core.inquiry_settings import Desk, OwnerRule
from core.staff_settings import Staff, responsible


@dataclass(frozen=True, slots=True)
class Asking:
    """What of an inquiry decides whose it is."""

    customers_owner: str | None = None
    country: str | None = None
    language: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    former_owner: str | None = None  # of an inquiry of the same thread


def owner_of(desk: Desk, staff: Staff, asking: Asking) -> str | None:
    """The employee who answers: the first of those in question who is there, or whose deputy is.

    When everybody is away it is the desk's own, who finds it on coming back; None: the settings name nobody any more.
    """
    for name in _in_question(desk, staff, asking):
        if (found := responsible(staff, name)) is not None:
            return found
    return desk.owner if desk.owner in staff else next(iter(staff), None)


def _in_question(desk: Desk, staff: Staff, asking: Asking) -> Iterator[str | None]:
    yield asking.former_owner
    if desk.customers_owner:
        yield asking.customers_owner
    yield from (rule.owner for rule in desk.owners if _holds(rule, asking))
    yield desk.owner
    yield from (level.to for level in desk.escalation)
    yield from staff


def _holds(rule: OwnerRule, asking: Asking) -> bool:
    if rule.country is not None and asking.country not in rule.country:
        return False
    if rule.language is not None and asking.language not in rule.language:
        return False
    return all(asking.fields.get(name) in values for name, values in rule.where.items())
