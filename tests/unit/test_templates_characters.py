"""Signs outside ASCII: said by references in the finished page, and untouched wherever a template looks at them."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis.strategies import text
from markupsafe import escape

from templates.addresses import is_web
from templates.characters import escaped
from tests.unit.templates_support import PlainUrls, compiled, context_of


def mailing_of(body):
    """A mailing that says `body`."""
    return compiled({"a.html": f"---\nsubject: S\n---\n<html><body>{body}</body></html>\n"})


def rendered(body, **customer):
    """The page that a customer gets."""
    return mailing_of(f"<p>{body}</p>").render(context_of(**customer), PlainUrls()).html


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (
            '{% set n %}{{ customer.first_name }}{% endset %}{{ "same" if n == customer.first_name else "other" }}',
            "same",
        ),
        ("{% set n %}{{ customer.first_name }}{% endset %}{{ n | urlencode }}", "O%E2%80%99Brien"),
        ('{% filter replace("–", "-") %}a – b{% endfilter %}', "a - b"),
        ('{% filter truncate(8, true, "") %}ab – – – cd{% endfilter %}', "ab &#8211; &#8211; "),
    ],
)
def test_templates_compute_with_the_signs_themselves(body, shown):
    """
    What a template compares, encodes or cuts is the text as it was given, not the references it is sent as.
    """
    assert shown in rendered(f"[{body}]", first_name="O’Brien")


def test_a_page_with_typographic_signs_alone_is_ascii():
    """
    A page whose only characters outside ASCII are such signs needs no transfer encoding; the text part keeps them.
    """
    mailing = mailing_of("<p>{{ customer.monetary | money }} – “now”</p>")
    made = mailing.render(context_of(), PlainUrls())

    assert made.html.isascii()
    assert "€1,234.50 – “now”" in made.text


def test_style_sheets_keep_their_signs():
    """
    In a style sheet a reference would mean nothing: a page that has signs there stays as it is.
    """
    mailing = mailing_of('<style>p::before { content: "–" }</style><p>a – b</p>')
    made = mailing.render(context_of(), PlainUrls())

    assert 'content: "–"' in made.html


def test_no_zero_has_a_sign():
    """
    Zero is written the same for everybody, whoever's zero was written first.
    """
    written = [
        rendered("[{{ customer.attributes.n | number(1) }}]", attributes={"n": n}) for n in (Decimal("-0.0"), 0.0)
    ]

    assert [True, True] == ["[0.0]" in text for text in written]


@given(text())
def test_escaped_is_what_the_library_writes(written):
    """
    Every character that means something in HTML becomes the reference that `markupsafe` writes for it.
    """
    assert escaped(written) == str(escape(written))


@pytest.mark.parametrize("place", ["https://a{}b.example/", "https://a.example/{}", "https://a.example?b{}"])
def test_no_address_holds_a_control_character(place):
    """
    Neither in its host nor behind it: the links of a message are escaped together, parted by such a character.
    """
    assert is_web(place.format("c"))
    assert [] == [sign for sign in map(chr, (*range(0x20), 0x7F)) if is_web(place.format(sign))]
