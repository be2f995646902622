"""Declares the acts on a tenant's people and their roles. People do some of them, and a directory does others."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from audit_app.meanings import OTHER, Family, Meaning, Severity
from requests_app.domain.actors import Role
from requests_app.domain.acts.declaration import Act, Door, Event, Noun, Party, Proposal, StepUp, Tell, has
from requests_app.domain.scopes import Scope

ROLE_GIVEN = Event(
    "role.given",
    label=_("Role given"),
    sentence=_("{who} gave {name} the role “{role}”"),
    variants=(
        # The person who accepts is the actor of the entry, but another person chose the role.
        (has("invited_by", ""), _("{name} got the role “{role}” with the recovery key")),
        (has("invited_by"), _("{name} got the role “{role}” with the invitation by {invited_by}")),
    ),
    siem=Meaning(Family.USER_ACCESS, 1, severity=Severity.MEDIUM),
)
ROLE_TAKEN = Event(
    "role.taken",
    label=_("Role taken away"),
    sentence=_("{who} took the role “{role}” from {name}"),
    siem=Meaning(Family.USER_ACCESS, 2, severity=Severity.LOW),
)
PERSON_CREATED = Event(
    "person.created",
    label=_("Person added"),
    sentence=_("{who} added an account for {name} ({email})"),
    siem=Meaning(Family.ACCOUNT, 1, severity=Severity.LOW),
)
PERSON_CHANGED = Event(
    "person.changed",
    label=_("Person changed"),
    sentence=_("{who} changed the account of {name}"),
    siem=Meaning(Family.ACCOUNT, OTHER, "Update", Severity.LOW),
)
PERSON_SECOND_FACTORS_RESET = Event(
    "person.second_factors_reset",
    label=_("Second factors reset"),
    sentence=_("{who} reset the second factors of {name}"),
    siem=Meaning(Family.ACCOUNT, 11, severity=Severity.HIGH),
)
PERSON_SWITCHED_OFF = Event(
    "person.switched_off",
    label=_("Account switched off"),
    sentence=_("{who} switched off the account of {name}"),
    siem=Meaning(Family.ACCOUNT, 5, severity=Severity.LOW),
)
PERSON_SWITCHED_ON = Event(
    "person.switched_on",
    label=_("Account switched on"),
    sentence=_("{who} switched on the account of {name}"),
    siem=Meaning(Family.ACCOUNT, 2, severity=Severity.LOW),
)

SWITCH_ON_PROVIDER = Proposal(
    "switch_on_provider",
    _("switch on the account of %(name)s again, with the roles that the account still has"),
    by_staff=True,
)

GIVE_ROLE = Act(
    "give_role",
    noun=Noun.TENANT,
    roles=frozenset({Role.ADMINISTRATOR, Role.STAFF}),
    title=_("Give a role"),
    step_up=StepUp.DEPENDS,
    scope=Scope.MEMBERS_MANAGE,
    events=(ROLE_GIVEN,),
    tried=_("to give a role"),
    proposes=(Proposal("give_role", _("give %(name)s the role “%(role)s”")),),
    done=_("The role was given, and the tenant’s approvers get a mail."),
    tells=(Tell("notify.approvers_changed", ("customer",)),),
    doors=frozenset({Door.PAGES, Door.API, Door.ADMIN}),
)
TAKE_ROLE = Act(
    "take_role",
    noun=Noun.TENANT,
    roles=frozenset({Role.ADMINISTRATOR}),
    title=_("Take a role away"),
    step_up=StepUp.DEPENDS,
    scope=Scope.MEMBERS_MANAGE,
    events=(ROLE_TAKEN,),
    tried=_("to take a role away"),
    proposes=(Proposal("take_role", _("take the role “%(role)s” from %(name)s")),),
    tells=(Tell("notify.approvers_changed", ("customer",)),),
    doors=frozenset({Door.PAGES, Door.API}),
)
SWITCH_OFF_PERSON = Act(
    "switch_off_person",
    noun=Noun.PERSON,
    roles=frozenset({Role.ADMINISTRATOR, Role.STAFF}),
    title=_("Switch an account off"),
    step_up=StepUp.DEPENDS,
    scope=Scope.MEMBERS_MANAGE,
    provider_scope=Scope.PROVISION,
    events=(PERSON_SWITCHED_OFF,),
    tried=_("to switch an account off"),
    proposes=(Proposal("switch_off_person", _("switch off the account of %(name)s")),),
    done=_("The account is switched off. Its waiting access requests and open windows have ended."),
    tells=(Tell("notify.approvers_changed", ("customer",)),),
    doors=frozenset({Door.PAGES, Door.API, Door.ADMIN}),
)
SWITCH_ON_PERSON = Act(
    "switch_on_person",
    noun=Noun.PERSON,
    roles=frozenset({Role.ADMINISTRATOR, Role.STAFF}),
    title=_("Switch an account on"),
    step_up=StepUp.DEPENDS,
    scope=Scope.MEMBERS_MANAGE,
    provider_scope=Scope.PROVISION,
    events=(PERSON_SWITCHED_ON,),
    tried=_("to switch an account on"),
    proposes=(
        Proposal("switch_on_person", _("switch on the account of %(name)s")),
        SWITCH_ON_PROVIDER,
    ),
    done=_("The account is switched on."),
    tells=(Tell("notify.approvers_changed", ("customer",)),),
    doors=frozenset({Door.PAGES, Door.API, Door.ADMIN}),
)
RESET_SECOND_FACTORS = Act(
    "reset_second_factors",
    noun=Noun.PERSON,
    roles=frozenset({Role.ADMINISTRATOR, Role.STAFF}),
    humans_only=True,
    separate_from=(Party.SUBJECT,),
    title=_("Reset a person’s second factors"),
    step_up=StepUp.ALWAYS,
    scope=Scope.MEMBERS_MANAGE,
    events=(PERSON_SECOND_FACTORS_RESET,),
    tried=_("to reset a person’s second factors"),
    proposes=(Proposal("reset_second_factors", _("reset the second factors of %(name)s")),),
    done=_(
        "The second factors are removed, and every session has ended. At the next sign-in, the person sets up new "
        "second factors."
    ),
    tells=(Tell("notify.second_factor_changed", ("account_holder", "customer")),),
    doors=frozenset({Door.PAGES, Door.API, Door.ADMIN}),
)
PROVISION_MEMBER = Act(
    "provision_member",
    noun=Noun.TENANT,
    roles=frozenset({Role.ADMINISTRATOR}),
    title=_("Add a person from the directory"),
    step_up=StepUp.DEPENDS,
    scope=Scope.MEMBERS_PROVISION,
    events=(PERSON_CREATED,),
    tried=_("to add a person from the directory"),
    tells=(Tell("notify.approvers_changed", ("customer",)),),
    doors=frozenset({Door.API}),
)
CHANGE_PROVISIONED = Act(
    "change_provisioned",
    noun=Noun.TENANT,
    roles=frozenset({Role.ADMINISTRATOR}),
    title=_("Change a person’s data to match the directory"),
    step_up=StepUp.DEPENDS,
    scope=Scope.MEMBERS_PROVISION,
    events=(PERSON_CHANGED,),
    tried=_("to change a person’s data to match the directory"),
    tells=(Tell("notify.approvers_changed", ("customer",)),),
    doors=frozenset({Door.API}),
)
PROVISION_ROLE = Act(
    "provision_role",
    noun=Noun.TENANT,
    roles=frozenset({Role.ADMINISTRATOR}),
    title=_("Give a role or take it away to match the directory"),
    step_up=StepUp.DEPENDS,
    scope=Scope.MEMBERS_PROVISION,
    events=(ROLE_GIVEN, ROLE_TAKEN),
    tried=_("to give a role or take it away to match the directory"),
    tells=(Tell("notify.approvers_changed", ("customer",)),),
    doors=frozenset({Door.API}),
)
REMOVE_PROVISIONED = Act(
    "remove_provisioned",
    noun=Noun.TENANT,
    roles=frozenset({Role.ADMINISTRATOR}),
    title=_("Remove a person who is no longer in the directory"),
    step_up=StepUp.DEPENDS,
    scope=Scope.MEMBERS_PROVISION,
    events=(PERSON_SWITCHED_OFF,),
    tried=_("to remove a person who is no longer in the directory"),
    tells=(Tell("notify.approvers_changed", ("customer",)),),
    doors=frozenset({Door.API}),
)
