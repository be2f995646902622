"""What webhooks and signal streams share: the receiver's address, and the rows of the messages to it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext, gettext_lazy

from requests_app.domain.errors import Unacceptable
from requests_app.messages.webhooks import messages
from requests_app.models import OutboxMessage, Webhook
from requests_app.models.outbox import WEBHOOK
from requests_app.platform.outbound import BadTarget, Target

#: A receiver that is switched on again gets the messages that it missed, if they are not older than this.
CATCH_UP = timedelta(days=3)
_BAD_URL: dict[str, Promise] = {
    "shape": gettext_lazy("Enter the address that gets the messages, such as https://example.com/lockbox."),
    "scheme": gettext_lazy("The address must begin with https://."),
    "port": gettext_lazy("Messages are sent only to port 443 or 8443."),
    "private": gettext_lazy("This address is not on the public internet, so this server does not call it."),
}


def receiver_address(url: str, *, field: str = "url") -> str:
    """Return the address of a receiver. Raise Unacceptable if this server must not call it."""
    url = url.strip() if isinstance(url, str) else ""
    try:
        Target.parse(url, private=settings.WEBHOOK_PRIVATE_NETWORK, query=True)
    except BadTarget as error:
        raise Unacceptable(_BAD_URL[error.code], field=field) from error
    return url


def require_unregistered(webhook: Webhook) -> None:
    """Raise Unacceptable if another callback address of the same client has this address: a call names it by that."""
    others = Webhook.objects.receivers().filter(client=webhook.client, url=webhook.url).exclude(pk=webhook.pk)
    if webhook.client is not None and others.exists():
        raise Unacceptable(gettext("This client already has this callback address."), field="url")


def outbox_row(webhook: Webhook, message: messages.Message, *, lane: str = WEBHOOK) -> dict[str, Any]:
    """Return the columns of the row for a message, except its times.

    The column `key` prevents a second row for the same message.
    """
    return {
        "webhook": webhook,
        # The tenant of the webhook and not of the log: no customer may see what the provider's webhooks get.
        "tenant_id": webhook.tenant_id,
        "topic": message.type,
        "about": webhook.pk,
        "mark": message.about,
        "seq": message.seq,
        "key": f"webhook:{webhook.pk}:{message.id}",
        "lane": lane,
        "recipient": webhook.place[:254],
        "rendered": {"id": message.id, "body": message.body},
    }


def park(rows: QuerySet[OutboxMessage], why: str) -> None:
    """Give up those of these messages that wait. `why` is shown where people look for them."""
    waiting = rows.filter(state=OutboxMessage.State.WAITING)
    waiting.update(state=OutboxMessage.State.PARKED, claimed_until=None, last_error=why)
