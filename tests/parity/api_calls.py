"""The acts of the cases in test_doors.py once more, as a caller of the API does them. By the case's name."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from requests_app.domain import clock
from requests_app.doors.api.scim.shapes import group_id
from requests_app.identity.sso import domains
from requests_app.models import Tenant
from tests.caller import Caller
from tests.cast import JUSTIFICATION, TRIED, Cast

Call = Callable[[Cast, Caller, Any], Any]


def _decide(verdict: str, comment: str) -> Call:
    return lambda cast, caller, row: caller.decide(verdict, row, comment)


def _act(action: str, comment: str) -> Call:
    return lambda cast, caller, row: caller.post(f"access-requests/{row.pk}/{action}", {"comment": comment})


def _ask(cast: Cast, ticket: Any) -> dict[str, Any]:
    return {
        "ticket": str(ticket.pk),
        "resources": [str(cast.resource().pk)],
        "level": "read",
        "window_seconds": 7200,
        "tried": TRIED,
        "justification": JUSTIFICATION,
    }


def _access(cast: Cast) -> dict[str, Any]:
    return {
        "subject": {"type": "engineer", "id": str(cast.priya.pk)},
        "action": {"name": "read"},
        "resource": {"type": "exchange-online", "id": str(cast.resource().pk)},
        "context": {"purpose": "access", "item": "7.mail"},
    }


def _ticket(act: str, **body: Any) -> Call:
    return lambda cast, caller, row: caller.post(f"tickets/{row.pk}/{act}", body)


REPORT: dict[str, Any] = {"service": "exchange-online", "title": "Broken", "body": "It is broken since Monday."}
LINK = {"external_reference": "INC-4711", "external_url": "https://desk.example/cases/4711"}
_TICKETS: dict[str, Call] = {
    "open_ticket": lambda cast, caller, row: caller.post("tickets", {"tenant": str(cast.contoso.pk), **REPORT}),
    "open_ticket, linked": lambda cast, caller, row: caller.post(
        "tickets", {"tenant": str(cast.contoso.pk), **REPORT, **LINK}
    ),
    "assign_ticket": _ticket("assign"),
    "assign_ticket by staff": lambda cast, caller, row: caller.post(
        f"tickets/{row.pk}/assign", {"assignee": str(cast.priya.pk)}
    ),
    "ask_customer": _ticket("ask", comment="Since when?"),
    "answer_ticket": _ticket("answer", comment="Monday."),
    "resolve_ticket": _ticket("resolve", comment="Fixed."),
    "close_ticket": _ticket("close", comment="Twice."),
    "reopen_ticket": _ticket("reopen", comment="Again."),
    "comment": _ticket("comments", body="Still there."),
    "internal note": _ticket("comments", body="Ask Erik.", is_internal=True),
    "link_ticket": lambda cast, caller, row: caller.put(f"tickets/{row.pk}/link", LINK),
    "link_ticket by staff": lambda cast, caller, row: caller.put(f"tickets/{row.pk}/link", LINK),
}

HOOK: dict[str, Any] = {"url": "https://hooks.example/new", "label": "Desk", "events": ["grant.closed"]}


def _hook(act: str) -> Call:
    return lambda cast, caller, row: caller.post(f"webhooks/{row.pk}/{act}")


def _redeliver(cast: Cast, caller: Caller, row: Any) -> Any:
    return caller.post(f"webhooks/{row.webhook_id}/deliveries/{row.pk}/redeliver")


def week_from(at: dt.datetime) -> dict[str, dt.datetime]:
    """To the minute, as a page's field has it."""
    begin = at.replace(second=0, microsecond=0) + dt.timedelta(hours=1)
    return {"from_at": begin, "until_at": begin + dt.timedelta(days=7)}


INVITED = {"email": "new@contoso.example", "role": "member"}


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
    """The role of an approver, from Alan to Mia."""
    return {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [
            {"op": "add", "path": "members", "value": [{"value": str(cast.mia.pk)}]},
            {"op": "remove", "path": f'members[value eq "{cast.alan.pk}"]'},
        ],
    }


def _member_act(act: str, slug: str = "contoso", **body: str) -> Call:
    def call(cast: Cast, caller: Caller, row: Any) -> Any:
        return caller.post(f"tenants/{Tenant.objects.get(slug=slug).pk}/members/{row.pk}/{act}", body)

    return call


def _yes_rule(cast: Cast, caller: Caller, row: Any) -> Any:
    path = f"tenants/{cast.contoso.pk}"
    return caller.patch(path, {"yes_rule": "signed"}, If_Match=caller.get(path)["ETag"])


def _checked(cast: Cast, caller: Caller, row: Any) -> Any:
    with patch.object(domains, "problem", lambda name, challenge, *, peer: ""):
        return caller.post(f"domains/{row.pk}/check")


def _cap(cast: Cast, caller: Caller, row: Any) -> Any:
    """Read how the tenant is set up, and change what was read."""
    path = f"tenants/{cast.contoso.pk}"
    return caller.patch(path, {"longest_window_seconds": 3600}, If_Match=caller.get(path)["ETag"])


#: Of both kinds alike: a tenant's, and the provider's own.
_HOOKS: dict[str, Call] = {
    "change_webhook": lambda cast, caller, row: caller.patch(f"webhooks/{row.pk}", HOOK),
    "remove_webhook": lambda cast, caller, row: caller.delete(f"webhooks/{row.pk}"),
    "rotate_webhook_secret": _hook("rotate-secret"),
    "disable_webhook": _hook("disable"),
    "enable_webhook": _hook("enable"),
    "send_webhook_test": _hook("test"),
    "redeliver": _redeliver,
}


SIGN_ON = {"issuer": "https://idp.example", "client_id": "lockbox", "client_secret": "x", "role_map": {"g": "auditor"}}


def _sign_on_again(cast: Cast, caller: Caller, row: Any) -> Any:
    path = f"tenants/{cast.contoso.pk}/sign-on"
    return caller.put(path, SIGN_ON, If_Match=caller.get(path)["ETag"])


CALLS: dict[str, Call] = {
    "set_sign_on": lambda cast, caller, row: caller.put(f"tenants/{cast.contoso.pk}/sign-on", SIGN_ON),
    "set_sign_on, again": _sign_on_again,
    "claim_domain": lambda cast, caller, row: caller.post(
        f"tenants/{cast.contoso.pk}/domains", {"name": "contoso.example"}
    ),
    "verify_domain": _checked,
    "remove_domain": lambda cast, caller, row: caller.delete(f"domains/{row.pk}"),
    "unlink_identity": lambda cast, caller, row: caller.delete(f"identities/{row.pk}"),
    "unlink_identity by staff": lambda cast, caller, row: caller.delete(f"identities/{row.pk}"),
    "provision_member": lambda cast, caller, row: caller.post("/scim/v2/Users", SCIM_USER),
    "change_provisioned": lambda cast, caller, row: caller.patch(f"/scim/v2/Users/{row.pk}", SCIM_CHANGE),
    "provision_role": lambda cast, caller, row: caller.patch(
        f"/scim/v2/Groups/{group_id(cast.contoso.pk, 'approver')}", _handed_over(cast)
    ),
    "make_lasting_token": lambda cast, caller, row: caller.post(f"clients/{row.pk}/tokens", {"days": 365}),
    "remove_provisioned": lambda cast, caller, row: caller.delete(f"/scim/v2/Users/{row.pk}"),
    "submit": lambda cast, caller, row: caller.post("access-requests", _ask(cast, row)),
    "approve_as_provider": _decide("approve", "Yes."),
    "deny_as_provider": _decide("deny", "No."),
    "approve_as_customer": _decide("approve", "Yes."),
    "deny_as_customer": _decide("deny", "No."),
    "withdraw": _act("withdraw", "Found it."),
    "release": _act("release", "Done."),
    "revoke": _act("revoke", "Enough."),
    "revoke by staff": _act("revoke", "Enough."),
    **_TICKETS,
    **_HOOKS,
    **{f"{name} by staff": call for name, call in _HOOKS.items()},
    "add_webhook": lambda cast, caller, row: caller.post(f"tenants/{cast.contoso.pk}/webhooks", HOOK),
    "add_webhook by staff": lambda cast, caller, row: caller.post("webhooks", HOOK),
    "create_client": lambda cast, caller, row: caller.post(
        f"tenants/{cast.contoso.pk}/clients", {"name": "SIEM", "scopes": ["log:read"]}
    ),
    "create_client by staff": lambda cast, caller, row: caller.post(
        "clients", {"name": "Gateway", "scopes": ["evaluate"]}
    ),
    "change_client": lambda cast, caller, row: caller.patch(
        f"clients/{row.pk}", {"scopes": ["decisions:write"], "decides_for": str(cast.ada.pk)}
    ),
    "rotate_client_secret": lambda cast, caller, row: caller.post(f"clients/{row.pk}/rotate-secret"),
    "remove_client": lambda cast, caller, row: caller.delete(f"clients/{row.pk}"),
    "change_client by staff": lambda cast, caller, row: caller.patch(f"clients/{row.pk}", {"scopes": ["log:read"]}),
    "rotate_client_secret by staff": lambda cast, caller, row: caller.post(f"clients/{row.pk}/rotate-secret"),
    "remove_client by staff": lambda cast, caller, row: caller.delete(f"clients/{row.pk}"),
    "remove_client by staff, of a tenant": lambda cast, caller, row: caller.delete(f"clients/{row.pk}"),
    "create_token": lambda cast, caller, row: caller.post(
        "tokens", {"name": "laptop", "scopes": ["requests:read"], "days": 7}
    ),
    "allow_access": lambda cast, caller, row: caller.post("/access/v1/evaluation", _access(cast)),
    "revoke_token": lambda cast, caller, row: caller.delete(f"tokens/{row.pk}"),
    "switch_lockbox": lambda cast, caller, row: caller.post(f"tenants/{cast.contoso.pk}/disable-lockbox"),
    "switch_lockbox, on": lambda cast, caller, row: caller.post(f"tenants/{cast.contoso.pk}/enable-lockbox"),
    "set_window_cap": _cap,
    "set_out_of_office": lambda cast, caller, row: caller.post(
        f"tenants/{cast.contoso.pk}/out-of-office",
        {
            "deputy": str(cast.alan.pk),
            **{name: at.isoformat() for name, at in week_from(clock.now()).items()},
        },
    ),
    "deny_all_and_mute": lambda cast, caller, row: caller.post(
        f"tenants/{cast.contoso.pk}/mutes", {"engineer": str(cast.priya.pk), "hours": 4, "note": "Too many."}
    ),
    "lift_mute": lambda cast, caller, row: caller.post(f"mutes/{row.pk}/lift"),
    "set_two_person_control": lambda cast, caller, row: caller.post(
        f"tenants/{cast.contoso.pk}/two-person-control", {"on": True}
    ),
    "confirm_proposal": lambda cast, caller, row: caller.post(f"proposals/{row.pk}/confirm"),
    "confirm_proposal by staff": lambda cast, caller, row: caller.post(f"proposals/{row.pk}/confirm"),
    "withdraw_proposal by staff": lambda cast, caller, row: caller.post(f"proposals/{row.pk}/withdraw"),
    "withdraw_proposal": lambda cast, caller, row: caller.post(f"proposals/{row.pk}/withdraw"),
    "end_out_of_office": lambda cast, caller, row: caller.post(f"out-of-office/{row.pk}/end"),
    "invite_person": lambda cast, caller, row: caller.post(f"tenants/{cast.contoso.pk}/invitations", INVITED),
    "invite_person by staff": lambda cast, caller, row: caller.post(
        f"tenants/{row.pk}/invitations", {"email": "new@adatum.example", "role": "administrator"}
    ),
    "resend_invitation": lambda cast, caller, row: caller.post(f"invitations/{row.pk}/send-again"),
    "resend_invitation by staff": lambda cast, caller, row: caller.post(f"invitations/{row.pk}/send-again"),
    "withdraw_invitation": lambda cast, caller, row: caller.post(f"invitations/{row.pk}/withdraw"),
    "withdraw_invitation by staff": lambda cast, caller, row: caller.post(f"invitations/{row.pk}/withdraw"),
    "set_yes_rule": _yes_rule,
    "give_role": _member_act("give-role", role="approver"),
    "give_role by staff": _member_act("give-role", slug="adatum", role="approver"),
    "take_role": _member_act("take-role", role="approver"),
    "switch_off_person": _member_act("switch-off"),
    "switch_off_person by staff": _member_act("switch-off"),
    "switch_on_person": _member_act("switch-on"),
    "switch_on_person by staff": _member_act("switch-on"),
    "reset_second_factors": _member_act("reset-second-factors"),
    "add_address": lambda cast, caller, row: caller.post(
        f"tenants/{cast.contoso.pk}/addresses", {"email": "soc@contoso.example", "label": "SOC"}
    ),
    "remove_address": lambda cast, caller, row: caller.delete(f"tenants/{cast.contoso.pk}/addresses/{row.pk}"),
    "revoke_token by its owner": lambda cast, caller, row: caller.delete(f"tokens/{row.pk}"),
    "revoke_token by staff": lambda cast, caller, row: caller.delete(f"tokens/{row.pk}"),
}


def _azure(verdict: str, reason: str) -> Call:
    """The same decisions through Azure's contract, which has no ETag."""
    return lambda cast, caller, row: caller.post(
        f"/subscriptions/{row.tenant_id}{_AZURE}/requests/{row.pk}/updateApproval?{_VERSION}",
        {"status": verdict, "reason": reason},
    )


_AZURE, _VERSION = "/providers/Microsoft.CustomerLockbox", "api-version=2018-02-28-preview"
#: Some of the acts once more, as a caller that was written for Azure does them.
AZURE_CALLS: dict[str, Call] = {
    "approve_as_provider": _azure("Approve", "Yes."),
    "deny_as_provider": _azure("Deny", "No."),
    "approve_as_customer": _azure("Approve", "Yes."),
    "deny_as_customer": _azure("Deny", "No."),
    "switch_lockbox": lambda cast, caller, row: caller.post(f"{_AZURE}/disableLockbox?{_VERSION}"),
    "switch_lockbox, on": lambda cast, caller, row: caller.post(f"{_AZURE}/enableLockbox?{_VERSION}"),
}
