"""Offers what a connector finds under a tenant's root, and adds the chosen places as resources."""

from __future__ import annotations

import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from requests_app import operations
from requests_app.content import samples
from requests_app.content.connectors.registry import KINDS
from requests_app.domain.actors import Actor
from requests_app.domain.acts.installation import FIND_RESOURCES, MAKE_SAMPLE_FOLDER
from requests_app.domain.errors import ChangeProposed, DomainError, SentAlready, StepUpRequired, TooMany
from requests_app.doors.admin.acts import ActForm, of_act
from requests_app.doors.admin.columns import list_of
from requests_app.models import Resource, Service, Tenant
from requests_app.queries.installation import is_trial
from requests_app.words import text

#: The beginning of the names of fields in which the names of found resources are typed.
NAME_OF = "name:"
#: The most places that one form adds. It is also the number of places on a page.
MOST = 50
_STORE_DOWN = 503


class FindForm(ActForm):
    """The form of both steps. The first step has only the service. The second also has the chosen places, with names.

    The operation decides about each place, so a place is not compared with what the first step showed.
    """

    service = forms.ModelChoiceField(
        label=_("Service"), queryset=Service.objects.filter(connector__in=sorted(KINDS)).order_by("name")
    )
    # Where the next page of places begins.
    after = forms.CharField(widget=forms.HiddenInput, required=False, max_length=1024)
    step = forms.ChoiceField(
        widget=forms.HiddenInput, required=False, choices=[(step, "") for step in ("add", "more", "all")]
    )
    place = forms.MultipleChoiceField(widget=forms.MultipleHiddenInput, required=False)

    def prepare(self) -> None:
        named = [name for name in self.data if name.startswith(NAME_OF)][:MOST]
        place = self.fields["place"]
        assert isinstance(place, forms.ChoiceField)
        place.choices = [(name.removeprefix(NAME_OF), "") for name in named]
        for name in named:
            self.fields[name] = forms.CharField(widget=forms.HiddenInput, required=False, max_length=200)


@dataclass(frozen=True)
class Added:
    """How many resources were added or proposed, and the refusals."""

    added: int
    proposed: int
    refusals: list[str]


@dataclass(frozen=True)
class Again:
    """The same places once more, as the form sent them. The store is not read again, so the log gets no entry."""

    service: Service
    names: dict[str, str]
    next_after: str
    is_all: bool


@dataclass(frozen=True)
class More:
    """What was added, and the next page of places."""

    added: Added
    found: operations.FoundPlaces


@dataclass(frozen=True)
class Nothing:
    """The tenant has no content yet. `says` names the place where it must be."""

    service: Service
    says: str


def run(row: Tenant, actor: Actor, data: dict[str, Any]) -> operations.FoundPlaces | Added | Again | More | Nothing:
    """List the places, or add the chosen ones. The step "more" does both."""
    try:
        return _run(row, actor, data)
    except operations.NoContent as refusal:
        return Nothing(data["service"], str(refusal.message))


def _run(row: Tenant, actor: Actor, data: dict[str, Any]) -> operations.FoundPlaces | Added | Again | More:
    step, places = data["step"], data["place"]
    if step == "all" or (step == "add" and not places):
        names = {key.removeprefix(NAME_OF): name for key, name in data.items() if key.startswith(NAME_OF)}
        return Again(data["service"], names, data["after"], is_all=step == "all")
    added = _added(row, actor, data)
    if places and step != "more":
        return added
    found = operations.find_resources(row.pk, service_id=data["service"].pk, after=data["after"], actor=actor)
    return More(added, found) if places else found


def _added(row: Tenant, actor: Actor, data: dict[str, Any]) -> Added:
    added = proposed = 0
    refusals: list[str] = []
    for locator in data["place"]:
        try:
            _add(row, data["service"], locator, data[f"{NAME_OF}{locator}"], actor)
            added += 1
        except SentAlready:
            added += 1
        except ChangeProposed:
            proposed += 1
        except DomainError as refusal:
            if refusal.status == _STORE_DOWN or isinstance(refusal, StepUpRequired):
                raise
            refusals.append(format_html("{}: {}", text.visible_single(locator), refusal.message))
    return Added(added, proposed, refusals)


def _add(tenant: Tenant, service: Service, locator: str, name: str, actor: Actor) -> Resource:
    return operations.save_resource(
        tenant_id=tenant.pk,
        service_id=service.pk,
        kind=KINDS[service.connector].kinds[0],
        name=name or _plain(locator.rpartition("/")[2]),
        locator=locator,
        # One form starts many acts. If the form is sent again, the acts that were not yet done are done now.
        actor=actor.sending(actor.once and actor.once.part(locator)),
    )


def _plain(name: str) -> str:
    """Return a name without characters that nobody sees and that could change the order of the others."""
    return "".join(char for char in name if unicodedata.category(char) != "Cf")


def page_of(request: HttpRequest, result: operations.FoundPlaces | Again | More | Nothing) -> dict[str, Any]:
    """Return what the page with the found places needs, after messages about what was done."""
    if isinstance(result, Nothing):
        return {"service": result.service, "places": [], "nothing": result.says}
    if isinstance(result, Again):
        if not result.is_all:
            messages.error(request, _("Nothing was added. Choose at least one place."))
        places = [_line(locator, name, is_chosen=result.is_all) for locator, name in result.names.items()]
        return {"service": result.service, "places": places, "next_after": result.next_after}
    found = result
    if isinstance(result, More):
        say_added(request, result.added)
        found = result.found
    assert isinstance(found, operations.FoundPlaces)
    is_only = len(found.places) == 1 and not found.next_after
    places = [_line(place.locator, _plain(place.name), is_chosen=is_only) for place in found.places]
    return {"service": found.service, "places": places, "next_after": found.next_after}


def _line(locator: str, name: str, *, is_chosen: bool = False) -> dict[str, Any]:
    is_mixed = text.is_mixed_script(locator.rpartition("/")[2])
    return {
        "locator": locator,
        "field": f"{NAME_OF}{locator}",
        "name": name,
        "is_mixed": is_mixed,
        "is_chosen": is_chosen,
    }


def after_adding(request: HttpRequest, tenant: Tenant, result: Added) -> HttpResponse:
    say_added(request, result)
    return HttpResponseRedirect(list_of(Resource, tenant=tenant.pk))


def say_added(request: HttpRequest, result: Added) -> None:
    if result.added:
        words = ngettext("%(n)d resource was added.", "%(n)d resources were added.", result.added)
        messages.success(request, words % {"n": result.added})
    if result.proposed:
        words = ngettext("%(n)d resource was proposed.", "%(n)d resources were proposed.", result.proposed)
        messages.success(request, words % {"n": result.proposed})
    for line in result.refusals:
        messages.error(request, line)


def _add_sample(row: Tenant, actor: Actor, data: dict[str, Any]) -> Tenant:
    """Make the sample of each kind of content, add it as a resource, and test it.

    A resource that can't be added now can still be found. A test that isn't possible now runs by itself later.
    """
    tenant = operations.make_sample_folder(row.pk, actor=actor)
    services = list(Service.objects.filter(is_active=True, connector__in=sorted(KINDS)).order_by("-name"))
    # The first service of each connector.
    for service in {each.connector: each for each in services}.values():
        with suppress(ChangeProposed, TooMany):
            # The test is a second act of the same form, so it does not carry the form's claim.
            added = _add(tenant, service, samples.place_of(tenant.slug, service.connector), "", actor)
            operations.check_resource(added.pk, actor=actor.sending(None))
    return tenant


def can_make_sample(tenant: Tenant) -> bool:
    """Return whether to offer a sample folder: in a trial, for a tenant without content."""
    return tenant.is_active and is_trial() and samples.is_without_content(tenant.slug)


SAMPLE = of_act(MAKE_SAMPLE_FOLDER, "make-sample-folder", run=_add_sample, offered=lambda tenant: False)
ACTION = of_act(FIND_RESOURCES, "find-resources", form=FindForm, run=run, offered=lambda tenant: tenant.is_active)
