"""Private keys under their selectors: read, made, and used. Nothing shows what is in them (S-3.6)."""

import re
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from core.errors import ConfigError

#: RFC 8301 section 3.2: signers use 1024 bits at least, and should use 2048 (S-3.1).
LEAST_BITS: Final = 1024
WANTED_BITS: Final = 2048
_MOST_BITS: Final = 4096  # verifiers need not take longer ones
_PEM: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
_PADDING: Final = padding.PKCS1v15()
_SHA256: Final = hashes.SHA256()

PrivateKey = RSAPrivateKey | Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One private key, and the name in DNS under which its public half is found."""

    domain: str  # as A-labels
    selector: str
    private: PrivateKey = field(repr=False)

    @property
    def algorithm(self) -> str:
        """The a= of its signatures."""
        return "rsa-sha256" if self.is_rsa else "ed25519-sha256"

    @property
    def is_rsa(self) -> bool:
        """Whether every verifier can check its signatures; Ed25519 is not understood everywhere."""
        return isinstance(self.private, RSAPrivateKey)

    @property
    def bits(self) -> int:
        """The length of the key."""
        return self.private.key_size if isinstance(self.private, RSAPrivateKey) else 256

    @property
    def dns_name(self) -> str:
        """Where verifiers look for the public half, without a final dot."""
        return f"{self.selector}._domainkey.{self.domain}"

    def signature(self, covered: bytes) -> bytes:
        """The signature over the octets that a DKIM-Signature field covers."""
        if isinstance(self.private, RSAPrivateKey):
            return self.private.sign(covered, _PADDING, _SHA256)
        digest = hashes.Hash(_SHA256)
        digest.update(covered)
        return self.private.sign(digest.finalize())  # RFC 8463 section 3: the digest is what Ed25519 signs

    def public_octets(self) -> bytes:
        """The public half as DNS records hold it: a SubjectPublicKeyInfo, or the 32 octets of Ed25519."""
        public = self.private.public_key()
        if self.is_rsa:
            return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def new_key(*, ed25519: bool = False) -> PrivateKey:
    """A fresh private key: RSA of 2048 bits, or Ed25519."""
    return Ed25519PrivateKey.generate() if ed25519 else generate_private_key(65537, WANTED_BITS)


def pem_of(key: PrivateKey) -> bytes:
    """The private key as a file holds it, without a passphrase."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def read_key(text: str) -> PrivateKey:
    """The private key that `text` holds in PEM; line ends may have become blanks or `\\n` on their way.

    Raises:
        ConfigError: it is none, it is protected by a passphrase, or it is too short. The message holds none of it.
    """
    found = _PEM.search(text)
    if found is None:
        raise ConfigError("not a private key (expected PEM, '-----BEGIN PRIVATE KEY-----')", hint=_HINT)
    label, inner = found.groups()
    if "PUBLIC" in label or "CERTIFICATE" in label:
        raise ConfigError(f"not a private key (got a {label.lower()})", hint=_HINT)
    return _usable(_loaded(f"-----BEGIN {label}-----\n{_lines(inner)}\n-----END {label}-----\n".encode()))


_HINT: Final = "`clarion dkim generate DOMAIN` makes one"


def _lines(inner: str) -> str:
    """PEM's lines anew. Fields of the old encryption (`Proc-Type: …`) are kept, so that they are told of."""
    if ":" in inner:
        return inner.strip("\n")
    return "".join(inner.replace("\\n", "").split())


def _loaded(pem: bytes) -> object:
    try:
        return serialization.load_pem_private_key(pem, password=None)
    except TypeError:  # how `cryptography` says that a password is needed
        hint = "remove it: `openssl pkey -in OLD -out NEW`, then guard the new file"
        raise ConfigError("the private key is protected by a passphrase", hint=hint) from None
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError("the private key is damaged or of an unknown kind", hint=_HINT) from None


def _usable(key: object) -> PrivateKey:
    if isinstance(key, Ed25519PrivateKey):
        return key
    if not isinstance(key, RSAPrivateKey):
        raise ConfigError("the private key is of another kind (expected RSA or Ed25519)", hint=_HINT)
    if not LEAST_BITS <= key.key_size <= _MOST_BITS:
        expected = f"{WANTED_BITS} bits, at least {LEAST_BITS} and at most {_MOST_BITS}"
        raise ConfigError(f"the private key has the wrong length (got {key.key_size} bits, expected {expected})",
                          hint=_HINT)  # fmt: skip
    return key
