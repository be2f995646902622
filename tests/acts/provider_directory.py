"""Test cases for the acts of the provider's directory, and for the groups that give roles."""

from __future__ import annotations

from typing import Any

from requests_app import operations
from requests_app.domain.scopes import Scope
from requests_app.models import GroupRole
from tests.acts.case import Case
from tests.acts.members import SCIM_CHANGE, SCIM_USER
from tests.acts.shared import by_adding, by_button
from tests.cast import Cast

_GROUP = "Lockbox engineers"
_USER = {**SCIM_USER, "userName": "new@provider.example"}


def _mapped(cast: Cast) -> GroupRole:
    cast.agreed(lambda: operations.map_group(cast.exchange.pk, group=_GROUP, role="engineer", actor=cast.as_("stella")))
    return GroupRole.objects.get()


def _joining(cast: Cast) -> dict[str, Any]:
    return {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "add", "path": "members", "value": [{"value": str(cast.samir.pk)}]}],
    }


CASES: dict[str, Case] = {
    "provision_provider_person": Case(
        None,
        lambda cast: None,
        lambda cast, row, actor: operations.provision_provider_person(
            profile=operations.Profile(
                user_name="new@provider.example", email="new@provider.example", name="New", external_id="key"
            ),
            actor=actor,
        ),
        api=lambda cast, caller, row: caller.post("/scim/v2/Users", _USER),
        scope=Scope.MEMBERS_PROVISION,
    ),
    "change_provider_person": Case(
        None,
        lambda cast: cast.erik,
        lambda cast, row, actor: operations.change_provider_person(
            row.pk, profile=operations.Profile(name="Other", is_active=False), actor=actor
        ),
        api=lambda cast, caller, row: caller.patch(f"/scim/v2/Users/{row.pk}", SCIM_CHANGE),
        scope=Scope.MEMBERS_PROVISION,
    ),
    "remove_provider_person": Case(
        None,
        lambda cast: cast.erik,
        lambda cast, row, actor: operations.remove_provider_person(row.pk, actor=actor),
        api=lambda cast, caller, row: caller.delete(f"/scim/v2/Users/{row.pk}"),
        scope=Scope.MEMBERS_PROVISION,
    ),
    "provision_provider_group": Case(
        None,
        _mapped,
        lambda cast, row, actor: operations.provision_provider_group(
            row.group_id, to=frozenset({cast.samir.pk}), actor=actor
        ),
        api=lambda cast, caller, row: caller.patch(f"/scim/v2/Groups/{row.group_id}", _joining(cast)),
        scope=Scope.MEMBERS_PROVISION,
    ),
    "map_group": Case(
        "stella",
        lambda cast: cast.exchange,
        lambda cast, row, actor: operations.map_group(row.pk, group=_GROUP, role="engineer", actor=actor),
        admin=lambda cast, client, row: by_adding("grouprole", service=row.pk, group=_GROUP, role="engineer")(
            cast, client, row
        ),
    ),
    "unmap_group": Case(
        "stella",
        _mapped,
        lambda cast, row, actor: operations.unmap_group(row.pk, actor=actor),
        admin=by_button("grouprole", "remove"),
    ),
}
