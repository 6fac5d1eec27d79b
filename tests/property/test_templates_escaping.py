"""Whatever stands in a customer's fields, the page keeps its shape, and hidden code comes back as it was."""

import re
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from core.errors import RenderError
from templates.chunks import Chunk, Kind, cut
from templates.mailing import one_line
from templates.masking import Mask, hide_in_html, hide_in_text
from tests.unit.templates_support import PlainUrls, compiled, context_of

BODY = """\
---
subject: For {{ customer.first_name }}
preheader: To {{ customer.first_name }}
---
<style>.a { color: {{ customer.attributes.colour }} } .b { color: red }</style>
<p title="{{ customer.first_name }}" class=b lang={{ customer.last_name }}>{{ customer.first_name }}</p>
<!--[if mso]><p title="{{ customer.last_name }}">{{ customer.company }}</p><![endif]-->
<a href="https://a.example/?q={{ customer.last_name | urlencode }}">{{ customer.company | upper }}</a>
<a href="https://a.example/{{ customer.company }}" style="color: {{ customer.first_name }}">x</a>
<img alt='{{ customer.company }}' src="https://a.example/{{ customer.last_name | urlencode }}.png">
{% for word in customer.attributes.words %}<table><tr><td width={{ word }}>{{ word }}</td></tr></table>{% endfor %}
"""
MAILING = compiled({"a.html": BODY})
NASTY = st.one_of(
    st.text(max_size=40),
    st.text(alphabet="<>\"'&=/ \n\tab{}%#!-;:()[]", max_size=40),
    st.sampled_from(
        [
            '"><script>x</script>',
            "' onmouseover='x",
            "--><script>",
            "]]>",
            "<![endif]-->",
            "</style>",
            "{{7*7}}",
            "{% x %}",
        ]
    ),
)


class _Shape(HTMLParser):
    """The elements and the names of their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(name for name, _ in attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.found.append((f"/{tag}", ()))

    def handle_comment(self, data: str) -> None:
        inner = _Shape()
        inner.feed(data)
        self.found += [("comment", ()), *inner.found]


def shape(html: str) -> list[tuple[str, tuple[str, ...]]]:
    parser = _Shape()
    parser.feed(html)
    parser.close()
    return parser.found


def rendered(first: str, last: str, company: str, word: str) -> str | None:
    attributes = {"colour": company, "words": [word, word]}
    context = context_of(first_name=first, last_name=last, company=company, attributes=attributes)
    try:
        return MAILING.render(context, PlainUrls()).html
    except RenderError:
        return None


PLAIN_SHAPE = shape(rendered("a", "b", "c", "d") or "")


@given(first=NASTY, last=NASTY, company=NASTY, word=NASTY)
def test_no_value_breaks_out(first: str, last: str, company: str, word: str) -> None:
    """Text in any field, in element, attribute, link, comment or style, changes no element and attribute (S-2.26)."""
    html = rendered(first, last, company, word)

    assert html is None or shape(html) == PLAIN_SHAPE


@given(text=st.text())
def test_header_text_is_one_clean_line(text: str) -> None:
    """A header text holds no line break and no control character."""
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", one_line(text))


DATA = st.one_of(
    st.sampled_from(
        [
            "<p>",
            "</p>",
            '<a title="',
            '">',
            "<!-- ",
            " -->",
            "<td>",
            "jx0z",
            "jx1z",
            "<style>",
            "</style>",
            "x y",
        ]
    ),
    st.text(alphabet="jx0123z <>\"'=a\n", max_size=12),
)
CODE = st.sampled_from(
    [
        "{{ customer.first_name }}",
        "{% if a < b %}",
        "{% endif %}",
        "{{ '<\"' }}",
        "{% raw %}{{ x }}{% endraw %}",
    ]
)


@given(parts=st.lists(st.one_of(DATA, CODE), max_size=12))
def test_hidden_code_comes_back_exactly(parts: list[str]) -> None:
    """Hiding and bringing back changes nothing, whatever the text around the code looks like."""
    chunks, problems = cut("".join(parts), "a.html")
    mask = Mask.of(chunk.text for chunk in chunks)
    text = hide_in_text(chunks, mask)

    assert [] == problems
    assert joined(chunks) == joined(mask.chunks(text, "a.html"))


@given(parts=st.lists(st.one_of(DATA, CODE), max_size=12))
def test_code_hidden_in_html_is_never_doubled_or_lost(parts: list[str]) -> None:
    """In HTML each piece of code comes back once and in its order, or the template is refused."""
    chunks, _ = cut("".join(parts), "a.html")
    mask = Mask.of(chunk.text for chunk in chunks)
    hidden, problems = hide_in_html(chunks, mask)
    back = mask.chunks(mask.commented("".join(hidden)), "a.html")

    assert len(chunks) == len(hidden)
    assert problems or [c.code for c in chunks if c.kind is not Kind.DATA] == [
        c.code for c in back if c.kind is not Kind.DATA
    ]


def joined(chunks: list[Chunk]) -> str:
    return "".join(chunk.text if chunk.kind is Kind.DATA else chunk.code for chunk in chunks)
