"""What was restored from a backup: a tenant's people check it, change it where it is wrong, and confirm it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from requests_app import operations
from requests_app.domain.actors import Role
from requests_app.domain.acts.restored import CONFIRM_RESTORED
from requests_app.domain.levels import Level
from requests_app.doors.web.context import instant
from requests_app.doors.web.forms.strict import StrictForm
from requests_app.doors.web.middleware import actor_in
from requests_app.doors.web.tenant import about
from requests_app.models import Membership, RestoredTenant, Tenant
from requests_app.queries import restored as queries
from requests_app.queries import tenant as tenants
from requests_app.words import sentences
from requests_app.words.times import duration_words, when_words

_CONFIRMING = frozenset({Role.ADMINISTRATOR, Role.APPROVER})


@dataclass(frozen=True)
class Part:
    """A part of the restored state that people confirm. `url` is the name of the page that changes this part."""

    title: str
    lines: list[str]
    url: str
    link: str
    empty: str = ""


class ShownForm(StrictForm):
    shown = forms.CharField(max_length=64, widget=forms.HiddenInput)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def restored(request: HttpRequest, tenant: UUID) -> HttpResponse:
    """On GET, show what was restored. On POST, confirm exactly what was shown."""
    actor, at = actor_in(request), instant(request)
    row = tenants.tenant(tenant, actor=actor)
    if request.method == "POST":
        form = ShownForm(request.POST)
        form.require_known()
        form.require_valid()
        done = operations.confirm_restored(row.pk, shown=form.cleaned_data["shown"], actor=actor)
        words = _("Everything is confirmed.") if done.confirmed_at else _("Another person must confirm it, too.")
        messages.success(request, f"{CONFIRM_RESTORED.done} {words}")
        return redirect("web:restored", row.pk)
    return render(request, "tenant/restored.html", _context(request, row, at))


def _context(request: HttpRequest, row: Tenant, at: datetime) -> dict[str, Any]:
    actor = actor_in(request)
    roles = actor.roles_on(tenant_id=row.pk, service_id=None)
    found = queries.open_at(row.pk)
    context = {**about(actor, row), "now": at, "found": found, "staff_wait": queries.open_at_provider()}
    context["earliest"] = queries.unconfirmed(row.pk)
    context["set_back"] = sentences.set_back() if queries.is_set_back() else ""
    if found is None or context["set_back"] or not roles & queries.READERS:
        return context
    facts = queries.facts_of_tenant(row, at)
    shown = queries.digest(facts)
    confirmed = queries.confirmations(found.of, row.pk, shown)
    return {
        **context,
        "parts": _parts(facts, at),
        "shown": shown,
        "confirmed": confirmed,
        "needed": _needed(found, at),
        "may_confirm": bool(_CONFIRMING & roles) and all(each.human_id != actor.human_id for each in confirmed),
        "act": CONFIRM_RESTORED,
    }


def _needed(found: RestoredTenant, at: datetime) -> int:
    humans = queries.humans_of(found.tenant_id)
    return queries.still_needed(found.people_needed, humans, found.of.restored_at, at)


def _parts(facts: queries.Facts, at: datetime) -> list[Part]:
    return [
        Part(
            _("Lockbox"),
            [_("Lockbox is on") if facts["lockbox_on"] else _("Lockbox is off"), *_rules(facts)],
            "tenant",
            _("Change Lockbox and its rules"),
        ),
        Part(_("People and roles"), _people(facts), "people", _("Change people and roles"), _("Nobody has a role.")),
        *_limits(facts, at),
        *_programs(facts),
    ]


def _rules(facts: queries.Facts) -> list[str]:
    longest = _("No window is longer than %(time)s") % {"time": duration_words(facts["longest_window"])}
    page = facts["approval_page"]
    return [
        _("Approvals: %(rule)s") % {"rule": Tenant.YesRule(facts["yes_rule"]).label},
        longest,
        _("Two-person control is on") if facts["two_person_control"] else _("Two-person control is off"),
        *([_("Your own approval page: %(page)s") % {"page": page}] if page else []),
        *([_("Only keys of your own page count")] if facts["own_keys_only"] else []),
        *[_("Lockbox does not cover %(service)s") % {"service": name} for name in facts["not_covered"]],
        *([_("A witness must have cosigned the log")] if facts["cosigned_within"] else []),
    ]


def _people(facts: queries.Facts) -> list[str]:
    lines = []
    for one in facts["people"]:
        roles = ", ".join(str(Membership.Role(role).label) for role in one["roles"])
        off = "" if one["is_on"] else " " + _("(switched off)")
        lines.append(f"{one['name']} ({one['email']}): {roles}{off}")
    return lines


def _limits(facts: queries.Facts, at: datetime) -> list[Part]:
    deputies = [
        _("%(deputy)s for %(approver)s, from %(start)s until %(until)s")
        % {**one, "start": _when(one["from"], at), "until": _when(one["until"], at)}
        for one in facts["deputies"]
    ]
    mutes = [
        _("%(name)s until %(until)s") % {"name": one["name"] or sentences.everybody(), "until": _when(one["until"], at)}
        for one in facts["mutes"]
    ]
    levels = [str(Level(level).label) for level in facts["levels"]]
    return [
        Part(_("Deputies"), deputies, "people", _("Change deputies"), _("Nobody is a deputy now.")),
        Part(_("Mutes"), mutes, "mutes", _("Change mutes"), _("Nobody is muted.")),
        Part(
            _("Levels that engineers can ask for"), levels, "level_rules", _("Change levels"), _("No level is allowed.")
        ),
    ]


def _programs(facts: queries.Facts) -> list[Part]:
    clients = [_client(one) for one in facts["clients"]]
    keys = [f"{one['person']}: {one['name']} ({one['site']})" for one in facts["passkeys"]]
    return [
        Part(_("API clients"), clients, "clients", _("Change API clients"), _("There are no API clients.")),
        Part(
            _("Webhooks and signal streams"),
            list(facts["webhooks"]),
            "webhooks",
            _("Change webhooks"),
            _("There are no webhooks."),
        ),
        Part(_("Passkeys of your people"), keys, "people", _("Change people and roles"), _("There are no passkeys.")),
        Part(
            _("Addresses that get mail"),
            list(facts["addresses"]),
            "addresses",
            _("Change addresses"),
            _("There are no addresses."),
        ),
        Part(
            _("Single sign-on"),
            _sign_on(facts["sign_on"]),
            "sign_on",
            _("Change single sign-on"),
            _("Single sign-on is not set up."),
        ),
    ]


def _sign_on(found: queries.Facts) -> list[str]:
    if not found:
        return []
    keys = _("Keys and addresses of the identity provider: %(digest)s") % {"digest": found["metadata"][:16]}
    return [
        f"{found['issuer']}: {_('on') if found['on'] else _('off')}",
        *([_("It is the only way to sign in")] if found["only"] else []),
        *([_("It counts as a proof of identity")] if found["counts_as_proof"] else []),
        *([_("A first sign-in makes an account")] if found["newcomers"] else []),
        *([keys] if found["protocol"] == "saml" else []),
        *(
            [_("New keys are read from %(address)s") % {"address": found["metadata_address"]}]
            if found["metadata_address"]
            else []
        ),
        *found["roles"],
    ]


def _client(one: queries.Facts) -> str:
    words = f"{one['name']}: {', '.join(one['scopes']) or _('no scopes')}"
    if one["decides_for"]:
        words += " " + _("(decides for %(name)s)") % {"name": one["decides_for"]}
    return words


def _when(value: str, at: datetime) -> str:
    return when_words(datetime.fromisoformat(value), at)


urlpatterns = [path("tenant/<uuid:tenant>/restored/", restored, name="restored")]
