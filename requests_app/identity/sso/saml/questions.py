"""Writes the question to the identity provider: a signed AuthnRequest in the redirect binding (SAML Bindings, 3.4)."""

from __future__ import annotations

import base64
import secrets
import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID
from lxml import etree

from requests_app.identity.sso.saml.names import ASSERTION, PERSISTENT, POST, PROTOCOL, saml, samlp
from requests_app.identity.sso.saml.signatures import RSA_SHA256

_KEY_BITS = 3072
#: The certificate only carries the key. Who takes it from the metadata pins it, so its end must not stop sign-ins.
_CERTIFICATE_FOR = timedelta(days=3650)


@dataclass(frozen=True, kw_only=True)
class ServiceKey:
    """A key of this service provider: PEM of the private key, and the certificate as DER in base64."""

    private: str
    certificate: str

    @classmethod
    def new(cls, name: str, *, at: datetime) -> ServiceKey:
        key = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
        owner = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(owner)
            .issuer_name(owner)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(at - timedelta(days=1))
            .not_valid_after(at + _CERTIFICATE_FOR)
            .sign(key, hashes.SHA256())
        )
        return cls.of(key, certificate)

    @classmethod
    def of(cls, key: rsa.RSAPrivateKey, certificate: x509.Certificate) -> ServiceKey:
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        der = certificate.public_bytes(serialization.Encoding.DER)
        return cls(private=private.decode(), certificate=base64.b64encode(der).decode())

    @property
    def key(self) -> rsa.RSAPrivateKey:
        # Its numbers were checked when it was made or read. Checking them again takes half a second of each sign-in.
        found = serialization.load_pem_private_key(
            self.private.encode(), password=None, unsafe_skip_rsa_key_validation=True
        )
        if not isinstance(found, rsa.RSAPrivateKey):
            raise ValueError("not an RSA key")
        return found


def new_id() -> str:
    """Return an id for a question. It is also the secret that the answer must bring back; an xs:ID begins so."""
    return f"_{secrets.token_hex(20)}"


def address(
    *,
    sso_url: str,
    entity_id: str,
    acs: str,
    request_id: str,
    relay_state: str,
    key: ServiceKey,
    at: datetime,
    again: bool = False,
) -> str:
    """Return the URL at the identity provider to which the browser is sent.

    With `again`, the person must authenticate again, even if they are signed in there.
    """
    root = etree.Element(
        samlp("AuthnRequest"),
        nsmap={"samlp": PROTOCOL, "saml": ASSERTION},
        ID=request_id,
        Version="2.0",
        IssueInstant=at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        Destination=sso_url,
        ProtocolBinding=POST,
        AssertionConsumerServiceURL=acs,
    )
    if again:
        root.set("ForceAuthn", "true")
    etree.SubElement(root, saml("Issuer")).text = entity_id
    etree.SubElement(root, samlp("NameIDPolicy"), Format=PERSISTENT, AllowCreate="true")
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(etree.tostring(root)) + packer.flush()
    # The signature is over exactly these three fields in this order.
    query = urlencode(
        {"SAMLRequest": base64.b64encode(packed).decode(), "RelayState": relay_state, "SigAlg": RSA_SHA256}
    )
    signature = key.key.sign(query.encode(), padding.PKCS1v15(), hashes.SHA256())
    query += "&" + urlencode({"Signature": base64.b64encode(signature).decode()})
    return f"{sso_url}{'&' if '?' in sso_url else '?'}{query}"
