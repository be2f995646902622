"""Makes changed copies of SAML answers: before they are signed (a strange identity provider) or after (an attacker)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st
from lxml import etree

from tests.saml_idp import ASSERTION, DS, PROTOCOL, Says, as_bytes, assertion_of, encrypt, response, sign, xmlsec

xmlsec_error = xmlsec.Error

#: A change of a tree: its kind, up to three numbers that choose elements or attributes, and a value.
Change = tuple[str, int, int, int, str]

_KINDS = ("drop", "double", "move", "swap", "rename", "text", "tail", "set", "unset", "add", "copy_text")
_TAGS = [
    *(f"{{{ASSERTION}}}{name}" for name in ("Assertion", "Subject", "NameID", "Issuer", "Audience", "Conditions")),
    *(f"{{{ASSERTION}}}{name}" for name in ("AuthnStatement", "AttributeStatement", "Advice", "EncryptedAssertion")),
    *(f"{{{PROTOCOL}}}{name}" for name in ("Response", "Status", "StatusCode", "Extensions", "StatusDetail")),
    *(f"{{{DS}}}{name}" for name in ("Signature", "Object", "KeyInfo", "Reference", "SignedInfo", "Transform")),
    "{urn:x}other",
    "bare",
]
_NAMES = [
    *("ID", "Id", "id", "{http://www.w3.org/XML/1998/namespace}id", "Version", "Destination", "InResponseTo"),
    *("Recipient", "NotOnOrAfter", "NotBefore", "Method", "Format", "Value", "Algorithm", "URI", "PrefixList"),
    *("SPNameQualifier", "NameQualifier", "IssueInstant", "AuthnInstant", "SessionNotOnOrAfter", "Name", "other"),
]
_VALUES = [
    *("", " ", "p-ada", "p-mallory", "_question", "2.0", "1.1", "2030-01-01T00:00:00Z", "2020-01-01T00:00:00Z"),
    *("#default", "xs", "#", "#xpointer(/)", "urn:oasis:names:tc:SAML:2.0:status:Success", "é", "a\tb", "a\r\nb"),
    *("http://www.w3.org/2001/10/xml-exc-c14n#", "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"),
    *("http://www.w3.org/2000/09/xmldsig#enveloped-signature", "http://www.w3.org/2000/09/xmldsig#sha1"),
    *("urn:oasis:names:tc:SAML:2.0:cm:bearer", "https://lockbox.example/sign-in/answer/t/", "https://other.example"),
]

_NUMBER = st.integers(0, 60)
_CHANGE = st.tuples(st.sampled_from(_KINDS), _NUMBER, _NUMBER, _NUMBER, st.sampled_from(_VALUES))
#: Changes before the signature, signed elements, kinds of encryption, and changes afterwards.
RECIPES = st.tuples(
    st.lists(_CHANGE, max_size=2),
    st.sampled_from(["assertion", "assertion", "both", "response", "nothing"]),
    st.sampled_from(["", "", "", "AES256_GCM", "AES128"]),
    st.lists(_CHANGE, max_size=3),
)


def made(says: Says, recipe: tuple[Sequence[Change], str, str, Sequence[Change]], certificate: str) -> bytes:
    """Return the answer that this recipe makes. Raise ValueError or LxmlError if it makes none."""
    before, what, cipher, after = recipe
    root = _changed(response(says), before)
    assertion = assertion_of(root)
    if assertion is not None and what in ("assertion", "both"):
        sign(assertion)
    if cipher and assertion is not None:
        encrypt(root, certificate, data=cipher)
    if what in ("both", "response"):
        sign(root)
    return as_bytes(_changed(etree.fromstring(as_bytes(root)), after))


def _changed(root: Any, changes: Sequence[Change]) -> Any:
    for kind, first, second, third, value in changes:
        elements = [each for each in root.iter("*") if not _is_unread(each)]
        if not elements:
            break
        one, other = elements[first % len(elements)], elements[second % len(elements)]
        _change(kind, one, other, third, value)
    return root


def _is_unread(element: Any) -> bool:
    """Return whether this is a part of a KeyInfo. The product doesn't read it, and python3-saml checks its form."""
    return any(each.tag == f"{{{DS}}}KeyInfo" for each in (element, *element.iterancestors()))


def _change(kind: str, one: Any, other: Any, number: int, value: str) -> None:
    parent = one.getparent()
    if kind == "drop" and parent is not None:
        parent.remove(one)
    elif kind == "double" and parent is not None:
        parent.insert(number % (len(parent) + 1), copy.deepcopy(one))
    elif kind == "move" and parent is not None and one not in list(other.iterancestors()) and one is not other:
        other.insert(number % (len(other) + 1), one)
    elif kind == "swap" and parent is not None:
        parent.insert(number % (len(parent) + 1), one)
    elif kind == "rename":
        one.tag = _TAGS[number % len(_TAGS)]
    elif kind == "text":
        one.text = value
    elif kind == "tail" and parent is not None:
        one.tail = value
    elif kind == "copy_text":
        one.text = other.text
    elif kind == "set":
        one.set(_NAMES[number % len(_NAMES)], value)
    elif kind == "unset" and one.attrib:
        del one.attrib[list(one.attrib)[number % len(one.attrib)]]
    elif kind == "add":
        etree.SubElement(one, _TAGS[number % len(_TAGS)]).text = value
