"""Races with real transactions and threads on PostgreSQL: each race has exactly one outcome and one entry."""

from __future__ import annotations

import datetime as dt
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from django.db import DatabaseError, connection, connections, transaction

from audit_app import checkpoints, heads, proofs, recorder, signing_round
from audit_app.models import AuditEntry, ChainHead, Checkpoint, LogAlarm
from audit_app.verify import verify
from requests_app import operations
from requests_app.domain import clock, manifest
from requests_app.domain.actors import Actor
from requests_app.domain.errors import (
    ChangeProposed,
    DeadlinePassed,
    DomainError,
    NotAllowed,
    StoreUnavailable,
    WindowNotOpen,
    WrongState,
)
from requests_app.domain.evaluation import Question
from requests_app.domain.reports import Acknowledged
from requests_app.identity import factors
from requests_app.models import (
    AccessRequest,
    ContentAccess,
    Decision,
    Domain,
    Grant,
    Guard,
    Identity,
    Membership,
    OutboxMessage,
    Passkey,
    Person,
    Plan,
    Proposal,
    QueueAssignment,
    Resource,
    Service,
    SignOn,
    Tenant,
)
from requests_app.operations import AssertedIdentity, _signing
from requests_app.operations._humans import part
from requests_app.queries import signing
from tests.caller import service_of
from tests.cast import PASSWORD, Cast, events_in, events_of
from tests.guards import COPY, LIFE, actor_of_guard, client_of_guards
from tests.operations.test_reports import one, report
from tests.passkeys import enrolled

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def world(transactional_db: None, cast: Cast) -> Cast:
    return cast


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Start all calls at the same time, each on a connection of its own. Return their results or refusals, in order."""
    barrier = threading.Barrier(len(calls))
    results: list[Any] = [None] * len(calls)

    def run(index: int, call: Callable[[], Any]) -> None:
        try:
            barrier.wait(timeout=120)
            results[index] = call()
        except DomainError as refusal:
            results[index] = refusal
        except Exception as error:
            results[index] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(i, call)) for i, call in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
        assert not thread.is_alive(), "a writer hangs"
    return results


def outcomes(results: list[Any]) -> Counter[str]:
    return Counter(type(result).__name__ for result in results)


def wait_for_somebody_who_waits() -> None:
    """Wait until another connection to this database is waiting for a lock."""
    for _ in range(200):
        with connection.cursor() as cursor:
            # Within a transaction, PostgreSQL shows the same statistics until the snapshot is cleared.
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute("SELECT datname = current_database() FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
            if (True,) in cursor.fetchall():
                return
        time.sleep(0.05)
    raise AssertionError("nobody waits")


@pytest.fixture
def eight_approvers(world: Cast) -> list[str]:
    names = [f"approver{i}" for i in range(8)]
    for name in names:
        person = Person.objects.create_user(f"{name}@contoso.example", PASSWORD, name=name, side="customer")
        Membership.objects.create(tenant=world.contoso, person=person, role="approver", given_at=clock.now())
        world.people[name] = person
    return names


def test_eight_simultaneous_approvals_make_one_decision(world: Cast, eight_approvers: list[str]) -> None:
    row = world.confirmed()
    actors = [world.as_(name) for name in eight_approvers]
    results = at_once(*[lambda a=a: operations.approve_as_customer(row.pk, actor=a) for a in actors])
    assert outcomes(results) == {"AccessRequest": 1, "WrongState": 7}
    winner = Decision.objects.get(access_request=row, stage="customer").decider.name
    assert {result.current["decided_by"] for result in results if isinstance(result, WrongState)} == {winner}
    assert Grant.objects.count() == 1
    assert Counter(events_of(row))["access_request.approved_by_customer"] == 1
    assert Counter(events_of(row))["act.refused"] == 7


@pytest.mark.parametrize("attempt", range(5))
def test_approval_against_denial_has_one_winner(world: Cast, attempt: int) -> None:
    row = world.confirmed()
    ada, alan = world.as_("ada"), world.as_("alan")
    results = at_once(
        lambda: operations.approve_as_customer(row.pk, actor=ada),
        lambda: operations.deny_as_customer(row.pk, actor=alan),
    )
    assert outcomes(results) == {"AccessRequest": 1, "WrongState": 1}
    row.refresh_from_db()
    assert (row.state == "OPEN") == Grant.objects.filter(access_request=row).exists()
    assert Decision.objects.filter(access_request=row, stage="customer").count() == 1


@pytest.mark.parametrize("verdict", ["approve", "deny"])
def test_the_same_answer_of_one_person_twice_at_once_is_one_decision_and_two_answers(world: Cast, verdict: str) -> None:
    row, ada = world.confirmed(), world.as_("ada")
    results = at_once(*[partial(getattr(operations, f"{verdict}_as_customer"), row.pk, actor=ada)] * 4)
    assert outcomes(results) == {"AccessRequest": 4}
    assert {result.state for result in results} == {"OPEN" if verdict == "approve" else "DENIED"}
    assert Decision.objects.filter(access_request=row, stage="customer").count() == 1
    assert len(events_of(row)) == 3
    assert Grant.objects.count() == int(verdict == "approve")


def test_a_window_closed_twice_at_once_by_one_person_is_closed_once(world: Cast) -> None:
    row, ada = world.opened().access_request, world.as_("ada")
    results = at_once(*[partial(operations.revoke, row.pk, actor=ada)] * 4)
    assert outcomes(results) == {"AccessRequest": 4}
    assert Counter(events_of(row))["grant.revoked"] == 1
    assert "act.refused" not in events_of(row)


@pytest.mark.real_clock
def test_approval_against_expiry_is_never_both(world: Cast) -> None:
    """The deadlines are spread around the time of the call, so that either side can win. The database's clock decides.

    The first deadline is so early, and the last so late, that each side wins at least once, even on a slow machine.
    """
    ada, system = world.as_("ada"), world.system("expiry")
    won: Counter[str] = Counter()
    for lead in (-10_000, *range(-12, 13, 4), 10_000):
        row = world.confirmed()
        AccessRequest.objects.filter(pk=row.pk).update(decide_by=clock.now() + dt.timedelta(milliseconds=lead))
        ada = ada.stepped_up(clock.now())
        results = at_once(
            partial(operations.approve_as_customer, row.pk, actor=ada),
            partial(operations.expire, row.pk, actor=system),
        )
        row.refresh_from_db()
        ended = [event for event in events_of(row) if event.endswith(("approved_by_customer", "expired"))]
        assert len(ended) <= 1, results
        assert (row.state == "OPEN") == Grant.objects.filter(access_request=row).exists()
        if row.state == "OPEN":
            assert Grant.objects.get(access_request=row).opens_at < row.decide_by
        won[row.state] += 1
    assert set(won) <= {"EXPIRED", "OPEN", "PENDING_CUSTOMER"}
    assert won["EXPIRED"] >= 1
    assert won["OPEN"] >= 1


def test_revoke_against_read_leaves_no_read_after_the_revoke(world: Cast, settings: Any, tmp_path: Any) -> None:
    grant = world.opened()
    mailbox = world.resource()
    _one_mail(settings, tmp_path, mailbox.locator)
    priya, ada = world.as_("priya"), world.as_("ada")
    results = at_once(
        *[lambda: operations.content.open_item(grant.pk, mailbox.pk, "1.mail", actor=priya) for _ in range(6)],
        lambda: operations.revoke(grant.access_request_id, actor=ada),
    )
    for result in results[:6]:
        assert isinstance(result, tuple | WindowNotOpen), result
        if isinstance(result, tuple):
            result[2].close()
    assert isinstance(results[6], AccessRequest)
    revoked = AuditEntry.objects.get(correlation_id=grant.access_request_id, event="grant.revoked").seq
    later = AuditEntry.objects.filter(tenant_id=world.contoso.pk, seq__gt=revoked).values_list("event", flat=True)
    assert set(later) <= {"act.refused"}


def test_revoke_against_access_allows_nothing_after_the_revoke(world: Cast) -> None:
    grant = world.opened()
    service, ada = service_of(world), world.as_("ada")
    submitted = Question(
        subject_type="user",
        subject=str(world.priya.pk),
        action="read",
        service="exchange-online",
        resource=str(world.resource().pk),
    )
    results = at_once(
        *[lambda: operations.allow_access(submitted, actor=service) for _ in range(12)],
        lambda: operations.revoke(grant.access_request_id, actor=ada),
    )
    allowed = [result.entry for result in results[:12] if result.decision]
    refused = [result.entry for result in results[:12] if not result.decision]
    assert {result.reason for result in results[:12]} <= {"window_open", "window_not_open"}
    revoked = AuditEntry.objects.get(correlation_id=grant.access_request_id, event="grant.revoked").seq
    assert max(allowed, default=0) < revoked < min(refused, default=revoked + 1)
    assert len(set(allowed + refused)) == 12
    assert ContentAccess.objects.filter(grant=grant, kind="read_allowed").count() == len(allowed)
    assert verify(world.contoso.pk).is_good


def test_one_report_sent_many_times_at_once_is_written_once(world: Cast) -> None:
    grant = world.in_quillo()
    actor, accesses = actor_of_guard(client_of_guards(world)), [one(grant) for _ in range(3)]
    # Some of them are about more accesses than others, as after an answer that was lost.
    sent = [report(*accesses[: 1 + n % 3]) for n in range(9)]
    results = at_once(*[partial(operations.report_accesses, each, actor=actor) for each in sent])
    acknowledged = [each.number for each in results if isinstance(each, Acknowledged)]
    assert max(acknowledged) == Guard.objects.get().acknowledged
    rows = AuditEntry.objects.filter(event="content.reported").order_by("seq")
    numbers = [each["n"] for row in rows for each in json.loads(bytes(row.canonical))["detail"]["accesses"]]
    assert numbers == list(range(1, max(acknowledged) + 1))
    assert sum(ContentAccess.objects.filter(grant=grant).values_list("count", flat=True)) == max(acknowledged)
    assert verify(world.contoso.pk).is_good


def test_an_access_waits_for_the_end_of_what_closes_its_window(world: Cast) -> None:
    """An access during the closing waits. It is then judged by the state after the closing."""
    grant = world.opened()
    holds, service = threading.Event(), service_of(world)
    submitted = Question(
        subject_type="user",
        subject=str(world.priya.pk),
        action="read",
        service="exchange-online",
        resource=str(world.resource().pk),
    )

    def close() -> None:
        with transaction.atomic():
            Grant.objects.locked().get(pk=grant.pk)
            # Each act that closes a window holds the head of the log until it commits.
            recorder.turn(world.contoso.pk)
            holds.set()
            time.sleep(0.5)
            Grant.objects.filter(pk=grant.pk).update(closed_at=clock.now(), close_reason="revoked")

    def access() -> Any:
        holds.wait(120)
        return operations.allow_access(submitted, actor=service)

    _closed, verdict = at_once(close, access)
    assert (verdict.decision, verdict.reason) == (False, "window_not_open")


def _one_mail(settings: Any, tmp_path: Any, locator: str) -> None:
    settings.CONTENT_ROOT = tmp_path
    for folder in ("cur", "new", "tmp"):
        (tmp_path / locator / folder).mkdir(parents=True)
    (tmp_path / locator / "cur" / "1.mail:2,S").write_bytes(
        b"From: a@contoso.example\r\nTo: b@contoso.example\r\nSubject: Hello\r\n"
        b"Message-ID: <1@contoso.example>\r\n\r\nText.\r\n"
    )


def test_two_sweeps_write_one_entry_each(world: Cast) -> None:
    grants = [world.opened() for _ in range(6)]
    past = clock.now() - dt.timedelta(minutes=1)
    Grant.objects.update(opens_at=past - dt.timedelta(hours=1), closes_at=past)
    pending = [world.submitted() for _ in range(6)]
    AccessRequest.objects.filter(state="PENDING_PROVIDER").update(decide_by=past)
    sweeps = operations.sweeps
    results = at_once(
        *[lambda: sweeps.expire_overdue(actor=world.system("sweep"), limit=500) for _ in range(3)],
        *[lambda: sweeps.close_elapsed(actor=world.system("sweep"), limit=500) for _ in range(3)],
    )
    assert sum(results) == 12
    for row in pending:
        assert Counter(events_of(row))["access_request.expired"] == 1
    for grant in grants:
        assert Counter(events_of(grant.access_request_id))["grant.closed"] == 1
    assert OutboxMessage.objects.filter(topic="notify.window_closed").count() == 6
    assert verify(world.contoso.pk).is_good


def test_twenty_writers_on_one_tenant_leave_no_gap(world: Cast) -> None:
    mia = world.as_("mia")
    report = operations.Report(
        tenant_id=world.contoso.pk, service_id=world.exchange.pk, title="A ticket", body="Something is wrong."
    )
    results = at_once(
        *[lambda: [operations.open_ticket(report, actor=mia).reference for _ in range(5)] for _ in range(20)]
    )
    assert all(isinstance(result, list) for result in results), results
    numbers = list(AuditEntry.objects.filter(tenant_id=world.contoso.pk).order_by("seq").values_list("seq", flat=True))
    assert numbers == list(range(100))
    assert ChainHead.objects.get(pk=world.contoso.pk).size == 100
    assert verify(world.contoso.pk).is_good


def test_only_one_of_two_copies_of_a_guard_reports_under_its_id(world: Cast) -> None:
    window = world.in_quillo()
    actor, lives = actor_of_guard(client_of_guards(world)), (LIFE, COPY)
    # Each of them reports its own accesses under the same numbers, at the same time and again and again.
    reports = [report(one(window, item=f"GET /{life[0]}/{n}"), first=n, life=life) for n in (1, 2, 3) for life in lives]
    results = at_once(*[partial(operations.report_accesses, each, actor=actor) for each in reports])
    assert {type(result).__name__ for result in results} <= {"Acknowledged", "GuardCopied", "ReportsGap"}
    [holder] = Guard.objects.values_list("life", flat=True)
    accepted = {
        str(each.life) for each, result in zip(reports, results, strict=True) if isinstance(result, Acknowledged)
    }
    assert accepted == {str(holder)}
    assert {row.item_ref[:6] for row in ContentAccess.objects.all()} == {f"GET /{str(holder)[0]}"}


def test_a_role_given_twice_at_once_is_given_once(world: Cast) -> None:
    ines = world.as_("ines")
    results = at_once(
        *[lambda: operations.give_role(world.contoso.pk, world.mia.pk, role="approver", actor=ines) for _ in range(4)]
    )
    assert outcomes(results) == {"Membership": 1, "WrongState": 3}


def test_the_last_approver_cannot_be_removed_by_two_at_once(world: Cast) -> None:
    ines = world.as_("ines")
    operations.give_role(world.contoso.pk, world.alan.pk, role="member", actor=ines)
    results = at_once(
        lambda: operations.take_role(world.contoso.pk, world.ada.pk, role="approver", actor=ines),
        lambda: operations.take_role(world.contoso.pk, world.alan.pk, role="approver", actor=ines),
    )
    assert outcomes(results) == {"NoneType": 1, "WrongState": 1}
    assert Membership.objects.filter(tenant=world.contoso, role="approver").count() == 1


@pytest.fixture
def failing_log(world: Cast) -> Iterator[None]:
    """Make the database refuse every new log entry, as it would on a full or broken disk."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse_entry() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION USING ERRCODE = '53100', MESSAGE = 'no space left'; END $$"
        )
        cursor.execute(
            "CREATE TRIGGER refuse_entry BEFORE INSERT ON audit_app_auditentry "
            "FOR EACH ROW EXECUTE FUNCTION refuse_entry()"
        )
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER IF EXISTS refuse_entry ON audit_app_auditentry")
        cursor.execute("DROP FUNCTION IF EXISTS refuse_entry")


def test_a_failing_log_changes_nothing(world: Cast, request: pytest.FixtureRequest) -> None:
    row = world.confirmed()
    before = (events_of(row), OutboxMessage.objects.count(), Decision.objects.count())
    request.getfixturevalue("failing_log")
    with pytest.raises(StoreUnavailable):
        operations.approve_as_customer(row.pk, actor=world.as_("ada"))
    row.refresh_from_db()
    assert row.state == "PENDING_CUSTOMER"
    assert not Grant.objects.exists()
    assert (events_of(row), OutboxMessage.objects.count(), Decision.objects.count()) == before


def test_a_failing_log_gives_no_content(
    world: Cast, request: pytest.FixtureRequest, settings: Any, tmp_path: Any
) -> None:
    grant, mailbox = world.opened(), world.resource()
    _one_mail(settings, tmp_path, mailbox.locator)
    request.getfixturevalue("failing_log")
    with pytest.raises(StoreUnavailable):
        operations.content.open_item(grant.pk, mailbox.pk, "1.mail", actor=world.as_("priya"))
    with pytest.raises(StoreUnavailable):
        operations.content.list_items(grant.pk, mailbox.pk, actor=world.as_("priya"))


def test_closing_a_ticket_against_an_approval_leaves_nothing_open(world: Cast) -> None:
    for _ in range(4):
        ticket = world.ticket()
        row = world.confirmed(ticket=ticket)
        ada, mia = world.as_("ada"), world.as_("mia")
        at_once(
            partial(operations.approve_as_customer, row.pk, actor=ada),
            partial(operations.close_ticket, ticket.pk, actor=mia),
        )
        row.refresh_from_db()
        assert row.state in ("WITHDRAWN", "CLOSED")
        assert not Grant.objects.filter(access_request=row, closed_at=None).exists()


@pytest.mark.parametrize("statement", ["UPDATE {0} SET seq = 9", "DELETE FROM {0}", "TRUNCATE {0}"])
def test_entries_are_append_only_for_the_database_itself(world: Cast, statement: str) -> None:
    world.submitted()
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement.format("audit_app_auditentry"))
    assert verify(world.contoso.pk).is_good


# --- The clock is read after every wait ------------------------------------------------------------------


def in_background(call: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Start the call in a thread. Return the thread, and a list to which it adds the result or the refusal."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(call())
        except DomainError as refusal:
            outcome.append(refusal)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def with_the_log_held(world: Cast, call: Callable[[], Any], *, seconds: float) -> Any:
    """Make the call while another transaction holds the lock on Contoso's log for so many seconds."""
    with transaction.atomic():
        ChainHead.objects.select_for_update().get(pk=world.contoso.pk)
        thread, outcome = in_background(call)
        time.sleep(seconds)
    thread.join(timeout=120)
    assert not thread.is_alive()
    return outcome[0]


@pytest.mark.real_clock
def test_an_approval_that_waited_past_its_deadline_is_refused(world: Cast) -> None:
    row = world.confirmed()
    AccessRequest.objects.filter(pk=row.pk).update(decide_by=clock.now() + dt.timedelta(milliseconds=500))
    yes = partial(operations.approve_as_customer, row.pk, actor=world.as_("ada"))
    assert isinstance(with_the_log_held(world, yes, seconds=1.0), DeadlinePassed)
    assert not Grant.objects.exists()


def test_a_role_that_was_taken_while_an_approval_waited_does_not_count(world: Cast) -> None:
    row = world.confirmed()
    with transaction.atomic():
        ChainHead.objects.select_for_update().get(pk=world.contoso.pk)
        thread, outcome = in_background(partial(operations.approve_as_customer, row.pk, actor=world.as_("ada")))
        time.sleep(0.7)
        Membership.objects.filter(person=world.ada, role="approver").delete()
    thread.join(timeout=120)
    assert type(outcome[0]) is NotAllowed
    assert not Grant.objects.exists()


@pytest.mark.real_clock
def test_a_read_that_waited_past_the_windows_end_gives_nothing(world: Cast, settings: Any, tmp_path: Any) -> None:
    grant, mailbox = world.opened(), world.resource()
    _one_mail(settings, tmp_path, mailbox.locator)
    Grant.objects.filter(pk=grant.pk).update(closes_at=clock.now() + dt.timedelta(milliseconds=500))
    read = partial(operations.content.list_items, grant.pk, mailbox.pk, actor=world.as_("priya"))
    assert isinstance(with_the_log_held(world, read, seconds=1.0), WindowNotOpen)
    assert not ContentAccess.objects.exists()


@pytest.mark.real_clock
def test_a_ticket_that_waited_for_an_approval_closes_its_window_after_it_opened(world: Cast) -> None:
    ticket = world.ticket()
    row = world.confirmed(ticket=ticket)
    with transaction.atomic():
        AccessRequest.objects.locked().get(pk=row.pk)
        thread, _outcome = in_background(partial(operations.close_ticket, ticket.pk, actor=world.as_("mia")))
        time.sleep(0.5)
    thread.join(timeout=120)
    row.refresh_from_db()
    assert row.state == "WITHDRAWN"
    ended = AuditEntry.objects.filter(correlation_id=row.pk).order_by("seq").last()
    assert ended is not None
    assert ended.event == "access_request.withdrawn"


def test_two_simultaneous_changes_never_leave_a_tenant_without_a_decider(world: Cast) -> None:
    ines = world.as_("ines")
    results = at_once(
        partial(operations.switch_off_person, world.ada.pk, actor=ines),
        partial(operations.switch_off_person, world.alan.pk, actor=ines),
        partial(operations.take_role, world.contoso.pk, world.ada.pk, role="approver", actor=ines),
    )
    assert "WrongState" in outcomes(results)
    approvers = Membership.objects.filter(tenant=world.contoso, role="approver", person__is_active=True)
    assert approvers.exists()


def test_an_approval_against_the_link_that_forbids_it_leaves_nothing_open(world: Cast) -> None:
    """Either the approval comes first, or the link that makes the engineer and the approver one human.

    In both cases, nobody gets a window that they approved themselves.
    """
    stella = world.as_("stella")
    for _ in range(4):
        row = world.submitted(by="priya")
        due = world.made_due(lambda: operations.link_accounts(world.priya.pk, world.pat.pk, actor=stella))
        link, _yes = at_once(
            partial(operations.apply_proposal, due, actor=world.system("sweep")),
            partial(operations.approve_as_provider, row.pk, actor=world.as_("pat")),
        )
        assert isinstance(link, Proposal), link
        row.refresh_from_db()
        assert row.state == ("WITHDRAWN" if row.decisions.exists() else "PENDING_PROVIDER")
        if row.state == "PENDING_PROVIDER":
            operations.withdraw(row.pk, actor=world.as_("priya"))
        world.agreed(lambda: operations.unlink_accounts(world.pat.pk, actor=stella))


def test_single_sign_on_joins_nobody_who_was_unlinked_meanwhile(world: Cast) -> None:
    """Erik and Pat are one human.

    Ada signs in with the subject of Pat's identity, while Pat's account is being unlinked.
    """
    issuer, at = "https://idp.example", clock.now()
    tenant = {"tenant": world.contoso, "issuer": issuer}
    SignOn.objects.create(**tenant, client_id="lockbox", sealed="x", is_on=True, changed_at=at)
    Domain.objects.create(tenant=world.contoso, name="contoso.example", challenge="x", claimed_at=at, verified_at=at)
    Identity.objects.create(tenant=None, issuer=issuer, subject="s-1", person=world.pat, linked_at=at)
    world.agreed(lambda: operations.link_accounts(world.erik.pk, world.pat.pk, actor=world.as_("stella")))
    identity = AssertedIdentity(issuer=issuer, subject="s-1", email="ada@contoso.example", email_is_verified=True)
    comes = partial(operations.sign_in, world.contoso.pk, came=identity, actor=Actor.system("single sign-on"))
    written = AuditEntry.objects.count()
    with transaction.atomic():
        pat = Person.objects.get_queryset().select_for_update(no_key=True).get(pk=world.pat.pk)
        thread, outcome = in_background(comes)
        wait_for_somebody_who_waits()
        part(pat)
    thread.join(timeout=120)
    assert type(outcome[0]) is WrongState
    people = Person.objects.get_queryset().in_bulk([world.ada.pk, world.pat.pk, world.erik.pk])
    assert len({person.human_id for person in people.values()}) == 3
    assert (Identity.objects.count(), AuditEntry.objects.count()) == (1, written)
    # The next sign-in reads the new state, and joins Ada with Pat.
    assert comes().human_id == Person.objects.get(pk=world.pat.pk).human_id != people[world.erik.pk].human_id


def test_two_simultaneous_removals_leave_one_administrator(world: Cast) -> None:
    for _ in range(3):
        for name in ("ines", "otto"):
            person = world.people[name]
            Person.objects.get_queryset().filter(pk=person.pk).update(is_active=True)
            # A person can't lose their only role, so each gets two.
            for role in ("administrator", "auditor"):
                fields = {"tenant": world.contoso, "person": person, "role": role}
                Membership.objects.get_or_create(**fields, defaults={"given_at": clock.now()})
        ines, otto = world.as_("ines"), world.as_("otto")
        results = at_once(
            partial(operations.take_role, world.contoso.pk, world.ines.pk, role="administrator", actor=otto),
            partial(operations.switch_off_person, world.otto.pk, actor=ines),
            partial(operations.switch_off_person, world.ines.pk, actor=otto),
        )
        assert any(not isinstance(result, Exception) for result in results), results
        assert all(isinstance(result, DomainError) for result in results if isinstance(result, Exception)), results
        left = Membership.objects.filter(tenant=world.contoso, role="administrator", person__is_active=True)
        assert left.exists()


def _uncover(world: Cast) -> Proposal:
    """Return a proposal by Stella: Lockbox is to cover a service no longer."""
    row = world.exchange
    fields: dict[str, Any] = {"key": row.key, "name": row.name, "connector": row.connector, "is_covered": False}
    with pytest.raises(ChangeProposed) as outcome:
        operations.save_service(service_id=row.pk, **fields, actor=world.as_("stella"))
    return Proposal.objects.get(pk=outcome.value.current["proposal"])


def _steps(world: Cast) -> list[str]:
    return [event for event in events_in(world.contoso) if event.startswith("proposal.")]


def test_a_change_of_the_staffs_that_two_confirm_at_once_is_confirmed_once(world: Cast) -> None:
    world.colleague("sten")
    world.colleague("sara")
    for number in range(1, 4):
        row = _uncover(world)
        results = at_once(
            *(partial(operations.confirm_proposal, row.pk, actor=world.as_(name)) for name in ("sten", "sara"))
        )
        assert sorted(type(result).__name__ for result in results) == ["Proposal", "WrongState"]
        assert _steps(world).count("proposal.confirmed") == number
        operations.withdraw_proposal(row.pk, actor=world.as_("stella"))


def test_a_staff_change_has_one_result_under_simultaneous_acts(world: Cast) -> None:
    """Confirm against withdraw, apply against apply, apply against withdraw. Each pair has one result and one entry."""
    world.colleague("sten")
    system = Actor.system("sweep")
    for _ in range(3):
        row, steps = _uncover(world), len(_steps(world))
        at_once(
            partial(operations.confirm_proposal, row.pk, actor=world.as_("sten")),
            partial(operations.withdraw_proposal, row.pk, actor=world.as_("stella")),
        )
        row.refresh_from_db()
        assert row.outcome == "withdrawn"
        assert _steps(world)[steps:] in (
            ["proposal.withdrawn"],
            ["proposal.confirmed", "proposal.withdrawn"],
        )
        row, steps = _uncover(world), len(_steps(world))
        past = clock.now() - dt.timedelta(days=4)
        Proposal.objects.filter(pk=row.pk).update(
            proposed_at=past, confirmed_by=world.people["sten"], effective_at=past + dt.timedelta(hours=72)
        )
        results = at_once(
            partial(operations.apply_proposal, row.pk, actor=system),
            partial(operations.apply_proposal, row.pk, actor=system),
            partial(operations.withdraw_proposal, row.pk, actor=world.as_("stella")),
        )
        assert sum(not isinstance(result, Exception) for result in results) == 1, results
        row.refresh_from_db()
        assert _steps(world)[steps:] == [f"proposal.{row.outcome}"]
        assert Service.objects.get(pk=world.exchange.pk).is_covered == (row.outcome == "withdrawn")
        Service.objects.update(is_covered=True)


def test_no_customer_moves_to_a_plan_that_is_losing_lockbox(world: Cast) -> None:
    """A tenant moves to a plan, while the plan loses Lockbox. The change that comes second becomes a proposal."""
    stella = world.as_("stella")
    for number in range(6):
        plan = Plan.objects.create(name=f"Plan {number}", includes_lockbox=True)
        moved, changed = at_once(
            partial(operations.change_tenant, world.contoso.pk, plan_id=plan.pk, actor=stella),
            partial(operations.save_plan, plan_id=plan.pk, name=plan.name, includes_lockbox=False, actor=stella),
        )
        assert sum(isinstance(result, ChangeProposed) for result in (moved, changed)) == 1, (moved, changed)
        assert Tenant.objects.get(pk=world.contoso.pk).plan.includes_lockbox


@pytest.mark.parametrize("level", ["read", "act_as"])
def test_no_window_is_open_at_a_level_that_an_administrator_rules_out_meanwhile(world: Cast, level: str) -> None:
    """Whichever commits first: an approval opens nothing afterwards, and an open window is closed."""
    seen, service = set(), world.with_act_as()
    for _ in range(6):
        Tenant.objects.filter(pk=world.contoso.pk).update(ruled_out="", is_act_as_allowed=True)
        row = world.confirmed(ticket=world.ticket(service_id=service.pk), level=level)
        ruled_out, approved = at_once(
            partial(operations.rule_out_level, world.contoso.pk, level=level, actor=world.as_("ines")),
            partial(operations.approve_as_customer, row.pk, actor=world.as_("ada")),
        )
        assert isinstance(ruled_out, Tenant), ruled_out
        row.refresh_from_db()
        assert not Grant.objects.filter(access_request=row, closed_at=None).exists()
        assert row.state == ("CLOSED" if isinstance(approved, AccessRequest) else "WITHDRAWN"), approved
        seen.add(row.state)
    assert seen


def test_a_tenant_that_switches_lockbox_on_during_a_change_gets_notice_or_comes_after_it(world: Cast) -> None:
    """Either the change takes effect first, or the tenant is informed and gets the whole waiting time."""
    row = world.exchange
    fields: dict[str, Any] = {"key": row.key, "name": row.name, "connector": row.connector, "is_covered": False}
    seen = set()
    for _ in range(6):
        Service.objects.update(is_covered=True)
        Proposal.objects.all().delete()
        Tenant.objects.filter(pk=world.fabrikam.pk).update(lockbox_on=False, lockbox_first_on_at=None)
        due = world.made_due(partial(operations.save_service, service_id=row.pk, **fields, actor=world.as_("stella")))
        switched, applied = at_once(
            partial(operations.switch_lockbox, world.fabrikam.pk, on=True, actor=world.as_("finn")),
            partial(operations.apply_proposal, due, actor=Actor.system("sweep")),
        )
        assert isinstance(switched, Tenant), switched
        assert isinstance(applied, Proposal), applied
        steps = [event for event in events_in(world.fabrikam) if event.startswith(("proposal.", "lockbox."))]
        change = Proposal.objects.get(pk=due)
        seen.add(change.outcome)
        if change.outcome == "applied":
            assert steps[-1] == "lockbox.switched_on"
        else:
            assert steps[-2:] == ["lockbox.switched_on", "proposal.made"]
            assert change.effective_at is not None
            assert change.effective_at > clock.now() + dt.timedelta(hours=71)
            assert Service.objects.get(pk=row.pk).is_covered


def test_a_switch_that_commits_while_a_change_waits_for_its_log_puts_the_change_off(world: Cast) -> None:
    """The change locks the logs of all tenants before it reads which tenants it affects."""
    row = world.exchange
    fields: dict[str, Any] = {"key": row.key, "name": row.name, "connector": row.connector, "is_covered": False}
    Tenant.objects.filter(pk=world.fabrikam.pk).update(lockbox_on=False, lockbox_first_on_at=None)
    due = world.made_due(partial(operations.save_service, service_id=row.pk, **fields, actor=world.as_("stella")))
    with transaction.atomic():
        recorder.lock(world.fabrikam.pk)
        thread, outcome = in_background(partial(operations.apply_proposal, due, actor=Actor.system("sweep")))
        wait_for_somebody_who_waits()
        Tenant.objects.filter(pk=world.fabrikam.pk).update(lockbox_on=True, lockbox_first_on_at=clock.now())
    thread.join(timeout=120)
    assert isinstance(outcome[0], Proposal), outcome
    change = Proposal.objects.get(pk=due)
    assert change.outcome == ""
    assert world.fabrikam in change.touched.all()
    assert Service.objects.get(pk=row.pk).is_covered


def test_an_access_request_during_a_change_comes_before_or_after_it(world: Cast) -> None:
    """The change renames a resource. The entry about the submission has the resource's valid name.

    This is the old name if the change must wait, and otherwise the new name.
    """
    operations.withdraw(world.submitted(resource=world.resource()).pk, actor=world.as_("priya"))
    for number in range(3):
        name = f"Menus {number}"
        rename = partial(
            operations.save_resource, resource_id=world.resource().pk, name=name, actor=world.as_("stella")
        )
        resource = world.resource()
        due, ticket = world.made_due(rename), world.ticket()
        submitted, applied = at_once(
            partial(operations.submit, world.ask(ticket, resource=resource), actor=world.as_("erik")),
            partial(operations.apply_proposal, due, actor=Actor.system("sweep")),
        )
        assert isinstance(submitted, AccessRequest), submitted
        entry = AuditEntry.objects.get(correlation_id=submitted.pk, event="access_request.submitted")
        resource.refresh_from_db()
        assert resource.name in bytes(entry.canonical).decode()
        operations.withdraw(submitted.pk, actor=world.as_("erik"))
        if isinstance(applied, WrongState):
            operations.apply_proposal(due, actor=Actor.system("sweep"))
        Resource.objects.filter(pk=resource.pk).update(name=f"finance@{number}")


def test_a_proposal_confirmed_by_two_at_once_is_done_once(world: Cast) -> None:
    operations.set_two_person_control(world.contoso.pk, on=True, actor=world.as_("ines"))
    with pytest.raises(ChangeProposed) as outcome:
        operations.switch_off_person(world.alan.pk, actor=world.as_("ines"))
    confirm = partial(operations.confirm_proposal, outcome.value.current["proposal"], actor=world.as_("ada"))
    withdraw = partial(operations.withdraw_proposal, outcome.value.current["proposal"], actor=world.as_("ines"))
    results = at_once(confirm, confirm, withdraw)
    assert outcomes(results) == {"Proposal": 1, "WrongState": 2}
    off = AuditEntry.objects.filter(tenant_id=world.contoso.pk, event="person.switched_off")
    assert off.count() == (0 if isinstance(results[2], Proposal) else 1)


def test_of_many_simultaneous_wrong_recovery_keys_five_are_checked(world: Cast) -> None:
    key = operations.make_recovery_key(world.contoso.pk, actor=world.as_("ines")).key
    wrong = partial(operations.use_recovery_key, "AAAA", email="next@contoso.example")
    results = at_once(*[partial(wrong, actor=Actor.stranger(door="pages", ip="203.0.113.7")) for _ in range(12)])
    assert outcomes(results) == {"NotFound": 5, "TooMany": 7}
    elsewhere = Actor.stranger(door="pages", ip="203.0.113.8")
    right = partial(operations.use_recovery_key, key, email="next@contoso.example", actor=elsewhere)
    assert outcomes(at_once(right, right, right)) == {"Invitation": 1, "NotFound": 2}


def test_an_invitation_accepted_twice_at_once_makes_one_account(world: Cast) -> None:
    link, stranger = world.link_of(world.invited(role="approver")), Actor.stranger(door="pages")
    accept = partial(operations.accept_invitation, link, name="Grace", password="another battery of 7 horses")
    results = at_once(*[partial(accept, actor=stranger) for _ in range(3)])
    assert outcomes(results) == {"Person": 1, "NotFound": 2}
    assert Person.objects.get_queryset().filter(email="grace@contoso.example").count() == 1


def test_one_address_that_two_tenants_invited_makes_one_account(world: Cast) -> None:
    email, stranger = "both@x.example", Actor.stranger(door="pages")
    theirs = operations.invite_person(world.fabrikam.pk, email=email, role="member", actor=world.as_("finn"))
    links = [world.link_of(world.invited(email)), world.link_of(theirs)]
    accept = partial(operations.accept_invitation, name="New", password="another battery of 7 horses", actor=stranger)
    results = at_once(*[partial(accept, link) for link in links])
    # The second call finds the account. If both ran at the same time, the database refuses the second account.
    assert outcomes(results) in ({"Person": 1, "Unacceptable": 1}, {"Person": 1, "WrongState": 1})
    [person] = Person.objects.get_queryset().filter(email=email)
    assert person.memberships.count() == 1


def test_a_link_is_withdrawn_or_accepted_and_never_both(world: Cast) -> None:
    ines, stranger = world.as_("ines"), Actor.stranger(door="pages")
    for number in range(4):
        row = world.invited(f"n{number}@contoso.example")
        accept = partial(operations.accept_invitation, world.link_of(row), name="New", password="a battery of 7 horses")
        results = at_once(
            partial(accept, actor=stranger),
            partial(operations.withdraw_invitation, row.pk, actor=ines),
        )
        assert set(outcomes(results)) in ({"Person", "WrongState"}, {"NotFound", "Invitation"}), results


def test_a_colleague_gets_the_role_once_whether_the_acceptance_or_the_proposal_is_first(world: Cast) -> None:
    world.colleague()
    past, stranger = clock.now() - dt.timedelta(days=4), Actor.stranger(door="pages")
    for number in range(4):
        row = world.invited_colleague(f"n{number}@provider.example")
        due = {"proposed_at": past, "effective_at": past + dt.timedelta(hours=72)}
        Proposal.objects.filter(pk=row.proposal_id).update(**due)
        accept = partial(operations.accept_invitation, world.link_of(row), name="New", password="a battery of 7 horses")
        results = at_once(
            partial(accept, actor=stranger),
            partial(operations.apply_proposal, row.proposal_id, actor=world.system("sweep")),
        )
        assert outcomes(results) == {"Person": 1, "Proposal": 1}, results
        assert results[1].outcome == "applied"
        person = Person.objects.get_queryset().get(email=row.email)
        assert list(person.queue_assignments.values_list("role", flat=True)) == ["engineer"]


def test_a_colleague_whose_role_is_withdrawn_gets_none_in_any_order(world: Cast) -> None:
    world.colleague()
    sten, stranger = world.as_("sten"), Actor.stranger(door="pages")
    for number in range(4):
        row = world.invited_colleague(f"n{number}@provider.example")
        accept = partial(operations.accept_invitation, world.link_of(row), name="New", password="a battery of 7 horses")
        results = at_once(
            partial(accept, actor=stranger), partial(operations.withdraw_proposal, row.proposal_id, actor=sten)
        )
        assert set(outcomes(results)) in ({"Person", "Proposal"}, {"NotFound", "Proposal"}), results
        assert not QueueAssignment.objects.filter(person__email=row.email).exists()


def test_lockbox_switched_on_during_an_acceptance_names_the_invitation_or_the_person(world: Cast) -> None:
    """No tenant may find one of the provider's people of whom its log says nothing."""
    stranger = Actor.stranger(door="pages")
    Plan.objects.update(includes_lockbox=True)
    for number in range(8):
        Tenant.objects.update(lockbox_on=False, lockbox_first_on_at=None)
        row = world.invited_colleague(f"new{number}@provider.example")
        accept = partial(operations.accept_invitation, world.link_of(row), name="New", password="a battery of 7 horses")
        before = AuditEntry.objects.filter(tenant_id=world.northwind.pk, event="provider.joined").count()
        results = at_once(
            partial(accept, actor=stranger),
            partial(operations.switch_lockbox, world.northwind.pk, on=True, actor=world.as_("noah")),
        )
        assert set(outcomes(results)) == {"Person", "Tenant"}, results
        entries = AuditEntry.objects.filter(tenant_id=world.northwind.pk)
        described = json.loads(bytes(entries.filter(event="provider.described").latest("seq").canonical))["detail"]
        is_invited = row.email in {each["email"] for each in described["invited"]["listed"]}
        person = str(Person.objects.get(email=row.email).pk)
        is_there = person in {each["id"] for each in described["people"]["listed"]}
        assert is_invited != is_there
        assert entries.filter(event="provider.joined").count() - before == is_invited


def test_lockbox_switched_on_applies_to_every_later_approval(world: Cast) -> None:
    """Either the approval or the switch comes first.

    After the switch, no window opens without the customer's approval.
    """
    for _ in range(4):
        Tenant.objects.filter(pk=world.contoso.pk).update(lockbox_on=False)
        row = world.submitted()
        ines, pat = world.as_("ines"), world.as_("pat")
        at_once(
            partial(operations.switch_lockbox, world.contoso.pk, on=True, actor=ines),
            partial(operations.approve_as_provider, row.pk, actor=pat),
        )
        row.refresh_from_db()
        events = list(
            AuditEntry.objects.filter(tenant_id=world.contoso.pk).order_by("seq").values_list("event", flat=True)
        )
        last_on = len(events) - 1 - events[::-1].index("lockbox.switched_on")
        last_yes = len(events) - 1 - events[::-1].index("access_request.approved_by_provider")
        assert row.state == ("PENDING_CUSTOMER" if last_on < last_yes else "OPEN")


def test_an_act_that_holds_its_tenant_and_waits_for_its_turn_blocks_nobody(world: Cast) -> None:
    """The approval holds the lock on the log, and writes a foreign key to the tenant.

    The other act has locked the tenant, and waits for the log. They must not block each other.
    """
    ines, ada = world.as_("ines"), world.as_("ada")
    for attempt in range(16):
        row = world.confirmed()
        yes, cap = at_once(
            partial(operations.approve_as_customer, row.pk, actor=ada),
            partial(operations.set_window_cap, world.contoso.pk, seconds=(7200, 14400)[attempt % 2], actor=ines),
        )
        assert isinstance(yes, AccessRequest), yes
        assert isinstance(cap, Tenant), cap


def test_a_reset_that_waits_for_a_signed_approval_does_not_block_it(world: Cast, monkeypatch: Any) -> None:
    """The approval holds the lock on the log, and then reads its passkey.

    The reset waits for the log, and must not have locked the passkey meanwhile.
    """
    device, row, ada = enrolled(world, "ada")[1], world.confirmed(), world.as_("ada")
    text = signing.text_to_sign(row, actor=ada, verdict="approve", at=clock.now())
    signed = operations.Signed(manifest=text, assertion=device.sign(manifest.challenge_of(text), rp_id="localhost"))
    has_turn, find = threading.Event(), _signing._passkey

    def find_late(*about: Any) -> Any:
        has_turn.set()
        wait_for_somebody_who_waits()
        return find(*about)

    def reset() -> Person:
        assert has_turn.wait(timeout=120)
        return operations.reset_second_factors(world.ada.pk, actor=world.as_("ines"), keep=factors.drops_all)

    monkeypatch.setattr(_signing, "_passkey", find_late)
    yes, gone = at_once(partial(operations.approve_as_customer, row.pk, actor=ada, signature=signed), reset)
    assert isinstance(yes, AccessRequest), yes
    assert isinstance(gone, Person), gone
    order = AuditEntry.objects.filter(tenant_id=world.contoso.pk).order_by("seq").values_list("event", flat=True)
    decided = "access_request.approved_by_customer"
    assert list(order)[-3:] == [decided, "person.second_factors_reset", "passkey.removed"]
    assert not Passkey.objects.live().exists()


def test_an_engineer_who_is_switched_off_leaves_nothing_pending(world: Cast) -> None:
    ticket = world.ticket()
    for _ in range(4):
        Person.objects.get_queryset().filter(pk=world.priya.pk).update(is_active=True)
        priya, stella = world.as_("priya"), world.as_("stella")
        at_once(
            partial(operations.submit, world.ask(ticket), actor=priya),
            partial(operations.switch_off_person, world.priya.pk, actor=stella),
        )
        assert not AccessRequest.objects.filter(state="PENDING_PROVIDER").exists()


# --- The signer --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attempt", range(5))
def test_signers_side_by_side_make_one_lineage_and_no_alarm(world: Cast, attempt: int) -> None:
    """Seven signers work while entries are added. The lock between the signers of one machine is off."""
    world.submitted()

    def write() -> None:
        for number in range(6):
            world.ticket(title=f"Mail is late, {number}")

    def sign() -> None:
        for _ in range(6):
            checkpoints.sign(world.contoso.pk, at=clock.now())

    results = at_once(*[sign] * 4, write, *[sign] * 3)
    assert outcomes(results) == {"NoneType": 8}, results
    assert not LogAlarm.objects.exists()
    checkpoints.sign(world.contoso.pk, at=clock.now())
    rows = list(Checkpoint.objects.filter(tenant_id=world.contoso.pk).order_by("size"))
    for older, newer in pairwise(rows):
        proofs.consistency(older, newer)
    stored = heads.get(checkpoints.origin_of(world.contoso.pk, 0))
    assert stored is not None
    assert (stored.head.size, stored.head.root) == (rows[-1].size, bytes(rows[-1].root))
    assert verify(world.contoso.pk).is_good


def test_two_rounds_side_by_side_sign_each_log_once(world: Cast) -> None:
    world.submitted()
    at_once(*[lambda: signing_round.work(clock.now, limit=100)] * 4)
    assert Checkpoint.objects.filter(tenant_id=world.contoso.pk).count() == 1
    assert not LogAlarm.objects.exists()
