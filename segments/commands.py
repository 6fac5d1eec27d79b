"""`clarion segment`: list, count, show, sample, sql, explain."""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from core.commands import Desk, json_option, print_json, print_table, remark, shown

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from segments.explain import Counted, Judged
    from segments.membership import Rule
    from segments.vocabulary import Vocabulary

_who = click.argument("name_or_expression", metavar="NAME_OR_EXPRESSION")


@click.group()
def segment() -> None:
    """Count, list, show and explain segments.

    NAME_OR_EXPRESSION is the name of a file in segments/, or an expression in quotes.
    """


def _vocabulary(desk: Desk) -> "Vocabulary":
    """The workspace's names. Problems of segment files are remarks: another segment may be asked for."""
    from segments.vocabulary import read_vocabulary

    vocabulary, problems = read_vocabulary(desk.workspace)
    for problem in problems:
        remark(f"clarion: {problem}")
    return vocabulary


@segment.command("list")
@json_option
@click.pass_obj
def list_(desk: Desk, as_json: bool) -> None:
    """List the segments with their head counts."""
    from core.errors import ConfigError
    from segments.membership import check_segments
    from segments.vocabulary import read_vocabulary

    vocabulary, problems = read_vocabulary(desk.workspace)
    problems += check_segments(vocabulary)
    with desk.database.begin() as connection:
        rows = [
            {
                "name": found.name,
                "description": found.description,
                "count": _count_or_none(connection, found.name, vocabulary, desk.clock.now()),
            }
            for found in sorted(vocabulary.segments.values(), key=lambda found: found.name)
        ]
    print_json({"segments": rows}) if as_json else print_table(rows)
    if problems:
        raise ConfigError(problems=problems)


def _count_or_none(connection: "Connection", name: str, vocabulary: "Vocabulary", now: datetime) -> int | None:
    """The head count; None for a segment that cannot be used, or that refers to such a one."""
    from core.errors import ExpressionError
    from segments.explain import count
    from segments.membership import rule

    try:
        checked = rule(name, vocabulary)
    except ExpressionError:  # listed among the problems
        return None
    return count(connection, checked.condition, checked, now)


@segment.command("count")
@_who
@json_option
@click.pass_obj
def count_(desk: Desk, name_or_expression: str, as_json: bool) -> None:
    """Count the customers in a segment."""
    import time

    from segments.explain import count
    from segments.membership import rule

    checked = rule(name_or_expression, _vocabulary(desk))
    with desk.database.begin() as connection:
        begun = time.perf_counter()
        customers = count(connection, checked.condition, checked, desk.clock.now())
        seconds = round(time.perf_counter() - begun, 3)
    if as_json:
        print_json({"segment": name_or_expression, "count": customers, "seconds": seconds})
    else:
        click.echo(_customers(customers))


@segment.command("show")
@_who
@json_option
@click.pass_obj
def show(desk: Desk, name_or_expression: str, as_json: bool) -> None:
    """Show a segment: its rule, its head count, and its customers by tier."""
    from segments.explain import total_customers
    from segments.membership import rule
    from segments.people import count_by_tier
    from segments.wording import worded

    vocabulary = _vocabulary(desk)
    checked = rule(name_or_expression, vocabulary)
    with desk.database.begin() as connection:
        tiers = count_by_tier(connection, checked, now=desk.clock.now())
        everybody = total_customers(connection)
    file = vocabulary.segments.get(name_or_expression.strip())
    found = sum(tiers.values())
    document = {
        "segment": name_or_expression,
        "description": file.description if file else "",
        "file": file.file if file else None,
        "where": worded(checked.condition),
        "count": found,
        "customers": everybody,
        "share": _share(found, everybody),
        "tiers": [
            {"tier": tier, "customers": number, "share": _share(number, found)} for tier, number in tiers.items()
        ],
    }
    print_json(document) if as_json else _print_segment(document)


def _print_segment(document: dict[str, Any]) -> None:
    if document["description"]:
        click.echo(document["description"])
    click.echo(f"where: {document['where']}")
    click.echo(f"{_customers(document['count'])}, {document['share']:.1%} of {shown(document['customers'])}\n")
    print_table([tier | {"share": f"{tier['share']:.1%}"} for tier in document["tiers"]])


@segment.command("sample")
@_who
@click.option("-n", "--number", type=click.IntRange(1, 1000), default=10, show_default=True, help="How many.")
@json_option
@click.pass_obj
def sample(desk: Desk, name_or_expression: str, number: int, as_json: bool) -> None:
    """Show some customers of a segment, spread evenly, the same ones each time."""
    from segments.membership import audience
    from segments.people import sample_customers

    statement = audience(name_or_expression, _vocabulary(desk), now=desk.clock.now())
    with desk.database.begin() as connection:
        rows = sample_customers(connection, statement, number)
    print_json({"segment": name_or_expression, "customers": rows}) if as_json else print_table(rows)


@segment.command("sql")
@_who
@json_option
@click.pass_obj
def sql(desk: Desk, name_or_expression: str, as_json: bool) -> None:
    """Print the statement a segment becomes, its parameters filled in.

    For reading and EXPLAIN; Clarion itself always hands parameters over apart from the statement.
    """
    from segments.membership import audience
    from segments.sql_text import readable_sql

    text = readable_sql(audience(name_or_expression, _vocabulary(desk), now=desk.clock.now()))
    print_json({"segment": name_or_expression, "sql": text}) if as_json else click.echo(f"{text};")


@segment.command("explain")
@_who
@click.option("--customer", "key", metavar="KEY", help="Judge one customer: an external id or an e-mail address.")
@json_option
@click.pass_obj
def explain(desk: Desk, name_or_expression: str, key: str | None, as_json: bool) -> None:
    """Show how many customers each condition of a segment leaves, or why one customer is in it or not."""
    from segments.membership import rule

    checked = rule(name_or_expression, _vocabulary(desk))
    with desk.database.begin() as connection:
        if key is None:
            _explain_counts(connection, checked, desk, as_json)
        else:
            _explain_customer(connection, checked, desk, key, as_json)


def _explain_counts(connection: "Connection", checked: "Rule", desk: Desk, as_json: bool) -> None:
    from segments.explain import funnel

    counted = funnel(connection, checked, now=desk.clock.now())
    if as_json:
        print_json({"segment": checked.text} | _counted_json(counted))
    else:
        print_table(_counted_rows(counted, 0))


def _explain_customer(connection: "Connection", checked: "Rule", desk: Desk, key: str, as_json: bool) -> None:
    from segments.explain import judge
    from segments.facts import facts_of
    from segments.people import find_customer

    facts = facts_of(connection, find_customer(connection, key, desk.workspace.secret))
    judged = judge(checked, facts, now=desk.clock.now())
    if as_json:
        print_json({"segment": checked.text, "customer": key} | _judged_json(judged))
        return
    click.echo(f"{key} is {'' if judged.holds else 'not '}selected by {checked.text}\n")
    for line in _judged_lines(judged, 0):
        click.echo(line)


def _counted_json(counted: "Counted") -> dict[str, Any]:
    return {
        "condition": counted.condition,
        "customers": counted.customers,
        "left": counted.left,
        "parts": [_counted_json(part) for part in counted.parts],
    }


def _counted_rows(counted: "Counted", depth: int) -> Iterator[dict[str, Any]]:
    yield {
        "condition": "  " * depth + counted.heading,
        "customers": counted.customers,
        "left": counted.left,
    }
    for part in counted.parts:
        yield from _counted_rows(part, depth + 1)


def _judged_json(judged: "Judged") -> dict[str, Any]:
    return {
        "condition": judged.condition,
        "holds": judged.holds,
        "found": judged.found or None,
        "parts": [_judged_json(part) for part in judged.parts],
    }


def _judged_lines(judged: "Judged", depth: int) -> Iterator[str]:
    found = f"   ({judged.found})" if judged.found else ""
    yield f"{'  ' * depth}{'✓' if judged.holds else '✗'} {judged.heading}{found}"
    for part in judged.parts:
        yield from _judged_lines(part, depth + 1)


def _customers(number: int) -> str:
    return "1 customer" if number == 1 else f"{shown(number)} customers"


def _share(part: int, whole: int) -> float:
    """0–1, to a hundredth of a percent."""
    return round(part / whole, 4) if whole else 0.0
