"""Checks an identity provider's answer (SAML Profiles, section 4.1.4), and returns who signed in.

No statement is read before its signature was checked. An answer without a required part is refused.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import rsa

from requests_app.identity.sso.failures import SignOnFailed
from requests_app.identity.sso.saml import documents, encryption, forms, signatures
from requests_app.identity.sso.saml.documents import Element, children, instant, only, text
from requests_app.identity.sso.saml.names import BEARER, ENTITY, PERSISTENT, SUCCESS, saml, samlp

#: By how much two clocks may differ, and how old an answer may be.
LEEWAY, MOST_AGE = timedelta(seconds=60), timedelta(minutes=10)
MOST_VALUES, MOST_SUBJECT = 500, 255

_CONDITIONS = frozenset(saml(name) for name in ("AudienceRestriction", "OneTimeUse", "ProxyRestriction"))


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What an answer must fit: the identity provider that was asked, this service provider, and the question."""

    issuer: str
    #: The public keys in the identity provider's metadata. No other key counts, and no certificate in an answer.
    keys: Sequence[signatures.PublicKey]
    entity_id: str
    acs: str
    request_id: str
    at: datetime
    #: The keys for which the identity provider may have encrypted the assertion.
    decrypting: Sequence[rsa.RSAPrivateKey] = ()
    #: If the person had to authenticate again: the time of the question.
    again_since: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the identity provider has signed about the person."""

    subject: str
    assertion_id: str
    authenticated_at: datetime
    context: str
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def decoded(form_value: str) -> bytes:
    """Decode the form field SAMLResponse. The POST binding doesn't compress, so nothing can inflate."""
    if len(form_value) > documents.MOST_ANSWER * 4 // 3 + 4096:
        raise SignOnFailed("document", "size")
    try:
        return base64.b64decode("".join(form_value.split()), validate=True)
    except (binascii.Error, ValueError):
        raise SignOnFailed("document", "base64") from None


def request_id_of(data: bytes) -> str:
    """Return which question this answer claims to answer. Nothing has been checked yet."""
    root = documents.parsed(data)
    if root.tag != samlp("Response"):
        raise SignOnFailed("document", "root")
    return str(root.get("InResponseTo", ""))


def verified(data: bytes, expected: Expected) -> Answer:
    """Return what the answer says, if all of it is valid. Raise SignOnFailed."""
    response = documents.parsed(data)
    if response.tag != samlp("Response"):
        raise SignOnFailed("document", "root")
    is_authentic = signatures.is_signed(response)
    if is_authentic:
        response = signatures.verified(response, expected.keys)
    _require_response(response, expected)
    assertion = signatures.verified(_assertion(response, expected, is_authentic=is_authentic), expected.keys)
    _require_only_assertion(assertion)
    _require_head(assertion, expected)
    subject = _subject(assertion, expected)
    _require_conditions(only(assertion, saml("Conditions")), expected)
    authenticated_at, context = _authentication(assertion, expected)
    forms.require(documents.parsed(data))
    forms.require(assertion)
    return Answer(
        subject=subject,
        assertion_id=assertion.get("ID"),
        authenticated_at=authenticated_at,
        context=context,
        attributes=_attributes(assertion),
    )


# --- The envelope --------------------------------------------------------------------------------------


def _require_response(response: Element, expected: Expected) -> None:
    """Check the outer element. If it isn't signed, this proves nothing: the assertion repeats what matters."""
    if response.get("Version") != "2.0" or not response.get("ID"):
        raise SignOnFailed("document", "version")
    if response.get("Destination") != expected.acs:
        raise SignOnFailed("recipient", "Destination")
    if not _same(response.get("InResponseTo", ""), expected.request_id):
        raise SignOnFailed("unasked")
    _require_recent(instant(response.get("IssueInstant")), expected)
    for issuer in children(response, saml("Issuer")):
        _require_issuer(issuer, expected)
    code = only(only(response, samlp("Status")), samlp("StatusCode"))
    if code.get("Value") != SUCCESS:
        inner = [each.get("Value", "") for each in children(code, samlp("StatusCode"))]
        raise SignOnFailed("refused", (inner or [code.get("Value", "")])[0])


def _assertion(response: Element, expected: Expected, *, is_authentic: bool) -> Element:
    """Return the one assertion. A second one anywhere in the answer is refused, no matter in which place."""
    names = (saml("Assertion"), saml("EncryptedAssertion"))
    found = list(response.iter(*names))
    if len(found) != 1 or found[0].getparent() is not response:
        raise SignOnFailed("assertions", str(len(found)))
    if found[0].tag == names[0]:
        return found[0]
    plain = encryption.opened(found[0], expected.decrypting, is_authentic=is_authentic)
    if plain.tag != names[0]:
        raise SignOnFailed("assertions", "encrypted")
    return plain


def _require_only_assertion(assertion: Element) -> None:
    if sum(1 for _each in assertion.iter(saml("Assertion"), saml("EncryptedAssertion"))) != 1:
        raise SignOnFailed("assertions", "nested")


# --- The assertion, which is signed --------------------------------------------------------------------


def _require_head(assertion: Element, expected: Expected) -> None:
    if assertion.get("Version") != "2.0":
        raise SignOnFailed("document", "version")
    _require_recent(instant(assertion.get("IssueInstant")), expected)
    _require_issuer(only(assertion, saml("Issuer"), code="issuer"), expected)


def _require_issuer(issuer: Element, expected: Expected) -> None:
    found = text(issuer, code="issuer")
    if found != expected.issuer or issuer.get("Format", ENTITY) != ENTITY:
        raise SignOnFailed("issuer", found)


def _subject(assertion: Element, expected: Expected) -> str:
    subject = only(assertion, saml("Subject"), code="subject")
    name = only(subject, saml("NameID"), code="subject")
    found = text(name, code="subject")
    if name.get("Format") != PERSISTENT:
        raise SignOnFailed("name_format", str(name.get("Format", "")))
    # A persistent name is unique only among the names of these two parties (SAML Core, section 8.3.7).
    if name.get("NameQualifier", expected.issuer) not in (expected.issuer, ""):
        raise SignOnFailed("subject", "NameQualifier")
    if name.get("SPNameQualifier", expected.entity_id) not in (expected.entity_id, ""):
        raise SignOnFailed("subject", "SPNameQualifier")
    if not 1 <= len(found) <= MOST_SUBJECT or not found.isprintable() or found != found.strip():
        raise SignOnFailed("subject", "form")
    _require_confirmation(only(subject, saml("SubjectConfirmation"), code="subject"), expected)
    return found


def _require_confirmation(confirmation: Element, expected: Expected) -> None:
    if confirmation.get("Method") != BEARER:
        raise SignOnFailed("subject", "Method")
    if [each.tag for each in confirmation] != [saml("SubjectConfirmationData")]:
        raise SignOnFailed("subject", "SubjectConfirmation")
    data = confirmation[0]
    if data.get("Recipient") != expected.acs:
        raise SignOnFailed("recipient", "Recipient")
    if not _same(data.get("InResponseTo", ""), expected.request_id):
        raise SignOnFailed("unasked")
    if data.get("NotBefore") is not None:
        raise SignOnFailed("time", "NotBefore")
    if _is_over(data.get("NotOnOrAfter"), expected):
        raise SignOnFailed("expired", "SubjectConfirmationData")


def _require_conditions(conditions: Element, expected: Expected) -> None:
    if any(each.tag not in _CONDITIONS for each in conditions):
        # A condition that is not understood makes the assertion's validity unknown (SAML Core, section 2.5.1.1).
        raise SignOnFailed("document", "Conditions")
    if conditions.get("NotBefore") is not None and expected.at + LEEWAY < instant(conditions.get("NotBefore")):
        raise SignOnFailed("time", "NotBefore")
    if _is_over(conditions.get("NotOnOrAfter"), expected):
        raise SignOnFailed("expired", "Conditions")
    restrictions = children(conditions, saml("AudienceRestriction"))
    for each in restrictions:
        audiences = [text(audience) for audience in children(each, saml("Audience"))]
        if expected.entity_id not in audiences:
            raise SignOnFailed("audience", ", ".join(audiences))
    if not restrictions:
        raise SignOnFailed("audience")


def _authentication(assertion: Element, expected: Expected) -> tuple[datetime, str]:
    """Return when and how the person authenticated. With `again_since`, an old authentication is refused."""
    statement = only(assertion, saml("AuthnStatement"), code="authentication")
    at = instant(statement.get("AuthnInstant"))
    if at > expected.at + LEEWAY:
        raise SignOnFailed("time", "AuthnInstant")
    end = statement.get("SessionNotOnOrAfter")
    if end is not None and _is_over(end, expected):
        raise SignOnFailed("expired", "SessionNotOnOrAfter")
    if expected.again_since is not None and at < expected.again_since - LEEWAY:
        raise SignOnFailed("not_again")
    context = only(statement, saml("AuthnContext"), code="authentication")
    found = [text(each) for each in children(context, saml("AuthnContextClassRef"))]
    return at, (found or [""])[0][:300]


def _attributes(assertion: Element) -> dict[str, tuple[str, ...]]:
    """Return the values of each attribute. A value that has other elements in it is no text, and is left out."""
    found: dict[str, list[str]] = {}
    for statement in children(assertion, saml("AttributeStatement")):
        for attribute in children(statement, saml("Attribute")):
            values = [each.text or "" for each in children(attribute, saml("AttributeValue")) if not len(each)]
            found.setdefault(attribute.get("Name", ""), []).extend(values)
    return {name: tuple(values[:MOST_VALUES]) for name, values in found.items()}


def _require_recent(at: datetime, expected: Expected) -> None:
    if not expected.at - MOST_AGE - LEEWAY <= at <= expected.at + LEEWAY:
        raise SignOnFailed("time", "IssueInstant")


def _is_over(end: str | None, expected: Expected) -> bool:
    # Only this server's own time is moved: some identity providers send the first or the last time that there is.
    return expected.at - LEEWAY >= instant(end)


def _same(given: str, wanted: str) -> bool:
    return bool(wanted) and hmac.compare_digest(given.encode(), wanted.encode())
