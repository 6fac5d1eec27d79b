"""The documentation cannot drift: it names commands, files and headings that exist, and every command is in it."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cli import COMMANDS, clarion

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "tests" / "README.md"])
#: Pages of tasks and reference separately: a command must be found by reading, not only by looking it up.
PROSE = [page for page in PAGES if "reference" not in page.parts]
_LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_IN_REPOSITORY = re.compile(
    r"(?:bench|campaigns|core|customers|delivery|demo|docs|examples|reports|segments|suppression|templates|tests|"
    r"tracking|web|workers)/[\w./-]+"
)
#: Reminders, folders of somebody's machine, options that name where packages come from, numbers of our own rules.
_FORBIDDEN = re.compile(r"TODO|FIXME|XXX\b|(?<![\w.])/(?:home|root|work)/|--(?:extra-)?index-url|\bS-\d")
_HOST = re.compile(r"https?://([A-Za-z0-9.-]+)")
#: Whom pages may point to: examples that exist nowhere, this machine, the makers of formats we follow, and captchas.
_WELCOME_HOST = re.compile(
    r".*\.example|127\.0\.0\.1|localhost|www\.w3\.org|documentation\.mjml\.io|semver\.org"
    r"|(.*\.)?hcaptcha\.com|challenges\.cloudflare\.com|(www|recaptcha)\.google\.com|www\.gstatic\.com"
)


def _ids(pages: list[Path]) -> list[str]:
    return [page.relative_to(ROOT).as_posix() for page in pages]


def _text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    prose = _BLOCK.sub("", _text(page))
    titles = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def _commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, f"{path} {name}"
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from _commands(command, f"{path} {name}")


@pytest.mark.parametrize("page", PAGES, ids=_ids(PAGES))
def test_page_links_resolve(page):
    """
    Each link of a page leads to a file of the repository, and to a heading that is there.
    """
    broken = []
    for target in _LINK.findall(_BLOCK.sub("", _text(page))):
        path, _, anchor = target.partition("#")
        if "://" in path:
            continue
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in _anchors(file)):
            broken.append(target)

    assert [] == broken


@pytest.mark.parametrize("page", PAGES, ids=_ids(PAGES))
def test_page_names_files_that_exist(page):
    """
    A file of the repository that a page names in code style exists; names with capitals are placeholders.
    """
    named = {text for code in _CODE.findall(_BLOCK.sub("", _text(page))) for text in _IN_REPOSITORY.findall(code)}
    in_workspace = re.compile(r"(segments|templates|campaigns|tests)/[\w-]*\.(yaml|html|mjml|md|txt)$")
    missing = {
        name
        for name in named
        if not (ROOT / name).exists() and not in_workspace.search(name) and not re.search(r"[A-Z]|\.\.\.|_\w*_", name)
    }

    assert set() == missing


@pytest.mark.parametrize("page", PAGES, ids=_ids(PAGES))
def test_page_speaks_of_the_project_only(page):
    """
    No page holds a reminder, a path of somebody's machine or the address of a package registry.
    """
    assert [] == _FORBIDDEN.findall(_text(page))
    assert [] == [host for host in _HOST.findall(_text(page)) if not _WELCOME_HOST.fullmatch(host)]


@pytest.mark.parametrize("page", PAGES, ids=_ids(PAGES))
def test_page_shows_commands_that_exist(page):
    """
    Each `clarion …` in a page is a command, and its options are options of that command.
    """
    known = dict(_commands(clarion, "clarion"))
    shown = [line for _, block in _BLOCK.findall(_text(page)) for line in block.splitlines()]
    shown += _CODE.findall(_BLOCK.sub("", _text(page)))
    wrong = [line for line in shown if (found := re.search(r"(?:^|[\s$(])(clarion [a-z].*)", line))
             and not _is_command(found[1], known)]  # fmt: skip

    assert [] == wrong


def _is_command(line: str, known: dict[str, click.Command]) -> bool:
    line = re.split(r"\s+#|[;|&>)]", line)[0]
    words = line.split()
    path = " ".join(words[:2])
    if path not in known:
        return False
    if isinstance(known[path], click.Group) and len(words) > 2 and re.fullmatch("[a-z-]+", words[2]):
        path = " ".join(words[:3])
        if path not in known:
            return False
    options = {opt for parameter in known[path].params for opt in parameter.opts} | {"--help"}
    return all(word.partition("=")[0] in options for word in words if word.startswith("--"))


@pytest.mark.parametrize("name", COMMANDS)
def test_command_is_documented(name):
    """
    Each command is shown in a page people read, not only in the reference.
    """
    pages = [page for page in PROSE if re.search(rf"\bclarion {name}\b", _text(page))]

    assert pages, f"no page shows `clarion {name}`"


def test_reference_says_what_the_code_says():
    """
    docs/reference/ is what `make docs` would write now, in a process of its own: click keeps a command's help option,
    which another test may have asked for without the options of `clarion`.
    """
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "generate.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == done.returncode, done.stdout + done.stderr


def test_every_page_is_reached_from_the_index():
    """
    Each page of docs/ is linked from docs/index.md.
    """
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / target.partition("#")[0]).resolve() for target in _LINK.findall(_text(index))}

    assert set() == set((ROOT / "docs").rglob("*.md")) - linked - {index}


def test_every_dependency_is_justified():
    """
    Each package that pyproject.toml names has its reason in docs/dependencies.md.
    """
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    named = project["dependencies"] + project["optional-dependencies"]["dev"]
    packages = {re.split(r"[\[<>=~!; ]", requirement)[0].lower() for requirement in named}
    page = _text(ROOT / "docs" / "dependencies.md").lower()

    assert set() == {package for package in packages if not re.search(rf"(?<![\w-]){package}(?![\w-])", page)}


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "decisions").glob("*.md")), ids=lambda page: page.stem)
def test_decision_is_short_and_names_what_was_refused(page):
    """
    A decision has at most 40 lines and says what was refused.
    """
    lines = _text(page).splitlines()

    assert len(lines) <= 40
    assert "## Refused" in lines
