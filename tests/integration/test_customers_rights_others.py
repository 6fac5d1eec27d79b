"""A person who is erased is named no more in what is about others: parties at events, inquiries of several writers."""

import pytest
from sqlalchemy import insert, select

from core import schema
from customers.joined_mails import BEHIND, begin, without
from customers.rights.erase import erase_named
from tests.factories import LONG_AGO, SECRET, key_of, make_customer, make_message, make_run


@pytest.mark.parametrize("is_customer", [True, False])
def test_party_of_others_forgets_the_person(module_database, is_customer):
    """
    Who registered them keeps the mail, and the others of the party in it.
    """
    party = [{"email": "Guest@x.example", "seat": "confirmed"}, {"email": "bo@x.example", "seat": "waiting"}]
    with module_database.begin() as connection:
        if is_customer:
            make_customer(connection, email="guest@x.example")
        run_id = make_run(connection, "event:day")
        host = make_customer(connection)
        number = make_message(connection, run_id, host, given={"party": party, "language": "en"})
        erase_named(connection, SECRET, "guest@x.example", now=LONG_AGO)
        given = connection.execute(select(schema.message.c.given).where(schema.message.c.id == number)).scalar_one()

    assert {"party": party[1:], "language": "en"} == given


def test_inquiry_of_another_forgets_the_persons_mails(module_database):
    """
    What they wrote goes from the inquiry, its task and its notices; what others wrote stays.
    """
    content = (
        "Boxes?" + begin("Mon 12:00", "Joiner@x.example") + "phone 0123" + begin("Mon 13:00", "r@x.example") + "A3"
    )
    with module_database.begin() as connection:
        work = {"task_key": "inquiry:1", "kind": "inquiry", "title": "Answer", "created_at": LONG_AGO}
        row = {"body": f"Somebody asked\n\n{content}\n\n{BEHIND}\n  clarion inquiry answer 1"}
        task_id = connection.execute(insert(schema.task).values(work | row).returning(schema.task.c.id)).scalar_one()
        row = {"inquiry_key": "mail:1", "desk": "sales", "source": "mail", "email": "r@x.example", "subject": "Boxes",
               "address_key": key_of("r@x.example"), "content": content, "task_id": task_id, "received_at": LONG_AGO,
               "due_at": LONG_AGO}  # fmt: skip
        number = connection.execute(insert(schema.inquiry).values(row).returning(schema.inquiry.c.id)).scalar_one()
        for name, writer in (("a", "r@x.example"), ("b", "joiner@x.example")):
            row = {"notice_key": f"inquiry:{number}:mail:{name}", "recipient": "anna@paper.example", "subject": "More",
                   "content": f"Reply-To: {writer}\r\n\r\n".encode(), "not_before": LONG_AGO}  # fmt: skip
            connection.execute(insert(schema.staff_notice).values(row))
        erase_named(connection, SECRET, "joiner@x.example", now=LONG_AGO)
        kept = connection.execute(select(schema.inquiry.c.content)).scalar_one()
        body = connection.execute(select(schema.task.c.body)).scalar_one()
        left = connection.execute(select(schema.staff_notice.c.notice_key)).scalars().all()

    assert "Boxes?" + begin("Mon 13:00", "r@x.example") + "A3" == kept
    assert f"Somebody asked\n\n{kept}\n\n{BEHIND}\n  clarion inquiry answer 1" == body
    assert [f"inquiry:{number}:mail:a"] == left


def test_address_in_the_words_of_others_is_left_out():
    """
    Their own words stay, without the address; one that only ends like it stays.
    """
    assert "Ask … or ann.bo@x.example" == without("Ask Bo@x.example or ann.bo@x.example", ["bo@x.example"])
