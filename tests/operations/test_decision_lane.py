"""The questions of all callers are answered together, and yet each caller gets only what is theirs."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from concurrent.futures import Future
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from django.db import DataError, OperationalError, connection, transaction
from django.db.models.functions import Reverse
from django.test.utils import CaptureQueriesContext

from audit_app import recorder
from audit_app.models import AuditEntry
from audit_app.verify import verify
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.deciding import Asked, Decided, TokenRefused
from requests_app.domain.errors import (
    InsufficientScope,
    OutcomeUnknown,
    SecondFactorRequired,
    ServiceClientOnly,
    StoreUnavailable,
)
from requests_app.domain.evaluation import Question, Verdict
from requests_app.domain.scopes import Scope
from requests_app.models import Client, ContentAccess, IdempotencyKey, Person, QueueAssignment, Resource, Token
from requests_app.models import evaluation as one
from requests_app.models.callers import find_callers
from requests_app.models.evaluations import read_all
from requests_app.models.people import actor_of_token, find_token
from requests_app.operations import _decision_lane, _repeated_questions, _waiting_questions
from requests_app.operations._decision_lane import DecisionLane
from requests_app.operations._waiting_questions import Call
from requests_app.platform import telemetry
from requests_app.platform.database import bounds
from requests_app.platform.database.errors import CommitUnknown
from requests_app.platform.lanes import LaneFull
from requests_app.platform.together import at_end
from tests.caller import service_of, token_of
from tests.cast import Cast
from tests.operations.test_evaluation import ask

pytestmark = pytest.mark.django_db


class Quota:
    """Counts the places, and gives each account `limit` of them."""

    def __init__(self, limit: int = 1000) -> None:
        self.limit, self.taken = limit, dict[UUID, int]()
        self.is_over = False

    def __call__(self, account: UUID, places: int) -> Quota:
        found = Quota(self.limit)
        found.is_over = self.taken.get(account, 0) + places > self.limit
        if not found.is_over:
            self.taken[account] = self.taken.get(account, 0) + places
        return found


def hash_of(actor: Actor) -> str:
    return Token.objects.get(pk=actor.token_id).secret_hash


def together(*calls: list[Asked], quota: Quota | None = None) -> list[list[Decided]]:
    """Answer these calls in one portion, in the transaction of the test."""
    made = [Call(asked) for asked in calls]
    DecisionLane(quota or Quota())._decide(made)
    return [call.future.result(0) for call in made]


def access(question: Question, actor: Actor, **options: Any) -> Asked:
    return Asked(token_hash=hash_of(actor), question=question, is_access=True, **options)


def entries_of(cast: Cast) -> int:
    return AuditEntry.objects.filter(tenant_id=cast.contoso.pk).count()


def verdict_of(decided: list[Decided]) -> Verdict:
    assert decided[0].refused is None
    assert decided[0].verdict is not None
    return decided[0].verdict


# --- Together ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_access", [True, False])
def test_who_waits_for_the_answers_is_woken_once_after_the_last_one(cast: Cast, is_access: bool) -> None:
    cast.opened()
    asked = replace(access(ask(cast), service_of(cast)), is_access=is_access)
    calls = [Call([asked]) for _ in range(5)]
    woken = list[int]()
    for call in calls:
        call.future.add_done_callback(
            lambda _done: at_end(lambda: woken.append(sum(each.future.done() for each in calls)))
        )
    DecisionLane(Quota())._decide(calls)
    assert woken == [5] * 5


@pytest.mark.dialect
def test_callers_of_both_sides_are_answered_together_and_each_entry_is_in_its_log(cast: Cast) -> None:
    cast.opened()
    cast.opened("fabrikam")
    staff, ours, theirs = service_of(cast), service_of(cast, "contoso"), service_of(cast, "fabrikam")
    foreign = ask(cast, resource=str(cast.resource("fabrikam").pk))
    answers = together(
        [access(ask(cast, item=f"{n}"), staff) for n in range(3)],
        [access(foreign, staff)],
        [access(ask(cast), ours)],
        [access(foreign, ours)],
        [access(foreign, theirs)],
    )
    found = [[(each.verdict.decision, each.verdict.reason) for each in call if each.verdict] for call in answers]
    yes, no = (True, "window_open"), (False, "not_found")
    assert found == [[yes] * 3, [yes], [yes], [no], [yes]]
    numbers = [each.verdict.entry for call in answers[:1] + answers[2:3] for each in call if each.verdict]
    assert len(set(numbers)) == 4
    assert answers[3][0].verdict is not None
    assert answers[3][0].verdict.entry is None
    assert ContentAccess.objects.count() == 6
    for tenant in (cast.contoso, cast.fabrikam):
        assert verify(tenant.pk).is_good


@pytest.mark.dialect
def test_many_questions_take_as_many_statements_as_one(cast: Cast) -> None:
    cast.opened()
    staff = service_of(cast)
    counts = []
    for number in (1, 1, 20):
        calls = [[access(ask(cast), staff)] for _ in range(number)]
        with CaptureQueriesContext(connection) as seen:
            together(*calls)
        counts.append(len(seen))
    # On SQLite, which runs in this process, each question has two small statements of its own.
    assert counts[2] <= counts[1] + (0 if connection.vendor == "postgresql" else 2 * 19)
    assert counts[1] <= 9


@pytest.mark.sqlite
def test_the_heads_of_several_logs_take_one_statement_on_sqlite(cast: Cast) -> None:
    """On PostgreSQL, the statement that reads the facts locks the heads, too."""
    cast.opened()
    cast.opened("fabrikam")
    staff = service_of(cast)
    foreign = ask(cast, resource=str(cast.resource("fabrikam").pk))
    calls = [[access(question, staff)] for question in (ask(cast), foreign)]
    # The heads are there now.
    together(*calls)
    texts = []
    for asked in (calls[:1], calls):
        with CaptureQueriesContext(connection) as seen:
            together(*asked)
        texts.append([each["sql"] for each in seen if each["sql"].startswith("SELECT tenant_id, size")])
    assert list(map(len, texts)) == [1, 1]


def test_a_call_without_a_question_learns_who_asks(cast: Cast) -> None:
    staff, quota = service_of(cast), Quota()
    [[decided]] = together([Asked(token_hash=hash_of(staff), question=None, places=3)], quota=quota)
    assert (decided.actor, decided.verdict, decided.refused) == (staff, None, None)
    assert list(quota.taken.values()) == [3]


# --- Callers -------------------------------------------------------------------------------------------------

GONE: dict[str, Any] = {
    "unknown": lambda: Token.objects.update(secret_hash=Reverse("secret_hash")),
    "revoked": lambda: Token.objects.update(revoked_at=clock.now()),
    "expired": lambda: Token.objects.update(expires_at=clock.now()),
    "account off": lambda: Person.objects.filter(kind="client").update(is_active=False),
}


@pytest.mark.dialect
@pytest.mark.parametrize("who", [None, "contoso", "decides", "stella", "otto"])
def test_the_actor_is_that_of_every_other_call(cast: Cast, who: str | None) -> None:
    if who in cast.people:
        token_of(cast, who, Scope.EVALUATE)
        token = Token.objects.select_related("account__client").latest("created_at")
    else:
        found = service_of(cast, "contoso" if who == "decides" else who)
        Client.objects.update(decides_for=cast.ada if who == "decides" else None)
        token = Token.objects.select_related("account__client").get(pk=found.token_id)
    asked = Asked(token_hash=token.secret_hash, question=None, request_id="a", ip="192.0.2.1")
    for _ in range(2):
        [[decided]] = together([asked])
        assert decided.actor == actor_of_token(token, request_id="a", ip="192.0.2.1")


@pytest.mark.dialect
def test_a_changed_client_is_another_actor_at_once(cast: Cast) -> None:
    """The actor of a client is remembered under the columns that it is made from."""
    staff = service_of(cast)
    asked = Asked(token_hash=hash_of(staff), question=None)
    changes: list[tuple[Any, dict[str, Any]]] = [
        (Person.objects.filter(kind="client"), {"name": "Renamed"}),
        (Token.objects.all(), {"scopes": ["evaluate", "log:read"]}),
        (Client.objects.all(), {"scopes": ["evaluate", "log:read"]}),
    ]
    actors = [together([asked])[0][0].actor]
    for rows, change in changes:
        rows.update(**change)
        actors.append(together([asked])[0][0].actor)
    assert [actor.name for actor in actors if actor] == ["Help desk", "Renamed", "Renamed", "Renamed"]
    assert actors[-1] != actors[-2]


@pytest.mark.dialect
@pytest.mark.parametrize("how", sorted(GONE))
def test_a_token_that_does_not_work_asks_nothing(cast: Cast, how: str) -> None:
    cast.opened()
    other, staff = service_of(cast, "contoso"), service_of(cast)
    asked, beside = access(ask(cast), staff), access(ask(cast), other)
    before = AuditEntry.objects.count()
    GONE[how]()
    [[decided], [_second]] = together([asked], [beside])
    assert isinstance(decided.refused, TokenRefused)
    assert (decided.verdict, decided.actor) == (None, None)
    assert (AuditEntry.objects.count(), ContentAccess.objects.count()) == (before, 0)


def test_a_token_without_the_scope_asks_nothing(cast: Cast) -> None:
    cast.opened()
    staff = service_of(cast)
    before = AuditEntry.objects.count()
    Client.objects.update(scopes=["log:read"])
    [[decided]] = together([access(ask(cast), staff)])
    assert isinstance(decided.refused, InsufficientScope)
    assert AuditEntry.objects.count() == before


def test_a_person_gets_advice_and_reports_no_access(cast: Cast) -> None:
    cast.opened()
    secret = token_of(cast, "stella", Scope.EVALUATE)
    found = Token.objects.latest("created_at")
    assert secret.endswith(found.hint)
    advice = Asked(token_hash=found.secret_hash, question=ask(cast))
    report = Asked(token_hash=found.secret_hash, question=ask(cast), is_access=True)
    [[first], [second]] = together([advice], [report])
    assert first.verdict is not None
    assert first.verdict.decision
    assert isinstance(second.refused, ServiceClientOnly)
    assert ContentAccess.objects.count() == 0


def test_a_person_without_a_needed_second_factor_asks_nothing(cast: Cast) -> None:
    cast.opened()
    token_of(cast, "stella", Scope.EVALUATE)
    token = Token.objects.latest("created_at")
    Person.objects.filter(pk=token.account_id).update(totp_set_up_at=None)
    [[decided]] = together([Asked(token_hash=token.secret_hash, question=ask(cast))])
    assert isinstance(decided.refused, SecondFactorRequired)
    assert decided.verdict is None


def test_a_spent_quota_answers_nothing(cast: Cast) -> None:
    """As over HTTP: first one place, and then the others of the call or none."""
    cast.opened()
    staff = service_of(cast)
    quota, questions = Quota(3), [access(ask(cast), staff) for _ in range(4)]
    [answers] = together(questions, quota=quota)
    assert {(each.verdict, each.refused) for each in answers} == {(None, None)}
    assert all(each.quota is not None and each.quota.is_over for each in answers)
    assert (list(quota.taken.values()), ContentAccess.objects.count()) == ([1], 0)
    [answers] = together(questions[:2], quota=quota)
    assert [each.verdict.decision for each in answers if each.verdict] == [True, True]


def test_the_use_of_a_token_is_stored_once_a_minute(cast: Cast, travel: Any) -> None:
    cast.opened()
    staff, at = service_of(cast), travel.freeze()
    uses = []
    for seconds in (0, 59, 60):
        travel.to(at + dt.timedelta(seconds=seconds))
        together([Asked(token_hash=hash_of(staff), question=ask(cast))])
        uses.append(Token.objects.get(pk=staff.token_id).last_used_at)
    assert uses == [at, at, at + dt.timedelta(seconds=60)]


# --- Faults --------------------------------------------------------------------------------------------------


@pytest.mark.dialect
@pytest.mark.parametrize("error", [DataError("bad"), RuntimeError("bad")])
def test_one_question_that_fails_spoils_no_other(cast: Cast, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    grant, staff = cast.opened(), service_of(cast)
    before, record_in = entries_of(cast), recorder.record_in

    def write(entries: Any, **options: Any) -> Any:
        if any(entry.detail.get("item") == "bad" for entry, _ in entries):
            raise error
        return record_in(entries, **options)

    monkeypatch.setattr(recorder, "record_in", write)
    items = ["0", "1", "bad", "3", "4", "5"]
    answers = together(*([access(ask(cast, item=item), staff)] for item in items))
    refused = [item for item, [each] in zip(items, answers, strict=True) if each.refused is not None]
    numbers = [each.verdict.entry for [each] in answers if each.verdict is not None]
    assert refused == ["bad"]
    assert sorted(number for number in numbers if number is not None) == list(range(before, before + 5)), (
        "one dense log"
    )
    assert set(ContentAccess.objects.values_list("item_id", flat=True)) == {*items} - {"bad"}
    assert verify(grant.tenant_id).is_good


@pytest.mark.dialect
def test_what_failed_together_forgets_the_places_of_its_entries(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second question had the entry of the first one, and has it again by its number."""
    cast.opened()
    staff, before, record_in = service_of(cast), entries_of(cast), recorder.record_in

    def write(entries: Any, **options: Any) -> Any:
        if any(entry.detail.get("item") == "bad" for entry, _ in entries):
            raise RuntimeError("bad")
        return record_in(entries, **options)

    monkeypatch.setattr(recorder, "record_in", write)
    [first], [again], [bad] = together(
        [access(ask(cast), staff, repeat_id="a")],
        [access(ask(cast), staff, repeat_id="a")],
        [access(ask(cast, item="bad"), staff)],
    )
    assert [verdict_of([each]).entry for each in (first, again)] == [before, before]
    assert isinstance(bad.refused, RuntimeError)
    assert (entries_of(cast), ContentAccess.objects.count()) == (before + 1, 1)


@pytest.mark.dialect
def test_an_answer_that_fails_after_the_commit_writes_nothing_again(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    grant, staff = cast.opened(), service_of(cast)
    before, counted = entries_of(cast), list[int]()

    def count(*_: Any) -> None:
        counted.append(1)
        if len(counted) == 2:
            raise RuntimeError("bad")

    monkeypatch.setattr(_waiting_questions, "count", count)
    answers = together(*([access(ask(cast, item=str(n)), staff)] for n in range(4)))
    assert [each.refused is None for [each] in answers] == [True, False, True, True]
    [[unknown]] = [answer for answer in answers if answer[0].refused is not None]
    assert isinstance(unknown.refused, OutcomeUnknown), "its entry is there"
    assert unknown.about == ("grant", str(grant.pk))
    assert (entries_of(cast), ContentAccess.objects.count()) == (before + 4, 4)


@pytest.mark.dialect
@pytest.mark.parametrize("where", ["take", "ask"])
def test_a_bug_before_the_question_is_read_spoils_no_other(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """`take` fails for a whole call, and `ask` for a single question."""
    cast.opened()
    good, bad = service_of(cast), service_of(cast, "contoso")
    quota, plain = Quota(), one.ask

    def take(account: UUID, places: int) -> Quota:
        if where == "take" and account == bad.person_id:
            raise RuntimeError("bad")
        return Quota.__call__(quota, account, places)

    def ask_(question: Question, *, actor: Actor) -> Any:
        if where == "ask" and question.item == "bad":
            raise RuntimeError("bad")
        return plain(question, actor=actor)

    monkeypatch.setattr(_decision_lane, "ask", ask_)
    made = [
        Call([access(ask(cast), good)]),
        Call([access(ask(cast, item="bad"), bad), access(ask(cast), bad)]),
        Call([access(ask(cast), good)]),
    ]
    DecisionLane(take)._decide(made)
    first, second, third = (call.future.result(0) for call in made)
    refused = [isinstance(each.refused, RuntimeError) for each in (*first, *second, *third)]
    assert refused == [False, True, where == "take", False]
    assert [each.verdict is None for each in (*first, *second, *third)] == refused


@pytest.mark.dialect
def test_a_token_that_can_not_be_read_spoils_no_other(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    cast.opened()
    good, bad = service_of(cast), service_of(cast, "contoso")
    wrong, plain = hash_of(bad), find_callers

    def find(hashes: Any) -> Any:
        if wrong in hashes:
            raise ValueError("bad row")
        return plain(hashes)

    monkeypatch.setattr(_decision_lane, "find_callers", find)
    answers = together(*([access(ask(cast), staff)] for staff in (good, bad, service_of(cast, "fabrikam"), good)))
    assert [isinstance(each.refused, ValueError) for [each] in answers] == [False, True, False, False]
    assert [each.verdict is None for [each] in answers] == [False, True, False, False]


@pytest.mark.dialect
def test_the_tokens_of_many_people_are_read_together(cast: Cast) -> None:
    counts, hashes = list[int](), list[str]()
    for who in ("stella", "otto", "ada", "priya"):
        token_of(cast, who, Scope.EVALUATE)
        hashes.append(Token.objects.latest("created_at").secret_hash)
        with CaptureQueriesContext(connection) as seen:
            found = find_callers(hashes)
        alone = [find_token(secret_hash=each) for each in hashes]
        assert [found[each].actor for each in hashes] == [actor_of_token(one[0]) for one in alone if one]
        counts.append(len(seen))
    assert counts == [2, 2, 2, 2]


def test_what_has_waited_in_vain_is_not_tried_again(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next attempt would wait as long, and so would everybody else."""
    cast.opened()
    staff, tries = service_of(cast), []

    def write(entries: Any, **options: Any) -> Any:
        tries.append(len(entries))
        raise OperationalError("database is locked")

    monkeypatch.setattr(recorder, "record_in", write)
    answers = together(*([access(ask(cast), staff)] for _ in range(4)))
    assert all(isinstance(each.refused, StoreUnavailable) and each.verdict is None for [each] in answers)
    assert (tries, ContentAccess.objects.count()) == ([4], 0)


def test_if_nobody_knows_whether_it_was_committed_nobody_gets_a_yes(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast.opened()
    staff, tries = service_of(cast), []

    def write(entries: Any, **options: Any) -> Any:
        tries.append(len(entries))
        raise CommitUnknown("the connection failed")

    monkeypatch.setattr(recorder, "record_in", write)
    answers = together(*([access(ask(cast), staff)] for _ in range(4)))
    assert all(isinstance(each.refused, OutcomeUnknown) and each.verdict is None for [each] in answers)
    assert tries == [4], "nothing is tried again, because it may be there already"


# --- What a question reads -----------------------------------------------------------------------------------


_READ = """
    SELECT sum(pg_stat_get_xact_tuples_returned(read.id)) FROM (
        SELECT 'requests_app_queueassignment'::regclass AS id
        UNION ALL SELECT indexrelid FROM pg_index WHERE indrelid = 'requests_app_queueassignment'::regclass
    ) AS read
"""


def rows_of_queues_read() -> int:
    with connection.cursor() as cursor:
        cursor.execute(_READ)
        return int(cursor.fetchone()[0])


@pytest.mark.postgres
def test_a_question_does_not_read_the_queues_of_other_engineers(cast: Cast) -> None:
    cast.opened()
    people = [Person(email=f"{n}@provider.example", name=f"{n}", side="provider", kind="human") for n in range(200)]
    for person in people:
        person.created_at = clock.now()
    Person.objects.bulk_create(people)
    given = {"service": cast.exchange, "role": "engineer", "given_at": clock.now()}
    QueueAssignment.objects.bulk_create(QueueAssignment(person=person, **given) for person in people)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE requests_app_queueassignment, requests_app_person")
    query = one.ask(ask(cast), actor=service_of(cast))
    before = rows_of_queues_read()
    [found] = read_all([query])
    assert [window.is_engineer for window in found.facts.windows] == [True]
    assert rows_of_queues_read() - before <= 3


# --- Row-level security --------------------------------------------------------------------------------------


@pytest.mark.postgres
@pytest.mark.parametrize("side", [None, "contoso"])
def test_a_statement_that_forgets_its_filter_sees_only_the_tenants_of_the_portion(cast: Cast, side: str | None) -> None:
    cast.opened()
    query = one.ask(ask(cast), actor=service_of(cast, side))
    with transaction.atomic():
        read_all([query], hold=True)
        assert {row.tenant_id for row in Resource.objects.all()} == {cast.contoso.pk}
        assert {row.tenant_id for row in AuditEntry.objects.all()} == {cast.contoso.pk}
        transaction.set_rollback(True)
    read_all([query])
    assert len({row.tenant_id for row in Resource.objects.all()}) > 1, "advice leaves nothing behind"


@pytest.mark.postgres
def test_a_customers_question_is_bounded_even_if_its_own_limit_is_forgotten(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast.opened("fabrikam")
    theirs = ask(cast, resource=str(cast.resource("fabrikam").pk), tenant="fabrikam")
    query = one.ask(theirs, actor=service_of(cast, "contoso"))
    asked = read_all.__globals__["_asked"]
    monkeypatch.setitem(read_all.__globals__, "_asked", lambda n, query: {**asked(n, query), "within": None})
    [found] = read_all([query])
    assert (found.facts.resource_id, found.facts.windows) == (None, [])


@pytest.mark.dialect
@pytest.mark.parametrize("named", ["name", "locator", "pk"])
def test_a_portion_with_anothers_question_shows_nothing_of_the_other_tenant(cast: Cast, named: str) -> None:
    """The connection sees the tenants of all callers of the portion, so each question needs its own limit."""
    cast.opened("fabrikam")
    there = str(getattr(cast.resource("fabrikam"), named))
    question = ask(cast, resource=there, tenant="fabrikam")
    [[theirs], [ours]] = together(
        [access(question, service_of(cast, "fabrikam"))], [access(question, service_of(cast, "contoso"))]
    )
    assert theirs.verdict is not None
    assert theirs.verdict.decision
    assert ours.verdict is not None
    assert (ours.verdict.decision, ours.verdict.reason, ours.verdict.entry) == (False, "not_found", None)


@pytest.mark.dialect
def test_an_asker_who_sees_no_tenant_learns_nothing(cast: Cast) -> None:
    """No such asker gets here. Yet an empty list must not mean all tenants."""
    cast.opened()
    query = replace(one.ask(ask(cast), actor=service_of(cast, "contoso")), within=frozenset())
    [found] = read_all([query])
    assert (found.facts.resource_id, found.facts.windows) == (None, [])


# --- Repeated calls ------------------------------------------------------------------------------------------


@pytest.mark.dialect
def test_a_repeated_call_gets_the_number_of_the_same_entry(cast: Cast, travel: Any) -> None:
    grant, staff, at = cast.opened(), service_of(cast), travel.freeze()
    before = entries_of(cast)
    first = verdict_of(together([access(ask(cast), staff, repeat_id="a")])[0])
    travel.to(at + dt.timedelta(seconds=59))
    [again], [beside], [other], [unnamed] = together(
        [access(ask(cast), staff, repeat_id="a")],
        [access(ask(cast), staff, repeat_id="a")],
        [access(ask(cast, item="7"), staff, repeat_id="a")],
        [access(ask(cast), staff)],
    )
    numbers = [verdict_of([each]).entry for each in (again, beside, other, unnamed)]
    assert numbers == [first.entry, first.entry, before + 1, before + 2]
    assert ContentAccess.objects.count() == 3
    travel.to(at + dt.timedelta(seconds=60))
    assert verdict_of(together([access(ask(cast), staff, repeat_id="a")])[0]).entry == before + 3
    assert verify(grant.tenant_id).is_good


def test_two_that_are_the_same_in_one_portion_have_one_entry(cast: Cast) -> None:
    cast.opened()
    staff = service_of(cast)
    answers = together(*([access(ask(cast), staff, repeat_id="a")] for _ in range(3)))
    assert len({verdict_of(each).entry for each in answers}) == 1
    assert ContentAccess.objects.count() == 1


@pytest.mark.dialect
def test_a_repeated_call_is_judged_again(cast: Cast) -> None:
    grant, staff = cast.opened(), service_of(cast)
    first = verdict_of(together([access(ask(cast), staff, repeat_id="a")])[0])
    operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
    second = verdict_of(together([access(ask(cast), staff, repeat_id="a")])[0])
    assert (first.decision, second.decision, second.reason) == (True, False, "window_not_open")
    assert second.entry is not None
    assert first.entry is not None
    assert second.entry > first.entry, "an entry says what its answer says"


def test_another_client_with_the_same_id_gets_another_entry(cast: Cast) -> None:
    cast.opened()
    answers = together(
        [access(ask(cast), service_of(cast), repeat_id="a")],
        [access(ask(cast), service_of(cast, "contoso"), repeat_id="a")],
    )
    assert len({verdict_of(each).entry for each in answers}) == 2


def test_advice_has_no_entry_whatever_its_id(cast: Cast) -> None:
    cast.opened()
    staff = service_of(cast)
    before = AuditEntry.objects.count()
    for _ in range(2):
        [[decided]] = together([Asked(token_hash=hash_of(staff), question=ask(cast), repeat_id="a")])
        assert decided.verdict is not None
        assert decided.verdict.entry is None
    assert (AuditEntry.objects.count(), IdempotencyKey.objects.count()) == (before, 0)


def test_numbers_of_old_calls_are_deleted(cast: Cast, travel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cast.opened()
    staff, at = service_of(cast), travel.freeze()
    monkeypatch.setattr(_repeated_questions, "FORGET_EACH", 3)
    monkeypatch.setattr(_repeated_questions.FORGETTING, "_written", 0)
    for n in range(3):
        travel.to(at + dt.timedelta(seconds=61 * n))
        together([access(ask(cast), staff, repeat_id=f"{n}")])
    assert [row.begun_at for row in IdempotencyKey.objects.all()] == [at + dt.timedelta(seconds=122)]


def test_a_wrong_clock_of_this_host_deletes_no_number_too_early(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    cast.opened()
    staff = service_of(cast)
    monkeypatch.setattr(_repeated_questions, "FORGET_EACH", 1)
    monkeypatch.setattr(clock, "here", lambda: clock.now() + dt.timedelta(minutes=10))
    first, again = [verdict_of(together([access(ask(cast), staff, repeat_id="a")])[0]).entry for _ in range(2)]
    assert first == again


def test_a_denial_with_another_reason_has_another_entry(cast: Cast) -> None:
    """Its entry names the window that was closed, which the first entry could not know of."""
    staff = service_of(cast)
    first = verdict_of(together([access(ask(cast), staff, repeat_id="a")])[0])
    operations.revoke(cast.opened().access_request_id, actor=cast.as_("ada"))
    second = verdict_of(together([access(ask(cast), staff, repeat_id="a")])[0])
    assert first.reason == second.reason == "window_not_open"
    assert (first.ended, second.ended is not None) == (None, True)
    assert first.entry != second.entry


def test_old_numbers_are_deleted_after_accesses_alone_and_a_failure_spoils_nothing(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast.opened()
    staff, forgetting = service_of(cast), _repeated_questions.FORGETTING
    monkeypatch.setattr(_repeated_questions, "FORGET_EACH", 3)
    monkeypatch.setattr(forgetting, "_written", 3)
    together([Asked(token_hash=hash_of(staff), question=ask(cast))])
    assert forgetting._written == 3, "advice does not wait for the disk"

    def fail(*_: Any, **__: Any) -> Any:
        raise OperationalError("database is locked")

    monkeypatch.setattr(IdempotencyKey.objects, "filter", fail)
    assert verdict_of(together([access(ask(cast), staff)])[0]).decision
    assert forgetting._written == 3, "the next portion tries again"


def test_no_statement_of_these_threads_lasts_longer_than_one_of_an_act(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody else waits behind it. A page can wait longer for its own statement."""
    monkeypatch.setattr(bounds, "_process", bounds.web(statement_seconds=15, threads=8))
    lane, found = DecisionLane(Quota()), list[bounds.Bounds]()
    monkeypatch.setattr(lane, "_decide", lambda _calls: found.append(bounds.current()))
    lane._work([])
    lane._wait([])
    assert [(each.read, each.read_on_server) for each in found] == [(bounds.ACT_SECONDS, bounds.ACT_SECONDS_OF_SERVER)]


def test_a_portion_sees_a_database_that_was_restored_since_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """On SQLite, it is another file then. `tests/database/test_sqlite_connection.py` has what the connection does."""
    lane, done = DecisionLane(Quota()), list[str]()
    monkeypatch.setattr(connection, "close_if_unusable_or_obsolete", lambda: done.append("looked"))
    monkeypatch.setattr(lane, "_decide", lambda _calls: done.append("decided"))
    lane._work([])
    lane._wait([])
    is_sqlite = connection.vendor == "sqlite"
    assert done == (["looked", "decided", "looked"] if is_sqlite else ["decided"])


# --- Observers -----------------------------------------------------------------------------------------------


class Counted:
    """An observer that counts how acts end."""

    def __init__(self) -> None:
        self.ends = Counter[tuple[str, str]]()

    def began(self, kind: str, name: str) -> telemetry.End:
        return lambda outcome: self.ends.update([(f"{kind} {name}", outcome)])

    def happened(self, kind: str, name: str, outcome: str) -> None:
        self.ends.update([(f"{kind} {name}", outcome)])


def test_each_access_is_counted_once_whether_it_was_answered_or_refused(cast: Cast) -> None:
    cast.opened()
    staff, counted = service_of(cast), Counted()
    token_of(cast, "stella", Scope.EVALUATE)
    person = Token.objects.latest("created_at").secret_hash
    telemetry.add(counted)
    try:
        together(
            [access(ask(cast), staff), access(ask(cast, action="act_as"), staff)],
            [Asked(token_hash=person, question=ask(cast), is_access=True)],
            [Asked(token_hash=hash_of(staff), question=ask(cast))],
        )
    finally:
        telemetry.remove(counted)
    assert counted.ends == {("act allow_access", telemetry.DONE): 2, ("act allow_access", telemetry.REFUSED): 1}


class Leaving(Future[Any]):
    """The future of a caller that goes exactly when it is answered."""

    def set_result(self, result: Any) -> None:
        self.cancel()
        super().set_result(result)


def test_a_caller_that_goes_at_the_moment_of_its_answer_ends_no_thread() -> None:
    """The thread has answers for others, too: an error here would leave them without one."""
    call = Call([Asked(token_hash="", question=None)])
    call.future = Leaving()
    call.fail(LaneFull())
    assert call.future.cancelled()
