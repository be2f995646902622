"""Builds the callbacks of access requests over AuthZEN: a client learns that the task that it follows has ended.

A callback has the task's id and status, and the client's own `state`. It has no result, no content, and no text that a
person wrote: the client reads the task for the rest, with its own token.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.conf import settings

from audit_app.models import AuditEntry
from requests_app.domain.access_tasks import Status, status_of
from requests_app.domain.acts.access_drafts import ACCESS_DRAFT_DISCARDED, ACCESS_DRAFT_EXPIRED
from requests_app.domain.ids import as_id
from requests_app.domain.lifecycle import TRANSITIONS
from requests_app.domain.states import State
from requests_app.messages.webhooks.messages import Message, detail_of, id_of, state_after
from requests_app.models import AccessDraft, AccessTask, Webhook

#: The states in which a task has just ended. The end of a window changes no status: the task stays approved.
_ENDED = frozenset({State.OPEN, State.DENIED, State.EXPIRED, State.WITHDRAWN})
_OF_DRAFTS = {str(ACCESS_DRAFT_DISCARDED): Status.CANCELLED, str(ACCESS_DRAFT_EXPIRED): Status.EXPIRED}
#: The events of the log from which callbacks are made.
EVENTS = sorted(
    {str(edge.event) for edge in TRANSITIONS.values() if _ENDED.intersection(edge.moves.targets)} | _OF_DRAFTS.keys()
)


def of(entries: Iterable[AuditEntry], webhook: Webhook) -> list[Message]:
    """Return the callbacks about these entries to this address, in the order of the entries."""
    ended = [(entry, *found) for entry in entries if (found := _end(entry)) is not None]
    keys = {key for _entry, key, _status in ended}
    tasks: dict[UUID, AccessTask | AccessDraft] = {}
    for kind in (AccessDraft, AccessTask):
        tasks.update({row.pk: row for row in kind.objects.filter(callback=webhook, pk__in=keys)})
    return [
        _message(entry, tasks[key], status)
        for entry, key, status in ended
        if key in tasks and status in (tasks[key].callback_events or [status])
    ]


def _end(entry: AuditEntry) -> tuple[UUID, Status] | None:
    """Return the id of the task that this entry ends, and its status then. None if no task ends with it."""
    if (status := _OF_DRAFTS.get(entry.event)) is not None:
        draft = as_id(detail_of(entry).get("draft"))
        return None if draft is None else (draft, status)
    state = state_after(entry)
    if entry.correlation_id is None or state not in _ENDED:
        return None
    return entry.correlation_id, status_of(State(state))


def _message(entry: AuditEntry, task: AccessTask | AccessDraft, status: Status) -> Message:
    address = f"{settings.BASE_URL}/access/v1/requests/{task.pk}"
    body: dict[str, Any] = {"task": {"id": str(task.pk), "status": str(status), "status_endpoint": address}}
    if task.callback_state:
        body = {"state": task.callback_state, **body}
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    return Message(id=id_of(entry), type=entry.event, body=text, seq=entry.seq, about=str(task.pk))
