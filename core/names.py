"""Near misses: what a person most likely meant by a name that does not exist."""

import difflib
from collections.abc import Iterable


def near_miss(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to `name`, or None when none is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return close[0] if close else None


def did_you_mean(name: str, known: Iterable[str], *, limit: int = 8) -> str:
    """A hint for an unknown name: the near miss, else the names there are (at most `limit`)."""
    names = sorted(known)
    if (close := near_miss(name, names)) is not None:
        return f"did you mean {close!r}?"
    if not names:
        return "there are none yet"
    shown = ", ".join(names[:limit])
    return f"known: {shown}{', …' if len(names) > limit else ''}"
