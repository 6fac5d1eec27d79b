"""Routes and the circuit breaker: which transport carries a batch, and which is left alone."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import func, insert, select, update

from core.database import Database
from core.errors import TransportError
from core.schema import audit, throttle, volume
from core.settings import Settings
from delivery import holds, routes
from delivery.breaker import FIRST_PAUSE, FIRST_PAUSE_TO_MEND, LONGEST_PAUSE, pause_after
from delivery.holds import HeldBy
from delivery.smtp import TransportFault
from delivery.throttles import Throttles

REFUSED = TransportFault("the server refused the password (535 5.7.8)", temporary=False)
GONE = TransportFault("connection refused", temporary=True)


@pytest.fixture
def database(module_database: Database) -> Database:
    """The file's database, with every throttle forgotten."""
    with module_database.begin() as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")  # the audit refuses it else
        connection.exec_driver_sql("TRUNCATE throttle, volume, audit")
    return module_database


def make_settings(**more: object) -> Settings:
    """Three transports, and a route over them: 3 to 1, and one on standby."""
    url = "smtp://127.0.0.1"
    return Settings.model_validate(
        {
            "organisation": {"name": "Paper", "postal_address": "1 Mill Lane, 12345 Papertown"},
            "senders": {"offers": {"name": "Paper", "email": "offers@paper.example"}},
            "topics": {"news": {"label": "News"}},
            "transports": {"a": {"url": url}, "b": {"url": url}, "spare": {"url": url}} | more,
            "routes": {"road": {"a": 3, "b": 1, "spare": "standby"}},
        }
    )


def choose(database, settings=None, name="road", salt=1):
    with database.begin() as connection:
        return routes.choose(connection, settings or make_settings(), name, salt=salt)


def fault(database, transport, error):
    with database.begin() as connection:
        routes.fault(connection, transport, error)


def well(database, transport, **when):
    with database.begin() as connection:
        routes.well(connection, transport, **when)


def now_of(database):
    with database.begin() as connection:
        return connection.execute(select(func.clock_timestamp())).scalar_one()


def end_pauses(database):
    with database.begin() as connection:
        connection.execute(update(throttle).values(held_until=func.clock_timestamp()))


def test_transports_are_chosen_in_proportion_to_their_weights(database):
    """
    Of any forty batches in a row three quarters take the heavier transport, give or take one; none the spare one.
    """
    with database.begin() as connection:
        settings = make_settings()
        for first in (1, 1000, 123_456_789):
            chosen = Counter(routes.choose(connection, settings, "road", salt=first + n) for n in range(40))

            assert {"a", "b"} == set(chosen)
            assert abs(chosen["a"] - 30) <= 1


def test_same_batch_takes_the_same_way(database):
    """
    The choice is a function of the batch while nothing is held, so a repetition finds its connections open.
    """
    settings = make_settings()

    assert all(choose(database, settings, salt=n) == choose(database, settings, salt=n) for n in range(5))


def test_transport_may_be_named_instead_of_a_route(database):
    """
    A transport is a route of its own; a name that is neither is a mistake with a hint.
    """
    assert "spare" == choose(database, name="spare")
    with pytest.raises(TransportError, match="no transport or route 'raod'") as caught:
        choose(database, name="raod")
    assert "did you mean 'road'?" in caught.value.hint


def test_fault_that_must_be_mended_holds_the_transport_at_once(database):
    """
    After a refused password everything takes the other transport; with that held too, the spare one; then nothing.
    """
    fault(database, "a", REFUSED)
    assert {"b"} == {choose(database, salt=n) for n in range(20)}
    fault(database, "b", REFUSED)
    assert {"spare"} == {choose(database, salt=n) for n in range(20)}
    fault(database, "spare", REFUSED)
    with pytest.raises(routes.AllHeld, match="every transport of road is held, tried again at") as caught:
        choose(database)

    assert "refused the password" in caught.value.message
    assert timedelta(0) < caught.value.wait < routes.LONGEST_WAIT
    assert "clarion transport resume" in caught.value.hint


def test_hold_is_told_to_people(database):
    """
    A hold has its reason, its end and a line in the audit; further faults of the same crowd add none.
    """
    fault(database, "a", REFUSED)
    fault(database, "a", REFUSED)
    with database.begin() as connection:
        (held,) = holds.holds(connection, "transport:")
        notes = connection.execute(select(audit.c.action, audit.c.subject, audit.c.detail)).all()

    assert ("transport:a", HeldBy.BREAKER, REFUSED.message) == (held.key, held.by, held.because)
    assert FIRST_PAUSE_TO_MEND - timedelta(seconds=5) < held.until - held.since <= FIRST_PAUSE_TO_MEND
    assert [("hold", "transport:a", {"because": REFUSED.message, "by": "breaker"})] == [tuple(row) for row in notes]


def test_passing_faults_hold_after_three_in_a_row(database):
    """
    A server that cannot be reached is given three chances; a success in between forgives what came before.
    """
    for _ in range(2):
        fault(database, "a", GONE)
    well(database, "a")
    for _ in range(2):
        fault(database, "a", GONE)
    assert "a" in {choose(database, salt=n) for n in range(20)}
    fault(database, "a", GONE)

    assert {"b"} == {choose(database, salt=n) for n in range(20)}


def test_held_transport_is_tried_by_one_batch_when_its_pause_is_over(database):
    """
    Of many workers that ask at once exactly one gets the trial, the others go round.
    """
    fault(database, "a", REFUSED)
    end_pauses(database)

    def ask(salt: int) -> str:
        own = Database(database.url)
        try:
            return choose(own, salt=salt)
        finally:
            own.dispose()

    with ThreadPoolExecutor(4) as pool:
        assert {"a": 1, "b": 11} == Counter(pool.map(ask, range(12)))


def test_looking_at_a_held_route_gives_nothing_as_a_trial(database):
    """
    A route is of no use while its only transport is held, and may be asked when the pause is over: by whoever chooses.
    """
    settings = make_settings()
    fault(database, "a", REFUSED)
    with database.begin() as connection, pytest.raises(routes.AllHeld, match="the transport is held"):
        routes.look(connection, settings, "a")
    end_pauses(database)
    with database.begin() as connection:
        routes.look(connection, settings, "a")
        routes.look(connection, settings, "road")

    assert "a" == choose(database, name="a")
    with database.begin() as connection, pytest.raises(routes.AllHeld):
        routes.look(connection, settings, "a")


def test_failed_trials_make_the_pause_longer_and_a_good_one_ends_the_hold(database):
    """
    One, two, four minutes; after a success the transport is as it was, and the audit says so.
    """
    pauses = []
    for _ in range(3):
        fault(database, "a", REFUSED)
        with database.begin() as connection:
            row = connection.execute(select(throttle.c.held_until - func.clock_timestamp())).scalar_one()
            pauses.append(round(row / timedelta(minutes=1)))
        end_pauses(database)
        assert "a" == choose(database, name="a")
    well(database, "a")

    assert [1, 2, 4] == pauses
    with database.begin() as connection:
        assert [] == holds.holds(connection)
        assert ["hold", "release"] == list(connection.execute(select(audit.c.action).order_by(audit.c.id)).scalars())
        assert 0 == connection.execute(select(throttle.c.fault_count)).scalar_one()


@pytest.mark.parametrize("limit", [{}, {"rate": "100/s"}, {"warm_up": {"start": "2020-01-01", "daily": [1]}}])
def test_trial_carries_messages_whatever_limits_the_transport(database, limit):
    """
    The batch that tries a held transport is let through by its throttle; a hold is the route's concern alone.
    """
    settings = make_settings(a={"url": "smtp://127.0.0.1"} | limit)
    throttles = Throttles.of(settings)
    fault(database, "a", REFUSED)
    end_pauses(database)

    with database.begin() as connection:
        way = routes.choose(connection, settings, "a", salt=1)
        assert {"x.example": 5} == throttles.admit(connection, way, {"x.example": 5})


def test_success_that_began_before_the_hold_does_not_end_it(database):
    """
    Another worker's open connections still serve after a password was refused: only a trial since then counts.
    """
    began = now_of(database)
    fault(database, "a", REFUSED)
    well(database, "a")
    with pytest.raises(routes.AllHeld):
        choose(database, name="a")
    end_pauses(database)
    assert "a" == choose(database, name="a")
    well(database, "a", began=began)
    with pytest.raises(routes.AllHeld):
        choose(database, name="a")
    well(database, "a", began=now_of(database))

    assert "a" == choose(database, name="a")


def test_pause_is_bounded():
    """
    However often a transport failed, it is tried again within half an hour.
    """
    assert FIRST_PAUSE == pause_after(3, temporary=True)
    assert LONGEST_PAUSE == pause_after(10, temporary=True) == pause_after(99_999, temporary=False)


def test_operators_hold_stays_until_resumed(database):
    """
    Neither success nor fault nor time ends what a person ordered.
    """
    with database.begin() as connection:
        holds.hold(connection, "transport:a", because="maintenance", by=HeldBy.OPERATOR, actor="kim")
    well(database, "a")
    fault(database, "a", REFUSED)
    with pytest.raises(routes.AllHeld, match="until somebody resumes it"):
        choose(database, name="a")

    with database.begin() as connection:
        assert [(HeldBy.OPERATOR, None)] == [(hold.by, hold.until) for hold in holds.holds(connection)]
        assert holds.release(connection, "transport:a", actor="kim")
        assert not holds.release(connection, "transport:a", actor="kim")
    assert "a" == choose(database, name="a")


def test_transport_whose_warm_up_volume_is_used_up_leaves_the_rest_to_others(database):
    """
    For today the other transport takes everything; alone, it is still chosen, and its messages wait.
    """
    with database.begin() as connection:
        today = connection.exec_driver_sql("SELECT (now() AT TIME ZONE 'UTC')::date").scalar_one()
        connection.execute(insert(volume).values(key="transport:a", day=today, message_count=50))
    plan = {"start": today.isoformat(), "daily": [50, 100]}
    settings = make_settings(a={"url": "smtp://127.0.0.1", "warm_up": plan})

    assert {"b"} == {choose(database, settings, salt=n) for n in range(20)}
    assert "a" == choose(database, settings, name="a")


def test_batch_is_told_how_long_to_wait_for_a_held_transport(database):
    """
    Not at all while another one serves; else until the first may be tried, or two minutes for a person's order.
    """
    settings = make_settings()
    fault(database, "a", REFUSED)
    with database.begin() as connection:
        assert routes.wait(connection, settings, "road") is None
        assert timedelta(seconds=50) < routes.wait(connection, settings, "a") <= FIRST_PAUSE_TO_MEND
        holds.hold(connection, "transport:b", because="x", by=HeldBy.OPERATOR, actor="kim")
        assert routes.LONGEST_WAIT == routes.wait(connection, settings, "b")
