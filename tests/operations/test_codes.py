"""One-time codes: each attack is refused, uses the code up, and gives nothing."""

from __future__ import annotations

import datetime as dt
import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from audit_app.models import AuditEntry
from requests_app import operations, tasks
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.errors import (
    CodeExpired,
    CodeForeign,
    CodeUsed,
    DomainError,
    InsufficientScope,
    Malformed,
    NotAllowed,
    NotCovered,
    NotFound,
    SecondFactorRequired,
    TooMany,
    WindowNotOpen,
)
from requests_app.models import Grant, OneTimeCode, OutboxMessage, Person, QueueAssignment, Service
from requests_app.models.people import actor_of_client
from requests_app.queries.receivers import Receiver
from tests import practice
from tests.cast import Cast
from tests.ways_in import WayIn, receiver_of, way_in
from tests.web.pages import nothing_happens, only_a_refusal

pytestmark = pytest.mark.django_db


def entries(grant: Grant) -> list[tuple[str, dict[str, Any]]]:
    rows = AuditEntry.objects.filter(subject_type="grant", subject_id=str(grant.pk)).order_by("seq")
    return [(row.event, json.loads(bytes(row.canonical))["detail"]) for row in rows]


@contextmanager
def only_the_code_ends(way: WayIn, code: str, event: str, why: str = "") -> Iterator[None]:
    """Demand that the block leaves one entry, uses the code up, gives nothing, and leaves the window as it was."""
    before, messages = entries(way.grant), OutboxMessage.objects.count()
    window = Grant.objects.values().get(pk=way.grant.pk)
    yield
    after = entries(way.grant)
    assert after[: len(before)] == before
    [(name, detail)] = after[len(before) :]
    assert (name, detail.get("code", "")) == (event, why)
    assert detail["engineer"] == "Priya Test"
    row = OneTimeCode.objects.get()
    assert row.used_at is not None
    assert not OneTimeCode.objects.alive(row.pk)
    assert OutboxMessage.objects.count() == messages
    assert Grant.objects.values().get(pk=way.grant.pk) == window
    # The right browser can't use the code any more, either. Nobody fills the log with it.
    with pytest.raises(DomainError):
        way.redeem(code)
    assert not OneTimeCode.objects.alive(row.pk)
    assert len(entries(way.grant)) == len(after)


# --- The way that works ---------------------------------------------------------------------------------------


def test_a_code_works_once_and_the_log_says_that_the_engineer_came_in(cast: Cast) -> None:
    way = way_in(cast)
    stored: list[OneTimeCode] = []
    row = way.redeem(way.issue(), keep=lambda code, at: stored.append(code))
    assert stored == [row]
    assert (row.person, row.grant, row.tenant, row.client) == (cast.priya, way.grant, cast.contoso, way.client)
    assert OneTimeCode.objects.alive(row.pk)
    name, detail = entries(way.grant)[-1]
    assert (name, detail["origin"], detail["engineer"]) == ("grant.entered", "https://quillo.example", "Priya Test")


def test_making_a_code_leaves_no_entry_and_stores_no_secret(cast: Cast) -> None:
    way = way_in(cast)
    before = entries(way.grant)
    code = way.issue()
    assert entries(way.grant) == before
    row = OneTimeCode.objects.values().get()
    assert code not in map(str, row.values())
    assert row["expires_at"] - row["made_at"] == dt.timedelta(seconds=60)
    assert not OneTimeCode.objects.alive(row["id"]), "a code that nobody has used gives nothing"


def test_a_gate_redeems_a_code_without_a_client(cast: Cast) -> None:
    way = way_in(cast)
    gate = Receiver(cast.quillo(), None)
    code = operations.issue_code(
        way.grant.pk,
        receiver=gate,
        redirect_uri=gate.redirect_uri,
        challenge=way.asked()["code_challenge"],
        actor=cast.as_("priya"),
    )
    assert gate.client_id == "gate:quillo"
    row = way.redeem(code, receiver=gate, actor=Actor.system("gate"))
    assert (row.client, row.service) == (None, cast.quillo())


def test_what_a_code_gives_is_saved_together_with_its_use_or_not_at_all(cast: Cast) -> None:
    way = way_in(cast)
    code, before = way.issue(), entries(way.grant)

    def fails(row: OneTimeCode, at: dt.datetime) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        way.redeem(code, keep=fails)
    assert entries(way.grant) == before
    assert OneTimeCode.objects.get().used_at is None


# --- Who gets no code -----------------------------------------------------------------------------------------


def role_gone(cast: Cast, grant: Grant) -> None:
    QueueAssignment.objects.filter(person=cast.priya, service=cast.quillo()).delete()


def account_off(cast: Cast, grant: Grant) -> None:
    Person.objects.filter(pk=cast.priya.pk).update(is_active=False)


def released(cast: Cast, grant: Grant) -> None:
    operations.release(grant.access_request_id, actor=cast.as_("priya"))


def revoked(cast: Cast, grant: Grant) -> None:
    operations.revoke(grant.access_request_id, actor=cast.as_("ada"))


def elapsed(cast: Cast, grant: Grant) -> None:
    now = clock.now()
    Grant.objects.filter(pk=grant.pk).update(opens_at=now - dt.timedelta(hours=2), closes_at=now)


def level_ruled_out(cast: Cast, grant: Grant) -> None:
    type(cast.contoso).objects.filter(pk=cast.contoso.pk).update(ruled_out=grant.level)


def resource_off(cast: Cast, grant: Grant) -> None:
    scope = grant.access_request.scope.get()
    type(scope.resource).objects.filter(pk=scope.resource_id).update(is_active=False)


def second_factor_gone(cast: Cast, grant: Grant) -> None:
    cast.priya.authenticator_set.all().delete()
    Person.objects.filter(pk=cast.priya.pk).update(totp_set_up_at=None)


#: What can change while a browser is on its way: how, and the refusal.
CHANGES: list[tuple[Callable[[Cast, Grant], object], type[DomainError]]] = [
    (released, WindowNotOpen),
    (revoked, WindowNotOpen),
    (elapsed, WindowNotOpen),
    (role_gone, NotAllowed),
    (account_off, NotAllowed),
    (level_ruled_out, NotCovered),
    (resource_off, NotCovered),
    (second_factor_gone, SecondFactorRequired),
]


@pytest.mark.parametrize(("change", "refusal"), CHANGES, ids=lambda each: getattr(each, "__name__", ""))
def test_without_a_usable_window_there_is_no_code(cast: Cast, change: Any, refusal: type[DomainError]) -> None:
    way = way_in(cast)
    change(cast, way.grant)
    with pytest.raises(DomainError) as refused:
        way.issue()
    assert issubclass(type(refused.value), (refusal, NotFound))
    assert not OneTimeCode.objects.exists()


@pytest.mark.parametrize(("change", "refusal"), CHANGES, ids=lambda each: getattr(each, "__name__", ""))
def test_a_code_gives_nothing_after_a_change_since_it_was_made(
    cast: Cast, change: Any, refusal: type[DomainError]
) -> None:
    way = way_in(cast)
    code = way.issue()
    change(cast, way.grant)
    with only_the_code_ends(way, code, "act.refused", refusal.code), pytest.raises(refusal):
        way.redeem(code)


def test_a_colleague_gets_no_code_and_the_refusal_is_recorded(cast: Cast) -> None:
    way = way_in(cast)
    QueueAssignment.objects.create(service=cast.quillo(), person=cast.samir, role="engineer", given_at=clock.now())
    with only_a_refusal(), pytest.raises(NotAllowed):
        way.issue(by="samir")
    assert not OneTimeCode.objects.exists()


def test_an_engineer_of_another_queue_learns_nothing(cast: Cast) -> None:
    way = way_in(cast)
    with nothing_happens(), pytest.raises(NotFound):
        way.issue(by="erik")


def test_a_window_of_another_service_gets_no_code_for_this_application(cast: Cast) -> None:
    """The content of a service with a connector is read through this product, and no application receives anybody."""
    way = way_in(cast)
    way.grant = cast.opened()
    with pytest.raises(NotCovered):
        way.issue()
    assert not OneTimeCode.objects.exists()


def test_a_practice_request_gets_no_code(cast: Cast) -> None:
    way = way_in(cast)
    ticket = operations.start_practice(cast.contoso.pk, service_id=cast.quillo().pk, actor=cast.as_("stella"))
    way.grant = practice.opened(cast, ticket=ticket)
    with pytest.raises(NotCovered):
        way.issue()
    assert not OneTimeCode.objects.exists()


@pytest.mark.parametrize(
    ("redirect_uri", "challenge"),
    [
        ("https://evil.example/.lockbox/code", None),
        ("https://quillo.example/.lockbox/code/", None),
        ("https://quillo.example/.lockbox/code?x", None),
        ("http://quillo.example/.lockbox/code", None),
        ("https://QUILLO.example/.lockbox/code", None),
        (None, ""),
        (None, "short"),
        (None, "x" * 44),
    ],
)
def test_another_address_or_no_proof_key_gets_no_code(
    cast: Cast, redirect_uri: str | None, challenge: str | None
) -> None:
    way = way_in(cast)
    with nothing_happens(), pytest.raises(Malformed):
        operations.issue_code(
            way.grant.pk,
            receiver=way.receiver,
            redirect_uri=redirect_uri or way.receiver.redirect_uri,
            challenge=way.asked()["code_challenge"] if challenge is None else challenge,
            actor=cast.as_("priya"),
        )
    assert not OneTimeCode.objects.exists()


def test_a_hostile_page_can_cause_only_so_many_codes(cast: Cast) -> None:
    way = way_in(cast)
    for _ in range(20):
        way.issue()
    with pytest.raises(TooMany):
        way.issue()
    assert OneTimeCode.objects.count() == 20


# --- Who can't use a code -------------------------------------------------------------------------------------


def test_a_second_use_is_refused_and_ends_what_the_first_gave(cast: Cast) -> None:
    way = way_in(cast)
    code = way.issue()
    first = way.redeem(code)
    assert OneTimeCode.objects.alive(first.pk)
    with only_the_code_ends(way, code, "grant.code_reused"), pytest.raises(CodeUsed):
        way.redeem(code, keep=lambda row, at: pytest.fail("The second use gave something."))


def test_a_code_ends_after_a_minute_by_the_clock_of_the_database(cast: Cast, travel: Any) -> None:
    way = way_in(cast)
    code = way.issue()
    made = OneTimeCode.objects.get().made_at
    OneTimeCode.objects.update(expires_at=made)
    with only_the_code_ends(way, code, "act.refused", "code_expired"), pytest.raises(CodeExpired):
        way.redeem(code)


def test_a_code_of_another_browser_gives_nothing(cast: Cast) -> None:
    way = way_in(cast)
    code = way.issue()
    with only_the_code_ends(way, code, "act.refused", "code_foreign"), pytest.raises(CodeForeign):
        way.redeem(code, verifier=secrets.token_urlsafe(32))


@pytest.mark.parametrize("verifier", ["", "challenge", "x" * 129, "é" * 43])
def test_the_challenge_itself_and_other_texts_are_no_proof(cast: Cast, verifier: str) -> None:
    way = way_in(cast)
    code = way.issue()
    known = way.asked()["code_challenge"] if verifier == "challenge" else verifier
    with only_the_code_ends(way, code, "act.refused", "code_foreign"), pytest.raises(CodeForeign):
        way.redeem(code, verifier=known)


def test_a_code_of_another_client_gives_nothing(cast: Cast) -> None:
    way = way_in(cast)
    code = way.issue()
    other = cast.guard().row
    with only_the_code_ends(way, code, "act.refused", "code_foreign"), pytest.raises(CodeForeign):
        way.redeem(code, receiver=receiver_of(other), actor=actor_of_client(other))


def test_a_code_of_a_client_gives_the_gate_of_the_same_service_nothing(cast: Cast) -> None:
    way = way_in(cast)
    code = way.issue()
    with only_the_code_ends(way, code, "act.refused", "code_foreign"), pytest.raises(CodeForeign):
        way.redeem(code, receiver=Receiver(cast.quillo(), None), actor=Actor.system("gate"))


def test_a_code_with_another_address_gives_nothing(cast: Cast) -> None:
    way = way_in(cast)
    code = way.issue()
    with only_the_code_ends(way, code, "act.refused", "code_foreign"), pytest.raises(CodeForeign):
        way.redeem(code, redirect_uri="https://evil.example/.lockbox/code")


def test_a_code_for_the_former_address_of_the_application_gives_nothing(cast: Cast) -> None:
    way = way_in(cast)
    code = way.issue()
    former = way.receiver.redirect_uri
    Service.objects.filter(pk=cast.quillo().pk).update(link_template="https://new.example/{external_id}")
    with only_the_code_ends(way, code, "act.refused", "code_foreign"), pytest.raises(CodeForeign):
        way.redeem(code, redirect_uri=former)


def test_an_unknown_code_changes_nothing(cast: Cast) -> None:
    way = way_in(cast)
    way.issue()
    with nothing_happens(), pytest.raises(NotFound):
        way.redeem("lockbox_oc_" + "x" * 46)
    assert OneTimeCode.objects.get().used_at is None


def test_a_removed_client_uses_no_code(cast: Cast) -> None:
    way = way_in(cast)
    code, receiver, actor = way.issue(), way.receiver, actor_of_client(way.client)
    operations.remove_client(way.client.pk, actor=cast.as_("stella"))
    with pytest.raises(InsufficientScope):
        way.redeem(code, receiver=receiver, actor=actor, redirect_uri=receiver.redirect_uri)
    assert entries(way.grant)[-1][1]["code"] == "insufficient_scope"
    assert not OneTimeCode.objects.alive(OneTimeCode.objects.get().pk)


def test_a_client_without_the_scope_uses_no_code(cast: Cast) -> None:
    way = way_in(cast)
    code, receiver = way.issue(), way.receiver
    way.client.scopes = ["grants:read"]
    way.client.save()
    with pytest.raises(InsufficientScope):
        way.redeem(code, receiver=receiver, redirect_uri=receiver.redirect_uri)
    assert not OneTimeCode.objects.alive(OneTimeCode.objects.get().pk)


# --- After that -----------------------------------------------------------------------------------------------


def test_codes_are_deleted_a_week_after_they_expired(cast: Cast) -> None:
    way = way_in(cast)
    way.redeem(way.issue())
    tasks.forget_calls()
    assert OneTimeCode.objects.count() == 1
    OneTimeCode.objects.update(expires_at=clock.now() - dt.timedelta(days=7, seconds=1))
    tasks.forget_calls()
    assert not OneTimeCode.objects.exists()
