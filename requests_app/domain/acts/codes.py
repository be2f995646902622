"""Declares the acts with one-time codes: an engineer's browser comes in at an application's or a tool's own host."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from audit_app.meanings import OTHER, Action, Family, Meaning, Severity
from requests_app.domain.actors import Role
from requests_app.domain.acts.declaration import Act, Door, Event, Mark, Noun
from requests_app.domain.scopes import Scope

GRANT_ENTERED = Event(
    "grant.entered",
    label=_("Engineer came in at the application"),
    sentence=_("{engineer} came in at {origin} through the window of {request}"),
    siem=Meaning(Family.USER_ACCESS, OTHER, "Enter", Severity.LOW, Action.ALLOWED),
)
GRANT_CODE_REUSED = Event(
    "grant.code_reused",
    label=_("One-time code used twice"),
    sentence=_(
        "A one-time code of {engineer} was used a second time at {origin}. It was refused, and what its first use gave "
        "has ended"
    ),
    siem=Meaning(Family.USER_ACCESS, OTHER, "Code reused", Severity.HIGH, Action.DENIED, has_failed=True),
    mark=Mark.TROUBLE,
    look=("refused", "triangle-alert"),
)

ISSUE_CODE = Act(
    "issue_code",
    noun=Noun.GRANT,
    roles=frozenset({Role.ENGINEER}),
    title=_("Go to the application"),
    tried=_("to go to the application"),
    doors=frozenset({Door.PAGES}),
    own_order="The rule about content accesses decides. A code gives nothing until it is redeemed, and the redemption "
    "leaves the entry.",
)
REDEEM_CODE = Act(
    "redeem_code",
    noun=Noun.GRANT,
    is_public=True,
    scope=Scope.GUARD,
    title=_("Use a one-time code"),
    events=(GRANT_ENTERED, GRANT_CODE_REUSED),
    tried=_("to use a one-time code"),
    doors=frozenset({Door.API}),
    own_order="The code leads to the row. A refused code is used up in the same transaction as the entry about it.",
)
