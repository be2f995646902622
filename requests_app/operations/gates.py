"""Decides on each request to a web tool, and records the decision before anybody learns it.

The engine of the decision point (`_decision_lane`) answers all requests that wait at the same moment together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, ClassVar
from uuid import UUID, uuid4

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.db.models import CharField, QuerySet, UUIDField

from audit_app import recorder
from requests_app.domain import evaluation, gate_rules, limits
from requests_app.domain.actors import Actor, Side
from requests_app.domain.acts.content import CONTENT_ACCESS_ALLOWED
from requests_app.domain.acts.declaration import Act
from requests_app.domain.acts.gates import PASS_GATE
from requests_app.domain.acts.refusals import ACT_REFUSED
from requests_app.domain.deciding import Asked
from requests_app.domain.errors import DomainError, NotFound
from requests_app.domain.evaluation import Facts, Question, Verdict, Window
from requests_app.domain.gate_rules import Match, Reason
from requests_app.domain.link_templates import origin_of
from requests_app.models import (
    AccessRequestResource,
    ContentAccess,
    GateProxy,
    GateSession,
    Grant,
    OneTimeCode,
    Person,
    Resource,
    Service,
)
from requests_app.models.evaluation import EvaluationQuery
from requests_app.models.evaluations import Found
from requests_app.models.token_keys import signed
from requests_app.operations import _allowing
from requests_app.operations._change import Step, security_log
from requests_app.operations._decision_lane import DecisionLane
from requests_app.operations._waiting_questions import Call, OpenQuestion
from requests_app.platform import telemetry
from requests_app.platform.database.compiled import CompiledQuery
from requests_app.platform.lanes import GaveUp, LaneFull
from requests_app.queries.gates import Asker

#: How long the identity that a gate tells its tool is valid, and what kind of token it is.
IDENTITY_FOR, IDENTITY_TYPE = timedelta(seconds=60), "lockbox-identity+jwt"
#: Why a request is refused without asking for a window. They are no codes of entries.
NO_SESSION, OTHER_HOST, UNAVAILABLE = "no_session", "other_host", "unavailable"


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


@dataclass(frozen=True, kw_only=True)
class _Call:
    """A request of a session, with the facts about its window that never change."""

    service: Service
    grant: Grant
    item: str
    proxy: GateProxy | None = None
    match: Match | None = None
    resource_id: UUID | None = None
    #: Why the rules refuse it, or "".
    refused: str = ""

    @property
    def person(self) -> Person:
        return self.grant.engineer

    @property
    def is_shared(self) -> bool:
        """Whether its path names no resource. It is judged with the window's first one."""
        return self.match is not None and self.match.resource is None

    @property
    def question(self) -> Question:
        assert self.match is not None
        return Question(
            subject_type="engineer",
            subject=str(self.person.pk),
            action=self.match.rule.action,
            service=self.service.key,
            resource=str(self.resource_id),
            tenant=str(self.grant.tenant_id),
            item=self.item,
        )


def judge(
    service: Service,
    *,
    host: str,
    method: str,
    target: str,
    headers: Mapping[str, str],
    session: Asker | None,
    proxy: GateProxy | None = None,
    cuts: bool = False,
) -> Pass | Refusal:
    """Decide on one request to the web tool `service`. When this returns, the decision is committed.

    `target` is the path with the query exactly as the tool will get it, and `headers` has the names in small letters.
    With `cuts`, the caller ends the connection with its window. If a tool has an upstream address, only such a caller
    may pass on streams of events and WebSockets. This never raises an error: what it can't decide or can't record is
    refused.
    """
    found = _judged(service, host, method, target, headers, session, proxy, cuts=cuts)
    telemetry.happened(telemetry.DECISION, "forward_auth", "permit" if isinstance(found, Pass) else "deny")
    return found


def _judged(
    service: Service,
    host: str,
    method: str,
    target: str,
    headers: Mapping[str, str],
    session: Asker | None,
    proxy: GateProxy | None,
    *,
    cuts: bool,
) -> Pass | Refusal:
    try:
        if not is_host_of(service, host):
            return _without_entry(OTHER_HOST, service, session)
        if session is None:
            return Refusal(NO_SESSION)
        call = _call(service, session, method, target, headers, proxy, cuts=cuts)
        if call is None:
            return _without_entry(NO_SESSION, service, session)
        asked = _asked(call)
        LANE.answer(asked)
        if asked.refused is not None:
            raise asked.refused
        assert asked.verdict is not None
        _note_asked(call, asked.verdict.at)
        if asked.access_id is None:
            return Refusal(asked.verdict.reason)
        return _passed(call, asked.verdict, asked.access_id)
    except (GaveUp, LaneFull, DomainError, DatabaseError, InterfaceError) as error:
        security_log.error("gate.unavailable", service=service.key, error=type(error).__name__)
        return Refusal(UNAVAILABLE)


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


def is_host_of(service: Service, host: str) -> bool:
    """Return whether this is the host of the tool, with its port if the address of the tool has one."""
    return host.lower() == origin_of(service.link_template).partition("://")[2].lower()


def _without_entry(reason: str, service: Service, session: Asker | None) -> Refusal:
    """Refuse a request that belongs to no tenant's log."""
    who = str(session.person_id) if session else ""
    security_log.warning("gate.refused", service=service.key, code=reason, person=who)
    return Refusal(reason)


def _call(
    service: Service,
    session: Asker,
    method: str,
    target: str,
    headers: Mapping[str, str],
    proxy: GateProxy | None,
    *,
    cuts: bool = False,
) -> _Call | None:
    """Return the request as a call to decide on. Return None if the session's window is not for this tool."""
    grants = _GRANT_OF(pk=session.grant_id, engineer=session.person_id, service=service.pk)
    grant: Grant | None = next(iter(grants), None)
    if grant is None:
        return None
    of: dict[str, Any] = {"service": service, "grant": grant, "proxy": proxy}
    try:
        asked = gate_rules.asked(method, target, headers)
    except gate_rules.Refused as refusal:
        # The path is not fit for a log as it is.
        shown = f"{method} {target.partition('?')[0]}".encode("unicode_escape").decode()
        return _Call(**of, item=shown[: evaluation.ITEM_MAX], refused=refusal.reason)
    try:
        rules = gate_rules.rules_in(service.gate_rules)
        match = gate_rules.match(rules, asked, opens=cuts or not service.gate_upstream)
    except gate_rules.Refused as refusal:
        return _Call(**of, item=asked.item, refused=refusal.reason)
    resource_id = _resource(grant, match)
    if match.tenant not in (None, grant.tenant.slug):
        return _Call(**of, item=asked.item, refused=Reason.OTHER_TENANT)
    if resource_id is None:
        return _Call(**of, item=asked.item, refused=NotFound.code)
    return _Call(**of, item=asked.item, match=match, resource_id=resource_id)


def _resource(grant: Grant, match: Match) -> UUID | None:
    """Return the tenant's resource that the path names. A path that names none is judged with the window's first."""
    where = {"tenant": grant.tenant_id, "service": grant.access_request.service_id}
    if match.resource is None:
        found = _FIRST_RESOURCE(**where, access_request=grant.access_request_id)
    else:
        found = _RESOURCE_CALLED(**where, external_id=match.resource)
    return found[0].pk if found else None


def _resources(tenant: Any, service: Any) -> QuerySet[Resource]:
    return Resource.objects.filter(tenant=tenant, service=service).only("pk").order_by("pk")


#: These queries run for each request to a web tool.
_GRANT_OF = CompiledQuery(
    lambda pk, engineer, service: Grant.objects.select_related("access_request", "engineer", "tenant").filter(
        pk=pk, engineer=engineer, access_request__service=service
    ),
    pk=UUIDField(),
    engineer=UUIDField(),
    service=UUIDField(),
)
_FIRST_RESOURCE = CompiledQuery(
    lambda tenant, service, access_request: _resources(tenant, service).filter(
        pk__in=AccessRequestResource.objects.filter(access_request=access_request).values("resource")
    )[:1],
    tenant=UUIDField(),
    service=UUIDField(),
    access_request=UUIDField(),
)
_RESOURCE_CALLED = CompiledQuery(
    lambda tenant, service, external_id: _resources(tenant, service).filter(external_id=external_id)[:1],
    tenant=UUIDField(),
    service=UUIDField(),
    external_id=CharField(),
)


def _no_quota(*_: Any) -> Any:
    raise AssertionError("A gate has no quota.")


#: The engine of this process. The decision point's door asks it too, and takes places of a quota.
LANE = DecisionLane(_no_quota)


@dataclass(slots=True, kw_only=True, eq=False)
class _Asked(OpenQuestion):
    """A request that waits for its answer. If the rules refuse it, only its entry is written."""

    act: ClassVar[Act] = PASS_GATE
    of: _Call
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
        current.at, current.tenant_id = verdict.at, self.of.grant.tenant_id
        current.correlation_id = self.of.grant.access_request_id
        current.subject_type, current.subject_id = "grant", str(self.of.grant.pk)
        if window is None or not verdict.decision:
            return _refused(current, self.of, verdict.reason, None if self.of.refused else found.facts), None
        entry, access = _allowed(current, self.of, found.facts, window)
        self.access_id = access.pk
        return entry, access


def _asked(call: _Call) -> _Asked:
    person, tenant_id = call.person, call.grant.tenant_id
    actor = Actor(
        side=Side.PROVIDER,
        door="api",
        name=person.name,
        person_id=person.pk,
        human_id=person.human_id,
        email=person.email,
    )
    question = call.question if not call.refused else _NOTHING
    # Another window of the same engineer does not count: the session is for this one.
    query = EvaluationQuery(question, person.pk, None, sole=call.grant.pk, log=tenant_id)
    asked = Asked(token_hash="", question=question, is_access=True)
    return _Asked(call=Call([asked]), place=0, actor=actor, quota=None, query=query, of=call)


#: Finds no resource.
_NOTHING = Question(subject_type="engineer", subject="", action="", service="", resource="")


def _note_asked(call: _Call, at: datetime) -> None:
    """Store about when the proxy last asked. The decision is committed already, so a failure changes nothing."""
    proxy = call.proxy
    if proxy is None or (proxy.asked_at is not None and proxy.asked_at > at - limits.GATE_ASKED_GRAIN):
        return
    try:
        GateProxy.objects.filter(pk=proxy.pk).update(asked_at=at)
    except (DatabaseError, InterfaceError) as error:
        security_log.warning("gate.asked_at_not_stored", error=type(error).__name__)


def _allowed(current: Step, call: _Call, facts: Facts, window: Window) -> tuple[recorder.Witnessed, ContentAccess]:
    question = call.question
    access = _allowing.row_of(question, facts, window, at=current.at)
    detail = {**_allowing.detail_of(access, question, facts, window), "gate": call.service.name}
    text = _allowing.text_of(question, facts)
    if call.is_shared:
        # Nobody knows which resource this was about, if any.
        access.resource = None
        detail, text = _without_resource(detail), f"{facts.person_name} {question.item}"
    return current.entry(CONTENT_ACCESS_ALLOWED, detail=detail, text=text), access


def _without_resource(detail: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in detail.items() if name not in ("resource", "resource_name")}


def _refused(current: Step, call: _Call, code: str, facts: Facts | None) -> recorder.Witnessed:
    detail: dict[str, Any] = {"action": current.action, "code": code, "item": call.item, "gate": call.service.name}
    if call.match is not None:
        detail["asked"] = call.match.rule.action
    if facts is not None and facts.resource_id is not None and not call.is_shared:
        detail |= {"resource": str(facts.resource_id), "resource_name": facts.resource_name}
    return current.entry(ACT_REFUSED, detail=detail, text=f"{current.action} {code}")


def _passed(call: _Call, verdict: Verdict, access_id: UUID) -> Pass:
    assert call.match is not None
    assert verdict.closes_at is not None
    identity = _identity(call, verdict) if call.service.gate_identity else ""
    return Pass(
        grant_id=call.grant.pk,
        tenant_id=call.grant.tenant_id,
        access_id=access_id,
        closes_at=verdict.closes_at,
        seconds=(verdict.closes_at - verdict.at).total_seconds(),
        allows_stream=call.match.allows_stream,
        identity=identity,
    )


def _identity(call: _Call, verdict: Verdict) -> str:
    """Return a signed token that tells the tool who asks. It is valid for a minute, and only for this tool."""
    person = call.person
    at = int(verdict.at.timestamp())
    claims = {
        "iss": settings.BASE_URL,
        "aud": origin_of(call.service.link_template),
        "sub": str(person.pk),
        "email": person.email,
        "name": person.name,
        "grant": str(call.grant.pk),
        "reference": call.grant.access_request.reference,
        "tenant": str(call.grant.tenant_id),
        "tenant_slug": call.grant.tenant.slug,
        "level": str(call.grant.level),
        "iat": at,
        "exp": at + int(IDENTITY_FOR.total_seconds()),
        "jti": uuid4().hex,
    }
    return signed(claims, typ=IDENTITY_TYPE)
