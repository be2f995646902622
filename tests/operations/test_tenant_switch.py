"""A tenant that is switched off: all access ends and none begins, and its people can still read."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain.errors import FactsChanged, NotAllowed, Unacceptable, WrongState
from requests_app.models import AccessRequest, OutboxMessage, Proposal, Service, Tenant, Ticket
from tests.caller import caller_for
from tests.cast import Cast, events_in, events_of, outbox_topics
from tests.factors import force_login

pytestmark = pytest.mark.django_db


def off(cast: Cast, tenant: str = "contoso") -> None:
    """Switch the tenant off, as if the change had been announced, confirmed and due."""
    cast.agreed(lambda: operations.switch_off_tenant(cast.tenants[tenant].pk, actor=cast.as_("stella")))


def answer(cast: Cast) -> bool:
    question = {
        "subject": {"type": "engineer", "id": cast.priya.email},
        "action": {"name": "read"},
        "resource": {"type": "exchange-online", "id": str(cast.resource().pk)},
    }
    found = caller_for(cast, "stella").post("/access/v1/evaluation", question)
    return bool(found.json()["decision"])


def test_waiting_access_requests_are_withdrawn_and_open_windows_close(cast: Cast) -> None:
    waiting, asked, grant = cast.submitted(), cast.confirmed(), cast.opened(resource=cast.resource())
    elsewhere = cast.confirmed("fabrikam")
    assert answer(cast)
    off(cast)
    states = dict(AccessRequest.objects.values_list("pk", "state"))
    assert (states[waiting.pk], states[asked.pk]) == ("WITHDRAWN", "WITHDRAWN")
    assert (states[grant.access_request_id], states[elsewhere.pk]) == ("CLOSED", "PENDING_CUSTOMER")
    assert not answer(cast)
    assert "tenant.switched_off" in events_in(cast.contoso)
    assert events_of(waiting)[-1] == "access_request.withdrawn"
    assert events_of(grant.access_request_id)[-1] == "grant.revoked"
    assert "notify.window_closed" in outbox_topics()


def test_nobody_opens_a_ticket_or_asks_for_access(cast: Cast) -> None:
    ticket = cast.ticket()
    off(cast)
    OutboxMessage.objects.all().delete()
    before = AuditEntry.objects.exclude(event="act.refused").count()
    with pytest.raises(Unacceptable, match="switched off"):
        cast.submitted(ticket=ticket)
    for by in ("mia", "priya", "stella"):
        with pytest.raises(WrongState, match="switched off"):
            cast.ticket(by=by, **({} if by == "mia" else {"on_behalf_of_id": cast.mia.pk}))
    assert (Ticket.objects.count(), AccessRequest.objects.count(), OutboxMessage.objects.count()) == (1, 0, 0)
    assert AuditEntry.objects.exclude(event="act.refused").count() == before


@pytest.mark.parametrize("switched", ["tenant", "service"])
def test_no_approval_opens_a_window_there(cast: Cast, switched: str) -> None:
    """Also for an access request that was submitted while the act that switches off was running."""
    row = cast.confirmed()
    if switched == "tenant":
        Tenant.objects.filter(pk=cast.contoso.pk).update(is_active=False)
    else:
        Service.objects.filter(pk=cast.exchange.pk).update(is_active=False)
    with pytest.raises(FactsChanged, match="switched off"):
        operations.approve_as_customer(row.pk, actor=cast.as_("ada"))
    row.refresh_from_db()
    assert row.state == "PENDING_CUSTOMER"
    assert not hasattr(row, "grant") or row.grant is None


def test_its_people_still_read_and_export_their_log_and_lockbox_stays(cast: Cast) -> None:
    off(cast)
    assert Tenant.objects.get(pk=cast.contoso.pk).lockbox_on
    browser = Browser()
    force_login(browser, cast.otto)
    assert browser.get(reverse("web:log", args=[cast.contoso.pk])).status_code == 200
    auditor = caller_for(cast, "otto")
    assert auditor.get(f"tenants/{cast.contoso.pk}/log/entries").status_code == 200
    assert auditor.get(f"tenants/{cast.contoso.pk}/log/export").status_code == 200
    assert auditor.get(f"tenants/{cast.contoso.pk}").json()["is_active"] is False


def test_switching_on_again_restores_nothing(cast: Cast) -> None:
    grant = cast.opened(resource=cast.resource())
    off(cast)
    cast.agreed(lambda: operations.switch_on_tenant(cast.contoso.pk, actor=cast.as_("stella")))
    assert AccessRequest.objects.get(pk=grant.access_request_id).state == "CLOSED"
    assert not answer(cast)
    assert events_in(cast.contoso)[-2:] == ["tenant.switched_on", "proposal.applied"]
    assert cast.submitted().state == "PENDING_PROVIDER"


def test_a_tenant_that_never_had_lockbox_on_is_switched_immediately(cast: Cast) -> None:
    row = cast.submitted("northwind")
    stella = cast.as_("stella")
    assert not operations.switch_off_tenant(cast.northwind.pk, actor=stella).is_active
    row.refresh_from_db()
    assert row.state == "WITHDRAWN"
    with pytest.raises(WrongState):
        operations.switch_off_tenant(cast.northwind.pk, actor=stella)
    assert operations.switch_on_tenant(cast.northwind.pk, actor=stella).is_active
    assert not Proposal.objects.exists()


@pytest.mark.parametrize("who", ["ines", "ada", "priya", "pat"])
def test_only_staff_switch_a_tenant(cast: Cast, who: str, travel: Any) -> None:
    with pytest.raises(NotAllowed):
        operations.switch_off_tenant(cast.contoso.pk, actor=cast.as_(who))
    assert Tenant.objects.get(pk=cast.contoso.pk).is_active
    assert not Proposal.objects.exists()
    assert events_in(cast.contoso)[-1:] in ([], ["act.refused"])
