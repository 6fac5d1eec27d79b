"""The bytes of a file, unpacked when it is gzip, never more of them than the cap allows (S-9.7)."""

import contextlib
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final, cast

from core.errors import ImportFailed

#: Unpacked size: a 40-million-line export fits, a decompression bomb does not.
MAX_BYTES: Final = 8 * 2**30
BLOCK: Final = 2**20
_GZIP, _ZIP, _OLD_EXCEL = b"\x1f\x8b", b"PK\x03\x04", b"\xd0\xcf\x11\xe0"


@contextlib.contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """The content of `path`, unpacked when it begins like gzip, whatever its name.

    Raises:
        ImportFailed: the file is missing or unreadable, is a spreadsheet or a zip, or is damaged.
    """
    try:
        with path.open("rb") as packed:
            start = packed.read(4)
            packed.seek(0)
            _refuse_spreadsheets(path, start)
            if start[:2] != _GZIP:
                yield packed
                return
            with gzip.open(packed) as unpacked:
                yield cast("IO[bytes]", unpacked)
    except FileNotFoundError:
        raise ImportFailed("there is no such file", where=str(path)) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ImportFailed(
            f"the packed file is damaged: {error}", where=str(path), hint="fetch or pack it again"
        ) from None
    except OSError as error:
        raise ImportFailed(f"cannot be read: {error.strerror or error}", where=str(path)) from None


def _refuse_spreadsheets(path: Path, start: bytes) -> None:
    if start in (_ZIP, _OLD_EXCEL):
        raise ImportFailed(
            "this is a spreadsheet or a zip file (expected CSV or TSV text)",
            where=str(path),
            hint="save it as CSV from the spreadsheet program",
        )


def blocks(path: Path, *, max_bytes: int = MAX_BYTES) -> Iterator[bytes]:
    """The unpacked content in blocks of 1 MiB.

    Raises:
        ImportFailed: as `open_bytes`, or there are more than `max_bytes`.
    """
    total = 0
    with open_bytes(path) as content:
        while block := content.read(BLOCK):
            total += len(block)
            if total > max_bytes:
                raise ImportFailed(
                    f"the file is too large (expected at most {max_bytes / 2**30:g} GiB unpacked)",
                    where=str(path),
                    hint="import it in parts",
                )
            yield block
