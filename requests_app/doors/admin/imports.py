"""Imports: upload a file, read what it would do, start the import, and follow it until its end."""

from __future__ import annotations

import csv
import json
import re
import zlib
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.text import capfirst, format_lazy
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from audit_app.export import neutral
from requests_app import operations
from requests_app.content.connectors.registry import KINDS
from requests_app.domain.actors import Actor
from requests_app.domain.acts.imports import PROPOSE_IMPORT, START_IMPORT
from requests_app.domain.ids import as_id
from requests_app.domain.imports import (
    CSV_COLUMNS,
    HELD_WORDS,
    MORE,
    PLANNED_STATUS,
    PLANNED_WORDS,
    STATUS_WORDS,
    Line,
    Report,
    Source,
    Status,
    number_of,
)
from requests_app.doors.admin.acts import ActForm, AdminAction, actor_in, of_act
from requests_app.doors.admin.base import Related, StaffAdmin
from requests_app.doors.admin.columns import NOTHING, door, link_to, list_of, mono, preformatted
from requests_app.doors.admin.filters import by_choice, by_row, by_tenant
from requests_app.doors.admin.searching import Search
from requests_app.models import HeldRow, Import, Plan, Proposal, Resource, Service, Tenant
from requests_app.platform import csv_files, program
from requests_app.queries import imports as queries
from requests_app.words import proposals

#: How many faults, and how many rows, the page about a file shows. The file with the report has all of them.
FAULTS_SHOWN, ROWS_SHOWN = 200, 50
#: All characters that a file's name in a header can't have.
_NO_FILE_NAME = re.compile(r"[^A-Za-z0-9._-]")
#: The models of the rows, for the names of their values.
_MODELS: dict[str, type[models.Model]] = {"plan": Plan, "service": Service, "tenant": Tenant, "resource": Resource}
_FLAGS = {"True": _("yes"), "False": _("no")}
_EXAMPLE = {
    "tenant": ("adatum", "adatum"),
    "tenant_name": ("Adatum Corporation", ""),
    "time_zone": ("Europe/Berlin", ""),
    "external_id": ("mbx-1001", "mbx-1002"),
    "name": ("ann@adatum.example", "ben@adatum.example"),
}
COLUMNS = ("line", "kind", "name", "status", "column", "code", "reason")


class UploadForm(forms.Form):
    file = forms.FileField(
        label=_("CSV file"),
        help_text=format_lazy(
            _(
                "At most one megabyte, in UTF-8. First the file is only checked. For a larger file, use the command "
                "“{command}” on the server."
            ),
            command=program.command("import"),
        ),
    )


class StartForm(ActForm):
    """The file that was checked, as the page about it sends it back. The operation checks it again."""

    content = forms.CharField(widget=forms.HiddenInput)
    file_name = forms.CharField(widget=forms.HiddenInput, max_length=200, required=False)

    def clean_content(self) -> bytes:
        """Return the file. A small text can become a very large file, so an upload's own limit is applied again."""
        most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        try:
            data = zlib.decompressobj().decompress(b64decode(self.cleaned_data["content"], validate=True), most + 1)
        except (NotBase64, ValueError, zlib.error):
            data = None
        if data is None or len(data) > most:
            raise ValidationError(gettext("Choose the file again."))
        return data


def packed(data: bytes) -> str:
    """Return a file as text for a hidden field."""
    return b64encode(zlib.compress(data, 9)).decode()


def start(row: None, actor: Actor, data: dict[str, Any]) -> Import | None:
    source = csv_files.source(data["content"], file_name=data["file_name"])
    return operations.start_import(source, actor=actor)


@admin.display(description=_("rows written"))
def progress(row: Import) -> str:
    words = ngettext("%(done)d of %(n)d", "%(done)d of %(n)d", row.rows) % {"done": row.rows_done, "n": row.rows}
    return format_html(
        '<progress max="{}" value="{}" aria-label="{}"></progress> {}',
        row.rows,
        row.rows_done,
        gettext("rows written"),
        words,
    )


@admin.display(description=_("result"))
def counted(row: Import) -> str:
    return count_words(row.counts)


def count_words(counts: dict[str, int]) -> str:
    return ", ".join(f"{words}: {counts[status]}" for status, words in STATUS_WORDS.items() if counts.get(status))


@admin.display(description=_("kinds of changes"))
def kinds_of(row: Import) -> str:
    return kinds(row.pk)


def kinds(import_id: Any) -> str:
    """Return how many changes of each kind an import holds. Each number links to the list of these changes."""
    found = queries.kinds_of(HeldRow.objects.filter(of=import_id))
    links = ((list_of(HeldRow, of=import_id, act=act), HELD_WORDS.get(act, act), n) for act, n in found)
    return format_html_join(", ", '<a href="{}">{}: {}</a>', links)


@admin.display(description=_("SHA-256"))
def sha256(row: Import) -> str:
    return mono(row.sha256)


@admin.display(description=_("proposal"))
def proposal(row: Import) -> str:
    if row.proposal is None:
        return NOTHING
    return link_to(row.proposal, capfirst(proposals.title(row.proposal.act, row.proposal.said, row.held.count())))


@admin.display(description=_("change"))
def change(row: HeldRow) -> str:
    return proposals.words(row.act, row.terms)


@admin.display(description=_("what"))
def terms(row: HeldRow) -> str:
    """Return all values of the change, such as the locator of a new resource."""
    return preformatted(json.dumps(row.terms, indent=2, ensure_ascii=False))


@admin.display(description=_("line"), ordering="line")
def line(row: HeldRow) -> str:
    return gettext("line %(number)d") % {"number": row.line}


@admin.display(description=_("tenant"), ordering="tenant")
def concerned(row: HeldRow) -> str:
    """Return the tenant. A change of what tenants share has none, and the row's page lists those that it affects."""
    return link_to(row.tenant) if row.tenant is not None else gettext("all affected tenants")


@admin.display(description=_("affects"))
def affected(row: HeldRow) -> str:
    return ", ".join(row.touched.order_by("name").values_list("name", flat=True)) or NOTHING


@admin.display(description=_("import"))
def imported_from(row: HeldRow) -> str:
    return link_to(row.of)


@admin.display(description=_("state"))
def state(row: HeldRow) -> str:
    if row.outcome:
        return str(row.get_outcome_display())
    proposal = row.of.proposal
    if proposal is None:
        return gettext("waits for somebody who proposes it")
    if proposal.ended_at is not None:
        return gettext("not proposed any more")
    if row.announced_at is None:
        return gettext("is being announced")
    return gettext("waits for a second person") if proposal.effective_at is None else gettext("announced")


#: The columns of the changes on the page of their import or proposal.
HELD_COLUMNS = (line, concerned, change, state)


def waits_for_proposer(row: Import) -> bool:
    return row.proposal_id is None and row.finished_at is not None and row.held.filter(outcome="").exists()


def _none_yet(row: Import | Proposal) -> str:
    """While an import runs, nobody knows which changes wait."""
    is_running = isinstance(row, Import) and row.finished_at is None
    return gettext("Not known until the import is finished.") if is_running else ""


def held_rows(by: Callable[[Any], dict[str, Any] | None]) -> Related:
    """Return the changes that an import holds, the change that weakens a customer most first."""
    words, order = _("Changes that need a second person"), (queries.by_weight(), "line", "pk")
    return Related(model=HeldRow, by=by, columns=HELD_COLUMNS, order=order, nothing=_none_yet, title=words)


class ImportAdmin(StaffAdmin):
    list_display = ("file_name", progress, "started_name", "started_at", "finished_at")
    ordering = ("-started_at",)
    search: ClassVar = Search(ids=("pk", "started_by"), words=("file_name", "sha256"))
    list_filter = ()
    lead = _(
        "A file adds and changes many tenants and resources. It is checked first. If it has no fault, each tenant is "
        "written in a transaction of its own."
    )
    facts: ClassVar = [
        ("", ("file_name", sha256, progress, counted)),
        (_("Times"), ("started_name", door, "started_at", "finished_at")),
        (_("Confirmation"), (proposal,)),
    ]
    related: ClassVar = [held_rows(by=lambda row: {"of": row})]
    adding: ClassVar = of_act(START_IMPORT, "add", label=_("Import a file"), form=StartForm, run=start)
    acts: ClassVar = [of_act(PROPOSE_IMPORT, "propose", offered=waits_for_proposer)]

    def get_urls(self) -> list[Any]:
        shown = self.admin_site.admin_view
        report = path("<uuid:pk>/report.csv", shown(self.report_view), name="requests_app_import_report")
        example = path("example.csv", shown(self.example_view), name="requests_app_import_example")
        return [report, example, *super().get_urls()]

    def links(self, row: Import) -> list[tuple[str, str]]:
        found = [(gettext("Download the report"), reverse("admin:requests_app_import_report", args=[row.pk]))]
        return found

    def is_live(self, row: Import) -> bool:
        return row.finished_at is None

    def before_act(self, request: HttpRequest, act: AdminAction, row: Import) -> dict[str, Any]:
        """Return all changes that the import would propose."""
        panels = [panel for related in self.related if (panel := self._pages_of(request, related, row))]
        return {"facts": self._groups(row, [("", ("file_name", kinds_of, counted, sha256))]), "panels": panels}

    def report_view(self, request: HttpRequest, pk: object) -> HttpResponse:
        row = self._find(request, str(pk))
        return _download(queries.lines_of(row), "report.csv", {})

    def example_view(self, request: HttpRequest) -> HttpResponse:
        """Return a small file that could be imported: one new tenant with two resources."""
        rows = [dict.fromkeys(CSV_COLUMNS, ""), dict.fromkeys(CSV_COLUMNS, "")]
        for name, values in _EXAMPLE.items():
            for row, value in zip(rows, values, strict=True):
                row[name] = value
        rows[0]["plan"] = Plan.objects.order_by("name").values_list("name", flat=True).first() or "E5"
        service = Service.objects.order_by("name").first()
        connector = KINDS.get(service.connector) if service is not None else None
        for row in rows:
            row["service"] = service.key if service is not None else "exchange-online"
            row["kind"] = connector.kinds[0] if connector is not None else str(Resource.Kind.MAILBOX)
            if service is None or not service.is_external:
                row["locator"] = f"adatum/mail/{row['name'].partition('@')[0]}"
        writer = csv.writer(_Echo(), lineterminator="\r\n")
        lines = [writer.writerow(CSV_COLUMNS), *(writer.writerow(map(neutral, row.values())) for row in rows)]
        return _file("".join(lines), "example.csv")

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the form for a file, check an uploaded file and show what it would do, or start a checked file."""
        is_start = "content" in request.POST and "report" not in request.POST
        if request.method == "POST" and is_start and StartForm(request.POST).is_valid():
            return super().add_view(request, form_url, extra_context)
        form, status = UploadForm(), 200
        if request.method == "POST":
            source, data = self._checked_source(request)
            if source is not None:
                return self._show_check(request, source, data)
            form, status = UploadForm(request.POST, request.FILES), 422
        context = {"form": form, "columns": CSV_COLUMNS, "example_url": reverse("admin:requests_app_import_example")}
        return self._page(request, "admin/import_upload.html", context, status=status)

    def done(self, request: HttpRequest, act: AdminAction, row: Any, result: Any) -> HttpResponse:
        if act is self.adding and result is None:
            return self._page(request, "admin/import_empty.html", {})
        return super().done(request, act, row, result)

    def _checked_source(self, request: HttpRequest) -> tuple[Source | None, bytes]:
        """Return the rows of the uploaded file, or of the file that was uploaded before."""
        if "content" in request.POST:
            again = StartForm(request.POST)
            if not again.is_valid():
                return None, b""
            data, name = again.cleaned_data["content"], again.cleaned_data["file_name"]
        else:
            form = UploadForm(request.POST, request.FILES)
            if not form.is_valid():
                return None, b""
            data, name = form.cleaned_data["file"].read(), form.cleaned_data["file"].name
        return csv_files.source(data, file_name=name), data

    def _show_check(self, request: HttpRequest, source: Source, data: bytes) -> HttpResponse:
        """Show what the file would do, or send it as a file. Nothing is changed or recorded."""
        report = operations.check_import(source, actor=actor_in(request))
        if "report" in request.POST:
            name = f"check-of-{_NO_FILE_NAME.sub('_', source.file_name)[:100].removesuffix('.csv')}.csv"
            return _download(_with_faults(report), name, PLANNED_STATUS)
        context = {
            "source": source,
            "faults": report.faults[:FAULTS_SHOWN],
            "fault_count": number_of(report.faults),
            "lines": [(line, _planned(line)) for line in _first(report)],
            "counts": [(PLANNED_WORDS[status], report.counts[status]) for status in Status if report.counts[status]],
            "is_empty": report.is_empty,
            "informed": report.informed,
            "form": StartForm(initial={"content": packed(data), "file_name": source.file_name}),
        }
        return self._page(request, "admin/import_check.html", context, status=422 if report.faults else 200)

    def _page(self, request: HttpRequest, template: str, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
        shown = {**self._context(request, None), "title": START_IMPORT.title, "back_url": list_of(Import)}
        return TemplateResponse(request, template, {**shown, **context}, status=status)


def _concerning(rows: QuerySet, tenant: str) -> QuerySet:
    found = as_id(tenant)
    return rows.filter(pk__in=HeldRow.objects.concerning([found] if found else []).values("pk"))


class HeldRowAdmin(StaffAdmin):
    # Not first: the first column is cut where it is too long, and the person who confirms must read every change.
    list_display = (line, concerned, change, state, imported_from, "ended_at")
    reads: ClassVar = ("tenant", "of__proposal")
    ordering = ("of", "line", "pk")
    search: ClassVar = Search(ids=("of",), tenant="tenant")
    list_filter = (
        by_row("of", _("import"), Import),
        by_tenant(narrow=_concerning),
        by_choice("act", _("kind of change"), HELD_WORDS.items()),
        by_choice("outcome", _("outcome"), HeldRow.Outcome.choices),
    )
    words = _("Changes of imports that need a second person")
    lead = _(
        "These changes weaken customers’ protection. All changes of one import are one proposal. Another member of the "
        "staff confirms it, and it takes effect after the waiting time."
    )
    facts: ClassVar = [
        ("", (change, "tenant", affected, "resource", imported_from, line, state, "ended_at", terms)),
    ]


def _with_faults(report: Report) -> Iterator[Line]:
    """Yield the report's rows. Faults of the file itself, which belong to no row, come first."""
    of_rows = {(fault.line, fault.column, fault.code) for line in report.lines for fault in line.faults}
    of_file = [fault for fault in report.faults if (fault.line, fault.column, fault.code) not in of_rows]
    is_all = len(of_rows) + sum(fault.code != MORE for fault in of_file) == number_of(report.faults)
    for fault in of_file:
        # The rows name all of their faults, so none of these is only counted.
        if fault.code != MORE or not is_all:
            yield Line(fault.line, "", "", Status.REFUSED, (fault,))
    yield from report.lines


def _first(report: Report) -> list[Line]:
    """Return the rows that change something. The change that weakens a customer most comes first."""
    changing = [line for line in report.lines if line.status != Status.UNCHANGED]
    return sorted(changing, key=lambda line: line.weight)[:ROWS_SHOWN]


def _planned(line: Line) -> list[str]:
    """Return what a row would change, in sentences. First are the changes that wait for a second person."""
    held = [capfirst(proposals.words(act, terms)) for act, terms in line.held]
    if line.waits_for:
        held.append(gettext("waits for the service %(name)s") % {"name": line.waits_for})
    pattern = gettext("immediately, %(value)s: “%(before)s” becomes “%(after)s”")
    if not held:
        pattern = gettext("%(value)s: “%(before)s” becomes “%(after)s”")
    model = _MODELS.get(line.kind)
    now = []
    for name, (before, after) in line.changes.items():
        label = model._meta.get_field(name).verbose_name if model else name  # type: ignore[union-attr]  # a plain field
        now.append(pattern % {"value": label, "before": _FLAGS.get(before, before), "after": _FLAGS.get(after, after)})
    return [*held, *now]


def _download(lines: Iterable[Line], name: str, statuses: dict[str, str]) -> HttpResponse:
    """Return a report as a file. `statuses` replaces the statuses of rows that are only checked."""
    return _file("".join(_csv(lines, statuses)), name)


def _file(text: str, name: str) -> HttpResponse:
    response = HttpResponse(text, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _csv(lines: Iterable[Line], statuses: dict[str, str]) -> Iterator[str]:
    """Yield the report as CSV. No cell is read as a formula by a spreadsheet."""
    writer = csv.writer(_Echo(), lineterminator="\r\n")
    yield writer.writerow(COLUMNS)
    for line in lines:
        for fault in line.faults or (None,):
            about = (fault.column, fault.code, fault.reason) if fault is not None else ("", "", "")
            status = statuses.get(line.status, line.status)
            yield writer.writerow(neutral(cell) for cell in (line.line, line.kind, line.name, status, *about))


class _Echo:
    """A file for csv.writer that returns each line to the caller and stores nothing."""

    def write(self, line: str) -> str:
        return line
