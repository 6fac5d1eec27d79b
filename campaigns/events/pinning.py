"""An event file with everything that its mails use, pinned: what a plan compares, and what is applied."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from campaigns import versions
from campaigns.catalogue import Catalogue
from campaigns.definition import TRANSACTIONAL, CampaignFile, Limits, Send
from campaigns.events.definition import EventFile, MailOf, instants, reminder_step
from campaigns.events.held import Shown
from campaigns.events.invitation import PREFIX
from campaigns.versions import Version
from core.settings import Sender

#: What a template names to say that it tells more than its own news (`mails`, `reminding`).
_JOINS: Final[Mapping[str, str]] = {"party": "given.party", "events": "given.events"}


@dataclass(frozen=True, slots=True)
class PinnedEvent:
    """An event file with everything its mails use, pinned."""

    name: str
    definition: EventFile
    zone: str
    starts_at: datetime
    ends_at: datetime
    sender: Sender
    mails: Mapping[str, Version]

    @property
    def shown(self) -> Shown:
        """What calendars show of it; its times with the offset that the zone has then by the rules of today."""
        made, zone = self.definition, ZoneInfo(self.zone)
        walls = (at.astimezone(zone).isoformat() for at in (self.starts_at, self.ends_at))
        starts_at, ends_at = map(datetime.fromisoformat, walls)
        return Shown(starts_at, ends_at, self.zone, made.title, made.place, made.online)

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits of everything it says and sends."""
        whole = {
            "event": self.definition.stored(), "fields": list(self.definition.registration.fields), "zone": self.zone,
            "sender": [self.sender.name, self.sender.email],
            "mails": {step: version.fingerprint for step, version in sorted(self.mails.items())},
        }  # fmt: skip
        canonical = json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()

    @property
    def joins(self) -> dict[str, list[str]]:
        """What each mail's templates tell beside their own news."""
        texts = {step: "".join(used.text for used in mail.templates.values()) for step, mail in self.mails.items()}
        return {step: [told for told, name in _JOINS.items() if name in text] for step, text in texts.items()}


def pin(catalogue: Catalogue, name: str) -> PinnedEvent:
    """The event as its file says now.

    Raises:
        NotFound: there is no such file.
    """
    definition = catalogue.event(name)
    zone = definition.zone or catalogue.settings.organisation.zone
    starts_at, ends_at = instants(definition, zone)
    mails = {
        step: versions.pin_as(catalogue, PREFIX + name, _sent(definition, step, mail))
        for step, mail in definition.every_mail()
    }
    sender = catalogue.settings.senders[definition.organiser]
    return PinnedEvent(name, definition, zone, starts_at, ends_at, sender, mails)


def _sent(definition: EventFile, step: str, mail: MailOf) -> CampaignFile:
    """The mail as a transactional campaign. A reminder that could not go before the start does not go."""
    befores = {reminder_step(reminder.before): reminder.before for reminder in definition.reminders}
    send = Send(
        template=mail.template, sender=definition.organiser, subject=mail.subject, transport=definition.transport
    )
    return CampaignFile(kind=TRANSACTIONAL, send=send, limits=Limits(valid_for=befores.get(step)))
