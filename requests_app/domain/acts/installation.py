"""Declares the acts of staff on what all tenants share: plans, services, resources, and the provider's people."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from audit_app.meanings import CREATED, OTHER, Family, Meaning, Severity
from requests_app.domain.actors import Role
from requests_app.domain.acts.declaration import Act, Door, Event, Noun, Party, Proposal, StepUp, has
from requests_app.domain.acts.members import ROLE_GIVEN, ROLE_TAKEN
from requests_app.domain.scopes import Scope

PLAN_CHANGED = Event(
    "plan.changed",
    label=_("Plan changed"),
    sentence=_("{who} changed a plan: {changes}"),
    siem=Meaning(Family.ENTITY, 3, severity=Severity.LOW),
)
SERVICE_CHANGED = Event(
    "service.changed",
    label=_("Service changed"),
    sentence=_("{who} changed a service: {changes}"),
    variants=(
        (has("is_active", False), _("{who} switched the service {service} off: nobody can ask for access to it")),
        (has("is_active", True), _("{who} switched the service {service} on again")),
        (has("is_covered", True), _("{who} changed a service: Lockbox covers the service {service}")),
        (has("is_covered", False), _("{who} changed a service: Lockbox does not cover the service {service}")),
    ),
    siem=Meaning(Family.ENTITY, 3, severity=Severity.MEDIUM),
)
ACCOUNTS_LINKED = Event(
    "accounts.linked",
    label=_("Accounts linked as one human"),
    sentence=_("{who} linked the accounts of {name} and {other_name}: they count as one human"),
    variants=(
        (
            has("because", "same_identity"),
            _(
                "The account {email} and another account count as one human, because both sign in at {issuer} as the "
                "same person"
            ),
        ),
        (
            has("because", "same_address"),
            _(
                "The new account {email} and another account count as one human, because both addresses belong to "
                "the same mailbox"
            ),
        ),
    ),
    siem=Meaning(Family.ACCOUNT, OTHER, "Link", Severity.MEDIUM),
)
ACCOUNTS_UNLINKED = Event(
    "accounts.unlinked",
    label=_("Account unlinked"),
    sentence=_("{who} unlinked the account of {name}: it counts as a separate human"),
    siem=Meaning(Family.ACCOUNT, OTHER, "Unlink", Severity.MEDIUM),
)
RESOURCE_ADDED = Event(
    "resource.added",
    label=_("Resource added"),
    sentence=_("{who} added the resource {resource_set}"),
    siem=CREATED,
)
RESOURCE_CHANGED = Event(
    "resource.changed",
    label=_("Resource changed"),
    sentence=_("{who} changed a resource: {changes}"),
    siem=Meaning(Family.ENTITY, 3, severity=Severity.LOW),
)
RESOURCE_CHECKED = Event(
    "resource.checked",
    label=_("Resource tested"),
    sentence=_("{who} tested the resource {name}: it can be reached. {what_was_done}"),
    variants=(
        (
            has("problem"),
            _("{who} tested the resource {name}: it can’t be reached, because {problem}. {what_was_done}"),
        ),
    ),
    siem=Meaning(Family.ENTITY, OTHER, "Test"),
)
RESOURCES_LISTED = Event(
    "resource.listed",
    label=_("Possible resources listed"),
    sentence=_("{who} listed places that could become resources of {service}: {places}. No content was read"),
    siem=Meaning(Family.ENTITY, OTHER, "List"),
)
SAMPLE_MADE = Event(
    "resource.sampled",
    label=_("Sample content made"),
    sentence=_("{who} made a folder of made-up files for this trial: {places}"),
    siem=Meaning(Family.ENTITY, OTHER, "Make sample"),
)

CHANGE_PLAN = Proposal("change_plan", _("change the plan %(name)s: %(changes)s"), by_staff=True)
ADD_SERVICE = Proposal("add_service", _("add the service %(name)s, which Lockbox does not cover"), by_staff=True)
CHANGE_SERVICE = Proposal("change_service", _("change the service %(name)s: %(changes)s"), by_staff=True)
ADD_RESOURCE = Proposal(
    "add_resource",
    _("add the resource “%(name)s” of %(tenant_name)s to the service %(service_name)s, which Lockbox does not cover"),
    by_staff=True,
)
RENAME_RESOURCE = Proposal("rename_resource", _("rename the resource “%(was)s” to “%(name)s”"), by_staff=True)
CHANGE_RESOURCE = Proposal(
    "change_resource", _("change the resource “%(name)s” of %(tenant_name)s: %(changes)s"), by_staff=True
)
MAKE_STAFF_ANNOUNCED = Proposal("make_staff", _("make %(name)s a member of the provider’s staff"), by_staff=True)
GIVE_QUEUE_ROLE_ANNOUNCED = Proposal(
    "give_queue_role", _("give %(name)s the role “%(role)s” for %(service_name)s"), by_staff=True
)
LINK_ACCOUNTS_ANNOUNCED = Proposal(
    "link_accounts", _("count the accounts of %(name)s and %(other_name)s as one human"), by_staff=True
)
UNLINK_ACCOUNTS_ANNOUNCED = Proposal(
    "unlink_accounts", _("count the account of %(name)s as a separate human"), by_staff=True
)

SAVE_PLAN = Act(
    "save_plan",
    noun=Noun.PLAN,
    roles=frozenset({Role.STAFF}),
    title=_("Change a plan"),
    step_up=StepUp.DEPENDS,
    scope=Scope.PROVISION,
    events=(PLAN_CHANGED,),
    tried=_("to change a plan"),
    proposes=(CHANGE_PLAN,),
    done=_("The plan was saved."),
    doors=frozenset({Door.ADMIN, Door.API}),
)
MAKE_TRIAL_PLAN = Act(
    "make_trial_plan",
    noun=Noun.PLAN,
    roles=frozenset({Role.SYSTEM}),
    title=_("Make the plan of a trial"),
    events=(PLAN_CHANGED,),
    tried=_("to make the plan of a trial"),
    doors=frozenset({Door.COMMAND}),
)
SAVE_SERVICE = Act(
    "save_service",
    noun=Noun.SERVICE,
    roles=frozenset({Role.STAFF}),
    title=_("Change a service"),
    step_up=StepUp.DEPENDS,
    scope=Scope.PROVISION,
    events=(SERVICE_CHANGED,),
    tried=_("to change a service"),
    proposes=(
        ADD_SERVICE,
        CHANGE_SERVICE,
    ),
    done=_("The service was saved."),
    doors=frozenset({Door.ADMIN, Door.API}),
)
SAVE_RESOURCE = Act(
    "save_resource",
    noun=Noun.RESOURCE,
    roles=frozenset({Role.STAFF}),
    title=_("Change a resource"),
    step_up=StepUp.DEPENDS,
    scope=Scope.PROVISION,
    events=(RESOURCE_ADDED, RESOURCE_CHANGED),
    tried=_("to change a resource"),
    proposes=(
        ADD_RESOURCE,
        RENAME_RESOURCE,
        CHANGE_RESOURCE,
    ),
    done=_("The resource was saved."),
    doors=frozenset({Door.ADMIN, Door.API}),
)
CHECK_RESOURCE = Act(
    "check_resource",
    noun=Noun.RESOURCE,
    roles=frozenset({Role.STAFF}),
    title=_("Test this resource"),
    explains=_(
        "The service’s connector checks whether the resource can be reached. It opens and lists nothing, and it says "
        "what it did. The result is recorded in the tenant’s log."
    ),
    scope=Scope.PROVISION,
    events=(RESOURCE_CHECKED,),
    tried=_("to test a resource"),
    done=_("The resource was tested."),
    doors=frozenset({Door.ADMIN, Door.API}),
)
FIND_RESOURCES = Act(
    "find_resources",
    noun=Noun.TENANT,
    roles=frozenset({Role.STAFF}),
    title=_("Find resources"),
    explains=_(
        "The service’s connector lists the mailboxes or folders under the tenant’s own root that are no resources yet. "
        "It opens nothing in them. The tenant’s log records which names were shown."
    ),
    events=(RESOURCES_LISTED,),
    tried=_("to find resources"),
    done=_("The resources were added."),
    doors=frozenset({Door.ADMIN}),
)
MAKE_SAMPLE_FOLDER = Act(
    "make_sample_folder",
    noun=Noun.TENANT,
    roles=frozenset({Role.STAFF}),
    humans_only=True,
    title=_("Add a sample folder"),
    explains=_("This tenant has no content yet. A sample folder has a few made-up files."),
    events=(SAMPLE_MADE,),
    tried=_("to make a sample folder"),
    done=_("The sample folder is there, and it is a resource now."),
    doors=frozenset({Door.ADMIN}),
)
NOTE_CHECKS = Act(
    "note_checks",
    noun=Noun.RESOURCE,
    roles=frozenset({Role.SYSTEM}),
    events=(RESOURCE_CHECKED,),
    doors=frozenset({Door.TASK}),
    own_order="The system tests many resources in one run, and records only the results that changed.",
)
MAKE_STAFF = Act(
    "make_staff",
    noun=Noun.PERSON,
    roles=frozenset({Role.STAFF}),
    title=_("Make somebody a member of the provider’s staff"),
    step_up=StepUp.ALWAYS,
    events=(ROLE_GIVEN,),
    tried=_("to make somebody a member of the provider’s staff"),
    proposes=(MAKE_STAFF_ANNOUNCED,),
    done=_("The person is a member of the staff."),
    doors=frozenset({Door.ADMIN}),
)
GIVE_QUEUE_ROLE = Act(
    "give_queue_role",
    noun=Noun.PERSON,
    roles=frozenset({Role.STAFF}),
    title=_("Give somebody a role in a queue"),
    step_up=StepUp.DEPENDS,
    scope=Scope.PROVISION,
    events=(ROLE_GIVEN,),
    tried=_("to give somebody a role in a queue"),
    proposes=(GIVE_QUEUE_ROLE_ANNOUNCED,),
    done=_("The role was given."),
    doors=frozenset({Door.ADMIN, Door.API}),
)
TAKE_QUEUE_ROLE = Act(
    "take_queue_role",
    noun=Noun.PERSON,
    roles=frozenset({Role.STAFF}),
    title=_("Take somebody out of a queue"),
    step_up=StepUp.DEPENDS,
    scope=Scope.PROVISION,
    events=(ROLE_TAKEN,),
    tried=_("to take somebody out of a queue"),
    done=_("The role was taken away."),
    doors=frozenset({Door.ADMIN, Door.API}),
)
LINK_ACCOUNTS = Act(
    "link_accounts",
    noun=Noun.PERSON,
    roles=frozenset({Role.STAFF}),
    separate_from=(Party.SUBJECT,),
    title=_("Link two accounts"),
    step_up=StepUp.ALWAYS,
    events=(ACCOUNTS_LINKED,),
    tried=_("to link two accounts"),
    proposes=(LINK_ACCOUNTS_ANNOUNCED,),
    done=_("The two accounts count as one human from now on."),
    doors=frozenset({Door.ADMIN}),
)
UNLINK_ACCOUNTS = Act(
    "unlink_accounts",
    noun=Noun.PERSON,
    roles=frozenset({Role.STAFF}),
    separate_from=(Party.SUBJECT,),
    title=_("Unlink an account"),
    step_up=StepUp.ALWAYS,
    events=(ACCOUNTS_UNLINKED,),
    tried=_("to unlink an account"),
    proposes=(UNLINK_ACCOUNTS_ANNOUNCED,),
    done=_("The account counts as a separate human from now on."),
    doors=frozenset({Door.ADMIN}),
)
