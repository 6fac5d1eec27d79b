"""Frequency caps while many workers send at once: no cap is ever exceeded, and every message is accounted for.

S-8.12.
"""

import contextlib
import threading
from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import insert, select

from campaigns.ledger import claim
from campaigns.mailings import recipients
from campaigns.putting_off import hold_off
from campaigns.sending import Courier
from campaigns.status import statuses
from campaigns.window import Window, hand_over
from core import schema
from core.clock import SteppedClock
from core.database import Database
from suppression.caps import Cap, Rules
from suppression.policy import Policy
from tests.campaign_files import FILES, campaign_file
from tests.conftest import MINIMAL_SETTINGS
from tests.factories import make_customer, make_message, make_run
from tests.integration.test_campaigns_ledger_races import meanwhile
from tests.integration.test_campaigns_plan import apply_of, plan_of
from tests.integration.test_campaigns_putting_off import Definition
from tests.integration.test_campaigns_sending import serving

PRESSURE = """\
workers: {{batch_size: 8}}
duplicates: {{one_per: address, piece_memory: none}}
pressure:
  caps:
    weekly: {{most: 2, within: 7d}}
    firm: {{most: 7, within: 7d, of: company}}
"""
#: Five campaigns to the same people: two drop whom a cap holds, three let them wait.
CAMPAIGNS = {
    "a": "{when_capped: drop}",
    "b": "{when_capped: drop}",
    "c": "{when_capped: {defer: 8d}}",
    "d": "{when_capped: {defer: 8d}}",
    "e": "{when_capped: {defer: 8d}}",
}
PEOPLE = 80


@pytest.fixture
def workspace_at(make_workspace, database):
    """The workspace of five campaigns with caps, whose transport is at this port."""
    files = {name: text for name, text in FILES.items() if not name.startswith("campaigns/")}
    for name, limits in CAMPAIGNS.items():
        files[f"campaigns/{name}.yaml"] = campaign_file(limits=limits, send=f"{{template: {name}.html, from: offers}}")
        files[f"templates/{name}.html"] = FILES["templates/spring-paper.html"].replace("Ten boxes", f"{name} boxes")
    return lambda port: make_workspace(
        database=database, files=files, smtp_port=port, settings=MINIMAL_SETTINGS + PRESSURE
    )


@pytest.fixture
def people(database):
    """Eighty customers: every eighth one has a second address, and twenty work for two firms. External id → names."""
    names = {}
    with database.begin() as connection:
        for number in range(PEOPLE):
            person = f"p{number - number % 8}" if number % 8 < 2 else None
            company = f"Firm {number // 4 % 2}" if number % 4 == 3 else None
            make_customer(
                connection, external_id=f"C-{number}", email=f"c{number}@firm.example", consents=("promotions",),
                person=person, company=company,
            )  # fmt: skip
            names[f"c{number}@firm.example"] = (person or f"c{number}", company)
    return names


def open_batches(database, clock):
    with database.begin() as connection:
        waiting = (schema.batch.c.state != "done") & (schema.batch.c.not_before <= clock.now())
        return list(connection.execute(select(schema.batch.c.id).where(waiting).order_by(schema.batch.c.id)).scalars())


def send_at_once(workspace, database, now, batch_ids):
    """Each batch by a courier of its own, all at the same moment."""
    start = threading.Barrier(len(batch_ids))
    faults = []

    def send(batch_id):
        own = Database(database.url)
        courier = Courier(workspace, own, SteppedClock(now), f"w{batch_id}")
        try:
            start.wait(60)
            courier.send_batch(batch_id)
        except Exception as error:  # noqa: BLE001  a thread's error is the test's
            faults.append(error)
        finally:
            courier.close()
            own.dispose()

    threads = [threading.Thread(target=send, args=(batch_id,)) for batch_id in batch_ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert [] == faults


def contacts(received, people):
    """How often each person, and each company, was written to."""
    told = [people[line.partition("<")[2].rstrip(">")] for mail in received for line in mail.recipients]
    return Counter(person for person, _ in told), Counter(company for _, company in told if company)


def check_ledgers(database, received):
    """Every run balances, and what the server took is what the ledgers say was accepted."""
    with database.begin() as connection:
        found = statuses(connection)
    assert [] == [line for status in found for line in status.broken]
    assert len(received) == sum(status.document()["accepted"] for status in found)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("time", [1, 2])
def test_fifty_sends_of_five_campaigns_never_exceed_a_cap(time, workspace_at, database, clock, people):
    """
    Whoever is first goes; the others are dropped, or go after the week, and nobody gets more than the caps allow.
    """
    with serving() as server:
        workspace = workspace_at(server.port)
        apply_of(workspace, database, clock, plan_of(workspace, database, clock))
        batch_ids = open_batches(database, clock)
        send_at_once(workspace, database, clock.now(), batch_ids)
        while due := open_batches(database, clock):  # colleagues in one window, and what was tried at once again
            send_at_once(workspace, database, clock.now(), due[:50])
        first_week = list(server.received)
        first = check_ledgers(database, first_week)
        clock.step(timedelta(days=7, minutes=15))
        second_from = len(server.received)
        while due := open_batches(database, clock):
            send_at_once(workspace, database, clock.now(), due[:50])
        second_week = server.received[second_from:]
        second = check_ledgers(database, server.received)

    assert 50 == len(batch_ids)
    persons, firms = contacts(first_week, people)
    assert {2} == {number for name, number in persons.items() if name not in employees(people)}
    assert 2 == max(persons.values())
    assert {"Firm 0": 7, "Firm 1": 7} == dict(firms)
    assert 2 == max(contacts(second_week, people)[0].values())
    assert 7 == max(contacts(second_week, people)[1].values())
    assert sum(sum(status.held.values()) for status in first) > 0
    assert {"frequency_cap"} == {reason for status in [*first, *second] for reason in status.held}


def employees(people):
    return {person for person, company in people.values() if company}


def test_two_hand_overs_to_one_person_wait_for_each_other(database, clock, make_watched):
    """
    A hand-over that begins while another one to the same person is not yet committed waits, and finds it.
    """
    first, second = make_watched("first"), make_watched("second")

    def hand_over_second():
        with contextlib.closing(database.link()) as link:
            window = Window(second.message_ids, (), dict.fromkeys(second.message_ids, b"bytes"))
            return hand_over(link, second, window, transport="main", now=clock.now())

    with contextlib.ExitStack() as stack, database.begin() as connection:
        window = Window(first.message_ids, (), dict.fromkeys(first.message_ids, b"bytes"))
        gone = hand_over(connection, first, window, transport="main", now=clock.now())
        then = stack.enter_context(meanwhile(database, hand_over_second))
        assert [] == then  # it waits
    assert (list(first.message_ids), [[]]) == (gone, then)
    with database.begin() as connection:
        found = statuses(connection, "second")
    assert [({"frequency_cap": 1}, ())] == [(status.held, status.broken) for status in found]


def test_a_hand_over_that_waits_for_its_batch_holds_up_nobody(database, clock, make_watched):
    """
    Whoever finds its batch locked gives the person's lock back before it waits: the other campaign goes meanwhile.
    """
    first, second = make_watched("first"), make_watched("second")

    def hand_over_of(held):
        with contextlib.closing(database.link()) as link:
            window = Window(held.message_ids, (), dict.fromkeys(held.message_ids, b"bytes"))
            return hand_over(link, held, window, transport="main", now=clock.now())

    with contextlib.ExitStack() as stack, database.begin() as connection:
        connection.execute(select(schema.batch.c.id).where(schema.batch.c.id == first.batch_id).with_for_update())
        late = stack.enter_context(meanwhile(database, lambda: hand_over_of(first)))
        assert list(second.message_ids) == hand_over_of(second)
    assert [[]] == late


@pytest.fixture
def make_watched(database, clock):
    """A claim of one message to the same person under a cap of one a week, by the campaign named."""
    policy = Policy(pressure=Rules((Cap("weekly", 1, timedelta(days=7), None, "person", None, None, 0),)))
    with database.begin() as connection:
        person = make_customer(connection, consents=("promotions",))

    def build(campaign):
        with database.begin() as connection:
            run_id = make_run(connection, campaign, audience=1)
            id_ = make_message(connection, run_id, person, state="planned", not_before=clock.now())
            cut = insert(schema.batch).values(run_id=run_id, message_ids=[id_], not_before=clock.now())
            batch_id = connection.execute(cut.returning(schema.batch.c.id)).scalar_one()
            lease = timedelta(minutes=1)
            held = claim(connection, batch_id, worker="w", lease=lease, policy=policy, now=clock.now())
            people = list(recipients(connection, held.message_ids, policy=policy, now=clock.now()))
            held, people = hold_off(connection, held, people, Definition(when_capped={"defer": "3d"}), clock.now())
        assert [id_] == [one.message_id for one in people]
        return held

    return build
