"""Declares the acts on content under a window, through this product or through another service."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from audit_app.meanings import OTHER, Action, Family, Meaning, Severity
from requests_app.domain.actors import Role
from requests_app.domain.acts.declaration import Act, Door, Event, Mark, Noun, Tell, has
from requests_app.domain.scopes import Scope

CONTENT_LIST_ASKED = Event(
    "content.list_asked",
    label=_("Request for the list of names"),
    sentence=_("{who} requested the list of names in {resource_name}"),
    siem=Meaning(Family.DATASTORE, 4),
)
CONTENT_LISTED = Event(
    "content.listed",
    label=_("Names listed"),
    sentence=_("{who} was shown {names} in {resource_name}"),
    siem=Meaning(Family.DATASTORE, 8),
    mark=Mark.LISTED,
)
CONTENT_OPENED = Event(
    "content.opened",
    label=_("Item opened"),
    sentence=_("{who} opened {item} in {resource_name}"),
    variants=((has("part"), _("{who} opened an attachment of {item} in {resource_name}")),),
    siem=Meaning(Family.DATASTORE, 1, severity=Severity.LOW),
    mark=Mark.OPENED,
)
CONTENT_DOWNLOADED = Event(
    "content.downloaded",
    label=_("Item downloaded"),
    sentence=_("{who} downloaded {item} from {resource_name}"),
    variants=((has("part"), _("{who} downloaded an attachment of {item} in {resource_name}")),),
    siem=Meaning(Family.DATASTORE, OTHER, "Download", Severity.LOW),
    mark=Mark.OPENED,
)
CONTENT_FAILED = Event(
    "content.failed",
    label=_("Content could not be read"),
    sentence=_("{who} tried to access {item} in {resource_name}, but it could not be read"),
    variants=((has("item", ""), _("{who} tried to access {resource_name}, but it could not be read")),),
    siem=Meaning(Family.DATASTORE, 1, severity=Severity.LOW, has_failed=True),
    mark=Mark.TROUBLE,
)
CONTENT_CUT = Event(
    "content.cut",
    label=_("Reading interrupted"),
    sentence=_("{who} was reading {item} in {resource_name} when the window closed, and the reading was interrupted"),
    variants=(
        (
            has("cause", "unknown", and_also="resource_name"),
            _(
                "{who} used {gate} for {item} in {resource_name} when Lockbox could not check the window, and the "
                "connection was cut"
            ),
        ),
        (
            has("cause", "unknown"),
            _("{who} used {gate} for {item} when Lockbox could not check the window, and the connection was cut"),
        ),
        (
            has("gate", and_also="resource_name"),
            _("{who} used {gate} for {item} in {resource_name} when the window closed, and the connection was cut"),
        ),
        (has("gate"), _("{who} used {gate} for {item} when the window closed, and the connection was cut")),
    ),
    siem=Meaning(Family.DATASTORE, OTHER, "Cut off", Severity.MEDIUM, Action.DENIED),
)
CONTENT_ACCESS_ALLOWED = Event(
    "content.access_allowed",
    label=_("Access through another service allowed"),
    sentence=_("{who} allowed {engineer} to use another service to open {item} in {resource_name}"),
    variants=(
        # At a gate, the engineer's own browser asks, through the proxy in front of the tool.
        (has("gate", and_also="resource_name"), _("{who} used {gate} for {item} in {resource_name}")),
        (has("gate"), _("{who} used {gate} for {item}, which every window of this tool allows")),
        (
            has("action", "list"),
            _("{who} allowed {engineer} to use another service to list the items in {resource_name}"),
        ),
        (
            has("action", "view", and_also="item"),
            _("{who} allowed {engineer} to use another service to view {item} in {resource_name}"),
        ),
        (
            has("action", "view"),
            _("{who} allowed {engineer} to use another service to view something in {resource_name}"),
        ),
        (
            has("action", "download", and_also="item"),
            _("{who} allowed {engineer} to use another service to download {item} from {resource_name}"),
        ),
        (
            has("action", "download"),
            _("{who} allowed {engineer} to use another service to download something from {resource_name}"),
        ),
        (
            has("action", "act_as", and_also="item"),
            _("{who} allowed {engineer} to use another service to change {item} in {resource_name}"),
        ),
        (
            has("action", "act_as"),
            _("{who} allowed {engineer} to use another service to change something in {resource_name}"),
        ),
        (has("item", ""), _("{who} allowed {engineer} to use another service to open something in {resource_name}")),
    ),
    siem=Meaning(
        Family.DATASTORE,
        1,
        severity=Severity.LOW,
        action=Action.ALLOWED,
        by_action=(
            ("list", Meaning(Family.DATASTORE, 8, severity=Severity.LOW, action=Action.ALLOWED)),
            ("download", Meaning(Family.DATASTORE, OTHER, "Download", Severity.LOW, Action.ALLOWED)),
            ("act_as", Meaning(Family.DATASTORE, 2, severity=Severity.MEDIUM, action=Action.ALLOWED)),
        ),
    ),
    mark=Mark.LISTED,
)
#: What an application says about its own requests. The application is the provider's, so this is only its word.
CONTENT_REPORTED = Event(
    "content.reported",
    label=_("Accesses reported by the application"),
    sentence=_("{who} reported for {application}: {reported} by {engineer} in {resource_name}"),
    siem=Meaning(Family.DATASTORE, 1, severity=Severity.LOW),
    mark=Mark.LISTED,
)
CONTENT_REPORTED_OUTSIDE = Event(
    "content.reported_outside",
    label=_("Accesses that the window did not allow, reported by the application"),
    sentence=_(
        "{who} reported for {application}: {reported} by {engineer} in {resource_name}, which the window did not allow"
    ),
    variants=(
        (
            has("outside", "unknown_token"),
            _(
                "{who} reported for {application}: {reported} by {engineer} in {resource_name}, with a token that was "
                "never given to {engineer} for this window"
            ),
        ),
        (
            has("outside", "level"),
            _(
                "{who} reported for {application}: {reported} by {engineer} in {resource_name}, which the level of the "
                "window does not allow"
            ),
        ),
        (
            has("outside", "time"),
            _(
                "{who} reported for {application}: {reported} by {engineer} in {resource_name}, at a time when the "
                "window was not open"
            ),
        ),
    ),
    siem=Meaning(Family.DATASTORE, 1, severity=Severity.HIGH, has_failed=True),
    mark=Mark.TROUBLE,
)

WATCH = Act(
    "watch",
    noun=Noun.GRANT,
    roles=frozenset(
        {Role.APPROVER, Role.AUDITOR, Role.ADMINISTRATOR, Role.PROVIDER_APPROVER, Role.STAFF, Role.REQUESTER}
    ),
    title=_("See what is accessed through a window"),
    tried=_("to see what is accessed through a window"),
    doors=frozenset({Door.PAGES}),
    own_order="This act only reads. Only a refusal leaves an entry.",
)
LIST_ITEMS = Act(
    "list_items",
    noun=Noun.GRANT,
    roles=frozenset({Role.ENGINEER}),
    title=_("See the names in a resource"),
    events=(CONTENT_LIST_ASKED, CONTENT_LISTED),
    tried=_("to see the names in a resource"),
    doors=frozenset({Door.PAGES}),
    own_order="The rule about content accesses decides, and the entry is written before the content is read.",
)
OPEN_ITEM = Act(
    "open_item",
    noun=Noun.GRANT,
    roles=frozenset({Role.ENGINEER}),
    title=_("Open an item"),
    events=(CONTENT_OPENED, CONTENT_DOWNLOADED),
    tried=_("to open an item"),
    doors=frozenset({Door.PAGES}),
    own_order="The rule about content accesses decides, and the entry is written before the content is read.",
)
NOTE_OUTCOME = Act(
    "note_outcome",
    noun=Noun.GRANT,
    roles=frozenset({Role.ENGINEER}),
    events=(CONTENT_FAILED, CONTENT_CUT),
    doors=frozenset({Door.PAGES}),
    own_order="This act only records how the reading ended, and needs no open window.",
)
ALLOW_ACCESS = Act(
    "allow_access",
    noun=Noun.RESOURCE,
    is_public=True,
    title=_("Allow somebody to use another service to open content"),
    scope=Scope.EVALUATE,
    events=(CONTENT_ACCESS_ALLOWED,),
    tried=_("to allow somebody to use another service to open content"),
    doors=frozenset({Door.API}),
    own_order="This act answers a question about somebody else, and each answer leaves an entry.",
)
REPORT_ACCESSES = Act(
    "report_accesses",
    noun=Noun.GRANT,
    is_public=True,
    title=_("Report what happened in an application"),
    scope=Scope.GUARD,
    events=(CONTENT_REPORTED, CONTENT_REPORTED_OUTSIDE),
    tried=_("to report what happened in an application"),
    tells=(
        Tell("notify.reported_outside", ("customer", "administrators")),
        Tell("notify.reported_late", ("engineer", "provider_approvers", "customer")),
    ),
    doors=frozenset({Door.API}),
    own_order="One report is about many windows, and is written in the order of its numbers.",
)
