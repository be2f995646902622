"""The names and shapes that others depend on have not changed."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings

from requests_app.platform import outbound
from tests.golden import contract
from tests.golden.recorded import IS_REMADE, differences, lines_of
from tests.webhooks.receiver import Receiver


def test_addresses_and_names_are_the_same_as_before() -> None:
    report = differences({"addresses.txt": contract.addresses(), "names.txt": contract.names()})
    assert not report, "\n".join(report)


def test_the_api_s_document_means_the_same_as_before() -> None:
    """The comparison ignores references and texts for people."""
    document: dict[str, Any] = json.loads((settings.BASE_DIR / "docs" / "openapi.json").read_text(encoding="utf-8"))
    now = contract.resolved(document)
    if IS_REMADE:
        differences({"api.txt": contract.packed(now)})
    report = list(contract.differing(contract.unpacked(lines_of("api.txt")), now))
    assert not report, "\n".join(report[:200])


def test_a_webhook_s_message_has_the_same_headers_on_the_wire_as_before() -> None:
    receiver, headers = (
        Receiver(),
        {"webhook-id": "msg_1", "webhook-timestamp": "1795507680", "webhook-signature": "v1,x"},
    )
    try:
        options: dict[str, Any] = {"private": True, "content_type": "application/json", "query": True, "cut": True}
        outbound.post(receiver.url, b"{}", headers=headers, **options)
    finally:
        receiver.close()
    [got] = receiver.tried
    headers = {**got.headers, "host": "<host>"}
    found = [f"POST {got.path}", *(f"{name}: {value}" for name, value in sorted(headers.items())), got.body.decode()]
    report = differences({"wire.txt": found})
    assert not report, "\n".join(report)
