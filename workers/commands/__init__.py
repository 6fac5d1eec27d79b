"""The commands that run and look after processes and services."""

from workers.commands.audit import audit
from workers.commands.care import db, doctor
from workers.commands.inbound import inbound
from workers.commands.processes import down, scheduler, up, worker

__all__ = ["audit", "db", "doctor", "down", "inbound", "scheduler", "up", "worker"]
