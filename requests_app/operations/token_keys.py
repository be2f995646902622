"""Rolls the keys that sign tokens for other programs: publishes the next ones in time, and removes former ones."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from audit_app import canonical
from audit_app.models import AuditEntry
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.acts.token_keys import (
    ROLL_TOKEN_KEYS,
    TOKEN_KEY_FOREIGN,
    TOKEN_KEY_PUBLISHED,
    TOKEN_KEY_RETIRED,
)
from requests_app.domain.errors import NotAllowed
from requests_app.models import Installation, TokenKey
from requests_app.models.token_keys import (
    ALGORITHMS,
    PUBLISHED_BEFORE,
    SIGNS_FOR,
    foreign_keys,
    forget_private,
    make,
    newest,
)
from requests_app.operations._change import PROVIDER_LOG, Step, act, security_log
from requests_app.operations._token_keys import remove, witness


def roll_due_token_keys(*, actor: Actor) -> int:
    """Roll the keys if one of them is due. These are few queries if none is. Return how many keys changed.

    An installation that signs no tokens has no keys, and gets none here.
    """
    everything = list(TokenKey.objects.all())
    rows = [row for row in everything if row.key is not None]
    if not everything:
        return 0
    at = clock.now()
    if _not_recorded(row for row in everything if row.key is None) or _put_back():
        return roll_token_keys(actor=actor)
    is_due = any(_next_begins(rows, alg, at) is not None for alg in ALGORITHMS)
    if not is_due and all(row.is_in_log and not _is_over(row, rows, at) for row in rows):
        return 0
    return roll_token_keys(actor=actor)


def roll_token_keys(*, is_due_only: bool = True, at_once: bool = False, actor: Actor) -> int:
    """Publish the next key of each algorithm, and remove the former keys whose tokens have all ended.

    With `is_due_only`, publish a key only if the present key has signed for long enough. With `at_once`, the new keys
    sign now, and every other key is removed now: tokens that it signed are no longer accepted. Return how many keys
    changed.
    """
    if not actor.is_system:
        raise NotAllowed
    with act(ROLL_TOKEN_KEYS, actor=actor) as current:
        row, _is_new = Installation.objects.select_for_update().get_or_create(pk=1)
        current.concerns("installation", row, PROVIDER_LOG)
        done = _remove_again(current)
        if at_once:
            done += remove(current, TokenKey.objects.all(), at_once=True)
        else:
            done += remove(current, TokenKey.objects.filter(retires_at__lte=current.at))
        for alg in ALGORITHMS:
            begins = _next_begins(_made_here(), alg, current.at, is_due_only=is_due_only)
            if begins is not None:
                make(alg, current.at, signs_from=begins, after=newest(alg))
        _forget_private(current.at)
        return done + _announce(current) + _alarm(current)


def _next_begins(rows: list[TokenKey], alg: str, at: datetime, *, is_due_only: bool = True) -> datetime | None:
    """Return when the next key of this algorithm begins to sign, or None if it is not due or is there already."""
    last = max((row for row in rows if row.alg == alg), key=lambda row: row.number, default=None)
    if last is None:
        return at
    if last.signs_from > at:
        return None
    ends = last.signs_from + SIGNS_FOR
    if is_due_only and at < ends - PUBLISHED_BEFORE:
        return None
    return max(ends, at + PUBLISHED_BEFORE) if is_due_only else at + PUBLISHED_BEFORE


def _is_over(row: TokenKey, rows: list[TokenKey], at: datetime) -> bool:
    return (row.retires_at is not None and row.retires_at <= at) or (row.can_sign and _is_replaced(row, rows, at))


def _is_replaced(row: TokenKey, rows: list[TokenKey], at: datetime) -> bool:
    return any(each.alg == row.alg and each.number > row.number and each.signs_from <= at for each in rows)


def _forget_private(at: datetime) -> None:
    """Delete the private part of each key that a newer one has replaced."""
    rows = [row for row in _made_here() if row.can_sign]
    for row in rows:
        if _is_replaced(row, rows, at):
            forget_private(row)


def _made_here() -> list[TokenKey]:
    return [row for row in TokenKey.objects.all() if row.key is not None]


def _put_back() -> list[TokenKey]:
    """Return the rows whose key was removed before. Somebody with a copy has written them: the key may be stolen."""
    entries = AuditEntry.objects.filter(tenant_id=PROVIDER_LOG, event=str(TOKEN_KEY_RETIRED))
    return [row for row in TokenKey.objects.all() if entries.filter(text__contains=row.kid).exists()]


def _remove_again(current: Step) -> int:
    """Remove the keys that were removed before, each with the entry that raises the alarm."""
    found = _put_back()
    for row in found:
        security_log.error("token_key.foreign", kid=row.kid, alg=row.alg)
        witness(current, TOKEN_KEY_FOREIGN, row, put_back=True)
    TokenKey.objects.filter(kid__in=[row.kid for row in found]).delete()
    return len(found)


def _announce(current: Step) -> int:
    """Write the entry about each key that has none yet. A key that signed the first token is one of them."""
    unrecorded = TokenKey.objects.filter(is_in_log=False).order_by("alg", "number")
    found = [row for row in unrecorded if row.key is not None]
    for row in found:
        witness(current, TOKEN_KEY_PUBLISHED, row, from_at=canonical.instant(row.signs_from))
    TokenKey.objects.filter(kid__in=[row.kid for row in found]).update(is_in_log=True)
    return len(found)


def _alarm(current: Step) -> int:
    """Write an entry about each key that is not ours, once. It was never published, but somebody has written it."""
    found = _not_recorded(foreign_keys())
    for row in found:
        security_log.error("token_key.foreign", kid=row.kid, alg=row.alg)
        witness(current, TOKEN_KEY_FOREIGN, row)
    return len(found)


def _not_recorded(rows: Iterable[TokenKey]) -> list[TokenKey]:
    """Return the rows about whose foreign key the provider's log has no entry."""
    entries = AuditEntry.objects.filter(tenant_id=PROVIDER_LOG, event=str(TOKEN_KEY_FOREIGN))
    return [row for row in rows if not entries.filter(text__contains=row.kid).exists()]
