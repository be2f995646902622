"""The pages of a tenant's signal streams: who sees them, and what they show and do."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain.scopes import Scope
from requests_app.models import SignalStream
from requests_app.operations._stream_settings import Delivery, Wanted
from tests.caller import service_of
from tests.cast import Cast
from tests.web.pages import signed_in

pytestmark = pytest.mark.django_db

SECRET = "8f3a-secret-path"


def stream(cast: Cast, tenant: str | None = "contoso", **wanted: Any) -> SignalStream:
    return operations.create_stream(Wanted(**wanted), actor=service_of(cast, tenant, Scope.SSF_MANAGE))


def listed(cast: Cast) -> str:
    return reverse("web:signal_streams", args=[cast.contoso.pk])


def test_only_administrators_see_the_streams_of_their_tenant(cast: Cast) -> None:
    mine = stream(cast, description="Sessions")
    theirs = stream(cast, "fabrikam", description="Zanzibar")
    page = signed_in(cast, "ines").get(listed(cast)).content.decode()
    assert "Sessions" in page
    assert "Zanzibar" not in page
    for name in ("ada", "otto", "mia"):
        assert signed_in(cast, name).get(listed(cast)).status_code in (403, 404)
    one = reverse("web:signal_stream", args=[cast.contoso.pk, theirs.pk])
    assert signed_in(cast, "ines").get(one).status_code == 404
    assert signed_in(cast, "ines").get(reverse("web:signal_stream", args=[cast.contoso.pk, mine.pk])).status_code == 200


def test_a_page_shows_what_fails_and_what_waits(cast: Cast) -> None:
    row = stream(cast, delivery=Delivery(is_push=True, url=f"https://signals.example/{SECRET}"))
    operations.verify_stream(row.pk, actor=cast.as_("ines"))
    row.webhook.failing_since = row.status_at
    row.webhook.save()
    page = signed_in(cast, "ines").get(listed(cast)).content.decode()
    assert SECRET not in page
    for words in ("https://signals.example", "Failing", "never", ">1<"):
        assert words in page
    shown = signed_in(cast, "ines").get(reverse("web:signal_stream", args=[cast.contoso.pk, row.pk])).content.decode()
    assert "If you pause the stream, its events wait for three days." in shown
    row.webhook.failing_since = None
    row.webhook.save()
    assert "Enabled" in signed_in(cast, "ines").get(listed(cast)).content.decode()


def test_a_stream_is_paused_and_deleted_with_fresh_proof_alone(cast: Cast) -> None:
    row = stream(cast)
    one = reverse("web:signal_stream", args=[cast.contoso.pk, row.pk])
    before = AuditEntry.objects.count()
    stale = signed_in(cast, "ines", fresh=False)
    assert stale.post(one, {"status": "disabled"}).status_code != 200
    row.refresh_from_db()
    assert (row.status, AuditEntry.objects.count()) == ("enabled", before)
    client = signed_in(cast, "ines")
    client.post(one, {"status": "paused"})
    row.refresh_from_db()
    assert row.status == "paused"
    client.post(reverse("web:signal_stream_delete", args=[cast.contoso.pk, row.pk]))
    assert not SignalStream.objects.present().exists()
    assert client.get(one).status_code == 404


def test_a_list_costs_the_same_with_many_streams(cast: Cast) -> None:
    client, costs = signed_in(cast, "ines"), []
    for count in (2, 10):
        while SignalStream.objects.count() < count:
            stream(cast)
        with CaptureQueriesContext(connection) as queries:
            assert client.get(listed(cast)).status_code == 200
        costs.append(len(queries))
    assert costs[0] == costs[1]


def test_the_administration_lists_all_streams_and_stops_only_the_providers(cast: Cast) -> None:
    ours = stream(cast, None, delivery=Delivery(is_push=True, url=f"https://ours.example/{SECRET}"))
    theirs = stream(cast, delivery=Delivery(is_push=True, url=f"https://theirs.example/{SECRET}"))
    client = signed_in(cast, "stella")
    page = client.get(reverse("admin:requests_app_signalstream_changelist")).content.decode()
    assert SECRET not in page
    for words in ("https://ours.example", "https://theirs.example", "enabled"):
        assert words in page
    before = AuditEntry.objects.count()
    act = [reverse("admin:requests_app_signalstream_act", args=[row.pk, "status"]) for row in (ours, theirs)]
    client.post(act[1], {"status": "disabled"})
    assert SignalStream.objects.get(pk=theirs.pk).status == "enabled"
    assert AuditEntry.objects.filter(event="signal_stream.status_set").count() == 0
    client.post(act[0], {"status": "disabled"})
    assert SignalStream.objects.get(pk=ours.pk).status == "disabled"
    assert AuditEntry.objects.count() > before
