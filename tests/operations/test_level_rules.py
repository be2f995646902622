"""A tenant rules a level of access out: nobody can ask for it, and nothing with it waits or stays open."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from requests_app import operations
from requests_app.domain.errors import (
    ChangeProposed,
    FactsChanged,
    NotAllowed,
    NotCovered,
    NotFound,
    StepUpRequired,
    Unacceptable,
    WindowNotOpen,
    WrongState,
)
from requests_app.domain.evaluation import Question
from requests_app.models import AccessRequest, ContentAccess, Grant, OutboxMessage, Tenant
from requests_app.models import evaluation as reading
from requests_app.operations import content
from requests_app.queries.evaluation import evaluate
from tests.caller import service_of
from tests.cast import Cast, events_of
from tests.operations.reference import require_same_facts
from tests.web.pages import nothing_happens, only_a_refusal

pytestmark = pytest.mark.django_db


def rule_out(cast: Cast, level: str = "read", *, by: str = "ines", **actor: Any) -> Tenant:
    return operations.rule_out_level(cast.contoso.pk, level=level, actor=cast.as_(by, **actor))


def allow(cast: Cast, level: str = "read", *, by: str = "ines", **actor: Any) -> Tenant:
    return operations.allow_level(cast.contoso.pk, level=level, actor=cast.as_(by, **actor))


def test_what_waits_and_what_is_open_at_the_level_ends_and_nothing_else(cast: Cast) -> None:
    ticket = cast.ticket()
    opened, other = cast.opened(ticket=ticket), cast.opened(ticket=ticket, level="names")
    waiting, theirs = cast.confirmed(ticket=ticket), cast.opened("fabrikam")
    new = cast.submitted(ticket=ticket)
    rule_out(cast)
    rows = {row.pk: row.state for row in AccessRequest.objects.all()}
    assert [rows[each] for each in (opened.access_request_id, waiting.pk, new.pk)] == [
        "CLOSED",
        "WITHDRAWN",
        "WITHDRAWN",
    ]
    assert rows[other.access_request_id] == rows[theirs.access_request_id] == "OPEN"
    assert events_of(opened.access_request_id)[-1] == "grant.revoked"
    assert events_of(waiting.pk)[-1] == "access_request.withdrawn"
    topics = OutboxMessage.objects.filter(tenant=cast.contoso).values_list("topic", flat=True)
    assert "notify.level_rule_changed" in set(topics)
    with pytest.raises(WindowNotOpen):
        content.list_items(opened.pk, cast.resource().pk, actor=cast.as_("priya"))


def test_nobody_can_ask_for_a_level_that_is_ruled_out_and_others_stay(cast: Cast) -> None:
    ticket = cast.ticket()
    rule_out(cast)
    with nothing_happens(), pytest.raises(Unacceptable, match="Contoso has ruled out the level") as refusal:
        operations.submit(cast.ask(ticket), actor=cast.as_("priya"))
    assert refusal.value.field == "level"
    assert operations.submit(cast.ask(ticket, level="view"), actor=cast.as_("priya")).level == "view"
    assert cast.submitted("fabrikam").level == "read"
    allow(cast)
    assert operations.submit(cast.ask(ticket), actor=cast.as_("priya")).level == "read"


def test_the_form_leaves_the_level_out_and_says_why(cast: Cast) -> None:
    ticket, client = cast.ticket(), Client()
    rule_out(cast)
    client.force_login(cast.priya)
    page = client.get(reverse("web:ask", args=[ticket.pk]))
    assert [value for value, _label in page.context["form"].fields["level"].choices] == ["names", "view"]
    assert "Contoso has ruled out: view and download." in page.content.decode()


@pytest.mark.dialect
def test_an_approval_and_an_access_ask_the_rule_again(cast: Cast, travel: Any) -> None:
    """The rule is written here without its act, so that nothing has ended."""
    ticket = cast.ticket()
    grant, waiting, new = cast.opened(ticket=ticket), cast.confirmed(ticket=ticket), cast.submitted(ticket=ticket)
    question = Question(
        subject_type="engineer",
        subject=str(cast.priya.pk),
        action="list",
        service="exchange-online",
        resource=str(cast.resource().pk),
    )
    staff = service_of(cast)
    assert evaluate(question, actor=staff).decision
    Tenant.objects.filter(pk=cast.contoso.pk).update(ruled_out="view read")
    with only_a_refusal(), pytest.raises(FactsChanged, match="ruled out"):
        operations.approve_as_customer(waiting.pk, actor=cast.as_("ada"))
    with only_a_refusal(), pytest.raises(FactsChanged, match="ruled out"):
        operations.approve_as_provider(new.pk, actor=cast.as_("pat"), note="No other way.")
    with only_a_refusal(), pytest.raises(NotCovered, match="ruled out"):
        content.list_items(grant.pk, cast.resource().pk, actor=cast.as_("priya"))
    assert not ContentAccess.objects.exists()
    assert not evaluate(question, actor=staff).decision
    travel.freeze()
    query = reading.ask(question, actor=staff)
    require_same_facts(query)
    assert not operations.allow_access(question, actor=staff).decision
    assert not ContentAccess.objects.exists()
    Tenant.objects.filter(pk=cast.contoso.pk).update(ruled_out="view")
    assert evaluate(question, actor=staff).decision
    assert Grant.objects.get(pk=grant.pk).closed_at is None


@pytest.mark.parametrize("act", [rule_out, allow])
def test_only_the_tenants_own_administrator_changes_the_rule(cast: Cast, act: Any) -> None:
    if act is allow:
        rule_out(cast)
    for name, error in (("ada", NotAllowed), ("otto", NotAllowed), ("finn", NotFound), ("priya", NotAllowed)):
        with only_a_refusal() if error is NotAllowed else nothing_happens(), pytest.raises((error, NotFound)):
            act(cast, by=name)
    with only_a_refusal(), pytest.raises(NotAllowed):
        act(cast, by="stella")


def test_only_allowing_a_level_needs_fresh_proof(cast: Cast) -> None:
    rule_out(cast, fresh=False)
    with pytest.raises(StepUpRequired):
        allow(cast, fresh=False)
    assert not Tenant.objects.get(pk=cast.contoso.pk).allows("read")


def test_under_two_person_control_only_allowing_needs_a_second_person(cast: Cast) -> None:
    operations.set_two_person_control(cast.contoso.pk, on=True, actor=cast.as_("ines"))
    rule_out(cast)
    with pytest.raises(ChangeProposed) as held:
        allow(cast)
    assert not Tenant.objects.get(pk=cast.contoso.pk).allows("read")
    operations.confirm_proposal(held.value.current["proposal"], actor=cast.as_("ada"))
    assert Tenant.objects.get(pk=cast.contoso.pk).allows("read")


def test_the_same_again_and_an_unknown_level_are_refused(cast: Cast) -> None:
    rule_out(cast)
    with pytest.raises(WrongState):
        rule_out(cast)
    allow(cast)
    with pytest.raises(WrongState):
        allow(cast)
    for act in (rule_out, allow):
        with nothing_happens(), pytest.raises(Unacceptable):
            act(cast, "write")


def test_the_page_shows_the_rule_to_everybody_and_buttons_to_the_administrator(cast: Cast) -> None:
    rule_out(cast, "view")
    pages = {}
    for name in ("ines", "mia", "otto", "finn"):
        client = Client()
        client.force_login(cast.people[name])
        pages[name] = client.get(reverse("web:level_rules", args=[cast.contoso.pk]))
    assert pages["finn"].status_code == 404
    for name in ("mia", "otto"):
        assert "ruled out" in pages[name].content.decode()
        assert 'name="act"' not in pages[name].content.decode()
    ours = pages["ines"].content.decode()
    assert [ours.count(f'value="{act}"') for act in ("rule_out_level", "allow_level")] == [2, 2]
    client = Client()
    client.force_login(cast.people["otto"])
    body = {"act": "rule_out_level", "level": "read"}
    with only_a_refusal():
        answer = client.post(reverse("web:level_rules", args=[cast.contoso.pk]), body)
    assert answer.status_code == 403
