"""The level “act as”: an engineer can change things, at a tenant whose administrator has allowed this level."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from requests_app import operations
from requests_app.domain import manifest
from requests_app.domain.errors import (
    ChangeProposed,
    EnforcedElsewhere,
    FactsChanged,
    NotAllowed,
    NotFound,
    StepUpRequired,
    Unacceptable,
    WrongState,
)
from requests_app.domain.evaluation import Question
from requests_app.domain.levels import Action, Level
from requests_app.models import AccessRequest, ContentAccess, Grant, Proposal, Resource, Service, Tenant
from requests_app.models import evaluation as reading
from requests_app.operations import content
from requests_app.queries.evaluation import evaluate
from tests.caller import service_of
from tests.cast import ACT_AS_WORDS, Cast, events_of
from tests.operations.reference import require_same_facts
from tests.practice import resource_of
from tests.web.pages import nothing_happens, only_a_refusal

pytestmark = pytest.mark.django_db


def ask(cast: Cast, action: str = "act_as") -> Question:
    resource = Resource.objects.get(service__key="quillo", tenant=cast.contoso)
    return Question(
        subject_type="engineer",
        subject=str(cast.priya.pk),
        action=action,
        service="quillo",
        resource=str(resource.pk),
        item="POST /w/{id}/pages",
    )


def opened(cast: Cast, level: str = "act_as") -> Grant:
    return cast.opened(ticket=cast.ticket(service_id=cast.quillo().pk), level=level)


# --- Allowed or ruled out ------------------------------------------------------------------------------------


def test_every_old_and_new_tenant_has_it_ruled_out(cast: Cast) -> None:
    new = operations.create_tenant(
        name="Newcorp", slug="newcorp", plan_id=cast.contoso.plan_id, actor=cast.as_("stella")
    )
    assert Tenant.objects.filter(pk=new.pk).exists()
    for tenant in Tenant.objects.all():
        assert [level for level in Level if not tenant.allows(level)] == ["act_as"], tenant


def test_a_row_that_the_previous_version_wrote_does_not_allow_it(cast: Cast) -> None:
    """During an upgrade, processes of the previous version write rows without the new column."""
    names = [field.column for field in Tenant._meta.concrete_fields if field.name != "is_act_as_allowed"]
    values = {name: f'"{name}"' for name in names}
    values |= {"id": "%s", "name": "'Old'", "slug": "'old'", "external_id": "''"}
    new, mine = UUID("0f0e0d0c-0b0a-4908-8706-050403020100"), cast.contoso.pk
    columns = ", ".join(f'"{name}"' for name in names)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO requests_app_tenant ({columns}) SELECT {', '.join(values[name] for name in names)}"  # noqa: S608
            " FROM requests_app_tenant WHERE id = %s",
            [key.hex if connection.vendor == "sqlite" else str(key) for key in (new, mine)],
        )
    assert not Tenant.objects.get(pk=new).allows("act_as")


def test_nobody_can_ask_for_it_until_the_administrator_allows_it(cast: Cast) -> None:
    cast.with_act_as(allowed=False)
    ticket = cast.ticket(service_id=cast.quillo().pk)
    with nothing_happens(), pytest.raises(Unacceptable, match="Contoso has ruled out the level “act as") as refusal:
        operations.submit(cast.ask(ticket, level="act_as"), actor=cast.as_("priya"))
    assert refusal.value.field == "level"
    for name in ("ada", "otto", "mia", "priya", "stella"):
        with only_a_refusal(), pytest.raises(NotAllowed):
            operations.allow_level(cast.contoso.pk, level="act_as", actor=cast.as_(name))
    with nothing_happens(), pytest.raises(NotFound):
        operations.allow_level(cast.contoso.pk, level="act_as", actor=cast.as_("finn"))
    with pytest.raises(StepUpRequired):
        operations.allow_level(cast.contoso.pk, level="act_as", actor=cast.as_("ines", fresh=False))
    assert not Tenant.objects.filter(is_act_as_allowed=True).exists()
    operations.allow_level(cast.contoso.pk, level="act_as", actor=cast.as_("ines"))
    row = operations.submit(cast.ask(ticket, level="act_as"), actor=cast.as_("priya"))
    assert (row.level, row.service_words, row.enforced_by) == ("act_as", ACT_AS_WORDS, "Quillo")
    assert not Tenant.objects.get(pk=cast.fabrikam.pk).allows("act_as")


def test_a_service_without_it_never_gives_it_even_if_the_tenant_allows_it(cast: Cast) -> None:
    operations.allow_level(cast.contoso.pk, level="act_as", actor=cast.as_("ines"))
    Service.objects.filter(pk=cast.exchange.pk).update(levels="names\nact_as")
    for ticket, name in ((cast.ticket(), "Exchange Online"), (cast.ticket(service_id=cast.quillo().pk), "Quillo")):
        with nothing_happens(), pytest.raises(Unacceptable, match=f"that {name}"):
            operations.submit(cast.ask(ticket, level="act_as"), actor=cast.as_("priya"))


def test_under_two_person_control_another_person_confirms_it(cast: Cast) -> None:
    operations.set_two_person_control(cast.contoso.pk, on=True, actor=cast.as_("ines"))
    with pytest.raises(ChangeProposed) as held:
        operations.allow_level(cast.contoso.pk, level="act_as", actor=cast.as_("ines"))
    assert not Tenant.objects.get(pk=cast.contoso.pk).allows("act_as")
    with pytest.raises(NotAllowed):
        operations.confirm_proposal(held.value.current["proposal"], actor=cast.as_("ines"))
    operations.confirm_proposal(held.value.current["proposal"], actor=cast.as_("ada"))
    assert Tenant.objects.get(pk=cast.contoso.pk).allows("act_as")


def test_a_proposal_from_before_a_ruling_out_can_no_longer_be_confirmed(cast: Cast) -> None:
    ines = cast.as_("ines")
    operations.set_two_person_control(cast.contoso.pk, on=True, actor=ines)
    proposals = []
    for act in (partial(operations.allow_level, level="act_as"), partial(operations.set_two_person_control, on=False)):
        with pytest.raises(ChangeProposed) as held:
            act(cast.contoso.pk, actor=ines)
        proposals.append(held.value.current["proposal"])
    operations.confirm_proposal(proposals[1], actor=cast.as_("ada"))
    operations.allow_level(cast.contoso.pk, level="act_as", actor=cast.as_("ines"))
    operations.rule_out_level(cast.contoso.pk, level="act_as", actor=cast.as_("ines"))
    assert Proposal.objects.get(pk=proposals[0]).ended_at is not None
    with pytest.raises(WrongState):
        operations.confirm_proposal(proposals[0], actor=cast.as_("ada"))
    assert not Tenant.objects.get(pk=cast.contoso.pk).allows("act_as")


def test_ruling_it_out_ends_what_it_gave_and_nothing_else(cast: Cast) -> None:
    cast.with_act_as()
    grant, smaller = opened(cast), opened(cast, "read")
    waiting = cast.confirmed(ticket=cast.ticket(service_id=cast.quillo().pk), level="act_as")
    staff = service_of(cast)
    assert evaluate(ask(cast), actor=staff).decision
    operations.rule_out_level(cast.contoso.pk, level="act_as", actor=cast.as_("ines", fresh=False))
    assert Grant.objects.get(pk=grant.pk).close_reason == "revoked"
    assert AccessRequest.objects.get(pk=waiting.pk).state == "WITHDRAWN"
    assert Grant.objects.get(pk=smaller.pk).closed_at is None
    assert not evaluate(ask(cast), actor=staff).decision
    assert not operations.allow_access(ask(cast), actor=staff).decision
    assert operations.allow_access(ask(cast, "download"), actor=staff).decision
    operations.allow_level(cast.contoso.pk, level="act_as", actor=cast.as_("ines"))
    assert not evaluate(ask(cast), actor=staff).decision, "nothing that ended is restored"


@pytest.mark.dialect
def test_an_approval_and_an_access_ask_the_rule_again(cast: Cast, travel: Any) -> None:
    """The rule is written here without its act, so that nothing has ended."""
    service = cast.with_act_as()
    ticket = cast.ticket(service_id=service.pk)
    grant, waiting = cast.opened(ticket=ticket, level="act_as"), cast.confirmed(ticket=ticket, level="act_as")
    new = cast.submitted(ticket=ticket, level="act_as")
    Tenant.objects.filter(pk=cast.contoso.pk).update(is_act_as_allowed=False)
    with only_a_refusal(), pytest.raises(FactsChanged, match="ruled out"):
        operations.approve_as_customer(waiting.pk, actor=cast.as_("ada"))
    with only_a_refusal(), pytest.raises(FactsChanged, match="ruled out"):
        operations.approve_as_provider(new.pk, actor=cast.as_("pat"), note="No other way.")
    travel.freeze()
    staff = service_of(cast)
    for action in Action:
        assert not evaluate(ask(cast, action), actor=staff).decision
        assert not operations.allow_access(ask(cast, action), actor=staff).decision
    assert not ContentAccess.objects.exists()
    assert Grant.objects.get(pk=grant.pk).closed_at is None


@pytest.mark.dialect
@pytest.mark.parametrize("is_allowed", [True, False])
@pytest.mark.parametrize("ruled_out", ["", "names", "view read", "names view read"])
def test_all_pairs_of_a_level_and_an_action_have_one_answer_in_sql_and_in_python(
    cast: Cast, travel: Any, is_allowed: bool, ruled_out: str
) -> None:
    cast.with_act_as()
    grant, staff = opened(cast), service_of(cast)
    Tenant.objects.filter(pk=cast.contoso.pk).update(ruled_out=ruled_out, is_act_as_allowed=is_allowed)
    travel.freeze()
    order = ["names", "view", "read", "act_as"]
    needed = {"list": 0, "view": 1, "read": 2, "download": 2, "act_as": 3}
    for place, level in enumerate(order):
        Grant.objects.filter(pk=grant.pk).update(level=level)
        is_out = level in ruled_out.split() or (level == "act_as" and not is_allowed)
        for action in Action:
            query = reading.ask(ask(cast, action), actor=staff)
            require_same_facts(query)
            decided = evaluate(ask(cast, action), actor=staff)
            assert decided.decision is (not is_out and place >= needed[action]), (level, action)
            assert operations.allow_access(ask(cast, action), actor=staff).decision is decided.decision


# --- What is recorded and signed -----------------------------------------------------------------------------


def test_a_change_has_a_separate_entry_and_line(cast: Cast) -> None:
    cast.with_act_as()
    grant, staff = opened(cast), service_of(cast)
    verdict = operations.allow_access(ask(cast), actor=staff)
    assert verdict.decision
    [row] = ContentAccess.objects.filter(grant=grant)
    assert (row.kind, row.item_ref) == ("act_as_allowed", "POST /w/{id}/pages")
    assert events_of(grant.access_request_id)[-1] == "content.access_allowed"


def test_the_level_and_the_words_of_the_service_are_signed(cast: Cast) -> None:
    cast.with_act_as()
    row = cast.confirmed(ticket=cast.ticket(service_id=cast.quillo().pk), level="act_as")
    facts = manifest.facts_of(row, verdict="approve", stage="customer", decider={}, checkpoint=None)
    assert (facts["level"], facts["service_words"], facts["enforced_by"]) == ("act_as", ACT_AS_WORDS, "Quillo")
    text = manifest.issue(facts, at=row.submitted_at, deadline=row.decide_by)
    with pytest.raises(FactsChanged):
        manifest.require(manifest.read(text), {**facts, "level": "view"}, at=row.submitted_at)


def test_the_content_pages_never_read_or_change_anything_with_it(cast: Cast) -> None:
    cast.with_act_as()
    grant = opened(cast)
    resource = grant.access_request.scope.get().resource_id
    with only_a_refusal(), pytest.raises(EnforcedElsewhere):
        content.list_items(grant.pk, resource, actor=cast.as_("priya"))
    assert not ContentAccess.objects.exists()


def test_a_practice_request_never_has_it(cast: Cast) -> None:
    service = cast.with_act_as()
    ticket = operations.start_practice(cast.contoso.pk, service_id=service.pk, actor=cast.as_("stella"))
    asked = cast.ask(ticket, resource=resource_of(ticket), level="act_as")
    with nothing_happens(), pytest.raises(Unacceptable, match="A practice request can’t change anything"):
        operations.submit(asked, actor=cast.as_("priya"))
