"""The one way from an id to a row: `visible_to(actor).find(id)`. Absent and foreign rows look alike."""

from __future__ import annotations

import secrets
from collections.abc import Hashable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self

from django.db import connections, models
from django.db.models import Q

from requests_app.domain.actors import Actor, Side
from requests_app.domain.errors import NotFound
from requests_app.domain.ids import as_id

#: More rows than this are locked in one statement.
EACH_FOR_ITSELF = 20
_ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"


def new_reference(prefix: str) -> str:
    """Return a short name to say and type. None of its letters and digits can be mistaken for another."""
    return f"{prefix}-{_four()}-{_four()}"


def _four() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(4))


class ScopedQuerySet(models.QuerySet[Any]):
    """Rows that belong to somebody, by the columns `tenant_path` and `service_path`."""

    tenant_path = "tenant_id"
    service_path: str | None = None

    def visible_to(self, actor: Actor) -> Self:
        """Customers see their tenants, the provider's people their queues, staff and the system everything."""
        if actor.is_system or (actor.is_staff and actor.side is Side.PROVIDER):
            return self
        if actor.side is Side.CUSTOMER:
            return self.filter(**{f"{self.tenant_path}__in": sorted(actor.tenant_ids)})
        return self.filter(self._in_queues_of(actor))

    def _in_queues_of(self, actor: Actor) -> Q:
        if self.service_path is None:
            return Q(pk__in=[])
        return Q(**{f"{self.service_path}__in": sorted(actor.service_ids)})

    def find(self, pk: object) -> Any:
        """Return the row, or raise NotFound. A malformed id is absent, too."""
        key = as_id(pk)
        if key is None:
            raise NotFound
        with self._awaiting(key):
            row = self.filter(pk=key).first()
        if row is None:
            raise NotFound
        return row

    def get(self, *args: Any, **kwargs: Any) -> Any:
        """Return the one matching row.

        If this locks the row, and `pk` is the only condition, the wait counts for the limits on waiting threads.
        """
        waits = self._awaiting(kwargs["pk"]) if kwargs.keys() == {"pk"} and not args else nullcontext()
        with waits:
            return super().get(*args, **kwargs)

    def locked_in_turn(self) -> list[Any]:
        """Lock these rows in the order of their keys, one by one as others may wait for one, and return them.

        Many rows are locked in one statement. It waits for any of them, and others may wait meanwhile.
        """
        rows = self.order_by("pk").locked()
        if not self._locks():
            return list(rows)
        keys = list(dict.fromkeys(self.order_by("pk").values_list("pk", flat=True)))
        if len(keys) > EACH_FOR_ITSELF:
            with rows._awaiting():
                return list(rows)
        found: list[Any] = []
        for key in keys:
            with rows._awaiting(key):
                found += rows.filter(pk=key)
        return found

    def _awaiting(self, *key: Hashable) -> AbstractContextManager[None]:
        if not self.query.select_for_update:
            return nullcontext()
        waits: AbstractContextManager[None] = connections[self.db].awaiting(self.model._meta.db_table, *key)  # type: ignore[attr-defined]  # our own backends
        return waits

    def locked(self) -> Self:
        """Lock the rows but not those that they join. SQLite has no row locks and needs none (IMMEDIATE).

        FOR NO KEY UPDATE: an act that only refers to the row by a foreign key does not wait. With a full lock, an act
        that holds a tenant and waits for the log deadlocked with one that has the log and refers to the tenant.
        """
        return self.select_for_update(of=("self",), no_key=True) if self._locks() else self

    def claimed(self) -> Self:
        """Lock the rows that nobody else has locked, for sweeps that run side by side."""
        return self.select_for_update(of=("self",), no_key=True, skip_locked=True) if self._locks() else self

    def _locks(self) -> bool:
        return connections[self.db].features.has_select_for_update_of
