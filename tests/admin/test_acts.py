"""The acts of staff in the administration: each calls its operation, writes its entry, and shows refusals."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.messages import get_messages
from django.test import Client

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock
from requests_app.doors.admin.acts import AGAIN
from requests_app.models import (
    AccessRequest,
    Grant,
    Membership,
    OutboxMessage,
    Person,
    Plan,
    Proposal,
    QueueAssignment,
    Resource,
    Service,
    Tenant,
    Ticket,
    TicketComment,
)
from requests_app.operations._change import PROVIDER_LOG
from tests.admin.conftest import act_address, add_mail, address
from tests.cast import Cast

pytestmark = pytest.mark.django_db
NEW_PASSWORD = "a quite long first password 7"


def newest() -> tuple[Any, str, str, str]:
    """Return the tenant, event, interface and actor of the newest log entry."""
    entry = AuditEntry.objects.order_by("-id").first()
    assert entry is not None
    return entry.tenant_id, entry.event, entry.door, entry.actor_name


def by_stella(tenant_id: Any, event: str) -> tuple[Any, str, str, str]:
    return tenant_id, event, "admin", "Stella Test"


def messages(answer: Any) -> list[str]:
    return [str(message) for message in get_messages(answer.wsgi_request)]


def choose(client: Client, model: Any, act: str, *rows: Any) -> Any:
    """Select these rows in a list of the administration, and press a button of the list."""
    body = {"action": act, "_selected_action": [str(row.pk) for row in rows], "index": "0"}
    return client.post(address(model), body)


def add(client: Client, model: Any, **body: Any) -> Any:
    answer = client.post(address(model, "add"), body)
    assert answer.status_code == 302, answer.context["form"].errors
    return answer


# --- Each act, and its entry -----------------------------------------------------------------------------------


def test_a_plan_is_added_and_changed(cast: Cast, staff: Client) -> None:
    add(staff, Plan, name="Business", includes_lockbox="on")
    plan = Plan.objects.get(name="Business")
    assert plan.includes_lockbox
    assert newest() == by_stella(PROVIDER_LOG, "plan.changed")
    answer = staff.post(act_address(plan, "change"), {"name": "Business"})
    plan.refresh_from_db()
    assert not plan.includes_lockbox
    assert answer.headers["Location"] == address(Plan, "change", plan.pk)


def test_a_tenant_is_added_and_changed(cast: Cast, staff: Client) -> None:
    plan = Plan.objects.get(name="E5")
    add(staff, Tenant, name="Tailspin", slug="tailspin", plan=str(plan.pk), time_zone="Europe/Berlin")
    tenant = Tenant.objects.get(slug="tailspin")
    assert (tenant.lockbox_on, tenant.window_cap) == (False, 14400)
    assert newest() == by_stella(tenant.pk, "tenant.created")
    body = {"name": "Tailspin Toys", "slug": "tailspin", "plan": str(plan.pk), "time_zone": "UTC"}
    staff.post(act_address(tenant, "change"), body)
    tenant.refresh_from_db()
    assert tenant.name == "Tailspin Toys"
    assert newest() == by_stella(tenant.pk, "tenant.changed")


def test_a_service_and_a_resource_are_added_and_changed(cast: Cast, staff: Client) -> None:
    add(staff, Service, key="teams", name="Teams", connector="folder", is_covered="on")
    service = Service.objects.get(key="teams")
    assert newest() == by_stella(PROVIDER_LOG, "service.changed")
    Service.objects.filter(pk=service.pk).update(is_covered=False)
    staff.post(
        act_address(service, "change"), {"key": "teams", "name": "Teams", "connector": "folder", "is_covered": "on"}
    )
    service.refresh_from_db()
    assert service.is_covered

    body = {"kind": "library", "name": "Plans", "locator": "contoso/docs/plans"}
    add(staff, Resource, tenant="contoso", service=str(service.pk), **body)
    resource = Resource.objects.get(name="Plans")
    assert newest() == by_stella(cast.contoso.pk, "resource.added")
    wanted = {"name": "Old plans", "locator": "contoso/docs/plans", "external_id": "L-1"}
    cast.agreed(lambda: staff.post(act_address(resource, "change"), {**wanted, "is_active": "on"}))
    staff.post(act_address(resource, "change"), wanted)
    resource.refresh_from_db()
    assert (resource.name, resource.is_active, resource.locator) == ("Old plans", False, "contoso/docs/plans")
    assert resource.external_id == "L-1"


def test_a_place_in_a_queue_is_given_and_taken(cast: Cast, staff: Client) -> None:
    grant = cast.opened(by="erik")
    body = {"service": str(cast.sharepoint.pk), "role": "engineer"}
    cast.agreed(lambda: staff.post(act_address(cast.erik, "queue"), body))
    assert QueueAssignment.objects.filter(person=cast.erik, service=cast.sharepoint).exists()
    row = QueueAssignment.objects.get(person=cast.erik, service=cast.exchange)
    answer = staff.post(act_address(row, "take"), {})
    assert answer.headers["Location"] == address(QueueAssignment)
    assert not QueueAssignment.objects.filter(pk=row.pk).exists()
    grant.refresh_from_db()
    assert grant.close_reason == "revoked"


def test_a_person_is_put_into_a_queue_from_the_list_and_from_the_page_of_the_service(cast: Cast, staff: Client) -> None:
    page = staff.get(address(Service, "change", cast.sharepoint.pk)).content.decode()
    form = f"{address(QueueAssignment, 'add')}?service={cast.sharepoint.pk}"
    assert f'href="{form}">Put a person into its queue' in page
    assert address(QueueAssignment, "add") in staff.get(address(QueueAssignment)).content.decode()
    assert f'value="{cast.sharepoint.pk}" selected' in staff.get(form).content.decode()
    body = {"service": str(cast.sharepoint.pk), "person": cast.erik.email, "role": "engineer"}
    before = QueueAssignment.objects.count()
    for wrong in ("nobody@provider.example", cast.people["ada"].email):
        assert staff.post(form, {**body, "person": wrong}).status_code != 302
    assert QueueAssignment.objects.count() == before
    assert not Proposal.objects.exists()
    # A customer has Lockbox on, so the role is announced first.
    answer = staff.post(form, body)
    assert answer.headers["Location"] == address(Proposal, "change", Proposal.objects.get().pk)
    assert QueueAssignment.objects.count() == before
    Proposal.objects.all().delete()
    cast.peaceful()
    answer = staff.post(form, {**body, AGAIN: "1"})
    assert answer.headers["Location"].startswith(f"{form}&role=engineer")
    assert QueueAssignment.objects.filter(person=cast.erik, service=cast.sharepoint, role="engineer").exists()


def test_the_first_approver_of_a_new_tenant_is_made_by_staff_and_the_second_is_not(cast: Cast, staff: Client) -> None:
    plan = Plan.objects.get(name="E5")
    add(staff, Tenant, name="Tailspin", slug="tailspin", plan=str(plan.pk), time_zone="UTC")
    tenant = Tenant.objects.get(slug="tailspin")
    for name in ("one", "two"):
        cast.stranger(f"{name}@tailspin.example")
    answer = staff.post(act_address(tenant, "give-role"), {"person": "one@tailspin.example", "role": "approver"})
    assert answer.status_code == 302
    assert newest() == by_stella(tenant.pk, "role.given")
    answer = staff.post(act_address(tenant, "give-role"), {"person": "two@tailspin.example", "role": "approver"})
    assert answer.status_code == 403
    assert Membership.objects.filter(tenant=tenant, role="approver").count() == 1


@pytest.mark.parametrize("role", ["approver", "administrator", "auditor", "member"])
def test_staff_give_no_role_in_a_tenant_that_manages_itself(cast: Cast, staff: Client, role: str) -> None:
    """Staff can give a role neither on the tenant's page nor on the person's page.

    Otherwise the provider could make somebody an approver.
    """
    newcomer = cast.stranger("eve@contoso.example")
    refusal = "This tenant already has" if role in ("approver", "administrator") else "This tenant has"
    before = Membership.objects.count()
    tries = [
        (act_address(cast.contoso, "invite"), {"email": "new@contoso.example", "role": role}),
        (act_address(cast.contoso, "give-role"), {"person": newcomer.email, "role": role}),
        (act_address(newcomer, "give-role"), {"tenant": "contoso", "role": role}),
    ]
    for url, body in tries:
        answer = staff.post(url, body)
        assert answer.status_code == 403
        assert refusal in answer.content.decode()
        assert newest() == by_stella(cast.contoso.pk, "act.refused")
    assert Membership.objects.count() == before


def test_staff_make_no_approver_of_themselves(cast: Cast, staff: Client) -> None:
    body = {"person": "stella@provider.example", "role": "member"}
    assert staff.post(act_address(cast.northwind, "give-role"), body).status_code in (403, 404)
    assert not Membership.objects.filter(person=cast.stella).exists()


def test_a_person_is_switched_off_and_on(cast: Cast, staff: Client) -> None:
    grant = cast.opened()
    assert staff.post(act_address(cast.priya, "switch-off"), {}).status_code == 302
    grant.refresh_from_db()
    cast.priya.refresh_from_db()
    assert (cast.priya.is_active, grant.close_reason) == (False, "revoked")
    assert AuditEntry.objects.filter(event="person.switched_off", door="admin").count() == 1
    cast.agreed(lambda: staff.post(act_address(cast.priya, "switch-on"), {}))
    cast.priya.refresh_from_db()
    assert cast.priya.is_active


def test_a_ticket_is_recorded_and_worked(cast: Cast, staff: Client) -> None:
    body = {
        "tenant": "contoso",
        "service": str(cast.exchange.pk),
        "title": "She called",
        "body": "Nothing arrives.",
        "priority": "high",
        "on_behalf_of": "mia@contoso.example",
    }
    add(staff, Ticket, **body)
    ticket = Ticket.objects.get(title="She called")
    assert (ticket.origin, ticket.on_behalf_of, ticket.opened_by) == ("recorded", cast.mia, cast.stella)
    assert newest() == by_stella(cast.contoso.pk, "ticket.opened")
    steps = [
        ("assign", {"assignee": cast.priya.email}, "ticket.assigned", "ASSIGNED"),
        ("comment", {"body": "Called back.", "is_internal": "on"}, "ticket.note_added", "ASSIGNED"),
        ("ask-customer", {"note": "Since when?"}, "ticket.answer_asked", "WAITING_FOR_CUSTOMER"),
        ("resolve", {"note": "It works."}, "ticket.resolved", "RESOLVED"),
        ("reopen", {"note": "It does not."}, "ticket.reopened", "ASSIGNED"),
        ("close", {"note": ""}, "ticket.closed", "CLOSED"),
    ]
    for act, body, event, state in steps:
        assert staff.post(act_address(ticket, act), body).status_code == 302, act
        ticket.refresh_from_db()
        assert ticket.state == state
        assert newest() == by_stella(cast.contoso.pk, event)
    assert ticket.assignee == cast.priya
    assert TicketComment.objects.filter(ticket=ticket, is_internal=True).count() == 1


@pytest.mark.parametrize("of", [AccessRequest, Grant])
def test_a_window_is_closed_now(cast: Cast, staff: Client, of: Any) -> None:
    grant = cast.opened()
    row = grant if of is Grant else grant.access_request
    assert staff.post(act_address(row, "revoke"), {"note": "Asked for by phone."}).status_code == 302
    grant.refresh_from_db()
    assert (grant.close_reason, grant.closed_by) == ("revoked", cast.stella)
    assert newest() == by_stella(cast.contoso.pk, "grant.revoked")


def test_a_mail_is_sent_again(cast: Cast, staff: Client) -> None:
    mail = add_mail(cast, state="parked")
    assert staff.post(act_address(mail, "resend"), {}).status_code == 302
    mail.refresh_from_db()
    assert mail.state == "waiting"
    assert newest() == by_stella(cast.contoso.pk, "mail.resent")


# --- Several rows together -------------------------------------------------------------------------------------


def test_each_chosen_window_is_closed_and_each_refusal_is_shown_and_logged(cast: Cast, staff: Client) -> None:
    open_ones = [cast.opened(), cast.opened("fabrikam")]
    closed = cast.opened()
    operations.release(closed.access_request_id, actor=cast.as_("priya"))
    answer = choose(staff, Grant, "revoke", *open_ones, closed)
    words = messages(answer)
    assert "Close these windows now: 2 done." in words
    assert [line for line in words if closed.access_request.reference in line and "closed the window early" in line]
    assert not Grant.objects.filter(closed_at=None).exists()
    closed.refresh_from_db()
    assert closed.close_reason == "released"
    assert newest()[1] in ("act.refused", "grant.revoked")
    refused = AuditEntry.objects.get(event="act.refused")
    assert (refused.correlation_id, refused.door) == (closed.access_request_id, "admin")


@pytest.mark.parametrize(
    ("model", "act", "event"),
    [
        (Ticket, "close", "ticket.closed"),
        (AccessRequest, "revoke", "grant.revoked"),
        (OutboxMessage, "resend", "mail.resent"),
        (Person, "switch-off", "person.switched_off"),
        (QueueAssignment, "take", "role.taken"),
    ],
)
def test_a_lists_button_does_what_the_rows_own_page_does(
    cast: Cast, staff: Client, model: Any, act: str, event: str
) -> None:
    rows = {
        Ticket: lambda: cast.ticket(),
        AccessRequest: lambda: cast.opened().access_request,
        OutboxMessage: lambda: add_mail(cast, state="parked"),
        Person: lambda: cast.samir,
        QueueAssignment: lambda: QueueAssignment.objects.get(person=cast.samir),
    }
    answer = choose(staff, model, act, rows[model]())
    assert "1 done" in messages(answer)[0]
    entry = AuditEntry.objects.get(event=event)
    assert (entry.door, entry.actor_name) == ("admin", "Stella Test")


def test_too_many_at_once_are_refused_and_none_is_done(cast: Cast, staff: Client) -> None:
    for number in range(101):
        cast.ticket(title=f"Ticket {number}")
    body = {"action": "close", "_selected_action": [str(Ticket.objects.first().pk)], "select_across": "1", "index": "0"}
    answer = staff.post(address(Ticket), body)
    assert messages(answer) == ["Choose at most 100 rows at the same time. Nothing was done."]
    assert Ticket.objects.filter(state="NEW").count() == 101


# --- Refusals --------------------------------------------------------------------------------------------------


def test_a_window_that_is_closed_already_says_so(cast: Cast, staff: Client) -> None:
    grant = cast.opened()
    operations.release(grant.access_request_id, actor=cast.as_("priya"))
    answer = staff.post(act_address(grant, "revoke"), {})
    assert answer.status_code == 409
    assert "Priya Test closed the window early." in answer.content.decode()
    assert newest() == by_stella(cast.contoso.pk, "act.refused")
    grant.refresh_from_db()
    assert grant.close_reason == "released"


def test_the_last_approver_is_not_switched_off(cast: Cast, staff: Client) -> None:
    answer = staff.post(act_address(cast.frida, "switch-off"), {})
    assert answer.status_code == 409
    assert "last approver" in answer.content.decode()
    assert newest() == by_stella(cast.fabrikam.pk, "act.refused")
    cast.frida.refresh_from_db()
    assert cast.frida.is_active


def test_staff_switch_no_approver_on_again(cast: Cast, staff: Client) -> None:
    operations.switch_off_person(cast.alan.pk, actor=cast.as_("ines"))
    answer = staff.post(act_address(cast.alan, "switch-on"), {})
    assert answer.status_code == 403
    assert newest() == by_stella(cast.contoso.pk, "act.refused")
    cast.alan.refresh_from_db()
    assert not cast.alan.is_active


def test_a_refusal_is_shown_beside_its_field(cast: Cast, staff: Client) -> None:
    body = {"kind": "mailbox", "name": "Again", "locator": cast.resource().locator}
    answer = staff.post(address(Resource, "add"), {"tenant": "contoso", "service": str(cast.exchange.pk), **body})
    assert answer.status_code == 422
    assert Resource.objects.filter(name="Again").count() == 0
    answer = staff.post(
        address(Tenant, "add"), {"name": "X", "slug": "contoso", "plan": str(cast.contoso.plan_id), "time_zone": "UTC"}
    )
    assert answer.status_code == 422
    assert "slug" in answer.context["form"].errors


def test_a_form_that_is_not_filled_in_does_nothing(cast: Cast, staff: Client) -> None:
    before = AuditEntry.objects.count()
    answer = staff.post(address(Ticket, "add"), {"tenant": "nobody", "on_behalf_of": "nobody@x.example"})
    assert answer.status_code == 200
    assert set(answer.context["form"].errors) == {"tenant", "service", "title", "body", "priority", "on_behalf_of"}
    assert AuditEntry.objects.count() == before


def test_somebody_who_lost_their_rights_meanwhile_is_refused_by_the_operation(cast: Cast, staff: Client) -> None:
    """The page has already checked the person's rights. The operation checks them again."""
    grant = cast.opened()
    actor = cast.as_("stella", door="admin")
    Person.objects.filter(pk=cast.stella.pk).update(is_staff=False)
    with pytest.raises(Exception, match="does not exist, or you do not have access"):
        operations.revoke(grant.access_request_id, actor=actor)
    grant.refresh_from_db()
    assert grant.closed_at is None


# --- What is offered -------------------------------------------------------------------------------------------


def test_a_row_offers_what_the_table_of_moves_lets_staff_do(cast: Cast, staff: Client) -> None:
    grant = cast.opened()
    closing = act_address(grant, "revoke")
    page = address(Grant, "change", grant.pk)
    assert closing in staff.get(page).content.decode()
    operations.release(grant.access_request_id, actor=cast.as_("priya"))
    assert closing not in staff.get(page).content.decode()


def test_a_window_that_ran_out_is_not_shown_as_open_though_no_sweep_has_run(
    cast: Cast, staff: Client, travel: Any
) -> None:
    grant = cast.opened()
    travel.to(grant.closes_at)
    page = staff.get(address(Grant, "change", grant.pk)).content.decode()
    assert act_address(grant, "revoke") not in page
    assert "Open now" not in page
    row = staff.get(address(AccessRequest, "change", grant.access_request_id)).content.decode()
    assert "Open now" not in row


def test_every_act_has_a_page_that_asks_first(world: Cast, staff: Client) -> None:
    seen = 0
    for model, model_admin in admin.site._registry.items():
        row = model._default_manager.first()
        for act in model_admin.acts:  # type: ignore[attr-defined]  # every class of the portal has `acts`
            answer = staff.get(address(model, "act", row.pk, act.name))
            assert answer.status_code == 200
            assert str(act.label) in answer.content.decode()
            seen += 1
        if model_admin.adding:  # type: ignore[attr-defined]
            assert staff.get(address(model, "add")).status_code == 200
    assert seen == 57


def test_with_one_tenant_a_resource_needs_no_typed_short_name(cast: Cast, staff: Client) -> None:
    def given() -> Any:
        return staff.get(address(Resource, "add")).context["form"]["tenant"].initial

    assert given() is None
    plan = cast.contoso.plan
    for model in (AccessRequest, Resource, QueueAssignment, Membership):
        model.objects.all().delete()
    Tenant.objects.exclude(pk=cast.contoso.pk).delete()
    assert given() == "contoso"
    assert staff.get(f"{address(Resource, 'add')}?tenant=other").context["form"]["tenant"].initial == "other"
    Tenant.objects.create(name="Other", slug="other", plan=plan, created_at=clock.now())
    assert given() is None


@pytest.mark.parametrize(
    ("model", "needed", "left_out"),
    [
        (Resource, {"tenant", "name", "locator", "external_id"}, set()),
        (Service, {"key", "name", "application"}, {"link_template", "guidance"}),
        (Person, {"email", "services"}, {"time_zone"}),
    ],
)
def test_only_fields_that_are_never_needed_are_called_optional(
    staff: Client, model: Any, needed: set[str], left_out: set[str]
) -> None:
    page = staff.get(address(model, "add"))
    content = page.content.decode()
    for field in page.context["form"]:
        label = re.search(rf'class="field-label"[^>]*>{re.escape(str(field.label))}( <span)?', content)
        assert label is not None
        if field.name in needed | left_out:
            assert bool(label[1]) is (field.name in left_out), field.name
