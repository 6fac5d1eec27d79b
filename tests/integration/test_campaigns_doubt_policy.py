"""What becomes of a message in doubt is a setting by class: sent again with the same bytes, or held (S-1.33)."""

import pytest
from sqlalchemy import func, select, update

from campaigns import catalogue, versions
from core import schema
from core.doubt_settings import Doubt
from tests.conftest import MINIMAL_SETTINGS
from tests.integration.test_campaigns_ledger import ACCEPTED, UNKNOWN, claim, close, expire_lease, hand_over, states
from tests.integration.test_campaigns_ledger import planned as planned
from tests.transactional_files import FILES


def _of_class(database, message_class, repeats):
    with database.begin() as connection:
        connection.execute(update(schema.campaign_version).values(message_class=message_class, repeats=repeats))


def _kept(database):
    with database.begin() as connection:
        return connection.execute(select(func.count()).select_from(schema.kept_content)).scalar_one()


@pytest.mark.parametrize(
    ("message_class", "repeats", "state", "is_lost"),
    [
        ("bulk", None, "unknown", False),
        ("bulk", True, "deferred", False),
        ("bulk", True, "deferred", True),
        ("transactional", None, "deferred", False),
        ("transactional", False, "unknown", False),
        ("transactional", False, "unknown", True),
    ],
)
def test_message_in_doubt_is_sent_again_or_held(database, planned, clock, message_class, repeats, state, is_lost):
    """
    A lost answer and a lost worker are the same doubt; what may be sent again has its bytes kept from before it went.
    """
    _, batch_id, ids = planned
    _of_class(database, message_class, repeats)
    held = claim(database, batch_id, clock)
    hand_over(database, held, ids, [], clock)
    kept = _kept(database)

    if is_lost:
        expire_lease(database, batch_id)
        claim(database, batch_id, clock, worker="w2")
    else:
        hand_over(database, held, [], [(message_id, UNKNOWN) for message_id in ids], clock)
        close(database, held, clock)

    assert {state} == set(states(database).values())
    assert (5 if state == "deferred" else 0) == kept == _kept(database)


def test_bulk_message_that_is_repeated_is_settled_by_its_second_answer(database, planned, clock):
    """
    Sent again and accepted it is accepted, its bytes are forgotten, and the run is finished.
    """
    _, batch_id, ids = planned
    _of_class(database, "bulk", True)
    held = claim(database, batch_id, clock)
    hand_over(database, held, ids, [], clock)
    hand_over(database, held, [], [(message_id, UNKNOWN) for message_id in ids], clock)
    close(database, held, clock)

    with database.begin() as connection:
        again = connection.execute(select(schema.batch).where(schema.batch.c.state == "ready")).mappings().one()
    clock.instant = again["not_before"]
    second = claim(database, again["id"], clock)
    hand_over(database, second, ids, [], clock)
    hand_over(database, second, [], [(message_id, ACCEPTED) for message_id in ids], clock)
    close(database, second, clock)

    assert {"accepted"} == set(states(database).values())
    assert 0 == _kept(database)
    with database.begin() as connection:
        assert "finished" == connection.execute(select(schema.run.c.state)).scalar_one()


def test_setting_is_pinned_with_the_version_and_changes_only_what_it_is_about(make_workspace):
    """
    A version made under a departing setting says so and has another fingerprint; the default leaves both as they were.
    """

    def pinned(line, name):
        return versions.pin(catalogue.load(make_workspace(files=FILES, settings=MINIMAL_SETTINGS + line)), name)

    plain = pinned("", "spring-paper")
    repeated = pinned("doubt: {{bulk: repeat}}\n", "spring-paper")

    assert (None, True) == (plain.repeats, repeated.repeats)
    assert plain.fingerprint != repeated.fingerprint
    assert plain.fingerprint == pinned("doubt: {{bulk: hold, transactional: hold}}\n", "spring-paper").fingerprint
    assert pinned("doubt: {{transactional: hold}}\n", "receipt").repeats is False
    assert repeated.stored() == versions.Version.from_stored("spring-paper", repeated.stored()).stored()
    assert [None, None] == [Doubt().repeats(each) for each in ("bulk", "transactional")]
