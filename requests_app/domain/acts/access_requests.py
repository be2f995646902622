"""Declares the acts on access requests and their windows."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from audit_app.meanings import OTHER, UPDATED, Action, Family, Meaning, Severity
from requests_app.domain.actors import Role
from requests_app.domain.acts.declaration import (
    Act,
    Comment,
    Door,
    Event,
    Mark,
    Moves,
    Noun,
    Party,
    Route,
    StepUp,
    Tell,
    has,
)
from requests_app.domain.acts.tickets import TICKET_ASSIGNED
from requests_app.domain.scopes import Scope
from requests_app.domain.states import PENDING, State, Timing

ACCESS_REQUEST_SUBMITTED = Event(
    "access_request.submitted",
    label=_("Access request submitted"),
    sentence=_("{who} asked to {ask} for {length}"),
    variants=(
        (
            has("enforced_by", and_also="authority"),
            _("{who} asked to {ask} for {length}, because {authority} demands it; {application} enforces the window"),
        ),
        (has("enforced_by"), _("{who} asked to {ask} for {length}; {application} enforces the window")),
        (has("reason", "legal_demand"), _("{who} asked to {ask} for {length}, because {authority} demands it")),
    ),
    siem=Meaning(Family.ENTITY, 1, severity=Severity.LOW),
    mark=Mark.ASKED,
    look=("active", "file-text"),
    did=_("asked for this access"),
)
ACCESS_REQUEST_APPROVED_BY_PROVIDER = Event(
    "access_request.approved_by_provider",
    label=_("Approved by the provider"),
    sentence=_("{who} approved {request} for {provider}; {tenant} is asked next"),
    variants=((has("state", "OPEN"), _("{who} approved {request} for {provider}; the window is open until {until}")),),
    siem=Meaning(Family.ENTITY, OTHER, "Approve", Severity.LOW, Action.ALLOWED, is_decision=True),
    mark=Mark.APPROVED,
    look=("active", "check"),
    did=_("approved on the provider’s behalf"),
)
ACCESS_REQUEST_DENIED_BY_PROVIDER = Event(
    "access_request.denied_by_provider",
    label=_("Denied by the provider"),
    sentence=_("{who} denied {request} for {provider}"),
    siem=Meaning(Family.ENTITY, OTHER, "Deny", Severity.INFORMATIONAL, Action.DENIED, is_decision=True),
    mark=Mark.DENIED,
    look=("refused", "x"),
    did=_("denied on the provider’s behalf"),
)
ACCESS_REQUEST_APPROVED_BY_CUSTOMER = Event(
    "access_request.approved_by_customer",
    label=_("Approved by the customer"),
    sentence=_("{who} approved {request} for {tenant}; the window is open until {until}"),
    siem=Meaning(Family.ENTITY, OTHER, "Approve", Severity.LOW, Action.ALLOWED, is_decision=True),
    mark=Mark.APPROVED,
    look=("open", "check"),
    did=_("approved on the customer’s behalf"),
)
ACCESS_REQUEST_DENIED_BY_CUSTOMER = Event(
    "access_request.denied_by_customer",
    label=_("Denied by the customer"),
    sentence=_("{who} denied {request} for {tenant}"),
    siem=Meaning(Family.ENTITY, OTHER, "Deny", Severity.INFORMATIONAL, Action.DENIED, is_decision=True),
    mark=Mark.DENIED,
    look=("refused", "x"),
    did=_("denied on the customer’s behalf"),
)
ACCESS_REQUEST_WITHDRAWN = Event(
    "access_request.withdrawn",
    label=_("Access request withdrawn"),
    sentence=_("{who} withdrew {request}"),
    variants=((has("cause"), _("{request} was withdrawn, because {cause}")),),
    siem=UPDATED,
    mark=Mark.OVER,
    look=("over", "undo-2"),
    did=_("withdrew the access request"),
)
ACCESS_REQUEST_EXPIRED = Event(
    "access_request.expired",
    label=_("Access request expired"),
    sentence=_("Nobody decided on {request} in time, so it expired"),
    siem=UPDATED,
    mark=Mark.OVER,
    look=("over", "timer-off"),
)
GRANT_RELEASED = Event(
    "grant.released",
    label=_("Window closed by the engineer"),
    sentence=_("{who} closed their own window of {request} early"),
    siem=Meaning(Family.USER_ACCESS, 2),
    mark=Mark.CLOSED,
    look=("sealed", "lock"),
    did=_("closed their own window early"),
)
GRANT_REVOKED = Event(
    "grant.revoked",
    label=_("Window closed early"),
    sentence=_("{who} closed the window of {request} early"),
    variants=((has("cause"), _("The window of {request} was closed, because {cause}")),),
    siem=Meaning(Family.USER_ACCESS, 2, severity=Severity.LOW),
    mark=Mark.CLOSED,
    look=("sealed", "lock"),
    did=_("closed the window early"),
)
GRANT_CLOSED = Event(
    "grant.closed",
    label=_("Window closed as planned"),
    sentence=_("The window of {request} closed as planned"),
    siem=Meaning(Family.USER_ACCESS, 2),
    mark=Mark.CLOSED,
    look=("sealed", "lock"),
)

SUBMIT = Act(
    "submit",
    noun=Noun.TICKET,
    title=_("Ask for access"),
    roles=frozenset({Role.ENGINEER}),
    moves=Moves(sources=frozenset(), targets=(State.PENDING_PROVIDER,)),
    scope=Scope.REQUESTS_SUBMIT,
    events=(ACCESS_REQUEST_SUBMITTED, TICKET_ASSIGNED),
    tried=_("to ask for access"),
    done=_("Your access request {reference} is submitted."),
    tells=(Tell("notify.decide_as_provider", ("provider_approvers",)),),
    doors=frozenset({Door.PAGES, Door.API}),
    own_order="The engineer is locked first. A law-enforcement demand can replace the ticket. "
    "If nobody has the ticket, the engineer takes it.",
    own_doors="The engineer chooses resources and gives reasons, in several steps.",
)
APPROVE_AS_PROVIDER = Act(
    "approve_as_provider",
    noun=Noun.ACCESS_REQUEST,
    separate_from=(Party.REQUESTER, Party.DECIDER),
    comment=Comment.OPTIONAL,
    title=_("Approve"),
    roles=frozenset({Role.PROVIDER_APPROVER}),
    moves=Moves(
        sources=frozenset({State.PENDING_PROVIDER}),
        targets=(State.PENDING_CUSTOMER, State.OPEN),
        timing=Timing.BEFORE,
        is_decision=True,
    ),
    step_up=StepUp.ALWAYS,
    scope=Scope.DECISIONS_WRITE,
    events=(ACCESS_REQUEST_APPROVED_BY_PROVIDER,),
    tried=_("to approve an access request on the provider’s behalf"),
    tells=(
        Tell("notify.decide_as_customer", ("customer",)),
        Tell("notify.window_opened", ("engineer", "provider_approvers", "customer")),
    ),
    doors=frozenset({Door.PAGES, Door.API}),
)
DENY_AS_PROVIDER = Act(
    "deny_as_provider",
    noun=Noun.ACCESS_REQUEST,
    separate_from=(Party.REQUESTER, Party.DECIDER),
    comment=Comment.NEEDED,
    title=_("Deny"),
    roles=frozenset({Role.PROVIDER_APPROVER}),
    moves=Moves(
        sources=frozenset({State.PENDING_PROVIDER}), targets=(State.DENIED,), timing=Timing.BEFORE, is_decision=True
    ),
    scope=Scope.DECISIONS_WRITE,
    events=(ACCESS_REQUEST_DENIED_BY_PROVIDER,),
    tried=_("to deny an access request on the provider’s behalf"),
    tells=(Tell("notify.access_request_ended", ("engineer", "provider_approvers")),),
    doors=frozenset({Door.PAGES, Door.API}),
)
APPROVE_AS_CUSTOMER = Act(
    "approve_as_customer",
    noun=Noun.ACCESS_REQUEST,
    separate_from=(Party.REQUESTER, Party.DECIDER),
    comment=Comment.OPTIONAL,
    title=_("Approve"),
    roles=frozenset({Role.APPROVER}),
    moves=Moves(
        sources=frozenset({State.PENDING_CUSTOMER}), targets=(State.OPEN,), timing=Timing.BEFORE, is_decision=True
    ),
    step_up=StepUp.ALWAYS,
    scope=Scope.DECISIONS_WRITE,
    events=(ACCESS_REQUEST_APPROVED_BY_CUSTOMER,),
    tried=_("to approve an access request on the customer’s behalf"),
    tells=(Tell("notify.window_opened", ("engineer", "provider_approvers", "customer")),),
    doors=frozenset({Door.PAGES, Door.API}),
)
DENY_AS_CUSTOMER = Act(
    "deny_as_customer",
    noun=Noun.ACCESS_REQUEST,
    separate_from=(Party.REQUESTER, Party.DECIDER),
    comment=Comment.OPTIONAL,
    title=_("Deny"),
    roles=frozenset({Role.APPROVER}),
    moves=Moves(
        sources=frozenset({State.PENDING_CUSTOMER}), targets=(State.DENIED,), timing=Timing.BEFORE, is_decision=True
    ),
    scope=Scope.DECISIONS_WRITE,
    events=(ACCESS_REQUEST_DENIED_BY_CUSTOMER,),
    tried=_("to deny an access request on the customer’s behalf"),
    tells=(Tell("notify.access_request_ended", ("engineer", "provider_approvers", "customer")),),
    doors=frozenset({Door.PAGES, Door.API}),
)
WITHDRAW = Act(
    # The system also does this if a ticket is closed, a person is switched off, or a role is taken away.
    "withdraw",
    noun=Noun.ACCESS_REQUEST,
    comment=Comment.OPTIONAL,
    title=_("Withdraw"),
    roles=frozenset({Role.REQUESTER, Role.SYSTEM}),
    moves=Moves(sources=PENDING, targets=(State.WITHDRAWN,), timing=Timing.BEFORE),
    scope=Scope.REQUESTS_SUBMIT,
    events=(ACCESS_REQUEST_WITHDRAWN,),
    tried=_("to withdraw an access request"),
    done=_("The access request is withdrawn."),
    tells=(Tell("notify.access_request_ended", ("engineer", "provider_approvers", "customer")),),
    doors=frozenset({Door.PAGES, Door.API}),
    route=Route("withdraw", "Withdraw an access request"),
)
EXPIRE = Act(
    "expire",
    noun=Noun.ACCESS_REQUEST,
    title=_("Expire"),
    roles=frozenset({Role.SYSTEM}),
    moves=Moves(sources=PENDING, targets=(State.EXPIRED,), timing=Timing.AFTER),
    events=(ACCESS_REQUEST_EXPIRED,),
    tells=(Tell("notify.access_request_ended", ("engineer", "provider_approvers", "customer")),),
    doors=frozenset({Door.TASK}),
)
RELEASE = Act(
    "release",
    noun=Noun.ACCESS_REQUEST,
    comment=Comment.OPTIONAL,
    title=_("Close my window"),
    roles=frozenset({Role.REQUESTER}),
    moves=Moves(sources=frozenset({State.OPEN}), targets=(State.CLOSED,), timing=Timing.BEFORE, closes="released"),
    scope=Scope.GRANTS_CLOSE,
    # The application with the engineer's grant token (`release_with_token`).
    provider_scope=Scope.GUARD,
    events=(GRANT_RELEASED,),
    tried=_("to close their own window"),
    done=_("The window is closed. Thank you for closing it early."),
    tells=(Tell("notify.window_closed", ("engineer", "provider_approvers", "customer")),),
    doors=frozenset({Door.PAGES, Door.API}),
    route=Route("release", "Close your own window early"),
)
REVOKE = Act(
    # The system also does this for the same reasons as "withdraw", if the window is already open.
    "revoke",
    noun=Noun.ACCESS_REQUEST,
    comment=Comment.OPTIONAL,
    title=_("Close now"),
    roles=frozenset({Role.APPROVER, Role.PROVIDER_APPROVER, Role.STAFF, Role.SYSTEM}),
    moves=Moves(sources=frozenset({State.OPEN}), targets=(State.CLOSED,), timing=Timing.BEFORE, closes="revoked"),
    scope=Scope.GRANTS_CLOSE,
    events=(GRANT_REVOKED,),
    tried=_("to close a window"),
    done=_("The window is closed. {who} can no longer {act}. {link}"),
    tells=(Tell("notify.window_closed", ("engineer", "provider_approvers", "customer")),),
    doors=frozenset({Door.PAGES, Door.API, Door.ADMIN}),
    route=Route("revoke", "Close a window immediately"),
)
CLOSE = Act(
    "close",
    noun=Noun.ACCESS_REQUEST,
    title=_("Close"),
    roles=frozenset({Role.SYSTEM}),
    moves=Moves(sources=frozenset({State.OPEN}), targets=(State.CLOSED,), timing=Timing.AFTER, closes="elapsed"),
    events=(GRANT_CLOSED,),
    tells=(Tell("notify.window_closed", ("engineer", "provider_approvers", "customer")),),
    doors=frozenset({Door.TASK}),
)
