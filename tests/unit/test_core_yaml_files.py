"""YAML with positions: every mistake at its line, all in one go, and only YAML 1.2's plain values."""

from decimal import Decimal
from typing import Annotated, Literal

import pytest
from pydantic import Field

from core.yaml_files import Document, Section, build, parse_document, read_document


class Colour(Section):
    name: str
    share: float = 0
    kind: Literal["warm", "cold"] = "warm"


class Palette(Section):
    title: str
    colours: dict[str, Colour] = Field(default_factory=dict)
    order: Annotated[tuple[int, ...], Field(min_length=1)] = ()
    price: Decimal | None = None
    made_by: str | None = Field(None, alias="from")


def _problems(text: str) -> list[str]:
    document = parse_document(text, Document("palette.yaml"))
    build(Palette, document)
    return [str(problem).replace("\n    ", " | ") for problem in sorted(document.problems)]


def _content(text: str) -> object:
    return parse_document(text, Document("a.yaml")).content


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("12:30", "12:30"),
        ("2026-12-01", "2026-12-01"),
        ("0123", "0123"),
        ("true", True),
        ("~", None),
        ("1.5", 1.5),
        ("-7", -7),
        ("'7'", "7"),
        ("1e3", 1000.0),
        ("", None),
    ],
)
def test_plain_value_means_what_it_says(text, expected):
    """
    `yes`, times, dates and numbers with leading zeros stay texts; only YAML 1.2's plain values are converted.
    """
    assert expected == _content(text)


def test_every_mistake_is_reported_at_its_line_in_one_go():
    """
    A wrong key, a wrong type, a missing key and a wrong choice come together, each with its own line.
    """
    text = (
        "title: Spring\n"
        "colour: {}\n"
        "colours:\n"
        "  red:\n"
        "    name: Red\n"
        "    share: much\n"
        "  blue:\n"
        "    kind: colt\n"
        "order: [1, two]\n"
    )

    assert [
        "palette.yaml:2: unknown key 'colour' | hint: did you mean 'colours'?",
        "palette.yaml:6: colours.red.share is wrong (got 'much', expected a number)",
        "palette.yaml:7: colours.blue.name is missing | hint: add 'name:'",
        "palette.yaml:8: colours.blue.kind is wrong (got 'colt', expected 'warm' or 'cold')"
        " | hint: did you mean 'cold'?",
        "palette.yaml:9: order.1 is wrong (got 'two', expected a whole number)",
    ] == _problems(text)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("[two]", ["palette.yaml:2: order.0 is wrong (got 'two', expected a whole number)"]),
        ("[]", ["palette.yaml:2: order is wrong (got [], expected at least 1 entry)"]),
    ],
)
def test_list_is_not_called_short_for_its_wrong_entries(order, expected):
    """
    Who wrote entries that are wrong is told of these alone; too few is told of what was written.
    """
    assert expected == _problems(f"title: a\norder: {order}\n")


def test_unknown_key_inside_a_section_is_suggested_from_that_section():
    """
    The near miss is looked for among the keys of the section the mistake is in, aliases included.
    """
    expected = "palette.yaml:4: unknown key 'shar' in colours.red | hint: did you mean 'share'?"

    assert [expected] == _problems("title: a\ncolours:\n  red:\n    shar: 1\n    name: Red\n")
    assert ["palette.yaml:2: unknown key 'frm' | hint: did you mean 'from'?"] == _problems("title: a\nfrm: b\n")


def test_duplicate_key_is_a_mistake_that_names_both_lines():
    """
    YAML would let the last one win silently.
    """
    assert ["palette.yaml:3: duplicate name 'title' (first at line 1) | hint: keep one of them"] == _problems(
        "title: a\nprice: 1\ntitle: b\n"
    )


def test_syntax_error_is_the_only_problem_and_has_its_line():
    """
    A file that YAML cannot read is reported once, where reading stopped.
    """
    (problem,) = _problems("title: a\norder: [1, 2\nprice: 3\n")

    assert problem.startswith("palette.yaml:3: YAML syntax:")


@pytest.mark.parametrize(("text", "kind"), [("- a\n", "list"), ("hello\n", "str")])
def test_file_that_is_no_mapping_says_what_was_expected(text, kind):
    """
    A list or a bare text is not a set of keys.
    """
    assert [f"palette.yaml:1: got a {kind}, expected 'name: value' lines"] == _problems(text)


def test_variable_is_read_from_the_environment(monkeypatch):
    """
    `${NAME}` is replaced, `${NAME:-default}` falls back, in the middle of a text too.
    """
    monkeypatch.setenv("PAPER_HOST", "relay.example")
    monkeypatch.delenv("PAPER_PORT", raising=False)

    assert {"url": "smtp://relay.example:25/"} == _content("url: smtp://${PAPER_HOST}:${PAPER_PORT:-25}/")


def test_unset_variable_is_a_mistake_without_its_value(monkeypatch):
    """
    A variable that is not set is named with the line that asks for it.
    """
    monkeypatch.delenv("PAPER_PASSWORD", raising=False)
    (problem,) = _problems("price: 1\ntitle: ${PAPER_PASSWORD}\n")

    assert problem.startswith("palette.yaml:2: the environment variable PAPER_PASSWORD is not set")


def test_file_in_another_encoding_is_reported_at_its_line(tmp_path):
    """
    A file that is not UTF-8 names the line of the first byte that cannot be read.
    """
    path = tmp_path / "palette.yaml"
    path.write_bytes("title: a\nfrom: Müller\n".encode("latin-1"))

    assert ["palette.yaml:2: the file is not UTF-8\n    hint: save it as UTF-8"] == [
        str(problem) for problem in read_document(path, "palette.yaml").problems
    ]


def test_built_section_cannot_be_changed():
    """
    What was read from a file stays as it was read.
    """
    palette = build(Palette, parse_document("title: a\nfrom: me\n", Document("a.yaml")))

    assert palette is not None
    assert "me" == palette.made_by
    with pytest.raises(ValueError, match="frozen"):
        palette.title = "b"


# --- what is not read ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title: a\nprice: !!int abc\n", ":2: YAML syntax: a text that starts with '!' needs quotes"),
        ("title: a\nmade_by: !pa55word\n", ":2: YAML syntax: a text that starts with '!' needs quotes"),
        ("title: a\nprice: !pa55word!x 1\n", ":2: YAML syntax: a text that starts with '!' needs quotes"),
        ("title: a\nfrom: *pa55word\n", ":2: YAML syntax: a text that starts with '*' needs quotes"),
        ("title: &pa55word\n", ":1: YAML syntax: a text that starts with '&' needs quotes"),
        ("order: &a [*a]\n", ":1: YAML syntax: a text that starts with '&' needs quotes"),
        ("[" * 3000, ":1: YAML syntax: nested too deeply (expected at most 50 levels)"),
        ('title: "\\U00110000"\n', ":1: YAML syntax: a number or an escape is out of range"),
        (f"%YAML 1.{'9' * 5000}\n---\ntitle: a\n", ":1: YAML syntax: a number or an escape is out of range"),
        ("title: a\nfrom: \x07\n", ":2: YAML syntax: the character U+0007 is not allowed"),
        ("title: a\n---\ntitle: b\n", ":2: YAML syntax: but found another document"),
        ("title: a\n<<: {price: 1}\n", ":2: merge keys (`<<`) are not read | hint: write the values out"),
        ("title: a\n? [x]\n: 1\n", ":2: a name is a text (got a list or a mapping)"),
        ('title: a\n"x\\0": 1\n', ":2: the text holds U+0000, which cannot be stored"),
        ('title: "x\\ud800"\n', ":1: title: the text holds U+D800, which cannot be stored"),
        (f"title: a\norder: [1, {'9' * 5000}]\n", ":2: order.1: the number is too long (got 5,000 digits"),
        ("title: a\nprice: 1e999\n", ":2: price: the number is too large"),
    ],
    ids=lambda value: value[:30] if value.startswith(":") else "",
)
def test_what_is_not_read_is_one_mistake(text, message):
    """
    Tags, aliases, merge keys and values out of range are told once, at their line, without a text that may be a
    password.
    """
    (problem,) = _problems(text)

    assert problem.startswith(f"palette.yaml{message}")
    assert "pa55word" not in problem


def test_key_is_taken_as_it_is_written():
    """
    A number or `true` as a name is the text of the file, not what YAML would make of it.
    """
    assert {"2026": 1, "1.50": 2, "true": 3, "~": 4} == _content("2026: 1\n1.50: 2\ntrue: 3\n~: 4\n")


def test_long_value_is_shortened_in_its_message():
    """
    A message shows the beginning and the end of what it got, not pages of it.
    """
    (problem,) = _problems(f"title: a\nprice: {'x' * 5000}\n")

    assert len(problem) < 200


def test_file_that_cannot_be_read_is_a_mistake(tmp_path):
    """
    What the operating system refuses is told with the file's name, and nothing is said about its content.
    """
    document = read_document(tmp_path / "palette.yaml", "palette.yaml")

    assert build(Palette, document) is None
    assert ["palette.yaml: the file cannot be read: No such file or directory"] == [str(p) for p in document.problems]


# --- what is not shown ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title: ['${PAPER}']", "palette.yaml:1: title is wrong (expected a text)"),
        ("title: a\ncolours: ${PAPER}", "palette.yaml:2: colours is wrong (expected a mapping)"),
        ("title: a\ncolours: ['${PAPER}']", "palette.yaml:2: colours is wrong (expected a mapping)"),
        ("title: a\ncolours: {red: {name: R, kind: '${PAPER}'}}", "expected 'warm' or 'cold')"),
        ("title: a\norder: [1, 'x${PAPER}']", "palette.yaml:2: order.1 is wrong (expected a whole number)"),
        ("title: a\nprice: x${NONE:-hunter2}", "palette.yaml:2: price is wrong (expected a number)"),
    ],
)
def test_value_from_the_environment_is_not_shown(text, message, monkeypatch):
    """
    What `${NAME}` brought in is left out, also where it is a part of what is wrong.
    """
    monkeypatch.setenv("PAPER", "hunter2")
    (problem,) = _problems(text)

    assert message in problem
    assert "hunter2" not in problem
