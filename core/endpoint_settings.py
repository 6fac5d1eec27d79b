"""`endpoints` in `clarion.yaml`: other systems that steps of sequences call."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field, StringConstraints

from core.field_types import HttpUrl
from core.units import Duration, parse_duration
from core.yaml_files import Section


class Endpoint(Section):
    """One address that takes calls: a POST of JSON."""

    url: HttpUrl
    # Calls are signed with it, in the header Clarion-Signature.
    secret: Annotated[str, StringConstraints(min_length=16)] = Field(repr=False)
    internal: bool = False  # it may be an address of this machine or of a private network
    # For one call, from the name to the answer: so long a worker may be at it.
    timeout: Annotated[Duration, Field(ge=timedelta(seconds=1), le=timedelta(minutes=1))] = parse_duration("10s")
    give_up_after: Duration = parse_duration("1d")  # a call that fails is tried again until then
