"""Certificates for tests of TLS: real ones, made in the test, from an authority that only the tests trust."""

import ipaddress
import ssl
import tempfile
import warnings
from datetime import UTC, datetime
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

AUTHORITY = trustme.CA()


def server_context(*names: str, expires: datetime | None = None) -> ssl.SSLContext:
    """A server that shows a certificate for `names`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert(*names, not_after=expires).configure_cert(context)
    return context


def expired_context(*names: str) -> ssl.SSLContext:
    """A server whose certificate ran out long ago."""
    return server_context(*names, expires=datetime(2020, 1, 1, tzinfo=UTC))


def self_signed_context(address: str) -> ssl.SSLContext:
    """A server that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, address)])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2100, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "both.pem")
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
        context.load_cert_chain(file)
    return context


def outdated_context(*names: str) -> ssl.SSLContext:
    """A server that knows TLS 1.1 and nothing newer."""
    context = server_context(*names)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


def trusting() -> ssl.SSLContext:
    """The verifying default that also trusts the tests' authority."""
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context
