"""The forms of the administration: what they choose and derive, and which fields they show."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from audit_app.models import AuditEntry
from requests_app.doors.admin import short_names
from requests_app.models import (
    GroupRole,
    Invitation,
    Membership,
    OutboxMessage,
    Person,
    Plan,
    QueueAssignment,
    Resource,
    Service,
    Tenant,
)
from tests.admin.conftest import act_address, address
from tests.cast import Cast

pytestmark = pytest.mark.django_db


def form_of(answer: Any) -> Any:
    return answer.context["form"]


def add(staff: Client, model: Any, **body: str) -> Any:
    return staff.post(address(model, "add"), body)


def only_exchange(cast: Cast) -> None:
    """Leave one service. Nothing refers to the other one."""
    QueueAssignment.objects.filter(service=cast.sharepoint).delete()
    Resource.objects.filter(service=cast.sharepoint).delete()
    cast.sharepoint.delete()


# --- The only choice ---------------------------------------------------------------------------------------------


def test_the_only_plan_is_chosen_already(cast: Cast, staff: Client) -> None:
    assert form_of(staff.get(address(Tenant, "add")))["plan"].value() is None
    plan = Plan.objects.get(name="E5")
    Tenant.objects.update(plan=plan)
    Plan.objects.exclude(pk=plan.pk).delete()
    page = staff.get(address(Tenant, "add"))
    assert form_of(page)["plan"].value() == plan.pk
    assert f'<option value="{plan.pk}" selected>' in page.content.decode()


def test_several_services_or_tenants_are_a_choice(cast: Cast, staff: Client) -> None:
    form = form_of(staff.get(address(Resource, "add")))
    assert (form["service"].value(), form["tenant"].value()) == (None, None)


def test_a_resource_of_the_only_service_is_a_workspace_if_the_service_is_external(cast: Cast, staff: Client) -> None:
    only_exchange(cast)
    assert form_of(staff.get(address(Resource, "add")))["kind"].value() == Resource.Kind.MAILBOX
    Service.objects.update(connector=Service.EXTERNAL, application="Quillo")
    page = staff.get(address(Resource, "add"))
    assert form_of(page)["kind"].value() == Resource.Kind.WORKSPACE


def test_a_value_that_was_removed_is_not_chosen_again(cast: Cast, staff: Client) -> None:
    plan = Plan.objects.get(name="E5")
    Tenant.objects.update(plan=plan)
    Plan.objects.exclude(pk=plan.pk).delete()
    answer = add(staff, Tenant, name="Tailspin", plan="")
    assert form_of(answer).errors["plan"]
    assert not Tenant.objects.filter(name="Tailspin").exists()


def untouched(answer: Any) -> dict[str, list[str]]:
    """Return what a browser sends of the select boxes and boxes to tick, if nobody has touched the form."""
    page, found = answer.content.decode(), {}
    for name, options in re.findall(r'<select name="(\w+)"[^>]*>(.*?)</select>', page, re.DOTALL):
        values = re.findall(r'<option value="([^"]*)"( selected)?', options)
        chosen = [value for value, is_chosen in values if is_chosen] or [value for value, _ in values[:1]]
        found[name] = chosen
    for box in re.findall(r'<input type="checkbox"[^>]* checked[^>]*>', page):
        name, value = (re.search(f'{what}="([^"]*)"', box) for what in ("name", "value"))
        assert name
        found.setdefault(name[1], []).append(value[1] if value else "on")
    return found


def test_no_form_gives_a_role_that_nobody_has_chosen(cast: Cast, staff: Client) -> None:
    only_exchange(cast)
    forms = {
        address(Person, "add"): {"email": "new@provider.example"},
        act_address(cast.erik, "queue"): {},
        act_address(cast.otto, "give-role"): {"tenant": "contoso"},
        act_address(cast.contoso, "give-role"): {"person": "otto@contoso.example"},
        act_address(cast.contoso, "invite"): {"email": "new@contoso.example"},
        address(GroupRole, "add"): {"group": "On call"},
    }
    kinds = (Invitation, Membership, QueueAssignment, GroupRole, AuditEntry, OutboxMessage)
    before = [kind.objects.count() for kind in kinds]
    for url, typed in forms.items():
        sent = untouched(staff.get(url))
        assert sent["role"] == [""], url
        answer = staff.post(url, {**sent, **typed})
        assert "role" in form_of(answer).errors, url
    assert [kind.objects.count() for kind in kinds] == before


# --- Short names -------------------------------------------------------------------------------------------------


def test_a_short_name_is_made_from_the_name(cast: Cast, staff: Client) -> None:
    plan = str(Plan.objects.get(name="E5").pk)
    body = {"slug": "", "plan": plan, "time_zone": "UTC"}
    for name in ("Birke & Söhne GmbH", "Birke Sohne, GmbH"):
        assert add(staff, Tenant, name=name, **body).status_code == 302
    slugs = Tenant.objects.filter(name__startswith="Birke").order_by("created_at").values_list("slug", flat=True)
    assert list(slugs) == ["birke-sohne-gmbh", "birke-sohne-gmbh-2"]


def test_a_short_name_that_another_tenant_has_as_its_external_id_is_not_made(cast: Cast, staff: Client) -> None:
    Tenant.objects.filter(pk=cast.fabrikam.pk).update(external_id="tailspin")
    plan = str(Plan.objects.get(name="E5").pk)
    add(staff, Tenant, name="Tailspin", slug="", plan=plan, time_zone="UTC")
    assert Tenant.objects.get(name="Tailspin").slug == "tailspin-2"


def test_a_key_is_made_from_the_name_of_a_service(cast: Cast, staff: Client) -> None:
    assert add(staff, Service, name="Files", key="", connector="folder", is_covered="on").status_code == 302
    assert Service.objects.get(name="Files").key == "files"


def test_a_name_without_letters_for_a_short_name_is_refused_beside_its_field(cast: Cast, staff: Client) -> None:
    plan = str(Plan.objects.get(name="E5").pk)
    answer = add(staff, Tenant, name="北京", slug="", plan=plan, time_zone="UTC")
    assert list(form_of(answer).errors) == ["slug"]
    assert not Tenant.objects.filter(name="北京").exists()


def test_a_name_that_too_many_others_have_is_refused_as_that(
    cast: Cast, staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(short_names, "_TRIES", 2)
    body = {"slug": "", "plan": str(Plan.objects.get(name="E5").pk), "time_zone": "UTC"}
    assert add(staff, Tenant, name="Tailspin", **body).status_code == 302
    answer = add(staff, Tenant, name="Tailspin!", **body)
    assert form_of(answer).errors["slug"] == ["Too many others have such a name already. Fill in this field."]
    assert not Tenant.objects.filter(name="Tailspin!").exists()


def test_the_short_name_of_an_existing_row_is_never_made_again(cast: Cast, staff: Client) -> None:
    body = {"name": "Contoso Ltd", "slug": "", "plan": str(cast.contoso.plan_id), "time_zone": "UTC"}
    answer = staff.post(act_address(cast.contoso, "change"), body)
    assert list(form_of(answer).errors) == ["slug"]
    answer = staff.post(act_address(cast.exchange, "change"), {"name": "Mail", "key": "", "connector": "maildir"})
    assert list(form_of(answer).errors) == ["key"]


# --- Time zones --------------------------------------------------------------------------------------------------


def test_the_reader_s_time_zone_is_proposed_for_a_tenant(cast: Cast, staff: Client) -> None:
    cast.stella.time_zone = "Asia/Tokyo"
    cast.stella.save()
    page = staff.get(address(Tenant, "add"))
    assert form_of(page)["time_zone"].value() == "Asia/Tokyo"
    offered = re.findall(r'<option value="([^"]+)">', page.content.decode())
    assert {"UTC", "Europe/Berlin"} <= set(offered)
    assert not {"Factory", "localtime"} & set(offered)


@pytest.mark.parametrize(("typed", "stored"), [("new york", "America/New_York"), ("Factory", "")])
def test_a_time_zone_is_found_by_its_city(cast: Cast, staff: Client, typed: str, stored: str) -> None:
    plan = str(Plan.objects.get(name="E5").pk)
    answer = add(staff, Tenant, name="Tailspin", slug="", plan=plan, time_zone=typed)
    found = Tenant.objects.filter(name="Tailspin").values_list("time_zone", flat=True).first()
    assert found == (stored or None)
    assert stored or list(form_of(answer).errors) == ["time_zone"]


# --- What is shown -----------------------------------------------------------------------------------------------


def test_fields_of_an_external_service_are_folded_until_it_is_chosen(cast: Cast, staff: Client) -> None:
    page = staff.get(address(Service, "add")).content.decode()
    fold = page[page.index("<details", page.index('name="is_covered"')) :]
    assert 'data-for="connector" data-for-value="external">' in fold
    assert all(f'name="{name}"' in fold for name in ("application", "link_template", "guidance"))
    body = {"name": "Quillo", "key": "", "connector": "external", "is_covered": "on"}
    refused = staff.post(address(Service, "add"), body)
    assert list(form_of(refused).errors) == ["application"]
    assert 'data-for-value="external" open>' in refused.content.decode()
    assert add(staff, Service, application="Quillo", **body).status_code == 302
    assert Service.objects.get(key="quillo").application == "Quillo"


def test_an_announcement_is_mentioned_only_if_a_customer_had_lockbox_on(cast: Cast, staff: Client) -> None:
    words = "is announced"
    assert words in staff.get(address(Service, "add")).content.decode()
    Tenant.objects.update(lockbox_on=False, lockbox_first_on_at=None)
    assert words not in staff.get(address(Service, "add")).content.decode()


def test_a_new_tenant_s_page_names_what_it_has_not_in_one_line(cast: Cast, staff: Client) -> None:
    plan = str(Plan.objects.get(name="E5").pk)
    page = staff.get(add(staff, Tenant, name="Tailspin", slug="", plan=plan, time_zone="UTC").headers["Location"])
    assert [str(panel["title"]) for panel in page.context["panels"]] == ["The tenant’s log"]
    assert {"Grants", "Webhooks", "Invitations"} <= {str(title) for title in page.context["empty"]}
    words = page.content.decode()
    assert "None." not in words
    assert words.index("Find resources") < words.index("Short name")


# --- Invitations -------------------------------------------------------------------------------------------------


def invite(staff: Client, email: str, role: str, *services: Service, **more: str) -> Any:
    body = {"email": email, "role": role, "services": [str(service.pk) for service in services], **more}
    return staff.post(address(Invitation, "add"), body)


def test_the_page_of_a_tenant_shows_the_id_that_an_application_needs(cast: Cast, staff: Client) -> None:
    page = staff.get(address(Tenant, "change", cast.contoso.pk)).content.decode()
    assert f'<dt>Id</dt><dd><bdi class="visible-line">{cast.contoso.pk}</bdi>' in page


def test_after_an_invitation_the_form_is_shown_again_if_wanted(cast: Cast, staff: Client) -> None:
    answer = invite(staff, "a@provider.example", "engineer", cast.exchange, again="yes")
    assert answer.headers["Location"] == f"{address(Invitation, 'add')}?role=engineer"
    answer = invite(staff, "b@provider.example", "engineer", cast.exchange)
    assert answer.headers["Location"] == address(Invitation, "change", Invitation.objects.latest("created_at").pk)
    assert Invitation.objects.count() == 2


def test_only_a_form_with_this_button_can_be_shown_again(cast: Cast, staff: Client) -> None:
    answer = add(staff, Plan, name="Business", again="yes")
    assert answer.status_code == 400
    assert not Plan.objects.filter(name="Business").exists()


def test_the_only_queue_is_chosen_for_an_engineer_and_left_out_for_staff(cast: Cast, staff: Client) -> None:
    only_exchange(cast)
    assert form_of(staff.get(address(Invitation, "add")))["services"].value() == [cast.exchange.pk]
    answer = invite(staff, "a@provider.example", "staff", cast.exchange)
    assert answer.status_code == 302, form_of(answer).errors
    row = Invitation.objects.get()
    assert (row.role, row.services.count()) == ("staff", 0)


def test_a_queue_that_somebody_chose_for_staff_is_refused(cast: Cast, staff: Client) -> None:
    answer = invite(staff, "a@provider.example", "staff", cast.exchange)
    assert list(form_of(answer).errors) == ["services"]
    assert not Invitation.objects.exists()


def test_an_invitation_is_sent_again_with_one_press(cast: Cast, staff: Client) -> None:
    invite(staff, "a@provider.example", "engineer", cast.exchange)
    row = Invitation.objects.get()
    page = staff.get(address(Invitation, "change", row.pk)).content.decode()
    assert f'<form class="action" method="post" action="{act_address(row, "send-again")}">' in page
    # It changes nothing on GET: somebody who opens the address sees the button.
    staff.get(act_address(row, "send-again"))
    row.refresh_from_db()
    assert row.sends == 1
    staff.post(act_address(row, "send-again"), {})
    row.refresh_from_db()
    assert row.sends == 2


def test_the_page_of_an_invitation_names_its_proposal_in_words(cast: Cast, staff: Client) -> None:
    invite(staff, "a@provider.example", "engineer", cast.exchange)
    page = staff.get(address(Invitation, "change", Invitation.objects.get().pk)).content.decode()
    assert "invite_to_queues" not in page
    assert re.search(r'requests_app/proposal/[^"]+"><bdi[^>]*>[A-Z][^<]*a@provider.example', page)


def test_a_form_begins_in_the_first_empty_field(cast: Cast, staff: Client) -> None:
    focus = r'<[^>]*name="{}"[^>]* autofocus'
    for model, field in ((Plan, "name"), (Tenant, "name"), (Invitation, "email")):
        page = staff.get(address(model, "add")).content.decode()
        assert re.search(focus.format(field), page), model
        assert page.count(" autofocus") == 1
    page = add(staff, Plan, name="").content.decode()
    assert not re.search(focus.format("name"), page), "the list of mistakes has the focus"


def test_the_first_person_is_invited_until_an_administrator_is_there(cast: Cast, staff: Client) -> None:
    page = address(Tenant, "change", cast.contoso.pk)
    assert "Invite the first person" not in staff.get(page).content.decode()
    Membership.objects.filter(tenant=cast.contoso, role="administrator").delete()
    assert "Invite the first person" in staff.get(page).content.decode()
