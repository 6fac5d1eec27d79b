"""The rules by which a sequence's own rows balance: each of them is broken once, and says so."""

from sqlalchemy import text

from campaigns.sequences import enrol, overview
from tests.factories import make_customer
from tests.sequence_files import Road, sequence

#: What is done to the rows, and what is said of it.
BREACHES = (
    ("DELETE FROM enrolment_step", "belong to no passage"),
    ("UPDATE enrolment_step SET message_id = NULL WHERE outcome = 'sent'", "without a message in the ledger"),
    (
        "INSERT INTO enrolment_step (enrolment_id, step, outcome, message_id, done_at) "
        "SELECT enrolment_id, 'other', outcome, message_id, done_at FROM enrolment_step WHERE step = 'hello' LIMIT 1",
        "more than one passage",
    ),
    (
        "INSERT INTO enrolment (sequence, version_id, customer_id, entry_key, number, step, due_at, nominal_at, "
        "step_since, entered_at, source) SELECT sequence, version_id, customer_id, entry_key, number + 1, step, "
        "due_at, nominal_at, step_since, entered_at, source FROM enrolment LIMIT 1",
        "twice at once",
    ),
    ("UPDATE enrolment SET step = 'nowhere'", "their version has not"),
    (
        "WITH gone AS (DELETE FROM enrolment_step) "
        "UPDATE enrolment SET state = 'completed', ended_because = 'completed', due_at = NULL",
        "without a single step",
    ),
)


def test_every_rule_of_a_sequence_can_be_broken(make_workspace, database, clock):
    """
    Rows that balance break no rule; what is done to them breaks the rule that speaks of it.
    """
    steps = "hello: {send: {template: spring-paper.html}}\npause: {wait: 3d}\nagain: {send: {template: reminder.html}}"
    way = Road(make_workspace, database, clock, sequence(steps, enrol="{by: api}"))
    with database.begin() as connection:
        for _ in range(2):
            customer_id = make_customer(connection, consents=("promotions",))
            enrol.enrol(connection, "nurture", customer_id, now=clock.now())
    way.tick()

    with database.begin() as connection:
        assert [] == overview.broken(connection, "nurture")
        for breach, words in BREACHES:
            with connection.begin_nested() as undone:
                connection.execute(text(breach))
                broken = overview.broken(connection, "nurture")
                undone.rollback()

            assert any(words in rule for rule in broken), (breach, broken)
        assert len(BREACHES) == len(overview._RULES)
