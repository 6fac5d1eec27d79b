"""The lines of a mail log: plain or gzip, in the traditional syslog form, RFC 3339 times, or RFC 5424."""

import gzip
import itertools
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, Final, NamedTuple

from core.errors import UsageError

_LONGEST: Final = 1 << 16
#: So many lines of a file are looked at for its first time: another program's may stand before.
_FIRST_LINES: Final = 1000
_MONTHS: Final = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_HEAD: Final = (
    rb"(?:<\d{1,3}>\d? ?)?"
    rb"(?:(?P<month>[A-Z][a-z]{2}) +(?P<day>\d{1,2}) (?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
    rb"|(?P<stamp>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)))"
    rb" (?P<host>\S+) "
)
_LINE: Final = re.compile(
    _HEAD + rb"(?:(?P<tag>[^\s\[\]]+)\[(?P<pid>\d+)\]: |(?P<tag5>\S+) (?P<pid5>\d+) \S+ - )(?P<text>.*)",
    re.DOTALL,
)
#: A line of any program, such as `logger`: it tells no process, but the time.
_TIMED: Final = re.compile(_HEAD + rb"(?:[^\s\[\]]+(?:\[\d+\])?: |\S+ (?:\d+|-) \S+ (?:- |\[))")


class Line(NamedTuple):
    """One line. `program` is `smtpd` of `postfix/submission/smtpd`."""

    at: datetime
    host: bytes
    program: str
    pid: bytes
    text: bytes


class Lines:
    """Reads the files line by line, as often as asked, in order of their first times.

    Traditional timestamps have neither year nor zone: they are of `zone`, and of the last year that is not after `now`.
    """

    def __init__(self, paths: Sequence[Path], zone: tzinfo, now: datetime) -> None:
        self._zone = zone
        self._latest = now + timedelta(days=1)  # the server's clock may be a little ahead
        self.cut_short: list[str] = []  # compressed files that end before their end
        beginning = datetime(1, 1, 1, tzinfo=UTC)
        self._paths = sorted(paths, key=lambda path: (self._first_time(path) or beginning, str(path)))

    def _first_time(self, path: Path) -> datetime | None:
        lines = itertools.islice(self._of(path, lambda _bytes: None), _FIRST_LINES)
        return next((at for line in lines if (at := self.time_of(line)) is not None), None)

    def files(self, advance: Callable[[int], None] = lambda _bytes: None) -> Iterator[Iterator[tuple[int, bytes]]]:
        """For each file its lines, numbered through all files; `advance` is told of the bytes read.

        Raises:
            UsageError: a file cannot be read.
        """
        numbers = itertools.count()
        for path in self._paths:
            yield zip(numbers, self._of(path, advance), strict=False)

    def _of(self, path: Path, advance: Callable[[int], None]) -> Iterator[bytes]:
        try:
            with path.open("rb") as raw:
                is_packed = raw.read(2) == b"\x1f\x8b"
                raw.seek(0)
                opened: Any = gzip.GzipFile(fileobj=raw) if is_packed else raw
                done = 0
                for number, line in enumerate(iter(lambda: opened.readline(_LONGEST), b""), 1):
                    yield line
                    if number % 10_000 == 0:
                        place = raw.tell()
                        advance(place - done)
                        done = place
                advance(raw.tell() - done)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            if str(path) not in self.cut_short:
                self.cut_short.append(str(path))
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None

    def time_of(self, line: bytes) -> datetime | None:
        """When the line was written, by any program; None for a line of no known form."""
        found = _TIMED.match(line)
        return self._instant(found) if found else None

    def line_of(self, line: bytes) -> Line | None:
        """The line in its parts; None for one of no known form."""
        found = _LINE.match(line)
        at = self._instant(found) if found else None
        if found is None or at is None:
            return None
        program = (found["tag"] or found["tag5"]).rsplit(b"/", 1)[-1].decode("ascii", "replace")
        return Line(at, found["host"], program, found["pid"] or found["pid5"], found["text"].rstrip(b"\r\n"))

    def _instant(self, found: "re.Match[bytes]") -> datetime | None:
        try:
            if found["stamp"]:
                return datetime.fromisoformat(found["stamp"].decode().replace(",", ".")).astimezone(UTC)
            return self._without_year(found)
        except (ValueError, OverflowError):
            return None

    def _without_year(self, found: "re.Match[bytes]") -> datetime | None:
        month, day = _MONTHS.index(found["month"]) + 1, int(found["day"])
        hour, minute, second = (int(found[name]) for name in ("hour", "minute", "second"))
        for year in range(self._latest.year, self._latest.year - 9, -1):  # 29 February is up to eight years ago
            try:
                at = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=self._zone).astimezone(UTC)
            except ValueError:
                continue
            if at <= self._latest:
                return at
        return None
