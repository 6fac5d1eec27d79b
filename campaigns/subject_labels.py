"""What the law says of subjects: the label of advertising in China (S-5.10), and no feigned answers (S-5.4)."""

import re
from typing import Final

from suppression.policy import Policy

#: For readers of Chinese, and for everybody else.
CHINESE, LATIN = "广告", "AD"
_LABELLED: Final = re.compile(r"\s*[\[【(（]?\s*(?:广告|廣告|AD\b)")
#: Of answers and forwarded mail, in the languages whose mail programs have their own.
_FEIGNED: Final = re.compile(
    r"\s*(?:re|aw|wg|fwd?|tr|rv|sv|vs|antw|odp|回复|答复|转发)\s*(?:\[\d+\])?\s*[:：]", re.IGNORECASE
)


def label_countries(policy: Policy) -> frozenset[str]:
    """The countries whose law wants a label in the subject of bulk mail."""
    return frozenset(country for profile in policy.profiles if profile.labelled for country in profile.countries)


def labelled(subject: str, country: str | None, language: str | None, countries: frozenset[str]) -> str:
    """The subject of bulk mail as a customer gets it: a label in front where they live in one of `countries`.

    Repeat: safe, a subject that begins with the label stays as it is.
    """
    if country not in countries:
        return subject
    if _LABELLED.match(subject):
        return subject.lstrip()
    is_chinese = language is None or language.lower().startswith("zh")
    return f"{CHINESE if is_chinese else LATIN} {subject}"


def feigns_an_answer(subject: str) -> bool:
    """The subject begins as that of an answer or of a forwarded mail."""
    return _FEIGNED.match(subject) is not None
