"""Answers the question "may this person do this to this resource now?" from facts that were read before. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from requests_app.domain import levels, policy
from requests_app.domain.errors import (
    Malformed,
    NotAllowed,
    NotCovered,
    NotFound,
    TenantNeeded,
    UnknownAction,
    WindowNotOpen,
)
from requests_app.domain.levels import Action
from requests_app.domain.policy import ContentAccessFacts

#: The longest values that a question may have: a mail address, a locator, an item of a resource.
SUBJECT_MAX, RESOURCE_MAX, ITEM_MAX = 320, 400, 1024
#: The longest values of all fields of a question, in their order.
_MOST = (60, SUBJECT_MAX, 60, 60, RESOURCE_MAX, 60, ITEM_MAX)
_ACTIONS = frozenset(map(str, Action))
#: The names for the type of the person. "engineer" is the product's word; other services say "user".
SUBJECT_TYPES = frozenset({"engineer", "user"})


#: The reason in a permission. The reason in a denial is the code of its refusal.
WINDOW_OPEN = "window_open"
_REFUSALS = (WindowNotOpen, NotCovered, NotAllowed, NotFound, TenantNeeded, UnknownAction)
REASONS = (WINDOW_OPEN, *(kind.code for kind in _REFUSALS))


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question to the decision point: a subject (id or email), an action, and a resource.

    The resource is given by its id, or by its external id, its locator or its name in the tenant. `service` is the key
    of the resource's service. `tenant` is an id or a short name, and may be empty. `item` is the asker's own name for
    the item that is opened. It is recorded, and does not change the answer.
    """

    subject_type: str
    subject: str
    action: str
    service: str
    resource: str
    tenant: str = ""
    item: str = ""

    def __post_init__(self) -> None:
        texts = (
            self.subject_type, self.subject, self.action, self.service, self.resource, self.tenant, self.item
        )  # fmt: skip
        if any(len(text) > most for text, most in zip(texts, _MOST, strict=True)) or not _is_storable("".join(texts)):
            raise Malformed


def _is_storable(text: str) -> bool:
    """Return whether a database column can store the text.

    PostgreSQL accepts no zero character, and UTF-8 can't encode one half of a surrogate pair.
    """
    if text.isascii():
        return "\0" not in text
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


@dataclass(frozen=True, kw_only=True)
class Window:
    """A grant that is not closed, in the resource's tenant.

    It is for the human whom the question is about. `is_in_scope` says whether the grant names the resource.
    """

    grant_id: UUID
    access_request_id: UUID
    reference: str
    level: str
    opens_at: datetime
    closes_at: datetime
    requester_human: UUID
    ticket_state: str | None
    is_engineer: bool
    is_in_scope: bool


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the database contains at one instant.

    A resource that the asker is not allowed to see counts as not found. The facts about the asker are read
    again here, because they may have changed since the asker was authenticated. These are: whether the account
    and the token still work, whether the token and its client still have the scope, and the asker's roles in
    the resource's tenant.
    """

    at: datetime
    asker_is_active: bool
    asker_is_staff: bool
    asker_has_scope: bool = True
    asker_roles: frozenset[str] = frozenset()
    person_id: UUID | None = None
    person_name: str = ""
    human_id: UUID | None = None
    tenant_id: UUID | None = None
    # Whether no resource can be found, because the question names no tenant.
    needs_tenant: bool = False
    resource_id: UUID | None = None
    resource_name: str = ""
    is_active: bool = False
    is_own_place: bool = False
    # A practice resource is never a tenant's own place, so no answer about it is a permission.
    is_practice: bool = False
    windows: list[Window] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A closed window that covered the resource of the question: when it was closed, why, and by whom."""

    grant_id: UUID
    access_request_id: UUID
    closed_at: datetime
    close_reason: str
    closed_by: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The answer: whether the action is permitted, and the reason.

    A permission names a window and the end of that window. It is valid until that end. `entry` is the number of the log
    entry about the answer, if there is one. In a denial, `ended` is the last closed window that covered the resource.
    """

    decision: bool
    reason: str
    at: datetime
    grant_id: UUID | None = None
    closes_at: datetime | None = None
    entry: int | None = None
    ended: Ended | None = None


def judge(question: Question, facts: Facts, *, at: datetime, sees_people: bool) -> tuple[Verdict, Window | None]:
    """Return the answer, and the window that permits the action or that is the reason for the denial.

    `sees_people` is False if the asker belongs to a customer, because a customer knows the provider's people only
    through their windows. Without a window, such an asker gets the same answer whether the person exists or not.
    """
    if question.action not in _ACTIONS:
        return Verdict(decision=False, reason=UnknownAction.code, at=at), None
    if facts.needs_tenant:
        # The answer is the same whether a resource has this external id, so nobody learns from it what exists.
        return Verdict(decision=False, reason=TenantNeeded.code, at=at), None
    is_known = facts.person_id is not None and question.subject_type in SUBJECT_TYPES
    if facts.resource_id is None or not is_known:
        return Verdict(decision=False, reason=NotFound.code, at=at), None
    if not facts.windows:
        return Verdict(decision=False, reason=WindowNotOpen.code if sees_people else NotFound.code, at=at), None
    # First the windows that name the resource, and among them the one that is open longest.
    ordered = sorted(facts.windows, key=lambda window: (window.is_in_scope, window.closes_at), reverse=True)
    codes = [_refusal(question, facts, window, at) for window in ordered]
    for window, code in zip(ordered, codes, strict=True):
        if code is None:
            yes = Verdict(
                decision=True, reason=WINDOW_OPEN, at=at, grant_id=window.grant_id, closes_at=window.closes_at
            )
            return yes, window
    nearest = ordered[0]
    return Verdict(decision=False, reason=str(codes[0]), at=at), nearest if nearest.is_in_scope else None


def may_have_ended(verdict: Verdict, window: Window | None) -> bool:
    """Return whether a closed window could explain this denial better, because the denial names no window."""
    return window is None and not verdict.decision and verdict.reason in (NotCovered.code, WindowNotOpen.code)


def after(verdict: Verdict, ended: Ended | None) -> Verdict:
    """Return the answer with the closed window `ended` as its reason. Without `ended`, return the answer unchanged."""
    return verdict if ended is None else replace(verdict, reason=WindowNotOpen.code, ended=ended)


def answer(
    question: Question, facts: Facts, ended: Ended | None, *, sees_people: bool
) -> tuple[Verdict, Window | None]:
    """Return what `judge` returns, with the closed window `ended` as the reason of a denial that it explains."""
    verdict, window = judge(question, facts, at=facts.at, sees_people=sees_people)
    return (after(verdict, ended), window) if may_have_ended(verdict, window) else (verdict, window)


def allows(question: Question, facts: Facts, window: Window, *, at: datetime) -> bool:
    """Return whether the rule allows the access through this window."""
    return question.action in levels.NEEDED and _refusal(question, facts, window, at) is None


def _refusal(question: Question, facts: Facts, window: Window, at: datetime) -> str | None:
    """Return the code of the error with which the rule for content accesses refuses this window.

    Return None if the rule allows the access.
    """
    look = ContentAccessFacts(
        is_engineer=window.is_engineer,
        is_requesters=window.requester_human == facts.human_id,
        opens_at=window.opens_at,
        closes_at=window.closes_at,
        ticket_state=window.ticket_state,
        is_own_place=facts.is_own_place,
        is_active=facts.is_active,
        is_in_scope=window.is_in_scope,
        granted=window.level,
        needed=levels.NEEDED[question.action],
    )
    try:
        policy.require_content_access(look, at=at)
    except NotAllowed as refusal:
        return refusal.code
    return None
