"""The words of the public pages."""

import re

import pytest

from web.languages import languages, words_for


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
