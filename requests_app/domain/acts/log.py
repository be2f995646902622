"""Declares the acts on a log: exports, evidence, retention, witnesses and repairs."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from audit_app.meanings import OTHER, Family, Meaning, Severity
from requests_app.domain import limits
from requests_app.domain.actors import Role
from requests_app.domain.acts.declaration import Act, Door, Event, Field, Kind, Mark, Noun, Proposal, StepUp, has, says
from requests_app.domain.scopes import Scope

LOG_EXPORTED = Event(
    "log.exported",
    label=_("Log exported"),
    sentence=_("{who} exported the log as {format}"),
    siem=Meaning(Family.LOG, 3, severity=Severity.LOW),
)
LOG_EVIDENCE_TAKEN = Event(
    "log.evidence_taken",
    label=_("Evidence downloaded"),
    sentence=_("{who} downloaded the evidence for the log"),
    variants=(
        (has("kind", "access_request"), _("{who} downloaded the evidence for {request}")),
        (has("kind", "period"), _("{who} downloaded the evidence for a period of the log")),
    ),
    siem=Meaning(Family.LOG, 3, severity=Severity.LOW),
)
LOG_KEY_ROTATED = Event(
    "log.key_rotated",
    label=_("Log key changed"),
    sentence=_("From this entry on, the log is signed with a new key: {new_key} replaces {old_keys}"),
    siem=Meaning(Family.LOG, OTHER, "Key rotated", Severity.MEDIUM),
)
LOG_TOMBSTONED = Event(
    "log.tombstoned",
    label=_("Damaged log closed and new log started"),
    sentence=_(
        "{who} closed the damaged log and started a new log. The damaged log had {signed_size} when it was last "
        "signed, and {found_size} when it was closed"
    ),
    siem=Meaning(Family.LOG, OTHER, "Shard closed", Severity.HIGH),
    mark=Mark.TROUBLE,
)
LOG_PRUNED = Event(
    "log.pruned",
    label=_("Old entries removed"),
    sentence=_("{who} removed the entries before number {to}, because they were older than {days}"),
    siem=Meaning(Family.LOG, 2, severity=Severity.MEDIUM),
)
LOG_HEAD_ADOPTED = Event(
    "log.head_adopted",
    label=_("Newest checkpoint confirmed by an operator"),
    sentence=_(
        "{who} continued the log from its newest checkpoint. The copy of this checkpoint outside the database was "
        "lost, and an operator confirmed that the checkpoint is right"
    ),
    siem=Meaning(Family.LOG, OTHER, "Head vouched for", Severity.HIGH),
)
LOG_POLICY_CHANGED = Event(
    "log.policy_changed",
    label=_("Rules of the log changed"),
    sentence=_("{who} changed the rules of the log"),
    variants=(
        (
            has("cosigned_within"),
            _(
                "{who} set this rule: a window opens only if a witness cosigned the log within the last "
                "{cosigned_within}"
            ),
        ),
        (says("cosigned_within"), _("{who} set this rule: a window opens even if no witness cosigned the log")),
        (has("log_retention_days"), _("{who} set this rule: entries of the log are stored for {retention}")),
        (says("log_retention_days"), _("{who} set this rule: entries of the log are stored permanently")),
    ),
    siem=Meaning(Family.LOG, OTHER, "Policy changed", Severity.MEDIUM),
)
WITNESS_ADDED = Event(
    "witness.added",
    label=_("Witness added"),
    sentence=_("{who} added the witness {name} at {url}"),
    siem=Meaning(Family.ENTITY, 1, severity=Severity.MEDIUM),
)
WITNESS_REMOVED = Event(
    "witness.removed",
    label=_("Witness removed"),
    sentence=_("{who} removed the witness {name}"),
    siem=Meaning(Family.ENTITY, 4, severity=Severity.MEDIUM),
)

EXPORT_LOG = Act(
    "export_log",
    noun=Noun.LOG,
    roles=frozenset({Role.APPROVER, Role.AUDITOR, Role.ADMINISTRATOR, Role.STAFF, Role.SYSTEM}),
    provider_roles=frozenset({Role.STAFF, Role.SYSTEM}),
    title=_("Export the log"),
    scope=Scope.LOG_READ,
    events=(LOG_EXPORTED,),
    tried=_("to export the log"),
    doors=frozenset({Door.PAGES, Door.API, Door.COMMAND}),
)
TAKE_EVIDENCE = Act(
    "take_evidence",
    noun=Noun.TENANT,
    roles=frozenset({Role.APPROVER, Role.AUDITOR, Role.ADMINISTRATOR, Role.STAFF, Role.SYSTEM}),
    title=_("Download evidence"),
    scope=Scope.LOG_READ,
    events=(LOG_EVIDENCE_TAKEN,),
    tried=_("to download evidence"),
    doors=frozenset({Door.PAGES, Door.API, Door.COMMAND}),
)
SET_LOG_RETENTION = Act(
    "set_log_retention",
    noun=Noun.TENANT,
    roles=frozenset({Role.ADMINISTRATOR}),
    title=_("Set how long the log is stored"),
    inputs=(
        Field(
            "days",
            Kind.NUMBER,
            at_least=limits.LOG_RETENTION_DAYS[0],
            at_most=limits.LOG_RETENTION_DAYS[1],
            is_needed=False,
        ),
    ),
    step_up=StepUp.ALWAYS,
    events=(LOG_POLICY_CHANGED,),
    tried=_("to set how long the log is stored"),
    proposes=(
        Proposal("set_log_retention", _("store the log for %(days)s days"), without=_("store the log permanently")),
    ),
    doors=frozenset({Door.PAGES}),
)
PRUNE_LOG = Act(
    "prune_log",
    noun=Noun.LOG,
    roles=frozenset({Role.SYSTEM}),
    title=_("Remove old entries"),
    events=(LOG_PRUNED,),
    tried=_("to remove old entries"),
    doors=frozenset({Door.TASK}),
    own_order="The list of entries to remove is made before the log is locked, and can be empty.",
)
SET_COSIGNING = Act(
    "set_cosigning",
    noun=Noun.TENANT,
    roles=frozenset({Role.ADMINISTRATOR}),
    title=_("Set whether windows need the cosignature of a witness"),
    inputs=(
        Field(
            "hours",
            Kind.NUMBER,
            at_least=limits.COSIGNED_WITHIN_HOURS[0],
            at_most=limits.COSIGNED_WITHIN_HOURS[1],
            is_needed=False,
        ),
    ),
    step_up=StepUp.ALWAYS,
    events=(LOG_POLICY_CHANGED,),
    tried=_("to set whether windows need the cosignature of a witness"),
    proposes=(
        Proposal(
            "set_cosigning",
            _("allow windows to open only if a witness cosigned the log within the last %(time)s"),
            without=_("allow windows to open even if no witness has cosigned the log"),
        ),
    ),
    doors=frozenset({Door.PAGES}),
)
ADD_WITNESS = Act(
    "add_witness",
    noun=Noun.TENANT,
    roles=frozenset({Role.ADMINISTRATOR}),
    title=_("Register a witness"),
    step_up=StepUp.ALWAYS,
    events=(WITNESS_ADDED,),
    tried=_("to register a witness"),
    proposes=(Proposal("add_witness", _("register the witness %(name)s at %(url)s")),),
    done=_("From the next checkpoint on, {name} is asked to cosign this log."),
    doors=frozenset({Door.PAGES}),
)
REMOVE_WITNESS = Act(
    "remove_witness",
    noun=Noun.TENANT,
    roles=frozenset({Role.ADMINISTRATOR}),
    title=_("Remove a witness"),
    step_up=StepUp.ALWAYS,
    events=(WITNESS_REMOVED,),
    tried=_("to remove a witness"),
    proposes=(Proposal("remove_witness", _("remove the witness %(name)s")),),
    done=_("The witness {name} was removed. It no longer cosigns this log."),
    doors=frozenset({Door.PAGES}),
)
TOMBSTONE = Act(
    "tombstone",
    noun=Noun.LOG,
    roles=frozenset({Role.STAFF, Role.SYSTEM}),
    title=_("Close the damaged log"),
    inputs=(Field("comment", Kind.TEXT, at_most=limits.COMMENT_MAX),),
    events=(LOG_TOMBSTONED,),
    tried=_("to close the damaged log"),
    done=_("The damaged log is closed. The log continues with a new part."),
    doors=frozenset({Door.ADMIN, Door.COMMAND}),
)
ADOPT_LOG_HEAD = Act(
    "adopt_log_head",
    noun=Noun.LOG,
    roles=frozenset({Role.SYSTEM}),
    title=_("Confirm the newest checkpoint"),
    inputs=(Field("comment", Kind.TEXT, at_most=limits.COMMENT_MAX),),
    events=(LOG_HEAD_ADOPTED,),
    tried=_("to confirm the newest checkpoint"),
    doors=frozenset({Door.COMMAND}),
)
