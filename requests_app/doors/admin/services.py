"""Services and their resources, for which engineers submit access requests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlencode

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.text import capfirst, format_lazy
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from requests_app import operations
from requests_app.content import checking
from requests_app.content.connectors.folder import Folder
from requests_app.content.connectors.maildir import Maildir
from requests_app.content.connectors.registry import KINDS
from requests_app.domain import clock, gate_rules, limits
from requests_app.domain.actors import Actor
from requests_app.domain.acts.gates import ADD_PROXY, REMOVE_PROXY
from requests_app.domain.acts.installation import CHECK_RESOURCE
from requests_app.domain.levels import TEXT_MAX, Level, text_of
from requests_app.domain.scopes import Scope
from requests_app.doors.admin.acts import (
    ActForm,
    AdminAction,
    ExternalIdField,
    Fold,
    TenantField,
    Words,
    conditional,
    of_act,
)
from requests_app.doors.admin.base import Related, StaffAdmin
from requests_app.doors.admin.columns import NOTHING, page_of, preformatted
from requests_app.doors.admin.filters import by_choice, by_flag, by_service, by_tenant
from requests_app.doors.admin.searching import Search
from requests_app.doors.admin.short_names import MADE, ShortNameForm, short_name_field
from requests_app.doors.choosing import only_of
from requests_app.models import (
    AccessRequest,
    AccessRequestResource,
    Client,
    GateProxy,
    Guard,
    QueueAssignment,
    Resource,
    Service,
    Tenant,
    Ticket,
)
from requests_app.models.services import TEST_IS_OLD
from requests_app.models.spelling import is_taken
from requests_app.queries import applications, callers
from requests_app.words import checks, proposals, times

_ANNOUNCED = _(
    "A change that weakens customers’ protection is announced: the customers’ people get a mail immediately, a second "
    "member of the staff must confirm the change, and the change takes effect after the waiting time."
)

#: What staff read about the connectors.
_CONNECTORS: dict[str, Promise] = {
    Folder.kind: _("folder: documents on this server"),
    Maildir.kind: _("maildir: mailboxes on this server"),
    Service.EXTERNAL: _("external: in your own application, which asks Lockbox"),
}


def announced_note() -> Words:
    """Return the note beside changes that can be announced. Before a customer has Lockbox on, no change is."""
    return _ANNOUNCED if Tenant.objects.ever_on().exists() else ""


_FIND = _(
    "To choose from the mailboxes or folders that the service’s connector finds, open the tenant’s page and choose "
    "“Find resources”. Some new resources are announced to the customer, and need a second member of the staff."
)


class ServiceForm(ShortNameForm):
    short = "key"
    fold = Fold(
        title=_("Only for an external service"),
        fields=("application", "link_template", "guidance", "gate_rules", "gate_identity", "gate_upstream"),
        field="connector",
        value=Service.EXTERNAL,
    )

    name = forms.CharField(label=_("Name"), max_length=80)
    key = short_name_field(label=_("Key"), help_text=format_lazy("{} {}", _("The log shows this key."), MADE))
    connector = forms.ChoiceField(label=_("Connector"), choices=list(_CONNECTORS.items()))
    application = conditional(
        forms.CharField(
            label=_("Application"),
            max_length=limits.APPLICATION_MAX,
            help_text=_("The name of the application that holds the content."),
        )
    )
    link_template = forms.CharField(
        label=_("Link template"),
        required=False,
        max_length=limits.LINK_TEMPLATE_MAX,
        help_text=_(
            "Engineers open a resource with this link, for example https://quillo.example/support/{external_id}. It "
            "can also have {tenant} and {access_request}."
        ),
    )
    guidance = forms.CharField(
        label=_("How to find a resource"),
        required=False,
        widget=forms.Textarea,
        max_length=limits.GUIDANCE_MAX,
        help_text=_("Engineers read this text in an open window."),
    )
    levels = forms.CharField(
        label=_("Levels of access"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 4}),
        max_length=TEXT_MAX,
        help_text=format_lazy(
            _(
                "One level in each line, from {levels}. After a bar you can add words for the customer, and after "
                "another bar words for engineers: “view | see your pages as you see them | open the read-only view”. "
                "Only an external service can have the level act_as."
            ),
            levels=", ".join(Level.values),
        ),
    )
    gate_rules = forms.CharField(
        label=_("Rules of the gate"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 4}),
        max_length=gate_rules.TEXT_MAX,
        help_text=_(
            "Only for a web tool behind a proxy that asks Lockbox about each request. One rule in each line, for "
            "example: “view GET /tenants/{resource}/** query=page,sort”. The first rule that matches decides. A "
            "rule refuses a request with a query, unless the rule lists the query’s parameters."
        ),
    )
    gate_identity = forms.BooleanField(
        label=_("The gate names the engineer"),
        required=False,
        help_text=_("The tool gets a signed header with the engineer, the tenant and the level."),
    )
    gate_upstream = forms.CharField(
        label=_("Upstream address"),
        required=False,
        max_length=limits.UPSTREAM_MAX,
        help_text=_(
            "Only if engineers reach the tool through the proxy of this product, which ends downloads, WebSockets and "
            "streams of events together with the window. It is where that proxy finds the tool, for example "
            "https://quillo.internal:8443."
        ),
    )
    is_covered = forms.BooleanField(
        label=_("Covered by Lockbox"),
        required=False,
        initial=True,
        help_text=_("A service that is not covered behaves as if the tenant had no Lockbox, and every page says so."),
    )
    is_active = forms.BooleanField(
        label=_("Active"),
        required=False,
        initial=True,
        help_text=_(
            "Nobody can ask for access to a service that is switched off. When you switch it off, its waiting access "
            "requests are withdrawn and its open windows close."
        ),
    )

    def prepare(self) -> None:
        super().prepare()
        self.fields["connector"].help_text = gettext(
            "On this server, the content of each tenant is in the directory %(path)s."
        ) % {"path": Path(settings.CONTENT_ROOT) / gettext("SHORT-NAME-OF-THE-TENANT")}
        if self.row is not None:
            self.initial.update({name: getattr(self.row, name) for name in self.fields})
            self.initial["levels"] = text_of(self.row.offers.values())

    def is_taken(self, text: str) -> bool:
        return is_taken(text, Service.objects.all(), "key")


class NewServiceForm(ServiceForm):
    # A new service whose content this product reads has the usual levels.
    fold = replace(ServiceForm.fold, fields=(*ServiceForm.fold.fields, "levels"))
    is_active = None  # type: ignore[assignment]  # Django removes the field of the base class


#: An external service has no locators, so its application names a resource by this id.
_EXTERNAL_ID = _(
    "Its id in your own records. Imports and the API find it by this. A resource of an external service needs one."
)


class NewResourceForm(ActForm):
    tenant = TenantField()
    service = forms.ModelChoiceField(label=_("Service"), queryset=Service.objects.order_by("name"))
    kind = forms.ChoiceField(label=_("Kind"), choices=Resource.Kind.choices)
    name = forms.CharField(label=_("Name"), max_length=200)
    locator = conditional(
        forms.CharField(
            label=_("Locator"),
            max_length=400,
            help_text=_("The connector's own name for the resource. A resource of an external service has none."),
        )
    )
    external_id = conditional(ExternalIdField(help_text=_EXTERNAL_ID))

    def prepare(self) -> None:
        service = Service.objects.filter(pk=only_of(self.fields["service"])).first()
        if service is not None and service.connector in KINDS:
            # All resources that its connector finds have this kind.
            self.initial.setdefault("kind", KINDS[service.connector].kinds[0])
        elif service is not None:
            self.initial.setdefault("kind", Resource.Kind.WORKSPACE)


class ResourceForm(ActForm):
    name = forms.CharField(label=_("Name"), max_length=200)
    locator = conditional(
        forms.CharField(
            label=_("Locator"),
            max_length=400,
            help_text=_(
                "The connector's own name for the resource. If the tenant has ever had Lockbox on, a new locator is "
                "announced, and takes effect only while no access request or window names the resource."
            ),
        )
    )
    external_id = conditional(ExternalIdField(help_text=_EXTERNAL_ID))
    is_active = forms.BooleanField(
        label=_("Active"),
        required=False,
        help_text=_("Nobody can ask for access to an inactive resource, or approve access to it."),
    )

    def prepare(self) -> None:
        self.initial.update({name: getattr(self.row, name) for name in self.fields})


def save_service(row: Service | None, actor: Actor, data: dict[str, Any]) -> Service:
    return operations.save_service(service_id=row.pk if row else None, actor=actor, **data)


def add_resource(row: None, actor: Actor, data: dict[str, Any]) -> Resource:
    tenant, service = data.pop("tenant"), data.pop("service")
    return operations.save_resource(tenant_id=tenant.pk, service_id=service.pk, actor=actor, **data)


def change_resource(row: Resource, actor: Actor, data: dict[str, Any]) -> Resource:
    return operations.save_resource(resource_id=row.pk, actor=actor, **data)


class ProxyForm(ActForm):
    name = forms.CharField(label=_("Name"), max_length=80)
    secret_hash = forms.CharField(
        label=_("SHA-256 hash of the secret"),
        min_length=64,
        max_length=64,
        help_text=_(
            "Make the secret on the proxy, for example with “openssl rand -hex 32”. “printf %s SECRET | sha256sum” "
            "shows its hash. The secret itself never comes here."
        ),
        error_messages=dict.fromkeys(
            ("min_length", "max_length"), _("A SHA-256 hash has 64 characters, from 0 to 9 and a to f.")
        ),
    )


def add_proxy(row: Service, actor: Actor, data: dict[str, Any]) -> GateProxy:
    return operations.add_proxy(row.pk, actor=actor, **data)


@admin.display(description=_("levels of access"))
def has_levels(row: Service) -> str:
    return proposals.levels_words(text_of(row.offers.values()))


@admin.display(description=_("rules"))
def rules(row: Service) -> str:
    return preformatted(row.gate_rules) if row.gate_rules else NOTHING


@admin.display(description=_("rules that no level of access allows"))
def unreachable_rules(row: Service) -> str:
    found = gate_rules.unreachable(row.gate_rules, row.offers)
    return preformatted("\n".join(rule.line for rule in found)) if found else NOTHING


@admin.display(description=_("last sign"))
def last_sign(row: Service) -> str:
    """Return when the guard of the application, or a proxy at its gate, was last heard of."""
    if not row.is_external:
        return NOTHING
    at: Any = row.read_at  # type: ignore[attr-defined]  # annotated by StaffAdmin
    found = applications.signs(row).get(row.key)
    if found is not None:
        return capfirst(found.words(at))
    if row.has_gate:
        return gettext("None yet. Add a proxy, then open a page of the tool in an open window.")
    if callers.has_guard(row):
        return gettext(
            "None yet. Start the application with the settings below, and open its address /.lockbox/status once."
        )
    return gettext("None yet. A guard needs a client: add one, and copy the settings from the next page.")


@admin.display(description=_("settings"))
def guard_settings(row: Service) -> str:
    """Return the settings of each client that guards the application."""
    if not row.is_external:
        return NOTHING
    found = [applications.guard_settings(client) for client in row.guards.live().select_related("service")]
    blocks = ["\n".join(f"{name}={value}" for name, value in each.items()) for each in found if each]
    return preformatted("\n\n".join(blocks)) if blocks else NOTHING


class ServiceAdmin(StaffAdmin):
    list_display = ("name", "key", "connector", "is_covered", "is_active")
    ordering = ("name",)
    search: ClassVar = Search(words=("name", "key"))
    list_filter = (by_flag("is_covered", _("covered by Lockbox")), by_flag("is_active", _("active")))
    facts: ClassVar = [
        ("", list_display[1:]),
        (_("The application"), ("application", "link_template", "guidance")),
        (_("What engineers can ask for"), (has_levels,)),
        (_("The guard of the application"), (last_sign, guard_settings)),
        (_("The gate"), (rules, unreachable_rules, "gate_identity", "gate_upstream")),
    ]
    related: ClassVar = [
        Related(model=QueueAssignment, by=lambda service: {"service": service}, title=_("The queue’s people")),
        Related(model=AccessRequest, by=lambda service: {"service": service}),
        Related(model=Ticket, by=lambda service: {"service": service}),
        Related(model=Resource, by=lambda service: {"service": service}),
        Related(model=Client, by=lambda service: {"service": service} if service.is_external else None),
        Related(model=Guard, by=lambda service: {"client__service": service} if service.is_external else None),
        Related(model=GateProxy, by=lambda service: {"service": service} if service.has_gate else None),
    ]
    adding: ClassVar = AdminAction(
        name="add",
        label=_("Add a service"),
        form=NewServiceForm,
        run=save_service,
        done=_("The service was added."),
        explains=announced_note,
    )
    acts: ClassVar = [
        AdminAction(
            name="change",
            label=_("Change the service"),
            form=ServiceForm,
            run=save_service,
            done=_("The service was changed."),
            explains=announced_note,
        ),
        of_act(ADD_PROXY, "add-proxy", form=ProxyForm, run=add_proxy, offered=lambda row: row.has_gate),
    ]

    def is_live(self, row: Service) -> bool:
        """Return whether somebody waits for the first sign of the guard."""
        return row.is_external and callers.has_guard(row) and row.key not in applications.signs(row)

    def links(self, row: Service) -> list[tuple[str, str]]:
        """Lead to the forms of the queue's people and of a client that guards the application.

        The forms have the values of the service.
        """
        if not row.is_active:
            return []
        queue = f"{reverse('admin:requests_app_queueassignment_add')}?{urlencode({'service': row.pk})}"
        people = (gettext("Put a person into its queue"), queue)
        if not row.is_external or row.has_gate:
            return [people]
        given = {"name": gettext("Guard of %(name)s") % {"name": row.name}, "scopes": Scope.GUARD, "service_id": row.pk}
        return [
            people,
            (gettext("Add a client for its guard"), f"{reverse('admin:requests_app_client_add')}?{urlencode(given)}"),
        ]


@admin.display(description=_("last asked"), ordering="asked_at")
def last_asked(row: GateProxy) -> Any:
    return row.asked_at


class GateProxyAdmin(StaffAdmin):
    list_display = ("name", "service", last_asked, "fingerprint", "added_at", "removed_at")
    reads: ClassVar = ("service", "added_by", "removed_by")
    ordering = ("-added_at",)
    search: ClassVar = Search(ids=("pk",), words=("name",))
    list_filter = (by_service(),)
    lead = _(
        "These proxies ask Lockbox about each request to a web tool. Nobody else is believed there. A request is in "
        "the log before the tool gets it. So a proxy that asks nothing hides nothing, and there is no alarm about it."
    )
    facts: ClassVar = [
        ("", ("name", "service", "fingerprint", last_asked)),
        (_("Since when"), ("added_at", "added_by", "removed_at", "removed_by")),
    ]
    acts: ClassVar = [of_act(REMOVE_PROXY, "remove", offered=lambda row: row.is_trusted)]


@admin.display(description=_("can be reached"))
def reached(row: Resource) -> str:
    if row.is_practice or row.is_external:
        return ""
    at = row.read_at  # type: ignore[attr-defined]  # annotated by StaffAdmin
    if row.is_untested_at(at):
        return checks.not_tested(row, at)
    if row.is_reachable:
        return gettext("yes")
    since = times.when_words(row.check_failing_since, at) if row.check_failing_since else ""
    words = gettext("no, %(problem)s (since %(since)s)") if since else gettext("no, %(problem)s")
    return words % {"problem": _problem(row), "since": since}


@admin.display(description=_("what to do"))
def what_to_do(row: Resource) -> str:
    if row.is_changed_since_test:
        return gettext("Test the resource again: the result below is about the time before the change.")
    return checks.what_to_do(row.check_problem)


@admin.display(description=_("what the last test did"))
def what_was_done(row: Resource) -> str:
    if row.checked_at is None:
        if not _is_tested(row):
            return ""
        return gettext("A test begins some seconds after a resource is saved. You can also test it now.")
    return checks.what_was_done(checking.steps_of(row, row.check_problem), row.locator)


def _problem(row: Resource) -> str:
    return checks.problem(row.check_problem)


def _is_tested(row: Resource) -> bool:
    return row.is_active and not row.is_practice and not row.is_external


def _by_reach(rows: QuerySet, value: str) -> QuerySet:
    if value == "no":
        return rows.unreachable()  # type: ignore[attr-defined]  # ResourceQuerySet
    rows = rows.filter(is_active=True, is_practice=False, check_problem="")
    rows = rows.exclude(service__connector=Service.EXTERNAL)
    if value == "never":
        return rows.filter(checked_at=None)
    since = clock.now() - TEST_IS_OLD
    return rows.filter(checked_at__lt=since) if value == "old" else rows.filter(checked_at__gte=since)


def tested(resources: list[Resource]) -> tuple[str, bool]:
    """Say how many of several resources can be reached."""
    failing = sum(bool(row.check_problem) for row in resources)
    counted = ngettext("%(n)d resource tested", "%(n)d resources tested", len(resources)) % {"n": len(resources)}
    words = gettext("%(counted)s: %(good)d can be reached, %(failing)d can’t be reached.")
    return words % {"counted": counted, "good": len(resources) - failing, "failing": failing}, not failing


class ResourceAdmin(StaffAdmin):
    list_display = ("name", reached, "locator", "tenant", "service", "kind", "is_active")
    is_wrapped = True
    reads: ClassVar = ("tenant", "service")
    ordering = ("name",)
    search: ClassVar = Search(tenant="tenant", words=("name", "locator", "external_id"))
    list_filter = (
        by_choice("kind", _("kind"), Resource.Kind.choices),
        by_flag("is_active", _("active")),
        by_choice(
            "reached",
            _("can be reached"),
            [("yes", _("yes")), ("no", _("no")), ("never", _("not tested yet")), ("old", _("not tested for two days"))],
            narrow=_by_reach,
        ),
        by_tenant(),
        by_service(),
    )
    facts: ClassVar = [
        ("", ("name", "kind", "service", "tenant", "locator", "external_id", "is_active")),
        (_("The last test"), (reached, "check_failing_since", what_to_do, "checked_at", what_was_done)),
    ]
    related: ClassVar = [
        Related(
            model=AccessRequestResource,
            by=lambda resource: {"resource": resource},
            title=_("Access requests for this resource"),
        ),
    ]
    adding: ClassVar = AdminAction(
        name="add",
        label=_("Add a resource"),
        form=NewResourceForm,
        run=add_resource,
        done=_("The resource was added."),
        explains=_FIND,
    )
    acts: ClassVar = [
        AdminAction(
            name="change",
            label=_("Change the resource"),
            form=ResourceForm,
            run=change_resource,
            done=_("The resource was changed."),
            offered=lambda row: not row.is_practice,
            explains=announced_note,
        ),
        of_act(CHECK_RESOURCE, "check", bulk=_("Test the chosen resources"), bulk_done=tested, offered=_is_tested),
    ]

    def done(self, request: HttpRequest, act: AdminAction, row: Any, result: Any) -> HttpResponse:
        """After a test, say what was done and found."""
        if act.name != "check":
            return super().done(request, act, row, result)
        words = f"{what_was_done(result)} {checks.result(result.check_problem)}"
        (messages.warning if result.check_problem else messages.success)(request, words)
        return HttpResponseRedirect(page_of(result))
