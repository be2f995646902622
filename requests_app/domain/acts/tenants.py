"""Declares the acts on a tenant and its settings."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from audit_app.meanings import CREATED, OTHER, Family, Meaning, Severity
from requests_app.domain.actors import Role
from requests_app.domain.acts.declaration import Act, Door, Event, Field, Kind, Noun, Proposal, StepUp, Tell, has, says
from requests_app.domain.levels import Level
from requests_app.domain.scopes import Scope

TENANT_CREATED = Event(
    "tenant.created",
    label=_("Tenant created"),
    sentence=_("{who} set up {name} on the plan {plan}"),
    siem=CREATED,
)
TENANT_CHANGED = Event(
    "tenant.changed",
    label=_("Tenant changed"),
    sentence=_("{who} changed the tenant: {changes}"),
    variants=(
        (has("window_cap"), _("{who} set the maximum length of windows to {length}; before, it was {before}")),
        (has("yes_rule", "any"), _("{who} set this rule: approvals count with or without a signature")),
        (has("yes_rule", "signed"), _("{who} set this rule: approvals must be signed with a passkey")),
        (
            has("yes_rule", "device_bound"),
            _("{who} set this rule: approvals must be signed with a passkey that can’t leave its device"),
        ),
        (
            has("own_keys_only"),
            _(
                "{who} set this rule: approvals must be signed with a passkey for {approval_rp_id} that was added on "
                "the tenant’s own approval page {approval_origin}"
            ),
        ),
        (
            has("approval_origin"),
            _(
                "{who} set the tenant’s own approval page to {approval_origin}; approvals do not need a passkey of "
                "this page"
            ),
        ),
        (
            says("approval_origin"),
            _("{who} removed the tenant’s own approval page; approvals do not need a passkey of this page"),
        ),
    ),
    siem=Meaning(Family.ENTITY, 3, severity=Severity.LOW),
)
LOCKBOX_SWITCHED_ON = Event(
    "lockbox.switched_on",
    label=_("Lockbox switched on"),
    sentence=_("{who} switched Lockbox on"),
    siem=Meaning(Family.ENTITY, 8, severity=Severity.LOW),
)
LOCKBOX_SWITCHED_OFF = Event(
    "lockbox.switched_off",
    label=_("Lockbox switched off"),
    sentence=_("{who} switched Lockbox off"),
    siem=Meaning(Family.ENTITY, 9, severity=Severity.HIGH),
)
LEVEL_RULED_OUT = Event(
    "level.ruled_out",
    label=_("Level of access ruled out"),
    sentence=_("{who} ruled out the level of access “{level}”: nobody can ask for it"),
    siem=Meaning(Family.ENTITY, 3, severity=Severity.LOW),
)
LEVEL_ALLOWED = Event(
    "level.allowed",
    label=_("Level of access allowed"),
    sentence=_("{who} allowed the level of access “{level}”: engineers can ask for it"),
    siem=Meaning(Family.ENTITY, 3, severity=Severity.MEDIUM),
)
PROVIDER_DESCRIBED = Event(
    "provider.described",
    label=_("What Lockbox began with"),
    sentence=_(
        "Lockbox begins with what one person at the provider could set up alone: {described}. The entry has the lists"
    ),
    siem=Meaning(Family.ENTITY, OTHER, "Describe", Severity.LOW),
)
TENANT_SWITCHED_OFF = Event(
    "tenant.switched_off",
    label=_("Tenant switched off"),
    sentence=_("{who} switched the tenant off: nobody can open a ticket or ask for access"),
    siem=Meaning(Family.ENTITY, 9, severity=Severity.MEDIUM),
)
TENANT_SWITCHED_ON = Event(
    "tenant.switched_on",
    label=_("Tenant switched on"),
    sentence=_("{who} switched the tenant on again: people can open tickets and ask for access"),
    siem=Meaning(Family.ENTITY, 8, severity=Severity.MEDIUM),
)
ADDRESS_ADDED = Event(
    "notification_address.added",
    label=_("Notification address added"),
    sentence=_("{who} added the notification address {email}"),
    siem=Meaning(Family.ENTITY, 1, severity=Severity.LOW),
)
ADDRESS_REMOVED = Event(
    "notification_address.removed",
    label=_("Notification address removed"),
    sentence=_("{who} removed the notification address {email}"),
    siem=Meaning(Family.ENTITY, 4, severity=Severity.LOW),
)

MOVE_TENANT = Proposal(
    "move_tenant",
    _("move the tenant %(name)s from the plan %(plan_before)s to %(plan_name)s, which does not include Lockbox"),
    by_staff=True,
)

SWITCH_OFF_TENANT_ANNOUNCED = Proposal(
    "switch_off_tenant",
    _("switch off the tenant %(name)s, so that nobody can open a ticket or ask for access, and all open windows close"),
    by_staff=True,
)
SWITCH_ON_TENANT_ANNOUNCED = Proposal(
    "switch_on_tenant",
    _("switch on the tenant %(name)s again, so that people can open tickets and ask for access"),
    by_staff=True,
)

CREATE_TENANT = Act(
    "create_tenant",
    noun=Noun.INSTALLATION,
    roles=frozenset({Role.STAFF}),
    title=_("Set up a tenant"),
    inputs=(Field("name", Kind.NAME, at_most=120),),
    scope=Scope.PROVISION,
    events=(TENANT_CREATED,),
    tried=_("to set up a tenant"),
    done=_("The tenant was added."),
    doors=frozenset({Door.ADMIN, Door.API}),
)
CHANGE_TENANT = Act(
    "change_tenant",
    noun=Noun.TENANT,
    roles=frozenset({Role.STAFF}),
    title=_("Change the tenant"),
    step_up=StepUp.DEPENDS,
    scope=Scope.PROVISION,
    events=(TENANT_CHANGED,),
    tried=_("to change the tenant"),
    proposes=(MOVE_TENANT,),
    done=_("The tenant was changed."),
    doors=frozenset({Door.ADMIN, Door.API}),
)
SWITCH_OFF_TENANT = Act(
    "switch_off_tenant",
    noun=Noun.TENANT,
    roles=frozenset({Role.STAFF}),
    title=_("Switch the tenant off"),
    explains=_(
        "Nobody can open a ticket or ask for access at this tenant. Its waiting access requests are withdrawn, and its "
        "open windows close. Its people can still sign in, read, and export the log. If the tenant has ever had "
        "Lockbox on, this is announced to its people first."
    ),
    step_up=StepUp.ALWAYS,
    scope=Scope.PROVISION,
    events=(TENANT_SWITCHED_OFF,),
    tried=_("to switch the tenant off"),
    proposes=(SWITCH_OFF_TENANT_ANNOUNCED,),
    done=_("The tenant is switched off. Its waiting access requests and open windows have ended."),
    doors=frozenset({Door.ADMIN, Door.API}),
)
SWITCH_ON_TENANT = Act(
    "switch_on_tenant",
    noun=Noun.TENANT,
    roles=frozenset({Role.STAFF}),
    title=_("Switch the tenant on"),
    explains=_(
        "People can open tickets and ask for access again. This restores nothing that ended. If the tenant has ever "
        "had Lockbox on, this is announced to its people first."
    ),
    step_up=StepUp.ALWAYS,
    scope=Scope.PROVISION,
    events=(TENANT_SWITCHED_ON,),
    tried=_("to switch the tenant on"),
    proposes=(SWITCH_ON_TENANT_ANNOUNCED,),
    done=_("The tenant is switched on."),
    doors=frozenset({Door.ADMIN, Door.API}),
)
SWITCH_LOCKBOX = Act(
    "switch_lockbox",
    noun=Noun.TENANT,
    roles=frozenset({Role.ADMINISTRATOR}),
    title=_("Switch Lockbox on or off"),
    step_up=StepUp.DEPENDS,
    scope=Scope.TENANT_MANAGE,
    events=(LOCKBOX_SWITCHED_ON, LOCKBOX_SWITCHED_OFF, PROVIDER_DESCRIBED),
    tried=_("to switch Lockbox on or off"),
    proposes=(Proposal("switch_lockbox", _("switch Lockbox %(on)s")),),
    tells=(Tell("notify.lockbox_switched", ("customer",)),),
    doors=frozenset({Door.PAGES, Door.API}),
)
SET_WINDOW_CAP = Act(
    "set_window_cap",
    noun=Noun.TENANT,
    roles=frozenset({Role.ADMINISTRATOR}),
    title=_("Set the maximum length of windows"),
    step_up=StepUp.ALWAYS,
    scope=Scope.TENANT_MANAGE,
    events=(TENANT_CHANGED,),
    tried=_("to set the maximum length of windows"),
    proposes=(Proposal("set_window_cap", _("set the maximum length of windows to %(time)s")),),
    done=_("From now on, no window is longer than {length}."),
    doors=frozenset({Door.PAGES, Door.API}),
)
_LEVEL = Field("level", Kind.CHOICE, choices=tuple(Level.values))
RULE_OUT_LEVEL = Act(
    "rule_out_level",
    noun=Noun.TENANT,
    roles=frozenset({Role.ADMINISTRATOR}),
    title=_("Rule a level of access out"),
    inputs=(_LEVEL,),
    scope=Scope.TENANT_MANAGE,
    events=(LEVEL_RULED_OUT,),
    tried=_("to rule a level of access out"),
    done=_("The level is ruled out. What was asked or opened with it has ended."),
    tells=(Tell("notify.level_rule_changed", ("customer", "administrators")),),
    doors=frozenset({Door.PAGES, Door.API}),
)
ALLOW_LEVEL = Act(
    "allow_level",
    noun=Noun.TENANT,
    roles=frozenset({Role.ADMINISTRATOR}),
    title=_("Allow a level of access"),
    inputs=(_LEVEL,),
    step_up=StepUp.ALWAYS,
    scope=Scope.TENANT_MANAGE,
    events=(LEVEL_ALLOWED,),
    tried=_("to allow a level of access"),
    proposes=(Proposal("allow_level", _("allow engineers to ask for the level of access “%(level)s”")),),
    done=_("Engineers can ask for this level now."),
    tells=(Tell("notify.level_rule_changed", ("customer", "administrators")),),
    doors=frozenset({Door.PAGES, Door.API}),
)
SET_YES_RULE = Act(
    "set_yes_rule",
    noun=Noun.TENANT,
    roles=frozenset({Role.ADMINISTRATOR}),
    humans_only=True,
    title=_("Set the approval requirements"),
    step_up=StepUp.ALWAYS,
    scope=Scope.TENANT_MANAGE,
    events=(TENANT_CHANGED,),
    tried=_("to set the approval requirements"),
    proposes=(Proposal("set_yes_rule", _("set the approval requirements: %(rule)s")),),
    done=_("The rule is set. It applies from the next approval on."),
    tells=(Tell("notify.yes_rules_changed", ("customer", "administrators")),),
    doors=frozenset({Door.PAGES, Door.API}),
)
SET_APPROVAL_PAGE = Act(
    "set_approval_page",
    noun=Noun.TENANT,
    roles=frozenset({Role.ADMINISTRATOR}),
    title=_("Set the address of the tenant’s own approval page"),
    step_up=StepUp.ALWAYS,
    events=(TENANT_CHANGED,),
    tried=_("to set the address of the tenant’s own approval page"),
    proposes=(
        Proposal(
            "set_approval_page",
            _("let approvers sign approvals on the tenant’s own page %(approval_origin)s, %(only)s"),
        ),
    ),
    done=_("The settings of the approval page are saved, and apply from now on."),
    tells=(Tell("notify.yes_rules_changed", ("customer", "administrators")),),
    doors=frozenset({Door.PAGES}),
)
ADD_ADDRESS = Act(
    "add_address",
    noun=Noun.TENANT,
    roles=frozenset({Role.ADMINISTRATOR}),
    title=_("Add a notification address"),
    inputs=(Field("email", Kind.EMAIL), Field("label", Kind.TEXT, at_least=0, at_most=80)),
    scope=Scope.TENANT_MANAGE,
    events=(ADDRESS_ADDED,),
    tried=_("to add a notification address"),
    done=_("{email} gets mails from now on."),
    doors=frozenset({Door.PAGES, Door.API}),
)
REMOVE_ADDRESS = Act(
    "remove_address",
    noun=Noun.NOTIFICATION_ADDRESS,
    roles=frozenset({Role.ADMINISTRATOR}),
    title=_("Remove a notification address"),
    scope=Scope.TENANT_MANAGE,
    events=(ADDRESS_REMOVED,),
    tried=_("to remove a notification address"),
    done=_("{email} gets no more mails."),
    doors=frozenset({Door.PAGES, Door.API}),
)
