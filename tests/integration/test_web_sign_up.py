"""Signing up by a form: nothing counts until the owner of the mailbox has confirmed it."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from core import schema
from core.clock import SteppedClock
from core.database import Database
from core.workspace import Workspace
from tests import factories
from tests.public_pages import GOOD, Pages, public_pages
from tests.serving import ask


@pytest.fixture
def pages(make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock) -> Iterator[Pages]:
    """The pages of a workspace with two forms."""
    with public_pages(make_workspace, database, clock) as running:
        yield running


def test_form_has_no_box_ticked_and_no_script(pages: Pages) -> None:
    """
    Consent is given by doing something: every box is empty when the form is shown (S-5.3).
    """
    answer = pages.get("/f/newsletter")

    assert 200 == answer.status
    assert " checked" not in answer.text
    assert "<script" not in answer.text
    assert 'name="topics" value="news"' in answer.text


def test_sign_up_orders_one_mail_and_permits_nothing(pages: Pages) -> None:
    """
    Until it is confirmed there is a request on record, a customer without a name, and a mail with a link.
    """
    answer = pages.post("/f/newsletter", GOOD | {"first_name": "Eve"})
    (mail,) = pages.mails_to(GOOD["email"])
    (customer,) = pages.rows(schema.customer)

    assert 200 == answer.status
    assert "check your mailbox" in answer.text
    assert ("planned", ["News"], "en") == (mail["state"], mail["given"]["topics"], mail["given"]["language"])
    assert (GOOD["email"], None) == (customer["email"], customer["first_name"])
    assert {"not_consented"} == set(pages.reasons(customer["id"]).values())
    assert ["requested"] == [row["state"] for row in pages.rows(schema.consent)]


def test_confirmation_by_the_mailed_link_is_consent_with_proof(pages: Pages) -> None:
    """
    After the button was pressed the gate lets exactly that topic pass; on record is who agreed, when, to which words.
    """
    pages.post("/f/newsletter", GOOD | {"first_name": " Ann\r\n Marie "})
    path = pages.path_in(pages.mails()[0])
    shown, confirmed = pages.get(path), pages.post(path)
    (customer,) = pages.rows(schema.customer)
    proof = next(row for row in pages.rows(schema.consent) if row["state"] == "confirmed")

    assert (200, 200) == (shown.status, confirmed.status)
    assert "a…\u2060@customers.example" in shown.text
    assert "writes to you about: News" in confirmed.text
    assert {"news": None, "promotions": "not_consented"} == pages.reasons(customer["id"])
    assert "Ann Marie" == customer["first_name"]
    assert ("consent", "form:newsletter", "clarion-1") == (proof["basis"], proof["source"], proof["wording"])
    assert 64 == len(proof["wording_hash"])
    assert {"form", "language", "requested_from", "confirmed_from"} <= proof["proof"].keys()


def test_each_link_confirms_the_words_of_its_own_form(pages: Pages) -> None:
    """
    Who signed up on two forms, and uses the older link, has agreed to what the older form showed.
    """
    pages.post("/f/newsletter", GOOD | {"topics": "promotions"})
    pages.clock.instant += timedelta(days=2)
    pages.post("/f/offers", {"email": GOOD["email"], "agree": "yes"})
    older, newer = pages.rows(schema.sign_up)
    pages.post(pages.path_in(pages.mails()[0]))
    (given,) = [row for row in pages.rows(schema.consent) if row["state"] == "confirmed"]

    assert older["wording_hash"] != newer["wording_hash"]
    assert (older["id"], older["wording_hash"]) == (given["proof"]["sign_up"], given["wording_hash"])


def test_names_a_stranger_typed_reach_neither_mail_nor_customer(pages: Pages) -> None:
    """
    What is typed about a known customer changes nothing of them, and is not in the mail (S-9.10).
    """
    known = pages.customer(email="ann@customers.example", first_name="Ann")
    pages.post("/f/newsletter", GOOD | {"first_name": "Buy pills at https://evil.example", "company": "Evil"})
    (mail,) = pages.mails_to("ann@customers.example")
    pages.post(pages.path_in(mail))
    (customer,) = pages.rows(schema.customer)

    assert "evil" not in str(mail["given"])
    assert (known, "Ann", "Evil") == (customer["id"], customer["first_name"], customer["company"])


def test_who_opted_out_of_everything_comes_back_for_what_they_confirm_alone(pages: Pages) -> None:
    """
    A global opt-out is lifted by a new confirmed sign-up, and goes on for the other topics.
    """
    known = pages.customer(email="ann@customers.example", consents=("news", "promotions"))
    with pages.database.begin() as connection:
        factories.make_suppression(
            connection, "ann@customers.example", reason="unsubscribed", source="page", created_at=factories.LONG_AGO
        )
    pages.post("/f/newsletter", GOOD)
    before = pages.reasons(known)
    pages.post(pages.path_in(pages.mails()[0]))

    assert {"suppressed:unsubscribed"} == set(before.values())
    assert {"news": None, "promotions": "suppressed:unsubscribed"} == pages.reasons(known)


def test_what_others_stopped_no_sign_up_starts(pages: Pages) -> None:
    """
    An address that is blocked gets no mail by signing up, and the answer is the same as ever.
    """
    answers = {pages.post("/f/newsletter", GOOD).body}
    for reason in ("complaint", "hard_bounce", "legal", "manual"):
        with pages.database.begin() as connection:
            factories.make_suppression(connection, f"{reason}@customers.example", reason=reason)
        answers.add(pages.post("/f/newsletter", GOOD | {"email": f"{reason}@customers.example"}).body)

    assert 1 == len(answers)
    assert ["planned", *["skipped"] * 4] == [mail["state"] for mail in pages.mails()]


def test_incomplete_form_is_shown_again_with_its_problem(pages: Pages) -> None:
    """
    What is missing is told where it stands, what was filled in is kept, and nothing is done.
    """
    before = pages.counts()
    for problem, text in (
        ("email", ""), ("email", "not an address"), ("email", "a@b.example\r\nBcc: c@d.example"),
        ("email", "x" * 2000 + "@customers.example"), ("topics", ""), ("topics", "secret"), ("agree", ""),
        ("agree", "no"),
    ):  # fmt: skip
        answer = pages.post("/f/newsletter", GOOD | {"first_name": '"Ann" <b>'} | {problem: text})

        assert 422 == answer.status
        assert f'id="{problem}-problem"' in answer.text
        assert f'href="#{problem}"' in answer.text
        assert 'value="&quot;Ann&quot; &lt;b&gt;"' in answer.text
    assert before == pages.counts()


def test_form_with_one_topic_asks_for_agreement_alone(pages: Pages) -> None:
    """
    There is nothing to choose where a form is about one topic; the words name it.
    """
    shown = pages.get("/f/offers")
    pages.post("/f/offers", {"email": "ann@customers.example", "agree": "yes"})

    assert 'name="topics"' not in shown.text
    assert "write to me about “Offers and promotions”" in shown.text
    assert ["Offers and promotions"] == pages.mails()[0]["given"]["topics"]


def test_program_that_fills_in_everything_is_answered_and_ignored(pages: Pages) -> None:
    """
    The field nobody sees gives programs away; they learn nothing of it.
    """
    human = pages.post("/f/newsletter", GOOD | {"email": "ann@customers.example"})
    before = pages.counts()
    answer = pages.post("/f/newsletter", GOOD | {"email": "bob@customers.example", "homepage": "https://spam.example"})

    assert (human.status, human.body) == (answer.status, answer.body)
    assert before == pages.counts()


def test_sign_up_of_somebody_erased_leaves_no_trace(pages: Pages) -> None:
    """
    Whoever had themselves erased is not stored again because somebody typed their address.
    """
    from customers.rights.erase import erase

    known = pages.customer(email="ann@customers.example")
    with pages.database.begin() as connection:
        erase(connection, pages.workspace.secret, known, now=pages.clock.now())
    pages.post("/f/newsletter", GOOD | {"email": "bob@customers.example"})
    before = pages.counts()
    answer = pages.post("/f/newsletter", GOOD)

    assert 200 == answer.status
    assert before == pages.counts()


def test_confirmation_says_what_cannot_be(pages: Pages) -> None:
    """
    An entry made after the mail went out still counts, and the page says so.
    """
    pages.post("/f/newsletter", GOOD)
    with pages.database.begin() as connection:
        factories.make_suppression(connection, GOOD["email"], reason="complaint")
    answer = pages.post(pages.path_in(pages.mails()[0]))

    assert 200 == answer.status
    assert "We cannot write to this address" in answer.text
    assert "help@paper.example" in answer.text


def test_unknown_form_is_not_there(pages: Pages) -> None:
    """
    A form nobody set up is 404, however it is asked for.
    """
    assert [404, 404] == [pages.get("/f/nothing").status, pages.post("/f/nothing", GOOD).status]


@pytest.mark.parametrize("charset", ["unicode_escape", "utf-16-le", "hex", "idna", "punycode", "undefined", "\xe9"])
def test_charset_that_a_form_names_is_not_asked(pages: Pages, charset: str) -> None:
    """
    Whatever a multipart form says of itself, it is read as UTF-8; what cannot be read is a mistake of who sent it.
    """
    kind = f"multipart/form-data; boundary=b; charset={charset}"
    part = '--b\r\nContent-Disposition: form-data; name="{0}"\r\n\r\n{1}\r\n'
    good = "".join(part.format(*field) for field in GOOD.items()) + "--b--\r\n"
    odd = part.format("email", "xn--\\ud800" + "a" * 9000) + "--b--\r\n"

    answers = [ask(f"{pages.base_url}/f/newsletter", "POST", body, {"Content-Type": kind}) for body in (good, odd)]

    assert [200, 422] == [answer.status for answer in answers]
