"""The demo's audience: repeatable people, the mails they read, and what they order."""

import csv
from datetime import UTC, datetime
from pathlib import Path

import pytest

from delivery.message_bytes import Mail, write_message
from demo.audience import GATEWAY, Order, Persona, agenda_of, visits
from demo.inbox import Store, read_index
from demo.letters import Form, Letter, read_letter
from demo.orders import write_orders
from tracking.links import TrackedUrls
from tracking.tokens import Signer

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
URLS = TrackedUrls("http://127.0.0.1:8025", Signer(b"0123456789abcdef0123456789abcdef"), 7)
HTML = f"""<html><body><a class="x" href="{URLS.click(0, "")}">a</a> <a href='{URLS.click(1, "")}'>b</a>
<a href="{URLS.click(0, "")}">again</a> <a href="mailto:help@paper.example">write</a>
<a href="{URLS.unsubscribe}">leave</a> <img src="{URLS.pixel}" alt=""></body></html>"""


def make_mail(recipient: str = "jo@customers.example", *, headers: tuple[tuple[str, str], ...] | None = None) -> bytes:
    """A mailing with two tracked links, as Clarion writes it."""
    given = (
        ("List-Unsubscribe", f"<{URLS.unsubscribe}>"),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
    ) if headers is None else headers  # fmt: skip
    mail = Mail(
        message_id="<1@paper.example>", date=NOW, sender_name="Paper & Co", sender_email="offers@paper.example",
        reply_to=None, recipient_email=recipient, recipient_name=None, subject="Paper", text="Paper", html=HTML,
        headers=given,
    )  # fmt: skip
    return write_message(mail)


def kept(folder: Path, content: bytes, recipient: str = "jo@customers.example") -> Letter:
    """The letter of a mail that a mail server kept."""
    with Store(folder) as store:
        store.add("offers@paper.example", [recipient], content)
    return read_letter(folder, next(read_index(folder)))


def test_letter_holds_what_a_reader_can_follow(tmp_path: Path) -> None:
    """
    Tracked links once each, the pixel and both ways out come from the mail's own bytes.
    """
    letter = kept(tmp_path, make_mail())

    assert (URLS.click(0, ""), URLS.click(1, "")) == letter.links
    assert (URLS.pixel, URLS.unsubscribe, URLS.unsubscribe) == (letter.pixel, letter.unsubscribe_page, letter.one_click)


def test_letter_offers_one_click_only_with_both_headers(tmp_path: Path) -> None:
    """
    Without List-Unsubscribe-Post there is no one-click way out, only the page.
    """
    letter = kept(tmp_path, make_mail(headers=(("List-Unsubscribe", f"<{URLS.unsubscribe}>"),)))

    assert (None, URLS.unsubscribe) == (letter.one_click, letter.unsubscribe_page)


def test_persona_repeats_itself() -> None:
    """
    The same seed and address make the same person, whatever was drawn before.
    """
    people = [f"p{number}@customers.example" for number in range(50)]

    assert [Persona.of(each, 1) for each in people] == [Persona.of(each, 1) for each in reversed(people)][::-1]
    assert Persona.of(people[0], 1) != Persona.of(people[1], 1)


def test_personas_are_distributed_as_in_real_lists() -> None:
    """
    Nobody clicks who does not open or buys who does not click, and the shares are those of a good mailing.
    """
    people = [Persona.of(f"p{number}@customers.example", 1) for number in range(4_000)]
    opened = [each for each in people if each.opens_after is not None]
    clicked = [each for each in people if each.clicks]

    assert all(each.opens_after is not None for each in clicked)
    assert all(each.clicks for each in people if each.buys)
    assert 0.42 < len(opened) / len(people) < 0.50
    assert 0.25 < len(clicked) / len(opened) < 0.35
    assert {None, "one_click", "page", "everything"} == {each.leaves for each in people}


def make_persona(
    *, gateway: bool = False, opens_after: float | None = 3.0, clicks: tuple[float, ...] = (), buys: bool = False,
    leaves: str | None = None,
) -> Persona:  # fmt: skip
    """Somebody who opens after three seconds and does nothing else."""
    return Persona(gateway, False, opens_after, clicks, buys, leaves, "a browser")


def test_gateway_follows_every_link_within_a_second(tmp_path: Path) -> None:
    """
    The scanner's visits come before any person's, all within one second, and its person's more than five later.
    """
    letter = kept(tmp_path, make_mail())
    made = sorted(visits(letter, make_persona(gateway=True, clicks=(0.0,)), start=100.0))
    scans = [visit for visit in made if visit.what == "scanned"]
    people = [visit for visit in made if visit.what != "scanned"]

    assert {visit.url for visit in scans} == set(letter.links)
    assert all(visit.browser == GATEWAY and visit.at < 101 for visit in scans)
    assert all(visit.at > scans[-1].at + 4 for visit in people)


@pytest.mark.parametrize(
    ("persona", "expected"),
    [
        (make_persona(), ["opened"]),
        (make_persona(clicks=(0.0, 0.9), buys=True), ["opened", "clicked", "clicked", "bought"]),
        (make_persona(leaves="page"), ["opened", "page"]),
        (make_persona(leaves="one_click"), ["opened", "one_click"]),
        (make_persona(opens_after=None), []),
    ],
)
def test_person_goes_step_by_step(tmp_path: Path, persona: Persona, expected: list[str]) -> None:
    """
    Opening comes first, then clicks, then the order or the way out.
    """
    letter = kept(tmp_path, make_mail())

    assert expected == [visit.what for visit in sorted(visits(letter, persona, start=0.0))]


def test_agenda_is_about_new_mails(tmp_path: Path) -> None:
    """
    Mails up to a number are left alone, and so are mails that nobody looks at.
    """
    people = [f"p{number}@customers.example" for number in range(40)]
    with Store(tmp_path) as store:
        for person in people:
            store.add("offers@paper.example", [person], make_mail(person))
    whole, later = agenda_of(tmp_path, 1), agenda_of(tmp_path, 1, after=20)
    acting = {person for person in people if Persona.of(person, 1).acts}

    assert {visit.recipient for visit in whole} == acting
    assert {visit.recipient for visit in later} == acting & set(people[20:])


def test_form_is_sent_as_it_stands() -> None:
    """
    Filled-in fields and the chosen one of several count, the others do not.
    """
    form = Form(
        '<form><input type="hidden" name="a" value="1"><input type=radio name=c value=x checked>'
        '<input type="radio" name="c" value="y"><input type="checkbox" name="d" value="z"></form>'
    )

    assert {"a": "1", "c": "x"} == form.fields


def test_orders_are_written_for_known_people(tmp_path: Path) -> None:
    """
    An order goes to the firm behind the address; an address that two firms share is left out.
    """
    customers = tmp_path / "customers.csv"
    customers.write_text("external_id,email\nK1,a@x.example\nK2,b@x.example\nK3,b@x.example\n", encoding="utf-8")
    orders = [Order("a@x.example", NOW), Order("b@x.example", NOW), Order("stranger@x.example", NOW)]
    number = write_orders(tmp_path / "orders.csv", orders, customers, seed=1)
    with (tmp_path / "orders.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    assert 1 == number
    assert {("K1", NOW.isoformat())} == {(row["external_id"], row["ordered_at"]) for row in rows}
