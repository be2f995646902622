"""Row-level security: PostgreSQL hides other tenants' rows from a call, even if the code forgets to filter them."""

from __future__ import annotations

from collections.abc import Generator
from importlib import import_module
from pathlib import Path

import pytest
from django.db import DatabaseError, connection, transaction
from django.urls import reverse

from audit_app import search_index
from audit_app.models import AuditEntry, IndexedSegment, IndexPart
from requests_app import operations, tasks
from requests_app.content.downloads import in_steps
from requests_app.domain import clock
from requests_app.domain.errors import ChangeProposed, NotAllowed
from requests_app.domain.events import PROVIDER_LOG
from requests_app.models import (
    AccessRequest,
    DirectoryGroup,
    DirectoryRecord,
    GroupMember,
    GroupRole,
    HeldRow,
    Import,
    ImportBatch,
    Invitation,
    Membership,
    NotificationAddress,
    Passkey,
    Plan,
    Proposal,
    Resource,
    Tenant,
    Ticket,
)
from requests_app.models.row_security import only_tenants, own_account
from requests_app.queries import invitations
from requests_app.queries import tenant as queries
from tests.cast import Cast
from tests.imports.files import imported
from tests.imports.worlds import run
from tests.passkeys import enrolled
from tests.web.pages import signed_in

pytestmark = [pytest.mark.postgres, pytest.mark.django_db]


def test_a_connection_that_serves_one_tenant_sees_no_other(cast: Cast) -> None:
    cast.submitted("contoso")
    cast.submitted("fabrikam")
    with only_tenants([cast.contoso.pk]):
        assert {row.tenant_id for row in AccessRequest.objects.all()} == {cast.contoso.pk}
        assert {row.tenant_id for row in Ticket.objects.all()} == {cast.contoso.pk}
        assert {row.tenant_id for row in Resource.objects.all()} == {cast.contoso.pk}
        assert {row.tenant_id for row in Membership.objects.all()} == {cast.contoso.pk}
        assert {row.tenant_id for row in AuditEntry.objects.all()} == {cast.contoso.pk}
        assert list(Tenant.objects.all()) == [cast.contoso]


def test_a_connection_of_one_tenant_sees_no_index_of_another_log(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_index, "SEGMENT", 8)
    for _ in range(4):
        cast.submitted("contoso")
        cast.submitted("fabrikam")
    search_index.work(lambda: False)
    assert len({row.tenant_id for row in IndexPart.objects.all()}) > 1
    with only_tenants([cast.contoso.pk]):
        assert {row.tenant_id for row in IndexPart.objects.all()} == {cast.contoso.pk}
        assert {row.tenant_id for row in IndexedSegment.objects.all()} == {cast.contoso.pk}
        with pytest.raises(DatabaseError, match="row-level security"), transaction.atomic():
            IndexedSegment.objects.create(tenant_id=cast.fabrikam.pk, segment=99, form="")


def test_a_connection_of_one_tenant_sees_no_import_and_only_its_own_changes_that_wait(cast: Cast) -> None:
    """An import has the rows of many tenants."""
    cast.sharepoint.is_covered = False
    cast.sharepoint.save()
    line = "{0},,,,sharepoint-online,x-{0},library,Plans,{0}/plans/x,"
    imported(cast, line.format("contoso"), line.format("fabrikam"))
    assert (HeldRow.objects.count(), Import.objects.count(), ImportBatch.objects.count()) == (2, 1, 2)
    with only_tenants([cast.contoso.pk]):
        assert {row.tenant_id for row in HeldRow.objects.all()} == {cast.contoso.pk}
        assert (Import.objects.count(), ImportBatch.objects.count()) == (0, 0)


def test_a_connection_of_one_tenant_sees_waiting_changes_of_no_tenant_only_if_they_affect_it(
    cast: Cast, tmp_path: Path
) -> None:
    Tenant.objects.filter(pk=cast.fabrikam.pk).update(plan=Plan.objects.create(name="E3", includes_lockbox=True))
    plan, service = "- {name: E5, includes_lockbox: false}", "- {key: exchange-online, name: Mail}"
    assert run("apply", f"version: 1\nplans:\n{plan}\nservices:\n{service}\n", tmp_path / "world.yaml")[0] == 0
    with only_tenants([cast.contoso.pk]):
        assert not HeldRow.objects.exists(), "it is not proposed yet"
    operations.propose_import(Import.objects.get().pk, actor=cast.as_("stella"))
    tasks.run_imports()
    for tenant, acts in ((cast.contoso, {"change_plan", "change_service"}), (cast.fabrikam, {"change_service"})):
        with only_tenants([tenant.pk]):
            assert {row.act for row in HeldRow.objects.all()} == acts
            assert {row.tenant_id for row in HeldRow.touched.through.objects.all()} == {tenant.pk}
            assert HeldRow.objects.update(outcome="applied") == 0
    with only_tenants([cast.northwind.pk]):
        assert not HeldRow.objects.exists()
    assert set(HeldRow.objects.values_list("outcome", flat=True)) == {""}


def test_a_connection_of_one_tenant_sees_nothing_of_the_providers_directory(cast: Cast) -> None:
    client = cast.own_client("Directory", ["members:provision"]).row
    group = DirectoryGroup.objects.create(name="Engineers", key="engineers")
    at = cast.contoso.created_at
    GroupRole.objects.create(group=group, service=cast.exchange, role="engineer", made_at=at)
    GroupMember.objects.create(group=group, person=cast.erik, through=client.account, since=at)
    named = {"user_name": "erik", "user_key": "erik", "changed_at": at}
    DirectoryRecord.objects.create(tenant=None, person=cast.erik, **named)
    DirectoryRecord.objects.create(tenant=cast.contoso, person=cast.mia, **named)
    with only_tenants([cast.contoso.pk]):
        assert not any(model.objects.exists() for model in (DirectoryGroup, GroupRole, GroupMember))
        assert {row.person for row in DirectoryRecord.objects.all()} == {cast.mia}
        with pytest.raises(DatabaseError, match="row-level security"), transaction.atomic():
            DirectoryRecord.objects.create(tenant=None, person=cast.ada, **named)


def test_a_connection_of_one_tenant_cannot_write_for_another(cast: Cast) -> None:
    with only_tenants([cast.contoso.pk]):
        with pytest.raises(DatabaseError, match="row-level security"), transaction.atomic():
            NotificationAddress.objects.create(
                tenant_id=cast.fabrikam.pk, email="a@b.example", created_at=cast.fabrikam.created_at
            )
        assert Ticket.objects.filter(tenant=cast.fabrikam).update(title="Mine") == 0


def test_a_customer_without_any_role_sets_a_password_and_is_behind_the_wall_again(cast: Cast) -> None:
    """The act writes into the provider's log, which is hidden from customers. Afterwards the log is hidden again."""
    cast.otto.memberships.all().delete()
    actor = cast.as_("otto")
    with only_tenants([]):
        with own_account():
            operations.set_password(actor=actor, password="another battery of 7 horses", how="change")
        assert not AuditEntry.objects.exists()
        assert not Tenant.objects.exists()
    assert AuditEntry.objects.get().event == "person.password_changed"


def test_a_reset_ends_the_key_from_before_the_first_role_too(cast: Cast) -> None:
    """The passkey is older than the person's first role, so the passkey's row and log entry belong to the provider.

    The reset must end this passkey too.
    """
    cast.people["newcomer"] = cast.stranger("first@contoso.example")
    enrolled(cast, "newcomer")
    cast.contoso.memberships.create(person=cast.newcomer, role="member", given_at=cast.contoso.created_at)
    page = reverse("web:person", args=[cast.contoso.pk, cast.newcomer.pk])
    assert signed_in(cast, "ines").post(page, {"act": "reset"}).status_code == 302
    assert not Passkey.objects.live().exists()
    assert AuditEntry.objects.filter(event="passkey.removed").count() == 1


def test_a_refusal_that_belongs_into_the_providers_log_is_written_there(cast: Cast) -> None:
    """A customer's administrator tries to create a client of the provider.

    The answer is the same refusal as on SQLite, and not a server error.
    """
    with only_tenants([cast.contoso.pk]):
        with pytest.raises(NotAllowed):
            operations.create_client(name="Ours", scopes=["evaluate"], actor=cast.as_("ines"))
        assert not AuditEntry.objects.exists()
    [entry] = AuditEntry.objects.all()
    assert (entry.tenant_id, entry.event, entry.actor_id) == (PROVIDER_LOG, "act.refused", cast.ines.pk)


def test_a_customer_without_any_role_makes_a_token(cast: Cast) -> None:
    cast.otto.memberships.all().delete()
    actor = cast.as_("otto")
    with only_tenants([]):
        operations.create_token(name="Mine", scopes=["requests:read"], days=7, actor=actor)
        assert not AuditEntry.objects.exists()
    assert AuditEntry.objects.get().tenant_id == PROVIDER_LOG


def test_a_customer_without_any_role_sees_no_tenant(cast: Cast) -> None:
    with only_tenants([]):
        assert not Tenant.objects.exists()


def test_the_setting_ends_with_the_request(cast: Cast) -> None:
    with only_tenants([cast.contoso.pk]):
        pass
    assert Tenant.objects.count() == 3


def test_a_stream_is_made_behind_the_wall_and_leaves_nothing_set_between_its_chunks(cast: Cast) -> None:
    """Django makes the chunks of a stream after the middleware has ended."""

    def chunks() -> Generator[bytes]:
        for _ in range(2):
            yield b",".join(sorted(row.slug.encode() for row in Tenant.objects.all()))

    for chunk in in_steps(chunks(), cast.contoso.pk, actor=cast.as_("otto")):
        assert chunk == b"contoso"
        assert Tenant.objects.count() == 3


def test_every_table_with_a_tenant_has_a_policy() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name FROM information_schema.columns WHERE column_name = 'tenant_id' "
            "AND table_schema = 'public' EXCEPT SELECT tablename FROM pg_policies WHERE policyname = 'own_tenants'"
        )
        assert cursor.fetchall() == []


def test_every_policy_with_a_list_of_tenants_is_expected_to_hide_few_rows() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_policies WHERE qual LIKE '%::uuid[]%' AND qual !~ 'NULLIF.+NOT NULL'")
        assert cursor.fetchall() == []


def test_postgresql_expects_as_many_rows_as_the_provider_sees(cast: Cast) -> None:
    at, plan = cast.contoso.created_at, cast.contoso.plan
    Tenant.objects.bulk_create(
        Tenant(name=f"Tenant {n}", slug=f"tenant-{n}", plan=plan, created_at=at) for n in range(500)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE requests_app_tenant")
        cursor.execute("EXPLAIN (FORMAT JSON) SELECT * FROM requests_app_tenant")
        [[[explained]]] = cursor.fetchall()
    assert explained["Plan"]["Plan Rows"] > 450


def test_the_policies_with_a_list_hide_the_same_rows_before_they_are_written_in_another_form(cast: Cast) -> None:
    migration = import_module("requests_app.migrations.0083_policies_hide_few_rows").Migration
    [operation] = migration.operations
    now = _policies()
    with connection.schema_editor(atomic=False) as editor:
        operation.reverse_code(None, editor)
        before = _policies()
        assert before != now
        assert not any("NULLIF" in condition for condition in before.values())
        test_a_connection_that_serves_one_tenant_sees_no_other(cast)
        operation.code(None, editor)
    assert _policies() == now
    test_a_connection_that_serves_one_tenant_sees_no_other(cast)


def _policies() -> dict[tuple[str, str], str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename, policyname, qual FROM pg_policies")
        return {(table, name): condition for table, name, condition in cursor.fetchall()}


def test_a_connection_that_serves_one_tenant_sees_what_staff_announced_to_it_and_changes_none(cast: Cast) -> None:
    cast.colleague()
    operations.withdraw(cast.submitted("fabrikam").pk, actor=cast.as_("priya"))
    foreign = cast.resource("fabrikam")
    stella = cast.as_("stella")
    with pytest.raises(ChangeProposed):
        operations.save_resource(resource_id=foreign.pk, name="Menus", actor=stella)
    with pytest.raises(ChangeProposed):
        operations.make_staff(cast.erik.pk, actor=stella)
    with only_tenants([cast.contoso.pk]):
        [row] = queries.announced([cast.contoso.pk, cast.fabrikam.pk])
        assert (row.act, list(row.touched.all())) == ("make_staff", [cast.contoso])
        assert [each.act for each in Proposal.objects.all()] == ["make_staff"]
        assert Proposal.objects.update(outcome="withdrawn") == 0
    with only_tenants([cast.northwind.pk]):
        assert not Proposal.objects.exists()
    assert set(Proposal.objects.values_list("outcome", flat=True)) == {""}


def test_a_connection_of_a_tenant_sees_no_invitation_of_the_provider(cast: Cast) -> None:
    invited, other = cast.invited(), cast.invited_colleague()
    queues = Invitation.services.through
    with only_tenants([cast.contoso.pk]):
        assert list(Invitation.objects.all()) == [invited]
        assert not queues.objects.exists()
        with pytest.raises(DatabaseError, match="row-level security"), transaction.atomic():
            queues.objects.create(invitation_id=other.pk, service_id=cast.sharepoint.pk)
        with pytest.raises(DatabaseError, match="row-level security"), transaction.atomic():
            Invitation.objects.filter(pk=invited.pk).update(tenant=None, role="staff")
    assert queues.objects.count() == 1


def test_a_connection_of_a_tenant_sees_no_other_tenant_that_knows_an_invitation_of_the_provider(cast: Cast) -> None:
    invited = cast.invited_colleague()
    invited.named_to.add(cast.contoso, cast.northwind)
    links = Invitation.named_to.through
    with only_tenants([cast.contoso.pk]):
        assert [row.tenant_id for row in links.objects.all()] == [cast.contoso.pk]
        with pytest.raises(DatabaseError, match="row-level security"), transaction.atomic():
            links.objects.create(invitation_id=invited.pk, tenant_id=cast.fabrikam.pk)
    assert links.objects.count() == 2


def test_a_customer_who_first_switches_lockbox_on_names_the_providers_invitations(cast: Cast) -> None:
    cast.peaceful()
    Plan.objects.update(includes_lockbox=True)
    invited = cast.invited_colleague()
    with only_tenants([cast.northwind.pk]):
        [named] = invitations.expected_of_provider(cast.northwind, at=clock.now())
        operations.switch_lockbox(cast.northwind.pk, on=True, actor=cast.as_("noah"))
        assert not Invitation.objects.exists()
    assert (named.email, [*invited.named_to.all()]) == (invited.email, [cast.northwind])
