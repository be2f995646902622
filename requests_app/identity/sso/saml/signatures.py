"""Checks XML signatures in the one form that SAML allows, and returns the bytes that were signed.

The product reads only a copy that is parsed from exactly these bytes. So it does not matter where in the document the
signed element was, or how another parser would read the document: signature wrapping changes nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from lxml import etree

from requests_app.identity.sso.failures import SignOnFailed
from requests_app.identity.sso.saml.documents import MOST_ANSWER, Element, base64_text, children, only, parsed
from requests_app.identity.sso.saml.names import DS, ENVELOPED, EXCLUSIVE, ds

_MORE = "http://www.w3.org/2001/04/xmldsig-more#"
_XMLENC = "http://www.w3.org/2001/04/xmlenc#"

#: The accepted algorithms. There is no SHA-1 and no MAC: a MAC's key would be a public certificate.
DIGESTS = {f"{_XMLENC}sha256": "sha256", f"{_MORE}sha384": "sha384", f"{_XMLENC}sha512": "sha512"}
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
RSA_SHA256 = f"{_MORE}rsa-sha256"
_RSA = {f"{_MORE}rsa-{name}": name for name in _HASHES}
_ECDSA = {f"{_MORE}ecdsa-{name}": name for name in _HASHES}
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
LEAST_RSA_BITS = 2048
#: The most prefixes that a canonicalization treats as an inclusive one does, and the most elements of a
#: SignedInfo. Each prefix is looked for at each element and all above it, and nothing is signed by then: without these
#: limits, one small answer takes a minute of the processor.
MOST_PREFIXES, MOST_OF_INFO = 32, 20

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


@dataclass(frozen=True)
class _Signed:
    """What a signature says that it signs."""

    uri: str
    digest: str
    value: str
    prefixes: list[str]


def is_strong(key: object) -> bool:
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size >= LEAST_RSA_BITS
    return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES)


def is_signed(element: Element) -> bool:
    return bool(children(element, ds("Signature")))


def verified(element: Element, keys: Sequence[PublicKey], *, at_most: int = MOST_ANSWER) -> Element:
    """Return a copy of the element, parsed from the bytes that one of these keys has signed. Raise SignOnFailed.

    The signature must be a child of the element and must sign exactly this element (SAML Core, section 5.4). The
    signature's own KeyInfo is not read. The element's tree is changed, so don't read the element afterwards.
    """
    signature = only(element, ds("Signature"), code="signature")
    info = only(signature, ds("SignedInfo"), code="signature")
    names = [child.tag for child in signature]
    if names not in ([ds("SignedInfo"), ds("SignatureValue")], [ds("SignedInfo"), ds("SignatureValue"), ds("KeyInfo")]):
        raise SignOnFailed("signature", "form")
    if sum(1 for _each in info.iter()) > MOST_OF_INFO:
        raise SignOnFailed("signature", "form")
    canonical_info = _canonical(info, _prefixes(only(info, ds("CanonicalizationMethod"), code="signature")))
    info = parsed(canonical_info, code="signature")
    method = only(info, ds("SignatureMethod"), code="signature").get("Algorithm", "")
    _require_signature(method, base64_text(only(signature, ds("SignatureValue"))), canonical_info, keys)
    signed = _read(info)
    identifier = element.get("ID", "")
    if not identifier or signed.uri != f"#{identifier}" or not _is_unique(element, identifier):
        raise SignOnFailed("signature", "reference")
    _take_out(signature)
    canonical = _canonical(element, signed.prefixes)
    if not hmac.compare_digest(hashlib.new(signed.digest, canonical).digest(), _decoded(signed.value)):
        raise SignOnFailed("signature", "digest")
    copy = parsed(canonical, code="signature", at_most=at_most)
    if copy.tag != element.tag or copy.get("ID") != identifier:
        raise SignOnFailed("signature", "element")
    return copy


def _read(info: Element) -> _Signed:
    """Read the SignedInfo. Its form is fixed, so that no transform can leave a part of the element out."""
    if [child.tag for child in info] != [ds("CanonicalizationMethod"), ds("SignatureMethod"), ds("Reference")]:
        raise SignOnFailed("signature", "form")
    reference = info[2]
    if [child.tag for child in reference] != [ds("Transforms"), ds("DigestMethod"), ds("DigestValue")]:
        raise SignOnFailed("signature", "form")
    transforms = list(reference[0])
    names = [each.get("Algorithm") for each in transforms if each.tag == ds("Transform")]
    if len(names) != len(transforms) or names != [ENVELOPED, EXCLUSIVE] or len(transforms[0]):
        raise SignOnFailed("signature", "transforms")
    digest = DIGESTS.get(reference[1].get("Algorithm", ""), "")
    if not digest or len(reference[1]):
        raise SignOnFailed("algorithm", str(reference[1].get("Algorithm", "")))
    return _Signed(reference.get("URI", ""), digest, base64_text(reference[2]), _prefixes(transforms[1]))


def _prefixes(method: Element) -> list[str]:
    """Return the prefixes that an exclusive canonicalization treats as an inclusive one does (its section 4)."""
    if method.get("Algorithm") != EXCLUSIVE:
        raise SignOnFailed("algorithm", str(method.get("Algorithm", "")))
    found = list(method)
    if not found:
        return []
    if len(found) > 1 or found[0].tag != f"{{{EXCLUSIVE}}}InclusiveNamespaces" or len(found[0]):
        raise SignOnFailed("signature", "transforms")
    prefixes = found[0].get("PrefixList", "").split()
    if len(prefixes) > MOST_PREFIXES:
        raise SignOnFailed("signature", "transforms")
    return [prefix for prefix in prefixes if prefix != "#default"]


def _canonical(element: Element, prefixes: list[str]) -> bytes:
    # The tail is the text after the element. lxml would write it, too.
    try:
        return etree.tostring(
            element,
            method="c14n",
            exclusive=True,
            with_comments=False,
            inclusive_ns_prefixes=prefixes or None,
            with_tail=False,
        )
    except (etree.LxmlError, ValueError) as error:
        # A canonicalization that fails must not count as one of an empty element.
        raise SignOnFailed("signature", type(error).__name__) from None


def _require_signature(method: str, value: str, signed: bytes, keys: Sequence[PublicKey]) -> None:
    if method not in _RSA and method not in _ECDSA:
        raise SignOnFailed("algorithm", method)
    signature = _decoded(value)
    if not any(_fits(method, signature, signed, key) for key in keys):
        raise SignOnFailed("signature", "key")


def _fits(method: str, signature: bytes, signed: bytes, key: PublicKey) -> bool:
    """Return whether this key made the signature. The key decides what kind of algorithm is possible."""
    if not is_strong(key):
        return False
    try:
        if isinstance(key, rsa.RSAPublicKey) and method in _RSA:
            key.verify(signature, signed, padding.PKCS1v15(), _HASHES[_RSA[method]])
            return True
        if isinstance(key, ec.EllipticCurvePublicKey) and method in _ECDSA:
            size = (key.curve.key_size + 7) // 8
            if len(signature) != 2 * size:
                return False
            numbers = (int.from_bytes(signature[:size]), int.from_bytes(signature[size:]))
            key.verify(encode_dss_signature(*numbers), signed, ec.ECDSA(_HASHES[_ECDSA[method]]))
            return True
    except (InvalidSignature, ValueError):
        return False
    return False


def _is_unique(element: Element, identifier: str) -> bool:
    """Return whether no other element of the document has this id, in any spelling of the attribute's name."""
    root = element.getroottree().getroot()
    found = [
        each
        for each in root.iter()
        for name, value in each.attrib.items()
        if value == identifier and name.rpartition("}")[2].lower() == "id"
    ]
    return found == [element]


def _take_out(signature: Element) -> None:
    """Remove the signature, and leave the white space after it where it is: that was signed."""
    parent, before = signature.getparent(), signature.getprevious()
    if before is not None:
        before.tail = (before.tail or "") + (signature.tail or "")
    else:
        parent.text = (parent.text or "") + (signature.tail or "")
    parent.remove(signature)


def _decoded(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise SignOnFailed("signature", "base64") from None


__all__ = ["DS", "PublicKey", "is_signed", "is_strong", "verified"]
