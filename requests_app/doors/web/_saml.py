"""The round trip of SAML: questions that wait for an answer, and answers that wait for the browser that asked.

Both are in the cache that all web processes share. The first answer that names a question uses it, even if the answer
is bad. So nobody can try many answers to one question.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import structlog
from django.core.cache import cache

from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.identity.sso import sealing
from requests_app.identity.sso.asserted import AssertedIdentity
from requests_app.identity.sso.failures import SignOnFailed
from requests_app.identity.sso.saml import answers
from requests_app.identity.sso.saml.service import Question, Service
from requests_app.models.single_sign_on import saml_issuer
from requests_app.queries import single_sign_on as queries

security_log = structlog.get_logger("security")

QUESTION_SECONDS, ANSWER_SECONDS = 600, 60
_MOST_GROUPS = 500
#: Who reads the metadata again if a sign-in fails. Nobody is signed in by then.
_READER = Actor.system("single sign-on")


def ask(place: str, party: Service, *, again: bool, is_test: bool) -> tuple[str, str]:
    """Store a new question. Return its id, and the address at the identity provider."""
    question = Question.new(at=clock.now(), again=again)
    try:
        where = party.address(question)
    except SignOnFailed as failure:
        where = _renewed(place, failure).address(question)
    stored = {
        "place": place,
        "relay_state": question.relay_state,
        "asked_at": question.asked_at.isoformat(),
        "again": again,
        "is_test": is_test,
    }
    cache.set(_key("question", question.id), stored, QUESTION_SECONDS)
    return question.id, where


def connection(place: str) -> queries.SignOnConnection:
    """Return the connection with this name. Its metadata is read first if it was never read."""
    try:
        return queries.find_connection(place)
    except SignOnFailed as failure:
        if failure.code != "unread" or not operations.refresh_at_need(place, actor=_READER):
            raise
        return queries.find_connection(place)


def _renewed(place: str, failure: SignOnFailed) -> Service:
    """Return the connection with other metadata, if present metadata can help. Otherwise raise the failure again.

    The stored metadata has ended, or the identity provider has signed with a key that is not in it.
    """
    is_of_metadata = failure.code == "stale" or failure.args == ("signature", "key")
    if is_of_metadata and operations.refresh_at_need(place, actor=_READER):
        party = queries.find_connection(place).party
        if isinstance(party, Service):
            return party
    raise failure


def is_test(place: str, form_value: str) -> bool:
    """Return whether an answer claims to answer a question of a test. Then the page shows what is wrong with it."""
    try:
        stored = cache.get(_key("question", answers.request_id_of(answers.decoded(form_value))))
    except SignOnFailed:
        return False
    return isinstance(stored, dict) and stored["place"] == place and stored["is_test"] is True


def judged(place: str, party: Service, form: Mapping[str, str]) -> str:
    """Check the answer in the form. Return the handle under which it waits. Raise SignOnFailed."""
    data = answers.decoded(form.get("SAMLResponse", ""))
    question = _taken(place, answers.request_id_of(data))
    if not hmac.compare_digest(form.get("RelayState", "").encode(), question.relay_state.encode()):
        raise SignOnFailed("relay_state")
    at = clock.now()
    try:
        found = party.verified(data, question, at=at)
    except SignOnFailed as failure:
        party = _renewed(place, failure)
        found = party.verified(data, question, at=at)
    # An assertion is good for one question, and a question for one answer. This is a second lock on the same door.
    assertion = f"{party.identity_provider.entity_id} {found.assertion_id}"
    if not cache.add(_key("assertion", assertion), 1, timeout=2 * QUESTION_SECONDS):
        raise SignOnFailed("replay")
    handle = secrets.token_urlsafe(32)
    waiting = {
        "place": place,
        # The connection can be changed before the browser comes. What this issuer said is never the word of another.
        "issuer": saml_issuer(party.identity_provider.entity_id),
        "question": question.id,
        "subject": found.subject,
        "attributes": {name: list(values) for name, values in found.attributes.items()},
        "context": found.context,
        "authenticated_at": found.authenticated_at.isoformat(),
    }
    cache.set(_key("answer", handle), sealing.seal_flow(json.dumps(waiting)), ANSWER_SECONDS)
    return handle


def _taken(place: str, question_id: str) -> Question:
    """Return the question with this id, once. Raise SignOnFailed if this server has not asked it."""
    key = _key("question", question_id)
    stored = cache.get(key)
    if not isinstance(stored, dict) or stored["place"] != place:
        raise SignOnFailed("unasked")
    if not cache.add(_key("used", question_id), 1, timeout=2 * QUESTION_SECONDS):
        raise SignOnFailed("unasked", "again")
    # If the cache is full, it can lose the mark before the question. Then nothing would say that it was used.
    cache.delete(key)
    asked_at = datetime.fromisoformat(stored["asked_at"])
    if (clock.now() - asked_at).total_seconds() >= QUESTION_SECONDS:
        raise SignOnFailed("unasked", "late")
    return Question(id=question_id, relay_state=stored["relay_state"], asked_at=asked_at, again=stored["again"] is True)


def answer_under(place: str, handle: str, *, question: str) -> dict[str, Any]:
    """Return the answer that waits under this handle, once, if it answers this browser's question."""
    sealed = cache.get(_key("answer", handle))
    if not isinstance(sealed, str):
        raise SignOnFailed("state")
    found: dict[str, Any] = json.loads(sealing.opened_flow(sealed))
    if found["place"] != place or not hmac.compare_digest(found["question"].encode(), question.encode()):
        raise SignOnFailed("state")
    cache.delete(_key("answer", handle))
    return found


def came(found: queries.SignOnConnection, party: Service, answer: Mapping[str, Any]) -> AssertedIdentity:
    """Return the identity in an answer.

    The address is verified as far as the identity provider can say so if the tenant has named its attribute. It counts
    only in a domain of the tenant, as with OpenID Connect (`operations.sign_in`).
    """
    attributes: Mapping[str, list[str]] = answer["attributes"]
    email = _one(attributes, party.email_claim).strip().lower()
    groups = attributes.get(party.groups_claim) if party.groups_claim else None
    security_log.info(
        "sign_in.saml_answer",
        place=found.name,
        context=answer["context"].encode("unicode_escape").decode(),
        authenticated_at=answer["authenticated_at"],
    )
    return AssertedIdentity(
        # An answer that a process of the former version has stored names no issuer, and is refused.
        issuer=answer.get("issuer", ""),
        subject=answer["subject"],
        name=next(filter(None, (_one(attributes, name) for name in _NAMES)), ""),
        email=email,
        email_is_verified=bool(email),
        directory_key=_one(attributes, party.key_claim) if party.key_claim else answer["subject"],
        groups=tuple(groups[:_MOST_GROUPS]) if groups is not None else None,
        has_proven_issuer=False,
        context=answer["context"],
        authenticated_at=answer["authenticated_at"],
    )


#: The attributes in which identity providers send a person's name.
_NAMES = (
    "displayName",
    "urn:oid:2.16.840.1.113730.3.1.241",
    "http://schemas.microsoft.com/identity/claims/displayname",
    "name",
    "cn",
    "urn:oid:2.5.4.3",
)


def _one(attributes: Mapping[str, list[str]], name: str) -> str:
    """Return the value of an attribute that has exactly one."""
    values = attributes.get(name, []) if name else []
    return values[0] if len(values) == 1 else ""


def _key(kind: str, value: str) -> str:
    # A key of the cache must be short and plain; a part of the value comes from a stranger.
    return f"saml:{kind}:{hashlib.sha256(value.encode()).hexdigest()}"
