"""The lock files and the build: complete, hashed, and free of any machine's traces."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "requirements-dev.lock")
_PINNED = re.compile(r"^([a-z0-9][a-z0-9-]*)==\S+", re.MULTILINE)


def _pinned(lock: str) -> dict[str, str]:
    return {match[1]: match[0] for match in _PINNED.finditer((ROOT / lock).read_text(encoding="utf-8"))}


def _named(requirements: list[str]) -> set[str]:
    """As locks spell the names: in lower case, words joined by hyphens (PEP 503)."""
    names = (re.split(r"[\[<>=~!; ]", requirement)[0] for requirement in requirements)
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names}


@pytest.fixture(scope="module")
def project():
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)["project"]


def test_runtime_lock_holds_every_dependency(project):
    """
    What pyproject.toml asks for is pinned in requirements.lock.
    """
    assert set() == _named(project["dependencies"]) - set(_pinned("requirements.lock"))


def test_development_lock_holds_every_dependency(project):
    """
    What the `dev` extra asks for is pinned in requirements-dev.lock.
    """
    assert set() == _named(project["optional-dependencies"]["dev"]) - set(_pinned("requirements-dev.lock"))


def test_locks_agree_with_each_other():
    """
    Both locks pin the same version of what both hold, and the development lock holds all of the runtime.
    """
    runtime, development = map(_pinned, LOCKS)

    assert runtime == {name: development.get(name) for name in runtime}


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_names_no_machine_and_no_registry(lock):
    """
    A lock holds names, versions and hashes: no address, no option, no path.
    """
    text = (ROOT / lock).read_text(encoding="utf-8")

    assert [] == re.findall(r"https?://\S+|^--.*|^-\w .*|file:\S+|(?<![\w.])/\w+/\w+", text, re.MULTILINE)


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_has_hashes_for_every_pin(lock):
    """
    Each pinned package is followed by the hashes of its files.
    """
    blocks = re.split(r"^(?=[a-z0-9][a-z0-9-]*==)", (ROOT / lock).read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]

    assert [] == [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block]
