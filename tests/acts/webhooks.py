"""Test cases for the acts on a webhook and its messages."""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from requests_app import operations
from requests_app.models import OutboxMessage, Webhook
from tests.acts.case import Call, Case
from tests.acts.shared import by_adding, by_button, of_tenant
from tests.caller import Caller
from tests.cast import Cast


def _webhook(cast: Cast, by: str = "ines", url: str = "https://hooks.contoso.example/in") -> Webhook:
    tenant_id = cast.contoso.pk if by == "ines" else None
    return operations.add_webhook(tenant_id, url=url, events=["*"], actor=cast.as_(by)).webhook


def _own_webhook(cast: Cast) -> Webhook:
    """Return a webhook of the provider."""
    return _webhook(cast, "stella")


def _off_webhook(cast: Cast, by: str = "ines") -> Webhook:
    return operations.disable_webhook(_webhook(cast, by).pk, actor=cast.as_(by))


def _tried(cast: Cast, by: str = "ines") -> OutboxMessage:
    """Return a test message of a webhook. It was sent, and failed."""
    message = operations.send_webhook_test(_webhook(cast, by).pk, actor=cast.as_(by))
    OutboxMessage.objects.filter(pk=message.pk).update(state="parked")
    return message


_HOOK: dict[str, Any] = {"url": "https://hooks.example/new", "label": "Desk", "events": ["grant.closed"]}


_ADDRESS: dict[str, Any] = {"url": "https://hooks.example/callbacks", "label": "Desk"}


def _asking_client(cast: Cast) -> Any:
    return cast.own_client("Help desk", ["requests:ask", "evaluate"]).row


def _call_hook(act: str) -> Call:
    return lambda cast, caller, row: caller.post(f"webhooks/{row.pk}/{act}")


def _call_redeliver(cast: Cast, caller: Caller, row: Any) -> Any:
    return caller.post(f"webhooks/{row.webhook_id}/deliveries/{row.pk}/redeliver")


CASES: dict[str, Case] = {
    "add_webhook": Case(
        "ines",
        lambda cast: None,
        lambda cast, row, actor: operations.add_webhook(cast.contoso.pk, actor=actor, **_HOOK),
        page=lambda cast, client, row: client.post(reverse("web:webhooks", args=[cast.contoso.pk]), _HOOK),
        status=200,
        api=lambda cast, caller, row: caller.post(f"tenants/{cast.contoso.pk}/webhooks", _HOOK),
    ),
    "add_webhook by staff": Case(
        "stella",
        lambda cast: None,
        lambda cast, row, actor: operations.add_webhook(None, actor=actor, **_HOOK),
        admin=by_adding("webhook", **_HOOK),
        status=200,
        api=lambda cast, caller, row: caller.post("webhooks", _HOOK),
    ),
    "add_callback": Case(
        "stella",
        _asking_client,
        lambda cast, row, actor: operations.add_callback(row.pk, actor=actor, **_ADDRESS),
        admin=by_button("client", "callback", **_ADDRESS),
        status=200,
        api=lambda cast, caller, row: caller.post(f"clients/{row.pk}/callbacks", _ADDRESS),
    ),
    "change_webhook": Case(
        "ines",
        _webhook,
        lambda cast, row, actor: operations.change_webhook(row.pk, actor=actor, **_HOOK),
        page=of_tenant("webhook_change", **_HOOK),
        api=lambda cast, caller, row: caller.patch(f"webhooks/{row.pk}", _HOOK),
    ),
    "change_webhook by staff": Case(
        "stella",
        _own_webhook,
        lambda cast, row, actor: operations.change_webhook(row.pk, actor=actor, **_HOOK),
        admin=by_button("webhook", "change", **_HOOK),
        api=lambda cast, caller, row: caller.patch(f"webhooks/{row.pk}", _HOOK),
    ),
    "remove_webhook": Case(
        "ines",
        _webhook,
        lambda cast, row, actor: operations.remove_webhook(row.pk, actor=actor),
        page=of_tenant("webhook_remove"),
        api=lambda cast, caller, row: caller.delete(f"webhooks/{row.pk}"),
    ),
    "remove_webhook by staff": Case(
        "stella",
        _own_webhook,
        lambda cast, row, actor: operations.remove_webhook(row.pk, actor=actor),
        admin=by_button("webhook", "remove"),
        api=lambda cast, caller, row: caller.delete(f"webhooks/{row.pk}"),
    ),
    "rotate_webhook_secret": Case(
        "ines",
        _webhook,
        lambda cast, row, actor: operations.rotate_webhook_secret(row.pk, actor=actor),
        page=of_tenant("webhook_rotate"),
        status=200,
        api=_call_hook("rotate-secret"),
    ),
    "rotate_webhook_secret by staff": Case(
        "stella",
        _own_webhook,
        lambda cast, row, actor: operations.rotate_webhook_secret(row.pk, actor=actor),
        admin=by_button("webhook", "rotate"),
        status=200,
        api=_call_hook("rotate-secret"),
    ),
    "disable_webhook": Case(
        "ines",
        _webhook,
        lambda cast, row, actor: operations.disable_webhook(row.pk, actor=actor),
        page=of_tenant("webhook", act="off"),
        api=_call_hook("disable"),
    ),
    "disable_webhook by staff": Case(
        "stella",
        _own_webhook,
        lambda cast, row, actor: operations.disable_webhook(row.pk, actor=actor),
        admin=by_button("webhook", "switch-off"),
        api=_call_hook("disable"),
    ),
    "enable_webhook": Case(
        "ines",
        _off_webhook,
        lambda cast, row, actor: operations.enable_webhook(row.pk, actor=actor),
        page=of_tenant("webhook", act="on"),
        api=_call_hook("enable"),
    ),
    "enable_webhook by staff": Case(
        "stella",
        lambda cast: _off_webhook(cast, "stella"),
        lambda cast, row, actor: operations.enable_webhook(row.pk, actor=actor),
        admin=by_button("webhook", "switch-on"),
        api=_call_hook("enable"),
    ),
    "send_webhook_test": Case(
        "ines",
        _webhook,
        lambda cast, row, actor: operations.send_webhook_test(row.pk, actor=actor),
        page=of_tenant("webhook", act="test"),
        api=_call_hook("test"),
    ),
    "send_webhook_test by staff": Case(
        "stella",
        _own_webhook,
        lambda cast, row, actor: operations.send_webhook_test(row.pk, actor=actor),
        admin=by_button("webhook", "test"),
        api=_call_hook("test"),
    ),
    "redeliver": Case(
        "ines",
        _tried,
        lambda cast, row, actor: operations.redeliver(row.pk, actor=actor),
        page=lambda cast, client, row: client.post(
            reverse("web:webhook_delivery", args=[cast.contoso.pk, row.webhook_id, row.pk])
        ),
        api=_call_redeliver,
    ),
    "redeliver by staff": Case(
        "stella",
        lambda cast: _tried(cast, "stella"),
        lambda cast, row, actor: operations.redeliver(row.pk, actor=actor),
        admin=by_button("outboxmessage", "redeliver"),
        api=_call_redeliver,
    ),
}
