"""The common parts of all pages of the administration: lists, a page for each row, and the acts on a row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar
from urllib.parse import urlencode

import structlog
from django import forms
from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import PAGE_VAR
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import models
from django.db.models import DateTimeField, Max, Min, QuerySet, Value
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_post_parameters

from audit_app.admin import SealedAdmin
from requests_app.domain import clock
from requests_app.domain.errors import ChangeProposed, NotFound
from requests_app.domain.ids import as_id
from requests_app.doors.admin import acts, guide, listing
from requests_app.doors.admin.acts import AdminAction
from requests_app.doors.admin.columns import NOTHING, Column, heading, list_of, page_of, quoted, shown
from requests_app.doors.admin.searching import Search
from requests_app.doors.choosing import RoleField
from requests_app.models import Proposal
from requests_app.queries.guide import ONWARDS

security_log = structlog.get_logger("security")

_LAST_YEAR = 9999
_FOUND = 302
#: How many rows of another table a row's page shows. A link leads to the others.
RELATED_SHOWN = 8
#: How many of them one page of an act shows.
RELATED_ON_ACT = 50


@dataclass(frozen=True, kw_only=True)
class Related:
    """Rows of another model that belong to a row. A row's page shows the first of them.

    `by(row)` returns the names and values that find these rows. The link to all of them uses the same names and values
    as filters. If `by` returns `None`, the page does not show these rows.
    """

    model: type[models.Model]
    by: Callable[[Any], dict[str, Any] | None]
    columns: tuple[Column, ...] = ()
    title: str | Promise = ""
    #: Returns what the page says if there are no such rows.
    nothing: Callable[[Any], str] | None = None
    order: tuple[Any, ...] = ()


class StaffAdmin(SealedAdmin):
    """A model in the administration.

    `facts` are groups of values on a row's page, `acts` are what staff can do with a row.

    Django's own forms never save anything here. Only `add_view` and `act_view` write, and they call operations.
    """

    facts: ClassVar[Sequence[tuple[str | Promise, Sequence[Column]]]] = ()
    #: Groups of values for programs and for support. A row's page shows them last, and folded.
    folded: ClassVar[Sequence[tuple[str | Promise, Sequence[Column]]]] = ()
    related: ClassVar[Sequence[Related]] = ()
    acts: ClassVar[Sequence[AdminAction]] = ()
    adding: ClassVar[AdminAction | None] = None
    search: ClassVar[Search | None] = None
    #: Related tables. Each is read with one query for the rows of one page. With a join, SQLite would join all rows of
    #: a large table before it sorts them and takes the first fifty.
    reads: ClassVar[tuple[str, ...]] = ()
    list_select_related = ()
    lead: ClassVar[str | Promise] = ""
    words: ClassVar[str | Promise] = ""
    #: Whether the first column of a list shows long names in several lines. Otherwise they are cut.
    is_wrapped: ClassVar[bool] = False
    #: Counts the rows that wait for somebody. The menu shows the number on every page, so the count must be fast.
    waiting: ClassVar[Callable[[], int] | None] = None

    def plural(self) -> str:
        """Return the plural name for rows of this model: `words`, or else the model's own plural name."""
        return capfirst(str(self.words or self.opts.verbose_name_plural))

    # --- Permissions -----------------------------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.adding is not None and self.has_view_permission(request)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Allow only the declared filters, and filters by date.

        If every column could be a filter, somebody could find out secrets letter by letter.
        """
        if self.date_hierarchy and lookup in {f"{self.date_hierarchy}__{part}" for part in ("year", "month", "day")}:
            # Django calculates with the year before it checks it, and Python reads no number of thousands of digits.
            return value.isdecimal() and len(value) < 6 and int(value) < _LAST_YEAR
        return lookup in {declared.parameter_name for declared in self.list_filter}  # type: ignore[union-attr]  # classes of ours

    def first_and_last(self, changes: Any) -> list[Any]:
        """Return the first and the last date of the rows. A list offers the dates between them, or none without them.

        There is one query for each end. With one query for both ends, SQLite would read the whole index.
        """
        rows, name = self.model._default_manager.order_by(), self.date_hierarchy
        return [rows.aggregate(end=of(name))["end"] for of in (Min, Max)] if name else []

    # --- Addresses -------------------------------------------------------------------------------------------

    def get_urls(self) -> list[Any]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_act"
        act = path("<path:object_id>/act/<slug:act>/", self.admin_site.admin_view(self.act_view), name=name)
        # This pattern must be first, because Django's last pattern matches every address.
        return [act, *super().get_urls()]

    # --- Lists -----------------------------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        """Add the time of reading to each row as `read_at`.

        So all states that depend on the time use the same instant.
        """
        read_at = Value(clock.now(), output_field=DateTimeField())
        return super().get_queryset(request).annotate(read_at=read_at).prefetch_related(*self.reads)

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        return (self.search.narrow(queryset, search_term) if self.search else queryset), False

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Return the acts that can be done on several rows, without Django's "delete"."""
        return {act.name: (partial(_run_on_all, act), act.name, act.bulk) for act in self.acts if act.bulk}

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        title = self.plural()
        answer = super().changelist_view(request, {"title": title, "lead": self.lead, **(extra_context or {})})
        if isinstance(answer, TemplateResponse) and answer.context_data and "cl" in answer.context_data:
            answer.template_name = "admin/change_list.html"
            answer.context_data.update(listing.context_of(answer.context_data["cl"], self))
            answer.context_data.update(self._model_context(None))
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
        """Show a row. Refuse a POST, because this page has no form."""
        if request.method not in ("GET", "HEAD"):
            security_log.warning("admin.change_refused", person=str(request.user.pk), path=request.path)
            raise PermissionDenied
        row = self._find(request, object_id)
        context = {
            **self._context(request, row),
            "title": self.name_of(row),
            "facts": self._groups(row, self.facts),
            **self._panels(request, row),
            "folded": self._groups(row, self.folded),
            "links": self.links(row),
            "is_live": self.is_live(row),
        }
        return TemplateResponse(request, "admin/record.html", context)

    def name_of(self, row: Any) -> str:
        """Return the name of a row for a title or a refusal."""
        return str(row)

    def is_live(self, row: Any) -> bool:
        """Return whether the row's page updates itself, because something is under way."""
        return False

    def links(self, row: Any) -> list[tuple[str, str]]:
        """Return further links for a row's page: (words, address)."""
        return []

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        # Django's history only knows Django's own forms. The log has what happened to a row.
        return HttpResponseRedirect(page_of(self._find(request, object_id)))

    def before_act(self, request: HttpRequest, act: AdminAction, row: Any) -> dict[str, Any]:
        """Return what the page of an act shows above its button: `facts` and `panels`, as on the row's page."""
        return {}

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
            form = act.form(request.POST, row=row, reader=request.user)
            try:
                result, status = acts.perform(act, form, request)
            except ChangeProposed as held:
                # This person has done their part. The proposal's page says what it waits for.
                messages.success(request, str(held.message))
                return HttpResponseRedirect(page_of(Proposal.objects.get(pk=held.current["proposal"])))
            if not status:
                done = self.done(request, act, row, result)
                if act.again and acts.AGAIN in request.POST:
                    return HttpResponseRedirect(_again(request, form))
                return guide.onwards(request) or done if done.status_code == _FOUND else done
        else:
            given = {name: request.GET[name] for name in act.form.base_fields if name in request.GET}
            form = act.form(row=row, reader=request.user, initial=given)
        context = {
            **self._context(request, row),
            **(self.before_act(request, act, row) if row is not None else {}),
            "title": act.label,
            "act": act,
            "form": form,
            "back_url": page_of(row) if row is not None else list_of(self.model),
        }
        return TemplateResponse(request, "admin/act.html", context, status=status)

    def done(self, request: HttpRequest, act: AdminAction, row: Any, result: Any) -> HttpResponse:
        """Show a message that the act was done, and redirect to the row that the act changed."""
        messages.success(request, str(act.done))
        shown_next = result if isinstance(result, self.model) else row
        return HttpResponseRedirect(page_of(shown_next) if self._is_there(shown_next) else list_of(self.model))

    # --- Helpers ---------------------------------------------------------------------------------------------

    def _groups(self, row: Any, declared: Sequence[tuple[str | Promise, Sequence[Column]]]) -> list[tuple[Any, Any]]:
        return [group for each in declared if (group := self._facts(row, *each))]

    def _facts(self, row: Any, title: str | Promise, columns: Sequence[Column]) -> tuple[Any, list[Any]] | None:
        """Return one group of facts for a row's page, or None if all values of the group are empty.

        For example, most access requests have no law-enforcement demand.
        """
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
        """Return whether the row still exists.

        An act may have deleted the row, for example a person's membership of a queue.
        """
        return row is not None and self.model._default_manager.filter(pk=row.pk).exists()

    def _context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        return {**self.admin_site.each_context(request), **self._model_context(row)}

    def _model_context(self, row: Any) -> dict[str, Any]:
        return {
            "opts": self.opts,
            "add_url": self._add_url(),
            "list_title": self.plural(),
            "row_name": self.name_of(row) if row is not None else "",
            "list_url": list_of(self.model),
            "row": row,
            "row_url": page_of(row) if row is not None else "",
            "act_urls": [(act.label, self._act_url(act, row), act.is_one_press) for act in self._offered(row)],
        }

    def _panels(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return the panels of the rows that belong to a row, and the titles of those that have nothing to show."""
        found = [panel for related in self.related if (panel := self._panel(request, related, row))]
        empty = [panel["title"] for panel in found if not panel["table"]["rows"] and not panel["nothing"]]
        return {"panels": [panel for panel in found if panel["title"] not in empty], "empty": empty}

    def _panel(self, request: HttpRequest, related: Related, row: Any) -> dict[str, Any] | None:
        """Return the first of the rows that belong to a row."""
        found = self._related(request, related, row)
        if found is None:
            return None
        rows, show = found
        first = list(rows[: RELATED_SHOWN + 1])
        return {**show(first[:RELATED_SHOWN]), "has_more": len(first) > RELATED_SHOWN}

    def _pages_of(self, request: HttpRequest, related: Related, row: Any) -> dict[str, Any] | None:
        """Return one page of the rows that belong to a row. The address names the page, so no row is left out."""
        found = self._related(request, related, row)
        if found is None:
            return None
        rows, show = found
        page = Paginator(rows, RELATED_ON_ACT).get_page(request.GET.get(PAGE_VAR))
        values = {"first": page.start_index(), "last": page.end_index(), "n": page.paginator.count}
        pages = {
            "words": ngettext("%(n)d row", "%(first)d to %(last)d of %(n)d", page.paginator.count) % values,
            "newer_url": f"?{PAGE_VAR}={page.number - 1}" if page.has_previous() else "",
            "older_url": f"?{PAGE_VAR}={page.number + 1}" if page.has_next() else "",
        }
        return {**show(list(page)), "has_more": True, "pages": pages}

    def _related(
        self, request: HttpRequest, related: Related, row: Any
    ) -> tuple[QuerySet, Callable[[list[Any]], dict[str, Any]]] | None:
        """Return the rows that belong to a row, and the function that makes a panel of some of them."""
        by = related.by(row)
        if by is None:
            return None
        other: Any = self.admin_site.get_model_admin(related.model)
        rows = other.get_queryset(request).filter(**by)
        columns = related.columns or tuple(column for column in other.list_display if column not in by)
        filters = {name: getattr(value, "pk", value) for name, value in by.items()}

        def show(some: list[Any]) -> dict[str, Any]:
            return {
                "title": related.title or other.plural(),
                "table": listing.table(some, columns, other),
                "all_url": list_of(related.model, **filters),
                "nothing": related.nothing(row) if related.nothing is not None else "",
            }

        return rows.order_by(*(related.order or other.ordering)), show


def _again(request: HttpRequest, form: acts.ActForm) -> str:
    """Return the address of the same empty form. What was chosen from a list stays chosen, such as a role."""
    of_list = (forms.ChoiceField, forms.ModelChoiceField, RoleField)
    chosen = {name: form.data[name] for name, field in form.fields.items() if type(field) in of_list}
    onwards = {name: request.GET[name] for name in (ONWARDS,) if name in request.GET}
    return f"{request.path}?{urlencode({**chosen, **onwards})}" if chosen or onwards else request.path


def _run_on_all(act: AdminAction, model_admin: StaffAdmin, request: HttpRequest, rows: QuerySet) -> None:
    acts.perform_on_all(act, rows, request, name_of=model_admin.name_of)
