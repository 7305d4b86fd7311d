"""The sandbox's certificate authority and the server certificates it issues; EC keys, made in milliseconds.

Knows nothing of HTTP. The one invariant: a private key stays in memory but for the moment that OpenSSL needs a file,
and that file is in a private directory and removed at once.
"""

from __future__ import annotations

import ipaddress
import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternative_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class CertificateAuthority:
    """A certificate authority of one run.

    `now_seconds` (Unix, of the clock that TLS goes by) is the middle of its certificates' ten years.
    """

    def __init__(self, now_seconds: float, common_name: str = "eliot-broker sandbox CA") -> None:
        self._now = datetime.fromtimestamp(now_seconds, UTC)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(common_name)
        self._certificate = (
            self._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def pem(self) -> bytes:
        """The authority's certificate, for `ca_file`."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def server_context(self, names: Sequence[str] = LOOPBACK_NAMES, *, expired: bool = False) -> ssl.SSLContext:
        """A TLS context with a new certificate for `names`; `expired` made it end yesterday."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory(prefix="eliot-sandbox-") as directory:
            chain = Path(directory, "chain.pem")
            chain.touch(mode=0o600)
            chain.write_bytes(self.server_pem(names, expired=expired))
            context.load_cert_chain(chain)
        return context

    def server_pem(self, names: Sequence[str] = LOOPBACK_NAMES, *, expired: bool = False) -> bytes:
        """A new certificate for `names` and its private key, for a server in another process."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(_name("eliot-broker sandbox"), key.public_key(), expired=expired)
        certificate = (
            builder.add_extension(x509.SubjectAlternativeName([_alternative_name(n) for n in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return certificate.public_bytes(serialization.Encoding.PEM) + private

    def _builder(
        self, subject: x509.Name, public_key: ec.EllipticCurvePublicKey, *, expired: bool = False
    ) -> x509.CertificateBuilder:
        ends = self._now - timedelta(days=1) if expired else self._now + timedelta(days=1826)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - timedelta(days=1826))
            .not_valid_after(ends)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
