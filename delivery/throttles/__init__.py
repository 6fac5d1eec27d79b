"""Throttles: how fast a transport and a recipient domain may be served, by all workers together.

The parts: `meter` is the arithmetic of one rate, `cuts` that of a rate a server cut, `limits` everything that limits
one key, `rows` the locked rows of the database, `booking` the times of those who must wait, `desk` puts them
together, `tallies` listens to what receivers say.
"""

from delivery.throttles.booking import Slot
from delivery.throttles.desk import Throttles, domain_key, transport_key
from delivery.throttles.tallies import Tallies

__all__ = ["Slot", "Tallies", "Throttles", "domain_key", "transport_key"]
