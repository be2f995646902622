"""The form of an answer: which elements and attributes it has, in which order (SAML Core, and the schema of it).

Only what was signed and is understood is read anyway. But an answer of another form comes from a program that is broken
or hostile, and another reader could understand it in another way. So it is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from requests_app.identity.sso.failures import SignOnFailed
from requests_app.identity.sso.saml.documents import Element
from requests_app.identity.sso.saml.names import ENC11, EXCLUSIVE, ds, enc, saml, samlp

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*\Z")
_NAME_ATTRIBUTES = frozenset({"NameQualifier", "SPNameQualifier", "Format", "SPProvidedID"})


@dataclass(frozen=True)
class _Form:
    """The children of an element, as a pattern of their names; its attributes; and whether it has text of its own."""

    children: str = ""
    required: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    has_text: bool = False
    #: Whether it can have attributes of other namespaces, such as AD FS's OriginalIssuer.
    has_others: bool = False


def _form(
    children: str = "", required: str = "", optional: str = "", *, has_text: bool = False, has_others: bool = False
) -> _Form:
    """Return a form. In `children`, a name is one child; `?`, `*`, `+`, `|` and brackets have their meaning."""
    pattern = re.sub(r"[A-Za-z]+", lambda name: f"(?:{name[0]} )", children).replace(", ", "")
    return _Form(pattern, frozenset(required.split()), frozenset(optional.split()), has_text, has_others)


_TEXT = _form(has_text=True)
_NAMED = _Form(optional=_NAME_ATTRIBUTES, has_text=True)
_FORMS = {
    samlp("Response"): _form(
        "Issuer?, Signature?, Extensions?, Status, (Assertion|EncryptedAssertion)",
        "ID Version IssueInstant Destination InResponseTo",
        "Consent",
    ),
    samlp("Status"): _form("StatusCode, StatusMessage?, StatusDetail?"),
    samlp("StatusCode"): _form("StatusCode?", "Value"),
    samlp("StatusMessage"): _TEXT,
    saml("Assertion"): _form(
        "Issuer, Signature?, Subject, Conditions, (AuthnStatement|AttributeStatement)+", "ID Version IssueInstant"
    ),
    saml("Issuer"): _NAMED,
    saml("Subject"): _form("NameID, SubjectConfirmation"),
    saml("NameID"): _NAMED,
    saml("SubjectConfirmation"): _form("SubjectConfirmationData", "Method"),
    saml("SubjectConfirmationData"): _form("", "Recipient InResponseTo NotOnOrAfter", "Address"),
    saml("Conditions"): _form("(AudienceRestriction|OneTimeUse|ProxyRestriction)+", "NotOnOrAfter", "NotBefore"),
    saml("AudienceRestriction"): _form("Audience+"),
    saml("Audience"): _TEXT,
    saml("OneTimeUse"): _form(),
    saml("ProxyRestriction"): _form("Audience*", "", "Count"),
    saml("AuthnStatement"): _form("SubjectLocality?, AuthnContext", "AuthnInstant", "SessionIndex SessionNotOnOrAfter"),
    saml("SubjectLocality"): _form("", "", "Address DNSName"),
    saml("AuthnContext"): _form("AuthnContextClassRef, AuthnContextDeclRef?, AuthenticatingAuthority*"),
    saml("AuthnContextClassRef"): _TEXT,
    saml("AuthnContextDeclRef"): _TEXT,
    saml("AuthenticatingAuthority"): _TEXT,
    saml("AttributeStatement"): _form("Attribute+"),
    saml("Attribute"): _form("AttributeValue*", "Name", "NameFormat FriendlyName", has_others=True),
}
_FORMS |= {
    ds("Signature"): _form("SignedInfo, SignatureValue, KeyInfo?", "", "Id"),
    ds("SignedInfo"): _form("CanonicalizationMethod, SignatureMethod, Reference", "", "Id"),
    ds("CanonicalizationMethod"): _form("InclusiveNamespaces?", "Algorithm"),
    ds("SignatureMethod"): _form("", "Algorithm"),
    ds("Reference"): _form("Transforms, DigestMethod, DigestValue", "URI", "Id Type"),
    ds("Transforms"): _form("Transform+"),
    ds("Transform"): _form("InclusiveNamespaces?", "Algorithm"),
    ds("DigestMethod"): _form("", "Algorithm"),
    ds("DigestValue"): _TEXT,
    ds("SignatureValue"): _form("", "", "Id", has_text=True),
    saml("EncryptedAssertion"): _form("EncryptedData, EncryptedKey*"),
    enc("EncryptedData"): _form("EncryptionMethod, KeyInfo?, CipherData", "", "Id Type MimeType Encoding"),
    enc("EncryptedKey"): _form(
        "EncryptionMethod, KeyInfo?, CipherData, ReferenceList?, CarriedKeyName?", "", "Id Type Recipient"
    ),
    enc("EncryptionMethod"): _form("KeySize?, (DigestMethod|MGF)*", "Algorithm"),
    enc("CipherData"): _form("CipherValue"),
    enc("CipherValue"): _TEXT,
}
#: Elements whose content is not read, or only by the module that decrypts.
_OPAQUE = frozenset(
    (
        *(samlp("Extensions"), samlp("StatusDetail"), saml("AttributeValue"), ds("KeyInfo")),
        *(f"{{{EXCLUSIVE}}}InclusiveNamespaces", f"{{{ENC11}}}MGF"),
        *(enc("KeySize"), enc("ReferenceList"), enc("CarriedKeyName")),
    )
)


def require(root: Element) -> None:
    """Raise SignOnFailed unless this element, and each element in it, has its form, and no id occurs twice."""
    identifiers: set[str] = set()
    waiting = [root]
    while waiting:
        element = waiting.pop()
        if element.tag in _OPAQUE:
            continue
        form = _FORMS.get(element.tag)
        if form is None or not _fits(element, form):
            raise SignOnFailed("document", str(element.tag).rpartition("}")[2])
        identifier = element.get("ID", element.get("Id"))
        if identifier is not None:
            if identifier in identifiers or not _NAME.match(identifier):
                raise SignOnFailed("document", "ID")
            identifiers.add(identifier)
        waiting.extend(element)


def _fits(element: Element, form: _Form) -> bool:
    names = {name for name in element.attrib if not (form.has_others and name.startswith("{"))}
    if not form.required <= names or not names <= form.required | form.optional:
        return False
    if not form.has_text and any((text or "").strip(" \t\r\n") for text in _texts(element)):
        return False
    children = "".join(f"{_short(child)} " for child in element)
    return re.fullmatch(form.children, children) is not None


def _short(child: Element) -> str:
    """Return the name of a known child in its own namespace, or "?"."""
    return str(child.tag).rpartition("}")[2] if child.tag in _FORMS or child.tag in _OPAQUE else "?"


def _texts(element: Element) -> list[str | None]:
    return [element.text, *(child.tail for child in element)]
