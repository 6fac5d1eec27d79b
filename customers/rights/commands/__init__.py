"""`clarion customer export`, `erase` and `readmit`, and `clarion retention`."""

from customers.rights.commands.requests import erase, export, readmit
from customers.rights.commands.retention import retention

__all__ = ["erase", "export", "readmit", "retention"]
