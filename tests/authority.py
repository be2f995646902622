"""A certificate authority for tests, and the certificates that it signs."""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

KEY_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


class Authority:
    """A certificate authority that keeps its files in `place`."""

    def __init__(self, place: Path) -> None:
        self._place, self._key = place, ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        #: What a client must trust (SSL_CERT_FILE).
        self.path = place / "ca.pem"
        self.path.write_bytes(_pem(self._signed(self._name, self._key.public_key(), None, is_ca=True)))

    def server(self, host: str) -> ssl.SSLContext:
        """Return what a server needs that shows a certificate for this name."""
        mine = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.DNSName(host)])
        return self._context(host, self._signed(x509.Name([]), mine.public_key(), names, is_ca=False), mine)

    def self_signed(self, host: str) -> ssl.SSLContext:
        """Return what a server needs that shows a certificate for this name which no authority has signed."""
        names = x509.SubjectAlternativeName([x509.DNSName(host)])
        return self._context(host, self._signed(self._name, self._key.public_key(), names, is_ca=False), self._key)

    def _context(self, host: str, leaf: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> ssl.SSLContext:
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path = self._place / f"{host}.pem"
        path.write_bytes(_pem(leaf) + secret)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _signed(self, subject: x509.Name, public: Any, extension: Any, *, is_ca: bool) -> x509.Certificate:
        now = dt.datetime.now(tz=dt.UTC)
        builder = x509.CertificateBuilder(
            self._name, subject, public, x509.random_serial_number(), now, now + dt.timedelta(1)
        )
        builder = builder.add_extension(x509.BasicConstraints(is_ca, None), critical=True)
        # RFC 5280, 4.2.1 requires this of every certificate, and Python 3.13 and later check it.
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(issuer, critical=False)
        if is_ca:
            signs = dict.fromkeys(KEY_USAGES, False) | {"key_cert_sign": True}
            builder = builder.add_extension(x509.KeyUsage(**signs), critical=True)
            mine = x509.SubjectKeyIdentifier.from_public_key(public)
            builder = builder.add_extension(mine, critical=False)
        if extension:
            builder = builder.add_extension(extension, critical=not is_ca)
        return builder.sign(self._key, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
