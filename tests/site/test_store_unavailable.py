"""Without a database, every page and every program gets a 503 that says so, no matter where the error is raised."""

import pytest
from django.contrib.sessions.models import Session
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path
from pytest_django import Settings
from structlog.testing import capture_logs

from requests_app.models import Person
from tests.site.conftest import signed_in

SECRET = 'connection to "10.0.0.5" failed: password "hunter2"'


def fails(request: HttpRequest, kind: str) -> HttpResponse:
    raise {"operational": OperationalError, "interface": InterfaceError, "bug": ZeroDivisionError}[kind](SECRET)


urlpatterns = [path("fails/<str:kind>", fails)]
handler500 = "lockbox_site.views.server_error"


@pytest.fixture
def failing(settings: Settings) -> Client:
    settings.ROOT_URLCONF = __name__
    return Client(raise_request_exception=False)


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("kind", ["operational", "interface"])
def test_a_view_without_its_database(failing: Client, kind: str) -> None:
    answer = failing.get(f"/fails/{kind}", headers={"Accept": "application/json"})
    assert answer.status_code == 503
    assert answer["Content-Type"] == "application/problem+json"
    assert answer["Retry-After"] == "5"
    assert answer.json()["request_id"] == answer["X-Request-ID"]
    assert "hunter2" not in answer.content.decode()


def test_any_other_failure_stays_a_bug(failing: Client) -> None:
    answer = failing.get("/fails/bug", headers={"Accept": "application/json"})
    assert answer.status_code == 500
    assert "hunter2" not in answer.content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_a_middleware_without_its_database(approver: Person, monkeypatch: pytest.MonkeyPatch, accept: str) -> None:
    client = signed_in(approver)
    client.raise_request_exception = False

    def refuse(middleware: object, request: HttpRequest, at: object) -> str:
        raise OperationalError(SECRET)

    monkeypatch.setattr("lockbox_site.middleware.SessionLimitsMiddleware.reason_to_end", refuse)
    with capture_logs() as logs:
        answer = client.get("/", headers={"Accept": accept})
    assert answer.status_code == 503
    lines = [(line["event"], line["code"]) for line in logs if line["event"].startswith("request_f")]
    assert lines == [("request_finished", 503)], "logged as what was answered"
    assert "hunter2" not in answer.content.decode()
    assert answer["X-Request-ID"] in answer.content.decode()


@pytest.mark.django_db
def test_the_way_to_try_again_leads_to_no_other_site(approver: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    client = signed_in(approver)
    client.raise_request_exception = False

    def refuse(middleware: object, request: HttpRequest, at: object) -> str:
        raise OperationalError(SECRET)

    monkeypatch.setattr("lockbox_site.middleware.SessionLimitsMiddleware.reason_to_end", refuse)
    # The client would drop the second slash of the address.
    answer = client.get("/", PATH_INFO="//evil.example/x", QUERY_STRING="a=b")
    assert answer.status_code == 503
    assert 'href="/%2Fevil.example/x?a=b"' in answer.content.decode()


@pytest.mark.django_db
def test_a_session_that_a_busy_database_does_not_take(approver: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database is busy, but the session still exists. For a deleted session, the status would be 400."""
    client = signed_in(approver)
    client.raise_request_exception = False

    def refuse(session: Session, **_: object) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(Session, "save", refuse)
    # The first page of a session saves when the session began.
    answer = client.get("/", headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
