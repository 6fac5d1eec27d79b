"""`clarion consent request`: asked by the mail of a form, within its limits, and never who said no."""

import json
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result

from cli import clarion
from core import schema
from core.clock import SteppedClock
from core.commands import Desk
from core.database import Database
from core.workspace import Workspace
from suppression.record import suppress
from tests import factories
from tests.public_pages import Pages, public_pages

ANN = "ann@customers.example"


@pytest.fixture
def pages(make_workspace: Callable[..., Workspace], database: Database, clock: SteppedClock) -> Iterator[Pages]:
    """The pages of a workspace with two forms, and Ann, who is a customer."""
    with public_pages(make_workspace, database, clock) as running, database.begin() as connection:
        factories.make_customer(connection, external_id="A1", email=ANN, language="de-AT")
        connection.commit()
        yield running


def asked(pages: Pages, *words: str) -> Result:
    """What the command came to."""
    desk = Desk(clock=pages.clock)
    desk.workspace, desk.database = pages.workspace, pages.database
    return CliRunner().invoke(clarion, ["consent", "request", "A1", "--form", "newsletter", "--json", *words], obj=desk)


def test_a_customer_is_asked_once_and_confirms_by_the_link(pages: Pages) -> None:
    """
    One mail in their language; a second one is kept back; the button of the link is the yes.
    """
    first, again = asked(pages, "--topic", "news"), asked(pages, "--topic", "news")
    (mail,) = pages.mails_to(ANN)
    states = [row["state"] for row in pages.rows(schema.consent)]
    pages.post(pages.path_in(mail))

    assert [True, False] == [json.loads(result.stdout)["mailed"] for result in (first, again)]
    assert "de" == mail["given"]["language"]
    assert ["requested"] == states
    assert "confirmed" in [row["state"] for row in pages.rows(schema.consent)]


@pytest.mark.parametrize("how", ["unsubscribed", "paused", "withdrawn"])
def test_who_said_no_is_not_asked(pages: Pages, clock: SteppedClock, how: str) -> None:
    """
    An opt-out, a break, a withdrawn consent: no mail, no request on record.
    """
    with pages.database.begin() as connection:
        (customer,) = connection.execute(schema.customer.select())
        if how == "withdrawn":
            factories.make_consent(connection, customer.id, topic="news", state="withdrawn")
        else:
            until = clock.now().replace(year=2030)
            key = factories.key_of(ANN)
            suppress(connection, key, scope="global", reason=how, source="page", expires_at=until, now=clock.now())
    result = asked(pages, "--topic", "news")

    assert "wants no mail about news" in result.output + str(result.exception)
    assert [] == pages.mails_to(ANN)
    assert "requested" not in [row["state"] for row in pages.rows(schema.consent)]


@pytest.mark.parametrize(("words", "told"), [(("--topic", "nwes"), "has no topic"), (("--form", "nl"), "no form 'nl'")])
def test_what_is_not_there_is_named(pages: Pages, words: tuple[str, ...], told: str) -> None:
    """
    A form or a topic that clarion.yaml does not have.
    """
    result = asked(pages, *words)

    assert told in result.output + str(result.exception)
