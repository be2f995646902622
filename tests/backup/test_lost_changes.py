"""A whole drill: work, make a backup, take power away, lose the machine, restore elsewhere. Nothing opens by itself."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from audit_app import checkpoints, heads, queries
from audit_app.models import AuditEntry, LogAlarm
from audit_app.verify import verify
from lockbox_site.backup import making, sealing
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.errors import RestoreNotConfirmed, WindowNotOpen
from requests_app.domain.events import PROVIDER_LOG
from requests_app.models import AccessRequest, Grant, Membership, Tenant
from requests_app.operations import content
from tests.backup.conftest import RECIPIENT, Place, new_place, restore
from tests.cast import find

pytestmark = pytest.mark.dialect


def sign() -> None:
    for log in queries.logs():
        checkpoints.sign(log, at=clock.now())


def test_what_was_taken_away_after_the_backup_opens_nothing_after_the_restore(
    source: Place, target: Place, identity: Path, tmp_path: Path, capsys: Any
) -> None:
    with new_place(tmp_path / "first", has_cast=True) as first:
        shutil.copy(source.data / "log_key", first.data / "log_key")
        with first.used():
            cast = find()
            cast.colleague()
            opened, northwind = cast.opened(), cast.tenants["northwind"]
            sign()
            made = making.make(tmp_path, sealing.readers([RECIPIENT], None), at=clock.now())
            entries = AuditEntry.objects.count()
            operations.revoke(opened.access_request_id, actor=cast.as_("ada"))
            operations.take_role(cast.contoso.pk, cast.ada.pk, role="approver", actor=cast.as_("ines"))
            Tenant.objects.filter(pk=northwind.pk).update(lockbox_on=True)
            sign()
        shutil.copy(first.data / "log_heads.sqlite3", target.data / "log_heads.sqlite3")
    # The first machine is lost. Only the backup and the heads are left.
    assert restore(target, made.path, identity) == 0, capsys.readouterr().err
    with target.used():
        assert AuditEntry.objects.count() > entries, "nothing that the backup has is lost, and each log says “restored”"
        assert {log: verify(log).flaw for log in queries.logs()} == dict.fromkeys(queries.logs())
        assert Membership.objects.filter(person=cast.ada, role="approver").exists(), "the lost change is not there"
        # The window was open in the backup.
        assert AccessRequest.objects.get(pk=opened.access_request_id).state == "CLOSED"
        assert Grant.objects.get(pk=opened.pk).closed_at is not None
        with pytest.raises(WindowNotOpen):
            content.list_items(opened.pk, cast.resource().pk, actor=cast.as_("priya"))
        asked = cast.submitted()
        with pytest.raises(RestoreNotConfirmed):
            operations.approve_as_provider(asked.pk, actor=cast.as_("pat"))
        # More was signed than the backup has, so the signer refuses this log, and signs the provider's.
        assert LogAlarm.objects.get(pk=cast.contoso.pk).code == "shorter"
        with pytest.raises(checkpoints.Refusal):
            checkpoints.sign(cast.contoso.pk, at=clock.now())
        if heads.get(checkpoints.origin_of(PROVIDER_LOG, 0)) is not None:
            assert checkpoints.sign(PROVIDER_LOG, at=clock.now()) is not None
