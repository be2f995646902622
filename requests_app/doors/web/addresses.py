"""A new address for one's own account: asked for here, and taken by the link that went to it."""

from __future__ import annotations

from typing import cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from requests_app import operations
from requests_app.domain.errors import NotFound, Unacceptable
from requests_app.doors.web.context import instant
from requests_app.doors.web.forms.addresses import AddressForm
from requests_app.doors.web.forms.strict import require_nothing
from requests_app.doors.web.middleware import actor_in
from requests_app.models import AddressChange, Person
from requests_app.models.row_security import own_account
from requests_app.queries import addresses as queries

_PAGE_METHODS = ["GET", "HEAD", "POST"]


@login_required
@require_http_methods(_PAGE_METHODS)
def address(request: HttpRequest) -> HttpResponse:
    """The answer is the same whether or not the address is somebody's."""
    person, form, status = cast(Person, request.user), AddressForm(), 200
    if request.method == "POST":
        form, status = AddressForm(request.POST), Unacceptable.status
        form.require_known()
        if form.is_valid():
            try:
                with own_account():
                    operations.request_address(email=form.cleaned_data["email"], actor=actor_in(request))
            except Unacceptable as refusal:
                form.refuse(refusal)
            else:
                messages.success(
                    request, _("A link is on its way to the new address. Until you open it, nothing changes.")
                )
                return redirect("web:security")
    context = {"now": instant(request), "person": person, "form": form, "keeps": person.keeps_own_address()}
    return render(request, "security/address.html", context, status=status)


@login_required
@never_cache
@require_http_methods(_PAGE_METHODS)
def confirm(request: HttpRequest, secret: str) -> HttpResponse:
    """GET shows what would be done, POST does it; every link that is no good, or somebody else's, has one page."""
    person, at = cast(Person, request.user), instant(request)
    try:
        row = queries.address_change_behind(secret, person=person, at=at)
        if request.method != "POST":
            return _page(request, row)
        require_nothing(request.POST)
        try:
            with own_account():
                operations.confirm_address(secret, actor=actor_in(request))
        except Unacceptable as refusal:
            return _page(request, row, problem=str(refusal))
    except NotFound:
        return render(request, "security/address_no_good.html", status=NotFound.status)
    messages.success(request, _("Your address was changed. From now on you sign in with it."))
    return redirect("web:security")


def _page(request: HttpRequest, row: AddressChange, *, problem: str = "") -> HttpResponse:
    context = {"now": instant(request), "change": row, "problem": problem}
    status = Unacceptable.status if problem else 200
    return render(request, "security/address_confirm.html", context, status=status)


urlpatterns = [
    path("security/address/", address, name="address"),
    path("address/<str:secret>/", confirm, name="address_confirm"),
]
