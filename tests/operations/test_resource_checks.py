"""Tests of resources: what they find, what they record, and that a store that fails or hangs harms nothing else."""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ
from structlog.testing import capture_logs

from audit_app.models import AuditEntry
from requests_app import operations, tasks
from requests_app.content import checking
from requests_app.content.connectors import base, registry
from requests_app.content.connectors.folder import Folder
from requests_app.domain.errors import NotAllowed, NotFound, TooMany, WrongState
from requests_app.models import Resource
from requests_app.operations import resource_checks
from requests_app.platform import bell, turns
from tests import content, practice
from tests.cast import QUILLO, Cast, outbox_topics
from tests.imports.files import MAIL, imported
from tests.web.pages import nothing_happens, only_a_refusal

pytestmark = pytest.mark.django_db

NEVER = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
RESULT = ("checked_at", "check_problem", "check_failing_since", "next_check_at")


@pytest.fixture
def store(tmp_path: Path, settings: Any) -> Path:
    """Return a content root that has the mailbox "finance" and the library "legal" of Contoso, and nothing else."""
    root = tmp_path / "content"
    settings.CONTENT_ROOT = root
    content.fill(root)
    return root


@pytest.fixture
def hangs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    """Let the folder connector hang. Return a function that says how many of its calls have not returned."""
    release, waiting = threading.Event(), []

    def hang(self: Folder, locator: str) -> None:
        waiting.append(locator)
        release.wait(30)
        waiting.remove(locator)

    monkeypatch.setattr(Folder, "check", hang)
    monkeypatch.setattr(checking, "CHECK_SECONDS", 0.05)
    before = set(threading.enumerate())
    yield lambda: len(waiting)
    release.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(5)


def checked(cast: Cast, row: Resource) -> Resource:
    return operations.check_resource(row.pk, actor=cast.as_("stella", door="admin"))


def run(cast: Cast, *, is_over: Callable[[], bool] = lambda: False) -> int:
    return resource_checks.check_due_resources(actor=cast.system("check"), is_over=is_over)


def checks_of(row: Resource) -> list[dict[str, Any]]:
    """Return the details of the entries about tests of this resource, oldest first."""
    found = AuditEntry.objects.filter(tenant_id=row.tenant_id, event="resource.checked", subject_id=str(row.pk))
    return [json.loads(bytes(entry.canonical))["detail"] for entry in found.order_by("seq")]


def result_of(row: Resource) -> tuple[Any, ...]:
    row.refresh_from_db()
    return tuple(getattr(row, name) for name in RESULT)


def test_a_resource_that_is_there_can_be_reached(cast: Cast, store: Path, travel: Any) -> None:
    at = travel.freeze()
    for name, steps in (("finance", ["directory", "mail_directories"]), ("legal", ["directory"])):
        row = checked(cast, cast.resource(name=name))
        assert (row.is_reachable, row.checked_at, row.check_problem, row.check_failing_since) == (True, at, "", None)
        [entry] = checks_of(row)
        assert entry == {"name": row.name, "locator": row.locator, "problem": "", "steps": steps}
    assert outbox_topics() == []


def _missing(row: Resource, root: Path) -> None:
    Path(root, row.locator).rename(Path(root, "elsewhere"))


def _not_a_mailbox(row: Resource, root: Path) -> None:
    Path(root, row.locator, "cur").rename(Path(root, "cur"))


def _behind_a_link(row: Resource, root: Path) -> None:
    _missing(row, root)
    Path(root, row.locator).symlink_to(Path(root, "elsewhere"))


def _without_a_store(row: Resource, root: Path) -> None:
    root.rename(root.parent / "unmounted")


def _of_another_kind(row: Resource, root: Path) -> None:
    Resource.objects.filter(pk=row.pk).update(kind="library")


def _of_another_tenant(row: Resource, root: Path) -> None:
    Resource.objects.filter(pk=row.pk).update(locator="fabrikam/mail/finance")


def _with_an_unknown_connector(row: Resource, root: Path) -> None:
    type(row.service).objects.filter(pk=row.service_id).update(connector="gone")


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (_missing, "resource_not_found"),
        (_not_a_mailbox, "resource_not_found"),
        (_behind_a_link, "link_refused"),
        (_without_a_store, "connector_unavailable"),
        (_of_another_kind, "kind_differs"),
        (_of_another_tenant, "outside_resource"),
        (_with_an_unknown_connector, "connector_unavailable"),
    ],
)
def test_what_is_wrong_is_stored_as_a_code_and_recorded(
    cast: Cast, store: Path, travel: Any, spoil: Callable[[Resource, Path], None], problem: str
) -> None:
    at = travel.freeze()
    row = cast.resource()
    spoil(row, store)
    row = checked(cast, row)
    assert (row.is_reachable, row.check_problem, row.check_failing_since) == (False, problem, at)
    assert [entry["problem"] for entry in checks_of(row)] == [problem]


def test_a_resource_keeps_the_time_since_when_it_fails(cast: Cast, store: Path, travel: Any) -> None:
    first = travel.freeze()
    row = cast.resource()
    _missing(row, store)
    checked(cast, row)
    later = travel.by(minutes=5)
    _without_a_store(row, store)
    row = checked(cast, row)
    assert (row.checked_at, row.check_problem, row.check_failing_since) == (later, "connector_unavailable", first)
    Path(store.parent, "unmounted").rename(store)
    Path(store, "elsewhere").rename(Path(store, row.locator))
    assert checked(cast, row).check_failing_since is None


@pytest.mark.parametrize(
    "failure", [ValueError("a subject: Zanzibar"), TimeoutError(), KeyError("x"), base.ItemTooLarge()]
)
def test_a_connector_that_raises_anything_is_unavailable(
    cast: Cast, store: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def fail(self: Any, locator: str) -> None:
        raise failure

    monkeypatch.setattr(Folder, "check", fail)
    row = checked(cast, cast.resource(name="legal"))
    assert row.check_problem == "connector_unavailable"
    assert "Zanzibar" not in json.dumps(checks_of(row))


def test_a_connector_that_hangs_is_given_up_and_holds_no_transaction(cast: Cast, store: Path, hangs: Any) -> None:
    row = checked(cast, cast.resource(name="legal"))
    assert (row.check_problem, hangs()) == ("no_answer", 1)
    assert [entry["problem"] for entry in checks_of(row)] == ["no_answer"]


def test_tests_that_hang_take_no_more_than_their_places(cast: Cast, store: Path, hangs: Any) -> None:
    row = cast.resource(name="legal")
    for _ in range(checking.PLACES):
        checked(cast, row)
    before = result_of(row), len(checks_of(row))
    with nothing_happens(), pytest.raises(TooMany):
        checked(cast, row)
    assert (result_of(row), len(checks_of(row)), hangs()) == (*before, checking.PLACES)
    assert checked(cast, cast.resource()).is_reachable, "another connector has places of its own"


def test_no_test_runs_inside_a_transaction(cast: Cast, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside: list[bool] = []
    monkeypatch.setattr(
        checking,
        "problem_of",
        lambda row: inside.append(_is_in_an_act()) or "",  # type: ignore[func-returns-value]
    )
    checked(cast, cast.resource())
    run(cast)
    assert inside
    assert not any(inside)


def _is_in_an_act() -> bool:
    return any(block.durable for block in transaction.get_connection().atomic_blocks)


@pytest.mark.parametrize("name", ["erik", "paula", "ada", "ines"])
def test_only_staff_test_a_resource(cast: Cast, store: Path, name: str) -> None:
    row = cast.resource()
    before = result_of(row)
    with only_a_refusal(), pytest.raises(NotAllowed):
        operations.check_resource(row.pk, actor=cast.as_(name))
    assert result_of(row) == before


def test_an_absent_resource_and_another_tenants_are_the_same(cast: Cast, store: Path) -> None:
    for pk in (uuid4(), cast.resource("fabrikam").pk, "x"):
        with pytest.raises(NotFound):
            operations.check_resource(pk, actor=cast.as_("ada"))


def test_a_resource_that_is_switched_off_is_not_tested(cast: Cast, store: Path) -> None:
    row = cast.resource()
    Resource.objects.all().update(is_active=False)
    before = result_of(row)
    with only_a_refusal(), pytest.raises(WrongState):
        checked(cast, row)
    assert (run(cast), result_of(row), checks_of(row)) == (0, before, [])


def test_what_is_switched_off_is_not_tested_at_night(cast: Cast, store: Path) -> None:
    n = Resource.objects.count()
    Resource.objects.update(next_check_at=NEVER)
    Resource.objects.filter(tenant=cast.contoso).update(next_check_at=None)
    type(cast.contoso).objects.filter(pk=cast.contoso.pk).update(is_active=False)
    assert run(cast) == 0
    type(cast.contoso).objects.filter(pk=cast.contoso.pk).update(is_active=True)
    type(cast.exchange).objects.filter(pk=cast.exchange.pk).update(is_active=False)
    assert 0 < run(cast) < n
    assert not Resource.objects.filter(service=cast.exchange).exclude(checked_at=None).exists()


def test_a_result_is_dropped_if_the_service_got_another_connector_meanwhile(
    cast: Cast, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = cast.resource()
    services = type(row.service).objects.filter(pk=row.service_id)

    def change(tested: Resource) -> str:
        services.update(connector="folder")
        return "resource_not_found"

    monkeypatch.setattr(checking, "problem_of", change)
    before = result_of(row)
    with only_a_refusal(), pytest.raises(WrongState):
        checked(cast, row)
    assert (result_of(row), checks_of(row)) == (before, [])


# --- The tests that nobody asks for ------------------------------------------------------------------------


def test_a_new_resource_is_saved_tested_by_a_task_and_marked(cast: Cast, store: Path) -> None:
    Resource.objects.update(next_check_at=NEVER)
    row = operations.save_resource(
        actor=cast.as_("stella"),
        tenant_id=cast.contoso.pk,
        service_id=cast.exchange.pk,
        kind="mailbox",
        name="legal@contoso.example",
        locator="contoso/mail/absent",
    )
    assert row.is_reachable is None
    assert tasks.check_resources() == 1
    row.refresh_from_db()
    assert row.check_problem == "resource_not_found"
    assert events_of_resource(row) == ["resource.added", "resource.checked"]


def events_of_resource(row: Resource) -> list[str]:
    found = AuditEntry.objects.filter(tenant_id=row.tenant_id, subject_id=str(row.pk)).order_by("seq")
    return list(found.values_list("event", flat=True))


def test_saving_makes_a_resource_due(cast: Cast, store: Path) -> None:
    Resource.objects.update(next_check_at=NEVER)
    assert run(cast) == 0
    operations.save_resource(resource_id=cast.resource().pk, is_active=False, actor=cast.as_("stella"))
    operations.save_resource(resource_id=cast.resource().pk, is_active=True, actor=cast.as_("stella"))
    assert run(cast) == 1


def test_an_import_makes_its_resources_due(cast: Cast, store: Path) -> None:
    Resource.objects.update(next_check_at=NEVER)
    imported(cast, MAIL)
    assert run(cast) == 1
    Resource.objects.update(next_check_at=NEVER)
    imported(cast, f"{MAIL}no")
    assert not Resource.objects.get(external_id="m-1").is_active
    imported(cast, f"{MAIL}yes")
    assert run(cast) == 1


def test_practice_and_external_resources_are_not_tested(cast: Cast, store: Path) -> None:
    Resource.objects.update(next_check_at=NEVER)
    practice.started(cast)
    made_up = Resource.objects.get(is_practice=True)
    quillo = operations.save_service(actor=cast.as_("stella"), key="quillo", name="Quillo", **QUILLO)
    elsewhere = operations.save_resource(
        actor=cast.as_("stella"), tenant_id=cast.contoso.pk, service_id=quillo.pk, kind="workspace", name="Ledger",
        external_id="ledger",
    )  # fmt: skip
    assert run(cast) == 0
    for row in (made_up, elsewhere):
        with only_a_refusal(), pytest.raises(WrongState):
            checked(cast, row)
        assert result_of(row)[0] is None


@pytest.mark.django_db(transaction=True)
def test_saving_a_resource_queues_the_task(cast: Cast, store: Path) -> None:
    operations.save_resource(resource_id=cast.resource().pk, is_active=False, actor=cast.as_("stella"))
    assert bell.CHECK_RESOURCES in [row.func() for row in OrmQ.objects.all()]


def test_a_run_records_only_results_that_changed(cast: Cast, store: Path, travel: Any) -> None:
    start = travel.to(dt.datetime(2026, 11, 30, 12, tzinfo=dt.UTC))
    box, absent = cast.resource(), cast.resource("fabrikam")
    n = Resource.objects.count()
    assert run(cast) == n
    assert result_of(box) == (start, "", None, dt.datetime(2026, 12, 1, 2, tzinfo=dt.UTC))
    assert result_of(absent) == (start, "resource_not_found", start, start + dt.timedelta(hours=1))
    assert (checks_of(box), len(checks_of(absent))) == ([], 1)
    assert run(cast) == 0
    travel.to(dt.datetime(2026, 12, 1, 2, tzinfo=dt.UTC))
    assert run(cast) == n
    assert (checks_of(box), len(checks_of(absent))) == ([], 1)
    assert result_of(absent)[2] == start
    (store / absent.locator).mkdir(parents=True)
    for place in ("cur", "new"):
        (store / absent.locator / place).mkdir()
    travel.to(dt.datetime(2026, 12, 1, 3, tzinfo=dt.UTC))
    run(cast)
    assert [entry["problem"] for entry in checks_of(absent)] == ["resource_not_found", ""]


def test_a_run_goes_on_where_the_one_before_ended(cast: Cast, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    n, left = Resource.objects.count(), [3]

    def is_over() -> bool:
        left[0] -= 1
        return left[0] < 0

    assert run(cast, is_over=is_over) == 2
    assert Resource.objects.filter(checked_at=None).count() == n - 2
    assert run(cast) == n - 2


def test_a_store_that_hangs_ends_only_its_own_tests(cast: Cast, store: Path, hangs: Any) -> None:
    folders = Resource.objects.filter(service__connector="folder").count()
    assert folders > 2
    assert run(cast) == Resource.objects.count() - folders + 2
    assert Resource.objects.filter(check_problem="no_answer").count() == 2
    assert hangs() == 2
    assert run(cast) == 1, "the next run goes on with the next one"


def test_one_place_that_hangs_leaves_out_no_other_tenant(
    cast: Cast, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For example, the directory of one tenant is on another server."""
    row = cast.resource(name="legal")
    for number in range(20):
        Resource.objects.create(
            tenant=row.tenant, service=row.service, kind="library", name=f"x {number}", locator=f"contoso/x/{number}"
        )

    def problem(tested: Resource) -> str:
        return "no_answer" if tested.tenant_id == row.tenant_id and tested.service_id == row.service_id else ""

    monkeypatch.setattr(checking, "problem_of", problem)
    others = Resource.objects.exclude(tenant=row.tenant, service=row.service).count()
    assert run(cast) == others + 1
    assert Resource.objects.filter(check_problem="no_answer").count() == 1
    assert set(Resource.objects.filter(checked_at=None).values_list("tenant", flat=True)) == {row.tenant_id}


def test_tests_that_people_ask_for_are_limited_for_all_processes_together(cast: Cast, store: Path) -> None:
    row = cast.resource(name="legal")
    with ExitStack() as others:
        for _place in range(checking.PLACES):
            assert others.enter_context(turns.taken("check_resource:folder", seconds=45, places=checking.PLACES))
        with nothing_happens(), pytest.raises(TooMany):
            checked(cast, row)
        assert (result_of(row)[0], checks_of(row)) == (None, [])
        assert checked(cast, cast.resource()).checked_at is not None, "it has another connector"
    assert checked(cast, row).checked_at is not None


def test_a_run_without_a_place_says_so_once(cast: Cast, store: Path, hangs: Any) -> None:
    for _ in range(checking.PLACES):
        checked(cast, cast.resource(name="legal"))
    others = Resource.objects.exclude(service__connector="folder").count()
    for _ in range(2):
        with capture_logs() as logs:
            assert run(cast) == others
        [entry] = [each for each in logs if each["event"] == "resource_tests_have_no_place"]
        assert (entry["log_level"], entry["connector"]) == ("warning", "folder")
        Resource.objects.update(next_check_at=None)


def test_only_one_worker_tests_at_a_time(cast: Cast, store: Path) -> None:
    with turns.taken("check_resources", seconds=45) as turn:
        assert turn is not None
        assert tasks.check_resources() == 0
    assert Resource.objects.exclude(checked_at=None).count() == 0
    assert tasks.check_resources() == Resource.objects.count()


def test_a_run_that_stores_the_same_results_costs_the_same_for_any_number(cast: Cast, store: Path) -> None:
    run(cast)
    counts = []
    for n in (2, 20):
        row = cast.resource("fabrikam")
        for number in range(n):
            Resource.objects.create(
                tenant=row.tenant, service=row.service, kind="mailbox", name=f"x{n} {number}",
                locator=f"fabrikam/x{n}/{number}", checked_at=row.checked_at, check_problem=row.check_problem,
                check_failing_since=row.check_failing_since,
            )  # fmt: skip
        with CaptureQueriesContext(connection) as queries:
            assert run(cast) == n
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_every_connector_names_kinds_that_a_resource_can_have() -> None:
    for kind in registry.KINDS.values():
        assert set(kind.kinds) <= set(Resource.Kind.values)


def test_a_run_keeps_the_result_of_a_newer_test(
    cast: Cast, store: Path, travel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = travel.freeze()
    later = at + dt.timedelta(hours=1)
    newer = {"checked_at": at, "check_problem": "no_answer", "check_failing_since": at, "next_check_at": later}

    def overtaken(tested: Resource) -> str:
        Resource.objects.filter(pk=tested.pk).update(**newer)
        return "resource_not_found"

    monkeypatch.setattr(checking, "problem_of", overtaken)
    run(cast)
    row = cast.resource()
    assert (result_of(row), checks_of(row)) == (tuple(newer.values()), [])
