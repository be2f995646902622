"""Test cases for the acts on a tenant’s single sign-on, and of the sign-in itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from django.test import Client
from django.urls import reverse

from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.identity.sso import domains
from requests_app.identity.sso.saml.questions import ServiceKey
from requests_app.models import Identity
from tests import saml_idp
from tests.acts.case import Case
from tests.acts.shared import by_button
from tests.caller import Caller
from tests.cast import Cast


def _domain(cast: Cast) -> Any:
    return operations.claim_domain(cast.contoso.pk, name="contoso.example", actor=cast.as_("ines"))


def _sign_on(cast: Cast, row: Any, actor: Actor, issuer: str = "https://idp.example") -> Any:
    """Set up the tenant's connection. If `row` is given, change it instead."""
    fields: dict[str, Any] = {"client_id": "lockbox", "client_secret": "x", "role_map": {"g": "auditor"}}
    connection, was = operations.Connection(issuer=issuer, **fields), row.changed_at if row else None
    return operations.set_sign_on(cast.contoso.pk, connection=connection, was=was, actor=actor)


def _sign_on_page(cast: Cast, client: Client, row: Any) -> Any:
    page = reverse("web:sign_on", args=[cast.contoso.pk])
    form = {
        "issuer": "https://idp.example",
        "client_id": "lockbox",
        "client_secret": "x",
        "scopes": "openid profile email",
        "key_claim": "sub",
        "role_map": "g = auditor",
    }
    return client.post(page, {**form, "shown": client.get(page).context["form"]["shown"].value() or ""})


def _identity(cast: Cast) -> Identity:
    return Identity.objects.create(
        tenant=cast.contoso, issuer="https://idp.example", subject="s", person=cast.mia, linked_at=clock.now()
    )


def _own_identity(cast: Cast) -> Identity:
    """Return the identity of a person of the provider."""
    return Identity.objects.create(issuer="https://idp.example", subject="s", person=cast.priya, linked_at=clock.now())


def _with_file(call: Callable[[], Any]) -> Any:
    """Run `call` as if the domain's web server showed the right challenge."""
    with patch.object(domains, "problem", lambda name, challenge, *, peer: ""):
        return call()


def _call_check(cast: Cast, caller: Caller, row: Any) -> Any:
    with patch.object(domains, "problem", lambda name, challenge, *, peer: ""):
        return caller.post(f"domains/{row.pk}/check")


def with_fixed_keys(call: Callable[[], Any], number: int = 0) -> Any:
    """Run `call` as if each new key of the service provider were this one: the entries name the keys."""
    key = ServiceKey(private="", certificate=saml_idp.fixed_certificate(number))
    with patch.object(ServiceKey, "new", lambda name, *, at: key):
        return call()


def _renewed(call: Callable[[], Any]) -> Any:
    return with_fixed_keys(call, 1)


def _saml(cast: Cast, row: Any, actor: Actor) -> Any:
    return with_fixed_keys(lambda: _set_saml(cast, row, actor))


def _set_saml(cast: Cast, row: Any, actor: Actor) -> Any:
    connection = operations.Connection(protocol="saml", metadata=SAML["metadata"], key_claim="", role_map={})
    return operations.set_sign_on(
        cast.contoso.pk, connection=connection, was=row.changed_at if row else None, actor=actor
    )


SAML = {"protocol": "saml", "metadata": saml_idp.metadata(saml_idp.fixed_certificate(9)).decode()}

SIGN_ON = {"issuer": "https://idp.example", "client_id": "lockbox", "client_secret": "x", "role_map": {"g": "auditor"}}


def _sign_on_again(cast: Cast, caller: Caller, row: Any) -> Any:
    path = f"tenants/{cast.contoso.pk}/sign-on"
    return caller.put(path, SIGN_ON, If_Match=caller.get(path)["ETag"])


CASES: dict[str, Case] = {
    "set_sign_on": Case(
        "ines",
        lambda cast: None,
        _sign_on,
        page=_sign_on_page,
        api=lambda cast, caller, row: caller.put(f"tenants/{cast.contoso.pk}/sign-on", SIGN_ON),
    ),
    "set_sign_on, again": Case(
        "ines",
        lambda cast: _sign_on(cast, None, cast.as_("ines"), issuer="https://old.example"),
        _sign_on,
        _sign_on_page,
        api=_sign_on_again,
    ),
    "set_sign_on, with SAML": Case(
        "ines",
        lambda cast: None,
        _saml,
        page=lambda cast, client, row: with_fixed_keys(
            lambda: client.post(
                reverse("web:sign_on_saml", args=[cast.contoso.pk]), {"metadata": SAML["metadata"], "shown": ""}
            )
        ),
        api=lambda cast, caller, row: with_fixed_keys(lambda: caller.put(f"tenants/{cast.contoso.pk}/sign-on", SAML)),
    ),
    "renew_sign_on_key": Case(
        "ines",
        lambda cast: _saml(cast, None, cast.as_("ines")),
        lambda cast, row, actor: _renewed(lambda: operations.renew_sign_on_key(cast.contoso.pk, had=1, actor=actor)),
        page=lambda cast, client, row: _renewed(
            lambda: client.post(reverse("web:sign_on_key", args=[cast.contoso.pk]), {"had": "1"})
        ),
        api=lambda cast, caller, row: _renewed(
            lambda: caller.post(f"tenants/{cast.contoso.pk}/sign-on/key", {"had": 1})
        ),
    ),
    "claim_domain": Case(
        "ines",
        lambda cast: None,
        lambda cast, row, actor: operations.claim_domain(cast.contoso.pk, name="contoso.example", actor=actor),
        page=lambda cast, client, row: client.post(
            reverse("web:sign_on_domains", args=[cast.contoso.pk]), {"name": "contoso.example"}
        ),
        api=lambda cast, caller, row: caller.post(f"tenants/{cast.contoso.pk}/domains", {"name": "contoso.example"}),
    ),
    "verify_domain": Case(
        "ines",
        _domain,
        lambda cast, row, actor: _with_file(lambda: operations.verify_domain(row.pk, actor=actor)),
        page=lambda cast, client, row: _with_file(
            lambda: client.post(reverse("web:sign_on_domains", args=[cast.contoso.pk]), {"check_domain": row.pk})
        ),
        api=_call_check,
    ),
    "remove_domain": Case(
        "ines",
        _domain,
        lambda cast, row, actor: operations.remove_domain(row.pk, actor=actor),
        page=lambda cast, client, row: client.post(
            reverse("web:sign_on_domains", args=[cast.contoso.pk]), {"remove_domain": row.pk}
        ),
        api=lambda cast, caller, row: caller.delete(f"domains/{row.pk}"),
    ),
    "unlink_identity": Case(
        "ines",
        _identity,
        lambda cast, row, actor: operations.unlink_identity(row.pk, actor=actor),
        page=lambda cast, client, row: client.post(
            reverse("web:person", args=[cast.contoso.pk, row.person_id]), {"act": "unlink", "identity": row.pk}
        ),
        api=lambda cast, caller, row: caller.delete(f"identities/{row.pk}"),
    ),
    "unlink_identity by staff": Case(
        "stella",
        _own_identity,
        lambda cast, row, actor: operations.unlink_identity(row.pk, actor=actor),
        admin=by_button("identity", "unlink"),
        api=lambda cast, caller, row: caller.delete(f"identities/{row.pk}"),
    ),
}
