"""The lock of `core.people_lock` under another name."""

from core.people_lock import people_stay as nobody_is_erased

__all__ = ["nobody_is_erased"]
