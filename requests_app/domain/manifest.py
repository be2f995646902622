"""The exact text that a decider signs: which access request, what, for whom, until when, and the state of the log.

The challenge for the passkey is the SHA-256 hash of `lockbox-decision-v1`, a line feed, and the text in canonical JSON
(RFC 8785). The nonce in the text holds random bytes, and a MAC over everything else. The MAC proves that this product
made the text, and for whom. A nonce can be used only once, because one person decides only once on an access request,
and the database stores a nonce in only one row.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils.crypto import salted_hmac

from audit_app import canonical
from requests_app.domain import errors
from requests_app.domain.base64url import from_text, to_text

FORMAT = "lockbox-decision-v1"
PREFIX = FORMAT.encode() + b"\n"
GOOD_FOR = timedelta(minutes=5)
#: The longest text that is read, in characters. Twenty resources with the longest possible names fit into it.
MOST = 256 * 1024
_RANDOM = 16


@dataclass(frozen=True, kw_only=True)
class Signed:
    """A signed decision as an interface receives it: the text that was signed, and the passkey's answer."""

    manifest: str
    assertion: object


def issue(facts: dict[str, Any], *, at: datetime, deadline: datetime) -> str:
    """Return the text to sign. It is valid for five minutes, but not longer than the deadline."""
    not_after = canonical.instant(min(at + GOOD_FOR, deadline))
    content = {**facts, "format": FORMAT, "not_after": not_after, "nonce": ""}
    salt = secrets.token_bytes(_RANDOM)
    return canonical.encode({**content, "nonce": to_text(salt + _mac(content, salt))}).decode()


def challenge_of(text: str) -> bytes:
    """Return the challenge that the passkey signs. It is also the digest that people can compare before they sign."""
    return hashlib.sha256(PREFIX + text.encode()).digest()


def shown(text: str) -> str:
    """Return the text with line breaks and indents, for people to read. The signature is over the text without them."""
    return json.dumps(json.loads(text), ensure_ascii=False, indent=2)


def not_after(text: str) -> datetime:
    return datetime.fromisoformat(json.loads(text)["not_after"])


def read(text: object) -> dict[str, Any]:
    """Return the content of a text that this product made. Raise ManifestChanged for any other text."""
    if not isinstance(text, str) or len(text) > MOST:
        raise errors.ManifestChanged
    try:
        content = json.loads(text)
        nonce = content["nonce"]
        if canonical.encode(content).decode() != text or not isinstance(nonce, str):
            raise errors.ManifestChanged
        salt = _salt_of(nonce)
        mac = _mac({**content, "nonce": ""}, salt)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise errors.ManifestChanged from error
    if not hmac.compare_digest(to_text(salt + mac).encode(), nonce.encode()):
        raise errors.ManifestChanged
    return dict(content)


def require(content: dict[str, Any], facts: dict[str, Any], *, at: datetime) -> None:
    """Raise an error unless the signed text is about this decision, is still valid, and all its facts are still true.

    The checkpoint is not compared with the newest one. It is the checkpoint of the time when the text was made, and the
    MAC protects it.
    """
    about = ("tenant", "access_request", "stage", "decision", "decider")
    if any(content.get(name) != facts[name] for name in about):
        raise errors.ManifestForeign
    if canonical.instant(at) >= content["not_after"]:
        raise errors.ManifestExpired
    now = {**facts, "checkpoint": content.get("checkpoint")}
    if {**now, **{name: content[name] for name in ("format", "not_after", "nonce")}} != content:
        raise errors.FactsChanged


def facts_of(row: Any, *, verdict: str, stage: str, decider: dict[str, str], checkpoint: Any) -> dict[str, Any]:
    """Return all facts that a human should read before this decision. `row` is the access request.

    Only the text of a practice request has the key `practice`. So a text without the key is about real content, and
    one with the key never is.
    """
    confirmed = next((each for each in row.decisions.all() if each.stage == "provider"), None)
    practice = {"practice": True} if row.is_practice else {}
    return {
        **practice,
        "tenant": _named(row.tenant_id, row.tenant.name),
        "access_request": {"id": str(row.pk), "reference": row.reference, "digest": row.content_digest},
        "stage": stage,
        "decision": verdict,
        "service": row.service.key,
        "resources": [each.resource.described for each in row.scope.select_related("resource")],
        "level": str(row.level),
        "minutes": min(row.window_for, row.tenant.window_cap) // 60,
        "engineer": _named(row.requested_by_id, row.requested_by.name),
        "provider_approver": _named(confirmed.decider_id, confirmed.decider.name) if confirmed else None,
        "decider": decider,
        "checkpoint": checkpoint,
        **of_service(row),
    }


def of_service(row: Any) -> dict[str, str]:
    """Return the member that names the application that enforces the window, and the service's words about the level.

    If the content is read through this product, or the service has no such words, there is no such member. So all older
    texts keep their meaning, and their bytes.
    """
    members = {"enforced_by": row.enforced_by, "service_words": row.service_words}
    return {name: value for name, value in members.items() if value}


def _named(pk: UUID, name: str) -> dict[str, str]:
    return {"id": str(pk), "name": name}


def _salt_of(nonce: str) -> bytes:
    try:
        raw = from_text(nonce)
    except errors.PasskeyUnreadable as error:
        raise errors.ManifestChanged from error
    if len(raw) != _RANDOM + hashlib.sha256().digest_size:
        raise errors.ManifestChanged
    return raw[:_RANDOM]


def _mac(content: dict[str, Any], salt: bytes) -> bytes:
    return salted_hmac("requests_app.manifest", salt + canonical.encode(content), algorithm="sha256").digest()
