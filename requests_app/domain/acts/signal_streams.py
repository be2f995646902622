"""Declares the acts on signal streams, which tell other programs when windows are first used and when they end."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from audit_app.meanings import OTHER, Family, Meaning, Severity
from requests_app.domain.actors import Role
from requests_app.domain.acts.declaration import Act, Door, Event, Field, Kind, Noun, StepUp, Tell, has
from requests_app.domain.scopes import Scope

STREAM_CREATED = Event(
    "signal_stream.created",
    label=_("Signal stream created"),
    sentence=_("{who} created a signal stream to {place}"),
    variants=((has("place", ""), _("{who} created a signal stream that its receiver fetches")),),
    siem=Meaning(Family.ENTITY, 1, severity=Severity.MEDIUM),
)
STREAM_CHANGED = Event(
    "signal_stream.changed",
    label=_("Signal stream changed"),
    sentence=_("{who} changed the signal stream to {place}"),
    variants=((has("place", ""), _("{who} changed a signal stream that its receiver fetches")),),
    siem=Meaning(Family.ENTITY, 3, severity=Severity.MEDIUM),
)
STREAM_DELETED = Event(
    "signal_stream.deleted",
    label=_("Signal stream deleted"),
    sentence=_("{who} deleted the signal stream to {place}"),
    variants=((has("place", ""), _("{who} deleted a signal stream that its receiver fetched")),),
    siem=Meaning(Family.ENTITY, 4, severity=Severity.MEDIUM),
)
STREAM_STATUS_SET = Event(
    "signal_stream.status_set",
    label=_("Status of a signal stream changed"),
    sentence=_("{who} changed the status of a signal stream of {client_name} from {status_before} to {status}"),
    variants=(
        (
            has("because"),
            _("A signal stream of {client_name} was paused, because its receiver failed for several days"),
        ),
    ),
    siem=Meaning(Family.ENTITY, 3, severity=Severity.MEDIUM),
)
STREAM_VERIFIED = Event(
    "signal_stream.verified",
    label=_("Verification of a signal stream"),
    sentence=_("{who} requested a verification event on a signal stream"),
    siem=Meaning(Family.ENTITY, OTHER, "Tested"),
)
STREAM_FAILING = Event(
    "signal_stream.failing",
    label=_("Signal stream fails"),
    sentence=_("Events of a signal stream of {client_name} do not reach its receiver"),
    siem=Meaning(Family.ENTITY, OTHER, "Failing", Severity.HIGH, has_failed=True),
)

_OF_CLIENTS = frozenset({Role.ADMINISTRATOR})
_OF_PROVIDER = frozenset({Role.STAFF})
_CONFIGURED = (Field("description", Kind.TEXT, at_least=0, at_most=80, is_needed=False),)

CREATE_STREAM = Act(
    "create_stream",
    noun=Noun.TENANT,
    roles=_OF_CLIENTS,
    provider_roles=_OF_PROVIDER,
    title=_("Create a signal stream"),
    inputs=_CONFIGURED,
    scope=Scope.SSF_MANAGE,
    events=(STREAM_CREATED,),
    tried=_("to create a signal stream"),
    doors=frozenset({Door.API}),
)
CHANGE_STREAM = Act(
    "change_stream",
    noun=Noun.SIGNAL_STREAM,
    roles=_OF_CLIENTS,
    provider_roles=_OF_PROVIDER,
    title=_("Change a signal stream"),
    inputs=_CONFIGURED,
    scope=Scope.SSF_MANAGE,
    events=(STREAM_CHANGED,),
    tried=_("to change a signal stream"),
    doors=frozenset({Door.API}),
)
DELETE_STREAM = Act(
    "delete_stream",
    noun=Noun.SIGNAL_STREAM,
    roles=_OF_CLIENTS,
    provider_roles=_OF_PROVIDER,
    title=_("Delete a signal stream"),
    step_up=StepUp.ALWAYS,
    scope=Scope.SSF_MANAGE,
    events=(STREAM_DELETED,),
    tried=_("to delete a signal stream"),
    done=_("The signal stream was deleted."),
    doors=frozenset({Door.PAGES, Door.API, Door.ADMIN}),
)
SET_STREAM_STATUS = Act(
    "set_stream_status",
    noun=Noun.SIGNAL_STREAM,
    roles=_OF_CLIENTS,
    provider_roles=_OF_PROVIDER,
    title=_("Change the status of a signal stream"),
    step_up=StepUp.ALWAYS,
    inputs=(
        Field("status", Kind.CHOICE, choices=("enabled", "paused", "disabled")),
        Field("reason", Kind.TEXT, at_least=0, at_most=200, is_needed=False),
    ),
    scope=Scope.SSF_MANAGE,
    events=(STREAM_STATUS_SET,),
    tried=_("to change the status of a signal stream"),
    done=_("The status of the signal stream was changed."),
    doors=frozenset({Door.PAGES, Door.API, Door.ADMIN}),
)
VERIFY_STREAM = Act(
    "verify_stream",
    noun=Noun.SIGNAL_STREAM,
    roles=_OF_CLIENTS,
    provider_roles=_OF_PROVIDER,
    title=_("Request a verification event"),
    scope=Scope.SSF_MANAGE,
    events=(STREAM_VERIFIED,),
    tried=_("to request a verification event on a signal stream"),
    doors=frozenset({Door.API}),
)
GIVE_UP_STREAM = Act(
    "give_up_stream",
    noun=Noun.SIGNAL_STREAM,
    roles=frozenset({Role.SYSTEM}),
    events=(STREAM_STATUS_SET,),
    tells=(Tell("notify.stream_failing", ("administrators",)),),
    doors=frozenset({Door.TASK}),
)
REPORT_FAILING_STREAM = Act(
    "report_failing_stream",
    noun=Noun.SIGNAL_STREAM,
    roles=frozenset({Role.SYSTEM}),
    events=(STREAM_FAILING,),
    tells=(Tell("notify.stream_failing", ("administrators",)),),
    doors=frozenset({Door.TASK}),
)
