"""Which alarms show that the whole database was set back, and who can confirm afterwards."""

from __future__ import annotations

import datetime as dt
from typing import Any
from unittest.mock import Mock
from uuid import uuid4

import pytest

from audit_app import checkpoints, restored_database
from audit_app.models import AuditEntry, LogAlarm
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.errors import NotAllowed, RestoreNotConfirmed
from requests_app.models import Membership, Restoration, RestoredTenant, Tenant
from requests_app.operations import set_back as module
from requests_app.queries import restored as queries
from tests.audit.test_checkpoints import meddle, uuid_sql
from tests.cast import Cast
from tests.web.pages import only_a_refusal

pytestmark = pytest.mark.django_db

SYSTEM = Actor.system("set-back")


def set_back(cast: Cast, *, ago: dt.timedelta = dt.timedelta(0), note: str = "") -> bool:
    since = clock.now() - ago
    facts = {"code": "shorter", "detail": {"signed": 10_000, "found": 3, "checkpoint": note}}
    LogAlarm.objects.create(pk=cast.contoso.pk, since=since, last_at=since, **facts)
    return operations.note_set_back(actor=SYSTEM)


def test_entries_that_were_removed_from_one_log_close_nothing_elsewhere(cast: Cast) -> None:
    """Its checkpoints are still there, so this is no older copy of the database."""
    grant = cast.opened()
    checkpoints.sign(cast.contoso.pk, at=clock.now())
    tenant = uuid_sql(cast.contoso.pk)
    meddle("DELETE FROM audit_app_auditentry WHERE tenant_id = %s AND seq >= 2", tenant)
    meddle("UPDATE audit_app_chainhead SET size = 2 WHERE tenant_id = %s", tenant)
    assert restored_database.compare(clock.now()) == [cast.contoso.pk]
    assert LogAlarm.objects.get().code == "shorter"
    assert not operations.note_set_back(actor=SYSTEM)
    assert not Restoration.objects.exists()
    grant.refresh_from_db()
    assert grant.closed_at is None


def test_a_restore_answers_the_alarms_that_it_has_raised(cast: Cast) -> None:
    at = clock.now()
    operations.restored(backup_id=uuid4(), taken_at=at - dt.timedelta(hours=1), at=at)
    assert not set_back(cast, ago=dt.timedelta(minutes=1))


def test_a_second_time_after_everything_was_confirmed_is_found_again(cast: Cast, travel: Any) -> None:
    assert set_back(cast)
    operations.restored_by_hand(taken_at=clock.now() - dt.timedelta(hours=1))
    Restoration.objects.update(confirmed_at=clock.now())
    RestoredTenant.objects.update(confirmed_at=clock.now())
    LogAlarm.objects.all().delete()
    travel.by(hours=1)
    assert not operations.note_set_back(actor=SYSTEM)
    assert set_back(cast)
    assert queries.is_set_back()
    assert queries.unconfirmed_tenants().count() == Tenant.objects.count()
    assert queries.newest().confirmed_at is None


def test_the_operators_command_answers_an_alarm_of_a_host_whose_clock_is_ahead(cast: Cast) -> None:
    assert set_back(cast, ago=-dt.timedelta(minutes=2))
    operations.restored_by_hand(taken_at=clock.now() - dt.timedelta(hours=1))
    assert not queries.is_set_back()
    assert not operations.note_set_back(actor=SYSTEM)


def test_an_alarm_in_the_copy_that_was_answered_before_hides_no_newer_head(cast: Cast, travel: Any) -> None:
    """A copy from between a restore and its tombstone has the alarm of that time, and the answer to it."""
    at = clock.now()
    operations.restored(backup_id=uuid4(), taken_at=at - dt.timedelta(hours=1), at=at)
    travel.by(hours=1)
    entry = AuditEntry.objects.count()
    signed = checkpoints.sign(cast.contoso.pk, at=clock.now())
    assert signed is not None
    assert set_back(cast, ago=dt.timedelta(hours=2), note=signed.note)
    assert queries.is_set_back()
    assert AuditEntry.objects.filter(event="installation.set_back").count() == 1
    assert AuditEntry.objects.count() == entry + 1
    # The answer to this one is good for this head, too.
    operations.restored_by_hand(taken_at=clock.now() - dt.timedelta(minutes=30))
    entries = AuditEntry.objects.count()
    assert not operations.note_set_back(actor=SYSTEM)
    assert AuditEntry.objects.count() == entries


@pytest.mark.parametrize("note", ["not a note", "a\n1\n2\n\n— b AAAA\n"])
def test_a_note_that_nobody_can_read_stops_no_start_and_hides_nothing(cast: Cast, note: str) -> None:
    """Anybody who can write to the place of the heads writes the notes, too."""
    grant = cast.opened()
    assert set_back(cast, note=note)
    grant.refresh_from_db()
    assert grant.closed_at is not None


def test_nobody_counts_who_came_between_the_alarm_and_the_operators_command(cast: Cast, travel: Any) -> None:
    cast.colleague()
    assert set_back(cast)
    travel.by(minutes=5)
    role = {"tenant": cast.contoso, "person": cast.mia, "role": "administrator", "given_at": clock.now()}
    Membership.objects.create(**role)
    # Taking roles away makes the confirmation no easier either.
    operations.take_role(cast.contoso.pk, cast.ada.pk, role="approver", actor=cast.as_("ines"))
    operations.restored_by_hand(taken_at=clock.now() - dt.timedelta(hours=1))
    found = queries.open_at(cast.contoso.pk)
    assert found is not None
    assert found.people_needed == 2
    shown = queries.digest(queries.facts_of_tenant(Tenant.objects.get(pk=cast.contoso.pk), clock.now()))
    with pytest.raises(NotAllowed, match="had their role before the restore"):
        operations.confirm_restored(cast.contoso.pk, shown=shown, actor=cast.as_("mia"))


def test_nobody_counts_who_came_between_the_copy_and_the_alarm(cast: Cast, travel: Any) -> None:
    """A person with an old role uses the older database before a process notices it, and invites an accomplice."""
    cast.submitted()
    signed = checkpoints.sign(cast.contoso.pk, at=clock.now())
    assert signed is not None
    travel.by(minutes=5)
    role = {"tenant": cast.contoso, "person": cast.mia, "role": "approver", "given_at": clock.now()}
    Membership.objects.create(**role)
    assert set_back(cast, note=signed.note)
    operations.restored_by_hand(taken_at=clock.now() - dt.timedelta(minutes=1))
    shown = queries.digest(queries.facts_of_tenant(Tenant.objects.get(pk=cast.contoso.pk), clock.now()))
    with only_a_refusal(), pytest.raises(NotAllowed, match="had their role before the restore"):
        operations.confirm_restored(cast.contoso.pk, shown=shown, actor=cast.as_("mia"))
    operations.confirm_restored(cast.contoso.pk, shown=shown, actor=cast.as_("ines"))
    assert not operations.note_set_back(actor=SYSTEM)


def test_what_a_killed_process_left_open_is_closed_by_the_next_one(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    grant = cast.opened()
    with monkeypatch.context() as patch:
        patch.setattr(module, "end_access", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            set_back(cast)
    grant.refresh_from_db()
    assert grant.closed_at is None
    asked = cast.submitted()
    with only_a_refusal(), pytest.raises(RestoreNotConfirmed):
        operations.approve_as_provider(asked.pk, actor=cast.as_("pat"))
    assert operations.note_set_back(actor=SYSTEM)
    grant.refresh_from_db()
    assert grant.closed_at is not None
    asked.refresh_from_db()
    assert asked.state == "PENDING_PROVIDER", "the operator's command withdraws it"
