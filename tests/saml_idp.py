"""A SAML identity provider that signs and encrypts with libxmlsec1, and so shares no code with the product.

Each test decides what it says. Its metadata, its keys and its answers are those of no real organisation.
"""

from __future__ import annotations

import base64
import datetime as dt
import functools
import importlib
import zlib
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from lxml import etree

# The types that it brings leave out most of what it has.
xmlsec: Any = importlib.import_module("xmlsec")

PROTOCOL = "urn:oasis:names:tc:SAML:2.0:protocol"
ASSERTION = "urn:oasis:names:tc:SAML:2.0:assertion"
METADATA = "urn:oasis:names:tc:SAML:2.0:metadata"
DS = "http://www.w3.org/2000/09/xmldsig#"
PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
ENTITY_ID = "https://idp.contoso.example/metadata"
SSO_URL = "https://idp.contoso.example/sso"


@functools.cache
def key_pair(name: str = "idp", kind: str = "rsa2048") -> tuple[bytes, str]:
    """Return a private key as PEM, and its certificate as DER in base64. Each name has its own key."""
    key: Any
    if kind == "ec":
        key = ec.generate_private_key(ec.SECP256R1())
    else:
        key = rsa.generate_private_key(public_exponent=65537, key_size=int(kind.removeprefix("rsa")))
    owner = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(owner)
        .issuer_name(owner)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=365))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem, base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()


def fixed_certificate(number: int) -> str:
    """Return a certificate that is the same in each run, as DER in base64. Nobody has to sign with its key."""
    key = ec.derive_private_key(1000 + number, ec.SECP256R1())
    owner = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"fixed {number}")])
    start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(owner)
        .issuer_name(owner)
        .public_key(key.public_key())
        .serial_number(1 + number)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=365))
        .sign(key, hashes.SHA256(), ecdsa_deterministic=True)
    )
    return base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()


@dataclass(frozen=True, kw_only=True)
class Says:
    """What an answer says. The defaults make a good answer."""

    acs: str
    audience: str
    request_id: str
    at: dt.datetime
    subject: str = "p-ada"
    issuer: str = ENTITY_ID
    name_format: str = PERSISTENT
    attributes: dict[str, list[str]] = field(default_factory=dict)
    #: Values that differ from the defaults only in attacks.
    destination: str | None = None
    recipient: str | None = None
    response_to: str | None = None
    confirmed_to: str | None = None
    response_issuer: str | None = None
    not_before: dt.timedelta = dt.timedelta(minutes=-1)
    not_after: dt.timedelta = dt.timedelta(minutes=5)
    confirmed_until: dt.timedelta = dt.timedelta(minutes=5)
    issued: dt.timedelta = dt.timedelta()
    authenticated: dt.timedelta = dt.timedelta(seconds=-5)
    session_until: dt.timedelta | None = None
    method: str = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
    status: str = "urn:oasis:names:tc:SAML:2.0:status:Success"
    qualifiers: dict[str, str] = field(default_factory=dict)
    more_conditions: str = ""

    def time(self, offset: dt.timedelta = dt.timedelta()) -> str:
        return (self.at + offset).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def response(says: Says, *, prefix_of_type: str = "") -> Any:
    """Return an unsigned Response with one Assertion."""
    recipient = says.acs if says.recipient is None else says.recipient
    destination = says.acs if says.destination is None else says.destination
    to = says.request_id if says.response_to is None else says.response_to
    confirmed_to = says.request_id if says.confirmed_to is None else says.confirmed_to
    values = "".join(
        f'<saml:Attribute Name="{name}">'
        + "".join(f"<saml:AttributeValue{prefix_of_type}>{value}</saml:AttributeValue>" for value in each)
        + "</saml:Attribute>"
        for name, each in says.attributes.items()
    )
    statement = f"<saml:AttributeStatement>{values}</saml:AttributeStatement>" if values else ""
    qualifiers = "".join(f' {name}="{value}"' for name, value in says.qualifiers.items())
    until = f' SessionNotOnOrAfter="{says.time(says.session_until)}"' if says.session_until is not None else ""
    to_attribute = f' InResponseTo="{to}"' if to else ""
    confirmed_attribute = f' InResponseTo="{confirmed_to}"' if confirmed_to else ""
    return etree.fromstring(f"""<samlp:Response xmlns:samlp="{PROTOCOL}" xmlns:saml="{ASSERTION}"
        xmlns:xs="http://www.w3.org/2001/XMLSchema" ID="_r{uuid4().hex}" Version="2.0"
        IssueInstant="{says.time(says.issued)}" Destination="{destination}"{to_attribute}>
    <saml:Issuer>{says.response_issuer or says.issuer}</saml:Issuer>
    <samlp:Status><samlp:StatusCode Value="{says.status}"/></samlp:Status>
    <saml:Assertion ID="_a{uuid4().hex}" Version="2.0" IssueInstant="{says.time(says.issued)}">
      <saml:Issuer>{says.issuer}</saml:Issuer>
      <saml:Subject>
        <saml:NameID Format="{says.name_format}"{qualifiers}>{says.subject}</saml:NameID>
        <saml:SubjectConfirmation Method="{says.method}">
          <saml:SubjectConfirmationData Recipient="{recipient}"{confirmed_attribute}
            NotOnOrAfter="{says.time(says.confirmed_until)}"/>
        </saml:SubjectConfirmation>
      </saml:Subject>
      <saml:Conditions NotBefore="{says.time(says.not_before)}" NotOnOrAfter="{says.time(says.not_after)}">
        <saml:AudienceRestriction><saml:Audience>{says.audience}</saml:Audience></saml:AudienceRestriction>
        {says.more_conditions}
      </saml:Conditions>
      <saml:AuthnStatement AuthnInstant="{says.time(says.authenticated)}"{until} SessionIndex="_s1">
        <saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:Password</saml:AuthnContextClassRef></saml:AuthnContext>
      </saml:AuthnStatement>
      {statement}
    </saml:Assertion>
</samlp:Response>""")


def assertion_of(root: Any) -> Any:
    return root.find(f"{{{ASSERTION}}}Assertion")


def sign(
    node: Any,
    *,
    key: tuple[bytes, str] | None = None,
    method: str = "RSA_SHA256",
    digest: str = "SHA256",
    c14n: str = "EXCL_C14N",
    secret: bytes = b"",
    prefixes: str = "",
    with_certificate: bool = True,
    uri: str | None = None,
) -> Any:
    """Sign this element in its document, with the signature after its Issuer. Return the element."""
    pem, certificate = key or key_pair()
    root = node.getroottree().getroot()
    xmlsec.tree.add_ids(root, ["ID"])
    template = xmlsec.template.create(root, getattr(xmlsec.Transform, c14n), getattr(xmlsec.Transform, method), ns="ds")
    node.insert(1, template)
    reference = xmlsec.template.add_reference(
        template, getattr(xmlsec.Transform, digest), uri=f"#{node.get('ID')}" if uri is None else uri
    )
    xmlsec.template.add_transform(reference, xmlsec.Transform.ENVELOPED)
    exclusive = xmlsec.template.add_transform(reference, getattr(xmlsec.Transform, c14n))
    if prefixes:
        xmlsec.template.transform_add_c14n_inclusive_namespaces(exclusive, prefixes.split())
    info = xmlsec.template.ensure_key_info(template)
    if with_certificate:
        data = etree.SubElement(info, f"{{{DS}}}X509Data")
        etree.SubElement(data, f"{{{DS}}}X509Certificate").text = certificate
    context = xmlsec.SignatureContext()
    if secret:
        context.key = xmlsec.Key.from_binary_data(xmlsec.KeyData.HMAC, secret)
    else:
        context.key = xmlsec.Key.from_memory(pem, xmlsec.KeyFormat.PEM)
    context.sign(template)
    return node


def encrypt(
    root: Any,
    certificate: str,
    *,
    data: str = "AES256_GCM",
    transport: str = "RSA_OAEP",
) -> Any:
    """Replace the Response's (signed) Assertion by an EncryptedAssertion. Return the Response."""
    assertion = assertion_of(root)
    # The plain text must be a document of its own.
    alone = etree.fromstring(etree.tostring(assertion, method="c14n", exclusive=True, with_tail=False))
    return encrypt_element(root, assertion, alone, certificate, data=data, transport=transport)


def encrypt_element(root: Any, place: Any, alone: Any, certificate: str, *, data: str, transport: str) -> Any:
    template = xmlsec.template.encrypted_data_create(
        root, getattr(xmlsec.Transform, data), type=xmlsec.EncryptionType.ELEMENT, ns="xenc"
    )
    xmlsec.template.encrypted_data_ensure_cipher_value(template)
    info = xmlsec.template.encrypted_data_ensure_key_info(template, ns="ds")
    wrapped = xmlsec.template.add_encrypted_key(info, getattr(xmlsec.Transform, transport))
    xmlsec.template.encrypted_data_ensure_cipher_value(wrapped)
    manager = xmlsec.KeysManager()
    pem = f"-----BEGIN CERTIFICATE-----\n{certificate}\n-----END CERTIFICATE-----\n"
    manager.add_key(xmlsec.Key.from_memory(pem.encode(), xmlsec.KeyFormat.CERT_PEM))
    context = xmlsec.EncryptionContext(manager)
    kind, size = (xmlsec.KeyData.DES, 192) if data.startswith("DES") else (xmlsec.KeyData.AES, int(data[3:6]))
    context.key = xmlsec.Key.generate(kind, size, xmlsec.KeyDataType.SESSION)
    holder = etree.Element(f"{{{ASSERTION}}}EncryptedAssertion", nsmap={"saml": ASSERTION})
    place.getparent().replace(place, holder)
    # Encrypted as text, because libxmlsec1 would leave out namespaces that the answer around it declares.
    holder.append(context.encrypt_binary(template, etree.tostring(alone)))
    return root


def as_bytes(root: Any) -> bytes:
    return bytes(etree.tostring(root))


def good(says: Says, **how: Any) -> bytes:
    """Return a good answer: the assertion is signed, and the answer around it is not."""
    root = response(says)
    sign(assertion_of(root), **how)
    return as_bytes(root)


def metadata(
    *certificates: str,
    entity_id: str = ENTITY_ID,
    sso_url: str = SSO_URL,
    until: str = "",
    keep_for: str = "",
    more: str = "",
) -> bytes:
    keys = "".join(
        f'<md:KeyDescriptor use="signing"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>{each}</ds:X509Certificate>'
        "</ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"
        for each in certificates or (key_pair()[1],)
    )
    end = f' validUntil="{until}"' if until else ""
    end += f' cacheDuration="{keep_for}"' if keep_for else ""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<!-- Written by hand, as administrators do. -->
<md:EntityDescriptor xmlns:md="{METADATA}" xmlns:ds="{DS}" entityID="{entity_id}"{end}>{more}
  <md:IDPSSODescriptor protocolSupportEnumeration="{PROTOCOL}">{keys}
    <md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="{sso_url}"/>
    <md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="{sso_url}"/>
  </md:IDPSSODescriptor>
</md:EntityDescriptor>""".encode()


def signed_metadata(data: bytes, key: tuple[bytes, str], **how: Any) -> bytes:
    """Return the same metadata, with a signature by this key over all of it."""
    root = etree.fromstring(data)
    root.set("ID", "_metadata")
    return as_bytes(sign(root, key=key, **how))


@dataclass(frozen=True)
class Question:
    """An AuthnRequest as the identity provider reads it from the address."""

    xml: Any
    relay_state: str
    query: str

    @property
    def id(self) -> str:
        return str(self.xml.get("ID"))

    def answered(self, at: dt.datetime, **more: Any) -> Says:
        acs = self.xml.get("AssertionConsumerServiceURL")
        audience = self.xml.findtext(f"{{{ASSERTION}}}Issuer")
        return replace(Says(acs=acs, audience=audience, request_id=self.id, at=at), **more)


def asked(url: str) -> Question:
    parts = urlsplit(url)
    values = {name: each[0] for name, each in parse_qs(parts.query).items()}
    packed = base64.b64decode(values["SAMLRequest"])
    return Question(etree.fromstring(zlib.decompress(packed, -15)), values["RelayState"], parts.query)
