"""The page on which staff check and confirm the provider's people after a restore from a backup."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.acts.restored import CONFIRM_RESTORED_PEOPLE
from requests_app.doors.admin.acts import ActForm, AdminAction, actor_in, perform
from requests_app.doors.admin.columns import list_of
from requests_app.models import Client, GateProxy, GroupRole, Person, QueueAssignment, Service
from requests_app.platform import program
from requests_app.queries import restored as queries

_TITLE = gettext_lazy("Restored from a backup")
#: How many customers that have not confirmed are named on the page.
_MOST_NAMED = 100


class ShownForm(ActForm):
    # The hash of what the page shows. Without it, the operation refuses.
    shown = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)


CONFIRM = AdminAction(
    name="confirm-restored",
    label=CONFIRM_RESTORED_PEOPLE.title or "",
    form=ShownForm,
    run=lambda row, actor, data: operations.confirm_restored_people(actor=actor, **data),
    done=CONFIRM_RESTORED_PEOPLE.done,
    explains=CONFIRM_RESTORED_PEOPLE.explains,
)


def restored(site: Any, request: HttpRequest) -> HttpResponse:
    """On GET, show the provider's people as restored. On POST, confirm exactly what was shown."""
    facts = queries.facts_of_provider()
    shown = queries.digest(facts)
    status, form = 200, CONFIRM.form(initial={"shown": shown})
    if request.method == "POST":
        form = CONFIRM.form(request.POST)
        done, status = perform(CONFIRM, form, request)
        if not status:
            more = _("Everything is confirmed.") if done.confirmed_at else _("Another member of the staff must, too.")
            messages.success(request, f"{CONFIRM.done} {more}")
            return HttpResponseRedirect(reverse("admin:restored"))
        form.data = {**request.POST.dict(), "shown": shown}
    context = {**site.each_context(request), "title": _TITLE, "act": CONFIRM, "form": form, **_customers()}
    return TemplateResponse(request, "admin/restored.html", {**context, **_found(request, facts, shown)}, status=status)


def _customers() -> dict[str, Any]:
    """Return the customers that have not confirmed, so that somebody can call them."""
    rows = queries.unconfirmed_tenants().order_by("name", "pk")
    named = [(row.name, reverse("admin:requests_app_tenant_change", args=[row.pk])) for row in rows[:_MOST_NAMED]]
    more = rows.count() - len(named) if len(named) == _MOST_NAMED else 0
    return {"customers": named, "more_customers": more}


def _found(request: HttpRequest, facts: queries.Facts, shown: str) -> dict[str, Any]:
    found, at = queries.open_at_provider(), clock.now()
    if found is None:
        return {"found": None}
    confirmed = queries.confirmations(found, None, shown)
    needed = queries.still_needed(found.people_needed, queries.recent_staff_humans(at), found.restored_at, at)
    mine = {each.human_id for each in confirmed}
    return {
        "found": found,
        "set_back": program.command("restored_by_hand --taken-at TIME") if queries.is_set_back() else "",
        "earliest": queries.unconfirmed(None),
        "parts": _parts(facts),
        "confirmed": confirmed,
        "needed": needed,
        "may_confirm": actor_in(request).human_id not in mine,
    }


def _parts(facts: queries.Facts) -> list[tuple[str, str, list[str]]]:
    """Return the title, the address of the list, and the lines of each part."""
    roles = dict(QueueAssignment.Role.choices)
    superuser = " " + _("(superuser)")
    return [
        (
            _("Staff"),
            list_of(Person, is_staff__exact=1),
            [f"{one['name']} ({one['email']}){superuser if one['superuser'] else ''}" for one in facts["staff"]],
        ),
        (
            _("Engineers and approvers"),
            list_of(QueueAssignment),
            [f"{one['name']} ({one['email']}): {roles[one['role']]}, {one['service']}" for one in facts["roles"]],
        ),
        (
            _("Roles of groups"),
            list_of(GroupRole),
            [f"{one['group']}: {roles[one['role']]}, {one['service']}" for one in facts["groups"]],
        ),
        (
            _("Services that Lockbox does not cover"),
            list_of(Service, is_covered__exact=0),
            facts["not_covered"],
        ),
        (
            _("API clients of the provider"),
            list_of(Client),
            [f"{one['name']}: {', '.join(one['scopes']) or _('no scopes')}" for one in facts["clients"]],
        ),
        (
            _("Proxies of web tools"),
            list_of(GateProxy),
            [f"{one['name']}: {one['service']} ({one['secret']})" for one in facts["proxies"]],
        ),
    ]


#: The addresses in the administration: path, page and name.
PAGES = (("restored/", restored, "restored"),)
