"""Grant tokens: who gets one, for how long, what it says, what is refused, and what the log records."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import jwt as other_library
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.errors import (
    DomainError,
    GrantTokenEnded,
    GrantTokenForeign,
    GrantTokenNotRenewable,
    InsufficientScope,
    NotAllowed,
    NotCovered,
    NotFound,
    SecondFactorRequired,
    Unacceptable,
    WindowNotOpen,
    WrongState,
)
from requests_app.domain.scopes import Scope
from requests_app.models import (
    AccessRequest,
    Client,
    Grant,
    OutboxMessage,
    QueueAssignment,
    Resource,
    Service,
    Tenant,
    Ticket,
    Token,
    TokenKey,
)
from requests_app.models.people import actor_of_client, actor_of_token
from requests_app.models.token_keys import ALGORITHMS, public_keys, signed
from requests_app.operations import GrantToken
from tests.caller import token_of
from tests.cast import Cast, events_in
from tests.offenders import collected
from tests.ways_in import WayIn

pytestmark = pytest.mark.django_db
FIVE_MINUTES = dt.timedelta(minutes=5)


@pytest.fixture
def window(cast: Cast) -> Grant:
    """Return an open window on content of an application that has a guard."""
    cast.guard()
    return cast.in_quillo()


def issue(cast: Cast, grant: Grant, by: str = "priya", **options: Any) -> GrantToken:
    return operations.issue_grant_token(grant.pk, actor=cast.as_(by), **options)


def entered(cast: Cast, grant: Grant, alg: str = ALGORITHMS[0]) -> GrantToken:
    """Return the token that the application got for the code of the engineer's browser."""
    client = Client.objects.select_related("account").filter(service__key="quillo").latest("created_at")
    found = WayIn(cast, client, grant).token()
    return replace(found, token=signed(claims_of(found.token), typ="at+jwt", alg=alg))


def guard_of(cast: Cast) -> Actor:
    return actor_of_client(Client.objects.select_related("account").filter(service__key="quillo").latest("created_at"))


def renew(cast: Cast, token: str, *, by: Actor | None = None) -> GrantToken:
    return operations.renew_grant_token(token, actor=by or guard_of(cast))


def claims_of(token: str) -> dict[str, Any]:
    """Verify with PyJWT, as an application does that has only the public keys and knows its audience."""
    header = other_library.get_unverified_header(token)
    [key] = [each for each in public_keys()["keys"] if each["kid"] == header["kid"]]
    assert header["typ"] == "at+jwt"
    found: dict[str, Any] = other_library.decode(
        token,
        other_library.PyJWK(key),
        algorithms=list(ALGORITHMS),
        audience="http://localhost:8000/services/quillo",
        issuer="http://localhost:8000",
        # The tests move the clock.
        options={"require": ["iss", "aud", "exp", "sub", "iat", "jti"], "verify_exp": False, "verify_iat": False},
    )
    return found


def last_entry() -> dict[str, Any]:
    return json.loads(bytes(AuditEntry.objects.order_by("-pk")[0].canonical))


def state() -> list[Any]:
    """Return everything that a refusal must not change."""
    rows = [list(model.objects.order_by("pk").values()) for model in (Grant, AccessRequest, Ticket, OutboxMessage)]
    issued = AuditEntry.objects.filter(event="grant.token_issued").count()
    return [*rows, issued, TokenKey.objects.count()]


def refused(run: Callable[[], Any], why: type[DomainError]) -> DomainError:
    before = state()
    with pytest.raises(why) as refusal:
        run()
    assert type(refusal.value) is why
    assert state() == before
    return refusal.value


# --- What a token says ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_the_engineer_gets_a_token_that_another_library_verifies(cast: Cast, window: Grant, alg: str) -> None:
    made = issue(cast, window, alg=alg)
    claims = claims_of(made.token)
    [resource] = [line.resource for line in window.access_request.scope.all()]
    assert UUID(claims.pop("jti"))
    assert claims["exp"] - claims.pop("iat") == made.expires_in == 300
    assert claims.pop("exp") == made.expires_at.timestamp()
    assert claims == {
        "iss": "http://localhost:8000",
        "aud": "http://localhost:8000/services/quillo",
        "sub": str(cast.priya.pk),
        "email": cast.priya.email,
        "name": "Priya Test",
        "client_id": "lockbox",
        "authorization_details": [
            {
                "type": "lockbox_grant",
                "grant_id": str(window.pk),
                "reference": window.access_request.reference,
                "level": "read",
                "actions": ["list", "view", "read", "download"],
                "tenant": str(cast.contoso.pk),
                "tenant_slug": "contoso",
                "service": "quillo",
                "resource": str(resource.pk),
                "identifier": "7",
                "window_end": f"{window.closes_at:%Y-%m-%dT%H:%M:%SZ}",
            }
        ],
    }


def test_the_actions_are_those_of_the_level_and_no_wider(cast: Cast) -> None:
    cast.guard()
    grant = cast.in_quillo(level="names")
    [detail] = claims_of(issue(cast, grant).token)["authorization_details"]
    assert (detail["level"], detail["actions"]) == ("names", ["list"])


def test_each_resource_in_use_is_an_item_and_the_others_are_left_out(cast: Cast) -> None:
    cast.guard()
    quillo = cast.quillo()
    more = [
        operations.save_resource(
            actor=cast.as_("stella"),
            tenant_id=cast.contoso.pk,
            service_id=quillo.pk,
            kind="workspace",
            name=f"workspace {n}",
            external_id=f"w-{n}",
        )
        for n in range(3)
    ]
    ticket = cast.ticket(service_id=quillo.pk)
    grant = cast.opened(ticket=ticket, resource_ids=[each.pk for each in more])
    Resource.objects.filter(pk=more[1].pk).update(is_active=False)
    details = claims_of(issue(cast, grant).token)["authorization_details"]
    assert [each["identifier"] for each in details] == ["w-0", "w-2"]
    assert len({each["grant_id"] for each in details}) == 1
    Resource.objects.filter(service=quillo).update(is_active=False)
    refused(lambda: issue(cast, grant), NotCovered)


def test_the_log_names_the_token_and_never_has_it(cast: Cast, window: Grant) -> None:
    made = issue(cast, window)
    entry = last_entry()
    claims = claims_of(made.token)
    assert (entry["event"], entry["actor"]["name"], entry["tenant"]) == (
        "grant.token_issued",
        "Priya Test",
        str(cast.contoso.pk),
    )
    assert entry["access_request"] == str(window.access_request_id)
    assert entry["detail"] == {
        "reference": window.access_request.reference,
        "enforced_by": "Quillo",
        "audience": made.audience,
        "level": "read",
        "jti": claims["jti"],
        "until_at": made.expires_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
    everything = repr([bytes(each.canonical) for each in AuditEntry.objects.all()])
    everything += repr([list(model.objects.values()) for model in (Token, OutboxMessage, Grant, TokenKey)])
    head, body, signature = made.token.split(".")
    assert not any(part in everything for part in (head, body, signature))


# --- How long it works ---------------------------------------------------------------------------------------


def test_a_token_ends_with_the_window(cast: Cast, window: Grant, travel: Any) -> None:
    travel.to(window.closes_at - dt.timedelta(seconds=100))
    made = issue(cast, window)
    assert 99 <= made.expires_in <= 100
    assert made.expires_at <= window.closes_at
    travel.to(window.closes_at)
    refused(lambda: issue(cast, window), WindowNotOpen)
    assert last_entry()["detail"]["code"] == "window_not_open"


def test_in_the_last_second_there_is_no_token_that_would_outlive_the_window(
    cast: Cast, window: Grant, travel: Any
) -> None:
    end = window.closes_at.replace(microsecond=600000)
    Grant.objects.filter(pk=window.pk).update(closes_at=end)
    travel.to(end - dt.timedelta(milliseconds=500))
    travel.freeze()
    refused(lambda: issue(cast, window), WindowNotOpen)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    length=st.integers(min_value=1_000, max_value=8 * 3600_000),
    since=st.integers(min_value=-2_000, max_value=9 * 3600_000),
    micros=st.integers(min_value=0, max_value=999_999),
)
def test_no_token_outlives_five_minutes_or_its_window(
    cast: Cast, window: Grant, travel: Any, length: int, since: int, micros: int
) -> None:
    # Later than every entry of the log, because no act is dated before the newest one.
    newest = AuditEntry.objects.order_by("-at").values_list("at", flat=True)[0]
    opens = (newest + dt.timedelta(seconds=10)).replace(microsecond=micros)
    closes = opens + dt.timedelta(milliseconds=length)
    Grant.objects.filter(pk=window.pk).update(opens_at=opens, closes_at=closes)
    travel.to(opens + dt.timedelta(milliseconds=since))
    travel.freeze()
    at = clock.now()
    try:
        made = issue(cast, window)
    except WindowNotOpen:
        assert not opens <= at < closes or int(closes.timestamp()) <= at.timestamp()
    else:
        assert opens <= at < closes
        assert at < made.expires_at <= min(closes, at + FIVE_MINUTES)
        assert claims_of(made.token)["exp"] == made.expires_at.timestamp()


def test_a_clock_that_was_set_back_gives_no_longer_token(cast: Cast, window: Grant, travel: Any) -> None:
    """The time of the log's newest entry counts, if it is later."""
    travel.to(window.closes_at)
    refused(lambda: issue(cast, window), WindowNotOpen)
    travel.to(window.opens_at + dt.timedelta(seconds=1))
    refused(lambda: issue(cast, window), WindowNotOpen)


# --- Who gets none -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pat", "stella", "ada", "ines", "otto"])
def test_nobody_else_gets_a_token_for_the_window(cast: Cast, window: Grant, name: str) -> None:
    refused(lambda: issue(cast, window, name), NotAllowed)
    assert last_entry()["detail"] == {"action": "issue_grant_token", "code": "not_allowed"}
    assert events_in(cast.contoso)[-1] == "act.refused"


@pytest.mark.parametrize("name", ["erik", "frida", "finn"])
def test_an_outsider_does_not_learn_that_the_window_exists(cast: Cast, window: Grant, name: str) -> None:
    before = AuditEntry.objects.count()
    refused(lambda: issue(cast, window, name), NotFound)
    assert AuditEntry.objects.count() == before


def test_another_engineer_of_the_same_service_gets_none(cast: Cast, window: Grant) -> None:
    QueueAssignment.objects.create(service=cast.quillo(), person=cast.erik, role="engineer", given_at=clock.now())
    refused(lambda: issue(cast, window, "erik"), NotAllowed)
    assert last_entry()["event"] == "act.refused"


def _release(cast: Cast, window: Grant) -> None:
    operations.release(window.access_request_id, actor=cast.as_("priya"))


def _revoke(cast: Cast, window: Grant) -> None:
    operations.revoke(window.access_request_id, actor=cast.as_("ada"))


def _take_role(cast: Cast, window: Grant) -> None:
    QueueAssignment.objects.filter(person=cast.priya, service=cast.quillo()).delete()


def _switch_off(cast: Cast, window: Grant) -> None:
    type(cast.priya).objects.filter(pk=cast.priya.pk).update(is_active=False)


def _close_ticket(cast: Cast, window: Grant) -> None:
    Ticket.objects.filter(pk=window.access_request.ticket_id).update(state="RESOLVED")


def _rule_out(cast: Cast, window: Grant) -> None:
    Tenant.objects.filter(pk=cast.contoso.pk).update(ruled_out="read")


def _resource_off(cast: Cast, window: Grant) -> None:
    Resource.objects.filter(service=cast.quillo()).update(is_active=False)


def _service_off(cast: Cast, window: Grant) -> None:
    Service.objects.filter(key="quillo").update(is_active=False)


def _no_second_factor(cast: Cast, window: Grant) -> None:
    type(cast.priya).objects.filter(pk=cast.priya.pk).update(totp_set_up_at=None)


def _no_guard(cast: Cast, window: Grant) -> None:
    for row in Client.objects.filter(service=cast.quillo()):
        operations.remove_client(row.pk, actor=cast.as_("stella"))


def _no_scope(cast: Cast, window: Grant) -> None:
    Client.objects.filter(service=cast.quillo()).update(scopes=["evaluate"])


def _connector(cast: Cast, window: Grant) -> None:
    fields = {"application": "", "link_template": "", "guidance": ""}
    Service.objects.filter(key="quillo").update(connector="folder", **fields)


#: What ends the right to a token, each with the refusal and its code, whether the engineer or the application asks.
ENDS: dict[str, tuple[Callable[[Cast, Grant], None], type[DomainError], str]] = {
    "given back": (_release, WindowNotOpen, "window_not_open"),
    "closed by the customer": (_revoke, WindowNotOpen, "window_not_open"),
    "no longer an engineer": (_take_role, NotAllowed, "not_allowed"),
    "account switched off": (_switch_off, NotAllowed, "not_allowed"),
    "ticket closed": (_close_ticket, WindowNotOpen, "window_not_open"),
    "level ruled out": (_rule_out, NotCovered, "not_covered"),
    "resource switched off": (_resource_off, NotCovered, "not_covered"),
    "service switched off": (_service_off, NotCovered, "not_covered"),
    "no second factor": (_no_second_factor, SecondFactorRequired, "second_factor_required"),
    "service read through a connector": (_connector, NotCovered, "not_covered"),
    "application without a guard": (_no_guard, WrongState, "wrong_state"),
    "guard without its scope": (_no_scope, WrongState, "wrong_state"),
}


@pytest.mark.parametrize("name", ENDS)
def test_what_ends_a_window_ends_its_tokens(cast: Cast, window: Grant, name: str) -> None:
    end, why, code = ENDS[name]
    former = entered(cast, window)
    end(cast, window)
    if why is NotAllowed:
        # A person without a role no longer sees the window.
        with pytest.raises((NotAllowed, NotFound)):
            issue(cast, window)
    else:
        refused(lambda: issue(cast, window), why)
        assert last_entry()["detail"]["code"] == code
    if why is WrongState:
        return
    if name == "service read through a connector":
        why, code = NotAllowed, "not_allowed"
    refused(lambda: renew(cast, former.token), why)
    entry = last_entry()
    assert (entry["event"], entry["tenant"]) == ("act.refused", str(cast.contoso.pk))
    assert entry["detail"]["code"] == code


def test_a_practice_request_gives_no_token(cast: Cast) -> None:
    cast.guard()
    grant = cast.in_quillo()
    resource = Resource.objects.get(service=cast.quillo(), tenant=cast.contoso)
    AccessRequest.objects.filter(pk=grant.access_request_id).update(is_practice=True, reference="P-2026-000001")
    refused(lambda: issue(cast, grant), NotCovered)
    assert resource.is_external


def test_a_window_that_is_read_through_a_connector_gives_no_token(cast: Cast) -> None:
    grant = cast.opened()
    refused(lambda: issue(cast, grant), NotCovered)


def test_an_unknown_algorithm_is_refused(cast: Cast, window: Grant) -> None:
    for alg in ("none", "HS256", "rs256", ""):
        refused(partial(issue, cast, window, alg=alg), Unacceptable)


# --- Tokens of the API -----------------------------------------------------------------------------------------


def _by_token(cast: Cast, name: str, *scopes: Scope) -> Actor:
    token_of(cast, name, *scopes)
    return actor_of_token(Token.objects.select_related("account").latest("created_at"))


def test_the_engineers_personal_token_needs_the_scope(cast: Cast, window: Grant) -> None:
    every = frozenset(Scope) - {Scope.GRANTS_TOKEN}
    without = _by_token(cast, "priya", *every)
    refused(lambda: operations.issue_grant_token(window.pk, actor=without), InsufficientScope)
    made = operations.issue_grant_token(window.pk, actor=_by_token(cast, "priya", Scope.GRANTS_TOKEN))
    assert claims_of(made.token)["client_id"] == "lockbox"


@pytest.mark.parametrize("name", ["pat", "stella", "ada", "ines"])
def test_nobody_elses_personal_token_gives_one(cast: Cast, window: Grant, name: str) -> None:
    actor = _by_token(cast, name, *Scope)
    refused(lambda: operations.issue_grant_token(window.pk, actor=actor), NotAllowed)
    assert last_entry()["detail"]["code"] == "not_allowed"


def test_no_client_gets_the_scope_and_none_gets_a_token_in_the_name_of_an_engineer(cast: Cast, window: Grant) -> None:
    for tenant in (cast.contoso.pk, None):
        by = cast.as_("ines" if tenant else "stella")
        with pytest.raises(Unacceptable):
            operations.create_client(tenant_id=tenant, name="x", scopes=["grants:token"], actor=by)
    # Even if somebody writes the scope into the rows without an operation.
    row = cast.own_client("Desk", ["requests:submit", "grants:token"]).row
    token = operations.issue_access_token(row, scopes=list(Scope)).row
    for actor in (
        actor_of_token(token),
        actor_of_token(token, in_name_of=cast.priya),
        replace(cast.as_("priya"), machine=actor_of_token(token).machine),
    ):
        refused(partial(operations.issue_grant_token, window.pk, actor=actor), NotAllowed)


def test_a_revoked_personal_token_gives_none(cast: Cast, window: Grant) -> None:
    actor = _by_token(cast, "priya", Scope.GRANTS_TOKEN)
    Token.objects.update(revoked_at=clock.now())
    with pytest.raises((NotAllowed, NotFound, InsufficientScope)):
        operations.issue_grant_token(window.pk, actor=actor)
    assert not AuditEntry.objects.filter(event="grant.token_issued").exists()


# --- Renewal -------------------------------------------------------------------------------------------------


def test_the_application_renews_a_token_for_its_engineer(cast: Cast, window: Grant, travel: Any) -> None:
    first = entered(cast, window, "EdDSA")
    travel.by(minutes=4)
    second = renew(cast, first.token)
    client = Client.objects.get(service=cast.quillo())
    before, after = claims_of(first.token), claims_of(second.token)
    assert after["client_id"] == str(client.pk)
    assert after["jti"] != before["jti"]
    same = ("iss", "aud", "sub", "email", "name", "authorization_details")
    assert [after[name] for name in same] == [before[name] for name in same]
    assert other_library.get_unverified_header(second.token)["alg"] == "EdDSA"
    entry = last_entry()
    assert (entry["event"], entry["actor"]["name"]) == ("grant.token_issued", "Quillo")
    assert (entry["detail"]["engineer"], entry["detail"]["engineer_id"]) == ("Priya Test", str(cast.priya.pk))
    assert (entry["detail"]["client"], entry["detail"]["jti"]) == (str(client.pk), after["jti"])
    # The first token still lives, and the new one can be renewed too.
    travel.by(seconds=60)
    assert claims_of(renew(cast, second.token).token)["jti"] not in (before["jti"], after["jti"])


def test_a_token_that_was_just_renewed_is_given_again_without_an_entry(cast: Cast, window: Grant, travel: Any) -> None:
    """Two processes of an application renew at the same time. A thief of its secret does it a thousand times."""
    first = entered(cast, window)
    travel.by(minutes=4)
    second = renew(cast, first.token)
    before = AuditEntry.objects.count()
    for token in (first.token, second.token):
        travel.by(seconds=29)
        assert renew(cast, token) == second
    assert AuditEntry.objects.count() == before
    # It is judged each time.
    operations.revoke(window.access_request_id, actor=cast.as_("ada"))
    refused(lambda: renew(cast, second.token), WindowNotOpen)


def test_a_renewed_token_never_outlives_the_window(cast: Cast, window: Grant, travel: Any) -> None:
    travel.to(window.closes_at - dt.timedelta(minutes=4))
    first = entered(cast, window)
    travel.by(minutes=3)
    assert renew(cast, first.token).expires_at <= window.closes_at


def test_a_token_that_has_ended_is_not_renewed(cast: Cast, window: Grant, travel: Any) -> None:
    first = entered(cast, window)
    travel.to(first.expires_at - dt.timedelta(milliseconds=1))
    renew(cast, first.token)
    travel.to(first.expires_at)
    refused(lambda: renew(cast, first.token), GrantTokenEnded)
    assert last_entry()["detail"]["code"] == "grant_token_ended"


def _other_application(cast: Cast) -> Actor:
    other = Service.objects.create(key="ledger", name="Ledger", connector="external", application="Ledger")
    return actor_of_client(cast.guard(other).row)


def test_another_application_renews_nothing(cast: Cast, window: Grant) -> None:
    first, other = entered(cast, window), _other_application(cast)
    refused(lambda: renew(cast, first.token, by=other), GrantTokenForeign)
    assert last_entry()["tenant"] == str(cast.contoso.pk)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"aud": "http://localhost:8000/services/ledger"}, GrantTokenForeign),
        ({"iss": "https://lockbox.example"}, GrantTokenForeign),
        ({"aud": ["http://localhost:8000/services/quillo"]}, GrantTokenForeign),
        ({"sub": str(uuid4())}, NotFound),
        ({"sub": "priya"}, NotFound),
        ({"authorization_details": []}, NotFound),
        ({"authorization_details": [{"type": "other"}]}, NotFound),
        ({"authorization_details": [{"type": "lockbox_grant", "grant_id": str(uuid4())}]}, NotFound),
        ({"authorization_details": "lockbox_grant"}, NotFound),
    ],
)
def test_a_token_that_says_something_else_is_not_renewed_though_we_signed_it(
    cast: Cast, window: Grant, change: dict[str, Any], why: type[DomainError]
) -> None:
    token = signed({**claims_of(entered(cast, window).token), **change}, typ="at+jwt")
    refused(lambda: renew(cast, token), why)


def test_a_token_for_another_person_is_not_renewed(cast: Cast, window: Grant) -> None:
    QueueAssignment.objects.create(service=cast.quillo(), person=cast.erik, role="engineer", given_at=clock.now())
    token = signed({**claims_of(entered(cast, window).token), "sub": str(cast.erik.pk)}, typ="at+jwt")
    refused(lambda: renew(cast, token), NotAllowed)


def test_a_token_of_another_type_is_not_renewed(cast: Cast, window: Grant) -> None:
    claims = claims_of(entered(cast, window).token)
    for typ in ("JWT", "secevent+jwt", ""):
        refused(partial(renew, cast, signed(claims, typ=typ)), NotFound)
    refused(lambda: renew(cast, "x"), NotFound)
    token = entered(cast, window).token
    refused(lambda: renew(cast, f"{token[:-6]}AAAAAA"), NotFound)


def test_only_the_live_guard_renews(cast: Cast, window: Grant) -> None:
    token = entered(cast, window).token
    guard = guard_of(cast)
    gateway = actor_of_client(cast.own_client("Gateway", ["evaluate"]).row)
    people = [cast.as_(name) for name in ("priya", "stella", "ada")]
    personal = _by_token(cast, "priya", *Scope)
    with collected() as case:
        for name, actor in {"gateway": gateway, "personal": personal, **{each.name: each for each in people}}.items():
            with case(name):
                before = state()
                with pytest.raises((NotAllowed, InsufficientScope)):
                    renew(cast, token, by=actor)
                assert state() == before
    operations.remove_client(Client.objects.get(service=cast.quillo()).pk, actor=cast.as_("stella"))
    before = state()
    with pytest.raises((NotAllowed, InsufficientScope)):
        renew(cast, token, by=guard)
    assert state() == before


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_token_that_was_copied_is_not_renewed(cast: Cast, window: Grant, alg: str) -> None:
    """The engineer gets such a token at Lockbox. It could be in anybody's hands, so it ends after five minutes."""
    copied = issue(cast, window, alg=alg)
    refused(lambda: renew(cast, copied.token), GrantTokenNotRenewable)
    assert last_entry()["detail"]["code"] == "grant_token_not_renewable"
