"""What both groups of commands need."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from core import audit
from core.commands import Desk, acting_user
from core.errors import NotFound
from core.names import did_you_mean

if TYPE_CHECKING:
    from sqlalchemy import Connection


def known_topic(desk: Desk, topic: str) -> str:
    """The topic.

    Raises:
        NotFound: clarion.yaml has none of this name.
    """
    topics = desk.workspace.settings.topics
    if topic not in topics:
        raise NotFound(f"there is no topic {topic!r}", hint=did_you_mean(topic, topics), where="clarion.yaml")
    return topic


def audited(connection: "Connection", desk: Desk, action: str, subject: str, detail: Mapping[str, Any]) -> None:
    """The audit says that whoever is at the keyboard did it."""
    told = {name: value for name, value in detail.items() if value}
    audit.record(connection, acting_user(), action, subject, at=desk.clock.now(), **told)
