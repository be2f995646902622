"""Each event is one line in the server's log, and no line contains a secret."""

import io
import json
import logging
import logging.config
from typing import Any

import pytest
import structlog
from django.test import Client

from lockbox_site import logs
from lockbox_site.serving import request_log
from tests.offenders import collected
from tests.secret_links import SECRET, secret_links


def lines_of(form: str, log: str, **event: object) -> list[str]:
    """Log an event in this form, and return the lines in the log."""
    wanted = logs.configuration(level="INFO", form=form)["formatters"]["lines"]
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=wanted["processors"], foreign_pre_chain=wanted["foreign_pre_chain"]
        )
    )
    logger = logging.getLogger(f"tests.logs.{form}")
    logger.handlers, logger.propagate, logger.level = [handler], False, logging.INFO
    structlog.get_logger(logger.name).info(log, **event)
    return out.getvalue().splitlines()


@pytest.mark.parametrize(("is_trial", "level"), [(False, "INFO"), (True, "WARNING")])
def test_no_level_hides_the_refusals_except_in_a_trial(*, is_trial: bool, level: str) -> None:
    """They are in no tenant's log. In a trial, somebody reads the terminal for its mails."""
    found = logs.configuration(level="WARNING", form="console", is_trial=is_trial)
    assert found["loggers"]["security"]["level"] == level


def test_json_is_one_object_a_line() -> None:
    (line,) = lines_of("json", "access.refused", reason="wrong_role", count=3)
    event = json.loads(line)
    assert (event["event"], event["reason"], event["count"], event["level"]) == (
        "access.refused",
        "wrong_role",
        3,
        "info",
    )
    assert event["timestamp"].endswith("Z")


@pytest.mark.parametrize("form", ["json", "console"])
def test_secrets_are_blanked_however_deep(form: str) -> None:
    named = dict.fromkeys(("password", "api_key", "reset_token"), "hunter2")
    deep = {"Cookie": "hunter2", "Authorization": "hunter2"}
    text = "\n".join(lines_of(form, "signed_in", headers=deep, **named))
    assert "hunter2" not in text
    assert text.count("[redacted]") == 5


def test_a_text_from_outside_can_not_pose_as_another_event() -> None:
    with collected() as case:
        for form in ["json", "console"]:
            for break_ in ["\n", "\r\n", "\u2028", "\x1b[2K", "\u202e"]:
                with case(form, break_):
                    (line,) = lines_of(
                        form, "ticket.opened", title=f"harmless{break_}access_request.approved by=nobody"
                    )
                    for character in break_:
                        assert character not in line.replace("\x1b[", "") or character in "[2K"


@pytest.mark.django_db
def test_a_request_is_logged_without_its_query(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, object]] = []
    monkeypatch.setattr("lockbox_site.middleware.log.log", lambda level, event, **more: seen.append(more))
    client.get("/no-such-page?token=hunter2", headers={"Cookie": "x=hunter2"})
    assert any(more.get("request") == "GET /no-such-page" for more in seen)
    assert "hunter2" not in repr(seen)


@pytest.mark.django_db
def test_no_line_has_the_secret_of_a_link_and_no_later_request_names_it() -> None:
    links = secret_links()
    assert len(links) >= 4
    with collected() as case:
        for link in links:
            with case(link):
                for form in ["json", "console"]:
                    assert SECRET not in "\n".join(lines_of(form, "request_finished", request=f"GET {link}"))
                assert Client().get(link)["Referrer-Policy"] == "strict-origin"


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch, settings: Any) -> list[Any]:
    """Return the records of the lines of requests, in JSON, that were written without structlog."""
    settings.LOG_FORMAT = "json"
    records = list[Any]()
    monkeypatch.setattr(request_log._requests, "isEnabledFor", lambda _level: True)
    monkeypatch.setattr(request_log._requests, "handle", records.append)
    return records


def test_the_line_of_a_plain_request_is_the_one_that_structlog_writes(written: list[Any]) -> None:
    with structlog.contextvars.bound_contextvars(request_id="0123-abc", ip="2001:db8::1", user_id="4d2c"):
        [line] = lines_of("json", "request_finished", code=302, request="GET /api/v1/me")
        assert request_log.finished_plainly("GET /api/v1/me", 302)
    [record] = written
    other = {"logger": request_log.NAME, "timestamp": json.loads(record.line)["timestamp"]}
    assert json.loads(record.line) == {**json.loads(line), **other}


def test_structlog_writes_the_line_of_a_request_that_is_not_plain(written: list[Any], settings: Any) -> None:
    cases: list[tuple[str, int, dict[str, str]]] = [
        ("GET /api/v1/me", 404, {}),
        (f"GET /invitation/{SECRET}/", 200, {}),
        ('GET /a"b', 200, {}),
        ("GET /a\nb", 200, {}),
        ("GET /", 200, {"ip": 'a"b'}),
        ("GET /", 200, {"session_key": "a"}),
    ]
    with collected() as case:
        for request, status, context in cases:
            with case(request, status, context), structlog.contextvars.bound_contextvars(**context):
                assert not request_log.finished_plainly(request, status)
    settings.LOG_FORMAT = "console"
    assert not request_log.finished_plainly("GET /", 200)
    assert written == []
