"""The callback of a task: which address a client may name, and how its addresses end."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from requests_app.domain.access_tasks import CALLBACK_EVENTS, CALLBACK_STATE_MAX, Callback
from requests_app.domain.errors import Unacceptable
from requests_app.models import Client, Webhook


def callback_columns(wanted: Callback | None, client_id: UUID) -> dict[str, Any]:
    """Return the columns of a task for the callback that its client wants.

    Raise Unacceptable unless the address is registered for this client, letter by letter, and is switched on. Nothing
    is ever sent to an address that only a call names.
    """
    if wanted is None:
        return {}
    row = Webhook.objects.receivers().filter(client=client_id, url=wanted.endpoint).first()
    if row is None or not wanted.endpoint:
        words = _("This address is not registered for your client. Staff can register it.")
        raise Unacceptable(words, field="callback.endpoint")
    if not row.is_on:
        words = _("This address is switched off. Staff can switch it on, or ask without a callback.")
        raise Unacceptable(words, field="callback.endpoint")
    if len(wanted.state) > CALLBACK_STATE_MAX or "\0" in wanted.state:
        words = _("The state must be a text of at most %(max)d characters.") % {"max": CALLBACK_STATE_MAX}
        raise Unacceptable(words, field="callback.state")
    if wanted.events is not None and (not wanted.events or not set(wanted.events) <= set(CALLBACK_EVENTS)):
        words = _("Choose one of these: %(choices)s.") % {"choices": ", ".join(CALLBACK_EVENTS)}
        raise Unacceptable(words, field="callback.events")
    events = None if wanted.events is None else sorted(set(wanted.events))
    return {"callback": row, "callback_state": wanted.state, "callback_events": events}


def end_callbacks(client: Client, *, at: datetime) -> None:
    """End the callback addresses of a client inside the current act. Their keys are deleted, and nothing more is sent.

    The entry about the client says why.
    """
    client.callbacks.receivers().update(removed_at=at, is_on=False, sealed="", former_sealed="")
