"""One way in for all providers: the request is verified first, and only then read."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from core.webhook_settings import Webhooks
from tracking.feedback import Feedback
from tracking.webhooks import mailgun, postmark, sendgrid, ses, sns
from tracking.webhooks.genuine import Arrived
from tracking.webhooks.proof import Tokens
from tracking.webhooks.sns import Certificates

PROVIDERS: Final = ("ses", "sendgrid", "mailgun", "postmark")


@dataclass(frozen=True, slots=True)
class Report:
    """What a provider reported. `token` may be used once, and is forgotten at `forget_at`; `confirm_url`: SNS asks
    whether we want to hear of a topic of ours, and opening this says yes."""

    feedbacks: Sequence[Feedback] = ()
    token: bytes | None = None
    forget_at: datetime | None = None
    confirm_url: str | None = None


@dataclass
class Reader:
    """Reads the webhooks of one workspace."""

    settings: Webhooks
    tokens: Tokens
    certificates: Certificates = field(default_factory=Certificates)

    def is_set(self, provider: str) -> bool:
        """Whether the workspace hears this provider at all."""
        return provider in PROVIDERS and getattr(self.settings, provider) is not None

    def read(self, provider: str, arrived: Arrived) -> Report:
        """What the request reports. `provider` is one that `is_set`. May fetch a certificate: not for an event loop.

        Raises:
            NotGenuine: nothing proves that it is the provider's.
            Unreadable: it is, and makes no sense.
        """
        if provider == "ses" and (amazon := self.settings.ses) is not None:
            envelope = sns.verify(arrived, amazon, self.certificates)
            return Report(ses.read(envelope, self.tokens), confirm_url=envelope.subscribe_url)
        if provider == "sendgrid" and (grid := self.settings.sendgrid) is not None:
            sendgrid.verify(arrived, grid)
            return Report(sendgrid.read(arrived, grid, self.tokens))
        if provider == "mailgun" and (gun := self.settings.mailgun) is not None:
            token, forget_at = mailgun.verify(arrived, gun)
            return Report(mailgun.read(arrived, self.tokens), token, forget_at)
        if provider == "postmark" and (mark := self.settings.postmark) is not None:
            postmark.verify(arrived, mark)
            return Report(postmark.read(arrived, self.tokens))
        raise LookupError(f"the webhook {provider!r} is not set")
