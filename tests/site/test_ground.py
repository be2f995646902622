"""What tests/conftest.py guarantees to all tests."""

import datetime as dt
import socket
import uuid

import pytest
from django.contrib.auth.models import Permission
from django.db import DatabaseError, connection, transaction

from audit_app.models import AuditEntry
from audit_app.recorder import Witnessed, record
from requests_app.domain import clock
from tests import ground
from tests.conftest import NetworkRefused, Traveller


def an_entry() -> None:
    entry = Witnessed(
        tenant_id=uuid.uuid4(), event="ticket.opened", door="command", actor={"kind": "system", "name": "test"},
        subject_type="ticket", subject_id="T-1",
    )  # fmt: skip
    with transaction.atomic():
        record([entry], at=clock.now())


def delete_all() -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {AuditEntry._meta.db_table}")


TRIGGERS = {
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name",
    "postgresql": "SELECT tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal ORDER BY tgname",
}


def triggers() -> list[tuple[str, str]]:
    with connection.cursor() as cursor:
        cursor.execute(TRIGGERS[connection.vendor])
        return list(cursor.fetchall())


@pytest.mark.dialect
@pytest.mark.django_db(transaction=True)
def test_tables_are_emptied_past_the_append_only_triggers_which_stay_as_they_were() -> None:
    before, permissions = triggers(), Permission.objects.count()
    assert (bool(before), permissions > 0) == (True, True)
    an_entry()
    ground.empty()
    assert AuditEntry.objects.count() == 0
    assert (triggers(), Permission.objects.count()) == (before, permissions)


def test_a_test_reaches_no_other_machine() -> None:
    with socket.socket() as outward, pytest.raises(NetworkRefused):
        outward.connect(("192.0.2.1", 80))
    with socket.socket(socket.AF_INET6) as outward, pytest.raises(NetworkRefused):
        outward.connect_ex(("2001:db8::1", 80))


def test_a_test_reaches_its_own_machine() -> None:
    with socket.socket() as server, socket.socket() as client:
        server.bind(("127.0.0.1", 0))
        server.listen()
        client.connect(server.getsockname())


@pytest.mark.django_db
def test_travelling_moves_the_one_clock(travel: Traveller) -> None:
    noon = dt.datetime(2031, 5, 1, 12, tzinfo=dt.UTC)
    travel.to(noon)
    assert clock.now() == noon
    assert travel.by(hours=12, seconds=-1) == noon + dt.timedelta(hours=12, seconds=-1)
    assert clock.now() == noon + dt.timedelta(hours=12, seconds=-1)
    travel.back()
    assert clock.now() < noon


def test_an_instant_without_a_zone_is_refused(travel: Traveller) -> None:
    with pytest.raises(ValueError, match="zone"):
        travel.to(dt.datetime(2031, 5, 1, 12))  # noqa: DTZ001 - that is what is tested


@pytest.mark.postgres
@pytest.mark.real_clock
@pytest.mark.django_db
def test_the_real_clock_is_the_databases(travel: Traveller) -> None:
    travel.to(dt.datetime(2031, 5, 1, 12, tzinfo=dt.UTC))
    assert clock.now().year < 2031


@pytest.mark.dialect
@pytest.mark.django_db
def test_a_test_cannot_delete_an_entry() -> None:
    """Only `ground.empty` can switch the triggers off."""
    an_entry()
    with pytest.raises(DatabaseError), transaction.atomic():
        delete_all()
    assert AuditEntry.objects.count() == 1
