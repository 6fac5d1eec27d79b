"""Complaints are a share of the messages they are about: bulk mail to a domain stops before the domain stops us."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import Connection, select, text

from campaigns.feedback import gmail, take
from campaigns.feedback.complaints import shares
from core import schema
from core.database import Database
from core.feedback_settings import FeedbackRules
from core.transport_settings import Transport
from delivery.holds import HeldBy, holds
from delivery.throttles import Throttles
from tests.factories import make_run, make_version
from tests.feedback_events import NOON, days, make_feedback, make_receiver

RECEIVER = make_receiver(rules=FeedbackRules(replies_to="anna"))
DOMAIN = "big.example"


@pytest.fixture
def connection(module_database: Database) -> Iterator[Connection]:
    """A transaction that is taken back."""
    with module_database.begin() as one:
        yield one
        one.rollback()


def sent(
    connection: Connection, count: int, *, domain: str = DOMAIN, day: int = 0, state: str = "accepted"
) -> list[int]:
    """So many messages accepted at noon, so many days ago, at the domain."""
    version = make_version(connection, definition={"sender": {"email": "offers@news.paper.example"}})
    run = make_run(connection, version_id=version, audience=count, occurrence=f"{domain} {day} {state}")
    given = {"run": run, "count": count, "domain": domain, "state": state, "at": NOON - days(day) - timedelta(hours=1)}
    return list(connection.execute(_SENT, given).scalars())


#: Keys of addresses are made up: nothing asks for them here.
_SENT = text("""
    WITH person AS (
        INSERT INTO customer (external_id, email, address_key)
        SELECT CAST(:run AS bigint) || ':' || n,
               'r' || CAST(:run AS bigint) || 'n' || n || '@' || CAST(:domain AS text),
               gen_random_uuid()
        FROM generate_series(1, :count) AS n RETURNING id, address_key
    )
    INSERT INTO message (run_id, campaign, step, occurrence, customer_id, address_key, state, not_before, accepted_at)
    SELECT r.id, r.campaign, r.step, r.occurrence, p.id, p.address_key, CAST(:state AS message_state), :at, :at
    FROM person AS p, run AS r WHERE r.id = :run RETURNING id
""")


def complain(connection: Connection, messages: list[int]) -> None:
    take(connection, [make_feedback("complaint", each) for each in messages], RECEIVER, NOON)


def held(connection: Connection) -> list[tuple[str, HeldBy]]:
    return [(one.key, one.by) for one in holds(connection, "domain:")]


def told(connection: Connection) -> list[str]:
    """What the staff was told, as the first words of the subject."""
    subjects = connection.execute(select(schema.staff_notice.c.subject).order_by(schema.staff_notice.c.id)).scalars()
    return [subject.partition(" messages")[0] for subject in subjects]


def test_complaints_pause_bulk_mail_to_their_domain_at_the_limit(connection: Connection) -> None:
    """
    At 0.30 % of the day's messages bulk mail to the domain pauses, at 0.10 % somebody is warned, below nothing happens;
    mail that is owed to one person goes on (S-3.11).
    """
    messages = sent(connection, 1000)
    seen = []
    for number in range(3):
        complain(connection, messages[number : number + 1])
        seen.append((held(connection), told(connection)))

    assert [
        ([], []),
        ([], ["2 of 1,000"]),
        ([(f"domain:{DOMAIN}", HeldBy.COMPLAINTS)], ["2 of 1,000", "3 of 1,000"]),
    ] == seen
    throttles = Throttles({"main": Transport(url="smtp://127.0.0.1:2525")}, {}, "UTC")
    assert {DOMAIN: 0} == throttles.admit(connection, "main", {DOMAIN: 5})
    assert {DOMAIN: 5} == throttles.admit(connection, "main", {DOMAIN: 5}, urgent=True)


def test_complaints_below_the_limit_pause_nothing(connection: Connection) -> None:
    """
    0.29 % of 1,034 messages is a warning, not a pause.
    """
    complain(connection, sent(connection, 1034)[:3])

    assert ([], ["3 of 1,034"]) == (held(connection), told(connection))


def test_complaints_are_a_share_of_what_was_delivered(connection: Connection) -> None:
    """
    Where deliveries are reported, accepted messages that were not delivered do not thin the share.
    """
    messages = sent(connection, 500, state="delivered")
    sent(connection, 600)
    complain(connection, messages[:2])

    assert [(f"domain:{DOMAIN}", HeldBy.COMPLAINTS)] == held(connection)


def test_complaints_belong_to_the_day_of_their_message(connection: Connection) -> None:
    """
    Complaints about yesterday's and today's messages are shares of their own; those of long ago call for nothing.
    """
    complain(
        connection, [*sent(connection, 900)[:2], *sent(connection, 900, day=1)[:2], *sent(connection, 10, day=9)[:9]]
    )
    found = [
        (share.day, share.complained, share.reached)
        for share in shares(connection, since=NOON.date() - days(30), zone="UTC")
    ]

    assert [(NOON.date(), 2, 900), (NOON.date() - days(1), 2, 900), (NOON.date() - days(9), 9, 10)] == found
    assert [] == held(connection)


def test_the_same_complaint_counts_once(connection: Connection) -> None:
    """
    A message reported by mail and by the provider, again and again, is one complaint.
    """
    messages = sent(connection, 500)
    for _ in range(3):
        complain(connection, messages[:1])
    event = make_feedback("complaint", messages[0], source="ses", is_verified=True)
    take(connection, [event, event], RECEIVER, NOON)

    assert [1] == [share.complained for share in shares(connection, since=NOON.date(), zone="UTC")]


def test_a_domain_that_was_let_go_on_is_not_paused_again_for_the_same_day(connection: Connection) -> None:
    """
    Whoever resumed the domain knew of that day's complaints.
    """
    messages = sent(connection, 1000)
    complain(connection, messages[:3])
    connection.execute(schema.throttle.update().values(held_at=None, held_until=None, held_by=None, held_because=None))
    complain(connection, messages[3:6])

    assert [] == held(connection)


@pytest.mark.parametrize(
    ("domain", "primary"),
    [
        ("paper.example", "paper.example"),
        ("a.b.paper.example", "paper.example"),
        ("news.paper.co.uk", "paper.co.uk"),
        ("paper.co.uk", "paper.co.uk"),
        ("News.Paper.COM.CN", "paper.com.cn"),
        ("co.uk", "co.uk"),
        ("t.co", "t.co"),
    ],
)
def test_primary_domain_is_what_an_organisation_registered(domain: str, primary: str) -> None:
    """
    Gmail counts subdomains with the domain that was registered.
    """
    assert primary == gmail.primary_domain(domain)


def test_gmail_bulk_senders_are_warned_at_four_fifths_once(connection: Connection) -> None:
    """
    Below 4,000 messages a day to Gmail nothing is said; from there on, and again from 5,000, once each (S-3.10).
    """
    sent(connection, 3999, domain="gmail.com")
    sent(connection, 500, domain="elsewhere.example")
    seen = []
    for more in (0, 1, 0, 1000, 0):
        if more:
            sent(connection, more, domain="googlemail.com", state="delivered" if more == 1 else "accepted")
        counts = gmail.watch(connection, RECEIVER, NOON)
        seen.append((counts["paper.example"], told(connection)))

    first, second = ["4,000"], ["4,000", "5,000"]
    assert [(3999, []), (4000, first), (4000, first), (5000, second), (5000, second)] == seen
