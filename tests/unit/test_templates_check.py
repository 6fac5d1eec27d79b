"""All templates of a workspace loaded and checked together, and pages to look at."""

from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import ServiceError
from core.workspace import Workspace
from templates.check import check_templates
from templates.definition import TemplateSource, load_templates, parse_definition
from templates.mailing import Templates
from templates.preview import find_browser, preview_html, write_png
from tests.unit.templates_support import ORGANISATION, compiled, context_of, sources_of

FRONT = "---\nsubject: Hello\n---\n"


def checked(files: dict[str, str]) -> list[tuple[str, int, str]]:
    found = check_templates(Templates(sources_of(files), ORGANISATION))
    return [(problem.file.removeprefix("templates/"), problem.line, problem.message) for problem in found]


def test_load_templates_names_them_below_the_folder(make_workspace: Callable[..., Workspace]) -> None:
    """Every template file is loaded under its path below `templates/`; other files are not."""
    workspace = make_workspace(files={"templates/a.html": "x", "templates/p/b.mjml": "y", "templates/logo.svg": "z"})

    assert ({"a.html": TemplateSource("a.html", "x"), "p/b.mjml": TemplateSource("p/b.mjml", "y")}, []) == (
        load_templates(workspace)
    )


def test_load_templates_refuses_other_encodings(make_workspace: Callable[..., Workspace]) -> None:
    """A file that is not UTF-8 is a problem at the line of its first wrong byte."""
    workspace = make_workspace(files={"templates/a.html": ""})
    Path(workspace.root, "templates/a.html").write_bytes(b"one\ntwo \xfc\n")
    _, problems = load_templates(workspace)

    assert [("templates/a.html", 2)] == [(problem.file, problem.line) for problem in problems]


def test_front_matter_takes_unquoted_jinja() -> None:
    """Jinja in the front matter needs no quotes, and `${…}` in it is not read from the environment."""
    text = '---\nsubject: {{ customer.first_name | default("you") }}, save ${HOME}\n---\nbody'
    definition, problems = parse_definition(TemplateSource("a.html", text))

    assert ('{{ customer.first_name | default("you") }}, save ${HOME}', [], "body", 4) == (
        definition.front.subject,
        problems,
        definition.body,
        definition.body_line,
    )


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("---\nsubject: a\nsubjekt: b\n---\n", 3, "unknown key 'subjekt'"),
        ("---\nsubject: a\n", 1, "the front matter is not closed"),
        ("---\nsubject: [a\n---\n", 3, "YAML syntax"),
        ("---\nsubject: a\npreheader: 1\n---\n", 3, "preheader is wrong"),
        ("---\nsubject: a\nlayout: no.html\n---\nx", 3, "there is no template 'no.html'"),
        ("---\nsubject: a\ntext: no.txt\n---\nx", 3, "there is no template 'no.txt'"),
        ("---\npreheader: a\n---\nx", 1, "the mailing has no subject"),
        ("---\nsubject: a\n---\n{% if customer.company %}x", 4, "unexpected end of template"),
        ("---\nsubject: a\n---\nx {# never closed", 4, "a comment '{#' is never closed"),
        ("---\nsubject: a\n---\nx\n{{ customer. }}", 5, "expected name or number"),
        ("---\nsubject: a\n---\nx\n{% endblock %}", 5, "{% endblock %} without"),
        ("---\nsubject: a\n---\n{% block a %}", 4, "the block 'a' is never closed"),
        ("---\nsubject: a\n---\n{% set customer = 1 %}", 4, "'customer' is taken"),
        ("---\nsubject: a\n---\n{{ customer.first_name is emty }}", 4, "there is no test 'emty'"),
        ("---\nsubject: a\n---\n<script>x</script>", 4, "<script> does not work in mail"),
        ('---\nsubject: a\n---\n<img alt="" src="logo.png">', 4, "there is no file 'logo.png'"),
    ],
)
def test_mistake_is_found_at_its_line(text: str, line: int, message: str) -> None:
    """Each kind of mistake is reported at the line where it was made."""
    found = checked({"a.html": text})

    assert ("a.html", line, message) in [(file, at, told[: len(message)]) for file, at, told in found]


def test_parts_are_checked_where_they_are_used() -> None:
    """A part may use a loop's variable; a part nobody uses is checked for syntax only; neither needs a subject."""
    files = {
        "a.html": FRONT + '{% for item in [1] %}{% include "row.html" %}{% endfor %}',
        "a.txt": "{{ customer.nam }} {{ unsubscribe_url }}",
        "row.html": "{{ item }}",
        "parts/unused.html": "{{ whatever }}\n{% if %}",
    }

    assert [("a.txt", 1, "customer has no field 'nam'"), ("parts/unused.html", 2)] == [
        found if found[0] == "a.txt" else found[:2] for found in checked(files)
    ]


def test_preview_leads_straight_to_the_targets() -> None:
    """The page of a preview has no tracked links and no pixel."""
    mailing = compiled({"a.html": FRONT + '<a href="https://a.example/">x</a>'})
    html = preview_html(mailing, context_of())

    assert ('href="https://a.example/"' in html, "<img" in html) == (True, False)


def test_preview_of_plain_text_is_escaped() -> None:
    """A plain text mailing is shown as text, whatever signs it holds."""
    html = preview_html(compiled({"a.txt": FRONT + "1 < 2 {{ customer.first_name }}"}), context_of(first_name="<b>"))

    assert "1 &lt; 2 &lt;b&gt;" in html


def test_missing_browser_is_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a browser the error says what to install, or what to do instead."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ServiceError, match="install Chromium"):
        find_browser()


def test_failing_browser_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A browser that draws nothing is an error with its last words; no file is left behind."""
    browser = tmp_path / "chromium"
    browser.write_text("#!/bin/sh\necho first >&2\necho no display >&2\nexit 3\n", encoding="utf-8")
    browser.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    with pytest.raises(ServiceError, match="could not draw the picture: no display"):
        write_png("<p>x</p>", tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()
