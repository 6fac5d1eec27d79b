"""What came in, for people to look at."""

from typing import Any

from sqlalchemy import Connection, func, select

from core.schema import feedback, inbound_mail

_m, _f = inbound_mail.c, feedback.c
_SHOWN = (
    _m.id.label("mail"), _m.received_at, _m.source, _m.envelope_to, _m.size, _m.state, _m["class"],
    _m.message_id.label("message"), _m.problem,
)  # fmt: skip


def latest(connection: Connection, *, aside: bool, limit: int) -> list[dict[str, Any]]:
    """The latest mails first; those kept aside only, if `aside`."""
    wanted = select(*_SHOWN).order_by(_m.id.desc()).limit(limit)
    if aside:
        wanted = wanted.where(_m.state == "kept_aside")
    return [dict(row) for row in connection.execute(wanted).mappings()]


def aside_count(connection: Connection) -> int:
    """Mails kept aside, which wait for somebody to see to them."""
    return int(connection.execute(select(func.count()).where(_m.state == "kept_aside")).scalar_one())


def one(connection: Connection, number: int) -> dict[str, Any] | None:
    """One mail; None when there is none of this number."""
    row = connection.execute(select(*_SHOWN).where(_m.id == number)).mappings().one_or_none()
    return dict(row) if row is not None else None


def events(connection: Connection, number: int) -> list[dict[str, Any]]:
    """What the mail reported, and what followed from it."""
    digest = connection.execute(select(_m.digest).where(_m.id == number)).scalar_one()
    wanted = (
        select(_f.kind, _f.message_id.label("message"), _f.matched_by, _f.status, _f.diagnostic, _f.effect)
        .where(_f.event_key.like(f"mail:{digest.hex()[:40]}:%"))
        .order_by(_f.id)
    )
    return [dict(row) for row in connection.execute(wanted).mappings()]


def content(connection: Connection, number: int) -> bytes | None:
    """The mail as it came; None once its time is up."""
    raw: bytes | None = connection.execute(select(_m.raw).where(_m.id == number)).scalar_one_or_none()
    return raw
