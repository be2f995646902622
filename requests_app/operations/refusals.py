"""Records refusals that pages and the API make on their own, before an act begins."""

from __future__ import annotations

from datetime import timedelta

from audit_app.models import AuditEntry
from requests_app.domain import policy
from requests_app.domain.actors import Actor
from requests_app.domain.acts import ACTS
from requests_app.domain.acts.declaration import Act
from requests_app.domain.acts.own_account import STEP_UP
from requests_app.domain.acts.refusals import ACT_REFUSED
from requests_app.domain.errors import DomainError, NotAllowed
from requests_app.models import AccessRequest
from requests_app.operations._change import Step, act
from requests_app.operations._own import own_act
from requests_app.operations._subjects import FINDERS

#: The same refusal of the same person on the same row is recorded once in this time, so that nobody can fill a log.
ONCE_IN = timedelta(minutes=1)
#: The number of a person's newest entries that are searched for the same refusal.
NEWEST_READ = 20


def note_refusal(
    access_request_id: object, *, action: str, refusal: DomainError, actor: Actor, always: bool = False
) -> None:
    """Write the entry about a refused act on an access request: what was tried, and why it was refused.

    The same refusal is written at most once a minute. Set `always` for refusals that must all be recorded, such as each
    wrong proof for a decision.
    """
    if not refusal.is_evidence:
        return
    # A refusal does not use up the form or the key that was sent.
    with act(ACTS[action], actor=actor.sending(None)) as current:
        current.only_notes = True
        row = AccessRequest.objects.visible_to(current.actor).find(access_request_id)
        current.correlation_id = row.pk
        current.concerns("access_request", row, row.tenant_id)
        text = f"{action} {refusal.code}"
        if always or not _is_noted(current, text):
            current.witness(ACT_REFUSED, detail={"action": action, "code": refusal.code}, text=text)


def require_may(declared: Act, row_id: object, *, is_offered: bool, actor: Actor) -> None:
    """Raise and record a refusal, as the act's operation would, if this person may not do the act.

    A page uses this when its form has a mistake. It does not call the operation then, but it must not show the form to
    a person who may not do the act. `is_offered` says whether the page offers the act to this person.
    """
    # A refusal does not use up the form that was sent.
    with act(declared, actor=actor.sending(None)) as current:
        current.only_notes = True
        FINDERS[declared.noun](current, row_id)
        assert current.subject is not None
        policy.require_entitled(current.actor, declared, current.subject)
        policy.require_separate(current.actor, declared, current.subject)
        if not is_offered:
            raise NotAllowed


def note_failed_proof(*, refusal: DomainError, actor: Actor) -> None:
    """Record, at most once a minute, that a signed-in person failed to confirm their identity.

    The log of each of the person's tenants gets the entry, or else the provider's log. So the people who trust this
    person learn that somebody may be using an unattended or stolen session.
    """
    with own_act(STEP_UP, actor=actor.sending(None)) as account:
        account.act.only_notes = True
        text = f"step_up {refusal.code}"
        if not _is_noted(account.act, text):
            account.witness(ACT_REFUSED, detail={"action": "step_up", "code": refusal.code}, text=text)


def _is_noted(current: Step, text: str) -> bool:
    assert current.tenant_id is not None
    entries = AuditEntry.objects.filter(tenant_id=current.tenant_id, actor_id=current.actor.person).order_by("-seq")
    newest = entries.values_list("event", "subject_id", "text", "at")[:NEWEST_READ]
    wanted = (ACT_REFUSED, current.subject_id, text)
    return any((*entry,) == wanted and at > current.at - ONCE_IN for *entry, at in newest)
