"""Splits lists into pages by cursor, refuses unknown parameters, and selects the members that `fields` names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ValidationError
from django.db import DataError
from django.utils.translation import gettext as _
from rest_framework.exceptions import NotFound as NoSuchPage
from rest_framework.pagination import CursorPagination

from requests_app.domain.errors import Malformed
from requests_app.doors.api.errors import UnknownParameter

CURSOR = re.compile(r"[A-Za-z0-9+/]{4,600}={0,2}")
#: The parameters of every list, in addition to its own filters.
PARAMETERS = frozenset({"cursor", "limit", "fields"})


class Pages(CursorPagination):
    """Answers `{"items": [...], "next": URL or null, "previous": URL or null}`.

    A cursor keeps its place if rows are added.
    """

    page_size = 50
    max_page_size = 200
    page_size_query_param = "limit"
    cursor_query_param = "cursor"
    # The largest offset of a cursor among rows of the same microsecond. Real lists never have so many.
    offset_cutoff = 1000

    def paginate_queryset(self, queryset: Any, request: Any, view: Any = None) -> Any:
        self._require_limit(request.query_params.get("limit"))
        cursor = request.query_params.get(self.cursor_query_param)
        try:
            if cursor is not None and not CURSOR.fullmatch(cursor):
                raise NoSuchPage
            return super().paginate_queryset(queryset, request, view)
        except (NoSuchPage, ValueError, OverflowError, ValidationError, DataError) as error:
            raise Malformed(_("This cursor does not belong to this list. Start again without a cursor.")) from error

    def page_of(self, items: list[Any]) -> dict[str, Any]:
        return {"items": items, "next": self.get_next_link(), "previous": self.get_previous_link()}

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": ["string", "null"], "format": "uri"}
        return {
            "type": "object",
            "required": ["items", "next", "previous"],
            "properties": {"items": schema, "next": link, "previous": link},
        }

    def _require_limit(self, limit: str | None) -> None:
        # Python refuses to read a number of thousands of digits.
        is_number = limit is None or (limit.isascii() and limit.isdigit() and len(limit) < 5)
        if not is_number or (limit is not None and not 1 <= int(limit) <= self.max_page_size):
            raise Malformed(_("A page can have 1 to %(max)d items.") % {"max": self.max_page_size})


def require_known(names: Iterable[str], known: Iterable[str]) -> None:
    allowed = frozenset(known)
    unknown = sorted(set(names) - allowed)
    if unknown:
        words = _("There is no parameter %(name)s here. The parameters are: %(known)s.")
        shown = unknown[0][:40].encode("ascii", "backslashreplace").decode()
        raise UnknownParameter(words % {"name": shown, "known": ", ".join(sorted(allowed)) or "–"})


def wanted_fields(raw: str | None, known: Iterable[str]) -> frozenset[str] | None:
    """Return the members that `fields` names, or None for all members. Raise Malformed if a name is unknown."""
    if raw is None:
        return None
    wanted, allowed = frozenset(raw.split(",")), frozenset(known)
    if not wanted <= allowed:
        raise Malformed(_("`fields` can contain these names: %(known)s.") % {"known": ", ".join(sorted(allowed))})
    return wanted
