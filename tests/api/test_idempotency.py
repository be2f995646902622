"""A repeated call gets the response of the first call, and does not act again."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Actor, Once
from requests_app.domain.errors import DomainError, StoreUnavailable, WrongState
from requests_app.domain.scopes import Scope
from requests_app.doors.api import idempotency
from requests_app.models import AccessRequest, IdempotencyKey, Ticket, Token
from requests_app.models.people import actor_of_token
from requests_app.platform import holders, process_names
from tests.caller import Caller
from tests.cast import JUSTIFICATION, TRIED, Cast

pytestmark = pytest.mark.django_db

Calling = Callable[..., Caller]


def asking(cast: Cast) -> dict[str, Any]:
    return {
        "ticket": str(cast.ticket().pk),
        "resources": [str(cast.resource().pk)],
        "level": "read",
        "window_seconds": 7200,
        "tried": TRIED,
        "justification": JUSTIFICATION,
    }


def test_a_repeated_call_gets_the_answer_of_the_first(cast: Cast, calling: Calling) -> None:
    priya, body = calling("priya"), asking(cast)
    first = priya.post("access-requests", body, Idempotency_Key="one")
    again = priya.post("access-requests", body, Idempotency_Key='"one"')
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert [again[name] for name in ("ETag", "Location")] == [first[name] for name in ("ETag", "Location")]
    assert (first.has_header("Idempotency-Replayed"), again["Idempotency-Replayed"]) == (False, "true")
    assert AccessRequest.objects.count() == 1
    assert AuditEntry.objects.filter(event="access_request.submitted").count() == 1


def test_the_key_with_another_call_is_refused(cast: Cast, calling: Calling) -> None:
    priya, body = calling("priya"), asking(cast)
    priya.post("access-requests", body, Idempotency_Key="one")
    for path, other in (("access-requests", body | {"level": "names"}), ("access-requests?", body)):
        response = priya.post(path, other, Idempotency_Key="one")
        if other != body:
            assert (response.status_code, response.json()["code"]) == (422, "idempotency_key_reused")
    row = AccessRequest.objects.get()
    response = priya.post(f"access-requests/{row.pk}/withdraw", {}, Idempotency_Key="one")
    assert (response.status_code, response.json()["code"]) == (422, "idempotency_key_reused")
    assert AccessRequest.objects.get().state == "PENDING_PROVIDER"


def test_a_caller_who_lost_a_role_does_not_get_the_earlier_answer(cast: Cast, calling: Calling) -> None:
    caller, body = (
        calling("ada", Scope.TICKETS_WRITE, Scope.TICKETS_READ),
        {
            "tenant": str(cast.contoso.pk),
            "service": "exchange-online",
            "title": "No mail since noon",
            "body": "Nothing arrives.",
        },
    )
    assert caller.post("tickets", body, Idempotency_Key="one").status_code == 201
    operations.take_role(cast.contoso.pk, cast.ada.pk, role="member", actor=cast.as_("ines"))
    found = caller.post("tickets", body, Idempotency_Key="one")
    assert (found.status_code, found.json()["code"]) == (409, "idempotency_answer_gone")
    assert "current" not in found.json()
    found = caller.post("tickets", body | {"title": "Other"}, Idempotency_Key="one")
    assert (found.status_code, found.json()["code"]) == (422, "idempotency_key_reused")
    assert Ticket.objects.count() == 1


def test_a_caller_who_gained_a_role_does_not_get_the_earlier_refusal_as_done(cast: Cast, calling: Calling) -> None:
    caller = calling("otto", Scope.TICKETS_WRITE, Scope.TICKETS_READ)
    body = {
        "tenant": str(cast.contoso.pk),
        "service": "exchange-online",
        "title": "No mail",
        "body": "Nothing arrives.",
    }
    assert caller.post("tickets", body, Idempotency_Key="one").status_code == 403
    operations.give_role(cast.contoso.pk, cast.people["otto"].pk, role="member", actor=cast.as_("ines"))
    found = caller.post("tickets", body, Idempotency_Key="one")
    assert (found.status_code, found.json()["code"]) == (422, "idempotency_key_reused")
    assert not Ticket.objects.exists()
    assert caller.post("tickets", body, Idempotency_Key="two").status_code == 201


def test_the_stored_digest_of_a_call_does_not_help_to_guess_a_password(settings: Any) -> None:
    call = ("POST", "/api/v1/tenants/1/members", b'{"password": "guessed"}')
    actor = Actor.system("nobody")
    digest = idempotency.digest(*call, actor=actor)
    assert digest == idempotency.digest(*call, actor=actor)
    settings.SECRET_KEY = "another key, which a stolen database does not have"
    assert digest != idempotency.digest(*call, actor=actor)


def test_a_key_belongs_to_its_caller(cast: Cast, calling: Calling) -> None:
    body = asking(cast)
    for name in ("priya", "erik"):
        assert calling(name).post("access-requests", body, Idempotency_Key="one").status_code == 201
    assert AccessRequest.objects.count() == 2


def test_a_refusal_is_an_answer_too(cast: Cast, calling: Calling) -> None:
    priya, body = calling("priya"), asking(cast) | {"window_seconds": 7}
    first = priya.post("access-requests", body, Idempotency_Key="one")
    again = priya.post("access-requests", body, Idempotency_Key="one")
    assert (first.status_code, again.content) == (422, first.content)
    assert again["Content-Type"] == "application/problem+json"
    assert not AuditEntry.objects.filter(event="act.refused").exists()


@pytest.mark.parametrize("key", [" ", "ä", "x" * 256, "two words", '""', '"one', 'one"', 'o"ne'])
def test_a_key_has_visible_characters_and_two_quotation_marks_or_none(cast: Cast, calling: Calling, key: str) -> None:
    response = calling("priya").post("access-requests", asking(cast), Idempotency_Key=key)
    assert (response.status_code, response.json()["code"]) == (400, "malformed")
    assert not AccessRequest.objects.exists()


def test_a_failure_lets_the_key_go(cast: Cast, calling: Calling, monkeypatch: pytest.MonkeyPatch) -> None:
    priya, body = calling("priya"), asking(cast)

    def fail(*args: Any, **options: Any) -> None:
        raise StoreUnavailable

    with monkeypatch.context() as broken:
        broken.setattr(operations, "submit", fail)
        assert priya.post("access-requests", body, Idempotency_Key="one").status_code == 503
    assert priya.post("access-requests", body, Idempotency_Key="one").status_code == 201
    assert AccessRequest.objects.count() == 1


def test_a_bug_lets_the_key_go(cast: Cast, calling: Calling, monkeypatch: pytest.MonkeyPatch) -> None:
    priya, body = calling("priya"), asking(cast)

    def fail(*args: Any, **options: Any) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as broken:
        broken.setattr(operations, "submit", fail)
        response = priya.post("access-requests", body, Idempotency_Key="one")
        assert (response.status_code, response.json()["code"]) == (500, "server_error")
    assert priya.post("access-requests", body, Idempotency_Key="one").status_code == 201


def test_an_answer_with_a_secret_is_not_stored(cast: Cast, calling: Calling) -> None:
    ada, body = calling("ada"), {"name": "laptop", "scopes": ["log:read"], "days": 7}
    secret = ada.post("tokens", body, Idempotency_Key="one").json()["secret"]
    again = ada.post("tokens", body, Idempotency_Key="one")
    assert (again.status_code, again.json()["code"]) == (409, "idempotency_answer_gone")
    assert again.json()["current"]["subject_id"] == str(Token.objects.get(name="laptop").pk)
    assert Token.objects.filter(name="laptop").count() == 1
    assert secret not in repr([vars(row) for row in IdempotencyKey.objects.all()])


def claimed(cast: Cast, *, holder: str = "", asked: str = "x", left: IdempotencyKey | None = None) -> IdempotencyKey:
    """Claim the key "one" for Priya, as another process does when it works on a call."""
    claim = uuid4()
    operations.claim_key(
        cast.priya, key="one", asked=asked, claim=claim, holder=holder, claim_for=idempotency.CLAIM, left=left
    )
    return IdempotencyKey.objects.get(claim=claim)


def digest_of_priya(cast: Cast, body: dict[str, Any]) -> str:
    actor = actor_of_token(Token.objects.get(account=cast.priya))
    return idempotency.digest("POST", "/api/v1/access-requests", json.dumps(body).encode(), actor=actor)


def of_a_dead_process() -> str:
    """Return the holder of a claim whose process, and database session, have ended."""
    return f"{socket.gethostname()} {2**22 + 1} 17 {2**22 + 1} 1700000000.5"


def of_another_process() -> Iterator[str]:
    """Yield the holder of a claim whose process runs and has a database session."""
    program = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        session = holders.current().split(" ", 3)[3]
        yield f"{socket.gethostname()} {other.pid} {process_names._started(str(other.pid))} {session}"
        assert other.stdin is not None
        other.stdin.close()


living = pytest.fixture(of_another_process)


def test_an_answer_that_was_not_stored_is_replaced_by_the_present_row(
    cast: Cast, calling: Calling, monkeypatch: pytest.MonkeyPatch
) -> None:
    priya, body = calling("priya"), asking(cast)

    with monkeypatch.context() as failing:
        failing.setattr(operations, "keep_answer", _fails)
        first = priya.post("access-requests", body, Idempotency_Key="one")
    # The act was done, and the caller gets its result.
    assert first.status_code == 201
    monkeypatch.setattr(idempotency.time, "sleep", _fails)
    again = priya.post("access-requests", body, Idempotency_Key="one")
    assert (again.status_code, again["Idempotency-Replayed"], again["ETag"]) == (200, "true", first["ETag"])
    assert again.json() == first.json()
    row = AccessRequest.objects.get()
    operations.withdraw(row.pk, actor=cast.as_("priya"))
    assert priya.post("access-requests", body, Idempotency_Key="one").json()["state"] == "WITHDRAWN"
    assert AuditEntry.objects.filter(event="access_request.submitted").count() == 1


def test_an_act_on_one_thing_answers_with_that_thing(
    cast: Cast, calling: Calling, monkeypatch: pytest.MonkeyPatch
) -> None:
    erik, ticket = calling("erik"), cast.ticket()
    with monkeypatch.context() as failing:
        failing.setattr(operations, "keep_answer", _fails)
        first = erik.post(f"tickets/{ticket.pk}/assign", {}, Idempotency_Key="one")
    again = erik.post(f"tickets/{ticket.pk}/assign", {}, Idempotency_Key="one")
    assert (first.status_code, again.status_code, again.json()) == (200, 200, first.json())


@pytest.mark.parametrize("state", ["NEW", "WAITING_FOR_CUSTOMER"])
def test_a_comment_answers_with_that_comment(
    cast: Cast, calling: Calling, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    mia, ticket = calling("mia"), cast.ticket()
    if state == "WAITING_FOR_CUSTOMER":
        operations.assign_ticket(ticket.pk, actor=cast.as_("erik"))
        operations.ask_customer(ticket.pk, actor=cast.as_("erik"), note="Which one?")
    with monkeypatch.context() as failing:
        failing.setattr(operations, "keep_answer", _fails)
        first = mia.post(f"tickets/{ticket.pk}/comments", {"body": "This one."}, Idempotency_Key="one")
    operations.comment(ticket.pk, actor=cast.as_("mia"), body="And that one.")
    again = mia.post(f"tickets/{ticket.pk}/comments", {"body": "This one."}, Idempotency_Key="one")
    assert (first.status_code, again.status_code, again.json()) == (201, 200, first.json())
    assert again["Idempotency-Replayed"] == "true"
    assert ticket.comments.count() == (2 if state == "NEW" else 3)


def test_a_lost_answer_without_a_row_names_what_was_done(
    cast: Cast, calling: Calling, monkeypatch: pytest.MonkeyPatch
) -> None:
    ines, address = calling("ines"), f"tenants/{cast.contoso.pk}/members/{cast.mia.pk}/give-role"
    with monkeypatch.context() as failing:
        failing.setattr(operations, "keep_answer", _fails)
        assert ines.post(address, {"role": "auditor"}, Idempotency_Key="one").status_code == 200
    again = ines.post(address, {"role": "auditor"}, Idempotency_Key="one")
    assert (again.status_code, again.json()["code"]) == (409, "idempotency_answer_gone")
    assert again.json()["current"] == {"subject_type": "tenant", "subject_id": str(cast.contoso.pk)}


def test_a_claim_of_a_dead_process_is_taken_over_immediately(
    cast: Cast, calling: Calling, monkeypatch: pytest.MonkeyPatch
) -> None:
    priya, body = calling("priya"), asking(cast)
    claimed(cast, holder=of_a_dead_process(), asked=digest_of_priya(cast, body))
    monkeypatch.setattr(idempotency.time, "sleep", _fails)
    assert priya.post("access-requests", body, Idempotency_Key="one").status_code == 201
    assert AccessRequest.objects.count() == 1


def test_a_claim_of_a_living_process_is_waited_for_and_not_taken(
    cast: Cast, calling: Calling, living: str, monkeypatch: pytest.MonkeyPatch, travel: Any
) -> None:
    priya, body = calling("priya"), asking(cast)
    monkeypatch.setattr(idempotency, "WAIT_SECONDS", 0.2)
    first = claimed(cast, holder=living, asked=digest_of_priya(cast, body))
    with CaptureQueriesContext(connection) as queries:
        waiting = priya.post("access-requests", body, Idempotency_Key="one")
    assert (waiting.status_code, waiting.json()["code"]) == (409, "idempotency_in_progress")
    assert waiting["Retry-After"] == "2"
    assert not [each for each in queries.captured_queries if "INSERT" in each["sql"] and "idempot" in each["sql"]]
    assert list(IdempotencyKey.objects.all()) == [first]
    assert not AccessRequest.objects.exists()
    # Behind a pooler, nobody can see that the other process has ended. After a minute, its own act is refused.
    travel.by(seconds=61)
    assert priya.post("access-requests", body, Idempotency_Key="one").status_code == 201
    slow = replace(actor_of_token(Token.objects.get(account=cast.priya)), once=Once(claim=first.claim))
    with pytest.raises(WrongState):
        operations.submit(cast.ask(cast.ticket()), actor=slow)
    assert AccessRequest.objects.count() == 1


def test_no_more_than_a_quarter_of_the_threads_wait_for_equal_calls(
    cast: Cast, calling: Calling, living: str, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.WEB_THREADS = 8
    priya, body = calling("priya"), asking(cast)
    claimed(cast, holder=living, asked=digest_of_priya(cast, body))
    monkeypatch.setattr(idempotency, "_waiting", 2)
    with monkeypatch.context() as strict:
        strict.setattr(idempotency.time, "sleep", _fails)
        found = priya.post("access-requests", body, Idempotency_Key="one")
    assert (found.status_code, found.json()["code"]) == (409, "idempotency_in_progress")
    assert idempotency._waiting == 2
    monkeypatch.setattr(idempotency, "_waiting", 1)
    monkeypatch.setattr(idempotency, "WAIT_SECONDS", 0.1)
    assert priya.post("access-requests", body, Idempotency_Key="one").json()["code"] == "idempotency_in_progress"
    assert idempotency._waiting == 1


def test_an_answer_that_is_being_stored_is_waited_for_and_not_called_lost(
    cast: Cast, calling: Calling, living: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    erik, ticket, body = calling("erik"), cast.ticket(), {"body": "Seen."}
    with monkeypatch.context() as failing:
        failing.setattr(operations, "keep_answer", _fails)
        failing.setattr(operations, "release_key", _passes)
        response = erik.post(f"tickets/{ticket.pk}/comments", body, Idempotency_Key="one")
    IdempotencyKey.objects.update(holder=living)
    monkeypatch.setattr(idempotency, "WAIT_SECONDS", 0.2)
    waiting = erik.post(f"tickets/{ticket.pk}/comments", body, Idempotency_Key="one")
    assert (waiting.status_code, waiting.json()["code"]) == (409, "idempotency_in_progress")
    row = IdempotencyKey.objects.get()
    operations.keep_answer(row.claim, status=201, headers={}, body=response.content)
    assert erik.post(f"tickets/{ticket.pk}/comments", body, Idempotency_Key="one").content == response.content


def test_an_answer_that_is_stored_just_after_its_row_was_read_is_not_called_lost(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first call stores its answer and ends between the two steps of a repeated call: read the row, and judge."""
    row = claimed(cast, holder="this process")
    IdempotencyKey.objects.filter(pk=row.pk).update(done_at=clock.now())

    def ends(_holder: str, claim: Any) -> bool:
        operations.keep_answer(claim, status=201, headers={}, body=b"first")
        return True

    monkeypatch.setattr(holders, "is_gone", ends)
    found: Any = idempotency.claim(cast.people["priya"], row.key, row.asked)
    assert (found.status_code, found.content, found["Idempotency-Replayed"]) == (201, b"first", "true")


def test_a_process_that_fails_to_store_an_answer_says_so_to_others(
    cast: Cast, calling: Calling, living: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    priya, body = calling("priya"), asking(cast)
    with monkeypatch.context() as failing:
        failing.setattr(operations, "keep_answer", _fails)
        assert priya.post("access-requests", body, Idempotency_Key="one").status_code == 201
    IdempotencyKey.objects.update(holder=living)
    assert priya.post("access-requests", body, Idempotency_Key="one").status_code == 200


def test_a_claim_that_fails_says_nothing_of_an_earlier_call(
    cast: Cast, calling: Calling, monkeypatch: pytest.MonkeyPatch
) -> None:
    priya, body = calling("priya"), asking(cast)
    with monkeypatch.context() as failing:
        failing.setattr(operations, "claim_key", _fails)
        found = priya.post("access-requests", body, Idempotency_Key="one")
    assert (found.status_code, found.json()["code"]) == (503, "store_unavailable")
    assert "changed" not in found.json()["title"]
    assert priya.post("access-requests", body, Idempotency_Key="one").status_code == 201


def test_a_process_that_was_taken_for_dead_commits_nothing(cast: Cast) -> None:
    made = operations.create_token(name="t", scopes=["requests:submit"], days=7, actor=cast.as_("priya"))
    first = claimed(cast)
    second = claimed(cast, left=first)
    slow = replace(actor_of_token(made.row), once=Once(claim=first.claim))
    ticket = cast.ticket()
    with pytest.raises(DomainError) as refusal:
        operations.submit(cast.ask(ticket), actor=slow)
    assert refusal.value.code == "wrong_state"
    assert not AccessRequest.objects.exists()
    operations.submit(cast.ask(ticket), actor=replace(slow, once=Once(claim=second.claim)))
    assert IdempotencyKey.objects.get().done_at is not None


def _passes(*args: Any, **options: Any) -> None:
    """Do nothing, in place of another function."""


def _fails(*args: Any, **options: Any) -> None:
    raise OperationalError("gone")


def test_keys_are_forgotten_after_two_days(cast: Cast, calling: Calling, travel: Any) -> None:
    travel.freeze()
    calling("priya").post("access-requests", asking(cast), Idempotency_Key="one")
    travel.by(hours=48)
    assert operations.forget_old(clock.now()) == 0
    travel.by(seconds=1)
    assert operations.forget_old(clock.now()) == 1
    assert not IdempotencyKey.objects.exists()


def test_a_store_that_is_away_is_a_503_with_nothing_done(
    cast: Cast, calling: Calling, monkeypatch: pytest.MonkeyPatch
) -> None:
    priya, body = calling("priya"), asking(cast)

    def away(*args: Any, **options: Any) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(operations, "submit", away)
    response = priya.post("access-requests", body)
    assert (response.status_code, response.json()["code"], response["Retry-After"]) == (503, "store_unavailable", "5")
