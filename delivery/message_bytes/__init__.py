"""The bytes of a message, written without the `email` package (`bench/message_bytes.py` compares)."""

from delivery.message_bytes.mail import Mail
from delivery.message_bytes.purpose_headers import AUTOMATIC_HEADERS, bulk_headers
from delivery.message_bytes.writer import write_message

__all__ = ["AUTOMATIC_HEADERS", "Mail", "bulk_headers", "write_message"]
