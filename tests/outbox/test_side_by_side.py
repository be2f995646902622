"""Several drains at the same time, with real transactions: every mail is sent only once."""

from __future__ import annotations

import re
import threading
from collections import Counter

import pytest
from django.core import mail
from django.db import connections

from requests_app.domain import clock
from requests_app.domain.limits import MAILS_AT_ONCE
from requests_app.messages.mails import email
from requests_app.messages.topics import Topic
from requests_app.models import AccessRequest, OutboxMessage
from requests_app.models.outbox import MAIL
from requests_app.work import outbox
from tests.cast import Cast
from tests.outbox.conftest import Postbox

DRAINS = 4


def _drain_at_once() -> None:
    barrier, errors = threading.Barrier(DRAINS), []

    def run() -> None:
        try:
            barrier.wait(timeout=120)
            while outbox.drain(limit=7):
                pass
        except Exception as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(DRAINS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
        assert not thread.is_alive()
    assert errors == []


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_drains_side_by_side_send_each_mail_once(cast: Cast, postbox: Postbox) -> None:
    for _ in range(13):
        cast.ticket()
    for _ in range(3):
        cast.submitted()
    _drain_at_once()
    rows = OutboxMessage.objects.filter(lane=MAIL)
    assert rows.count() == 16 * 3 + 3 * 3
    assert not OutboxMessage.objects.exclude(state="delivered").exists()
    received = Counter(message["Message-ID"] for _, message in postbox.received)
    assert received == Counter({email.sent_id(row.rendered): 1 for row in rows})


@pytest.mark.dialect
@pytest.mark.django_db(transaction=True)
def test_on_one_file_drains_take_turns_and_send_each_mail_once(cast: Cast) -> None:
    for _ in range(3):
        cast.submitted()
    _drain_at_once()
    sent = Counter(message.extra_headers["Message-ID"] for message in mail.outbox)
    assert len(sent) == OutboxMessage.objects.filter(lane=MAIL, state="delivered").count() == 18
    assert set(sent.values()) == {1}


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_parallel_drains_mail_nobody_twice_and_at_most_three_separately(cast: Cast, postbox: Postbox) -> None:
    """Each drain sees that one more mail is allowed. Only one of them may send it."""
    for _ in range(10):
        cast.confirmed()
    _drain_at_once()
    for name in ("ada", "alan"):
        rows = OutboxMessage.objects.filter(lane=MAIL, topic=Topic.DECIDE_AS_CUSTOMER, person=cast.people[name])
        mails = [
            re.findall(r"\bAR-\w{4}-\w{4}\b", message.get_body(("plain",)).get_content())
            for to, message in postbox.received
            if to == cast.people[name].email and message["X-Lockbox-Topic"] == Topic.DECIDE_AS_CUSTOMER
        ]
        shown = [reference for each in mails for reference in each]
        about = rows.filter(state="delivered").values_list("about", flat=True)
        assert sorted(shown) == sorted(AccessRequest.objects.filter(pk__in=about).values_list("reference", flat=True))
        assert 1 <= len(mails) <= MAILS_AT_ONCE
        waiting = rows.filter(state="waiting", rendered__isnull=True, next_attempt_at__gt=clock.now())
        assert rows.count() == 10 == len(shown) + waiting.count()
