"""Changes by staff that reduce a customer's protection: one member proposes, another confirms or withdraws."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client

from requests_app.domain import clock
from requests_app.models import Person, Plan, Proposal, Service, Tenant
from tests.admin.conftest import act_address, address, signed_in
from tests.cast import Cast, events_in

pytestmark = pytest.mark.django_db


def uncovered(client: Client, cast: Cast) -> Any:
    row = cast.exchange
    wanted = {"key": row.key, "name": row.name, "connector": row.connector, "is_active": "on"}
    return client.post(act_address(row, "change"), wanted)


def messages(answer: Any) -> str:
    return " ".join(str(message) for message in get_messages(answer.wsgi_request))


def test_unticking_the_box_proposes_and_the_next_page_says_what_it_waits_for(cast: Cast, staff: Client) -> None:
    cast.colleague()
    answer = uncovered(staff, cast)
    row = Proposal.objects.get()
    assert (answer.status_code, answer.headers["Location"]) == (302, address(Proposal, "change", row.pk))
    assert "Another member of the staff must confirm the change within 7 days" in messages(answer)
    assert Service.objects.get(pk=cast.exchange.pk).is_covered
    page = staff.get(answer.headers["Location"]).content.decode()
    assert "waits for a second person" in page
    assert "Contoso, Fabrikam" in page
    assert staff.post(act_address(row, "confirm"), {}).status_code == 403
    sten = signed_in(cast, "sten")
    assert sten.post(act_address(row, "confirm"), {}).status_code == 302
    row.refresh_from_db()
    assert row.confirmed_at is not None
    assert (row.confirmed_by, row.effective_at) == (cast.people["sten"], row.confirmed_at + dt.timedelta(hours=72))
    assert Service.objects.get(pk=cast.exchange.pk).is_covered
    assert act_address(row, "confirm") not in sten.get(address(Proposal, "change", row.pk)).content.decode()
    assert staff.post(act_address(row, "withdraw"), {}).status_code == 302
    assert events_in(cast.contoso)[-3:] == ["proposal.made", "proposal.confirmed", "proposal.withdrawn"]


def test_the_page_says_if_only_the_waiting_time_protects_the_customer(cast: Cast, staff: Client) -> None:
    answer = uncovered(staff, cast)
    assert "no second person has to confirm the change" in messages(answer)
    page = staff.get(answer.headers["Location"]).content.decode()
    assert "announced; no other member of the staff could confirm it" in page


def test_a_change_that_is_due_says_whether_it_waits_for_a_window_or_only_for_the_sweep(
    cast: Cast, staff: Client
) -> None:
    cast.in_state("OPEN")
    changed = {"key": cast.exchange.key, "name": "Other", "connector": cast.exchange.connector, "is_active": "on"}
    staff.post(act_address(cast.exchange, "change"), {**changed, "is_covered": "on"})
    uncovered(staff, cast)
    renames, uncovers = Proposal.objects.order_by("proposed_at")
    Proposal.objects.update(effective_at=clock.now())
    page = staff.get(address(Proposal, "change", renames.pk)).content.decode()
    assert "due: takes effect after the access requests and windows that it affects have ended" in page
    page = staff.get(address(Proposal, "change", uncovers.pk)).content.decode()
    assert "due: takes effect in a moment" in page


def test_a_new_name_with_a_plan_that_is_announced_is_refused_on_the_page(cast: Cast, staff: Client) -> None:
    row, basic = cast.contoso, Plan.objects.get(name="Basic")
    body = {"name": "Contoso Ltd", "slug": row.slug, "plan": str(basic.pk), "time_zone": row.time_zone}
    answer = staff.post(act_address(row, "change"), body)
    assert "So change the name, time zone or external id in a separate step: save it first." in answer.content.decode()
    assert not Proposal.objects.exists()
    # First the name, then the plan.
    assert staff.post(act_address(row, "change"), {**body, "plan": str(row.plan_id)}).status_code == 302
    assert staff.post(act_address(row, "change"), body).status_code == 302
    assert Proposal.objects.get().act == "move_tenant"
    assert Tenant.objects.get(pk=row.pk).name == "Contoso Ltd"


def test_a_tenants_own_proposals_are_shown_and_not_done(cast: Cast, staff: Client) -> None:
    at = clock.now()
    proposal = Proposal.objects.create(
        tenant=cast.contoso,
        act="switch_lockbox",
        said={"on": False},
        proposed_by=cast.ines,
        proposed_human=cast.ines.human_id,
        proposed_at=at,
        expires_at=at + dt.timedelta(days=7),
    )
    page = staff.get(address(Proposal, "change", proposal.pk)).content.decode()
    assert act_address(proposal, "confirm") not in page
    for act in ("confirm", "withdraw"):
        assert staff.post(act_address(proposal, act), {}).status_code == 403
    proposal.refresh_from_db()
    assert proposal.ended_at is None


def test_a_lists_button_proposes_too(cast: Cast, staff: Client) -> None:
    Person.objects.filter(pk__in=[cast.pat.pk, cast.paula.pk]).update(is_active=False)
    body = {"action": "switch-on", "_selected_action": [str(cast.pat.pk), str(cast.paula.pk)], "index": "0"}
    answer = staff.post(address(Person), body)
    assert "2 proposed" in messages(answer)
    assert not Person.objects.filter(pk__in=[cast.pat.pk, cast.paula.pk], is_active=True).exists()
    assert Proposal.objects.filter(act="switch_on_provider").count() == 2


def test_the_form_says_beforehand_that_a_change_is_announced(cast: Cast, staff: Client) -> None:
    for row in (cast.exchange, cast.resource()):
        assert "people get a mail immediately" in staff.get(act_address(row, "change")).content.decode()


def test_staff_see_that_a_change_waits_for_a_second_person(cast: Cast, staff: Client) -> None:
    """The first pages and the menu show the number, and its link leads to exactly these changes."""
    cast.colleague()
    sten = signed_in(cast, "sten")
    waits = address(Proposal, "changelist") + "?state=waits"
    overview = sten.get("/admin/").content.decode()
    assert ("No change waits for a confirmation" in overview, "portal-menu-count" in overview) == (True, False)
    assert "second member of the staff" not in sten.get("/").content.decode()
    uncovered(staff, cast)
    overview, home = sten.get("/admin/").content.decode(), sten.get("/").content.decode()
    assert f'href="{waits}">Waiting for a second person</a>' in overview
    assert "Read these changes, then confirm or withdraw them" in overview
    assert 'class="portal-menu-count">1<' in overview
    assert "1 change waits for a second member of the staff." in home
    assert waits in home
    row = Proposal.objects.get()
    assert str(row.pk) in sten.get(waits).content.decode()
    assert 'data-label="Tenants">Contoso, Fabrikam</td>' in re.sub(
        r"</?bdi[^>]*>", "", sten.get(waits).content.decode()
    )
    sten.post(act_address(row, "confirm"), {})
    assert str(row.pk) not in sten.get(waits).content.decode()
    assert str(row.pk) in sten.get(address(Proposal, "changelist") + "?state=announced").content.decode()
    assert "portal-menu-count" not in sten.get("/admin/").content.decode()
    assert "second member of the staff" not in signed_in(cast, "ada").get("/").content.decode()
