"""What events do by themselves, in the order in which it is looked after at one instant."""

from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from campaigns.duty import Circumstances, Duty
from campaigns.events import offering, reminding, settling, telling


def _offer(connection: Connection, circumstances: Circumstances, now: datetime) -> int:
    ended = offering.end_offers(connection, circumstances, now)
    return ended + offering.offer_freed(connection, circumstances, now)


def _settle(connection: Connection, circumstances: Circumstances, now: datetime) -> int:
    return settling.settle(connection, circumstances, now) or settling.follow_up(connection, circumstances, now)


_IS_CHANGED: Final = "EXISTS (SELECT FROM event WHERE told_revision < revision)"
_ANYBODY_WAITS: Final = """
    EXISTS (SELECT FROM event AS e WHERE e.state = 'open' AND EXISTS (
        SELECT FROM registration AS r WHERE r.event = e.name AND r.state IN ('offered', 'waiting')))
"""
_IS_AHEAD: Final = "EXISTS (SELECT FROM event WHERE state = 'open' AND starts_at > :now)"
_IS_OVER: Final = f"""
    EXISTS (SELECT FROM event WHERE ends_at <= :now AND (
        state = 'open' OR state = 'closed' AND definition -> 'event' -> 'follow_up' IS NOT NULL
        AND ends_at > CAST(:now AS timestamptz) - interval '{settling.LONG_AGO.days} days'))
"""
DUTIES: Final = (
    Duty("event-changes", telling.tell, lambda connection, _, now: telling.next_telling(connection, now),
         lambda *_: _IS_CHANGED),
    Duty("event-offers", _offer, lambda connection, _, now: offering.next_offer(connection, now),
         lambda *_: _ANYBODY_WAITS),
    Duty("event-reminders", reminding.remind, lambda connection, _, now: reminding.next_reminder(connection, now),
         lambda *_: _IS_AHEAD),
    Duty("event-attendance", _settle, lambda connection, _, now: settling.next_settling(connection, now),
         lambda *_: _IS_OVER),
)  # fmt: skip
