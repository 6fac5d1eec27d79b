"""Figures and reasons in the words people use."""

from datetime import timedelta
from decimal import Decimal
from typing import Final

from core.units import format_duration

#: Skip reason → what it means for the person; unknown ones are shown as they are.
SKIP_REASONS: Final = {
    "no_address": "No e-mail address",
    "not_consented": "Has not agreed to this topic",
    "not_confirmed": "Has not confirmed their consent",
    "basis_not_enough": "Their country asks for a consent we do not have",
    "consent_expired": "Their consent has ended",
    "no_profiling": "Does not want to be chosen by behaviour",
    "duplicate_address": "Shares an address with another recipient",
    "already_messaged": "Has a message of this mailing already",
    "time_passed": "Its time was over already where they are",
    "render_failed": "The mailing could not be made for them",
    "expired": "Its time was over before it could be sent",
    "frequency_cap": "Had been written to often enough",
    "quiet_too_long": "Its time was over before their quiet hours were",
    "open_case": "Had a case that was not closed in time",
    "left_sequence": "Left the sequence before it could be sent",
    "suppressed:unsubscribed": "Has unsubscribed",
    "suppressed:hard_bounce": "Their address does not exist",
    "suppressed:complaint": "Has reported us as spam",
    "suppressed:manual": "Kept from mail by a colleague",
    "suppressed:paused": "Taking a break from mail",
    "suppressed:legal": "Kept from mail for legal reasons",
}
TIERS: Final = {
    "top": "Top", "big": "Big", "medium": "Medium", "small": "Small", "inactive": "Inactive",
    "prospect": "Prospect", "suspect": "Suspect", "unknown": "Unknown",
}  # fmt: skip


def skip_reason(reason: str) -> str:
    """What a skip reason means, for example `Has unsubscribed`."""
    return SKIP_REASONS.get(reason) or reason.replace("suppressed:", "Suppressed: ").replace("_", " ")


def percent(share: float | None) -> str:
    """A share 0–1 with as many decimals as it needs: `12.3 %`, `0.04 %`; an en dash for none."""
    if share is None:
        return "–"
    return f"{100 * share:.2f} %" if 0 < share < 0.001 else f"{100 * share:.1f} %"


def money(amount: Decimal, currency: str | None) -> str:
    """An amount with its currency: whole from 10,000 on."""
    sign = "−" if amount < 0 else ""
    digits = f"{abs(amount):,.0f}" if abs(amount) >= 10_000 else f"{abs(amount):,.2f}"
    return f"{sign}{digits} {currency}" if currency else f"{sign}{digits}"


def return_on(ratio: Decimal | None) -> str:
    """A return as a multiple of what was spent: `+3.2 ×`; an en dash when nothing was."""
    if ratio is None:
        return "–"
    digits = 0 if abs(ratio) >= 100 else 1
    return f"{'+' if ratio > 0 else '−' if ratio < 0 else ''}{abs(ratio):,.{digits}f} ×"


def goal(event: str | None, within: timedelta | None) -> str:
    """The goal of a campaign: `purchase within 14d`."""
    if event is None:
        return "none"
    return f"{event.replace('_', ' ')} within {format_duration(within)}" if within else event
