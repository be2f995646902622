"""Attacks on a SAML service provider. Each makes an answer for somebody else out of what an attacker has.

An attacker has their own good answer, which the identity provider has signed (`mallory`), and wants to be `ada`.
"""

from __future__ import annotations

import base64
import copy
import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from lxml import etree

from tests.saml_idp import (
    ASSERTION,
    DS,
    PROTOCOL,
    Says,
    as_bytes,
    assertion_of,
    encrypt,
    encrypt_element,
    key_pair,
    response,
    sign,
)

Attack = Callable[[Says], bytes]
_SIGNATURE = f"{{{DS}}}Signature"
ENC = "http://www.w3.org/2001/04/xmlenc#"
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"


def _mallory(says: Says, *, envelope: bool = False) -> Any:
    root = response(replace(says, subject="p-mallory"))
    sign(assertion_of(root))
    if envelope:
        sign(root)
    return _read_again(root)


def _read_again(root: Any) -> Any:
    """Parse a signed document again: lxml doesn't find elements by name that libxmlsec1 has made."""
    return etree.fromstring(as_bytes(root))


def _forged(element: Any, identifier: str = "_evil") -> Any:
    """Return a copy that says that it is Ada, without the signature and with another id."""
    evil = copy.deepcopy(element)
    evil.set("ID", identifier)
    for signature in evil.findall(_SIGNATURE):
        evil.remove(signature)
    for name in evil.iter(f"{{{ASSERTION}}}NameID"):
        name.text = "p-ada"
    return evil


def xsw1(says: Says) -> bytes:
    """Put the signed Response into the signature of a forged Response."""
    root = _mallory(says, envelope=True)
    evil = _forged(root)
    signature = copy.deepcopy(root.find(_SIGNATURE))
    original = copy.deepcopy(root)
    original.remove(original.find(_SIGNATURE))
    signature.append(original)
    evil.insert(1, signature)
    return as_bytes(evil)


def xsw2(says: Says) -> bytes:
    """Put the signed Response before its detached signature in a forged Response."""
    root = _mallory(says, envelope=True)
    evil = _forged(root)
    signature = copy.deepcopy(root.find(_SIGNATURE))
    original = copy.deepcopy(root)
    original.remove(original.find(_SIGNATURE))
    evil.insert(1, original)
    evil.insert(2, signature)
    return as_bytes(evil)


def xsw3(says: Says) -> bytes:
    """Put a forged assertion before the signed one."""
    root = _mallory(says)
    signed = assertion_of(root)
    root.insert(root.index(signed), _forged(signed))
    return as_bytes(root)


def xsw4(says: Says) -> bytes:
    """Put the signed assertion into a forged one."""
    root = _mallory(says)
    signed = assertion_of(root)
    evil = _forged(signed)
    root.replace(signed, evil)
    evil.append(signed)
    return as_bytes(root)


def xsw5(says: Says) -> bytes:
    """Let a forged assertion carry the signature of the original, which comes after it."""
    root = _mallory(says)
    signed = assertion_of(root)
    signature = signed.find(_SIGNATURE)
    evil = _forged(signed)
    signed.remove(signature)
    evil.insert(1, signature)
    root.insert(root.index(signed), evil)
    return as_bytes(root)


def xsw6(says: Says) -> bytes:
    """Let a forged assertion carry the signature, and the signature the original."""
    root = _mallory(says)
    signed = assertion_of(root)
    signature = signed.find(_SIGNATURE)
    evil = _forged(signed)
    root.replace(signed, evil)
    signed.remove(signature)
    evil.insert(1, signature)
    signature.append(signed)
    return as_bytes(root)


def xsw7(says: Says) -> bytes:
    """Put a forged assertion, with the same id, into Extensions before the signed one."""
    root = _mallory(says)
    signed = assertion_of(root)
    extensions = etree.Element(f"{{{PROTOCOL}}}Extensions")
    extensions.append(_forged(signed, signed.get("ID")))
    root.insert(1, extensions)
    return as_bytes(root)


def xsw8(says: Says) -> bytes:
    """Put the original into an Object of the signature, which a forged assertion with the same id carries."""
    root = _mallory(says)
    signed = assertion_of(root)
    signature = signed.find(_SIGNATURE)
    evil = _forged(signed, signed.get("ID"))
    root.replace(signed, evil)
    signed.remove(signature)
    evil.insert(1, signature)
    etree.SubElement(signature, f"{{{DS}}}Object").append(signed)
    return as_bytes(root)


def _signed(says: Says, **how: Any) -> bytes:
    root = response(says)
    sign(assertion_of(root), **how)
    return as_bytes(root)


def unsigned(says: Says) -> bytes:
    return as_bytes(response(says))


def unsigned_in_signed(says: Says) -> bytes:
    """Sign the Response only. Its signature covers the assertion, but not as an assertion's own signature does."""
    root = response(says)
    sign(root)
    return as_bytes(root)


def changed(says: Says) -> bytes:
    return as_bytes(_mallory(says)).replace(b"p-mallory", b"p-ada")


def envelope_signature_broken(says: Says) -> bytes:
    """Keep the assertion's good signature, in a Response that another key signed."""
    root = response(says)
    sign(assertion_of(root))
    sign(root, key=key_pair("stranger"))
    return as_bytes(root)


def signature_without_value(says: Says) -> bytes:
    root = response(says)
    sign(assertion_of(root))
    root = _read_again(root)
    root.find(f".//{{{DS}}}SignatureValue").text = ""
    return as_bytes(root)


def no_algorithm(says: Says) -> bytes:
    """Name `none` as the algorithm, as attackers of JSON Web Tokens do."""
    data = _signed(says)
    return data.replace(b"http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", b"none")


def reference_to_everything(says: Says) -> bytes:
    """Sign a document that is only the assertion, with a reference to all of it, and put it into an answer."""
    root = response(says)
    assertion = assertion_of(root)
    alone = etree.fromstring(etree.tostring(assertion, method="c14n", exclusive=True, with_tail=False))
    root.replace(assertion, sign(alone, uri=""))
    return as_bytes(root)


def same_id_twice(says: Says) -> bytes:
    """Give another element of the answer the id that the signature refers to."""
    root = response(says)
    assertion = sign(assertion_of(root))
    root[1].set("id", assertion.get("ID"))
    return as_bytes(root)


def xslt(says: Says) -> bytes:
    """Add a transform that is a program (python3-saml's open issue 447)."""
    root = response(says)
    sign(assertion_of(root))
    root = _read_again(root)
    transforms = root.find(f".//{{{DS}}}Transforms")
    etree.SubElement(transforms, f"{{{DS}}}Transform", Algorithm="http://www.w3.org/TR/1999/REC-xslt-19991116")
    return as_bytes(root)


def two_assertions(says: Says) -> bytes:
    """Send two good assertions, both signed."""
    root, other = response(says), response(says)
    second = assertion_of(other)
    sign(second)
    root.append(second)
    sign(assertion_of(root))
    return as_bytes(root)


def comment_in_name(says: Says) -> bytes:
    """Split the name with a comment, which the signature does not see."""
    root = response(replace(says, subject="p-ada.evil.example"))
    sign(assertion_of(root))
    return as_bytes(root).replace(b"p-ada.evil", b"p-ada<!---->.evil")


def instruction_in_name(says: Says) -> bytes:
    root = response(replace(says, subject="p-ada.evil.example"))
    sign(assertion_of(root))
    return as_bytes(root).replace(b"p-ada.evil", b"p-ada<?x?>.evil")


def element_in_name(says: Says) -> bytes:
    return _signed(replace(says, subject="p-ada<b xmlns=''/>.evil.example"))


def xxe(says: Says) -> bytes:
    doctype = b'<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/hostname">]>'
    return doctype + _signed(says).replace(b"p-ada<", b"&x;<")


def xxe_in_utf_16(says: Says) -> bytes:
    text = '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE r [<!ENTITY x "p-ada">]>' + _signed(says).decode()
    return text.replace("p-ada<", "&x;<").encode("utf-16")


def xxe_in_utf_7(says: Says) -> bytes:
    """Hide the document type in an encoding in which `<` is another byte."""
    text = '<?xml version="1.0" encoding="UTF-7"?>+ADwAIQ-DOCTYPE r+AD4-' + _signed(says).decode()
    return text.encode()


def laughs(says: Says) -> bytes:
    """Expand one entity to a billion words."""
    rows = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    return f'<!DOCTYPE r [<!ENTITY a0 "ha">{rows}]>'.encode() + _signed(says).replace(b"p-ada<", b"&a9;<")


def too_long(says: Says) -> bytes:
    return _signed(replace(says, attributes={"x": ["a" * 200_000]}))


def too_many(says: Says) -> bytes:
    return _signed(replace(says, attributes={"x": ["a"] * 6000})).replace(b"saml:AttributeValue", b"saml:A")


def too_deep(says: Says) -> bytes:
    return b"<a>" * 20_000 + b"</a>" * 20_000


def empty_canonical_form(says: Says) -> bytes:
    """Make the canonicalization fail, by a relative namespace, so that it might sign nothing."""
    root = response(says)
    sign(assertion_of(root))
    return as_bytes(root).replace(b"<saml:Subject>", b'<saml:Subject xmlns:q="1">')


def many_prefixes(says: Says) -> bytes:
    """Name so many prefixes that the canonicalization of what is not signed yet takes very long."""
    root = etree.fromstring(_signed(says))
    method = next(root.iter(f"{{{DS}}}CanonicalizationMethod"))
    named = etree.SubElement(method, f"{{{EXCLUSIVE}}}InclusiveNamespaces")
    named.set("PrefixList", "b " * 20_000)
    return as_bytes(root)


def large_signed_info(says: Says) -> bytes:
    """Put many elements in one another into the SignedInfo."""
    root = etree.fromstring(_signed(says))
    info = next(root.iter(f"{{{DS}}}SignedInfo"))
    for _chain in range(10):
        place = info
        for _depth in range(150):
            place = etree.SubElement(place, "a")
    return as_bytes(root)


def confirmed_twice(says: Says) -> bytes:
    root = response(says)
    subject = assertion_of(root).find(f"{{{ASSERTION}}}Subject")
    subject.append(copy.deepcopy(subject[1]))
    sign(assertion_of(root))
    return as_bytes(root)


def without(path: str) -> Attack:
    """Return a good answer, well signed, in which one part is missing."""

    def attack(says: Says) -> bytes:
        root = response(says)
        for element in assertion_of(root).findall(path, {"s": ASSERTION}):
            element.getparent().remove(element)
        sign(assertion_of(root))
        return as_bytes(root)

    return attack


def without_attribute(path: str, name: str) -> Attack:
    def attack(says: Says) -> bytes:
        root = response(says)
        for element in root.findall(path, {"s": ASSERTION}):
            del element.attrib[name]
        sign(assertion_of(root))
        return as_bytes(root)

    return attack


def saying(**changes: Any) -> Attack:
    """Return an answer that the identity provider has signed well, but says this."""
    return lambda says: _signed(replace(says, **changes))


def signed(**how: Any) -> Attack:
    return lambda says: _signed(says, **how)


def setting(path: str, name: str, value: str) -> Attack:
    """Return a good answer, well signed, in which one attribute has another value."""

    def attack(says: Says) -> bytes:
        root = response(says)
        for element in [root] if path == "." else root.findall(path, {"s": ASSERTION}):
            element.set(name, value)
        sign(assertion_of(root))
        return as_bytes(root)

    return attack


def adding(path: str, xml: str, *, after_signing: bool = False) -> Attack:
    """Return a good answer, well signed, in which one element has one more child."""

    def attack(says: Says) -> bytes:
        root = response(says)
        if after_signing:
            sign(assertion_of(root))
            root = _read_again(root)
        child = etree.fromstring(f"<x xmlns:saml='{ASSERTION}' xmlns:ds='{DS}'>{xml}</x>")[0]
        place = root if path == "." else root.find(path, {"s": ASSERTION, "ds": DS})
        place.append(child)
        if not after_signing:
            sign(assertion_of(root))
        return as_bytes(root)

    return attack


def describing(change: Callable[[Any], None]) -> Attack:
    """Return a good answer whose signature describes itself in another way. The identity provider has signed this, too.

    A reader that does not understand the description can believe that something else was signed.
    """

    def attack(says: Says) -> bytes:
        root = response(says)
        sign(assertion_of(root))
        root = _read_again(root)
        info = next(root.iter(f"{{{DS}}}SignedInfo"))
        change(info)
        canonical = etree.tostring(info, method="c14n", exclusive=True, with_tail=False)
        key: Any = serialization.load_pem_private_key(key_pair()[0], password=None)
        value = base64.b64encode(key.sign(canonical, padding.PKCS1v15(), hashes.SHA256())).decode()
        info.getparent().find(f"{{{DS}}}SignatureValue").text = value
        return as_bytes(root)

    return attack


def _within(path: str, xml: str) -> Callable[[Any], None]:
    """Return a change of a SignedInfo: new children of the element at this path."""

    def change(info: Any) -> None:
        place = info.find(path, {"ds": DS}) if path else info
        place.extend(list(etree.fromstring(f"<x xmlns:ds='{DS}' xmlns:ec='{EXCLUSIVE}'>{xml}</x>")))

    return change


def _in_other_order(info: Any) -> None:
    transforms = info.find(f".//{{{DS}}}Transforms")
    transforms.append(transforms[0])


_XPATH = (
    "<ds:Transform Algorithm='http://www.w3.org/TR/1999/REC-xpath-19991116'>"
    "<ds:XPath>not(ancestor-or-self::*[local-name()='NameID'])</ds:XPath></ds:Transform>"
)
_PREFIXES = "<ec:InclusiveNamespaces PrefixList=''/>"
_ENVELOPED, _EXCLUSIVE = (f"ds:Reference/ds:Transforms/ds:Transform[{number}]" for number in (1, 2))
#: Descriptions of a signature that SAML does not allow. The first one would leave the name out of what is signed.
DESCRIPTIONS: dict[str, tuple[Callable[[Any], None], str]] = {
    "signed without the name (XPath)": (_within("ds:Reference/ds:Transforms", _XPATH), "signature"),
    "transforms in another order": (_in_other_order, "signature"),
    "a transform with content": (_within(_ENVELOPED, "<ds:XPath>1</ds:XPath>"), "signature"),
    "an element that is no transform": (_within("ds:Reference/ds:Transforms", "<ds:Object/>"), "signature"),
    "a second reference": (_within("", "<ds:Reference URI='#other'/>"), "signature"),
    "a reference with more in it": (_within("ds:Reference", "<ds:Object/>"), "signature"),
    "a digest method with content": (_within("ds:Reference/ds:DigestMethod", "<ds:Object/>"), "algorithm"),
    "another element in place of prefixes": (_within(_EXCLUSIVE, "<ds:Object/>"), "signature"),
    "prefixes with content": (
        _within(_EXCLUSIVE, "<ec:InclusiveNamespaces PrefixList=''><ds:Object/></ec:InclusiveNamespaces>"),
        "signature",
    ),
    "prefixes twice": (_within(_EXCLUSIVE, _PREFIXES + _PREFIXES), "signature"),
}


def only_in_extensions(says: Says) -> bytes:
    """Put the one assertion, well signed, where nobody looks for it."""
    root = response(says)
    signed = sign(assertion_of(root))
    extensions = etree.Element(f"{{{PROTOCOL}}}Extensions")
    root.insert(1, extensions)
    extensions.append(signed)
    return as_bytes(root)


def _minutes(count: float) -> dt.timedelta:
    return dt.timedelta(minutes=count)


#: Name of the attack: what makes it, and the code of the refusal.
ATTACKS: dict[str, tuple[Attack, str]] = {
    "XSW1": (xsw1, "signature"),
    "XSW2": (xsw2, "signature"),
    "XSW3": (xsw3, "assertions"),
    "XSW4": (xsw4, "assertions"),
    "XSW5": (xsw5, "assertions"),
    "XSW6": (xsw6, "assertions"),
    "XSW7": (xsw7, "assertions"),
    "XSW8": (xsw8, "assertions"),
    "not signed": (unsigned, "signature"),
    "assertion not signed in a signed answer": (unsigned_in_signed, "signature"),
    "changed after signing": (changed, "signature"),
    "the answer's own signature is by another key": (envelope_signature_broken, "signature"),
    "signature without a value": (signature_without_value, "signature"),
    "reference to the whole document": (reference_to_everything, "signature"),
    "an id twice": (same_id_twice, "signature"),
    "a program as a transform": (xslt, "signature"),
    "very many prefixes": (many_prefixes, "signature"),
    "a very large SignedInfo": (large_signed_info, "signature"),
    "a failing canonicalization": (empty_canonical_form, "signature"),
    "certificate in KeyInfo that is not pinned": (signed(key=key_pair("stranger")), "signature"),
    "no certificate, other key": (signed(key=key_pair("stranger"), with_certificate=False), "signature"),
    "SHA-1": (signed(method="RSA_SHA1", digest="SHA1"), "algorithm"),
    "SHA-1 as the digest": (signed(digest="SHA1"), "algorithm"),
    "HMAC with the public certificate": (
        signed(method="HMAC_SHA256", secret=key_pair()[1].encode()),
        "algorithm",
    ),
    "inclusive canonicalization": (signed(c14n="C14N"), "algorithm"),
    "canonicalization with comments": (signed(c14n="EXCL_C14N_COMMENTS"), "algorithm"),
    "algorithm none": (no_algorithm, "algorithm"),
    "two assertions": (two_assertions, "assertions"),
    "comment in the name": (comment_in_name, "document"),
    "processing instruction in the name": (instruction_in_name, "document"),
    "element in the name": (element_in_name, "subject"),
    "XXE": (xxe, "document"),
    "XXE in UTF-16": (xxe_in_utf_16, "document"),
    "XXE in UTF-7": (xxe_in_utf_7, "document"),
    "a billion laughs": (laughs, "document"),
    "too long": (too_long, "document"),
    "too many elements": (too_many, "document"),
    "too deep": (too_deep, "document"),
    "not XML": (lambda says: b"hello", "document"),
    "nothing": (lambda says: b"", "document"),
    "other root": (lambda says: as_bytes(assertion_of(response(says))), "document"),
    "other destination": (saying(destination="https://other.example/acs"), "recipient"),
    "no destination": (without_attribute(".", "Destination"), "recipient"),
    "other recipient": (saying(recipient="https://other.example/acs"), "recipient"),
    "other audience": (saying(audience="https://other.example"), "audience"),
    "two audience restrictions, one of another": (
        saying(
            more_conditions="<saml:AudienceRestriction><saml:Audience>urn:x</saml:Audience></saml:AudienceRestriction>"
        ),
        "audience",
    ),
    "no audience": (without("s:Conditions/s:AudienceRestriction"), "audience"),
    "unknown condition": (saying(more_conditions="<saml:Condition/>"), "document"),
    "no conditions": (without("s:Conditions"), "document"),
    "unasked": (saying(response_to="", confirmed_to=""), "unasked"),
    "the answer is for another question": (saying(response_to="_other"), "unasked"),
    "the assertion is for another question": (saying(confirmed_to="_other"), "unasked"),
    "the assertion names no question": (saying(confirmed_to=""), "unasked"),
    "other issuer": (saying(issuer="https://other.example"), "issuer"),
    "the answer has another issuer": (saying(response_issuer="https://other.example"), "issuer"),
    "no issuer": (without("s:Issuer"), "issuer"),
    "expired": (saying(not_after=_minutes(-1.1)), "expired"),
    "confirmation expired": (saying(confirmed_until=_minutes(-1.1)), "expired"),
    "confirmation without an end": (
        without_attribute(".//s:SubjectConfirmationData", "NotOnOrAfter"),
        "time",
    ),
    "session expired": (saying(session_until=_minutes(-2)), "expired"),
    "not yet": (saying(not_before=_minutes(1.1)), "time"),
    "issued in the future": (saying(issued=_minutes(1.1)), "time"),
    "issued long ago": (saying(issued=_minutes(-12)), "time"),
    "authenticated in the future": (saying(authenticated=_minutes(2)), "time"),
    "transient name": (saying(name_format="urn:oasis:names:tc:SAML:2.0:nameid-format:transient"), "name_format"),
    "address as the name": (
        saying(name_format="urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"),
        "name_format",
    ),
    "name for another party": (saying(qualifiers={"SPNameQualifier": "https://other.example"}), "subject"),
    "name of another party": (saying(qualifiers={"NameQualifier": "https://other.example"}), "subject"),
    "empty name": (saying(subject=""), "subject"),
    "name with a line break": (saying(subject="p-&#10;ada"), "subject"),
    "name with spaces around it": (saying(subject=" p-ada"), "subject"),
    "no subject": (without("s:Subject"), "subject"),
    "confirmed twice": (confirmed_twice, "subject"),
    "holder of a key": (saying(method="urn:oasis:names:tc:SAML:2.0:cm:holder-of-key"), "subject"),
    "an answer of another version": (setting(".", "Version", "1.1"), "document"),
    "an assertion of another version": (setting("s:Assertion", "Version", "1.1"), "document"),
    "an answer without an id": (without_attribute(".", "ID"), "document"),
    "the assertion only in Extensions": (only_in_extensions, "assertions"),
    "the issuer's name in another format": (
        setting("s:Assertion/s:Issuer", "Format", "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"),
        "issuer",
    ),
    "an answer issued long ago": (setting(".", "IssueInstant", "2026-01-01T00:00:00Z"), "time"),
    "an assertion issued long ago": (setting("s:Assertion", "IssueInstant", "2026-01-01T00:00:00Z"), "time"),
    "a confirmation that begins": (
        setting(".//s:SubjectConfirmationData", "NotBefore", "2026-01-01T00:00:00Z"),
        "time",
    ),
    "a confirmation with another name": (adding(".//s:SubjectConfirmation", "<saml:NameID>x</saml:NameID>"), "subject"),
    "an object in the signature": (adding(".//ds:Signature", "<ds:Object/>", after_signing=True), "signature"),
    "an unknown attribute of the answer": (setting(".", "x", "y"), "document"),
    "an unknown element in the answer": (adding(".", "<saml:Advice/>", after_signing=True), "document"),
    **{name: (describing(change), code) for name, (change, code) in DESCRIPTIONS.items()},
    "nobody authenticated": (without("s:AuthnStatement"), "authentication"),
    "refused there": (saying(status="urn:oasis:names:tc:SAML:2.0:status:Responder"), "refused"),
}


def encrypted_attacks(certificate: str) -> dict[str, tuple[Attack, str]]:
    """Return the attacks that need the service provider's certificate, which is public."""

    def enclosed(makes: Callable[[Says], bytes], **how: Any) -> Attack:
        return lambda says: as_bytes(encrypt(etree.fromstring(makes(says)), certificate, **how))

    def cbc(says: Says) -> bytes:
        root = response(says)
        sign(assertion_of(root))
        return as_bytes(encrypt(root, certificate, data="AES256"))

    def wrapped(says: Says) -> bytes:
        """Encrypt a forged assertion that has the signed one inside."""
        root = etree.fromstring(xsw4(says))
        evil = assertion_of(root)
        return as_bytes(encrypt_element(root, evil, evil, certificate, data="AES256_GCM", transport="RSA_OAEP"))

    def beside(says: Says) -> bytes:
        """Put a forged assertion beside the encrypted one."""
        root = encrypt(_mallory(says), certificate)
        root.append(_forged(assertion_of(response(says))))
        return as_bytes(root)

    def whole_answer(says: Says) -> bytes:
        """Encrypt a whole answer instead of an assertion."""
        root = _mallory(says)
        inner = etree.fromstring(as_bytes(root))
        place = assertion_of(root)
        return as_bytes(encrypt_element(root, place, inner, certificate, data="AES256_GCM", transport="RSA_OAEP"))

    def wrapping(change: Callable[[Any], None]) -> Attack:
        """Change how the key of an encrypted assertion is wrapped. Only a signed answer would protect this."""

        def attack(says: Says) -> bytes:
            root = etree.fromstring(as_bytes(encrypt(etree.fromstring(_signed(says)), certificate)))
            change(next(root.iter(f"{{{ENC}}}EncryptedKey")))
            return as_bytes(root)

        return attack

    def labelled(key: Any) -> None:
        etree.SubElement(key.find(f"{{{ENC}}}EncryptionMethod"), f"{{{ENC}}}OAEPparams").text = "AAAA"

    def two_digests(key: Any) -> None:
        for _time in range(2):
            method = key.find(f"{{{ENC}}}EncryptionMethod")
            etree.SubElement(method, f"{{{DS}}}DigestMethod", Algorithm=f"{DS}sha1")

    def six_keys(key: Any) -> None:
        for _time in range(5):
            key.addnext(copy.deepcopy(key))

    def nested(inner: str) -> Attack:
        """Encrypt an assertion that the identity provider has signed, with another one in the value of an attribute."""

        def attack(says: Says) -> bytes:
            root = response(replace(says, attributes={"x": [f"<saml:{inner} ID='_inner' Version='2.0'/>"]}))
            sign(assertion_of(root))
            return as_bytes(encrypt(root, certificate))

        return attack

    return {
        "encrypted, with an assertion in it": (nested("Assertion"), "assertions"),
        "encrypted, with an encrypted assertion in it": (nested("EncryptedAssertion"), "assertions"),
        "encrypted, with an element that nobody expects": (
            enclosed(adding("s:Assertion", "<saml:Advice/>")),
            "document",
        ),
        "the wrapped key with a label": (wrapping(labelled), "decryption"),
        "the wrapped key with two digests": (wrapping(two_digests), "decryption"),
        "six wrapped keys": (wrapping(six_keys), "decryption"),
        "encrypted, not signed": (enclosed(unsigned), "signature"),
        "encrypted, changed after signing": (enclosed(changed), "signature"),
        "encrypted with CBC in an answer that is not signed": (cbc, "decryption"),
        "encrypted with RSA 1.5": (enclosed(saying(), transport="RSA_PKCS1"), "decryption"),
        "encrypted with triple DES": (enclosed(saying(), data="DES3"), "decryption"),
        "encrypted for another party": (
            lambda says: as_bytes(encrypt(etree.fromstring(_signed(says)), key_pair("stranger")[1])),
            "decryption",
        ),
        "encrypted, wrapped": (wrapped, "signature"),
        "a forged one beside the encrypted one": (beside, "assertions"),
        "a whole answer encrypted": (whole_answer, "assertions"),
    }
