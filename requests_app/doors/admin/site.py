"""The administration's site: its pages, their order, and who can see them."""

from __future__ import annotations

from functools import cache, partial, update_wrapper
from typing import Any

import structlog
from django.conf import settings
from django.contrib.admin import AdminSite
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import get_script_prefix, path, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from django_q.models import Failure, OrmQ, Schedule, Success

from audit_app.models import (
    AuditEntry,
    ChainHead,
    Checkpoint,
    ClosedShard,
    Cosignature,
    LogAlarm,
    LogCheck,
    LogKey,
    SignedHead,
    SignerLease,
    Witness,
)
from requests_app import models
from requests_app.domain import clock
from requests_app.domain.errors import NotFound
from requests_app.doors.admin import (
    access,
    asking,
    callers,
    dashboard,
    groups,
    guards,
    guide,
    imports,
    log,
    outbox,
    people,
    proposals,
    restored,
    services,
    sign_on,
    signal_streams,
    signing,
    tenants,
    tickets,
    webhooks,
    worker,
)
from requests_app.doors.admin.acts import actor_in
from requests_app.doors.admin.base import StaffAdmin
from requests_app.queries.guide_of_provider import provider_guide
from requests_app.queries.restored import count_unconfirmed, open_at_provider

security_log = structlog.get_logger("security")

#: This group also has a page that belongs to no table.
_SINGLE_SIGN_ON = _("Single sign-on")

#: The pages that belong to no table.
_PAGES = (*guide.PAGES, *restored.PAGES)
#: All models of the administration. A model that is not listed has no page, even if another app registers it.
PORTAL: tuple[tuple[Any, tuple[tuple[type[Any], type[StaffAdmin]], ...]], ...] = (
    (
        _("Access"),
        (
            (models.AccessRequest, access.AccessRequestAdmin),
            (models.Grant, access.GrantAdmin),
            (models.Decision, access.DecisionAdmin),
            (models.ContentAccess, access.ContentAccessAdmin),
            (models.AccessRequestResource, access.ScopeAdmin),
            (models.AccessDraft, asking.AccessDraftAdmin),
            (models.AccessTask, asking.AccessTaskAdmin),
        ),
    ),
    (
        _("Tickets"),
        ((models.Ticket, tickets.TicketAdmin), (models.TicketComment, tickets.TicketCommentAdmin)),
    ),
    (
        _("Tenants and people"),
        (
            (models.Tenant, tenants.TenantAdmin),
            (models.Plan, tenants.PlanAdmin),
            (models.Person, people.PersonAdmin),
            (models.Membership, people.MembershipAdmin),
            (models.Invitation, people.InvitationAdmin),
            (models.Passkey, people.PasskeyAdmin),
            (models.OutOfOffice, people.OutOfOfficeAdmin),
            (models.Mute, people.MuteAdmin),
            (models.Proposal, proposals.ProposalAdmin),
            (models.QueueAssignment, people.QueueAssignmentAdmin),
            (models.GroupRole, groups.GroupRoleAdmin),
            (models.GroupMember, groups.GroupMemberAdmin),
            (models.NotificationAddress, tenants.NotificationAddressAdmin),
            (models.Import, imports.ImportAdmin),
            (models.HeldRow, imports.HeldRowAdmin),
        ),
    ),
    (
        _SINGLE_SIGN_ON,
        (
            (models.SignOn, sign_on.SignOnAdmin),
            (models.Domain, sign_on.DomainAdmin),
            (models.Identity, sign_on.IdentityAdmin),
        ),
    ),
    (
        _("Services"),
        (
            (models.Service, services.ServiceAdmin),
            (models.Resource, services.ResourceAdmin),
        ),
    ),
    (
        _("Guards, proxies and streams"),
        (
            (models.Guard, guards.GuardAdmin),
            (models.GateProxy, services.GateProxyAdmin),
            (models.SignalStream, signal_streams.SignalStreamAdmin),
        ),
    ),
    (
        _("Log"),
        (
            (AuditEntry, log.LogEntryAdmin),
            (ChainHead, log.LogHeadAdmin),
            (Witness, log.WitnessAdmin),
            (Cosignature, log.CosignatureAdmin),
            (LogAlarm, signing.LogAlarmAdmin),
            (Checkpoint, signing.CheckpointAdmin),
            (SignedHead, signing.SignedHeadAdmin),
            (ClosedShard, signing.ClosedShardAdmin),
            (SignerLease, signing.SignerAdmin),
            (LogKey, signing.LogKeyAdmin),
            (LogCheck, signing.LogCheckAdmin),
        ),
    ),
    (
        _("Callers of the API"),
        ((models.Client, callers.ClientAdmin), (models.Token, callers.TokenAdmin)),
    ),
    (
        _("Webhooks"),
        (
            (models.Webhook, webhooks.WebhookAdmin),
            (models.WebhookAttempt, webhooks.WebhookAttemptAdmin),
            (models.WebhookCursor, webhooks.WebhookCursorAdmin),
        ),
    ),
    (
        _("Background work"),
        (
            (models.OutboxMessage, outbox.OutboxMessageAdmin),
            (OrmQ, worker.QueuedAdmin),
            (Failure, worker.FailureAdmin),
            (Success, worker.SuccessAdmin),
            (Schedule, worker.ScheduleAdmin),
            (models.Heartbeat, worker.HeartbeatAdmin),
            (models.TaskAttempt, worker.TaskAttemptAdmin),
        ),
    ),
)


class LockboxAdminSite(AdminSite):
    site_header = _("Customer Lockbox administration")
    site_title = _("Customer Lockbox")
    index_title = _("Overview")
    index_template = "admin/index.html"

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        for _title, entries in PORTAL:
            for model, admin_class in entries:
                super().register(model, admin_class)

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        """Ignore models that libraries register: their forms would change rows without an operation.

        With django-q2's form, staff could schedule any function. With allauth's form, they could mark an address as
        verified.
        """

    # --- Signing in ------------------------------------------------------------------------------------------

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """Redirect people who are not signed in to the sign-in page.

        Show people who are not staff the "not found" page.
        """
        guarded = super().admin_view(view, cacheable)

        def door(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path())
            if not self.has_permission(request):
                _refuse(request)
            return guarded(request, *args, **kwargs)

        return update_wrapper(door, guarded)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Redirect to the product's own sign-in page, which has rate limits."""
        target = request.GET.get("next", "")
        if not url_has_allowed_host_and_scheme(target, allowed_hosts=None):
            target = reverse("admin:index")
        if not request.user.is_authenticated:
            return redirect_to_login(target)
        if not self.has_permission(request):
            _refuse(request)
        return HttpResponseRedirect(target)

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:  # type: ignore[override]
        return HttpResponseRedirect(reverse("account_logout"))

    def password_change(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:  # type: ignore[override]
        return HttpResponseRedirect(reverse("account_change_password"))

    def password_change_done(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:  # type: ignore[override]
        return HttpResponseRedirect(reverse("admin:index"))

    # --- Pages without a table --------------------------------------------------------------------------------

    def get_urls(self) -> list[Any]:
        view = self.admin_view(partial(sign_on.own_connection, self))
        # These patterns must be first, because Django's last pattern matches every address.
        return [
            path("single-sign-on/", view, name="single_sign_on"),
            *(
                path(where, self.admin_view(partial(page, self)), name=name)
                for where, page, name in (*guide.PAGES, *restored.PAGES)
            ),
            *super().get_urls(),
        ]

    # --- Values for every page ----------------------------------------------------------------------------------

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        user: Any = request.user
        return {
            **super().each_context(request),
            "now": clock.now(),
            "theme": getattr(user, "theme", "system"),
            "provider_name": settings.PROVIDER_NAME,
            "portal": self._menu(request),
        }

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Return no applications: the menu of these pages is made from PORTAL."""
        return []

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:  # type: ignore[override]
        actor, at = actor_in(request), clock.now()
        found = {**dashboard.context_of(actor, at), "guide": provider_guide(actor=actor, at=at)}
        found["restored"] = open_at_provider()
        found["restored_customers"] = count_unconfirmed()
        return super().index(request, {**found, **(extra_context or {})})

    def app_index(self, request: HttpRequest, app_label: str, extra_context: Any = None) -> HttpResponse:  # type: ignore[override]
        """Redirect to the first page. Django's page of one application would show only a part of the administration."""
        return HttpResponseRedirect(reverse("admin:index"))

    def _menu(self, request: HttpRequest) -> list[dict[str, Any]]:
        groups = []
        for title, entries in PORTAL:
            items = []
            for model, admin_class in entries:
                url = _list_of(f"{model._meta.app_label}_{model._meta.model_name}", get_script_prefix())
                words = capfirst(str(admin_class.words or model._meta.verbose_name_plural))
                n = admin_class.waiting() if admin_class.waiting is not None else 0
                items.append({"url": url, "words": words, "n": n, "is_here": request.path.startswith(url)})
            if title == _SINGLE_SIGN_ON:
                url = reverse("admin:single_sign_on")
                items.insert(
                    0, {"url": url, "words": str(_("The provider’s single sign-on")), "is_here": request.path == url}
                )
            groups.append({"title": title, "items": items})
        return groups


@cache
def _list_of(table: str, prefix: str) -> str:
    """Return the URL of a table's list. `prefix` is the beginning of all URLs now.

    The menu is on every page, and building its URLs took nearly a tenth of a page's time.
    """
    return reverse(f"admin:{table}_changelist")


def _refuse(request: HttpRequest) -> None:
    security_log.warning("admin.refused", person=str(request.user.pk), path=request.path)
    raise NotFound
