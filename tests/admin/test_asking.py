"""What clients asked for over AuthZEN, and their callback addresses, in the administration."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain.access_tasks import Callback
from requests_app.models import AccessDraft, AccessRequest, AccessTask, Webhook
from requests_app.models import Client as Machine
from tests.admin.conftest import address
from tests.api.test_access_drafts import confirm
from tests.api.test_access_tasks import SCOPES, TASKS, World, client_with, left
from tests.cast import Cast
from tests.factors import force_login
from tests.offenders import collected

pytestmark = pytest.mark.django_db

URL = "https://hooks.example/secret-path"
SOURCE = "https://desk.example/cases/4711"


@pytest.fixture
def world(cast: Cast) -> World:
    return World(cast, client_with(cast, "requests:ask", "evaluate"), cast.ticket(service_id=cast.quillo().pk))


def asked(world: World) -> dict[str, Any]:
    operations.add_callback(Machine.objects.latest("created_at", "pk").pk, url=URL, actor=world.cast.as_("stella"))
    body = {**world.submission(), "callback": {"endpoint": URL, "events": ["approved"]}}
    found = world.desk.post(TASKS, {**body, "client": {"source": {"external_url": SOURCE}}})
    assert found.status_code == 201, found.content
    task: dict[str, Any] = found.json()["task"]
    return task


def test_staff_see_a_draft_and_what_became_of_it_and_can_change_nothing(
    world: World, staff: Client, travel: Any
) -> None:
    at = travel.freeze()
    task, other = asked(world), world.submitted()
    shown, before = staff.get(address(AccessDraft)).content.decode(), left()
    assert task["id"] in shown
    page = staff.get(address(AccessDraft, "change", task["id"])).content.decode()
    for words in ("Help desk", "Priya", "pending", SOURCE, "approved", "hooks.example", "&quot;quillo&quot;"):
        assert words in page
    assert f'href="{SOURCE}' not in page
    assert "secret-path" not in page
    assert '<form method="post"' not in page.partition("<main")[2], "there is nothing to do"
    for url in (address(AccessDraft, "change", task["id"]), address(AccessDraft)):
        staff.post(url, {"tried": "changed"})
    assert left() == before
    confirm(world, task)
    operations.discard_draft(other["id"], actor=world.cast.as_("priya"))
    assert "confirmed" in staff.get(address(AccessDraft, "change", task["id"])).content.decode()
    assert "cancelled" in staff.get(address(AccessDraft, "change", other["id"])).content.decode()
    third = world.submitted()
    travel.to(at + dt.timedelta(hours=24))
    # The session has ended meanwhile.
    force_login(staff, world.cast.stella, is_fresh=True)
    page = staff.get(address(AccessDraft, "change", third["id"])).content.decode()
    assert "expired" in page, "it ends without a sweep"
    waiting = staff.get(f"{address(AccessDraft)}?waiting=yes").content.decode()
    assert third["id"] not in waiting


def test_staff_see_a_task_beside_its_access_request(cast: Cast, staff: Client) -> None:
    world = World(cast, client_with(cast, *SCOPES), cast.ticket(service_id=cast.quillo().pk))
    task = asked(world)
    row = AccessRequest.objects.get(pk=task["id"])
    page = staff.get(address(AccessTask, "change", row.pk)).content.decode()
    for words in (row.reference, "Help desk", "Priya", "Contoso", "pending", "hooks.example"):
        assert words in page
    assert address(AccessTask, "change", row.pk) in staff.get(address(AccessRequest, "change", row.pk)).content.decode()
    world.approved(task)
    assert "approved" in staff.get(address(AccessTask, "change", row.pk)).content.decode()


def test_nobody_else_sees_drafts_and_tasks(world: World) -> None:
    task = asked(world)
    confirm(world, world.submitted())
    done = AccessTask.objects.get().pk
    pages = [address(AccessDraft), address(AccessDraft, "change", task["id"])]
    pages += [address(AccessTask), address(AccessTask, "change", done)]
    with collected() as case:
        for who in ("priya", "pat", "ada", "ines", "mia", "frida"):
            browser = Client(raise_request_exception=False)
            force_login(browser, world.cast.people[who])
            for url in pages:
                with case(who, url):
                    found = browser.get(url)
                    assert found.status_code == 404
                    assert "Help desk" not in found.content.decode()


def test_an_address_is_registered_on_the_page_of_its_client_and_managed_under_webhooks(
    world: World, staff: Client, settings: Any
) -> None:
    settings.WEBHOOK_PRIVATE_NETWORK = False
    client = Machine.objects.latest("created_at", "pk")
    act = reverse("admin:requests_app_client_act", args=[client.pk, "callback"])
    assert act in staff.get(address(Machine, "change", client.pk)).content.decode()
    answer = staff.post(act, {"url": "http://127.0.0.1/in", "label": ""})
    assert answer.status_code == 422
    assert not Webhook.objects.exists()
    answer = staff.post(act, {"url": URL, "label": "Desk"})
    assert answer.status_code == 200
    assert "whsec_" in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    row = Webhook.objects.get()
    assert (row.client, row.label) == (client, "Desk")
    shown = staff.get(address(Machine, "change", client.pk)).content.decode()
    assert address(Webhook, "change", row.pk) in shown
    assert "whsec_" not in shown
    assert f"{address(Webhook)}?client={client.pk}" in shown
    listed = staff.get(f"{address(Webhook)}?client={client.pk}")
    assert listed.status_code == 200
    assert address(Webhook, "change", row.pk) in listed.content.decode()
    page = staff.get(address(Webhook, "change", row.pk)).content.decode()
    assert "the ends of the access requests that the client raised" in page
    change = reverse("admin:requests_app_webhook_act", args=[row.pk, "change"])
    assert 'name="events"' not in staff.get(change).content.decode()
    assert staff.post(change, {"url": URL, "label": "Other"}).status_code == 302
    assert Webhook.objects.get().label == "Other"
    events = AuditEntry.objects.filter(event__startswith="webhook.").order_by("seq").values_list("event", flat=True)
    assert list(events) == ["webhook.added", "webhook.changed"]


def test_a_client_that_can_not_ask_has_no_button_for_an_address(cast: Cast, staff: Client) -> None:
    client = cast.own_client("Reader", ["evaluate"]).row
    act = reverse("admin:requests_app_client_act", args=[client.pk, "callback"])
    assert act not in staff.get(address(Machine, "change", client.pk)).content.decode()
    assert staff.post(act, {"url": URL, "label": ""}).status_code in (403, 404, 409)
    assert not Webhook.objects.exists()


def test_a_draft_keeps_the_callback_of_its_submission(world: World) -> None:
    task = asked(world)
    draft = AccessDraft.objects.get(pk=task["id"])
    wanted = Callback(endpoint=URL, events=("approved",))
    assert draft.callback is not None
    assert (draft.callback.url, draft.callback_events) == (wanted.endpoint, list(wanted.events or ()))
    confirm(world, task)
    assert AccessTask.objects.get().called_back == draft.called_back
