"""No form of the administration can add, change or delete evidence, not even for a superuser."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.forms.models import model_to_dict
from django.http import HttpRequest
from django.test import Client

from audit_app.models import Cosignature, Witness
from requests_app.models import AccessRequest, Person, Tenant
from tests.admin.conftest import EVIDENCE, MODELS, address
from tests.cast import Cast

pytestmark = pytest.mark.django_db


def snapshot() -> dict[str, list[dict[str, Any]]]:
    """Return all rows of every table that the administration shows, without the columns that are pickled."""
    pickles = ("args", "kwargs", "result")
    found = {}
    for model in MODELS:
        columns = [field.attname for field in model._meta.concrete_fields if field.name not in pickles]
        found[model._meta.label] = list(model._default_manager.order_by("pk").values(*columns))
    return found


def test_every_evidence_table_is_in_the_portal() -> None:
    assert len(EVIDENCE) == 30


def test_a_change_form_takes_nothing_from_anybody(world: Cast, staff: Client) -> None:
    before = snapshot()
    for model in MODELS:
        row = model._default_manager.order_by("pk")[0]
        body = {name: str(value) for name, value in model_to_dict(row).items()} | {"state": "OPEN", "lockbox_on": "on"}
        for method in (staff.post, staff.put, staff.patch, staff.delete):
            assert method(address(model, "change", row.pk), body).status_code == 403, model
    assert snapshot() == before


def test_nothing_is_deleted(world: Cast, staff: Client) -> None:
    before = snapshot()
    for model in MODELS:
        row = model._default_manager.order_by("pk").first()
        url = address(model, "delete", row.pk)
        assert staff.get(url).status_code == 403, model
        assert staff.post(url, {"post": "yes"}).status_code == 403, model
        chosen = {"action": "delete_selected", "_selected_action": [str(row.pk)], "index": "0", "post": "yes"}
        staff.post(address(model), chosen)
    assert snapshot() == before


def test_evidence_is_not_added(world: Cast, staff: Client) -> None:
    before = snapshot()
    for model in EVIDENCE:
        # Staff can record a ticket, with its operation: see test_acts.
        if model._meta.model_name != "ticket":
            assert staff.get(address(model, "add")).status_code == 403, model
            assert staff.post(address(model, "add"), {"state": "OPEN"}).status_code == 403, model
    assert snapshot() == before


def test_the_permissions_say_so_too(rf: Any, cast: Cast) -> None:
    request: HttpRequest = rf.get("/admin/")
    request.user = Person.objects.get(pk=cast.stella.pk)
    for model_admin in admin.site._registry.values():
        assert model_admin.has_view_permission(request)
        assert not model_admin.has_change_permission(request)
        assert not model_admin.has_delete_permission(request)
        assert "delete_selected" not in model_admin.get_actions(request)


def test_only_the_portals_own_classes_are_registered() -> None:
    """Forms of other libraries would change rows without an operation.

    With django-q2's form, staff could schedule any function of Python.
    """
    import allauth.account.admin
    import django_q.admin  # noqa: F401 - importing this module would register its classes
    from allauth.account.models import EmailAddress
    from django.contrib.auth.models import Group

    assert EmailAddress not in admin.site._registry
    assert Group not in admin.site._registry
    modules = {type(model_admin).__module__ for model_admin in admin.site._registry.values()}
    assert all(module.startswith("requests_app.doors.admin.") for module in modules), modules
    before = dict(admin.site._registry)
    admin.site.register(EmailAddress, allauth.account.admin.EmailAddressAdmin)
    assert admin.site._registry == before


def test_a_state_cannot_be_set_by_an_act_that_does_not_ask_for_it(world: Cast, staff: Client) -> None:
    row = AccessRequest.objects.filter(state="OPEN").first()
    before = snapshot()
    answer = staff.post(address(AccessRequest, "act", row.pk, "revoke"), {"note": "", "state": "DENIED"})
    assert answer.status_code == 400
    assert "state" in answer.content.decode()
    assert snapshot() == before


@pytest.mark.parametrize("name", ["lockbox_on", "window_cap", "id"])
def test_the_customers_own_choices_cannot_be_set(world: Cast, staff: Client, name: str) -> None:
    tenant = Tenant.objects.get(slug="northwind")
    before = snapshot()
    body = {"name": "Northwind", "slug": "northwind", "plan": str(tenant.plan_id), "time_zone": "UTC", name: "1"}
    answer = staff.post(address(Tenant, "act", tenant.pk, "change"), body)
    assert answer.status_code == 400
    assert snapshot() == before


def test_a_witness_is_shown_with_what_is_wrong_and_what_it_signed(world: Cast, staff: Client) -> None:
    witness = Witness.objects.order_by("added_at").first()
    assert witness is not None
    Witness.objects.filter(pk=witness.pk).update(problem="longer 1200", failures=3)
    shown = staff.get(address(Witness, "change", witness.pk)).content.decode()
    assert "The witness has cosigned 1200 entries of this log" in shown
    [line] = Cosignature.objects.filter(vkey=witness.vkey)
    listed = staff.get(address(Cosignature), {"tenant_id": str(witness.tenant_id), "vkey": witness.vkey})
    assert [row.pk for row in listed.context["cl"].result_list] == [line.pk]
    assert line.line.strip() in staff.get(address(Cosignature, "change", line.pk)).content.decode()
    failing = staff.get(address(Witness), {"failing": "yes"})
    assert [row.pk for row in failing.context["cl"].result_list] == [witness.pk]


def test_a_filter_that_names_no_witness_is_refused(world: Cast, staff: Client) -> None:
    wrong = staff.get(address(Cosignature), {"tenant_id": str(world.contoso.pk), "vkey": "x' OR 1=1"})
    assert wrong.status_code == 302
