"""What people choose for themselves, beside yes and no: how often, a break, and coming back.

Writes the tables preference and suppression.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from core.schema import preference, suppression
from suppression.gate import PAUSED, UNSUBSCRIBED, in_force
from suppression.record import lift, suppress

#: The ways to reach people.
CHANNELS: Final = ("email", "sms", "letter", "phone")


def wish_for_at_most(
    connection: Connection, customer_id: int, most: int | None, within: timedelta | None, *, source: str, now: datetime
) -> None:
    """The customer gets at most so many bulk messages within this time; both None: as many as there are.

    Repeat: safe.
    """
    values = {"most_messages": most, "most_within": within, "updated_at": now, "source": source}
    connection.execute(
        insert(preference)
        .values(customer_id=customer_id, **values)
        .on_conflict_do_update(
            index_elements=["customer_id"], set_=values,
            where=preference.c.most_messages.is_distinct_from(most) | preference.c.most_within.is_distinct_from(within),
        )
    )  # fmt: skip


def pause(connection: Connection, key: UUID, until: datetime | None, *, source: str, now: datetime) -> None:
    """No bulk mail goes to the address before `until`; None: nothing of this kind holds it back. Repeat: safe."""
    lift(connection, key, because="another wish", reason=PAUSED, now=now)
    if until is not None:
        suppress(connection, key, scope="global", reason=PAUSED, source=source, expires_at=until, now=now)


def come_back(
    connection: Connection, key: UUID, topics: Iterable[str], *, channel: str, others: Iterable[str], source: str,
    because: str, now: datetime,
) -> None:  # fmt: skip
    """No opt-out of the person's own keeps mail about `topics` from the address any more.

    One that was wider goes on: for each of `others` in the channel, and for every other channel. Only `unsubscribed`
    entries are lifted: a complaint, a bounce, or what an operator wrote stays. Repeat: safe.
    """
    entry, wanted = suppression.c, set(topics)
    wide = select(entry.scope).where(
        entry.address_key == key, entry.reason == UNSUBSCRIBED, in_force(suppression, now),
        (entry.scope == "global") | ((entry.scope == "channel") & (entry.channel == channel)),
    )  # fmt: skip
    scopes = set(connection.execute(wide).scalars()) if wanted else set()
    if scopes:
        for topic in others:
            if topic not in wanted:
                suppress(
                    connection, key, scope="topic", scope_name=topic, reason=UNSUBSCRIBED, source=source,
                    channel=channel, now=now,
                )  # fmt: skip
        for other in CHANNELS:
            if other != channel and "global" in scopes:
                suppress(
                    connection, key, scope="channel", reason=UNSUBSCRIBED, source=source, channel=other, now=now
                )  # fmt: skip
        lift(connection, key, because=because, scope="global", reason=UNSUBSCRIBED, now=now)
        lift(connection, key, because=because, scope="channel", reason=UNSUBSCRIBED, channel=channel, now=now)
    for topic in wanted:
        lift(
            connection, key, because=because, scope="topic", scope_name=topic, reason=UNSUBSCRIBED, channel=channel,
            now=now,
        )  # fmt: skip
