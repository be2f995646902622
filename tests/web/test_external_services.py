"""External services on pages, in mails and in evidence: who enforces the window, and only what is known about it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils.html import strip_tags

from requests_app import operations
from requests_app.domain.evaluation import Question
from requests_app.models import ContentAccess, Grant, Resource, Service, Tenant
from requests_app.work import outbox
from tests.caller import service_of
from tests.cast import Cast
from tests.offenders import collected
from tests.web.pages import only_a_refusal
from tests.web.test_evidence import sign, taken

pytestmark = pytest.mark.django_db

ENFORCES = (
    "Quillo (Microsoft’s own application) enforces this window. The log shows only what Lockbox allowed there, and "
    "what Quillo reports."
)
#: What nobody here can know about another application.
UNKNOWN = (
    "cannot change",
    "can’t change",
    "othing was opened",
    "othing has been opened",
    "othing was looked at",
    "othing opened",
    "could not be read",
    "each item that the engineer opens",
    "each opened item",
    "mmediately sees",
    "records every access",
    "within a second",
    "Everything that is listed",
    "as soon as you open",
    "can no longer",
)


#: The pages that say what was accessed in a closed window.
ACCESSED = ("access request, ada", "access request, otto", "ticket", "engineer", "window", "live")


def text_of(response: Any) -> str:
    assert response.status_code == 200, response.status_code
    return words(response.content.decode())


def words(html: str) -> str:
    return " ".join(unescape(strip_tags(html)).split())


def client_of(cast: Cast, who: str) -> Client:
    client = Client()
    client.force_login(cast.people[who])
    return client


def page(cast: Cast, who: str, name: str, *args: object) -> str:
    return text_of(client_of(cast, who).get(reverse(f"web:{name}", args=args)))


def report(cast: Cast, item: str = "note 3") -> None:
    question = Question(
        subject_type="user",
        subject=cast.priya.email,
        action="read",
        service="quillo",
        resource="7",
        tenant="contoso",
        item=item,
    )
    assert operations.allow_access(question, actor=service_of(cast)).decision


# --- The engineer --------------------------------------------------------------------------------------------


def test_the_window_has_a_link_into_the_application(cast: Cast) -> None:
    grant = cast.in_quillo()
    reference = grant.access_request.reference
    response = client_of(cast, "priya").get(reverse("web:window", args=[grant.pk]))
    html = response.content.decode()
    link = f'href="https://quillo.example/contoso/support/7?for={reference}" target="_blank" '
    link += 'rel="noopener noreferrer nofollow"'
    assert html.count(link) == 1
    text = text_of(response)
    for shown in ("Open in Quillo", "at quillo.example", "Id in Quillo: 7", "Open Quillo, choose Support", ENFORCES):
        assert shown in text
    assert "Close my window" in text
    resource = grant.access_request.scope.get().resource_id
    assert reverse("web:window_resource", args=[grant.pk, resource]) not in html
    assert "Choose a resource" not in text


def test_buttons_to_the_window_promise_no_content(cast: Cast) -> None:
    grant = cast.in_quillo()
    for text in (page(cast, "priya", "home"), page(cast, "priya", "access_request", grant.access_request_id)):
        assert "Go to your window" in text
        assert "Open the content" not in text
        assert "Open in Quillo" not in text


def second_resource(cast: Cast) -> Resource:
    found: Resource = operations.save_resource(
        actor=cast.as_("stella"),
        tenant_id=cast.contoso.pk,
        service_id=cast.quillo().pk,
        kind="workspace",
        name="plans of contoso",
        external_id="8",
    )
    return found


def of_two(cast: Cast) -> Grant:
    resources = [second_resource(cast), Resource.objects.get(external_id="7", service__key="quillo")]
    return cast.in_quillo(resource_ids=[row.pk for row in resources])


def test_the_first_page_has_a_way_in_to_each_resource_if_the_application_has_a_guard(cast: Cast) -> None:
    grant = of_two(cast)
    client = client_of(cast, "priya")
    assert "/.lockbox/open" not in client.get("/").content.decode()
    cast.guard()
    html = client.get("/").content.decode()
    assert html.count(f"https://quillo.example/.lockbox/open?grant={grant.pk}") == 2
    text = words(html)
    for shown in ("Open in Quillo:", "notes of contoso", "plans of contoso", "Go to your window"):
        assert shown in text


def test_the_window_says_how_to_get_in_for_each_kind_of_service(cast: Cast) -> None:
    grant, service = cast.in_quillo(), cast.quillo()
    assert "“Open in Quillo” only leads there" in page(cast, "priya", "window", grant.pk)
    cast.guard()
    text = page(cast, "priya", "window", grant.pk)
    for shown in ("Quillo then knows you and this window", "choose “I am done” in Quillo", "Get a grant token"):
        assert shown in text
    Service.objects.filter(pk=service.pk).update(gate_rules="view GET /**")
    text = page(cast, "priya", "window", grant.pk)
    assert "Quillo does not show the time left" in text
    assert "I am done" not in text


def test_the_link_has_the_tenants_external_id_if_there_is_one(cast: Cast) -> None:
    grant = cast.in_quillo()
    Tenant.objects.filter(pk=cast.contoso.pk).update(external_id="C/1")
    html = client_of(cast, "priya").get(reverse("web:window", args=[grant.pk])).content.decode()
    assert 'href="https://quillo.example/C%2F1/support/7?' in html


@pytest.mark.parametrize("external_id", ['"><script>alert(1)</script>', "../../admin", "?x=1#y", "javascript:alert(1)"])
def test_a_hostile_id_stays_in_its_place(cast: Cast, external_id: str) -> None:
    grant = cast.in_quillo()
    Resource.objects.filter(pk=grant.access_request.scope.get().resource_id).update(external_id=external_id)
    html = client_of(cast, "priya").get(reverse("web:window", args=[grant.pk])).content.decode()
    address = html.split('href="https://quillo.example/contoso/support/')[1].split("?for=")[0]
    assert set('"<>/?#: ') & set(address) == set()
    assert "<script>alert" not in html


def test_without_a_link_template_the_window_has_the_id(cast: Cast) -> None:
    grant = cast.in_quillo()
    service = cast.quillo()
    service.link_template = service.guidance = ""
    service.save()
    text = page(cast, "priya", "window", grant.pk)
    assert "Open in Quillo" not in text
    assert "sign in to Quillo as usual and find the resource by its id" in text
    assert "Id in Quillo: 7" in text


@pytest.mark.parametrize("name", ["window_resource", "window_item", "window_raw"])
def test_content_pages_of_an_external_resource_say_where_it_is(cast: Cast, name: str) -> None:
    grant = cast.in_quillo()
    resource = grant.access_request.scope.get().resource_id
    address = reverse(f"web:{name}", args=[grant.pk, resource], query={"id": "1"})
    with only_a_refusal():
        response = client_of(cast, "priya").get(address)
    assert response.status_code == 409
    assert "Quillo holds this content. Open it there." in words(response.content.decode())
    assert ContentAccess.objects.count() == 0


def test_only_the_engineer_sees_the_link(cast: Cast) -> None:
    grant = cast.in_quillo()
    statuses = {
        who: client_of(cast, who).get(reverse("web:window", args=[grant.pk])).status_code
        for who in ("ada", "frida", "erik", "pat")
    }
    assert statuses == {"ada": 403, "frida": 404, "erik": 404, "pat": 403}


# --- What everybody reads ------------------------------------------------------------------------------------


def seen_by_customers(cast: Cast, grant: Grant) -> Iterator[tuple[str, str]]:
    """Yield the pages about the access request, each with its text."""
    row = grant.access_request
    for who in ("ada", "otto"):
        yield f"access request, {who}", page(cast, who, "access_request", row.pk)
    yield "ticket", page(cast, "mia", "ticket", row.ticket_id)
    yield "home", page(cast, "ada", "home")
    yield "live", page(cast, "ada", "live", row.pk)
    live = client_of(cast, "ada").get(reverse("web:live", args=[row.pk]), headers={"HX-Request": "true"})
    yield "new in the live list", words(live.content.decode())
    yield "engineer", page(cast, "priya", "access_request", row.pk)
    yield "window", page(cast, "priya", "window", grant.pk)


def claims(text: str) -> list[str]:
    return [claim for claim in UNKNOWN if claim in text]


def test_no_page_claims_what_only_the_application_knows(cast: Cast) -> None:
    grant = cast.in_quillo()
    with collected() as case:
        for state in ("open", "reported", "closed"):
            if state == "reported":
                report(cast)
            if state == "closed":
                operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
            for name, text in seen_by_customers(cast, grant):
                with case(f"{state}: {name}"):
                    assert claims(text) == []


def test_a_customer_reads_which_services_an_application_enforces_before_switching_lockbox_on(cast: Cast) -> None:
    external = "Your log shows only the accesses that Lockbox allowed there or that the application reports."
    switch_off = page(cast, "ines", "lockbox", cast.contoso.pk, "off")
    assert external not in switch_off
    cast.quillo()
    Tenant.objects.filter(pk=cast.contoso.pk).update(lockbox_on=False)
    for text in (page(cast, "ada", "tenant", cast.contoso.pk), page(cast, "ines", "lockbox", cast.contoso.pk, "on")):
        assert "Quillo Cloud covered, enforced by Quillo" in text
        assert "Exchange Online covered, enforced" not in text
        assert external in text


def test_a_practice_request_of_an_external_service_promises_nothing_about_its_application(cast: Cast) -> None:
    quillo = cast.quillo()
    ticket = operations.start_practice(cast.contoso.pk, service_id=quillo.pk, actor=cast.as_("ines"))
    operations.assign_ticket(ticket.pk, actor=cast.as_("priya"))
    shown = text_of(client_of(cast, "priya").get(reverse("web:ask", args=[ticket.pk])))
    assert "The approvers see each item as soon as you open it" in shown
    assert "opens in Quillo" not in shown
    assert "what Quillo reports" not in shown
    practice = text_of(client_of(cast, "ines").get(reverse("web:practice", args=[cast.contoso.pk])))
    assert "The made-up content is read through Lockbox" in practice
    assert "is not finished yet" not in practice, "other services are left"
    Service.objects.exclude(pk=quillo.pk).update(is_active=False)
    practice = text_of(client_of(cast, "ines").get(reverse("web:practice", args=[cast.contoso.pk])))
    assert "has a practice request that is not finished yet" in practice
    assert "Choose a service" not in practice


def test_the_deciders_read_who_enforces_the_window(cast: Cast) -> None:
    row = cast.confirmed(ticket=cast.ticket(service_id=cast.quillo().pk))
    review = page(cast, "ada", "access_request", row.pk)
    confirm = page(cast, "ada", "decide", row.pk, "approve")
    ask = client_of(cast, "priya").get(reverse("web:ask", args=[row.ticket_id]))
    for text in (review, confirm):
        assert ENFORCES in text
        assert claims(text) == []
    assert (
        "This level does not allow the engineer to change, send or delete anything. Quillo must enforce this" in review
    )
    assert "Can change things" not in review
    assert "the window opens in Quillo" in text_of(ask)
    operations.approve_as_customer(row.pk, actor=cast.as_("ada"))
    receipt = page(cast, "ada", "receipt", row.pk)
    assert ENFORCES in receipt
    assert claims(receipt) == []
    assert ENFORCES in page(cast, "ada", "home")


def test_a_person_who_closes_the_window_reads_what_this_does(cast: Cast) -> None:
    grant = cast.in_quillo()
    for who, act in (("ada", "revoke"), ("priya", "release")):
        text = page(cast, who, "access_request_act", grant.access_request_id, act)
        assert "Quillo gets no permission for" in text
        assert claims(text) == []
    address = reverse("web:access_request_act", args=[grant.access_request_id, "revoke"])
    text = text_of(client_of(cast, "ada").post(address, {"comment": ""}, follow=True))
    assert "The window is closed. Quillo gets no permission for Priya Test any more." in text
    assert claims(text) == []


def test_the_live_list_names_the_application(cast: Cast) -> None:
    grant = cast.in_quillo()
    report(cast)
    assert "was allowed to open an item in Quillo note 3" in page(cast, "ada", "live", grant.access_request_id)


def test_the_summary_says_what_was_allowed_there(cast: Cast) -> None:
    grant = cast.in_quillo()
    report(cast)
    report(cast, "note 4")
    operations.release(grant.access_request_id, actor=cast.as_("priya"))
    for name, text in seen_by_customers(cast, grant):
        assert name not in ACCESSED or "Lockbox recorded 2 accesses in Quillo, each before its answer" in text, name


def test_a_window_without_reports_does_not_say_that_nothing_happened(cast: Cast) -> None:
    grant = cast.in_quillo()
    operations.release(grant.access_request_id, actor=cast.as_("priya"))
    for name, text in seen_by_customers(cast, grant):
        assert name not in ACCESSED or "Quillo enforced this window; it has reported no accesses so far" in text, name


def test_the_log_names_the_application(cast: Cast) -> None:
    cast.in_quillo()
    assert "for 2 hours; Quillo enforces the window" in page(cast, "ada", "log", cast.contoso.pk)


def mails() -> dict[tuple[str, str], str]:
    """Send the messages that wait. Return the text of each mail, by recipient and topic."""
    mail.outbox.clear()
    while outbox.drain():
        pass
    return {
        (m.to[0].partition("@")[0], m.extra_headers["X-Lockbox-Topic"]): " ".join(m.body.split()) for m in mail.outbox
    }


def test_no_mail_claims_what_only_the_application_knows(cast: Cast) -> None:
    row = cast.confirmed(ticket=cast.ticket(service_id=cast.quillo().pk))
    texts = mails()
    operations.approve_as_customer(row.pk, actor=cast.as_("ada"))
    texts |= mails()
    operations.release(row.pk, actor=cast.as_("priya"))
    texts |= mails()
    with collected() as case:
        for (who, topic), text in texts.items():
            if topic.startswith(("notify.decide", "notify.window")):
                with case(f"{topic} to {who}"):
                    assert claims(text) == []
    assert ENFORCES in texts["ada", "notify.decide_as_customer"]
    assert ENFORCES in texts["ada", "notify.window_opened"]
    assert "can read content; Quillo enforces this" in texts["ada", "notify.decide_as_customer"]
    assert "Quillo enforced this window; it has reported no accesses so far" in texts["ada", "notify.window_closed"]


def test_evidence_takes_the_application_from_the_log(cast: Cast) -> None:
    grant = cast.in_quillo()
    report(cast)
    operations.release(grant.access_request_id, actor=cast.as_("priya"))
    sign(cast.contoso)
    grant.access_request.__class__.objects.update(enforced_by="")
    files = zipfile.ZipFile(io.BytesIO(taken(client_of(cast, "ada"), grant.access_request)))
    text = words(files.read("timeline.html").decode())
    assert "Enforced byQuillo" in text
    assert "Lockbox recorded 1 access in Quillo before its answer." in text
    assert claims(text) == []


def test_the_words_of_a_service_are_beside_ours_for_both_sides(cast: Cast) -> None:
    service = cast.quillo()
    levels = "view | see <b>it</b> as you do | open the copy"
    cast.agreed(lambda: operations.save_service(actor=cast.as_("stella"), service_id=service.pk, levels=levels))
    ticket = cast.ticket(service_id=service.pk)
    form = text_of(client_of(cast, "priya").get(reverse("web:ask", args=[ticket.pk])))
    assert "View: open items on the page, but download nothing. Quillo Cloud says: “open the copy”" in form
    assert "Names only" not in form
    row = cast.confirmed(ticket=ticket, level="view")
    page = text_of(client_of(cast, "ada").get(reverse("web:access_request", args=[row.pk])))
    assert "view content, but download nothing" in page
    assert "Quillo Cloud says: “see <b>it</b> as you do”" in page
    operations.approve_as_customer(row.pk, actor=cast.as_("ada"))
    grant = Grant.objects.get(access_request=row)
    window = text_of(client_of(cast, "priya").get(reverse("web:window", args=[grant.pk])))
    assert "Quillo Cloud says: “open the copy”" in window
