"""Files that go with a mailing: attachments, and the images its HTML shows. All lie below `templates/`."""

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

from core.names import did_you_mean
from core.units import format_size
from templates.definition import FOLDER

#: Image types that mail programs show.
IMAGE_TYPES: Final = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif"}
_OFFICE: Final = "application/vnd.openxmlformats-officedocument."
_OPEN: Final = "application/vnd.oasis.opendocument."
#: What may be attached: documents, not programs.
CONTENT_TYPES: Final[Mapping[str, str]] = {
    **IMAGE_TYPES,
    ".csv": "text/csv",
    ".docx": f"{_OFFICE}wordprocessingml.document",
    ".epub": "application/epub+zip",
    ".ics": "text/calendar",
    ".mp3": "audio/mpeg",
    ".mp4": "video/mp4",
    ".ods": f"{_OPEN}spreadsheet",
    ".odt": f"{_OPEN}text",
    ".pdf": "application/pdf",
    ".pptx": f"{_OFFICE}presentationml.presentation",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".vcf": "text/vcard",
    ".webp": "image/webp",
    ".xlsx": f"{_OFFICE}spreadsheetml.sheet",
    ".zip": "application/zip",
}
_ZIP: Final = (b"PK\x03\x04",)
#: How a file of a type begins: a picture saved under a wrong name, or a mere pointer to a file, is not sent.
_BEGINNINGS: Final[Mapping[str, tuple[bytes, ...]]] = {
    ".pdf": (b"%PDF-",), ".png": (b"\x89PNG\r\n\x1a\n",), ".jpg": (b"\xff\xd8\xff",), ".jpeg": (b"\xff\xd8\xff",),
    ".gif": (b"GIF87a", b"GIF89a"), ".webp": (b"RIFF",), ".ics": (b"BEGIN:VCALENDAR", b"\xef\xbb\xbfBEGIN:VCALENDAR"),
    ".docx": _ZIP, ".xlsx": _ZIP, ".pptx": _ZIP, ".odt": _ZIP, ".ods": _ZIP, ".epub": _ZIP, ".zip": _ZIP,
}  # fmt: skip


class NoSuchFile(Exception):
    """A file cannot go with a mailing; `message` says why and `hint` what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


@dataclass(frozen=True, slots=True)
class Asset:
    """One file: its path below `templates/`, the SHA-256 of its content in hexadecimal digits, and its octets."""

    name: str
    digest: str
    size: int

    def content_type(self, content: bytes) -> str:
        """The type that its ending stands for; a text in UTF-8 says so."""
        kind = CONTENT_TYPES[suffix_of(self.name)]
        if not kind.startswith("text/"):
            return kind
        try:
            content.decode()
        except UnicodeDecodeError:
            return kind
        return f"{kind}; charset=utf-8"

    @property
    def content_id(self) -> str:
        """What `cid:` addresses call it: the same for equal images, whatever their names (RFC 2392)."""
        return f"{self.digest[:32]}@image"


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file beside the text, under the name its recipients see."""

    asset: Asset
    name: str


class Shelf(Protocol):
    """Where the files of a mailing are looked up; `largest`: octets they may have together."""

    @property
    def largest(self) -> int: ...

    def find(self, name: str) -> Asset:
        """The file called `name`.

        Raises:
            NoSuchFile: there is none that may be sent.
        """
        ...


@dataclass(frozen=True, slots=True)
class Pinned:
    """The files as they were when a version was stored."""

    assets: Mapping[str, Asset]
    largest: int = sys.maxsize

    def find(self, name: str) -> Asset:
        """The file called `name`."""
        if name not in self.assets:
            raise NoSuchFile(f"there is no file {name!r} in {FOLDER}/", did_you_mean(name, self.assets))
        return self.assets[name]


NO_FILES: Final = Pinned({})


@dataclass(slots=True)
class Folder:
    """The files below `templates/` as they are now; each is read once."""

    root: Path
    largest: int
    contents: dict[str, bytes] = field(default_factory=dict)  # by digest
    _found: dict[str, Asset] = field(default_factory=dict)

    def find(self, name: str) -> Asset:
        """The file called `name`, read.

        Raises:
            NoSuchFile: there is none that may be sent.
        """
        if name not in self._found:
            content = self._read(name)
            _check_content(name, content)
            asset = Asset(name, hashlib.sha256(content).hexdigest(), len(content))
            self.contents[asset.digest] = content
            self._found[name] = asset
        return self._found[name]

    def _read(self, name: str) -> bytes:
        path = self._place(name)
        if suffix_of(name) not in CONTENT_TYPES:
            raise NoSuchFile(f"{name!r} is of a kind that is not sent", _kinds(name))
        size = path.stat().st_size
        if size > self.largest:
            raise NoSuchFile(
                f"{name} has {format_size(size)}, at most {format_size(self.largest)}",
                "put it on a web server and link to it",
            )
        try:
            return path.read_bytes()
        except OSError as error:
            raise NoSuchFile(f"{name} cannot be read: {error.strerror}") from None

    def _place(self, name: str) -> Path:
        """The file's place, links followed, which is below the folder."""
        parts = PurePosixPath(name).parts
        if "\\" in name or name.startswith("/") or ".." in parts or "\0" in name:
            raise NoSuchFile(
                f"{name!r} is no path below {FOLDER}/", f"keep the file in {FOLDER}/ and name it from there"
            )
        try:
            path = (self.root / name).resolve()
            is_file = path.is_file()
        except (OSError, RuntimeError, ValueError):  # a link in a circle, a name too long
            is_file = False
        if not is_file:
            raise NoSuchFile(f"there is no file {name!r} in {FOLDER}/", self._near(name))
        if not path.is_relative_to(self.root.resolve()):
            raise NoSuchFile(f"{name!r} is a link that leads out of {FOLDER}/", "copy the file there")
        return path

    def _near(self, name: str) -> str:
        known = [path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if _may_go(path)]
        return did_you_mean(name.removeprefix(f"{FOLDER}/"), known) if known else f"put it into {FOLDER}/"


def _may_go(path: Path) -> bool:
    return path.suffix.lower() in CONTENT_TYPES and path.is_file()


def suffix_of(name: str) -> str:
    """The ending of a file's name, in small letters."""
    return PurePosixPath(name).suffix.lower()


def _kinds(name: str) -> str:
    return did_you_mean(suffix_of(name), CONTENT_TYPES, limit=30)


def _check_content(name: str, content: bytes) -> None:
    """Nothing happens when the content may be what the name says.

    Raises:
        NoSuchFile: it is empty, or begins as no file of that type does.
    """
    if not content:
        raise NoSuchFile(f"{name} is empty")
    beginnings = _BEGINNINGS.get(suffix_of(name), ())
    if beginnings and not content.startswith(beginnings):
        raise NoSuchFile(
            f"{name} does not begin as a {suffix_of(name)} file does",
            "save it in that format, or give it the ending of its own",
        )
