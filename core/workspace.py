"""The folder a marketer edits, and what belongs to it: settings, secret, and the place for running state."""

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from core.errors import ConfigError, NotFound, Problem
from core.essentials import Essentials, essentials
from core.settings import Settings
from core.settings_mistakes import settings_mistakes
from core.sound_part import sound_part
from core.yaml_files import Document, build, read_document

SETTINGS_FILE = "clarion.yaml"
STATE_FOLDER = ".clarion"
SECRET_VARIABLE = "CLARION_SECRET"  # noqa: S105  the variable's name, not a secret


@dataclass(frozen=True)
class Workspace:
    """One folder with a `clarion.yaml`."""

    root: Path

    @classmethod
    def find(cls, start: Path | None = None) -> "Workspace":
        """The workspace that holds `start` (the current folder, or `$CLARION_WORKSPACE`).

        Raises:
            NotFound: neither the folder nor one above it has a `clarion.yaml`.
        """
        named = os.environ.get("CLARION_WORKSPACE")
        begin = (start or Path(named or ".")).resolve()
        for folder in (begin, *begin.parents):
            if (folder / SETTINGS_FILE).is_file():
                return cls(folder)
        raise NotFound(
            f"no {SETTINGS_FILE} in {begin} or above it",
            hint="go to a workspace, name one with --workspace, or make one with `clarion init DIR`",
        )

    @property
    def state(self) -> Path:
        """The folder for running state, made on first use; nothing in it belongs under version control."""
        folder = self.root / STATE_FOLDER
        if not folder.is_dir():
            folder.mkdir(mode=0o700, exist_ok=True)
            (folder / ".gitignore").write_text("*\n", encoding="utf-8")
        return folder

    @cached_property
    def name_hash(self) -> str:
        """Twelve characters that tell this workspace's folder from others on the machine."""
        return hashlib.blake2b(str(self.root).encode(), digest_size=6).hexdigest()

    def shown(self, path: Path) -> str:
        """`path` as messages show it: relative to the workspace."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)

    def files(self, folder: str, *suffixes: str) -> Iterator[Path]:
        """The files of one folder of the workspace with one of `suffixes`, sorted by name."""
        place = self.root / folder
        if place.is_dir():
            yield from sorted(p for p in place.rglob("*") if p.is_file() and p.suffix in suffixes)

    def read_settings(self) -> tuple[Settings | None, Document]:
        """The settings, or None, and the document with its problems."""
        return checked_settings(read_document(self.root / SETTINGS_FILE, SETTINGS_FILE))

    @cached_property
    def settings(self) -> Settings:
        """The settings.

        Raises:
            ConfigError: with every problem of the file.
        """
        settings, document = self.read_settings()
        if settings is None or document.problems:
            raise ConfigError(problems=document.problems)
        return settings

    @cached_property
    def essentials(self) -> Essentials:
        """The database and the secret, also while the file has mistakes in other places.

        Raises:
            ConfigError: one of the two is itself wrong.
        """
        return essentials((self.root / SETTINGS_FILE).read_text(encoding="utf-8", errors="replace"), SETTINGS_FILE)

    @property
    def secret(self) -> bytes:
        """The key of address keys and Message-IDs: the secret this installation began with.

        What was hashed with it cannot be hashed anew, since nobody knows the addresses: it stays when a new secret
        takes over, as the last one of `retired_secrets`.
        """
        return self.retired_secrets[-1] if self.retired_secrets else self.token_secret

    @cached_property
    def retired_secrets(self) -> tuple[bytes, ...]:
        """Former secrets, the newest first: what was signed with them is still genuine."""
        return tuple(secret.encode() for secret in self.essentials.retired_secrets)

    @cached_property
    def token_secret(self) -> bytes:
        """The key of tokens and return paths: from settings, environment, or `.clarion/secret`.

        It is made once for a workspace that has none. Everything signed depends on it, so all machines of one
        installation must share it.
        """
        given = self.essentials.secret or os.environ.get(SECRET_VARIABLE)
        if given:
            return given.encode()
        path = self.state / "secret"
        if not path.exists():
            draft = path.with_suffix(f".{os.getpid()}")
            draft.touch(mode=0o600)
            draft.write_text(secrets.token_hex(32), encoding="ascii")
            with contextlib.suppress(FileExistsError):  # another process was first: its secret counts
                os.link(draft, path)
            draft.unlink()
        return path.read_bytes().strip()


def checked_settings(document: Document) -> tuple[Settings | None, Document]:
    """What `document` sets, or None, and the document with its problems: those between its values, too, of all that
    are right one by one."""
    settings = build(Settings, document)
    document.problems += settings_mistakes(settings or sound_part(Settings, document), document)
    return settings, document


def raise_if(problems: list[Problem]) -> None:
    """Nothing happens when there are no problems.

    Raises:
        ConfigError: with all of them.
    """
    if problems:
        raise ConfigError(problems=problems)
