"""A real server is fed by the workers that the fault runs use."""

from tests.faults.conftest import make_workplace, quiet_broker

__all__ = ["make_workplace", "quiet_broker"]
