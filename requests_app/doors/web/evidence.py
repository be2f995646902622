"""Downloads of evidence: of one access request, of some days, or of the whole log. A page shows their progress."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Generator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from audit_app import checkpoints, evidence
from audit_app.bundle_selection import EvidenceScope
from audit_app.evidence import Evidence
from audit_app.proofs import NotProven
from requests_app import operations
from requests_app.content.downloads import disposition, in_steps
from requests_app.domain.actors import Actor, Role
from requests_app.domain.errors import Malformed, Unacceptable, WrongState
from requests_app.domain.ids import as_id
from requests_app.doors.web import _progress
from requests_app.doors.web._access import takes_evidence
from requests_app.doors.web._progress import Progress
from requests_app.doors.web.context import instant
from requests_app.doors.web.forms.evidence import DownloadForm, PeriodForm
from requests_app.doors.web.middleware import actor_in
from requests_app.doors.web.timeline import Subject, timelines
from requests_app.models import AccessRequest, Tenant
from requests_app.platform.long_calls import MOST_PER_PERSON, LongCall
from requests_app.queries import access, readers
from requests_app.queries import tenant as tenants

READERS = operations.LOG_READERS | {Role.STAFF}
#: After the page has asked so many times, a download that has not begun yet counts as given up.
_PATIENCE = 30
_METHODS = ["GET", "HEAD", "POST"]


# --- Pages -----------------------------------------------------------------------------------------------


@login_required
@require_http_methods(_METHODS)
@never_cache
def log_evidence(request: HttpRequest, tenant: UUID) -> HttpResponseBase:
    """Send evidence of the whole log, or of some days."""
    actor = actor_in(request)
    row = tenants.tenant(tenant, actor=actor)
    if request.method != "POST":
        readers.require_log_reader(row.pk, actor=actor)
        return _page(request, row, PeriodForm(initial={"download": uuid4()}, tenant=row), _wanted(row))
    form = PeriodForm(request.POST, tenant=row)
    form.require_known()
    if not form.is_valid():
        readers.require_log_reader(row.pk, actor=actor)
        return _page(request, row, form, _wanted(row), status=_refused(form))
    since, until = form.bounds()
    return _taken(request, row, form, _wanted(row, since=since, until=until, previous_size=form.cleaned_data["kept"]))


@login_required
@require_http_methods(_METHODS)
@never_cache
def access_request_evidence(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """Send evidence of one access request."""
    actor = actor_in(request)
    row = access.access_request(pk, actor=actor)
    wanted = _wanted(row.tenant, access_request=row.pk, is_practice=row.is_practice)
    if request.method != "POST":
        readers.require_log_reader(row.tenant_id, actor=actor)
        form = DownloadForm(initial={"download": uuid4()}, tenant=row.tenant)
        return _page(request, row.tenant, form, wanted, about=row)
    form = DownloadForm(request.POST, tenant=row.tenant)
    form.require_known()
    if not form.is_valid():
        readers.require_log_reader(row.tenant_id, actor=actor)
        return _page(request, row.tenant, form, wanted, about=row, status=_refused(form))
    return _taken(request, row.tenant, form, replace(wanted, previous_size=form.cleaned_data["kept"]), about=row)


@login_required
@require_safe
@never_cache
def evidence_progress(request: HttpRequest, tenant: UUID, download: UUID) -> HttpResponse:
    """Show the progress of this person's own download, as a part of the page.

    The page requests this part again until the download has ended.
    """
    actor = actor_in(request)
    row = tenants.tenant(tenant, actor=actor)
    readers.require_log_reader(row.pk, actor=actor)
    tried = request.GET.get("tried", "")
    context = {
        "told": _progress.progress_of(actor.person, download),
        "tried": min(int(tried), _PATIENCE) + 1 if re.fullmatch(r"[0-9]{1,3}", tried) else 1,
        "patience": _PATIENCE,
        "progress_url": reverse("web:evidence_progress", args=[row.pk, download]),
    }
    return render(request, "evidence/_progress.html", context)


def _wanted(tenant: Tenant, **what: Any) -> EvidenceScope:
    return EvidenceScope(tenant_id=tenant.pk, tenant_name=tenant.name, **what)


def _page(
    request: HttpRequest,
    tenant: Tenant,
    form: DownloadForm,
    wanted: EvidenceScope,
    *,
    about: AccessRequest | None = None,
    status: int = 200,
) -> HttpResponse:
    """Show what can be downloaded now. If nothing can be proven, the page says why and has no button."""
    prepared, problem = None, ""
    try:
        prepared = evidence.prepare(wanted, at=instant(request))
    except NotProven as refusal:
        problem = refusal.code
    download = form["download"].value()
    context = {
        "now": instant(request),
        "tenant": tenant,
        "row": about,
        "form": form,
        "prepared": prepared,
        "newest": prepared.parts[-1].checkpoint if prepared else None,
        "problem": problem,
        "alarm": checkpoints.state(tenant.pk).alarm,
        "progress_url": reverse("web:evidence_progress", args=[tenant.pk, download]) if as_id(download) else "",
    }
    return render(request, "evidence/evidence.html", context, status=status)


def _refused(form: DownloadForm) -> int:
    """Return the status of a refusal. An unknown checkpoint is well formed, so its status is 422 and not 400."""
    return Unacceptable.status if "kept" in form.errors else Malformed.status


# --- Downloads -------------------------------------------------------------------------------------------


def _taken(
    request: HttpRequest,
    tenant: Tenant,
    form: DownloadForm,
    wanted: EvidenceScope,
    *,
    about: AccessRequest | None = None,
) -> HttpResponseBase:
    actor, at = actor_in(request), instant(request)
    prepared = None
    if takes_evidence(actor, tenant.pk):
        try:
            prepared = evidence.prepare(wanted, at=at)
        except NotProven:
            # No file is sent, so no download is recorded.
            return _page(request, tenant, form, wanted, about=about, status=WrongState.status)
    with LongCall(actor.person, most=MOST_PER_PERSON, tenant_id=tenant.pk) as place:
        # The operation refuses a reader who can't download it, and records the refusal.
        operations.take_evidence(
            tenant.pk,
            actor=actor,
            access_request_id=wanted.access_request,
            since=wanted.since,
            until=wanted.until,
            is_ready=prepared is not None,
        )
        assert prepared is not None  # the operation accepts nothing else
        progress = Progress(actor.person, form.cleaned_data["download"], prepared.count)
        chunks = _reporting(prepared, Subject(tenant, about), actor, progress)
        steps = place.to_the_end_of(in_steps(chunks, tenant.pk, actor=actor))
    response = StreamingHttpResponse(steps, content_type="application/zip")
    response["Content-Disposition"] = disposition(_file_name(tenant, about, at), as_attachment=True)
    return response


def _reporting(prepared: Evidence, subject: Subject, actor: Actor, progress: Progress) -> Generator[bytes]:
    """Yield the chunks of the bundle, and report the progress."""
    with progress.to_its_end():
        extras = timelines(prepared, subject, actor=actor, begin=lambda: progress.begin(_progress.TIMELINE))
        yield from prepared.stream(extras, progress=progress.begin(_progress.ENTRIES))


def _file_name(tenant: Tenant, about: AccessRequest | None, at: dt.datetime) -> str:
    of = about.reference if about else "log"
    slug = re.sub(r"[^A-Za-z0-9-]+", "-", tenant.slug)
    return f"{slug}-evidence-{of}-{at.astimezone(dt.UTC):%Y%m%dT%H%M%SZ}.zip"


urlpatterns = [
    path("log/<uuid:tenant>/evidence/", log_evidence, name="log_evidence"),
    path("log/<uuid:tenant>/evidence/<uuid:download>/", evidence_progress, name="evidence_progress"),
    path("access-requests/<uuid:pk>/evidence/", access_request_evidence, name="access_request_evidence"),
]
