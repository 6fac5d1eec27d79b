"""New keys: where they are kept, and under which selector."""

import os
from collections.abc import Collection, Iterator
from datetime import date
from pathlib import Path
from string import ascii_lowercase
from typing import Final

from core.errors import UsageError
from delivery.dkim.keys import PrivateKey, pem_of

#: Beside the other folders of a workspace, but never under version control.
FOLDER: Final = "keys"


def key_path(domain: str, selector: str) -> str:
    """Where the key of a selector is kept, relative to the workspace."""
    return f"{FOLDER}/{domain}.{selector}.pem"


def free_selector(root: Path, domain: str, taken: Collection[str], today: date, *, ed25519: bool) -> str:
    """The first of `s2026a`, `s2026b`, … (`e2026a` for Ed25519) that no key of the domain has."""
    return next(
        selector
        for selector in _selectors("e" if ed25519 else "s", today)
        if selector not in taken and not (root / key_path(domain, selector)).exists()
    )


def _selectors(letter: str, today: date) -> Iterator[str]:
    yield from (f"{letter}{today.year}{suffix}" for suffix in ascii_lowercase)
    yield from (f"{letter}{today:%Y%m%d}{first}{second}" for first in ascii_lowercase for second in ascii_lowercase)


def write_key(root: Path, domain: str, selector: str, key: PrivateKey) -> str:
    """The key is in a file of its own that only its owner may read; its path relative to `root` is returned.

    Raises:
        UsageError: the selector has a key already: that one is never replaced.
        OSError: the file system refused.
    """
    folder = root / FOLDER
    if not folder.is_dir():
        folder.mkdir(mode=0o700)
        (folder / ".gitignore").write_text("*\n", encoding="ascii")
    shown = key_path(domain, selector)
    try:
        opened = os.open(root / shown, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        hint = "every key has a selector of its own: name another one with --selector"
        raise UsageError(f"{shown} exists", hint=hint) from None
    with os.fdopen(opened, "wb") as file:
        file.write(pem_of(key))
    return shown
