"""Attachments and inline images as templates name them: found, checked, measured, told apart by their content."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import ConfigError
from core.workspace import Workspace
from templates.check import check_templates, lint_mailing
from templates.definition import load_templates
from templates.files import Folder, NoSuchFile, Pinned
from templates.mailing import Mailing, Templates, compile_mailing
from tests.unit.templates_support import ORGANISATION, PlainUrls, context_of

PNG = b"\x89PNG\r\n\x1a\n and so on"
JPEG = b"\xff\xd8\xff and so on"
PDF = b"%PDF-1.7 and so on"
LONG = f"images/{'x' * 120}.png"
Shop = Callable[[dict[str, bytes]], Folder]


@pytest.fixture
def shelf(tmp_path: Path) -> Shop:
    """Puts files into `templates/`; a mailing's files may have 2,000 octets together."""

    def build(files: dict[str, bytes]) -> Folder:
        for name, content in files.items():
            path = tmp_path / "templates" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return Folder(tmp_path / "templates", 2000)

    return build


def sources(folder: Folder) -> dict[str, object]:
    found, problems = load_templates(Workspace(folder.root.parent))
    assert [] == problems
    return dict(found)


def compiled(folder: Folder, name: str) -> Mailing:
    found, _ = load_templates(Workspace(folder.root.parent))
    return compile_mailing(name, found, organisation=ORGANISATION, opens=False, clicks=True, files=folder)


def problems_of(folder: Folder) -> list[str]:
    found, _ = load_templates(Workspace(folder.root.parent))
    return [str(problem) for problem in check_templates(Templates(found, ORGANISATION, files=folder))]


def mailing(body: str, front: str = "") -> bytes:
    return f"---\nsubject: S\n{front}---\n{body}".encode()


def html_of(made: Mailing, **customer: object) -> str:
    html = made.render(context_of(**customer), PlainUrls()).html
    assert html is not None
    return html


MJML = '<mj-section><mj-column><mj-image alt="" src="images/logo.png" /></mj-column></mj-section>'
LAYOUT = '<html><body><img alt="" src="images/logo.png">{% block content %}{% endblock %}</body></html>'


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("a.html", '<p><img alt="" src="images/logo.png"></p>'),
        ("a.html", "<IMG alt='' SRC = 'images/logo.png' />"),
        ("a.html", '{% if customer.company %}<img alt="" src="images/logo.png">{% endif %}'),
        ("a.html", '{% macro m() %}<img alt="" src="images/logo.png">{% endmacro %}<p>{{ m() }}</p>'),
        ("a.html", '{% extends "layouts/own.html" %}{% block content %}x{% endblock %}'),
        ("a.mjml", MJML),
        ("a.md", "Hello\n\n![Logo](images/logo.png)\n"),
    ],
)
def test_a_local_image_is_shown_from_within_the_mail(shelf: Shop, name: str, body: str) -> None:
    """In HTML, MJML, Markdown, layouts and macros, the picture becomes a `cid:` that names its content."""
    folder = shelf({name: mailing(body), "layouts/own.html": LAYOUT.encode(), "images/logo.png": PNG})
    made = compiled(folder, name)

    assert ["images/logo.png"] == [image.name for image in made.images]
    assert f'src="cid:{made.images[0].content_id}"' in html_of(made)
    assert "images/logo.png" not in html_of(made)


def test_pictures_on_web_servers_stay_as_they_are(shelf: Shop) -> None:
    """An address with http(s) is left alone, and nothing is attached."""
    folder = shelf({"a.html": mailing('<img alt="" src="https://paper.example/images/logo.png">')})
    made = compiled(folder, "a.html")

    assert () == made.images
    assert 'src="https://paper.example/images/logo.png"' in html_of(made)


def test_one_image_under_two_names_is_one(shelf: Shop) -> None:
    """What counts is the content: both names lead to the same part; a blank may be written %20."""
    body = '<img alt="" src="a%20b.png"><img alt="" src="images/logo.png"><img alt="" src="a b.png">'
    folder = shelf({"a.html": mailing(body), "images/logo.png": PNG, "a b.png": PNG})
    made = compiled(folder, "a.html")

    assert 1 == len({image.content_id for image in made.images})
    assert 3 == html_of(made).count(f"cid:{made.images[0].content_id}")


def test_attachments_are_named_in_the_front_matter(shelf: Shop) -> None:
    """A path, or a path with the name that recipients see."""
    front = 'attachments: [files/price-list.pdf, {file: files/terms.pdf, name: "Bedingungen 2026.pdf"}]\n'
    files = {"files/price-list.pdf": PDF, "files/terms.pdf": PDF + b"2"}
    made = compiled(shelf({"a.txt": mailing("x", front), **files}), "a.txt")

    assert [("files/price-list.pdf", "price-list.pdf"), ("files/terms.pdf", "Bedingungen 2026.pdf")] == [
        (attachment.asset.name, attachment.name) for attachment in made.attachments
    ]


@pytest.mark.parametrize(
    "front", ["attachments: terms.pdf\n", "attachments:\n  - terms.pdf\n", "attachments: {file: terms.pdf}\n"]
)
def test_one_attachment_needs_no_list(shelf: Shop, front: str) -> None:
    """A single file may be written without brackets."""
    made = compiled(shelf({"a.txt": mailing("x", front), "terms.pdf": PDF}), "a.txt")

    assert ["terms.pdf"] == [attachment.name for attachment in made.attachments]


@pytest.mark.parametrize(
    "name", ["Preise 2026\u202fUhr.pdf", "فهرست\u200cقیمت.pdf", "👩\u200d💻.pdf", 'The "new".pdf', "价格.pdf"]
)
def test_names_of_every_script_may_be_attached(shelf: Shop, name: str) -> None:
    """Narrow blanks, joiners and quotes belong to names that people write."""
    made = compiled(shelf({"a.txt": mailing("x", f"attachments: '{name}'\n"), name: PDF}), "a.txt")

    assert [name] == [attachment.name for attachment in made.attachments]


@pytest.mark.parametrize(
    ("entry", "message", "hint"),
    [
        ("files/term.pdf", "there is no file 'files/term.pdf' in templates/", "did you mean 'files/terms.pdf'?"),
        ("templates/files/terms.pdf", "there is no file", "did you mean 'files/terms.pdf'?"),
        ("files/setup.exe", "'files/setup.exe' is of a kind that is not sent", ""),
        ("files/terms.pfd", "'files/terms.pfd' is of a kind that is not sent", "did you mean '.pdf'?"),
        ("../clarion.yaml", "'../clarion.yaml' is no path below templates/", ""),
        ("files/../../clarion.yaml", "is no path below templates/", ""),
        ("/etc/passwd", "'/etc/passwd' is no path below templates/", ""),
        ("'files\\terms.pdf'", "is no path below templates/", ""),
        ("files", "there is no file 'files'", ""),
        ("files/empty.pdf", "files/empty.pdf is empty", ""),
        ("files/pointer.pdf", "files/pointer.pdf does not begin as a .pdf file does", ""),
        ("files/photo.png", "files/photo.png does not begin as a .png file does", ""),
        ("files/large.pdf", "files/large.pdf has 3 KB, at most 2 KB", "link to it"),
        ("outside.pdf", "'outside.pdf' is a link that leads out of templates/", "copy the file there"),
        ("circle.pdf", "there is no file 'circle.pdf'", ""),
        ("3", "got 3, expected a file such as 'files/terms.pdf'", ""),
        ("{file: files/terms.pdf, name: Terms}", "the name 'Terms' does not end like the file", "write 'Terms.pdf'"),
        ("{file: files/terms.pdf, name: terms.exe}", "does not end like the file", "write 'terms.pdf'"),
        ("{file: files/terms.pdf, name: a/b.pdf}", "the name 'a/b.pdf' holds the parts of a path", ""),
        ('{file: files/terms.pdf, name: "a\\u202e.pdf"}', "turns the direction of writing (U+202E)", ""),
        ('{file: files/terms.pdf, name: "a\\nb.pdf"}', "holds a line break or control character (U+000A)", ""),
        ("{file: files/terms.pdf, nam: a.pdf}", "unknown key 'nam'", "did you mean 'name'?"),
        ("{name: a.pdf}", "file is missing", ""),
        ("{file: 'files/{{ customer.tier }}.pdf'}", "an attachment holds values", "same for everybody"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_go_is_told_at_its_line(
    shelf: Shop, tmp_path: Path, entry: str, message: str, hint: str
) -> None:
    """Each mistake is told where the file is named, with what to do (S-2.1 and S-2.12 of names)."""
    folder = shelf({
        "a.txt": mailing("x", f"attachments:\n  - files/terms.pdf\n  - {entry}\n"), "files/terms.pdf": PDF,
        "files/setup.exe": b"MZ", "files/terms.pfd": PDF, "files/empty.pdf": b"", "files/photo.png": JPEG,
        "files/pointer.pdf": b"version https://git-lfs.github.com/spec/v1", "files/large.pdf": PDF * 150,
    })  # fmt: skip
    (tmp_path / "secret.pdf").write_bytes(PDF)
    os.symlink(tmp_path / "secret.pdf", folder.root / "outside.pdf")
    os.symlink(folder.root / "circle.pdf", folder.root / "circle.pdf")
    found = [text for text in problems_of(folder) if message in text]

    assert [("templates/a.txt:5", True)] == [(text.split(": ")[0], hint in text) for text in found]


@pytest.mark.parametrize(
    ("src", "message"),
    [
        ("images/lgo.png", "there is no file 'images/lgo.png' in templates/"),
        ("../logo.png", "'../logo.png' is no path below templates/"),
        ("images/logo.svg", "mail programs show no .svg pictures"),
        (LONG, f"the name '{LONG[7:]}' has 124 characters, at most 120"),
        ("data:image/png;base64,xx", "<img> fetches 'data:image/png"),
        ("//paper.example/logo.png", "<img> fetches '//paper.example/logo.png'"),
        ("file:///etc/logo.png", "<img> fetches 'file:///etc/logo.png'"),
        ("images/{{ customer.tier }}.png", "the name of a file holds values or conditions"),
        ("{% if customer.tier %}images/logo.png{% else %}images/lgo.png{% endif %}", "the name of a file holds"),
        ("{% if customer.tier %}https://a.example/{% else %}b.png{% endif %}", "the name of a file holds"),
    ],
)
def test_a_picture_that_cannot_go_is_told_at_its_line(shelf: Shop, src: str, message: str) -> None:
    """Also where it stands in a layout."""
    layout = f'<html>\n<body>\n<img alt="" src="{src}">{{% block content %}}{{% endblock %}}</body></html>'
    own = mailing(f'<p>one</p>\n<img alt="" src="{src}">')
    files = {"images/logo.png": PNG, "images/logo.svg": b"<svg/>", LONG: PNG}
    folder = shelf({"a.html": own, "layouts/own.html": layout.encode(), **files})
    shared = mailing('{% extends "layouts/own.html" %}{% block content %}x{% endblock %}')
    placed = problems_of(folder)
    (folder.root / "a.html").write_bytes(shared)
    in_layout = problems_of(folder)

    assert [f"templates/a.html:5: {message}"] == [text[: len("templates/a.html:5: " + message)] for text in placed]
    assert ["templates/layouts/own.html:3"] == [text.split(": ")[0] for text in in_layout]


@pytest.mark.parametrize(
    "src",
    [
        "{{ customer.attributes.picture }}",
        "{% if customer.tier %}https://a.example/{% else %}https://b.example/{% endif %}logo.png",
    ],
)
def test_a_whole_address_may_come_out_of_values(shelf: Shop, src: str) -> None:
    """What turns out to be a web address is one, and is checked per message (S-2.26)."""
    made = compiled(shelf({"a.html": mailing(f'<img alt="" src="{src}">')}), "a.html")

    assert 'src="https://a.example/logo.png"' in html_of(made, attributes={"picture": "https://a.example/logo.png"})


def test_every_missing_file_is_told_in_one_go(shelf: Shop) -> None:
    """Two attachments and two pictures that are not there are as many problems."""
    attached = shelf({"a.txt": mailing("x", "attachments:\n  - one.pdf\n  - two.pdf\n")})
    attached_problems = problems_of(attached)
    (attached.root / "a.txt").unlink()
    pictured = shelf({"b.html": mailing('<img alt="" src="one.png">\n<img alt="" src="two.png">')})

    assert ["templates/a.txt:4", "templates/a.txt:5"] == [text.split(": ")[0] for text in attached_problems]
    assert ["templates/b.html:4", "templates/b.html:5"] == [text.split(": ")[0] for text in problems_of(pictured)]


def test_two_attachments_of_one_name_are_a_mistake(shelf: Shop) -> None:
    """Recipients could not tell them apart, and some programs would overwrite one."""
    folder = shelf(
        {"a.txt": mailing("x", "attachments: [a/terms.pdf, b/Terms.pdf]\n"), "a/terms.pdf": PDF, "b/Terms.pdf": PDF}
    )

    assert "two attachments are called 'Terms.pdf'" in problems_of(folder)[0]


def test_the_files_of_a_mailing_have_a_limit_together(shelf: Shop) -> None:
    """Attachments and images count together, each content once; the message names the largest."""
    front = "preheader: P\nattachments: [a.pdf, b.pdf]\n"
    body = '<img alt="" src="logo.png">'
    files = {
        "a.html": mailing(body, front),
        "a.pdf": PDF.ljust(1000),
        "b.pdf": PDF.ljust(500),
        "logo.png": PNG.ljust(500),
    }
    fits = problems_of(shelf(files))
    exceeds = problems_of(shelf(files | {"b.pdf": PDF.ljust(501)}))
    same_twice = problems_of(shelf(files | {"b.pdf": PDF.ljust(1000)}))

    assert ([], []) == (fits, same_twice)
    assert "templates/a.html:4: the files of the mailing have 3 KB together, at most 2 KB" in exceeds[0]
    assert "a.pdf 1 KB" in exceeds[0]


def test_a_text_that_is_attached_is_no_template(shelf: Shop) -> None:
    """A .txt file may be attached as it is, braces and all."""
    folder = shelf(
        {"a.html": mailing("x", "attachments: files/terms.txt\n"), "files/terms.txt": "{% für 100 %}".encode()}
    )

    assert [] == problems_of(folder)
    content = folder.contents[folder.find("files/terms.txt").digest]
    assert "text/plain; charset=utf-8" == folder.find("files/terms.txt").content_type(content)


def test_a_text_in_another_encoding_does_not_claim_utf_8(shelf: Shop) -> None:
    """A CSV file in Latin-1 is attached without a charset that would be wrong."""
    folder = shelf({"prices.csv": "Größe;Preis\n".encode("latin-1")})
    asset = folder.find("prices.csv")

    assert "text/csv" == asset.content_type(folder.contents[asset.digest])


def test_what_is_said_covers_the_files(shelf: Shop) -> None:
    """Another picture or attachment under the same name is another piece; the same under another name is not."""

    def piece(logo: bytes, terms: bytes, name: str = "logo.png") -> str:
        page = mailing(f'<img alt="" src="{name}">', "attachments: terms.pdf\n")
        return compiled(shelf({"a.html": page, name: logo, "terms.pdf": terms}), "a.html").piece

    first = piece(PNG, PDF)
    quoted = mailing("<IMG alt='' SRC='logo.png'>", "attachments: terms.pdf\n")

    assert first == compiled(shelf({"a.html": quoted}), "a.html").piece
    assert first == piece(PNG, PDF) == piece(PNG, PDF, "other.png")
    assert 3 == len({first, piece(PNG + b"2", PDF), piece(PNG, PDF + b"2")})


def test_a_large_mailing_is_remarked_on(tmp_path: Path) -> None:
    """Files above 1 MB together are allowed and remarked on; at 1 MB nothing is said."""
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates/a.txt").write_bytes(mailing("{{ organisation.postal_address }}", "attachments: a.pdf\n"))
    remarks = []
    for size in (1_000_000, 1_000_001):
        (tmp_path / "templates/a.pdf").write_bytes(PDF.ljust(size))
        remarks.append(lint_mailing(compiled(Folder(tmp_path / "templates", 5_000_000), "a.txt")))

    assert [] == remarks[0]
    assert ["its files add 1.1 MB to every message; a link to a web server adds nothing"] == remarks[1]


def test_pinned_files_compile_to_the_same_mailing(shelf: Shop) -> None:
    """With names and digests alone, without any content, the mailing is the one that was reviewed."""
    page = mailing('<img alt="" src="a%20b.png"><img alt="" src="./c.png">', "attachments: terms.pdf\n")
    folder = shelf({"a.html": page, "a b.png": PNG, "c.png": PNG, "terms.pdf": PDF})
    first = compiled(folder, "a.html")
    assets = (*first.images, *(attachment.asset for attachment in first.attachments))
    found, _ = load_templates(Workspace(folder.root.parent))
    pinned = Pinned({asset.name: asset for asset in assets})
    again = compile_mailing("a.html", found, organisation=ORGANISATION, opens=False, clicks=True, files=pinned)

    assert (first.images, first.attachments, first.piece) == (again.images, again.attachments, again.piece)
    assert html_of(first) == html_of(again)


def test_a_mailing_without_its_pinned_files_does_not_compile(shelf: Shop) -> None:
    """Nothing is sent with less than was reviewed."""
    folder = shelf({"a.txt": mailing("x", "attachments: terms.pdf\n"), "terms.pdf": PDF})
    found, _ = load_templates(Workspace(folder.root.parent))

    with pytest.raises(ConfigError, match=r"there is no file 'terms\.pdf'"):
        compile_mailing("a.txt", found, organisation=ORGANISATION, opens=False, clicks=True)
    with pytest.raises(NoSuchFile):
        Pinned({}).find("terms.pdf")


def test_mistake_in_the_front_matter_leaves_the_rest_of_it(shelf: Shop) -> None:
    """
    Only what is wrong is told; the subject beside it is there.
    """
    (problem,) = problems_of(shelf({"a.html": b"---\nsubject: S\nattachments: [{name: x}]\n---\n<p>x</p>"}))

    assert "attachments.0" in problem
