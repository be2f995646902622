"""How many SQL statements a decision takes. If a row or an actor is read twice, the test fails."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext

from requests_app import operations
from requests_app.content.connectors import registry
from requests_app.domain.actors import Actor
from requests_app.domain.errors import WindowNotOpen
from requests_app.models import AccessRequest, ContentAccess, Grant, Resource
from requests_app.platform.database import bounds
from tests.caller import Caller, token_of
from tests.cast import PASSWORD, Cast
from tests.factors import a_code
from tests.passkeys import enrolled
from tests.web.pages import page_of, signed_in
from tests.web.test_signing import form_of, offered

pytestmark = [pytest.mark.postgres, pytest.mark.real_clock, pytest.mark.django_db(transaction=True)]

#: Limits without BEGIN and COMMIT: inside the operation, and for a whole call of the page or the API (ADR 85).
INSIDE, WEB, API = 10, 20, 16
#: Limits on the page: for an approval signed with a passkey, and for one with password and code.
SIGNED, TYPED = 27, 40

#: A function that makes one decision and returns its statements.
Door = Callable[[Cast, str, str], list[str]]


def _waiting(cast: Cast, who: str) -> AccessRequest:
    return cast.confirmed() if who == "ada" else cast.submitted()


def _statements(captured: CaptureQueriesContext) -> list[str]:
    sent = [query["sql"] for query in captured.captured_queries]
    return [sql for sql in sent if sql.split()[0] not in ("BEGIN", "COMMIT")]


def _inside(cast: Cast, who: str, verdict: str) -> list[str]:
    row, actor = _waiting(cast, who), cast.as_(who)
    decide = getattr(operations, f"{verdict}_as_{actor.side}")
    with CaptureQueriesContext(connection) as captured:
        decide(row.pk, actor=actor, note="Because.")
    return _statements(captured)


def _posted(browser: Browser, page: str, token: Any, form: dict[str, Any]) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        response = browser.post(page, {**form, "once": token})
    assert response.status_code == 302
    return _statements(captured)


def _on_the_page(cast: Cast, who: str, verdict: str) -> list[str]:
    """Decide as a browser does: send the form with its token, just after a confirmation. Return the SQL statements."""
    row, browser = _waiting(cast, who), signed_in(cast, who)
    page = page_of(row, "decide", verdict)
    form = {"digest": row.content_digest, "shown": row.state, "comment": "Because."}
    return _posted(browser, page, _token_of(browser.get(page)), form)


def _token_of(page: Any) -> str:
    return re.findall(r'name="once" value="([^"]+)"', page.content.decode())[0]


def _over_the_api(cast: Cast, who: str, verdict: str) -> list[str]:
    row, caller = _waiting(cast, who), Caller(token_of(cast, who))
    tag = caller.get(f"access-requests/{row.pk}")["ETag"]
    with CaptureQueriesContext(connection) as captured:
        response = caller.post(f"access-requests/{row.pk}/{verdict}", {"comment": "Because."}, If_Match=tag)
    assert response.status_code == 200
    return _statements(captured)


def _stays_in(budget: int, statements: list[str]) -> None:
    assert len(statements) <= budget, "\n".join([f"{len(statements)} statements:", *statements])


DOORS = [(_inside, INSIDE), (_on_the_page, WEB), (_over_the_api, API)]


@pytest.mark.parametrize("verdict", ["approve", "deny"])
@pytest.mark.parametrize("who", ["pat", "ada"])
@pytest.mark.parametrize(("door", "budget"), DOORS)
def test_a_decision_stays_in_its_budget(cast: Cast, door: Door, budget: int, who: str, verdict: str) -> None:
    """Pat decides for the provider, after which the customer is asked. Ada decides for the customer."""
    _stays_in(budget, door(cast, who, verdict))


@pytest.mark.parametrize(("door", "budget"), DOORS)
def test_the_providers_approval_that_opens_the_window_stays_in_its_budget(cast: Cast, door: Door, budget: int) -> None:
    """Without Lockbox, the provider's approval itself opens the window."""
    operations.switch_lockbox(cast.contoso.pk, on=False, actor=cast.as_("ines"))
    _stays_in(budget, door(cast, "pat", "approve"))


def test_a_customers_approval_reads_nothing_twice(cast: Cast) -> None:
    """In this order: the row (locked), the log with the clock, and the actor with the facts and the earlier decision.

    Then, in one statement, the state, the decision, the window, the messages, and the entry with the log's head.
    After the commit, it is read whether the task that sends messages is queued already.
    """
    _inside(cast, "ada", "approve")
    sent = _inside(cast, "ada", "approve")
    read = ["accessrequest", "audit_lock_head", "person"]
    assert [_table(sql) for sql in sent] == [*read, "+accessrequest", "django_q_ormq"]
    written = re.findall(r"(?:INSERT INTO|UPDATE) (?:requests_app_|audit_app_)(\w+)", sent[-2])
    assert written == ["accessrequest", "decision", "grant", "outboxmessage", "chainhead", "auditentry"]


def test_submitting_an_access_request_reads_nothing_twice(cast: Cast) -> None:
    """In this order: the engineer and the ticket (locked), the log with the clock, the actor, and the resources.

    Then the access requests of the last hour and those that wait, and the mute. One statement writes the access
    request, its message and the entry, and another one its scope.
    """
    ticket, priya = cast.ticket(), cast.as_("priya")
    # The first one also assigns the ticket.
    cast.submitted(ticket=ticket)
    ask = cast.ask(ticket)
    with CaptureQueriesContext(connection) as captured:
        operations.submit(ask, actor=priya)
    sent = _statements(captured)
    read = ["person", "ticket", "audit_lock_head", "person", "resource", "accessrequest", "mute"]
    assert [_table(sql) for sql in sent] == [*read, "+accessrequest", "+accessrequestresource", "django_q_ormq"]


def test_the_providers_approval_reads_nothing_twice(cast: Cast) -> None:
    """The tenant and the service are locked too, and the mute is read together with the actor."""
    _inside(cast, "pat", "approve")
    read = ["accessrequest", "tenant", "service", "audit_lock_head", "person"]
    assert [_table(sql) for sql in _inside(cast, "pat", "approve")] == [*read, "+accessrequest", "django_q_ormq"]


def test_opening_an_item_reads_nothing_twice(cast: Cast, settings: Any, tmp_path: Path) -> None:
    """It is authorised by one statement before the connector is asked for the name, and again when it is recorded.

    The second time: the window (locked), the log with the clock, and the engineer with the second factor and the
    resource.
    """
    settings.CONTENT_ROOT = tmp_path
    grant, resource, priya = cast.opened(), cast.resource(), cast.as_("priya")
    _fill(tmp_path / resource.locator)
    for _ in range(2):
        with CaptureQueriesContext(connection) as captured:
            _open_item(grant, resource, priya)
    authorised = ["grant", "audit_lock_head", "person"]
    assert [_table(sql) for sql in _statements(captured)] == ["person", *authorised, "+contentaccess"]
    assert ContentAccess.objects.filter(grant=grant).count() == 2


def _fill(folder: Path) -> None:
    for name in ("cur", "new", "tmp"):
        (folder / name).mkdir(parents=True)
    (folder / "cur" / "1.mail:2,S").write_bytes(b"From: a@contoso.example\r\nSubject: Hello\r\n\r\nText.\r\n")


def _open_item(grant: Grant, resource: Resource, actor: Actor) -> None:
    opened = operations.content.open_item(grant.pk, resource.pk, "1.mail", actor=actor)
    opened[-1].close()


def test_an_access_is_judged_without_a_transaction_before_the_connector_is_asked(
    cast: Cast, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it locks nothing, and waits for no lock. Still, its statement has the time limit of an act."""
    settings.CONTENT_ROOT = tmp_path
    grant, resource, priya = cast.opened(), cast.resource(), cast.as_("priya")
    _fill(tmp_path / resource.locator)
    done, find = list[Any](), registry.connector_for
    monkeypatch.setattr(bounds, "_process", bounds.web(statement_seconds=15, threads=4))

    def noted(execute: Any, sql: str, *rest: Any) -> Any:
        now = bounds.current()
        done.append("transaction" if connection.in_atomic_block else now.read)
        return execute(sql, *rest)

    def asked(name: str) -> Any:
        done.append("connector")
        return find(name)

    monkeypatch.setattr(operations.content, "connector_for", asked)
    with connection.execute_wrapper(noted):
        _open_item(grant, resource, priya)
    assert list(dict.fromkeys(done)) == [bounds.ACT_SECONDS, "connector", "transaction"]
    assert done.count(bounds.ACT_SECONDS) == 1
    operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
    done.clear()
    with connection.execute_wrapper(noted), pytest.raises(WindowNotOpen):
        _open_item(grant, resource, priya)
    # Only the refusal is recorded in a transaction.
    assert list(dict.fromkeys(done)) == [bounds.ACT_SECONDS, "transaction"]


def _table(sql: str) -> str:
    """Return the table that a statement is about, with a plus if it writes. With two tables, it is the first one."""
    is_read = sql.lstrip().startswith("SELECT")
    # A column of the first table comes first. Other tables may follow in conditions before FROM.
    first = r'SELECT "(\w+)"\."' if is_read and sql.startswith('SELECT "') else r'(?:FROM|INSERT INTO|UPDATE) "?(\w+)'
    name = re.findall(first, sql)[0]
    return f"{'' if is_read else '+'}{re.sub('^(requests_app_|audit_app_)', '', name)}"


def test_an_approval_that_is_signed_stays_in_its_budget(cast: Cast) -> None:
    device, row = enrolled(cast, "ada")[1], cast.confirmed()
    browser, page = signed_in(cast, "ada"), page_of(row, "decide", "approve")
    shown = browser.get(page)
    text, options = offered(shown)
    form = form_of(row, text, device.get(options), comment="Because.")
    _stays_in(SIGNED, _posted(browser, page, _token_of(shown), form))


def test_an_approval_with_a_typed_proof_stays_in_its_budget(cast: Cast) -> None:
    row, browser = cast.confirmed(), signed_in(cast, "ada", fresh=False)
    page = page_of(row, "decide", "approve")
    form = {"digest": row.content_digest, "shown": row.state, "comment": "Because."}
    token = _token_of(browser.get(page))
    form |= {"password": PASSWORD, "code": a_code(cast.ada)}
    _stays_in(TYPED, _posted(browser, page, token, form))
