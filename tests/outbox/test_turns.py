"""Only one worker at a time has the turn for a task, for example to send mails.

A worker that has ended does not keep it.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from typing import Any

import pytest
from django.core.cache import cache, caches
from django.db import OperationalError

from requests_app.platform import process_names, turns

pytestmark = [pytest.mark.dialect, pytest.mark.django_db]


def test_a_turn_is_of_one_and_free_afterwards() -> None:
    with turns.taken("mail", seconds=45) as first, turns.taken("mail", seconds=45) as second:
        assert first is not None
        assert second is None
    with turns.taken("mail", seconds=45) as third:
        assert third is not None


def test_there_are_as_many_as_there_are_places() -> None:
    with turns.taken("mail", seconds=45, places=2) as first, turns.taken("mail", seconds=45, places=2) as second:
        assert first is not None
        assert second is not None
        with turns.taken("mail", seconds=45, places=2) as third:
            assert third is None
        with turns.taken("cosign", seconds=45) as other:
            assert other is not None


def _of(process: subprocess.Popen[Any], host: str) -> str:
    return f"{host} {process.pid} {process_names._started(str(process.pid))} name"


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")
@pytest.mark.parametrize("is_killed", [False, True])
def test_the_turn_of_a_killed_worker_of_this_machine_is_free_at_once(is_killed: bool) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    cache.add("turn:mail:0", _of(process, socket.gethostname()), timeout=45)
    cache.add("turn:cosign:0", _of(process, "elsewhere"), timeout=45)
    if is_killed:
        process.kill()
        process.wait()
    with turns.taken("mail", seconds=45) as mail, turns.taken("cosign", seconds=45) as cosign:
        assert (mail is not None) == is_killed
        assert cosign is None, "nothing is known of another machine"
    process.kill()
    process.communicate()


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")
def test_a_turn_that_could_not_be_given_back_is_free_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def is_away(*_: Any, **__: Any) -> Any:
        raise OperationalError

    with monkeypatch.context() as patch, pytest.raises(OperationalError), turns.taken("mail", seconds=45):
        patch.setattr(type(caches["default"]), "get", is_away)
    with turns.taken("mail", seconds=45) as again:
        assert again is not None


def test_a_lost_turn_is_not_renewed_for_its_new_holder(monkeypatch: pytest.MonkeyPatch) -> None:
    with turns.taken("mail", seconds=45) as turn:
        assert turn is not None
        cache.set(turn.key, "elsewhere 1 2 other", timeout=45)
        monkeypatch.setattr(type(caches["default"]), "touch", None)
        turn.renew()


def test_a_thread_of_the_same_process_that_works_keeps_its_turn() -> None:
    with turns.taken("mail", seconds=45):
        holder = cache.get("turn:mail:0")
        found: list[bool] = []
        thread = threading.Thread(target=lambda: found.append(turns._is_gone(holder)))
        thread.start()
        thread.join()
        assert found == [False]
