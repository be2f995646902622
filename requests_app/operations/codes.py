"""One-time codes, with which a browser proves to an application or a tool, at its host, which engineer uses it.

A code is bound to the engineer, the window, the receiver and its address, and by a proof key (RFC 7636) to the browser
that asked for it. So it is worth nothing in another browser, and to anybody who finds it in a log.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from requests_app.domain import api_secrets, one_time_codes
from requests_app.domain.actors import Actor
from requests_app.domain.acts.codes import GRANT_CODE_REUSED, GRANT_ENTERED, ISSUE_CODE, REDEEM_CODE
from requests_app.domain.acts.refusals import ACT_REFUSED
from requests_app.domain.errors import (
    CodeExpired,
    CodeForeign,
    CodeUsed,
    DomainError,
    Malformed,
    NotAllowed,
    NotCovered,
    NotFound,
    TooMany,
)
from requests_app.models import Grant, OneTimeCode
from requests_app.operations._change import Step, act
from requests_app.operations._windows import concern, find_window, require_window, windows
from requests_app.queries import actor_of, callers
from requests_app.queries.receivers import Receiver

security_log = structlog.get_logger("security")

#: How long a code is stored after it expired. No window is longer, so what a code gave is over by then.
CODES_STORED_FOR = timedelta(days=7)
#: A function that stores what the code gives, in the same transaction.
Keep = Callable[[OneTimeCode, datetime], object]


def issue_code(grant_id: object, *, receiver: Receiver, redirect_uri: str, challenge: str, actor: Actor) -> str:
    """Return a new code for the actor's own open window. It opens nothing: the receiver must redeem it within a minute.

    The caller sends it only to `redirect_uri`.
    """
    secret = api_secrets.make(api_secrets.Kind.ONE_TIME_CODE)
    if redirect_uri != receiver.redirect_uri or not one_time_codes.is_challenge(challenge):
        raise Malformed
    with act(ISSUE_CODE, actor=actor) as current:
        grant = find_window(current, grant_id)
        require_window(current, grant, current.actor)
        _require_receiver(grant, receiver)
        _require_room(current)
        OneTimeCode.objects.create(
            secret_hash=api_secrets.hashed(secret),
            tenant_id=grant.tenant_id,
            grant=grant,
            person_id=current.actor.person,
            service_id=receiver.service.pk,
            client=receiver.client,
            redirect_uri=redirect_uri,
            challenge=challenge,
            made_at=current.at,
            expires_at=current.at + one_time_codes.VALID_FOR,
        )
    return secret


def redeem_code(
    code: str, *, receiver: Receiver, redirect_uri: str, verifier: str, actor: Actor, keep: Keep | None = None
) -> OneTimeCode:
    """Use a code, and return its row. Its window is judged again, as for an access to content.

    A code works once. Each attempt uses it up, because a code that was refused has been in wrong hands. A second
    attempt also ends what the first one gave. Raise NotFound for an unknown code.
    """
    known = OneTimeCode.objects.filter(secret_hash=api_secrets.hashed(code)).first()
    if known is None:
        security_log.warning("code.unknown", receiver=receiver.client_id)
        raise NotFound
    refusal: DomainError | None = None
    with act(REDEEM_CODE, actor=actor, rereads=False) as current:
        grant = windows(Actor.system(actor.name)).locked().find(known.grant_id)
        row: OneTimeCode = OneTimeCode.objects.select_related("person").locked().find(known.pk)
        row.grant = grant
        concern(current, grant)
        current.detail = _described(row, receiver)
        try:
            _require_redeemable(current, row, receiver, redirect_uri, verifier)
        except DomainError as error:
            refusal = error
            _refuse(current, row, error)
        else:
            row.used_at = current.at
            row.save(update_fields=["used_at"])
            current.witness(GRANT_ENTERED, text=f"{row.person.name} {receiver.origin}")
            if keep is not None:
                keep(row, current.at)
    if refusal is not None:
        raise refusal
    return row


def forget_old_codes(at: datetime, *, limit: int = 1000) -> int:
    """Delete codes a week after they expired. Return their number."""
    old = OneTimeCode.objects.forgettable(at - CODES_STORED_FOR).order_by().values_list("pk", flat=True)[:limit]
    return OneTimeCode.objects.filter(pk__in=list(old)).delete()[0]


def _require_receiver(grant: Grant, receiver: Receiver) -> None:
    """Raise NotCovered unless this window is on the receiver's own service, and the receiver holds its content."""
    asked = grant.access_request
    if asked.service_id != receiver.service.pk or asked.is_practice or not asked.service.is_external:
        raise NotCovered


def _require_room(current: Step) -> None:
    since = current.at - timedelta(minutes=1)
    if (
        OneTimeCode.objects.filter(person=current.actor.person, made_at__gt=since).count()
        >= one_time_codes.MOST_A_MINUTE
    ):
        raise TooMany


def _require_redeemable(current: Step, row: OneTimeCode, receiver: Receiver, redirect_uri: str, verifier: str) -> None:
    if row.used_at is not None:
        raise CodeUsed
    _require_live(current, receiver)
    is_same = (row.service_id, row.client_id) == (receiver.service.pk, receiver.client and receiver.client.pk)
    is_bound = redirect_uri == row.redirect_uri == receiver.redirect_uri
    if not (is_same and is_bound and one_time_codes.is_answered(row.challenge, verifier)):
        raise CodeForeign
    if current.at >= row.expires_at:
        raise CodeExpired
    _require_receiver(row.grant, receiver)
    # Everything that the engineer had when the code was made may be gone by now.
    require_window(current, row.grant, actor_of(row.person, door=current.actor.door))


def _require_live(current: Step, receiver: Receiver) -> None:
    """Raise NotAllowed, or a subclass, unless the receiver itself acts, and nothing was taken away from its client."""
    client = receiver.client
    if client is None:
        if not current.actor.is_system:
            raise NotAllowed
    elif (found := callers.guard(current.actor)).pk != client.pk or found.service_id != receiver.service.pk:
        raise NotAllowed


def _refuse(current: Step, row: OneTimeCode, refusal: DomainError) -> None:
    """Use the code up, and write the entry about its refusal. The kernel records only the refusals of people.

    A code that has been refused before leaves no further entry, so that nobody fills a customer's log with an old code.
    """
    security_log.warning("code.refused", code=refusal.code, grant=str(row.grant_id), person=str(row.person_id))
    if row.ended_at is not None:
        return
    row.ended_at, row.used_at = current.at, row.used_at or current.at
    row.save(update_fields=["used_at", "ended_at"])
    if isinstance(refusal, CodeUsed):
        current.witness(GRANT_CODE_REUSED, text=row.person.name)
        return
    refused = {"action": current.action, "code": refusal.code}
    current.witness(ACT_REFUSED, detail=refused, text=f"{row.person.name} {current.action} {refusal.code}")


def _described(row: OneTimeCode, receiver: Receiver) -> dict[str, object]:
    return {
        "engineer": row.person.name,
        "engineer_id": str(row.person_id),
        "origin": receiver.origin,
        "code_id": str(row.pk),
        "reference": row.grant.access_request.reference,
    }
