"""Test cases for the acts on a tenant’s people and their roles. People do these acts, and directories do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.test import Client
from django.urls import reverse

from requests_app import operations
from requests_app.doors.api.scim.shapes import group_id
from requests_app.identity.factors import drops_all
from requests_app.models import Tenant
from tests.acts.case import Call, Case
from tests.acts.shared import bare, by_button
from tests.caller import Caller
from tests.cast import Cast
from tests.passkeys import enrolled


def _person_act(act: str, role: str = "") -> Callable[[Cast, Client, Any], Any]:
    """Return a function that presses a button on the page of one of the tenant's people."""
    return lambda cast, client, row: client.post(
        reverse("web:person", args=[cast.contoso.pk, row.pk]), {"act": act, "role": role}
    )


def _with_passkey(cast: Cast, name: str) -> Any:
    enrolled(cast, name)
    return cast.people[name]


def _switched_off(cast: Cast) -> Any:
    return operations.switch_off_person(cast.mia.pk, actor=cast.as_("ines"))


def _unplaced(cast: Cast) -> Any:
    """Return a person of the customer's side who belongs to no tenant yet."""
    bare(cast)
    return cast.stranger("first@contoso.example")


SCIM_USER = {
    "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
    "userName": "new@contoso.example",
    "displayName": "New",
    "externalId": "key",
}


SCIM_CHANGE = {
    "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
    "Operations": [{"op": "replace", "value": {"displayName": "Other", "active": "False"}}],
}


def _handed_over(cast: Cast) -> dict[str, Any]:
    """Return the input of a change that takes the role of approver from Alan and gives it to Mia."""
    return {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [
            {"op": "add", "path": "members", "value": [{"value": str(cast.mia.pk)}]},
            {"op": "remove", "path": f'members[value eq "{cast.alan.pk}"]'},
        ],
    }


def _call_member_act(act: str, slug: str = "contoso", **body: str) -> Call:
    def call(cast: Cast, caller: Caller, row: Any) -> Any:
        return caller.post(f"tenants/{Tenant.objects.get(slug=slug).pk}/members/{row.pk}/{act}", body)

    return call


CASES: dict[str, Case] = {
    "reset_second_factors": Case(
        "ines",
        lambda cast: _with_passkey(cast, "ada"),
        lambda cast, row, actor: operations.reset_second_factors(row.pk, actor=actor, keep=drops_all),
        page=_person_act("reset"),
        api=_call_member_act("reset-second-factors"),
    ),
    "reset_second_factors by staff": Case(
        "stella",
        lambda cast: _with_passkey(cast, "pat"),
        lambda cast, row, actor: operations.reset_second_factors(row.pk, actor=actor, keep=drops_all),
        admin=by_button("person", "reset"),
    ),
    "provision_member": Case(
        "ines",
        lambda cast: None,
        lambda cast, row, actor: operations.provision_member(
            cast.contoso.pk,
            profile=operations.Profile(
                user_name="new@contoso.example", email="new@contoso.example", name="New", external_id="key"
            ),
            actor=actor,
        ),
        api=lambda cast, caller, row: caller.post("/scim/v2/Users", SCIM_USER),
    ),
    "change_provisioned": Case(
        "ines",
        lambda cast: cast.mia,
        lambda cast, row, actor: operations.change_provisioned(
            cast.contoso.pk, row.pk, profile=operations.Profile(name="Other", is_active=False), actor=actor
        ),
        api=lambda cast, caller, row: caller.patch(f"/scim/v2/Users/{row.pk}", SCIM_CHANGE),
    ),
    "remove_provisioned": Case(
        "ines",
        lambda cast: cast.mia,
        lambda cast, row, actor: operations.remove_provisioned(cast.contoso.pk, row.pk, actor=actor),
        api=lambda cast, caller, row: caller.delete(f"/scim/v2/Users/{row.pk}"),
    ),
    "provision_role": Case(
        "ines",
        lambda cast: None,
        lambda cast, row, actor: operations.provision_role(
            cast.contoso.pk,
            role="approver",
            to=frozenset({cast.mia.pk}),
            away_from=frozenset({cast.alan.pk}),
            actor=actor,
        ),
        api=lambda cast, caller, row: caller.patch(
            f"/scim/v2/Groups/{group_id(cast.contoso.pk, 'approver')}", _handed_over(cast)
        ),
    ),
    "give_role": Case(
        "ines",
        lambda cast: cast.mia,
        lambda cast, row, actor: operations.give_role(cast.contoso.pk, row.pk, role="approver", actor=actor),
        page=_person_act("give", "approver"),
        api=_call_member_act("give-role", role="approver"),
    ),
    "give_role by staff": Case(
        "stella",
        _unplaced,
        lambda cast, row, actor: operations.give_role(bare(cast).pk, row.pk, role="approver", actor=actor),
        admin=lambda cast, client, row: by_button("person", "give-role", tenant=bare(cast).slug, role="approver")(
            cast, client, row
        ),
        api=_call_member_act("give-role", slug="adatum", role="approver"),
    ),
    "take_role": Case(
        "ines",
        lambda cast: cast.ada,
        lambda cast, row, actor: operations.take_role(cast.contoso.pk, row.pk, role="approver", actor=actor),
        page=_person_act("take", "approver"),
        api=_call_member_act("take-role", role="approver"),
    ),
    "switch_off_person": Case(
        "ines",
        lambda cast: cast.mia,
        lambda cast, row, actor: operations.switch_off_person(row.pk, actor=actor),
        page=_person_act("switch_off"),
        api=_call_member_act("switch-off"),
    ),
    "switch_off_person by staff": Case(
        "stella",
        lambda cast: cast.mia,
        lambda cast, row, actor: operations.switch_off_person(row.pk, actor=actor),
        admin=by_button("person", "switch-off"),
        api=_call_member_act("switch-off"),
    ),
    "switch_on_person": Case(
        "ines",
        _switched_off,
        lambda cast, row, actor: operations.switch_on_person(row.pk, actor=actor),
        page=_person_act("switch_on"),
        api=_call_member_act("switch-on"),
    ),
    "switch_on_person by staff": Case(
        "stella",
        _switched_off,
        lambda cast, row, actor: operations.switch_on_person(row.pk, actor=actor),
        admin=by_button("person", "switch-on"),
        api=_call_member_act("switch-on"),
    ),
}
