"""The page about the state of a log: what is signed and cosigned, problems, and the result of the last check."""

from __future__ import annotations

import ast
import datetime as dt
import html
import re
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse

from audit_app import checkpoints
from audit_app.models import Checkpoint, Cosignature, LogAlarm, LogCheck, Witness
from requests_app import tasks
from requests_app.domain import clock
from requests_app.doors.web import _log_state
from requests_app.models import Tenant
from requests_app.operations import checks
from tests.audit import care
from tests.audit.test_checkpoints import meddle, uuid_sql
from tests.cast import Cast
from tests.offenders import collected
from tests.sources import nodes_of
from tests.web.pages import nothing_happens, signed_in
from tests.web.test_log import filled, text, url

pytestmark = pytest.mark.django_db


def sign(cast: Cast) -> Checkpoint:
    found = checkpoints.sign(cast.contoso.pk, at=clock.now())
    assert found is not None
    return found


def shown(cast: Cast, name: str = "otto") -> str:
    return text(signed_in(cast, name).get(url(cast.contoso)))


def ask(client: Client, cast: Cast) -> Any:
    return client.post(url(cast.contoso, "log_verify"), follow=True)


def poll(client: Client, cast: Cast) -> Any:
    return client.get(url(cast.contoso, "log_check"), headers={"HX-Request": "true"})


def checked(cast: Cast, name: str = "otto") -> Any:
    """As this person, request a check of the log. Run the workers, and return the page."""
    client = signed_in(cast, name)
    ask(client, cast)
    tasks.check_logs()
    return client.get(url(cast.contoso))


# --- Verify now ----------------------------------------------------------------------------------------------


def test_a_good_log_is_verified_in_words_for_every_reader(cast: Cast) -> None:
    cast.opened()
    assert "Nobody has checked the log yet." in shown(cast)
    with nothing_happens():
        response = checked(cast)
    assert "Verified All 5 entries were checked, and none is missing," in text(response)
    assert "All 5 entries were checked, and none is missing" in shown(cast, "ada")
    cast.ticket()
    assert "1 entry is newer." in shown(cast)


def test_a_check_that_waits_and_one_that_runs_say_how_far_they_are(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(cast, 1500)
    client = signed_in(cast, "otto")
    response = ask(client, cast)
    assert response.redirect_chain == [(f"{url(cast.contoso)}#log-check", 302)]
    assert "The check begins in a moment." in text(response)
    assert "Verify now" not in text(response)
    ticks = iter(range(100))
    monkeypatch.setattr(clock, "monotonic", lambda: next(ticks) * checks.SLICE / 2)
    monkeypatch.setattr(checks, "KEEP_EVERY", 0.0)
    checks.work_off_check()
    response = client.get(url(cast.contoso))
    assert "1,000 of 1,500 entries checked." in text(response)
    page = response.content.decode()
    assert '<progress class="log-progress-bar" max="1500" value="1000"' in page
    assert f'hx-get="{url(cast.contoso, "log_check")}" hx-trigger="every 2s"' in page
    # Without JavaScript, there is a link.
    assert f'href="{url(cast.contoso)}#log-check">See the progress</a>' in page
    checks.work_off_check()
    page = client.get(url(cast.contoso)).content.decode()
    assert "<progress" not in page
    assert f'hx-get="{url(cast.contoso, "log_check")}"' not in page


def test_the_poll_is_a_fragment_and_ends_with_the_check(cast: Cast) -> None:
    filled(cast, 3)
    client = signed_in(cast, "otto")
    ask(client, cast)
    with nothing_happens():
        running = poll(client, cast)
    assert running.status_code == 200
    assert "<html" not in running.content.decode()
    assert "The check begins in a moment." in text(running)
    tasks.check_logs()
    ended = poll(client, cast)
    assert ended.status_code == 286
    assert "All 3 entries were checked, and none is missing" in text(ended)
    # The page has a token for its button.
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', ended.content.decode())
    assert token is not None


def test_without_htmx_the_poll_leads_to_the_page(cast: Cast) -> None:
    filled(cast, 3)
    response = signed_in(cast, "otto").get(url(cast.contoso, "log_check"))
    assert (response.status_code, response["Location"]) == (302, f"{url(cast.contoso)}#log-check")


def test_get_of_the_buttons_address_leads_to_the_button_and_starts_nothing(cast: Cast) -> None:
    """A person who pressed the button without a session is sent to this address after the sign-in."""
    client = signed_in(cast, "otto")
    with nothing_happens():
        found = client.get(url(cast.contoso, "log_verify"))
    assert (found.status_code, found.url) == (302, url(cast.contoso, "log") + "#log-check")
    assert signed_in(cast, "mia").get(url(cast.contoso, "log_verify")).status_code == 403
    # For any other button, a page explains the address.
    other = client.get(url(cast.contoso, "log_export", "csv"))
    assert (other.status_code, other["Allow"]) == (405, "POST")
    assert "You can’t open this address directly. A button on another page uses it." in other.content.decode()


def test_a_second_click_shows_the_check_that_runs(cast: Cast) -> None:
    filled(cast, 3)
    ask(signed_in(cast, "otto"), cast)
    response = ask(signed_in(cast, "ada"), cast)
    assert "The check begins in a moment." in text(response)
    assert LogCheck.objects.count() == 1


def test_a_check_that_has_just_ended_is_shown_and_not_repeated(cast: Cast, travel: Any) -> None:
    travel.freeze()
    filled(cast, 3)
    checked(cast)
    response = ask(signed_in(cast, "ada"), cast)
    assert "The log has just been checked, and this is the result. The log can be checked again from" in text(response)
    assert LogCheck.objects.count() == 1
    travel.by(seconds=30)
    assert "has just been checked" not in text(ask(signed_in(cast, "ada"), cast))
    assert LogCheck.objects.count() == 2


def test_a_check_that_nobody_takes_up_says_so(cast: Cast, travel: Any) -> None:
    travel.freeze()
    filled(cast, 3)
    client = signed_in(cast, "otto")
    ask(client, cast)
    assert "The check is interrupted" not in text(client.get(url(cast.contoso)))
    travel.by(minutes=3, seconds=1)
    assert "The check is interrupted, because no background process is" in text(client.get(url(cast.contoso)))


def test_a_check_that_was_given_up_has_no_verdict(cast: Cast) -> None:
    filled(cast, 3)
    ask(signed_in(cast, "otto"), cast)
    LogCheck.objects.update(ended_at=clock.now(), flaw=checks.GIVEN_UP)
    page = shown(cast)
    assert "No result The check could not be finished." in page
    assert "Verified" not in page
    assert "Verify now" in page


@pytest.mark.django_db(transaction=True)
def test_the_first_entry_that_is_not_as_it_was_written_is_named(cast: Cast) -> None:
    filled(cast, 9)
    meddle_durably("UPDATE audit_app_auditentry SET canonical = %s WHERE seq = 4", b"no json \xff<b>")
    meddle_durably("UPDATE audit_app_auditentry SET actor_name = 'Somebody' WHERE seq = 7")
    response = checked(cast)
    assert response.status_code == 200
    assert "Verified" not in text(response)
    assert "The first problem is at entry 4. The entry’s hash does not match the entry’s bytes." in text(response)
    rows = re.findall(
        r'<tr id="entry-(\d+)">(?:(?!</tr>).)*changed since it was written', response.content.decode(), re.DOTALL
    )
    assert rows == ["4"]
    assert f'href="{url(cast.contoso)}?entry=4#entry-4"' in response.content.decode()
    assert "<b>" not in response.content.decode()


@pytest.mark.django_db(transaction=True)
def test_a_missing_entry_is_named(cast: Cast) -> None:
    filled(cast, 9)
    meddle_durably("DELETE FROM audit_app_auditentry WHERE seq = 6")
    assert "The first problem is at entry 6. An entry is missing here." in text(checked(cast))


def meddle_durably(sql: str, *values: Any) -> None:
    with transaction.atomic():
        meddle(sql, *values)


def test_a_log_of_any_length_is_checked_and_nobody_waits_for_it(cast: Cast) -> None:
    filled(cast, 5)
    client = signed_in(cast, "otto")
    LogCheck.objects.create(tenant_id=cast.contoso.pk, asked_at=clock.now(), size=10_000_000, worked_at=clock.now())
    assert "0 of 10,000,000 entries checked." in text(client.get(url(cast.contoso)))


# --- Signatures ----------------------------------------------------------------------------------------------


def test_a_log_without_a_checkpoint_says_so(cast: Cast) -> None:
    filled(cast, 3)
    page = shown(cast)
    assert "Waits for its first checkpoint The first checkpoint comes within a minute." in page
    assert "Download the checkpoint" not in page


def test_the_last_checkpoint_is_shown_with_its_time_and_the_waiting_entries(cast: Cast, travel: Any) -> None:
    travel.to(dt.datetime(2027, 3, 1, 11, 0, tzinfo=dt.UTC))
    filled(cast, 1200)
    sign(cast)
    travel.by(seconds=20)
    filled(cast, 2)
    page = shown(cast)
    assert "Last checkpoint Signed The checkpoint covers 1,200 entries. Its date is Mon 1 Mar, 11:00 UTC" in page
    assert "2 entries wait for the next checkpoint, which comes within a minute." in page
    sign(cast)
    page = shown(cast)
    assert "The checkpoint covers 1,202 entries" in page
    assert "wait for the next checkpoint" not in page


@pytest.mark.parametrize(("seconds", "is_late"), [(180, False), (181, True)])
def test_entries_that_wait_too_long_are_late(cast: Cast, travel: Any, seconds: int, is_late: bool) -> None:
    travel.freeze()
    filled(cast, 1)
    sign(cast)
    filled(cast, 1)
    travel.by(seconds=seconds)
    page = shown(cast)
    assert ("ask Microsoft why" in page) is is_late
    assert ("Not signed at the moment" in page) is is_late
    assert ("comes within a minute" in page) is not is_late


@pytest.mark.parametrize(("seconds", "is_late"), [(3780, False), (3781, True)])
def test_an_hourly_checkpoint_that_does_not_come_is_late(cast: Cast, travel: Any, seconds: int, is_late: bool) -> None:
    travel.freeze()
    filled(cast, 1)
    sign(cast)
    travel.by(seconds=seconds)
    assert ("ask Microsoft why" in shown(cast)) is is_late


def test_the_key_is_shown_for_copying_with_its_fingerprint(cast: Cast) -> None:
    filled(cast, 1)
    assert "The key of this log" not in shown(cast)
    sign(cast)
    page = signed_in(cast, "otto").get(url(cast.contoso)).content.decode()
    [key] = _log_state.signing_keys(checkpoints.state(cast.contoso.pk))
    assert key.signs
    assert f'data-copy="{html.escape(key.vkey)}"' in page
    assert f'data-copy="{key.fingerprint}"' in page
    assert "Get this key a second time in another way" in page


# --- Witnesses -----------------------------------------------------------------------------------------------


def witness(cast: Cast, **fields: Any) -> Witness:
    at = clock.now()
    values = {
        "vkey": "witness.contoso.example+00000000+AAAA",
        "url": "https://w.example/",
        "added_at": at,
        "due_at": at,
    }
    return Witness.objects.create(tenant_id=cast.contoso.pk, **{**values, **fields})


def test_without_a_witness_the_page_says_what_one_is(cast: Cast) -> None:
    filled(cast, 1)
    page = signed_in(cast, "otto").get(url(cast.contoso))
    assert "There is no witness. A witness is a machine that cosigns each checkpoint." in text(page)
    assert f'href="{reverse("web:how_to_verify", args=[cast.contoso.pk])}#witness"' in page.content.decode()


def test_each_witness_is_shown_with_what_it_cosigned(cast: Cast) -> None:
    filled(cast, 5)
    first = sign(cast)
    row = witness(cast)
    assert "witness.contoso.example has not cosigned this log yet." in shown(cast)
    Cosignature.objects.create(
        tenant_id=cast.contoso.pk, checkpoint=first, vkey=row.vkey, line="— w AAAA\n", at=clock.now()
    )
    assert "witness.contoso.example cosigned the last checkpoint on " in shown(cast)
    filled(cast, 2)
    sign(cast)
    page = shown(cast)
    assert "witness.contoso.example cosigned 5 entries," in page
    assert "the last checkpoint has 2 more entries." in page


def test_the_fault_of_a_witness_is_explained(cast: Cast) -> None:
    filled(cast, 1)
    witness(cast, problem="unreachable")
    assert "The witness cannot be reached." in shown(cast)


# --- Alarm ---------------------------------------------------------------------------------------------------


def alarm(cast: Cast, code: str, **detail: Any) -> None:
    at = clock.now()
    LogAlarm.objects.create(tenant_id=cast.contoso.pk, since=at, last_at=at, code=code, detail=detail)


def test_a_damaged_log_is_alarmed_with_what_was_found_and_what_comes_next(cast: Cast) -> None:
    filled(cast, 5)
    sign(cast)
    meddle("UPDATE audit_app_auditentry SET leaf_hash = %s WHERE seq = 3", bytes(32))
    filled(cast, 1)
    with pytest.raises(checkpoints.Refusal):
        sign(cast)
    response = signed_in(cast, "otto").get(url(cast.contoso))
    page = text(response)
    assert '<div class="problem" role="alert">' in response.content.decode()
    assert "This log differs from the signed entries. Entry 3 has changed since it was written." in page
    assert "The entry’s hash does not match the entry’s bytes." in page
    assert "no new entry has been signed" in page
    assert "Microsoft must investigate, close this log with an entry that describes the problem (a tombstone)" in page
    assert "Keep your last checkpoint" in page
    assert "Code altered" in page
    assert "Differs from the signed entries" in page
    assert "1 entry waits for the next checkpoint." in page
    assert "within a minute" not in page
    # The last good checkpoint can still be downloaded.
    assert "Download the checkpoint" in page


@pytest.mark.parametrize("code", sorted(_log_state.OF_THE_SIGNER))
def test_trouble_of_the_signer_is_no_damage(cast: Cast, code: str) -> None:
    filled(cast, 5)
    alarm(cast, code, signed=12, kept=7, why="x")
    page = shown(cast)
    assert "This log is not being signed." in page
    assert "Nothing shows that an entry was changed" in page
    assert "tombstone" not in page
    assert "Not signed at the moment" in page


def test_an_alarm_is_put_into_words() -> None:
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("shorter", {"signed": 12000, "found": 9}, "12,000 entries were signed, but only 9 are there now."),
        ("missing", {"seq": 4}, "Entry 4 is missing."),
        (
            "altered",
            {"seq": 4, "why": "the column at says"},
            "Entry 4 has changed since it was written. The entry’s database columns",
        ),
        ("altered", {"seq": ["x"], "why": 7}, "Entry ? has changed since it was written."),
        ("different", {"signed": 3}, "3 entries were signed. At least one of them has changed"),
        ("tile", {"why": "a hash"}, "The stored hashes of the log’s tree do not match each other."),
        (
            "outside_behind",
            {"signed": 8, "kept": 2},
            "8 entries are signed, but the signer’s record outside the database has only 2",
        ),
        ("of_a_later_version", {"x": 1}, "of_a_later_version"),
    ]
    with collected() as case:
        for code, detail, words in cases:
            with case(code, detail, words):
                assert _log_state.alarm_words(code, detail).startswith(words)


def test_everything_that_the_signer_refuses_has_words() -> None:
    codes = set()
    for node in nodes_of(Path(checkpoints.__file__)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Refusal":
            codes |= {str(leaf.value) for leaf in ast.walk(node.args[0]) if isinstance(leaf, ast.Constant)}
    assert len(codes) >= 8
    assert codes == set(_log_state.ALARMS)


# --- Removed entries -----------------------------------------------------------------------------------------


def test_the_page_shows_what_was_pruned_and_where_the_check_began(cast: Cast) -> None:
    filled(cast, 12)
    sign(cast)
    care.prune(cast.contoso.pk, 8)
    page = text(checked(cast))
    assert "The entries before number 8 were removed at the end of their storage time." in page
    assert "Verified All 5 entries since number 8 were checked, and none is missing" in page


def test_a_closed_part_is_listed_with_its_last_checkpoint(cast: Cast) -> None:
    filled(cast, 5)
    sign(cast)
    meddle("UPDATE audit_app_auditentry SET leaf_hash = %s WHERE seq = 3", bytes(32))
    care.tombstone(cast.contoso.pk, at=clock.now())
    filled(cast, 1)
    sign(cast)
    response = signed_in(cast, "otto").get(url(cast.contoso))
    page = text(response)
    assert "This part is damaged. It begins with entry number 0, and entry 5 closed it on " in page
    assert 'and <a href="?entry=5#entry-5">entry 5</a> closed it on ' in response.content.decode()
    assert f'href="{reverse("web:log_checkpoint_of", args=[cast.contoso.pk, 0])}"' in response.content.decode()
    assert "The checkpoint covers 2 entries of this part" in page
    assert "Verified All 2 entries since number 5 were checked, and none is missing" in text(checked(cast))


def _id(tenant: Tenant) -> Any:
    return uuid_sql(tenant.pk)
