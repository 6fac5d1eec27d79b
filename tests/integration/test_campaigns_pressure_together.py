"""Campaigns with priorities that are planned and applied together: the plan tells what the apply then does."""

import dataclasses
import threading

import pytest
from sqlalchemy import select, text

from campaigns import duplicates
from core.errors import StalePlan
from core.schema import run
from tests.campaign_files import FILES, campaign_file
from tests.conftest import MINIMAL_SETTINGS
from tests.factories import make_customer
from tests.integration.test_campaigns_plan import apply_of, plan_of

WEEKLY = "pressure: {{caps: {{weekly: {{most: {most}, within: 7d}}}}}}\nduplicates: {{piece_memory: none}}\n"


@pytest.fixture
def office(make_workspace, database):
    """`office(settings, low="{priority: 0}", high="{priority: 10}")`: one broadcast a name, with these limits."""

    def build(settings, **limits):
        files = {name: content for name, content in FILES.items() if not name.startswith("campaigns/")}
        for name, given in limits.items():
            topic = "news" if name == "high" else "promotions"
            send = f"{{template: {name}.html, from: offers}}"
            files[f"campaigns/{name}.yaml"] = campaign_file(limits=given, send=send).replace("promotions", topic)
            files[f"templates/{name}.html"] = FILES["templates/spring-paper.html"].replace("Ten boxes", name)
        return make_workspace(database=database, files=files, settings=MINIMAL_SETTINGS + settings)

    return build


@pytest.fixture
def people(database):
    """Three who agreed to both topics, two to promotions alone."""
    with database.begin() as connection:
        for topics in [("promotions", "news")] * 3 + [("promotions",)] * 2:
            make_customer(connection, consents=topics)


def heads(plan):
    return {item.campaign: (item.counts.would_send, item.counts.skipped.get("frequency_cap", 0)) for item in plan}


@pytest.mark.parametrize(("most", "expected"), [(1, (2, 3)), (2, (5, 0))])
def test_a_plan_counts_what_goes_first_of_the_same_plan(office, database, clock, people, most, expected):
    """
    Whom the campaign of a higher priority writes to is capped for the other one already in the plan, and both start.
    """
    workspace = office(WEEKLY.replace("{most}", str(most)), low="{}", high="{priority: 10}")
    plan = plan_of(workspace, database, clock)
    started = apply_of(workspace, database, clock, plan)

    assert {"low": expected, "high": (3, 0)} == heads(plan.campaigns)
    assert heads(plan.campaigns) == heads(started)
    assert ["high", "low"] == [one.campaign for one in started]


def test_a_campaign_that_was_to_start_does_not_vanish(office, database, clock, people):
    """
    When nobody is left of a campaign that was reviewed, the apply refuses and says so.
    """
    workspace = office(WEEKLY.replace("{most}", "1"), low="{}", high="{priority: 10}")
    plans = {name: plan_of(workspace, database, clock, name) for name in ("low", "high")}
    with database.begin() as connection:
        connection.execute(text("UPDATE consent SET state = 'withdrawn' WHERE topic = 'promotions'"))

    with pytest.raises(StalePlan, match="low: the audience changed"):
        apply_of(workspace, database, clock, plans["low"])
    assert ["high"] == [one.campaign for one in apply_of(workspace, database, clock, plans["high"])]
    assert [] == apply_of(workspace, database, clock, plans["high"])


def test_pieces_are_locked_in_one_order(database, clock, make_workspace, monkeypatch):
    """
    Two applications that send the same two pieces by other names do not wait for each other in a circle.
    """
    with database.begin() as connection:
        make_customer(connection, consents=("promotions",))
    template = FILES["templates/spring-paper.html"]
    files = {name: content for name, content in FILES.items() if not name.startswith("campaigns/")}
    files |= {"templates/x.html": template, "templates/y.html": template.replace("See the offer", "Look")}
    for name, piece in {"a": "x", "c": "y", "b": "y", "d": "x"}.items():
        files[f"campaigns/{name}.yaml"] = campaign_file(send=f"{{template: {piece}.html, from: offers}}")
    workspace = make_workspace(
        database=database, files=files, settings=MINIMAL_SETTINGS + "duplicates: {{piece_memory: 1d}}\n"
    )
    single = {name: plan_of(workspace, database, clock, name) for name in "abcd"}
    plans = [
        dataclasses.replace(single[one], campaigns=single[one].campaigns + single[two].campaigns)
        for one, two in ("ac", "bd")
    ]
    asked, real = [], duplicates.lock_pieces
    monkeypatch.setattr(duplicates, "lock_pieces", lambda *given: (asked.append(len(given[1])), real(*given)))
    ends = []

    def carry_out(plan):
        try:
            ends.append(len(apply_of(workspace, database, clock, plan)))
        except StalePlan:
            ends.append("stale")

    threads = [threading.Thread(target=carry_out, args=(plan,)) for plan in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with database.begin() as connection:
        runs = len(connection.execute(select(run.c.id)).all())

    assert ({2, "stale"}, 2) == (set(ends), runs)
    assert [2, 2] == [number for number in asked if number > 1]
