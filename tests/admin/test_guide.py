"""The provider's guided set-up: who sees it, and which fact makes each step done."""

from __future__ import annotations

import datetime as dt
import json
import re
import shlex
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.core import mail
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from audit_app.models import LogKey
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.errors import NotAllowed
from requests_app.domain.evaluation import Question
from requests_app.models import (
    GateProxy,
    Guard,
    Installation,
    Invitation,
    Membership,
    Person,
    Plan,
    Proposal,
    QueueAssignment,
    Resource,
    Service,
    StaffTerm,
    Tenant,
)
from requests_app.platform import program
from requests_app.queries.evaluation import evaluate
from requests_app.queries.guide import Guide, StepState
from requests_app.queries.guide_of_provider import provider_guide
from requests_app.queries.installation import MAIL_FILES
from requests_app.queries.provider_facts import ProviderFacts
from tests import practice
from tests.acts.guide import COPY_HASH, _copied
from tests.acts.shared import NEW_PASSWORD
from tests.admin.conftest import address
from tests.caller import service_of
from tests.cast import Cast
from tests.web.pages import nothing_happens, signed_in

pytestmark = pytest.mark.django_db

HERE, TEST, COPY = "/admin/set-up/", "/admin/set-up/test-mail/", "/admin/set-up/key-copy/"


def guide(cast: Cast, name: str = "stella") -> Guide[ProviderFacts]:
    return provider_guide(actor=cast.as_(name), at=clock.now())


def step(cast: Cast, name: str) -> tuple[StepState, str]:
    [found] = [each.found for each in guide(cast).steps if each.step.name == name]
    return found.state, " ".join([found.says, *found.lines])


def is_done(cast: Cast, name: str) -> bool:
    return step(cast, name)[0] is StepState.DONE


def shown(client: Client, path: str = HERE) -> str:
    return " ".join(client.get(path).content.decode().split())


@pytest.fixture(autouse=True)
def _named(settings: Any) -> None:
    settings.PROVIDER_NAME_IS_SET = True


# --- Who sees it ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["priya", "pat", "ada", "ines", "finn"])
def test_only_staff_see_it(cast: Cast, name: str) -> None:
    client = signed_in(cast, name)
    for path in (HERE, TEST, COPY):
        for method in ("get", "post"):
            assert getattr(client, method)(path).status_code == 404, path
    with pytest.raises(NotAllowed):
        guide(cast, name)
    assert mail.outbox == []


@pytest.mark.parametrize("path", [HERE, COPY, TEST])
@pytest.mark.parametrize("method", ["get", "head"])
def test_looking_ticks_nothing(cast: Cast, staff: Client, path: str, method: str) -> None:
    with nothing_happens():
        getattr(staff, method)(path)
    assert not Installation.objects.exists()
    assert mail.outbox == []


# --- The facts ------------------------------------------------------------------------------------------------


def test_the_name_must_be_chosen(cast: Cast, settings: Any) -> None:
    assert is_done(cast, "name")
    settings.PROVIDER_NAME_IS_SET = False
    assert not is_done(cast, "name")


def test_the_address_must_have_tls(cast: Cast, settings: Any) -> None:
    settings.BASE_URL = "https://lockbox.example"
    assert is_done(cast, "name")
    settings.BASE_URL = "http://lockbox.example"
    assert step(cast, "name")[0] is StepState.OPEN


def test_mail_is_done_when_a_server_accepted_a_test_mail(cast: Cast) -> None:
    assert not is_done(cast, "mail")
    operations.send_test_mail(actor=cast.as_("stella"))
    assert is_done(cast, "mail")


def test_an_installation_without_a_mail_server_does_not_count_mail(cast: Cast, settings: Any) -> None:
    settings.BASE_URL = "https://lockbox.example"
    total = guide(cast).total
    settings.EMAIL_BACKEND = "requests_app.messages.mails.files.EmailBackend"
    assert step(cast, "mail")[0] is StepState.LEFT_OUT
    assert guide(cast).total == total - 1


def test_a_trial_can_be_completed_without_a_name_and_a_copy_of_the_key(cast: Cast, settings: Any) -> None:
    LogKey.objects.create(public=b"1" * 32, first_used_at=clock.now())
    settings.PROVIDER_NAME_IS_SET, settings.BASE_URL = False, "http://localhost:8000"
    before = guide(cast).total
    settings.EMAIL_BACKEND = MAIL_FILES
    assert {step(cast, name)[0] for name in ("name", "mail", "log_key", "plan", "staff")} == {StepState.LEFT_OUT}
    assert guide(cast).total == before - 5
    _copied(cast)
    assert step(cast, "log_key")[0] is StepState.OPEN, "who makes a copy shows that it is stored"
    settings.PRODUCTION = True
    assert step(cast, "name")[0] is StepState.OPEN
    settings.PRODUCTION, settings.BASE_URL = False, "http://lockbox.example"
    assert step(cast, "name")[0] is StepState.OPEN


def test_the_keys_copy_must_exist_and_be_confirmed_again_after_a_change(cast: Cast) -> None:
    assert step(cast, "log_key")[0] is StepState.BLOCKED
    at = clock.now()
    LogKey.objects.create(public=b"1" * 32, first_used_at=at)
    state, says = step(cast, "log_key")
    assert (state, program.command("log_key copy") in says) == (StepState.OPEN, True)
    ending = _copied(cast)
    assert step(cast, "log_key")[0] is StepState.OPEN
    operations.confirm_key_copy(characters=ending, actor=cast.as_("stella"))
    assert is_done(cast, "log_key")
    LogKey.objects.create(public=b"2" * 32, first_used_at=at + dt.timedelta(days=1))
    assert not is_done(cast, "log_key")


def test_a_plan_is_needed(cast: Cast) -> None:
    state, says = step(cast, "plan")
    assert (state, "E5" in says) == (StepState.DONE, True)
    operations.save_plan(name="E7", includes_lockbox=True, actor=cast.as_("stella"))
    assert "E7" in step(cast, "plan")[1]
    Plan.objects.update(includes_lockbox=False)
    state, says = step(cast, "plan")
    assert (state, "No plan includes Lockbox" in says) == (StepState.OPEN, True)


def test_a_trials_plan_is_no_step(cast: Cast, settings: Any) -> None:
    settings.BASE_URL, settings.EMAIL_BACKEND = "http://localhost:8000", MAIL_FILES
    assert step(cast, "plan")[0] is StepState.LEFT_OUT
    Plan.objects.update(includes_lockbox=False)
    assert step(cast, "plan")[0] is StepState.OPEN


def test_a_new_plan_includes_lockbox_unless_somebody_says_otherwise(cast: Cast, staff: Client) -> None:
    here, box = reverse("admin:requests_app_plan_add"), 'name="includes_lockbox"'
    assert re.search(rf"<input[^>]*{box}[^>]*checked", staff.get(here).content.decode())
    without = Plan.objects.create(name="Small", includes_lockbox=False)
    here = reverse("admin:requests_app_plan_act", args=[without.pk, "change"])
    assert not re.search(rf"<input[^>]*{box}[^>]*checked", staff.get(here).content.decode())
    staff.post(reverse("admin:requests_app_plan_add"), {"name": "Tiny"})
    assert not Plan.objects.get(name="Tiny").includes_lockbox, "a tick that was taken away stays away"


def test_a_second_member_of_staff_is_a_second_human(cast: Cast) -> None:
    assert not is_done(cast, "staff")
    sten = cast.colleague("sten")
    state, says = step(cast, "staff")
    assert (state, "Sten Test" in says) == (StepState.DONE, True)
    Person.objects.get_queryset().filter(pk=sten.pk).update(human_id=cast.stella.human_id)
    assert not is_done(cast, "staff")
    Person.objects.get_queryset().filter(pk=sten.pk).update(human_id=sten.human_id, is_active=False)
    assert not is_done(cast, "staff")


def test_an_invitation_is_named_and_counts_only_when_it_is_accepted(cast: Cast) -> None:
    cast.peaceful()
    row = cast.invited_colleague("sam@provider.example", "staff")
    cast.invited_colleague("eva@provider.example", "engineer")
    state, says = step(cast, "staff")
    assert (state, "sam@provider.example was invited on" in says) == (StepState.OPEN, True)
    assert "eva@provider.example" not in says
    assert "eva@provider.example was invited on" in step(cast, "people")[1]
    assert [each.found.waits for each in guide(cast).steps if each.step.name == "staff"] == [True]
    operations.accept_invitation(
        cast.link_of(row), name="Sam Ode", password=NEW_PASSWORD, actor=Actor.stranger(door="pages")
    )
    state, says = step(cast, "staff")
    assert (state, "Sam Ode" in says, "invited" in says) == (StepState.DONE, True, False)


def test_an_invitation_that_a_switch_on_has_ended_waits_for_staff(cast: Cast, staff: Client) -> None:
    cast.peaceful()
    QueueAssignment.objects.all().delete()
    cast.invited_colleague("sam@provider.example", "staff")
    cast.invited_colleague("eva@provider.example", "engineer")
    cast.invited_colleague("paul@provider.example", "provider_approver")

    def waits() -> list[bool]:
        return [each.found.waits for each in guide(cast).steps if each.step.name in ("staff", "people")]

    again = 'href="/admin/requests_app/invitation/?state=overtaken">Invitations to send again</a>'
    assert (waits(), again in shown(staff)) == ([True, True], False)
    Tenant.objects.filter(pk=cast.northwind.pk).update(lockbox_on=True)
    assert (waits(), shown(staff).count(again)) == ([False, False], 2)
    says = f"{step(cast, 'staff')[1]} {step(cast, 'people')[1]}"
    assert "has not accepted yet" not in says
    for name in ("sam", "eva", "paul"):
        assert f"The invitation of {name}@provider.example ended when a customer switched Lockbox on." in says
        operations.resend_invitation(Invitation.objects.get(email__startswith=name).pk, actor=cast.as_("stella"))
    assert (waits(), again in shown(staff)) == ([True, True], False)


def test_a_role_that_waits_is_named_with_its_time_and_its_proposal(cast: Cast, staff: Client, travel: Any) -> None:
    cast.colleague("sten")
    row = cast.invited_colleague("eva@provider.example", "engineer")
    QueueAssignment.objects.filter(role="engineer").delete()
    operations.accept_invitation(
        cast.link_of(row), name="Eva Ode", password=NEW_PASSWORD, actor=Actor.stranger(door="pages")
    )
    says = "Eva Ode has accepted, and gets the role “Engineer” when a second member of the staff confirms it."
    assert says in step(cast, "people")[1]
    operations.confirm_proposal(row.proposal_id, actor=cast.as_("sten"))
    state, says = step(cast, "people")
    assert (state, "Eva Ode gets the role “Engineer” on " in says) == (StepState.OPEN, True)
    assert [each.found.waits for each in guide(cast).steps if each.step.name == "people"] == [True]
    link = f'href="/admin/requests_app/proposal/{row.proposal_id}/change/">Proposal of the role of Eva Ode</a>'
    assert link in shown(staff)
    at = Proposal.objects.get().effective_at
    assert at is not None
    travel.to(at)
    operations.apply_due(actor=cast.system("sweep"), limit=10)
    assert is_done(cast, "people")
    assert link not in shown(staff)


def test_a_lone_member_of_staff_is_not_asked_for_another_one_while_one_comes(cast: Cast) -> None:
    row = cast.invited_colleague("sam@provider.example", "staff")
    operations.accept_invitation(
        cast.link_of(row), name="Sam Ode", password=NEW_PASSWORD, actor=Actor.stranger(door="pages")
    )
    state, says = step(cast, "staff")
    assert (state, "Sam Ode gets the role “Staff” on " in says) == (StepState.OPEN, True)
    assert "You need another one" not in says
    operations.withdraw_proposal(row.proposal_id, actor=cast.as_("stella"))
    assert step(cast, "staff")[1].endswith("You need another one.")


def test_links_lead_to_the_form_that_is_needed_with_the_role(cast: Cast, staff: Client) -> None:
    page = shown(staff)
    assert 'href="/admin/requests_app/person/add/?role=staff&amp;set-up=yes"' in page
    assert "selected>Staff" in staff.get("/admin/requests_app/person/add/?role=staff").content.decode()
    Membership.objects.filter(role="administrator").delete()
    [found] = [each for each in guide(cast).steps if each.step.name == "tenant"]
    assert found.links[0].args[1] == "invite"
    page = shown(staff)
    pk, name = found.links[0].args[0], Tenant.objects.get(pk=found.links[0].args[0]).name
    invite = f"/admin/requests_app/tenant/{pk}/act/invite/?role=administrator"
    assert f'href="{invite}&amp;set-up=yes">Invite the administrator of {name}</a>' in page
    assert '<option value="administrator" selected>' in staff.get(invite).content.decode()
    Resource.objects.all().delete()
    [found] = [each for each in guide(cast).steps if each.step.name == "resource"]
    assert [str(link.label) for link in found.links] == [f"Find resources of {name}"]


def test_after_an_act_the_next_step_is_one_press_away(cast: Cast, staff: Client) -> None:
    cast.peaceful()
    Membership.objects.filter(role="administrator").delete()
    url, onwards = "/admin/requests_app/plan/add/", f'<a href="{HERE}">Set-up list</a>'
    operations.send_test_mail(actor=cast.as_("stella"))
    operations.confirm_key_copy(characters=_copied(cast), actor=cast.as_("stella"))
    assert onwards not in staff.get(url).content.decode(), "nothing was done yet"
    page = staff.post(url, {"name": "Second"}, follow=True).content.decode()
    assert '<a href="/admin/requests_app/person/add/?role=staff&amp;set-up=yes">Second member of staff</a>' in page
    assert onwards in page
    assert onwards not in staff.post(TEST, follow=True).content.decode(), "this is the set-up"


def _add_plan(client: Client, query: str = "") -> str:
    """Add a plan from an address with this query. Return the path of the page that follows."""
    answer = client.post(f"/admin/requests_app/plan/add/{query}", {"name": f"Plan {Plan.objects.count()}"})
    assert answer.status_code == 302
    return answer["Location"]


def test_who_comes_from_the_list_goes_on_to_the_next_form(cast: Cast, staff: Client, settings: Any) -> None:
    _alone(cast, settings)
    assert 'href="/admin/requests_app/service/add/?set-up=yes"' in shown(staff)
    row = "/admin/requests_app/plan/"
    assert re.fullmatch(rf"{row}[0-9a-f-]+/change/", _add_plan(staff)), "not from the list"
    assert _add_plan(staff, "?set-up=yes") == HERE, "the next step is a button of the list"
    cast.invited_colleague("paul@provider.example", "provider_approver")
    form = _add_plan(staff, "?set-up=yes")
    assert form == "/admin/requests_app/person/add/?role=engineer&set-up=yes"
    assert "selected>Engineer" in (page := shown(staff, form))
    assert "The plan was added." in page


@pytest.mark.parametrize("query", ["?set-up=https://evil.example/", "?set-up=//evil.example", "?next=//evil.example"])
def test_the_way_onwards_leads_nowhere_else(cast: Cast, staff: Client, settings: Any, query: str) -> None:
    _alone(cast, settings)
    assert _add_plan(staff, query).startswith(("/admin/set-up/", "/admin/requests_app/plan/"))


def test_nobody_is_led_onwards_once_the_product_is_in_use(cast: Cast, staff: Client) -> None:
    assert _add_plan(staff, "?set-up=yes").startswith("/admin/requests_app/plan/")


def test_a_refusal_leads_nowhere(cast: Cast, staff: Client, settings: Any) -> None:
    _alone(cast, settings)
    answer = staff.post("/admin/requests_app/plan/add/?set-up=yes", {"name": ""})
    assert answer.status_code == 200
    assert "Please check what you entered" in answer.content.decode()


def test_the_chosen_role_stays_for_another_person(cast: Cast, staff: Client) -> None:
    cast.peaceful()
    here = "/admin/requests_app/person/add/"
    fields = {
        "email": "paul@provider.example",
        "role": "provider_approver",
        "services": cast.exchange.pk,
        "again": "yes",
    }
    answer = staff.post(f"{here}?role=engineer&set-up=yes", fields)
    assert answer["Location"] == f"{here}?role=provider_approver&set-up=yes"
    assert 'value="provider_approver" selected' in shown(staff, answer["Location"])


def test_in_use_only_acts_of_a_step_lead_onwards(cast: Cast, staff: Client) -> None:
    onwards = "Set-up list"
    assert onwards in staff.post("/admin/requests_app/plan/add/", {"name": "First"}, follow=True).content.decode()
    link = reverse("admin:requests_app_ticket_act", args=[cast.ticket().pk, "link"])
    answer = staff.post(link, {"external_reference": "INC-7", "external_url": ""}, follow=True).content.decode()
    assert ("message-success" in answer, onwards in answer) == (True, False)


def test_the_skip_link_leads_past_the_menu(cast: Cast, staff: Client) -> None:
    for path in ("/admin/", HERE, "/admin/requests_app/import/add/", "/admin/requests_app/resource/"):
        page = staff.get(path).content.decode()
        target = page.index('id="portal-main" tabindex="-1"')
        assert page.index('class="skip-link" href="#portal-main"') < page.index('class="portal-menu"'), path
        assert page.rindex('class="portal-menu"') < target < page.index("<h1"), path


def test_a_resource_that_is_switched_off_does_not_count(cast: Cast) -> None:
    _reach()
    assert is_done(cast, "resource")
    Resource.objects.update(is_active=False)
    assert step(cast, "resource")[0] is StepState.OPEN


def _reach() -> None:
    """Store that a test has reached all resources of Exchange Online."""
    Resource.objects.filter(service__key="exchange-online").update(checked_at=clock.now())


def test_a_resource_must_be_reached_by_a_test(cast: Cast) -> None:
    state, says = step(cast, "resource")
    assert (state, "A test of the resource runs by itself" in says) == (StepState.OPEN, True)
    row = cast.resource()
    at = clock.now()
    failed: dict[str, Any] = {"check_problem": "resource_not_found", "check_failing_since": at, "next_check_at": at}
    Resource.objects.filter(pk=row.pk).update(checked_at=at, **failed)
    state, says = step(cast, "resource")
    assert (state, f"{row.name}: can’t be reached since" in says) == (StepState.OPEN, True)
    _reach()
    state, says = step(cast, "resource")
    assert (state, row.name in says) == (StepState.DONE, True), "another resource is reached"


@pytest.mark.parametrize("is_window_open", [False, True])
def test_an_external_service_is_done_when_its_application_has_asked(cast: Cast, is_window_open: bool) -> None:
    cast.peaceful()
    quillo = cast.quillo()
    Resource.objects.filter(external_id="f-7").update(is_active=False)
    [found] = [each.found for each in guide(cast).steps if each.step.name == "application"]
    assert found.state is StepState.OPEN
    assert found.lines[0] == f"{quillo.name}: nothing was heard yet."
    assert "before the first customer switches Lockbox on" in found.lines[-1]
    customers = service_of(cast, "contoso")
    service = service_of(cast)
    assert "API client" not in step(cast, "application")[1]
    advice = asked_question(found.commands[1])
    evaluate(advice, actor=service)
    operations.allow_access(advice, actor=customers)
    assert not is_done(cast, "application"), "advice, and a question of a customer's client"
    if is_window_open:
        cast.in_quillo()
    assert operations.allow_access(advice, actor=service).decision is is_window_open
    state, says = step(cast, "application")
    assert (state, quillo.name in says) == (StepState.DONE, True)


def test_without_an_external_service_the_application_is_no_step(cast: Cast) -> None:
    assert step(cast, "application")[0] is StepState.LEFT_OUT


def test_a_resource_that_only_its_application_can_reach_needs_no_test(cast: Cast) -> None:
    quillo = cast.quillo()
    Resource.objects.exclude(service=quillo).update(is_active=False)
    state, says = step(cast, "resource")
    assert (state, quillo.name in says) == (StepState.DONE, True)


def test_the_application_is_connected_when_its_guard_was_heard_of(cast: Cast, staff: Client) -> None:
    quillo, client = cast.quillo(), cast.guard().row
    row = Guard.objects.create(client=client, number=uuid4(), version="test/2", first_at=clock.now())
    [found] = [each.found for each in guide(cast).steps if each.step.name == "application"]
    assert (found.state, found.first and found.first.args) == (StepState.OPEN, (str(quillo.pk),))
    assert "Start the application" in found.lines[-1]
    assert f'href="{address(Service, "change", quillo.pk)}' in shown(staff)
    row.feed_at = clock.now()
    row.save()
    state, says = step(cast, "application")
    assert (state, "its guard (test/2) was last heard of" in says) == (StepState.DONE, True)
    operations.remove_client(client.pk, actor=cast.as_("stella"))
    assert not is_done(cast, "application"), "the client of the guard was removed"


def test_a_web_tool_is_connected_when_its_proxy_has_asked(cast: Cast) -> None:
    proxy = cast.proxy()
    assert not is_done(cast, "application")
    GateProxy.objects.filter(pk=proxy.pk).update(asked_at=clock.now())
    state, says = step(cast, "application")
    assert (state, "a proxy last asked" in says) == (StepState.DONE, True)
    GateProxy.objects.filter(pk=proxy.pk).update(removed_at=clock.now())
    assert not is_done(cast, "application")


def asked_question(command: str) -> Question:
    """Return the question of a command, as the shell and the decision point read it."""
    body = json.loads(shlex.split(command)[-1])
    return Question(
        subject_type=body["subject"]["type"],
        subject=body["subject"]["id"],
        action=body["action"]["name"],
        service=body["resource"]["type"],
        resource=body["resource"]["id"],
        tenant=body["context"]["tenant"],
    )


def test_a_queue_needs_an_engineer_and_another_human_as_approver(cast: Cast) -> None:
    assert is_done(cast, "people")
    QueueAssignment.objects.exclude(person=cast.bea).delete()
    assert step(cast, "people")[0] is StepState.OPEN, "one human has both roles"
    QueueAssignment.objects.create(service=cast.exchange, person=cast.erik, role="engineer", given_at=clock.now())
    assert is_done(cast, "people")


def _alone(cast: Cast, settings: Any) -> Service:
    """Make a trial before anybody has a role in a queue. Return its only service."""
    settings.BASE_URL, settings.EMAIL_BACKEND = "http://localhost:8000", MAIL_FILES
    cast.peaceful()
    QueueAssignment.objects.all().delete()
    Service.objects.exclude(pk=cast.exchange.pk).update(is_active=False)
    return cast.exchange


PRESS = "Make yourself an approver of Exchange Online"


def _press(page: str) -> tuple[str, dict[str, str]]:
    """Return the address and the hidden fields of the button that makes the reader an approver."""
    found = re.search(rf'<form class="action" method="post" action="([^"]+)">((?:(?!</form>).)*){PRESS}', page)
    assert found, page
    fields = dict(re.findall(r'name="(service|role)" value="([^"]+)"', found[2]))
    return found[1], fields


def test_who_tries_the_product_alone_becomes_an_approver_with_one_press(
    cast: Cast, staff: Client, settings: Any
) -> None:
    service = _alone(cast, settings)
    page = shown(staff)
    assert re.search(r'href="/admin/requests_app/person/add/\?role=engineer[^"]*">Invite an engineer</a>', page)
    address, fields = _press(page)
    assert staff.post(address, fields).status_code == 302
    held = QueueAssignment.objects.get()
    assert (held.person, held.service, held.role) == (cast.stella, service, "provider_approver")
    page = shown(staff)
    assert (PRESS in page, "Invite an engineer</a>" in page) == (False, True)
    assert step(cast, "people")[0] is StepState.OPEN, "one human is not enough"
    QueueAssignment.objects.create(service=service, person=cast.erik, role="engineer", given_at=clock.now())
    assert is_done(cast, "people")


def test_nobody_becomes_an_approver_alone_once_a_customer_has_lockbox_on(
    cast: Cast, staff: Client, settings: Any
) -> None:
    _alone(cast, settings)
    address, fields = _press(shown(staff))
    Tenant.objects.filter(pk=cast.northwind.pk).update(lockbox_on=True)
    assert PRESS not in shown(staff)
    staff.post(address, fields)
    assert not QueueAssignment.objects.exists()
    row = Proposal.objects.get()
    with pytest.raises(NotAllowed):
        operations.confirm_proposal(row.pk, actor=cast.as_("stella"))
    assert not QueueAssignment.objects.exists()


def test_outside_a_trial_nobody_is_led_to_become_an_approver(cast: Cast, staff: Client, settings: Any) -> None:
    _alone(cast, settings)
    settings.BASE_URL = "https://lockbox.example"
    assert "Make yourself an approver" not in shown(staff)
    assert [str(link.label) for each in guide(cast).steps if each.step.name == "people" for link in each.links] == [
        "Invite a person",
        "Queues",
    ]


def test_a_trials_approver_does_not_confirm_what_the_same_human_asked_for(cast: Cast, settings: Any) -> None:
    service = _alone(cast, settings)
    for role in ("engineer", "provider_approver"):
        operations.give_queue_role(service.pk, cast.stella.pk, role=role, actor=cast.as_("stella"))
    row = cast.submitted(by="stella")
    with pytest.raises(NotAllowed):
        operations.approve_as_provider(row.pk, actor=cast.as_("stella"), note="No other way.")
    row.refresh_from_db()
    assert row.state == "PENDING_PROVIDER"


def test_the_first_tenant_needs_an_administrator(cast: Cast) -> None:
    state, says = step(cast, "tenant")
    assert (state, "has an administrator" in says) == (StepState.DONE, True)
    Membership.objects.filter(role="administrator").delete()
    assert step(cast, "tenant")[0] is StepState.OPEN


def test_what_is_switched_off_counts_nothing(cast: Cast) -> None:
    Service.objects.update(is_active=False)
    assert step(cast, "service")[0] is StepState.OPEN
    assert step(cast, "people")[0] is StepState.BLOCKED
    Tenant.objects.update(is_active=False)
    assert step(cast, "tenant")[0] is StepState.OPEN


def test_an_invited_administrator_is_enough_until_the_invitation_expires(cast: Cast, travel: Any) -> None:
    Membership.objects.filter(role="administrator").delete()
    Membership.objects.filter(tenant=cast.northwind).delete()
    travel.freeze()
    operations.invite_person(
        cast.northwind.pk, email="new@northwind.example", role="administrator", actor=cast.as_("stella")
    )
    state, says = step(cast, "tenant")
    assert (state, "new@northwind.example" in says) == (StepState.DONE, True)
    travel.by(days=8)
    assert step(cast, "tenant")[0] is StepState.OPEN


def test_an_empty_installation_reads_what_is_not_possible_yet(cast: Cast) -> None:
    for model in (QueueAssignment, Resource, Membership):
        model.objects.all().delete()
    Tenant.objects.all().delete()
    Service.objects.all().delete()
    Plan.objects.all().delete()
    found = {each.step.name: each.found.state for each in guide(cast).steps}
    assert found["plan"] is StepState.OPEN
    assert found["service"] is StepState.OPEN
    assert (found["people"], found["tenant"]) == (StepState.BLOCKED, StepState.BLOCKED)
    Service.objects.create(key="mail", name="Mail", connector="maildir")
    assert is_done(cast, "service")
    assert step(cast, "resource") == (StepState.BLOCKED, "Add a tenant first.")


def test_a_practice_request_names_the_people_who_must_act(cast: Cast) -> None:
    assert step(cast, "practice") == (StepState.OPEN, "Nobody has answered an access request yet.")
    ticket = practice.started(cast)
    assert step(cast, "practice")[1] == "It waits for Bea Test, Erik Test or Priya Test, engineers."
    row = practice.submitted(cast, ticket=ticket)
    says = step(cast, "practice")[1]
    assert says.endswith(f"Pat Test or Paula Test, approvers of {settings.PROVIDER_NAME}."), says
    operations.approve_as_provider(row.pk, actor=cast.as_("pat"), note="No other way.")
    assert step(cast, "practice") == (StepState.OPEN, "It waits for Ada Test or Alan Test, approvers of Contoso.")
    assert [each.found.waits for each in guide(cast).steps if each.step.name == "practice"] == [True]
    practice.confirmed(cast, "northwind")
    assert is_done(cast, "practice"), "without Lockbox, the provider's answer is the last"
    QueueAssignment.objects.all().delete()
    assert is_done(cast, "practice")


def test_a_real_access_request_that_was_answered_is_enough(cast: Cast) -> None:
    row = cast.confirmed()
    assert not is_done(cast, "practice"), "the customer has not answered yet"
    operations.deny_as_customer(row.pk, note="Not now.", actor=cast.as_("ada"))
    assert is_done(cast, "practice")


def test_the_only_tenants_practice_form_is_one_press_away(cast: Cast, staff: Client) -> None:
    assert "start-practice" not in shown(staff), "there are several tenants"
    Tenant.objects.exclude(pk=cast.northwind.pk).update(is_active=False)
    form = reverse("admin:requests_app_tenant_act", args=[cast.northwind.pk, "start-practice"])
    assert form in shown(staff)


def test_practice_waits_for_lockbox_where_it_can_be_on(cast: Cast) -> None:
    cast.peaceful()
    state, says = step(cast, "practice")
    assert (state, says.endswith("has not switched Lockbox on yet.")) == (StepState.OPEN, True)
    assert [each.found.waits for each in guide(cast).steps if each.step.name == "practice"] == [True]


def test_a_practice_resource_is_no_way_to_content(cast: Cast) -> None:
    practice.started(cast)
    _reach()
    Resource.objects.real().update(is_active=False)
    assert not is_done(cast, "resource")


def test_nobody_but_people_with_a_term_are_staff(cast: Cast) -> None:
    cast.colleague("sten")
    StaffTerm.objects.filter(person=cast.sten).update(until_at=clock.now())
    assert not is_done(cast, "staff")


# --- The pages ------------------------------------------------------------------------------------------------


def test_the_page_says_what_is_next_why_and_how_long_it_takes(cast: Cast, staff: Client, settings: Any) -> None:
    settings.PROVIDER_NAME_IS_SET = False
    page = shown(staff)
    assert "done. Next: Your name and your address." in page
    assert "Next · About 2 minutes" in page
    assert page.count('aria-current="step"') == 1
    assert COPY not in page, "there is no copy to confirm yet"
    _copied(cast)
    assert COPY in shown(staff)
    assert reverse("admin:set_up_test_mail") in page


def test_the_button_sends_the_mail_and_shows_the_answer(cast: Cast, staff: Client) -> None:
    answer = staff.post(TEST)
    assert (answer.status_code, answer["Location"]) == (302, HERE)
    assert [each.to for each in mail.outbox] == [[cast.stella.email]]
    assert "accepted the mail" in shown(staff)


def test_too_many_test_mails_are_refused_in_words(cast: Cast, staff: Client, travel: Any) -> None:
    travel.freeze()
    staff.force_login(cast.stella)
    for _time in range(6):
        assert staff.post(TEST).status_code == 302
    assert len(mail.outbox) == 5
    assert "Try again in five minutes." in shown(staff)


def test_the_key_never_leaves_through_a_page(cast: Cast, staff: Client) -> None:
    _copied(cast)
    for path in (HERE, COPY):
        assert COPY_HASH[-4:] not in shown(staff, path)
    refused = staff.post(COPY, {"characters": "0000"})
    assert refused.status_code == 422
    assert "These are not the last four characters." in refused.content.decode()
    assert COPY_HASH[-4:] not in refused.content.decode()
    assert not Installation.objects.filter(key_copy_confirmed_at__isnull=False).exists()


def test_right_characters_lead_back_to_the_list(cast: Cast, staff: Client) -> None:
    answer = staff.post(COPY, {"characters": _copied(cast)})
    assert (answer.status_code, answer["Location"]) == (302, HERE)
    assert "The copy is confirmed." in shown(staff)


def test_an_unknown_field_is_refused(cast: Cast, staff: Client) -> None:
    ending = _copied(cast)
    refused = staff.post(COPY, {"characters": ending, "key_copy_confirmed_at": "2026-01-01"})
    assert refused.status_code == 400
    assert not Installation.objects.filter(key_copy_confirmed_at__isnull=False).exists()


def test_the_first_pages_of_staff_lead_to_the_list_until_it_is_complete(cast: Cast, staff: Client) -> None:
    Tenant.objects.update(lockbox_on=False)
    for path in ("/", "/admin/"):
        assert "guide-block" in shown(staff, path)
        assert HERE in shown(staff, path)
    Tenant.objects.filter(pk=cast.contoso.pk).update(lockbox_first_on_at=clock.now())
    for path in ("/", "/admin/"):
        assert "guide-block" not in shown(staff, path)
        assert "Continue the set-up" in shown(staff, path)


def test_a_complete_set_up_is_not_mentioned_and_stays_reachable(cast: Cast, staff: Client, settings: Any) -> None:
    settings.BASE_URL = "http://localhost"
    cast.colleague("sten")
    operations.send_test_mail(actor=cast.as_("stella"))
    operations.confirm_key_copy(characters=_copied(cast), actor=cast.as_("stella"))
    practice.opened(cast)
    _reach()
    for path in ("/", "/admin/"):
        assert "Continue the set-up" not in shown(staff, path)
    assert "Everything is set up." in shown(staff)


@pytest.mark.parametrize("name", ["priya", "pat"])
def test_the_providers_other_people_read_nothing_about_it(cast: Cast, name: str) -> None:
    assert "Continue the set-up" not in shown(signed_in(cast, name), "/")


def test_the_command_lists_the_same_steps_and_says_with_its_status_whether_one_is_open(
    cast: Cast, settings: Any, capsys: Any
) -> None:
    Person.objects.get_queryset().filter(pk=cast.stella.pk).update(name="Stella\x1b[31m")
    with nothing_happens(), pytest.raises(SystemExit) as ended:
        call_command("set_up")
    printed = capsys.readouterr().out
    assert ended.value.code == 1
    assert "[x] 4. Plan: You have" in printed
    assert "[ ] 5. Second member of staff: The staff has one human: Stella<U+001B>[31m." in printed
    assert printed.splitlines()[-1] == f"{guide(cast).done} of {guide(cast).total} done."


def test_more_rows_need_no_more_queries(cast: Cast) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as captured:
            guide(cast)
        return len(captured)

    few = count()
    for n in range(20):
        service = Service.objects.create(key=f"more-{n}", name=f"More {n}", connector="folder")
        QueueAssignment.objects.create(service=service, person=cast.erik, role="engineer", given_at=clock.now())
        cast.colleague(f"more{n}")
    assert count() == few


def test_the_steps_of_a_trial_take_less_than_ten_minutes(cast: Cast, settings: Any) -> None:
    settings.BASE_URL, settings.EMAIL_BACKEND, settings.PROVIDER_NAME_IS_SET = "http://localhost", MAIL_FILES, False
    assert sum(each.step.minutes for each in guide(cast).counted) == 9
    page = re.search(r"(?s)\| step \|.*?\n\n", (settings.BASE_DIR / "docs" / "from-nothing.md").read_text())
    assert page is not None
    documented = [int(n) for n in re.findall(r"\| (\d+) minutes? \|", page[0])]
    assert documented == [each.step.minutes for each in guide(cast).steps if each.step.name != "name"]
