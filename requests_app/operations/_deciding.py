"""Stores one human's decision at one stage, and prepares the entry about it."""

from __future__ import annotations

from requests_app.domain.ids import id_by_time
from requests_app.domain.manifest import Signed
from requests_app.models import Decision, Tenant
from requests_app.operations import _signing as signing
from requests_app.operations._change import Move


def decide(
    step: Move,
    stage: Decision.Stage,
    verdict: Decision.Verdict,
    signature: Signed | None = None,
    *,
    rules: Tenant | None = None,
) -> None:
    """Add the decision to the transition that is being made. Verify the signature, if there is one.

    `apply` writes the decision together with the entry.

    If a customer approves, the approval must meet the tenant's `rules`. The caller must have read the rules
    after the act locked the log.
    """
    row, actor = step.row, step.actor
    assert actor.deciding_human is not None  # the policy has checked this
    proof = signing.verified(step, stage, verdict, signature) if signature is not None else None
    if stage is Decision.Stage.CUSTOMER and verdict is Decision.Verdict.APPROVE:
        assert rules is not None
        signing.require_rule(rules, proof)
    away = actor.stands_in_for.get(row.tenant_id, ()) if stage == Decision.Stage.CUSTOMER else ()
    decision = Decision.new(
        id=id_by_time(step.at),
        tenant_id=row.tenant_id,
        access_request_id=row.pk,
        stage=stage,
        verdict=verdict,
        decider_id=actor.decider,
        decider_human=actor.deciding_human,
        client_id=actor.machine.client_id if actor.machine else None,
        deputy_for=[each.name for each in away] or None,
        requester_human=row.requester_human,
        comment=step.note,
        door=actor.door,
        manifest_digest=proof.digest if proof is not None else "",
        signed_with=proof.key(stage) if proof is not None else None,
        at=step.at,
    )
    step.new_rows.append(decision)
    detail = signing.store_signature(decision, proof) if proof is not None else {"signed": False}
    step.detail = {**step.detail, "digest": row.content_digest, "stage": str(stage), "verdict": str(verdict), **detail}
    if away:
        # All entries have this text. If several approvers are away, it is not known for which of them the deputy acts.
        step.detail["deputy_for"] = ", ".join(each.name for each in away)
        people = [{"id": str(each.id), "name": each.name, "email": each.email} for each in away]
        step.detail["deputy_for_people"] = people
