"""While the changes of an import that wait are announced and made, the tenants that they do not affect do not wait."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from django.db import transaction

from audit_app import recorder
from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.models import HeldRow, Proposal
from tests.cast import Cast
from tests.concurrency.test_races import in_background, wait_for_somebody_who_waits
from tests.imports.files import source_of

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def world(transactional_db: None, cast: Cast) -> Cast:
    cast.colleague()
    cast.sharepoint.is_covered = False
    cast.sharepoint.save()
    return cast


def started(cast: Cast) -> Any:
    """Start an import with a row of Contoso that needs a second person, and write it. It is not proposed yet."""
    line = "contoso,,,,sharepoint-online,c-1,library,Plans,contoso/plans/x,"
    row = operations.start_import(source_of(line), actor=cast.as_("stella"))
    assert row is not None
    return operations.run_import(row.pk, actor=Actor.system("import"), after=lambda _row: False)


def test_announcing_takes_only_the_logs_of_the_tenants_that_it_affects(world: Cast) -> None:
    row = started(world)
    with transaction.atomic():
        recorder.lock(world.fabrikam.pk, world.northwind.pk)
        thread, outcome = in_background(partial(operations.run_import, row.pk, actor=Actor.system("import")))
        thread.join(timeout=60)
        assert not thread.is_alive(), "it waits for the log of another tenant"
    assert outcome[0].finished_at is not None
    assert not HeldRow.objects.unannounced().exists()


def test_rows_of_one_tenant_take_effect_while_another_tenants_log_is_taken(world: Cast) -> None:
    """Only the last step, which ends the proposal, takes all logs."""
    proposal = due(world)
    apply = partial(operations.apply_proposal, proposal.pk, actor=Actor.system("sweep"))
    with transaction.atomic():
        recorder.lock(world.fabrikam.pk)
        thread, _outcome = in_background(apply)
        thread.join(timeout=60)
        assert not thread.is_alive(), "it waits for the log of another tenant"
    assert HeldRow.objects.get().outcome == "applied"
    with transaction.atomic():
        recorder.lock(world.fabrikam.pk)
        thread, _outcome = in_background(apply)
        wait_for_somebody_who_waits()
    thread.join(timeout=60)
    assert Proposal.objects.get().outcome == "applied"
    assert AuditEntry.objects.filter(event="proposal.applied", tenant_id=world.contoso.pk).count() == 1


def due(world: Cast) -> Proposal:
    """Return the proposal of an import. It is confirmed, and its waiting time is over."""
    operations.run_import(started(world).pk, actor=Actor.system("import"))
    proposal: Proposal = Proposal.objects.get()
    operations.confirm_proposal(proposal.pk, actor=world.as_("sten"))
    Proposal.objects.update(effective_at=clock.now())
    return proposal
