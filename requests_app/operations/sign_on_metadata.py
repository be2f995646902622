"""Reads the metadata of SAML identity providers again at its address, and takes over the keys that are new there."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import structlog
from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.acts.single_sign_on import (
    ACCEPT_PROVIDER_METADATA,
    IDP_KEYS_CHANGED,
    REFRESH_PROVIDER_SIGN_ON,
    REFRESH_SIGN_ON,
)
from requests_app.domain.errors import NotAllowed, NotFound, Unacceptable, WrongState
from requests_app.domain.events import PROVIDER_LOG
from requests_app.domain.ids import as_id
from requests_app.identity.sso.failures import SignOnFailed
from requests_app.identity.sso.saml import service
from requests_app.identity.sso.saml.metadata import IdentityProvider
from requests_app.messages.topics import Audience, Note, Topic
from requests_app.models import ProviderSignOn, SignOn, Tenant
from requests_app.operations._change import Step, act
from requests_app.operations._perform import perform
from requests_app.operations._sign_on import tell
from requests_app.queries import sign_on_metadata as queries
from requests_app.queries.sign_on_metadata import Pinned
from requests_app.queries.single_sign_on import PROVIDER

logger = structlog.get_logger(__name__)

#: A sign-in that fails reads the metadata again only once in this time. Anybody can make a sign-in fail.
AT_NEED_EVERY = dt.timedelta(minutes=1)


def refresh_due_sign_ons(*, actor: Actor, is_over: Callable[[], bool], limit: int = 100) -> int:
    """Read the metadata that is due at its address. Return how many addresses were asked."""
    at = clock.now()
    first = _provider_row()
    rows: list[Pinned] = [first] if first is not None and queries.is_due(first, at=at) else []
    done = 0
    for row in [*rows, *queries.due(at=at)][:limit]:
        if is_over():
            break
        refresh_sign_on(row, actor=actor)
        done += 1
    return done


def refresh_at_need(name: str, *, actor: Actor) -> bool:
    """Read the metadata of a connection again because a sign-in failed. Return whether other metadata is used now.

    The identity provider may have changed its keys since the last reading, or the metadata has ended.
    """
    at = clock.now()
    row: Pinned | None = _provider_row() if name == PROVIDER else _of_tenant(name)
    if row is None:
        return False
    is_late = Q(metadata_checked_at=None) | Q(metadata_checked_at__lte=at - AT_NEED_EVERY)
    # Only one of several sign-ins that fail at the same time gets this turn.
    if not _as_seen(row).filter(is_late).update(metadata_checked_at=at):
        return False
    return refresh_sign_on(row, actor=actor)


def _of_tenant(name: str) -> SignOn | None:
    rows = SignOn.objects.filter(tenant=as_id(name), protocol=SignOn.Protocol.SAML)
    row: SignOn | None = rows.exclude(metadata_url="").first()
    return row


def _provider_row() -> ProviderSignOn | None:
    """Return the row of the address in the settings, or None if there is no address. A missing row is made."""
    url = settings.SSO_SAML_METADATA_URL
    if not url:
        return None
    return ProviderSignOn.objects.get_or_create(metadata_url=url, defaults={"changed_at": clock.now()})[0]


def refresh_sign_on(seen: Pinned, *, actor: Actor) -> bool:
    """Read the metadata at the connection's address again. Return whether other metadata is used now.

    Unsigned metadata: new keys are used if a former key, the name and the sign-in address stay the same. A person who
    controls the address could also do this in steps, so it protects against mistakes, and the mail against that person.
    Signed metadata can change everything but the name. All else waits until an administrator saves the connection
    again, or the operator accepts it. If the address does not answer, nothing changes.

    The provider's metadata is trusted when it is read for the first time: the operator has entered the address.
    """
    if not actor.is_system:
        raise NotAllowed
    try:
        found = _fetched(seen)
    except SignOnFailed as failure:
        logger.warning("sign_on_metadata_unread", place=_place(seen), code=failure.code)
        unread = _as_seen(seen)
        unread.update(metadata_checked_at=clock.now())
        unread.filter(metadata_failing_since=None).update(metadata_failing_since=clock.now())
        # What waits for a confirmation waits on. Otherwise it would be reported again after each failure.
        unread.exclude(metadata_problem__in=seen.WAITING).update(metadata_problem=failure.code)
        return False
    same = _as_seen(seen)
    same.update(metadata_failing_since=None)
    if found.stored() == seen.identity_provider and found.entity_id == seen.issuer:
        same.update(metadata_checked_at=clock.now(), metadata_problem="")
        return False
    return _take_over(seen, found, actor)


def report_sign_on_trouble(*, actor: Actor, is_over: Callable[[], bool]) -> int:
    """Send mails about metadata that has ended, ends soon, or has been unreadable for a day. Return how many.

    Otherwise, nobody would know before the sign-ins fail. Each mail is sent once: its mark names the end, or the time
    at which the address began to fail.
    """
    done = 0
    for row in queries.watched():
        if is_over():
            break
        for trouble, since in queries.trouble_of(row, at=clock.now()):
            with _refreshing(row, actor) as current:
                _turn(current, row)
                _tell(current, row, trouble, mark=f"{trouble} {since.isoformat()}")
            done += 1
    return done


def metadata_at_address() -> tuple[IdentityProvider, str]:
    """Return the provider's identity provider as it is at its address now, and a digest of it.

    Raise NotFound if the settings name no address, and Unacceptable if the metadata there can't be used.
    """
    row = _provider_row()
    if row is None:
        raise NotFound(_("SSO_SAML_METADATA_URL is not set."))
    try:
        found = _fetched(row)
    except SignOnFailed as failure:
        words = _("The metadata at the address can’t be used: %(why)s.")
        raise Unacceptable(words % {"why": f"{failure.code} {failure.detail}".strip()}, field="metadata_url") from None
    stored = json.dumps([found.entity_id, found.stored()["sso_url"], *sorted(found.certificates)])
    return found, hashlib.sha256(stored.encode()).hexdigest()[:32]


def accept_provider_metadata(*, digest: str, actor: Actor) -> ProviderSignOn:
    """Use the metadata at the address for the provider's own people, however much of it is new.

    `digest` is what the operator has read. If the metadata has changed since, nothing is changed.
    """
    found, now = metadata_at_address()
    if digest != now:
        raise WrongState(_("The metadata at the address is not what you have read. Read it again first."))

    def find(current: Step, _row_id: object) -> ProviderSignOn:
        row = ProviderSignOn.objects.get(metadata_url=settings.SSO_SAML_METADATA_URL)
        current.concerns("installation", row, PROVIDER_LOG)
        # Read again under the turn at the log: the worker may have taken over other keys meanwhile.
        row.refresh_from_db()
        return row

    with perform(ACCEPT_PROVIDER_METADATA, actor=actor, find=find) as current:
        row: ProviderSignOn = current.row
        was = queries.pinned_of(row)
        _use(current, row, found)
        row.metadata_failing_since = None
        row.save()
        _witness(current, row, found, was, {"accepted": True})
        _tell(current, row, "accepted")
    return row


# --- One row -------------------------------------------------------------------------------------------


def _fetched(row: Pinned) -> IdentityProvider:
    private = settings.SSO_PRIVATE_NETWORK
    found = service.fetched(
        row.metadata_url, private=private, peer=_place(row), at=clock.now(), signer=queries.signer_of(row)
    )
    if not private and not found.sso_url.startswith("https://"):
        # Who reads the way to the identity provider could answer in its place.
        raise SignOnFailed("metadata", "https")
    return found


def _place(row: Pinned) -> str:
    return str(row.tenant_id) if isinstance(row, SignOn) else PROVIDER


def _refreshing(row: Pinned, actor: Actor) -> AbstractContextManager[Step]:
    if isinstance(row, SignOn):
        return act(REFRESH_SIGN_ON, actor=actor)
    return act(REFRESH_PROVIDER_SIGN_ON, actor=actor)


def _as_seen(seen: Pinned) -> QuerySet[Any]:
    """Return the row, unless somebody has changed it since it was read."""
    rows: QuerySet[Any] = type(seen)._default_manager.filter(pk=seen.pk, changed_at=seen.changed_at)
    return rows


def _turn(current: Step, row: Pinned) -> None:
    """Take the turn at the log of a connection, after locking its tenant."""
    if isinstance(row, SignOn):
        tenant: Tenant = Tenant.objects.locked().find(row.tenant_id)
        current.tenant = tenant
        current.concerns("tenant", tenant, tenant.pk)
    else:
        current.concerns("installation", row, PROVIDER_LOG)


def _take_over(seen: Pinned, found: IdentityProvider, actor: Actor) -> bool:
    """Use new metadata, or store why it waits. Return whether it is used."""
    with _refreshing(seen, actor) as current:
        _turn(current, seen)
        row: Pinned | None = _as_seen(seen).first()
        if row is None:
            # Somebody has changed the connection meanwhile. The next round reads what they have entered.
            return False
        was = queries.pinned_of(row)
        problem = _problem(was, found, is_signed=bool(queries.signer_of(row)))
        is_news = problem != row.metadata_problem
        if problem:
            row.metadata_checked_at, row.metadata_problem = current.at, problem
        else:
            _use(current, row, found, was)
        row.save()
        if problem and not is_news:
            # The log and the mails said so when it was found.
            return False
        if not problem and was is not None and _is_same(was, found):
            # Only the end of the metadata's validity is new.
            return True
        _witness(current, row, found, was, {"problem": problem} if problem else {})
        _tell(current, row, "refused" if problem else "changed" if was is not None else "first")
    return not problem


def _use(current: Step, row: Pinned, found: IdentityProvider, was: IdentityProvider | None = None) -> None:
    row.metadata_checked_at, row.metadata_problem = current.at, ""
    row.issuer, row.identity_provider = found.entity_id, found.stored()
    # With only a new end of the validity, an administrator's open page must not be out of date.
    row.changed_at = row.changed_at if was is not None and _is_same(was, found) else current.at


def _is_same(was: IdentityProvider, found: IdentityProvider) -> bool:
    return (was.sso_url, was.certificates) == (found.sso_url, found.certificates)


def _problem(was: IdentityProvider | None, found: IdentityProvider, *, is_signed: bool) -> str:
    """Return why the new metadata must wait until somebody confirms it, or ""."""
    if was is None:
        return ""
    if found.entity_id != was.entity_id:
        return "entity_id"
    if is_signed:
        return ""
    if found.sso_url != was.sso_url:
        return "sso_url"
    return "" if set(found.certificates) & set(was.certificates) else "all_keys"


def _witness(
    current: Step, row: Pinned, found: IdentityProvider, was: IdentityProvider | None, more: dict[str, Any]
) -> None:
    detail = {"issuer": found.entity_id if was is None else row.issuer, "certificates": found.fingerprints, **more}
    detail |= {"before": was.fingerprints} if was is not None else {"first": True}
    current.witness(IDP_KEYS_CHANGED, detail=detail, text=row.issuer)


def _tell(current: Step, row: Pinned, keys: str, *, mark: str = "") -> None:
    if isinstance(row, SignOn):
        tell(current, Topic.SIGN_ON_CHANGED, current.tenant, row.tenant_id, keys=keys, mark=mark)
        return
    current.tell(
        Note(
            topic=Topic.PROVIDER_SIGN_ON,
            tenant_id=None,
            about=row.pk,
            audiences=(Audience.ADMINISTRATORS,),
            mark=mark or f"{keys} {current.at.isoformat()}",
            extra={"keys": keys},
        )
    )
