"""The public halves of keys, as DNS holds them."""

import binascii
import re
from typing import Final

from core.errors import ConfigError
from delivery.dkim.keys import SigningKey

_LONGEST_STRING: Final = 255  # octets of one string of a TXT record; a record may hold several
_TTL_S: Final = 3600
_BLANKS: Final = re.compile(r"\s+")


def record_value(key: SigningKey) -> str:
    """The text of the TXT record at `key.dns_name` (RFC 6376 section 3.6.1, RFC 8463 section 4.2)."""
    public = binascii.b2a_base64(key.public_octets(), newline=False).decode()
    return f"v=DKIM1; k={'rsa' if key.is_rsa else 'ed25519'}; p={public}"


def txt_strings(value: str) -> list[str]:
    """`value` in pieces that each fit into one string of a TXT record; verifiers join them without a blank."""
    return [value[at : at + _LONGEST_STRING] for at in range(0, len(value), _LONGEST_STRING)]


def zone_lines(key: SigningKey) -> str:
    """The record as a zone file holds it."""
    strings = "\n".join(f'    "{piece}"' for piece in txt_strings(record_value(key)))
    return f"{key.dns_name}. {_TTL_S} IN TXT (\n{strings}\n)"


def record_fault(key: SigningKey, found: str) -> str | None:
    """Why `found`, the text of a TXT record, does not serve to verify signatures of `key`; None: it does."""
    try:
        tags = _tags(found)
    except ConfigError as error:
        return error.message
    wanted = _tags(record_value(key))
    if tags.get("v", "DKIM1") != "DKIM1":
        return "it is not a DKIM record"
    if not tags.get("p"):
        return "its key is revoked (p= is empty)" if "p" in tags else "it has no key (p= is missing)"
    if tags.get("k", "rsa") != wanted["k"]:
        return f"it is for another kind of key (got k={tags.get('k', 'rsa')}, expected k={wanted['k']})"
    if tags["p"] != wanted["p"]:
        return "its key is another one (p= differs)"
    return _use_fault(tags)


def _use_fault(tags: dict[str, str]) -> str | None:
    """What the record's limits forbid: other hashes, other services (RFC 6376 section 3.6.1)."""
    if "h" in tags and "sha256" not in tags["h"].split(":"):
        return f"it does not allow SHA-256 (got h={tags['h']})"
    if "s" in tags and not {"*", "email"} & set(tags["s"].split(":")):
        return f"it does not allow mail (got s={tags['s']})"
    if "y" in tags.get("t", "").split(":"):
        return "it says that the domain only tests DKIM (t=y): verifiers treat its mail as unsigned"
    return None


def _tags(text: str) -> dict[str, str]:
    """The tags of a record, without the blanks in their values."""
    found = {}
    for part in filter(str.strip, text.split(";")):
        name, equals, value = part.partition("=")
        if not equals:
            raise ConfigError("it is not a list of tags, such as 'v=DKIM1; k=rsa; p=…'")
        found[name.strip()] = _BLANKS.sub("", value)
    return found
