"""A domain that says "too fast" is served more slowly for a while, it alone (standards S-1.30).

A cut halves the factor of its rate; with every minute that passes the factor rises again by a quarter. So nobody
has to raise it, and a domain that was left alone for half an hour is served at its full rate.
"""

import re
from datetime import datetime, timedelta
from typing import Final

from delivery.smtp import Outcome, OutcomeState
from delivery.smtp.steps import Step

#: The smallest part of its rate that a domain keeps.
FLOOR: Final = 1 / 64
#: Answers to messages that were under way when the rate was cut do not cut it again.
SETTLING: Final = timedelta(seconds=10)
_RISE: Final = 1.25  # a minute
_ABOUT_A_DOMAIN: Final = frozenset({Step.RECIPIENT, Step.DATA, Step.END_OF_DATA})
_WORDS: Final = re.compile(
    r"rate.?limit|throttl|too (fast|quickly)|slow(er)? down|too many (messages|mails)|frequency limited"
    r"|temporarily deferred",
    re.IGNORECASE,
)
#: From the floor up to the full rate: log(64) / log(1.25) minutes.
RECOVERED_AFTER: Final = timedelta(minutes=19)


def factor_at(factor: float, cut_at: datetime | None, now: datetime) -> float:
    """The factor at `now` of a rate that was cut to `factor` at `cut_at`; 1 when it has recovered."""
    if cut_at is None or factor >= 1:
        return 1.0
    minutes = int(max(now - cut_at, timedelta(0)) / timedelta(minutes=1))
    return min(1.0, factor * _RISE ** min(minutes, 60))


def cut(factor: float, cut_at: datetime | None, now: datetime) -> float | None:
    """The factor after one more "too fast"; None when the last cut has not shown its effect yet."""
    if cut_at is not None and now - cut_at < SETTLING:
        return None
    return max(FLOOR, factor_at(factor, cut_at, now) / 2)


def is_too_fast(outcome: Outcome) -> bool:
    """The receiver asks to be served more slowly: a status of policy that may pass (4.7.x), else words that say it.

    Only in answer to the recipient or the message. What is said before, and a 421 that gives no such reason, is of the
    relay itself, or of one connection.
    """
    if outcome.state is not OutcomeState.DEFERRED or outcome.code is None or outcome.refused_at not in _ABOUT_A_DOMAIN:
        return False
    if outcome.enhanced is not None:
        return outcome.enhanced.startswith("4.7.")
    return bool(_WORDS.search(outcome.reply))
