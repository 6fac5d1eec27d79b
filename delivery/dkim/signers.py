"""The signers of a workspace: keys read from where the settings say, and checked."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.addresses import parse_address
from core.clock import Clock, SystemClock
from core.dkim_settings import DkimDomain, DkimKey
from core.errors import ConfigError
from delivery.dkim.keys import WANTED_BITS, SigningKey, read_key
from delivery.dkim.signer import Signer

_KEY_SUFFIXES: Final = (".pem", ".key", ".private")
_READABLE_BY_OTHERS: Final = 0o004


@dataclass(frozen=True, slots=True)
class KeyFault:
    """What is wrong with the keys of one domain. `place`: the number of the key; None: all of them together."""

    domain: str
    place: int | None
    message: str
    hint: str

    def __str__(self) -> str:
        return f"{self.domain}: {self.message}"


def signers(
    settings: Mapping[str, DkimDomain],
    root: Path,
    clock: Clock = SystemClock(),  # noqa: B008  has no state
) -> Mapping[str, Signer]:
    """The signer of each domain (as A-labels) that has keys. `root`: the folder at which relative paths begin.

    Raises:
        ConfigError: with everything that is wrong with any key; none of a key is in it.
    """
    read = {domain: _read(domain, section, root) for domain, section in settings.items()}
    faults = [fault for _, found in read.values() for fault in found]
    if faults:
        raise ConfigError("; ".join(f"dkim: {fault}" for fault in faults), hint=faults[0].hint, where="clarion.yaml")
    # RSA first: some receivers look at the first signature only.
    return {
        domain: Signer(tuple(sorted(keys, key=lambda key: not key.is_rsa)), clock) for domain, (keys, _) in read.items()
    }


def signer_for(signers: Mapping[str, Signer], email: str) -> Signer | None:
    """The signer of the mail that `email` sends; None: it goes unsigned."""
    return signers.get(parse_address(email).domain)


def key_faults(settings: Mapping[str, DkimDomain], root: Path) -> list[KeyFault]:
    """Everything that keeps the mail of a domain from being signed as the settings say."""
    return [fault for domain, section in settings.items() for fault in _read(domain, section, root)[1]]


def key_remarks(settings: Mapping[str, DkimDomain], root: Path) -> list[str]:
    """What is not wrong but should be mended: short keys, and key files that anybody may read."""
    remarks = []
    for domain, section in settings.items():
        for entry in section.keys:
            name = f"dkim: {domain}: the key of selector {entry.selector!r}"
            key = signing_key(domain, entry, root)
            if key.is_rsa and key.bits < WANTED_BITS:
                remarks.append(f"{name} is short (got {key.bits} bits, expected {WANTED_BITS}): replace it")
            if entry.file is not None and (root / entry.file).stat().st_mode & _READABLE_BY_OTHERS:
                remarks.append(f"{name} may be read by every user of this machine: `chmod 600` its file")
    return remarks


def signing_key(domain: str, entry: DkimKey, root: Path) -> SigningKey:
    """The key of one selector.

    Raises:
        ConfigError: there is no usable key; none of it is in the message.
    """
    return SigningKey(domain, entry.selector, read_key(_text(entry, root)))


def _text(entry: DkimKey, root: Path) -> str:
    if entry.file is None:
        return entry.key or ""
    path = root / entry.file
    # What stands here by mistake may be a key: only what looks like the path of one is shown.
    shown = f"the key file {entry.file}" if path.suffix in _KEY_SUFFIXES else "the key file"
    try:
        return path.read_text(encoding="ascii")
    except UnicodeDecodeError:
        raise ConfigError(f"{shown} is not a private key in PEM", hint="convert it: `openssl pkey`") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        hint = "a relative path begins at the workspace; `clarion dkim generate DOMAIN` makes a key"
        raise ConfigError(f"{shown} cannot be read: {reason}", hint=hint) from None


def _read(domain: str, section: DkimDomain, root: Path) -> tuple[list[SigningKey], list[KeyFault]]:
    """The keys of a domain that sign, and what is wrong with any of its keys."""
    signing: list[SigningKey] = []
    faults: list[KeyFault] = []
    for place, entry in enumerate(section.keys):
        try:
            key = signing_key(domain, entry, root)
        except ConfigError as error:
            faults.append(KeyFault(domain, place, f"selector {entry.selector!r}: {error.message}", error.hint))
        else:
            signing += [key] if entry.signs else []
    return signing, faults or list(_wrong_kinds(domain, signing))


def _wrong_kinds(domain: str, signing: list[SigningKey]) -> Iterator[KeyFault]:
    rsa_count = sum(key.is_rsa for key in signing)
    if rsa_count != 1:
        hint = "mark the others 'signs: false'" if rsa_count else "every receiver reads RSA, not every one Ed25519"
        yield KeyFault(domain, None, f"one RSA key must sign (got {rsa_count})", hint)
    if len(signing) - rsa_count > 1:
        yield KeyFault(domain, None, "at most one Ed25519 key may sign", "mark the others 'signs: false'")
