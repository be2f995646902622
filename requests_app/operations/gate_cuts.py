"""Records which connections to web tools the proxy of this product has cut."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid5

from audit_app import recorder
from requests_app.domain.actors import Actor
from requests_app.domain.acts.content import CONTENT_CUT
from requests_app.domain.acts.gates import CUT_AT_GATE
from requests_app.models import ContentAccess
from requests_app.operations._change import Step, act
from requests_app.queries import actor_of

#: Why a connection was cut: its window has ended, or Lockbox could not check it. Entries have these words.
ENDED, UNKNOWN = "ended", "unknown"


def note_cuts(tenant_id: UUID, cuts: Mapping[UUID, str]) -> None:
    """Record that these accesses of a tenant were cut, each with its cause.

    It is safe to call this again if the first call may have failed: each access gets only one entry.
    """
    with act(CUT_AT_GATE, actor=Actor.system("gate"), rereads=False) as current:
        current.tenant_id = tenant_id
        head = current.take_turn(tenant_id)
        known = set(ContentAccess.objects.filter(pk__in=map(_id_of, cuts)).values_list("pk", flat=True))
        rows = ContentAccess.objects.filter(tenant=tenant_id, pk__in=[pk for pk in cuts if _id_of(pk) not in known])
        accesses = list(rows.select_related("grant__access_request__service", "grant__engineer", "resource"))
        entries = [_entry(current, access, cuts[access.pk]) for access in accesses]
        recorder.record(entries, at=current.at, locked_head=head)


def _id_of(access_id: UUID) -> UUID:
    """Return the id of the row that says that an access was cut."""
    return uuid5(access_id, "cut")


def _entry(current: Step, access: ContentAccess, cause: str) -> recorder.Witnessed:
    grant, resource = access.grant, access.resource
    current.actor, current.correlation_id = actor_of(grant.engineer, door="api"), grant.access_request_id
    current.subject_type, current.subject_id = "grant", str(grant.pk)
    of: dict[str, Any] = {"tenant_id": access.tenant_id, "grant": grant, "resource": resource}
    of |= {"item_id": access.item_id, "item_ref": access.item_ref}
    row = ContentAccess.objects.create(id=_id_of(access.pk), kind=ContentAccess.Kind.CUT, at=current.at, **of)
    detail = {"access": str(row.pk)}
    if resource is not None:
        detail |= {"resource": str(resource.pk), "resource_name": resource.name}
    detail |= {"item": access.item_ref, "gate": grant.access_request.service.name, "cause": cause}
    text = f"{resource.name} {access.item_ref}" if resource is not None else access.item_ref
    return current.entry(CONTENT_CUT, detail=detail, text=text)
