"""What is in no record was never received only if the record shows that it would be in it (S-1.33)."""

import os
from datetime import timedelta

import pytest
from sqlalchemy import update

from core import schema
from tests.factories import make_attempt
from tests.integration.test_campaigns_reconcile import office as office

HEAD = "message-id,outcome\n"
LACKS = "not in the {}, which lacks accepted messages of the same run too"
TOO_OLD = "not taken, says the file, which is older than the doubt"
NOT_COVERED = "not in the file, which does not cover the time of its hand-over"
NO_WITNESS = (
    "not in the {}, and no accepted message of the same run shows that it should be: "
    "say never_received in a file of outcomes, or see `clarion retry --unknown`"
)


@pytest.mark.parametrize("row", ["", "{},never_received\n"])
def test_a_file_without_the_accepted_messages_proves_nothing(office, row):
    """
    A complete file that does not say of the run's accepted message that it was taken is another server's.
    """
    told = office.outcomes(HEAD + row.format(office.message_ids[5]), "--complete")

    assert ({LACKS.format("file"): 5}, ["unknown"] * 5) == (told["left"], office.states()[:5])


def test_a_file_older_than_the_doubt_proves_nothing(office):
    """
    Of a message that fell into doubt after the file was written neither its silence nor a refusal in it says anything.
    """
    path = office.workspace.root / "outcomes.csv"
    path.write_text(f"{HEAD}{office.message_ids[5]},accepted\n{office.message_ids[0]},never_received\n")
    noticed_at = (office.clock.now() - timedelta(hours=1)).timestamp()
    found = []
    for seconds in (-1, 1):
        os.utime(path, (noticed_at + seconds, noticed_at + seconds))
        found.append(office.run("reconcile", "--outcomes", str(path), "--complete", "--dry-run"))

    assert [({}, {TOO_OLD: 1, NOT_COVERED: 4}), ({"planned": 5}, {})] == [
        (told["settled"], told["left"]) for told in found
    ]


@pytest.mark.parametrize("record", ["file", "log"])
def test_a_record_that_no_accepted_message_vouches_for_proves_nothing(office, record):
    """
    Where the run has no accepted message nothing tells the right server's records from another's; what the operator
    says of each message counts all the same.
    """
    last = update(schema.message).where(schema.message.c.id == office.ids[5])
    with office.database.begin() as connection:
        connection.execute(last.values(state="unknown", accepted_at=None))
    if record == "file":
        told = office.outcomes(HEAD, "--complete")
    else:
        office.log.write("anvil", "statistics")
        office.log.at = office.clock.now()
        office.log.write("anvil", "statistics")
        told = office.reconcile("--complete")

    assert ({NO_WITNESS.format(record): 6}, ["unknown"] * 6) == (told["left"], office.states())
    told = office.outcomes(f"{HEAD}{office.message_ids[0]},never_received\n")
    assert ({"planned": 1}, "planned") == (told["settled"], office.states()[0])


@pytest.mark.parametrize(("seconds", "state"), [(5, "unknown"), (25, "planned")])
def test_a_refusal_logged_by_a_clock_that_is_ahead_is_of_the_earlier_hand_over(office, seconds, state):
    """
    A message that was put off waits half a minute: a refusal sooner after "later" is that answer, by a server's clock
    that is some seconds ahead, and says nothing about the hand-over in doubt.
    """
    put_off_at = office.clock.now() - timedelta(minutes=30)
    with office.database.begin() as connection:
        make_attempt(connection, office.ids[0], outcome="deferred", code=451, answered_at=put_off_at)
        again = update(schema.message).where(schema.message.c.id == office.ids[0])
        connection.execute(again.values(attempt_count=2, state_at=office.clock.now()))
    office.log.at = put_off_at + timedelta(seconds=seconds - 1)  # its second line ends the hand-over
    office.log.broken_off("4AAAA0", office.message_ids[0])
    office.reconcile()

    assert state == office.states()[0]
