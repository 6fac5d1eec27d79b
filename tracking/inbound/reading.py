"""From a mail's bytes to what it reports: the one entry to this package's readers."""

from dataclasses import dataclass

from tracking.feedback import FeedbackKind
from tracking.inbound import people
from tracking.inbound.complaints import complaint
from tracking.inbound.delivery_status import notification
from tracking.inbound.findings import Finding
from tracking.inbound.mime import Mail
from tracking.inbound.nonstandard import is_from_a_machine, nonstandard
from tracking.inbound.report_text import report_text


@dataclass(frozen=True, slots=True)
class Reading:
    """What a mail reports: one finding for each recipient, at least one. `envelope_id` as a notification gives it."""

    mail: Mail
    findings: tuple[Finding, ...]
    envelope_id: str | None = None


def read(raw: bytes) -> Reading:
    """What the mail says, whatever its bytes are: time and memory are bounded by the size of `raw`."""
    mail = Mail(raw)
    if not mail.is_one:
        return Reading(mail, (Finding(FeedbackKind.UNKNOWN, diagnostic="not a mail"),))
    if findings := complaint(mail):
        return Reading(mail, findings)
    is_answer = _is_persons(mail)
    if not is_answer:
        told = notification(mail, report_text(mail))
        if told is not None:
            return Reading(mail, told.findings, told.envelope_id)
        if findings := nonstandard(mail):
            return Reading(mail, findings)
    return Reading(mail, (people.answer(mail),))


def _is_persons(mail: Mail) -> bool:
    """Whether a person wrote it, who may quote or enclose a report."""
    return bool(mail.top.first("in-reply-to")) and not people.is_automatic(mail) and not is_from_a_machine(mail)
