"""Periods of the log at each door, after somebody changed the time of an entry in the database."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from audit_app import checkpoints, evidence, keys
from audit_app.bundle_selection import EvidenceScope
from audit_app.models import AuditEntry
from audit_app.verify import verify
from requests_app.domain.scopes import Scope
from tests.admin.conftest import address
from tests.audit.bundles import files_of, manifest_of, verified
from tests.audit.test_checkpoints import append, meddle, uuid_sql
from tests.caller import caller_for
from tests.cast import Cast
from tests.web.pages import signed_in
from tests.web.test_log import body, exported, numbers, url

pytestmark = [pytest.mark.django_db, pytest.mark.dialect]

BEFORE, DAY, AFTER = (dt.datetime(2026, 3, day, 12, tzinfo=dt.UTC) for day in (3, 4, 5))
SINCE, UNTIL = (at.replace(hour=0) for at in (DAY, AFTER))


@pytest.fixture
def of_the_day(cast: Cast, settings: Any, tmp_path: Path) -> list[int]:
    """Write 64 entries into an empty log, and change the time of the entry that a search reads first.

    A search that trusts this column finds nothing in the period, and nothing after it.
    """
    settings.LOG_KEY_FILE = tmp_path / "log_key"
    keys.create()
    append(40, tenant=cast.contoso.pk, at=BEFORE)
    append(16, tenant=cast.contoso.pk, at=DAY)
    append(8, tenant=cast.contoso.pk, at=AFTER)
    assert checkpoints.sign(cast.contoso.pk, at=AFTER)
    meddle(
        "UPDATE audit_app_auditentry SET at = %s WHERE tenant_id = %s AND seq = 31",
        dt.datetime(9000, 1, 1, tzinfo=dt.UTC),
        uuid_sql(cast.contoso.pk),
    )
    return list(range(40, 56))


def test_pages_and_exports_of_a_period_miss_no_entry(cast: Cast, of_the_day: list[int]) -> None:
    client, query = signed_in(cast, "ada"), {"since": "2026-03-04", "until": "2026-03-04"}
    assert numbers(client.get(url(cast.contoso), query)) == of_the_day[::-1]
    assert numbers(client.get(url(cast.contoso), query | {"person": "Nora"})) == of_the_day[::-1]
    sent = exported(client, cast, "jsonl", **query)
    assert [json.loads(line)["seq"] for line in body(sent).splitlines()] == of_the_day


def test_calls_of_a_period_miss_no_entry(cast: Cast, of_the_day: list[int]) -> None:
    caller, query = caller_for(cast, "otto", Scope.LOG_READ), {"since": SINCE.isoformat(), "until": UNTIL.isoformat()}
    log = f"tenants/{cast.contoso.pk}/log"
    assert [each["seq"] for each in caller.get(f"{log}/entries", query).json()["items"]] == of_the_day
    lines = body(caller.get(f"{log}/export", query)).splitlines()
    assert [json.loads(line)["seq"] for line in lines] == of_the_day


def test_the_administrations_list_of_a_day_misses_no_entry(cast: Cast, of_the_day: list[int]) -> None:
    day = {"tenant_id": str(cast.contoso.pk), "at__year": 2026, "at__month": 3, "at__day": 4}
    rows = signed_in(cast, "stella").get(address(AuditEntry), day).context["table"]["rows"]
    assert AuditEntry.objects.filter(pk__in=[row["pk"] for row in rows]).count() == len(rows) == len(of_the_day)


def test_evidence_of_a_period_is_whole_and_the_check_names_the_entry(
    cast: Cast, of_the_day: list[int], tmp_path: Path
) -> None:
    wanted = EvidenceScope(tenant_id=cast.contoso.pk, tenant_name="Contoso", since=SINCE, until=UNTIL)
    bundle = b"".join(evidence.prepare(wanted, at=AFTER).stream())
    [described] = manifest_of(files_of(bundle))["logs"]
    assert (described["start"], described["end"]) == (of_the_day[0], of_the_day[-1] + 1)
    assert verified(bundle, tmp_path)[0] == 0
    found = verify(cast.contoso.pk)
    assert found.flaw is not None
    assert found.flaw.seq == 31
