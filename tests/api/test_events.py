"""A tenant's events, by long polling and as a stream: complete, in order, and only for readers with permission."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.signals import request_finished
from django.db import close_old_connections

from audit_app.models import AuditEntry, ChainHead
from requests_app import operations
from requests_app.domain.scopes import Scope
from requests_app.doors.api import events
from requests_app.messages.webhooks import messages
from requests_app.models import Client, Token
from requests_app.platform import long_calls
from tests.caller import Caller
from tests.cast import Cast
from tests.offenders import collected

pytestmark = pytest.mark.django_db

Calling = Callable[..., Caller]
STREAM: Any = {"Accept": "text/event-stream"}
BOTH: list[Any] = [{}, STREAM]


@pytest.fixture(autouse=True)
def pauses() -> Iterator[list[Callable[[], Any]]]:
    """Replace each pause by a call of the next function in a list, and yield the list. No test sleeps.

    Only streams pause, so the patch does not change which rows the cast makes. Each test can still restore
    stored worlds (`tests.remembered`).
    """
    to_do: list[Callable[[], Any]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(events, "pause", lambda seconds: to_do.pop(0)() if to_do else None)
        yield to_do
    assert long_calls.under_way() == 0


def path(cast: Cast) -> str:
    return f"tenants/{cast.contoso.pk}/events"


def size(cast: Cast) -> int:
    return ChainHead.objects.get(pk=cast.contoso.pk).size


def streamed(response: Any) -> list[dict[str, str]]:
    """Return the events in a stream, parsed by the rules of the HTML standard.

    Comments are listed with an empty name.
    """
    assert (response.status_code, response["Content-Type"]) == (200, "text/event-stream")
    found = []
    for block in b"".join(response.streaming_content).decode().removesuffix("\n\n").split("\n\n"):
        found.append(dict(line.split(": ", 1) for line in block.split("\n")))
    return found


def leave(response: Any) -> None:
    """End a reader's call without closing database connections, because the test's transaction uses one of them."""
    request_finished.disconnect(close_old_connections)
    response.close()
    request_finished.connect(close_old_connections)


def of(found: list[dict[str, str]]) -> list[dict[str, Any]]:
    return [json.loads(each["data"]) for each in found if "data" in each]


# --- Long polling --------------------------------------------------------------------------------------------


def test_an_event_says_what_its_webhook_says(cast: Cast, calling: Calling) -> None:
    cast.opened()
    caller = calling("contoso", Scope.LOG_READ)
    found = caller.get(path(cast), {"after": "0"})
    rows = list(AuditEntry.objects.filter(tenant_id=cast.contoso.pk).order_by("seq"))
    sent = messages.of(rows, cast.contoso.pk)
    items = found.json()["items"]
    assert [each.pop("cursor") for each in items] == [str(row.seq + 1) for row in rows]
    assert items == [{"id": each.id, **json.loads(each.body)} for each in sent]
    assert found.json()["cursor"] == str(len(rows))


def test_a_call_without_a_cursor_gets_events_from_now_on(
    cast: Cast, calling: Calling, pauses: list[Callable[[], Any]]
) -> None:
    cast.opened()
    caller = calling("otto")
    first = caller.get(path(cast)).json()
    assert first == {"items": [], "cursor": str(size(cast))}
    row = cast.submitted(by="erik")
    second = caller.get(path(cast), {"after": first["cursor"]}).json()
    assert [(each["type"], each["data"]["access_request"]) for each in second["items"]][-1] == (
        "access_request.submitted",
        str(row.pk),
    )
    assert caller.get(path(cast), {"after": second["cursor"]}).json()["items"] == []


def test_a_call_waits_until_something_happens(cast: Cast, calling: Calling, pauses: list[Callable[[], Any]]) -> None:
    row = cast.confirmed()
    caller = calling("otto")
    pauses += [lambda: None, lambda: operations.withdraw(row.pk, actor=cast.as_("priya"), note="Found it.")]
    found = caller.get(path(cast), {"wait": "30"}).json()
    assert [each["type"] for each in found["items"]] == ["access_request.withdrawn"]
    assert pauses == []


def test_a_call_that_waited_in_vain_continues_from_the_same_cursor(cast: Cast, calling: Calling) -> None:
    cast.opened()
    caller = calling("otto")
    found = caller.get(path(cast), {"wait": "2"}).json()
    assert found == {"items": [], "cursor": str(size(cast))}


def test_a_long_absence_is_made_up_for_in_pieces(cast: Cast, calling: Calling, monkeypatch: Any) -> None:
    monkeypatch.setattr(events, "MOST", 2)
    cast.opened()
    caller, cursor, found = calling("otto"), "0", []
    while items := (page := caller.get(path(cast), {"after": cursor}).json())["items"]:
        found += [each["cursor"] for each in items]
        cursor = page["cursor"]
    assert found == [str(number + 1) for number in range(size(cast))]


def test_a_malformed_cursor_or_wait_is_refused(cast: Cast, calling: Calling) -> None:
    cases = [
        ({"after": "x"}, 400),
        ({"after": "-1"}, 400),
        ({"after": ""}, 400),
        ({"after": "9" * 20}, 400),
        ({"after": "9999"}, 422),
        ({"wait": "31"}, 400),
        ({"wait": "-1"}, 400),
        ({"wait": "0.5"}, 400),
        ({"since": "1"}, 400),
    ]
    cast.opened()
    otto = calling("otto")
    with collected() as case:
        for query, status in cases:
            with case(query, status):
                for headers in BOTH:
                    found = otto.get(path(cast), query, **headers)
                    assert (found.status_code, found["Content-Type"]) == (status, "application/problem+json")


@pytest.mark.parametrize(("name", "status"), [("mia", 403), ("priya", 404), ("frida", 404), ("fabrikam", 404)])
def test_nobody_else_hears_of_them(cast: Cast, calling: Calling, name: str, status: int) -> None:
    cast.opened()
    for headers in BOTH:
        found = calling(name).get(path(cast), {"after": "0"}, **headers)
        assert found.status_code == status
        assert b"access_request" not in found.content


# --- Streams -------------------------------------------------------------------------------------------------


def test_a_stream_sends_what_was_and_what_happens(
    cast: Cast, calling: Calling, pauses: list[Callable[[], Any]]
) -> None:
    row = cast.confirmed()
    caller = calling("otto")
    before = size(cast)
    pauses += [lambda: None, lambda: operations.withdraw(row.pk, actor=cast.as_("priya"), note="Two\nlines.")]
    response = caller.get(path(cast), {"after": "1"}, **STREAM)
    assert response["Cache-Control"] == "no-store"
    found = streamed(response)
    assert [each["id"] for each in found if "id" in each] == [str(number) for number in range(2, before + 2)]
    last = [each for each in found if "id" in each][-1]
    assert (last["event"], json.loads(last["data"])["type"]) == ("access_request.withdrawn", "access_request.withdrawn")
    # Some clients take `retry` for an empty message if it is alone.
    assert (found[0], [each for each in found if "retry" in each]) == ({"": "here"}, [found[1]])
    assert found[1]["retry"] == "2000"
    # The stream lasts five minutes, with a comment for every ten seconds without an event.
    assert 28 <= len([each for each in found if "" in each]) <= 30


def test_a_stream_continues_where_the_last_one_ended(
    cast: Cast, calling: Calling, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast.opened()
    caller = calling("contoso")
    monkeypatch.setattr(events, "LONGEST_STREAM", 20)
    found = streamed(caller.get(path(cast), Last_Event_ID="2", **STREAM))
    assert [each["cursor"] for each in of(found)] == [str(number) for number in range(3, size(cast) + 1)]


def test_a_stream_holds_nothing_of_another_tenant(
    cast: Cast, calling: Calling, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast.opened()
    theirs = cast.opened("fabrikam")
    caller = calling("otto")
    monkeypatch.setattr(events, "LONGEST_STREAM", 20)
    found = of(streamed(caller.get(path(cast), {"after": "0"}, **STREAM)))
    assert {each["data"]["tenant"] for each in found} == {str(cast.contoso.pk)}
    assert str(theirs.access_request_id) not in json.dumps(found)


def _revoke_token(cast: Cast) -> None:
    token = Token.objects.get(account=cast.people["otto"])
    operations.revoke_token(token.pk, actor=cast.as_("otto"))


def _lose_role(cast: Cast) -> None:
    otto = cast.people["otto"]
    operations.give_role(cast.contoso.pk, otto.pk, role="member", actor=cast.as_("ines"))
    operations.take_role(cast.contoso.pk, otto.pk, role="auditor", actor=cast.as_("ines"))


def _switch_off(cast: Cast) -> None:
    operations.switch_off_person(cast.people["otto"].pk, actor=cast.as_("ines"))


def _remove_client(cast: Cast) -> None:
    operations.remove_client(Client.objects.get().pk, actor=cast.as_("ines"))


def _narrow_client(cast: Cast) -> None:
    operations.change_client(Client.objects.get().pk, scopes=["requests:read"], actor=cast.as_("ines"))


LOSSES: list[tuple[str, Callable[[Cast], Any]]] = [
    ("otto", _revoke_token),
    ("otto", _lose_role),
    ("otto", _switch_off),
    ("contoso", _remove_client),
    ("contoso", _narrow_client),
]


@pytest.mark.parametrize(("name", "lose"), LOSSES)
def test_a_stream_ends_when_its_reader_may_not_read_any_more(
    cast: Cast, calling: Calling, pauses: list[Callable[[], Any]], name: str, lose: Callable[[Cast], Any]
) -> None:
    cast.opened()
    caller = calling(name)
    pauses += [lambda: lose(cast), lambda: cast.submitted(by="erik")]
    found = streamed(caller.get(path(cast), **STREAM))
    assert of(found) == []
    assert found[-1][""] in ("not_allowed", "insufficient_scope")
    assert len(pauses) == 1, "it ended at the next look"


@pytest.mark.parametrize(("name", "lose"), LOSSES)
def test_a_call_that_waits_ends_then_too(
    cast: Cast, calling: Calling, pauses: list[Callable[[], Any]], name: str, lose: Callable[[Cast], Any]
) -> None:
    cast.opened()
    caller = calling(name)
    pauses += [lambda: lose(cast), lambda: cast.submitted(by="erik")]
    found = caller.get(path(cast), {"wait": "10"})
    assert found.status_code == 403
    assert len(pauses) == 1


# --- Limits --------------------------------------------------------------------------------------------------


def test_a_caller_has_two_streams_and_no_third(cast: Cast, calling: Calling) -> None:
    cast.opened()
    otto, ada = calling("otto"), calling("ada")
    running = [otto.get(path(cast), **STREAM) for _ in range(2)]
    refused = otto.get(path(cast), **STREAM)
    assert (refused.status_code, refused.json()["code"], refused["Retry-After"]) == (429, "too_many", "60")
    assert otto.get(path(cast), {"wait": "1"}).status_code == 429
    # A caller that does not wait gets a response, and so does everybody else.
    assert otto.get(path(cast)).status_code == 200
    running.append(ada.get(path(cast), **STREAM))
    for each in running:
        leave(each)
    assert otto.get(path(cast), {"wait": "1"}).status_code == 200


def test_all_callers_together_have_half_of_the_streams(cast: Cast, calling: Calling, settings: Any) -> None:
    settings.WEB_STREAMS = 4
    cast.opened()
    running = [calling(name).get(path(cast), **STREAM) for name in ("otto", "ada")]
    refused = calling("ines").get(path(cast), **STREAM)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many")
    for each in running:
        leave(each)


def test_one_tenant_leaves_room_for_the_others(cast: Cast, calling: Calling, settings: Any) -> None:
    settings.WEB_STREAMS = 8
    cast.opened()
    cast.opened("fabrikam")
    running = [calling(name).get(path(cast), **STREAM) for name in ("otto", "ada", "ines")]
    refused = calling("alan").get(path(cast), **STREAM)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many")
    theirs = f"tenants/{cast.tenants['fabrikam'].pk}/events"
    running.append(calling("frida").get(theirs, **STREAM))
    assert running[-1].status_code == 200
    for each in running:
        leave(each)
    assert not long_calls.CALLS.of_tenants
    leave(calling("alan").get(path(cast), **STREAM))


def test_a_stream_that_is_left_makes_room(cast: Cast, calling: Calling) -> None:
    cast.opened()
    response = calling("otto").get(path(cast), {"after": "0"}, **STREAM)
    assert next(iter(response.streaming_content)).startswith(b": here")
    assert long_calls.under_way() == 1
    leave(response)
    assert long_calls.under_way() == 0
