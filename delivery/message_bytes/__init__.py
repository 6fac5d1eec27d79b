"""The bytes of a message, written without the `email` package (`bench/message_bytes.py` compares)."""

from delivery.message_bytes.files import EncodedFile, encoded_attachment, encoded_image, file_name
from delivery.message_bytes.mail import CalendarText, Mail
from delivery.message_bytes.purpose_headers import AUTOMATIC_HEADERS, REPLY_HEADERS, bulk_headers
from delivery.message_bytes.writer import write_message

__all__ = [
    "AUTOMATIC_HEADERS", "REPLY_HEADERS", "CalendarText", "EncodedFile", "Mail", "bulk_headers", "encoded_attachment",
    "encoded_image", "file_name", "write_message",
]  # fmt: skip
