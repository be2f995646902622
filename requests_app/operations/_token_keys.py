"""Removes keys that sign tokens, and writes the entries about such keys."""

from __future__ import annotations

from django.db.models import Q

from requests_app.domain.acts.declaration import Event
from requests_app.domain.acts.token_keys import TOKEN_KEY_RETIRED
from requests_app.models import TokenKey
from requests_app.operations._change import Step


def remove(current: Step, rows: object, *, at_once: bool = False) -> int:
    """Remove these keys inside the current act, each with its entry. Return how many there were."""
    found = list(rows)  # type: ignore[call-overload]  # a queryset
    for row in found:
        witness(current, TOKEN_KEY_RETIRED, row, **({"at_once": True} if at_once else {}))
    TokenKey.objects.filter(Q(kid__in=[row.kid for row in found])).delete()
    return len(found)


def witness(current: Step, event: Event, row: TokenKey, **more: object) -> None:
    current.witness(event, detail={"kid": row.kid, "alg": row.alg, **more}, text=f"{row.alg} {row.kid}")
