"""Every route of the URL resolver, tried by outsiders: absent and not-yours are the same 404."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from audit_app.models import AuditEntry, Witness
from requests_app import operations
from requests_app.domain import clock
from requests_app.models import (
    AccessRequest,
    Grant,
    Identity,
    Mute,
    NotificationAddress,
    OutboxMessage,
    Proposal,
    Ticket,
    Token,
    Webhook,
)
from requests_app.models import Client as Machine
from tests.cast import Cast
from tests.factors import stepped_up
from tests.passkeys import enrolled

pytestmark = pytest.mark.django_db

#: Whose route it is: `object` names a row of Contoso's; `own` shows each person their own; `public` is for everybody.
Ids = dict[str, Any]


class World:
    """One row of each kind at Contoso, with a word in each that nobody else may ever read."""

    CANARY = "Zanzibar"

    def __init__(self, cast: Cast) -> None:
        self.cast = cast
        self.ticket: Ticket = cast.ticket(title=f"{self.CANARY} ticket", body=f"{self.CANARY} body")
        self.pending: AccessRequest = cast.confirmed(ticket=self.ticket, justification=f"{self.CANARY} " + "x" * 40)
        self.grant: Grant = cast.opened(ticket=self.ticket, justification=f"{self.CANARY} " + "y" * 40)
        self.mailbox = cast.resource()
        self.address = NotificationAddress.objects.create(
            tenant=cast.contoso, email="zanzibar@contoso.example", created_at=cast.contoso.created_at
        )
        at = cast.contoso.created_at
        self.witness = Witness.objects.create(
            tenant_id=cast.contoso.pk, vkey=f"{self.CANARY}+0+0", url="https://w.example", added_at=at, due_at=at
        )
        ines, url = cast.as_("ines"), "https://hooks.example/zanzibar"
        hook = operations.add_webhook(cast.contoso.pk, url=url, label=self.CANARY, events=["*"], actor=ines).webhook
        self.hook: Webhook = hook
        self.delivery: OutboxMessage = operations.send_webhook_test(hook.pk, actor=ines)
        self.client: Machine = operations.create_client(
            tenant_id=cast.contoso.pk, name=self.CANARY, scopes=["log:read"], actor=ines
        ).row
        at = clock.now()
        self.absence = operations.set_out_of_office(
            cast.contoso.pk,
            deputy_id=cast.alan.pk,
            from_at=at,
            until_at=at + dt.timedelta(days=1),
            actor=cast.as_("ada"),
        )
        self.mute = Mute.objects.create(
            tenant=cast.contoso,
            engineer=cast.erik,
            note=self.CANARY,
            set_by=cast.ada,
            set_at=at,
            until_at=at + dt.timedelta(hours=4),
        )
        self.proposal = Proposal.objects.create(
            tenant=cast.contoso,
            act="switch_lockbox",
            said={"on": False},
            proposed_by=cast.ines,
            proposed_human=cast.ines.human_id,
            proposed_at=at,
            expires_at=at + dt.timedelta(days=7),
        )
        self.announced = Proposal.objects.create(
            tenant=None,
            act="rename_resource",
            said={"resource": str(cast.resource().pk), "was": self.CANARY, "name": "Finance"},
            proposed_by=cast.stella,
            proposed_human=cast.stella.human_id,
            proposed_at=at,
            expires_at=at + dt.timedelta(days=7),
        )
        self.announced.touched.add(cast.contoso)
        self.passkey = enrolled(cast, "ada", called=self.CANARY)[0]
        self.invitation = cast.invited("zanzibar@contoso.example")
        self.domain = operations.claim_domain(cast.contoso.pk, name="zanzibar.example", actor=ines)
        self.identity = Identity.objects.create(
            tenant=cast.contoso, issuer="https://idp.example", subject=self.CANARY, person=cast.mia, linked_at=at
        )
        self.token: Token = operations.create_token(
            name=self.CANARY, scopes=["log:read"], days=7, actor=cast.as_("otto")
        ).row


def _request(world: World) -> Ids:
    return {"pk": world.pending.pk}


def _ticket(world: World) -> Ids:
    return {"pk": world.ticket.pk}


def _tenant(world: World) -> Ids:
    return {"tenant": world.cast.contoso.pk}


def _hook(world: World) -> Ids:
    return {**_tenant(world), "webhook": world.hook.pk}


def _client(world: World) -> Ids:
    return {**_tenant(world), "client": world.client.pk}


def _window(world: World) -> Ids:
    return {"pk": world.grant.pk}


def _window_resource(world: World) -> Ids:
    return {"pk": world.grant.pk, "resource": world.mailbox.pk}


OBJECTS: dict[str, list[Callable[[World], Ids]]] = {
    "ticket": [_ticket],
    "ticket_act": [
        lambda w, a=action: {**_ticket(w), "action": a}
        for action in ("close_ticket", "comment", "link_ticket", "unknown")
    ],
    "ask": [_ticket],
    "access_request": [_request],
    "decide": [lambda w, v=verdict: {**_request(w), "verdict": v} for verdict in ("approve", "deny")],
    "receipt": [_request],
    "access_request_act": [
        lambda w, a=action: {**_request(w), "action": a} for action in ("withdraw", "revoke", "release")
    ],
    "live": [_request],
    "window": [_window],
    "window_state": [_window],
    "window_resource": [_window_resource],
    "window_item": [_window_resource],
    "window_raw": [_window_resource],
    "log": [_tenant],
    "log_export": [lambda w, k=kind: {**_tenant(w), "kind": k} for kind in ("csv", "jsonl")],
    "log_verify": [_tenant],
    "log_check": [_tenant],
    "log_proof": [lambda w, n=seq: {**_tenant(w), "seq": n} for seq in (0, 3, 10**30)],
    "log_checkpoint": [_tenant],
    "log_checkpoint_of": [lambda w, n=shard: {**_tenant(w), "shard": n} for shard in (0, 1, 10**30)],
    "log_consistency": [lambda w, n=size: {**_tenant(w), "old": 0, "new": n} for size in (1, 10**30)],
    "log_consistency_of": [lambda w, n=shard: {**_tenant(w), "old": 0, "new": 1, "shard": n} for shard in (0, 10**30)],
    "how_to_verify": [_tenant],
    "access_request_receipt": [lambda w, n=seq: {**_request(w), "seq": n} for seq in (0, 3, 10**30)],
    "log_evidence": [_tenant],
    "evidence_progress": [lambda w: {**_tenant(w), "download": uuid4()}],
    "access_request_evidence": [_request],
    "tenant": [_tenant],
    "yes_rule": [_tenant],
    "people": [_tenant],
    "recovery_key": [_tenant],
    "out_of_office": [_tenant],
    "mutes": [_tenant],
    "proposals": [_tenant],
    "addresses": [_tenant],
    "log_rules": [_tenant],
    "log_retention": [_tenant],
    "approval_page": [_tenant],
    "set_approval_page": [_tenant],
    "remove_witness": [lambda w: {**_tenant(w), "witness": w.witness.pk}],
    "webhooks": [_tenant],
    "webhook": [_hook],
    "webhook_change": [_hook],
    "webhook_rotate": [_hook],
    "webhook_remove": [_hook],
    "webhook_delivery": [lambda w: {**_hook(w), "message": w.delivery.pk}],
    "clients": [_tenant],
    "client": [_client],
    "client_change": [_client],
    "client_rotate": [_client],
    "client_token": [_client],
    "client_remove": [_client],
    "tenant_tokens": [_tenant],
    "sign_on": [_tenant],
    "sign_on_test": [_tenant],
    "sign_on_domains": [_tenant],
    "token_revoke": [lambda w: {"token": w.token.pk}],
    "lockbox": [lambda w, to=to: {**_tenant(w), "to": to} for to in ("on", "off")],
    "person": [lambda w: {**_tenant(w), "person": w.cast.ada.pk}],
    "security_remove_passkey": [lambda w: {"passkey": w.passkey.pk}],
}
OWN = {"home", "tickets", "ticket_new", "access_requests", "legal_demand", "preferences", "set_theme", "tokens"} | {
    *(
        "security",
        "security_set_up",
        "security_add_passkey",
        "security_remove_app",
        "security_new_codes",
        "security_end_session",
        "sso_test",
        "step_up",
        "address",
        "resume",
    )
}
PUBLIC: dict[str, Ids] = {"limits": {}, "recover": {}, "sso": {}}
#: Whoever has the secret may open it: tests/web/test_invitations.py, tests/web/test_single_sign_on.py; and of these,
#: one who is signed in as whoever asked: tests/operations/test_addresses.py.
BY_SECRET = {"invitation", "sso_callback", "address_confirm"}


def routes(resolver: URLResolver | None = None, namespace: str = "") -> Iterator[tuple[str, str]]:
    """(namespace, name) of every route; the admin's and the sign-in library's are tried in tests of their own."""
    for entry in (resolver or get_resolver()).url_patterns:
        if isinstance(entry, URLResolver):
            yield from routes(entry, entry.namespace or namespace)
        elif isinstance(entry, URLPattern):
            yield namespace, entry.name or str(entry.pattern)


def pages() -> list[str]:
    return sorted({name for namespace, name in routes() if namespace == "web"})


def signed_in(cast: Cast, name: str) -> Client:
    client = Client()
    client.force_login(cast.people[name])
    stepped_up(client, cast.people[name])
    return client


def test_every_route_has_a_case() -> None:
    assert set(pages()) - OWN - set(PUBLIC) - BY_SECRET - set(OBJECTS) == set()


def test_every_case_has_a_route() -> None:
    assert (OWN | set(PUBLIC) | BY_SECRET | set(OBJECTS)) - set(pages()) == set()


def test_no_route_lies_outside_the_known_doors() -> None:
    namespaces = {namespace for namespace, _name in routes()}
    assert namespaces == {"web", "api", "admin", ""}
    bare = {name for namespace, name in routes() if not namespace}
    assert {name for name in bare if not name.startswith(("account_", "^"))} <= {
        "healthz",
        "readyz",
        "mfa_authenticate",
        "passkey_sign_in",
    }


@pytest.mark.parametrize("outsider", ["frida", "finn", "fatima", "nils"])
def test_another_tenants_people_get_the_404_of_what_does_not_exist(cast: Cast, outsider: str) -> None:
    world = World(cast)
    client = signed_in(cast, outsider)
    before = AuditEntry.objects.count()
    for name, ids in _objects(world):
        absent = {key: uuid4() if isinstance(value, UUID) else value for key, value in ids.items()}
        for method in ("get", "head", "post"):
            foreign = getattr(client, method)(reverse(f"web:{name}", kwargs=ids), {"id": "1.mail"})
            nothing = getattr(client, method)(reverse(f"web:{name}", kwargs=absent), {"id": "1.mail"})
            assert foreign.status_code == nothing.status_code, (name, method, ids)
            assert foreign.status_code in (404, 405), (name, method, ids)
            assert _plain(foreign) == _plain(nothing), (name, method)
        assert AuditEntry.objects.count() == before, name


def _objects(world: World) -> Iterator[tuple[str, Ids]]:
    for name, builds in OBJECTS.items():
        for build in builds:
            yield name, build(world)


def test_an_engineer_of_another_queue_is_an_outsider_too(cast: Cast) -> None:
    world = World(cast)
    client = signed_in(cast, "samir")
    of_engineers = ("ticket", "ticket_act", "ask", "access_request", "decide", "access_request_act", "live")
    for name, ids in _objects(world):
        if name in (*of_engineers, "window", "window_raw"):
            for method in ("get", "post"):
                response = getattr(client, method)(reverse(f"web:{name}", kwargs=ids), {"id": "1.mail"})
                assert response.status_code in (404, 405), (name, method, ids)


@pytest.mark.parametrize("outsider", ["frida", "fred", "samir"])
def test_ones_own_pages_show_nothing_of_another_tenant(cast: Cast, outsider: str) -> None:
    World(cast)
    client = signed_in(cast, outsider)
    for name in sorted(OWN):
        response = client.get(reverse(f"web:{name}"), {"q": World.CANARY})
        text = response.content.decode().replace(f'value="{World.CANARY}"', "")
        # What the person typed may come back as what was searched for; nothing that was found may.
        assert f"{World.CANARY} ticket" not in text, name
        assert f"{World.CANARY} body" not in text, name
        assert "Contoso" not in text or outsider == "samir", name


def test_whoever_is_not_signed_in_is_asked_to(cast: Cast) -> None:
    world = World(cast)
    for name, ids in [*_objects(world), *((name, {}) for name in sorted(OWN))]:
        for method in ("get", "post"):
            response = getattr(Client(), method)(reverse(f"web:{name}", kwargs=ids))
            assert response.status_code in (302, 405), (name, method, ids)
            if response.status_code == 302:
                assert response["Location"].startswith("/accounts/login/"), name


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_public_pages_are_public(db: None, name: str) -> None:
    assert Client().get(reverse(f"web:{name}")).status_code == 200


def _plain(response: Any) -> str:
    """The page without what differs by request: ids, tokens, the time, and the address asked for."""
    text = response.content.decode()
    for varying in (
        r'name="(csrfmiddlewaretoken|once)" value="[^"]+"',
        r'nonce="[^"]+"',
        r'"X-CSRFToken": "[^"]+"',
        r'nonce="[^"]+"',
        r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        r"[0-9a-f]{32}",
        r'content="\d{4}-\d\d-\d\dT[^"]+"',
        r'(datetime|data-[a-z-]+)="\d{4}-[^"]+"',
    ):
        text = re.sub(varying, "", text)
    return text
