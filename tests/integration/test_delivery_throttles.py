"""Throttles in a real database: rates shared by workers, plans, holds, cuts."""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import event, insert, select, update
from sqlalchemy.exc import DBAPIError

from core.database import Database
from core.schema import domain_tally, throttle, volume
from core.transport_settings import DomainLimit, Transport
from delivery import holds
from delivery.holds import HeldBy
from delivery.smtp import Outcome, OutcomeState
from delivery.smtp.steps import Step
from delivery.throttles import Tallies, Throttles, domain_key, rows
from delivery.throttles.tallies import prune

URL = "smtp://127.0.0.1:2525"
ACCEPTED = Outcome(OutcomeState.ACCEPTED, 250, "2.0.0", "ok")
TOO_FAST = Outcome(OutcomeState.DEFERRED, 421, "4.7.0", "too fast", Step.END_OF_DATA)


def make_throttles(*, domains: dict[str, float] | None = None, zone: str = "UTC", **transport: object) -> Throttles:
    """Throttles of one transport, `main`."""
    limits = {name: DomainLimit.model_validate({"rate": f"{rate}/s"}) for name, rate in (domains or {}).items()}
    return Throttles({"main": Transport.model_validate({"url": URL} | transport)}, limits, zone)


@pytest.fixture
def database(module_database: Database) -> Database:
    """The file's database, with every throttle forgotten."""
    with module_database.begin() as connection:
        connection.exec_driver_sql("TRUNCATE throttle, volume, domain_tally")
    return module_database


def now_of(database: Database) -> datetime:
    with database.begin() as connection:
        return connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()


def admit(database: Database, throttles: Throttles, wanted: dict[str, int], **how: bool) -> dict[str, int]:
    with database.begin() as connection:
        return dict(throttles.admit(connection, "main", wanted, **how))


def set_row(database: Database, key: str, **values: object) -> None:
    with database.begin() as connection:
        connection.execute(insert(throttle).values(key=key, **values))


def test_messages_nobody_limits_go_at_once(database):
    """
    Without a rate, a plan or a cut everything may go, and no row is made.
    """
    throttles = make_throttles()
    wanted = {"a.example": 400, "b.example": 100}

    with database.begin() as connection:
        assert not throttles.limits(connection, "main", wanted)
        assert wanted == throttles.admit(connection, "main", wanted)
        throttles.give_back(connection, "main", {"a.example": 3})
        assert [] == connection.execute(select(throttle)).all()


def test_messages_nobody_limits_cost_no_statement(database):
    """
    Between two looks at what was slowed down, a batch that nothing limits sends nothing to the database.
    """
    throttles = make_throttles()
    with database.begin() as connection:
        throttles.limits(connection, "main", {"a.example"})
        seen: list[str] = []
        event.listen(connection, "before_cursor_execute", lambda *given: seen.append(given[2]))

        assert {"a.example": 7} == throttles.admit(connection, "main", {"a.example": 7})
        assert [] == seen


def test_rate_of_a_domain_leaves_other_domains_alone(database):
    """
    A limited domain gets its share, the others all they want.
    """
    throttles = make_throttles(domains={"slow.example": 10.0})

    assert {"slow.example": 2, "fast.example": 300} == admit(
        database, throttles, {"slow.example": 40, "fast.example": 300}
    )
    assert {"slow.example": 0, "fast.example": 300} == admit(
        database, throttles, {"slow.example": 40, "fast.example": 300}
    )


def test_star_limits_each_other_domain_by_itself(database):
    """
    `*` is a rate for each domain not named, not for all of them together.
    """
    throttles = make_throttles(domains={"*": 8.0, "fast.example": 400.0})
    wanted = {"a.example": 9, "b.example": 9, "fast.example": 9}

    assert {"a.example": 2, "b.example": 2, "fast.example": 9} == admit(database, throttles, wanted)


def test_rate_of_a_transport_is_shared_out_in_proportion(database):
    """
    What a transport may carry now goes to the domains by how many messages each has.
    """
    throttles = make_throttles(rate="80/s")

    assert {"a.example": 15, "b.example": 5} == admit(database, throttles, {"a.example": 300, "b.example": 100})


def test_rate_survives_a_restart(database):
    """
    New processes find what former ones took.
    """
    admit(database, make_throttles(rate="4/s"), {"a.example": 1})

    assert {"a.example": 0} == admit(database, make_throttles(rate="4/s"), {"a.example": 1})


def test_urgent_messages_use_the_burst_and_no_more(database):
    """
    After bulk has used its share urgent messages still go, up to one second ahead of the rate.
    """
    throttles = make_throttles(rate="100/s")
    assert {"a.example": 25} == admit(database, throttles, {"a.example": 500})

    first = admit(database, throttles, {"a.example": 50}, urgent=True)["a.example"]
    second = admit(database, throttles, {"a.example": 500}, urgent=True)["a.example"]

    assert 50 == first
    assert 25 <= second <= 35  # what was left of the second, and what came in meanwhile


def test_messages_given_back_may_be_taken_again(database):
    """
    What did not go after all does not count against the rate.
    """
    throttles = make_throttles(rate="40/s")
    admit(database, throttles, {"a.example": 10})
    with database.begin() as connection:
        throttles.give_back(connection, "main", {"a.example": 10})

    assert {"a.example": 10} == admit(database, throttles, {"a.example": 10})


def test_many_workers_together_keep_the_rate(database):
    """
    However many ask at once, over their own connections, no more goes than the rate and one share.
    """
    rates = {"a.example": 200.0, "b.example": 100.0}
    workers = 4
    went: list[tuple[float, str, int]] = []
    began = threading.Barrier(workers)

    def work(number: int) -> None:
        throttles = make_throttles(rate="400/s", domains=rates)
        own = Database(database.url)
        names = ["a.example", "b.example", "c.example"]
        began.wait()
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            wanted = dict.fromkeys(names[number % 2 :] + names[: number % 2], 20)
            for domain, count in admit(own, throttles, wanted).items():
                if count:
                    went.append((time.monotonic(), domain, count))
        own.dispose()

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, range(workers)))

    elapsed = max(at for at, _, _ in went) - min(at for at, _, _ in went)
    total = {name: sum(count for _, domain, count in went if domain == name) for name in (*rates, "c.example")}
    for domain, rate in rates.items():
        assert rate * elapsed * 0.4 <= total[domain] <= rate * (elapsed + 0.3)
    assert sum(total.values()) <= 400 * (elapsed + 0.3)


def test_times_are_given_one_share_after_the_other(database):
    """
    Messages that wait ask again in shares of a quarter second, and what is far off stays together.
    """
    throttles = make_throttles(domains={"slow.example": 4.0})
    with database.begin() as connection:
        throttles.admit(connection, "main", {"slow.example": 1})
        slots = throttles.book(connection, "main", {"slow.example": 3})
        late = throttles.book(connection, "main", {"slow.example": 400})

    gaps = [after.not_before - before.not_before for before, after in itertools.pairwise(slots)]
    assert [1, 1, 1] == [slot.count for slot in slots]
    assert [timedelta(seconds=0.25)] * 2 == gaps
    assert slots[-1].not_before + timedelta(seconds=0.25) == late[0].not_before
    assert 400 == sum(slot.count for slot in late)
    assert 119 >= len(late)
    assert late[-1].count > 250


def test_newcomers_do_not_overtake_those_who_have_a_time(database):
    """
    While times are promised, a batch that has none waits; one that has goes when its time has come.
    """
    throttles = make_throttles(rate="40/s")
    with database.begin() as connection:
        throttles.admit(connection, "main", {"a.example": 10})
        throttles.book(connection, "main", {"a.example": 10})
    set_next = update(throttle).values(next_at=now_of(database))
    with database.begin() as connection:
        connection.execute(set_next)

    assert {"a.example": 0} == admit(database, throttles, {"a.example": 10})
    assert {"a.example": 10} == admit(database, throttles, {"a.example": 10}, booked=True)


def test_warm_up_volume_is_kept_and_the_rest_waits_for_midnight(database):
    """
    A day's volume is let through once, whoever asks; the rest is given the next midnight of the organisation.
    """
    zone = "Asia/Shanghai"
    today = now_of(database).astimezone(ZoneInfo(zone)).date()
    plan = {"start": today.isoformat(), "daily": [30, 60], "domains": {"big.example": [10, 20]}}
    throttles = make_throttles(warm_up=plan, zone=zone)

    assert {"big.example": 10, "a.example": 5} == admit(database, throttles, {"big.example": 25, "a.example": 5})
    again = make_throttles(warm_up=plan, zone=zone)
    assert {"big.example": 0, "a.example": 15} == admit(database, again, {"big.example": 15, "a.example": 40})
    with database.begin() as connection:
        slots = again.book(connection, "main", {"big.example": 15, "a.example": 25})

    midnight = datetime.combine(today + timedelta(days=1), datetime.min.time(), ZoneInfo(zone))
    assert {midnight} == {slot.not_before for slot in slots}
    assert 40 == sum(slot.count for slot in slots)


def test_warm_up_day_changes_with_the_volume(database):
    """
    Yesterday's messages do not count today, and after the last day of the plan there is no limit.
    """
    today = now_of(database).date()
    yesterday = today - timedelta(days=1)
    with database.begin() as connection:
        connection.execute(insert(volume).values(key="transport:main", day=yesterday, message_count=20))

    second = make_throttles(warm_up={"start": yesterday.isoformat(), "daily": [20, 40]})
    over = make_throttles(warm_up={"start": (today - timedelta(days=2)).isoformat(), "daily": [20, 40]})
    ahead = make_throttles(warm_up={"start": (today + timedelta(days=3)).isoformat(), "daily": [20]})

    assert {"a.example": 40} == admit(database, second, {"a.example": 100})
    assert {"a.example": 100} == admit(database, over, {"a.example": 100})
    assert {"a.example": 0} == admit(database, ahead, {"a.example": 100})
    with database.begin() as connection:
        slots = ahead.book(connection, "main", {"a.example": 100})
    start = datetime.combine(today + timedelta(days=3), datetime.min.time(), UTC)
    assert [start] == [slot.not_before for slot in slots]


def test_volume_given_back_is_not_lost(database):
    """
    A message that was let through and did not go leaves its place in the day's volume.
    """
    plan = {"start": now_of(database).date().isoformat(), "daily": [30]}
    throttles = make_throttles(warm_up=plan)
    admit(database, throttles, {"a.example": 30})
    with database.begin() as connection:
        throttles.give_back(connection, "main", {"a.example": 12})

    assert {"a.example": 12} == admit(database, throttles, {"a.example": 30})


def test_volume_given_back_after_midnight_is_of_the_day_before(database):
    """
    What was let through before midnight and did not go leaves its place in that day's volume, not in the new day's.
    """
    now = now_of(database)
    west, east = "Etc/GMT+12", "Etc/GMT-14"  # 26 hours apart: the day of one is over when that of the other begins
    first = now.astimezone(ZoneInfo(west)).date()
    throttles = make_throttles(warm_up={"start": first.isoformat(), "daily": [10] * 4}, zone=west)
    assert {"a.example": 10} == admit(database, throttles, {"a.example": 10})
    throttles.zone = east
    other = make_throttles(warm_up={"start": first.isoformat(), "daily": [10] * 4}, zone=east)
    assert {"a.example": 10} == admit(database, other, {"a.example": 10})
    with database.begin() as connection:
        throttles.give_back(connection, "main", {"a.example": 4})
        counts = connection.execute(select(volume.c.message_count).order_by(volume.c.day)).scalars().all()

    assert [6, 10] == counts


def test_mended_rate_is_in_force_at_once(database):
    """
    After a rate of one a day, a rate of a hundred a second does not wait for tomorrow; nor does one whose clock was
    ahead.
    """
    admit(database, make_throttles(rate="1/day"), {"a.example": 1})
    with database.begin() as connection:
        make_throttles(rate="1/day").book(connection, "main", {"a.example": 3})
    admit(database, make_throttles(rate="100/s"), {"a.example": 1})
    with database.begin() as connection:
        row = connection.execute(select(throttle.c.next_at, throttle.c.booked_until)).one()

    assert row.next_at <= now_of(database) + timedelta(seconds=1.1)
    assert row.booked_until is None


def test_base_of_a_cut_is_the_rate_since_the_first_answer(database):
    """
    Two hundred answers within a second were two hundred a second, however long ago the minute began.
    """
    throttles = make_throttles()
    with database.begin() as connection:
        Tallies(throttles).record(connection, [("a.example", ACCEPTED)] * 199 + [("a.example", TOO_FAST)])
        rate = connection.execute(select(throttle.c.base_rate)).scalar_one()

    assert 150 <= rate <= 200


def test_held_domain_gets_nothing_and_others_go(database):
    """
    A hold on a domain stops its messages only, until it ends; they are told when to ask again.
    """
    throttles = make_throttles()
    until = now_of(database) + timedelta(minutes=20)
    with database.begin() as connection:
        holds.hold(
            connection, domain_key("dead.example"), because="too many", by=HeldBy.HARD_BOUNCES, until=until, actor="t"
        )
    throttles.look_again()

    assert {"dead.example": 0, "a.example": 5} == admit(database, throttles, {"dead.example": 5, "a.example": 5})
    with database.begin() as connection:
        assert [until] == [slot.not_before for slot in throttles.book(connection, "main", {"dead.example": 5})]
        connection.execute(update(throttle).values(held_until=now_of(database)))
    assert {"dead.example": 5} == admit(database, throttles, {"dead.example": 5})


def test_too_fast_halves_the_rate_of_that_domain_only(database):
    """
    A 421 cuts the domain it came from, once for all answers to one share; the other keeps its speed (S-1.30).
    """
    throttles = make_throttles(domains={"*": 80.0})
    tallies = Tallies(throttles)
    with database.begin() as connection:
        tallies.record(connection, [("a.example", TOO_FAST)] * 5 + [("b.example", ACCEPTED)] * 5)
        tallies.record(connection, [("a.example", TOO_FAST)] * 5)

    assert {"a.example": 10, "b.example": 20} == admit(database, throttles, {"a.example": 90, "b.example": 90})


def test_too_fast_gives_a_rate_to_a_domain_without_one(database):
    """
    A domain nobody limited is slowed to half of what it had, in this process at once and in others within seconds.
    """
    throttles, other = make_throttles(), make_throttles()
    tallies = Tallies(throttles)
    admit(database, other, {"a.example": 1})
    with database.begin() as connection:
        minute = connection.exec_driver_sql("SELECT date_trunc('minute', now()) - interval '1 minute'").scalar_one()
        connection.execute(
            insert(domain_tally).values(domain="a.example", minute=minute, attempt_count=6000, hard_count=0)
        )
        tallies.record(connection, [("a.example", TOO_FAST)])
        rate = connection.execute(select(throttle.c.base_rate)).scalar_one()

    assert 50 <= rate <= 101
    assert int(rate / 8) == admit(database, throttles, {"a.example": 900})["a.example"]
    other.look_again()
    assert 900 > admit(database, other, {"a.example": 900})["a.example"]


def test_recovered_domain_is_not_limited_any_more(database):
    """
    Some twenty minutes after its last cut a domain without a rate of its own goes at full speed again.
    """
    long_ago = now_of(database) - timedelta(minutes=25)
    set_row(database, "domain:a.example", factor=1 / 64, factor_at=long_ago, base_rate=5)

    assert {"a.example": 900} == admit(database, make_throttles(), {"a.example": 900})


def test_tallies_count_by_domain_and_forget_old_minutes(database):
    """
    Attempts and hard refusals are counted; answers nobody gave are not; hours later the counts are gone.
    """
    tallies = Tallies(make_throttles())
    hard = Outcome(OutcomeState.FAILED, 550, "5.1.1", "no such user")
    lost = Outcome(OutcomeState.DEFERRED, None, None, "connection lost")
    with database.begin() as connection:
        old = datetime.now(UTC) - timedelta(hours=7)
        connection.execute(insert(domain_tally).values(domain="a.example", minute=old, attempt_count=1, hard_count=1))
        tallies.record(connection, [("a.example", ACCEPTED), ("a.example", lost), ("b.example", ACCEPTED)])
        assert 1 == len(connection.execute(select(domain_tally)).all())
        tallies.record(connection, [("a.example", hard)])
        prune(connection)
        rows = connection.execute(select(domain_tally).order_by(domain_tally.c.domain)).all()

    assert [("a.example", 2, 1), ("b.example", 1, 0)] == [(row[0], row[2], row[3]) for row in rows]


def test_who_is_no_longer_limited_asks_again_at_once(database):
    """
    A domain that recovered between two questions of one batch has nothing to wait for; its batch does not break off.
    """
    throttles = make_throttles()
    set_row(database, domain_key("slow.example"), held_at=now_of(database), held_by=HeldBy.OPERATOR)
    with database.begin() as connection:
        assert {"slow.example": 0, "b.example": 2} == throttles.admit(
            connection, "main", {"slow.example": 3, "b.example": 2}
        )
    with database.begin() as connection:
        holds.release(connection, domain_key("slow.example"), actor="ann")
    throttles.look_again()
    with database.begin() as connection:
        (slot,) = throttles.book(connection, "main", {"slow.example": 3})

    assert ("slow.example", 3) == (slot.domain, slot.count)
    assert abs(slot.not_before - now_of(database)) < timedelta(seconds=5)


def test_domains_are_locked_before_transports(database):
    """
    A batch that ends slows a domain down and then says that its transport serves: who asks about both waits for the
    first with nothing in hands.
    """
    both = [domain_key("a.example"), "transport:main"]
    with database.begin() as connection:
        rows.lock(connection, both)
    failed = []

    def ask():
        with database.begin() as connection:
            try:
                rows.lock(connection, both)
            except DBAPIError as error:
                failed.append(error)

    other = threading.Thread(target=ask)
    with database.begin() as connection:
        rows.lock(connection, both[:1])
        other.start()
        other.join(0.5)
        assert other.is_alive()
        connection.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
        assert set(both) == set(rows.lock(connection, both).rows)
    other.join(20)
    assert [] == failed
