"""Read-only pages of the logs for staff. The product registers these classes in its administration."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from audit_app import canonical
from audit_app.models import AuditEntry


class CappedPaginator(Paginator):
    """A paginator that counts at most MOST rows, because counting millions of rows takes seconds.

    It has at most PAGES pages. For one further down, PostgreSQL would sort all rows. It expects one row in 200, because
    of row-level security, so an index seems too long to it. Dates, filters and the search lead to older rows.
    """

    MOST, PAGES = 10_000, 20

    @cached_property
    def count(self) -> int:
        return min(self._counted, self.MOST)

    @cached_property
    def num_pages(self) -> int:
        return min(int(super().num_pages), self.PAGES)

    @property
    def is_capped(self) -> bool:
        return self._counted > self.MOST

    @cached_property
    def _counted(self) -> int:
        # Without the order and the columns, the database need not sort or join rows that it only counts.
        rows: Any = self.object_list
        return rows.order_by().values_list("pk")[: self.MOST + 1].count()


class SealedAdmin(admin.ModelAdmin):
    """A page of rows that all staff can read. Nobody can add, change or delete rows here, not even a superuser.

    Django's own permissions are not used.
    """

    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    list_max_show_all = 0

    def has_module_permission(self, request: HttpRequest) -> bool:
        return _is_staff(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_staff(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class AuditEntryAdmin(SealedAdmin):
    """One entry: its canonical bytes, and whether they fit the stored hash."""

    list_display: tuple[Any, ...] = ("seq", "at", "event", "door", "actor_name", "subject_type", "tenant_id")
    fields = (
        *("tenant_id", "seq", "at", "event", "door", "actor_kind", "actor_id", "actor_name"),
        *("subject_type", "subject_id", "correlation_id", "record", "leaf", "is_intact"),
    )
    # Ordered by the key: it grows with time, and its index covers all logs.
    ordering = ("-id",)

    @admin.display(description=_("Canonical record"))
    def record(self, entry: AuditEntry) -> str:
        """Return the entry's canonical bytes, indented for people. Bytes that are not JSON are shown unchanged."""
        raw = bytes(entry.canonical)
        try:
            return json.dumps(json.loads(raw), indent=2, ensure_ascii=False)
        except ValueError:
            return raw.decode(errors="backslashreplace")

    @admin.display(description=_("Leaf hash (SHA-256)"))
    def leaf(self, entry: AuditEntry) -> str:
        return bytes(entry.leaf_hash).hex()

    @admin.display(description=_("Hash matches the record"), boolean=True)
    def is_intact(self, entry: AuditEntry) -> bool:
        return canonical.leaf_hash(bytes(entry.canonical)) == bytes(entry.leaf_hash)


class ChainHeadAdmin(SealedAdmin):
    """The length of each tenant's log."""

    list_display: tuple[Any, ...] = ("tenant_id", "size", "last_at")
    fields = list_display
    ordering = ("-last_at",)


def _is_staff(request: HttpRequest) -> bool:
    user: Any = request.user
    return bool(user.is_active and user.is_staff)
