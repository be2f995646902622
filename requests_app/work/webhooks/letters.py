"""Makes the HTTP request for one attempt: a signed webhook message, or a security event token of a signal stream."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime

from requests_app.messages import signals
from requests_app.messages.webhooks import sealing, standard
from requests_app.models import OutboxMessage, SignalStream, Webhook, token_keys

#: The error codes of RFC 8935 after which the same token would be refused again. All others can be faults of the
#: receiver's settings, which somebody repairs.
_FINAL = frozenset({"invalid_request"})
_ERR = re.compile(r'"err"\s*:\s*"(\w{1,64})"')


@dataclass(frozen=True, repr=False)
class Letter:
    """One POST. Its headers may contain a secret of the receiver."""

    url: str
    body: bytes
    headers: dict[str, str]
    content_type: str = "application/json"


def of(message: OutboxMessage, webhook: Webhook, at: datetime) -> Letter:
    """Return the request for this message. Raise Unreadable if a key or a header can't be decrypted."""
    rendered = message.rendered or {}
    text = str(rendered["body"])
    if webhook.is_of_stream:
        return _signal(text, webhook)
    body = text.encode()
    return Letter(webhook.url, body, standard.headers(str(rendered["id"]), at, body, _keys(webhook, at)))


def _signal(claims: str, webhook: Webhook) -> Letter:
    """Return a push of RFC 8935. The token is signed now, with the key that signs now; its id stays."""
    stream = SignalStream.objects.get(pk=webhook.pk)
    headers = {"Accept": "application/json"}
    if stream.authorization:
        headers["Authorization"] = sealing.opened_header(stream.authorization)
    token = token_keys.signed(json.loads(claims), typ=signals.TYPE, alg=stream.alg)
    return Letter(webhook.url, token.encode(), headers, f"application/{signals.TYPE}")


def _keys(webhook: Webhook, at: datetime) -> list[standard.Keys]:
    found = [sealing.opened(webhook.sealed)]
    if webhook.former_until is not None and at < webhook.former_until and webhook.former_sealed:
        found.append(sealing.opened(webhook.former_sealed))
    return found


def is_refused(status: int | None, answer: str) -> bool:
    """Return whether a receiver of signals never accepts this token, by its answer (RFC 8935, section 2.3)."""
    found = _ERR.search(answer) if status == 400 else None
    return found is not None and found[1] in _FINAL
