"""Test cases for the acts on a tenant and its settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.urls import reverse

from requests_app import operations
from requests_app.models import NotificationAddress, Tenant
from tests.acts.case import Case
from tests.acts.shared import AZURE, TENANT, VERSION, by_adding, by_button
from tests.caller import Caller
from tests.cast import Cast
from tests.passkeys import enrolled


def _address(cast: Cast) -> NotificationAddress:
    return operations.add_address(cast.contoso.pk, email="duty@contoso.example", actor=cast.as_("ines"))


def _call_yes_rule(cast: Cast, caller: Caller, row: Any) -> Any:
    path = f"tenants/{cast.contoso.pk}"
    return caller.patch(path, {"yes_rule": "signed"}, If_Match=caller.get(path)["ETag"])


def _call_cap(cast: Cast, caller: Caller, row: Any) -> Any:
    """Read the tenant's settings over the API, and change them with the ETag that this call returned."""
    path = f"tenants/{cast.contoso.pk}"
    return caller.patch(path, {"longest_window_seconds": 3600}, If_Match=caller.get(path)["ETag"])


def _off(cast: Cast) -> Tenant:
    cast.agreed(lambda: operations.switch_off_tenant(cast.contoso.pk, actor=cast.as_("stella")))
    return cast.contoso


def _with_a_store(cast: Cast) -> Tenant:
    (Path(settings.CONTENT_ROOT) / cast.contoso.slug).mkdir(parents=True, exist_ok=True)
    return cast.contoso


CASES: dict[str, Case] = {
    "find_resources": Case(
        "stella",
        _with_a_store,
        lambda cast, row, actor: operations.find_resources(row.pk, service_id=cast.exchange.pk, actor=actor),
        admin=lambda cast, client, row: by_button("tenant", "find-resources", service=cast.exchange.pk)(
            cast, client, row
        ),
        status=200,
    ),
    "switch_off_tenant": Case(
        "stella",
        lambda cast: cast.contoso,
        lambda cast, row, actor: operations.switch_off_tenant(row.pk, actor=actor),
        admin=by_button("tenant", "switch-off"),
        api=lambda cast, caller, row: caller.post(f"tenants/{row.pk}/switch-off"),
    ),
    "switch_off_tenant, never with Lockbox on": Case(
        "stella",
        lambda cast: cast.northwind,
        lambda cast, row, actor: operations.switch_off_tenant(row.pk, actor=actor),
        admin=by_button("tenant", "switch-off"),
        api=lambda cast, caller, row: caller.post(f"tenants/{row.pk}/switch-off"),
    ),
    "switch_on_tenant": Case(
        "stella",
        _off,
        lambda cast, row, actor: operations.switch_on_tenant(row.pk, actor=actor),
        admin=by_button("tenant", "switch-on"),
        api=lambda cast, caller, row: caller.post(f"tenants/{row.pk}/switch-on"),
    ),
    "set_approval_page": Case(
        "ines",
        lambda cast: None,
        lambda cast, row, actor: operations.set_approval_page(
            cast.contoso.pk, origin="https://approvals.contoso.example", keys_only=False, actor=actor
        ),
        page=lambda cast, client, row: client.post(
            reverse("web:set_approval_page", args=[cast.contoso.pk]),
            {"origin": "https://approvals.contoso.example/", "rp_id": ""},
        ),
    ),
    "switch_lockbox": Case(
        "ines",
        lambda cast: None,
        lambda cast, row, actor: operations.switch_lockbox(cast.contoso.pk, on=False, actor=actor),
        page=lambda cast, client, row: client.post(reverse("web:lockbox", args=[cast.contoso.pk, "off"])),
        api=lambda cast, caller, row: caller.post(f"tenants/{cast.contoso.pk}/disable-lockbox"),
        azure=lambda cast, caller, row: caller.post(f"{AZURE}/disableLockbox?{VERSION}"),
    ),
    "switch_lockbox, on": Case(
        "ines",
        lambda cast: operations.switch_lockbox(cast.contoso.pk, on=False, actor=cast.as_("ines")),
        lambda cast, row, actor: operations.switch_lockbox(cast.contoso.pk, on=True, actor=actor),
        page=lambda cast, client, row: client.post(reverse("web:lockbox", args=[cast.contoso.pk, "on"])),
        api=lambda cast, caller, row: caller.post(f"tenants/{cast.contoso.pk}/enable-lockbox"),
        azure=lambda cast, caller, row: caller.post(f"{AZURE}/enableLockbox?{VERSION}"),
    ),
    "set_yes_rule": Case(
        "ines",
        lambda cast: enrolled(cast, "ada"),
        lambda cast, row, actor: operations.set_yes_rule(cast.contoso.pk, rule="signed", actor=actor),
        page=lambda cast, client, row: client.post(reverse("web:yes_rule", args=[cast.contoso.pk]), {"rule": "signed"}),
        api=_call_yes_rule,
    ),
    "rule_out_level": Case(
        "ines",
        lambda cast: None,
        lambda cast, row, actor: operations.rule_out_level(cast.contoso.pk, level="read", actor=actor),
        page=lambda cast, client, row: client.post(
            reverse("web:level_rules", args=[cast.contoso.pk]), {"act": "rule_out_level", "level": "read"}
        ),
        api=lambda cast, caller, row: caller.post(f"tenants/{cast.contoso.pk}/rule-out-level", {"level": "read"}),
    ),
    "allow_level": Case(
        "ines",
        lambda cast: operations.rule_out_level(cast.contoso.pk, level="view", actor=cast.as_("ines")),
        lambda cast, row, actor: operations.allow_level(cast.contoso.pk, level="view", actor=actor),
        page=lambda cast, client, row: client.post(
            reverse("web:level_rules", args=[cast.contoso.pk]), {"act": "allow_level", "level": "view"}
        ),
        api=lambda cast, caller, row: caller.post(f"tenants/{cast.contoso.pk}/allow-level", {"level": "view"}),
    ),
    "rule_out_level, act as": Case(
        "ines",
        lambda cast: operations.allow_level(cast.contoso.pk, level="act_as", actor=cast.as_("ines")),
        lambda cast, row, actor: operations.rule_out_level(cast.contoso.pk, level="act_as", actor=actor),
        page=lambda cast, client, row: client.post(
            reverse("web:level_rules", args=[cast.contoso.pk]), {"act": "rule_out_level", "level": "act_as"}
        ),
        api=lambda cast, caller, row: caller.post(f"tenants/{cast.contoso.pk}/rule-out-level", {"level": "act_as"}),
    ),
    "allow_level, act as": Case(
        "ines",
        lambda cast: None,
        lambda cast, row, actor: operations.allow_level(cast.contoso.pk, level="act_as", actor=actor),
        page=lambda cast, client, row: client.post(
            reverse("web:level_rules", args=[cast.contoso.pk]), {"act": "allow_level", "level": "act_as"}
        ),
        api=lambda cast, caller, row: caller.post(f"tenants/{cast.contoso.pk}/allow-level", {"level": "act_as"}),
    ),
    "set_window_cap": Case(
        "ines",
        lambda cast: None,
        lambda cast, row, actor: operations.set_window_cap(cast.contoso.pk, seconds=3600, actor=actor),
        page=lambda cast, client, row: client.post(
            reverse("web:tenant", args=[cast.contoso.pk]), {"window_cap": "3600"}
        ),
        api=_call_cap,
    ),
    "add_address": Case(
        "ines",
        lambda cast: None,
        lambda cast, row, actor: operations.add_address(
            cast.contoso.pk, email="soc@contoso.example", label="SOC", actor=actor
        ),
        page=lambda cast, client, row: client.post(
            reverse("web:addresses", args=[cast.contoso.pk]), {"email": "soc@contoso.example", "label": "SOC"}
        ),
        api=lambda cast, caller, row: caller.post(
            f"tenants/{cast.contoso.pk}/addresses", {"email": "soc@contoso.example", "label": "SOC"}
        ),
    ),
    "remove_address": Case(
        "ines",
        _address,
        lambda cast, row, actor: operations.remove_address(row.pk, actor=actor),
        page=lambda cast, client, row: client.post(
            reverse("web:addresses", args=[cast.contoso.pk]), {"remove": str(row.pk)}
        ),
        api=lambda cast, caller, row: caller.delete(f"tenants/{cast.contoso.pk}/addresses/{row.pk}"),
    ),
    "create_tenant": Case(
        "stella",
        lambda cast: cast.contoso.plan,
        lambda cast, row, actor: operations.create_tenant(plan_id=row.pk, actor=actor, **TENANT),
        admin=lambda cast, client, row: by_adding("tenant", plan=row.pk, **TENANT)(cast, client, row),
        api=lambda cast, caller, row: caller.post(
            "tenants",
            {"plan": str(row.pk), "short_name": TENANT["slug"], **{n: v for n, v in TENANT.items() if n != "slug"}},
        ),
    ),
    "change_tenant": Case(
        "stella",
        lambda cast: cast.contoso,
        lambda cast, row, actor: operations.change_tenant(
            row.pk,
            plan_id=row.plan_id,
            name="Contoso AG",
            slug=row.slug,
            time_zone="UTC",
            external_id="C-1",
            actor=actor,
        ),
        admin=lambda cast, client, row: by_button(
            "tenant", "change", plan=row.plan_id, name="Contoso AG", slug=row.slug, time_zone="UTC", external_id="C-1"
        )(cast, client, row),
        api=lambda cast, caller, row: caller.post(
            f"tenants/{row.pk}/change", {"name": "Contoso AG", "external_id": "C-1"}
        ),
    ),
}
