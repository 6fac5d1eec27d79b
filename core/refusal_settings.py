"""`refusals` in `clarion.yaml`: what a server's refusals lead to, beside the message that was refused (S-1.43)."""

from typing import Annotated

from pydantic import Field

from core.units import Duration, Share, parse_duration
from core.yaml_files import Section


class Repeated(Section):
    """This many messages refused for the same cause in this time, and none accepted since."""

    times: Annotated[int, Field(ge=1, le=1000)]
    within: Duration


class Outage(Section):
    """A domain that refuses this share of so many attempts as unknown is taken to be out of order."""

    share: Share = 0.05
    attempts: Annotated[int, Field(ge=1)] = 50
    within: Duration = parse_duration("30m")


class Refusals(Section):
    """When refusals have consequences."""

    give_up_after: Duration = parse_duration("5d")  # a message that is put off again and again has failed then
    message_faults: Annotated[int, Field(ge=1)] = 10  # of one run; then it is paused
    disabled: Repeated = Repeated(times=3, within=parse_duration("180d"))  # then suppressed for good
    mailbox_full: Repeated = Repeated(times=5, within=parse_duration("180d"))  # then suppressed for as long
    soft: Repeated = Repeated(times=8, within=parse_duration("180d"))  # the same, for those given up
    outage: Outage = Outage()
