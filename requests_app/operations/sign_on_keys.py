"""The keys of SAML: renews a tenant's own, and takes over the identity provider's if they change at its address."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings
from django.db.models import F, Q
from django.utils.translation import gettext as _

from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.acts.single_sign_on import (
    IDP_KEYS_CHANGED,
    REFRESH_SIGN_ON,
    RENEW_SIGN_ON_KEY,
    SIGN_ON_KEY_RENEWED,
)
from requests_app.domain.errors import NotAllowed, WrongState
from requests_app.identity.sso import sealing
from requests_app.identity.sso.failures import SignOnFailed
from requests_app.identity.sso.saml import service
from requests_app.identity.sso.saml.metadata import IdentityProvider, fingerprint
from requests_app.identity.sso.saml.questions import ServiceKey
from requests_app.messages.topics import Topic
from requests_app.models import SignOn, Tenant
from requests_app.operations._change import Step, act
from requests_app.operations._perform import perform
from requests_app.operations._sign_on import tell
from requests_app.queries import single_sign_on as queries

logger = structlog.get_logger(__name__)

#: How often the metadata at an address is read again.
EVERY = dt.timedelta(hours=1)


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


def refresh_due_sign_ons(*, actor: Actor, is_over: Callable[[], bool], limit: int = 100) -> int:
    """Read the metadata that was last read an hour ago or earlier. Return how many addresses were asked."""
    at = clock.now()
    due = Q(metadata_checked_at=None) | Q(metadata_checked_at__lte=at - EVERY)
    rows = SignOn.objects.filter(due, protocol=SignOn.Protocol.SAML).exclude(metadata_url="")
    done = 0
    for row in rows.order_by(F("metadata_checked_at").asc(nulls_first=True))[:limit]:
        if is_over():
            break
        refresh_sign_on(row, actor=actor)
        done += 1
    return done


def refresh_sign_on(seen: SignOn, *, actor: Actor) -> None:
    """Read the metadata at the connection's address again.

    New keys are used if a former key, the name and the sign-in address stay the same. A person who controls the address
    could also do this in steps, so it protects against mistakes, and the mail against that person. Everything else
    waits until an administrator saves the connection again. If the address does not answer, nothing changes.
    """
    if not actor.is_system:
        raise NotAllowed
    try:
        found = service.fetched(
            seen.metadata_url, private=settings.SSO_PRIVATE_NETWORK, peer=str(seen.tenant_id), at=clock.now()
        )
    except SignOnFailed as failure:
        logger.warning("sign_on_metadata_unread", tenant=str(seen.tenant_id), code=failure.code)
        unread = SignOn.objects.filter(pk=seen.pk, changed_at=seen.changed_at)
        unread.update(metadata_checked_at=clock.now(), metadata_problem=failure.code)
        unread.filter(metadata_failing_since=None).update(metadata_failing_since=clock.now())
        return
    SignOn.objects.filter(pk=seen.pk, changed_at=seen.changed_at).update(metadata_failing_since=None)
    if found.stored() == seen.identity_provider and found.entity_id == seen.issuer:
        same = SignOn.objects.filter(pk=seen.pk, changed_at=seen.changed_at)
        same.update(metadata_checked_at=clock.now(), metadata_problem="")
        return
    _take_over(seen, found, actor)


def report_sign_on_trouble(*, actor: Actor, is_over: Callable[[], bool]) -> int:
    """Send mails about metadata that has ended, ends soon, or has been unreadable for a day. Return how many.

    Otherwise, nobody would know before the sign-ins fail. Each mail is sent once: its mark names the end, or the time
    at which the address began to fail.
    """
    done = 0
    for row in SignOn.objects.filter(protocol=SignOn.Protocol.SAML, is_on=True).order_by("pk"):
        if is_over():
            break
        for trouble, since in queries.trouble_of(row, at=clock.now()):
            with act(REFRESH_SIGN_ON, actor=actor) as current:
                tenant: Tenant = Tenant.objects.locked().find(row.tenant_id)
                current.concerns("tenant", tenant, tenant.pk)
                mark = f"{trouble} {since.isoformat()}"
                tell(current, Topic.SIGN_ON_CHANGED, tenant, tenant.pk, keys=trouble, mark=mark)
            done += 1
    return done


def _take_over(seen: SignOn, found: IdentityProvider, actor: Actor) -> None:
    with act(REFRESH_SIGN_ON, actor=actor) as current:
        tenant: Tenant = Tenant.objects.locked().find(seen.tenant_id)
        row = SignOn.objects.filter(pk=seen.pk, changed_at=seen.changed_at).first()
        if row is None:
            # Somebody has changed the connection meanwhile. The next round reads what they have entered.
            return
        current.concerns("tenant", tenant, tenant.pk)
        was = IdentityProvider.of_stored(row.issuer, row.pinned)
        problem = _problem(was, found)
        is_news = problem != row.metadata_problem
        row.metadata_checked_at, row.metadata_problem = current.at, problem
        if not problem:
            row.identity_provider = found.stored()
            # With only a new end of the validity, an administrator's open page must not be out of date.
            row.changed_at = current.at if found.certificates != was.certificates else row.changed_at
        row.save()
        if problem and not is_news:
            # The log and the mails said so when it was found.
            return
        if not problem and found.certificates == was.certificates:
            # Only the end of the metadata's validity is new.
            return
        detail = {"issuer": row.issuer, "certificates": found.fingerprints, "before": was.fingerprints}
        current.witness(IDP_KEYS_CHANGED, detail=detail | ({"problem": problem} if problem else {}), text=row.issuer)
        tell(current, Topic.SIGN_ON_CHANGED, tenant, tenant.pk, keys="refused" if problem else "changed")


def _problem(was: IdentityProvider, found: IdentityProvider) -> str:
    if found.entity_id != was.entity_id:
        return "entity_id"
    if found.sso_url != was.sso_url:
        return "sso_url"
    return "" if set(found.certificates) & set(was.certificates) else "all_keys"
