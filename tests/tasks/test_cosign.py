"""The task that asks the witnesses to cosign, over a real connection."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from audit_app import proofs
from audit_app.models import Checkpoint, Cosignature, Witness
from lockbox_site import readiness
from requests_app import operations, tasks
from requests_app.domain import clock
from requests_app.work import schedules
from tests.cast import Cast
from tests.witness import SmallWitness, sign, witness_answer

pytestmark = pytest.mark.django_db


class Listening:
    """A small witness behind a real HTTP server."""

    def __init__(self, small: SmallWitness) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, kind, text = small.post(self.path, body)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: Any) -> None:
                pass

        self.small = small
        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/w"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(timeout=120)


@pytest.fixture
def listening() -> Iterator[Listening]:
    found = Listening(SmallWitness())
    yield found
    found.close()


@pytest.fixture(autouse=True)
def _private(settings: Any) -> None:
    settings.WITNESS_PRIVATE_NETWORK = True


def register(cast: Cast, listening: Listening) -> None:
    operations.add_witness(cast.contoso.pk, vkey=listening.small.vkey, url=listening.url, actor=cast.as_("ines"))
    sign(cast.contoso.pk)


def test_asking_the_witnesses_is_scheduled() -> None:
    assert "requests_app.tasks.cosign" in schedules.FUNCTIONS


def test_a_registered_witness_is_asked_and_its_cosignature_stored(cast: Cast, listening: Listening) -> None:
    register(cast, listening)
    assert tasks.cosign() == 1
    [(path, _body)] = listening.small.requests
    assert path == "/w/add-checkpoint"
    assert len(proofs.cosigned(Checkpoint.objects.get()).times(listening.small.verifier)) == 1
    assert tasks.cosign() == 0


def test_the_size_that_it_holds_is_learnt_in_the_same_run(cast: Cast, listening: Listening) -> None:
    register(cast, listening)
    tasks.cosign()
    Witness.objects.update(held_size=0)
    cast.ticket()
    sign(cast.contoso.pk)
    assert tasks.cosign() == 1
    assert Witness.objects.get().problem == ""
    assert Cosignature.objects.count() == 2


def test_a_witness_in_a_closed_private_network_is_no_longer_asked(
    cast: Cast, listening: Listening, settings: Any
) -> None:
    register(cast, listening)
    settings.WITNESS_PRIVATE_NETWORK = False
    assert tasks.cosign() == 1
    assert listening.small.requests == []
    assert Witness.objects.get().problem == "address"


def test_how_many_fail_is_shown_and_takes_nothing_out_of_service(cast: Cast, listening: Listening) -> None:
    register(cast, listening)
    assert readiness.STATES["witnesses"](clock.now()) == {"ok": True, "failing": 0}
    listening.small.misbehave = lambda _answer: witness_answer(500)
    tasks.cosign()
    assert readiness.STATES["witnesses"](clock.now()) == {"ok": True, "failing": 1}
