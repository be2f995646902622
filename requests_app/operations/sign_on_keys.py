"""Renews the keys with which a tenant's SAML connection signs and decrypts."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from requests_app.domain.actors import Actor
from requests_app.domain.acts.single_sign_on import (
    RENEW_SIGN_ON_KEY,
    SIGN_ON_KEY_RENEWED,
)
from requests_app.domain.certificates import fingerprint
from requests_app.domain.errors import WrongState
from requests_app.identity.sso import sealing
from requests_app.identity.sso.saml import service
from requests_app.identity.sso.saml.questions import ServiceKey
from requests_app.models import SignOn
from requests_app.operations._change import Step
from requests_app.operations._perform import perform


def renew_sign_on_key(tenant_id: object, *, had: int, actor: Actor) -> SignOn:
    """Publish a second key for single sign-on. If there are two, remove the former one.

    Meanwhile, the metadata has both keys, the former one signs, and assertions can be encrypted for either. So the
    identity provider can learn the second key before it is used. `had` is the number of keys that the person saw: a
    second click must not do the second step.
    """
    row = SignOn()

    def state(current: Step) -> None:
        nonlocal row
        found = SignOn.objects.filter(tenant=current.row, protocol=SignOn.Protocol.SAML).first()
        if found is None:
            raise WrongState(_("Set up SAML first."))
        if len(service.unpacked(sealing.opened(found.sealed_keys))) != had:
            raise WrongState(_("Somebody else has just changed the keys. Read the settings again first."))
        row = found

    with perform(RENEW_SIGN_ON_KEY, tenant_id, actor=actor, state=state) as current:
        keys = service.unpacked(sealing.opened(row.sealed_keys))
        detail: dict[str, Any] = {"issuer": row.issuer}
        if len(keys) < service.MOST_KEYS:
            keys.append(ServiceKey.new("customer-lockbox", at=current.at))
        else:
            detail["retired"] = fingerprint(keys.pop(0).certificate)
        row.sealed_keys = sealing.seal(service.packed(keys))
        row.save(update_fields=["sealed_keys"])
        detail["certificates"] = [fingerprint(each.certificate) for each in keys]
        current.witness(SIGN_ON_KEY_RENEWED, detail=detail, text=row.issuer)
    return row
