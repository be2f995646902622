"""The page of a tenant's mutes. An approver denies all pending access requests and accepts no more for a time."""

from __future__ import annotations

from typing import Any

from django.http import QueryDict
from django.template import Context
from django.utils.html import format_html
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from requests_app import operations
from requests_app.domain.actors import Role
from requests_app.domain.acts.mutes import DENY_ALL_AND_MUTE, LIFT_MUTE
from requests_app.domain.ids import as_id
from requests_app.doors.web._thing_views import addresses
from requests_app.doors.web._things import Action, Button, Column, Empty, Link, Page, Table, Visit, filled, to
from requests_app.doors.web.forms.tenant import LiftForm, MuteForm
from requests_app.models import Mute
from requests_app.queries import tenant as queries
from requests_app.templatetags.lockbox import person, when
from requests_app.words import sentences
from requests_app.words.times import when_words


def _may_mute(visit: Visit, row: Mute | None = None) -> bool:
    return Role.APPROVER in visit.roles


def _form(visit: Visit, data: QueryDict | None) -> MuteForm:
    asked = visit.request.GET
    chosen, find = (data or asked).get("engineer", ""), asked.get("find", "").strip()
    found = queries.askers(visit.tenant, at=visit.at, find=find, chosen=as_id(chosen))
    if find and len(found.people) == 1:
        chosen = str(found.people[0].pk)
    return MuteForm(data, initial={"engineer": chosen}, askers=found.people, find=find, has_more=found.has_more)


def _mute(visit: Visit, values: dict[str, Any]) -> Mute:
    return operations.deny_all_and_mute(
        visit.tenant.pk,
        engineer_id=values["engineer"],
        hours=values["hours"],
        note=values["note"],
        actor=visit.actor,
    )


def _who(context: Context, row: Mute) -> str:
    return person(context, row.engineer) if row.engineer else capfirst(sentences.everybody())


def _done(visit: Visit, made: Mute) -> str:
    denied = ngettext("%(n)d access request was denied.", "%(n)d access requests were denied.", made.denied)
    first = denied % {"n": made.denied} if made.denied else _("Nothing waited for your answer.")
    until = when_words(made.until_at, visit.at)
    words = _("You get no access requests from {source} until {until}.")
    return format_html("{} {}", first, filled(words, source=sentences.muted_source(made), until=until))


PAGE = Page(
    name="mutes",
    template="tenant/mutes.html",
    path="tenant/<uuid:tenant>/mutes/",
    heading=_("Mutes"),
    back=Link(_("People of {tenant}"), to("web:people", "tenant")),
    lead=_(
        "Start a mute when access requests come so often that somebody might approve only to end them. Everything that "
        "waits for your answer is then denied immediately. For the time that you choose, you get no new access "
        "requests: {provider} can neither submit them nor pass them on. The mute ends automatically, and the log "
        "records it."
    ),
    table=Table(
        caption=_("Who is muted now"),
        rows=lambda visit: queries.mutes(visit.tenant, at=visit.at),
        columns=(
            Column(_("Muted"), lambda row: row, _who),
            Column(_("By"), lambda row: row.set_by, person),
            Column(_("Until"), lambda row: row.until_at, when),
            Column(_("Denied at the start of the mute"), lambda row: row.denied),
        ),
        empty=Empty(
            _("Nobody is muted"),
            _("This list shows whose access requests you don’t accept, and until when."),
            "hourglass",
        ),
        button=Button(
            label=_("End the mute"),
            column=_("Manage"),
            form=LiftForm,
            find=lambda visit, pk: queries.mute(visit.tenant, pk),
            run=lambda visit: operations.lift_mute(visit.thing.pk, actor=visit.actor),
            done=lambda visit, row: filled(str(LIFT_MUTE.done), muted=sentences.muted_name(row)),
            offered=_may_mute,
            describes=sentences.muted_name,
        ),
    ),
    action=Action(
        heading=_("Deny all access requests that wait for you"),
        label=_("Deny all and mute"),
        hint=_(
            "Access windows that are already open stay open. You can close each of them on its own page. Each denial "
            "is your decision, and the engineers are informed."
        ),
        act=DENY_ALL_AND_MUTE,
        form=_form,
        offered=_may_mute,
        run=_mute,
        done=_done,
    ),
)

urlpatterns = addresses(PAGE)
