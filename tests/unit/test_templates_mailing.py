"""Mailings compiled from files and rendered for a customer."""

import re

import pytest

from core.errors import ConfigError, RenderError
from templates.check import lint_mailing
from templates.mailing import compile_mailing
from tests.unit.templates_support import ORGANISATION, PlainUrls, compiled, context_of, sources_of

FRONT = "---\nsubject: Hello\n---\n"


def problems_of(files: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        compiled(files)
    return [f"{problem.file}:{problem.line}: {problem.message}" for problem in caught.value.problems]


def html_of(body: str, **customer: object) -> str:
    html = compiled({"a.html": FRONT + body}).render(context_of(**customer), PlainUrls()).html
    assert html is not None
    return html


def test_fragment_gets_the_layout_footer_and_pixel() -> None:
    """A template of a few lines becomes a whole page with postal address, unsubscribe and view links and pixel."""
    html = html_of("<p>News</p>")

    assert html.startswith("<!DOCTYPE html>")
    assert all(
        part in html
        for part in (
            "Paper &amp; Co",
            "1 Mill Lane<br>",
            'href="https://news.example/u/tok"',
            "/v/tok",
            "/o/tok.gif",
        )
    )
    assert html.index("tok.gif") < html.index("</body>")


def test_own_unsubscribe_link_replaces_the_footer() -> None:
    """Where the template links to `unsubscribe_url` itself, nothing is added."""
    html = html_of('<p><a href="{{ unsubscribe_url }}">leave</a></p>')

    assert 1 == html.count("/u/tok")


def test_conditional_unsubscribe_link_does_not_replace_the_footer() -> None:
    """A link that only some messages would hold is not enough (S-2.19)."""
    html = html_of('{% if customer.company %}<a href="{{ unsubscribe_url }}">x</a>{% endif %}', company=None)

    assert 1 == html.count("/u/tok")


def test_text_part_has_the_unsubscribe_link() -> None:
    """The plain part of every mailing names the way out."""
    rendered = compiled({"a.html": FRONT + "<p>News</p>"}).render(context_of(), PlainUrls())

    assert "Unsubscribe: https://news.example/u/tok" in rendered.text


def test_pixel_is_absent_without_open_tracking() -> None:
    """With opens switched off, or no pixel for the message, there is no picture at all (S-6.8)."""
    off = compiled({"a.html": FRONT + "<p>x</p>"}, opens=False).render(context_of(), PlainUrls()).html
    urls = PlainUrls()
    urls.pixel = None  # type: ignore[assignment]
    none = compiled({"a.html": FRONT + "<p>x</p>"}).render(context_of(), urls).html

    assert ("<img" in str(off), "<img" in str(none)) == (False, False)


def test_static_links_are_tracked_by_position() -> None:
    """Each distinct target has one position, in HTML and text alike; the address is escaped in HTML only."""
    body = '<a href="https://a.example/?x=1&amp;y=2">A</a> <a href="https://b.example/">B</a> <a href="https://a.example/?x=1&y=2">C</a>'
    mailing = compiled({"a.html": FRONT + body})
    rendered = mailing.render(context_of(), PlainUrls())

    assert ("https://a.example/?x=1&y=2", "https://b.example/") == mailing.links
    assert 2 == str(rendered.html).count('href="https://news.example/c/0?a=1&amp;b=2"')
    assert "A: https://news.example/c/0?a=1&b=2 B: https://news.example/c/1?a=1&b=2" in rendered.text


MAIL_LINKS = [
    ("mailto:a@b.example?subject={{ customer.first_name }}", "mailto:a@b.example?subject=x%26bcc%3Deve%40e.example"),
    (
        "mailto:a@b.example?subject={{ customer.first_name | urlencode }}&body=Hi",
        "mailto:a@b.example?subject=x%26bcc%3Deve%40e.example&body=Hi",
    ),
    (
        "mailto:a@b.example?{% if true %}subject={{ customer.first_name | upper }}{% endif %}",
        "mailto:a@b.example?subject=X%26BCC%3DEVE%40E.EXAMPLE",
    ),
    ("mailto:{{ customer.first_name }}@b.example", "mailto:x%26bcc%3Deve@e.example@b.example"),
    ("tel:+49{{ customer.external_id }}", "tel:+49c1"),
]


@pytest.mark.parametrize(("href", "expected"), MAIL_LINKS)
def test_value_adds_no_field_to_a_mail_link(href: str, expected: str) -> None:
    """What a customer is called names neither another recipient of the answer nor another field of it."""
    html = html_of(f'<a href="{href}">x</a>', first_name="x&bcc=eve@e.example", external_id="c1")

    assert f'href="{expected}"' in html.replace("&amp;", "&")


UNTRACKED = (
    '<a href="mailto:a@b.example">x</a>', '<a href="tel:+49301234">x</a>', '<a href="#top">x</a>',
    '<a href="https://a.example/" data-no-track>x</a>', '<a href="{{ unsubscribe_url }}">x</a>',
    '<a href="{{ view_url }}">x</a>', '<a href="mailto:a@b.example?subject={{ customer.first_name }}">x</a>',
    '<a href="https://a.example/{{ customer.external_id }}" data-no-track>x</a>',
    '<a href="{{ unsubscribe_url }}?from={{ customer.external_id }}">x</a>',
)  # fmt: skip


@pytest.mark.parametrize("link", UNTRACKED)
def test_link_is_left_alone(link: str) -> None:
    """Mail, telephone, fragment, own and marked links are never rewritten (S-6.9)."""
    html = html_of(link)

    assert ("/c/" in html, "data-no-track" in html) == (False, False)


def test_personal_link_is_tracked_after_rendering() -> None:
    """A target with values is finished first, then tracked without a position; blanks in it are quoted."""
    urls = PlainUrls()
    body = '<a href="https://a.example/?n={{ customer.first_name }}&amp;i={{ customer.external_id }}">x</a>'
    compiled({"a.html": FRONT + body}).render(context_of(first_name="Ann Lee"), urls)

    assert {(None, "https://a.example/?n=Ann%20Lee&i=C1")} == set(urls.asked)


DANGEROUS = (
    "javascript:alert(1)", "data:text/html,x", "//evil.example", "https://a@evil.example", "https:\\\\evil.example",
    "file:///etc/passwd", "JaVaScRiPt:x", "x\nhttps://b.example",
)  # fmt: skip


@pytest.mark.parametrize("value", DANGEROUS)
@pytest.mark.parametrize("tag", ['<a href="{{ customer.company }}">x</a>', '<img alt="" src="{{ customer.company }}">'])
def test_value_makes_no_dangerous_link(tag: str, value: str) -> None:
    """A customer's value that would make a link lead elsewhere fails this message (S-2.26)."""
    mailing = compiled({"a.html": FRONT + tag})

    with pytest.raises(RenderError, match="a link leads to"):
        mailing.render(context_of(company=value), PlainUrls())


@pytest.mark.parametrize(
    "href",
    ["{{ customer.attributes.unsubscribe_url }}", "{{ customer.attributes.view_url }}",
     "{{ customer.attributes['unsubscribe_url'] }}", "{{ customer.attributes.u or unsubscribe_url }}",
     "{{ customer.attributes.u }}{# unsubscribe_url #}", "{{ customer.attributes.u }}{{ unsubscribe_url }}",
     "{% if customer.attributes.u %}{{ customer.attributes.u }}{% else %}{{ unsubscribe_url }}{% endif %}"],
)  # fmt: skip
def test_only_the_name_itself_is_an_own_link(href: str) -> None:
    """A target that merely mentions the unsubscribe or view link passes the same check as any other (S-2.26)."""
    mailing = compiled({"a.html": f'{FRONT}<a href="{href}">x</a>'})
    bad = "javascript:alert(1)"

    with pytest.raises(RenderError, match="a link leads to"):
        mailing.render(context_of(attributes={"u": bad, "unsubscribe_url": bad, "view_url": bad}), PlainUrls())


def test_attribute_of_that_name_does_not_replace_the_footer() -> None:
    """A customer's own field `unsubscribe_url` is not the way out; the footer stays (S-2.19)."""
    body = "<p>{{ customer.attributes.unsubscribe_url }}</p>"
    html = html_of(body, attributes={"unsubscribe_url": "none"})

    assert 1 == html.count("/u/tok")


def test_own_link_is_not_tracked_under_another_name() -> None:
    """The unsubscribe link handed to a macro is checked, and still leads there directly (S-6.9)."""
    body = '{% macro b(to) %}<a href="{{ to }}">go</a>{% endmacro %}<p>{{ b(unsubscribe_url) }}</p>'

    assert '<a href="https://news.example/u/tok"' in html_of(body)


@pytest.mark.parametrize(
    "tag",
    ['<p onclick="f(\'{{ customer.company }}\')">x</p>', "<p ONLOAD={{ customer.company }}>x</p>",
     '<p {% if customer.phone %}onclick="{{ customer.company }}"{% endif %}>x</p>',
     "<script>f('{{ customer.company }}')</script>",
     "{% macro m() %}<script>{{ customer.company }}</script>{% endmacro %}{{ m() }}",
     '<!--[if mso]><p onclick="{{ customer.company }}">x</p><![endif]-->',
     "<!--[if mso]><a href='{{ customer.company }}'>x</a><![endif]-->",
     '<!--[if mso]><a href = "{{ customer.company }}">x</a><![endif]-->',
     "<p style=\"color: {% filter replace('x', customer.company) %}x{% endfilter %}\">x</p>"],
)  # fmt: skip
def test_value_inside_a_program_is_a_problem(tag: str) -> None:
    """A value where escaping cannot protect it (handlers, scripts, loose attributes) is refused when compiled."""
    assert problems_of({"a.html": FRONT + tag})[0].startswith("templates/a.html:4: ")


STYLED = (
    '<p style="color: {{ customer.company }}">x</p>',
    "<style>p { color: {{ customer.company }} }</style><p>x</p>",
    "<style>@media print { p { color: {{ customer.company }} } }</style><p>x</p>",
    '<!--[if mso]><p style="color: {{ customer.company }}">x</p><![endif]-->',
    '{% macro m(c) %}<p style="color: {{ c }}">x</p>{% endmacro %}<p>{{ m(customer.company) }}</p>',
)


@pytest.mark.parametrize(
    "value",
    ["red;background:url(https://evil.example/x)", "red}</style><img src=x>", "url(x)", "expression(alert(1))", "'red'",
     '"red"', "\\72 ed", "red/*", "rgb(1,2,url(x))", "red\n}"],
)  # fmt: skip
@pytest.mark.parametrize("body", STYLED)
def test_value_breaks_out_of_no_style(body: str, value: str) -> None:
    """A value that could be more than one plain value of CSS fails this message."""
    with pytest.raises(RenderError, match="a value inside CSS"):
        html_of(body, company=value)


@pytest.mark.parametrize("value", ["#f00", "rgb(1, 2, 3)", "rgba(10%, 0, 0, .5)", "1.5em", "dark-red", "-3px +2%"])
@pytest.mark.parametrize("body", STYLED)
def test_plain_value_of_css_is_printed(body: str, value: str) -> None:
    """Words, numbers, lengths and colours may come from a customer's fields."""
    assert f"color: {value}" in html_of(body, company=value)


def test_macro_links_are_checked_too() -> None:
    """A link inside a macro passes the same checks as one on the page."""
    body = '{% macro b(to) %}<a href="{{ to }}">go</a>{% endmacro %}<p>{{ b(customer.company) }}</p>'
    mailing = compiled({"a.html": FRONT + body})

    with pytest.raises(RenderError, match="a link leads to"):
        mailing.render(context_of(company="javascript:x"), PlainUrls())
    assert "/c/own" in str(mailing.render(context_of(company="https://a.example/"), PlainUrls()).html)


@pytest.mark.parametrize(
    "href", ["javascript:alert(1)", "ftp://a.example", "/shop", "www.a.example", "https://", "http:a"]
)
def test_bad_static_link_is_a_problem_at_its_line(href: str) -> None:
    """A link no mail client can follow is found when the template is checked."""
    found = problems_of({"a.html": f'{FRONT}<p>one</p>\n<a href="{href}">x</a>'})

    assert [found[0].split(": ")[0]] == ["templates/a.html:5"]


@pytest.mark.parametrize(
    "body",
    [
        '<p style="background: url(paper.png)">x</p>',
        "<p style='background: url(\"paper.png\")'>x</p>",
        "<style>\n@media print { p { background: url( 'paper.png' ) } }</style><p>x</p>",
        '<table background="paper.png"><tr><td>x</td></tr></table>',
        '<!--[if mso]><td style="background: url(paper.png)">x</td><![endif]-->',
    ],
)
def test_a_background_that_nobody_can_fetch_is_a_problem(body: str) -> None:
    """CSS and `background=` fetch from web servers only: a file's name in them would show nothing (S-2.26)."""
    found = problems_of({"a.html": FRONT + body})

    assert "fetches 'paper.png', expected an http or https address" in found[0]


@pytest.mark.parametrize("address", ["https://a.example/p.png", "data:image/gif;base64,R0lGOD", "#shape"])
def test_a_background_that_can_be_fetched_stays(address: str) -> None:
    """Web addresses, what is inside the CSS itself, and places of the page stay in CSS."""
    assert f"url({address})" in html_of(f'<p style="background: url({address})">x</p>')


def test_subject_is_one_line() -> None:
    """Line breaks and control characters of a value never reach the header; they become one blank (S-2.1)."""
    mailing = compiled({"a.txt": "---\nsubject: 'Dear {{ customer.first_name }}'\n---\nx"})
    subject = mailing.render(context_of(first_name="Ann\r\nBcc: x@y.example\x00\u2028 Lee\x85"), PlainUrls()).subject

    assert "Dear Ann Bcc: x@y.example Lee" == subject


def test_subject_of_a_variant_replaces_the_front_matter() -> None:
    """A campaign may bring its own subject, with values in it."""
    mailing = compiled({"a.txt": FRONT + "x"}, subject="For {{ customer.first_name }}")

    assert "For Ann" == mailing.render(context_of(), PlainUrls()).subject


def test_preheader_is_hidden_at_the_top() -> None:
    """The preheader is the first thing in the body, hidden, and absent from the text part."""
    mailing = compiled({"a.html": "---\nsubject: S\npreheader: For {{ customer.last_name }} & you\n---\n<p>Body</p>"})
    rendered = mailing.render(context_of(last_name="<Lee>"), PlainUrls())

    assert "For <Lee> & you" == rendered.preheader
    assert re.search(r"<body[^>]*><div style=\"display:none[^>]*>For &lt;Lee&gt; &amp; you", str(rendered.html))
    assert "you" not in rendered.text


def test_css_is_inlined_and_media_rules_kept() -> None:
    """Rules reach the elements' style attributes, also around values; media queries stay in the head."""
    html = html_of(
        "<html><head><style>p { color: red } @media print { p { color: black } }</style></head><body>"
        '{% if customer.company %}<p style="margin: {{ customer.order_count }}px">x</p>{% endif %}</body></html>'
    )

    assert 'style="color: red;margin: 3px' in html
    assert "@media print" in html


def test_conditions_inside_a_tag_survive() -> None:
    """A condition around an attribute and one inside an attribute value both stay where they are."""
    title = "{% if customer.phone %}a{% else %}b{% endif %}"
    body = f'<p {{% if customer.company %}}class="firm"{{% endif %}} title="{title}">x</p>'
    firm, other = ((re.search(r"<p [^>]*>x", html_of(body, company=name)) or [""])[0] for name in ("A", None))

    assert (True, True) == ('class="firm"' in firm, 'title="b"' in firm)
    assert (False, True) == ("firm" in other, 'title="b"' in other)


@pytest.mark.parametrize(
    "tag",
    [
        '<a {% if customer.company %}href="https://a.example/"{% endif %}>',
        '<p {% if customer.company %}title="a">x</p><p {% endif %}>',
        "<p {% if customer.company %}{{ customer.company }}{% endif %}>",
        "<p {% endif %}>",
        "<p {% if customer.company %}>",
    ],
)
def test_condition_inside_a_tag_holds_only_plain_attributes(tag: str) -> None:
    """A condition inside a tag that hides a link, a value or half an element is refused at its line."""
    assert problems_of({"a.html": FRONT + tag})[0].startswith("templates/a.html:4: ")


def test_rows_in_a_loop_stay_in_their_table() -> None:
    """A loop around table rows is not moved out of the table when the HTML is parsed."""
    body = "<table>{% for n in range(3) %}<tr><td>{{ n }}</td></tr>{% endfor %}</table>"
    html = html_of(body)
    table = html[html.index('<td class="content"') :]

    assert ["0", "1", "2"] == re.findall(r"<td[^>]*>(\d)</td></tr>", table)


def test_braces_written_as_entities_stay_text() -> None:
    """What only looks like Jinja after the HTML was parsed is printed."""
    assert "{{ 7*7 }}" in html_of("<p>&#123;&#123; 7*7 &#125;&#125; {% raw %}{{ x }}{% endraw %}</p>")


def test_value_outside_quotes_is_a_problem() -> None:
    """A value where escaping cannot protect it is refused at its line."""
    found = problems_of({"a.html": f"{FRONT}<p>\n<b {{{{ customer.first_name }}}}>x</b></p>"})

    assert ["templates/a.html:5: a value stands inside a tag, outside quotes"] == found


def test_unquoted_attribute_value_is_quoted() -> None:
    """`name={{ value }}` is written with quotes, so a blank in the value starts no attribute."""
    assert 'title="x onclick=alert(1)"' in html_of(
        "<p title={{ customer.company }}>x</p>", company="x onclick=alert(1)"
    )


def test_text_sibling_is_the_text_part() -> None:
    """`news.txt` beside `news.html` is its text part, with tracked links and the footer."""
    mailing = compiled(
        {
            "news.html": FRONT + "<p>x</p>",
            "news.txt": "Hi {{ customer.first_name }}, see https://a.example/x.\n",
        }
    )
    text = mailing.render(context_of(), PlainUrls()).text

    assert text.startswith("Hi Ann, see https://news.example/c/0?a=1&b=2.\n")
    assert ("news.html", "news.txt") == mailing.uses
    assert "Unsubscribe: " in text


def test_text_links_beside_conditions() -> None:
    """A condition that ends right after an address does not become part of it."""
    body = "{% if customer.company %}https://a.example/{% endif %}\nhttps://b.example/{{ customer.external_id }}, bye"
    urls = PlainUrls()
    compiled({"a.txt": FRONT + body}).render(context_of(), urls)

    assert [(0, "https://a.example/"), (None, "https://b.example/C1")] == urls.asked


def test_plain_text_mailing_has_no_html() -> None:
    """A `.txt` template is a mailing of plain text; nothing in it is escaped."""
    rendered = compiled({"a.txt": FRONT + "Dear {{ customer.company }}\n"}).render(
        context_of(company="A & B"), PlainUrls()
    )

    assert (None, "Dear A & B") == (rendered.html, rendered.text.splitlines()[0])


def test_markdown_mailing() -> None:
    """Markdown becomes HTML in the default layout; conditions on lines of their own make no paragraph."""
    body = "# Hello {{ customer.first_name }}\n\n{% if customer.company %}\nTo **{{ customer.company }}**\n{% endif %}\n\n[Shop](https://a.example/)\n"
    mailing = compiled({"a.md": FRONT + body})
    html = str(mailing.render(context_of(), PlainUrls()).html)

    assert ("https://a.example/",) == mailing.links
    assert re.search(r"<h1[^>]*>Hello Ann</h1>\s*<p[^>]*>To <strong>Lee Ltd</strong></p>\s*<p[^>]*><a href", html)


MJML = """\
<mj-section>
{% if customer.tier == "big" %}
<mj-column>
{% for item in customer.attributes.things %}
<mj-text color="{{ item.colour }}">{{ loop.index }} < {{ item.name }}<br></mj-text>
{% endfor %}
<mj-button href="https://a.example/?a=1&b={{ customer.external_id }}">Go &rarr;</mj-button>
</mj-column>
{% else %}
<mj-column><mj-text>nothing</mj-text></mj-column>
{% endif %}
</mj-section>
{% if customer.order_count > 2 %}<mj-section><mj-column><mj-text>often</mj-text></mj-column></mj-section>{% endif %}
"""


def test_mjml_keeps_loops_and_conditions() -> None:
    """Conditions around columns and sections and loops around texts stay at their places in the HTML."""
    mailing = compiled({"a.mjml": FRONT + MJML.replace("< {{ item", "&lt; {{ item")})
    things = {"things": [{"name": "pen", "colour": "#f00"}, {"name": "ink", "colour": "#00f"}]}
    big = str(mailing.render(context_of(attributes=things), PlainUrls()).html)
    small = str(mailing.render(context_of(tier="small", order_count=0), PlainUrls()).html)

    assert ["#f00", "#00f"] == re.findall(r"color:(#f00|#00f);\">\d &lt; \w+<br>", big)
    assert ("often" in big, "nothing" in big, "often" in small, "nothing" in small) == (
        True,
        False,
        False,
        True,
    )
    assert big.count("<table") - big.count("</table") == 0
    assert small.count("<tr") - small.count("</tr") == 0


def test_mjml_mistakes_are_located() -> None:
    """Unknown and unclosed elements are named at their lines, all in one go."""
    body = "<mj-section>\n<mj-colum>\n</mj-colum>\n<mj-column><mj-text>x</mj-column>\n</mj-section>\n<mj-section>"

    assert [
        "templates/a.mjml:5: MJML has no element <mj-colum>",
        "templates/a.mjml:6: MJML has no element <mj-colum>",
        "templates/a.mjml:7: <mj-text> is not closed before </mj-column>",
        "templates/a.mjml:9: <mj-section> is not closed before </mj-body>",
    ] == problems_of({"a.mjml": FRONT + body})[:4]


def test_mjml_tag_in_a_lost_place_is_a_problem() -> None:
    """A condition around an attribute of an MJML element, which MJML drops, is reported."""
    found = problems_of({"a.mjml": FRONT + '<mj-section {% if customer.company %}padding="0"{% endif %}></mj-section>'})

    assert {"templates/a.mjml:4: {% if customer.company %} stands where MJML keeps nothing",
            "templates/a.mjml:4: {% endif %} stands where MJML keeps nothing"} == set(found)  # fmt: skip


def test_layouts_blocks_super_and_includes() -> None:
    """Extending twice, `super()`, includes in loops and settings outside blocks mean what they mean in Jinja."""
    files = {
        "a.html": FRONT
        + '{% extends "mid.html" %}{% set word = "leaf" %}{% block b %}[{{ super() }}{{ word }}]{% endblock %}',
        "mid.html": '{% extends "base.html" %}{% block b %}({{ super() }}mid){% endblock %}',
        "base.html": "<html><body>{% block b %}base {% endblock %}"
        '{% for n in range(2) %}{% include "p/x.html" %}{% endfor %}</body></html>',
        "p/x.html": "<i>{{ n }}</i>",
    }
    mailing = compiled(files)
    html = str(mailing.render(context_of(), PlainUrls()).html)

    assert "[(base mid)leaf]<i>0</i><i>1</i>" in html
    assert ("a.html", "mid.html", "base.html", "p/x.html") == mailing.uses


def test_front_matter_layout_takes_the_content() -> None:
    """`layout:` puts the body into the block `content`; `layout: none` leaves it as it is."""
    files = {
        "a.html": "---\nsubject: S\nlayout: l.html\n---\n<p>x</p>",
        "l.html": "<html><body><b>brand</b>{% block content %}{% endblock %}</body></html>",
    }

    assert "<b>brand</b><p>x</p>" in str(compiled(files).render(context_of(), PlainUrls()).html)


@pytest.mark.parametrize(
    "files",
    [
        {"a.html": FRONT + '{% include "a.html" %}'},
        {"a.html": FRONT + '{% extends "b.html" %}', "b.html": '{% extends "a.html" %}'},
        {"a.html": FRONT + '{% include "b0.html" %}', "b30.html": "end"}
        | {f"b{n}.html": f'{{% include "b{n + 1}.html" %}}' for n in range(30)},
        {"a.html": FRONT + '{% include "b0.html" %}', "b9.html": "word " * 100}
        | {f"b{n}.html": f'{{% include "b{n + 1}.html" %}}' * 10 for n in range(9)},
    ],
    ids=["itself", "each other", "deep", "exploding"],
)
def test_endless_inclusion_is_refused(files: dict[str, str]) -> None:
    """Templates that contain themselves, nest too deep or explode are refused when compiled."""
    assert 1 <= len(problems_of(files)) <= 3


def test_every_mistake_is_reported_at_once() -> None:
    """Unknown names, fields, filters and includes of all files come in one error, each at its line with a hint."""
    files = {
        "a.html": "---\nsubject: Hi {{ customer.frist_name }}\n---\n{{ nam }}\n{{ customer.shoe }}\n"
        '{{ customer.email | uper }}\n{% include "p/y.html" %}{% include "p/x.html" %}',
        "p/x.html": "ok\n{{ organisation.nam }}",
    }
    with pytest.raises(ConfigError) as caught:
        compiled(files)

    assert [
        ("templates/a.html", 2, "customer has no field 'frist_name'",
         "did you mean 'first_name'? a field of your own is written customer.attributes.frist_name"),
        ("templates/a.html", 5, "customer has no field 'shoe'",
         "did you mean 'phone'? a field of your own is written customer.attributes.shoe"),
        ("templates/a.html", 6, "there is no filter 'uper'", "did you mean 'upper'?"),
        ("templates/a.html", 7, "there is no template 'p/y.html'", "did you mean 'p/x.html'?"),
        ("templates/p/x.html", 2, "organisation has no field 'nam'", "did you mean 'name'?"),
    ] == [(problem.file, problem.line, problem.message, problem.hint) for problem in caught.value.problems]  # fmt: skip


def test_unknown_template_names_the_near_miss() -> None:
    """A campaign's typing error in a template's name is answered with the name meant."""
    with pytest.raises(ConfigError, match=r"did you mean 'spring\.html'"):
        compile_mailing(
            "sprng.html",
            sources_of({"spring.html": "x"}),
            organisation=ORGANISATION,
            opens=False,
            clicks=False,
        )


def test_piece_ignores_person_tracking_and_white_space() -> None:
    """The fingerprint is that of what is said: the same for other tracking, subject, CSS and line breaks."""
    body = "<p>Dear {{ customer.first_name }}, <a href='https://a.example/'>buy</a></p>"
    piece = compiled({"a.html": FRONT + body}).piece

    assert piece == compiled({"a.html": FRONT + body}, opens=False, clicks=False, subject="Other").piece
    assert piece == compiled({"b.html": FRONT + body.replace("<p>", "<p style='color: red'>\n ")}).piece
    assert piece != compiled({"a.html": FRONT + body.replace("buy", "sell")}).piece
    assert piece != compiled({"a.html": FRONT + body.replace("a.example", "b.example")}).piece


def test_lint_remarks() -> None:
    """Pictures without alt text, a missing preheader and a size that Gmail clips are remarked upon (S-2.26)."""
    picture = '<img src="https://a.example/x.png">'
    remarks = lint_mailing(compiled({"a.html": FRONT + picture + "<p>word</p>" * 9000}))

    assert ["the picture https://a.example/x.png has no alt", "the HTML has about", "there is no preheader"] == [
        remark[: len(start)]
        for remark, start in zip(
            remarks, ["the picture https://a.example/x.png has no alt", "the HTML has about", "there is no preheader"],
            strict=True,
        )
    ]  # fmt: skip


@pytest.mark.parametrize(("size", "expected"), [(102_000, 0), (102_001, 1)])
def test_size_is_remarked_on_above_what_gmail_shows(size: int, expected: int) -> None:
    """102 KB of HTML pass in silence, one octet more is remarked upon (S-2.26)."""
    front, page = FRONT.replace("---\n", "---\npreheader: P\n", 1), "<html><body><p>{}</p></body></html>"
    empty = compiled({"a.html": front + page.format("x")}).html
    assert empty is not None
    word = "x" * (size - len(empty.script.text.encode()) + 1)
    remarks = lint_mailing(compiled({"a.html": front + page.format(word)}))

    assert expected == len([remark for remark in remarks if "Gmail" in remark])


def test_outlook_button_is_tracked() -> None:
    """The link of a button in a conditional comment is rewritten like the one beside it."""
    body = '<!--[if mso]><v:rect href="https://a.example/">x</v:rect><![endif]--><a href="https://a.example/">x</a>'

    assert 2 == html_of(body).count("/c/0")
