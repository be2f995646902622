"""A person's own passkeys: add them with the device that stores them, and remove them."""

from __future__ import annotations

import json
from typing import Any, cast

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from requests_app import operations
from requests_app.domain import clock, policy
from requests_app.domain.acts.own_account import ENROL_PASSKEY
from requests_app.domain.errors import PasskeyRefused, Unacceptable, WrongState
from requests_app.doors.web._step_up import adding_factor, local, setting_up, to_step_up
from requests_app.doors.web._thing_views import addresses
from requests_app.doors.web._things import Action, Link, Page, Visit, to
from requests_app.doors.web.context import instant
from requests_app.doors.web.forms.security import PasskeyForm
from requests_app.doors.web.gate import lacks_second_factor
from requests_app.doors.web.security import codes_page, gets_codes, own_page
from requests_app.identity import challenges, factors
from requests_app.identity.challenges import Purpose
from requests_app.models import Passkey, Person
from requests_app.models.row_security import own_account
from requests_app.platform import webauthn
from requests_app.platform.secret_answers import secret_answer
from requests_app.words import browsers
from requests_app.words.text import visible_single


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    """On GET, propose a name. The device then makes the key, and POST stores the key.

    If this is the person's first second factor, they also get recovery codes, except in a trial. `gate` leads people
    here whose role needs a second factor, and the acceptance of an invitation leads those here whose role waits.
    """
    if request.method != "POST" and not policy.is_fresh(setting_up(request), instant(request)):
        return to_step_up(request)
    known = _passkeys_of(request)
    name = browsers.passkey_name(request.headers.get("User-Agent", ""), [row.name for row in known])
    form, status = PasskeyForm(initial={"next": local(request.GET.get("next")), "name": name}), 200
    if request.method == "POST":
        form, status = PasskeyForm(request.POST), Unacceptable.status
        form.require_known()
        if form.is_valid():
            try:
                return _added(request, form)
            except (PasskeyRefused, Unacceptable, WrongState) as refusal:
                form.refuse(refusal)
                status = refusal.status
    is_first = not cast(Person, request.user).has_second_factor
    context = {
        "form": form,
        "options": json.dumps(_options(request, known)),
        "is_first": is_first,
        "later": local(form["next"].value()) if is_first and not lacks_second_factor(request) else "",
        "site_has_name": webauthn.site_has_name(),
    }
    return secret_answer(own_page(request, "security/add_passkey.html", context, status=status))


def _passkeys_of(request: HttpRequest) -> list[Passkey]:
    with own_account():
        return list(Passkey.objects.filter(person=cast(Person, request.user)).live())


def _options(request: HttpRequest, known: list[Passkey]) -> dict[str, object]:
    person = cast(Person, request.user)
    options = webauthn.registration_options(
        party=webauthn.own_party(),
        user_id=person.pk.bytes,
        email=person.email,
        name=person.name,
        challenge=challenges.issue(Purpose.ENROL, person.pk, at=clock.now()),
        known=[bytes(each.credential_id) for each in known if each.rp_id == settings.PASSKEY_RP_ID],
    )
    # The device finds the key without a list of keys, because it signs in before anybody has said who they are.
    options["authenticatorSelection"]["residentKey"] = "required"
    return options


def _added(request: HttpRequest, form: PasskeyForm) -> HttpResponse:
    person, answer = cast(Person, request.user), form.cleaned_data["credential"]
    was_first, onward = lacks_second_factor(request), local(form.cleaned_data["next"])
    keeps, codes = factors.keeps_passkey(answer), factors.KeepsRecoveryCodes()
    needs_codes = gets_codes(person)

    def keep(row: Passkey) -> None:
        keeps(row)
        if needs_codes:
            codes(row.person)

    with own_account(), adding_factor(request, is_passkey=True):
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
    messages.success(request, format_html(str(ENROL_PASSKEY.done), name=visible_single(row.name)))
    return redirect(onward)


def _own_passkey(visit: Visit, ids: dict[str, Any]) -> Passkey:
    with own_account():
        rows = Passkey.objects.filter(person=cast(Person, visit.request.user)).live()
        return cast(Passkey, rows.find(ids["passkey"]))


def _remove(visit: Visit, values: dict[str, Any]) -> Passkey:
    with own_account():
        return operations.remove_passkey(visit.thing.pk, actor=visit.actor, keep=factors.drops_passkey)


REMOVAL = Page(
    name="security_remove_passkey",
    path="security/passkeys/<uuid:passkey>/remove/",
    heading=gettext_lazy("Remove the passkey “{thing}”?"),
    title=gettext_lazy("Remove this passkey?"),
    back=Link(gettext_lazy("How you sign in"), to("web:security")),
    proof_first=True,
    is_narrow=True,
    find=_own_passkey,
    action=Action(
        lead=(
            gettext_lazy(
                "After you remove the passkey, nobody can sign in or sign anything with it. What was signed "
                "with the passkey stays signed. The log records the removal."
            ),
            gettext_lazy("Your device might still show the passkey. Delete it on your device as well."),
        ),
        label=gettext_lazy("Remove the passkey"),
        cancel=gettext_lazy("Cancel"),
        style="strong",
        run=_remove,
        done=gettext_lazy("The passkey “{thing}” is removed."),
        then=to("web:security"),
    ),
)

urlpatterns = [path("security/passkeys/add/", add, name="security_add_passkey"), *addresses(REMOVAL)]
