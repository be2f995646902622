"""The changes of an import that wait: they are announced and made in short steps, and killed processes lose none."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from audit_app.models import AuditEntry
from requests_app import operations, tasks
from requests_app.domain import clock, limits
from requests_app.domain.errors import WrongState
from requests_app.domain.events import PROVIDER_LOG
from requests_app.models import HeldRow, Import, OutboxMessage, Person, Proposal, Resource, StaffTerm, Tenant
from requests_app.operations import _held_rows
from requests_app.platform import bell
from tests.cast import Cast
from tests.imports.files import NORTH, source_of
from tests.imports.worlds import state

pytestmark = pytest.mark.django_db


class Killed(BaseException):
    """Raised in place of a SIGKILL. No code of the product catches it."""


def dies(at: int, call: Callable[[], object]) -> bool:
    """Make the call, and let it die at its statement with this number. Return whether it died."""
    left = at

    def die(execute: Any, *arguments: Any) -> Any:
        nonlocal left
        left -= 1
        if not left:
            raise Killed
        return execute(*arguments)

    with connection.execute_wrapper(die):
        try:
            call()
        except Killed:
            return True
    return False


@pytest.fixture
def two(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> Cast:
    """Two members of the staff, a service that is not covered, and steps of two rows."""
    cast.colleague()
    cast.sharepoint.is_covered = False
    cast.sharepoint.save()
    monkeypatch.setattr(_held_rows, "ENTRIES_AT_ONCE", 2)
    monkeypatch.setattr(_held_rows, "AT_ONCE", 2)
    return cast


def line_of(tenant: str, number: int) -> str:
    return f"{tenant},,,,sharepoint-online,{tenant}-{number},library,Plans {number},{tenant}/plans/x-{number},"


LINES = [line_of(tenant, number) for number in range(3) for tenant in ("contoso", "fabrikam")]


def started(cast: Cast, *lines: str) -> Import:
    """Start an import, and write its rows: two batches, and nothing is proposed yet."""
    row = operations.start_import(source_of(*(lines or LINES)), actor=cast.as_("stella"))
    assert row is not None
    for _batch in range(2):
        row = step(cast, row)
    assert (HeldRow.objects.count(), Proposal.objects.count()) == (len(lines or LINES), 0)
    return row


def step(cast: Cast, row: Import) -> Import:
    return operations.run_import(row.pk, actor=cast.system("import"), after=lambda _row: False)


def announced() -> dict[str, list[str]]:
    """Return what the entries in each log say is proposed: the import, or the name of a resource."""
    found: dict[str, list[str]] = {}
    slugs = _slugs()
    for entry in AuditEntry.objects.filter(event="proposal.made").order_by("tenant_id", "seq"):
        terms = json.loads(bytes(entry.canonical))["detail"]["said"]
        found.setdefault(slugs[entry.tenant_id], []).append(terms.get("name", "import"))
    return found


def _slugs() -> dict[Any, str]:
    return {PROVIDER_LOG: "provider", **dict(Tenant.objects.values_list("pk", "slug"))}


def mails() -> Counter[str]:
    return Counter(OutboxMessage.objects.filter(topic="notify.staff_change").values_list("tenant__slug", flat=True))


def test_a_step_announces_few_rows_and_the_second_person_waits_for_the_last(two: Cast) -> None:
    row = step(two, started(two))
    proposal = Proposal.objects.get()
    assert (announced(), mails(), row.finished_at) == ({"provider": ["import"]}, Counter(), None)
    sizes = []
    while row.finished_at is None:
        before = announced(), mails(), Proposal.objects.values().get()
        with pytest.raises(WrongState, match="still being announced"):
            operations.confirm_proposal(proposal.pk, actor=two.as_("sten"))
        assert operations.apply_due(actor=two.system("sweep"), limit=10) == 0
        assert (announced(), mails(), Proposal.objects.values().get()) == before
        written = sum(map(len, announced().values()))
        row = step(two, row)
        sizes.append(sum(map(len, announced().values())) - written)
        if HeldRow.objects.unannounced().count() == 0:
            break
    # Two rows, and once in each log the import itself.
    assert sizes == [3, 1, 3, 1]
    rows = ["import", "Plans 0", "Plans 1", "Plans 2"]
    assert announced() == {"provider": ["import"], "contoso": rows, "fabrikam": rows}
    assert mails() == {"contoso": 1, "fabrikam": 1}
    row = operations.run_import(row.pk, actor=two.system("import"))
    assert (row.finished_at is not None, Proposal.objects.count(), row.counts["waiting_for_confirmation"]) == (
        True, 1, 6,
    )  # fmt: skip
    operations.confirm_proposal(proposal.pk, actor=two.as_("sten"))


def test_killed_at_any_statement_each_row_is_announced_once(two: Cast) -> None:
    row, deaths = started(two), 0
    while row.finished_at is None:
        deaths += dies(deaths + 1, lambda: operations.run_import(row.pk, actor=two.system("import")))
        row.refresh_from_db()
    assert deaths > 20
    rows = ["import", "Plans 0", "Plans 1", "Plans 2"]
    assert announced() == {"provider": ["import"], "contoso": rows, "fabrikam": rows}
    assert (mails(), Proposal.objects.count()) == ({"contoso": 1, "fabrikam": 1}, 1)


def test_killed_at_any_statement_each_row_takes_effect_once(two: Cast, travel: Any) -> None:
    row = operations.run_import(started(two).pk, actor=two.system("import"))
    proposal, deaths = row.proposal, 0
    operations.confirm_proposal(proposal.pk, actor=two.as_("sten"))
    proposal.refresh_from_db()
    travel.to(proposal.effective_at)
    while proposal.ended_at is None:
        deaths += dies(deaths + 1, lambda: operations.apply_due(actor=two.system("sweep"), limit=10))
        proposal.refresh_from_db()
    assert deaths > 20
    assert set(HeldRow.objects.values_list("outcome", flat=True)) == {"applied"}
    assert Resource.objects.filter(external_id__contains="-", name__startswith="Plans").count() == 6
    assert AuditEntry.objects.filter(event="resource.added").count() == 6
    # In the provider's log, and in those of both tenants.
    assert AuditEntry.objects.filter(event="proposal.applied").count() == 3


def test_a_proposal_that_is_withdrawn_meanwhile_is_announced_to_nobody_else(two: Cast) -> None:
    row = step(two, step(two, started(two)))
    [heard] = mails()
    operations.withdraw_proposal(Proposal.objects.get().pk, actor=two.as_("sten"))
    row = operations.run_import(row.pk, actor=two.system("import"))
    assert row.finished_at is not None
    assert announced() == {"provider": ["import"], heard: ["import", "Plans 0", "Plans 1"]}
    logs = AuditEntry.objects.filter(event="proposal.withdrawn").values_list("tenant_id", flat=True)
    assert {_slugs()[log] for log in logs} == {"provider", heard}
    assert mails() == {heard: 2}
    assert tasks.run_imports() == 0
    # The same file proposes the rows again.
    assert operations.start_import(source_of(*LINES), actor=two.as_("stella")) is not None


def test_without_a_second_person_each_tenant_still_gets_the_whole_waiting_time(
    cast: Cast, two: Cast, travel: Any
) -> None:
    Person.objects.filter(email=two.as_("sten").email).update(is_active=False, is_staff=False)
    StaffTerm.objects.exclude(person=two.stella).delete()
    row = step(two, step(two, started(two)))
    proposal = Proposal.objects.get()
    assert proposal.is_alone
    travel.by(seconds=100 * 3600)
    before = state()
    assert operations.apply_due(actor=two.system("sweep"), limit=10) == 0
    assert state() == before, "it is due by its time, but one tenant has not heard of it"
    at = clock.now()
    row = operations.run_import(row.pk, actor=two.system("import"))
    proposal.refresh_from_db()
    assert row.finished_at is not None
    assert proposal.effective_at is not None
    assert proposal.effective_at >= at + limits.staff_change_wait()
    assert proposal.effective_at < at + limits.staff_change_wait() + dt.timedelta(minutes=1)


def test_an_operators_import_is_announced_after_somebody_has_proposed_its_changes(
    two: Cast, django_capture_on_commit_callbacks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung: list[str] = []
    monkeypatch.setattr(bell, "_enqueue", rung.append)
    row = operations.start_import(source_of(*LINES), actor=two.system("import"))
    assert row is not None
    row = operations.run_import(row.pk, actor=two.system("import"))
    assert (row.finished_at is not None, announced()) == (True, {})
    with django_capture_on_commit_callbacks(execute=True):
        operations.propose_import(row.pk, actor=two.as_("stella"))
    assert announced() == {"provider": ["import"]}
    assert bell.IMPORT in rung, "a worker begins immediately"
    tasks.run_imports()
    rows = ["import", "Plans 0", "Plans 1", "Plans 2"]
    assert announced() == {"provider": ["import"], "contoso": rows, "fabrikam": rows}
    by = AuditEntry.objects.filter(event="proposal.made").exclude(tenant_id=PROVIDER_LOG)
    assert set(by.values_list("actor_name", "door")) == {("Stella Test", "admin")}


def test_a_sweep_ends_in_time_and_leaves_the_rest_to_the_next(
    two: Cast, travel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = operations.run_import(started(two).pk, actor=two.system("import"))
    operations.confirm_proposal(row.proposal_id, actor=two.as_("sten"))
    travel.to(Proposal.objects.get().effective_at)
    rung: list[str] = []
    monkeypatch.setattr(tasks.bell, "ring", lambda *names: rung.extend(names))
    made = []
    left = [False, True] * 10
    for _sweep in range(4):
        operations.apply_due(actor=two.system("sweep"), limit=10, is_over=lambda: left.pop(0))
        made.append(HeldRow.objects.filter(outcome="applied").count())
    assert made == [2, 4, 6, 6]
    assert Proposal.objects.get().outcome == "applied"
    monkeypatch.setattr(tasks, "LONGEST_SECONDS", -1.0)
    tasks.sweep()
    assert bell.SWEEP in rung


@pytest.mark.parametrize("count", [300, pytest.param(600, marks=pytest.mark.deep)])
def test_a_transaction_does_not_grow_with_the_file(cast: Cast, travel: Any, count: int) -> None:
    """On SQLite nobody else can write meanwhile. docs/importing.md has the times of the largest transactions."""
    cast.colleague()
    cast.sharepoint.is_covered = False
    cast.sharepoint.save()
    lines = [line_of("contoso", number) for number in range(count)]
    lines += [NORTH.replace("legal", f"box-{n}").replace("n-1", f"b-{n}") for n in range(count)]
    row = operations.start_import(source_of(*lines), actor=cast.as_("stella"))
    assert row is not None
    written = [AuditEntry.objects.count()]

    def after(_row: object) -> bool:
        written.append(AuditEntry.objects.count())
        return True

    operations.run_import(row.pk, actor=cast.system("import"), after=after)
    assert max(b - a for a, b in zip(written, written[1:], strict=False)) <= 251
    proposal = Proposal.objects.get()
    operations.confirm_proposal(proposal.pk, actor=cast.as_("sten"))
    proposal.refresh_from_db()
    travel.to(proposal.effective_at)
    made = []
    while proposal.ended_at is None:
        before = AuditEntry.objects.count()
        proposal = operations.apply_proposal(proposal.pk, actor=cast.system("sweep"))
        made.append(AuditEntry.objects.count() - before)
    assert max(made) <= 50
    assert HeldRow.objects.filter(outcome="applied").count() == count
