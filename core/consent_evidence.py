"""The evidence that a consent may need, as it is kept in `consent.proof`: written in words, read by `consent_flaw`."""

from collections.abc import Mapping
from typing import Any, Final

_YES: Final = frozenset({"yes", "true", "1", "y", "ja", "x", "是"})
_NO: Final = frozenset({"no", "false", "0", "n", "nein", "", "否"})
#: Said of a soft opt-in (S-5.9): that the mail is about products like those sold, that a way out was offered.
_FLAGS: Final = ("similar_products", "opt_out_offered")
_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "subscriber": {
        "individual": "individual", "private": "individual", "person": "individual", "privat": "individual",
        "个人": "individual", "corporate": "corporate", "company": "corporate", "business": "corporate",
        "firm": "corporate", "firma": "corporate", "企业": "corporate",
    },
    "relation": {
        "purchase": "purchase", "sale": "purchase", "order": "purchase", "contract": "contract",
        "donation": "donation", "inquiry": "inquiry", "enquiry": "inquiry", "question": "inquiry",
    },
}  # fmt: skip
#: What an import reads into the proof in its own words; everything else is kept as it stands.
EVIDENCE: Final = ("sale", *_FLAGS, *_WORDS)
#: All of these make a soft opt-in (S-5.9).
SOFT_OPT_IN: Final = ("sale", *_FLAGS, "subscriber")


def proof_of(texts: Mapping[str, str]) -> dict[str, Any]:
    """The proof that these words are; an empty one says nothing.

    Raises:
        ValueError: a word is none of those that are understood.
    """
    proof: dict[str, Any] = {}
    for name, text in texts.items():
        word = text.strip()
        if name in _FLAGS and word:
            proof[name] = _flag(name, word)
        elif name in _WORDS and word:
            known = _WORDS[name].get(word.casefold())
            if known is None:
                expected = " or ".join(dict.fromkeys(_WORDS[name].values()))
                raise ValueError(f"{name}: got {word!r}, expected {expected}")
            proof[name] = known
        elif word:
            proof[name] = word
    return proof


def _flag(name: str, word: str) -> bool:
    if word.casefold() in _YES:
        return True
    if word.casefold() in _NO:
        return False
    raise ValueError(f"{name}: got {word!r}, expected yes or no")


def lacks(proof: Mapping[str, Any]) -> tuple[str, ...]:
    """What a soft opt-in with this proof has not on record."""
    return tuple(name for name in SOFT_OPT_IN if not proof.get(name))
