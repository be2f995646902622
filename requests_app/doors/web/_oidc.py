"""What the sign-in over OpenID Connect needs besides the protocol: cached metadata, and who the claims say came."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any

from django.core.cache import cache

from requests_app.identity.sso import oidc
from requests_app.identity.sso.failures import SignOnFailed
from requests_app.identity.sso.oidc import Metadata, Party
from requests_app.models import SignOn
from requests_app.operations import AssertedIdentity
from requests_app.queries import single_sign_on as queries

#: For how many seconds a discovery document is used for everybody, and for how many seconds an issuer is not asked
#: again after it did not answer. Anybody can enter an address, and must not keep the issuer or the workers busy in this
#: way.
DISCOVERED_SECONDS, DOWN_SECONDS = 60, 15
_MOST_GROUPS, _MOST_NAME = 500, 120


def discovered(party: Party) -> Metadata:
    """Return the issuer's metadata. The issuer is asked only after the cached metadata has expired.

    Raise SignOnFailed if the issuer does not answer, or did not answer a moment ago.
    """
    key = f"sso:discovered:{hashlib.sha256(party.issuer.encode()).hexdigest()}"
    trip = cache.get(key)
    if isinstance(trip, str):
        raise SignOnFailed(trip)
    if isinstance(trip, dict):
        return Metadata(**trip)
    try:
        found = oidc.discover(party)
    except SignOnFailed as failure:
        cache.set(key, failure.code, DOWN_SECONDS)
        raise
    cache.set(key, asdict(found), DISCOVERED_SECONDS)
    return found


def came(found: queries.SignOnConnection, party: Party, claims: dict[str, Any]) -> AssertedIdentity:
    row = SignOn.objects.filter(tenant=found.tenant_id).first() if found.tenant_id else None
    key_claim, groups_claim = (row.key_claim, row.groups_claim) if row else ("sub", "")
    key, email = claims.get(key_claim), claims.get("email")
    verified = claims.get("email_verified")
    # Some providers write a boolean as text. All other values count as false.
    is_verified = verified is True or verified == "true" or claims.get("xms_edov") in (True, 1, "1", "true")
    return AssertedIdentity(
        issuer=party.issuer,
        subject=claims["sub"],
        name=str(claims.get("name", ""))[:_MOST_NAME],
        email=email.strip().lower() if isinstance(email, str) else "",
        email_is_verified=is_verified,
        directory_key=key if isinstance(key, str) else "",
        groups=_groups(claims.get(groups_claim)) if groups_claim else None,
    )


def _groups(value: Any) -> tuple[str, ...] | None:
    """Return the groups, or None if the token does not name them.

    A person with too many groups for a token still has groups, so None does not mean "no groups".
    """
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list):
        return None
    return tuple(each for each in values[:_MOST_GROUPS] if isinstance(each, str))
