"""What a person sees who mistypes an expression: the message, the caret, the suggestion."""

from datetime import UTC, datetime

import pytest

from core.errors import ExpressionError
from segments.definition import Segment
from segments.expression import read
from segments.membership import Vocabulary, audience, rule
from segments.mistakes import excerpt

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
VOCABULARY = Vocabulary(
    {"key-accounts": Segment("key-accounts", "segments/key-accounts.yaml", 'tier == "top"')},
    frozenset({"promotions", "news"}),
    frozenset({"spring-paper"}),
)

#: expression, a line with ^ under the place, message, hint
GOLDEN = [
    ('tear == "top"', "^", "unknown name 'tear'", "did you mean 'tier'?"),
    (
        'tier == "top" and tier == "tpo"',
        "                          ^",
        "tier has no level 'tpo'",
        "did you mean 'top'?",
    ),
    ('tier == "Top"', "        ^", "tier has no level 'Top'", "did you mean 'top'?"),
    ('rfm == "champion"', "       ^", "rfm has no level 'champion'", "did you mean 'champions'?"),
    ("tier > 3", "       ^", "tier is a text (got a number, expected a text)", "levels: top, big"),
    ('order_count >= "3"', "               ^", "order_count is a number (got a text, expected a number)", ""),
    ('created_at > "1/3/2026"', "             ^", "got '1/3/2026', expected a date", ""),
    ("created_at > 3", "             ^", "created_at is a date (got a number, expected a date)", ""),
    ('email is older_than("3d")', "^", "'is older_than' needs a date (got a text)", "dates: created_at"),
    (
        'created_at is older_than("3 days")',
        "                         ^",
        "is a duration in quotes",
        "units: s, m",
    ),
    ("created_at is older_than(3)", "                         ^", "is a duration in quotes", ""),
    ('created_at is older_than("99999d")', "                         ^", "at most 36525d", "units"),
    (
        'created_at is older_then("3d")',
        "           ^",
        "unknown test 'is older_then'",
        "did you mean 'older_than'?",
    ),
    ("email is none", "      ^", "unknown test 'is none'", "write 'is missing'"),
    (
        'tier == "top" or "big"',
        "                 ^",
        "a text alone is neither true nor false",
        '["…", "big"]',
    ),
    ('tier in "top"', "        ^", "'in' needs a list of values", 'write ["top"]'),
    ("tier in []", "        ^", "the list is empty", ""),
    ('attributes.size in [1, "a"]', "                       ^", "the list mixes", ""),
    ("email", "^", "email is a text, expected a condition", "email is present"),
    ('count("page_view")', "^", "count(…) is a number, expected a condition", "compare it"),
    ('did("x") == true', "^", "did(…) is already true or false", "use it alone"),
    ("1 == 1", "^", "two constants are compared", ""),
    (
        "1 < order_count < 5",
        "                  ^",
        "a comparison has two sides",
        "join two comparisons with 'and'",
    ),
    ('did("x", withn="3d")', "         ^", "did takes no 'withn'", "did you mean 'within'?"),
    (
        'did("x", within=("3d"), before="3d", before="4d")',
        "                                     ^",
        "given twice",
        "",
    ),
    ('did("x", "3d")', "         ^", "too many arguments for did", "name it: within"),
    ("did()", "^", "did needs a name", "for example"),
    ('did("x", within="1d", before="2d")', "                             ^", "no time lies between", ""),
    (
        'did("purchase", where={"colour": "red"})',
        "                       ^",
        "a purchase has no property 'colour'",
        "category",
    ),
    ('did("x", where="paper")', "               ^", "where of did names properties", ""),
    ('recieved("spring-paper")', "^", "unknown function 'recieved'", "did you mean 'received'?"),
    (
        'received("spring-papr")',
        "         ^",
        "unknown campaign 'spring-papr'",
        "did you mean 'spring-paper'?",
    ),
    (
        'in_segment("key-acounts")',
        "           ^",
        "unknown segment 'key-acounts'",
        "did you mean 'key-accounts'?",
    ),
    ('subscribed("promotion")', "           ^", "unknown topic 'promotion'", "did you mean 'promotions'?"),
    ("email()", "^", "email is a field, not a function", "without brackets"),
    ("email.upper()", "^", "only functions are called", ""),
    ("customer.email is missing", "^", "'customer' has no parts", "only attributes.<name>"),
    ('attributes == "x"', "^", "attributes needs a name", "attributes.industry"),
    ("attributes.a == attributes.b", "                ^", "two attributes are compared", ""),
    ("company == monetary", "           ^", "monetary is a number, expected a text", ""),
    ('tier = "top"', "     ^", "'=' compares nothing", "write '=='"),
    ('tier == "top', "        ^", "has no closing quote", ""),
    ("tier == “top”", "        ^", "'“' has no meaning here", "write straight quotes"),
    ('tier == "top" && abc == "A"', "              ^", "'&' has no meaning here", "write 'and'"),
    ('tier == "top" AND abc == "A"', "              ^", "'AND' is written in lower case", "write 'and'"),
    ('and tier == "top"', "^", "'and' joins nothing here", ""),
    ("tier ==", "       ^", "the expression ends too early", ""),
    ('(tier == "top"', "^", "'(' is never closed", "add ')'"),
    ('tier == "top")', "             ^", "')' has no opening bracket", ""),
    ('tier in ["top")', "              ^", "the bracket does not fit", ""),
    ("email | upper", "      ^", "filters are not used in segments", ""),
    ('email ~ "x"', "      ^", "'~' joins texts", ""),
    ("monetary / 2 > 3", "         ^", "a segment does not calculate", ""),
    ('"a" if tier == "top" else "b"', "    ^", "'if' is not used in segments", ""),
    ('{{ tier == "top" }}', "^", "brackets around the whole expression", "write it without {{ }}"),
    ('not not tier == "top"', "    ^", "two 'not' in a row", ""),
    ("order_count == 1e999", "               ^", "the number is too large", ""),
    (f"order_count == {'9' * 40}", "               ^", "the number is too long", ""),
    (r'company == "\x1"', "           ^", r"'\' that means nothing", ""),
    (r'company == "\0"', "           ^", "cannot be stored", ""),
    (r'company == "\ud800"', "           ^", "cannot be stored", ""),
    ("email is missing(3)", "      ^", "'is missing' takes no argument", "write 'is missing'"),
    ("company is contains", "        ^", "'is contains' takes one argument", "is contains("),
    ('count("x") == none', "^", "count(…) is never missing", "compare it with 0"),
    ("monetary < none", "           ^", "none is neither more nor less", "write 'is missing'"),
    ("attributes.vip < true", "                 ^", "true and false have no order", ""),
    ("", "^", "the expression is empty", "true selects everybody"),
]


@pytest.mark.parametrize(("expression", "caret", "message", "hint"), GOLDEN, ids=[row[0][:40] for row in GOLDEN])
def test_a_mistake_is_shown_at_its_place(expression: str, caret: str, message: str, hint: str) -> None:
    """
    The caret stands under the wrong part, and the words say what is wrong and what was probably meant.
    """
    (mistake,) = read(expression, VOCABULARY).mistakes

    assert f"{expression}\n{caret}" == excerpt(expression, mistake.at)
    assert message in mistake.message
    assert hint in mistake.hint


def test_the_caret_finds_the_second_of_two_equal_names() -> None:
    """
    A name that is right in one place and wrong in another is marked where it is wrong.
    """
    text = 'tier == "top" and (abc == "A" or tier > 3) and tier == "big"'
    (mistake,) = read(text, VOCABULARY).mistakes

    assert text.index("3)") == mistake.at


def test_the_caret_stands_under_its_line() -> None:
    """
    In an expression of several lines the excerpt is the line with the mistake.
    """
    text = 'tier == "top"\n  and contry == "DE"\n  and abc == "A"'
    (mistake,) = read(text, VOCABULARY).mistakes

    assert '  and contry == "DE"\n      ^' == excerpt(text, mistake.at)


def test_the_caret_counts_wide_characters_twice() -> None:
    """
    After Chinese text the caret moves two columns for each character, as a terminal does.
    """
    text = 'company == "纸张" and tear == "x"'
    (mistake,) = read(text, VOCABULARY).mistakes

    assert " " * (text.index("tear") + 2) + "^" == excerpt(text, mistake.at).splitlines()[1]


def test_every_mistake_of_an_expression_is_reported() -> None:
    """
    Three mistakes in three conditions are three reports, in their order.
    """
    with pytest.raises(ExpressionError) as caught:
        rule('tear == "x" or not (contry == "DE" and did("x", withn="3d"))', VOCABULARY)

    shown = str(caught.value)
    assert [True] * 3 == [word in shown for word in ("'tear'", "'contry'", "'withn'")]
    assert 3 == shown.count("^")


def test_an_error_shows_line_caret_and_hint() -> None:
    """
    The text of the error is what the command prints.
    """
    with pytest.raises(ExpressionError) as caught:
        audience('contry == "DE"', VOCABULARY, now=NOW)

    assert "unknown name 'contry'\n    contry == \"DE\"\n    ^\nhint: did you mean 'country'?" == str(caught.value)


def test_a_mistyped_segment_name_is_answered_with_the_near_one() -> None:
    """
    A bare name that is no segment is not read as an expression.
    """
    with pytest.raises(ExpressionError) as caught:
        audience("key-acounts", VOCABULARY, now=NOW)

    assert "no segment is named 'key-acounts'\nhint: did you mean 'key-accounts'?" == str(caught.value)


@pytest.mark.parametrize(
    "expression",
    [
        "(" * 5000 + 'tier == "top"' + ")" * 5000,
        "not (" * 400 + "true" + ")" * 400,
        "-" * 3000 + "1 == order_count",
        "attributes" + ".a" * 20000,
        "attributes.x is " + "not " * 3000 + "missing",
        'tier == "top" if ' * 2000 + "true",
        "[" * 30 + "]" * 30,
    ],
    ids=["brackets", "nots", "minus", "dots", "is not", "if", "lists"],
)
def test_deep_nesting_is_a_mistake_and_not_a_crash(expression: str) -> None:
    """
    However deep an expression is nested, it is refused in words.
    """
    assert 1 == len(read(expression, VOCABULARY).mistakes)


def test_the_deepest_nesting_allowed_is_read() -> None:
    """
    Twenty-five brackets, each with a `not`, are compiled.
    """
    expression = 'not (tier == "top" or ' * 25 + "true" + ")" * 25

    assert "EXISTS" not in str(audience(expression, VOCABULARY, now=NOW))


def test_a_long_chain_is_read() -> None:
    """
    A thousand conditions joined by `or` are one flat condition.
    """
    expression = " or ".join(f"order_count == {number}" for number in range(1000))
    condition = rule(expression, VOCABULARY).condition

    assert 1000 == len(condition.parts)  # type: ignore[union-attr]


def test_an_overlong_expression_is_refused() -> None:
    """
    More than fifty thousand characters are no segment.
    """
    (mistake,) = read("true or " * 10_000 + "true", VOCABULARY).mistakes

    assert "too long" in mistake.message


def test_campaign_names_pass_where_none_are_known() -> None:
    """
    Without a list of campaigns any name is taken.
    """
    vocabulary = Vocabulary({}, frozenset(), None)

    assert () == read('received("anything")', vocabulary).mistakes
