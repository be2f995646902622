"""Declares the acts that give grant tokens, with which an engineer uses a window in the provider's application."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from audit_app.meanings import OTHER, Action, Family, Meaning, Severity
from requests_app.domain.actors import Role
from requests_app.domain.acts.declaration import Act, Door, Event, Noun, has
from requests_app.domain.scopes import Scope

GRANT_TOKEN_ISSUED = Event(
    "grant.token_issued",
    label=_("Grant token given"),
    sentence=_("{who} got a grant token for {application} through the window of {request}, valid until {until_at}"),
    variants=(
        (
            has("client"),
            _(
                "{who} got a grant token for {engineer} through the window of {request} in {application}, valid until "
                "{until_at}"
            ),
        ),
    ),
    siem=Meaning(Family.USER_ACCESS, OTHER, "Token issued", Severity.LOW, Action.ALLOWED),
    did=_("got a grant token"),
)

ISSUE_GRANT_TOKEN = Act(
    "issue_grant_token",
    noun=Noun.GRANT,
    roles=frozenset({Role.ENGINEER}),
    humans_only=True,
    scope=Scope.GRANTS_TOKEN,
    title=_("Get a grant token"),
    explains=_("A program of yours can use the token in the application until it ends, 5 minutes at most."),
    events=(GRANT_TOKEN_ISSUED,),
    tried=_("to get a grant token"),
    doors=frozenset({Door.PAGES, Door.API}),
    own_order="The rule about content accesses decides, and the entry is committed before the token is signed.",
)
RENEW_GRANT_TOKEN = Act(
    "renew_grant_token",
    noun=Noun.GRANT,
    is_public=True,
    scope=Scope.GUARD,
    events=(GRANT_TOKEN_ISSUED,),
    tried=_("to renew a grant token"),
    doors=frozenset({Door.API}),
    own_order="The former token leads to the row, and the rule about content accesses decides about its engineer.",
)
EXCHANGE_CODE = Act(
    "exchange_code",
    noun=Noun.GRANT,
    is_public=True,
    scope=Scope.GUARD,
    events=(GRANT_TOKEN_ISSUED,),
    tried=_("to get a grant token for a one-time code"),
    doors=frozenset({Door.API}),
    own_order="The code, which was just redeemed, leads to the row, and the rule about content accesses decides about "
    "its engineer.",
)
