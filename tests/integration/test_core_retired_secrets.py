"""A new secret takes over: new links are signed with it, old ones go on working, and everybody is known as before."""

import pytest

from core.clock import SystemClock
from core.database import open_database
from core.errors import ConfigError
from core.ids import address_key
from tests.conftest import MINIMAL_SETTINGS
from tests.factories import SECRET
from tracking.inbound.proof import Prover
from tracking.timed_tokens import TimedPurpose, TimedTokens
from tracking.tokens import Purpose, Signer
from web.site import Site

NEW = "fedcba9876543210fedcba9876543210"
OLD = SECRET.decode()
ROTATED = MINIMAL_SETTINGS.replace(f'secret: "{OLD}"', f'secret: "{NEW}"\nretired_secrets: ["{OLD}"]')


@pytest.fixture
def rotated(make_workspace, database):
    """A workspace over a database that began with another secret, which is retired now."""
    open_database(make_workspace(database=database)).dispose()
    return make_workspace(database=database, settings=ROTATED)


def test_database_of_a_retired_secret_is_opened_and_addresses_keep_their_keys(rotated):
    """
    Without the former secret it is refused; with it, the same mailbox has the same key as ever.
    """
    open_database(rotated).dispose()

    assert SECRET == rotated.secret
    assert NEW.encode() == rotated.token_secret
    assert address_key(SECRET, "a@x.example") == address_key(rotated.secret, "a@x.example")


def test_former_secret_is_needed(make_workspace, database):
    """
    A new secret alone does not open the database: nobody would be known any more.
    """
    open_database(make_workspace(database=database)).dispose()
    lost = make_workspace(database=database, settings=MINIMAL_SETTINGS.replace(OLD, NEW))

    with pytest.raises(ConfigError, match="made with another secret"):
        open_database(lost)


def test_links_of_a_retired_secret_work_and_new_ones_are_not_made_with_it(rotated, database):
    """
    Unsubscribe and timed links in old mails are genuine; what is signed now is so by the new secret alone.
    """
    site = Site.of(rotated, database, SystemClock())
    old = Signer(SECRET).sign(Purpose.UNSUBSCRIBE, 7)
    new = site.signer.sign(Purpose.UNSUBSCRIBE, 7)

    assert 7 == site.signer.verify(Purpose.UNSUBSCRIBE, old).message_id
    assert None is Signer(SECRET).verify(Purpose.UNSUBSCRIBE, new)
    later = SystemClock().now().replace(year=2099)
    timed = TimedTokens(SECRET).sign(TimedPurpose.ERASE, 1, later)
    assert site.timed.verify(TimedPurpose.ERASE, timed, SystemClock().now()) is not None
    assert Prover.of(rotated) is not None
