"""If an entry can't be written, the page answers 503, and nothing is changed or shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
from django.urls import reverse

from audit_app import recorder
from tests.admin.conftest import act_address
from tests.cast import Cast
from tests.content import CANARY, fill, mail_id
from tests.web.pages import answer, nothing_happens, page_of, signed_in

pytestmark = pytest.mark.django_db

Post = Callable[[Cast], Any]


def _decides(cast: Cast) -> Any:
    row = cast.confirmed()
    return lambda: signed_in(cast, "ada").post(page_of(row, "decide", "approve"), answer(row))


def _closes(cast: Cast) -> Any:
    grant = cast.opened()
    return lambda: signed_in(cast, "ada").post(page_of(grant.access_request, "access_request_act", "revoke"), {})


def _opens_a_ticket(cast: Cast) -> Any:
    fields = {"service": str(cast.exchange.pk), "title": "No mail", "body": "Nothing arrives.", "priority": "normal"}
    return lambda: signed_in(cast, "mia").post(reverse("web:ticket_new"), fields)


def _reads(name: str) -> Post:
    def reads(cast: Cast) -> Any:
        grant, resource = cast.opened(), cast.resource()
        address = reverse(f"web:{name}", args=[grant.pk, resource.pk], query={"id": mail_id()})
        return lambda: signed_in(cast, "priya").get(address)

    return reads


def _revokes_in_the_portal(cast: Cast) -> Any:
    grant = cast.opened()
    stella = signed_in(cast, "stella")
    return lambda: stella.post(act_address(grant.access_request, "revoke"), {"note": "Asked for by phone."})


@pytest.mark.parametrize(
    "act",
    [_decides, _closes, _opens_a_ticket, _reads("window_item"), _reads("window_raw"), _revokes_in_the_portal],
    ids=["decide", "close", "ticket", "item", "raw", "portal"],
)
def test_a_page_says_so_and_nothing_happened(
    cast: Cast, act: Post, tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CONTENT_ROOT = tmp_path
    fill(tmp_path)
    tries = act(cast)
    recording = recorder.record

    def full(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("disk is full")

    monkeypatch.setattr(recorder, "record", full)
    with nothing_happens():
        response = tries()
    assert response.status_code == 503
    shown = b"".join(response) if response.streaming else response.content
    assert CANARY.encode() not in shown
    assert b"disk is full" not in shown
    # With a working log the same act succeeds, so nothing else was the reason.
    monkeypatch.setattr(recorder, "record", recording)
    done = tries()
    assert done.status_code in (200, 302)
    if done.streaming:
        assert CANARY.encode() in b"".join(done)
