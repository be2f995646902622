"""What the receiver of a signal stream can choose, and how the stream's waiting events end."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from requests_app.domain.errors import Unacceptable
from requests_app.messages import signals
from requests_app.messages.webhooks import sealing
from requests_app.models import OutboxMessage, SignalStream, Webhook
from requests_app.operations._change import Step
from requests_app.operations._receivers import receiver_address

MOST_REQUESTED = 50
ALGORITHMS = ("RS256", "EdDSA")
#: A header value that the receiver chose: visible ASCII characters, with single spaces inside.
_AUTHORIZATION = re.compile(r"[\x21-\x7e]+( [\x21-\x7e]+)*")
_MOST_AUTHORIZATION = 4000


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """How the receiver gets the events. Without `authorization`, the stored header stays if the address stays."""

    is_push: bool = False
    url: str = ""
    authorization: str | None = None


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a receiver can choose. A member without a value stays as it is; a new stream gets the default."""

    requested: Sequence[str] | None = None
    delivery: Delivery | None = None
    description: str | None = None
    subject_format: str | None = None
    alg: str | None = None


def set_wanted(stream: SignalStream, wanted: Wanted, current: Step) -> None:
    """Write what the receiver chose into the row. Raise Unacceptable if a value is not allowed."""
    if wanted.requested is not None:
        stream.requested = _requested(wanted.requested)
    if wanted.description is not None:
        stream.webhook.label = current.inputs["description"]
    if wanted.subject_format is not None:
        stream.subject_format = _choice(wanted.subject_format, SignalStream.Subject.values, "subject_format")
    if wanted.alg is not None:
        stream.alg = _choice(wanted.alg, ALGORITHMS, "signing_alg")
    if wanted.delivery is not None:
        _deliver(stream, wanted.delivery)
    stream.webhook.events = signals.log_events(stream.requested)


def _deliver(stream: SignalStream, delivery: Delivery) -> None:
    if not delivery.is_push:
        stream.method, stream.webhook.url, stream.authorization = SignalStream.Method.POLL, "", ""
        return
    url = receiver_address(delivery.url, field="delivery.endpoint_url")
    if delivery.authorization is not None:
        stream.authorization = _authorization(delivery.authorization)
    elif url != stream.webhook.url:
        # A header for one receiver must never reach another.
        stream.authorization = ""
    stream.method, stream.webhook.url = SignalStream.Method.PUSH, url


def _authorization(value: str) -> str:
    if not value:
        return ""
    if len(value) > _MOST_AUTHORIZATION or not _AUTHORIZATION.fullmatch(value):
        raise Unacceptable(_("This is no value for an Authorization header."), field="delivery.authorization_header")
    return sealing.seal_header(value)


def _requested(names: Sequence[str]) -> list[str]:
    """Return the requested event types. An unknown type is stored, but nothing is sent for it."""
    if len(names) > MOST_REQUESTED or any(not isinstance(name, str) or len(name) > 200 for name in names):
        words = _("At most %(max)d event types can be requested.") % {"max": MOST_REQUESTED}
        raise Unacceptable(words, field="events_requested")
    return list(dict.fromkeys(names))


def _choice(value: str, choices: Sequence[str], field: str) -> str:
    if value not in choices:
        raise Unacceptable(_("Choose one of these: %(choices)s.") % {"choices": ", ".join(choices)}, field=field)
    return value


def described(stream: SignalStream) -> dict[str, Any]:
    """Return the fields about a stream for the log. The path of its address may be as secret as a password."""
    return {
        "signal_stream": str(stream.pk),
        "client": str(stream.client_id),
        "client_name": str(stream.client),
        "place": stream.webhook.place,
        "method": str(stream.method),
        "events": list(stream.requested),
        "subject_format": str(stream.subject_format),
        "alg": stream.alg,
    }


def end_streams(which: Any, *, at: datetime) -> None:
    """End these streams inside the current act. Their events are deleted within an hour, and are not sent."""
    for stream in which.filter(webhook__removed_at=None).select_related("webhook"):
        Webhook.objects.filter(pk=stream.pk).update(removed_at=at, is_on=False)
        SignalStream.objects.filter(pk=stream.pk).update(authorization="", status=SignalStream.Status.DISABLED)


def waiting(stream: SignalStream) -> Any:
    return OutboxMessage.objects.filter(webhook=stream.pk, state=OutboxMessage.State.WAITING)
