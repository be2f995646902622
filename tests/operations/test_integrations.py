"""Clients and tokens: who can create, change and end them, what is refused, and what the log records."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.db import DatabaseError, transaction

from audit_app.models import AuditEntry
from requests_app import operations, tasks
from requests_app.domain import api_secrets, clock
from requests_app.domain.acts import ACTS, SCOPES
from requests_app.domain.acts.declaration import Noun
from requests_app.domain.errors import (
    DomainError,
    InsufficientScope,
    NotAllowed,
    NotFound,
    StepUpRequired,
    TooMany,
    Unacceptable,
)
from requests_app.domain.scopes import OF_CLIENTS, OF_PROVIDER_CLIENTS, Scope, in_order
from requests_app.models import Client, IdempotencyKey, Person, Proposal, Service, Token
from requests_app.models.people import actor_of_token
from requests_app.operations import Made
from requests_app.operations._change import PROVIDER_LOG
from requests_app.platform import bell
from requests_app.queries import callers
from requests_app.words import proposals
from requests_app.work import schedules
from tests.acts import CASES
from tests.caller import client_of
from tests.cast import Cast, events_in
from tests.offenders import collected

pytestmark = pytest.mark.django_db


def add(cast: Cast, by: str = "ines", tenant: str | None = "contoso", **fields: Any) -> Made:
    given = {"name": "Help desk", "scopes": ["log:read"], **fields}
    return operations.create_client(tenant_id=cast.tenants[tenant].pk if tenant else None, actor=cast.as_(by), **given)


def make(cast: Cast, by: str = "otto", **fields: Any) -> Made:
    given = {"name": "laptop", "scopes": ["log:read"], "days": 7, **fields}
    return operations.create_token(actor=cast.as_(by), **given)


def last_entry() -> dict[str, Any]:
    return json.loads(bytes(AuditEntry.objects.order_by("-pk")[0].canonical))


def rows() -> list[Any]:
    people = Person.objects.filter(kind=Person.Kind.CLIENT)
    return [list(kind.order_by("pk").values()) for kind in (Client.objects.all(), Token.objects.all(), people)]


def refused(run: Callable[[], Any], why: type[DomainError]) -> None:
    before = rows()
    with pytest.raises(why):
        run()
    assert rows() == before


def _on(name: str) -> Callable[[Client, Any], Any]:
    """Return a function that does this act on a client, as the act's case does.

    The case for staff is used if there is one, because it works without a cast.
    """
    case = CASES.get(f"{name} by staff") or CASES[name]
    return lambda row, actor: case.operation(None, row, actor)  # type: ignore[arg-type]  # they need no cast


#: Every declared act on one client, by name.
OF_ONE: dict[str, Callable[[Client, Any], Any]] = {
    name: _on(name) for name, act in ACTS.items() if act.noun is Noun.CLIENT
}


# --- Who -----------------------------------------------------------------------------------------------------


def test_a_tenants_client_is_its_administrators(cast: Cast) -> None:
    row = add(cast).row
    with collected() as case:
        for name_of_act in sorted(OF_ONE):
            for name in ["mia", "ada", "otto"]:
                with case(name_of_act, name):
                    refused(partial(OF_ONE[name_of_act], row, cast.as_(name)), NotAllowed)
                    assert (last_entry()["event"], last_entry()["detail"]["action"]) == ("act.refused", name_of_act)


def test_a_client_looks_missing_to_outsiders(cast: Cast) -> None:
    row = add(cast).row
    entries = AuditEntry.objects.count()
    with collected() as case:
        for name_of_act in sorted(OF_ONE):
            for name in ["frida", "finn", "priya", "pat"]:
                with case(name_of_act, name):
                    refused(partial(OF_ONE[name_of_act], row, cast.as_(name)), NotFound)
                    assert AuditEntry.objects.count() == entries


def test_staff_can_end_a_tenants_client_and_do_nothing_else_with_it(cast: Cast) -> None:
    row = add(cast).row
    for name in ("change_client", "rotate_client_secret"):
        refused(lambda act=OF_ONE[name]: act(row, cast.as_("stella")), NotAllowed)
    refused(lambda: add(cast, "stella"), NotAllowed)
    operations.remove_client(row.pk, actor=cast.as_("stella"))
    assert (last_entry()["event"], last_entry()["actor"]["name"]) == ("client.removed", "Stella Test")
    assert events_in(cast.contoso)[-1] == "client.removed"


@pytest.mark.parametrize("name", ["ines", "priya", "pat"])
def test_the_providers_own_are_for_staff(cast: Cast, name: str) -> None:
    refused(lambda: add(cast, name, None), NotAllowed)
    row = add(cast, "stella", None).row
    for act in OF_ONE.values():
        refused(lambda act=act: act(row, cast.as_(name)), NotFound)


def test_no_machine_makes_changes_or_ends_what_calls(cast: Cast) -> None:
    """This is so even if somebody writes a scope into the client's row without an operation."""
    row = add(cast).row
    client, _secret = client_of(cast)
    token = operations.issue_access_token(client, scopes=list(Scope)).row
    Client.objects.filter(pk=client.pk).update(scopes=in_order(Scope))
    actor = actor_of_token(token, door="api")
    acts = {
        **{each: lambda act=act: act(row, actor) for each, act in OF_ONE.items()},
        "create_client": lambda: operations.create_client(
            tenant_id=cast.contoso.pk, name="Child", scopes=["log:read"], actor=actor
        ),
        "create_token": lambda: operations.create_token(name="x", scopes=["log:read"], days=1, actor=actor),
    }
    with collected() as case:
        for name in sorted({*OF_ONE, "create_client", "create_token"}):
            with case(name):
                refused(acts[name], NotAllowed)


def test_the_system_makes_no_client(cast: Cast) -> None:
    refused(
        lambda: operations.create_client(name="x", scopes=["log:read"], actor=cast.system()),
        NotAllowed,
    )
    refused(
        lambda: operations.create_token(name="x", scopes=["log:read"], days=1, actor=cast.system()),
        NotAllowed,
    )


# --- Scopes and limits ---------------------------------------------------------------------------------------


def test_a_customers_client_gets_only_allowed_scopes(cast: Cast) -> None:
    with collected() as case:
        for scope in sorted(frozenset(Scope) - OF_CLIENTS):
            with case(scope):
                refused(partial(add, cast, scopes=["log:read", scope]), Unacceptable)


def test_a_providers_client_gets_only_allowed_scopes(cast: Cast) -> None:
    with collected() as case:
        for scope in sorted(frozenset(Scope) - OF_PROVIDER_CLIENTS):
            with case(scope):
                refused(partial(add, cast, "stella", None, scopes=["log:read", scope]), Unacceptable)


def test_only_a_client_of_the_provider_guards_and_only_one_external_service(cast: Cast) -> None:
    quillo, exchange = cast.quillo().pk, cast.exchange.pk
    ours = partial(add, cast, "stella", None)
    cases = {
        "no service": partial(ours, scopes=["guard"]),
        "a connector's service": partial(ours, scopes=["guard"], service_id=exchange),
        "an unknown service": partial(ours, scopes=["guard"], service_id=uuid4()),
        "no id": partial(ours, scopes=["guard"], service_id="quillo"),
        "no scope": partial(ours, scopes=["log:read"], service_id=quillo),
        "a tenant's client": partial(add, cast, scopes=["log:read"], service_id=quillo),
        "a tenant's client with the scope": partial(add, cast, scopes=["guard"], service_id=quillo),
    }
    with collected() as case:
        for name, run in cases.items():
            with case(name):
                refused(run, Unacceptable)
    Service.objects.filter(pk=quillo).update(is_active=False)
    refused(partial(ours, scopes=["guard"], service_id=quillo), Unacceptable)


def test_a_client_keeps_its_service_as_long_as_it_guards(cast: Cast) -> None:
    row, stella = cast.guard(scopes=("guard", "grants:read")).row, cast.as_("stella")
    other = Service.objects.create(key="ledger", name="Ledger", connector="external", application="Ledger")
    refused(lambda: operations.change_client(row.pk, service_id=other.pk, actor=stella), Unacceptable)
    refused(lambda: operations.change_client(row.pk, service_id=None, actor=stella), Unacceptable)
    refused(lambda: operations.change_client(row.pk, service_id=row.service_id, actor=stella), Unacceptable)
    operations.change_client(row.pk, scopes=["grants:read"], actor=stella)
    assert Client.objects.get(pk=row.pk).service is None
    of_tenant = add(cast).row
    with pytest.raises(DatabaseError, match="client_guards_for_the_provider"), transaction.atomic():
        Client.objects.filter(pk=of_tenant.pk).update(service=other)


def test_a_client_guards_only_after_customers_got_notice(cast: Cast) -> None:
    quillo = cast.quillo()
    made = add(cast, "stella", None, scopes=["guard", "grants:read"], service_id=quillo.pk)
    assert (made.row.scopes, made.row.service) == (["grants:read"], None)
    waiting = Proposal.objects.get(act="let_client_guard")
    assert waiting.said == {
        "client": str(made.row.pk),
        "name": "Help desk",
        "gained": ["guard"],
        "service": str(quillo.pk),
        "service_name": quillo.name,
    }
    assert quillo.name in proposals.words(waiting.act, waiting.said)
    assert events_in(cast.contoso)[-1] == "proposal.made"
    past = clock.now() - timedelta(days=4)
    Proposal.objects.filter(pk=waiting.pk).update(proposed_at=past, effective_at=past + timedelta(hours=72))
    operations.apply_proposal(waiting.pk, actor=cast.system("sweep"))
    client = Client.objects.get(pk=made.row.pk)
    assert (client.scopes, client.service) == (["grants:read", "guard"], quillo)
    detail = AuditEntry.objects.filter(event="client.changed").latest("pk")
    assert json.loads(bytes(detail.canonical))["detail"]["service"] == str(quillo.pk)


def test_a_service_that_is_no_longer_external_is_not_guarded(cast: Cast) -> None:
    quillo = cast.quillo()
    made = add(cast, "stella", None, scopes=["guard", "grants:read"], service_id=quillo.pk)
    waiting = Proposal.objects.get(act="let_client_guard")
    Service.objects.filter(pk=quillo.pk).update(connector="folder", application="", link_template="", guidance="")
    past = clock.now() - timedelta(days=4)
    Proposal.objects.filter(pk=waiting.pk).update(proposed_at=past, effective_at=past + timedelta(hours=72))
    operations.apply_proposal(waiting.pk, actor=cast.system("sweep"))
    assert Client.objects.get(pk=made.row.pk).scopes == ["grants:read"]
    assert Proposal.objects.get(pk=waiting.pk).outcome == "lapsed"


def test_only_the_live_client_of_an_application_counts_as_its_guard(cast: Cast) -> None:
    row = cast.guard().row
    guard = actor_of_token(operations.issue_access_token(row, scopes=[Scope.GUARD]).row, door="api")
    assert callers.guard(guard) == row
    person = make(cast, "priya", scopes=["guard"]).row
    other = cast.own_client("Gateway", ["evaluate"]).row
    for actor in (
        actor_of_token(person, door="api"),
        actor_of_token(operations.issue_access_token(other, scopes=[Scope.EVALUATE]).row, door="api"),
        replace(guard, person_id=cast.priya.pk),
        cast.as_("priya"),
        cast.system(),
    ):
        with pytest.raises((NotAllowed, InsufficientScope)):
            callers.guard(actor)
    for change in ({"scopes": ["evaluate"]}, {"service": cast.exchange}, {"service": None}):
        Client.objects.filter(pk=row.pk).update(**{"scopes": ["guard"], "service": cast.quillo(), **change})
        with pytest.raises(NotAllowed):
            callers.guard(guard)


@pytest.mark.parametrize(
    "fields",
    [{"scopes": []}, {"scopes": ["all"]}, {"name": " "}, {"name": "x" * 81}],
)
def test_wrong_input_is_refused(cast: Cast, fields: dict[str, Any]) -> None:
    refused(lambda: add(cast, **fields), Unacceptable)
    refused(lambda: make(cast, **fields), Unacceptable)


@pytest.mark.parametrize("name", ["otto", "ines", "frida", "priya", None])
def test_a_client_decides_only_for_an_approver_of_its_tenant(cast: Cast, name: str | None) -> None:
    whose = cast.people[name].pk if name else "nobody"
    refused(lambda: add(cast, scopes=["decisions:write"], decides_for_id=whose), Unacceptable)


def test_a_client_decides_only_with_the_scope_and_never_for_the_provider(cast: Cast) -> None:
    refused(lambda: add(cast, decides_for_id=cast.ada.pk), Unacceptable)
    refused(lambda: add(cast, "stella", None, decides_for_id=cast.ada.pk), Unacceptable)
    row = add(cast, "stella", None).row
    with pytest.raises(DatabaseError, match="client_decides_for_a_tenant"), transaction.atomic():
        Client.objects.filter(pk=row.pk).update(decides_for=cast.ada)


def test_without_the_scope_it_decides_for_nobody_any_more(cast: Cast) -> None:
    row = add(cast, scopes=["decisions:write"], decides_for_id=cast.ada.pk).row
    operations.change_client(row.pk, scopes=["log:read"], actor=cast.as_("ines"))
    assert Client.objects.get().decides_for is None
    detail = last_entry()["detail"]
    assert (detail["decides_for_id"], detail["decides_for_id_before"]) == (None, str(cast.ada.pk))
    refused(lambda: operations.change_client(row.pk, scopes=["log:read"], actor=cast.as_("ines")), Unacceptable)


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"days": 2}, "days"), ({"days": 0}, "days"), ({"scopes": ["decisions:write"], "days": 90}, "days")],
)
def test_a_token_lives_as_long_as_is_offered(cast: Cast, fields: dict[str, Any], field: str) -> None:
    before = rows()
    with pytest.raises(Unacceptable) as refusal:
        make(cast, **fields)
    assert (refusal.value.field, rows()) == (field, before)


def test_a_token_makes_no_token_that_can_more(cast: Cast) -> None:
    token = make(cast, scopes=["tokens:manage", "log:read"]).row
    actor = actor_of_token(token, door="api")
    refused(
        lambda: operations.create_token(name="x", scopes=["log:read", "evaluate"], days=1, actor=actor),
        InsufficientScope,
    )
    assert operations.create_token(name="x", scopes=["log:read"], days=1, actor=actor).row.scopes == ["log:read"]


def test_a_token_makes_no_client_that_can_more_and_takes_no_secret_of_one(cast: Cast) -> None:
    token = make(cast, "ines", scopes=["tokens:manage", "log:read"]).row
    row, wide = add(cast).row, add(cast, scopes=["log:read", "evaluate"]).row
    Token.objects.filter(pk=token.pk).update(stepped_up_at=clock.now())
    actor = actor_of_token(Token.objects.get(pk=token.pk), door="api")
    for run in (
        lambda: operations.create_client(tenant_id=cast.contoso.pk, name="x", scopes=["grants:close"], actor=actor),
        lambda: operations.change_client(row.pk, scopes=["log:read", "tenant:manage"], actor=actor),
        lambda: operations.rotate_client_secret(wide.pk, actor=actor),
    ):
        refused(run, InsufficientScope)
        assert last_entry()["detail"]["code"] == "insufficient_scope"
    operations.create_client(tenant_id=cast.contoso.pk, name="x", scopes=["log:read"], actor=actor)
    operations.rotate_client_secret(row.pk, actor=actor)
    operations.change_client(wide.pk, scopes=["evaluate"], actor=actor)
    operations.remove_client(wide.pk, actor=actor)


def test_there_are_not_endlessly_many(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations.integrations, "MOST_CLIENTS", 1)
    monkeypatch.setattr(operations.integrations, "MOST_TOKENS", 1)
    client, token = add(cast).row, make(cast).row
    refused(lambda: add(cast), TooMany)
    refused(lambda: make(cast), TooMany)
    operations.remove_client(client.pk, actor=cast.as_("ines"))
    operations.revoke_token(token.pk, actor=cast.as_("otto"))
    add(cast)
    make(cast)
    add(cast, "finn", "fabrikam")
    make(cast, "mia")


def test_without_the_password_no_token_is_made_and_no_machine_decides(cast: Cast) -> None:
    stale = cast.as_("ines", fresh=False)
    quiet = add(cast).row
    deciding = add(cast, scopes=["decisions:write"], decides_for_id=cast.ada.pk).row
    for run in (
        lambda: operations.create_token(name="x", scopes=["log:read"], days=1, actor=stale),
        lambda: operations.create_client(
            tenant_id=cast.contoso.pk,
            name="Robot",
            scopes=["decisions:write"],
            decides_for_id=cast.ada.pk,
            actor=stale,
        ),
        lambda: operations.change_client(quiet.pk, scopes=["decisions:write"], decides_for_id=cast.ada.pk, actor=stale),
        lambda: operations.change_client(deciding.pk, decides_for_id=cast.alan.pk, actor=stale),
        lambda: operations.rotate_client_secret(deciding.pk, actor=stale),
        lambda: operations.rotate_client_secret(quiet.pk, actor=stale),
    ):
        before = last_entry()
        with pytest.raises(StepUpRequired):
            run()
        # They have the right and only lack the proof, so no refusal is recorded.
        assert last_entry() == before
    # An act that takes rights away needs only the session.
    operations.change_client(deciding.pk, decides_for_id=None, actor=stale)
    operations.remove_client(deciding.pk, actor=stale)


# --- What is stored, and the entries -------------------------------------------------------------------------


def test_a_secret_is_in_the_answer_and_nowhere_else(cast: Cast) -> None:
    client, token = add(cast), make(cast)
    rotated = operations.rotate_client_secret(client.row.pk, actor=cast.as_("ines"))
    everything = repr(rows()) + repr([bytes(entry.canonical) for entry in AuditEntry.objects.all()])
    for made in (client, token, rotated):
        assert made.secret not in everything
        assert made.secret[-46:] not in everything
    assert Client.objects.get().secret_hash == api_secrets.hashed(rotated.secret)
    assert Token.objects.get().secret_hash == api_secrets.hashed(token.secret)


def test_the_log_says_what_was_given(cast: Cast) -> None:
    row = add(cast, name="  Help \t desk ", scopes=["decisions:write", "log:read"], decides_for_id=cast.ada.pk).row
    entry = last_entry()
    assert (entry["event"], entry["actor"]["name"]) == ("client.created", "Ines Test")
    assert entry["detail"] == {
        "client": str(row.pk),
        "name": "Help desk",
        "scopes": ["decisions:write", "log:read"],
        "decides_for": "Ada Test",
        "decides_for_id": str(cast.ada.pk),
    }
    token = make(cast).row
    entry = last_entry()
    assert (entry["event"], entry["actor"]["name"]) == ("token.created", "Otto Test")
    assert entry["detail"] == {
        "token": str(token.pk),
        "name": "laptop",
        "hint": token.hint,
        "scopes": ["log:read"],
        "person": str(cast.otto.pk),
        "person_name": "Otto Test",
    }


@pytest.mark.parametrize(("name", "in_log"), [("priya", PROVIDER_LOG), ("stella", PROVIDER_LOG), ("frida", "fabrikam")])
def test_a_token_is_in_the_log_of_its_owners_side(cast: Cast, name: str, in_log: Any) -> None:
    make(cast, name)
    wanted = cast.tenants[in_log].pk if in_log == "fabrikam" else in_log
    assert AuditEntry.objects.get(event="token.created").tenant_id == wanted


# --- Ends ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["otto", "ines", "stella"])
def test_a_token_is_ended_by_its_owner_its_administrator_or_staff(cast: Cast, name: str) -> None:
    token = make(cast).row
    operations.revoke_token(token.pk, actor=cast.as_(name))
    token.refresh_from_db()
    assert (token.revoked_by_id, token.is_live(clock.now())) == (cast.people[name].pk, False)
    entries = AuditEntry.objects.count()
    operations.revoke_token(token.pk, actor=cast.as_(name))
    assert AuditEntry.objects.count() == entries


@pytest.mark.parametrize("name", ["mia", "ada", "frida", "finn", "priya"])
def test_a_token_looks_missing_to_everybody_else(cast: Cast, name: str) -> None:
    token = make(cast).row
    refused(lambda: operations.revoke_token(token.pk, actor=cast.as_(name)), NotFound)


def test_a_removed_client_and_a_person_switched_off_have_nothing_left(cast: Cast) -> None:
    client, token = add(cast).row, make(cast).row
    access = operations.issue_access_token(client, scopes=[Scope.LOG_READ]).row
    operations.remove_client(client.pk, actor=cast.as_("ines"))
    operations.switch_off_person(cast.otto.pk, actor=cast.as_("ines"))
    for each in (access, token):
        each.refresh_from_db()
        assert each.revoked_by_id == cast.ines.pk
        actor = actor_of_token(each, door="api")
        assert (actor.tenant_roles, actor.queue_roles, actor.is_staff) == ({}, {}, False)
    refused(lambda: operations.remove_client(client.pk, actor=cast.as_("ines")), NotFound)
    operations.switch_on_person(cast.otto.pk, actor=cast.as_("ines"))
    token.refresh_from_db()
    assert not token.is_live(clock.now())


def test_a_role_that_is_taken_away_is_taken_from_the_token_too(cast: Cast) -> None:
    token = make(cast, "ada", scopes=["decisions:write"]).row
    row = cast.confirmed()
    Token.objects.filter(pk=token.pk).update(stepped_up_at=clock.now())
    stored_row = actor_of_token(Token.objects.get(), door="api")
    operations.take_role(cast.contoso.pk, cast.ada.pk, role="approver", actor=cast.as_("ines"))
    # The actor was built before, as in a call that is in progress.
    with pytest.raises(NotAllowed):
        operations.approve_as_customer(row.pk, actor=stored_row)
    row.refresh_from_db()
    assert row.state == "PENDING_CUSTOMER"


def test_an_act_without_a_scope_is_done_with_no_token(cast: Cast) -> None:
    """Tokens can't do a new act before its declaration names a scope."""
    token = make(cast, "ines", scopes=in_order(Scope)).row
    actor = actor_of_token(token, door="api")
    assert "remove_witness" not in SCOPES
    refused(lambda: operations.remove_witness(cast.contoso.pk, cast.ada.pk, actor=actor), InsufficientScope)


# --- What is deleted -----------------------------------------------------------------------------------------


def test_old_tokens_and_keys_are_deleted_hourly(cast: Cast, travel: Any) -> None:
    client, token = add(cast).row, make(cast).row
    operations.issue_access_token(client, scopes=[Scope.LOG_READ])
    operations.claim_key(cast.otto, key="k", asked="x", claim=uuid4(), holder="", claim_for=timedelta(minutes=1))
    travel.by(seconds=1)
    assert tasks.forget_calls() == 0
    travel.by(days=2)
    assert (tasks.forget_calls(), IdempotencyKey.objects.count(), Token.objects.count()) == (1, 0, 2)
    travel.by(days=5, hours=1)
    assert tasks.forget_calls() == 1
    # A person's token stays after its end, because entries refer to it.
    assert list(Token.objects.all()) == [token]
    assert bell.FORGET_CALLS in schedules.FUNCTIONS


def test_many_are_forgotten_batch_by_batch(cast: Cast, travel: Any) -> None:
    client = add(cast).row
    for _ in range(5):
        operations.issue_access_token(client, scopes=[Scope.LOG_READ])
    travel.by(days=8)
    assert operations.forget_old(clock.now(), limit=2) == 2
    assert tasks.forget_calls() == 3
