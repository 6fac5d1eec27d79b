"""`clarion web`: the public pages, until told to stop; and `clarion consent request`, which uses their mail."""

import click

from core.commands import Desk, acting_user, json_option, print_json, remark
from core.errors import UsageError
from suppression.commands import consent

__all__ = ["consent", "web"]


@click.command()
@click.option("--host", help="Where to listen (default: `web.host` of clarion.yaml).")
@click.option("--port", type=click.IntRange(0, 65535), help="0: any free port (default: `web.port`).")
@click.pass_obj
def web(desk: Desk, host: str | None, port: int | None) -> None:
    """Serve tracked links, the pages people see (sign-up, preferences, unsubscribing, their own data, events,
    surveys, inquiries), and the HTTP API.

    Stops on Ctrl-C or SIGTERM, after the requests under way are answered and every hit is stored. Behind a
    proxy on another machine, name it in `web.proxies`.
    """
    from core.database import open_database
    from web.server import serve

    chosen = desk.workspace.settings.web
    serve(
        desk.workspace, open_database(desk.workspace, "web"), desk.clock,
        host=chosen.host if host is None else host, port=chosen.port if port is None else port,
    )  # fmt: skip


@consent.command("request")
@click.argument("key", metavar="KEY")
@click.option("--form", "name", required=True, help="The form of clarion.yaml whose mail and limits are used.")
@click.option("--topic", "topics", multiple=True, help="Only this topic of the form; may be given several times.")
@json_option
@click.pass_obj
def request(desk: Desk, key: str, name: str, topics: tuple[str, ...], as_json: bool) -> None:
    """Ask a customer by mail to confirm what a form asks for.

    Nothing counts until they use the link. To ask is to advertise: who has said no is not asked, and you need grounds
    to write to them at all. At most one such mail goes to a mailbox in the time that `pages.limits` says.
    """
    from core import audit
    from suppression.people import find_people
    from web.asking import ask
    from web.site import Site

    with desk.database.begin() as connection:
        people = [each for each in find_people(connection, desk.workspace.secret, key) if each.customer_id]
    if len(people) != 1:
        raise UsageError(f"{len(people)} customers are meant by {key!r}, expected one", hint="name an external id")
    customer_id = people[0].customer_id
    assert customer_id is not None  # noqa: S101  of a customer
    is_mailed = ask(Site.of(desk.workspace, desk.database, desk.clock), customer_id, name, topics)
    with desk.database.begin() as connection:
        told = {"form": name, "topics": list(topics) or None, "mailed": is_mailed}
        subject = f"customer:{customer_id}"
        audit.record(connection, acting_user(), "consent.request", subject, at=desk.clock.now(), **told)
    if as_json:
        print_json({"key": key, "mailed": is_mailed})
    else:
        remark("asked: the mail goes out with the next transactional batch" if is_mailed else "a limit keeps it back")
