"""A Maildir: mails are files in `new/`, and what was looked at is deleted or moved to `cur/`."""

import contextlib
import logging
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.errors import ServiceError
from core.inbound_settings import Maildir
from tracking.inbound.mailboxes import Fetched, OpenMailbox
from tracking.inbound.storage import HEAD, Arrived

_log = logging.getLogger("clarion.inbound")
_AT_A_TIME: Final = 500
_SEEN, _FLAGGED = ":2,S", ":2,F"


@dataclass(frozen=True, slots=True)
class MaildirMailbox:
    """One Maildir of `inbound.maildirs`."""

    name: str
    folder: Path
    settings: Maildir
    max_size: int

    @contextlib.contextmanager
    def opened(self) -> Iterator[OpenMailbox]:
        """Itself: files need no opening.

        Raises:
            ServiceError: the folder is no Maildir.
        """
        missing = [part for part in ("new", "cur", "tmp") if not (self.folder / part).is_dir()]
        if missing:
            raise ServiceError(
                f"inbound.maildirs.{self.name}: {self.folder} is no Maildir (without {', '.join(missing)}/)",
                hint="name the folder that your mail server delivers to",
            )
        yield self

    def mails(self) -> Iterator[Fetched]:
        """The mails in `new/`, by name, which is by age. One that cannot be read is left there, with a warning."""
        for name in sorted(os.listdir(self.folder / "new"))[:_AT_A_TIME]:
            try:
                fetched = self._read(name)
            except OSError as error:
                if not isinstance(error, FileNotFoundError):  # another process was quicker
                    _log.warning("%s: %s cannot be read: %s", self.name, name, error.strerror)
                continue
            if fetched is not None:
                yield fetched

    def _read(self, name: str) -> Fetched | None:
        """None for what is no file: a link may lead anywhere."""
        place = os.open(self.folder / "new" / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(place, "rb") as stream:
            status = os.fstat(place)
            if not stat.S_ISREG(status.st_mode):
                return None
            raw = stream.read(self.max_size if status.st_size <= self.max_size else HEAD)
            return Fetched(name, Arrived(self.name, raw, max(status.st_size, len(raw))))

    def forget(self, fetched: Fetched) -> None:
        """The file is deleted, or in `cur/` as seen; flagged where only its beginning was read. Repeat: safe."""
        place = self.folder / "new" / fetched.key
        with contextlib.suppress(FileNotFoundError):
            if fetched.mail.is_whole and self.settings.afterwards == "delete":
                place.unlink()
            else:
                flags = _SEEN if fetched.mail.is_whole else _FLAGGED
                place.rename(self.folder / "cur" / (fetched.key.partition(":2,")[0] + flags))
