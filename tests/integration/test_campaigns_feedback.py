"""What comes back: the ledger, suppressions and the count of bounces follow it, once and for good reason only."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, func, select, text

from campaigns.feedback import catch_up, take
from campaigns.message_ids import identity_of, message_id_of
from core import schema
from core.database import Database
from core.people_lock import _LOCK
from suppression.gate import TRANSACTIONAL, skip_reason
from suppression.policy import Policy
from tests.factories import SECRET, key_of, make_customer, make_message, make_run, make_version
from tests.feedback_events import NOON, OneTransaction, days, make_feedback, make_receiver, taken_back
from tracking.feedback import MatchedBy, Reply

EMAIL = "reader@customers.example"
RECEIVER = make_receiver()


@pytest.fixture
def database(module_database: Database) -> Iterator[OneTransaction]:
    """The database of this file; what a test writes is taken back."""
    with taken_back(module_database) as one:
        yield one


def sent(connection: Connection, *, email: str = EMAIL, **values: Any) -> int:
    """A message accepted an hour before noon, to a customer who agreed to promotions."""
    version = make_version(connection, definition={"sender": {"email": "offers@paper.example"}})
    run = make_run(connection, version_id=version)
    person = make_customer(connection, email=email, consents=("promotions",))
    accepted = {"accepted_at": NOON - timedelta(hours=1)} if values.get("state", "accepted") == "accepted" else {}
    return make_message(connection, run, person, **accepted | values)


def state_of(connection: Connection, message_id: int) -> str:
    return str(connection.execute(select(schema.message.c.state).where(schema.message.c.id == message_id)).scalar())


def entries(connection: Connection, email: str = EMAIL) -> list[tuple[str, str, str]]:
    """Scope, reason and source of the entries for the address that were not lifted."""
    entry = schema.suppression.c
    query = select(entry.scope, entry.reason, entry.source).where(entry.address_key == key_of(email))
    return [tuple(row) for row in connection.execute(query.where(entry.lifted_at.is_(None)).order_by(entry.reason))]


def gate(connection: Connection, message_class: str = "bulk", email: str = EMAIL) -> str | None:
    """The gate's answer for the customer with the address, about promotions, now."""
    customer = schema.customer.c
    asked = skip_reason(
        customer.id, customer.address_key, topic="promotions", campaign="spring-paper", now=NOON, policy=Policy(),
        message_class=message_class,
    )  # fmt: skip
    answer: str | None = connection.execute(select(asked).where(customer.email == email)).scalar()
    return answer


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        ("delivered", "delivered"),
        ("hard", "bounced"),
        ("soft", "bounced"),
        ("mailbox_full", "bounced"),
        ("block", "bounced"),
        ("message_fault", "bounced"),
        ("complaint", "complained"),
        ("delayed", "accepted"),
        ("auto_reply", "accepted"),
        ("unknown", "accepted"),
        ("opened", "accepted"),
    ],
)
def test_feedback_moves_its_message(database: OneTransaction, kind: str, state: str) -> None:
    """
    An accepted message ends in the state its event says; events that say nothing of it leave it as it was.
    """
    with database.begin() as connection:
        message_id = sent(connection)
        take(connection, [make_feedback(kind, message_id)], RECEIVER, NOON)

        assert state == state_of(connection, message_id)


@pytest.mark.parametrize("kind", ["delayed", "auto_reply", "block", "message_fault", "soft", "delivered", "unknown"])
def test_feedback_that_is_not_about_the_address_suppresses_nobody(database: OneTransaction, kind: str) -> None:
    """
    One event that is neither a dead address nor a complaint forbids nothing.
    """
    with database.begin() as connection:
        take(connection, [make_feedback(kind, sent(connection))], RECEIVER, NOON)

        assert [] == entries(connection)


def test_hard_bounce_suppresses_its_address_for_every_class(database: OneTransaction) -> None:
    """
    After a hard bounce nothing goes to the address any more, neither bulk nor transactional mail.
    """
    with database.begin() as connection:
        message_id = sent(connection)
        take(connection, [make_feedback("hard", message_id, status="5.1.1")], RECEIVER, NOON)

        assert [("channel", "hard_bounce", "mail")] == entries(connection)
        assert ("suppressed:hard_bounce",) * 2 == (gate(connection), gate(connection, TRANSACTIONAL))


def test_complaint_suppresses_both_addresses_of_its_customer(database: OneTransaction) -> None:
    """
    Who complained and has another address by now gets nothing there either.
    """
    with database.begin() as connection:
        message_id = sent(connection)
        moved = {"email": "new@customers.example", "address_key": key_of("new@customers.example")}
        connection.execute(schema.customer.update().where(schema.customer.c.email == EMAIL).values(**moved))
        take(connection, [make_feedback("complaint", message_id)], RECEIVER, NOON)

        assert [("global", "complaint", "mail")] == entries(connection)
        assert [("global", "complaint", "mail")] == entries(connection, "new@customers.example")


def test_delivered_after_bounce_changes_nothing(database: OneTransaction) -> None:
    """
    A delivery reported after a hard bounce neither moves the message nor lifts the suppression (S-4.18).
    """
    with database.begin() as connection:
        message_id = sent(connection)
        take(connection, [make_feedback("hard", message_id)], RECEIVER, NOON)
        take(connection, [make_feedback("delivered", message_id, occurred_at=NOON + days(1))], RECEIVER, NOON)

        assert "bounced" == state_of(connection, message_id)
        assert [("channel", "hard_bounce", "mail")] == entries(connection)


@pytest.mark.parametrize("kind", ["hard", "complaint", "unsubscribe", "delivered", "soft"])
@pytest.mark.parametrize("matched_by", [None, MatchedBy.ADDRESS])
def test_unproven_feedback_changes_nothing(database: OneTransaction, kind: str, matched_by: MatchedBy | None) -> None:
    """
    What only names an address, as anybody could write it, is kept and changes nothing, however often (S-4.4).
    """
    with database.begin() as connection:
        message_id = sent(connection)
        forged = [
            make_feedback(kind, message_id, matched_by=matched_by, address=EMAIL, occurred_at=NOON - days(day))
            for day in range(9)
        ]
        effects = take(connection, forged, RECEIVER, NOON)

        assert {None} == {effect.words for effect in effects}
        assert ("accepted", [], None) == (state_of(connection, message_id), entries(connection), gate(connection))
        kept = connection.execute(select(schema.feedback.c.id).where(schema.feedback.c.address_key == key_of(EMAIL)))
        assert 9 == len(kept.all())


def test_feedback_for_a_message_that_does_not_exist_changes_nothing(database: OneTransaction) -> None:
    """
    A token of a message that was erased, or of another installation with the same secret, moves nothing.
    """
    with database.begin() as connection:
        message_id = sent(connection)
        (effect,) = take(connection, [make_feedback("hard", message_id + 1000)], RECEIVER, NOON)

        assert (True, None, None) == (effect.is_new, effect.message_id, effect.words)
        assert [] == entries(connection)


@pytest.mark.parametrize("named", ["<{id}>", "{ID}"])
def test_feedback_is_matched_by_the_message_id_that_came_back(database: OneTransaction, named: str) -> None:
    """
    Our own Message-ID proves which message is meant, in any case, with or without brackets.
    """
    with database.begin() as connection:
        message_id = sent(connection)
        name = message_id_of(SECRET, identity_of("spring-paper", "send", "1", key_of(EMAIL)), "offers@paper.example")
        written = named.format(id=name, ID=name.upper())
        event = make_feedback("hard", address="Reader@Customers.Example", named=(written,))
        (effect,) = take(connection, [event], RECEIVER, NOON)

        assert (message_id, "message_id") == (effect.message_id, effect.matched_by)
        assert "bounced" == state_of(connection, message_id)


def test_a_message_id_of_somebody_else_matches_nothing(database: OneTransaction) -> None:
    """
    A Message-ID we never wrote proves nothing, though the address is one we wrote to.
    """
    with database.begin() as connection:
        message_id = sent(connection)
        event = make_feedback("hard", address=EMAIL, named=("<0123456789abcdef@paper.example>",))
        (effect,) = take(connection, [event], RECEIVER, NOON)

        assert ("address", None) == (effect.matched_by, effect.words)
        assert ("accepted", []) == (state_of(connection, message_id), entries(connection))


def test_verified_feedback_counts_without_a_message(database: OneTransaction) -> None:
    """
    What a provider vouches for suppresses the address, in any spelling, though no message is known (S-10.4).
    """
    with database.begin() as connection:
        make_customer(connection, email="jörg@exämple.de", consents=("promotions",))
        event = make_feedback("hard", source="ses", address="JÖRG@xn--exmple-cua.de", is_verified=True)
        take(connection, [event], RECEIVER, NOON)

        assert [("channel", "hard_bounce", "ses")] == entries(connection, "jörg@exämple.de")


def test_feedback_settles_a_message_in_doubt(database: OneTransaction) -> None:
    """
    A message whose answer was lost is delivered when the receiver says so, and a transactional one is not sent again.
    """
    with database.begin() as connection:
        unknown = sent(connection, state="unknown")
        deferred = sent(connection, email="other@customers.example", state="deferred", attempt_count=1)
        take(connection, [make_feedback("delivered", unknown), make_feedback("delivered", deferred)], RECEIVER, NOON)

        assert ("delivered", "delivered") == (state_of(connection, unknown), state_of(connection, deferred))


def test_feedback_ahead_of_the_servers_answer_waits_for_it(database: OneTransaction) -> None:
    """
    An event that overtakes the worker's own note is kept, suppresses at once, and moves the message afterwards.
    """
    with database.begin() as connection:
        message_id = sent(connection, state="handed_over", attempt_count=1)
        take(connection, [make_feedback("hard", message_id)], RECEIVER, NOON)
        early = (state_of(connection, message_id), entries(connection), catch_up(connection, RECEIVER, NOON))
        handed_over = schema.message.update().where(schema.message.c.id == message_id)
        connection.execute(handed_over.values(state="accepted", accepted_at=NOON))
        settled = catch_up(connection, RECEIVER, NOON)

        assert ("handed_over", [("channel", "hard_bounce", "mail")], 0) == early
        assert (1, "bounced") == (settled, state_of(connection, message_id))
        assert 0 == catch_up(connection, RECEIVER, NOON)


def test_feedback_does_not_wait_for_a_message_somebody_is_changing(module_database: Database) -> None:
    """
    While another transaction has the message, the event is taken and the ledger hears of it later.
    """
    with module_database.begin() as connection:
        message_id = sent(connection, email="locked@customers.example")
    with module_database.begin() as holding, module_database.begin() as connection:
        holding.execute(select(schema.message.c.id).where(schema.message.c.id == message_id).with_for_update())
        take(connection, [make_feedback("complaint", message_id)], RECEIVER, NOON)
        between = state_of(connection, message_id)
    with module_database.begin() as connection:
        settled = catch_up(connection, RECEIVER, NOON)

        assert ("accepted", 1, "complained") == (between, settled, state_of(connection, message_id))


def test_a_worse_bounce_of_the_same_message_counts(database: OneTransaction) -> None:
    """
    A soft bounce that turns out to be hard is one bounce of the message, of the class hard; the other way round, too.
    """
    with database.begin() as connection:
        first = sent(connection)
        second = sent(connection, email="other@customers.example")
        for kind in ("soft", "hard"):
            take(connection, [make_feedback(kind, first)], RECEIVER, NOON)
        for kind in ("hard", "soft"):
            take(connection, [make_feedback(kind, second)], RECEIVER, NOON)
        attempt = schema.attempt.c
        noted = connection.execute(
            select(attempt.message_id, attempt.bounce_class)
            .where(attempt.message_id.in_([first, second]))
            .order_by(attempt.message_id, func.array_position(["soft", "hard"], attempt.bounce_class))
        ).all()

        assert [(first, "soft"), (first, "hard"), (second, "hard")] == [tuple(row) for row in noted]


def test_an_outage_of_a_domain_suppresses_nobody(database: OneTransaction) -> None:
    """
    A domain most of whose messages come back as unknown within minutes is held; nobody there is suppressed (S-1.43).
    """
    with database.begin() as connection:
        run = make_run(connection)
        people = [
            make_customer(connection, email=f"p{number}@down.example", consents=("promotions",)) for number in range(60)
        ]
        messages = [make_message(connection, run, person) for person in people]
        tally = {"domain": "down.example", "attempt_count": 60, "hard_count": 0}
        minute = connection.execute(select(func.date_trunc("minute", func.clock_timestamp()))).scalar()
        connection.execute(schema.domain_tally.insert().values(minute=minute, **tally))
        take(connection, [make_feedback("hard", each, status="5.1.1") for each in messages], RECEIVER, NOON)
        held = connection.execute(select(schema.throttle.c.key).where(schema.throttle.c.held_at.is_not(None))).scalars()

        assert ["domain:down.example"] == list(held)
        assert {None} == {gate(connection, email=f"p{number}@down.example") for number in (0, 30, 59)}


def test_many_reports_of_one_message_are_one_dead_address(database: OneTransaction) -> None:
    """
    Whoever has one return path may write any number of reports, naming any domain: the domain of that message counts
    one dead address, the one named none, and neither is held.
    """
    with database.begin() as connection:
        message_id = sent(connection, email="mallory@big.example")
        minute = connection.execute(select(func.date_trunc("minute", func.clock_timestamp()))).scalar()
        rows = [
            {"domain": name, "attempt_count": 400, "hard_count": 0, "minute": minute}
            for name in ("big.example", "other.example")
        ]
        connection.execute(schema.domain_tally.insert(), rows)
        for name in ("mallory@big.example", "anybody@other.example") * 30:
            take(connection, [make_feedback("hard", message_id, address=name, status="5.1.1")], RECEIVER, NOON)
        tally = schema.domain_tally.c
        counted = connection.execute(select(tally.domain, func.sum(tally.hard_count)).group_by(tally.domain)).all()
        held = select(schema.throttle.c.key).where(schema.throttle.c.held_at.is_not(None))

        assert {"big.example": 1, "other.example": 0} == {row[0]: row[1] for row in counted}
        assert [] == list(connection.execute(held).scalars())


def test_reports_of_an_address_the_customer_left_count_for_no_other_domain(database: OneTransaction) -> None:
    """
    The domain of a proven message is not the one that the report names: anybody could name any.
    """
    with database.begin() as connection:
        message_id = sent(connection, email="old@left.example")
        moved_to = {"email": "new@present.example", "address_key": key_of("new@present.example")}
        customer = schema.customer
        connection.execute(customer.update().where(customer.c.email == "old@left.example").values(**moved_to))
        report = make_feedback("hard", message_id, address="anybody@named.example", status="5.1.1")
        take(connection, [report], RECEIVER, NOON)
        counted = list(connection.execute(select(schema.domain_tally.c.domain)).scalars())

        assert [] == counted
        assert [("channel", "hard_bounce", "mail")] == entries(connection, "old@left.example")


def test_customers_stay_while_feedback_is_taken(module_database: Database) -> None:
    """
    Nobody is merged or erased between the choice of whose event it is and the commit of what follows: nothing is lost.
    """
    go = text(f"SELECT pg_try_advisory_xact_lock({_LOCK})")
    with module_database.begin() as taking:
        take(taking, [make_feedback("unknown")], RECEIVER, NOON)
        with module_database.begin() as merging:
            may_go = merging.execute(go).scalar()
        taking.rollback()
    with module_database.begin() as merging:
        assert (False, True) == (may_go, merging.execute(go).scalar())


@pytest.mark.parametrize(
    ("domains", "audience", "state"), [(1, 1_000_000, "running"), (3, 1_000_000, "paused"), (1, 900, "paused")]
)
def test_reports_of_few_recipients_pause_no_large_run(
    database: OneTransaction, domains: int, audience: int, state: str
) -> None:
    """
    Ten reports by mail that the message is at fault pause a run if they are of several domains, or a share of it.
    """
    with database.begin() as connection:
        run = make_run(connection)
        table = schema.run
        connection.execute(table.update().where(table.c.id == run).values(state="running", audience=audience))
        people = [make_customer(connection, email=f"f{n}@d{n % domains}.example") for n in range(10)]
        reports = [make_feedback("message_fault", make_message(connection, run, one)) for one in people]
        take(connection, reports, RECEIVER, NOON)

        assert state == connection.execute(select(table.c.state).where(table.c.id == run)).scalar_one()


def test_opt_out_of_a_providers_group_counts_for_the_present_address_too(database: OneTransaction) -> None:
    """
    Who left a topic through the provider's page gets no more of it at the address they have now.
    """
    with database.begin() as connection:
        message_id = sent(connection, email="before@customers.example")
        customer = schema.customer
        moved_to = {"email": "after@customers.example", "address_key": key_of("after@customers.example")}
        connection.execute(customer.update().where(customer.c.email == "before@customers.example").values(**moved_to))
        left = make_feedback("unsubscribe", message_id, source="sendgrid", topic="news", is_verified=True)
        take(connection, [left], RECEIVER, NOON)

        for email in ("before@customers.example", "after@customers.example"):
            assert [("topic", "unsubscribed", "provider")] == entries(connection, email)


def test_letters_of_strangers_are_passed_on_up_to_a_number_a_day(database: OneTransaction) -> None:
    """
    Of people who are no customers 100 letters a day become tasks; one more task tells that there were others.
    """
    with database.begin() as connection:
        letters = [
            make_feedback("reply", address=email, reply=Reply(email, "Cheap pills", "Buy.", b"Subject: x\n\nBuy."))
            for email in (f"s{number}@stranger.example" for number in range(120))
        ]
        for one in letters:
            take(connection, [one], RECEIVER, NOON)
        tasks = connection.execute(select(func.count()).select_from(schema.task)).scalar_one()

        assert 101 == tasks
