"""What a newer version has written into the log breaks no page, export or task of this one."""

from __future__ import annotations

import json

import pytest
from django.db import transaction
from django.urls import reverse

from audit_app import recorder
from audit_app.models import AuditEntry
from audit_app.siem import FORMATS
from requests_app import tasks
from requests_app.domain import clock
from requests_app.domain.scopes import Scope
from tests.caller import caller_for
from tests.cast import Cast
from tests.web.pages import signed_in

pytestmark = [pytest.mark.dialect, pytest.mark.django_db]

EVENT = "future.happened"


@pytest.fixture
def entry(cast: Cast) -> AuditEntry:
    """An entry about an access request. This version knows neither its event nor its door, actor and subject."""
    request = cast.submitted("contoso")
    future = recorder.Witnessed(
        tenant_id=cast.contoso.pk,
        event=EVENT,
        door="telepathy",
        actor={"kind": "robot", "id": None, "name": "R2", "side": "system", "email": ""},
        subject_type="future_thing",
        subject_id=str(request.pk),
        correlation_id=request.pk,
        detail={"future": "yes", "list": ["a", "b"]},
    )
    with transaction.atomic():
        [row] = recorder.record([future], at=clock.now())
    return row


def test_pages_show_the_name_of_the_event(cast: Cast, entry: AuditEntry) -> None:
    client = signed_in(cast, "otto")
    log = reverse("web:log", args=[cast.contoso.pk])
    for address in (log, f"{log}?entry={entry.seq}"):
        page = client.get(address)
        assert page.status_code == 200
        assert EVENT in page.content.decode()
    for name in ("ada", "priya"):
        about = reverse("web:access_request", args=[entry.correlation_id])
        assert signed_in(cast, name).get(about).status_code == 200


def test_the_api_and_each_form_of_the_export_have_the_entry(cast: Cast, entry: AuditEntry) -> None:
    call = caller_for(cast, "otto", Scope.LOG_READ)
    base = f"/api/v1/tenants/{cast.contoso.pk}/log"
    assert EVENT in json.dumps(call.get(f"{base}/entries").json())
    assert call.get(f"{base}/entries/{entry.seq}").status_code == 200
    for form in FORMATS:
        answer = call.get(f"{base}/export?format={form}")
        assert answer.status_code == 200, form
        assert EVENT in b"".join(answer).decode(), form


def test_the_background_work_goes_past_the_entry(cast: Cast, entry: AuditEntry) -> None:
    tasks.deliver_webhooks()
    tasks.drain_outbox()
    tasks.sweep()
    tasks.remind()
