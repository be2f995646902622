"""Reads the gates of web tools: their proxies, and the session with which somebody asks there."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import cast
from uuid import UUID

from django.conf import settings
from django.db.models import CharField, QuerySet, UUIDField
from django.utils.crypto import constant_time_compare

from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.ids import as_id
from requests_app.domain.link_templates import origin_of
from requests_app.models import GateProxy, GateSession, Grant, OneTimeCode, Service
from requests_app.models.token_keys import verified
from requests_app.platform.database.compiled import CompiledQuery

#: A proxy's secret is not shorter, and a grant token is not longer.
SECRET_MIN, TOKEN_MAX = 32, 16_384
_DETAILS = "lockbox_grant"
#: The cookie of a browser's session at the host of a tool.
SESSION_COOKIE = "__Host-lockbox"


#: These queries run for each request to a web tool. A hash is unique.
_PROXY_WITH = CompiledQuery(
    lambda secret_hash: GateProxy.objects.trusted().select_related("service").filter(secret_hash=secret_hash),
    secret_hash=CharField(),
)
_SESSION_WITH = CompiledQuery(
    lambda secret_hash, service: (
        GateSession.objects.unended().select_related("person").filter(secret_hash=secret_hash, code__service=service)
    ),
    secret_hash=CharField(),
    service=UUIDField(),
)


@dataclass(frozen=True, kw_only=True)
class Asker:
    """Who asks at a gate: an engineer, with one window. Whether the window is open is judged at each request."""

    person_id: UUID
    grant_id: UUID
    #: The one-time code that has brought the engineer here, if there was one, and whether the browser has a session.
    code_id: UUID | None = None
    has_session: bool = False


def proxies(service_id: object, *, actor: Actor) -> QuerySet[GateProxy]:
    """Return the proxies of a web tool, including those that were removed."""
    service = Service.objects.visible_to(actor).find(service_id)
    rows = GateProxy.objects.visible_to(actor).filter(service=service)
    return cast(QuerySet[GateProxy], rows.select_related("service"))


def proxy(proxy_id: object, *, actor: Actor) -> GateProxy:
    return cast(GateProxy, GateProxy.objects.visible_to(actor).select_related("service").find(proxy_id))


def may_be_secret(text: str) -> bool:
    """Return whether this can be the secret of a proxy."""
    return len(text) >= SECRET_MIN


def hash_of(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


def trusted_proxy(secret: str) -> GateProxy | None:
    """Return the proxy with this secret, with its service. Return None if there is no such proxy, or no gate."""
    if not may_be_secret(secret):
        return None
    found: GateProxy | None = next(iter(_PROXY_WITH(secret_hash=hash_of(secret))), None)
    return found if found is not None and found.service.has_gate and found.service.is_active else None


def session(service: Service, headers: Mapping[str, str]) -> Asker | None:
    """Return the session that these headers prove for the tool, or None. The names of the headers are in small letters.

    It is the cookie of the tool's host, or a grant token whose audience is this tool, in `Authorization: Bearer` or in
    `Lockbox-Grant`.
    """
    if (secret := cookie(headers, SESSION_COOKIE)) is not None:
        return _of_secret(service, secret)
    return _of_token(service, _token(headers))


def has_token(headers: Mapping[str, str]) -> bool:
    return bool(_token(headers))


def _token(headers: Mapping[str, str]) -> str:
    kind, _space, token = headers.get("authorization", "").partition(" ")
    return headers.get("lockbox-grant", "") or (token.strip() if kind.lower() == "bearer" else "")


def cookie(headers: Mapping[str, str], name: str) -> str | None:
    """Return the value of a cookie. Return "" if there are two of this name: nobody knows which one counts."""
    pairs = [pair.strip().partition("=") for pair in headers.get("cookie", "").split(";")]
    found = [value for key, _sign, value in pairs if key == name]
    if not found:
        return None
    return found[0] if len(found) == 1 else ""


def window_of(asker: Asker, service: Service) -> Grant | None:
    """Return the asker's window in this tool if it is open now, or None."""
    rows = Grant.objects.live(clock.now()).filter(pk=asker.grant_id, engineer=asker.person_id)
    rows = rows.filter(access_request__service=service)
    return cast("Grant | None", rows.select_related("access_request", "engineer").first())


def still_open(askers: Collection[Asker]) -> set[Asker]:
    """Return those whose window is open now, and whose session or token has not ended early.

    That a token has reached its own end does not matter: it proves who asks only at the start of a request.
    """
    windows = Grant.objects.live(clock.now()).filter(pk__in={each.grant_id for each in askers})
    grants = set(windows.values_list("pk", "engineer"))
    wanted = {each.code_id for each in askers if each.code_id is not None}
    codes = set(OneTimeCode.objects.filter(pk__in=wanted, ended_at=None).values_list("pk", flat=True))
    sessions = GateSession.objects.unended().filter(code__in=wanted).select_related("person")
    signed_in = {row.code_id for row in sessions if _is_signed_in(row)}
    return {
        each
        for each in askers
        if (each.grant_id, each.person_id) in grants
        and (each.code_id is None or each.code_id in codes)
        and (not each.has_session or each.code_id in signed_in)
    }


def tool_at(host: str) -> Service | None:
    """Return the web tool at this host to which the proxy of this product passes requests on, or None."""
    rows = Service.objects.filter(is_active=True).exclude(gate_upstream="")
    found = [row for row in rows if origin_of(row.link_template).partition("://")[2] == host.lower()]
    return found[0] if len(found) == 1 else None


def _is_signed_in(row: GateSession) -> bool:
    return constant_time_compare(row.signed_in, row.person.get_session_auth_hash())


def _of_secret(service: Service, secret: str) -> Asker | None:
    """Return the session with this secret, if it is for this tool and the engineer was not signed out since then."""
    found = _SESSION_WITH(secret_hash=hash_of(secret), service=service.pk)
    row: GateSession | None = next(iter(found), None)
    if row is None or not _is_signed_in(row):
        return None
    return Asker(person_id=row.person_id, grant_id=row.grant_id, code_id=row.code_id, has_session=True)


def _of_token(service: Service, token: str) -> Asker | None:
    claims = verified(token, typ="at+jwt") if 0 < len(token) <= TOKEN_MAX else None
    if claims is None or claims.get("iss") != settings.BASE_URL:
        return None
    ends, details = claims.get("exp"), claims.get("authorization_details")
    if claims.get("aud") != f"{settings.BASE_URL}/services/{service.key}" or not isinstance(ends, int):
        return None
    if ends <= clock.now().timestamp() or not isinstance(details, list):
        return None
    grants = {as_id(each.get("grant_id")) for each in details if each.get("type") == _DETAILS}
    person = as_id(claims.get("sub"))
    if len(grants) != 1 or None in grants or person is None:
        return None
    code = as_id(claims.get("sid"))
    if "sid" in claims and not OneTimeCode.objects.alive(code):
        return None
    return Asker(person_id=person, grant_id=cast(UUID, grants.pop()), code_id=code)
