"""Finds rows fast: recognises what was typed, for example an id, and searches only columns with an index."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from requests_app.domain.ids import as_id
from requests_app.models import Person, Tenant
from requests_app.models.scoping import PRACTICE_PREFIX

_REFERENCE = re.compile(r"(P-?)?(AR|T)-?([2-9A-Z]{4})-?([2-9A-Z]{4})")
#: How many tenants or people a typed name can match. If more match, the name is too short to help.
NAMESAKES = 50


@dataclass(frozen=True, kw_only=True)
class Search:
    """The columns for each kind of search. `words` reads every row, so it is only for tables of some thousand rows.

    Tables of millions are searched only by ids, references, addresses, and the ids of tenants and people. These columns
    have indexes.
    """

    ids: tuple[str, ...] = ("pk",)
    references: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    tenant: str = ""
    exact: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    def narrow(self, rows: QuerySet, typed: str) -> QuerySet:
        typed = " ".join(typed.replace("\x00", "").split())
        return rows.filter(self._wanted(typed)) if typed else rows

    @property
    def help(self) -> str:
        """Return words that say what people can type."""
        parts = [
            (self.references, _("reference")),
            (self.ids, _("id")),
            (self.emails or self.people, _("email address")),
            (self.tenant, _("name of a tenant")),
            (self.people, _("name of a person")),
            (self.words or self.exact, _("name")),
            ("locator" in self.words, _("locator")),
            ("external_id" in self.words, _("external id")),
        ]
        return _("Search by: %(ways)s.") % {"ways": ", ".join(words for columns, words in parts if columns)}

    def _wanted(self, typed: str) -> Q:
        if key := as_id(typed):
            return _any(self.ids, key)
        if found := _REFERENCE.fullmatch(typed.upper()):
            practice, *parts = found.groups()
            return _any(self.references, f"{PRACTICE_PREFIX if practice else ''}{'-'.join(parts)}")
        either = _any(tuple(f"{column}__icontains" for column in self.words), typed) | _any(self.exact, typed)
        if "@" in typed:
            either |= _any(self.emails, typed.lower())
        elif self.tenant:
            either |= Q(**{f"{self.tenant}__in": _ids(Tenant.objects.filter(name__icontains=typed))})
        if self.people:
            column = "email" if "@" in typed else "name__icontains"
            people = _ids(Person.objects.filter(**{column: typed.lower() if "@" in typed else typed}))
            either |= _any(tuple(f"{path}__in" for path in self.people), people)
        return either


def _ids(rows: QuerySet) -> list[UUID]:
    return list(rows.order_by("pk").values_list("pk", flat=True)[:NAMESAKES])


def _any(columns: tuple[str, ...], value: Any) -> Q:
    """Return the condition that one of these columns has the value. Without columns, the condition matches nothing."""
    either = Q(pk__in=[])
    for column in columns:
        either |= Q(**{column: value})
    return either
