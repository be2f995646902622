"""A database that was set back without `restore`, as with pg_restore, a snapshot, or a file that was copied back."""

from __future__ import annotations

import datetime as dt
import io
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from audit_app import checkpoints, queries, restored_database
from audit_app.models import AuditEntry, LogAlarm
from lockbox_site import starting
from requests_app import operations, tasks
from requests_app.domain import clock
from requests_app.domain.errors import RestoreNotConfirmed, WindowNotOpen, WrongState
from requests_app.management import _fitness
from requests_app.models import AccessRequest, Grant, OutboxMessage, Person, Restoration, RestoredTenant, Tenant
from requests_app.models.row_security import only_tenants
from requests_app.operations import content
from requests_app.queries import restored
from tests import ground
from tests.backup.conftest import Place, new_place
from tests.cast import Cast, events_of, find

pytestmark = pytest.mark.dialect


def copied(place: Place, directory: Path) -> str:
    """Copy the database, as an operator does without the program. Return its name."""
    if connection.vendor == "sqlite":
        path = directory / "copy.sqlite3"
        with closing(sqlite3.connect(place.database)) as file:
            file.execute("VACUUM INTO ?", [str(path)])
        return str(path)
    name = f"{place.database}_copy"
    with ground.one_at_a_time(), ground._creation()._nodb_cursor() as cursor:
        cursor.execute(f'CREATE DATABASE "{name}" TEMPLATE "{place.database}"')
    return name


@pytest.fixture
def first(source: Place, tmp_path: Path) -> Iterator[Place]:
    with new_place(tmp_path / "first", has_cast=True) as place:
        shutil.copy(source.data / "log_key", place.data / "log_key")
        yield place


@pytest.fixture
def back(first: Place, tmp_path: Path) -> Iterator[Place]:
    """An installation with an older copy of its database and the newest heads. A window was closed after the copy."""
    with first.used():
        cast = find()
        cast.colleague()
        cast.opened()
        cast.submitted()
        cast.confirmed("fabrikam")
        sign()
    connection.close()
    name = copied(first, tmp_path)
    with first.used():
        operations.revoke(AccessRequest.objects.get(state="OPEN").pk, actor=find().as_("ada"))
        sign()
    yield Place(first.data, name)
    if connection.vendor == "postgresql":
        with ground._creation()._nodb_cursor() as cursor:
            cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def sign() -> None:
    for log in queries.logs():
        checkpoints.sign(log, at=clock.now())


def start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start a process: it compares the heads, before it adds anything to a log."""
    monkeypatch.setattr(restored_database, "made", restored_database.Comparison())
    assert starting._has_compared()


def refused(cast: Cast) -> None:
    """Both stages refuse an approval, and nothing else happens."""
    mails = OutboxMessage.objects.count()
    [asked] = AccessRequest.objects.filter(state="PENDING_PROVIDER")
    [confirmed] = AccessRequest.objects.filter(state="PENDING_CUSTOMER")
    with pytest.raises(RestoreNotConfirmed, match="set back to an older state"):
        operations.approve_as_provider(asked.pk, actor=cast.as_("pat"))
    # As on a page: PostgreSQL hides the other tenants' rows, and their alarms.
    with only_tenants([confirmed.tenant_id]), pytest.raises(RestoreNotConfirmed, match="set back to an older state"):
        operations.approve_as_customer(confirmed.pk, actor=cast.as_("frida"))
    assert events_of(asked)[1:] == ["act.refused"]
    assert events_of(confirmed)[2:] == ["act.refused"]
    assert OutboxMessage.objects.count() == mails
    assert not Grant.objects.filter(closed_at=None).exists()


def test_nothing_stays_open_and_nothing_opens_before_the_operators_command(
    back: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with back.used():
        cast = find()
        grant = Grant.objects.get(closed_at=None)
        assert grant.is_live(clock.now()), "the copy says that the window is open"
        start(monkeypatch)
        assert LogAlarm.objects.get(code="shorter").pk == cast.contoso.pk
        assert AccessRequest.objects.get(pk=grant.access_request_id).state == "CLOSED"
        with pytest.raises(WindowNotOpen):
            content.list_items(grant.pk, cast.resource().pk, actor=cast.as_("priya"))
        refused(cast)
        shown = restored.digest(restored.facts_of_tenant(Tenant.objects.get(pk=cast.contoso.pk), clock.now()))
        with pytest.raises(WrongState, match="An operator of Microsoft must first"):
            operations.confirm_restored(cast.contoso.pk, shown=shown, actor=cast.as_("ines"))
        with pytest.raises(WrongState, match="An operator of Microsoft must first"):
            operations.confirm_restored_people(
                shown=restored.digest(restored.facts_of_provider()), actor=cast.as_("stella")
            )
        before = AuditEntry.objects.count()
        start(monkeypatch)
        assert AuditEntry.objects.count() == before, "a second process does nothing more"
        assert (Restoration.objects.count(), RestoredTenant.objects.count()) == (1, Tenant.objects.count())


def test_a_worker_or_a_command_that_starts_first_closes_everything_too(
    back: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with back.used():
        monkeypatch.setattr(restored_database, "made", restored_database.Comparison())
        assert _fitness.compare_heads()
        assert restored.is_set_back()
        assert not Grant.objects.filter(closed_at=None).exists()


def test_the_command_does_what_a_restore_does_once(back: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with back.used():
        cast = find()
        cast.people["sten"] = Person.objects.get_queryset().get(email__startswith="sten@")
        start(monkeypatch)
        taken_at = clock.now() - dt.timedelta(minutes=1)
        call(taken_at)
        assert not AccessRequest.objects.exclude(state__in=["WITHDRAWN", "CLOSED", "DENIED", "EXPIRED"]).exists()
        logs = AuditEntry.objects.filter(event="installation.restored").values_list("tenant_id", flat=True)
        assert len(set(logs)) == len(logs) == Tenant.objects.count() + 1
        assert OutboxMessage.objects.filter(topic="notify.restored", tenant=cast.contoso.pk).exists()
        before = AuditEntry.objects.count()
        call(taken_at)
        start(monkeypatch)
        assert AuditEntry.objects.count() == before, "neither a second call nor a start does it again"
        asked = cast.submitted("northwind")
        with pytest.raises(RestoreNotConfirmed, match="have not confirmed yet"):
            operations.approve_as_provider(asked.pk, actor=cast.as_("pat"))
        for name in ("noah", "nils"):
            facts = restored.facts_of_tenant(Tenant.objects.get(pk=cast.tenants["northwind"].pk), clock.now())
            operations.confirm_restored(
                cast.tenants["northwind"].pk, shown=restored.digest(facts), actor=cast.as_(name)
            )
        for name in ("stella", "sten"):
            operations.confirm_restored_people(
                shown=restored.digest(restored.facts_of_provider()), actor=cast.as_(name)
            )
        operations.approve_as_provider(asked.pk, actor=cast.as_("pat"))
        assert AccessRequest.objects.get(pk=asked.pk).state == "OPEN"
        assert not restored.unconfirmed(cast.tenants["northwind"].pk)
        # The signer still refuses what it has signed otherwise.
        with pytest.raises(checkpoints.Refusal):
            checkpoints.sign(cast.contoso.pk, at=clock.now())


def test_processes_that_run_find_it_at_their_next_round(
    first: Place, back: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No log has a new entry, and none is due to be dated. But the newest checkpoint is gone."""
    monkeypatch.setattr(restored_database, "made", restored_database.Comparison())
    with first.used():
        tasks.checkpoint()
        tasks.checkpoint()
        assert not Restoration.objects.exists()
    with back.used():
        tasks.checkpoint()
        assert restored.is_set_back()
        refused(find())


def test_the_command_refuses_what_can_not_be(back: Place, first: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with first.used():
        entries = AuditEntry.objects.count()
        with pytest.raises(CommandError, match="No signed head shows"):
            call(clock.now())
        assert AuditEntry.objects.count() == entries
        assert not Restoration.objects.exists()
    with back.used():
        start(monkeypatch)
        entries = AuditEntry.objects.count()
        for wrong in (clock.now(), clock.now() + dt.timedelta(hours=1)):
            with pytest.raises(CommandError, match="newer than the restore"):
                call(wrong)
        assert restored.is_set_back()
        assert AuditEntry.objects.count() == entries


def test_an_operator_who_is_certain_needs_no_head(first: Place) -> None:
    """With the database, the heads were set back, too."""
    with first.used():
        cast = find()
        cast.opened()
        call(clock.now() - dt.timedelta(hours=1), certain=True)
        assert not Grant.objects.filter(closed_at=None).exists()
        assert Restoration.objects.get().pk != Restoration.SET_BACK


def call(taken_at: dt.datetime, **more: Any) -> None:
    call_command("restored_by_hand", taken_at=taken_at, stdout=io.StringIO(), **more)
