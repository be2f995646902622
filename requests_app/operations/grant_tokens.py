"""Gives grant tokens: to the engineer of a window, and to the application that renews one.

Each time, the window is judged as for an access to content. The entry is committed, and then the token is signed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils.translation import gettext as _

from audit_app import canonical
from requests_app.domain import limits
from requests_app.domain.actors import Actor
from requests_app.domain.acts.access_requests import RELEASE
from requests_app.domain.acts.grant_tokens import (
    EXCHANGE_CODE,
    GRANT_TOKEN_ISSUED,
    ISSUE_GRANT_TOKEN,
    RENEW_GRANT_TOKEN,
)
from requests_app.domain.errors import (
    CodeForeign,
    GrantTokenEnded,
    GrantTokenForeign,
    GrantTokenNotRenewable,
    NotAllowed,
    NotCovered,
    NotFound,
    Unacceptable,
    WindowNotOpen,
    WrongState,
)
from requests_app.domain.ids import as_id
from requests_app.domain.levels import NEEDED, covers
from requests_app.models import AccessRequest, AccessRequestResource, Client, Grant, OneTimeCode, Person, Service
from requests_app.models.people import actor_of, in_name_of
from requests_app.models.token_keys import ALGORITHMS, LONGEST_TOKEN, algorithm_of, signed, verified
from requests_app.operations._change import Step, act, change, once
from requests_app.operations._ending import close_grant
from requests_app.operations._windows import concern, find_window, require_window, windows
from requests_app.platform import token_ids
from requests_app.queries import callers

#: What kind of token this is (RFC 9068), and the type of its authorization details (RFC 9396).
TYPE, DETAIL = "at+jwt", "lockbox_grant"
#: The `client_id` of a token that the engineer got from us, and not through a client.
LOCKBOX = "lockbox"


@dataclass(frozen=True)
class GrantToken:
    """A new token. It is shown once and never stored. `expires_in` is its lifetime in seconds."""

    token: str
    audience: str
    expires_at: datetime
    expires_in: int


def audience_of(service: Service) -> str:
    """Return the name of the application in its tokens. A token for another application has another one."""
    return f"{settings.BASE_URL}/services/{service.key}"


def issue_grant_token(grant_id: object, *, alg: str = "RS256", actor: Actor) -> GrantToken:
    """Give the engineer of an open window a token for the application that holds its content."""
    _require_algorithm(alg)
    with act(ISSUE_GRANT_TOKEN, actor=actor) as current:
        grant = find_window(current, grant_id)
        # The window is the engineer's. A client that acts in the name of an engineer gets nothing here.
        if current.actor.machine is not None:
            raise NotAllowed
        require_window(current, grant, current.actor)
        claims = _claims(current, grant, Person.objects.get(pk=current.actor.person), {"client_id": LOCKBOX})
    return _sealed(claims, alg)


def renew_grant_token(former: str, *, actor: Actor) -> GrantToken:
    """Give an application a new token in exchange for one that it accepts and that has not ended (RFC 8693).

    Only a token that came through a one-time code is renewed. If it was renewed a moment ago, by another process of the
    application, the answer is that same token again: a stolen secret can't fill the customer's log. Everything about
    the window and its engineer is judged again. The new token has the algorithm of the former one. Raise NotFound if
    the former token is not one of ours.
    """
    claims = verified(former, typ=TYPE)
    grant_id, person_id = _named(claims)
    with act(RENEW_GRANT_TOKEN, actor=actor) as current:
        assert claims is not None
        grant: Grant = windows(current.actor).locked().find(grant_id)
        concern(current, grant)
        client = callers.guard(current.actor)
        person = Person.objects.get_queryset().filter(pk=person_id).first()
        if person is None:
            raise NotFound
        current.detail = {"engineer": person.name, "engineer_id": str(person.pk), "client": str(client.pk)}
        _require_audience(claims, grant, client)
        if current.at >= _instant(claims["exp"]):
            raise GrantTokenEnded
        require_window(current, grant, actor_of(person, door=current.actor.door))
        code = _session_of(claims)
        about = {"client_id": str(client.pk), "sid": str(code.pk)}
        if code.renewed_at is not None and current.at - code.renewed_at < limits.TOKEN_RENEWED_EVERY:
            anew = _claims_at(code.renewed_at, code.renewed_jti, current, grant, person, about)
        else:
            anew = _claims(current, grant, person, about)
            OneTimeCode.objects.filter(pk=code.pk).update(renewed_at=current.at, renewed_jti=anew["jti"])
    return _sealed(anew, algorithm_of(former))


def exchange_code(code_id: object, *, actor: Actor) -> GrantToken:
    """Give an application a grant token for a code that it has just redeemed. Call this only after `redeem_code`.

    The token and each one that renews it carry the id of the code as `sid`.
    """
    with act(EXCHANGE_CODE, actor=actor) as current:
        code: OneTimeCode = OneTimeCode.objects.visible_to(current.actor).select_related("person").find(code_id)
        grant: Grant = windows(current.actor).locked().find(code.grant_id)
        concern(current, grant)
        client = callers.guard(current.actor)
        current.detail = {"engineer": code.person.name, "engineer_id": str(code.person_id), "client": str(client.pk)}
        # Asked under the lock: another use of the code may have ended it since it was redeemed.
        if code.client_id != client.pk or not OneTimeCode.objects.alive(code.pk):
            raise CodeForeign
        require_window(current, grant, actor_of(code.person, door=current.actor.door))
        claims = _claims(current, grant, code.person, {"client_id": str(client.pk), "sid": str(code.pk)})
    return _sealed(claims, ALGORITHMS[0])


@once
def release_with_token(token: str, *, actor: Actor) -> AccessRequest:
    """Close the window of a grant token early, as its engineer, who has finished in the application.

    The application acts in the name of the engineer, and the token proves that they use it. Raise NotFound if the token
    is not one of ours.
    """
    claims = verified(token, typ=TYPE)
    grant_id, person_id = _named(claims)
    assert claims is not None
    client, person = callers.guard(actor), Person.objects.get_queryset().filter(pk=person_id).first()
    if person is None:
        raise NotFound
    grant: Grant = windows(actor).find(grant_id)
    with change(grant.access_request_id, RELEASE, actor=in_name_of(actor, person)) as step:
        _require_audience(claims, grant, client)
        if step.at >= _instant(claims["exp"]):
            raise GrantTokenEnded
        close_grant(step, Grant.CloseReason.RELEASED)
    return step.row


def _session_of(claims: dict[str, Any]) -> OneTimeCode:
    """Return the code that a former token came from. Raise GrantTokenEnded if this code was used twice.

    A token that a person copied has none. It could be in anybody's hands, so it ends after five minutes.
    """
    session = claims.get("sid")
    if session is None:
        raise GrantTokenNotRenewable
    code: OneTimeCode | None = OneTimeCode.objects.filter(pk=session, used_at__isnull=False, ended_at=None).first()
    if code is None:
        raise GrantTokenEnded
    return code


def _require_audience(claims: dict[str, Any], grant: Grant, client: Client) -> None:
    """Raise GrantTokenForeign unless this installation made the token for the application of this client."""
    assert client.service is not None
    is_of_client = grant.access_request.service_id == client.service_id
    if not is_of_client or (claims["iss"], claims["aud"]) != (settings.BASE_URL, audience_of(client.service)):
        raise GrantTokenForeign


def _require_algorithm(alg: str) -> None:
    if alg not in ALGORITHMS:
        words = _("Choose one of these: %(choices)s.")
        raise Unacceptable(words % {"choices": ", ".join(ALGORITHMS)}, field="alg")


def _named(claims: dict[str, Any] | None) -> tuple[object, UUID]:
    """Return the grant and the person that a former token names. Raise NotFound if it is no grant token of ours."""
    details = (claims or {}).get("authorization_details")
    first = details[0] if isinstance(details, list) and details else None
    person_id = as_id((claims or {}).get("sub"))
    if not isinstance(first, dict) or first.get("type") != DETAIL or person_id is None:
        raise NotFound
    return first.get("grant_id"), person_id


def _claims(current: Step, grant: Grant, person: Person, client: dict[str, str]) -> dict[str, Any]:
    """Write the entry about a new token, and return its claims. Nothing else is judged after this."""
    jti = token_ids.made(grant.pk, person.pk)
    claims = _claims_at(current.at, jti, current, grant, person, client)
    current.witness(
        GRANT_TOKEN_ISSUED,
        detail={
            "reference": grant.access_request.reference,
            "enforced_by": grant.access_request.enforced_by,
            "audience": claims["aud"],
            "level": grant.level,
            "jti": jti,
            "until_at": canonical.instant(_instant(claims["exp"])),
        },
        text=f"{person.name} {grant.access_request.reference}",
    )
    return claims


def _claims_at(
    at: datetime, jti: str, current: Step, grant: Grant, person: Person, client: dict[str, str]
) -> dict[str, Any]:
    """Return the claims of a token that is given at this time. Raise a DomainError if no token can be given."""
    service = grant.access_request.service
    details = _details(grant, service)
    _require_receiver(grant, service, details)
    # Whole seconds, rounded down, so that the token never outlives the window.
    begins, ends = int(at.timestamp()), int(min(grant.closes_at, at + LONGEST_TOKEN).timestamp())
    if ends <= current.at.timestamp():
        raise WindowNotOpen
    who = {"sub": str(person.pk), "email": person.email, "name": person.name}
    times = {"iat": begins, "exp": ends, "jti": jti}
    return {
        "iss": settings.BASE_URL,
        "aud": audience_of(service),
        **who,
        **client,
        **times,
        "authorization_details": details,
    }


def _require_receiver(grant: Grant, service: Service, details: list[dict[str, Any]]) -> None:
    """Raise a DomainError unless an application holds this content, and a guard or a gate ends what a token gives."""
    if grant.access_request.is_practice or not service.is_external or not details:
        raise NotCovered(_("Only content that an application of the provider holds has grant tokens."))
    if not callers.takes_tokens(service):
        raise WrongState(_("The application has no guard and no gate yet, so it accepts no grant token."))


def _details(grant: Grant, service: Service) -> list[dict[str, Any]]:
    """Return one item for each resource of the window that is in use (RFC 9396)."""
    lines = AccessRequestResource.objects.filter(access_request=grant.access_request).select_related(
        "resource__service", "resource__tenant"
    )
    shared = {
        "type": DETAIL,
        "grant_id": str(grant.pk),
        "reference": grant.access_request.reference,
        "level": str(grant.level),
        "actions": [str(action) for action, needed in NEEDED.items() if covers(grant.level, needed)],
        "tenant": str(grant.tenant_id),
        "tenant_slug": grant.tenant.slug,
        "service": service.key,
        "window_end": f"{grant.closes_at:%Y-%m-%dT%H:%M:%SZ}",
    }
    resources = [line.resource for line in lines if line.resource.is_in_use and line.resource.is_external]
    return [
        {**shared, "resource": str(each.pk), "identifier": each.external_id}
        for each in sorted(resources, key=lambda each: (each.name, str(each.pk)))
    ]


def _sealed(claims: dict[str, Any], alg: str) -> GrantToken:
    token = signed(claims, typ=TYPE, alg=alg)
    return GrantToken(token, claims["aud"], _instant(claims["exp"]), claims["exp"] - claims["iat"])


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)
