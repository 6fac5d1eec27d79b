"""The bytes of a message, written without the `email` package (4,600 µs there, see `bench/message_bytes.py`)."""

from delivery.message_bytes.mail import Mail
from delivery.message_bytes.purpose_headers import AUTOMATIC_HEADERS, bulk_headers
from delivery.message_bytes.writer import write_message

__all__ = ["AUTOMATIC_HEADERS", "Mail", "bulk_headers", "write_message"]
