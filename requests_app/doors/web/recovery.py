"""The recovery key: made by an administrator and shown once, used on a page that asks for no sign-in."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse
from django.utils.cache import patch_cache_control
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from requests_app import operations
from requests_app.domain import policy
from requests_app.domain.errors import NotFound, TooMany, Unacceptable
from requests_app.doors.web.context import instant
from requests_app.doors.web.forms.strict import require_nothing
from requests_app.doors.web.forms.tenant import RecoveryForm
from requests_app.doors.web.invitations import stranger
from requests_app.doors.web.middleware import actor_in
from requests_app.doors.web.tenant import ADMINISTRATOR, about
from requests_app.queries import tenant as queries
from requests_app.words.times import duration_words


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def recovery_key(request: HttpRequest, tenant: UUID) -> HttpResponse:
    """GET says whether there is one; POST makes one, and its answer alone shows it."""
    actor = actor_in(request)
    row = queries.tenant(tenant, actor=actor)
    context = {**about(actor, row), "now": instant(request), "delay": _delay()}
    if request.method == "POST":
        require_nothing(request.POST)
        made = operations.make_recovery_key(row.pk, actor=actor)
        context |= {"key": made.key, "made": made.row, "here": settings.BASE_URL + reverse("web:recover")}
        response = render(request, "recovery/shown_once.html", context)
        patch_cache_control(response, no_store=True, private=True)
        return response
    policy.require_role(actor, ADMINISTRATOR, tenant_id=row.pk)
    context["known"] = queries.recovery_key(row)
    return render(request, "recovery/key.html", context)


@sensitive_post_parameters("recovery_key")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def recover(request: HttpRequest) -> HttpResponse:
    """Whoever holds the key names an administrator. Every key that is no good has the very same answer."""
    form = RecoveryForm(request.POST if request.method == "POST" else None)
    status = 200
    if request.method == "POST":
        form.require_known()
        status = Unacceptable.status
        if form.is_valid():
            try:
                given = form.cleaned_data
                row = operations.use_recovery_key(
                    key=given["recovery_key"], email=given["email"], actor=stranger(request)
                )
            except NotFound:
                form.add_error("recovery_key", _("No recovery key reads like this. Compare it letter by letter."))
            except (Unacceptable, TooMany) as refusal:
                form.refuse(refusal)
                status = refusal.status
            else:
                return render(request, "recovery/begun.html", {"now": instant(request), "invitation": row})
    context = {"now": instant(request), "form": form, "delay": _delay()}
    return render(request, "recovery/recover.html", context, status=status)


def _delay() -> str:
    return duration_words(settings.RECOVERY_DELAY_SECONDS)


urlpatterns = [
    path("tenant/<uuid:tenant>/recovery-key/", recovery_key, name="recovery_key"),
    path("recovery/", recover, name="recover"),
]
