"""A person's own passkeys: added with the device that keeps them, and removed."""

from __future__ import annotations

import json
from typing import cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from requests_app import operations
from requests_app.domain import clock, policy
from requests_app.domain.errors import NotFound, PasskeyRefused, Unacceptable, WrongState
from requests_app.doors.web._step_up import is_fresh, local, setting_up, to_step_up
from requests_app.doors.web.context import instant
from requests_app.doors.web.forms.security import PasskeyForm
from requests_app.doors.web.forms.strict import require_nothing
from requests_app.doors.web.gate import lacks_second_factor
from requests_app.doors.web.middleware import actor_in
from requests_app.doors.web.security import codes_page, own_page, unstored
from requests_app.identity import challenges, factors
from requests_app.identity.challenges import Purpose
from requests_app.models import Passkey, Person
from requests_app.models.row_security import own_account
from requests_app.platform import webauthn
from requests_app.words.text import visible_single


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    """GET asks for a name; the device makes the key, and POST takes it. The first second factor brings codes."""
    if request.method != "POST" and not policy.is_fresh(setting_up(request), instant(request)):
        return to_step_up(request)
    form, status = PasskeyForm(initial={"next": local(request.GET.get("next"))}), 200
    if request.method == "POST":
        form, status = PasskeyForm(request.POST), Unacceptable.status
        form.require_known()
        if form.is_valid():
            try:
                return _added(request, form)
            except (PasskeyRefused, Unacceptable, WrongState) as refusal:
                form.refuse(refusal)
                status = refusal.status
    context = {
        "form": form,
        "options": json.dumps(_options(request)),
        "is_first": lacks_second_factor(request),
        "site_has_name": webauthn.site_has_name(),
    }
    return unstored(own_page(request, "security/add_passkey.html", context, status=status))


def _options(request: HttpRequest) -> dict[str, object]:
    person = cast(Person, request.user)
    with own_account():
        known = list(Passkey.objects.filter(person=person).live().of_this_site())
    options = webauthn.registration_options(
        party=webauthn.own_party(),
        user_id=person.pk.bytes,
        email=person.email,
        name=person.name,
        challenge=challenges.issue(Purpose.ENROL, person.pk, at=clock.now()),
        known=[bytes(each.credential_id) for each in known],
    )
    # The device finds it by itself: it signs in where nobody has said yet who they are.
    options["authenticatorSelection"]["residentKey"] = "required"
    return options


def _added(request: HttpRequest, form: PasskeyForm) -> HttpResponse:
    person, answer = cast(Person, request.user), form.cleaned_data["credential"]
    was_first, onward = lacks_second_factor(request), local(form.cleaned_data["next"])
    keeps, codes = factors.keeps_passkey(answer), factors.KeepsRecoveryCodes()
    needs_codes = factors.codes_left(person) is None

    def keep(row: Passkey) -> None:
        keeps(row)
        if needs_codes:
            codes(row.person)

    with own_account():
        row = operations.enrol_passkey(
            actor=setting_up(request),
            response=answer,
            challenge=challenges.read(answer, Purpose.ENROL, person.pk, at=clock.now()),
            name=form.cleaned_data["name"],
            keep=keep,
        )
    onward = onward or ("/" if was_first else reverse("web:security"))
    if needs_codes:
        return codes_page(request, codes.codes, onward=onward, made=_("The passkey is added."))
    messages.success(request, format_html(_("The passkey “{name}” is added."), name=visible_single(row.name)))
    return redirect(onward)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def remove(request: HttpRequest, passkey: UUID) -> HttpResponse:
    """GET says what it means; POST removes. What has been signed with it stays signed."""
    with own_account():
        row = Passkey.objects.filter(person=cast(Person, request.user)).live().filter(pk=passkey).first()
    if row is None:
        raise NotFound
    if request.method != "POST" and not is_fresh(request, at=instant(request)):
        return to_step_up(request)
    if request.method == "POST":
        require_nothing(request.POST)
        try:
            with own_account():
                operations.remove_passkey(row.pk, actor=actor_in(request), keep=factors.drops_passkey)
        except WrongState as refusal:
            return _remove_page(request, row, refusal=refusal)
        messages.success(request, format_html(_("The passkey “{name}” is removed."), name=visible_single(row.name)))
        return redirect("web:security")
    return _remove_page(request, row)


def _remove_page(request: HttpRequest, row: Passkey, *, refusal: WrongState | None = None) -> HttpResponse:
    context = {"now": instant(request), "passkey": row, "refusal": refusal}
    return render(request, "security/remove_passkey.html", context, status=refusal.status if refusal else 200)


urlpatterns = [
    path("security/passkeys/add/", add, name="security_add_passkey"),
    path("security/passkeys/<uuid:passkey>/remove/", remove, name="security_remove_passkey"),
]
