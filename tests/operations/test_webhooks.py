"""Webhooks: who can change them, what is refused, and what the log records."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import acts
from requests_app.domain.acts.declaration import Noun
from requests_app.domain.errors import DomainError, NotAllowed, NotFound, Unacceptable, WrongState
from requests_app.messages.webhooks import sealing
from requests_app.messages.webhooks.standard import Keys
from requests_app.models import OutboxMessage, Webhook, WebhookCursor
from tests.acts import CASES
from tests.cast import Cast, events_in
from tests.offenders import collected

pytestmark = pytest.mark.django_db

URL = "https://hooks.contoso.example/canary-path?sig=canary-query"


def add(cast: Cast, tenant: str | None = "contoso", by: str = "ines", **fields: Any) -> operations.Issued:
    pk = cast.tenants[tenant].pk if tenant else None
    return operations.add_webhook(pk, actor=cast.as_(by), **{"url": URL, "events": ["*"], **fields})


def last_entry(tenant_id: Any = None) -> dict[str, Any]:
    rows = AuditEntry.objects.filter(tenant_id=tenant_id) if tenant_id else AuditEntry.objects.all()
    return json.loads(bytes(rows.order_by("-pk")[0].canonical))


def snapshot() -> list[Any]:
    return [
        list(Webhook.objects.order_by("pk").values()),
        list(WebhookCursor.objects.order_by("pk").values()),
        list(OutboxMessage.objects.order_by("pk").values("pk", "state", "attempts")),
    ]


def _on(name: str) -> Callable[[Webhook, Any], Any]:
    """Return a function that does the act `name` as its test case does it.

    It does the act on a webhook, or on a message of this webhook.
    """
    is_about_message = acts.ACTS[name].noun is Noun.MESSAGE

    def act(webhook: Webhook, actor: Any) -> Any:
        row: Any = webhook
        if is_about_message:
            row = OutboxMessage.objects.filter(webhook=webhook)[0]
        return CASES[name].operation(None, row, actor)  # type: ignore[arg-type]  # they need nobody of the cast

    return act


#: Every declared act on one webhook, by name.
ACTS: dict[str, Callable[[Webhook, Any], Any]] = {
    name: _on(name)
    for name, act in acts.ACTS.items()
    if act.noun in (Noun.WEBHOOK, Noun.MESSAGE) and act.tried is not None
}


def tried(cast: Cast, tenant: str | None = "contoso", by: str = "ines") -> Webhook:
    webhook = add(cast, tenant, by).webhook
    message = operations.send_webhook_test(webhook.pk, actor=cast.as_(by))
    OutboxMessage.objects.filter(pk=message.pk).update(state="parked")
    return webhook


def refused(kind: type[DomainError], act: Callable[[], Any]) -> DomainError:
    before = snapshot()
    with pytest.raises(kind) as refusal:
        act()
    assert type(refusal.value) is kind
    assert snapshot() == before
    return refusal.value


# --- Who can act ---------------------------------------------------------------------------------------


def test_the_log_says_where_it_is_and_neither_path_nor_keys(cast: Cast) -> None:
    issued = add(cast, label="Help desk", events=["grant.closed", "ticket.opened"])
    entry = last_entry(cast.contoso.pk)
    assert (entry["event"], entry["subject"]["id"]) == ("webhook.added", str(issued.webhook.pk))
    assert entry["detail"] == {
        "place": "https://hooks.contoso.example",
        "label": "Help desk",
        "events": ["grant.closed", "ticket.opened"],
    }
    for name, act in ACTS.items():
        if name in ("enable_webhook", "redeliver"):
            continue
        act(add(cast).webhook, cast.as_("ines"))
    everything = " ".join(bytes(row.canonical).decode() + row.text for row in AuditEntry.objects.all())
    secret = issued.keys.whsec.removeprefix("whsec_")
    assert not any(each in everything for each in ("canary", secret, issued.keys.whsk.removeprefix("whsk_")))


def test_keys_are_stored_sealed_and_issued_once(cast: Cast) -> None:
    issued = add(cast)
    row = Webhook.objects.values().get()
    stored = " ".join(str(value) for value in row.values())
    assert issued.keys.whsec.removeprefix("whsec_") not in stored
    assert sealing.opened(row["sealed"]) == issued.keys
    assert row["public_key"] == issued.keys.whpk
    assert issued.keys.whsec not in repr(issued)


@pytest.mark.parametrize("name", ["mia", "ada", "otto", "stella"])
def test_only_the_tenants_administrator_adds_one_for_it(cast: Cast, name: str) -> None:
    refused(NotAllowed, lambda: add(cast, by=name))
    assert events_in(cast.contoso) == ["act.refused"]


@pytest.mark.parametrize("name", ["frida", "finn", "priya", "pat"])
def test_for_strangers_there_is_no_such_tenant(cast: Cast, name: str) -> None:
    kind = NotFound if name in ("frida", "finn") else NotAllowed
    refused(kind, lambda: add(cast, by=name))


@pytest.mark.parametrize("name", ["ines", "priya", "pat"])
def test_only_staff_add_a_webhook_of_the_provider(cast: Cast, name: str) -> None:
    refused(NotFound, lambda: add(cast, None, by=name))
    assert AuditEntry.objects.count() == 0


def test_only_the_tenants_administrator_does_anything_to_it(cast: Cast) -> None:
    people = [("mia", NotAllowed), ("ada", NotAllowed), ("stella", NotAllowed), ("finn", NotFound), ("priya", NotFound)]
    webhook = tried(cast)
    with collected() as case:
        for act in sorted(ACTS):
            for name, kind in people:
                with case(act, name, kind):
                    before = events_in(cast.contoso)
                    refused(kind, partial(ACTS[act], webhook, cast.as_(name)))
                    assert events_in(cast.contoso) == [*before, *(["act.refused"] if kind is NotAllowed else [])]


def test_only_staff_change_a_webhook_of_the_provider(cast: Cast) -> None:
    webhook = tried(cast, None, "stella")
    with collected() as case:
        for act in sorted(ACTS):
            for name in ["ines", "finn", "priya"]:
                with case(act, name):
                    refused(NotFound, partial(ACTS[act], webhook, cast.as_(name)))


def test_the_system_alone_gives_one_up(cast: Cast) -> None:
    webhook = add(cast).webhook
    for name in ("ines", "stella"):
        refused(
            NotAllowed,
            lambda name=name: operations.give_up_webhook(webhook.pk, because="gone", actor=cast.as_(name)),
        )


def test_a_removed_or_unknown_webhook_is_missing(cast: Cast) -> None:
    webhook = tried(cast)
    message = OutboxMessage.objects.get(webhook=webhook)
    operations.remove_webhook(webhook.pk, actor=cast.as_("ines"))
    with collected() as case:
        for act in sorted(set(ACTS) - {"redeliver"}):
            for absent in (webhook, Webhook(pk=uuid4())):
                with case(act, absent.pk):
                    refused(NotFound, partial(ACTS[act], absent, cast.as_("ines")))
    refused(NotFound, lambda: operations.redeliver(message.pk, actor=cast.as_("ines")))


# --- What is allowed -----------------------------------------------------------------------------------


def test_a_private_address_is_refused_when_it_is_saved(cast: Cast, settings: Any) -> None:
    cases = [
        ("http://hooks.contoso.example/", "https://"),
        ("https://10.0.0.5/", "not on the public internet"),
        ("https://127.0.0.1/", "not on the public internet"),
        ("https://[::1]/", "not on the public internet"),
        ("https://[::ffff:10.0.0.1]/", "not on the public internet"),
        ("https://169.254.169.254/latest/meta-data", "not on the public internet"),
        ("https://localhost/", "not on the public internet"),
        ("https://2130706433/", "example.com"),
        ("https://0x7f.1/", "example.com"),
        ("https://hooks.contoso.example:22/", "443"),
        ("https://ines:secret@hooks.contoso.example/", "example.com"),
        ("https://hooks.contoso.example/#x", "example.com"),
        ("", "https://"),
        ("https://", "example.com"),
    ]
    settings.WEBHOOK_PRIVATE_NETWORK = False
    webhook = add(cast).webhook
    with collected() as case:
        for url, words in cases:
            with case(url, words):
                for act in (
                    partial(add, cast, url=url),
                    partial(operations.change_webhook, webhook.pk, url=url, actor=cast.as_("ines")),
                ):
                    refusal = refused(Unacceptable, act)
                    assert isinstance(refusal, Unacceptable)
                    assert refusal.field == "url"
                    assert words in str(refusal)
                    assert set(events_in(cast.contoso)) == {"webhook.added"}


@pytest.mark.parametrize("events", [[], ["no.such"], ["grant.closed", "_connector"], ["webhook.test"]])
def test_only_events_that_there_are_can_be_heard_of(cast: Cast, events: list[str]) -> None:
    assert getattr(refused(Unacceptable, lambda: add(cast, events=events)), "field", "") == "events"


def test_the_event_all_excludes_others_and_each_event_is_there_once(cast: Cast) -> None:
    assert add(cast, events=["ticket.opened", "*"]).webhook.events == ["*"]
    two = add(cast, events=["ticket.opened", "grant.closed", "grant.closed"])
    assert two.webhook.events == ["grant.closed", "ticket.opened"]


def test_a_tenant_has_no_more_than_ten(cast: Cast) -> None:
    for _ in range(10):
        last = add(cast).webhook
    refused(Unacceptable, lambda: add(cast))
    operations.remove_webhook(last.pk, actor=cast.as_("ines"))
    add(cast)
    add(cast, "fabrikam", "finn")


def test_a_change_says_what_is_new_and_none_says_nothing(cast: Cast) -> None:
    webhook = add(cast).webhook
    Webhook.objects.update(failures=3, failing_since=webhook.created_at)
    operations.change_webhook(webhook.pk, url=URL, actor=cast.as_("ines"))
    assert events_in(cast.contoso)[-1] == "webhook.added"
    operations.change_webhook(webhook.pk, url="https://new.example/x", actor=cast.as_("ines"))
    assert last_entry(cast.contoso.pk)["detail"]["address_changed"] is True
    changed = Webhook.objects.get(pk=webhook.pk)
    assert (changed.failures, changed.failing_since) == (0, None)


def test_a_second_rotation_ends_the_keys_before_the_first(cast: Cast) -> None:
    first = add(cast)
    second = operations.rotate_webhook_secret(first.webhook.pk, actor=cast.as_("ines"))
    third = operations.rotate_webhook_secret(first.webhook.pk, actor=cast.as_("ines"))
    row = Webhook.objects.get()
    remaining: set[Keys] = {sealing.opened(row.sealed), sealing.opened(row.former_sealed)}
    assert remaining == {second.keys, third.keys}


def test_a_change_that_changes_nothing_is_refused(cast: Cast) -> None:
    webhook, actor = tried(cast), cast.as_("ines")
    refused(WrongState, lambda: operations.enable_webhook(webhook.pk, actor=actor))
    operations.send_webhook_test(webhook.pk, actor=actor)
    refused(WrongState, lambda: operations.send_webhook_test(webhook.pk, actor=actor))
    waiting = OutboxMessage.objects.get(webhook=webhook, state="waiting")
    refused(WrongState, lambda: operations.redeliver(waiting.pk, actor=actor))
    operations.disable_webhook(webhook.pk, actor=actor)
    refused(WrongState, lambda: operations.disable_webhook(webhook.pk, actor=actor))
    parked = OutboxMessage.objects.get(webhook=webhook, state="parked")
    refused(WrongState, lambda: operations.redeliver(parked.pk, actor=actor))


def test_a_mail_is_no_delivery(cast: Cast) -> None:
    cast.ticket()
    refused(NotFound, lambda: operations.redeliver(OutboxMessage.objects.get().pk, actor=cast.as_("stella")))
