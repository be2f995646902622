"""The test mail of the set-up page, with real servers: each answer is shown in time, and recorded without secrets."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain.events import PROVIDER_LOG
from requests_app.doors.admin.test_mail_words import PROBLEMS, outcome
from requests_app.messages.mails import trial
from requests_app.models import Installation
from tests.cast import Cast
from tests.outbox.conftest import Postbox

pytestmark = pytest.mark.django_db


def detail() -> dict[str, Any]:
    [entry] = AuditEntry.objects.filter(tenant_id=PROVIDER_LOG, event="mail.tested")
    found: dict[str, Any] = json.loads(bytes(entry.canonical))["detail"]
    return found


def is_tested() -> bool:
    return Installation.objects.filter(mail_tested_at__isnull=False).exists()


def test_the_servers_answer_is_shown(cast: Cast, postbox: Postbox) -> None:
    answer = operations.send_test_mail(actor=cast.as_("stella"))
    assert postbox.addresses == [cast.stella.email]
    assert (answer.code, answer.text) == (250, "OK")
    assert "250 OK" in outcome(answer)
    assert (detail()["answer"], detail()["problem"], is_tested()) == ("250", "", True)


def test_a_refused_mail_is_shown_with_the_servers_words_but_stored_without_them(cast: Cast, postbox: Postbox) -> None:
    postbox.data_answer = "554 5.7.1 sender not allowed, token=s3cret"
    answer = operations.send_test_mail(actor=cast.as_("stella"))
    assert answer.problem == "content"
    assert "554 5.7.1 sender not allowed" in outcome(answer)
    assert (detail()["answer"], detail()["problem"]) == ("554 5.7.1", "content 554 5.7.1")
    assert "s3cret" not in str(AuditEntry.objects.values_list("canonical", "text"))
    assert not is_tested()


def test_a_refused_recipient_is_named(cast: Cast, postbox: Postbox) -> None:
    postbox.refusals[cast.stella.email] = "550 5.1.1 no such user"
    answer = operations.send_test_mail(actor=cast.as_("stella"))
    assert (answer.problem, is_tested()) == ("recipient", False)
    assert cast.stella.email in outcome(answer)


def test_a_closed_port_is_explained(cast: Cast, closed_port: int) -> None:
    answer = operations.send_test_mail(actor=cast.as_("stella"))
    assert (answer.problem, is_tested()) == ("refused", False)
    assert f"127.0.0.1:{closed_port}" in outcome(answer)
    assert detail()["problem"] == "refused"


def test_a_server_without_starttls_is_explained(cast: Cast, postbox: Postbox, settings: Any) -> None:
    settings.EMAIL_USE_TLS = True
    answer = operations.send_test_mail(actor=cast.as_("stella"))
    assert (answer.problem, postbox.received, is_tested()) == ("no_tls", [], False)


def test_a_server_without_login_is_explained(cast: Cast, postbox: Postbox, settings: Any) -> None:
    settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "lockbox", "s3cret"
    answer = operations.send_test_mail(actor=cast.as_("stella"))
    assert (answer.problem, postbox.received, is_tested()) == ("no_login", [], False)
    assert "s3cret" not in outcome(answer) + json.dumps(detail())


def test_a_server_that_never_answers_holds_the_request_only_for_the_timeout(cast: Cast, hanging_server: Any) -> None:
    began = time.monotonic()
    answer = operations.send_test_mail(actor=cast.as_("stella"))
    assert time.monotonic() - began < 10
    assert answer.problem in ("timeout", "ended")
    assert not is_tested()


def test_an_unknown_host_is_explained(cast: Cast, settings: Any, closed_port: int, monkeypatch: Any) -> None:
    settings.EMAIL_HOST = "mail.invalid"
    answer = operations.send_test_mail(actor=cast.as_("stella"))
    assert (answer.problem, is_tested()) == ("no_such_host", False)


def test_every_problem_has_words() -> None:
    assert PROBLEMS.keys() == {name for name, _matches in trial._PROBLEMS} | {trial._OTHER}
