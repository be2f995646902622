"""The administration's pages for a log that the signer refuses: the alarm, the instructions and the tombstone."""

from __future__ import annotations

import ast
import datetime as dt
import html
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.test import Client

from audit_app import checkpoints, keys, log_name
from audit_app.models import AuditEntry, ClosedShard, LogAlarm, LogKey, SignerLease
from requests_app.domain import clock
from requests_app.domain.acts.log import LOG_TOMBSTONED
from requests_app.doors.admin.signing import _FOUND
from requests_app.models import Heartbeat
from requests_app.queries import signing_hosts
from tests.admin.conftest import act_address, address, signed_in
from tests.cast import Cast
from tests.sources import nodes_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def alarm(cast: Cast) -> LogAlarm:
    cast.ticket()
    at = clock.now()
    checkpoints.sign(cast.contoso.pk, at=at)
    detail = {"signed": 1200, "found": 7, "checkpoint": "x"}
    return LogAlarm.objects.create(tenant_id=cast.contoso.pk, since=at, last_at=at, code="shorter", detail=detail)


def text(answer: Any) -> str:
    return html.unescape(answer.content.decode())


def test_an_alarm_says_what_was_found_and_the_way_back(alarm: LogAlarm, staff: Client) -> None:
    shown = text(staff.get(address(LogAlarm, "change", alarm.pk)))
    assert "1200 entries were signed, but only 7 are there." in shown
    assert "close this log with a tombstone" in shown
    assert "Contoso" in shown


@pytest.mark.parametrize("code", ["outside_behind", "outside_unreadable", "signature", "tile", "of_a_later_version"])
def test_each_kind_has_its_own_words_and_a_detail_that_lacks_something_breaks_none(
    alarm: LogAlarm, staff: Client, code: str
) -> None:
    LogAlarm.objects.update(code=code, detail={})
    shown = text(staff.get(address(LogAlarm, "change", alarm.pk)))
    assert code in shown
    assert ("LOG_HEADS" in shown) == code.startswith("outside")
    assert ("another machine" in shown) == (code == "signature")


def test_every_refusal_of_the_signer_has_words() -> None:
    calls = [
        node
        for node in nodes_of(Path(checkpoints.__file__))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Refusal"
    ]
    codes = {each.value for call in calls for each in ast.walk(call.args[0]) if isinstance(each, ast.Constant)}
    assert codes == set(_FOUND)


def test_staff_close_the_log_after_they_gave_a_reason(alarm: LogAlarm, staff: Client, cast: Cast) -> None:
    url = act_address(alarm, "tombstone")
    page = text(staff.get(url))
    assert "This cannot be undone." in page
    assert not ClosedShard.objects.exists()
    assert staff.post(url, {"comment": ""}).status_code == 200
    assert staff.post(url, {"comment": "Because.", "shard": "7"}).status_code == 400
    assert not ClosedShard.objects.exists()
    assert staff.post(url, {"comment": "Restored."}).status_code == 302
    entry = AuditEntry.objects.order_by("-id").first()
    assert entry is not None
    assert (entry.event, entry.door, entry.actor_id) == (LOG_TOMBSTONED, "admin", cast.stella.pk)
    assert ClosedShard.objects.get().tenant_id == cast.contoso.pk
    assert not LogAlarm.objects.exists()
    assert staff.post(url, {"comment": "Once more."}).status_code == 404


@pytest.mark.parametrize("name", ["ada", "ines", "pat", "priya"])
def test_nobody_else_has_the_button(alarm: LogAlarm, cast: Cast, name: str) -> None:
    client = signed_in(cast, name)
    assert client.get(act_address(alarm, "tombstone")).status_code == 404
    assert client.post(act_address(alarm, "tombstone"), {"comment": "Away."}).status_code == 404
    assert not ClosedShard.objects.exists()


def test_staff_see_which_host_signs_and_which_was_lost(staff: Client) -> None:
    at = clock.now()
    row = SignerLease.objects.create(host="b.example", since=at, until=at, taken_from="a.example", taken_over_at=at)
    for page in (address(SignerLease), address(SignerLease, "change", row.pk)):
        shown = text(staff.get(page))
        assert "Who signs" in shown
        assert "a.example" in shown
        assert "b.example" in shown
    assert staff.post(address(SignerLease, "change", row.pk), {"host": "x"}).status_code == 403
    assert SignerLease.objects.get().host == "b.example"


def test_staff_see_which_hosts_could_take_over_and_why_one_could_not(staff: Client) -> None:
    at = clock.now()
    row = SignerLease.objects.create(host="a.example", since=at, until=at)
    for name, detail, age in (
        ("a.example", "", dt.timedelta()),
        ("b.example", "failed: the key of <b> differs.", dt.timedelta()),
        ("c.example", "failed: x", 2 * signing_hosts.AWAY_AFTER),
    ):
        Heartbeat.objects.create(name=f"signer:{name}", at=at - age, pid=1, detail=detail)
    assert "1 can sign, 1 can’t sign, 1 away" in text(staff.get(address(SignerLease)))
    page = staff.get(address(SignerLease, "change", row.pk))
    assert "<b>" not in page.content.decode()
    for words in (
        "a.example can sign.",
        "b.example can’t sign: the key of <b> differs. It reported",
        "c.example has not reported since",
    ):
        assert words in text(page)


def test_public_keys_are_shown_and_nothing_of_the_private_ones(alarm: LogAlarm, staff: Client) -> None:
    row = LogKey.objects.get()
    shown = text(staff.get(address(LogKey, "change", row.pk)))
    assert str(log_name.clock_key(bytes(row.pk))) in shown
    current = keys.load().current
    assert isinstance(current, Ed25519PrivateKey)
    assert current.private_bytes_raw().hex() not in shown
    for wrong in ("nonsense", "AAAA", "b'x'"):
        assert staff.get(address(LogKey, "change", wrong)).status_code == 404
