"""`staff` in `clarion.yaml`: the employees who own key customers, answer replies and do tasks."""

from collections.abc import Collection, Iterator, Mapping

from core.field_types import Email, HeaderText, Name
from core.names import did_you_mean
from core.yaml_files import Section


class Employee(Section):
    """One employee. `customer.owner` names an entry."""

    name: HeaderText
    email: Email
    deputy: Name | None = None  # another entry: gets what nobody else answers
    away: bool = False  # what would be theirs goes to the deputy


#: Name → employee, as `staff:` lists them.
Staff = Mapping[str, Employee]


def responsible(staff: Staff, owner: str | None) -> str | None:
    """Who does what is `owner`'s: the owner, or while they are away the deputy; None where `staff` names nobody.

    `owner` is matched without regard to case and blanks around it, for it comes from imports: by the entry's name, the
    employee's name or address.
    """
    found = _entry(staff, owner)
    seen: set[str] = set()
    while found is not None and staff[found].away and found not in seen:
        seen.add(found)
        found = staff[found].deputy
    return found if found in staff else None


def _entry(staff: Staff, owner: str | None) -> str | None:
    wanted = (owner or "").strip().casefold()
    if not wanted:
        return None
    for name, employee in staff.items():
        if wanted in (name, employee.email.casefold(), employee.name.casefold()):
            return name
    return None


def staff_mistakes(staff: Staff, named: Collection[str]) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """Deputies who are none of those `named`, or the employee in person: place, text and hint."""
    for name, employee in staff.items():
        path = ("staff", name, "deputy")
        if employee.deputy == name:
            yield path, f"staff.{name}: deputy is the same employee, expected another one", ""
        elif employee.deputy is not None and employee.deputy not in named:
            text = f"staff.{name}: deputy {employee.deputy!r} is no entry of staff"
            yield path, text, did_you_mean(employee.deputy, named)
