"""Delivers messages to webhooks: at least once, in order for each access request, and so that nobody waits for another.

Everything about the database happens in this thread; other threads hold a connection each to one receiver, and nothing
else. A receiver that hangs so holds a thread. One that fails rests, longer each time, and is then tried with a single
message until it works again: a dead one costs one attempt at each step, however much waits for it.
"""

from __future__ import annotations

import re
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import structlog
from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce

from requests_app import bell, clock, operations, outbound
from requests_app.actors import Actor
from requests_app.errors import DomainError
from requests_app.models import OutboxMessage, Webhook, WebhookAttempt
from requests_app.outbox.topics import WEBHOOK
from requests_app.webhooks import dispatch, messages, schedule, sealing, standard

logger = structlog.get_logger(__name__)

#: Receivers that are waited for at the same time.
MOST_AT_ONCE = 32
#: Messages on their way to one receiver that answers; one that has not answered yet gets one.
MOST_EACH = 8
#: A drain takes nothing more after this long; what is on its way then has outbound.TOTAL_SECONDS.
LONGEST_SECONDS = 20.0
#: How often new messages are looked for while receivers are waited for.
LOOK_SECONDS = 0.25
#: How long a message is in its drain's hands. Longer than an attempt can take.
LEASE = timedelta(minutes=1)
#: One drain claims at a time, so that receivers that hang never hold all workers. Lost, it lets go by itself.
_TURN, _TURN_SECONDS = "webhooks:turn", 60
GONE = 410
ANSWER_KEPT = 200
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\xa0-\u024f]+")


class Outcome(NamedTuple):
    status: int | None
    problem: str
    milliseconds: int
    answer: str

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True)
class _Sending:
    message: OutboxMessage
    webhook: Webhook
    at: datetime


def drain() -> int:
    """Tell everybody what is due, outside any transaction, and return how many attempts were made."""
    if not cache.add(_TURN, 1, timeout=_TURN_SECONDS):
        return 0
    return _Drain().run()


class _Drain:
    """One round, in which `allowed` says how many messages may be on their way to each receiver."""

    def __init__(self) -> None:
        self.allowed: Counter[UUID] = Counter()
        self.sending: dict[Future[Outcome], _Sending] = {}
        self.until = clock.monotonic() + LONGEST_SECONDS
        self.has_turn = True
        self.looked = 0.0
        self.done = 0

    def run(self) -> int:
        try:
            with ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="webhook") as pool:
                while self._take(pool):
                    for future in wait(self.sending, timeout=LOOK_SECONDS, return_when=FIRST_COMPLETED).done:
                        self._settle(self.sending.pop(future), future.result())
        finally:
            self._let_go()
        return self.done

    def _take(self, pool: ThreadPoolExecutor) -> bool:
        """Take what is due, while this drain has its turn; return whether anything is on its way."""
        if self.has_turn and clock.monotonic() < self.until:
            if clock.monotonic() - self.looked >= LOOK_SECONDS:
                dispatch.work(self.until)
                self.looked = clock.monotonic()
            self._claim(pool)
        else:
            self._let_go()
        return bool(self.sending)

    def _let_go(self) -> None:
        """End the turn, and ring for what came since this drain last looked, while others found it at work."""
        if self.has_turn:
            self.has_turn = False
            cache.delete(_TURN)
            if dispatch.has_news() or _ready(clock.now()).exists():
                bell.ring(bell.DELIVER_WEBHOOKS)

    def _claim(self, pool: ThreadPoolExecutor) -> None:
        busy = Counter(each.webhook.pk for each in self.sending.values())
        # Whoever has least on the way comes first.
        for webhook in sorted(_ready(clock.now()), key=lambda each: busy[each.pk]):
            most = 1 if webhook.failures else max(self.allowed[webhook.pk], 1)
            free = min(most - busy[webhook.pk], MOST_AT_ONCE - len(self.sending))
            if free > 0:
                for message in _claim(webhook, free):
                    self._send(pool, message, webhook)

    def _send(self, pool: ThreadPoolExecutor, message: OutboxMessage, webhook: Webhook) -> None:
        at, rendered = clock.now(), message.rendered or {}
        sending, body = _Sending(message, webhook, at), str(rendered["body"]).encode()
        try:
            headers = standard.headers(str(rendered["id"]), at, body, _keys(webhook, at))
        except sealing.Unreadable:
            logger.error("webhook_keys_unreadable", webhook=str(webhook.pk))
            self._settle(sending, Outcome(None, "keys", 0, ""))
            return
        self.sending[pool.submit(_post, webhook.url, body, headers)] = sending

    def _settle(self, sending: _Sending, outcome: Outcome) -> None:
        self.done += 1
        pk = sending.webhook.pk
        self.allowed[pk] = min(max(self.allowed[pk], 1) * 2, MOST_EACH) if outcome.is_success else 1
        with transaction.atomic(durable=True):
            _keep(sending, outcome)
            is_hopeless = _delivered(sending) if outcome.is_success else _failed(sending, outcome)
        if is_hopeless:
            _give_up(pk, Webhook.Because.GONE if outcome.status == GONE else Webhook.Because.FAILING)


# --- What is due -------------------------------------------------------------------------------------------


def _due(at: datetime) -> QuerySet[OutboxMessage]:
    return OutboxMessage.objects.due(at).filter(lane=WEBHOOK)


def _ready(at: datetime) -> QuerySet[Webhook]:
    """Who may be sent something now. A test goes to one that is off or rests, too."""
    due = _due(at).filter(webhook=OuterRef("pk"))
    is_open = Q(pk__in=Webhook.objects.open(at).values("pk")) & Exists(due)
    return Webhook.objects.present().filter(is_open | Exists(due.filter(topic=messages.TEST)))


def _claim(webhook: Webhook, most: int) -> list[OutboxMessage]:
    """Take so many messages. One waits while an older one about the same access request is on its way or is retried."""
    with transaction.atomic(durable=True):
        at = clock.now()
        older = OutboxMessage.objects.filter(
            webhook=OuterRef("webhook"),
            mark=OuterRef("mark"),
            seq__lt=OuterRef("seq"),
            state=OutboxMessage.State.WAITING,
        )
        rows = _due(at).filter(Q(mark="") | ~Exists(older), webhook=webhook)
        if not Webhook.objects.open(at).filter(pk=webhook.pk).exists():
            rows = rows.filter(topic=messages.TEST)
        batch = list(rows.order_by("next_attempt_at", "seq").claimed()[:most])  # type: ignore[attr-defined]  # ScopedQuerySet
        for message in batch:
            # Counted before it is made: one that kills its worker never comes to be counted afterwards.
            message.attempts, message.claimed_until = message.attempts + 1, at + LEASE
            message.save(update_fields=["attempts", "claimed_until"])
    return batch


def _keys(webhook: Webhook, at: datetime) -> list[standard.Keys]:
    found = [sealing.opened(webhook.sealed)]
    if webhook.former_until is not None and at < webhook.former_until and webhook.former_sealed:
        found.append(sealing.opened(webhook.former_sealed))
    return found


# --- Sending: in a thread, without the database ------------------------------------------------------------


def _post(url: str, body: bytes, headers: dict[str, str]) -> Outcome:
    began = clock.monotonic()

    def outcome(status: int | None = None, problem: str = "", answer: bytes = b"") -> Outcome:
        taken = int((clock.monotonic() - began) * 1000)
        return Outcome(status, problem, taken, sanitised(answer))

    try:
        private = settings.WEBHOOK_PRIVATE_NETWORK
        found = outbound.post(
            url, body, private=private, content_type="application/json", headers=headers, query=True, cut=True
        )
        return outcome(found.status, answer=found.body)
    except outbound.Unreachable as error:
        return outcome(problem=str(error.args[0]))
    except outbound.BadTarget:
        # Saved while private networks were open to receivers.
        return outcome(problem="address")
    except Exception as error:
        # Its words may quote the address; its kind says enough.
        logger.error("webhook_failed_unexpectedly", error=type(error).__name__)
        return outcome(problem="unexpected")


def sanitised(answer: bytes) -> str:
    """The beginning of what was answered, on one line, without what cannot be seen."""
    text = _UNPRINTABLE.sub(" ", answer[: 4 * ANSWER_KEPT].decode(errors="replace"))
    return " ".join(text.split())[:ANSWER_KEPT]


# --- What came of it ---------------------------------------------------------------------------------------


def _keep(sending: _Sending, outcome: Outcome) -> None:
    WebhookAttempt.objects.create(
        webhook=sending.webhook,
        message=sending.message,
        tenant_id=sending.webhook.tenant_id,
        at=sending.at,
        **outcome._asdict(),
    )


def _delivered(sending: _Sending) -> bool:
    message, webhook = sending.message, sending.webhook
    # Without regard to the lease: what has arrived has arrived, even if somebody else sends it too.
    OutboxMessage.objects.filter(pk=message.pk, state=OutboxMessage.State.WAITING).update(
        state=OutboxMessage.State.DELIVERED, delivered_at=clock.now(), claimed_until=None, last_error=""
    )
    failing = Webhook.objects.filter(pk=webhook.pk, failures__gt=0)
    if failing.update(failures=0, failing_since=None, resume_at=None) and message.topic == messages.TEST:
        # Somebody has mended it and tries: what waits need not wait for its next step.
        waiting = OutboxMessage.objects.filter(webhook=webhook, state=OutboxMessage.State.WAITING)
        waiting.update(next_attempt_at=clock.now())
    return False


def _failed(sending: _Sending, outcome: Outcome) -> bool:
    """Postpone the message, or park it after its last attempt; the receiver rests. True if there is no hope for it."""
    message, webhook, at = sending.message, sending.webhook, clock.now()
    said = outcome.problem or str(outcome.status)
    held = OutboxMessage.objects.filter(
        pk=message.pk, state=OutboxMessage.State.WAITING, claimed_until=message.claimed_until
    )
    is_test = message.topic == messages.TEST
    if is_test or message.attempts >= schedule.MOST_ATTEMPTS:
        held.update(state=OutboxMessage.State.PARKED, claimed_until=None, last_error=said)
    else:
        next_attempt_at = at + schedule.wait(message.attempts)
        held.update(next_attempt_at=next_attempt_at, claimed_until=None, last_error=said)
    logger.warning("webhook_failed", webhook=str(webhook.pk), message=str(message.pk), problem=said)
    if outcome.status == GONE:
        return True
    if is_test:
        return False
    # Those that were under way at the same time failed together: they are one step.
    failing = Webhook.objects.filter(pk=webhook.pk, failures=webhook.failures)
    failures = webhook.failures + 1
    stepped = failing.update(
        failures=failures, failing_since=Coalesce("failing_since", at), resume_at=at + schedule.wait(failures)
    )
    return bool(stepped) and failures >= schedule.MOST_ATTEMPTS


def _give_up(webhook_id: UUID, because: Webhook.Because) -> None:
    try:
        operations.give_up_webhook(webhook_id, because=because.value, actor=Actor.system("webhooks"))
    except DomainError as refusal:
        # Off already, or removed meanwhile.
        logger.debug("webhook_not_given_up", webhook=str(webhook_id), code=refusal.code)
