"""The words of the public pages."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
import yaml

from core.errors import ConfigError
from core.workspace import Workspace
from web.languages import languages, languages_of, words_for


def placeholders(text: str) -> set[str]:
    """The `${…}` of a text."""
    return set(re.findall(r"\$\{(\w+)\}", text))


@pytest.mark.parametrize("code", ["de", "zh"])
def test_every_language_says_everything(code: str) -> None:
    """
    Each file has the texts of the English one, with the same places to fill.
    """
    english, other = languages()["en"].texts, languages()[code].texts

    assert {name: placeholders(text) for name, text in english.items()} == {
        name: placeholders(text) for name, text in other.items()
    }


@pytest.mark.parametrize(
    ("wishes", "accept", "expected"),
    [
        (["de"], "", "de"),
        (["de-CH"], "en", "de"),
        (["zh_Hans_CN"], "", "zh"),
        ([" DE "], "", "de"),
        (["fr", None], "zh-TW,zh;q=0.9", "zh"),
        ([None], "fr, de;q=0.8, en;q=0.9", "en"),
        ([None], "de;q=0, zh;q=0.1", "zh"),
        ([None], "de;q=x,,;q=, *;q=0.5", "en"),
        ([""], "", "en"),
        (["../../etc/passwd"], "\x00" * 9999, "en"),
    ],
)
def test_words_are_in_the_first_language_there_is(wishes: list[str | None], accept: str, expected: str) -> None:
    """
    Wishes come first, then the browser's order, then English; nonsense counts for nothing.
    """
    assert expected == words_for(*wishes, accept=accept).code


def test_lengths_are_spoken_in_hours_or_days() -> None:
    """
    One is one, and two days are forty-eight hours.
    """
    english = languages()["en"]
    lengths = [timedelta(hours=1), timedelta(hours=24), timedelta(hours=36), timedelta(days=7)]

    assert ["1 hour", "1 day", "36 hours", "7 days"] == [english.length(each) for each in lengths]


def test_workspace_adds_a_language(make_workspace: Callable[..., Workspace]) -> None:
    """
    A complete file in `pages/` is a language like any other; a partial one replaces texts of one that is shipped.
    """
    texts = dict(languages()["en"].texts) | {"language_name": "Français", "unsubscribe_button": "Se désabonner"}
    files = {"pages/fr.yaml": yaml.safe_dump(texts), "pages/de.yaml": 'form_button: "Los geht es"\n'}
    known = languages_of(make_workspace(files=files))

    assert "Se désabonner" == words_for("fr-CA", known=known).say("unsubscribe_button")
    assert ("Los geht es", "Abmelden") == (known["de"].say("form_button"), known["de"].say("unsubscribe_button"))
    assert {"de", "en", "fr", "zh"} == set(known)


def test_mistakes_of_language_files_are_told_at_once(make_workspace: Callable[..., Workspace]) -> None:
    """
    Unknown texts, wrong places to fill, what is no text, and what is missing: each with its file.
    """
    wrong = 'unsubscribe_buton: "x"\nform_heading: "Post"\nused_words: 3\nmy_words: "$ 5 ${organisation}"\n'
    with pytest.raises(ConfigError) as caught:
        languages_of(make_workspace(files={"pages/de.yaml": wrong, "pages/it.yaml": 'language_name: "Italiano"\n'}))
    told = "\n".join(f"{problem.file}:{problem.line} {problem.message}" for problem in caught.value.problems)

    assert "pages/de.yaml:1 the pages have no text 'unsubscribe_buton'" in told
    assert "pages/de.yaml:2 form_heading has other places to fill than it should (${organisation})" in told
    assert "pages/de.yaml:3 used_words is wrong" in told
    assert "pages/de.yaml:4 my_words has other places" in told
    assert "pages/it.yaml" in told
    assert "texts are missing: direction" in told
