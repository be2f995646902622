"""Delivers webhook messages at least once. Each receiver is independent, so a slow one does not delay the others.

Only one thread uses the database. Every other thread talks to one receiver at a time. If a message fails, only later
messages to the same receiver about the same access request or ticket wait for it. Messages that end access never wait
for another message, and have threads of their own.

The drain is a task of a worker, and delivers to webhooks. The courier (courier.py) delivers to signal streams.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import structlog
from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, transaction
from django.db.models import CharField, DateTimeField, Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.errors import DomainError
from requests_app.messages import signals
from requests_app.messages.webhooks import messages, schedule, sealing
from requests_app.models import OutboxMessage, SignalStream, Webhook, WebhookAttempt
from requests_app.models.outbox import WEBHOOK
from requests_app.platform import bell, outbound
from requests_app.platform.database.compiled import CompiledQuery
from requests_app.work.webhooks import dispatch, letters

logger = structlog.get_logger(__name__)

#: How many messages are sent at the same time. In addition, as many messages that end access can be sent.
MOST_AT_ONCE = 64
#: How many of these messages can be in doubt: their receiver fails, or this is a repeated attempt.
MOST_IN_DOUBT = MOST_AT_ONCE // 2
#: How many of these messages can go to receivers of one tenant. A tenant with slow receivers delays no other tenant.
MOST_OF_TENANT = MOST_AT_ONCE // 4
#: How many messages of one lane are sent at the same time to one receiver, if the receiver accepts them.
MOST_EACH = 8
#: After this time a drain claims no more messages. Attempts that have begun then take at most outbound.TOTAL_SECONDS.
LONGEST_SECONDS = 40.0
#: How often a drain looks for new messages while it waits for receivers.
LOOK_SECONDS = 0.25
#: How long a drain's claim on a message lasts. This is longer than an attempt can take.
LEASE = timedelta(minutes=1)
#: Only one drain can have the turn, so that receivers that hang never block all workers. The drain renews its turn
#: while it works; a killed drain loses the turn. The cache is in the database, so each renewal writes there and must be
#: rare.
_TURN, _TURN_SECONDS, _RENEW_SECONDS = "webhooks:turn", 15, 3.0
GONE = 410
#: Messages that are also sent to a receiver that is switched off.
_ALWAYS = frozenset({messages.TEST, signals.UPDATED_TOPIC})
ANSWER_STORED = 200
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\xa0-\u024f]+")


class _Lane(Enum):
    """A kind of message: those that end access, first attempts, and repeated attempts.

    `least` is how many messages of the kind can be sent to one receiver at the same time, even after failures. The
    lanes do not wait for each other. So a receiver that hangs at one message still gets the next message, and a
    receiver that always hangs holds few threads.
    """

    #: Messages that end access, both first and repeated attempts.
    ENDING = ("ending", MOST_EACH)
    FIRST = ("first", 2)
    AGAIN = ("again", 1)

    def __init__(self, label: str, least: int) -> None:
        self.label, self.least = label, least

    @property
    def holds(self) -> Q:
        ends = Q(topic__in=messages.ENDING)
        if self is _Lane.ENDING:
            return ends
        return ~ends & (Q(attempts=0) if self is _Lane.FIRST else Q(attempts__gt=0))


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
    lane: _Lane
    at: datetime

    @property
    def is_in_doubt(self) -> bool:
        return _is_in_doubt(self.webhook, self.lane)


def _is_in_doubt(webhook: Webhook, lane: _Lane) -> bool:
    return webhook.failing_since is not None or lane is _Lane.AGAIN


def drain() -> int:
    """Send the due messages, and return how many attempts were made. Call it outside any transaction."""
    token = uuid4().hex
    if not cache.add(_TURN, token, timeout=_TURN_SECONDS):
        return 0
    return _Drain(token).run()


_REPEATED = CompiledQuery(
    lambda until: (
        OutboxMessage.objects.due(until)
        .filter(lane=WEBHOOK, attempts__gt=0, webhook__is_on=True)
        .order_by("next_attempt_at")
        .values_list("next_attempt_at", flat=True)[:1]
    ),
    until=DateTimeField(),
)


def next_attempt(until: datetime) -> datetime | None:
    """Return when the next repeated attempt is due, or None if none is until then.

    First attempts are not counted, because the change that wrote the message starts a drain.
    """
    return next(iter(_REPEATED(until=until)), None)


def is_draining() -> bool:
    """Return whether a drain runs, which also makes the repeated attempts that are due."""
    return cache.get(_TURN) is not None


class Sender:
    """Sends the messages that are due in one lane of the outbox.

    `allowed` is how many messages of a lane can be sent to one receiver at the same time. Success doubles it, failure
    sets it back.
    """

    def __init__(self, outbox_lane: str, *, until: float = math.inf) -> None:
        self.outbox_lane, self.until = outbox_lane, until
        self.allowed: Counter[tuple[UUID, _Lane]] = Counter()
        self.sending: dict[Future[Outcome], _Sending] = {}
        self.done = 0

    def settle(self, seconds: float) -> None:
        """Wait until an attempt ends, but at most for some seconds, and store the results of those that have ended."""
        for future in wait(self.sending, timeout=seconds, return_when=FIRST_COMPLETED).done:
            self._settle(self.sending.pop(future), future.result())

    def claim(self, pool: Executor, endings: Executor) -> None:
        """Claim what is due and can be sent now, and send it. Messages that end access are sent in `endings`."""
        ready = _ready(clock.now(), self.outbox_lane)
        for lane in _Lane:
            busy = Counter(each.webhook.pk for each in self.sending.values() if each.lane is lane)
            # The receiver with the fewest messages being sent comes first.
            for webhook in sorted(ready.get(lane, ()), key=lambda each: busy[each.pk]):
                allowed = max(self.allowed[webhook.pk, lane], lane.least)
                free = min(allowed - busy[webhook.pk], self._room(webhook, lane))
                if free > 0:
                    for message in _claim(webhook, self.outbox_lane, lane, free):
                        self._send(endings if lane is _Lane.ENDING else pool, message, webhook, lane)

    def _room(self, webhook: Webhook, lane: _Lane) -> int:
        """Return how many threads this receiver can use in this lane.

        Half of the threads are never used for repeated attempts, nor for receivers that failed recently.
        """
        beside = [each for each in self.sending.values() if (each.lane is _Lane.ENDING) == (lane is _Lane.ENDING)]
        room = MOST_AT_ONCE - len(beside)
        if webhook.tenant_id is not None:
            room = min(room, MOST_OF_TENANT - sum(each.webhook.tenant_id == webhook.tenant_id for each in beside))
        if not _is_in_doubt(webhook, lane):
            return room
        if lane is not _Lane.ENDING and clock.monotonic() > self.until - outbound.TOTAL_SECONDS:
            # Such an attempt could block this worker after the drain's end, while the next drain already works.
            return 0
        return min(room, MOST_IN_DOUBT - sum(each.is_in_doubt for each in beside))

    def _send(self, pool: Executor, message: OutboxMessage, webhook: Webhook, lane: _Lane) -> None:
        at = clock.now()
        sending = _Sending(message, webhook, lane, at)
        try:
            letter = letters.of(message, webhook, at)
        except sealing.Unreadable:
            logger.error("webhook_keys_unreadable", webhook=str(webhook.pk))
            self._settle(sending, Outcome(None, "keys", 0, ""))
            return
        except DatabaseError:
            raise
        except Exception as error:
            # One damaged message must not hold up those of other receivers.
            logger.error("webhook_message_unreadable", message=str(message.pk), error=type(error).__name__)
            self._settle(sending, Outcome(None, "unexpected", 0, ""))
            return
        self.sending[pool.submit(_post, letter)] = sending

    def _settle(self, sending: _Sending, outcome: Outcome) -> None:
        self.done += 1
        key = (sending.webhook.pk, sending.lane)
        doubled = min(max(self.allowed[key], sending.lane.least) * 2, MOST_EACH)
        self.allowed[key] = doubled if outcome.is_success else sending.lane.least
        with transaction.atomic(durable=True):
            _keep(sending, outcome)
            is_hopeless = _delivered(sending) if outcome.is_success else _failed(sending, outcome)
        if is_hopeless:
            because = Webhook.Because.GONE if outcome.status == GONE else Webhook.Because.FAILING
            _give_up(sending.webhook.pk, because)


class _Drain(Sender):
    """One round of deliveries to webhooks."""

    def __init__(self, token: str) -> None:
        super().__init__(WEBHOOK, until=clock.monotonic() + LONGEST_SECONDS)
        self.token, self.has_turn = token, True
        self.checked, self.renewed = 0.0, clock.monotonic()

    def run(self) -> int:
        try:
            with (
                ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="webhook") as pool,
                ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="webhook-ending") as endings,
            ):
                while self._take(pool, endings):
                    self.settle(LOOK_SECONDS)
        finally:
            self._let_go()
        return self.done

    def _take(self, pool: Executor, endings: Executor) -> bool:
        """While this drain has the turn, claim and send due messages. Return whether any attempt still runs."""
        if self.has_turn and clock.monotonic() < self.until:
            if clock.monotonic() - self.checked >= LOOK_SECONDS:
                if clock.monotonic() - self.renewed >= _RENEW_SECONDS:
                    cache.touch(_TURN, _TURN_SECONDS)
                    self.renewed = clock.monotonic()
                dispatch.work(self.until)
                self.checked = clock.monotonic()
            self.claim(pool, endings)
        else:
            self._let_go()
        return bool(self.sending)

    def _let_go(self) -> None:
        """Give the turn back, so that another drain can work. If messages are due, start that drain."""
        if self.has_turn:
            self.has_turn = False
            if cache.get(_TURN) == self.token:
                cache.delete(_TURN)
            if dispatch.has_news() or _ready(clock.now(), WEBHOOK):
                bell.ring(bell.DELIVER_WEBHOOKS)


# --- Messages that are due ----------------------------------------------------------------------------------


def _due(at: datetime, outbox_lane: Any) -> QuerySet[OutboxMessage]:
    """Return the messages of a lane of the outbox that can be sent now.

    A message waits for older messages to the same receiver about the same access request or ticket. Only messages that
    end access do not wait. On a signal stream they wait for an older event that was not tried yet, or is being sent:
    this takes at most one attempt, and the receiver never learns of an end before the beginning.
    """
    older = OutboxMessage.objects.filter(
        webhook=OuterRef("webhook"),
        mark=OuterRef("mark"),
        seq__lt=OuterRef("seq"),
        state=OutboxMessage.State.WAITING,
    )
    under_way = older.filter(Q(attempts=0) | Q(claimed_until__gt=at))
    ends = Q(topic__in=messages.ENDING)
    is_free = Q(mark="") | (ends & (Q(lane=WEBHOOK) | ~Exists(under_way))) | ~Exists(older)
    return OutboxMessage.objects.due(at).filter(is_free, lane=outbox_lane)


def _receivers(at: Any, outbox_lane: Any) -> QuerySet[Webhook]:
    """Return the receivers that have a message to be sent at this time. Each has a flag for each lane."""
    due = _due(at, outbox_lane).filter(Q(webhook__is_on=True) | Q(topic__in=_ALWAYS), webhook=OuterRef("pk"))
    has = {lane.label: Exists(due.filter(lane.holds)) for lane in _Lane}
    return Webhook.objects.receivers().annotate(**has).filter(Exists(due))


def _one_due(at: Any, outbox_lane: Any) -> QuerySet[OutboxMessage]:
    return OutboxMessage.objects.due(at).filter(lane=outbox_lane).values_list("pk", flat=True)[:1]


#: A drain runs these two again after each attempt. Making the text took longer than the attempt itself.
_ONE_DUE = CompiledQuery(_one_due, at=DateTimeField(), outbox_lane=CharField())
_RECEIVERS = CompiledQuery(_receivers, at=DateTimeField(), outbox_lane=CharField())


def _ready(at: datetime, outbox_lane: str) -> dict[_Lane, list[Webhook]]:
    """Return, for each lane, the webhooks with a message to send now.

    A webhook that is switched off gets only test messages.
    """
    if not _ONE_DUE(at=at, outbox_lane=outbox_lane):
        # Most drains find nothing, and this question is much cheaper than the next one.
        return {}
    found: dict[_Lane, list[Webhook]] = {}
    # Each message is in exactly one lane.
    for webhook in _RECEIVERS(at=at, outbox_lane=outbox_lane):
        for lane in _Lane:
            if getattr(webhook, lane.label):
                found.setdefault(lane, []).append(webhook)
    return found


def _claim(webhook: Webhook, outbox_lane: str, lane: _Lane, most: int) -> list[OutboxMessage]:
    """Claim up to `most` messages for this webhook and lane. The messages that became due first are claimed first."""
    with transaction.atomic(durable=True):
        at = clock.now()
        rows = _due(at, outbox_lane).filter(lane.holds, webhook=webhook)
        if not Webhook.objects.receivers().filter(pk=webhook.pk, is_on=True).exists():
            rows = rows.filter(topic__in=_ALWAYS)
        batch = list(rows.order_by("next_attempt_at", "seq").claimed()[:most])  # type: ignore[attr-defined]  # ScopedQuerySet
        for message in batch:
            # The attempt is counted before it begins: a message that kills its worker could not be counted afterwards.
            message.attempts, message.claimed_until = message.attempts + 1, at + LEASE
            message.save(update_fields=["attempts", "claimed_until"])
            if webhook.is_of_stream and lane is _Lane.ENDING:
                _outdate(message)
    return batch


def _outdate(ending: OutboxMessage) -> None:
    """Drop the events about the same window that failed before: their receiver must not get them after the end."""
    older = OutboxMessage.objects.filter(webhook=ending.webhook_id, mark=ending.mark, seq__lt=ending.seq)
    older.filter(state=OutboxMessage.State.WAITING).update(
        state=OutboxMessage.State.PARKED, claimed_until=None, last_error=_("Not sent: the window has ended.")
    )


# --- Sending: in a thread, without the database ------------------------------------------------------------


def _post(letter: letters.Letter) -> Outcome:
    began = clock.monotonic()

    def outcome(status: int | None = None, problem: str = "", answer: bytes = b"") -> Outcome:
        taken = int((clock.monotonic() - began) * 1000)
        return Outcome(status, problem, taken, sanitised(answer))

    try:
        private = settings.WEBHOOK_PRIVATE_NETWORK
        found = outbound.post(
            letter.url,
            letter.body,
            private=private,
            content_type=letter.content_type,
            headers=letter.headers,
            query=True,
            cut=True,
            purpose="webhook",
        )
        return outcome(found.status, answer=found.body)
    except outbound.Unreachable as error:
        return outcome(problem=str(error.args[0]))
    except outbound.BadTarget:
        # The address was saved while receivers in private networks were allowed.
        return outcome(problem="address")
    except Exception as error:
        # The error's text may contain the address, so only the kind of the error is logged.
        logger.error("webhook_failed_unexpectedly", error=type(error).__name__)
        return outcome(problem="unexpected")


def sanitised(answer: bytes) -> str:
    """Return the start of the receiver's answer as one line without invisible characters."""
    text = _UNPRINTABLE.sub(" ", answer[: 4 * ANSWER_STORED].decode(errors="replace"))
    return " ".join(text.split())[:ANSWER_STORED]


# --- After the attempt --------------------------------------------------------------------------------------


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
    # Mark it even if the lease has ended: the message has arrived. Another drain may send it too.
    OutboxMessage.objects.filter(pk=message.pk, state=OutboxMessage.State.WAITING).update(
        state=OutboxMessage.State.DELIVERED, delivered_at=clock.now(), claimed_until=None, last_error=""
    )
    Webhook.objects.filter(pk=webhook.pk, failures__gt=0).update(failures=0, failing_since=None)
    if webhook.is_of_stream:
        SignalStream.objects.filter(pk=webhook.pk).update(heard_at=clock.now())
    if message.topic == messages.TEST:
        # The receiver works again and somebody has tested it, so the waiting messages are sent now.
        waiting = OutboxMessage.objects.filter(webhook=webhook, state=OutboxMessage.State.WAITING)
        waiting.update(next_attempt_at=clock.now())
    return False


def _failed(sending: _Sending, outcome: Outcome) -> bool:
    """Postpone the message, or park it after its last attempt. Return True if the webhook must be switched off."""
    message, webhook, at = sending.message, sending.webhook, clock.now()
    problem = outcome.problem or str(outcome.status)
    claimed = OutboxMessage.objects.filter(
        pk=message.pk, state=OutboxMessage.State.WAITING, claimed_until=message.claimed_until
    )
    is_test = message.topic in _ALWAYS
    is_refused = webhook.is_of_stream and letters.is_refused(outcome.status, outcome.answer)
    is_last = is_test or is_refused or message.attempts >= schedule.MOST_ATTEMPTS
    if is_last:
        claimed.update(state=OutboxMessage.State.PARKED, claimed_until=None, last_error=problem)
    else:
        next_attempt_at = at + schedule.wait(message.attempts)
        claimed.update(next_attempt_at=next_attempt_at, claimed_until=None, last_error=problem)
    logger.warning("webhook_failed", webhook=str(webhook.pk), message=str(message.pk), problem=problem)
    if outcome.status == GONE and message.topic != signals.UPDATED_TOPIC:
        return True
    if is_test:
        return False
    row = Webhook.objects.filter(pk=webhook.pk)
    row.update(failures=F("failures") + 1, failing_since=Coalesce("failing_since", at))
    # The receiver has accepted nothing for as long as a message is tried. If it accepts other messages, one failed
    # message does not switch the webhook off.
    return is_last and row.filter(failing_since__lte=at - schedule.WHOLE).exists()


def _give_up(webhook_id: UUID, because: Webhook.Because) -> None:
    try:
        is_of_stream = SignalStream.objects.filter(pk=webhook_id).exists()
        give_up = operations.give_up_stream if is_of_stream else operations.give_up_webhook
        give_up(webhook_id, because=because.value, actor=Actor.system("webhooks"))
    except DomainError as refusal:
        # The webhook is already off or was removed.
        logger.debug("webhook_not_given_up", webhook=str(webhook_id), code=refusal.code)
