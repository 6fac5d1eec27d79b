"""Templates that try to get out, or to run away, fail alone and at once."""

import time
from datetime import UTC, date, datetime
from types import SimpleNamespace

import pytest

from core.errors import ConfigError, RenderError
from templates.definition import TemplateSource
from templates.mailing import compile_mailing
from tests.unit.templates_support import ORGANISATION, PlainUrls, context_of

#: Far above what the slowest of these takes (0.35 s on a 2-core machine), far below what one unlimited needs.
AT_MOST_S = 3.0

GREEDY = {
    "nested loops": "{% for a in range(999) %}{% for b in range(999) %}{% for c in range(999) %}"
    "{% endfor %}{% endfor %}{% endfor %}",
    "printing loop": "{% for a in range(999) %}{% for b in range(999) %}some printed text{% endfor %}{% endfor %}",
    "text times number": "{{ 'a' * 10**9 }}",
    "list times number": "{{ ([0] * 10**9) | length }}",
    "number times text": "{{ 10**9 * 'a' }}",
    "power": "{{ 9**9**9 }}",
    "power of a large base": "{{ (10**17) ** 64 }}",
    "growing number": "{% set n = namespace(x=99) %}{% for a in range(99) %}{% set n.x = n.x * n.x %}{% endfor %}",
    "huge range": "{% for a in range(10**9) %}{% endfor %}",
    "doubling by tilde": "{% set n = namespace(x='ab') %}{% for a in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "doubling by plus": "{% set n = namespace(x='ab') %}{% for a in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "doubling lists": "{% set n = namespace(x=[1]) %}{% for a in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "doubling by set block": "{% set n = namespace(x='ab') %}{% for a in range(99) %}"
    "{% set n.x %}{{ n.x }}{{ n.x }}{% endset %}{% endfor %}",
    "doubling by join": "{% set n = namespace(x='ab') %}{% for a in range(99) %}"
    "{% set n.x = [n.x, n.x] | join %}{% endfor %}",
    "lists in lists": "{% set n = namespace(x=[1]) %}{% for a in range(99) %}{% set n.x = [n.x, n.x] %}{% endfor %}"
    "{{ n.x | string | length }}",
    "compared lists": "{% set n = namespace(x=[1], y=[1]) %}{% for a in range(99) %}{% set n.x = [n.x, n.x] %}"
    "{% set n.y = [n.y, n.y] %}{% endfor %}{{ n.x == n.y }}",
    "tuples as keys": "{% set n = namespace(x=(1, 2)) %}{% for a in range(99) %}{% set n.x = (n.x, n.x) %}{% endfor %}"
    "{{ {n.x: 1} | length }}",
    "records in records": "{% set n = namespace(x={}) %}{% for a in range(99) %}"
    "{% set n.x = {'a': n.x, 'b': n.x} %}{% endfor %}{{ n.x | string | length }}",
    "lists by tilde": "{% set t = 'a' * 99999 %}{{ ([t] * 1999) ~ 'x' }}",
    "namespace of itself": "{% set n = namespace() %}{% set n.x = n %}{{ n }}",
    "replace": "{{ ('a' * 9999) | replace('a', 'b' * 9999) }}",
    "recursive macro": "{% macro m(n) %}{{ m(n) }}{% endmacro %}{{ m(1) }}",
    "branching macro": "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(64) }}",
    "recursive loop": "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "set block in loops": "{% set x %}{% for a in range(999) %}{% for b in range(999) %}0123456789"
    "{% endfor %}{% endfor %}{% endset %}",
    "caller in loops": "{% macro m() %}{{ caller() }}{{ caller() }}{% endmacro %}"
    + "{% call m() %}" * 18 + "0123456789" * 50 + "{% endcall %}" * 18,
    "sorting in loops": "{% for a in range(999) %}{% for b in range(999) %}{{ (range(999) | sort) | length }}"
    "{% endfor %}{% endfor %}",
    "rounding": "{{ 1 | round(10**9) }}",
    "wide date": "{{ customer.first_order_at | date('%999999999d') }}",
    "format by odd": "{{ '%999999999d' is odd }}",
    "format by even": "{{ ['%999999999d'] | select('even') | list }}",
    "format by divisibleby": "{{ '%999999999d' is divisibleby 3 }}",
    "batch": "{{ ([1] | batch(10**9) | list) | length }}",
    "sum of lists": "{{ [[1], [2]] | sum }}",
    "deep expression": "{{ 1 " + "+ 1 " * 5000 + "}}",
    "deep brackets": "{{ " + "(" * 5000 + "1" + ")" * 5000 + "}}",
    "deep loops": "{% for a in [1] %}" * 60 + "{% endfor %}" * 60,
    "long number": "{{ " + "9" * 9999 + " }}",
    "large expression in a loop": "{% for a in range(999) %}{% for b in range(999) %}{{ a "
    + "+ b " * 60 + "}}{% endfor %}{% endfor %}",
}  # fmt: skip

#: Each is well-formed and does what it says until the budget ends it.
_LONG = "{% set x = 'a' * 99999 %}{% set y = 'a' * 50000 ~ 'b' %}"
_OTHER = "{% set x = 'a' * 99999 %}{% set y = 'a' * 99998 ~ 'b' %}"
_LIST = "{% set x = range(1000) | list %}{% set y = range(1000) | list %}"
_TWICE = "{% for a in range(999) %}{% for b in range(999) %}"
_ENDS = "{% endfor %}{% endfor %}"
EXHAUSTING = {
    "nested loops": GREEDY["nested loops"],
    "printing loop": GREEDY["printing loop"],
    "set block in loops": GREEDY["set block in loops"],
    "sorting in loops": GREEDY["sorting in loops"],
    "large expression in a loop": GREEDY["large expression in a loop"],
    "ranges in loops": _TWICE + "{{ range(9) | sum }}" + _ENDS,
    "methods in loops": _TWICE + "{{ 'a'.upper() }}" + _ENDS,
    "cycle in loops": _TWICE + "{{ loop.cycle('odd', 'even') }}" + _ENDS,
    "macro in loops": "{% macro m(n) %}{{ n }}{% endmacro %}" + _TWICE + "{{ m(b) }}" + _ENDS,
    "branching macro": GREEDY["branching macro"],
    "text in text": _LONG + _TWICE + "{% if y in x %}1{% endif %}" + _ENDS,
    "text not in text": _LONG + _TWICE + "{% if y not in x %}{% endif %}" + _ENDS,
    "texts compared": _OTHER + _TWICE + "{% if x < y or x > y %}{% endif %}" + _ENDS,
    "chain of comparisons": _OTHER + _TWICE + "{% if y >= y >= y >= x >= y %}{% endif %}" + _ENDS,
    "value in list": _LIST + _TWICE + "{% if 'z' in x %}{% endif %}" + _ENDS,
    "lists compared": _LIST + _TWICE + "{% if x != y %}{% endif %}" + _ENDS,
    "many searches at once": _LONG + "{% for a in range(999) %}{% if "
    + " or ".join(["y in x"] * 40) + " %}{% endif %}{% endfor %}",
    "medium texts": "{% set x = 'a' * 2499 %}{% set y = 'a' * 1200 ~ 'b' %}" + _TWICE
    + "{% if y in x %}{% endif %}" + _ENDS,
    "test": _LONG + _TWICE + "{% if y is in x %}{% endif %}" + _ENDS,
    "case": "{% set x = 'a' * 99999 %}" + _TWICE + "{% if x is lower and x is upper %}{% endif %}" + _ENDS,
    "select": _LONG + "{% for a in range(999) %}{{ [y, y, y] | select('in', x) | list | length }}{% endfor %}",
    "count": _LONG + _TWICE + "{{ x.count(y) }}" + _ENDS,
    "strip": "{% set x = 'a' * 99999 %}{{ x.strip('b' * 99998 ~ 'a') | length }}",
    "trim": "{% set x = 'a' * 99999 %}{{ x | trim('b' * 99998 ~ 'a') | length }}",
    "replace": "{% set x = 'a' * 2499 %}{% set y = 'a' * 1200 ~ 'b' %}" + _TWICE
    + "{{ x | replace(y, '') | length }}" + _ENDS,
}  # fmt: skip

ESCAPES = (
    "{{ ''.__class__.__mro__ }}",
    "{{ customer['__class__'] }}",
    "{{ customer.__init__ }}",
    "{{ customer | attr('__init__') }}",
    "{{ '%c' | format(65) }}",
    "{{ '%c' % 65 }}",
    "{{ '{0.__class__}'.format(customer) }}",
    "{{ '{x.__class__}'.format_map({'x': customer}) }}",
    "{{ cycler.__init__.__globals__ }}",
    "{{ lipsum() }}",
    "{{ self.__init__ }}",
    "{{ range.__self__ }}",
    "{{ [customer] | map(attribute='__class__') | join }}",
    "{% for key in customer %}{{ customer[key].__class__ }}{% endfor %}",
    "{{ customer.attributes.update({'a': 1}) }}",
    "{{ customer.attributes.clear() }}",
    "{% set x = customer.attributes.pop('size') %}",
    "{{ joiner }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ loop.__class__ }}",
    "{{ 'a'.encode() }}",
    "{{ 'a'.ljust(10**9) }}",
    "{{ customer.first_order_at.strftime('%999999999d') }}",
    "{{ customer.first_name | safe }}",
    "{% autoescape false %}{{ customer.first_name }}{% endautoescape %}",
    "{{ customer.first_name | _link }}",
    "{{ _urls }}",
    "{{ customer.first_name.__class__ | string }}",
    "{% import 'x.html' as x %}",
)


def rendered(body: str, **customer: object) -> str:
    source = TemplateSource("a.txt", f"---\nsubject: S\n---\n{body}")
    mailing = compile_mailing("a.txt", {"a.txt": source}, organisation=ORGANISATION, opens=True, clicks=True)
    return mailing.render(context_of(**customer), PlainUrls()).text


@pytest.mark.parametrize("name", GREEDY)
def test_greedy_template_fails_quickly(name: str) -> None:
    """A template that wants too much time, memory or output is refused or fails for this message, at once."""
    began = time.perf_counter()

    with pytest.raises((RenderError, ConfigError)):
        rendered(GREEDY[name])

    assert AT_MOST_S > time.perf_counter() - began


@pytest.mark.parametrize("name", EXHAUSTING)
def test_exhausting_template_is_stopped_by_the_budget(name: str) -> None:
    """What repeats without end, calls and comparisons included, is ended by its budget and by nothing else."""
    began = time.perf_counter()

    with pytest.raises(RenderError, match="too many steps or prints too much"):
        rendered(EXHAUSTING[name])

    assert AT_MOST_S > time.perf_counter() - began


CALLS = (
    ("{% for x in [1, 2] %}{{ 'a'.upper() }}{% endfor %}", "AA"),
    ("{% for x in [1, 2, 3] %}{{ loop.cycle('odd', 'even') }} {% endfor %}", "odd even odd "),
    ("{% for x in [1, 1, 2] %}{{ 'n' if loop.changed(x) else 's' }}{% endfor %}", "nsn"),
    ("{% macro m(x) %}[{{ x }}]{% endmacro %}{% for x in [1, 2] %}{{ m(x) }}{% endfor %}", "[1][2]"),
    ("{% macro m() %}({{ caller() }}){% endmacro %}{% for x in [1, 2] %}{% call m() %}{{ x }}{% endcall %}{% endfor %}",
     "(1)(2)"),
    ("{% for x in [1, 2] %}{% for y in range(x) %}{{ x }}{{ y }} {% endfor %}{% endfor %}", "10 20 21 "),
    ("{% for key, value in customer.attributes.items() %}{{ key.title() }}={{ value }}{% endfor %}", "Size=42"),
    ("{% for x in [[1, [2]]] recursive %}{% if x is iterable %}({{ loop(x) }}){% else %}{{ x }}{% endif %}{% endfor %}",
     "(1(2))"),
)  # fmt: skip


@pytest.mark.parametrize(("body", "expected"), CALLS)
@pytest.mark.parametrize("page", ["a.txt", "a.html", "a.mjml"])
def test_calls_work_inside_loops(page: str, body: str, expected: str) -> None:
    """Methods, `loop.cycle`, macros and `range` mean inside a loop what they mean outside of it."""
    whole = {"a.txt": "<i>{}</i>", "a.html": "<i>{}</i>",
             "a.mjml": "<mj-section><mj-column><mj-text><i>{}</i></mj-text></mj-column></mj-section>"}  # fmt: skip
    source = TemplateSource(page, "---\nsubject: S\n---\n" + whole[page].format(body))
    mailing = compile_mailing(page, {page: source}, organisation=ORGANISATION, opens=True, clicks=True)
    result = mailing.render(context_of(), PlainUrls())

    assert f"<i>{expected}</i>" in (result.html or result.text)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [("1 < 2 < 3", "y"), ("1 < 2 > 3", "n"), ("'a' in 'cat'", "y"), ("'a' not in ['a']", "n"), ("none == 1", "n"),
     ("customer.attributes.nothing == none", "y"), ("'size' in customer.attributes", "y"), ("3 is in [1, 3]", "y"),
     ("'A' is upper", "y"), ("3 is lower", "n"), ("3 is odd", "y"), ("9 is divisibleby 3", "y"), ("3 is even", "n"),
     ("(1, 2) == (1, 2) != (1, 3)", "y"), ("2 >= 2 <= 2", "y"), ("[1, 2, 3] | select('gt', 1) | list == [2, 3]", "y")],
)  # fmt: skip
def test_comparison_means_what_it_says(condition: str, expected: str) -> None:
    """Comparisons that pay for themselves answer as Python's do."""
    assert expected == rendered(f"{{{{ 'y' if {condition} else 'n' }}}}").splitlines()[0]


@pytest.mark.parametrize("payload", ESCAPES)
def test_escaping_template_is_refused(payload: str) -> None:
    """No way to Python's internals, to changing values, or around the escaping."""
    with pytest.raises((RenderError, ConfigError)):
        rendered(payload)


def test_foreign_object_shows_nothing() -> None:
    """A value that is not plain gives access to none of its attributes."""
    with pytest.raises(RenderError):
        rendered("{{ customer.attributes.thing.secret }}", attributes={"thing": SimpleNamespace(secret="s")})


def test_value_is_printed_not_rendered() -> None:
    """Template syntax in a customer's field is printed as it stands."""
    assert "{{7*7}} {% raw %} {#" in rendered("{{ customer.first_name }}", first_name="{{7*7}} {% raw %} {#")


def test_ordinary_work_fits_the_budget() -> None:
    """A mailing with a table of two hundred rows is far from the limits."""
    rows = [{"name": f"Thing {number}", "price": number} for number in range(200)]
    line = "{{ loop.index }} {{ row.name }} {{ row.price | money }}\n"
    body = f"{{% for row in customer.attributes.rows %}}{line}{{% endfor %}}"

    assert "200 Thing 199 €199.00" in rendered(body, attributes={"rows": rows})


def test_one_message_leaves_the_next_its_whole_budget() -> None:
    """What one customer's message costs is not charged to the next."""
    source = TemplateSource("a.txt", "---\nsubject: S\n---\n{% for a in range(900) %}{{ a }} and more\n{% endfor %}")
    mailing = compile_mailing("a.txt", {"a.txt": source}, organisation=ORGANISATION, opens=True, clicks=True)

    assert 1 == len({mailing.render(context_of(), PlainUrls()).text for _ in range(100)})


@pytest.mark.parametrize("printed", ["customer.company", "customer.attributes.nothing", "customer.company | upper",
                                     "'of ' ~ customer.company", "customer.attributes.blank"])  # fmt: skip
def test_empty_value_is_not_printed(printed: str) -> None:
    """A missing, empty or blank field fails the message, unless the template says what to print instead (S-2.25)."""
    with pytest.raises(RenderError, match="empty"):
        rendered(f"{{{{ {printed} }}}}", company=None, attributes={"blank": "  "})


@pytest.mark.parametrize(
    "printed",
    ["customer.company or 'you'", "customer.company | default('you')", "customer.attributes.nothing | default('you')",
     "customer.attributes.nothing or 'you'", "customer.attributes.blank | default('you')",
     "(customer.company | default('YOU')) | lower", "'you' if not customer.attributes.nothing",
     "'you' if customer.attributes.nothing != 'red'"],
)  # fmt: skip
def test_empty_value_takes_its_default(printed: str) -> None:
    """`or` and `default` work for values that are none, blank, or not there at all (S-2.25)."""
    assert rendered(f"({{{{ {printed} }}}})", company=None, attributes={"blank": " "}).startswith("(you)")


def test_render_error_names_file_and_line() -> None:
    """The error of one message says where in the template the value stands."""
    with pytest.raises(RenderError) as caught:
        rendered("one\ntwo {{ customer.first_name }}\n{{ customer.company }}", company="")

    assert "templates/a.txt:6" == caught.value.where
    assert "customer.company is empty" == caught.value.message


def test_whole_record_is_not_printed() -> None:
    """A record or list is refused instead of being shown in Python's notation."""
    with pytest.raises(RenderError, match="whole record"):
        rendered("{{ customer.attributes }}")


FORMATS: tuple[tuple[str, dict[str, object], str], ...] = (
    ("customer.monetary | money('EUR')", {"language": "en", "monetary": 1234.5}, "€1,234.50"),
    ("customer.monetary | money('EUR')", {"language": "de-AT", "monetary": 1234.5}, "1.234,50\u00a0€"),
    ("customer.monetary | money('CHF')", {"language": "en", "monetary": -3}, "-3.00\u00a0CHF"),
    ("customer.monetary | money('JPY')", {"language": None, "monetary": 1999.6}, "¥2,000"),
    ("customer.monetary | number", {"language": "fr", "monetary": 1234567}, "1\u202f234\u202f567"),
    ("customer.monetary | number(1)", {"language": "en", "monetary": "2.25"}, "2.3"),
    ("customer.last_order_at | date", {"language": "en", "zone": "Asia/Tokyo"}, "2 March 2026"),
    ("customer.last_order_at | date('%d.%m.%Y %H:%M')", {"zone": "America/New_York"}, "01.03.2026 15:30"),
    ("customer.last_order_at | date('%H:%M')", {"zone": "No/Where"}, "20:30"),
    ("customer.last_order_at | date('%M')", {"zone": "UTC"}, "30"),
    ("customer.last_order_at | date('%-H')", {"zone": "UTC"}, "20"),
    ("customer.last_order_at | date('%A')", {"language": "zh", "zone": None}, "星期日"),
    ("customer.attributes.born | date('%-d. %B')", {"language": "de"}, "5. Mai"),
    ("customer.attributes.day | date('%y%%')", {}, "99%"),
    ("customer.last_order_at", {"language": "en", "zone": "UTC"}, "1 March 2026"),
    ("['b', 'a'] | sort | join(', ')", {}, "a, b"),
    ("[1, 2, 3] | batch(2) | map('join', '+') | join(' ')", {}, "1+2 3"),
    ("'A&B' | urlencode", {}, "A%26B"),
    ("2.5 | round", {}, "2"),
)  # fmt: skip


@pytest.mark.parametrize(("printed", "fields", "expected"), FORMATS)
def test_filter_formats(printed: str, fields: dict[str, object], expected: str) -> None:
    """Dates, numbers and amounts are written as the customer's language and zone want them."""
    given: dict[str, object] = {
        "last_order_at": datetime(2026, 3, 1, 20, 30, tzinfo=UTC),
        "attributes": {"born": date(1980, 5, 5), "day": "1999-01-01"},
    }

    assert expected == rendered(f"{{{{ {printed} }}}}", **(given | fields)).splitlines()[0]
