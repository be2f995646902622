"""What staff see of the guards of applications."""

from __future__ import annotations

import datetime as dt
import re
from html import unescape
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils.html import strip_tags

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.scopes import Scope
from requests_app.models import Client as APIClient
from requests_app.models import GateProxy, Guard, Service, SignalStream
from requests_app.operations._stream_settings import Wanted
from tests.admin.conftest import address
from tests.caller import service_of
from tests.cast import Cast
from tests.guards import ONE, OTHER, actor_of_guard, client_of_guards
from tests.operations.test_reports import one, report

pytestmark = pytest.mark.django_db


def _page(staff: Client, url: str) -> str:
    response = staff.get(url)
    assert response.status_code == 200
    return " ".join(strip_tags(response.content.decode()).split())


@pytest.fixture
def actor(cast: Cast) -> Any:
    return actor_of_guard(client_of_guards(cast))


def test_staff_see_what_each_guard_says_and_for_what_it_speaks(cast: Cast, staff: Client, actor: Any) -> None:
    grant = cast.in_quillo()
    operations.report_accesses(report(one(grant), one(grant), backlog=7), actor=actor)
    operations.note_guard(Guard.objects.get().number, version="test/2", actor=actor, at=clock.now())
    text = _page(staff, address(Guard))
    for words in (ONE, "Quillo Cloud", "reports", "test/2", "7"):
        assert words in text
    text = _page(staff, address(Guard, "change", Guard.objects.get().pk))
    assert "Quillo Cloud" in text
    assert "2" in text


def test_a_silent_guard_is_an_alarm_on_the_overview_while_a_window_is_open(
    cast: Cast, staff: Client, actor: Any
) -> None:
    grant = cast.in_quillo()
    for number in (ONE, OTHER):
        operations.report_accesses(report(first=0, number=number), actor=actor)
    Guard.objects.filter(number=ONE).update(reported_at=clock.now() - dt.timedelta(seconds=61))
    assert "Applications that do not report" in _page(staff, reverse("admin:index"))
    silent, others = (_page(staff, f"{address(Guard)}?silent={value}") for value in ("yes", "no"))
    assert (ONE in silent, OTHER in silent, "silent" in silent) == (True, False, True)
    assert (ONE in others, OTHER in others) == (False, True)
    operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
    assert "Applications that do not report" not in _page(staff, reverse("admin:index"))


def test_a_backlog_that_does_not_become_smaller_is_named(cast: Cast, staff: Client, actor: Any) -> None:
    operations.report_accesses(report(first=0, backlog=7), actor=actor)
    Guard.objects.update(backlog_since=clock.now() - dt.timedelta(minutes=6))
    assert "its backlog does not become smaller" in _page(staff, address(Guard))
    Guard.objects.update(reported_at=None)
    assert "has never reported" in _page(staff, address(Guard))


def test_the_page_of_an_external_service_leads_to_a_client_for_its_guard(cast: Cast, staff: Client) -> None:
    quillo = cast.quillo()
    here = address(Service, "change", quillo.pk)
    text = _page(staff, here)
    assert "None yet. A guard needs a client" in text
    assert "issuer=" not in text
    html = staff.get(here).content.decode()
    link = unescape(html.split('href="/admin/requests_app/client/add/?')[1].split('"')[0])
    form = staff.get(f"/admin/requests_app/client/add/?{link}").content.decode()
    for given in ('value="Guard of Quillo Cloud"', f'value="{quillo.pk}" selected', 'value="guard"'):
        assert given in form
    assert re.search(r'value="guard"[^>]* checked', form)


def test_the_settings_of_a_guard_are_shown_with_the_secret_and_later_without_it(cast: Cast, staff: Client) -> None:
    cast.peaceful()
    quillo = cast.quillo()
    fields = {"name": "Guard", "scopes": ["guard"], "service_id": str(quillo.pk)}
    html = staff.post(address(APIClient, "add"), fields).content.decode()
    text = " ".join(strip_tags(html).split())
    assert f'href="{address(Service, "change", quillo.pk)}">I have saved it' in html
    row = APIClient.objects.get(account__name="Guard")
    line = 'service="quillo", origin="https://quillo.example",'
    for shown in (f'issuer="{settings.BASE_URL}"', line, line.replace("=", ": "), str(row.pk), "LOCKBOX_CLIENT_SECRET"):
        assert shown in unescape(text)
    assert "can’t guard anything yet" not in text
    text = _page(staff, address(Service, "change", quillo.pk))
    for line in (
        f"issuer={settings.BASE_URL}",
        "service=quillo",
        f"client_id={row.pk}",
        "origin=https://quillo.example",
    ):
        assert line in text
    assert "Start the application with the settings below, and open its address /.lockbox/status once." in text
    assert "This page is updated every few seconds." in text
    Guard.objects.create(client=row, number=ONE, version="test/2", first_at=clock.now(), feed_at=clock.now())
    text = _page(staff, address(Service, "change", quillo.pk))
    assert "Its guard (test/2) was last heard of" in text
    assert "This page is updated every few seconds." not in text
    assert ONE in text


def test_the_page_of_a_web_tool_names_the_rules_that_no_level_allows(cast: Cast, staff: Client) -> None:
    here = address(Service, "change", cast.web_tool().pk)
    rule = "act_as POST,DELETE /tenants/{resource}/** query=secret"
    Service.objects.update(levels="")  # an external service has names, and view and download
    assert _page(staff, here).count(rule) == 2
    Service.objects.update(levels="names\nview\nact_as")
    assert _page(staff, here).count(rule) == 1


def test_a_web_tool_needs_a_proxy_and_no_client(cast: Cast, staff: Client) -> None:
    tool = cast.web_tool()
    text = _page(staff, address(Service, "change", tool.pk))
    assert "Add a proxy, then open a page of the tool" in text
    assert "Add a client for its guard" not in text


def test_guards_proxies_and_streams_are_together_in_the_menu(staff: Client) -> None:
    html = staff.get(reverse("admin:index")).content.decode()
    menu = html[html.index("Guards, proxies and streams") :]
    places = [menu.index(f'href="{address(model)}"') for model in (Guard, GateProxy, SignalStream)]
    assert places == sorted(places)
    assert places[-1] < menu.index(f'href="{address(AuditEntry)}"')


def test_a_stream_that_fails_is_an_alarm_on_the_overview_until_its_receiver_accepts_again(
    cast: Cast, staff: Client
) -> None:
    words = "Signal streams that fail"
    row, other = (operations.create_stream(Wanted(), actor=service_of(cast, None, Scope.SSF_MANAGE)) for _ in range(2))
    assert words not in _page(staff, reverse("admin:index"))
    operations.report_failing_stream(row.pk, actor=Actor.system("webhooks"))
    assert words in _page(staff, reverse("admin:index"))
    shown = staff.get(f"{address(SignalStream)}?failing=yes").content.decode()
    assert address(SignalStream, "change", row.pk) in shown
    assert address(SignalStream, "change", other.pk) not in shown
    SignalStream.objects.filter(pk=row.pk).update(heard_at=clock.now())
    assert words not in _page(staff, reverse("admin:index"))


def test_the_list_of_proxies_says_when_each_last_asked(cast: Cast, staff: Client) -> None:
    proxy = cast.proxy()
    GateProxy.objects.filter(pk=proxy.pk).update(asked_at=dt.datetime(2026, 11, 25, 9, 4, tzinfo=dt.UTC))
    for url in (address(GateProxy), address(GateProxy, "change", proxy.pk)):
        text = _page(staff, url)
        assert ("Last asked" in text, "Asked for" in text) == (True, False)
        assert "25 Nov 2026, 09:04 UTC" in text
    assert "there is no alarm about it" in _page(staff, address(GateProxy))
