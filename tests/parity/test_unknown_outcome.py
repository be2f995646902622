"""If nobody knows whether an act was saved, every interface says so in the same words. A second try acts only once."""

from __future__ import annotations

import base64
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError, connections
from django.test import Client

from audit_app.models import AuditEntry
from requests_app import operations, tasks
from requests_app.content import downloads
from requests_app.domain.actors import Actor
from requests_app.domain.errors import NotAllowed, OutcomeUnknown, StoreUnavailable
from requests_app.management import _ending
from requests_app.management.commands import log_key
from requests_app.models import (
    AccessRequest,
    Decision,
    Grant,
    IdempotencyKey,
    OutboxMessage,
    Person,
    TicketComment,
    Token,
)
from requests_app.operations import _change
from requests_app.platform import long_calls, outcome
from requests_app.platform.database.errors import CommitUnknown
from tests.admin.conftest import act_address
from tests.api import test_azure
from tests.api.test_idempotency import asking
from tests.api.test_log import path as log_path
from tests.api.test_log import signed
from tests.caller import Caller, caller_for, client_of, token_of
from tests.cast import PASSWORD, Cast
from tests.conftest import Traveller
from tests.content import CANARY, fill, mail_id
from tests.web.pages import answer, page_of, signed_in
from tests.web.test_evidence import post as take_evidence
from tests.web.test_log import exported

pytestmark = pytest.mark.django_db(transaction=True)

WORDS = "We don't know whether this was saved. Check before you try again."


@pytest.fixture
def world(cast: Cast) -> Cast:
    return cast


Losing = Callable[..., Any]


@contextmanager
def losing_answer(monkeypatch: pytest.MonkeyPatch, *, after: int = 0, is_saved: bool = True) -> Iterator[None]:
    """Lose the database's answer to the COMMIT of an act. The first `after` acts are not affected."""
    backend: Any = type(connections["default"])
    plain_post, plain_commit, left, armed = _change._post, backend._commit, [after], []

    def post(current: Any) -> None:
        plain_post(current)
        if left[0] == 0:
            armed.append(True)
        left[0] -= 1

    def commit(self: Any) -> None:
        if not armed:
            plain_commit(self)
            return
        armed.clear()
        plain_commit(self) if is_saved else self.connection.rollback()
        raise CommitUnknown("The answer was lost.")

    with monkeypatch.context() as losing:
        losing.setattr(_change, "_post", post)
        losing.setattr(backend, "_commit", commit)
        yield


def words_of(response: Any) -> str:
    text = re.sub(r"<[^>]+>", " ", response.content.decode()).replace("&#x27;", "'")
    return " ".join(text.split())


def quiet(client: Any) -> Any:
    client.raise_request_exception = False
    return client


# --- Pages ----------------------------------------------------------------------------------------------------


def test_a_page_says_so_with_the_way_to_look(world: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    row = world.confirmed()
    ada = signed_in(world, "ada")
    with losing_answer(monkeypatch):
        found = ada.post(page_of(row, "decide", "approve"), answer(row))
    assert found.status_code == 503
    assert WORDS in words_of(found)
    assert "Nothing was changed" not in words_of(found)
    assert f'href="{page_of(row)}"' in found.content.decode()
    assert Decision.objects.filter(access_request=row, stage="customer").count() == 1


def test_a_form_with_its_token_finds_out_as_soon_as_the_database_answers(
    world: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = world.confirmed()
    ada, form = signed_in(world, "ada"), answer(row, once="x")
    with losing_answer(monkeypatch):
        found = ada.post(page_of(row, "decide", "approve"), form)
    assert found.status_code == 302
    assert "This was saved." in words_of(ada.get(found["Location"]))
    again = ada.post(page_of(row, "decide", "approve"), form)
    assert (again.status_code, again["Location"]) == (302, page_of(row))
    assert Decision.objects.filter(access_request=row, stage="customer").count() == 1


@pytest.mark.parametrize("is_saved", [True, False])
def test_a_second_try_acts_once_after_any_first_one(
    world: Cast, monkeypatch: pytest.MonkeyPatch, is_saved: bool
) -> None:
    row = world.confirmed()
    ada, form = signed_in(world, "ada"), answer(row, "deny", once="x", comment="Not now.")
    with monkeypatch.context() as away:
        away.setattr("requests_app.doors.web.once._if_done", lambda once: None)
        with losing_answer(monkeypatch, is_saved=is_saved):
            found = ada.post(page_of(row, "decide", "deny"), form)
    assert (found.status_code, WORDS in words_of(found)) == (503, True)
    for _ in range(2):
        assert ada.post(page_of(row, "decide", "deny"), form).status_code == 302
    assert AuditEntry.objects.filter(event="access_request.denied_by_customer").count() == 1
    assert Decision.objects.filter(access_request=row, stage="customer").count() == 1


def sent_from(found: Any) -> tuple[str, dict[str, str]]:
    """Return the URL and the fields of the form on the error page."""
    form = re.search(r'<main.*?(<form\b[^>]*action="([^"]+)".*?</form>)', found.content.decode(), re.DOTALL)
    assert form is not None
    fields = dict(re.findall(r'name="([^"]+)" value="([^"]*)"', form[1]))
    return form[2], {name: value for name, value in fields.items() if name != "csrfmiddlewaretoken"}


@pytest.mark.parametrize("is_saved", [True, False])
def test_the_page_about_an_unknown_outcome_repeats_the_form_with_its_token_and_acts_once(
    world: Cast, monkeypatch: pytest.MonkeyPatch, is_saved: bool
) -> None:
    """The error page contains the form with its once-token.

    If the person went back instead, the browser would load a new token, and the act could be done twice.
    """
    ticket = world.ticket()
    erik, page = signed_in(world, "erik"), f"/tickets/{ticket.pk}/comment/"
    with monkeypatch.context() as away:
        away.setattr("requests_app.doors.web.once._if_done", lambda once: None)
        with losing_answer(monkeypatch, is_saved=is_saved):
            found = erik.post(page, {"note": "Seen.", "once": "x"})
    assert (found.status_code, WORDS in words_of(found)) == (503, True)
    action, fields = sent_from(found)
    assert (action, fields) == (page, {"note": "Seen.", "once": "x"})
    assert erik.post(action, fields).status_code == 302
    assert TicketComment.objects.filter(ticket=ticket).count() == 1


def test_a_page_about_an_outage_keeps_what_was_typed(world: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    ticket = world.ticket()
    erik, page = quiet(signed_in(world, "erik")), f"/tickets/{ticket.pk}/comment/"

    def away(*args: Any, **options: Any) -> None:
        raise OperationalError("gone")

    for where in ("requests_app.operations._change._post", "requests_app.doors.web.middleware.actor_of"):
        with monkeypatch.context() as failing:
            failing.setattr(where, away)
            found = erik.post(page, {"note": "Seen.", "once": "x"})
        assert found.status_code == 503
        assert sent_from(found) == (page, {"note": "Seen.", "once": "x"})
    assert erik.post(*sent_from(found)).status_code == 302


def test_an_approval_is_stored_without_its_proof_and_a_new_password_not_at_all(
    world: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, ada = world.confirmed(), signed_in(world, "ada")
    with monkeypatch.context() as away:
        away.setattr("requests_app.doors.web.once._if_done", lambda once: None)
        with losing_answer(monkeypatch, is_saved=False):
            found = ada.post(page_of(row, "decide", "approve"), answer(row, once="x", comment="Please be quick."))
    action, fields = sent_from(found)
    assert (action, fields["comment"], fields["once"]) == (page_of(row, "decide", "approve"), "Please be quick.", "x")
    assert not fields.keys() & {"password", "code"}
    new = "four-lamps-beside-the-river"
    form = {"oldpassword": PASSWORD, "password1": new, "password2": new, "once": "y"}
    with monkeypatch.context() as away:
        away.setattr("requests_app.doors.web.once._if_done", lambda once: None)
        with losing_answer(monkeypatch, is_saved=False):
            found = ada.post("/accounts/password/change/", form)
    assert (found.status_code, WORDS in words_of(found)) == (503, True)
    assert "Send the form again" not in words_of(found)
    assert new not in found.content.decode()


def test_a_session_that_cant_be_written_after_an_act_says_so(
    world: Cast, monkeypatch: pytest.MonkeyPatch, travel: Traveller
) -> None:
    row = world.confirmed()
    ada = quiet(signed_in(world, "ada"))
    travel.by(minutes=1)  # then the session stores the new time of the last activity
    plain = Session.save

    def refuse(session: Session, **options: Any) -> None:
        if Decision.objects.filter(access_request=row, stage="customer").exists():
            raise OperationalError("gone")
        plain(session, **options)

    monkeypatch.setattr(Session, "save", refuse)
    found = ada.post(page_of(row, "decide", "deny"), answer(row, "deny", comment="Not now."))
    assert (found.status_code, WORDS in words_of(found)) == (503, True)
    assert f'href="{page_of(row)}"' in found.content.decode()


def test_a_session_that_ends_elsewhere_meanwhile_is_not_called_unchanged(
    world: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = world.confirmed()
    ada, plain = quiet(signed_in(world, "ada")), operations.deny_as_customer

    def ends(*args: Any, **options: Any) -> Any:
        found = plain(*args, **options)
        Session.objects.all().delete()
        return found

    monkeypatch.setattr(operations, "deny_as_customer", ends)
    found = ada.post(page_of(row, "decide", "deny"), answer(row, "deny", comment="Not now."))
    assert Decision.objects.filter(access_request=row, stage="customer").exists()
    assert "Nothing was changed" not in words_of(found)


def test_a_sign_in_with_an_unknown_outcome_says_so(world: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    browser, plain = Client(raise_request_exception=False), Session.save

    def lost(session: Session, **options: Any) -> None:
        plain(session, **options)
        raise CommitUnknown("The answer was lost.")

    with monkeypatch.context() as losing:
        losing.setattr(Session, "save", lost)
        found = browser.post("/accounts/login/", {"login": world.mia.email, "password": PASSWORD})
    assert (found.status_code, WORDS in words_of(found)) == (503, True)
    assert browser.post("/accounts/login/", {"login": world.mia.email, "password": PASSWORD}).status_code == 302


def test_a_bug_after_an_act_is_not_called_unapplied(world: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    row, ada, plain = world.confirmed(), quiet(signed_in(world, "ada")), operations.deny_as_customer

    def breaks(*args: Any, **options: Any) -> Any:
        plain(*args, **options)
        raise ValueError("a bug")

    monkeypatch.setattr(operations, "deny_as_customer", breaks)
    found = ada.post(page_of(row, "decide", "deny"), answer(row, "deny", comment="Not now."))
    assert (found.status_code, WORDS in words_of(found)) == (503, True)
    assert "not applied" not in words_of(found)
    assert f'href="{page_of(row)}"' in found.content.decode()
    assert Decision.objects.filter(access_request=row, stage="customer").count() == 1


def test_a_page_that_only_reads_says_nothing_of_changes(world: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = quiet(signed_in(world, "ada"))

    def away(*args: Any, **options: Any) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr("requests_app.doors.web.ticket_list.queries.page", away)
    found = ada.get("/tickets/")
    assert found.status_code == 503
    assert "can’t reach its database" in words_of(found)
    assert "saved" not in words_of(found)
    assert "changed" not in words_of(found)


def test_an_access_that_may_have_been_recorded_shows_nothing_and_says_so(
    world: Cast, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Any
) -> None:
    settings.CONTENT_ROOT = tmp_path
    fill(tmp_path)
    grant, resource = world.opened(), world.resource()
    priya = signed_in(world, "priya")
    with losing_answer(monkeypatch):
        found = priya.get(f"/windows/{grant.pk}/{resource.pk}/item/", {"id": mail_id()})
    assert (found.status_code, WORDS in words_of(found), CANARY in words_of(found)) == (503, True, False)
    assert "No content was shown to you." in words_of(found)
    assert f'href="/windows/{grant.pk}/{resource.pk}/item/?id=' in found.content.decode()


# --- Staff ----------------------------------------------------------------------------------------------------


def test_the_portal_says_so(world: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    grant, stella = world.opened(), signed_in(world, "stella")
    with losing_answer(monkeypatch):
        found = stella.post(act_address(grant.access_request, "revoke"), {"note": "Asked for by phone."})
    assert (found.status_code, WORDS in words_of(found)) == (503, True)
    way = re.search(r'class="button" href="(/admin/[^"]+/change/)"', found.content.decode())
    assert way is not None, "staff look at the row in the portal"
    assert stella.get(way[1]).status_code == 200


def test_a_list_that_fails_in_the_middle_says_so_and_its_second_try_does_the_rest(
    world: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    stella, people = signed_in(world, "stella"), [world.people[name].pk for name in ("mia", "otto", "alan")]
    form = {"action": "switch-off", "index": "0", "_selected_action": [str(pk) for pk in people], "once": "x"}
    plain, calls = _change._post, []

    def fails(current: Any) -> None:
        calls.append(current)
        if len(calls) == 2:
            raise OperationalError("gone")
        plain(current)

    with monkeypatch.context() as failing:
        failing.setattr(_change, "_post", fails)
        found = stella.post("/admin/requests_app/person/", form)
    assert (found.status_code, WORDS in words_of(found)) == (503, True)
    assert stella.post("/admin/requests_app/person/", form).status_code == 302
    assert not Person.objects.filter(pk__in=people, is_active=True).exists()
    assert AuditEntry.objects.filter(event="person.switched_off").count() == 3


# --- Programs -------------------------------------------------------------------------------------------------


def test_the_api_says_so_with_the_address_to_look_at(world: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    ada, row = Caller(token_of(world, "ada")), world.confirmed()
    with losing_answer(monkeypatch):
        found = ada.decide("approve", row)
    problem = found.json()
    assert (found.status_code, problem["code"], problem["title"]) == (503, "outcome_unknown", WORDS)
    assert problem["current"]["subject_id"] == str(row.pk)
    assert ada.get(problem["current"]["url"]).json()["state"] == "OPEN"
    assert not found.has_header("Retry-After")


@pytest.mark.parametrize("is_saved", [True, False])
def test_the_same_call_with_its_key_is_done_once(world: Cast, monkeypatch: pytest.MonkeyPatch, is_saved: bool) -> None:
    priya, body = Caller(token_of(world, "priya")), asking(world)
    with losing_answer(monkeypatch, is_saved=is_saved):
        found = priya.post("access-requests", body, Idempotency_Key="one")
    assert (found.status_code, found.json()["code"], found["Retry-After"]) == (503, "outcome_unknown", "5")
    again = priya.post("access-requests", body, Idempotency_Key="one")
    assert again.status_code == (200 if is_saved else 201)
    assert AccessRequest.objects.count() == 1


def test_azures_contract_says_so(world: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    ada, row = Caller(token_of(world, "ada")), world.confirmed()
    with losing_answer(monkeypatch):
        found = test_azure.decide(ada, row, status="Deny", reason="Not now.")
    assert test_azure.error_of(found) == (503, "OutcomeUnknown")
    assert found.json()["error"]["message"] == WORDS


def test_scim_says_so(world: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.api.test_scim import SCOPE, USERS, whole

    caller = caller_for(world, "contoso", SCOPE)
    with losing_answer(monkeypatch):
        found = caller.post(USERS, whole())
    assert (found.status_code, found.json()["status"], found.json()["detail"]) == (503, "503", WORDS)


def test_the_token_endpoint_says_so_in_its_own_shape(world: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    client, secret = client_of(world)
    basic = base64.b64encode(f"{client.pk}:{secret}".encode()).decode()

    def lost(*args: Any, **options: Any) -> None:
        raise CommitUnknown("The answer was lost.")

    monkeypatch.setattr(operations, "issue_access_token", lost)
    found = Client().post(
        "/oauth/token", {"grant_type": "client_credentials"}, headers={"Authorization": f"Basic {basic}"}
    )
    assert (found.status_code, found.json()) == (
        503,
        {"error": "temporarily_unavailable", "error_description": WORDS},
    )


# --- Commands and workers -------------------------------------------------------------------------------------


def test_a_command_reports_it_with_its_own_status(world: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    world.confirmed()

    def unknown(*args: Any, **options: Any) -> None:
        raise OutcomeUnknown

    monkeypatch.setattr(operations, "tombstone", unknown)
    with pytest.raises(CommandError) as failure:
        call_command("tombstone", "contoso", because="Restored the backup of Monday.")
    assert (str(failure.value), failure.value.returncode) == (WORDS, _ending.NOT_KNOWN)
    for known in (StoreUnavailable(), NotAllowed()):
        assert _ending.refused(known).returncode == _ending.REFUSED
    assert _ending.unknown_in(CommitUnknown("lost")) == WORDS
    assert _ending.unknown_in(OperationalError("gone")) == ""


@pytest.mark.parametrize("failure", [CommitUnknown("lost"), OperationalError("gone")])
def test_a_command_leaves_a_failure_of_the_database_to_the_one_place_that_tells_them_apart(
    world: Cast, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def fails(*args: Any) -> None:
        raise failure

    monkeypatch.setattr(log_key.Command, "_show", fails)
    with pytest.raises(type(failure)):
        call_command("log_key", "show")


@pytest.mark.parametrize("is_saved", [True, False])
def test_a_sweep_that_does_not_know_does_it_once(
    world: Cast, monkeypatch: pytest.MonkeyPatch, travel: Any, is_saved: bool
) -> None:
    grants = [world.opened(), world.opened(by="erik")]
    travel.by(hours=9)
    with losing_answer(monkeypatch, is_saved=is_saved), pytest.raises(OutcomeUnknown):
        # The queue runs the task again.
        tasks.sweep()
    tasks.sweep()
    tasks.sweep()
    assert Grant.objects.filter(pk__in=[each.pk for each in grants], closed_at=None).count() == 0
    for each in grants:
        entries = AuditEntry.objects.filter(event="grant.closed", subject_id=str(each.access_request_id))
        shown = OutboxMessage.objects.filter(topic="notify.window_closed", payload__grant=str(each.pk))
        assert (entries.count(), shown.count() <= 1) == (1, True)


# --- Certain outcomes -----------------------------------------------------------------------------------------


def test_an_act_that_was_not_being_committed_changed_nothing_and_says_so(
    world: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = world.confirmed()

    def away(current: Any) -> None:
        raise OperationalError("gone")

    ada = Caller(token_of(world, "ada"))
    monkeypatch.setattr(_change, "_post", away)
    found = ada.decide("approve", row)
    assert (found.status_code, found.json()["code"]) == (503, "store_unavailable")
    assert "Nothing was changed." in found.json()["title"]
    assert not Decision.objects.filter(access_request=row, stage="customer").exists()


@contextmanager
def at_the_key(cause: Exception) -> Iterator[None]:
    """Inside the block, make the database fail when the once-token of a form is stored."""

    def refused(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("INSERT") and IdempotencyKey._meta.db_table in sql:
            raise OperationalError(str(cause)) from cause
        return execute(sql, params, many, context)

    with connections["default"].execute_wrapper(refused):
        yield


def of_sqlite(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("x")
    error.sqlite_errorcode = code
    return error


REFUSED = [of_sqlite(sqlite3.SQLITE_FULL), of_sqlite(sqlite3.SQLITE_READONLY_DBMOVED), psycopg.errors.DiskFull("x"),
           psycopg.errors.ReadOnlySqlTransaction("x"), psycopg.errors.InsufficientPrivilege("x")]  # fmt: skip
GAVE_UP = [of_sqlite(sqlite3.SQLITE_BUSY_SNAPSHOT), of_sqlite(sqlite3.SQLITE_LOCKED), psycopg.OperationalError("x"),
           *(each("x") for each in (psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled,
                                    psycopg.errors.AdminShutdown))]  # fmt: skip


@pytest.mark.parametrize("cause", REFUSED, ids=lambda cause: type(cause).__name__)
def test_a_form_whose_key_was_refused_was_not_begun_and_says_so(world: Cast, cause: Exception) -> None:
    row = world.confirmed()
    with at_the_key(cause):
        found = signed_in(world, "ada").post(page_of(row, "decide", "approve"), answer(row, once="x"))
    assert found.status_code == 503
    assert "The service can't reach its database. This attempt changed nothing." in words_of(found)
    assert WORDS not in words_of(found)
    assert not Decision.objects.filter(access_request=row, stage="customer").exists()
    assert not IdempotencyKey.objects.exists()


@pytest.mark.parametrize("cause", GAVE_UP, ids=lambda cause: type(cause).__name__)
def test_a_form_that_may_have_waited_for_its_first_try_does_not_say_that_nothing_was_changed(
    world: Cast, cause: Exception
) -> None:
    row = world.confirmed()
    with at_the_key(cause):
        found = signed_in(world, "ada").post(page_of(row, "decide", "approve"), answer(row, once="x"))
    assert (found.status_code, WORDS in words_of(found)) == (503, True)


def test_an_act_that_could_not_begin_speaks_of_this_try_alone(world: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    row = world.confirmed()

    def away(current: Any) -> None:
        raise OperationalError("database is locked")

    ada = Caller(token_of(world, "ada"))
    with monkeypatch.context() as locked:
        locked.setattr(_change, "_take_key", away)
        found = ada.decide("approve", row)
    title = "The service can't reach its database. This attempt changed nothing. Try again in a moment."
    assert (found.status_code, found.json()["code"], found.json()["title"]) == (503, "store_unavailable", title)
    assert not Decision.objects.filter(access_request=row, stage="customer").exists()


def test_a_refusal_whose_entry_is_not_known_says_that_the_act_was_not_done(
    world: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = world.confirmed()
    backend: Any = type(connections["default"])
    plain = backend._commit

    def lost(self: Any) -> None:
        plain(self)
        raise CommitUnknown("The answer was lost.")

    def act() -> None:
        with monkeypatch.context() as losing:
            losing.setattr(backend, "_commit", lost)
            operations.deny_as_customer(row.pk, actor=world.as_("mia"), note="No.")

    with pytest.raises(StoreUnavailable) as refusal:
        act()
    assert (
        str(refusal.value)
        == "The service can't reach its database. What you asked for was not done. Try again in a moment."
    )


def test_a_failure_after_an_act_never_says_that_nothing_was_changed(world: Cast) -> None:
    with outcome.watched():
        operations.deny_as_customer(world.confirmed().pk, actor=world.as_("ada"), note="No.")
        assert isinstance(outcome.refusal_of(OperationalError("gone")), OutcomeUnknown)
    with outcome.watched():
        assert isinstance(outcome.refusal_of(OperationalError("gone")), StoreUnavailable)
    assert not outcome.current().may_have_changed
    assert Actor.system("x").once is None
    assert not Token.objects.exists()


# --- Files of the log -----------------------------------------------------------------------------------------


def _file_of_the_log(cast: Cast, door: str, what: str) -> Any:
    if door == "api":
        return Caller(token_of(cast, "otto")).get(log_path(cast, what))
    otto = quiet(signed_in(cast, "otto"))
    return exported(otto, cast, "csv") if what == "export" else take_evidence(otto, cast.contoso)


@pytest.mark.parametrize("what", ["export", "evidence"])
@pytest.mark.parametrize("door", ["page", "api"])
def test_a_file_that_fails_before_its_first_byte_says_so_after_its_entry_was_written(
    world: Cast, monkeypatch: pytest.MonkeyPatch, door: str, what: str
) -> None:
    world.opened()
    signed(world.contoso.pk)
    event = {"export": "log.exported", "evidence": "log.evidence_taken"}[what]

    def away(_tenants: Any) -> Any:
        raise OperationalError("gone")

    with monkeypatch.context() as failing:
        failing.setattr(downloads, "only_tenants", away)
        found = _file_of_the_log(world, door, what)
    assert (found.status_code, found.streaming, found.has_header("Content-Disposition")) == (503, False, False)
    assert WORDS in words_of(found)
    assert AuditEntry.objects.filter(event=event).count() == 1
    assert long_calls.under_way() == 0
    assert b"".join(_file_of_the_log(world, door, what).streaming_content)
