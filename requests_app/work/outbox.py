"""Sends the messages of the outbox. It claims due messages and delivers them. After each failure it waits longer.

Each message is sent at least once, even if any process is killed at any time. A claim is a lease: when it ends, another
worker can claim the message. If a worker is killed after it sent a message and before it marked the message as sent,
the message is sent again under the same Message-ID.
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
from django.db.models import Case, CharField, DateTimeField, When
from django.utils.translation import gettext as _

from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.errors import WrongState
from requests_app.messages import handlers, together
from requests_app.messages.mails.postman import NotAccepted, Postman, Refused, Unreachable
from requests_app.messages.mails.receipts import NotYet
from requests_app.messages.topics import Topic, known
from requests_app.models import OutboxMessage
from requests_app.models.outbox import FANOUT, MAIL, OutboxQuerySet
from requests_app.platform import bell, turns
from requests_app.platform.database.compiled import Asked, CompiledQuery

logger = structlog.get_logger(__name__)

#: How long a drain's claim on a message lasts. The drain renews the claim before it delivers each message.
LEASE = timedelta(minutes=2)
#: How many messages a drain claims in one step. The number is small, so that parallel drains share the work and a
#: killed drain delays few messages.
CHUNK = 50
#: After this time a drain releases the messages that it has not begun. django-q2's time-out would kill the drain much
#: later.
LONGEST_SECONDS = 10.0
#: How long other drains wait for the turn of a killed drain. This is longer than two dialogues with a server that
#: hangs.
TURN_SECONDS = 45
_RENEW_SECONDS = 3.0
#: How long no mail is sent after its server could not be reached: each attempt would otherwise wait for a time-out.
REST = timedelta(seconds=30)
#: The waits after the first, second, third … failed attempt. The last wait repeats.
BACK_OFF = tuple(timedelta(minutes=minutes) for minutes in (0.5, 2, 10, 30, 60, 120, 240))
#: The 24th failure is about three days after the first failure.
MOST_ATTEMPTS = 24
JITTER = 0.2
_AWAITED = [topic for topic in Topic if topic.sending.is_awaited]
#: Errors of a database that does not answer. No message has caused them.
OUTAGE = (OperationalError, InterfaceError)
#: Seconds between the attempts to mark a mail that has been sent.
_SETTLE_AGAIN = (0.2, 1.0, 2.0)


def drain(*, limit: int = 100) -> int:
    """Deliver up to `limit` due messages, and return how many were tried. Call it outside any transaction."""
    until = clock.monotonic() + LONGEST_SECONDS
    worked = _drain_lane(FANOUT, limit, until, Postman())
    with turns.taken("mail", seconds=TURN_SECONDS, places=_mail_places()) as turn:
        if turn is None:
            return worked
        with Postman() as postman:
            worked += _drain_lane(MAIL, limit - worked, until, postman, turn)
    if _due(MAIL, clock.now()).exists():
        # These messages became due while this drain worked. Drains that were woken for them found all turns taken.
        bell.ring()
    return worked


#: A message of this lane that can be sent now.
_ONE_DUE = CompiledQuery(
    lambda lane, at: _due(lane, at).order_by().values_list("pk", flat=True)[:1], lane=CharField(), at=DateTimeField()
)


def due_now(at: datetime) -> list[Asked]:
    """Return the queries that find something if a mail, or a message that becomes mails, can be sent now."""
    return [(_ONE_DUE, {"lane": lane, "at": at}) for lane in (FANOUT, MAIL)]


def retry_now() -> int:
    """Make the messages due that failed and wait for their next attempt. Return how many there are.

    After a long outage of the mail server, they would wait for up to four more hours.
    """
    failed = OutboxMessage.objects.filter(lane__in=(FANOUT, MAIL), state=OutboxMessage.State.WAITING)
    return failed.exclude(last_error="").update(next_attempt_at=clock.now())


def _mail_places() -> int:
    """Return how many drains can use the mail server at the same time. The other workers stay free for other tasks."""
    return max(1, settings.Q_CLUSTER["workers"] - 3)


def back_off(attempts: int) -> timedelta:
    """Return how long to wait after this number of failures. A random part spreads the retries of many messages."""
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
            # Renew the turn before the attempt is counted, because renewing can fail too.
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
                # The server broke off at this recipient. The recipient's other mails wait, so that they don't delay
                # other people's.
                _put_back([each for each in batch[position + 1 :] if each.recipient == message.recipient])
                _rest(lane, recipient=message.recipient)
            except OUTAGE as error:
                _interrupted(batch[position:], error)
                raise
    return worked


def _due(lane: str, at: datetime) -> OutboxQuerySet:
    """Return the messages of this lane that this version can send now.

    While an upgrade runs, the newer version also posts messages that only its own workers can send.
    """
    return OutboxMessage.objects.due(at).filter(lane=lane, topic__in=known())


def _claim(lane: str, limit: int) -> list[OutboxMessage]:
    """Claim due messages in one short transaction: first those that a person waits for, then the oldest messages.

    No other drain can claim the same messages: the rows are locked until the commit, and have a lease afterwards.
    """
    with transaction.atomic(durable=True):
        at = clock.now()
        due = _due(lane, at)
        first = Case(When(topic__in=_AWAITED, then=0), default=1)
        batch = list(due.order_by(first, "next_attempt_at", "created_at").claimed()[:limit])
        OutboxMessage.objects.filter(pk__in=[message.pk for message in batch]).update(claimed_until=at + LEASE)
    for message in batch:
        message.claimed_until = at + LEASE
    return batch


def _take(message: OutboxMessage) -> bool:
    """Count an attempt and renew the lease. Return False if another drain has claimed the message meanwhile.

    The attempt is counted before it begins, because a message that kills its worker could not be counted afterwards.
    """
    until = clock.now() + LEASE
    is_claimed = _claimed(message).update(attempts=message.attempts + 1, claimed_until=until)
    if is_claimed:
        message.attempts, message.claimed_until = message.attempts + 1, until
    return bool(is_claimed)


def _work(message: OutboxMessage, postman: Postman) -> None:
    """Deliver one message and store the result.

    A failure of this message is stored in its row. Only a failure of the mail server or of the database is raised.
    """
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
        # The error's text may contain parts of the message, so only the code line of the failure is logged.
        where = traceback.extract_tb(error.__traceback__)[-1]
        kind = type(error).__name__
        logger.error("outbox.failed", message=str(message.pk), topic=message.topic, error=kind, where=str(where))
        _fail(message, _("Unexpected: %(kind)s") % {"kind": kind})


def _wait(message: OutboxMessage, at: datetime) -> None:
    """Postpone a claimed message that was not tried. The attempt that was already counted is subtracted."""
    _claimed(message).update(next_attempt_at=at, claimed_until=None, attempts=message.attempts - 1)


def _interrupted(messages: Sequence[OutboxMessage], error: Exception) -> None:
    """Release these messages after a failure of the database, which does not count as an attempt.

    If the database still does not answer, the messages become free when their leases end.
    """
    logger.warning("outbox.interrupted", error=type(error).__name__)
    _leave_connection()
    with suppress(*OUTAGE):
        _wait(messages[0], clock.now())
        _put_back(messages[1:])


def _leave_connection() -> None:
    """Close a broken connection, so that the next statement opens a new one.

    Inside a transaction of the caller, do nothing.
    """
    if not connection.in_atomic_block:
        connection.close()


def _settle_surely(message: OutboxMessage, note: str) -> None:
    """Mark a mail as sent. If the database does not answer, try again for some seconds.

    Without the mark, the mail would be sent a second time.
    """
    for pause in _SETTLE_AGAIN:
        try:
            return _settle(message, note)
        except OUTAGE:
            _leave_connection()
            time.sleep(pause)
    return _settle(message, note)


def _settle(message: OutboxMessage, note: str) -> None:
    # Mark it even if the lease has ended: the message has been sent. Another drain may send it too.
    with transaction.atomic():
        waiting = OutboxMessage.objects.filter(pk=message.pk, state=OutboxMessage.State.WAITING)
        settled = waiting.update(
            state=OutboxMessage.State.DELIVERED, delivered_at=clock.now(), claimed_until=None, last_error=note[:500]
        )
        if settled and note:  # a note means that the mail was not sent; its messages end too
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
        return  # Another drain, which has a newer lease, has already marked it.
    logger.error("outbox.parked", message=str(message.pk), topic=message.topic, error=error)


def _put_back(messages: Sequence[OutboxMessage]) -> None:
    """Release messages that were claimed but not tried, so that other drains can claim them before the leases end."""
    for message in messages:
        _claimed(message).update(claimed_until=None)


def _rest(lane: str, **only: str) -> None:
    with transaction.atomic(durable=True):
        at = clock.now()
        # Lock the rows first and skip locked rows. Otherwise two drains could deadlock if both find the server
        # unreachable.
        due = _due(lane, at).filter(**only).claimed()
        waiting = [message.pk for message in due.only("pk")]
        for start in range(0, len(waiting), 500):
            chunk = OutboxMessage.objects.filter(pk__in=waiting[start : start + 500])
            chunk.update(next_attempt_at=at + REST)


def _claimed(message: OutboxMessage) -> OutboxQuerySet:
    """Return a queryset with the message's row. It is empty if another drain has claimed the message meanwhile."""
    return OutboxMessage.objects.filter(
        pk=message.pk, state=OutboxMessage.State.WAITING, claimed_until=message.claimed_until
    )
