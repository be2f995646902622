"""Operations on access requests: submit, approve or deny at both stages, withdraw, expire."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.db.models import Exists, QuerySet, UUIDField
from django.utils.translation import gettext as _

from audit_app import canonical, witnesses
from audit_app.beside import Beside
from requests_app.domain import limits, manifest, policy
from requests_app.domain.access_tasks import TASK_LIVES_FOR, Callback, Denial, InvalidDenialBinding
from requests_app.domain.actors import Actor, Role
from requests_app.domain.acts.access_requests import (
    APPROVE_AS_CUSTOMER,
    APPROVE_AS_PROVIDER,
    DENY_AS_CUSTOMER,
    DENY_AS_PROVIDER,
    EXPIRE,
    SUBMIT,
    WITHDRAW,
)
from requests_app.domain.errors import (
    FactsChanged,
    LogNotCosigned,
    Muted,
    NotAllowed,
    NotFound,
    RestoreNotConfirmed,
    Unacceptable,
)
from requests_app.domain.ids import as_id, id_by_time
from requests_app.domain.levels import Offer, can_change
from requests_app.domain.lifecycle import TRANSITIONS
from requests_app.domain.manifest import Signed
from requests_app.domain.states import State
from requests_app.messages.topics import Audience, Topic
from requests_app.models import (
    AccessDraft,
    AccessRequest,
    AccessRequestResource,
    AccessTask,
    Decision,
    Grant,
    Mute,
    Person,
    QueueAssignment,
    Resource,
    Service,
    Tenant,
    Ticket,
)
from requests_app.models.restored import waits_at, waits_for_staff
from requests_app.models.scoping import CompiledFind, new_reference
from requests_app.models.tenants import LEVEL_RULES
from requests_app.operations._asking_limits import longest_mute, mute_query, require_room
from requests_app.operations._callbacks import callback_columns
from requests_app.operations._change import Move, Step, Still, act, change, once
from requests_app.operations._deciding import decide
from requests_app.operations._elsewhere import source_url
from requests_app.operations._ending import EVERYBODY, about, tell_ended
from requests_app.operations._taking import take_unassigned
from requests_app.platform.database import compiled
from requests_app.platform.database.compiled import CompiledQuery, Reads
from requests_app.queries import restored
from requests_app.words import sentences


@dataclass(frozen=True, kw_only=True)
class Demand:
    """A law-enforcement demand, in place of a ticket. The access request goes through the same process."""

    authority: str
    instrument: str
    reference: str
    date: dt.date


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What an engineer asks for. It has either `ticket_id`, or `demand` together with `tenant_id` and `service_id`."""

    resource_ids: list[Any]
    level: str
    window_for: int
    tried: str
    justification: str
    ticket_id: Any = None
    demand: Demand | None = None
    tenant_id: Any = None
    service_id: Any = None
    previous_id: Any = None
    until_at: dt.datetime | None = None
    is_emergency: bool = False
    denial: Denial | None = None
    callback: Callback | None = None
    source_url: str = ""
    draft_id: Any = None


def submit(ask: Ask, *, actor: Actor) -> AccessRequest:
    """Submit an access request. The provider approvers of the service's queue are asked first.

    If nobody has the ticket, the engineer takes it in the same transaction.
    """
    edge = TRANSITIONS[SUBMIT.name]
    # The actor is read once, under the locks. Only this actor decides what the person may see and do.
    with act(SUBMIT, actor=actor, rereads=False) as current:
        # An act that switches this person off or takes their role locks the same row. So either it finds this access
        # request, or this act finds its result.
        engineer: Person | None = next(iter(_ENGINEER(pk=current.actor.person)), None)
        if ask.draft_id is not None:
            # Locked before the turn at the log, as in the act that discards it.
            list(AccessDraft.objects.visible_to(current.actor).filter(pk=as_id(ask.draft_id)).locked())
        row = _drafted(ask, current)
        policy.require_role(current.actor, edge.act.roles, tenant_id=row.tenant_id, service_id=row.service_id)
        draft = _draft(ask, row, current) if ask.draft_id is not None else None
        if draft is not None:
            ask = replace(ask, until_at=draft.until_at, is_emergency=draft.is_emergency, source_url=draft.source_url)
        resources = _resources(ask, row, current.actor)
        _fill(row, ask, current)
        require_room(row, current.at)
        mute = longest_mute(row) if row.needs_customer_approval else None
        if mute is not None and mute.is_live(current.at):
            raise Muted(mute.until_at, sentences.muted(mute, current.at))
        if row.ticket is not None and engineer is not None:
            take_unassigned(row.ticket, engineer, current)
        row.content_digest = content_digest(row, resources)
        current.subject_type, current.subject_id, current.correlation_id = (
            "access_request",
            str(row.pk),
            row.pk,
        )
        if draft is not None:
            _end_draft(row, draft, resources, current)
        elif ask.denial is not None:
            _keep_task(row, ask, ask.denial, current)
        current.tell(about(row, Topic.DECIDE_AS_PROVIDER, Audience.PROVIDER_APPROVERS))
        names = [resource.name for resource in resources]
        current.witness(
            edge.event,
            detail=_facts(row, resources),
            text=f"{row.reference} {' '.join(names)}",
            beside=Beside(row, once=current.messages_with_entry()),
        )
        scope = [
            AccessRequestResource(access_request=row, resource=resource, position=position)
            for position, resource in enumerate(resources)
        ]
        compiled.insert(scope, without_keys=True)
    return row


@once
def approve_as_provider(
    access_request_id: object,
    *,
    actor: Actor,
    note: str = "",
    signature: Signed | None = None,
    still: Still | None = None,
) -> AccessRequest:
    """Approve an access request on the provider's behalf. This confirms that the work can't be done without access.

    If the tenant has Lockbox on for this service, the customer is asked next. Otherwise the window opens.
    """
    is_signed = signature is not None
    with change(
        access_request_id,
        APPROVE_AS_PROVIDER,
        actor=actor,
        note=note,
        is_signed=is_signed,
        still=still,
        reads=lambda row: [_facts_of(row), mute_query(row)],
    ) as step:
        row, facts = step.row, _require_facts(step)
        # Read from the locked rows. If Lockbox was switched on after the submission, the customer is asked. If it was
        # switched off, the customer is still asked.
        asks_customer = row.needs_customer_approval or lockbox_applies(row.tenant, row.service)
        mute: Mute | None = step.found[1]
        if asks_customer and mute is not None and mute.is_live(step.at):
            until = {"until_at": canonical.instant(mute.until_at)}
            raise FactsChanged(sentences.muted(mute, step.at), current=until)
        decide(step, Decision.Stage.PROVIDER, Decision.Verdict.APPROVE, signature)
        if asks_customer:
            step.target = State.PENDING_CUSTOMER
            step.decide_by = limits.customer_deadline(step.at)
            step.tell(about(row, Topic.DECIDE_AS_CUSTOMER, Audience.CUSTOMER))
        else:
            _open(step, facts)
    return step.row


@once
def deny_as_provider(
    access_request_id: object,
    *,
    actor: Actor,
    note: str,
    signature: Signed | None = None,
    still: Still | None = None,
) -> AccessRequest:
    is_signed = signature is not None
    with change(access_request_id, DENY_AS_PROVIDER, actor=actor, note=note, is_signed=is_signed, still=still) as step:
        decide(step, Decision.Stage.PROVIDER, Decision.Verdict.DENY, signature)
        tell_ended(step)
    return step.row


@once
def approve_as_customer(
    access_request_id: object,
    *,
    actor: Actor,
    note: str = "",
    signature: Signed | None = None,
    still: Still | None = None,
) -> AccessRequest:
    """Approve an access request for the customer. The window opens at this instant."""
    is_signed = signature is not None
    with change(
        access_request_id,
        APPROVE_AS_CUSTOMER,
        actor=actor,
        note=note,
        is_signed=is_signed,
        still=still,
        reads=lambda row: [_facts_of(row)],
    ) as step:
        facts = _require_facts(step)
        decide(step, Decision.Stage.CUSTOMER, Decision.Verdict.APPROVE, signature, rules=facts)
        _open(step, facts)
    return step.row


@once
def deny_as_customer(
    access_request_id: object,
    *,
    actor: Actor,
    note: str = "",
    signature: Signed | None = None,
    still: Still | None = None,
) -> AccessRequest:
    is_signed = signature is not None
    with change(access_request_id, DENY_AS_CUSTOMER, actor=actor, note=note, is_signed=is_signed, still=still) as step:
        decide(step, Decision.Stage.CUSTOMER, Decision.Verdict.DENY, signature)
        tell_ended(step)
    return step.row


@once
def withdraw(access_request_id: object, *, actor: Actor, note: str = "") -> AccessRequest:
    with change(access_request_id, WITHDRAW, actor=actor, note=note) as step:
        tell_ended(step)
    return step.row


def expire(access_request_id: object, *, actor: Actor) -> AccessRequest:
    with change(access_request_id, EXPIRE, actor=actor) as step:
        tell_ended(step)
    return step.row


def lockbox_applies(tenant: Tenant, service: Service) -> bool:
    """Return whether the customer is asked: the tenant has Lockbox on, and Lockbox covers the service."""
    return tenant.lockbox_on and service.is_covered


def content_digest(row: AccessRequest, resources: list[Resource]) -> str:
    """Return the SHA-256 hash, in hex, of everything that the engineer asks for, as canonical JSON (RFC 8785)."""
    return canonical.digest(_facts(row, resources)).hex()


def _drafted(ask: Ask, current: Step) -> AccessRequest:
    """Return a row that is not saved yet, with its tenant, service and reason.

    Only rows that the engineer may see are searched. So a row that does not exist and another tenant's row give the
    same error.
    """
    actor = current.actor
    row = AccessRequest(requested_by_id=actor.person)
    if ask.ticket_id is not None:
        row.ticket = ticket = _TICKET(ask.ticket_id, actor=actor)
        row.tenant, row.service, row.is_practice = ticket.tenant, ticket.service, ticket.is_practice
        provider = ticket.origin == Ticket.Origin.PROVIDER
        row.reason_kind = AccessRequest.Reason.PROVIDER_INITIATED if provider else AccessRequest.Reason.CUSTOMER_TICKET
    elif ask.demand is not None:
        row.tenant = Tenant.objects.visible_to(actor).find(ask.tenant_id)
        row.service = Service.objects.visible_to(actor).find(ask.service_id)
        row.reason_kind = AccessRequest.Reason.LEGAL_DEMAND
    else:
        raise Unacceptable(_("Choose a ticket, or enter a law-enforcement demand."), field="ticket_id")
    current.head = current.concerns("ticket" if row.ticket else "tenant", row.ticket or row.tenant, row.tenant_id)
    # Rows that end together were often made together. Each change of a state writes to the index of the ids, too.
    row.pk = id_by_time(current.at)
    if not policy.is_visible(current.actor, row):
        raise NotFound
    policy.require_act(current.actor, current.action)
    row.requester_human = current.actor.human
    return row


_ENGINEER = CompiledQuery(
    lambda pk: Person.objects.get_queryset().select_for_update(no_key=True).filter(pk=pk).order_by(), pk=UUIDField()
)
_TICKET = CompiledFind(lambda: Ticket.objects.select_related("tenant", "service").locked())


def _fill(row: AccessRequest, ask: Ask, current: Step) -> None:
    if row.ticket is not None and not row.ticket.is_live:
        raise FactsChanged(_("The ticket is %(state)s.") % {"state": row.ticket.get_state_display()})
    offer = _offer(row, ask.level)
    row.reference = new_reference("AR", is_practice=row.is_practice)
    row.level = ask.level
    row.window_for = limits.require_window(ask.window_for, cap=row.tenant.window_cap)
    row.tried = limits.require_text(ask.tried, field="tried", at_most=limits.JUSTIFICATION_MAX)
    row.justification = limits.require_text(
        ask.justification,
        field="justification",
        at_least=limits.JUSTIFICATION_MIN,
        at_most=limits.JUSTIFICATION_MAX,
    )
    if ask.demand is not None:
        _fill_demand(row, ask.demand, current.at)
    if ask.previous_id is not None:
        earlier = AccessRequest.objects.visible_to(current.actor)
        earlier = earlier.filter(tenant=row.tenant, is_practice=row.is_practice)
        row.previous = earlier.find(ask.previous_id)
    row.needs_customer_approval = lockbox_applies(row.tenant, row.service)
    machine = current.actor.machine
    row.raised_by = machine.name if machine is not None else row.raised_by
    row.until_at, row.is_emergency = ask.until_at, ask.is_emergency
    row.source_url = source_url(ask.source_url)
    _require_time_left(row, current.at)
    # Practice content is made up, and is always read through this product.
    row.service_words = "" if row.is_practice else offer.for_customer
    row.enforced_by = "" if row.is_practice else row.service.application
    row.submitted_at = row.state_changed_at = current.at
    row.decide_by = limits.provider_deadline(current.at)


def _require_time_left(row: AccessRequest, at: dt.datetime) -> None:
    if row.until_at is not None and row.until_at <= at:
        raise FactsChanged(_("The time until which access was asked for is over."))


def _draft(ask: Ask, row: AccessRequest, current: Step) -> AccessDraft:
    """Return the draft that the engineer confirms. The access request gets its id, and the name of its client.

    A client can't confirm a draft.
    """
    drafts = AccessDraft.objects.visible_to(current.actor).filter(ticket=row.ticket_id)
    found: AccessDraft = drafts.select_related("client__account").find(ask.draft_id)
    if current.actor.machine is not None:
        raise NotAllowed
    if found.ended_at is not None or current.at >= found.expires_at:
        raise FactsChanged(_("This draft has ended."))
    row.pk, row.raised_by = found.pk, found.client.account.name
    return found


def _end_draft(row: AccessRequest, draft: AccessDraft, resources: list[Resource], current: Step) -> None:
    if all(resource.pk != draft.resource_id for resource in resources):
        raise Unacceptable(_("Keep the resource of the draft, or discard the draft."), field="resource_ids")
    draft.ended_at = current.at
    draft.save(update_fields=["ended_at"])
    AccessTask.objects.create(
        access_request=row,
        client_id=draft.client_id,
        denial=draft.denial,
        asked=draft.asked,
        expires_at=current.at + TASK_LIVES_FOR,
        was_draft=True,
        **draft.called_back,
    )


def _keep_task(row: AccessRequest, ask: Ask, denial: Denial, current: Step) -> None:
    """Store the client's handle on this access request. Raise InvalidDenialBinding if the denial was used before."""
    machine = current.actor.machine
    if machine is None or machine.client_id != denial.client_id:
        raise InvalidDenialBinding
    used = {"denial": denial.number}
    if AccessTask.objects.filter(**used).exists() or AccessDraft.objects.filter(**used).exists():
        raise InvalidDenialBinding
    AccessTask.objects.create(
        access_request=row,
        client_id=machine.client_id,
        denial=denial.number,
        asked=dict(denial.asked),
        expires_at=current.at + TASK_LIVES_FOR,
        **callback_columns(ask.callback, machine.client_id),
    )


def _offer(row: AccessRequest, level: str) -> Offer:
    """Return the level as the service offers it. Raise Unacceptable if the service does not have it."""
    offer = row.service.offers_for(is_practice=row.is_practice).get(level)
    if offer is not None:
        return offer
    if row.is_practice and can_change(level):
        raise Unacceptable(_("A practice request can’t change anything. Choose another level."), field="level")
    words = _("Choose a level of access that %(service)s has.") % {"service": row.service.name}
    raise Unacceptable(words, field="level")


def _fill_demand(row: AccessRequest, demand: Demand, at: dt.datetime) -> None:
    if row.ticket is not None:
        raise Unacceptable(
            _("A law-enforcement demand replaces a ticket. Give a ticket or a demand, not both."), field="ticket_id"
        )
    row.authority = limits.require_text(demand.authority, field="authority", at_most=200)
    row.instrument = limits.require_text(demand.instrument, field="instrument", at_most=200)
    row.demand_reference = limits.require_text(demand.reference, field="demand_reference", at_most=120)
    # In the far east, the date can be one day later than in UTC.
    if demand.date > at.date() + dt.timedelta(days=1):
        raise Unacceptable(_("The demand's date is in the future."), field="demand_date")
    row.demand_date = demand.date


def _resources(ask: Ask, row: AccessRequest, actor: Actor) -> list[Resource]:
    ids: list[UUID] = list(dict.fromkeys(_as_uuid(value) for value in ask.resource_ids))
    if not limits.RESOURCES_MIN <= len(ids) <= limits.RESOURCES_MAX:
        raise Unacceptable(_("Choose 1 to 20 resources."), field="resource_ids")
    if not (row.tenant.is_active and row.service.is_active):
        raise Unacceptable(_("The tenant or the service is switched off. Nobody can ask for access there."))
    # Asked again here, under the turn at the log: the act that switches a tenant off takes the same turn.
    is_on = {"is_active": True, "tenant__is_active": True, "service__is_active": True}
    found = Resource.objects.visible_to(actor).filter(tenant=row.tenant, service=row.service, pk__in=ids, **is_on)
    found = found.select_related("tenant")
    resources = sorted(found, key=lambda resource: ids.index(resource.pk))
    _offer(row, ask.level)
    if any(not resource.tenant.allows(ask.level) for resource in resources):
        raise Unacceptable(sentences.ruled_out(row.tenant, ask.level), field="level")
    if len(resources) != len(ids):
        raise Unacceptable(_("Choose resources of this tenant and this service."), field="resource_ids")
    if any(resource.is_practice != row.is_practice for resource in resources):
        raise Unacceptable(
            _("A practice request names the practice resource and nothing else.")
            if row.is_practice
            else _("Only the access request of a practice ticket can name a practice resource."),
            field="resource_ids",
        )
    return resources


def _as_uuid(value: object) -> UUID:
    found = as_id(value)
    if found is None:
        raise Unacceptable(_("Choose resources of this tenant and this service."), field="resource_ids")
    return found


def _require_facts(step: Move) -> Tenant:
    """Raise FactsChanged if the ticket is closed, the engineer has lost role or account, or a resource is gone.

    Raise RestoreNotConfirmed if people have not confirmed yet what was restored from a backup: neither an approval nor
    an open window may come of a role, or of a Lockbox that is off, that only the backup knows.

    Return the tenant's rules for approvals. They were read (`_facts_of`) after the act had locked the log, and every
    change of a rule or of a witness locks it too. So neither can change before the act commits.
    """
    row = step.row
    _require_time_left(row, step.at)
    if row.ticket is not None and not row.ticket.is_live:
        raise FactsChanged(_("The ticket is %(state)s.") % {"state": row.ticket.get_state_display()})
    facts: Tenant = step.found[0]
    # The tenant that was read with the row is from before the wait for the locks.
    row.tenant.window_cap = facts.window_cap
    if facts.waits or facts.waits_for_staff:  # type: ignore[attr-defined]  # annotated
        if restored.is_set_back():
            raise RestoreNotConfirmed(sentences.set_back())
        raise RestoreNotConfirmed(sentences.not_confirmed(row.tenant, at_tenant=facts.waits))  # type: ignore[attr-defined]
    if not facts.has_engineer:  # type: ignore[attr-defined]  # annotated
        raise FactsChanged(_("%(name)s is no longer an engineer of this service.") % {"name": row.requested_by.name})
    if not facts.allows(row.level):
        raise FactsChanged(sentences.ruled_out(row.tenant, row.level))
    if facts.has_gone:  # type: ignore[attr-defined]  # annotated
        raise FactsChanged(_("A resource that was asked for is no longer available."))
    if not (facts.is_active and facts.has_service):  # type: ignore[attr-defined]  # annotated
        raise FactsChanged(_("The tenant or the service was switched off."))
    return facts


def _facts_of(row: AccessRequest) -> Reads:
    return _FACTS, {"tenant": row.tenant_id, "service": row.service_id, "engineer": row.requested_by_id, "row": row.pk}


def _facts_now(tenant: Any, service: Any, engineer: Any, row: Any) -> QuerySet[Any, Any]:
    """Return the query for the rules of a tenant, with whether the other rows of an access request still fit."""
    engineers = QueueAssignment.objects.filter(
        person_id=engineer, person__is_active=True, service_id=service, role=Role.ENGINEER
    )
    gone = AccessRequestResource.objects.filter(access_request_id=row, resource__is_active=False)
    in_use = Service.objects.filter(pk=service, is_active=True)
    rules = (
        Tenant.objects.filter(pk=tenant)
        .order_by()
        .only("yes_rule", "own_keys_only", "approval_rp_id", "cosigned_within", "window_cap", "is_active", *LEVEL_RULES)
    )
    rules = rules.annotate(has_engineer=Exists(engineers), has_gone=Exists(gone), has_service=Exists(in_use))
    return rules.annotate(waits=waits_at("pk"), waits_for_staff=waits_for_staff())


_FACTS = CompiledQuery(_facts_now, tenant=UUIDField(), service=UUIDField(), engineer=UUIDField(), row=UUIDField())


def _require_cosigned(step: Move, facts: Tenant) -> None:
    """Raise LogNotCosigned if the tenant requires a recent cosignature of its log, and the log has none."""
    tenant, hours = step.row.tenant, facts.cosigned_within
    doubt = None if hours is None else witnesses.doubt(tenant.pk, hours, step.at)
    if hours is not None and doubt is not None:
        raise LogNotCosigned(sentences.not_cosigned(tenant, hours, doubt))


def _open(step: Move, facts: Tenant) -> None:
    """Open the window now, for the requested length, or as long as the tenant's cap or the requested end allows."""
    row = step.row
    _require_cosigned(step, facts)
    length = min(row.valid_for, dt.timedelta(seconds=row.tenant.window_cap))
    closes_at = step.at + length
    grant = Grant.new(
        id=id_by_time(step.at),
        tenant_id=row.tenant_id,
        access_request_id=row.pk,
        engineer_id=row.requested_by_id,
        level=row.level,
        opens_at=step.at,
        closes_at=closes_at if row.until_at is None else min(closes_at, row.until_at),
    )
    # As `Grant(tenant=…, …)` does, so that nothing is read again.
    grant._state.fields_cache.update(tenant=row.tenant, access_request=row, engineer=row.requested_by)
    row._state.fields_cache["grant"] = grant
    step.new_rows.append(grant)
    step.target, step.grant = State.OPEN, grant
    window = {"opens_at": canonical.instant(grant.opens_at), "closes_at": canonical.instant(grant.closes_at)}
    step.detail = {**step.detail, "grant": str(grant.pk), **window}
    step.tell(about(row, Topic.WINDOW_OPENED, *EVERYBODY))


def _facts(row: AccessRequest, resources: list[Resource]) -> dict[str, Any]:
    """Return everything that the engineer asks for, in the form that is hashed, logged and shown.

    It contains only strings, integers, lists, and marks. An access request without a mark has no such key, so the
    digest of each access request that was submitted before the key existed is still the same.
    """
    practice = {"practice": True} if row.is_practice else {}
    until = {"until": canonical.instant(row.until_at)} if row.until_at is not None else {}
    emergency = {"emergency": True} if row.is_emergency else {}
    source = {"source_url": row.source_url} if row.source_url else {}
    return {
        **practice,
        "reference": row.reference,
        "tenant": str(row.tenant_id),
        "service": row.service.key,
        "reason": str(row.reason_kind),
        "ticket": row.ticket.reference if row.ticket else None,
        "authority": row.authority,
        "instrument": row.instrument,
        "demand_reference": row.demand_reference,
        "demand_date": row.demand_date.isoformat() if row.demand_date else None,
        "engineer": str(row.requested_by_id),
        "resources": [resource.described for resource in resources],
        "level": str(row.level),
        "window_for": row.window_for,
        "tried": row.tried,
        "justification": row.justification,
        "previous": row.previous.reference if row.previous else None,
        **until,
        **emergency,
        **source,
        **manifest.of_service(row),
    }
