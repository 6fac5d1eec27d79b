"""`retention` in `clarion.yaml`: how long what is kept for a purpose is kept at all (S-5.11, S-5.18)."""

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator

from core.units import Duration, Unfit, format_duration, parse_duration, quoted
from core.yaml_files import Section

#: Evidence of consent must be there as long as somebody may ask for it.
_SHORTEST_EVIDENCE = timedelta(days=1095)


def _evidence(length: timedelta) -> timedelta:
    if length < _SHORTEST_EVIDENCE:
        raise Unfit(quoted(format_duration(length)), f"at least '{format_duration(_SHORTEST_EVIDENCE)}' (three years)")
    return length


Evidence = Annotated[Duration, AfterValidator(_evidence)]


class Retention(Section):
    """How long each class of data is kept; what is null is kept as long as the customer is."""

    origins: Duration | None = parse_duration("60d")  # network address and program of who opened or clicked
    inbound_mail: Duration | None = parse_duration("30d")  # the text of mails that came in, once they were handled
    replies: Duration | None = parse_duration("180d")  # mailboxes in the words of mail servers and providers
    sign_ups: Duration | None = parse_duration("30d")  # that nobody confirmed
    inquirers: Duration | None = parse_duration("30d")  # customers made by an inquiry, once nothing else tells of them
    activities: Duration | None = None  # what customers did: page views, tickets; no answers
    consents: Evidence | None = None  # words about a topic that a later one replaced; at least three years
    requests: Duration | None = parse_duration("1095d")  # to get one's data or be erased, once they were done
    tasks: Duration | None = parse_duration("730d")  # of employees, once they were done
    inquiries: Duration | None = parse_duration("1095d")  # once they were answered or dropped
    survey_answers: Duration | None = None  # what customers told us when we asked
    registrations: Duration | None = None  # for events, once these are over
    webhook_calls: Duration | None = parse_duration("90d")  # to other systems, once they were answered
    notices: Duration | None = parse_duration("90d")  # to employees, once they were sent
    batches: Duration | None = parse_duration("30d")  # of messages, once they were worked off
    ticks: Duration | None = parse_duration("90d")  # times of schedules that were dealt with; the last one stays
