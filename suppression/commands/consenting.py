"""`clarion consent`: who agreed to what, and what they say in person."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import click

from core.commands import DRY, Desk, in_zone, json_option, print_json, print_table, remark, undone
from core.errors import NotFound, UsageError
from suppression.commands.shared import audited, known_topic

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from suppression.people import Person

#: The same as `core.consent_settings.Basis` names.
BASES: Final = ("consent", "soft_opt_in", "contract", "legitimate_interest", "implied")
_ABOUT: Final = ("tracking", "profiling")


@click.group()
def consent() -> None:
    """What customers agreed to, and what they say in person.

    KEY is an external id or an e-mail address. Every word is a row that stays; the latest one counts.
    """


@consent.command("show")
@click.argument("key", metavar="KEY")
@json_option
@click.pass_obj
def show(desk: Desk, key: str, as_json: bool) -> None:
    """Show everything a customer said, newest first, and what holds now.

    `because` says why a yes does not hold: it has ended, was never confirmed, or is not enough in the customer's
    country.
    """
    from suppression.policy import Policy
    from suppression.register import consents_of, wishes_of

    rows: list[Mapping[str, Any]] = []
    wishes: list[Mapping[str, Any]] = []
    policy = Policy.of(desk.workspace.settings)
    with desk.database.begin() as connection:
        for person in _customers(connection, desk, key):
            assert person.customer_id is not None  # noqa: S101  of a customer
            said = consents_of(connection, person.customer_id, desk.clock.now(), policy)
            rows += [{**row, "customer": person.shown} for row in said]
            wished = wishes_of(connection, person, desk.clock.now())
            wishes += [{"customer": person.shown, **wished}] if wished else []
    if as_json:
        print_json({"consents": rows, "wishes": wishes})
        return
    zone = desk.workspace.settings.organisation.zone
    columns = ["customer", "topic", "channel", "state", "holds", "because", "basis", "source", "captured_at"]
    print_table(in_zone(rows, zone), [*columns, "expires_at"])
    if wishes:
        click.echo("\nwishes")
        print_table(in_zone(wishes, zone))


@consent.command("grant")
@click.argument("key", metavar="KEY")
@click.option("--topic", "topics", multiple=True, help="What they agreed to; may be given several times.")
@click.option("--about", type=click.Choice(_ABOUT), help="Being tracked, or chosen by behaviour, in place of a topic.")
@click.option("--basis", type=click.Choice(BASES), default="consent", show_default=True, help="What it rests on.")
@click.option("--source", required=True, help="Where they said so, such as `fair-2026` or `phone`.")
@click.option("--at", "said_at", metavar="WHEN", help="When, such as 2026-03-01T14:30+01:00 (default: now).")
@click.option("--until", metavar="WHEN", help="When it ends (default: never, or as the law says).")
@click.option("--wording", help="The version of the text they agreed to.")
@click.option("--proof", "proofs", multiple=True, metavar="NAME=TEXT", help="Evidence; may be given several times.")
@click.option("--dry-run", is_flag=True, help="Do everything, then undo it.")
@json_option
@click.pass_obj
def grant(
    desk: Desk, key: str, topics: tuple[str, ...], about: str | None, basis: str, source: str, said_at: str | None,
    until: str | None, wording: str | None, proofs: tuple[str, ...], dry_run: bool, as_json: bool,
) -> None:  # fmt: skip
    """Record that a customer said yes.

    No suppression is lifted, not that of an earlier no either, and a later no still counts. A soft opt-in needs its
    evidence: --proof sale=ORDER --proof similar_products=yes --proof opt_out_offered=yes --proof
    subscriber=individual (or corporate). An implied consent says what it comes from: --proof relation=purchase (or
    contract, donation, inquiry).
    """
    from suppression.consent_ledger import Wording, choose, grant_consent
    from suppression.policy import Policy
    from suppression.register import suppressed_topics

    _one_of(topics, about)
    now, proof = desk.clock.now(), _proof(proofs)
    named = [known_topic(desk, topic) for topic in topics]
    at, ends = _instant(desk, "--at", said_at), _instant(desk, "--until", until)
    count = 0
    with undone(desk, dry_run) as connection:
        person = _customer(connection, desk, key)
        if about is not None:
            count += choose(connection, person, about, allowed=True, source=source, proof=proof, now=now)  # type: ignore[arg-type]
        else:
            count += grant_consent(
                connection, person, named, source=source, basis=basis, wording=Wording(wording), proof=proof,
                captured_at=at, expires_at=ends, now=now,
            )  # fmt: skip
        told = {"topics": named, "about": about, "basis": basis, "source": source}
        audited(connection, desk, "consent.grant", f"customer:{person}", told)
        stopped = suppressed_topics(connection, person, named, now, Policy.of(desk.workspace.settings))
    _told(key, count, as_json, dry_run)
    if stopped:
        remark(f"still suppressed: {', '.join(stopped)}; `clarion suppress remove` lifts that, with a reason")


@consent.command("withdraw")
@click.argument("key", metavar="KEY")
@click.option("--topic", "topics", multiple=True, help="What they agree to no longer; may be given several times.")
@click.option("--all", "everything", is_flag=True, help="Every topic.")
@click.option("--about", type=click.Choice(_ABOUT), help="Being tracked, or chosen by behaviour, in place of a topic.")
@click.option("--source", required=True, help="Where they said so, such as `phone`.")
@click.option("--dry-run", is_flag=True, help="Do everything, then undo it.")
@json_option
@click.pass_obj
def withdraw(
    desk: Desk, key: str, topics: tuple[str, ...], everything: bool, about: str | None, source: str, dry_run: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Record that somebody said no. It binds everybody at the address, from this second on, and whoever comes there.

    The person comes back by a link or page of their own; you lift it by `clarion suppress remove`, with a reason, and
    record what they said by `clarion consent grant`.
    """
    from suppression.consent_ledger import choose
    from suppression.people import find_people
    from suppression.record import withdraw as withdraw_consent

    _one_of(topics or ("",) * everything, about)
    now, named = desk.clock.now(), [known_topic(desk, topic) for topic in topics]
    count = 0
    with undone(desk, dry_run) as connection:
        people = _customers(connection, desk, key) if about else find_people(connection, desk.workspace.secret, key)
        for person in people:
            if about is not None and person.customer_id is not None:
                count += choose(connection, person.customer_id, about, allowed=False, source=source, now=now)  # type: ignore[arg-type]
            refused: list[str | None] = [None] if everything else [*named]
            for topic in refused:
                count += withdraw_consent(
                    connection, person.key, customer_id=person.customer_id, topic=topic, source=source, now=now
                )
            told = {"topics": named or None, "everything": everything, "about": about, "source": source}
            subject = f"customer:{person.customer_id}" if person.customer_id else f"address:{person.key}"
            audited(connection, desk, "consent.withdraw", subject, told)
    _told(key, count, as_json, dry_run)


def _one_of(topics: tuple[str, ...], about: str | None) -> None:
    if bool(topics) == (about is not None):
        raise UsageError("expected topics, or --about, and not both", hint="name what they agreed to: --topic NAME")


def _told(key: str, count: int, as_json: bool, dry_run: bool) -> None:
    if as_json:
        print_json({"key": key, "recorded": count} | ({"dry_run": True} if dry_run else {}))
    else:
        remark((f"{count} recorded" if count else "nothing new") + (DRY if dry_run else ""))


def _customers(connection: "Connection", desk: Desk, key: str) -> "list[Person]":
    """The customers named.

    Raises:
        NotFound: there are none.
    """
    from suppression.people import find_people

    people = [person for person in find_people(connection, desk.workspace.secret, key) if person.customer_id]
    if not people:
        raise NotFound(f"no customer has the address {key!r}", hint="consent belongs to customers")
    return people


def _customer(connection: "Connection", desk: Desk, key: str) -> int:
    """The one customer named.

    Raises:
        NotFound: there is none.
        UsageError: several share the address: a yes is one person's.
    """
    people = _customers(connection, desk, key)
    if len(people) > 1:
        raise UsageError(
            f"{len(people)} customers have the address {key!r}, expected one",
            hint=f"name one by external id: {', '.join(person.shown for person in people[:5])}",
        )
    assert people[0].customer_id is not None  # noqa: S101  of a customer
    return people[0].customer_id


def _proof(texts: tuple[str, ...]) -> dict[str, Any]:
    from core.consent_evidence import proof_of

    try:
        return proof_of(dict(_pair(text) for text in texts))
    except ValueError as error:
        raise UsageError(f"--proof: {error}") from None


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise UsageError(f"--proof: got {text!r}, expected NAME=TEXT")
    return name.strip(), value.strip()


def _instant(desk: Desk, option: str, text: str | None) -> datetime | None:
    """What the option says, in the organisation's zone where it names none.

    Raises:
        UsageError: it is no time.
    """
    from zoneinfo import ZoneInfo

    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option}: not a time (got {text!r}, expected such as 2026-03-01T14:30)") from None
    return instant if instant.tzinfo else instant.replace(tzinfo=ZoneInfo(desk.workspace.settings.organisation.zone))
