"""Duties as tests look after them: what one does is held against its condition."""

from datetime import datetime

from sqlalchemy import Connection, text

from campaigns.duty import Circumstances, Duty

_WRITTEN = text("SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_xact_user_tables")


def looked_after(duty: Duty, connection: Connection, circumstances: Circumstances, now: datetime) -> int:
    """As `duty.run`; and it did and wrote nothing where its condition does not hold: a scheduler passes over it."""
    condition = text(f"SELECT {duty.condition(circumstances, now)}")
    holds = connection.execute(condition, {"now": now}).scalar_one()
    before = connection.execute(_WRITTEN).scalar()
    done = duty.run(connection, circumstances, now)

    assert holds or (0, before) == (done, connection.execute(_WRITTEN).scalar()), duty.name
    return done
