"""For five minutes after a sign-in with a second factor, no further confirmation is needed.

A code that was used before does not count as a wrong guess.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from structlog.testing import capture_logs

from audit_app.models import AuditEntry
from requests_app.domain import clock, policy
from requests_app.domain.errors import PasskeyUnreadable, StepUpRequired
from requests_app.identity import guesses
from requests_app.models import AccessRequest, Person, Tenant, Tries
from requests_app.platform import totp
from tests.cast import PASSWORD, Cast, events_of
from tests.conftest import Traveller
from tests.factors import SECRET, a_code, give_app, set_up_app, sign_in
from tests.passkeys import Authenticator, enrolled
from tests.web.pages import nothing_happens, only_a_refusal, page_of, signed_in, snapshot
from tests.web.test_passkeys import ADD, ORIGIN, added, holder, signs_in
from tests.web.test_security import SET_UP, at_the_door

pytestmark = pytest.mark.django_db

LOGIN, CODE = reverse("account_login"), reverse("mfa_authenticate")
USED = "This code was already used. Wait for the next code (23 s)."


def confirm(client: Client, row: AccessRequest, **proof: str) -> Any:
    """Press the button on the page that confirms an approval."""
    shown = {"digest": row.content_digest, "shown": row.state, "comment": "Please be quick."}
    return client.post(page_of(row, "decide", "approve"), {**shown, **proof})


def asks_for(page: Any) -> list[str]:
    """Return the names of the fields for a password or a code on a page."""
    return re.findall(r'<input type="(?:password|text)" name="(?:step-up-)?(password|code)"', page.content.decode())


def is_open(row: AccessRequest) -> bool:
    row.refresh_from_db()
    return row.state == "OPEN"


def guesses_of(person: Person) -> int:
    row = Tries.objects.filter(subject=f"person:{person.pk}").first()
    return row.count if row else 0


@contextmanager
def nothing_is_decided() -> Iterator[None]:
    """Assert that nothing is decided in the block. An entry about the attempt can be written."""
    before = snapshot()
    yield
    assert {**snapshot(), "entries": before["entries"]} == before


@pytest.fixture
def at(travel: Traveller) -> dt.datetime:
    """Stop the clock seven seconds after the app shows a new code. The next code comes in 23 seconds."""
    now = clock.now().replace(microsecond=0)
    return travel.to(now + dt.timedelta(seconds=37 - now.second % 30))


# --- Signing in ---------------------------------------------------------------------------------------------


def test_after_a_sign_in_with_a_code_an_approval_takes_one_press(
    cast: Cast, at: dt.datetime, travel: Traveller
) -> None:
    first, second, third = cast.confirmed(), cast.confirmed(), cast.confirmed()
    client = Client()
    assert sign_in(cast.ada, PASSWORD, client=client).status_code == 302
    page = client.get(page_of(first, "decide", "approve"))
    assert asks_for(page) == []
    assert confirm(client, first).status_code == 302
    assert is_open(first)
    travel.by(minutes=4, seconds=59)
    assert confirm(client, second).status_code == 302
    assert is_open(second)
    travel.by(seconds=1)
    assert asks_for(client.get(page_of(third, "decide", "approve"))) == ["password", "code"]
    with nothing_happens():
        late = confirm(client, third)
    assert (late.status_code, asks_for(late)) == (422, ["password", "code"])
    assert "not older than five minutes" in late.content.decode()
    assert "Please be quick." in late.content.decode()


def test_a_sign_in_with_a_second_factor_counts_for_every_act(cast: Cast, at: dt.datetime, travel: Traveller) -> None:
    page, client = reverse("web:tenant", args=[cast.contoso.pk]), Client()
    sign_in(cast.ines, PASSWORD, client=client)
    assert client.post(page, {"window_cap": "3600"}).status_code == 302
    travel.by(minutes=5)
    with nothing_happens():
        assert client.post(page, {"window_cap": "7200"}).status_code == 403


def test_a_sign_in_with_a_password_alone_counts_for_nothing_but_the_first_second_factor(cast: Cast) -> None:
    client = Client()
    sign_in(cast.mia, PASSWORD, client=client)
    with nothing_happens():
        response = client.post("/tokens/", {"name": "laptop", "scopes": ["tickets:read"], "days": "7"})
    assert (response.status_code, asks_for(response)) == (403, ["password"])
    assert client.get(reverse("account_change_password"))["Location"].startswith("/step-up/")
    assert set_up_app(client).status_code == 200


def test_a_proof_by_password_alone_ends_with_a_second_factor(cast: Cast) -> None:
    """Otherwise a thief who knows the password could set up an app, and then decide."""
    client = at_the_door(cast, "ada")
    assert client.post("/step-up/", {"password": PASSWORD}).status_code == 302
    set_up_app(client)
    row = cast.confirmed()
    with nothing_is_decided():
        assert confirm(client, row).status_code == 422
    with nothing_happens():
        assert client.post("/security/recovery-codes/")["Location"].startswith("/step-up/")


def test_a_sign_in_with_a_passkey_counts_for_other_acts(cast: Cast, travel: Traveller) -> None:
    travel.freeze()
    device, page, client = holder(cast, "ines"), reverse("web:tenant", args=[cast.contoso.pk]), Client()
    assert signs_in(client, device).status_code == 302
    assert client.post(page, {"window_cap": "3600"}).status_code == 302
    travel.by(minutes=5)
    with nothing_happens():
        assert client.post(page, {"window_cap": "7200"}).status_code == 403


def test_the_holder_of_a_passkey_still_signs_after_any_sign_in(cast: Cast) -> None:
    device = Authenticator(origin=ORIGIN)
    assert added(signed_in(cast, "ada"), device).status_code == 200
    row, client = cast.confirmed(), Client()
    sign_in(cast.ada, PASSWORD, client=client)
    page = client.get(page_of(row, "decide", "approve"))
    assert "and sign with your passkey" in page.content.decode()
    assert asks_for(page) == ["password", "code"]
    with nothing_is_decided():
        assert confirm(client, row).status_code == 422
    assert confirm(client, row, password=PASSWORD, code=a_code(cast.ada)).status_code == 302


def test_a_tenant_that_wants_signatures_takes_no_fresh_sign_in_in_their_place(cast: Cast) -> None:
    cast.contoso.yes_rule = Tenant.YesRule.SIGNED
    cast.contoso.save(update_fields=["yes_rule"])
    row, client = cast.confirmed(), Client()
    sign_in(cast.ada, PASSWORD, client=client)
    with only_a_refusal():
        assert confirm(client, row).status_code == 403
    assert AuditEntry.objects.order_by("-pk")[0].text == "approve_as_customer signature_required"


def test_a_typed_proof_is_checked_though_none_was_asked_for(cast: Cast) -> None:
    row = cast.confirmed()
    with only_a_refusal():
        assert confirm(signed_in(cast, "ada"), row, password="wrong", code="000000").status_code == 403
    assert guesses_of(cast.ada) == 1


@pytest.mark.parametrize(("seconds", "is_fresh"), [(-1, False), (0, True), (299.999, True), (300, False)])
def test_a_proof_counts_up_to_five_minutes_and_not_at_them(cast: Cast, seconds: float, is_fresh: bool) -> None:
    given = clock.now()
    actor, at = cast.as_("ada").stepped_up(given), given + dt.timedelta(seconds=seconds)
    assert policy.is_fresh(actor, at) is is_fresh
    if not is_fresh:
        with pytest.raises(StepUpRequired):
            policy.require_step_up(actor, at)
    else:
        policy.require_step_up(actor, at)


# --- A used code --------------------------------------------------------------------------------------------


def test_a_used_code_is_no_refusal_and_the_next_one_alone_decides(
    cast: Cast, at: dt.datetime, travel: Traveller
) -> None:
    row, client = cast.confirmed(), signed_in(cast, "ada", fresh=False)
    code = a_code(cast.ada)
    assert client.post("/step-up/", {"password": PASSWORD, "code": code}).status_code == 302
    late = signed_in(cast, "ada", fresh=False)
    with nothing_happens():
        answer = confirm(late, row, password=PASSWORD, code=code)
    page = answer.content.decode()
    assert (answer.status_code, USED in page, "Please be quick." in page) == (403, True, True)
    assert asks_for(answer) == ["code"]
    assert (PASSWORD in page, code in page, PASSWORD in str(dict(late.session))) == (False, False, False)
    assert guesses_of(cast.ada) == 0
    travel.by(seconds=23)
    assert confirm(late, row, code=totp.code(SECRET, totp.step_at(clock.now()))).status_code == 302
    assert is_open(row)
    assert "known_password" not in late.session


def test_a_known_password_is_good_for_one_form_of_one_session_for_a_minute(
    cast: Cast, at: dt.datetime, travel: Traveller
) -> None:
    row, other = cast.confirmed(), cast.confirmed()
    client, code = signed_in(cast, "ada", fresh=False), a_code(cast.ada)
    sign_in(cast.ada, PASSWORD)
    assert USED in confirm(client, row, password=PASSWORD, code=code).content.decode()
    travel.by(seconds=23)
    fresh = totp.code(SECRET, totp.step_at(clock.now()))
    with nothing_is_decided():
        assert asks_for(confirm(client, other, code=fresh)) == ["password", "code"]
        assert confirm(signed_in(cast, "ada", fresh=False), row, code=fresh).status_code == 422
        assert client.post("/step-up/", {"code": fresh}).status_code == 422
    with nothing_is_decided():
        wrong = confirm(client, row, code="000000")
    assert (wrong.status_code, "The code is not right." in wrong.content.decode()) == (403, True)
    assert (asks_for(wrong), guesses_of(cast.ada)) == (["code"], 1)
    with nothing_is_decided():
        assert confirm(client, row, password="wrong", code=fresh).status_code == 403
    travel.by(seconds=36, milliseconds=999)
    assert asks_for(confirm(client, row)) == ["code"]
    travel.by(milliseconds=1)
    with nothing_is_decided():
        assert asks_for(confirm(client, row, code=totp.code(SECRET, totp.step_at(clock.now())))) == ["password", "code"]


def test_used_codes_do_not_lengthen_the_minute(cast: Cast, at: dt.datetime, travel: Traveller) -> None:
    row, client = cast.confirmed(), signed_in(cast, "ada", fresh=False)
    code = a_code(cast.ada)
    sign_in(cast.ada, PASSWORD)
    confirm(client, row, password=PASSWORD, code=code)
    travel.by(seconds=40)
    assert asks_for(confirm(client, row, code=code)) == ["code"]
    travel.by(seconds=20)
    assert asks_for(confirm(client, row, code=code)) == ["password", "code"]


def test_a_used_code_where_another_act_asks_for_the_proof(cast: Cast, at: dt.datetime, travel: Traveller) -> None:
    page, code = reverse("web:tenant", args=[cast.contoso.pk]), a_code(cast.ines)
    sign_in(cast.ines, PASSWORD)
    client = signed_in(cast, "ines", fresh=False)
    with nothing_happens():
        answer = client.post(page, {"window_cap": "3600", "step-up-password": PASSWORD, "step-up-code": code})
    assert (answer.status_code, USED in answer.content.decode(), asks_for(answer)) == (403, True, ["code"])
    travel.by(seconds=23)
    code = totp.code(SECRET, totp.step_at(clock.now()))
    with nothing_happens():
        # This is another form at the same address, and the password belongs to the first form.
        assert asks_for(client.post(page, {"window_cap": "7200", "step-up-code": code})) == ["password", "code"]
    assert client.post(page, {"window_cap": "3600", "step-up-code": code}).status_code == 302
    cast.contoso.refresh_from_db()
    assert cast.contoso.window_cap == 3600


def test_a_used_code_on_the_page_that_asks_before_a_form(cast: Cast, at: dt.datetime, travel: Traveller) -> None:
    code = a_code(cast.ines)
    sign_in(cast.ines, PASSWORD)
    client, form = signed_in(cast, "ines", fresh=False), {"next": "/tokens/"}
    answer = client.post("/step-up/", {**form, "password": PASSWORD, "code": code})
    assert (USED in answer.content.decode(), asks_for(answer)) == (True, ["code"])
    travel.by(seconds=23)
    code = totp.code(SECRET, totp.step_at(clock.now()))
    assert client.post("/step-up/", {**form, "code": code})["Location"] == "/tokens/"


def test_only_somebody_with_the_password_hears_that_a_code_was_used(cast: Cast, at: dt.datetime) -> None:
    row, code = cast.confirmed(), a_code(cast.ada)
    sign_in(cast.ada, PASSWORD)
    with only_a_refusal():
        answer = confirm(signed_in(cast, "ada", fresh=False), row, password="wrong", code=code)
    assert "already used" not in answer.content.decode()
    assert asks_for(answer) == ["password", "code"]
    assert guesses_of(cast.ada) == 1


def test_a_wrong_proof_is_in_the_security_log_with_the_person(cast: Cast, at: dt.datetime) -> None:
    row, client = cast.confirmed(), signed_in(cast, "ada", fresh=False)
    with only_a_refusal(), capture_logs() as lines:
        confirm(client, row, password="wrong", code=a_code(cast.ada))
    failed = [line for line in lines if line["event"] == "step_up.failed"]
    assert failed == [{"event": "step_up.failed", "log_level": "warning", "person": str(cast.ada.pk)}]


def test_used_codes_between_wrong_ones_give_no_further_guess(cast: Cast, at: dt.datetime) -> None:
    row, code = cast.confirmed(), a_code(cast.ada)
    sign_in(cast.ada, PASSWORD)
    client = signed_in(cast, "ada", fresh=False)
    for number in range(5):
        assert confirm(client, row, password=PASSWORD, code=code).status_code == 403
        assert confirm(client, row, password=PASSWORD, code=f"00000{number}").status_code == 403
    assert guesses_of(cast.ada) == 5
    locked = confirm(client, row, password=PASSWORD, code=code)
    assert (locked.status_code, "For the next 5 minutes, no password or code" in locked.content.decode()) == (429, True)
    assert ("Please be quick." in locked.content.decode(), locked["Retry-After"]) == (True, "300")
    assert "already used" not in locked.content.decode()
    assert "grant.opened" not in events_of(row)


def test_a_code_of_an_earlier_time_that_was_never_used_is_a_wrong_guess(cast: Cast, at: dt.datetime) -> None:
    row, client = cast.confirmed(), signed_in(cast, "ada", fresh=False)
    a_code(cast.ada)
    before, now, after = (totp.code(SECRET, totp.step_at(at) + off) for off in (-1, 0, 1))
    for code in (before, after):
        # These codes are from a clock that is up to half a minute slow or fast.
        assert client.post("/step-up/", {"password": PASSWORD, "code": code}).status_code == 302
    late = signed_in(cast, "ada", fresh=False)
    for code in (before, after):
        assert "already used" in confirm(late, row, password=PASSWORD, code=code).content.decode()
    assert guesses_of(cast.ada) == 0
    assert "already used" not in confirm(late, row, password=PASSWORD, code=now).content.decode()
    assert guesses_of(cast.ada) == 1


def test_after_the_half_minute_a_used_code_says_that_the_next_one_is_there(
    cast: Cast, at: dt.datetime, travel: Traveller
) -> None:
    row, code = cast.confirmed(), a_code(cast.ada)
    sign_in(cast.ada, PASSWORD)
    client = signed_in(cast, "ada", fresh=False)
    travel.by(seconds=22, milliseconds=999)
    assert "next code (1 s)" in confirm(client, row, password=PASSWORD, code=code).content.decode()
    travel.by(milliseconds=1)
    assert "your app shows now" in confirm(client, row, code=code).content.decode()
    travel.by(seconds=30)
    # The code is too old now, and is checked like any other wrong code.
    assert "The code is not right." in confirm(client, row, code=code).content.decode()
    assert guesses_of(cast.ada) == 1


def test_a_used_code_at_the_sign_in_is_reported_and_not_counted_as_a_guess(cast: Cast, at: dt.datetime) -> None:
    code = a_code(cast.ada)
    sign_in(cast.ada, PASSWORD)
    second = Client()
    second.post(LOGIN, {"login": cast.ada.email, "password": PASSWORD})
    for _ in range(7):
        with nothing_happens():
            answer = second.post(CODE, {"code": code})
    assert (answer.status_code, USED in answer.content.decode()) == (200, True)
    assert (guesses_of(cast.ada), "_auth_user_id" in second.session) == (0, False)


# --- Too many guesses ---------------------------------------------------------------------------------------


def test_the_limit_ends_five_minutes_after_the_first_guess_and_not_before(cast: Cast, travel: Traveller) -> None:
    travel.freeze()
    for _ in range(5):
        assert guesses.of_person(cast.ada).count()
    travel.by(seconds=299.999)
    refused = guesses.of_person(cast.ada)
    assert not refused.count()
    assert "For the next 1 minute," in str(refused.refusal)
    travel.by(seconds=0.001)
    assert guesses.of_person(cast.ada).count()
    assert guesses_of(cast.ada) == 1


def test_a_right_answer_gives_back_no_guess_of_a_later_time(cast: Cast, travel: Traveller) -> None:
    travel.freeze()
    slow = guesses.of_person(cast.ada)
    assert slow.count()
    travel.by(minutes=5)
    assert guesses.of_person(cast.ada).count()
    slow.give_back()
    assert guesses_of(cast.ada) == 1


def test_the_page_says_beforehand_what_an_approval_will_ask_of_this_person(cast: Cast) -> None:
    row = cast.confirmed()
    page = page_of(row)
    old, fresh = signed_in(cast, "ada", fresh=False), signed_in(cast, "ada")
    assert (
        "To approve, you need your password and a code from your authenticator app." in old.get(page).content.decode()
    )
    # Who has just proved who they are is asked for nothing more.
    assert "To approve, you need" not in fresh.get(page).content.decode()
    enrolled(cast, "ada")
    for client in (old, fresh):
        assert "If you approve, have your passkey ready." in client.get(page).content.decode()


# --- A new second factor ------------------------------------------------------------------------------------


def accepted(cast: Cast, role: str = "administrator") -> Client:
    """Return the browser of a person who has just accepted an invitation."""
    row, client = cast.invited(role=role), Client()
    form = {"name": "Grace Test", "password": "a long and unheard-of phrase 7"}
    assert client.post(reverse("web:invitation", args=[cast.link_of(row)]), form).status_code == 302
    return client


def adds(client: Client, factor: str) -> None:
    answer = set_up_app(client) if factor == "app" else added(client, Authenticator(origin=ORIGIN))
    assert answer.status_code in (200, 302)


def changes_the_cap(cast: Cast, client: Client, seconds: str = "3600") -> int:
    """Do an act that needs a fresh proof. Return the status."""
    return int(client.post(reverse("web:tenant", args=[cast.contoso.pk]), {"window_cap": seconds}).status_code)


@pytest.mark.parametrize("factor", ["passkey", "app"])
def test_the_first_second_factor_after_an_invitation_is_a_proof_for_five_minutes(
    cast: Cast, at: dt.datetime, travel: Traveller, factor: str
) -> None:
    client = accepted(cast)
    travel.by(minutes=4, seconds=59)
    adds(client, factor)
    assert changes_the_cap(cast, client, "3600") == 302
    travel.by(minutes=4, seconds=59)
    assert changes_the_cap(cast, client, "7200") == 302
    travel.by(seconds=1)
    with nothing_happens():
        assert changes_the_cap(cast, client, "3600") == 403


@pytest.mark.parametrize("factor", ["passkey", "app"])
def test_a_second_factor_after_a_sign_in_with_a_password_is_no_proof(cast: Cast, factor: str) -> None:
    """A thief who knows the password of a person without a second factor must not gain one act with it."""
    client = at_the_door(cast, "ines")
    adds(client, factor)
    with nothing_happens():
        assert changes_the_cap(cast, client) == 403


@pytest.mark.parametrize("factor", ["passkey", "app"])
def test_five_minutes_after_an_invitation_a_second_factor_is_no_proof(
    cast: Cast, at: dt.datetime, travel: Traveller, factor: str
) -> None:
    client = accepted(cast)
    travel.by(minutes=5)
    with nothing_happens():
        for page in (ADD, SET_UP):
            assert client.get(page)["Location"] == f"/step-up/?next={page}"
    form = {"password": "a long and unheard-of phrase 7"}
    assert client.post("/step-up/", form).status_code == 302
    adds(client, factor)
    with nothing_happens():
        assert changes_the_cap(cast, client) == 403


@pytest.mark.parametrize("factor", ["passkey", "app"])
def test_a_further_second_factor_does_not_prolong_a_proof(
    cast: Cast, at: dt.datetime, travel: Traveller, factor: str
) -> None:
    """Otherwise a stolen session could remain proven by adding a passkey every few minutes."""
    client, device = Client(), holder(cast, "ines")
    assert signs_in(client, device).status_code == 302
    travel.by(minutes=4, seconds=59)
    adds(client, factor)
    assert changes_the_cap(cast, client, "3600") == 302
    travel.by(seconds=1)
    with nothing_happens():
        assert changes_the_cap(cast, client, "7200") == 403


def test_a_second_factor_that_is_not_added_proves_nothing(cast: Cast) -> None:
    client = accepted(cast)
    with nothing_happens():
        assert client.post(SET_UP, {"code": "000000"}).status_code == 422
        assert client.post(ADD, {"name": "Mine", "credential": "[1]"}).status_code == PasskeyUnreadable.status
    grace = Person.objects.get(name="Grace Test")
    # Somebody else gives the person a second factor in the meantime. The session has still proved nothing.
    give_app(grace)
    with nothing_happens():
        assert changes_the_cap(cast, client) == 403
