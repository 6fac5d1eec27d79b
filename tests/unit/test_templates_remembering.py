"""What a mailing prints several times: the same as if each place were worked out by itself."""

import pytest

from core.errors import RenderError
from templates import charging
from templates.mailing import Mailing, Rendered
from tests.unit.templates_support import PlainUrls, compiled, context_of

FRONT = "---\nsubject: \"{{ customer.first_name }} of {{ customer.company or 'nowhere' }}\"\n---\n"
COMPANY = "<b>{{ customer.company or 'nowhere' }}</b>{{ customer.company or 'nowhere' }}"
MONEY = "{{ customer.monetary | money }}{{ customer.monetary | money(digits=0) }}{{ customer.monetary | number(1) }}"
DATES = "{{ customer.last_order_at | date }}{{ customer.last_order_at | date('%d %B') }}{{ customer.last_order_at }}"
OWNER = (
    "{% if customer.owner %}{{ customer.owner }}{% endif %}{{ customer.owner or 'us' }}{{ customer.owner | d('-') }}"
)
LINK = '<p title="{{ customer.company }}"><a href="https://a.example/{{ customer.company }}">{{ customer.company }}</a>'
BODIES = (
    "<p>{{ customer.first_name }}, {{ customer.first_name }} &amp; {{ customer.monetary | money('EUR') }}</p>",
    f"<p>{MONEY}{DATES}{MONEY}{DATES}</p>",
    f"<p>{OWNER}{OWNER}</p>",
    f"<p>{LINK}{LINK}</p>",
    "<p>{{ customer.attributes.size }}{{ customer.attributes['size'] }}{{ customer['attributes'].size }}</p>",
    "{% set one = customer.first_name %}<p>{{ one }}{% set one = customer.company %}{{ one }}" + COMPANY + "</p>",
    "<p>{% for one in [customer, {'company': 'Loop'}] %}{{ one.company }}"
    + COMPANY
    + "{% endfor %}"
    + COMPANY
    + "</p>",
    "<p>{{ customer.company }}{% with one = {'company': 'With'} %}{{ one.company }}" + COMPANY + "{% endwith %}</p>",
    "{% macro of(one) %}{{ one.company }}"
    + COMPANY
    + "{% endmacro %}<p>{{ of({'company': '<M>'}) }}"
    + COMPANY
    + "</p>",
    "<p>{% filter upper %}" + COMPANY + "{% endfilter %}{{ customer.company | upper }}" + COMPANY + "</p>",
    "<p>{% set whole %}" + COMPANY + "{% endset %}{{ whole }}" + COMPANY + "</p>",
    "<p>{{ customer.phone or '' }}{{ customer.phone or '' }}{{ customer.company | e }}{{ customer.company }}</p>",
    "<p>{{ organisation.postal_address | nl2br }}{{ organisation.postal_address }}{{ customer.order_count > 2 }}</p>",
    "<p>{{ customer.company.name or 'none' }}{{ customer.company.name or 'none' }}</p>",
    "<p>{{ customer.attributes.company }}{{ customer.company }}{{ customer.attributes.company or 'none' }}</p>",
    "<p>{{ customer.attributes.keys or 'none' }}{{ customer.attributes.colour or customer.company }}</p>",
    "<style>p { color: {{ customer.attributes.colour }} }</style><p>{{ customer.attributes.colour }}</p>",
    "<style>p::before { content: '→' }</style><p>{{ customer.company }} – {{ customer.company }}</p>",
)
NAMES = ("Lee Ltd", "<Lee> & 'Söhne' \"Ltd\"", "Lee – 10 €…", "a\0b", "L" * 201, " Lee\nLtd ", None, "  ", 7)


def said(body: str) -> list[Rendered | str]:
    """What the mailing says to each company, or why it cannot be made."""
    mailing = compiled({"a.html": FRONT + body})
    return [_said(mailing, company) for company in NAMES]


def _said(mailing: Mailing, company: object) -> Rendered | str:
    context = context_of(company=company, attributes={"size": 42, "colour": "green", "company": "Attribute"})
    try:
        return mailing.render(context, PlainUrls())
    except RenderError as error:
        return error.message


@pytest.mark.parametrize("body", BODIES)
def test_what_is_remembered_reads_as_if_it_were_not(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Subject, text and HTML are the same, byte for byte, whether expressions are remembered or worked out each time:
    for values that must be escaped or written in ASCII, and for names that mean something else further down.
    """
    remembered = said(body)
    monkeypatch.setattr(charging, "key_of", lambda *_: None)

    assert said(body) == remembered


def test_nothing_is_remembered_from_one_customer_to_the_next() -> None:
    """Each message is told by its own customer's values."""
    mailing = compiled({"a.html": FRONT + COMPANY})
    first, second = (mailing.render(context_of(company=name), PlainUrls()) for name in ("Alpha", "Beta"))

    assert ("Alpha" in first.text, "Beta" in second.text) == (True, True)
    assert "Alpha" not in f"{second.subject}{second.text}{second.html}"
