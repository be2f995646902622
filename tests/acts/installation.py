"""Test cases for the acts of staff on what all tenants share: plans, services, resources, queues, and people."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from requests_app import operations
from requests_app.models import QueueAssignment, Resource
from tests.acts.case import Case
from tests.acts.shared import by_adding, by_button
from tests.cast import GATE_RULES, QUILLO, Cast


def _linked(cast: Cast) -> Any:
    cast.agreed(lambda: operations.link_accounts(cast.priya.pk, cast.paula.pk, actor=cast.as_("stella")))
    return cast.priya


_SERVICE: dict[str, Any] = {"key": "teams", "name": "Teams", "connector": "folder"}


_QUILLO: dict[str, Any] = {"key": "quillo", "name": "Quillo", **QUILLO}


_VIEW = {"for_customer": "see mails", "for_engineer": "open them"}
_LEVELS = "names\nview | see mails | open them"
_ACTING = "read\nact_as | work as your user"


def _same(row: Any) -> dict[str, Any]:
    return {"key": row.key, "name": row.name, "connector": row.connector}


_UPSTREAM = "https://quillo.internal:8443"
_PROXY = {"name": "Frankfurt", "secret_hash": sha256(b"a secret of a proxy").hexdigest()}


_WORKSPACE: dict[str, Any] = {"kind": "workspace", "name": "Design", "external_id": "ws-1"}


_RESOURCE: dict[str, Any] = {"kind": "mailbox", "name": "legal@contoso.example", "locator": "contoso/mail/legal"}


def _path(row: Resource) -> str:
    return f"tenants/{row.tenant_id}/resources/{row.pk}"


CASES: dict[str, Case] = {
    "make_staff": Case(
        "stella",
        lambda cast: cast.erik,
        lambda cast, row, actor: operations.make_staff(row.pk, actor=actor),
        admin=by_button("person", "make-staff"),
    ),
    "link_accounts by staff": Case(
        "stella",
        lambda cast: cast.priya,
        lambda cast, row, actor: operations.link_accounts(row.pk, cast.paula.pk, actor=actor),
        admin=by_button("person", "link", other="paula@provider.example"),
    ),
    "unlink_accounts by staff": Case(
        "stella",
        _linked,
        lambda cast, row, actor: operations.unlink_accounts(row.pk, actor=actor),
        admin=by_button("person", "unlink"),
    ),
    "give_queue_role": Case(
        "stella",
        lambda cast: cast.samir,
        lambda cast, row, actor: operations.give_queue_role(cast.exchange.pk, row.pk, role="engineer", actor=actor),
        admin=lambda cast, client, row: by_button("person", "queue", service=cast.exchange.pk, role="engineer")(
            cast, client, row
        ),
        api=lambda cast, caller, row: caller.post(
            f"provider/people/{row.pk}/give-role", {"role": "engineer", "service": str(cast.exchange.pk)}
        ),
    ),
    "take_queue_role": Case(
        "stella",
        lambda cast: QueueAssignment.objects.get(person=cast.erik),
        lambda cast, row, actor: operations.take_queue_role(row.service_id, row.person_id, role=row.role, actor=actor),
        admin=by_button("queueassignment", "take"),
        api=lambda cast, caller, row: caller.post(
            f"provider/people/{row.person_id}/take-role", {"role": row.role, "service": str(row.service_id)}
        ),
    ),
    "save_plan": Case(
        "stella",
        lambda cast: cast.contoso.plan,
        lambda cast, row, actor: operations.save_plan(plan_id=row.pk, name="E7", includes_lockbox=True, actor=actor),
        admin=by_button("plan", "change", name="E7", includes_lockbox="on"),
        api=lambda cast, caller, row: caller.patch(f"plans/{row.pk}", {"name": "E7"}),
    ),
    "save_plan, a new one": Case(
        "stella",
        lambda cast: None,
        lambda cast, row, actor: operations.save_plan(name="E7", includes_lockbox=True, actor=actor),
        admin=by_adding("plan", name="E7", includes_lockbox="on"),
        api=lambda cast, caller, row: caller.post("plans", {"name": "E7", "includes_lockbox": True}),
    ),
    "save_service": Case(
        "stella",
        lambda cast: cast.exchange,
        lambda cast, row, actor: operations.save_service(
            service_id=row.pk, key=row.key, name=row.name, connector=row.connector, is_covered=False, actor=actor
        ),
        admin=lambda cast, client, row: by_button(
            "service", "change", key=row.key, name=row.name, connector=row.connector, is_active="on"
        )(cast, client, row),
        api=lambda cast, caller, row: caller.patch(f"services/{row.pk}", {"is_covered": False}),
    ),
    "save_service, off": Case(
        "stella",
        lambda cast: cast.exchange,
        lambda cast, row, actor: operations.save_service(service_id=row.pk, is_active=False, actor=actor),
        admin=lambda cast, client, row: by_button(
            "service", "change", key=row.key, name=row.name, connector=row.connector, is_covered="on"
        )(cast, client, row),
        api=lambda cast, caller, row: caller.patch(f"services/{row.pk}", {"is_active": False}),
    ),
    "save_service, a new one": Case(
        "stella",
        lambda cast: None,
        lambda cast, row, actor: operations.save_service(actor=actor, **_SERVICE),
        admin=by_adding("service", **_SERVICE, is_covered="on"),
        api=lambda cast, caller, row: caller.post("services", {**_SERVICE, "is_covered": True}),
    ),
    "save_service, a new external one": Case(
        "stella",
        lambda cast: None,
        lambda cast, row, actor: operations.save_service(actor=actor, **_QUILLO),
        admin=by_adding("service", **_QUILLO, is_covered="on"),
        api=lambda cast, caller, row: caller.post("services", {**_QUILLO, "is_covered": True}),
    ),
    "save_service, an external one": Case(
        "stella",
        lambda cast: cast.quillo(),
        lambda cast, row, actor: operations.save_service(
            service_id=row.pk, actor=actor, **{**_QUILLO, "application": "Quillo 2"}
        ),
        admin=by_button("service", "change", **{**_QUILLO, "application": "Quillo 2"}, is_covered="on", is_active="on"),
        api=lambda cast, caller, row: caller.patch(
            f"services/{row.pk}", {"name": _QUILLO["name"], "application": "Quillo 2"}
        ),
    ),
    "save_service, its levels": Case(
        "stella",
        lambda cast: cast.exchange,
        lambda cast, row, actor: operations.save_service(service_id=row.pk, levels=_LEVELS, actor=actor),
        admin=lambda cast, client, row: by_button(
            *("service", "change"), **_same(row), levels=_LEVELS, is_covered="on", is_active="on"
        )(cast, client, row),
        api=lambda cast, caller, row: caller.patch(
            f"services/{row.pk}",
            {
                "levels": [
                    {"level": "names"},
                    {"level": "view", **_VIEW},
                ]
            },
        ),
    ),
    "save_service, a level that changes things": Case(
        "stella",
        lambda cast: cast.quillo(),
        lambda cast, row, actor: operations.save_service(service_id=row.pk, levels=_ACTING, actor=actor),
        admin=lambda cast, client, row: by_button(
            *("service", "change"), **{**_same(row), **QUILLO}, levels=_ACTING, is_covered="on", is_active="on"
        )(cast, client, row),
        api=lambda cast, caller, row: caller.patch(
            f"services/{row.pk}",
            {"levels": [{"level": "read"}, {"level": "act_as", "for_customer": "work as your user"}]},
        ),
    ),
    "save_service, its gate": Case(
        "stella",
        lambda cast: cast.quillo(),
        lambda cast, row, actor: operations.save_service(
            service_id=row.pk, gate_rules=GATE_RULES, gate_identity=True, gate_upstream=_UPSTREAM, actor=actor
        ),
        admin=lambda cast, client, row: by_button(
            *("service", "change"),
            **{**QUILLO, "key": row.key, "name": row.name, "is_covered": "on", "is_active": "on"},
            levels="names\nread",
            gate_rules=GATE_RULES,
            gate_identity="on",
            gate_upstream=_UPSTREAM,
        )(cast, client, row),
        api=lambda cast, caller, row: caller.patch(
            f"services/{row.pk}", {"gate_rules": GATE_RULES, "gate_identity": True, "gate_upstream": _UPSTREAM}
        ),
    ),
    "add_proxy": Case(
        "stella",
        lambda cast: cast.web_tool(),
        lambda cast, row, actor: operations.add_proxy(row.pk, **_PROXY, actor=actor),
        admin=by_button("service", "add-proxy", **_PROXY),
        api=lambda cast, caller, row: caller.post(f"services/{row.pk}/proxies", _PROXY),
    ),
    "remove_proxy": Case(
        "stella",
        lambda cast: cast.proxy(),
        lambda cast, row, actor: operations.remove_proxy(row.pk, actor=actor),
        admin=by_button("gateproxy", "remove"),
        api=lambda cast, caller, row: caller.post(f"proxies/{row.pk}/remove"),
    ),
    "save_resource": Case(
        "stella",
        lambda cast: cast.resource(),
        lambda cast, row, actor: operations.save_resource(
            resource_id=row.pk, name=row.name, is_active=False, actor=actor
        ),
        admin=lambda cast, client, row: by_button("resource", "change", name=row.name, locator=row.locator)(
            cast, client, row
        ),
        api=lambda cast, caller, row: caller.patch(_path(row), {"name": row.name, "is_active": False}),
    ),
    "save_resource, another locator and external id": Case(
        "stella",
        lambda cast: cast.resource(),
        lambda cast, row, actor: operations.save_resource(
            resource_id=row.pk, locator="contoso/mail/chief", external_id="M-7", actor=actor
        ),
        admin=lambda cast, client, row: by_button(
            "resource", "change", name=row.name, locator="contoso/mail/chief", external_id="M-7", is_active="on"
        )(cast, client, row),
        api=lambda cast, caller, row: caller.patch(_path(row), {"locator": "contoso/mail/chief", "external_id": "M-7"}),
    ),
    "check_resource": Case(
        "stella",
        lambda cast: cast.resource(),
        lambda cast, row, actor: operations.check_resource(row.pk, actor=actor),
        admin=by_button("resource", "check"),
        api=lambda cast, caller, row: caller.post(f"{_path(row)}/check", {}),
    ),
    "save_resource, a new one": Case(
        "stella",
        lambda cast: None,
        lambda cast, row, actor: operations.save_resource(
            tenant_id=cast.contoso.pk, service_id=cast.exchange.pk, actor=actor, **_RESOURCE
        ),
        admin=lambda cast, client, row: by_adding("resource", tenant="contoso", service=cast.exchange.pk, **_RESOURCE)(
            cast, client, row
        ),
        api=lambda cast, caller, row: caller.post(
            f"tenants/{cast.contoso.pk}/resources", {"service": str(cast.exchange.pk), **_RESOURCE}
        ),
    ),
    "save_resource, a new external one": Case(
        "stella",
        lambda cast: cast.quillo(),
        lambda cast, row, actor: operations.save_resource(
            tenant_id=cast.contoso.pk, service_id=row.pk, actor=actor, **_WORKSPACE
        ),
        admin=lambda cast, client, row: by_adding("resource", tenant="contoso", service=row.pk, **_WORKSPACE)(
            cast, client, row
        ),
        api=lambda cast, caller, row: caller.post(
            f"tenants/{cast.contoso.pk}/resources", {"service": str(row.pk), **_WORKSPACE}
        ),
    ),
}
