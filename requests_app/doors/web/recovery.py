"""The recovery key: an administrator makes it, a page shows it once, and another page accepts it without a sign-in."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from requests_app import operations
from requests_app.domain.errors import NotFound, TooMany, Unacceptable
from requests_app.doors.web._thing_views import addresses
from requests_app.doors.web._things import Action, Column, Link, Page, Secret, Shown, Visit, strong, to
from requests_app.doors.web.context import instant
from requests_app.doors.web.forms.tenant import RecoveryForm
from requests_app.doors.web.middleware import stranger
from requests_app.queries import tenant as queries
from requests_app.templatetags.lockbox import when
from requests_app.words.text import visible_single
from requests_app.words.times import duration_words


def _delay() -> str:
    return duration_words(settings.RECOVERY_DELAY_SECONDS)


def _way_back(visit: Visit) -> str:
    words = _(
        "When somebody uses the recovery key, everybody in your tenant and all its notification addresses get a "
        "mail. Nothing else happens for %(delay)s. During this time, any administrator or approver can stop the "
        "recovery with one button."
    )
    return words % {"delay": _delay()}


def _key_of_now(visit: Visit) -> str:
    known = visit.thing
    if known is None:
        return strong(_("You have no recovery key. Create it now, while you have an administrator who can create it."))
    return format_html(
        "{} {}",
        format_html(
            _("{name} created a key on {when}."),
            name=visible_single(known.made_by.name),
            when=visit.when(known.made_at),
        ),
        strong(_("When you create a new key, the earlier key no longer works.")),
    )


def _label(visit: Visit) -> str:
    return _("Create a new recovery key") if visit.thing else _("Create the recovery key")


def _shown_once(visit: Visit, made: Any) -> Secret:
    words = _(
        "Use this key to choose a new administrator when you have no administrator any more. You can use the key "
        "once. Everybody in your tenant then gets a mail, and the key takes effect %(delay)s later. An earlier "
        "key no longer works: destroy it."
    )
    return Secret(
        heading=gettext_lazy("Recovery key of {tenant}"),
        title=gettext_lazy("Your recovery key"),
        value=made.key,
        warning=gettext_lazy("This key is shown now and never again. Print this page, then close it."),
        text=words % {"delay": _delay()},
        shown=(Shown(made.key, gettext_lazy("Recovery key")),),
        facts=(
            Column(gettext_lazy("For"), lambda row: visit.tenant.name),
            Column(gettext_lazy("Created"), lambda row: made.row.made_at, when),
            Column(gettext_lazy("Where to use it"), lambda row: settings.BASE_URL + reverse("web:recover"), css="mono"),
        ),
        # Nobody has shown yet that this key is stored, so the set-up is open again at this step.
        back=_SET_UP,
    )


_SET_UP = Link(gettext_lazy("Set-up of {tenant}"), to("web:guide", "tenant"))
_PEOPLE = Link(gettext_lazy("People of {tenant}"), to("web:people", "tenant"))

KEY = Page(
    name="recovery_key",
    path="tenant/<uuid:tenant>/recovery-key/",
    heading=gettext_lazy("Recovery key"),
    back=_PEOPLE,
    is_for_administrators=True,
    is_narrow=True,
    find=lambda visit, ids: queries.recovery_key(visit.tenant),
    lead=gettext_lazy(
        "Use the recovery key if {tenant} has lost every administrator. Anybody who has the key can choose a new "
        "administrator, without signing in. {provider} cannot do this for you, and cannot create or read a key."
    ),
    action=Action(
        consequences=(
            _way_back,
            gettext_lazy(
                "The key works once. Print it, and keep it where nobody can take it secretly: in a safe, or in a "
                "sealed envelope."
            ),
            _key_of_now,
        ),
        label=_label,
        run=lambda visit, values: operations.make_recovery_key(visit.tenant.pk, actor=visit.actor),
        secret=_shown_once,
    ),
)


@sensitive_post_parameters("recovery_key")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def recover(request: HttpRequest) -> HttpResponse:
    """Accept the recovery key. The person who has it names an administrator. All invalid keys get the same answer."""
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
                form.add_error(
                    "recovery_key",
                    _(
                        "This is not a recovery key: its format is different. Compare it letter by "
                        "letter with the printed key."
                    ),
                )
            except (Unacceptable, TooMany) as refusal:
                form.refuse(refusal)
                status = refusal.status
            else:
                return render(request, "recovery/begun.html", {"now": instant(request), "invitation": row})
    context = {"now": instant(request), "form": form, "delay": _delay()}
    return render(request, "recovery/recover.html", context, status=status)


urlpatterns = [*addresses(KEY), path("recovery/", recover, name="recover")]
