"""People, their roles, and their queues."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.text import format_lazy
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Actor, Role
from requests_app.domain.acts.installation import (
    GIVE_QUEUE_ROLE,
    LINK_ACCOUNTS,
    MAKE_STAFF,
    TAKE_QUEUE_ROLE,
    UNLINK_ACCOUNTS,
)
from requests_app.domain.acts.invitations import (
    COPY_INVITATION_LINK,
    INVITE_COLLEAGUE,
    RESEND_INVITATION,
    WITHDRAW_INVITATION,
)
from requests_app.domain.acts.members import GIVE_ROLE, RESET_SECOND_FACTORS, SWITCH_OFF_PERSON, SWITCH_ON_PERSON
from requests_app.doors.admin.acts import (
    ActForm,
    AdminAction,
    PersonField,
    TenantField,
    Words,
    ZoneField,
    conditional,
    of_act,
)
from requests_app.doors.admin.base import Related, StaffAdmin
from requests_app.doors.admin.columns import page_of
from requests_app.doors.admin.filters import by_choice, by_flag, by_row, by_tenant
from requests_app.doors.admin.searching import Search
from requests_app.doors.choosing import RoleField, only_of
from requests_app.identity import factors
from requests_app.models import (
    AccessRequest,
    Client,
    Decision,
    Grant,
    GroupMember,
    Invitation,
    Membership,
    Passkey,
    Person,
    QueueAssignment,
    Service,
    Tenant,
    Ticket,
    Token,
)
from requests_app.models.invitations import PROVIDER_ROLES
from requests_app.operations import CopiedLink
from requests_app.operations._change import PROVIDER_LOG
from requests_app.platform.secret_answers import secret_answer
from requests_app.queries.installation import why_no_link_is_copied
from requests_app.queries.invitations import overtaken
from requests_app.words.invitations import is_proposed


class ColleagueForm(ActForm):
    email = forms.EmailField(
        label=_("Email"), help_text=_("The person who reads mail at this address chooses the name and the password.")
    )
    role = RoleField(choices=PROVIDER_ROLES)
    services = conditional(
        forms.ModelMultipleChoiceField(
            label=_("Queues"),
            queryset=Service.objects.order_by("name"),
            widget=forms.CheckboxSelectMultiple,
            help_text=_(
                "For an engineer or a provider approver: the services whose access requests the person handles."
            ),
        )
    )
    time_zone = ZoneField(
        required=False,
        help_text=_("The invitation shows times in this zone. If you leave this empty, it is the same as yours."),
    )

    def clean_services(self) -> Any:
        services = self.cleaned_data["services"]
        # Staff have no queue. The form itself chose the only one, so the person has not.
        is_ours = self.cleaned_data.get("role") == Role.STAFF and only_of(self.fields["services"])
        return services.none() if is_ours else services


class QueueForm(ActForm):
    service = forms.ModelChoiceField(label=_("Service"), queryset=Service.objects.order_by("name"))
    role = RoleField(choices=QueueAssignment.Role.choices)


class NewAssignmentForm(QueueForm):
    person = PersonField(label=_("Person"), help_text=_("The email address of one of your own people."))
    field_order = ("service", "person", "role")


class TenantRoleForm(ActForm):
    tenant = TenantField()
    role = RoleField(choices=Membership.Role.choices)


class OtherAccountForm(ActForm):
    other = PersonField(label=_("The other account"), help_text=_("The email address of the other account."))


def invite(row: None, actor: Actor, data: dict[str, Any]) -> Invitation:
    services = [service.pk for service in data.pop("services")]
    return operations.invite_colleague(actor=actor, services=services, **data)


def give_role(row: Person, actor: Actor, data: dict[str, Any]) -> Membership:
    return operations.give_role(data["tenant"].pk, row.pk, role=data["role"], actor=actor)


def give_queue_role(row: Person, actor: Actor, data: dict[str, Any]) -> QueueAssignment:
    return operations.give_queue_role(data["service"].pk, row.pk, role=data["role"], actor=actor)


def add_to_queue(row: None, actor: Actor, data: dict[str, Any]) -> QueueAssignment:
    return operations.give_queue_role(data["service"].pk, data["person"].pk, role=data["role"], actor=actor)


def take_queue_role(row: QueueAssignment, actor: Actor, data: dict[str, Any]) -> None:
    operations.take_queue_role(row.service_id, row.person_id, role=row.role, actor=actor)


def reset_second_factors(row: Person, actor: Actor, data: dict[str, Any]) -> Person:
    return operations.reset_second_factors(row.pk, actor=actor, keep=factors.drops_all)


def is_unanswered(row: Invitation) -> bool:
    return row.accepted_at is None and row.withdrawn_at is None and not row.is_recovery


def has_own_link(row: Invitation) -> bool:
    """Return whether a link leads to the invitation, so that it can be sent again."""
    return is_unanswered(row) and not row.is_prepared and row.beside_id is None


def link_accounts(row: Person, actor: Actor, data: dict[str, Any]) -> Person:
    return operations.link_accounts(row.pk, data["other"].pk, actor=actor)


def is_linked(person: Person) -> bool:
    return (
        is_human(person)
        and Person.objects.get_queryset().filter(human_id=person.human_id).exclude(pk=person.pk).exists()
    )


def is_human(person: Person) -> bool:
    """Return whether this is the account of a human.

    The page of a client's account has no buttons for acts: removing the client ends its account.
    """
    return person.kind == Person.Kind.HUMAN


def say_what_waits(request: HttpRequest, row: Invitation) -> None:
    """After an act on an invitation, say that its role is only proposed."""
    if is_proposed(row):
        words = gettext(
            "The role is proposed, and customers get a mail. The invitation’s page has a link to the proposal, which "
            "says what it waits for."
        )
        messages.info(request, words)


_INVITED = _("The person gets a mail with a link, chooses a password, and is signed in.")


def _explains_inviting() -> Words:
    """Return what an invitation does. Before a customer has Lockbox on, no role is announced."""
    explained = INVITE_COLLEAGUE.explains if Tenant.objects.ever_on().exists() else _INVITED
    return format_lazy(
        "{} {}",
        _("For the provider’s people. A customer’s people are invited from the page of their tenant."),
        explained,
    )


#: The form is on the list of people and on the list of invitations.
INVITING = AdminAction(
    name="add",
    label=_("Invite a person"),
    form=ColleagueForm,
    run=invite,
    done=INVITE_COLLEAGUE.done,
    explains=_explains_inviting,
    again=_("Invite, and invite another person"),
)


def _own_log(person: Person) -> UUID:
    """Return the log in which this person's acts are found fast: the log of their tenant, or the provider's own log."""
    membership = person.memberships.first()
    return membership.tenant_id if membership else PROVIDER_LOG


class PersonAdmin(StaffAdmin):
    list_display = ("name", "email", "side", "is_active", "is_staff", "last_login", "created_at")
    ordering = ("name",)
    search: ClassVar = Search(ids=("pk", "human_id"), emails=("email",), words=("name", "email"))
    list_filter = (
        by_choice("side", _("side"), Person.Side.choices),
        by_choice("kind", _("kind"), Person.Kind.choices),
        by_flag("is_active", _("active")),
        by_flag("is_staff", _("staff")),
        by_row("human_id", _("human")),
    )
    lead = _("Accounts are never deleted, because logs name people. An account that is switched off can do nothing.")
    facts: ClassVar = [
        ("", ("name", "email", "side", "kind", "is_active", "is_staff", "created_at", "last_login")),
        (_("Preferences"), ("time_zone", "language", "theme")),
        (_("Identity"), ("id", "human_id")),
    ]
    related: ClassVar = [
        Related(model=Person, by=lambda p: {"human_id": p.human_id}, title=_("All accounts of this human")),
        Related(model=Membership, by=lambda p: {"person": p} if p.side == "customer" else None),
        Related(model=QueueAssignment, by=lambda p: {"person": p} if p.side == "provider" else None),
        Related(
            model=GroupMember,
            by=lambda p: {"person": p} if p.side == "provider" else None,
            title=_("Groups of the directory"),
        ),
        Related(
            model=AccessRequest,
            by=lambda p: {"requested_by": p} if p.side == "provider" else None,
            title=_("Submitted access requests"),
        ),
        Related(model=Grant, by=lambda p: {"engineer": p} if p.side == "provider" else None),
        Related(model=Decision, by=lambda p: {"decider": p}),
        Related(model=Passkey, by=lambda p: {"person": p}, title=_("Passkeys")),
        Related(model=Token, by=lambda p: {"account": p}),
        # They provision only while this person is active staff.
        Related(
            model=Client,
            by=lambda p: {"created_by": p} if p.side == "provider" else None,
            title=_("API clients that this person made"),
        ),
        Related(
            model=Client,
            by=lambda p: {"secret_by": p} if p.side == "provider" else None,
            title=_("API clients with a secret that this person saw"),
        ),
        Related(
            model=Token,
            by=lambda p: {"made_by": p} if p.side == "provider" else None,
            title=_("Long-lived tokens that this person saw"),
        ),
        Related(model=Ticket, by=lambda p: {"opened_by": p}, title=_("Tickets opened")),
        Related(
            model=Ticket,
            by=lambda p: {"assignee": p} if p.side == "provider" else None,
            title=_("Tickets in progress"),
        ),
        Related(
            model=AuditEntry,
            by=lambda p: {"tenant_id": _own_log(p), "actor_id": p.pk},
            order=("-seq",),
            title=_("What this person did, in the log of their tenant or of the provider"),
        ),
    ]
    adding: ClassVar = INVITING
    acts: ClassVar = [
        AdminAction(
            name="queue",
            label=_("Give a role in a queue"),
            form=QueueForm,
            run=give_queue_role,
            done=GIVE_QUEUE_ROLE.done,
            offered=lambda p: is_human(p) and p.side == "provider" and p.is_active,
        ),
        of_act(
            MAKE_STAFF,
            "make-staff",
            label=_("Make staff"),
            explains=_(
                "The person can then use this portal. If any customer has ever switched Lockbox on, a second "
                "member of the staff must confirm the change. Customers get a mail, and the change takes effect "
                "after the waiting time."
            ),
            offered=lambda p: is_human(p) and p.side == "provider" and p.is_active and not p.is_staff,
        ),
        AdminAction(
            name="give-role",
            label=_("Give a role in a tenant"),
            form=TenantRoleForm,
            run=give_role,
            done=GIVE_ROLE.done,
            explains=_(
                "If the tenant has any approver or administrator, only the customer can make somebody an approver, a "
                "deputy or an administrator. If the tenant has an active administrator, only the customer can give "
                "roles."
            ),
            offered=lambda p: is_human(p) and p.side == "customer" and p.is_active,
        ),
        of_act(
            SWITCH_OFF_PERSON,
            "switch-off",
            label=_("Switch off"),
            explains=_(
                "From now on the account can do nothing. Its open windows close, and its pending access requests end."
            ),
            offered=lambda p: is_human(p) and p.is_active,
            bulk=_("Switch off"),
        ),
        of_act(
            SWITCH_ON_PERSON,
            "switch-on",
            label=_("Switch on"),
            explains=_("The account works again, with the roles that it still holds."),
            offered=lambda p: is_human(p) and not p.is_active,
            bulk=_("Switch on"),
        ),
        AdminAction(
            name="reset",
            label=_("Reset second factors"),
            run=reset_second_factors,
            done=RESET_SECOND_FACTORS.done,
            explains=_(
                "For one of the provider's people who has lost the device and the recovery codes. Only a "
                "superuser can do this. Until the person sets up new second factors, anybody who knows the "
                "password can sign in."
            ),
            offered=lambda p: is_human(p) and p.side == "provider" and p.has_second_factor,
        ),
        AdminAction(
            name="link",
            label=_("Link with another account"),
            form=OtherAccountForm,
            run=link_accounts,
            done=LINK_ACCOUNTS.done,
            explains=_(
                "For two accounts of the same human. The two accounts then count as one human on every access "
                "request. If the human is then on both sides of an access request that is under way, this access "
                "request ends. The link is recorded in the log of each tenant that it concerns."
            ),
            offered=is_human,
        ),
        of_act(
            UNLINK_ACCOUNTS,
            "unlink",
            label=_("Unlink"),
            explains=_("For an account that was linked by mistake. Decisions that were taken stay as they are."),
            offered=is_linked,
        ),
    ]

    def done(self, request: HttpRequest, act: AdminAction, row: Any, result: Any) -> HttpResponse:
        """After an invitation, show the invitation, because the person has no account yet."""
        if isinstance(result, Invitation):
            messages.success(request, str(act.done))
            say_what_waits(request, result)
            return HttpResponseRedirect(page_of(result))
        return super().done(request, act, row, result)


class MembershipAdmin(StaffAdmin):
    list_display = ("person", "role", "tenant", "given_at")
    reads: ClassVar = ("person", "tenant")
    ordering = ("-given_at",)
    search: ClassVar = Search(ids=("person", "tenant"), tenant="tenant", people=("person",))
    list_filter = (
        by_choice("role", _("role"), Membership.Role.choices),
        by_tenant(),
        by_row("person", _("person"), Person),
    )
    lead = _("Roles in a tenant are taken away by the tenant's own administrator.")
    facts: ClassVar = [("", ("person", "role", "tenant", "given_at"))]


_STATES = [
    ("prepared", _("prepared")),
    ("open", _("open")),
    ("accepted", _("accepted")),
    ("withdrawn", _("withdrawn")),
    ("expired", _("expired")),
    ("overtaken", _("ended when a customer switched Lockbox on")),
]


def _in_state(rows: QuerySet, state: str) -> QuerySet:
    at = clock.now()
    if state == "overtaken":
        return rows.filter(pk__in=overtaken(at))
    if state == "open":
        rows = rows.exclude(pk__in=overtaken(at))
    if state == "prepared":
        return rows.filter(sends=0, accepted_at=None, withdrawn_at=None)
    if state in ("open", "expired"):
        past = Q(expires_at__lte=at)
        return rows.filter(~past if state == "open" else past, sends__gt=0, accepted_at=None, withdrawn_at=None)
    return rows.filter(**{f"{state}_at__isnull": False})


@admin.display(description=_("state"))
def _state(row: Any) -> str:
    """Return the state of an invitation, with the reason why its link ended if nobody ended it."""
    if row.withdrawn_at is not None:
        state = "withdrawn"
    elif row.accepted_at is not None:
        state = "accepted"
    elif row.is_prepared:
        state = "prepared"
    elif row.is_overtaken:
        state = "overtaken"
    else:
        state = "open" if row.expires_at > clock.now() else "expired"
    return str(dict(_STATES)[state])


@admin.display(description=_("queues"))
def _queues(row: Invitation) -> str:
    return ", ".join(sorted(service.name for service in row.services.all()))


def _may_be_copied(row: Invitation) -> bool:
    is_kind = row.tenant_id is None or row.role == Membership.Role.ADMINISTRATOR
    return is_kind and has_own_link(row) and row.link_copied_at is None and not why_no_link_is_copied()


class InvitationAdmin(StaffAdmin):
    list_display = ("email", "role", "tenant", _state, "invited_by", "created_at", "expires_at")
    reads: ClassVar = ("tenant", "invited_by")
    ordering = ("-created_at",)
    search: ClassVar = Search(ids=("pk",), tenant="tenant", emails=("email",))
    list_filter = (
        by_choice("state", _("state"), _STATES, narrow=_in_state),
        by_choice("role", _("role"), [*Membership.Role.choices, *PROVIDER_ROLES]),
        by_tenant(),
    )
    lead = _(
        "Invitations without a tenant are for the provider’s people. If a tenant has an active administrator, only the "
        "tenant’s own administrators can invite people. If a tenant has any approver or administrator, staff can’t "
        "invite approvers, deputies or administrators."
    )
    facts: ClassVar = [
        ("", ("email", _state, "name", "role", _queues, "beside", "tenant", "time_zone", "proposal")),
        (_("Sender"), ("invited_by", "invited_through", "sends")),
        (_("Times"), ("created_at", "valid_from", "expires_at", "accepted_at", "accepted_by", "withdrawn_at")),
        (_("Copied link"), ("link_copied_at", "link_copied_by", "copy_noted_at")),
    ]
    adding: ClassVar = INVITING
    acts: ClassVar = [
        of_act(COPY_INVITATION_LINK, "copy-link", offered=_may_be_copied),
        of_act(
            RESEND_INVITATION,
            "send-again",
            label=_("Send again"),
            done=_("A new mail is sent. The link in the earlier mail no longer works."),
            is_one_press=True,
            offered=has_own_link,
        ),
        of_act(
            WITHDRAW_INVITATION,
            "withdraw",
            label=_("Withdraw"),
            done=_("The invitation is withdrawn."),
            offered=is_unanswered,
        ),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        ended = overtaken(clock.now()).filter(pk=OuterRef("pk"))
        return super().get_queryset(request).annotate(is_overtaken=Exists(ended))

    def done(self, request: HttpRequest, act: AdminAction, row: Any, result: Any) -> HttpResponse:
        """Show a copied link in the answer to the act. No later page can show it again."""
        if not isinstance(result, CopiedLink):
            say_what_waits(request, result)
            return super().done(request, act, row, result)
        context = {
            **self._context(request, result.row),
            "title": _("The link of the invitation"),
            "email": result.row.email,
            "url": result.url,
            "back_url": page_of(result.row),
        }
        response = TemplateResponse(request, "admin/invitation_link.html", context)
        return secret_answer(response)


class PasskeyAdmin(StaffAdmin):
    list_display = ("name", "person", "tenant", "created_at", "removed_at", "is_backup_eligible")
    reads: ClassVar = ("person", "tenant")
    ordering = ("-created_at",)
    search: ClassVar = Search(ids=("pk", "person"), tenant="tenant", people=("person",))
    list_filter = (by_tenant(), by_row("person", _("person"), Person))
    lead = _(
        "People add and remove their own passkeys. What a passkey has signed stays signed, and the log records each "
        "passkey."
    )
    facts: ClassVar = [
        ("", ("name", "person", "tenant", "created_at", "removed_at")),
        (_("Key"), ("algorithm", "rp_id", "origin", "aaguid", "is_backup_eligible", "is_backed_up", "sign_count")),
    ]


class OutOfOfficeAdmin(StaffAdmin):
    list_display = ("approver", "deputy", "tenant", "from_at", "until_at", "ended_at")
    reads: ClassVar = ("approver", "deputy", "tenant")
    ordering = ("-from_at",)
    search: ClassVar = Search(ids=("approver", "deputy"), tenant="tenant", people=("approver", "deputy"))
    list_filter = (by_tenant(),)
    words = _("Deputies")
    lead = _(
        "Each tenant's approvers name their deputies. A deputy can approve and deny only while the approver is absent."
    )
    facts: ClassVar = [("", ("approver", "deputy", "tenant", "from_at", "until_at", "set_at", "ended_at"))]


class MuteAdmin(StaffAdmin):
    list_display = ("__str__", "tenant", "set_at", "until_at", "lifted_at", "set_by", "denied")
    reads: ClassVar = ("engineer", "tenant", "set_by")
    ordering = ("-set_at",)
    search: ClassVar = Search(ids=("pk", "engineer"), tenant="tenant", people=("engineer", "set_by"))
    list_filter = (by_tenant(),)
    lead = _(
        "Only a tenant's approvers set and lift the tenant's mutes. Until a mute ends, the approvers get no "
        "access requests from the muted person."
    )
    facts: ClassVar = [("", ("engineer", "tenant", "set_at", "until_at", "lifted_at", "set_by", "denied", "note"))]


class QueueAssignmentAdmin(StaffAdmin):
    list_display = ("person", "role", "service", "given_at")
    reads: ClassVar = ("person", "service")
    ordering = ("-given_at",)
    search: ClassVar = Search(ids=("person", "service"), people=("person",))
    list_filter = (
        by_choice("role", _("role"), QueueAssignment.Role.choices),
        by_row("service", _("service"), Service),
        by_row("person", _("person"), Person),
    )
    facts: ClassVar = [("", ("person", "role", "service", "given_at", "is_through_group"))]
    adding: ClassVar = AdminAction(
        name="add",
        label=_("Put a person into a queue"),
        form=NewAssignmentForm,
        run=add_to_queue,
        done=GIVE_QUEUE_ROLE.done,
        explains=_(
            "As soon as any customer has ever switched Lockbox on, each role is announced: a second member of the "
            "staff confirms it, and it takes effect after the waiting time."
        ),
        again=_("Save and put another person into it"),
    )
    acts: ClassVar = [
        AdminAction(
            name="take",
            label=_("Take out of the queue"),
            run=take_queue_role,
            done=TAKE_QUEUE_ROLE.done,
            explains=_("When the role ends, the engineer’s access requests and windows in this queue end, too."),
            bulk=_("Take out of the queue"),
        )
    ]
