"""What a message of the ledger becomes: the same bytes whoever sends it again, and an identity of its own."""

import email
import multiprocessing
import re
import weakref
from datetime import timedelta
from email import policy

import pytest
from sqlalchemy import update

from campaigns import batches, catalogue, control, mailings, versions
from campaigns.mailings import Studio
from campaigns.sending import Courier
from core import schema
from core.clock import SteppedClock
from core.database import Database
from core.workspace import Workspace
from delivery.message_bytes import write_message
from suppression.policy import Policy
from tests.campaign_files import FILES
from tests.factories import LONG_AGO, make_customer, make_message, make_run
from tests.integration.test_campaigns_plan import apply_of, plan_of
from tests.integration.test_campaigns_sending import serving
from tests.integration.test_campaigns_transactional import content_of


@pytest.fixture
def written(make_workspace, database):
    """Messages by number: two to Ann in two occurrences, one to Ben; each call writes them with a new studio."""
    workspace = make_workspace(database=database, files=FILES)
    with database.begin() as connection:
        version_id = versions.store(connection, versions.pin(catalogue.load(workspace), "spring-paper"))
        ann = make_customer(connection, email="ann@firm.example", first_name="Ann")
        ben = make_customer(connection, email="ben@firm.example", first_name="Ben")
        first, again = (make_run(connection, version_id=version_id, occurrence=name) for name in ("1", "2"))
        ids = [make_message(connection, *whom) for whom in ((first, ann), (first, ben), (again, ann))]

    def write():
        with database.begin() as connection:
            studio = Studio(workspace)
            letter = studio.letter(connection, version_id)
            people = mailings.recipients(connection, ids, policy=Policy(), now=LONG_AGO)
            return [write_message(studio.mail(letter, who)) for who in people]

    return write


@pytest.fixture
def ordered(make_workspace, database, clock):
    """A campaign to Ann alone that waits for a worker; `ordered(port)` gives its workspace."""
    with database.begin() as connection:
        make_customer(connection, email="ann@firm.example", first_name="Ann", consents=("promotions",))

    def build(port):
        workspace = make_workspace(database=database, files=FILES, smtp_port=port)
        apply_of(workspace, database, clock, plan_of(workspace, database, clock))
        return workspace

    return build


def send_due(root, url, at, name="elsewhere"):
    """A worker of its own sends what is due at this moment."""
    database = Database(url)
    courier = Courier(Workspace(root), database, SteppedClock(at), name)
    with database.begin() as connection:
        due = batches.due_batches(connection, now=at, again_after=None)
    for batch_id, _ in due:
        courier.send_batch(batch_id)
    courier.close()
    database.dispose()


def test_a_retry_is_the_same_message_to_the_octet(ordered, database, clock):
    """
    Another process at another time, to whom the customer goes by other names, sends the same header and body, Date and
    boundary included (S-2.5).
    """
    with serving({"end": [b"451 4.3.0 later"]}) as server:
        root = ordered(server.port).root
        send_due(root, database.url, clock.now(), "w1")
        with database.begin() as connection:
            connection.execute(update(schema.customer).values(first_name="Anna", last_name="Lund", company="Firm"))
        again = (root, database.url, clock.now() + timedelta(hours=1))
        other = multiprocessing.get_context("spawn").Process(target=send_due, args=again)
        other.start()
        other.join(60)
        first, second = map(content_of, server.conversations)

    assert 0 == other.exitcode
    assert b"Good morning Ann," in first
    assert first == second


def test_a_mail_is_dated_when_it_is_made(ordered, database, clock):
    """
    A campaign that was paused for weeks is mail of today.
    """
    with serving() as server:
        root = ordered(server.port).root
        for verb, days in (("pause", 20), ("resume", 0)):
            with database.begin() as connection:
                control.order(connection, "spring-paper", verb, actor="ann", now=clock.now())
            clock.step(timedelta(days=days))
        send_due(root, database.url, clock.now())
        (mail,) = server.received

    message = email.message_from_bytes(mail.content, policy=policy.default)
    assert clock.now() == message["Date"].datetime


def test_a_studio_keeps_the_versions_it_used_last(make_workspace, database):
    """
    However many campaigns a worker has sent, it holds the files and templates of a few; what it uses stays.
    """
    workspace = make_workspace(database=database, files=FILES)
    template = workspace.root / "templates" / "spring-paper.html"
    letters = {}
    with database.begin() as connection:
        studio = Studio(workspace)
        for number in range(20):
            template.write_text(FILES["templates/spring-paper.html"].replace("Ten boxes", f"{number} boxes"))
            version_id = versions.store(connection, versions.pin(catalogue.load(workspace), "spring-paper"))
            letters[version_id] = weakref.ref(studio.letter(connection, version_id))
            assert studio.letter(connection, min(letters)) is letters[min(letters)]()

    kept = [letter() is not None for letter in letters.values()]
    assert 20 == len(kept)
    assert (True, False, True) == (kept[0], any(kept[1:4]), kept[-1])


def test_message_ids_differ_by_person_and_occurrence_and_name_nobody(written):
    """
    A Message-ID is equal across attempts, different per recipient and deliberate resend, in the sender's own domain,
    and holds no address (S-2.4).
    """
    ids = [email.message_from_bytes(octets, policy=policy.default)["Message-ID"] for octets in written()]

    assert 3 == len(set(ids))
    assert all(re.fullmatch(r"<[0-9a-f]{20,}@paper\.example>", each) for each in ids)


def test_each_header_stands_once_and_to_names_one_person(written):
    """
    What leaves the house has exactly one Date, From, To, Subject, Message-ID and MIME-Version, one recipient, and no
    Bcc (S-2.3); From names one mailbox of one domain (S-3.9).
    """
    for octets, person in zip(written(), ("ann", "ben", "ann"), strict=True):
        message = email.message_from_bytes(octets, policy=policy.default)
        once = ("Date", "From", "To", "Subject", "Message-ID", "MIME-Version", "List-Unsubscribe", "List-Id")
        once += ("Feedback-ID",)

        assert [1] * len(once) == [len(message.get_all(name)) for name in once]
        assert [f"{person}@firm.example"] == [address.addr_spec for address in message["To"].addresses]
        assert ["offers@paper.example"] == [address.addr_spec for address in message["From"].addresses]
        assert message["Bcc"] is message["Cc"] is None


def test_an_html_mailing_has_a_text_part_before_it(written):
    """
    Every HTML mail has a readable text part, and it comes first (S-2.6).
    """
    message = email.message_from_bytes(written()[0], policy=policy.default)

    assert ["text/plain", "text/html"] == [part.get_content_type() for part in message.iter_parts()]
    assert "Good morning Ann" in message.get_body(("plain",)).get_content()
