"""With PostgreSQL, the time is that of the database, and each instant is in UTC."""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import DataError, connection

from requests_app.domain import clock
from requests_app.models import Tenant
from tests.cast import Cast

pytestmark = [pytest.mark.django_db, pytest.mark.postgres]


@pytest.mark.parametrize(
    ("zone", "text", "at"),
    [
        ("UTC", "2026-11-29 17:56:58+00", "2026-11-29 17:56:58+00:00"),
        ("UTC", "2026-11-29 17:56:58.1+02", "2026-11-29 15:56:58.100000+00:00"),
        ("America/St_Johns", "2026-11-29 17:56:58+00", "2026-11-29 17:56:58+00:00"),
        ("UTC", "0001-01-01 00:00:00.000001+00", "0001-01-01 00:00:00.000001+00:00"),
        ("UTC", "9999-12-31 23:59:59.999999+00", "9999-12-31 23:59:59.999999+00:00"),
    ],
)
def test_an_instant_is_read_in_utc(zone: str, text: str, at: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('TimeZone', %s, true)", [zone])
        cursor.execute("SELECT %s::timestamptz", [text])
        (found,) = cursor.fetchone()
    assert (str(found), found.tzinfo) == (at, dt.UTC)


@pytest.mark.parametrize("text", ["infinity", "10000-01-01 00:00:00+00", "0044-03-15 10:00:00+00 BC"])
def test_an_instant_that_python_does_not_have_is_an_error(text: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::timestamptz", [text])
        with pytest.raises(DataError):
            cursor.fetchone()


@pytest.mark.real_clock
def test_the_clock_of_the_application_server_does_not_count(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
    before = dt.datetime.now(tz=dt.UTC)
    monkeypatch.setattr(clock, "_python_now", lambda: wrong)
    found = [clock.now(), *Tenant.objects.annotate(now=clock.column()).values_list("now", flat=True)]
    assert len(found) > 1
    # Both clocks are on this machine.
    assert all(abs(each - before) < dt.timedelta(minutes=10) for each in found), found
    assert clock.here() == wrong
