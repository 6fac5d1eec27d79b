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


DUTIES: Final = (
    Duty("event-changes", telling.tell, lambda connection, _, now: telling.next_telling(connection, now)),
    Duty("event-offers", _offer, lambda connection, _, now: offering.next_offer(connection, now)),
    Duty("event-reminders", reminding.remind, lambda connection, _, now: reminding.next_reminder(connection, now)),
    Duty("event-attendance", _settle, lambda connection, _, now: settling.next_settling(connection, now)),
)
