"""Plans, tenants and notification addresses."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.text import format_lazy
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain.actors import Actor
from requests_app.domain.acts.invitations import INVITE_COLLEAGUE
from requests_app.domain.acts.members import GIVE_ROLE
from requests_app.domain.acts.tenants import CHANGE_TENANT, CREATE_TENANT, SWITCH_OFF_TENANT, SWITCH_ON_TENANT
from requests_app.domain.acts.tickets import START_PRACTICE
from requests_app.doors.admin import discovery
from requests_app.doors.admin.acts import ActForm, AdminAction, ExternalIdField, PersonField, ZoneField, of_act
from requests_app.doors.admin.base import Related, StaffAdmin
from requests_app.doors.admin.columns import length
from requests_app.doors.admin.filters import by_flag, by_row, by_tenant
from requests_app.doors.admin.searching import Search
from requests_app.doors.admin.short_names import MADE, ShortNameForm, short_name_field
from requests_app.doors.choosing import RoleField
from requests_app.models import (
    AccessRequest,
    Client,
    Domain,
    Grant,
    Invitation,
    Membership,
    Mute,
    NotificationAddress,
    OutboxMessage,
    Plan,
    Proposal,
    Resource,
    Service,
    SignOn,
    Tenant,
    Ticket,
    Webhook,
)
from requests_app.models.spelling import is_taken
from requests_app.queries import practice

WINDOW_CAP = length("window_cap", _("maximum length of windows"))


class PlanForm(ActForm):
    name = forms.CharField(label=_("Name"), max_length=60)
    includes_lockbox = forms.BooleanField(
        label=_("Includes Lockbox"),
        required=False,
        initial=True,
        help_text=_(
            "Tenants with this plan can switch Lockbox on. If Lockbox is already on, it stays on, even "
            "with another plan."
        ),
    )

    def prepare(self) -> None:
        if self.row is not None:
            self.initial.update({"name": self.row.name, "includes_lockbox": self.row.includes_lockbox})


class TenantForm(ShortNameForm):
    """The form of a tenant. It has no field for Lockbox or the length of windows, because the customer sets these."""

    short = "slug"

    name = forms.CharField(label=_("Name"), max_length=120)
    slug = short_name_field(
        label=_("Short name"),
        help_text=format_lazy("{} {}", _("The directory of the tenant’s content has this name."), MADE),
    )
    plan = forms.ModelChoiceField(label=_("Plan"), queryset=Plan.objects.all())
    time_zone = ZoneField()
    external_id = ExternalIdField()

    def prepare(self) -> None:
        super().prepare()
        if self.row is not None:
            self.initial.update({name: getattr(self.row, name) for name in self.fields})
        elif self.reader is not None:
            self.initial.setdefault("time_zone", self.reader.time_zone)

    def is_taken(self, text: str) -> bool:
        return is_taken(text, Tenant.objects.all(), "slug", "external_id")


class RoleForm(ActForm):
    person = PersonField(
        label=_("Person"), help_text=_("The email address of an account on the customer's side."), required=True
    )
    role = RoleField(choices=Membership.Role.choices)


def save_plan(row: Plan | None, actor: Actor, data: dict[str, Any]) -> Plan:
    return operations.save_plan(plan_id=row.pk if row else None, actor=actor, **data)


def create_tenant(row: None, actor: Actor, data: dict[str, Any]) -> Tenant:
    plan = data.pop("plan")
    return operations.create_tenant(plan_id=plan.pk, actor=actor, **data)


def change_tenant(row: Tenant, actor: Actor, data: dict[str, Any]) -> Tenant:
    plan = data.pop("plan")
    return operations.change_tenant(row.pk, plan_id=plan.pk, actor=actor, **data)


def give_role(row: Tenant, actor: Actor, data: dict[str, Any]) -> Membership:
    return operations.give_role(row.pk, data["person"].pk, role=data["role"], actor=actor)


class InvitationForm(ActForm):
    is_typed_at_once = True

    email = forms.EmailField(
        label=_("Email"), help_text=_("The person who reads mail at this address chooses the name and the password.")
    )
    role = RoleField(choices=Membership.Role.choices)


def invite(row: Tenant, actor: Actor, data: dict[str, Any]) -> Invitation:
    return operations.invite_person(row.pk, actor=actor, **data)


class PracticeForm(ActForm):
    service = forms.ModelChoiceField(label=_("Service"), queryset=Service.objects.none())

    def prepare(self) -> None:
        self.fields["service"].queryset = practice.services(self.row)  # type: ignore[attr-defined]  # a ModelChoiceField


def start_practice(row: Tenant, actor: Actor, data: dict[str, Any]) -> Ticket:
    return operations.start_practice(row.pk, service_id=data["service"].pk, actor=actor)


class PlanAdmin(StaffAdmin):
    list_display = ("name", "includes_lockbox")
    ordering = ("name",)
    search: ClassVar = Search(words=("name",))
    list_filter = (by_flag("includes_lockbox", _("Lockbox")),)
    facts: ClassVar = [("", ("includes_lockbox",))]
    related: ClassVar = [Related(model=Tenant, by=lambda plan: {"plan": plan})]
    adding: ClassVar = AdminAction(
        name="add", label=_("Add a plan"), form=PlanForm, run=save_plan, done=_("The plan was added.")
    )
    acts: ClassVar = [
        AdminAction(
            name="change", label=_("Change the plan"), form=PlanForm, run=save_plan, done=_("The plan was changed.")
        )
    ]


def _has_no_administrator(row: Tenant) -> bool:
    """Return whether the customer has nobody who can invite its people."""
    return not row.memberships.filter(role=Membership.Role.ADMINISTRATOR, person__is_active=True).exists()


@admin.display(description=_("approvals need a passkey of the approval page"))
def _own_keys_only(row: Tenant) -> str:
    if not row.approval_origin:
        return ""
    return gettext("yes") if row.own_keys_only else gettext("no")


class TenantAdmin(StaffAdmin):
    list_display = ("name", "slug", "plan", "is_active", "lockbox_on", WINDOW_CAP, "time_zone", "created_at")
    reads: ClassVar = ("plan",)
    ordering = ("name",)
    search: ClassVar = Search(words=("name", "slug", "external_id"))
    list_filter = (
        by_flag("lockbox_on", _("Lockbox on")),
        by_flag("is_active", _("active")),
        by_row("plan", _("plan"), Plan),
    )
    lead = _(
        "Each customer chooses whether Lockbox is on and how long a window can be. This list only shows the choice."
    )
    facts: ClassVar = [
        ("", ("slug", "id", "plan", "time_zone", "external_id", "is_active", "created_at")),
        (_("The customer’s own choices"), ("lockbox_on", WINDOW_CAP, "yes_rule", "needs_two")),
        (_("The customer’s own approval page"), ("approval_origin", "approval_rp_id", _own_keys_only)),
    ]
    related: ClassVar = [
        Related(model=AccessRequest, by=lambda tenant: {"tenant": tenant}),
        Related(model=Grant, by=lambda tenant: {"tenant": tenant}),
        Related(model=Ticket, by=lambda tenant: {"tenant": tenant}),
        Related(model=Membership, by=lambda tenant: {"tenant": tenant}, title=_("People and their roles")),
        Related(model=Invitation, by=lambda tenant: {"tenant": tenant}),
        Related(model=Resource, by=lambda tenant: {"tenant": tenant}),
        Related(model=NotificationAddress, by=lambda tenant: {"tenant": tenant}),
        Related(model=SignOn, by=lambda tenant: {"tenant": tenant}),
        Related(model=Domain, by=lambda tenant: {"tenant": tenant}),
        Related(model=Mute, by=lambda tenant: {"tenant": tenant}),
        Related(model=Proposal, by=lambda tenant: {"tenant": tenant}),
        Related(model=Client, by=lambda tenant: {"tenant": tenant}),
        Related(model=Webhook, by=lambda tenant: {"tenant": tenant}),
        Related(model=OutboxMessage, by=lambda tenant: {"tenant": tenant}),
        Related(
            model=AuditEntry, by=lambda tenant: {"tenant_id": tenant.pk}, order=("-seq",), title=_("The tenant’s log")
        ),
    ]
    adding: ClassVar = AdminAction(
        name="add", label=_("Add a tenant"), form=TenantForm, run=create_tenant, done=CREATE_TENANT.done
    )
    acts: ClassVar = [
        AdminAction(
            name="change",
            label=_("Change the tenant"),
            form=TenantForm,
            run=change_tenant,
            done=CHANGE_TENANT.done,
        ),
        of_act(SWITCH_OFF_TENANT, "switch-off", offered=lambda tenant: tenant.is_active),
        of_act(SWITCH_ON_TENANT, "switch-on", offered=lambda tenant: not tenant.is_active),
        AdminAction(
            name="invite",
            label=_("Invite the first person"),
            form=InvitationForm,
            run=invite,
            offered=_has_no_administrator,
            done=INVITE_COLLEAGUE.done,
            explains=_(
                "For a new tenant: invite its first administrator, who then invites the others. As soon as the "
                "tenant has approvers or administrators, only the customer can invite people."
            ),
        ),
        AdminAction(
            name="give-role",
            label=_("Give a role"),
            form=RoleForm,
            run=give_role,
            done=GIVE_ROLE.done,
            explains=_(
                "For a new tenant: give the roles of the first approver and the first administrator. If somebody "
                "in the tenant already has one of these roles, only the customer can give that role to others."
            ),
        ),
        of_act(
            START_PRACTICE,
            "start-practice",
            form=PracticeForm,
            run=start_practice,
            done=_("The practice ticket is open, and the engineers of the service have been told."),
        ),
        discovery.ACTION,
        discovery.SAMPLE,
    ]

    def before_act(self, request: HttpRequest, act: AdminAction, row: Any) -> dict[str, Any]:
        """Offer a sample folder beside the search for resources."""
        if act is discovery.ACTION and discovery.can_make_sample(row):
            return {"other_act": discovery.SAMPLE, "other_url": self._act_url(discovery.SAMPLE, row)}
        return super().before_act(request, act, row)

    def done(self, request: HttpRequest, act: AdminAction, row: Any, result: Any) -> HttpResponse:
        """Show the found places. After some were added, go to the resources, or after a sample to the next step."""
        if isinstance(result, discovery.Added):
            return discovery.after_adding(request, row, result)
        if act is discovery.SAMPLE:
            messages.success(request, str(act.done))
            return HttpResponseRedirect(reverse("admin:set_up"))
        if act is not discovery.ACTION:
            return super().done(request, act, row, result)
        context = {
            **self._context(request, row),
            **self.before_act(request, act, row),
            "title": act.label,
            **discovery.page_of(request, result),
        }
        return TemplateResponse(request, "admin/found_resources.html", context)

    def links(self, row: Tenant) -> list[tuple[str, str]]:
        return [
            (str(_("Record a ticket")), reverse("admin:requests_app_ticket_add", query={"tenant": row.slug})),
            (str(_("Add a resource")), reverse("admin:requests_app_resource_add", query={"tenant": row.slug})),
        ]


class NotificationAddressAdmin(StaffAdmin):
    list_display = ("email", "label", "tenant", "created_at")
    reads: ClassVar = ("tenant",)
    ordering = ("email",)
    search: ClassVar = Search(emails=("email",), tenant="tenant", words=("email",))
    list_filter = (by_tenant(),)
    lead = _("Each tenant's own administrator manages the tenant's addresses.")
    facts: ClassVar = [("", ("email", "label", "tenant", "created_at"))]
