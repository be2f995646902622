"""Manages signal streams (OpenID Shared Signals Framework 1.0). A client manages its own streams over the API."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.utils.translation import gettext as _

from audit_app import queries
from requests_app.domain.actors import Actor
from requests_app.domain.acts.signal_streams import (
    CHANGE_STREAM,
    CREATE_STREAM,
    DELETE_STREAM,
    GIVE_UP_STREAM,
    REPORT_FAILING_STREAM,
    SET_STREAM_STATUS,
    STREAM_CHANGED,
    STREAM_CREATED,
    STREAM_DELETED,
    STREAM_FAILING,
    STREAM_STATUS_SET,
    STREAM_VERIFIED,
    VERIFY_STREAM,
)
from requests_app.domain.errors import NotAllowed, TooMany, Unacceptable, WrongState
from requests_app.domain.events import PROVIDER_LOG
from requests_app.messages import signals
from requests_app.messages.topics import Audience, Note, Topic
from requests_app.models import Client, Grant, OutboxMessage, Service, SignalStream, Webhook, WebhookCursor
from requests_app.models.outbox import POLL, SIGNAL
from requests_app.models.signal_streams import GIVEN_UP
from requests_app.operations._change import Step
from requests_app.operations._perform import perform
from requests_app.operations._receivers import CATCH_UP, outbox_row, park
from requests_app.operations._stream_settings import (
    ALGORITHMS,
    Wanted,
    described,
    end_streams,
    set_wanted,
    waiting,
)

MOST_STREAMS = 5
#: How many seconds must pass between two requests for a verification event.
VERIFY_EVERY = 5
MOST_STATE = 1000


def create_stream(wanted: Wanted, *, actor: Actor) -> SignalStream:
    """Create a stream for the client that acts. It gets the events from now on."""

    def check(current: Step) -> None:
        set_wanted(current.row, wanted, current)

    with perform(
        CREATE_STREAM,
        actor=actor,
        inputs={"description": wanted.description},
        find=_new,
        may=_require_client,
        state=_require_room,
        check=check,
    ) as current:
        stream: SignalStream = current.row
        webhook, log_id = stream.webhook, stream.tenant_id or PROVIDER_LOG
        webhook.created_at = webhook.from_at = stream.status_at = current.at
        webhook.save(force_insert=True)
        stream.save(force_insert=True)
        current.witness(STREAM_CREATED, detail=described(stream), text=webhook.place)
        # It begins with the entry after this one. For other logs, the start is set when something happens there.
        WebhookCursor.objects.create(webhook=webhook, log_id=log_id, next_seq=queries.size(log_id))
    return stream


def _new(current: Step, _row_id: object) -> SignalStream:
    """Return a stream that is not saved yet, for the client that acts."""
    client = _client(current.actor)
    webhook = Webhook(tenant=client.tenant, is_of_stream=True)
    stream = SignalStream(
        webhook=webhook,
        tenant=client.tenant,
        client=client,
        method=SignalStream.Method.POLL,
        requested=list(signals.SUPPORTED),
        subject_format=SignalStream.Subject.EMAIL,
        alg=ALGORITHMS[0],
    )
    current.concerns("signal_stream", stream, client.tenant_id or PROVIDER_LOG)
    return stream


def _client(actor: Actor) -> Client:
    if actor.machine is None:
        raise NotAllowed(_("A signal stream belongs to an API client."))
    return Client.objects.select_related("tenant", "account").locked().get(pk=actor.machine.client_id)


def _require_client(current: Step) -> None:
    """Raise NotAllowed for a client that acts in the name of an engineer."""
    machine = current.actor.machine
    if machine is None or current.actor.person_id != machine.account_id:
        raise NotAllowed


def _require_room(current: Step) -> None:
    if SignalStream.objects.present().filter(client=current.row.client).count() >= MOST_STREAMS:
        raise WrongState(_("A client can have at most %(max)d signal streams.") % {"max": MOST_STREAMS})


def change_stream(stream_id: object, wanted: Wanted, *, actor: Actor) -> SignalStream:
    """Change what the receiver chooses. Events that wait are delivered in the new way."""

    def check(current: Step) -> None:
        set_wanted(current.row, wanted, current)

    with perform(
        CHANGE_STREAM, stream_id, actor=actor, inputs={"description": wanted.description}, check=check
    ) as current:
        stream: SignalStream = current.row
        webhook = stream.webhook
        webhook.failures, webhook.failing_since = 0, None
        webhook.save()
        stream.save()
        # Events that wait about something that the receiver no longer wants are dropped.
        stay = [*webhook.events, signals.VERIFY_TOPIC, signals.UPDATED_TOPIC]
        park(waiting(stream).exclude(topic__in=stay), _("Not sent: the receiver no longer wants such events."))
        waiting(stream).update(
            lane=SIGNAL if stream.is_push else POLL,
            recipient=webhook.place[:254],
            next_attempt_at=current.at,
            claimed_until=None,
        )
        current.witness(STREAM_CHANGED, detail=described(stream), text=webhook.place)
    return stream


def delete_stream(stream_id: object, *, actor: Actor) -> None:
    """Delete a stream. Its receiver gets nothing more, not even the events that wait."""
    with perform(DELETE_STREAM, stream_id, actor=actor) as current:
        current.witness(STREAM_DELETED, detail=described(current.row), text=current.row.webhook.place)
        end_streams(SignalStream.objects.filter(pk=current.row.pk), at=current.at)


def set_stream_status(stream_id: object, *, status: object, reason: str | None = None, actor: Actor) -> SignalStream:
    """Enable, pause or disable a stream.

    A paused stream keeps its events for three days. A disabled stream gets none, and the events that wait are dropped.
    """
    with perform(SET_STREAM_STATUS, stream_id, actor=actor, inputs={"status": status, "reason": reason}) as current:
        stream: SignalStream = current.row
        if stream.status != current.inputs["status"]:
            _set_status(current, stream, current.inputs["status"], current.inputs["reason"] or "")
            if current.actor.machine is None:
                # The receiver did not ask for this, so it gets an event about it, in any status.
                _queued(stream, signals.stream_updated(stream, uuid4(), current.at), at=current.at)
    return stream


def _set_status(current: Step, stream: SignalStream, status: str, reason: str, **detail: str) -> None:
    before, webhook = stream.status, stream.webhook
    stream.status, stream.reason, stream.status_at = status, reason, current.at
    webhook.is_on = status == SignalStream.Status.ENABLED
    webhook.off_at = None if webhook.is_on else current.at
    webhook.failures, webhook.failing_since = 0, None
    if status == SignalStream.Status.DISABLED:
        park(waiting(stream), _("Not sent: the stream is disabled."))
    elif webhook.is_on:
        start = current.at if before == SignalStream.Status.DISABLED else current.at - CATCH_UP
        webhook.from_at = max(webhook.from_at, start)
        park(waiting(stream).filter(created_at__lt=webhook.from_at), _("Not sent: the event is too old."))
        waiting(stream).update(next_attempt_at=current.at)
    webhook.save()
    stream.save()
    current.witness(
        STREAM_STATUS_SET,
        detail={**described(stream), "status": status, "status_before": before, "reason": reason, **detail},
        text=webhook.place,
    )


def verify_stream(stream_id: object, *, state: object = None, actor: Actor) -> OutboxMessage:
    """Send a verification event, which returns the receiver's `state` unchanged."""

    def check(current: Step) -> None:
        stream: SignalStream = current.row
        if state is not None and not (isinstance(state, str) and len(state) <= MOST_STATE and "\0" not in state):
            raise Unacceptable(
                _("The state must be a text of at most %(max)d characters.") % {"max": MOST_STATE}, field="state"
            )
        if stream.status == SignalStream.Status.DISABLED:
            raise WrongState(_("This signal stream is disabled."))
        if stream.verified_at is not None and current.at < stream.verified_at + timedelta(seconds=VERIFY_EVERY):
            raise TooMany(_("Wait %(n)d seconds between two verifications.") % {"n": VERIFY_EVERY})

    with perform(VERIFY_STREAM, stream_id, actor=actor, check=check) as current:
        stream: SignalStream = current.row
        message = signals.verification(stream, uuid4(), current.at, state)  # type: ignore[arg-type]  # checked above
        row = _queued(stream, message, at=current.at)
        stream.verified_at = current.at
        stream.save(update_fields=["verified_at"])
        current.witness(STREAM_VERIFIED, detail={**described(stream), "jti": message.id}, text=stream.webhook.place)
    return row


def give_up_stream(stream_id: object, *, because: str, actor: Actor) -> SignalStream:
    """Pause a stream whose receiver failed for days, or answered "gone". Its events stay for three days.

    The tenant's administrators or, for a stream of the provider, staff get a mail.
    """

    def state(current: Step) -> None:
        if current.row.status != SignalStream.Status.ENABLED:
            raise WrongState(_("This signal stream is not enabled."))

    with perform(GIVE_UP_STREAM, stream_id, actor=actor, state=state) as current:
        stream: SignalStream = current.row
        _set_status(current, stream, SignalStream.Status.PAUSED, GIVEN_UP[because], because=because)
        _queued(stream, signals.stream_updated(stream, uuid4(), current.at), at=current.at)
        _tell(current, stream, because)
    return stream


def report_failing_stream(stream_id: object, *, actor: Actor) -> SignalStream:
    """Write an alarm about a stream whose events do not reach the receiver, and send it to those who manage it."""

    def state(current: Step) -> None:
        if not SignalStream.objects.unreported(current.at).filter(pk=current.row.pk).exists():
            raise WrongState(_("This was reported already."))

    with perform(REPORT_FAILING_STREAM, stream_id, actor=actor, state=state) as current:
        stream: SignalStream = current.row
        stream.alarmed_at = current.at
        stream.save(update_fields=["alarmed_at"])
        current.witness(STREAM_FAILING, detail=described(stream), text=stream.webhook.place)
        _tell(current, stream, "failing")
    return stream


def _tell(current: Step, stream: SignalStream, because: str) -> None:
    """Tell those who manage the stream, and the other side, because a session could outlive its window.

    For a customer's stream, this is the provider's staff. For the provider's, it is each customer with an open window
    whose end the receiver should learn.
    """
    status, mark = str(stream.status), uuid4().hex
    extra = {"client": str(stream.client), "place": stream.webhook.place, "because": because, "status": status}
    about: dict[str, Any] = {"topic": Topic.STREAM_FAILING, "about": stream.pk, "audiences": (Audience.ADMINISTRATORS,)}
    current.tell(Note(**about, tenant_id=stream.tenant_id, mark=mark, extra=extra))
    others = _tenants_of(stream, current.at) if stream.tenant_id is None else [None]
    # The other side does not get the address of the receiver.
    owner = {"owner": stream.tenant.name if stream.tenant else "", "because": because, "status": status}
    for tenant_id in others:
        of_tenant = tenant_id.hex if tenant_id else "staff"
        current.tell(Note(**about, tenant_id=tenant_id, mark=f"{mark[:24]} {of_tenant}", extra=owner))


def _tenants_of(stream: SignalStream, at: datetime) -> list[UUID]:
    """Return the tenants with an open window of the provider's stream."""
    windows = Grant.objects.real().live(at).filter(access_request__service__connector=Service.EXTERNAL)
    if stream.client.service_id is not None:
        windows = windows.filter(access_request__service=stream.client.service_id)
    return list(windows.order_by("tenant").values_list("tenant", flat=True).distinct())


# --- Shared ----------------------------------------------------------------------------------------------------


def _queued(stream: SignalStream, message: Any, *, at: datetime) -> OutboxMessage:
    row = outbox_row(stream.webhook, message, lane=SIGNAL if stream.is_push else POLL)
    return OutboxMessage.objects.create(**row, created_at=at, next_attempt_at=at)
