"""Windows over the API: the list, the accesses in each window, and what each reader can see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.lifecycle import STAYING, TRANSITIONS
from requests_app.domain.scopes import Scope
from requests_app.models import Grant, QueueAssignment
from requests_app.operations import content
from requests_app.queries import access
from tests.caller import Caller
from tests.cast import Cast, events_in
from tests.content import CANARY, fill, mail_id
from tests.offenders import collected

pytestmark = pytest.mark.django_db

Calling = Callable[..., Caller]


@pytest.fixture(autouse=True)
def _content(tmp_path: Path, settings: Any) -> None:
    settings.CONTENT_ROOT = tmp_path
    fill(tmp_path)


def items(response: Any) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.content
    found: list[dict[str, Any]] = response.json()["items"]
    return found


def ids(response: Any) -> list[str]:
    return [each["id"] for each in items(response)]


def with_content_read(cast: Cast, grant: Grant) -> Grant:
    """As Priya, list the mailbox and open its only mail. Return the grant."""
    actor = cast.as_("priya")
    content.list_items(grant.pk, cast.resource().pk, actor=actor)
    content.read_message(grant.pk, cast.resource().pk, mail_id(), actor=actor)
    return grant


def test_a_window_is_read_with_its_engineer_and_scope(cast: Cast, calling: Calling) -> None:
    grant = with_content_read(cast, cast.opened())
    found = calling("ada").get(f"grants/{grant.pk}").json()
    times = [found.pop(name) for name in ("opens_at", "closes_at")]
    assert times == [each.isoformat().replace("+00:00", "Z") for each in (grant.opens_at, grant.closes_at)]
    access_request = grant.access_request
    assert found == {
        "id": str(grant.pk),
        "state": "open",
        "access_request": {"id": str(access_request.pk), "reference": access_request.reference},
        "is_practice": False,
        "tenant": {"id": str(cast.contoso.pk), "name": "Contoso"},
        "service": {"id": str(cast.exchange.pk), "key": "exchange-online", "name": "Exchange Online"},
        "engineer": {"id": str(cast.priya.pk), "name": "Priya Test"},
        "level": "read",
        "resources": [
            {
                "id": str(cast.resource().pk),
                "kind": "mailbox",
                "name": "finance@contoso.example",
                "is_practice": False,
            }
        ],
        "closed_at": None,
        "close_reason": None,
        "enforced_by": "",
        "closed_by": None,
        "seen": {"opened": 1, "downloaded": 0, "attachments": 0, "resources": 1, "listed": 1, "allowed": 0},
        "allowed_actions": ["revoke"],
    }


def test_a_closed_window_names_who_closed_it_and_why(cast: Cast, calling: Calling) -> None:
    grant = cast.opened()
    operations.revoke(grant.access_request_id, actor=cast.as_("alan"), note="Enough.")
    found = calling("mia").get(f"grants/{grant.pk}").json()
    assert (found["state"], found["close_reason"], found["allowed_actions"]) == ("closed", "revoked", [])
    assert found["closed_by"] == {"id": str(cast.alan.pk), "name": "Alan Test"}
    assert found["closed_at"] < found["closes_at"]


@pytest.mark.parametrize(
    ("name", "actions"),
    [("ada", ["revoke"]), ("mia", []), ("otto", []), ("priya", ["release"]), ("erik", []), ("stella", ["revoke"])],
)
def test_allowed_actions_come_from_the_table(cast: Cast, calling: Calling, name: str, actions: list[str]) -> None:
    grant = cast.opened()
    assert calling(name).get(f"grants/{grant.pk}").json()["allowed_actions"] == actions
    assert calling(name, Scope.GRANTS_READ).get(f"grants/{grant.pk}").json()["allowed_actions"] == []


def test_an_act_without_an_address_is_not_among_the_allowed_actions(
    cast: Cast, calling: Calling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An act that has no route in the API is offered only by the pages."""
    revoke = TRANSITIONS["revoke"]
    monkeypatch.setattr(access, "_edges_from", access._edges_from.__wrapped__)
    monkeypatch.setitem(STAYING, "wave", replace(revoke, act=replace(revoke.act, name="wave", route=None, moves=None)))
    grant, ada = cast.opened(), calling("ada")
    found = access.allowed_actions(grant.access_request, actor=cast.as_("ada"), at=clock.now())
    assert "wave" in [edge.act.name for edge in found]
    assert ada.get(f"grants/{grant.pk}").json()["allowed_actions"] == ["revoke"]
    assert ada.get(f"access-requests/{grant.access_request_id}").json()["allowed_actions"] == ["revoke"]


def test_a_window_is_closed_at_its_end_though_no_sweep_has_run(cast: Cast, calling: Calling, travel: Any) -> None:
    grant, ada = cast.opened(), calling("ada", days=7)
    tag = ada.get(f"grants/{grant.pk}")["ETag"]
    for at, state, other in (
        (grant.closes_at - timedelta(microseconds=1), "open", "closed"),
        (grant.closes_at, "closed", "open"),
    ):
        travel.to(at)
        found = ada.get(f"grants/{grant.pk}")
        assert (found.json()["state"], found.json()["closed_at"]) == (state, None)
        assert (found["ETag"] == tag) is (state == "open")
        assert ids(ada.get("grants", {"state": state})) == [str(grant.pk)]
        assert ids(ada.get("grants", {"state": other})) == []


# --- Who sees which ------------------------------------------------------------------------------------------


def test_each_sees_the_windows_of_their_tenants_or_queues(cast: Cast, calling: Calling) -> None:
    cases = [
        *((name, "contoso") for name in ("mia", "ada", "otto", "ines", "contoso")),
        *((name, "fabrikam") for name in ("fred", "finn", "fabrikam")),
        ("nora", ""),
        # The provider's people see the tenants of their queues.
        *((name, "contoso fabrikam") for name in ("priya", "erik", "pat", "bea", "stella", None)),
        ("samir", ""),
    ]
    grants = {"contoso": cast.opened(), "fabrikam": cast.opened("fabrikam", by="erik")}
    with collected() as case:
        for name, seen in cases:
            with case(name, seen):
                caller = calling(name, Scope.GRANTS_READ)
                assert set(ids(caller.get("grants"))) == {str(grants[tenant].pk) for tenant in seen.split()}
                for tenant, grant in grants.items():
                    status = 200 if tenant in seen.split() else 404
                    assert caller.get(f"grants/{grant.pk}").status_code == status
                    if status == 404:
                        assert caller.get(f"grants/{grant.pk}/accesses").status_code == 404


@pytest.mark.parametrize("name", ["ada", "contoso", "priya", "stella", None])
def test_without_the_scope_no_window_is_seen(cast: Cast, calling: Calling, name: str | None) -> None:
    grant = with_content_read(cast, cast.opened())
    caller = calling(name, Scope.REQUESTS_READ)
    for path in ("grants", f"grants/{grant.pk}", f"grants/{grant.pk}/accesses"):
        response = caller.get(path)
        assert (response.status_code, response.json()["code"]) == (403, "insufficient_scope")


# --- Accesses in a window ------------------------------------------------------------------------------------


def test_accesses_name_items_and_quote_nothing(cast: Cast, calling: Calling) -> None:
    grant = with_content_read(cast, cast.opened())
    response = calling("ada").get(f"grants/{grant.pk}/accesses", {"order": "at"})
    found = items(response)
    assert [(each["kind"], each["item"], each["names"]) for each in found] == [
        ("list_asked", "", 0),
        ("listed", "", 1),
        ("opened", "<invoice-1@wideworld.example>", 0),
    ]
    assert {each["resource"]["name"] for each in found} == {"finance@contoso.example"}
    assert CANARY not in response.content.decode()


def test_accesses_by_name_are_only_for_overseers(cast: Cast, calling: Calling) -> None:
    cases = [
        *((name, 200) for name in ("ada", "alan", "otto", "ines", "contoso", "priya", "pat", "bea", "stella", None)),
        # A member sees only the number of accesses. Another engineer of the queue sees none.
        ("mia", 403),
        ("erik", 403),
        ("samir", 404),
        ("finn", 404),
    ]
    grant = with_content_read(cast, cast.opened())
    with collected() as case:
        for name, status in cases:
            with case(name, status):
                caller = calling(name, Scope.GRANTS_READ)
                before = events_in(cast.contoso)
                found = caller.get(f"grants/{grant.pk}/accesses")
                assert found.status_code == status
                assert ("<invoice-1@wideworld.example>" in found.content.decode()) is (status == 200)
                if status == 403:
                    assert found.json()["code"] == "not_allowed"
                    assert caller.get(f"grants/{grant.pk}").json()["seen"]["opened"] == 1
                assert events_in(cast.contoso) == before


def test_an_engineer_who_left_the_queue_no_longer_reads_their_own_window(cast: Cast, calling: Calling) -> None:
    grant = with_content_read(cast, cast.opened())
    operations.release(grant.access_request_id, actor=cast.as_("priya"))
    priya = calling("priya", Scope.GRANTS_READ)
    assert len(ids(priya.get(f"grants/{grant.pk}/accesses"))) == 3
    QueueAssignment.objects.filter(person=cast.priya).delete()
    assert priya.get(f"grants/{grant.pk}/accesses").status_code == 404


def test_looks_are_found_by_kind_resource_and_time(cast: Cast, calling: Calling, travel: Any) -> None:
    grant = cast.opened()
    content.list_items(grant.pk, cast.resource().pk, actor=cast.as_("priya"))
    between = (travel.by(minutes=5) - timedelta(minutes=3)).isoformat()
    with_content_read(cast, grant)
    path, ada = f"grants/{grant.pk}/accesses", calling("ada")
    newest = items(ada.get(path, {"kind": "opened"}))
    assert [each["kind"] for each in newest] == ["opened"]
    later = sorted(each["kind"] for each in items(ada.get(path, {"since": between})))
    earlier = sorted(each["kind"] for each in items(ada.get(path, {"before": between})))
    assert (later, earlier) == (["list_asked", "listed", "opened"], ["list_asked", "listed"])
    assert ids(ada.get(path, {"resource": cast.resource(name="sales").pk})) == []
    assert len(ids(ada.get(path, {"resource": cast.resource().pk}))) == 5
    for query in ({"kind": "guessed"}, {"since": "yesterday"}, {"order": "kind"}):
        assert ada.get(path, query).status_code == 422


# --- Lists ---------------------------------------------------------------------------------------------------


def test_the_filters_narrow(cast: Cast, calling: Calling, travel: Any) -> None:
    contoso = cast.opened()
    travel.by(minutes=10)
    fabrikam = cast.opened("fabrikam", by="erik", window_for=1800)
    operations.release(contoso.access_request_id, actor=cast.as_("priya"))
    pat = calling("pat")
    for query, wanted in (
        ({}, [fabrikam, contoso]),
        ({"state": "open"}, [fabrikam]),
        ({"state": "closed"}, [contoso]),
        ({"tenant": cast.contoso.pk}, [contoso]),
        ({"engineer": cast.erik.pk}, [fabrikam]),
        ({"service": cast.exchange.pk, "order": "opens_at"}, [contoso, fabrikam]),
        ({"service": cast.sharepoint.pk}, []),
        ({"access_request": contoso.access_request_id}, [contoso]),
        ({"opened_since": fabrikam.opens_at.isoformat()}, [fabrikam]),
        ({"opened_before": fabrikam.opens_at.isoformat()}, [contoso]),
        ({"closes_before": contoso.closes_at.isoformat()}, [fabrikam]),
        ({"closes_since": contoso.closes_at.isoformat()}, [contoso]),
        ({"order": "closes_at"}, [fabrikam, contoso]),
        ({"order": "-closes_at"}, [contoso, fabrikam]),
    ):
        assert ids(pat.get("grants", query)) == [str(grant.pk) for grant in wanted], query


def test_a_malformed_filter_of_windows_is_refused(cast: Cast, calling: Calling) -> None:
    cases = [
        ({"state": "OPEN"}, 422),
        ({"closes_before": "soon"}, 422),
        ({"order": "level"}, 422),
        ({"engineer": "x"}, 422),
        ({"closed_by": "x"}, 400),
        ({"fields": "seen"}, 400),
        ({"limit": "0"}, 400),
    ]
    ada = calling("ada")
    with collected() as case:
        for query, status in cases:
            with case(query, status):
                assert ada.get("grants", query).status_code == status


def test_a_list_gives_the_members_that_are_asked_for(cast: Cast, calling: Calling) -> None:
    grant = cast.opened()
    [found] = items(calling("ada").get("grants", {"fields": "id,state"}))
    assert found == {"id": str(grant.pk), "state": "open"}


def test_the_queries_of_a_list_do_not_grow_with_its_rows(cast: Cast, calling: Calling, travel: Any) -> None:
    ada, counts = calling("ada"), []
    ada.get("me")
    travel.freeze()
    for _ in range(2):
        for _ in range(2):
            operations.release(cast.opened().access_request_id, actor=cast.as_("priya"))
        with CaptureQueriesContext(connection) as queries:
            assert ada.get("grants").status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]
