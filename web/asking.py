"""Asking a customer for consent on behalf of somebody at the desk: the mail and the link of a sign-up form.

To ask is to advertise (S-5.6): who has said no, or has a break, is not asked, and the limits of the form hold.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, literal, select, text

from core import schema
from core.addresses import parse_address
from core.errors import NotFound, UsageError
from core.form_settings import Form
from core.latest_word import newest_first
from core.names import did_you_mean
from suppression.gate import SUPPRESSED, skip_reason
from suppression.policy import Policy
from web import sign_ups
from web.sign_up_form import Entered, wording_of
from web.site import Site


def form_of(site: Site, name: str) -> Form:
    """The form called `name`.

    Raises:
        NotFound: clarion.yaml has none.
    """
    forms = site.workspace.settings.forms
    if name not in forms:
        raise NotFound(f"there is no form {name!r}", hint=did_you_mean(name, forms), where="clarion.yaml")
    return forms[name]


def ask(site: Site, customer_id: int, name: str, topics: Sequence[str]) -> bool:
    """The customer is asked by mail to confirm these topics of the form (none named: all of it).

    False: a limit kept the mail back. Repeat: at most one mail in the time the limits say.

    Raises:
        NotFound: there is no such form, or it has no such topic.
        UsageError: the customer has no address, or has said no to one of them.
    """
    form, settings = form_of(site, name), site.workspace.settings
    chosen = tuple(topic for topic in form.topics if not topics or topic in topics)
    for topic in topics:
        if topic not in form.topics:
            raise NotFound(f"the form {name!r} has no topic {topic!r}", hint=did_you_mean(topic, form.topics))
    with site.database.begin() as connection:
        customer = schema.customer.c
        found = select(customer.email, customer.language).where(customer.id == customer_id)
        email, language = connection.execute(found).one()
        if email is None:
            raise UsageError("the customer has no e-mail address", hint="there is nowhere to ask")
        for topic in chosen:
            _refuse_who_said_no(connection, site, customer_id, topic)
    words = site.languages.get((language or "").split("-")[0].lower()) or site.languages["en"]
    address = parse_address(email)
    entered = Entered(address, chosen, {}, wording_of(form, settings, words), words.code)
    return sign_ups.take(site, name, form, entered, None)


def _refuse_who_said_no(connection: Connection, site: Site, customer_id: int, topic: str) -> None:
    customer, consent = schema.customer.c, schema.consent.c
    policy = Policy.of(site.workspace.settings)
    gate = skip_reason(customer.id, customer.address_key, topic=topic, campaign="", now=site.clock.now(), policy=policy)
    reason = connection.execute(select(gate).where(customer.id == literal(customer_id))).scalar_one() or ""
    said = select(consent.state).where(
        consent.customer_id == customer_id, consent.channel == "email", consent.topic == topic,
        consent.state != "requested",
    )  # fmt: skip
    latest = connection.execute(said.order_by(text(newest_first())).limit(1)).scalar()
    if reason.startswith(SUPPRESSED) or latest == "withdrawn":
        why = reason if reason.startswith(SUPPRESSED) else "withdrawn"
        raise UsageError(
            f"the customer wants no mail about {topic} ({why})", hint="only they can ask for it again, by the form"
        )
