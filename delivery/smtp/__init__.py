"""Delivery over SMTP: one pool of pipelined connections per worker process, kept from batch to batch.

The parts, from the wire inwards: `replies` and `features` read what the server says, `session` keeps commands
and replies in order on one open connection, `connection` is its socket and its timers, `opening` brings one
up (TLS, AUTH), `dispatch` passes messages through the hand-over gate, `pool` keeps connections open.
"""

from delivery.smtp.endpoint import Endpoint, Timers, Tls
from delivery.smtp.faults import TransportFault
from delivery.smtp.messages import Coming, HandOver, Outcome, OutcomeState, Outgoing
from delivery.smtp.pool import SmtpPool

__all__ = [
    "Coming",
    "Endpoint",
    "HandOver",
    "Outcome",
    "OutcomeState",
    "Outgoing",
    "SmtpPool",
    "Timers",
    "Tls",
    "TransportFault",
]
