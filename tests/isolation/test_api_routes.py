"""Every route of the API, called by outsiders: absent and not-yours are the same 404, with the same body."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.urls import reverse

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.doors.api.azure import API_VERSION
from requests_app.doors.api.scim.shapes import GROUP, USER, group_id
from requests_app.models import Client, TicketComment, Token
from tests.caller import Caller, caller_for, token_of
from tests.cast import Cast
from tests.isolation.test_routes import World, routes

pytestmark = pytest.mark.django_db

Ids = dict[str, Any]


class ApiWorld(World):
    """The world of the pages, and who calls the API at Contoso."""

    def __init__(self, cast: Cast) -> None:
        super().__init__(cast)
        made = operations.create_client(
            tenant_id=cast.contoso.pk, name=f"{self.CANARY} desk", scopes=["log:read"], actor=cast.as_("ines")
        )
        self.client: Client = made.row
        said = operations.comment(self.ticket.pk, body=f"{self.CANARY} comment", actor=cast.as_("mia"))
        self.comment: TicketComment = said
        self.token: Token = operations.create_token(
            name=f"{self.CANARY} token", scopes=["log:read"], days=7, actor=cast.as_("mia")
        ).row


def _request(w: ApiWorld) -> Ids:
    return {"pk": w.pending.pk}


def _ticket(w: ApiWorld) -> Ids:
    return {"pk": w.ticket.pk}


def _azure(w: ApiWorld) -> Ids:
    return {"subscription": w.cast.contoso.pk, "pk": w.pending.pk}


def _tenant(w: ApiWorld) -> Ids:
    return {"tenant": w.cast.contoso.pk}


def _member(w: ApiWorld) -> Ids:
    return {"tenant": w.cast.contoso.pk, "person": w.cast.ada.pk}


#: Routes that name a row of Contoso's, with the methods that they take.
OBJECTS: dict[str, tuple[Callable[[ApiWorld], Ids], tuple[str, ...]]] = {
    "access_request": (_request, ("get", "head")),
    "manifest": (_request, ("get",)),
    "approve": (_request, ("post",)),
    "deny": (_request, ("post",)),
    "withdraw": (_request, ("post",)),
    "release": (_request, ("post",)),
    "revoke": (_request, ("post",)),
    "ticket": (_ticket, ("get", "head")),
    "comments": (_ticket, ("get", "post")),
    "comment": (lambda w: {"pk": w.ticket.pk, "comment": w.comment.pk}, ("get", "head")),
    "ticket_link": (_ticket, ("put",)),
    **dict.fromkeys(
        ("ticket_assign", "ticket_ask", "ticket_answer", "ticket_resolve", "ticket_close", "ticket_reopen"),
        (_ticket, ("post",)),
    ),
    "client": (lambda w: {"pk": w.client.pk}, ("get", "patch", "delete")),
    "rotate_secret": (lambda w: {"pk": w.client.pk}, ("post",)),
    "client_tokens": (lambda w: {"pk": w.client.pk}, ("post",)),
    "clients": (_tenant, ("get", "post")),
    "token_of": (lambda w: {"pk": w.token.pk}, ("get", "delete")),
    "webhooks": (_tenant, ("get", "post")),
    "webhook": (lambda w: {"pk": w.hook.pk}, ("get", "patch", "delete")),
    **dict.fromkeys(
        ("webhook_enable", "webhook_disable", "webhook_rotate", "webhook_test"),
        (lambda w: {"pk": w.hook.pk}, ("post",)),
    ),
    "webhook_deliveries": (lambda w: {"pk": w.hook.pk}, ("get",)),
    "webhook_delivery": (lambda w: {"pk": w.hook.pk, "message": w.delivery.pk}, ("get",)),
    "webhook_redeliver": (lambda w: {"pk": w.hook.pk, "message": w.delivery.pk}, ("post",)),
    "tenant": (_tenant, ("get", "patch")),
    "under_way": (_tenant, ("get",)),
    "enable_lockbox": (_tenant, ("post",)),
    "disable_lockbox": (_tenant, ("post",)),
    "addresses": (_tenant, ("get", "post")),
    "address": (lambda w: {**_tenant(w), "address": w.address.pk}, ("get", "delete")),
    "members": (_tenant, ("get",)),
    "invitations": (_tenant, ("get", "post")),
    "absences": (_tenant, ("get", "post")),
    "mutes": (_tenant, ("get", "post")),
    "proposals": (_tenant, ("get",)),
    "announced_changes": (_tenant, ("get",)),
    "two_person_control": (_tenant, ("post",)),
    **dict.fromkeys(("proposal_confirm", "proposal_withdraw"), (lambda w: {"pk": w.proposal.pk}, ("post",))),
    "absence_end": (lambda w: {"pk": w.absence.pk}, ("post",)),
    "mute_lift": (lambda w: {"pk": w.mute.pk}, ("post",)),
    **dict.fromkeys(("invitation_send_again", "invitation_withdraw"), (lambda w: {"pk": w.invitation.pk}, ("post",))),
    **dict.fromkeys(("passkey_options", "passkeys"), (_tenant, ("post",))),
    "member": (_member, ("get",)),
    **dict.fromkeys(
        (
            *("member_give_role", "member_take_role", "member_switch_off", "member_switch_on"),
            "member_reset_second_factors",
        ),
        (_member, ("post",)),
    ),
    "sign_on": (_tenant, ("get", "put")),
    "domains": (_tenant, ("get", "post")),
    "domain": (lambda w: {"pk": w.domain.pk}, ("get", "delete")),
    "domain_check": (lambda w: {"pk": w.domain.pk}, ("post",)),
    "identities": (_tenant, ("get",)),
    "identity": (lambda w: {"pk": w.identity.pk}, ("delete",)),
    "resources": (_tenant, ("get",)),
    "resource": (lambda w: {**_tenant(w), "resource": w.mailbox.pk}, ("get",)),
    "grant": (lambda w: {"pk": w.grant.pk}, ("get",)),
    "grant_accesses": (lambda w: {"pk": w.grant.pk}, ("get",)),
    **dict.fromkeys(("log", "log_entries", "log_checkpoints", "log_checkpoint", "events"), (_tenant, ("get", "head"))),
    **dict.fromkeys(("log_entry", "log_proof"), (lambda w: {"tenant": w.cast.contoso.pk, "seq": 1}, ("get", "head"))),
    "log_export": (_tenant, ("get",)),
    "log_evidence": (_tenant, ("get",)),
    "evidence": (_request, ("get",)),
    "log_consistency": (lambda w: {"tenant": w.cast.contoso.pk, "old": 1, "new": 2}, ("get", "head")),
    "azure_opted_in": (_tenant, ("get",)),
    "azure_requests": (lambda w: {"subscription": w.cast.contoso.pk}, ("get", "head")),
    "azure_request": (_azure, ("get", "head")),
    "azure_update_approval": (_azure, ("post",)),
    "scim_group": (lambda w: {"pk": group_id(w.cast.contoso.pk, "approver")}, ("get", "put", "patch", "delete")),
    "scim_user": (lambda w: {"pk": w.cast.ada.pk}, ("get", "put", "patch", "delete")),
}
#: What each caller reads of their own: nothing of another tenant may be in it.
OWN = {"me", "scim_users", "scim_groups", "access_requests", "tokens", "tenants", "services", "grants", "tickets"}
#: What an engineer knows of every tenant: its name, and the resources of the own queue; a demand may be about any.
OF_ENGINEERS = {("tenants", "samir"), ("resources", "samir")}
#: No row of a tenant's is named in these.
NEITHER = {"nothing", "openapi", "token", "metadata", "step_up", "provider_clients", "provider_webhooks", "reader"}
NEITHER |= {"service"}
NEITHER |= {f"provider_log{rest}" for rest in ("", "_entries", "_entry", "_proof", "_checkpoints", "_checkpoint")}
NEITHER |= {"provider_log_consistency", "provider_log_export"}
NEITHER |= {f"scim_{name}" for name in ("config", "resource_types", "resource_type", "schemas", "schema")}
NEITHER |= {"scim_not_offered", "scim_nothing"}
NEITHER |= {"azure_nothing", "azure_operations", "azure_enable", "azure_disable"}
#: A no of the decision point is 200; that it is one for what is not there and not yours: tests/api/test_decision_point.
NEITHER |= {"authzen", "evaluation", "evaluations"}
#: What a call of a method sends where it must send something.
BODIES: dict[str, Any] = {
    "clients": {"name": "Mine", "scopes": ["log:read"]},
    "client": {"scopes": ["log:read"]},
    "client_tokens": {"days": 30},
    "webhooks": {"url": "https://hooks.example/in", "events": ["*"]},
    "webhook": {"label": "Mine"},
    "tenant": {"longest_window_seconds": 3600},
    "absences": {"deputy": str(uuid4()), "from_at": "2099-01-01T00:00:00Z", "until_at": "2099-01-02T00:00:00Z"},
    "mutes": {"engineer": None, "hours": 4},
    "two_person_control": {"on": True},
    "sign_on": {"issuer": "https://mine.example", "client_id": "mine"},
    "domains": {"name": "mine.example"},
    "invitations": {"email": "mine@x.example", "role": "approver"},
    **dict.fromkeys(("member_give_role", "member_take_role"), {"role": "approver"}),
    "passkeys": {"name": "Mine", "response": {}},
    "addresses": {"email": "mine@fabrikam.example"},
    "comments": {"body": "Mine"},
    "ticket_link": {"external_reference": "INC-1"},
    **dict.fromkeys(("ticket_ask", "ticket_answer", "ticket_reopen"), {"comment": "Mine"}),
    "azure_update_approval": {"status": "Deny"},
    "scim_group": {"schemas": [GROUP], "members": []},
    "scim_user": {"schemas": [USER], "userName": "mine@x.example", "active": False},
}


def address(name: str, ids: Ids) -> str:
    """Azure's contract wants its version in the query."""
    return reverse(f"api:{name}", kwargs=ids) + (f"?api-version={API_VERSION}" if name.startswith("azure_") else "")


def names() -> set[str]:
    return {name for namespace, name in routes() if namespace == "api"}


def test_every_route_of_the_api_has_a_case() -> None:
    assert names() - OBJECTS.keys() - OWN - NEITHER == set()


def test_every_case_has_a_route() -> None:
    assert (OBJECTS.keys() | OWN) - names() == set()


@pytest.mark.parametrize("outsider", ["frida", "finn", "fatima", "samir"])
def test_an_outsider_gets_the_404_of_what_does_not_exist(cast: Cast, outsider: str) -> None:
    world = ApiWorld(cast)
    caller = Caller(token_of(cast, outsider))
    caller.step_up()
    before = AuditEntry.objects.count()
    for name in OBJECTS:
        if (name, outsider) in OF_ENGINEERS:
            continue
        for call, foreign, nothing in _asked(caller, name, world):
            assert (foreign.status_code, nothing.status_code) == (404, 404), (*call, foreign.content)
            assert _plain(foreign) == _plain(nothing), call
        assert AuditEntry.objects.count() == before, name


def test_a_client_of_another_tenant_cannot_tell_what_is_there_from_what_is_not(cast: Cast) -> None:
    world = ApiWorld(cast)
    caller = caller_for(cast, "fabrikam")
    before = AuditEntry.objects.count()
    for name in OBJECTS:
        for call, foreign, nothing in _asked(caller, name, world):
            assert foreign.status_code == nothing.status_code, call
            assert _plain(foreign) == _plain(nothing), call
            # Some things no client may do, whoever's they are.
            is_refused = foreign.status_code == 404 or "insufficient_scope" in foreign["WWW-Authenticate"]
            assert is_refused, (*call, foreign.content)
        assert AuditEntry.objects.count() == before, name


def _asked(caller: Caller, name: str, world: ApiWorld) -> Iterator[tuple[tuple[str, str], Any, Any]]:
    """(route and method, the answer about a row of Contoso's, the answer about one that does not exist)."""
    ids, methods = OBJECTS[name][0](world), OBJECTS[name][1]
    absent = {key: uuid4() if isinstance(value, UUID) else value for key, value in ids.items()}
    for method in methods:
        body = BODIES.get(name) if method in ("post", "patch", "put") else None
        there, away = (caller(method, address(name, each), body, If_Match='"x"') for each in (ids, absent))
        yield (name, method), there, away


@pytest.mark.parametrize("outsider", ["frida", "finn", "samir", "fabrikam"])
def test_ones_own_lists_show_nothing_of_another_tenant(cast: Cast, outsider: str) -> None:
    ApiWorld(cast)
    caller = caller_for(cast, outsider)
    for name in sorted(OWN):
        found = caller.get(reverse(f"api:{name}"))
        text = found.content.decode()
        assert found.status_code in (200, 403), name
        assert ApiWorld.CANARY not in text, name
        if (name, outsider) not in OF_ENGINEERS:
            assert "contoso" not in text.lower(), name


def test_nobody_calls_without_a_token(cast: Cast) -> None:
    world = ApiWorld(cast)
    for name in sorted(OBJECTS.keys() | OWN):
        build, methods = OBJECTS.get(name, (lambda w: {}, ("get",)))
        for method in methods:
            for secret in ("", "lockbox_pat_" + "x" * 46, "rubbish"):
                response = Caller(secret)(method, reverse(f"api:{name}", kwargs=build(world)))
                assert response.status_code == 401, (name, method)
                assert response["WWW-Authenticate"].startswith('Bearer realm="lockbox"'), (name, method)


def _plain(response: Any) -> Any:
    """The answer without what differs by call."""
    body = json.loads(response.content) if response.content else {}
    body.pop("request_id", None)
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "", json.dumps(body, sort_keys=True))
