"""Decides on each request to a web tool, and records the decision before anybody learns it.

The decision lane (`_decision_lane`) answers all requests that wait at the same moment together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, ClassVar
from uuid import UUID, uuid4

from django.conf import settings
from django.db import DatabaseError, InterfaceError

from audit_app import recorder
from requests_app.domain import evaluation, gate_rules, limits
from requests_app.domain.actors import Actor, Side
from requests_app.domain.acts.content import CONTENT_ACCESS_ALLOWED
from requests_app.domain.acts.declaration import Act
from requests_app.domain.acts.gates import PASS_GATE
from requests_app.domain.acts.refusals import ACT_REFUSED
from requests_app.domain.deciding import Asked, Decided
from requests_app.domain.errors import DomainError, NotFound
from requests_app.domain.evaluation import Facts, Question, Verdict, Window
from requests_app.domain.gate_rules import Match, Reason
from requests_app.domain.link_templates import origin_of
from requests_app.models import ContentAccess, GateProxy, GateSession, OneTimeCode, Resource, Service
from requests_app.models.evaluation import EvaluationQuery
from requests_app.models.evaluations import Found
from requests_app.models.gate_calls import GateFacts, GateQuery, GateWindow, Tool, read_gate_calls
from requests_app.models.token_keys import TokenKey, keys_of, signed, signing
from requests_app.operations import _allowing
from requests_app.operations._change import Step, security_log
from requests_app.operations._decision_lane import DecisionLane
from requests_app.operations._waiting_questions import CallWithoutToken, OpenQuestion
from requests_app.platform import telemetry
from requests_app.platform.lanes import GaveUp, LaneFull
from requests_app.queries.gates import Asker

#: How long the identity that a gate tells its tool is valid, and what kind of token it is.
IDENTITY_FOR, IDENTITY_TYPE = timedelta(seconds=60), "lockbox-identity+jwt"
#: Why a request is refused without asking for a window. They are no codes of entries.
NO_SESSION, OTHER_HOST, UNAVAILABLE = "no_session", "other_host", "unavailable"
UNKNOWN_PROXY = "unknown_proxy"


@dataclass(frozen=True, kw_only=True)
class Pass:
    """The request may reach the tool now. Its entry is committed."""

    grant_id: UUID
    closes_at: datetime
    allows_stream: bool
    tenant_id: UUID
    #: The row of the access, and for how many seconds from the decision on the window is open.
    access_id: UUID
    seconds: float
    #: A signed token that tells the tool who asks, or "" if the tool does not want to know.
    identity: str = ""


@dataclass(frozen=True)
class Refusal:
    """The request may not reach the tool. `reason` is a code."""

    reason: str

    @property
    def needs_session(self) -> bool:
        return self.reason == NO_SESSION


#: The proxy is not known, or its tool has no gate any more.
_UNKNOWN_PROXY = Refusal(UNKNOWN_PROXY)


@dataclass(frozen=True, kw_only=True)
class GateRequest:
    """A request to a web tool.

    `target` is the path with the query exactly as the tool will get it, and `headers` has the names in small letters.
    With `cuts`, the caller ends the connection with its window. If a tool has an upstream address, only such a caller
    may pass on streams of events and WebSockets.
    """

    host: str
    method: str
    target: str
    headers: Mapping[str, str]
    cuts: bool = False


@dataclass(frozen=True, kw_only=True)
class _Asking:
    """A request of a session, with the facts about its window that never change."""

    tool: Tool
    window: GateWindow
    item: str
    proxy_id: UUID | None = None
    proxy_asked_at: datetime | None = None
    match: Match | None = None
    resource_id: UUID | None = None
    #: Why the rules refuse it, or "".
    refused: str = ""

    @property
    def is_shared(self) -> bool:
        """Whether its path names no resource. It is judged with the window's first one."""
        return self.match is not None and self.match.resource is None

    @property
    def needs_resource(self) -> bool:
        """Whether its resource is not known yet."""
        return not self.refused and self.resource_id is None

    @property
    def question(self) -> Question:
        assert self.match is not None
        return Question(
            subject_type="engineer",
            subject=str(self.window.person_id),
            action=self.match.rule.action,
            service=self.tool.key,
            resource=str(self.resource_id),
            tenant=str(self.window.tenant_id),
            item=self.item,
        )


#: Finds no resource.
_NOTHING = Question(subject_type="engineer", subject="", action="", service="", resource="")
_ASKED = Asked(token_hash="", question=_NOTHING, is_access=True)
#: With these, nobody knows whether the request may pass.
_UNAVAILABLE = (GaveUp, LaneFull, DomainError, DatabaseError, InterfaceError)


class GateCall(CallWithoutToken):
    """A request that the decision lane decides on. When the future is done, `found` returns the answer."""

    def __init__(self, request: GateRequest, query: GateQuery) -> None:
        super().__init__([_ASKED])
        self.request, self.query = request, query
        self.facts: GateFacts | None = None
        #: The keys that can sign the identity of the engineer, if the tool wants to know it.
        self.keys: Sequence[TokenKey] = ()
        self._refusal: Refusal | None = None
        self._question: _Asked | None = None
        self._failure: Exception | None = None

    @staticmethod
    def open_all(calls: Sequence[GateCall]) -> list[OpenQuestion]:
        asking = list[tuple[GateCall, _Asking]]()
        for call, facts in zip(calls, read_gate_calls([call.query for call in calls]), strict=True):
            call.facts = facts
            try:
                found = _asking(call.request, call.query, facts)
            except Exception as error:
                call.refuse(error)
                continue
            if isinstance(found, Refusal):
                call._refusal = found
                call.decide(0, Decided())
            else:
                asking.append((call, found))
        elsewhere = _resources_of([found for _call, found in asking if found.needs_resource])
        keys = keys_of() if any(found.tool.gate_identity for _call, found in asking) else ()
        questions = list[OpenQuestion]()
        for call, found in asking:
            call.keys = keys
            call._question = _asked(call, _with_resource(found, elsewhere))
            questions.append(call._question)
        return questions

    def decide_here(self) -> None:
        """Read who asks in this thread, and wait for the answer of the decision lane."""
        try:
            for question in self.open_all([self]):
                LANE.answer(question)
        except _UNAVAILABLE as error:
            # The decision lane may still write the entry, but nobody passes.
            self._failure = error

    @property
    def application(self) -> str:
        """The name of the tool, or ""."""
        return "" if self.facts is None or self.facts.tool is None else self.facts.tool.application

    @property
    def has_asker(self) -> bool:
        """Whether the request has a session of the tool, or a token for it."""
        return self.facts is not None and self.facts.asker_id is not None

    @property
    def needs_thread(self) -> bool:
        """Whether `found` uses the database."""
        question = self._question
        if question is None or question.verdict is None:
            return False
        asking, verdict = question.of, question.verdict
        needs_key = verdict.decision and asking.tool.gate_identity and signing(self.keys, verdict.at) is None
        return _is_due(asking, verdict.at) or needs_key

    def found(self) -> Pass | Refusal:
        """Return the answer. Raise an error only for a bug."""
        found = self._found()
        if found != _UNKNOWN_PROXY:
            telemetry.happened(telemetry.DECISION, "forward_auth", "permit" if isinstance(found, Pass) else "deny")
        return found

    def _found(self) -> Pass | Refusal:
        if self._refusal is not None:
            return self._refusal
        try:
            if self._failure is not None:
                raise self._failure
            [decided] = self.future.result(0)
            asked = self._question
            refused = decided.refused or (None if asked is None else asked.refused)
            if refused is not None:
                raise refused
            assert asked is not None
            assert asked.verdict is not None
            _note_asked(asked.of, asked.verdict.at)
            if asked.access_id is None:
                return Refusal(asked.verdict.reason)
            return _passed(asked.of, asked.verdict, asked.access_id, self.keys)
        except _UNAVAILABLE as error:
            known = {} if self.facts is None or self.facts.tool is None else {"service": self.facts.tool.key}
            security_log.error("gate.unavailable", **known, error=type(error).__name__)
            return Refusal(UNAVAILABLE)


def judge(
    service: Service,
    *,
    host: str,
    method: str,
    target: str,
    headers: Mapping[str, str],
    session: Asker | None,
    cuts: bool = False,
) -> Pass | Refusal:
    """Decide on one request to the web tool `service`. When this returns, the decision is committed.

    `GateRequest` describes the request. This never raises an error: what it can't decide or can't record is refused.
    """
    person, grant = (None, None) if session is None else (session.person_id, session.grant_id)
    request = GateRequest(host=host, method=method, target=target, headers=headers, cuts=cuts)
    call = GateCall(request, GateQuery(service=service.pk, person=person, grant=grant))
    call.decide_here()
    return call.found()


def gate_session(secret: str) -> Callable[[OneTimeCode, datetime], None]:
    """Return a function that stores a browser's session with this secret, when its code is redeemed (`redeem_code`)."""

    def keep(code: OneTimeCode, at: datetime) -> None:
        GateSession.objects.create(
            secret_hash=sha256(secret.encode()).hexdigest(),
            code=code,
            grant_id=code.grant_id,
            person_id=code.person_id,
            signed_in=code.person.get_session_auth_hash(),
            made_at=at,
        )

    return keep


def is_host_of(service: Service | Tool, host: str) -> bool:
    """Return whether this is the host of the tool, with its port if the address of the tool has one."""
    return host.lower() == origin_of(service.link_template).partition("://")[2].lower()


def _asking(request: GateRequest, query: GateQuery, facts: GateFacts) -> _Asking | Refusal:
    tool, window = facts.tool, facts.window
    if tool is None or (query.proxy is not None and not (tool.gate_rules and tool.is_active)):
        return _UNKNOWN_PROXY
    if not is_host_of(tool, request.host):
        return _without_entry(OTHER_HOST, tool, facts.asker_id)
    if facts.asker_id is None:
        return Refusal(NO_SESSION)
    if window is None:
        # The window is for another tool, or for another engineer.
        return _without_entry(NO_SESSION, tool, facts.asker_id)
    of: dict[str, Any] = {
        "tool": tool, "window": window, "proxy_id": facts.proxy_id, "proxy_asked_at": facts.proxy_asked_at,
    }  # fmt: skip
    try:
        asked = gate_rules.asked(request.method, request.target, request.headers)
    except gate_rules.Refused as refusal:
        # The path is not fit for a log as it is.
        shown = f"{request.method} {request.target.partition('?')[0]}".encode("unicode_escape").decode()
        return _Asking(**of, item=shown[: evaluation.ITEM_MAX], refused=refusal.reason)
    try:
        rules = gate_rules.rules_in(tool.gate_rules)
        match = gate_rules.match(rules, asked, opens=request.cuts or not tool.gate_upstream)
    except gate_rules.Refused as refusal:
        return _Asking(**of, item=asked.item, refused=refusal.reason)
    if match.tenant not in (None, window.tenant_slug):
        return _Asking(**of, item=asked.item, refused=Reason.OTHER_TENANT)
    return _Asking(**of, item=asked.item, match=match, resource_id=_resource_in(window, match))


def _without_entry(reason: str, tool: Tool, who: UUID | None) -> Refusal:
    """Refuse a request that belongs to no tenant's log."""
    security_log.warning("gate.refused", service=tool.key, code=reason, person=str(who or ""))
    return Refusal(reason)


def _resource_in(window: GateWindow, match: Match) -> UUID | None:
    """Return the window's resource that the path names. A path that names none is judged with the window's first."""
    found = (key for key, external_id in window.resources if match.resource in (None, external_id))
    return next(found, None)


#: The keys of resources by tenant, service and external id.
_Elsewhere = Mapping[tuple[UUID, UUID, str], UUID]


def _resources_of(asking: Sequence[_Asking]) -> _Elsewhere:
    """Return the resources that are named by these requests, and are not in their windows."""
    named = {(each.window.tenant_id, each.tool.pk, each.match.resource) for each in asking if each.match is not None}
    if not named:
        return {}
    tenants, services, external_ids = zip(*named, strict=True)
    rows = Resource.objects.filter(tenant__in=tenants, service__in=services, external_id__in=external_ids)
    found = rows.order_by().values_list("tenant", "service", "external_id", "pk")
    return {(tenant, service, external_id): key for tenant, service, external_id, key in found}


def _with_resource(asking: _Asking, elsewhere: _Elsewhere) -> _Asking:
    if not asking.needs_resource:
        return asking
    assert asking.match is not None
    key = elsewhere.get((asking.window.tenant_id, asking.tool.pk, asking.match.resource or ""))
    # The entry must not say what a rule would have allowed with another resource.
    return replace(asking, match=None, refused=NotFound.code) if key is None else replace(asking, resource_id=key)


def _no_quota(*_: Any) -> Any:
    raise AssertionError("A gate has no quota.")


#: The decision lane of this process. The decision point's door asks it too, and its questions say how to take places of
#: a quota.
LANE = DecisionLane(_no_quota)


@dataclass(slots=True, kw_only=True, eq=False)
class _Asked(OpenQuestion):
    """A request that waits for its answer. If the rules refuse it, only its entry is written."""

    act: ClassVar[Act] = PASS_GATE
    of: _Asking
    access_id: UUID | None = None

    def judged(self, found: Found) -> tuple[Verdict, Window | None]:
        self.access_id = None
        if self.of.refused:
            return Verdict(decision=False, reason=self.of.refused, at=found.facts.at), None
        return evaluation.judge(self.of.question, found.facts, at=found.facts.at, sees_people=True)

    def drafted(
        self, found: Found, verdict: Verdict, window: Window | None
    ) -> tuple[recorder.Witnessed, ContentAccess | None]:
        current = Step(actor=self.actor, act=self.act)
        current.at, current.tenant_id = verdict.at, self.of.window.tenant_id
        current.correlation_id = self.of.window.access_request_id
        current.subject_type, current.subject_id = "grant", str(self.of.window.pk)
        if window is None or not verdict.decision:
            return _refused(current, self.of, verdict.reason, None if self.of.refused else found.facts), None
        entry, access = _allowed(current, self.of, found.facts, window)
        self.access_id = access.pk
        return entry, access


def _asked(call: GateCall, asking: _Asking) -> _Asked:
    window = asking.window
    actor = Actor(
        side=Side.PROVIDER,
        door="api",
        name=window.person_name,
        person_id=window.person_id,
        human_id=window.human_id,
        email=window.email,
    )
    question = _NOTHING if asking.refused else asking.question
    # Another window of the same engineer does not count: the session is for this one.
    query = EvaluationQuery(question, window.person_id, None, sole=window.pk, log=window.tenant_id)
    return _Asked(call=call, place=0, actor=actor, quota=None, query=query, of=asking)


def _is_due(asking: _Asking, at: datetime) -> bool:
    """Return whether the time of the proxy's last question is to be stored."""
    asked_at = asking.proxy_asked_at
    return asking.proxy_id is not None and (asked_at is None or asked_at <= at - limits.GATE_ASKED_GRAIN)


def _note_asked(asking: _Asking, at: datetime) -> None:
    """Store about when the proxy last asked. The decision is committed already, so a failure changes nothing."""
    if asking.proxy_id is None or not _is_due(asking, at):
        return
    try:
        GateProxy.objects.filter(pk=asking.proxy_id).update(asked_at=at)
    except (DatabaseError, InterfaceError) as error:
        security_log.warning("gate.asked_at_not_stored", error=type(error).__name__)


def _allowed(current: Step, asking: _Asking, facts: Facts, window: Window) -> tuple[recorder.Witnessed, ContentAccess]:
    question = asking.question
    access = _allowing.row_of(question, facts, window, at=current.at)
    detail = {**_allowing.detail_of(access, question, facts, window), "gate": asking.tool.name}
    text = _allowing.text_of(question, facts)
    if asking.is_shared:
        # Nobody knows which resource this was about, if any.
        access.resource = None
        detail, text = _without_resource(detail), f"{facts.person_name} {question.item}"
    return current.entry(CONTENT_ACCESS_ALLOWED, detail=detail, text=text), access


def _without_resource(detail: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in detail.items() if name not in ("resource", "resource_name")}


def _refused(current: Step, asking: _Asking, code: str, facts: Facts | None) -> recorder.Witnessed:
    detail: dict[str, Any] = {"action": current.action, "code": code, "item": asking.item, "gate": asking.tool.name}
    if asking.match is not None:
        detail["asked"] = asking.match.rule.action
    if facts is not None and facts.resource_id is not None and not asking.is_shared:
        detail |= {"resource": str(facts.resource_id), "resource_name": facts.resource_name}
    return current.entry(ACT_REFUSED, detail=detail, text=f"{current.action} {code}")


def _passed(asking: _Asking, verdict: Verdict, access_id: UUID, keys: Sequence[TokenKey]) -> Pass:
    assert asking.match is not None
    assert verdict.closes_at is not None
    identity = _identity(asking, verdict, keys) if asking.tool.gate_identity else ""
    return Pass(
        grant_id=asking.window.pk,
        tenant_id=asking.window.tenant_id,
        access_id=access_id,
        closes_at=verdict.closes_at,
        seconds=(verdict.closes_at - verdict.at).total_seconds(),
        allows_stream=asking.match.allows_stream,
        identity=identity,
    )


def _identity(asking: _Asking, verdict: Verdict, keys: Sequence[TokenKey]) -> str:
    """Return a signed token that tells the tool who asks. It is valid for a minute, and only for this tool."""
    at = int(verdict.at.timestamp())
    claims = {
        "iss": settings.BASE_URL,
        "aud": origin_of(asking.tool.link_template),
        "sub": str(asking.window.person_id),
        "email": asking.window.email,
        "name": asking.window.person_name,
        "grant": str(asking.window.pk),
        "reference": asking.window.reference,
        "tenant": str(asking.window.tenant_id),
        "tenant_slug": asking.window.tenant_slug,
        "level": str(asking.window.level),
        "iat": at,
        "exp": at + int(IDENTITY_FOR.total_seconds()),
        "jti": uuid4().hex,
    }
    key = signing(keys, verdict.at)
    # The first key of all is made now.
    return signed(claims, typ=IDENTITY_TYPE) if key is None else key.signed(claims, typ=IDENTITY_TYPE)
