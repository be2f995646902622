"""Declares the acts on imports: many tenants and resources that come from one file."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from audit_app.meanings import CREATED, OTHER, Family, Meaning, Severity
from requests_app.domain.actors import Role
from requests_app.domain.acts.declaration import Act, Door, Event, Noun, Proposal, StepUp, Tell
from requests_app.domain.acts.installation import PLAN_CHANGED, RESOURCE_ADDED, RESOURCE_CHANGED, SERVICE_CHANGED
from requests_app.domain.acts.invitations import INVITATION_PREPARED, INVITATION_WITHDRAWN
from requests_app.domain.acts.members import (
    PERSON_CHANGED,
    PERSON_SWITCHED_OFF,
    PERSON_SWITCHED_ON,
    ROLE_GIVEN,
    ROLE_TAKEN,
)
from requests_app.domain.acts.proposals import PROPOSAL_MADE
from requests_app.domain.acts.tenants import TENANT_CHANGED, TENANT_CREATED, TENANT_SWITCHED_OFF, TENANT_SWITCHED_ON
from requests_app.domain.scopes import Scope

IMPORT_STARTED = Event(
    "import.started",
    label=_("Import started"),
    sentence=_("{who} started an import of {rows} rows from {file} (SHA-256 {sha})"),
    siem=CREATED,
)
IMPORT_FINISHED = Event(
    "import.finished",
    label=_("Import finished"),
    sentence=_(
        "The import of {file} by {who} is finished: {created} rows created, {changed} changed, {unchanged} "
        "unchanged, {waiting} waiting for confirmation, {refused} refused"
    ),
    siem=Meaning(Family.ENTITY, OTHER, "Finish", Severity.LOW),
)

IMPORT_ROWS = Proposal(
    "import_rows",
    _("make the changes of an import that need a second person (SHA-256 of the file: %(sha)s)"),
    by_staff=True,
)

START_IMPORT = Act(
    "start_import",
    noun=Noun.INSTALLATION,
    roles=frozenset({Role.STAFF, Role.SYSTEM}),
    title=_("Import tenants and resources"),
    step_up=StepUp.ALWAYS,
    scope=Scope.PROVISION,
    events=(IMPORT_STARTED,),
    tried=_("to import tenants and resources"),
    done=_("The import has started. This page shows how many rows are written."),
    doors=frozenset({Door.ADMIN, Door.API, Door.COMMAND}),
)
PROPOSE_IMPORT = Act(
    "propose_import",
    noun=Noun.IMPORT,
    roles=frozenset({Role.STAFF}),
    humans_only=True,
    title=_("Propose the changes that wait"),
    explains=_(
        "The operator started this import on the server. You propose the changes that wait, and another member of the "
        "staff must confirm them. Read all of them first. The affected customers get a mail."
    ),
    step_up=StepUp.ALWAYS,
    events=(PROPOSAL_MADE,),
    tried=_("to propose the changes of an import"),
    proposes=(IMPORT_ROWS,),
    done=_("The changes are proposed. Another member of the staff must confirm them within 7 days."),
    tells=(
        Tell("notify.staff_change", ("customer", "administrators")),
        Tell("notify.second_person", ("second_staff",)),
    ),
    doors=frozenset({Door.ADMIN}),
)
RUN_IMPORT = Act(
    "run_import",
    noun=Noun.IMPORT,
    roles=frozenset({Role.SYSTEM}),
    events=(
        PLAN_CHANGED,
        SERVICE_CHANGED,
        PERSON_CHANGED,
        PERSON_SWITCHED_OFF,
        PERSON_SWITCHED_ON,
        ROLE_GIVEN,
        ROLE_TAKEN,
        INVITATION_PREPARED,
        INVITATION_WITHDRAWN,
        TENANT_CREATED,
        TENANT_CHANGED,
        TENANT_SWITCHED_OFF,
        TENANT_SWITCHED_ON,
        RESOURCE_ADDED,
        RESOURCE_CHANGED,
        IMPORT_FINISHED,
        PROPOSAL_MADE,
    ),
    tells=(
        Tell("notify.staff_change", ("customer", "administrators")),
        Tell("notify.second_person", ("second_staff",)),
    ),
    doors=frozenset({Door.COMMAND, Door.TASK}),
)
