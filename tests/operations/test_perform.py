"""What the kernel does with each part of a declaration. The acts that these tests declare change nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from requests_app import operations
from requests_app.domain import clock, policy
from requests_app.domain.actors import Actor, Machine, Role
from requests_app.domain.acts.access_requests import REVOKE
from requests_app.domain.acts.declaration import Act, Comment, Door, Field, Kind, Noun, Party, StepUp
from requests_app.domain.errors import (
    AlreadyDecidedByYou,
    DomainError,
    NotAllowed,
    OwnAccount,
    StepUpRequired,
    Unacceptable,
)
from requests_app.domain.events import PROVIDER_LOG
from requests_app.domain.lifecycle import TRANSITIONS
from requests_app.models import Identity, Person
from requests_app.operations._change import Step
from requests_app.operations._perform import perform
from requests_app.queries import access
from tests.cast import Cast
from tests.passkeys import enrolled

pytestmark = pytest.mark.django_db

TRY = Act("try", noun=Noun.TENANT, roles=frozenset({Role.ADMINISTRATOR}), doors=frozenset({Door.API}))
LOCKS_THE_TENANT = 'FOR NO KEY UPDATE OF "requests_app_tenant"'
COLLEAGUE = replace(TRY, inputs=(Field("colleague", Kind.ID, of=Noun.PERSON, is_needed=False),))


def tried(declared: Act, cast: Cast, actor: Actor, **options: Any) -> Step:
    with perform(declared, cast.contoso.pk, actor=actor, **options) as current:
        pass
    return current


def refused(declared: Act, cast: Cast, actor: Actor, **options: Any) -> DomainError:
    with pytest.raises(DomainError) as found:
        tried(declared, cast, actor, **options)
    return found.value


def test_the_row_is_locked_and_the_clock_read_before_the_body(cast: Cast) -> None:
    before = clock.now()
    with (
        CaptureQueriesContext(connection) as statements,
        perform(TRY, cast.contoso.pk, actor=cast.as_("ines")) as current,
    ):
        at_body = [each["sql"] for each in statements.captured_queries]
        assert before <= current.at <= clock.now()
    assert (current.row, current.tenant, current.tenant_id) == (cast.contoso, cast.contoso, cast.contoso.pk)
    # SQLite has no row locks. There, the transaction is the lock (tests/database/test_turns.py).
    if connection.vendor == "postgresql":
        row = f"{cast.contoso.pk.hex}'::uuid"
        [locked] = [number for number, sql in enumerate(at_body) if row in sql and sql.endswith(LOCKS_THE_TENANT)]
        [clock_read] = [number for number, sql in enumerate(at_body) if row in sql and "clock_timestamp()" in sql]
        assert locked < clock_read


def _locked_before_the_log(act: Callable[[], object]) -> list[str]:
    """Return the tables in which an act locks rows before it takes its turn at a log, in order."""
    with CaptureQueriesContext(connection) as statements:
        act()
    tables: list[str] = []
    for sql in (each["sql"] for each in statements.captured_queries):
        if "audit_lock_head(" in sql:
            return tables
        if re.search(r" FOR (NO KEY )?UPDATE", sql):
            [table] = re.findall(r'^SELECT .*? FROM "requests_app_(\w+)"', sql)
            tables.append(table)
    raise AssertionError("the act took no turn at a log")


@pytest.mark.postgres
def test_rows_that_other_acts_change_too_are_locked_before_the_turn_at_the_log(cast: Cast) -> None:
    """In another order, two acts could wait for each other in a circle."""
    ticket = cast.ticket()
    cast.submitted(ticket=ticket)
    passkey, _device = enrolled(cast, "ada")
    linked: dict[str, Any] = {"tenant": cast.contoso, "person": cast.ada, "linked_at": clock.now()}
    identity = Identity.objects.create(issuer="https://idp.example", subject="ada", **linked)
    ends_access = _locked_before_the_log(lambda: operations.close_ticket(ticket.pk, actor=cast.as_("mia")))
    assert ends_access[:2] == ["ticket", "accessrequest"]
    loses_a_factor = _locked_before_the_log(lambda: operations.remove_passkey(passkey.pk, actor=cast.as_("ada")))
    assert loses_a_factor[0] == "person"
    loses_an_identity = _locked_before_the_log(lambda: operations.unlink_identity(identity.pk, actor=cast.as_("ines")))
    assert loses_an_identity[:2] == ["person", "tenant"]


def test_one_of_the_roles_is_needed(cast: Cast) -> None:
    assert type(refused(TRY, cast, cast.as_("ada"))) is NotAllowed
    # Staff can see the tenant, but are not its administrators.
    assert type(refused(TRY, cast, cast.as_("stella"))) is NotAllowed


def test_roles_of_the_provider_count_for_its_own_rows_alone(cast: Cast) -> None:
    both = replace(TRY, provider_roles=frozenset({Role.STAFF}))
    assert type(refused(both, cast, cast.as_("stella"))) is NotAllowed

    def of_provider(current: Step, _row_id: object) -> Person:
        current.concerns("person", cast.pat, PROVIDER_LOG)
        return cast.pat

    assert tried(both, cast, cast.as_("stella"), find=of_provider).row == cast.pat
    assert type(refused(both, cast, cast.as_("pat"), find=of_provider)) is NotAllowed


def test_the_holder_of_a_row_may_do_a_holders_act(cast: Cast) -> None:
    of_holder = replace(TRY, is_holders=True)

    def adas(current: Step, _row_id: object) -> Person:
        current.concerns("person", cast.ada, cast.contoso.pk, holder=cast.ada.pk)
        return cast.ada

    assert tried(of_holder, cast, cast.as_("ada"), find=adas).row == cast.ada
    assert type(refused(of_holder, cast, cast.as_("alan"), find=adas)) is NotAllowed
    assert type(refused(of_holder, cast, cast.system(), find=adas)) is NotAllowed


def test_the_holder_of_a_row_needs_a_role_for_an_act_that_is_not_a_holders(cast: Cast) -> None:
    def adas(current: Step, _row_id: object) -> Person:
        current.concerns("person", cast.ada, cast.contoso.pk, holder=cast.ada.pk)
        return cast.ada

    assert type(refused(TRY, cast, cast.as_("ada"), find=adas)) is NotAllowed


def test_a_requesters_act_is_for_the_engineer_who_raised_the_row(cast: Cast) -> None:
    of_requester = replace(TRY, roles=frozenset({Role.REQUESTER}))

    def raised_by(name: str) -> Any:
        def find(current: Step, _row_id: object) -> Person:
            row, human = cast.people[name], frozenset({cast.people[name].human_id})
            service, parties = cast.exchange.pk, {Party.REQUESTER: human}
            current.concerns("person", row, cast.contoso.pk, service_id=service, parties=parties)
            return row

        return find

    assert tried(of_requester, cast, cast.as_("priya"), find=raised_by("priya")).row == cast.priya
    # Another engineer is refused, and somebody who is not an engineer of this service.
    assert type(refused(of_requester, cast, cast.as_("erik"), find=raised_by("priya"))) is NotAllowed
    assert type(refused(of_requester, cast, cast.as_("pat"), find=raised_by("pat"))) is NotAllowed


def test_nobody_counts_as_the_holder_of_a_row_without_one(cast: Cast) -> None:
    """The row has no holder, and the system and a stranger have no account.

    Two missing ids must not count as equal.
    """
    of_holder = replace(TRY, is_holders=True)

    def without_holder(current: Step, _row_id: object) -> Person:
        current.concerns("person", cast.ada, cast.contoso.pk)
        return cast.ada

    for actor in (cast.system(), Actor.stranger(door="api"), cast.as_("ada")):
        assert type(refused(of_holder, cast, actor, find=without_holder)) is NotAllowed


def test_a_client_in_a_persons_name_is_not_the_holder_of_that_persons_row(cast: Cast) -> None:
    of_holder, ada = replace(TRY, is_holders=True), cast.as_("ada")
    row = policy.Subject(log_id=cast.contoso.pk, holder=cast.ada.pk)
    policy.require_entitled(ada, of_holder, row)
    client = Machine(client_id=uuid4(), account_id=uuid4(), name="Gateway")
    with pytest.raises(NotAllowed):
        policy.require_entitled(replace(ada, machine=client), of_holder, row)


def test_anybody_may_try_what_is_public(cast: Cast) -> None:
    assert tried(replace(TRY, roles=frozenset(), is_public=True), cast, cast.as_("mia")).row == cast.contoso


def test_the_system_may_not_do_an_act_for_humans(cast: Cast) -> None:
    system = replace(TRY, roles=frozenset({Role.SYSTEM}))
    assert tried(system, cast, cast.system()).row == cast.contoso
    assert type(refused(replace(system, humans_only=True), cast, cast.system())) is NotAllowed


def test_a_human_with_a_part_in_the_row_is_left_out(cast: Cast) -> None:
    apart = replace(TRY, separate_from=(Party.SUBJECT,))

    def of(name: str) -> Any:
        def find(current: Step, _row_id: object) -> Person:
            human = frozenset({cast.people[name].human_id})
            current.concerns("person", cast.people[name], cast.contoso.pk, parties={Party.SUBJECT: human})
            return cast.people[name]

        return find

    assert type(refused(apart, cast, cast.as_("ines"), find=of("ines"))) is OwnAccount
    assert tried(apart, cast, cast.as_("ines"), find=of("ada")).row == cast.ada


def test_the_same_fields_judge_a_move_and_its_button(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ada approved. Then the declaration is changed: a person who has decided must not close the window.

    Now only Alan still sees the button, and only his act succeeds.
    """
    row = cast.opened().access_request
    monkeypatch.setattr(access, "_edges_from", access._edges_from.__wrapped__)

    def offered(name: str) -> list[str]:
        found = access.allowed_actions(row, actor=cast.as_(name), at=clock.now())
        return [edge.act.name for edge in found]

    assert (offered("ada"), offered("alan")) == (["revoke"], ["revoke"])
    changed = replace(REVOKE, separate_from=(Party.DECIDER,), humans_only=True)
    monkeypatch.setitem(TRANSITIONS, "revoke", replace(TRANSITIONS["revoke"], act=changed))
    assert (offered("ada"), offered("alan")) == ([], ["revoke"])
    monkeypatch.setattr("requests_app.operations.grants.REVOKE", changed)
    with pytest.raises(AlreadyDecidedByYou):
        operations.revoke(row.pk, actor=cast.as_("ada"))
    with pytest.raises(NotAllowed):
        operations.revoke(row.pk, actor=cast.system())
    row.refresh_from_db()
    assert row.state == "OPEN"
    operations.revoke(row.pk, actor=cast.as_("alan"))


def test_a_comment_is_read_as_it_is_declared(cast: Cast) -> None:
    ines = cast.as_("ines")
    assert tried(TRY, cast, ines, note="So.").note == ""
    assert tried(replace(TRY, comment=Comment.OPTIONAL), cast, ines, note=" So. ").note == "So."
    assert tried(replace(TRY, comment=Comment.OPTIONAL), cast, ines, note="  ").note == ""
    for nothing in ("", "  "):
        found = refused(replace(TRY, comment=Comment.NEEDED), cast, ines, note=nothing)
        assert isinstance(found, Unacceptable)
        assert found.field == "note"
    assert tried(replace(TRY, comment=Comment.NEEDED), cast, ines, note="x").note == "x"


def test_fresh_proof_is_asked_for_as_it_is_declared(cast: Cast) -> None:
    always, stale = replace(TRY, step_up=StepUp.ALWAYS), cast.as_("ines", fresh=False)
    assert type(refused(always, cast, stale)) is StepUpRequired
    assert tried(always, cast, cast.as_("ines")).row == cast.contoso
    assert tried(TRY, cast, stale).row == cast.contoso


def test_a_body_that_never_says_whether_it_takes_proof_is_a_mistake(cast: Cast) -> None:
    depends, ines = replace(TRY, step_up=StepUp.DEPENDS), cast.as_("ines", fresh=False)
    with pytest.raises(RuntimeError, match="did not state whether it needs a proof of identity"):
        tried(depends, cast, ines)
    assert tried(depends, cast, ines, check=lambda current: current.require_proof(needed=False)).row == cast.contoso
    assert type(refused(depends, cast, ines, check=lambda current: current.require_proof())) is StepUpRequired


def test_an_id_is_the_row_that_it_names_in_the_same_tenant(cast: Cast) -> None:
    ines = cast.as_("ines")
    assert tried(COLLEAGUE, cast, ines, inputs={"colleague": str(cast.alan.pk)}).inputs == {"colleague": cast.alan}
    assert tried(COLLEAGUE, cast, ines).inputs == {"colleague": None}
    for wrong in (cast.frida.pk, uuid4(), "nobody"):
        found = refused(COLLEAGUE, cast, ines, inputs={"colleague": wrong})
        assert isinstance(found, Unacceptable)
        assert found.field == "colleague"
