"""Webhooks over the API: the same acts as on the pages. No secret is sent in more than one response."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from requests_app import operations
from requests_app.domain.scopes import Scope
from requests_app.models import IdempotencyKey, OutboxMessage, Webhook, WebhookAttempt
from tests.caller import Caller
from tests.cast import Cast, events_in

pytestmark = pytest.mark.django_db

Calling = Callable[..., Caller]
BODY: dict[str, Any] = {"url": "https://hooks.example/in", "events": ["grant.closed"], "label": "Desk"}


def of(cast: Cast) -> str:
    return f"tenants/{cast.contoso.pk}/webhooks"


def tried(webhook_id: str) -> OutboxMessage:
    """Make the only test message of this webhook look as if it was sent and had failed. Return the message."""
    message = OutboxMessage.objects.get(webhook=webhook_id)
    OutboxMessage.objects.update(state="parked")
    WebhookAttempt.objects.create(
        webhook_id=webhook_id,
        message=message,
        tenant_id=message.tenant_id,
        at=message.created_at,
        status=503,
        milliseconds=7,
        answer="No",
    )
    return message


@pytest.mark.parametrize("who", ["ines", "contoso"])
def test_an_administrator_and_a_client_with_the_scope_manage_those_of_their_tenant(
    cast: Cast, calling: Calling, who: str
) -> None:
    caller = calling(who, Scope.WEBHOOKS_MANAGE)
    made = caller.post(of(cast), BODY)
    assert made.status_code == 201
    body = made.json()
    assert made["Location"].endswith(f"/api/v1/webhooks/{body['id']}")
    assert body["secret"].startswith("whsec_")
    assert body["public_key"].startswith("whpk_")
    read = caller.get(f"webhooks/{body['id']}")
    assert read.json() == {name: value for name, value in body.items() if name != "secret"}
    assert caller.get(f"webhooks/{body['id']}", If_None_Match=read["ETag"]).status_code == 304
    assert [each["id"] for each in caller.get(of(cast)).json()["items"]] == [body["id"]]
    changed = caller.patch(f"webhooks/{body['id']}", {"events": ["*"]})
    assert (changed.json()["events"], changed.json()["label"]) == (["*"], "Desk")
    rotated = caller.post(f"webhooks/{body['id']}/rotate-secret").json()
    assert rotated["secret"] != body["secret"]
    assert rotated["former_keys_until"] is not None
    assert caller.post(f"webhooks/{body['id']}/disable").json()["off_because"] == "person"
    assert caller.post(f"webhooks/{body['id']}/disable").status_code == 409
    assert caller.post(f"webhooks/{body['id']}/enable").json()["is_on"] is True
    assert caller.delete(f"webhooks/{body['id']}").status_code == 204
    assert caller.get(f"webhooks/{body['id']}").status_code == 404


def test_a_test_is_a_delivery_that_is_read_and_sent_again(cast: Cast, calling: Calling) -> None:
    caller = calling("ines", Scope.WEBHOOKS_MANAGE)
    pk = caller.post(of(cast), BODY).json()["id"]
    sent = caller.post(f"webhooks/{pk}/test")
    assert (sent.status_code, sent.json()["event"], sent.json()["state"]) == (201, "webhook.test", "waiting")
    message = tried(pk)
    where = f"webhooks/{pk}/deliveries/{message.pk}"
    found = caller.get(where).json()
    assert [(each["status"], each["answer"]) for each in found["attempts"]] == [(503, "No")]
    assert (found["body"], found["next_attempt_at"]) == ((message.rendered or {})["body"], None)
    listed = caller.get(f"webhooks/{pk}/deliveries", {"state": "parked", "event": "webhook.test"}).json()["items"]
    assert [each["id"] for each in listed] == [str(message.pk)]
    assert caller.get(f"webhooks/{pk}/deliveries", {"state": "delivered"}).json()["items"] == []
    assert caller.post(f"{where}/redeliver").json()["state"] == "waiting"
    assert caller.post(f"{where}/redeliver").status_code == 409
    other = caller.post(of(cast), BODY).json()["id"]
    for wrong in (f"webhooks/{other}/deliveries/{message.pk}", f"webhooks/{pk}/deliveries/{uuid4()}"):
        assert caller.get(wrong).status_code == 404
        assert caller.post(f"{wrong}/redeliver").status_code == 404


@pytest.mark.parametrize("name", ["mia", "ada", "otto", "stella"])
def test_nobody_else_of_the_tenant_and_no_staff(cast: Cast, calling: Calling, name: str) -> None:
    webhook = operations.add_webhook(cast.contoso.pk, actor=cast.as_("ines"), **BODY).webhook
    caller = calling(name, Scope.WEBHOOKS_MANAGE)
    before = list(Webhook.objects.values())
    for response in (
        caller.get(of(cast)),
        caller.post(of(cast), BODY),
        caller.get(f"webhooks/{webhook.pk}"),
        caller.get(f"webhooks/{webhook.pk}/deliveries"),
        caller.patch(f"webhooks/{webhook.pk}", {"label": "x"}),
        caller.delete(f"webhooks/{webhook.pk}"),
        caller.post(f"webhooks/{webhook.pk}/test"),
    ):
        assert response.status_code == 403, response.content
        assert "hooks.example/in" not in response.content.decode()
    assert list(Webhook.objects.values()) == before
    assert not OutboxMessage.objects.exists()


@pytest.mark.parametrize("who", ["stella", None])
def test_the_providers_own_are_for_staff_and_its_clients(cast: Cast, calling: Calling, who: str | None) -> None:
    caller = calling(who, Scope.WEBHOOKS_MANAGE)
    made = caller.post("webhooks", BODY).json()
    assert made["tenant"] is None
    assert [each["id"] for each in caller.get("webhooks").json()["items"]] == [made["id"]]
    customer = calling("ines", Scope.WEBHOOKS_MANAGE)
    assert customer.get(f"webhooks/{made['id']}").status_code == 404
    assert customer.get("webhooks").status_code == 403
    assert customer.post("webhooks", BODY).status_code == 404


def test_without_the_scope_nothing_is_read_or_done(cast: Cast, calling: Calling) -> None:
    webhook = operations.add_webhook(cast.contoso.pk, actor=cast.as_("ines"), **BODY).webhook
    caller = calling("ines", *(set(Scope) - {Scope.WEBHOOKS_MANAGE}))
    for response in (
        caller.get(of(cast)),
        caller.get(f"webhooks/{webhook.pk}"),
        caller.post(of(cast), BODY),
        caller.delete(f"webhooks/{webhook.pk}"),
    ):
        assert (response.status_code, response.json()["code"]) == (403, "insufficient_scope")
    assert Webhook.objects.present().count() == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({**BODY, "url": "https://10.0.0.1/"}, 422),
        ({**BODY, "events": []}, 422),
        ({**BODY, "events": ["no.such"]}, 422),
        ({**BODY, "is_on": False}, 422),
        ({**BODY, "url": 7}, 422),
        ({"events": ["*"]}, 422),
    ],
)
def test_a_wrong_value_is_refused_with_its_field(
    cast: Cast, calling: Calling, settings: Any, body: dict[str, Any], status: int
) -> None:
    settings.WEBHOOK_PRIVATE_NETWORK = False
    response = calling("ines", Scope.WEBHOOKS_MANAGE).post(of(cast), body)
    assert response.status_code == status
    assert response.json()["errors"]
    assert not Webhook.objects.exists()


def test_a_secret_is_not_stored_for_a_repeated_call(cast: Cast, calling: Calling) -> None:
    caller = calling("ines", Scope.WEBHOOKS_MANAGE)
    first = caller.post(of(cast), BODY, Idempotency_Key="once")
    secret = first.json()["secret"]
    again = caller.post(of(cast), BODY, Idempotency_Key="once")
    assert Webhook.objects.count() == 1
    assert secret not in again.content.decode()
    stored = " ".join(str(value) for row in IdempotencyKey.objects.values() for value in row.values())
    assert secret not in stored
    assert events_in(cast.contoso).count("webhook.added") == 1
