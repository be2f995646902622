"""A tenant's webhooks: who is told by machine, of what, and what became of it. For the tenant's administrator."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.utils.cache import patch_cache_control
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from requests_app import operations
from requests_app.domain import policy
from requests_app.domain.errors import Malformed, Unacceptable
from requests_app.domain.events import title_of
from requests_app.doors.web.context import instant
from requests_app.doors.web.forms.strict import require_nothing
from requests_app.doors.web.forms.webhooks import WebhookActForm, WebhookForm
from requests_app.doors.web.middleware import actor_in
from requests_app.doors.web.tenant import ADMINISTRATOR, about
from requests_app.messages.webhooks.messages import ALL, TEST
from requests_app.messages.webhooks.problems import problem_words
from requests_app.models import OutboxMessage, Tenant, Webhook
from requests_app.operations import Issued
from requests_app.queries import tenant as tenants
from requests_app.queries import webhooks as queries

_PAGE_METHODS = ["GET", "HEAD", "POST"]
_PARKED = OutboxMessage.State.PARKED.value


def _tenant(request: HttpRequest, tenant_id: UUID) -> Tenant:
    """The tenant, for its people; what an act needs is said by the operations, which note who is refused."""
    return tenants.tenant(tenant_id, actor=actor_in(request))


def _require_administrator(request: HttpRequest, row: Tenant) -> None:
    # The address of a receiver may be as good as a password, so it is for those who can change it.
    policy.require_role(actor_in(request), ADMINISTRATOR, tenant_id=row.pk)


@login_required
@sensitive_post_parameters("url")
@require_http_methods(_PAGE_METHODS)
def webhooks(request: HttpRequest, tenant: UUID) -> HttpResponse:
    """The list, and the form for another one; whoever adds one is shown its keys, once."""
    row, form, status = _tenant(request, tenant), WebhookForm(), 200
    if request.method == "POST":
        form, status = WebhookForm(request.POST), Unacceptable.status
        form.require_known()
        if form.is_valid():
            try:
                return _keys_page(
                    request, row, operations.add_webhook(row.pk, actor=actor_in(request), **_values(form))
                )
            except Unacceptable as refusal:
                form.refuse(refusal)
    _require_administrator(request, row)
    context = {
        **about(actor_in(request), row),
        "now": instant(request),
        "form": form,
        "webhooks": [_line(webhook) for webhook in queries.webhooks(row)],
    }
    return render(request, "tenant/webhooks.html", context, status=status)


@login_required
@require_http_methods(_PAGE_METHODS)
def webhook(request: HttpRequest, tenant: UUID, webhook: UUID) -> HttpResponse:
    """How one stands and what was delivered; its buttons test it and switch it."""
    row = _tenant(request, tenant)
    found = queries.webhook(row, webhook)
    if request.method == "POST":
        return _act(request, row, found)
    _require_administrator(request, row)
    is_only = request.GET.get("state") == _PARKED
    only = {"state": _PARKED} if is_only else {}
    deliveries = queries.deliveries(found, state=only.get("state"), before=request.GET.get("before"))
    context = {
        **_one(request, row, found),
        "deliveries": [_delivery(message) for message in deliveries.rows],
        "only_parked": is_only,
        "older_url": f"?{urlencode({**only, 'before': deliveries.older})}" if deliveries.older else "",
        "newer_url": f"{request.path}?{urlencode(only)}" if "before" in request.GET else "",
    }
    return render(request, "tenant/webhook.html", context)


def _act(request: HttpRequest, row: Tenant, found: Webhook) -> HttpResponse:
    form = WebhookActForm(request.POST)
    form.require_known()
    if not form.is_valid():
        raise Malformed
    act, actor = form.cleaned_data["act"], actor_in(request)
    if act == "test":
        operations.send_webhook_test(found.pk, actor=actor)
        words = _("A test is on its way. What became of it stands below within seconds.")
    elif act == "off":
        operations.disable_webhook(found.pk, actor=actor)
        words = _("Nothing is sent to it until you switch it on again.")
    else:
        operations.enable_webhook(found.pk, actor=actor)
        words = _("It goes on where it stopped. What is older than three days is left out.")
    messages.success(request, words)
    return redirect("web:webhook", row.pk, found.pk)


@login_required
@sensitive_post_parameters("url")
@require_http_methods(_PAGE_METHODS)
def webhook_change(request: HttpRequest, tenant: UUID, webhook: UUID) -> HttpResponse:
    row = _tenant(request, tenant)
    found, status = queries.webhook(row, webhook), 200
    form = WebhookForm(webhook=found)
    if request.method == "POST":
        form, status = WebhookForm(request.POST, webhook=found), Unacceptable.status
        form.require_known()
        if form.is_valid():
            try:
                operations.change_webhook(found.pk, actor=actor_in(request), **_values(form))
            except Unacceptable as refusal:
                form.refuse(refusal)
            else:
                messages.success(request, _("The webhook was changed."))
                return redirect("web:webhook", row.pk, found.pk)
    _require_administrator(request, row)
    return render(request, "tenant/webhook_change.html", {**_one(request, row, found), "form": form}, status=status)


@login_required
@require_http_methods(_PAGE_METHODS)
def webhook_rotate(request: HttpRequest, tenant: UUID, webhook: UUID) -> HttpResponse:
    """GET says what it means; POST makes new keys and shows them, once."""
    row = _tenant(request, tenant)
    found = queries.webhook(row, webhook)
    if request.method == "POST":
        require_nothing(request.POST)
        return _keys_page(request, row, operations.rotate_webhook_secret(found.pk, actor=actor_in(request)))
    _require_administrator(request, row)
    return render(request, "tenant/webhook_rotate.html", _one(request, row, found))


@login_required
@require_http_methods(_PAGE_METHODS)
def webhook_remove(request: HttpRequest, tenant: UUID, webhook: UUID) -> HttpResponse:
    """GET says what it means; POST removes."""
    row = _tenant(request, tenant)
    found = queries.webhook(row, webhook)
    if request.method == "POST":
        require_nothing(request.POST)
        operations.remove_webhook(found.pk, actor=actor_in(request))
        messages.success(request, _("The webhook was removed."))
        return redirect("web:webhooks", row.pk)
    _require_administrator(request, row)
    return render(request, "tenant/webhook_remove.html", _one(request, row, found))


@login_required
@require_http_methods(_PAGE_METHODS)
def webhook_delivery(request: HttpRequest, tenant: UUID, webhook: UUID, message: UUID) -> HttpResponse:
    """One message: what was sent, and each attempt; its button sends it again."""
    row = _tenant(request, tenant)
    found = queries.webhook(row, webhook)
    delivery = queries.delivery(found, message)
    if request.method == "POST":
        require_nothing(request.POST)
        operations.redeliver(delivery.pk, actor=actor_in(request))
        messages.success(request, _("It is sent again, under the same id."))
        return redirect("web:webhook_delivery", row.pk, found.pk, delivery.pk)
    _require_administrator(request, row)
    context = {**_one(request, row, found), "delivery": _delivery(delivery)}
    return render(request, "tenant/webhook_delivery.html", context)


# --- What the pages show -----------------------------------------------------------------------------------


def _values(form: WebhookForm) -> dict[str, Any]:
    return {name: form.cleaned_data[name] for name in ("url", "label", "events")}


def _keys_page(request: HttpRequest, row: Tenant, issued: Issued) -> HttpResponse:
    """The answer to the act itself: the keys are stored nowhere from which they could be shown again."""
    context = {**_one(request, row, issued.webhook), "keys": issued.keys}
    response = render(request, "tenant/webhook_keys.html", context)
    patch_cache_control(response, no_store=True, private=True)
    return response


def _one(request: HttpRequest, row: Tenant, found: Webhook) -> dict[str, Any]:
    at = instant(request)
    is_former = found.former_until is not None and at < found.former_until
    return {
        **about(actor_in(request), row),
        "now": at,
        "webhook": found,
        "line": _line(found),
        "former_until": found.former_until if is_former else None,
    }


def _line(webhook: Webhook) -> dict[str, Any]:
    hears_all = ALL in webhook.events
    return {
        "webhook": webhook,
        "hears_all": hears_all,
        "titles": [] if hears_all else [title_of(event) for event in webhook.events],
    }


def _delivery(message: OutboxMessage) -> dict[str, Any]:
    tried = getattr(message, "tried", [])
    rendered = message.rendered or {}
    return {
        "message": message,
        "title": _("Test") if message.topic == TEST else title_of(message.topic),
        "id": rendered.get("id", ""),
        "body": rendered.get("body", ""),
        "last": tried[-1] if tried else None,
        "attempts": [{"row": each, "words": problem_words(each.problem)} for each in tried],
        "problem": problem_words(tried[-1].problem) if tried else "",
        "may_redeliver": message.state != OutboxMessage.State.WAITING,
    }


_ONE = "tenant/<uuid:tenant>/webhooks/<uuid:webhook>/"

urlpatterns = [
    path("tenant/<uuid:tenant>/webhooks/", webhooks, name="webhooks"),
    path(_ONE, webhook, name="webhook"),
    path(f"{_ONE}change/", webhook_change, name="webhook_change"),
    path(f"{_ONE}secret/", webhook_rotate, name="webhook_rotate"),
    path(f"{_ONE}remove/", webhook_remove, name="webhook_remove"),
    path(f"{_ONE}deliveries/<uuid:message>/", webhook_delivery, name="webhook_delivery"),
]
