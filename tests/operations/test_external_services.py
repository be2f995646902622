"""External services: their content stays in an application of the provider, which enforces the windows."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import IntegrityError, transaction

from audit_app import canonical
from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock, manifest
from requests_app.domain.actors import Actor
from requests_app.domain.errors import (
    ChangeProposed,
    EnforcedElsewhere,
    NotFound,
    Unacceptable,
    WindowNotOpen,
    WrongState,
)
from requests_app.domain.evaluation import Question
from requests_app.models import (
    AccessRequest,
    ContentAccess,
    Grant,
    OutboxMessage,
    Proposal,
    QueueAssignment,
    Resource,
    Service,
    Tenant,
)
from requests_app.operations import content
from requests_app.queries.evaluation import evaluate
from tests.caller import service_of
from tests.cast import QUILLO, Cast, events_of
from tests.web.pages import nothing_happens, only_a_refusal

pytestmark = pytest.mark.django_db

NEW: dict[str, Any] = {"key": "quillo", "name": "Quillo Cloud"}


def saved(cast: Cast, service: Service | None = None, **changes: Any) -> Service:
    values = {**NEW, **QUILLO, **changes}
    return operations.save_service(actor=cast.as_("stella"), service_id=service and service.pk, **values)


def added(cast: Cast, service: Service, tenant: str = "contoso", **fields: Any) -> Resource:
    values = {"kind": "workspace", "name": "another", **fields}
    return operations.save_resource(
        actor=cast.as_("stella"), tenant_id=cast.tenants[tenant].pk, service_id=service.pk, **values
    )


def saved_resource(cast: Cast, **wanted: Any) -> Resource:
    return operations.save_resource(actor=cast.as_("stella"), **wanted)


def detail_of(row: AccessRequest, event: str) -> dict[str, Any]:
    entry = AuditEntry.objects.get(correlation_id=row.pk, event=event)
    found: dict[str, Any] = json.loads(bytes(entry.canonical))["detail"]
    return found


# --- The service ---------------------------------------------------------------------------------------------


def test_a_new_external_service_acts_at_once(cast: Cast) -> None:
    service = saved(cast)
    service.refresh_from_db()
    assert service.is_external
    assert {name: getattr(service, name) for name in QUILLO} == QUILLO
    assert not cast.exchange.is_external


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("application", ""),
        ("application", "Two\nlines"),
        ("application", "x" * 81),
        ("guidance", "x" * 1001),
        ("link_template", "javascript:alert(1)"),
        ("link_template", "http://quillo.example/{external_id}"),
        ("link_template", "https://quillo.example/{password}"),
        ("connector", "elsewhere"),
    ],
)
def test_values_that_no_external_service_can_have_are_refused(cast: Cast, field: str, value: str) -> None:
    with nothing_happens(), pytest.raises(Unacceptable) as refusal:
        saved(cast, None, **{field: value})
    assert refusal.value.field == field


@pytest.mark.parametrize("field", ["application", "link_template", "guidance"])
def test_a_service_that_is_read_through_us_has_no_application(cast: Cast, field: str) -> None:
    with nothing_happens(), pytest.raises(Unacceptable) as refusal:
        operations.save_service(actor=cast.as_("stella"), **NEW, connector="folder", **{field: QUILLO[field]})
    assert refusal.value.field == field


@pytest.mark.parametrize(
    "change",
    [{"application": "Other"}, {"link_template": "https://other.example/{external_id}"}, {"guidance": "Call us."}],
)
def test_a_change_of_an_external_service_is_announced(cast: Cast, change: dict[str, str]) -> None:
    service = saved(cast)
    with pytest.raises(ChangeProposed):
        saved(cast, service, **change)
    service.refresh_from_db()
    assert service.application == "Quillo"
    cast.agreed(lambda: None)
    service.refresh_from_db()
    [(name, value)] = change.items()
    assert getattr(service, name) == value


def test_a_service_without_resources_can_become_external_and_be_read_through_us_again(cast: Cast) -> None:
    service = operations.save_service(actor=cast.as_("stella"), **NEW, connector="folder")
    cast.agreed(lambda: saved(cast, service))
    service.refresh_from_db()
    assert service.is_external
    cast.agreed(
        lambda: operations.save_service(actor=cast.as_("stella"), service_id=service.pk, **NEW, connector="folder")
    )
    service.refresh_from_db()
    assert (service.connector, service.application, service.link_template, service.guidance) == ("folder", "", "", "")


def test_a_service_with_resources_stays_what_it_is(cast: Cast) -> None:
    for service, connector in ((cast.exchange, "external"), (cast.quillo(), "folder")):
        values = QUILLO if connector == "external" else {"connector": "folder"}
        with nothing_happens(), pytest.raises(Unacceptable) as refusal:
            operations.save_service(
                actor=cast.as_("stella"), service_id=service.pk, key=service.key, name=service.name, **values
            )
        assert refusal.value.field == "connector"


def test_a_practice_resource_does_not_stop_the_change(cast: Cast) -> None:
    service = operations.save_service(actor=cast.as_("stella"), **NEW, connector="folder")
    QueueAssignment.objects.create(
        service=service, person=cast.priya, role="engineer", given_at=cast.contoso.created_at
    )
    operations.start_practice(cast.contoso.pk, service_id=service.pk, actor=cast.as_("ines"))
    assert service.resources.get().is_practice
    cast.agreed(lambda: saved(cast, service))
    service.refresh_from_db()
    assert service.is_external


def test_a_resource_that_came_meanwhile_stops_the_announced_change(cast: Cast) -> None:
    service = operations.save_service(actor=cast.as_("stella"), **NEW, connector="folder")
    proposal = cast.made_due(lambda: saved(cast, service))
    added(cast, service, locator="contoso/docs/new")
    operations.apply_proposal(proposal, actor=cast.system("sweep"))
    service.refresh_from_db()
    assert service.connector == "folder"


def test_a_change_waits_while_a_window_is_open(cast: Cast) -> None:
    grant = cast.in_quillo()
    service = cast.quillo()
    proposal = cast.made_due(lambda: saved(cast, service, application="Other"))
    with nothing_happens(), pytest.raises(WrongState, match="has not ended"):
        operations.apply_proposal(proposal, actor=cast.system("sweep"))
    service.refresh_from_db()
    assert service.application == "Quillo"
    operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
    operations.apply_proposal(proposal, actor=cast.system("sweep"))
    service.refresh_from_db()
    assert service.application == "Other"
    # What was approved before keeps its meaning.
    grant.access_request.refresh_from_db()
    assert grant.access_request.enforced_by == "Quillo"


def test_the_database_stores_no_external_service_without_an_application(cast: Cast) -> None:
    service = cast.quillo()
    for change in ({"application": ""}, {"connector": "folder"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Service.objects.filter(pk=service.pk).update(**change)


# --- Its resources -------------------------------------------------------------------------------------------


def test_a_resource_of_an_external_service_has_an_external_id_and_no_locator(cast: Cast) -> None:
    service = cast.quillo()
    row = added(cast, service, external_id="8")
    assert (row.external_id, row.locator) == ("8", "")
    for fields, field in (
        ({"external_id": "9", "locator": "contoso/x"}, "locator"),
        ({}, "external_id"),
        ({"external_id": " "}, "external_id"),
        ({"external_id": ".."}, "external_id"),
        ({"external_id": "a\nb"}, "external_id"),
        ({"external_id": "x" * 201}, "external_id"),
        ({"external_id": "8"}, "external_id"),
    ):
        with nothing_happens(), pytest.raises(Unacceptable) as refusal:
            added(cast, service, **fields)
        assert refusal.value.field == field


def test_a_resource_that_is_read_through_us_still_needs_a_locator(cast: Cast) -> None:
    with nothing_happens(), pytest.raises(Unacceptable) as refusal:
        added(cast, cast.exchange, kind="mailbox", external_id="9")
    assert refusal.value.field == "locator"


def test_an_external_id_is_added_later_and_changes_only_as_an_announced_change(cast: Cast) -> None:
    without, row = cast.resource(name="sales"), cast.resource()
    Resource.objects.filter(pk=row.pk).update(external_id="F-1")
    row.refresh_from_db()
    theirs = Resource.objects.get(service=cast.quillo(), tenant=cast.contoso)
    for changed, new in ((without, "F-3"), (row, "F-2"), (row, ""), (theirs, "8")):
        before = changed.external_id
        with pytest.raises(ChangeProposed):
            operations.save_resource(actor=cast.as_("stella"), resource_id=changed.pk, external_id=new)
        changed.refresh_from_db()
        assert changed.external_id == before
    with nothing_happens(), pytest.raises(Unacceptable) as refusal:
        operations.save_resource(actor=cast.as_("stella"), resource_id=theirs.pk, external_id="")
    assert refusal.value.field == "external_id"


def test_the_database_stores_no_resource_without_a_place(cast: Cast) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Resource.objects.filter(pk=cast.resource().pk).update(locator="")
    other = cast.resource(name="sales")
    with pytest.raises(IntegrityError), transaction.atomic():
        Resource.objects.filter(pk=cast.resource().pk).update(locator=other.locator)


# --- The window ----------------------------------------------------------------------------------------------


def test_what_is_submitted_and_signed_names_the_application(cast: Cast) -> None:
    grant = cast.in_quillo()
    row = grant.access_request
    assert row.enforced_by == "Quillo"
    resource = {"id": str(row.scope.get().resource_id), "kind": "workspace", "name": "notes of contoso"}
    facts = manifest.facts_of(row, verdict="approve", stage="customer", decider={}, checkpoint=None)
    assert (facts["enforced_by"], facts["resources"]) == ("Quillo", [{**resource, "external_id": "7"}])
    submitted = detail_of(row, "access_request.submitted")
    assert (submitted["enforced_by"], submitted["resources"]) == ("Quillo", [{**resource, "external_id": "7"}])
    assert row.content_digest == canonical.digest(submitted).hex()


def test_what_is_read_through_us_is_described_as_before(cast: Cast) -> None:
    row = cast.confirmed()
    facts = manifest.facts_of(row, verdict="approve", stage="customer", decider={}, checkpoint=None)
    assert "enforced_by" not in facts
    assert [sorted(each) for each in facts["resources"]] == [["id", "kind", "locator", "name"]]
    assert "enforced_by" not in detail_of(row, "access_request.submitted")


def test_no_content_of_an_external_service_is_read_through_us(cast: Cast) -> None:
    grant = cast.in_quillo()
    resource = grant.access_request.scope.get().resource_id
    for call in (
        lambda: content.list_items(grant.pk, resource, actor=cast.as_("priya")),
        lambda: content.open_item(grant.pk, resource, "1", actor=cast.as_("priya")),
        lambda: content.read_message(grant.pk, resource, "1", actor=cast.as_("priya")),
        lambda: content.download(grant.pk, resource, "1", actor=cast.as_("priya")),
    ):
        with only_a_refusal(), pytest.raises(EnforcedElsewhere, match="Quillo holds this content"):
            call()
    assert ContentAccess.objects.count() == 0
    assert isinstance(EnforcedElsewhere(), WrongState)


def test_outsiders_do_not_learn_that_a_resource_is_external(cast: Cast) -> None:
    grant = cast.in_quillo()
    resource = grant.access_request.scope.get().resource_id
    with pytest.raises(NotFound):
        content.list_items(grant.pk, resource, actor=cast.as_("frida"))
    operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
    with pytest.raises(WindowNotOpen):
        content.list_items(grant.pk, resource, actor=cast.as_("priya"))


# --- The decision point --------------------------------------------------------------------------------------


def ask(cast: Cast, resource: str, **fields: Any) -> Question:
    values = {"subject_type": "engineer", "subject": str(cast.priya.pk), "action": "read", "service": "quillo"}
    return Question(**{**values, "resource": resource, **fields})


def both(question: Question, actor: Actor) -> tuple[bool, str]:
    """Ask for advice, and then for an access. Assert that both have the same result, and return it."""
    advice = evaluate(question, actor=actor)
    access = operations.allow_access(question, actor=actor)
    assert (access.decision, access.reason, access.grant_id) == (advice.decision, advice.reason, advice.grant_id)
    return access.decision, access.reason


@pytest.mark.dialect
def test_an_application_asks_by_its_own_id(cast: Cast) -> None:
    grant = cast.in_quillo()
    service = service_of(cast)
    resource = grant.access_request.scope.get().resource
    for question in (
        ask(cast, "7", tenant="contoso", item="note 3"),
        ask(cast, "7", tenant=str(cast.contoso.pk)),
        ask(cast, str(resource.pk)),
        ask(cast, resource.name, tenant="contoso"),
    ):
        assert both(question, service) == (True, "window_open")
    assert ContentAccess.objects.filter(grant=grant, resource=resource, kind="read_allowed").count() == 4
    assert events_of(grant.access_request_id)[3:] == ["content.access_allowed"] * 4
    # A customer's own client sees one tenant, so it need not name the tenant.
    assert both(ask(cast, "7"), service_of(cast, "contoso")) == (True, "window_open")


@pytest.mark.dialect
def test_an_external_id_needs_the_tenant(cast: Cast) -> None:
    """Otherwise an object that staff registered for a wrong tenant would be opened without asking its owner."""
    grant = cast.in_quillo()
    service, before = service_of(cast), AuditEntry.objects.count()
    for text in ("7", "f-7", "no-such-id", grant.access_request.scope.get().resource.name):
        assert both(ask(cast, text), service) == (False, "tenant_needed")
    assert (AuditEntry.objects.count(), ContentAccess.objects.count()) == (before, 0)
    assert both(ask(cast, "f-7", tenant="fabrikam"), service) == (False, "window_not_open")
    for tenant in ("fabrikam", "northwind", "nowhere"):
        assert both(ask(cast, "7", tenant=tenant), service) == (False, "not_found")
    # An id of another service is no id of this one.
    assert both(ask(cast, "7", service="exchange-online", tenant="contoso"), service) == (False, "not_found")


@pytest.mark.parametrize("tenant", ["northwind", "fabrikam"])
def test_an_object_of_one_tenant_is_not_registered_for_another(cast: Cast, tenant: str) -> None:
    """The second tenant would be asked about the object, or nobody, and the owner would not."""
    service = cast.quillo()
    [row] = Resource.objects.filter(service=service, tenant=cast.fabrikam)
    before = (Resource.objects.count(), Proposal.objects.count(), OutboxMessage.objects.count())
    for wrong in (
        lambda: added(cast, service, tenant, external_id="7"),
        lambda: added(cast, service, tenant, external_id="7", is_upsert=True),
        lambda: operations.save_resource(actor=cast.as_("stella"), resource_id=row.pk, external_id="7"),
    ):
        with pytest.raises(Unacceptable) as refusal:
            wrong()
        assert refusal.value.field == "external_id"
    assert (Resource.objects.count(), Proposal.objects.count(), OutboxMessage.objects.count()) == before
    with pytest.raises(IntegrityError), transaction.atomic():
        Resource.objects.create(tenant=cast.northwind, service=service, kind="other", name="x", external_id="7")


@pytest.mark.parametrize("is_new", [True, False])
def test_an_announced_change_takes_no_external_id_that_another_tenant_got_meanwhile(
    cast: Cast, travel: Any, is_new: bool
) -> None:
    service = cast.quillo()
    Service.objects.filter(pk=service.pk).update(is_covered=False)
    [row] = Resource.objects.filter(service=service, tenant=cast.contoso)
    to_add = {"tenant_id": cast.contoso.pk, "service_id": service.pk, "kind": "workspace", "name": "another"}
    wanted = to_add if is_new else {"resource_id": row.pk}
    with pytest.raises(ChangeProposed):
        operations.save_resource(actor=cast.as_("stella"), external_id="9", **wanted)
    Resource.objects.create(tenant=cast.northwind, service=service, kind="other", name="x", external_id="9")
    travel.by(seconds=settings.STAFF_CHANGE_WAIT_SECONDS + 1)
    operations.apply_due(actor=cast.system(), limit=9)
    assert Proposal.objects.get().outcome == "lapsed"
    assert Resource.objects.get(external_id="9").tenant_id == cast.northwind.pk


@pytest.mark.dialect
def test_the_database_stores_no_text_twice_in_other_letters(cast: Cast) -> None:
    """For acts that run at the same moment in two tenants, and so don't see each other."""
    cast.quillo()
    [row] = Resource.objects.filter(tenant=cast.contoso, external_id="7")
    Resource.objects.filter(pk=row.pk).update(external_id="a7")
    mail = {"service": cast.exchange, "kind": "mailbox", "name": "x"}
    tenant = {"plan": cast.contoso.plan, "created_at": clock.now()}
    Tenant.objects.filter(pk=cast.contoso.pk).update(external_id="c-1")
    for model, fields in (
        (
            Resource,
            {"tenant": cast.northwind, "service": row.service, "kind": "other", "name": "x", "external_id": "A7"},
        ),
        (Resource, {"tenant": cast.contoso, "locator": cast.resource().locator.upper(), **mail}),
        (Tenant, {"slug": "CONTOSO", "name": "New", **tenant}),
        (Tenant, {"slug": "new", "name": "New", "external_id": "C-1", **tenant}),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            model.objects.create(**fields)
    # Any number of rows can have none.
    for name in ("one", "two"):
        Tenant.objects.create(slug=name, name=name, **tenant)


@pytest.mark.dialect
def test_an_external_id_can_have_the_form_of_our_ids(cast: Cast) -> None:
    grant = cast.in_quillo()
    resource, theirs = grant.access_request.scope.get().resource, str(uuid4())
    Resource.objects.filter(pk=resource.pk).update(external_id=theirs)
    service = service_of(cast)
    assert both(ask(cast, theirs), service) == (False, "not_found")
    assert both(ask(cast, theirs, tenant="contoso"), service) == (True, "window_open")
    # Our own id of a resource is stronger.
    Resource.objects.filter(tenant=cast.fabrikam, service=resource.service).update(external_id=str(resource.pk))
    assert both(ask(cast, str(resource.pk)), service) == (True, "window_open")


@pytest.mark.dialect
def test_no_new_text_of_a_resource_changes_an_answer_about_another(cast: Cast) -> None:
    grant, service = cast.in_quillo(), service_of(cast)
    resource = grant.access_request.scope.get().resource
    other = added(cast, cast.quillo(), name="other", external_id="9")
    mailbox = {"tenant_id": cast.contoso.pk, "service_id": cast.exchange.pk, "kind": "mailbox"}
    mail = cast.resource()
    Resource.objects.filter(pk=mail.pk).update(external_id="m-7")
    tries: list[tuple[str, Callable[[], Any]]] = [
        ("external_id", lambda: added(cast, cast.quillo(), name="x", external_id=resource.name)),
        ("external_id", lambda: added(cast, cast.quillo(), name="x", external_id=resource.name.upper())),
        ("name", lambda: added(cast, cast.quillo(), name=resource.external_id, external_id="10")),
        ("external_id", lambda: saved_resource(cast, resource_id=other.pk, external_id=resource.name)),
        ("name", lambda: saved_resource(cast, resource_id=other.pk, name=resource.external_id)),
        ("name", lambda: saved_resource(cast, **mailbox, name=mail.locator, locator="contoso/mail/x")),
        ("name", lambda: saved_resource(cast, **mailbox, name="m-7", locator="contoso/mail/x")),
        (
            "external_id",
            lambda: saved_resource(cast, **mailbox, name="x", locator="contoso/mail/x", external_id=mail.name),
        ),
    ]
    for field, attempt in tries:
        with nothing_happens(), pytest.raises(Unacceptable) as refusal:
            attempt()
        assert refusal.value.field == field
    for text in (resource.external_id, resource.name):
        assert both(ask(cast, text, tenant="contoso"), service) == (True, "window_open")
    # In another service or tenant, the text means something else.
    added(cast, cast.quillo(), "fabrikam", name=resource.external_id, external_id="11")
    saved_resource(cast, **mailbox, name=resource.external_id, locator="contoso/mail/x")
    # A resource can have one text twice.
    added(cast, cast.quillo(), name="12", external_id="12")
    assert both(ask(cast, resource.external_id, tenant="contoso"), service) == (True, "window_open")


@pytest.mark.parametrize("fields", [{"name": "new"}, {"external_id": "new"}])
def test_an_announced_change_takes_no_text_that_another_resource_got_meanwhile(
    cast: Cast, travel: Any, fields: dict[str, str]
) -> None:
    service = cast.quillo()
    [row] = Resource.objects.filter(service=service, tenant=cast.contoso)
    with pytest.raises(ChangeProposed):
        saved_resource(cast, resource_id=row.pk, **fields)
    added(
        cast,
        service,
        **({"name": "x", "external_id": "new"} if "name" in fields else {"name": "new", "external_id": "9"}),
    )
    travel.by(seconds=settings.STAFF_CHANGE_WAIT_SECONDS + 1)
    operations.apply_due(actor=cast.system(), limit=9)
    assert Proposal.objects.get().outcome == "lapsed"
    row.refresh_from_db()
    assert "new" not in (row.name, row.external_id)


@pytest.mark.dialect
def test_a_text_that_could_mean_two_resources_means_none(cast: Cast) -> None:
    """Otherwise staff could give a resource such an id that an application takes it for another resource.

    The operations refuse such a text. The answer does not depend on that.
    """
    cast.in_quillo()
    service = service_of(cast)
    Resource.objects.create(tenant=cast.contoso, service=cast.quillo(), kind="workspace", name="7", external_id="9")
    assert both(ask(cast, "7", tenant="contoso"), service) == (False, "not_found")
    cast.opened()
    mail = {"service": "exchange-online", "tenant": "contoso"}
    for text in (cast.resource().locator, cast.resource().name):
        assert both(ask(cast, text, **mail), service) == (True, "window_open")
        Resource.objects.filter(pk=cast.resource(name="sales").pk).update(external_id=text)
        assert both(ask(cast, text, **mail), service) == (False, "not_found")
    # A locator is stronger than another resource's name.
    Resource.objects.filter(pk=cast.resource(name="sales").pk).update(external_id="", name=cast.resource().locator)
    assert both(ask(cast, cast.resource().locator, **mail), service) == (True, "window_open")


@pytest.mark.dialect
def test_an_empty_id_names_nothing(cast: Cast) -> None:
    cast.in_quillo()
    for tenant, reason in (("contoso", "not_found"), ("", "tenant_needed")):
        assert both(ask(cast, "", tenant=tenant), service_of(cast)) == (False, reason)


@pytest.mark.dialect
def test_a_permission_ends_with_the_window(cast: Cast) -> None:
    grant = cast.in_quillo()
    operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
    before = ContentAccess.objects.count()
    assert both(ask(cast, "7", tenant="contoso"), service_of(cast)) == (False, "window_not_open")
    assert ContentAccess.objects.count() == before


def test_an_inactive_resource_of_an_external_service_is_refused(cast: Cast) -> None:
    grant = cast.in_quillo()
    Resource.objects.filter(service=cast.quillo()).update(is_active=False)
    assert both(ask(cast, "7", tenant="contoso"), service_of(cast)) == (False, "not_covered")
    assert Grant.objects.get(pk=grant.pk).closed_at is None


# --- Levels --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["view", "act_as", "write", ""])
def test_nobody_can_ask_for_a_level_that_the_service_does_not_have(cast: Cast, level: str) -> None:
    resource = Resource.objects.get(service=cast.quillo(), tenant=cast.contoso)
    ticket = cast.ticket(service_id=resource.service_id)
    asked = cast.ask(ticket, resource_ids=[resource.pk], level=level)
    with nothing_happens(), pytest.raises(Unacceptable, match="that Quillo Cloud has") as refusal:
        operations.submit(asked, actor=cast.as_("priya"))
    assert refusal.value.field == "level"


SAYS = "see the workspace as you see it"


def _with_view(cast: Cast) -> Service:
    """Return the external service, which now has the level “view” with words of its own."""
    service = cast.quillo()
    levels = f"names\nview | {SAYS} | open the read-only view\nread"
    cast.agreed(lambda: operations.save_service(actor=cast.as_("stella"), service_id=service.pk, levels=levels))
    return Service.objects.get(pk=service.pk)


def test_a_change_of_the_levels_is_announced_and_nothing_changes_before(cast: Cast) -> None:
    service = cast.quillo()
    with pytest.raises(ChangeProposed):
        operations.save_service(actor=cast.as_("stella"), service_id=service.pk, levels="names")
    assert list(Service.objects.get(pk=service.pk).offers) == ["names", "read"]
    cast.agreed(lambda: None)
    assert list(Service.objects.get(pk=service.pk).offers) == ["names"]


def test_the_words_of_a_service_are_in_what_is_submitted_and_signed_and_stay(cast: Cast) -> None:
    _with_view(cast)
    ticket = cast.ticket(service_id=cast.quillo().pk)
    row = cast.confirmed(ticket=ticket, level="view")
    assert row.service_words == SAYS
    submitted = detail_of(row, "access_request.submitted")
    assert submitted["service_words"] == SAYS
    assert row.content_digest == canonical.digest(submitted).hex()
    cast.agreed(
        lambda: operations.save_service(actor=cast.as_("stella"), service_id=row.service_id, levels="names\nview | x")
    )
    facts = manifest.facts_of(
        AccessRequest.objects.get(pk=row.pk), verdict="approve", stage="customer", decider={}, checkpoint=None
    )
    assert (facts["level"], facts["service_words"]) == ("view", SAYS)
    operations.approve_as_customer(row.pk, actor=cast.as_("ada"))
    grant = Grant.objects.get(access_request=row)
    staff, resource = service_of(cast), str(row.scope.get().resource_id)
    assert both(ask(cast, resource, action="view"), staff) == (True, "window_open")
    assert both(ask(cast, resource, action="read"), staff) == (False, "not_covered")
    assert grant.level == "view"


def test_a_level_without_words_adds_nothing_to_what_is_signed(cast: Cast) -> None:
    _with_view(cast)
    row = cast.confirmed(ticket=cast.ticket(service_id=cast.quillo().pk), level="read")
    facts = manifest.facts_of(row, verdict="approve", stage="customer", decider={}, checkpoint=None)
    assert "service_words" not in facts
    assert "service_words" not in detail_of(row, "access_request.submitted")


def test_a_level_that_the_service_lost_is_refused_before_and_after_the_form(cast: Cast) -> None:
    service = cast.exchange
    cast.agreed(lambda: operations.save_service(actor=cast.as_("stella"), service_id=service.pk, levels="names\nview"))
    ticket = cast.ticket()
    with nothing_happens(), pytest.raises(Unacceptable, match="Exchange Online has"):
        operations.submit(cast.ask(ticket, level="read"), actor=cast.as_("priya"))
    assert operations.submit(cast.ask(ticket, level="view"), actor=cast.as_("priya")).level == "view"
