"""Webhooks of mail providers: proven to be theirs before anything they say is looked at, then put in our words.

The parts: `genuine` is what all of them share, `proof` finds our tokens in what came back, `failures` judges a bounce
by code and words, `sns` checks Amazon's envelopes, and `ses`, `sendgrid`, `mailgun` and `postmark` read one provider
each. Unknown events become `unknown`: they are kept and counted. `events` is the one way in.
"""

from tracking.webhooks.events import PROVIDERS, Reader, Report
from tracking.webhooks.genuine import Arrived, NotGenuine, Unreadable

__all__ = ["PROVIDERS", "Arrived", "NotGenuine", "Reader", "Report", "Unreadable"]
