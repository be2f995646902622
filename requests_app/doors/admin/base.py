"""The common parts of every page of the administration: lists, a page for each row, and its acts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, cast

import structlog
from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import DateTimeField, QuerySet, Value
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.utils.functional import Promise
from django.utils.text import capfirst
from django.views.decorators.debug import sensitive_post_parameters

from audit_app.admin import SealedAdmin
from requests_app.domain import clock
from requests_app.domain.errors import ChangeProposed, NotFound
from requests_app.domain.ids import as_id
from requests_app.doors.admin import acts, listing
from requests_app.doors.admin.acts import AdminAction
from requests_app.doors.admin.columns import NOTHING, Column, heading, list_of, page_of, quoted, shown
from requests_app.doors.admin.searching import Search
from requests_app.models import Proposal

security_log = structlog.get_logger("security")

_LAST_YEAR = 9999
#: So many rows of another table stand on a row's page; the rest are a link away.
RELATED_SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class Related:
    """Rows of another model that belong to this one. The names in `by(row)` are both lookups and filters."""

    model: type[models.Model]
    by: Callable[[Any], dict[str, Any] | None]
    columns: tuple[Column, ...] = ()
    title: str | Promise = ""
    order: tuple[str, ...] = ()


class StaffAdmin(SealedAdmin):
    """A model in the administration. `facts` are the groups of its page, `acts` are what staff may do to a row.

    No form of Django's ever saves anything: `add_view` and `act_view` call operations, and nothing else writes.
    """

    facts: ClassVar[Sequence[tuple[str | Promise, Sequence[Column]]]] = ()
    related: ClassVar[Sequence[Related]] = ()
    acts: ClassVar[Sequence[AdminAction]] = ()
    adding: ClassVar[AdminAction | None] = None
    search: ClassVar[Search | None] = None
    #: Read for the rows of one page, by a query each. A join would cost nothing more on a small table; on a large one
    #: SQLite joins every row before it sorts and takes the first fifty.
    reads: ClassVar[tuple[str, ...]] = ()
    list_select_related = ()
    lead: ClassVar[str | Promise] = ""
    words: ClassVar[str | Promise] = ""

    def plural(self) -> str:
        """Return the name of these rows: the model's own, unless the class sets another."""
        return capfirst(str(self.words or self.opts.verbose_name_plural))

    # --- Who may what ----------------------------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.adding is not None and self.has_view_permission(request)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Allow only the declared filters: with any column as a filter, somebody could guess secrets letter
        by letter.
        """
        if self.date_hierarchy and lookup in {f"{self.date_hierarchy}__{part}" for part in ("year", "month", "day")}:
            # Django computes with the year before it judges it.
            return value.isdecimal() and int(value) < _LAST_YEAR
        return lookup in {declared.parameter_name for declared in self.list_filter}  # type: ignore[union-attr]  # classes of ours

    def dated_rows(self, changes: Any) -> QuerySet[Any] | None:
        """Return the rows whose first and last date limit the dates to choose from; None if no dates are offered."""
        return cast("QuerySet[Any]", self.model._default_manager.all())

    # --- Addresses -------------------------------------------------------------------------------------------

    def get_urls(self) -> list[Any]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_act"
        act = path("<path:object_id>/act/<slug:act>/", self.admin_site.admin_view(self.act_view), name=name)
        # First: Django's own last pattern takes everything that is left.
        return [act, *super().get_urls()]

    # --- Lists -----------------------------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        """Add to each row when it was read, so that all states that follow from the clock use the same instant."""
        read_at = Value(clock.now(), output_field=DateTimeField())
        return super().get_queryset(request).annotate(read_at=read_at).prefetch_related(*self.reads)

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        return (self.search.narrow(queryset, search_term) if self.search else queryset), False

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Return the acts for many rows; Django's own "delete" is not among them."""
        return {act.name: (partial(_run_on_all, act), act.name, act.bulk) for act in self.acts if act.bulk}

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        title = self.plural()
        answer = super().changelist_view(request, {"title": title, "lead": self.lead, **(extra_context or {})})
        if isinstance(answer, TemplateResponse) and answer.context_data and "cl" in answer.context_data:
            answer.template_name = "admin/change_list.html"
            answer.context_data.update(listing.context_of(answer.context_data["cl"], self))
            answer.context_data.update(self._context(request, None))
            answer.context_data["adding"] = self.adding
        return answer

    # --- A row's page ----------------------------------------------------------------------------------------

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if self.adding is None:
            raise PermissionDenied
        return self._handle(request, self.adding, None)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show a row. Nothing can be sent here: a POST is refused."""
        if request.method not in ("GET", "HEAD"):
            security_log.warning("admin.change_refused", person=str(request.user.pk), path=request.path)
            raise PermissionDenied
        row = self._find(request, object_id)
        context = {
            **self._context(request, row),
            "title": self.name_of(row),
            "facts": [group for declared in self.facts if (group := self._facts(row, *declared))],
            "panels": [panel for related in self.related if (panel := self._panel(request, related, row))],
            "links": self.links(row),
        }
        return TemplateResponse(request, "admin/record.html", context)

    def name_of(self, row: Any) -> str:
        """Return the name of a row for a title or a refusal."""
        return str(row)

    def links(self, row: Any) -> list[tuple[str, str]]:
        """Return further links beside a row's acts: (words, address)."""
        return []

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        # Django's own history knows only of its own forms; what happened to a row is in the log.
        return HttpResponseRedirect(page_of(self._find(request, object_id)))

    # --- Acts ------------------------------------------------------------------------------------------------

    def act_view(self, request: HttpRequest, object_id: str, act: str) -> HttpResponse:
        wanted = next((known for known in self.acts if known.name == act), None)
        if wanted is None:
            raise NotFound
        return self._handle(request, wanted, self._find(request, object_id))

    @method_decorator(sensitive_post_parameters())
    def _handle(self, request: HttpRequest, act: AdminAction, row: Any) -> HttpResponse:
        status = 200
        if request.method == "POST":
            form = act.form(request.POST, row=row)
            try:
                result, status = acts.perform(act, form, request)
            except ChangeProposed as held:
                # Done, as far as one person can do it: the next page says what it waits for.
                messages.success(request, str(held.message))
                return HttpResponseRedirect(page_of(Proposal.objects.get(pk=held.current["proposal"])))
            if not status:
                return self.done(request, act, row, result)
        else:
            given = {name: request.GET[name] for name in act.form.base_fields if name in request.GET}
            form = act.form(row=row, initial=given)
        context = {
            **self._context(request, row),
            "title": act.label,
            "act": act,
            "form": form,
            "back_url": page_of(row) if row is not None else list_of(self.model),
        }
        return TemplateResponse(request, "admin/act.html", context, status=status)

    def done(self, request: HttpRequest, act: AdminAction, row: Any, result: Any) -> HttpResponse:
        """Report the act, and lead on to the row that it changed."""
        messages.success(request, str(act.done))
        shown_next = result if isinstance(result, self.model) else row
        return HttpResponseRedirect(page_of(shown_next) if self._is_there(shown_next) else list_of(self.model))

    # --- Helpers ---------------------------------------------------------------------------------------------

    def _facts(self, row: Any, title: str | Promise, columns: Sequence[Column]) -> tuple[Any, list[Any]] | None:
        """Return one group of a row's page; None if it is empty, as the facts of a demand usually are."""
        lines = [(heading(column, self), shown(row, column, self)) for column in columns]
        return (title, lines) if any(value != NOTHING for _label, value in lines) else None

    def _find(self, request: HttpRequest, object_id: str) -> Any:
        key = unquote(object_id)
        by_id = isinstance(self.model._meta.pk, models.UUIDField)
        row = self.get_object(request, key) if not by_id or as_id(key) else None
        if row is None:
            raise NotFound
        return row

    def _offered(self, row: Any) -> list[AdminAction]:
        return [act for act in self.acts if act.offered(row)] if row is not None else []

    def _add_url(self) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_add") if self.adding else ""

    def _act_url(self, act: AdminAction, row: Any) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_act", args=[quoted(row), act.name])

    def _is_there(self, row: Any) -> bool:
        """Whether the row still exists: an act may have deleted it, like a place in a queue."""
        return row is not None and self.model._default_manager.filter(pk=row.pk).exists()

    def _context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        return {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "add_url": self._add_url(),
            "list_title": self.plural(),
            "row_name": self.name_of(row) if row is not None else "",
            "list_url": list_of(self.model),
            "row": row,
            "row_url": page_of(row) if row is not None else "",
            "act_urls": [(act.label, self._act_url(act, row)) for act in self._offered(row)],
        }

    def _panel(self, request: HttpRequest, related: Related, row: Any) -> dict[str, Any] | None:
        by = related.by(row)
        if by is None:
            return None
        other: Any = self.admin_site.get_model_admin(related.model)
        rows = other.get_queryset(request).filter(**by)
        found = list(rows.order_by(*(related.order or other.ordering))[: RELATED_SHOWN + 1])
        columns = related.columns or tuple(column for column in other.list_display if column not in by)
        filters = {name: getattr(value, "pk", value) for name, value in by.items()}
        return {
            "title": related.title or other.plural(),
            "table": listing.table(found[:RELATED_SHOWN], columns, other),
            "all_url": list_of(related.model, **filters),
            "has_more": len(found) > RELATED_SHOWN,
        }


def _run_on_all(act: AdminAction, model_admin: StaffAdmin, request: HttpRequest, rows: QuerySet) -> None:
    acts.perform_on_all(act, rows, request, name_of=model_admin.name_of)
