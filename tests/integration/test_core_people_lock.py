"""Who names customers and who takes them away: an opt-out waits for neither an import nor a merge that waits for it."""

import threading
from datetime import timedelta

import pytest
from sqlalchemy import select, text

from core.errors import ServiceError
from core.people_lock import people_go, people_stay
from core.schema import suppression
from customers.merging.merge import merge
from suppression.record import unsubscribe
from tests.factories import LONG_AGO, make_customer, make_message, make_run

_TRYING = text("""
    SELECT count(*) FROM pg_stat_activity
    WHERE query LIKE 'SELECT pg_try_advisory_xact_lock(%' AND datname = current_database()
""")


def test_an_opt_out_does_not_wait_behind_a_merge_that_waits(database):
    """
    While an import is under way a merge waits for it, and an opt-out of the same minute is on record at once.
    """
    with database.begin() as connection:
        one, other = make_customer(connection, consents=("promotions",)), make_customer(connection)
        message_id = make_message(connection, make_run(connection), one)

    def merge_them():
        with database.begin() as connection:
            merge(connection, one, other, because="same card", actor="test", now=LONG_AGO)

    with database.begin() as importing:
        people_stay(importing)
        merging = threading.Thread(target=merge_them)
        merging.start()
        while not importing.execute(_TRYING).scalar_one():
            importing.execute(text("SELECT pg_stat_clear_snapshot()"))
        with database.begin() as connection:
            connection.execute(text("SET LOCAL lock_timeout = '20s'"))
            unsubscribe(connection, message_id=message_id, source="one_click", now=LONG_AGO)
        is_waiting = merging.is_alive()
        with database.begin() as connection:
            reasons = list(connection.execute(select(suppression.c.reason)).scalars())
    merging.join(30)

    assert (True, ["unsubscribed"], False) == (is_waiting, reasons, merging.is_alive())


def test_taking_customers_away_gives_up_in_time(database):
    """
    Who would wait for too long says so, instead of waiting for ever.
    """
    with database.begin() as importing, database.begin() as connection:
        people_stay(importing)
        with pytest.raises(ServiceError, match="is under way"):
            people_go(connection, timedelta(0))
