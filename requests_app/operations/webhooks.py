"""Manages webhooks. A tenant's administrator manages the tenant's webhooks, and staff manage the provider's.

A webhook of the provider that belongs to a client is a callback address: there the client learns that an
access request which it raised has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit_app import queries
from requests_app.domain.actors import Actor
from requests_app.domain.acts.webhooks import (
    ADD_CALLBACK,
    ADD_WEBHOOK,
    CHANGE_WEBHOOK,
    DISABLE_WEBHOOK,
    ENABLE_WEBHOOK,
    GIVE_UP_WEBHOOK,
    REDELIVER,
    REMOVE_WEBHOOK,
    ROTATE_WEBHOOK_SECRET,
    SEND_WEBHOOK_TEST,
    WEBHOOK_ADDED,
    WEBHOOK_CHANGED,
    WEBHOOK_DISABLED,
    WEBHOOK_ENABLED,
    WEBHOOK_REDELIVERED,
    WEBHOOK_REMOVED,
    WEBHOOK_SECRET_ROTATED,
    WEBHOOK_TESTED,
)
from requests_app.domain.errors import NotFound, Unacceptable, WrongState
from requests_app.domain.events import PROVIDER_LOG
from requests_app.domain.scopes import Scope
from requests_app.messages import callbacks
from requests_app.messages.topics import Audience, Note, Topic
from requests_app.messages.webhooks import messages, sealing
from requests_app.messages.webhooks.standard import Keys
from requests_app.models import Client, OutboxMessage, Tenant, Webhook, WebhookCursor
from requests_app.operations._change import Step
from requests_app.operations._perform import perform
from requests_app.operations._receivers import CATCH_UP, outbox_row, receiver_address, require_unregistered
from requests_app.operations._second import controlled
from requests_app.platform import bell

MOST_WEBHOOKS = 10
#: How many callback addresses a client can have.
MOST_CALLBACKS = 10
#: How long the former keys also sign after new keys were made.
FORMER_FOR = timedelta(hours=24)

_OFF_ALREADY = gettext_lazy("This webhook is off already.")
_ON_ALREADY = gettext_lazy("This webhook is on already.")


@dataclass(frozen=True)
class Issued:
    """A webhook with its new keys. The keys are shown once, to the person who made them, and never again."""

    webhook: Webhook
    keys: Keys


def add_webhook(tenant_id: object, *, url: str, events: Sequence[str], label: str = "", actor: Actor) -> Issued:
    """Add a webhook for a tenant's log. Without a tenant, add a webhook of the provider, for all logs.

    The webhook gets events from now on. Under two-person control, it is off until two people have switched it on.
    """
    keys = Keys.new()

    def check(current: Step) -> None:
        current.row.url, current.row.label = receiver_address(url), current.inputs["label"]
        current.row.events = _events(events)

    with perform(
        ADD_WEBHOOK, tenant_id, actor=actor, inputs={"label": label}, find=_new, state=_require_room, check=check
    ) as current:
        webhook, tenant = current.row, current.tenant
        if tenant is not None and tenant.needs_two:
            webhook.is_on, webhook.off_at, webhook.off_because = False, current.at, Webhook.Because.PERSON
        _save_new(current, webhook, keys, tenant.pk if tenant else PROVIDER_LOG)
    return Issued(webhook, keys)


def _save_new(current: Step, webhook: Webhook, keys: Keys, log_id: UUID) -> None:
    """Store a new webhook with its keys, inside the current act, and write the entry about it."""
    webhook.created_at = webhook.from_at = current.at
    webhook.sealed, webhook.public_key = sealing.seal(keys), keys.whpk
    webhook.save(force_insert=True)
    current.witness(WEBHOOK_ADDED, detail={**_described(webhook), "events": webhook.events}, text=webhook.place)
    # It begins with the entry after this one. For other logs, the start is set when something happens there.
    WebhookCursor.objects.create(webhook=webhook, log_id=log_id, next_seq=queries.size(log_id))


def _new(current: Step, tenant_id: object) -> Webhook:
    """Return a webhook that is not saved yet.

    Without a tenant, it belongs to the provider. Raise NotFound if somebody who is not staff tries that.
    """
    webhook = Webhook()
    if tenant_id is not None:
        current.tenant = webhook.tenant = Tenant.objects.visible_to(current.actor).locked().find(tenant_id)
    elif not current.actor.is_staff:
        raise NotFound
    current.concerns("webhook", webhook, webhook.tenant_id or PROVIDER_LOG)
    return webhook


def _require_room(current: Step) -> None:
    if Webhook.objects.present().filter(tenant=current.tenant, client=None).count() >= MOST_WEBHOOKS:
        raise Unacceptable(_("There can be at most %(max)d webhooks.") % {"max": MOST_WEBHOOKS}, field="url")


def add_callback(client_id: object, *, url: str, label: str = "", actor: Actor) -> Issued:
    """Register an address for the callbacks of a client of the provider. Return it with its new keys.

    It gives the client nothing that the client can't read itself, so customers get no notice.
    """
    keys, webhook = Keys.new(), Webhook()

    def check(current: Step) -> None:
        webhook.client, webhook.label = current.row, current.inputs["label"]
        webhook.url, webhook.events = receiver_address(url), list(callbacks.EVENTS)
        require_unregistered(webhook)

    with perform(
        ADD_CALLBACK, client_id, actor=actor, inputs={"label": label}, state=_require_asking, check=check
    ) as current:
        current.subject_type, current.subject_id = "webhook", str(webhook.pk)
        _save_new(current, webhook, keys, PROVIDER_LOG)
    return Issued(webhook, keys)


def _require_asking(current: Step) -> None:
    """Raise an error unless this client can ask for access, and has room for an address."""
    client: Client = current.row
    if client.tenant_id is not None or Scope.REQUESTS_ASK not in client.scopes:
        words = _("Only a client of the provider with the scope %(scope)s gets callbacks.")
        raise WrongState(words % {"scope": Scope.REQUESTS_ASK})
    if client.callbacks.receivers().count() >= MOST_CALLBACKS:
        words = _("A client can have at most %(max)d callback addresses.")
        raise Unacceptable(words % {"max": MOST_CALLBACKS}, field="url")


def _lock_webhook(terms: dict[str, Any]) -> None:
    """Lock the webhook. Every act on a webhook does this before it locks the log's head."""
    list(Webhook.objects.filter(pk=terms["webhook"]).locked())


def change_webhook(
    webhook_id: object,
    *,
    url: str | None = None,
    events: Sequence[str] | None = None,
    label: str | None = None,
    actor: Actor,
) -> Webhook:
    """Change the webhook's address, events or label. Messages that wait are sent to the new address.

    The events of a callback address can't be chosen.
    """

    def wanted(current: Step) -> tuple[str, list[str], str]:
        webhook, written = current.row, current.inputs["label"]
        return (
            webhook.url if url is None else receiver_address(url),
            webhook.events if events is None else _events(events),
            webhook.label if written is None else written,
        )

    def check(current: Step) -> None:
        current.require_proof(needed=wanted(current)[:2] != (current.row.url, current.row.events))
        if current.row.client is not None and wanted(current)[1] != current.row.events:
            raise Unacceptable(_("The events of a callback address can’t be changed."), field="events")

    def holds(current: Step) -> dict[str, Any] | None:
        new_url, new_events, new_label = wanted(current)
        if (new_url, new_events) == (current.row.url, current.row.events):
            return None
        there = copy(current.row)
        there.url, there.label = new_url, new_label
        # The address may be as secret as a password: it is stored with the proposal, and is not in the log.
        terms = {**_of(there), "events": new_events, "place_before": current.row.place}
        return _of_tenants(current, {**terms, "_url": new_url})

    with perform(CHANGE_WEBHOOK, webhook_id, actor=actor, inputs={"label": label}, check=check, holds=holds) as current:
        webhook: Webhook = current.row
        if wanted(current) != (webhook.url, webhook.events, webhook.label):
            _change_webhook(current, webhook, wanted(current))
    return webhook


@controlled(CHANGE_WEBHOOK, lock=_lock_webhook)
def _change_confirmed(current: Step, tenant: Tenant, terms: dict[str, Any]) -> None:
    _change_webhook(current, _still(tenant, terms), (terms["_url"], terms["events"], terms["label"]))


def _change_webhook(current: Step, webhook: Webhook, wanted: tuple[str, list[str], str]) -> None:
    is_elsewhere = webhook.url != wanted[0]
    webhook.url, webhook.events, webhook.label = wanted
    require_unregistered(webhook)
    if is_elsewhere:
        _begin_anew(webhook, current)
    webhook.save()
    detail = {**_described(webhook), "events": webhook.events, "address_changed": is_elsewhere}
    current.witness(WEBHOOK_CHANGED, detail=detail, text=webhook.place)
    bell.ring(bell.DELIVER_WEBHOOKS)


def remove_webhook(webhook_id: object, *, actor: Actor) -> None:
    """Remove a webhook. It gets no more messages.

    Its keys are deleted immediately, and the records of its messages within an hour.
    """
    with perform(REMOVE_WEBHOOK, webhook_id, actor=actor, holds=_as_it_is) as current:
        _remove_webhook(current, current.row)


@controlled(REMOVE_WEBHOOK, lock=_lock_webhook)
def _remove_confirmed(current: Step, tenant: Tenant, terms: dict[str, Any]) -> None:
    _remove_webhook(current, _still(tenant, terms))


def _remove_webhook(current: Step, webhook: Webhook) -> None:
    current.witness(WEBHOOK_REMOVED, detail=_described(webhook), text=webhook.place)
    webhook.removed_at, webhook.is_on = current.at, False
    webhook.sealed = webhook.former_sealed = ""
    webhook.save()


def rotate_webhook_secret(webhook_id: object, *, actor: Actor) -> Issued:
    """Make new keys for a webhook.

    For one day, the former keys sign too, so that the receiver can be changed meanwhile.
    """
    keys = Keys.new()
    with perform(ROTATE_WEBHOOK_SECRET, webhook_id, actor=actor) as current:
        webhook: Webhook = current.row
        webhook.former_sealed, webhook.former_until = webhook.sealed, current.at + FORMER_FOR
        webhook.sealed, webhook.public_key = sealing.seal(keys), keys.whpk
        webhook.save()
        current.witness(WEBHOOK_SECRET_ROTATED, detail=_described(webhook), text=webhook.place)
    return Issued(webhook, keys)


def disable_webhook(webhook_id: object, *, actor: Actor) -> Webhook:
    """Switch a webhook off. It gets no messages until it is switched on again."""
    with perform(DISABLE_WEBHOOK, webhook_id, actor=actor, state=_require_on, holds=_as_it_is) as current:
        webhook: Webhook = current.row
        _switch_off(webhook, Webhook.Because.PERSON, current)
    return webhook


@controlled(DISABLE_WEBHOOK, lock=_lock_webhook)
def _disable_confirmed(current: Step, tenant: Tenant, terms: dict[str, Any]) -> None:
    webhook = _still(tenant, terms)
    if not webhook.is_on:
        raise WrongState(_OFF_ALREADY)
    _switch_off(webhook, Webhook.Because.PERSON, current)


def give_up_webhook(webhook_id: object, *, because: str, actor: Actor) -> Webhook:
    """Switch off a webhook that has failed for days or answered "gone".

    The tenant's administrators or, for the provider's webhook, staff get a mail.
    """
    with perform(GIVE_UP_WEBHOOK, webhook_id, actor=actor, state=_require_on) as current:
        webhook: Webhook = current.row
        _switch_off(webhook, Webhook.Because(because), current)
        current.tell(
            Note(
                topic=Topic.WEBHOOK_OFF,
                tenant_id=webhook.tenant_id,
                about=webhook.pk,
                audiences=(Audience.ADMINISTRATORS,),
                mark=uuid4().hex,
                extra={"place": webhook.place, "because": because},
            )
        )
    return webhook


def enable_webhook(webhook_id: object, *, actor: Actor) -> Webhook:
    """Switch a webhook on again. It gets the messages that it missed, except those older than CATCH_UP."""

    def holds(current: Step) -> dict[str, Any] | None:
        return _of_tenants(current, {**_of(current.row), "events": current.row.events})

    with perform(ENABLE_WEBHOOK, webhook_id, actor=actor, state=_require_off, holds=holds) as current:
        webhook: Webhook = current.row
        _switch_on(webhook, current)
    return webhook


@controlled(ENABLE_WEBHOOK, lock=_lock_webhook)
def _enable_confirmed(current: Step, tenant: Tenant, terms: dict[str, Any]) -> None:
    webhook = _still(tenant, terms)
    if (webhook.place, webhook.events) != (terms["place"], terms["events"]):
        raise WrongState(_("This webhook was changed after the proposal was made. Propose the change again."))
    if webhook.is_on:
        raise WrongState(_ON_ALREADY)
    _switch_on(webhook, current)


def _switch_on(webhook: Webhook, current: Step) -> None:
    webhook.is_on, webhook.off_at, webhook.off_because = True, None, ""
    webhook.from_at = max(webhook.from_at, current.at - CATCH_UP)
    _begin_anew(webhook, current)
    webhook.save()
    old = _waiting(webhook).filter(created_at__lt=webhook.from_at)
    old.update(state=OutboxMessage.State.PARKED, claimed_until=None, last_error=_("Not sent: the message is too old."))
    current.witness(WEBHOOK_ENABLED, detail=_described(webhook), text=webhook.place)
    bell.ring(bell.DELIVER_WEBHOOKS)


def send_webhook_test(webhook_id: object, *, actor: Actor) -> OutboxMessage:
    """Send one test message to a webhook, even if the webhook is switched off."""

    def state(current: Step) -> None:
        tests = OutboxMessage.objects.filter(webhook=current.row, topic=messages.TEST)
        if tests.filter(state=OutboxMessage.State.WAITING).exists():
            raise WrongState(_("A test is on its way. Wait until it has arrived or failed."))

    with perform(SEND_WEBHOOK_TEST, webhook_id, actor=actor, state=state) as current:
        webhook = current.row
        message = messages.test_of(webhook.pk, webhook.tenant_id, uuid4(), current.at)
        row = OutboxMessage.objects.create(
            **outbox_row(webhook, message), created_at=current.at, next_attempt_at=current.at
        )
        current.witness(WEBHOOK_TESTED, detail={**_described(webhook), "message": message.id}, text=webhook.place)
        bell.ring(bell.DELIVER_WEBHOOKS)
    return row


def redeliver(message_id: object, *, actor: Actor) -> OutboxMessage:
    """Send one message again, under the same id. It does not wait for other messages, and they do not wait for it."""
    with perform(REDELIVER, message_id, actor=actor, state=_require_redeliverable) as current:
        message: OutboxMessage = current.row
        webhook: Webhook = current.row.webhook
        message.state, message.mark = OutboxMessage.State.WAITING, ""
        message.attempts, message.next_attempt_at, message.claimed_until = 0, current.at, None
        message.save(update_fields=["state", "mark", "attempts", "next_attempt_at", "claimed_until"])
        detail = {**_described(webhook), "message": (message.rendered or {}).get("id", ""), "event": message.topic}
        current.witness(WEBHOOK_REDELIVERED, detail=detail, text=webhook.place)
        bell.ring(bell.DELIVER_WEBHOOKS)
    return message


# --- Helpers -------------------------------------------------------------------------------------------


def _require_redeliverable(current: Step) -> None:
    if not current.row.webhook.is_on:
        raise WrongState(_("This webhook is off. Switch it on first."))
    if current.row.state == OutboxMessage.State.WAITING:
        raise WrongState(_("This message is waiting to be sent."))


def _as_it_is(current: Step) -> dict[str, Any] | None:
    return _of_tenants(current, _of(current.row))


def _of_tenants(current: Step, terms: dict[str, Any]) -> dict[str, Any] | None:
    """Return `terms` for a tenant's webhook. Under two-person control, a second person must confirm these terms.

    For a webhook of the provider, return None, because no tenant's two-person control applies.
    """
    return terms if current.row.tenant_id is not None else None


def _still(tenant: Tenant, terms: dict[str, Any]) -> Webhook:
    webhook: Webhook | None = Webhook.objects.filter(tenant=tenant, pk=terms["webhook"]).present().first()
    if webhook is None:
        raise WrongState(_("This webhook was removed."))
    return webhook


def _require_on(current: Step) -> None:
    if not current.row.is_on:
        raise WrongState(_OFF_ALREADY)


def _require_off(current: Step) -> None:
    if current.row.is_on:
        raise WrongState(_ON_ALREADY)


def _switch_off(webhook: Webhook, because: Webhook.Because, current: Step) -> None:
    webhook.is_on, webhook.off_at, webhook.off_because = False, current.at, because
    webhook.save()
    current.witness(WEBHOOK_DISABLED, detail={**_described(webhook), "because": str(because.value)}, text=webhook.place)


def _begin_anew(webhook: Webhook, current: Step) -> None:
    """Forget the failures of the webhook, and send its waiting messages immediately."""
    webhook.failures, webhook.failing_since = 0, None
    _waiting(webhook).update(next_attempt_at=current.at)


def _waiting(webhook: Webhook) -> QuerySet[OutboxMessage]:
    return OutboxMessage.objects.filter(webhook=webhook, state=OutboxMessage.State.WAITING)


def _of(webhook: Webhook) -> dict[str, Any]:
    """Return the fields about a webhook for a proposal."""
    return {"webhook": str(webhook.pk), **_described(webhook)}


def _described(webhook: Webhook) -> dict[str, str]:
    """Return the fields about a webhook for the log.

    The path of its address is left out, because the path may be as secret as a password.
    """
    found = {"place": webhook.place, "label": webhook.label}
    if webhook.client is not None:
        found |= {"client": str(webhook.client.pk), "client_name": str(webhook.client)}
    return found


def _events(events: Sequence[str]) -> list[str]:
    """Return the chosen events, without repetitions and in order. If ALL is among them, return only ALL."""
    wanted = {str(event) for event in events}
    if not wanted:
        raise Unacceptable(_("Choose at least one event."), field="events")
    if unknown := sorted(event for event in wanted if not messages.is_known(event)):
        raise Unacceptable(_("There is no event %(name)s.") % {"name": unknown[0]}, field="events")
    return [messages.ALL] if messages.ALL in wanted else sorted(wanted)
