"""Declares the acts of the provider's own directory on the provider's people, and the groups that give roles."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from audit_app.meanings import Family, Meaning, Severity
from requests_app.domain.actors import Role
from requests_app.domain.acts.declaration import Act, Door, Event, Noun, Proposal, StepUp
from requests_app.domain.acts.members import (
    PERSON_CHANGED,
    PERSON_CREATED,
    PERSON_SWITCHED_OFF,
    ROLE_GIVEN,
    ROLE_TAKEN,
)
from requests_app.domain.scopes import Scope

GROUP_MAPPED = Event(
    "group_role.added",
    label=_("Group gives a role"),
    sentence=_("{who} mapped the directory’s group “{group}” to the role “{role}” for {service}"),
    siem=Meaning(Family.USER_ACCESS, 1, severity=Severity.MEDIUM),
)
GROUP_UNMAPPED = Event(
    "group_role.removed",
    label=_("Group no longer gives a role"),
    sentence=_("{who} removed the mapping of the directory’s group “{group}” to the role “{role}” for {service}"),
    siem=Meaning(Family.USER_ACCESS, 2, severity=Severity.LOW),
)

MAP_GROUP_ANNOUNCED = Proposal(
    "map_group",
    _("give the members of the directory’s group “%(group)s” the role “%(role)s” for %(service_name)s"),
    by_staff=True,
)
GIVE_GROUP_ROLE_ANNOUNCED = Proposal(
    "give_group_role",
    _(
        "give %(name)s the role “%(role)s” for %(service_name)s, because %(name)s is in the group “%(group)s” of the "
        "provider’s directory"
    ),
    by_staff=True,
    follows=True,
)

PROVISION_PROVIDER_PERSON = Act(
    "provision_provider_person",
    noun=Noun.PERSON,
    roles=frozenset({Role.STAFF}),
    title=_("Add one of the provider’s people from the directory"),
    step_up=StepUp.DEPENDS,
    scope=Scope.MEMBERS_PROVISION,
    events=(PERSON_CREATED,),
    tried=_("to add one of the provider’s people from the directory"),
    doors=frozenset({Door.API}),
)
CHANGE_PROVIDER_PERSON = Act(
    "change_provider_person",
    noun=Noun.PERSON,
    roles=frozenset({Role.STAFF}),
    title=_("Change the data of one of the provider’s people to match the directory"),
    step_up=StepUp.DEPENDS,
    scope=Scope.MEMBERS_PROVISION,
    events=(PERSON_CHANGED,),
    tried=_("to change the data of one of the provider’s people to match the directory"),
    doors=frozenset({Door.API}),
)
REMOVE_PROVIDER_PERSON = Act(
    "remove_provider_person",
    noun=Noun.PERSON,
    roles=frozenset({Role.STAFF}),
    title=_("Remove one of the provider’s people who is no longer in the directory"),
    step_up=StepUp.DEPENDS,
    scope=Scope.MEMBERS_PROVISION,
    events=(PERSON_SWITCHED_OFF,),
    tried=_("to remove one of the provider’s people who is no longer in the directory"),
    doors=frozenset({Door.API}),
)
PROVISION_PROVIDER_GROUP = Act(
    "provision_provider_group",
    noun=Noun.INSTALLATION,
    roles=frozenset({Role.STAFF}),
    title=_("Change the members of a group of the provider’s directory"),
    step_up=StepUp.DEPENDS,
    scope=Scope.MEMBERS_PROVISION,
    events=(ROLE_GIVEN, ROLE_TAKEN),
    tried=_("to change the members of a group of the provider’s directory"),
    proposes=(GIVE_GROUP_ROLE_ANNOUNCED,),
    doors=frozenset({Door.API}),
)
MAP_GROUP = Act(
    "map_group",
    noun=Noun.SERVICE,
    roles=frozenset({Role.STAFF}),
    humans_only=True,
    title=_("Give a role through a group"),
    step_up=StepUp.ALWAYS,
    events=(GROUP_MAPPED,),
    tried=_("to give a role through a group"),
    proposes=(MAP_GROUP_ANNOUNCED,),
    done=_("The members of the group get the role."),
    doors=frozenset({Door.ADMIN}),
)
UNMAP_GROUP = Act(
    "unmap_group",
    noun=Noun.SERVICE,
    roles=frozenset({Role.STAFF}),
    humans_only=True,
    title=_("Stop giving a role through a group"),
    explains=_(
        "The roles that people have only through this mapping end immediately. The access requests and windows of "
        "engineers end with their role, and roles that wait are withdrawn."
    ),
    events=(GROUP_UNMAPPED,),
    tried=_("to stop giving a role through a group"),
    done=_("The mapping is removed, and the roles that came only through it have ended."),
    doors=frozenset({Door.ADMIN}),
)
