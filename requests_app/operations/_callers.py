"""What the acts on clients and tokens share: who may have which scopes, and what an entry says about a caller."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import uuid4

from django.utils.translation import gettext as _

from requests_app.domain.actors import Actor
from requests_app.domain.errors import (
    InsufficientScope,
    NotAllowed,
    Unacceptable,
)
from requests_app.domain.ids import as_id
from requests_app.domain.scopes import OF_CLIENTS, OF_PROVIDER_CLIENTS, Scope, in_order, known
from requests_app.messages.topics import Audience, Note, Topic
from requests_app.models import Client, Person, Service, Tenant, Token
from requests_app.operations._change import Step

#: The value of an argument that was not given.
UNCHANGED = object()


def may_hold_secret(current: Step) -> None:
    """Raise InsufficientScope unless the actor's token has all scopes that the client's secret would give."""
    require_held(current.actor, current.row.scopes)


def new_account(name: str, client: Client, *, at: datetime) -> Person:
    """Return a new account for the client. Nobody can sign in with it, and its address can't get mail (RFC 2606)."""
    account = Person(
        email=f"{client.pk}@client.invalid",
        name=name,
        side=Person.Side.CUSTOMER if client.tenant_id else Person.Side.PROVIDER,
        kind=Person.Kind.CLIENT,
        created_at=at,
    )
    account.set_unusable_password()
    account.save(force_insert=True)
    return account


def require_human(actor: Actor) -> None:
    """Raise NotAllowed for a client. If a client could make other clients, these would still work after its removal."""
    if actor.machine is not None or not actor.is_person:
        raise NotAllowed


def require_held(actor: Actor, wanted: Iterable[str]) -> None:
    """Raise InsufficientScope if the actor uses a token that does not have all the wanted scopes itself."""
    if actor.scopes is not None and (more := known(wanted) - actor.scopes):
        raise InsufficientScope(in_order(more)[0])


def needs_two(client: Client) -> bool:
    """Return whether the client's tenant is under two-person control. Call this after the log is locked."""
    return client.tenant_id is not None and Tenant.objects.filter(pk=client.tenant_id, needs_two=True).exists()


def decider(person_id: object, client: Client) -> Person | None:
    if person_id is None:
        return None
    if client.tenant is None or Scope.DECISIONS_WRITE not in client.scopes:
        words = _("Only a tenant’s own client with the scope %(scope)s can approve and deny for somebody.")
        raise Unacceptable(words % {"scope": Scope.DECISIONS_WRITE}, field="decides_for")
    approvers = Person.objects.get_queryset().approvers_of(client.tenant_id)
    person = next((each for each in approvers if str(each.pk) == str(person_id)), None)
    if person is None:
        raise Unacceptable(_("Choose an approver of this tenant."), field="decides_for")
    return person


def guarded(service_id: object, client: Client) -> Service | None:
    """Return the service that a client guards. Raise Unacceptable without it, or if the client guards nothing."""
    if (Scope.GUARD in client.scopes) is not (service_id is not None):
        words = _("A client with the scope %(scope)s needs a service, and no other client has one.")
        raise Unacceptable(words % {"scope": Scope.GUARD}, field="service")
    if service_id is None:
        return None
    pk = as_id(service_id)
    found: Service | None = Service.objects.filter(pk=pk, is_active=True).first() if pk is not None else None
    if found is None or not found.is_external:
        words = _("Choose an external service: the application of another service can’t be guarded.")
        raise Unacceptable(words, field="service")
    return found


def set_guarded(client: Client, service_id: object, gained: set[str]) -> None:
    if Scope.GUARD in gained or Scope.GUARD not in client.scopes:
        client.service = guarded(None if service_id is UNCHANGED else service_id, client)
    elif service_id is not UNCHANGED and as_id(service_id) != client.service_id:
        # Customers got notice about this service.
        words = _("This client guards another service. Make a separate client for each service.")
        raise Unacceptable(words, field="service")


def client_scopes(names: Iterable[str], tenant: Tenant | None) -> list[str]:
    found = scopes_in(names, OF_CLIENTS if tenant is not None else OF_PROVIDER_CLIENTS)
    if tenant is None and Scope.MEMBERS_PROVISION in found and len(found) > 1:
        words = _("A client of the provider with the scope %(scope)s can have no other scope. Make a separate client.")
        raise Unacceptable(words % {"scope": Scope.MEMBERS_PROVISION}, field="scopes")
    return in_order(found)


def scopes_in(names: Iterable[str], allowed: frozenset[Scope]) -> frozenset[Scope]:
    found = frozenset(names)
    if not found or not found <= {str(scope) for scope in allowed}:
        words = _("Choose at least one of these: %(scopes)s.")
        raise Unacceptable(words % {"scopes": ", ".join(in_order(allowed))}, field="scopes")
    return frozenset(Scope(name) for name in found)


def revoke_all(account: Person, current: Step) -> None:
    live = Token.objects.filter(account=account).live(current.at)
    live.update(revoked_at=current.at, revoked_by=current.actor.person)


def tell_of_decider(current: Step, client: Client) -> None:
    """Send a mail to the approvers, because a change of who decides must never go without a message."""
    if client.tenant_id is None or client.decides_for is None:
        return
    current.tell(
        Note(
            topic=Topic.CLIENT_DECIDES,
            tenant_id=client.tenant_id,
            about=client.pk,
            audiences=(Audience.CUSTOMER,),
            mark=uuid4().hex,
            extra={"client": str(client), "for": client.decides_for.name, "by": current.actor.name},
        )
    )


def named(client: Client) -> dict[str, Any]:
    return {"client": str(client.pk), "name": client.account.name}


def described(client: Client) -> dict[str, Any]:
    person = client.decides_for
    return {
        **named(client),
        "scopes": list(client.scopes),
        "decides_for": person.name if person else None,
        "decides_for_id": str(person.pk) if person else None,
        **service_of(client),
    }


def service_of(client: Client) -> dict[str, str]:
    service = client.service
    return {} if service is None else {"service": str(service.pk), "service_name": service.name}


def of_token(token: Token, person: Person) -> dict[str, Any]:
    return {
        "token": str(token.pk),
        "name": token.name,
        "hint": token.hint,
        "scopes": list(token.scopes),
        "person": str(person.pk),
        "person_name": person.name,
    }
