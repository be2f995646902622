"""Works the outbox: claims due messages, passes each to its lane, and waits longer after each failure.

A message leaves at least once, even if any process is killed at any time: a claimed message comes back when its lease
ends, and one that was sent but not marked is sent again under the same Message-ID.
"""

from __future__ import annotations

import random
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Case, When
from django.utils.translation import gettext as _

from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.errors import WrongState
from requests_app.messages import handlers, together
from requests_app.messages.mails.postman import NotAccepted, Postman, Refused, Unreachable
from requests_app.messages.mails.receipts import NotYet
from requests_app.messages.topics import Topic
from requests_app.models import OutboxMessage
from requests_app.models.outbox import FANOUT, MAIL, OutboxQuerySet
from requests_app.platform import bell, turns

logger = structlog.get_logger(__name__)

#: How long a drain's claim on a message lasts. It is renewed before each message is worked.
LEASE = timedelta(minutes=2)
#: Messages claimed at once. Few, so that parallel drains share the work and a killed one delays little.
CHUNK = 50
#: A drain returns what it has not begun well before django-q2's time-out would kill it.
LONGEST_SECONDS = 10.0
#: How long the turn of a killed drain makes others wait. Longer than two dialogues with a server that hangs.
TURN_SECONDS = 45
_RENEW_SECONDS = 3.0
#: How long all mail rests when its server can't be reached: trying each in turn would cost a time-out each.
REST = timedelta(seconds=30)
#: The waits after the first, second … failed attempt; the last one repeats.
BACK_OFF = tuple(timedelta(minutes=minutes) for minutes in (0.5, 2, 10, 30, 60, 120, 240))
#: The 24th failure is about three days after the first.
MOST_ATTEMPTS = 24
JITTER = 0.2
_AWAITED = [topic for topic in Topic if topic.sending.is_awaited]
#: The wait when the database is away, which no message caused.
OUTAGE = (OperationalError, InterfaceError)
#: Seconds between the attempts to mark a mail that has left.
_SETTLE_AGAIN = (0.2, 1.0, 2.0)


def drain(*, limit: int = 100) -> int:
    """Work up to `limit` due messages, outside any transaction, and return how many; 0 if none is due."""
    until = clock.monotonic() + LONGEST_SECONDS
    worked = _drain_lane(FANOUT, limit, until, Postman())
    with turns.taken("mail", seconds=TURN_SECONDS, places=_mail_places()) as turn:
        if turn is None:
            return worked
        with Postman() as postman:
            worked += _drain_lane(MAIL, limit - worked, until, postman, turn)
    if OutboxMessage.objects.due(clock.now()).filter(lane=MAIL).exists():
        # What came since then, while the drains that were woken found all turns taken.
        bell.ring()
    return worked


def _mail_places() -> int:
    """Return how many drains may wait for the mail server, so that other work keeps a worker each."""
    return max(1, settings.Q_CLUSTER["workers"] - 3)


def back_off(attempts: int) -> timedelta:
    """Return how long to wait after so many failures, with a random part, so that retries spread out."""
    step = BACK_OFF[min(attempts, len(BACK_OFF)) - 1]
    return step * (1 + random.random() * JITTER)  # noqa: S311 - spreads load, guards nothing


def _drain_lane(lane: str, limit: int, until: float, postman: Postman, turn: turns.Turn | None = None) -> int:
    worked, renewed = 0, clock.monotonic()
    while worked < limit and clock.monotonic() < until:
        batch = _claim(lane, min(CHUNK, limit - worked))
        if not batch:
            break
        for position, message in enumerate(batch):
            if clock.monotonic() >= until:
                _put_back(batch[position:])
                return worked
            # Before the attempt is counted, as this may fail too.
            if turn is not None and clock.monotonic() - renewed >= _RENEW_SECONDS:
                turn.renew()
                renewed = clock.monotonic()
            if not _take(message):
                continue
            worked += 1
            try:
                _work(message, postman)
            except Unreachable as error:
                _fail(message, str(error))
                if postman.is_down:
                    _put_back(batch[position + 1 :])
                    _rest(lane)
                    return worked
                # The server broke off at this recipient. Their other mails rest, so that they delay nobody else's.
                _put_back([each for each in batch[position + 1 :] if each.recipient == message.recipient])
                _rest(lane, recipient=message.recipient)
            except OUTAGE as error:
                _interrupted(batch[position:], error)
                raise
    return worked


def _claim(lane: str, limit: int) -> list[OutboxMessage]:
    """Claim due messages in one short transaction: first those for which somebody waits, then the oldest.

    A second drain finds them locked, then leased.
    """
    with transaction.atomic(durable=True):
        at = clock.now()
        due = OutboxMessage.objects.due(at).filter(lane=lane)
        first = Case(When(topic__in=_AWAITED, then=0), default=1)
        batch = list(due.order_by(first, "next_attempt_at", "created_at").claimed()[:limit])
        OutboxMessage.objects.filter(pk__in=[message.pk for message in batch]).update(claimed_until=at + LEASE)
    for message in batch:
        message.claimed_until = at + LEASE
    return batch


def _take(message: OutboxMessage) -> bool:
    """Count the attempt before it is made, and renew the lease; False if the lease ended meanwhile.

    A message that kills its worker could not be counted afterwards.
    """
    until = clock.now() + LEASE
    is_claimed = _claimed(message).update(attempts=message.attempts + 1, claimed_until=until)
    if is_claimed:
        message.attempts, message.claimed_until = message.attempts + 1, until
    return bool(is_claimed)


def _work(message: OutboxMessage, postman: Postman) -> None:
    """Deliver one message and record the result. A failure affects only this message."""
    try:
        if message.attempts > MOST_ATTEMPTS:
            raise Refused(message.last_error or _("Too many attempts."))
        if message.lane == FANOUT:
            with transaction.atomic(durable=True):
                _settle(message, handlers.fan_out(message, clock.now()))
        else:
            _settle_surely(message, handlers.send_mail(message, postman))
    except NotYet as later:
        _wait(message, later.at)
    except Refused as error:
        _park(message, str(error))
    except NotAccepted as error:
        _fail(message, str(error))
    except (Unreachable, *OUTAGE):
        raise
    except Exception as error:
        # The error's text may quote what was being sent; the place of the failure is enough.
        where = traceback.extract_tb(error.__traceback__)[-1]
        kind = type(error).__name__
        logger.error("outbox.failed", message=str(message.pk), topic=message.topic, error=kind, where=str(where))
        _fail(message, _("Unexpected: %(kind)s") % {"kind": kind})


def _wait(message: OutboxMessage, at: datetime) -> None:
    """Postpone a message that was not tried; that does not count as an attempt."""
    _claimed(message).update(next_attempt_at=at, claimed_until=None, attempts=message.attempts - 1)


def _interrupted(messages: Sequence[OutboxMessage], error: Exception) -> None:
    """Release all messages and count no attempt: the database is away, which says nothing about them.

    If it still is away, the claims end by themselves.
    """
    logger.warning("outbox.interrupted", error=type(error).__name__)
    _leave_connection()
    with suppress(*OUTAGE):
        _wait(messages[0], clock.now())
        _put_back(messages[1:])


def _leave_connection() -> None:
    """Use a new connection for the next statement, unless the caller's transaction is open."""
    if not connection.in_atomic_block:
        connection.close()


def _settle_surely(message: OutboxMessage, note: str) -> None:
    """Mark what has left. If the database is away, retry for a moment, or the mail would be sent twice."""
    for pause in _SETTLE_AGAIN:
        try:
            return _settle(message, note)
        except OUTAGE:
            _leave_connection()
            time.sleep(pause)
    return _settle(message, note)


def _settle(message: OutboxMessage, note: str) -> None:
    # Regardless of the lease: it has been sent, even if another drain sends it too.
    with transaction.atomic():
        waiting = OutboxMessage.objects.filter(pk=message.pk, state=OutboxMessage.State.WAITING)
        settled = waiting.update(
            state=OutboxMessage.State.DELIVERED, delivered_at=clock.now(), claimed_until=None, last_error=note[:500]
        )
        if settled and note:  # not sent: nor is what it tells
            together.end(message, OutboxMessage.State.DELIVERED, note)


def _fail(message: OutboxMessage, error: str) -> None:
    if message.attempts >= MOST_ATTEMPTS:
        _park(message, error)
        return
    next_attempt_at = clock.now() + back_off(message.attempts)
    _claimed(message).update(next_attempt_at=next_attempt_at, claimed_until=None, last_error=error[:500])
    logger.warning("outbox.postponed", message=str(message.pk), attempts=message.attempts, error=error)


def _park(message: OutboxMessage, error: str) -> None:
    try:
        operations.park_mail(message.pk, actor=Actor.system("outbox"), error=error)
    except WrongState:
        return  # Another drain, whose lease was newer, has settled it.
    logger.error("outbox.parked", message=str(message.pk), topic=message.topic, error=error)


def _put_back(messages: Sequence[OutboxMessage]) -> None:
    """Release what was claimed and not begun, so that it need not wait for its lease to end."""
    for message in messages:
        _claimed(message).update(claimed_until=None)


def _rest(lane: str, **only: str) -> None:
    with transaction.atomic(durable=True):
        at = clock.now()
        # Locked first and skipped if locked, so that two drains that both find the server gone never deadlock.
        due = OutboxMessage.objects.due(at).filter(lane=lane, **only).claimed()
        waiting = [message.pk for message in due.only("pk")]
        for start in range(0, len(waiting), 500):
            chunk = OutboxMessage.objects.filter(pk__in=waiting[start : start + 500])
            chunk.update(next_attempt_at=at + REST)


def _claimed(message: OutboxMessage) -> OutboxQuerySet:
    """Return the row, if this drain still has the claim."""
    return OutboxMessage.objects.filter(
        pk=message.pk, state=OutboxMessage.State.WAITING, claimed_until=message.claimed_until
    )
