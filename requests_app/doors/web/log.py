"""A tenant's log: search it, check it, export it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Generator, Iterator
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import path, register_converter, reverse
from django.urls.converters import StringConverter
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from audit_app.models import AuditEntry
from audit_app.shard_positions import Shards
from audit_app.siem import FORMATS, Source
from requests_app import operations
from requests_app.content.downloads import in_batches, in_steps
from requests_app.domain.actors import Actor
from requests_app.domain.errors import Malformed
from requests_app.domain.events import title_of
from requests_app.doors.web import _progress
from requests_app.doors.web._log_rows import rows
from requests_app.doors.web._log_state import checked, places, standing
from requests_app.doors.web._log_words import shown_entries
from requests_app.doors.web._progress import Progress
from requests_app.doors.web.access_requests import STOP_POLLING
from requests_app.doors.web.context import instant
from requests_app.doors.web.forms.log import LogExport, LogFilter, LogPlace
from requests_app.doors.web.forms.strict import require_nothing
from requests_app.doors.web.middleware import actor_in
from requests_app.models import Tenant
from requests_app.operations.checks import rests_until
from requests_app.platform.long_calls import MOST_PER_PERSON, LongCall
from requests_app.queries import log as queries
from requests_app.queries import log_search
from requests_app.queries import tenant as tenants
from requests_app.words.times import when_words


@login_required
@require_safe
@never_cache
def log(request: HttpRequest, tenant: UUID) -> HttpResponse:
    """Show one page of the log. For an unknown or malformed filter, answer 400 and say what is wrong."""
    actor = actor_in(request)
    row = log_of(tenant, actor=actor)
    form = LogPlace(request.GET, tenant=row)
    form.require_known()
    if not form.is_valid():
        return render(request, "log/log.html", _page(request, row, form), status=Malformed.status)
    return render(request, "log/log.html", _page(request, row, form, actor=actor))


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def log_verify(request: HttpRequest, tenant: UUID) -> HttpResponse:
    """Start a check of the whole log. Workers do the check, and the page shows the progress.

    GET starts nothing: it shows the button again to a person who had to sign in first.
    """
    actor = actor_in(request)
    row = log_of(tenant, actor=actor)
    if request.method != "POST":
        return redirect(reverse("web:log", args=[row.pk]) + "#log-check")
    require_nothing(request.POST)
    check, is_new = operations.ask_for_check(row.pk, actor=actor)
    if not is_new and check.ended_at is not None:
        when = when_words(rests_until(check), instant(request))
        messages.info(
            request,
            _("The log has just been checked, and this is the result. The log can be checked again from %(when)s on.")
            % {"when": when},
        )
    return redirect(reverse("web:log", args=[row.pk]) + "#log-check")


@login_required
@require_safe
@never_cache
def log_check(request: HttpRequest, tenant: UUID) -> HttpResponse:
    """Show the progress or the result of a check. Only htmx asks for this, and stops when the check has ended."""
    row = log_of(tenant, actor=actor_in(request))
    if not request.htmx:  # type: ignore[attr-defined]  # set by HtmxMiddleware
        return redirect(reverse("web:log", args=[row.pk]) + "#log-check")
    at, head = instant(request), queries.head(row)
    check = checked(row.pk, log_size=head.size, at=at)
    # Rendered without the request, because the menu with its counts would take longer than this part.
    context = {"tenant": row, "head": head, "check": check, "now": at, "provider_name": settings.PROVIDER_NAME}
    response = HttpResponse(render_to_string("log/_check.html", {**context, "csrf_token": get_token(request)}))
    if check is None or not check.is_running:
        response.status_code = STOP_POLLING
    return response


@login_required
@require_POST
def log_export(request: HttpRequest, tenant: UUID, kind: str) -> StreamingHttpResponse:
    """Export the entries that match the filters, the oldest first. The export is itself recorded in the log.

    Each line contains the entry's number, so a reader can continue `after` the last line. If the page has sent an id in
    `download`, it can ask for the progress (evidence_progress).
    """
    actor = actor_in(request)
    row = tenants.tenant(tenant, actor=actor)
    form = LogExport(request.POST, tenant=row)
    form.require_known()
    form.require_valid()
    with LongCall(actor.person, most=MOST_PER_PERSON, tenant_id=row.pk) as place:
        operations.export_log(row.pk, actor=actor, kind=kind, filters=form.as_asked())
        steps = place.to_the_end_of(_exported(row, form, kind, actor=actor))
    wanted = FORMATS[kind]
    response = StreamingHttpResponse(steps, content_type=wanted.content_type)
    at = instant(request).astimezone(dt.UTC)
    name = f"{row.slug}-log-{at:%Y%m%dT%H%M%SZ}.{wanted.ending}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "no-store"
    return response


def _exported(row: Tenant, form: LogExport, kind: str, *, actor: Actor) -> Iterator[bytes]:
    search = form.search()
    # The end is fixed. Otherwise the export of a log that grows faster than it is read would never end.
    until, after = queries.head(row).size, form.cleaned_data["after"]
    entries = queries.in_order(row, search, until=until, after=after) if search else iter(())
    wanted, source = FORMATS[kind], Source(Shards.of(row.pk), vendor=settings.PROVIDER_NAME)
    progress = Progress(actor.person, form.cleaned_data["download"] or uuid4(), until)
    chunks = _reporting(iter(wanted.lines(_counted(entries, progress), source)), progress)
    return in_steps(chunks, row.pk, actor=actor)


def _reporting(lines: Iterator[str], progress: Progress) -> Generator[bytes]:
    """Yield the chunks of the file, and report the progress."""
    with progress.to_its_end():
        yield from in_batches(lines)


def _counted(entries: Iterator[AuditEntry], progress: Progress) -> Iterator[AuditEntry]:
    """Yield the entries, and report the progress by their numbers.

    The number of entries that match the filters is known only at the end.
    """
    tell, end, last, count = progress.begin(_progress.ENTRIES), progress.total, None, 0
    for entry in entries:
        if last is None:
            # Entries with lower numbers were removed or are not wanted, so they don't count for the progress.
            last, progress.total = entry.seq - 1, end - entry.seq
        tell(entry.seq - last)
        last, count = entry.seq, count + 1
        yield entry
    progress.total = count


def log_of(tenant_id: UUID, *, actor: Actor) -> Tenant:
    """Return the tenant of this log. Raise NotFound for strangers.

    People of the tenant who can't read the log are refused.
    """
    return queries.readable(tenant_id, actor=actor)


def _page(request: HttpRequest, tenant: Tenant, form: LogPlace, *, actor: Actor | None = None) -> dict[str, Any]:
    """Return what the page shows. Without an actor, for example after a refused filter, it shows no entries."""
    at = instant(request)
    stands = standing(tenant, at=at)
    head = queries.Head(stands["state"].size, stands["state"].last_at)
    asked = form.as_asked() if form.is_valid() else {}
    context = {
        "now": at,
        "tenant": tenant,
        "form": form,
        "asked": asked,
        "shown": _in_words(form, asked),
        "head": head,
        "last_seq": head.size - 1,
        "download": uuid4(),
        "check": checked(tenant.pk, log_size=head.size, at=at),
        **stands,
    }
    if actor is None:
        return context
    search = form.search()
    found = queries.page(tenant, search, form.place(), size=head.size) if search else queries.Page([])
    about, where = queries.about(found.entries, actor=actor), places(stands["state"], found.entries)
    shown = shown_entries(found.entries, tenant=tenant, about=about, places=where, at=at)
    return context | {
        "rows": list(rows(shown, tenant=tenant, opened=form.cleaned_data["entry"], at=at, state=stands)),
        "found": found,
        "is_by_words": search is not None and search.is_by_words,
        "preparing": log_search.preparing(tenant.pk, size=head.size) if search and search.is_by_words else None,
        "newer_url": _url(asked, "after", found.newer),
        "older_url": _url(asked, "before", found.older),
    }


def _in_words(form: LogFilter, asked: dict[str, str]) -> list[tuple[Any, str]]:
    """Return the label and the value of each filter that is set, for the page and for print."""
    return [(form.fields[name].label, title_of(value) if name == "event" else value) for name, value in asked.items()]


def _url(asked: dict[str, str], name: str, cursor: int | None) -> str:
    return "" if cursor is None else "?" + urlencode({**asked, name: cursor})


class _Kind(StringConverter):
    regex = "|".join(FORMATS)


register_converter(_Kind, "log_kind")

urlpatterns = [
    path("log/<uuid:tenant>/", log, name="log"),
    path("log/<uuid:tenant>/verify/", log_verify, name="log_verify"),
    path("log/<uuid:tenant>/check/", log_check, name="log_check"),
    path("log/<uuid:tenant>/export/<log_kind:kind>/", log_export, name="log_export"),
]
