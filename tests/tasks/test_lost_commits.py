"""Nobody knows whether the commit of a task was done. The task runs again, and everything is still done only once."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections

from audit_app import verify
from audit_app.models import AuditEntry
from requests_app import tasks
from requests_app.domain.errors import OutcomeUnknown
from requests_app.models import AccessRequest, Grant, OutboxMessage
from requests_app.platform.database.errors import CommitUnknown
from tests.cast import Cast, gather

pytestmark = pytest.mark.django_db(transaction=True)


@contextlib.contextmanager
def losing_commit(monkeypatch: pytest.MonkeyPatch, number: int, *, is_saved: bool) -> Iterator[None]:
    """Lose the answer to COMMIT `number`, counted from 0. `is_saved` says whether the commit is done."""
    backend: Any = type(connections["default"])
    plain, seen = backend._commit, []

    def commit(self: Any) -> None:
        seen.append(True)
        if len(seen) - 1 != number:
            plain(self)
            return
        plain(self) if is_saved else self.connection.rollback()
        raise CommitUnknown("The answer was lost.")

    with monkeypatch.context() as losing:
        losing.setattr(backend, "_commit", commit)
        yield


@pytest.mark.parametrize("is_saved", [True, False])
def test_work_that_was_perhaps_committed_is_neither_lost_nor_done_twice(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch, travel: Any, mailoutbox: list[Any], is_saved: bool
) -> None:
    cast: Cast = gather()
    travel.freeze()
    overdue, elapsed = cast.confirmed(), cast.opened()
    rounds: list[tuple[dict[str, float], list[Callable[[], Any]]]] = [
        ({"minutes": 115}, [tasks.closing_soon, tasks.remind]),
        ({"hours": 13}, [tasks.sweep]),
        ({"seconds": 1}, [tasks.drain_outbox, tasks.checkpoint]),
    ]
    for later, due in rounds:
        travel.by(**later)
        for task in due:
            for number in range(4):
                with (
                    losing_commit(monkeypatch, number, is_saved=is_saved),
                    contextlib.suppress(CommitUnknown, OutcomeUnknown),
                ):
                    task()
            travel.by(seconds=90)
            task()
    assert AccessRequest.objects.get(pk=overdue.pk).state == "EXPIRED"
    assert Grant.objects.get(pk=elapsed.pk).closed_at is not None
    events = Counter(AuditEntry.objects.values_list("event", "subject_id"))
    assert [each for each, count in events.items() if count > 1 and each[0] != "act.refused"] == []
    assert ("access_request.expired", str(overdue.pk)) in events
    messages = Counter(OutboxMessage.objects.values_list("key", flat=True))
    assert set(messages.values()) == {1}
    assert verify.verify(cast.contoso.pk).is_good
