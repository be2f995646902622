"""Filters of the lists: a choice of a few values, or one row that a link has chosen. No filter reads a whole table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from requests_app.domain.ids import as_id
from requests_app.models import Service, Tenant

#: If there are more tenants, the lists have no filter by tenant. The tenant's own page then links to the tenant's rows.
TENANTS_OFFERED = 50

Choices = Iterable[tuple[str, Any]]


class Filter(admin.SimpleListFilter):
    """A filter of a list, set by one parameter of the address.

    A value that is not a choice is refused before any query.
    """

    narrow: Callable[[QuerySet, str], QuerySet]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        value = self.value()
        if value is None or value == "":
            return queryset
        if value not in {str(key) for key, _words in self.lookup_choices}:
            raise IncorrectLookupParameters(self.parameter_name)
        return type(self).narrow(queryset, value)

    @property
    def options(self) -> list[tuple[str, Any, bool]]:
        """Return the choices for the page: (value, words, whether it is chosen)."""
        chosen = self.value() or ""
        return [("", _("all"), not chosen), *((str(k), words, str(k) == chosen) for k, words in self.lookup_choices)]


def by_choice(
    lookup: str, title: Any, choices: Choices, *, narrow: Callable[[QuerySet, str], QuerySet] | None = None
) -> type[Filter]:
    """Make a filter with a fixed list of values of one column."""
    offered = list(choices)

    class ByChoice(Filter):
        parameter_name = lookup

        def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> Choices:
            return offered

    ByChoice.title = title
    ByChoice.narrow = staticmethod(narrow or (lambda rows, value: rows.filter(**{lookup: value})))
    return ByChoice


def by_flag(lookup: str, title: Any) -> type[Filter]:
    return by_choice(
        lookup,
        title,
        [("yes", _("yes")), ("no", _("no"))],
        narrow=lambda rows, value: rows.filter(**{lookup: value == "yes"}),
    )


def by_row(lookup: str, title: Any, model: type[models.Model] | None = None) -> type[Filter]:
    """Make a filter that is shown only after a link has set it.

    It shows the row's name, or, without `model`, the row's id.
    """

    class ByRow(Filter):
        parameter_name = lookup

        def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> Choices:
            return [(value, words)] if (value := self.value()) and (words := _named(model, value)) else []

        def has_output(self) -> bool:
            # A value that is not a row's id must be refused. Django checks only the filters that are shown.
            return bool(self.value())

    ByRow.title = title
    ByRow.narrow = staticmethod(lambda rows, value: rows.filter(**{lookup: value}))
    return ByRow


def by_service(lookup: str = "service") -> type[Filter]:
    """Make a filter with the services, at most as many as there are tenants to choose from."""

    class ByService(Filter):
        parameter_name = lookup
        title = _("service")

        def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> Choices:
            found = Service.objects.order_by("name").values_list("pk", "name")[:TENANTS_OFFERED]
            offered = [(str(pk), name) for pk, name in found]
            chosen = self.value()
            if chosen and chosen not in dict(offered) and (words := _named(Service, chosen)):
                offered.append((chosen, words))
            return offered

    ByService.narrow = staticmethod(lambda rows, value: rows.filter(**{lookup: value}))
    return ByService


def by_tenant(lookup: str = "tenant", *, narrow: Callable[[QuerySet, str], QuerySet] | None = None) -> type[Filter]:
    class ByTenant(Filter):
        parameter_name = lookup
        title = _("tenant")

        def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> Choices:
            found = list(Tenant.objects.order_by("name").values_list("pk", "name", "slug")[: TENANTS_OFFERED + 1])
            offered = (
                [(str(pk), f"{name} ({slug})") for pk, name, slug in found] if len(found) <= TENANTS_OFFERED else []
            )
            chosen = self.value()
            if chosen and chosen not in dict(offered) and (words := _named(Tenant, chosen)):
                offered.append((chosen, words))
            return offered

        def has_output(self) -> bool:
            return bool(self.value() or self.lookup_choices)

    ByTenant.narrow = staticmethod(narrow or (lambda rows, value: rows.filter(**{lookup: value})))
    return ByTenant


def _named(model: type[models.Model] | None, value: str) -> str:
    """Return the name of the row with this id, or "" if there is no such row."""
    if model is None:
        return value if _is_uuid(value) else ""
    key = model._meta.pk
    if isinstance(key, models.UUIDField) and not _is_uuid(value):
        return ""
    row = model._default_manager.filter(pk=value).first()
    return str(row) if row else ""


def _is_uuid(value: str) -> bool:
    return as_id(value) is not None
